//! `grant`: says what a service may register, ends that, and lists grants.

use anyhow::Result;
use clap::Args;
use furt_api::grants::{Grant, GrantRules, Grants, RemovedGrant, SetGrant};
use furt_api::keys::KeySource;
use furt_core::model::{AuthMethod, CidrSet, Host, OriginPattern, Pattern, PermissionRule, Sha256Digest};

use super::client::{ask, show};
use super::output::{cell, clean, list, note, table, who};
use super::{Format, Target};

#[derive(Args)]
pub(super) struct GrantArgs {
    /// The service's name, registered or not; without it, all grants are listed
    service: Option<String>,
    /// What its routes may ask for, such as "comments:read" or "comments:*"; more than once for more
    #[arg(long = "permission", value_name = "PERMISSION", requires = "service", value_parser = checked(PermissionRule::try_new))]
    permissions: Vec<String>,
    /// The pattern that its routes must lie within, such as "/api/comments/*"; more than once for more
    #[arg(long = "path", value_name = "PATTERN", requires = "service", value_parser = checked(Pattern::try_written))]
    paths: Vec<String>,
    /// A host that its routes may be bound to; more than once for more
    #[arg(long = "host", value_name = "HOST", requires = "service", value_parser = checked(Host::try_new))]
    hosts: Vec<String>,
    /// Where its instances may be, such as "10.1.0.0/16"; more than once for more; wherever any may if left out
    #[arg(long = "upstream", value_name = "ADDRESSES", requires = "service", value_parser = checked(network))]
    upstreams: Vec<String>,
    /// Let its routes be public: need no key
    #[arg(long, requires = "service")]
    public: bool,
    /// An origin that its cors may name, such as "https://*.example.org"; more than once for more
    #[arg(long = "origin", value_name = "ORIGIN", requires = "service", value_parser = checked(origin))]
    origins: Vec<String>,
    /// A method of authentication that its routes may take: "key", or the name of an issuer or of a server; only "key" if left out
    #[arg(long = "auth", value_name = "METHOD", requires = "service", value_parser = checked(AuthMethod::try_new))]
    auth: Vec<String>,
    /// The SHA-256 of the token that it must send
    #[arg(long, value_name = "DIGEST", requires = "service", value_parser = checked(Sha256Digest::try_from_hex))]
    token_sha256: Option<String>,
    /// The SHA-256 of the certificate in DER that it must show
    #[arg(long, value_name = "DIGEST", requires = "service", value_parser = checked(Sha256Digest::try_from_hex))]
    certificate_sha256: Option<String>,
    /// Let it register nothing by this grant any more
    #[arg(long, requires = "service", conflicts_with_all = ["permissions", "paths", "hosts", "upstreams", "public", "origins", "auth", "token_sha256", "certificate_sha256"])]
    off: bool,
    #[command(flatten)]
    target: Target,
    #[command(flatten)]
    format: Format,
}

/// The text itself, once a type has taken it.
fn checked<T, E: ToString>(
    parse: impl Fn(&str) -> Result<T, E> + Clone + Send + Sync + 'static,
) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| parse(text).map(|_| text.to_owned()).map_err(|why| why.to_string())
}

fn network(text: &str) -> Result<CidrSet, furt_core::model::Invalid> {
    CidrSet::try_new(&[text])
}

fn origin(text: &str) -> Result<Option<OriginPattern>, furt_core::model::Invalid> {
    if text == "*" { Ok(None) } else { OriginPattern::try_new(text).map(Some) }
}

pub(super) fn run(args: &GrantArgs) -> Result<()> {
    let rules = rules(args);
    match args.service.as_deref() {
        None => list_all(args),
        Some(service) if args.off => off(args, service),
        Some(service) if rules == GrantRules::default() => show_one(args, service),
        Some(service) => set(args, service, &rules),
    }
}

fn rules(args: &GrantArgs) -> GrantRules {
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    GrantRules {
        permissions: args.permissions.clone(),
        paths: args.paths.clone(),
        hosts: args.hosts.clone(),
        upstreams: some(&args.upstreams),
        public: args.public,
        origins: args.origins.clone(),
        auth: some(&args.auth),
        token_sha256: args.token_sha256.clone(),
        certificate_sha256: args.certificate_sha256.clone(),
    }
}

fn set(args: &GrantArgs, service: &str, rules: &GrantRules) -> Result<()> {
    let answer = ask(&args.target, "PUT", &path(service), &[], Some(serde_json::to_string(rules)?))?;
    show(args.format, &answer, |answer: SetGrant| {
        warn(&answer.warnings);
        format!("{} may register what it is granted\n{}", clean(service), rows(&[answer.grant]))
    })
}

fn off(args: &GrantArgs, service: &str) -> Result<()> {
    let answer = ask(&args.target, "DELETE", &path(service), &[], None)?;
    show(args.format, &answer, |answer: RemovedGrant| {
        warn(&answer.warnings);
        format!("{} has no grant of run time any more\n", clean(service))
    })
}

fn warn(warnings: &[String]) {
    warnings.iter().for_each(|warning| note(&clean(warning)));
}

fn show_one(args: &GrantArgs, service: &str) -> Result<()> {
    let answer = ask(&args.target, "GET", &path(service), &[], None)?;
    show(args.format, &answer, |grant: Grant| rows(&[grant]))
}

fn list_all(args: &GrantArgs) -> Result<()> {
    let answer = ask(&args.target, "GET", &["internal", "grants"], &[], None)?;
    show(args.format, &answer, |answer: Grants| match answer.grants.as_slice() {
        [] => "no service has a grant\n".to_owned(),
        grants => rows(grants),
    })
}

fn rows(grants: &[Grant]) -> String {
    let row = |one: &Grant| {
        let source = match one.source {
            KeySource::Config => "config".to_owned(),
            _ => one.since.as_ref().map_or_else(|| "runtime".to_owned(), |since| clean(since.as_str())),
        };
        let by = one.from.as_ref().map_or_else(|| "-".to_owned(), |from| who(from, one.by.as_deref()));
        let guarded = match (one.token, one.certificate) {
            (false, false) => "address",
            (true, false) => "token",
            (false, true) => "certificate",
            (true, true) => "token or certificate",
        };
        let permissions = match (one.public, one.permissions.is_empty()) {
            (true, true) => "public".to_owned(),
            (true, false) => format!("{}, public", list(&one.permissions)),
            (false, _) => list(&one.permissions),
        };
        let upstreams = one.upstreams.as_ref().map(|all| list(all));
        vec![
            clean(one.service.as_str()),
            source,
            by,
            guarded.to_owned(),
            list(&one.paths),
            permissions,
            list(&one.hosts),
            cell(upstreams.as_ref()),
            cell(one.blocked.as_ref()),
        ]
    };
    let heads = ["SERVICE", "SINCE", "BY", "HOLDER", "PATHS", "PERMISSIONS", "HOSTS", "UPSTREAMS", "BLOCKED"];
    table(&heads, &grants.iter().map(row).collect::<Vec<_>>())
}

fn path(service: &str) -> [&str; 4] {
    ["internal", "services", service, "grant"]
}
