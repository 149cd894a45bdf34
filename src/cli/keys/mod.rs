//! `keys`: makes, lists, rotates and revokes API keys of a running furt; `new` also makes one for a configuration.
//!
//! A new key alone goes to stdout, this once, for `KEY=$(furt keys new …)`; what else there is to say of it goes to stderr.

mod offline;

use std::path::PathBuf;

use anyhow::Result;
use clap::{Args, Subcommand};
use furt_api::keys::{IssuedKey, Keys, NewKey, RevokedKey, RotateKey};

use super::client::{Answer, ask, show};
use super::output::{cell, clean, list, note, table};
use super::{Format, Output, Target, examples};
use furt_core::model::{CidrSet, KeyName, MAX_BURST, PermissionRule, Rate};

#[derive(Subcommand)]
pub(super) enum KeysVerb {
    /// Make a key and print it, this once; it is good at once, or with --add-to and --offline once furt has read it
    #[command(after_help = examples::KEYS_NEW)]
    New(NewArgs),
    /// List all keys: of the configuration, and made at runtime
    #[command(after_help = examples::KEYS_LIST)]
    List(ListArgs),
    /// End a key: no later request is let in with it
    #[command(after_help = examples::KEYS_REVOKE)]
    Revoke(RevokeArgs),
    /// Put another key in the place of one, print it, this once, and let the one before be good for a while
    #[command(after_help = examples::KEYS_ROTATE)]
    Rotate(RotateArgs),
}

#[derive(Args)]
pub(super) struct NewArgs {
    /// What services are told in X-API-Key-Name
    #[arg(long, value_parser = |text: &str| KeyName::try_new(text))]
    name: KeyName,
    /// What it may do, such as "comments:read", "comments:*" or "*"; more than once for more
    #[arg(long = "permission", value_name = "PERMISSION", required = true, value_parser = |text: &str| PermissionRule::try_new(text))]
    permissions: Vec<PermissionRule>,
    /// From where it may be used, such as "10.0.0.0/8"; more than once for more; anywhere if left out
    #[arg(long = "allow-from", value_name = "ADDRESSES", value_parser = |text: &str| CidrSet::try_new(&[text]))]
    allow_from: Vec<CidrSet>,
    /// How often it may be used, such as "100/s"; without limit if left out
    #[arg(long, value_parser = |text: &str| Rate::try_new(text))]
    rate: Option<Rate>,
    /// How many requests may come at once, 1 to 1000000; one second's worth of the rate if left out
    #[arg(long, requires = "rate", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_BURST)))]
    burst: Option<u32>,
    /// When it ends: a time such as "2030-01-31T12:00:00Z", or from now on such as "12h" or "90d"; never if left out
    #[arg(long, value_name = "TIME", conflicts_with_all = ["offline", "add_to"])]
    expires: Option<String>,
    /// Speak to no furt: print the lines for a configuration
    #[arg(long)]
    offline: bool,
    /// Speak to no furt: append the lines to this configuration; furt knows the key from its next reload
    #[arg(long, value_name = "FILE", conflicts_with = "offline")]
    add_to: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct RevokeArgs {
    /// The key's name
    name: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

#[derive(Args)]
pub(super) struct RotateArgs {
    /// The key's name
    name: String,
    /// How long the one before stays good, such as "1h", "7d", at most "30d"; 0 ends it at once, and all before it
    #[arg(long, value_name = "TIME", default_value = "24h")]
    grace: String,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

pub(super) fn run(verb: &KeysVerb) -> Result<()> {
    match verb {
        KeysVerb::New(args) if args.offline || args.add_to.is_some() => offline::new(args),
        KeysVerb::New(args) => new(args),
        KeysVerb::List(args) => list_keys(args),
        KeysVerb::Revoke(args) => revoke(args),
        KeysVerb::Rotate(args) => rotate(args),
    }
}

fn new(args: &NewArgs) -> Result<()> {
    let body = NewKey {
        name: args.name.as_str().into(),
        permissions: texts(&args.permissions),
        allow_from: texts(&args.allow_from),
        rate: args.rate.map(|rate| rate.to_string()),
        burst: args.burst,
        expires: args.expires.clone(),
    };
    let body = serde_json::to_string(&body)?;
    let answer = ask(&args.target, "POST", &["internal", "keys"], &[], Some(body))?;
    show_key(args.format, &answer)
}

fn rotate(args: &RotateArgs) -> Result<()> {
    let path = ["internal", "keys", &args.name, "rotate"];
    let body = serde_json::to_string(&RotateKey { grace: Some(args.grace.clone()) })?;
    let answer = ask(&args.target, "POST", &path, &[], Some(body))?;
    show_key(args.format, &answer)?;
    if args.format.output == Output::Text {
        match answer.read::<IssuedKey>()?.old.last() {
            Some(old) => note(&format!("the key before is good until {}", clean(old.until.as_str()))),
            None => note("no key before is good any more"),
        }
    }
    Ok(())
}

fn revoke(args: &RevokeArgs) -> Result<()> {
    let answer = ask(&args.target, "DELETE", &["internal", "keys", &args.name], &[], None)?;
    show(args.format, &answer, |answer: RevokedKey| match answer.configured {
        false => format!("revoked {}\n", args.name),
        true => {
            format!("revoked the runtime key {0}; the configuration has a key {0}, which is still good\n", args.name)
        }
    })
}

fn list_keys(args: &ListArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "keys"], &[], None)?;
    show(args.format, &answer, |answer: Keys| {
        let rows = answer.keys.iter().map(|key| {
            let until: Vec<_> = key.old.iter().map(|old| &old.until).collect();
            vec![
                clean(key.name.as_str()),
                clean(key.source.as_str()),
                clean(&key.sha256_prefix),
                list(&key.rules.permissions),
                list(&key.rules.allow_from),
                cell(key.rules.rate.as_ref()),
                cell(key.rules.burst.as_ref()),
                cell(key.created.as_ref()),
                cell(key.expires.as_ref()),
                list(&until),
                cell(key.blocked.as_ref()),
            ]
        });
        let rows: Vec<_> = rows.collect();
        let header = [
            "NAME",
            "SOURCE",
            "SHA256",
            "PERMISSIONS",
            "FROM",
            "RATE",
            "BURST",
            "CREATED",
            "EXPIRES",
            "OLD UNTIL",
            "BLOCKED",
        ];
        if answer.gateways > 1 && answer.keys.iter().any(|key| key.rules.rate.is_some()) {
            let how = if answer.limits_shared { "divided among all gateways" } else { "each gateway's own" };
            note(&format!("rates are {how}: {} gateways share the registry", answer.gateways));
        }
        table(&header, &rows)
    })
}

fn show_key(format: Format, answer: &Answer) -> Result<()> {
    show(format, answer, |answer: IssuedKey| format!("{}\n", clean(&answer.key)))
}

fn texts(values: &[impl ToString]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}
