//! The page of API keys: what they may do and when they end, never a secret.

use furt_api::keys::{Key, KeySource, Keys};
use maud::{Markup, html};

use super::words::{ago, from_now, tag};
use super::{Content, Context, List, Section};

/// The page of API keys.
pub fn keys(keys: &Keys, context: &Context) -> Content {
    let rows = List::rows("keys", keys.keys.iter().map(|key| (key.name.to_string(), row(key, context))));
    let body = html! {
        h1 { "API keys" }
        @if rows.is_empty() { p .empty { "There is none. " code { "furt key create NAME --permissions …" } " makes one." } }
        div .scroll tabindex="0" role="group" aria-label="API keys" {
            table {
                thead {
                    tr {
                        @for name in ["Name", "From", "Permissions", "Rate", "Networks", "Made", "Ends", "SHA-256 begins"] { th scope="col" { (name) } }
                    }
                }
                (rows)
            }
        }
        @if keys.gateways > 1 {
            p .paging {
                @if keys.limits_shared { "Each of the " (keys.gateways) " gateways lets one part of a rate through." }
                @else { "Each of the " (keys.gateways) " gateways counts rates by itself." }
            }
        }
    };
    Content { title: "API keys".to_owned(), section: Section::Keys, body, lists: vec![rows] }
}

fn row(key: &Key, context: &Context) -> Markup {
    let rules = &key.rules;
    html! {
        th scope="row" { (key.name) @if let Some(why) = &key.blocked { (tag("not in force")) p .why { (why) } } }
        td { @if key.source == KeySource::Config { "the configuration" } @else { "the API" } }
        td { @for permission in &rules.permissions { code { (permission) } " " } }
        td {
            @match &rules.rate {
                Some(rate) => { (rate) @if let Some(burst) = rules.burst { ", " (burst) " at once" } }
                None => "no limit",
            }
        }
        td { @if rules.allow_from.is_empty() { "any" } @else { (rules.allow_from.join(", ")) } }
        td { @if let Some(created) = &key.created { (ago(created, context)) } @else { "–" } }
        td { @match &key.expires { Some(expires) => (from_now(expires, context)), None => "never" } }
        td {
            code { (key.sha256_prefix) }
            @for old in &key.old { p .why { code { (old.sha256_prefix) } " ends " (from_now(&old.until, context)) } }
        }
    }
}
