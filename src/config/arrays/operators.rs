//! `[[operators]]`: who may do what on the internal listener.

use super::earlier::EarlierEntries;
use crate::config::key::{DefaultValue, EntryVisitor, Key};
use crate::config::location::Lines;
use crate::config::section::Section;
use crate::config::sourced::Sourced;
use crate::config::types::{Config, OperatorConfig};
use crate::config::value::{digest, networks, one_of, sourced, text};
use furt_core::model::{CidrSet, Invalid, OperatorName, Role, Sha256Digest};

pub(super) const NAME: &str = "operators";

/// The most operators: each call is compared with all of them.
const MAX_OPERATORS: usize = 64;

const ROLES: &[(&str, Role)] =
    &[("read", Role::Read), ("keys", Role::Keys), ("operate", Role::Operate), ("admin", Role::Admin)];

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct OperatorValues {
    name: Option<OperatorName>,
    role: Option<Role>,
    token_sha256: Option<Sourced<Sha256Digest>>,
    certificate_sha256: Option<Sha256Digest>,
    from: Option<CidrSet>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> OperatorValues {
    keys.array(
        NAME,
        "Operators with a name and a role each, see [operating.md](operating.md#operators). With one of them nobody operates by an \
         address alone any more. At most 64.",
    );
    OperatorValues {
        name: keys.required(
            Key {
                name: "operators.name",
                default: DefaultValue::required(r#""prometheus""#),
                range: "1 to 63 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `@`, `-`, not `operator`; unique",
                text: "What logs and answers call the operator.",
                ..Key::ROW
            },
            text("a name", own_name),
        ),
        role: keys.required(
            Key {
                name: "operators.role",
                default: DefaultValue::required(r#""read""#),
                range: "`\"read\"`, `\"keys\"`, `\"operate\"`, `\"admin\"`",
                text: "What the operator may do: look; look and manage API keys; look and act on services; everything.",
                ..Key::ROW
            },
            one_of(ROLES),
        ),
        token_sha256: keys.optional(
            Key {
                name: "operators.token_sha256",
                default: DefaultValue::absent(
                    "none",
                    r#""0000000000000000000000000000000000000000000000000000000000000001""#,
                ),
                range: "digest, or `vault:PATH#KEY`; unique",
                text: "SHA-256 of the token that the operator sends as `Authorization: Bearer` (`printf %s TOKEN | sha256sum`), or where \
                       [Vault](vault.md) has it. Without `certificate_sha256` it is required.",
                ..Key::ROW
            },
            sourced(digest),
        ),
        certificate_sha256: keys.optional(
            Key {
                name: "operators.certificate_sha256",
                default: DefaultValue::absent(
                    "none",
                    r#""0000000000000000000000000000000000000000000000000000000000000002""#,
                ),
                range: "digest; unique",
                text: "SHA-256 of the certificate in DER that the operator shows, signed by `internal.tls_client_ca` \
                       (`openssl x509 -in FILE -outform der | sha256sum`). Beside `token_sha256` either will do.",
                ..Key::ROW
            },
            digest,
        ),
        from: keys.optional(
            Key {
                name: "operators.from",
                default: DefaultValue::absent("`internal.operators_from`", r#"["10.0.0.5"]"#),
                range: "networks",
                text: "Addresses that the operator may come from.",
                ..Key::ROW
            },
            networks,
        ),
    }
}

/// What earlier entries have.
struct Earlier<'l> {
    names: EarlierEntries<'l, OperatorName>,
    tokens: EarlierEntries<'l, Sha256Digest>,
    certificates: EarlierEntries<'l, Sha256Digest>,
}

/// Reads all entries. `[internal]` of `config` must be read already.
pub(super) fn read(entries: Vec<Section<'_>>, lines: &Lines<'_>, config: &Config) -> Vec<OperatorConfig> {
    let mut earlier = Earlier {
        names: EarlierEntries::new(lines),
        tokens: EarlierEntries::new(lines),
        certificates: EarlierEntries::new(lines),
    };
    let mut operators = Vec::new();
    for (index, entry) in entries.into_iter().enumerate() {
        operators.extend(read_one(entry, index, &mut earlier, config));
    }
    operators
}

fn read_one(
    mut entry: Section<'_>,
    index: usize,
    earlier: &mut Earlier<'_>,
    config: &Config,
) -> Option<OperatorConfig> {
    let values = visit(&mut entry);
    entry.finish();
    if index == MAX_OPERATORS {
        entry.refuse_whole(format!("is one too many; must be at most {MAX_OPERATORS} operators"));
    }
    let (name, role) = (values.name?, values.role?);
    if let Some(line) = earlier.names.duplicate(name.clone(), entry.at("name")) {
        entry.refuse("name", format!("\"{name}\" is the operator in line {line} already; must be unique"));
    }
    let of_all = config.internal.operator_token_sha256.as_ref().and_then(Sourced::here);
    match values.token_sha256.as_ref().and_then(Sourced::here) {
        Some(token) if of_all == Some(token) => {
            let why = "is internal.operator_token_sha256 already; must be a token of this operator alone";
            entry.refuse("token_sha256", why.to_owned());
        }
        Some(token) => {
            if let Some(line) = earlier.tokens.duplicate(*token, entry.at("token_sha256")) {
                entry.refuse("token_sha256", format!("is in line {line} already; must be unique"));
            }
        }
        None => {}
    }
    if let Some(certificate) = values.certificate_sha256
        && let Some(line) = earlier.certificates.duplicate(certificate, entry.at("certificate_sha256"))
    {
        entry.refuse("certificate_sha256", format!("is in line {line} already; must be unique"));
    }
    if values.token_sha256.is_none() && values.certificate_sha256.is_none() {
        entry.refuse_whole("has neither token_sha256 nor certificate_sha256; must have one".to_owned());
        return None;
    }
    if values.token_sha256.is_none() && config.internal.tls_client_ca.is_none() {
        let why = "is of no use alone: nobody is asked for a certificate; internal.tls_client_ca must be set as well";
        entry.refuse("certificate_sha256", why.to_owned());
    }
    Some(OperatorConfig {
        name,
        role,
        token_sha256: values.token_sha256,
        certificate_sha256: values.certificate_sha256,
        from: values.from,
    })
}

/// A name that nobody has without an entry.
fn own_name(text: &str) -> Result<OperatorName, Invalid> {
    let name = OperatorName::try_new(text).ok().filter(|name| *name != OperatorName::unnamed());
    name.ok_or_else(|| Invalid::new("must be 1 to 63 of A-Z, a-z, 0-9, '.', '_', '@', '-', and not \"operator\""))
}
