//! `[[issuers]]`: who signs tokens that callers come with. `auth` fetches their keys and checks the tokens.

mod values;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use http::HeaderName;

use super::earlier::EarlierEntries;
use super::permissions;
use crate::config::key::{DefaultValue, EntryVisitor, Key};
use crate::config::location::Lines;
use crate::config::section::Section;
use crate::config::types::{ClaimGrants, IssuerConfig, JwksSource, TokenAlgorithm};
use crate::config::value::{file, text};
use furt_core::model::{PermissionSet, ProviderName};

pub(super) const NAME: &str = "issuers";

/// The most issuers: each has keys that are fetched, and the issuer of each token is looked for among them.
const MAX_ISSUERS: usize = 16;
const CLOCK_SKEW: Duration = Duration::from_secs(30);
const REFRESH: Duration = Duration::from_secs(600);
const CLAIM: &str = "scope";

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct IssuerValues {
    name: Option<ProviderName>,
    issuer: Option<String>,
    audience: Option<Vec<String>>,
    jwks: Option<JwksSource>,
    ca: Option<PathBuf>,
    algorithms: Option<Vec<TokenAlgorithm>>,
    types: Option<Vec<String>>,
    clock_skew: Option<Duration>,
    refresh: Option<Duration>,
    keep: Option<PathBuf>,
    claim: Option<String>,
    permissions: Option<PermissionSet>,
    map: Option<BTreeMap<String, PermissionSet>>,
    headers: Option<BTreeMap<String, HeaderName>>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> IssuerValues {
    keys.array(
        NAME,
        "Issuers of tokens: who signs JSON Web Tokens that callers send as `Authorization: Bearer`. A route takes them where its `auth` \
         names the issuer; [Issuers](auth.md#issuers) has more. At most 16.",
    );
    IssuerValues {
        name: keys.required(
            Key {
                name: "issuers.name",
                default: DefaultValue::required(r#""login""#),
                range: "1 to 63 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`, not begun with `.`, not `key`; unique",
                text: "What `auth` calls it, and what services are told in `X-Auth-Issuer`.",
                ..Key::ROW
            },
            text("a name", ProviderName::try_new),
        ),
        issuer: keys.required(
            Key {
                name: "issuers.issuer",
                default: DefaultValue::required(r#""https://login.example.org""#),
                range: "1 to 512 bytes; unique",
                text: "The claim `iss` of its tokens, byte for byte.",
                ..Key::ROW
            },
            text("an issuer", values::issuer),
        ),
        audience: keys.required(
            Key {
                name: "issuers.audience",
                default: DefaultValue::required(r#"["https://api.example.org"]"#),
                range: "an array of 1 to 32 texts",
                text: "Whom its tokens are for: one of these must be in the claim `aud`.",
                ..Key::ROW
            },
            values::audience,
        ),
        jwks: keys.required(
            Key {
                name: "issuers.jwks",
                default: DefaultValue::required(r#""https://login.example.org/keys""#),
                range: "an https url, or http on loopback; an absolute path",
                text: "Where its public keys are, as a JSON Web Key Set.",
                ..Key::ROW
            },
            values::jwks,
        ),
        ca: keys.optional(
            Key {
                name: "issuers.ca",
                default: DefaultValue::absent("the system's", r#""/etc/furt/login-ca.pem""#),
                range: "a PEM file",
                text: "Certificate authorities of the server of an https `jwks`.",
                ..Key::ROW
            },
            file,
        ),
        algorithms: keys.optional(
            Key {
                name: "issuers.algorithms",
                default: DefaultValue::absent(r#"`["RS256", "ES256", "EdDSA"]`"#, r#"["RS256", "ES256", "EdDSA"]"#),
                range: "an array of `\"RS256\"`, `\"RS384\"`, `\"RS512\"`, `\"PS256\"`, `\"PS384\"`, `\"PS512\"`, `\"ES256\"`, `\"ES384\"`, \
                        `\"EdDSA\"`",
                text: "The algorithms that signatures of its tokens may have.",
                ..Key::ROW
            },
            values::algorithms,
        ),
        types: keys.optional(
            Key {
                name: "issuers.types",
                default: DefaultValue::absent(r#"`["at+jwt"]`"#, r#"["at+jwt", "jwt"]"#),
                range: "an array of 1 to 8 types",
                text: "The types (`typ`) that its tokens may have. `\"jwt\"` takes tokens without a type as well. Set it where the issuer \
                       does not follow RFC 9068.",
                ..Key::ROW
            },
            values::types,
        ),
        clock_skew: keys.optional(
            Key {
                name: "issuers.clock_skew",
                default: DefaultValue::absent("`\"30s\"`", r#""30s""#),
                range: "0 to 5 m",
                text: "How far the clocks of issuer and furt may differ.",
                ..Key::ROW
            },
            values::clock_skew,
        ),
        refresh: keys.optional(
            Key {
                name: "issuers.refresh",
                default: DefaultValue::absent("`\"10m\"`", r#""10m""#),
                range: "10 s to 1 day",
                text: "How often its keys are fetched. A token with a new key is a reason to fetch them before.",
                ..Key::ROW
            },
            values::refresh,
        ),
        keep: keys.optional(
            Key {
                name: "issuers.keep",
                default: DefaultValue::absent("beside a store on disk, and nowhere beside another", r#""/var/lib/furt/login.json""#),
                range: "a file; unique",
                text: "Where its last good keys are kept: furt starts with them while the issuer is away.",
                ..Key::ROW
            },
            file,
        ),
        claim: keys.optional(
            Key {
                name: "issuers.claim",
                default: DefaultValue::absent("`\"scope\"`", r#""realm_access.roles""#),
                range: "1 to 256 bytes",
                text: "The claim with words that are permissions: a text with blanks between them, or an array. Dots lead into objects.",
                ..Key::ROW
            },
            text("a claim", values::claim),
        ),
        permissions: keys.optional(
            Key {
                name: "issuers.permissions",
                default: DefaultValue::absent("none", r#"["comments:*"]"#),
                range: "as for keys",
                text: "Words within these are permissions as they are.",
                ..Key::ROW
            },
            permissions,
        ),
        map: keys.optional(
            Key {
                name: "issuers.map",
                default: DefaultValue::absent("none", r#"{ moderator = ["comments:*"] }"#),
                range: "a table of words and their permissions",
                text: "What other words stand for.",
                ..Key::ROW
            },
            values::map,
        ),
        headers: keys.optional(
            Key {
                name: "issuers.headers",
                default: DefaultValue::absent("none", r#"{ email = "X-User-Email" }"#),
                range: "a table of claims and names of headers, at most 32",
                text: "Claims that services are told, by the headers that tell them.",
                ..Key::ROW
            },
            values::headers,
        ),
    }
}

/// Those of earlier entries.
struct Earlier<'l> {
    names: EarlierEntries<'l, ProviderName>,
    issuers: EarlierEntries<'l, String>,
    files: EarlierEntries<'l, PathBuf>,
}

/// Reads all entries. Names, issuers and files are unique.
pub(super) fn read(entries: Vec<Section<'_>>, lines: &Lines<'_>) -> Vec<IssuerConfig> {
    let mut earlier = Earlier {
        names: EarlierEntries::new(lines),
        issuers: EarlierEntries::new(lines),
        files: EarlierEntries::new(lines),
    };
    entries.into_iter().enumerate().filter_map(|(index, entry)| read_one(entry, index, &mut earlier)).collect()
}

fn read_one(mut entry: Section<'_>, index: usize, earlier: &mut Earlier<'_>) -> Option<IssuerConfig> {
    let values = visit(&mut entry);
    entry.finish();
    if index == MAX_ISSUERS {
        entry.refuse_whole(format!("is one too many; must be at most {MAX_ISSUERS} issuers"));
    }
    check_unique(&values, &entry, earlier);
    check_source(values.jwks.as_ref(), &entry);
    for name in ["jwks", "ca", "keep"] {
        entry.record_location(name, format!("{NAME}[{index}].{name}"));
    }
    let usual = || vec![TokenAlgorithm::Rs256, TokenAlgorithm::Es256, TokenAlgorithm::EdDsa];
    Some(IssuerConfig {
        name: values.name?,
        issuer: values.issuer?,
        audience: values.audience?,
        jwks: values.jwks?,
        ca: values.ca,
        algorithms: values.algorithms.unwrap_or_else(usual),
        types: values.types.unwrap_or_else(|| vec!["at+jwt".to_owned()]),
        keep: values.keep,
        clock_skew: values.clock_skew.unwrap_or(CLOCK_SKEW),
        refresh: values.refresh.unwrap_or(REFRESH),
        grants: ClaimGrants {
            claim: Some(values.claim.unwrap_or_else(|| CLAIM.to_owned())),
            permissions: values.permissions.unwrap_or_default(),
            map: values.map.unwrap_or_default(),
        },
        headers: values.headers.unwrap_or_default(),
    })
}

fn check_unique(values: &IssuerValues, entry: &Section<'_>, earlier: &mut Earlier<'_>) {
    if let Some(name) = &values.name
        && let Some(line) = earlier.names.duplicate(name.clone(), entry.at("name"))
    {
        entry.refuse("name", format!("\"{name}\" is the issuer in line {line} already; must be unique"));
    }
    if let Some(issuer) = &values.issuer
        && let Some(line) = earlier.issuers.duplicate(issuer.clone(), entry.at("issuer"))
    {
        entry.refuse("issuer", format!("is the same as in line {line}; must be unique"));
    }
    if let Some(file) = &values.keep
        && let Some(line) = earlier.files.duplicate(file.clone(), entry.at("keep"))
    {
        entry.refuse("keep", format!("is the file of line {line} already; must be a file of its own"));
    }
}

/// Keys that have no use for where the set is.
fn check_source(jwks: Option<&JwksSource>, entry: &Section<'_>) {
    let is_https = matches!(jwks, Some(JwksSource::Url(url)) if url.scheme() == "https");
    if jwks.is_some() && !is_https && entry.is_set("ca") {
        entry.refuse("ca", "has no use without an https url in jwks; must be left out");
    }
    if matches!(jwks, Some(JwksSource::File(_))) && entry.is_set("keep") {
        entry.refuse("keep", "has no use where jwks is a file; must be left out");
    }
}
