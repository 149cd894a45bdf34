//! The page of certificates, those that clients are shown and those that should be.

use furt_api::certificates::{Certificate, Certificates};
use maud::{Markup, html};

use super::words::{from_now, service_link};
use super::{Content, Context, List, Section};

/// The page of certificates.
pub fn certificates(certificates: &Certificates, context: &Context) -> Content {
    let keyed = |(at, one): (usize, &Certificate)| (format!("{at} {}", one.names.join(" ")), row(one, context));
    let rows = List::rows("certificates", certificates.certificates.iter().enumerate().map(keyed));
    let body = html! {
        h1 { "Certificates" }
        @if rows.is_empty() { p .empty { "There is none: neither listener is under TLS." } }
        div .scroll tabindex="0" role="group" aria-label="Certificates" {
            table {
                thead { tr { @for name in ["Names", "Ends", "Issuer", "From", "Next renewal"] { th scope="col" { (name) } } } }
                (rows)
            }
        }
    };
    Content { title: "Certificates".to_owned(), section: Section::Certificates, body, lists: vec![rows] }
}

fn row(one: &Certificate, context: &Context) -> Markup {
    html! {
        th scope="row" {
            (one.names.join(", "))
            @if let Some(error) = &one.last_error { p .why.bad { (error) } }
        }
        td { @match &one.not_after { Some(end) => (from_now(end, context)), None => strong { "there is none" } } }
        td { (one.issuer.as_deref().unwrap_or("–")) }
        td {
            (one.source.as_str())
            @if let Some(file) = &one.file { " " code { (file) } }
            @if let Some(service) = &one.service { " for " (service_link(service.as_str(), context)) }
        }
        td { @match &one.next_renewal { Some(next) => (from_now(next, context)), None => "–" } }
    }
}
