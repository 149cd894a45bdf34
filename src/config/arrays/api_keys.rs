//! `[[api_keys]]`: the keys of clients.

use std::num::NonZeroU32;

use super::earlier::EarlierEntries;
use super::permissions;
use crate::config::key::{DefaultValue, EntryVisitor, Key};
use crate::config::location::Lines;
use crate::config::section::Section;
use crate::config::types::ApiKeyConfig;
use crate::config::value::{burst, digest, networks, text};
use furt_core::model::{CidrSet, KeyName, KeySpec, PermissionSet, Rate, RateLimit, Sha256Digest};

pub(super) const NAME: &str = "api_keys";

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct ApiKeyValues {
    name: Option<KeyName>,
    sha256: Option<Sha256Digest>,
    certificate_sha256: Option<Sha256Digest>,
    permissions: Option<PermissionSet>,
    allow_from: Option<CidrSet>,
    rate: Option<Rate>,
    burst: Option<NonZeroU32>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> ApiKeyValues {
    keys.array(
        NAME,
        "API keys: one table for each. `furt keys new --offline` makes a key and prints these lines for it, `--add-to \
         FILE` adds them. Keys for clients that come and go need no lines here: `furt keys new` makes them while furt \
         runs.",
    );
    ApiKeyValues {
        name: keys.required(
            Key {
                name: "api_keys.name",
                default: DefaultValue::required(r#""website""#),
                range: "1 to 63 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `:`, `@`, `-`, not `.` or `..`; unique",
                text: "What services are told in `X-API-Key-Name`.",
                ..Key::ROW
            },
            text("a name", KeyName::try_new),
        ),
        sha256: keys.optional(
            Key {
                name: "api_keys.sha256",
                default: DefaultValue::required(
                    r#""0000000000000000000000000000000000000000000000000000000000000000""#,
                ),
                range: "digest; unique",
                text: "SHA-256 of the key. An entry has it or `certificate_sha256`.",
                ..Key::ROW
            },
            digest,
        ),
        certificate_sha256: keys.optional(
            Key {
                name: "api_keys.certificate_sha256",
                default: DefaultValue::Absent { means: "none", example: None },
                range: "digest; unique",
                text: "SHA-256 of a [client certificate](client-certificates.md#api-keys) in DER that stands for a key, instead of \
                       `sha256` (`openssl x509 -in FILE -outform der | sha256sum`).",
                ..Key::ROW
            },
            digest,
        ),
        permissions: keys.required(
            Key {
                name: "api_keys.permissions",
                default: DefaultValue::required(r#"["comments:read", "mail:*"]"#),
                range: "an array of `\"comments:read\"`, `\"comments:*\"`, `\"*\"`",
                text: "What the key may do: single permissions, `\"comments:*\"` for all below, or `\"*\"` for all.",
                ..Key::ROW
            },
            permissions,
        ),
        allow_from: keys.optional(
            Key {
                name: "api_keys.allow_from",
                default: DefaultValue::absent("anywhere", r#"["10.0.0.0/8"]"#),
                range: "networks",
                text: "From which addresses; an empty list is anywhere.",
                ..Key::ROW
            },
            networks,
        ),
        rate: keys.optional(
            Key {
                name: "api_keys.rate",
                default: DefaultValue::absent("unlimited", r#""100/s""#),
                range: "rate",
                text: "How many requests.",
                ..Key::ROW
            },
            text("a rate", Rate::try_new),
        ),
        burst: keys.optional(
            Key {
                name: "api_keys.burst",
                default: DefaultValue::absent("one second's worth of `rate`, at least 1", "200"),
                range: "1 to 1,000,000",
                text: "How many of them may come at once; only with `rate`.",
                ..Key::ROW
            },
            burst,
        ),
    }
}

/// Reads all entries. Names and digests are unique.
pub(super) fn read(entries: Vec<Section<'_>>, lines: &Lines<'_>) -> Vec<ApiKeyConfig> {
    let (mut names, mut digests) = (EarlierEntries::new(lines), EarlierEntries::new(lines));
    entries.into_iter().filter_map(|entry| read_one(entry, &mut names, &mut digests)).collect()
}

fn read_one(
    mut entry: Section<'_>,
    names: &mut EarlierEntries<'_, KeyName>,
    digests: &mut EarlierEntries<'_, Sha256Digest>,
) -> Option<ApiKeyConfig> {
    let ApiKeyValues { name, sha256, certificate_sha256, permissions, allow_from, rate, burst } = visit(&mut entry);
    entry.finish();
    match (entry.is_set("sha256"), entry.is_set("certificate_sha256")) {
        (false, false) => entry.refuse("sha256", "is missing; every [[api_keys]] needs it, or certificate_sha256"),
        (true, true) => {
            entry.refuse(
                "certificate_sha256",
                "stands beside sha256; must be in an entry of its own, with a name of its own",
            );
        }
        _ => {}
    }
    if entry.is_set("burst") && !entry.is_set("rate") {
        entry.refuse("burst", "stands without rate; must be left out");
    }
    if let Some(name) = &name
        && let Some(line) = names.duplicate(name.clone(), entry.at("name"))
    {
        entry.refuse("name", format!("\"{name}\" is the key in line {line} already; must be unique"));
    }
    if let Some(sha256) = sha256
        && let Some(line) = digests.duplicate(sha256, entry.at("sha256"))
    {
        entry.refuse("sha256", format!("is the same secret as in line {line}; must be unique"));
    }
    let of_certificate = certificate_sha256.map(KeySpec::digest_of_certificate);
    if let Some(sha256) = of_certificate
        && let Some(line) = digests.duplicate(sha256, entry.at("certificate_sha256"))
    {
        entry.refuse("certificate_sha256", format!("is the same certificate as in line {line}; must be unique"));
    }
    let rate = rate.map(|rate| RateLimit::new(rate, burst));
    let allow_from = allow_from.unwrap_or_default();
    Some(ApiKeyConfig { name: name?, sha256: sha256.or(of_certificate)?, permissions: permissions?, allow_from, rate })
}
