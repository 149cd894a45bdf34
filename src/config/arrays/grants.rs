//! `[[grants]]`: what a service may register.

use std::path::PathBuf;
use std::sync::Arc;

use super::earlier::EarlierEntries;
use super::permissions;
use crate::config::key::{DefaultValue, EntryVisitor, Key};
use crate::config::location::Lines;
use crate::config::section::Section;
use crate::config::types::{Config, GrantConfig};
use crate::config::value::{Commas, auth, boolean, digest, file, hosts, list, networks, origins, text};
use furt_core::model::{AuthMethods, CidrSet, Grant, Host, Origins, Pattern, PermissionSet, ServiceName, Sha256Digest};

pub(super) const NAME: &str = "grants";

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct GrantValues {
    service: Option<ServiceName>,
    permissions: Option<PermissionSet>,
    paths: Option<Vec<Pattern>>,
    hosts: Option<Vec<Host>>,
    upstreams: Option<CidrSet>,
    public: Option<bool>,
    token_sha256: Option<Sha256Digest>,
    certificate_sha256: Option<Sha256Digest>,
    ca: Option<PathBuf>,
    origins: Option<Origins>,
    auth: Option<AuthMethods>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> GrantValues {
    keys.array(
        NAME,
        "Grants: what a service may register, one table for each service. What is left out is not granted, unless said \
         otherwise.",
    );
    GrantValues {
        service: keys.required(
            Key {
                name: "grants.service",
                default: DefaultValue::required(r#""sagjan""#),
                range: "a service's name; unique",
                text: "The service that the grant is for.",
                ..Key::ROW
            },
            text("a service's name", ServiceName::try_new),
        ),
        permissions: keys.optional(
            Key {
                name: "grants.permissions",
                default: DefaultValue::absent("none", r#"["comments:*"]"#),
                range: "as for keys",
                text: "Permissions that its routes may ask for.",
                ..Key::ROW
            },
            permissions,
        ),
        paths: keys.optional(
            Key {
                name: "grants.paths",
                default: DefaultValue::absent("none", r#"["/api/comments/*"]"#),
                range: "an array of patterns",
                text: "Patterns that its routes must lie within.",
                ..Key::ROW
            },
            list(Commas::Refused, "a path pattern", Pattern::try_written),
        ),
        hosts: keys.optional(
            Key {
                name: "grants.hosts",
                default: DefaultValue::absent("none, so routes for any host only", r#"["shop.example"]"#),
                range: "host names",
                text: "Hosts that its routes may be bound to.",
                ..Key::ROW
            },
            hosts,
        ),
        upstreams: keys.optional(
            Key {
                name: "grants.upstreams",
                default: DefaultValue::absent("`registration.upstreams`", r#"["10.1.0.0/16"]"#),
                range: "networks",
                text: "Where its instances may be; never beyond `registration.upstreams`.",
                ..Key::ROW
            },
            networks,
        ),
        public: keys.optional(
            Key {
                name: "grants.public",
                default: DefaultValue::absent("`false`", "false"),
                range: "true, false",
                text: "Whether its routes may be public: need no key.",
                ..Key::ROW
            },
            boolean,
        ),
        token_sha256: keys.optional(
            Key {
                name: "grants.token_sha256",
                default: DefaultValue::absent(
                    "none",
                    r#""0000000000000000000000000000000000000000000000000000000000000000""#,
                ),
                range: "digest",
                text: "SHA-256 of a token that it must send; without one, and without `certificate_sha256`, its address alone \
                       decides.",
                ..Key::ROW
            },
            digest,
        ),
        certificate_sha256: keys.optional(
            Key {
                name: "grants.certificate_sha256",
                default: DefaultValue::absent(
                    "none",
                    r#""0000000000000000000000000000000000000000000000000000000000000000""#,
                ),
                range: "digest",
                text: "SHA-256 of a certificate in DER that it must show, signed by `internal.tls_client_ca` \
                       (`openssl x509 -in FILE -outform der | sha256sum`). Beside `token_sha256` either will do.",
                ..Key::ROW
            },
            digest,
        ),
        ca: keys.optional(
            Key {
                name: "grants.ca",
                default: DefaultValue::absent("`upstream.ca`", r#""/etc/furt/shop-ca.pem""#),
                range: "a PEM file",
                text: "The authorities that certificates of its https instances must be of, [instead of \
                       `upstream.ca`](edge.md#towards-services).",
                ..Key::ROW
            },
            file,
        ),
        origins: keys.optional(
            Key {
                name: "grants.origins",
                default: DefaultValue::absent("none", r#"["https://*.example.org"]"#),
                range: "origins, or `[\"*\"]`",
                text: "The most that its [`cors`](routes.md#cors) may name.",
                ..Key::ROW
            },
            origins,
        ),
        auth: keys.optional(
            Key {
                name: "grants.auth",
                default: DefaultValue::absent("`[\"key\"]`", r#"["key", "login"]"#),
                range: "1 to 8 of `\"key\"` and names of `[[issuers]]` and `[[forward_auth]]`",
                text: "The [methods of authentication](auth.md#which-methods-a-route-takes) that its routes may take.",
                ..Key::ROW
            },
            auth,
        ),
    }
}

/// Reads all entries. A service has one grant.
///
/// `known`: whose providers may be named; `None`: that is not looked at.
pub(super) fn read(entries: Vec<Section<'_>>, lines: &Lines<'_>, known: Option<&Config>) -> Vec<GrantConfig> {
    let mut services = EarlierEntries::new(lines);
    entries.into_iter().enumerate().filter_map(|(index, entry)| read_one(entry, index, &mut services, known)).collect()
}

fn read_one(
    mut entry: Section<'_>,
    index: usize,
    services: &mut EarlierEntries<'_, ServiceName>,
    known: Option<&Config>,
) -> Option<GrantConfig> {
    let values = visit(&mut entry);
    entry.finish();
    entry.record_location("ca", format!("grants[{index}].ca"));
    if let Some(why) = known.zip(values.auth.as_ref()).and_then(|(known, auth)| known.unknown_provider(auth)) {
        entry.refuse("auth", why);
    }
    let service = values.service?;
    if let Some(line) = services.duplicate(service.clone(), entry.at("service")) {
        entry.refuse("service", format!("\"{service}\" has the grant in line {line} already; must have one grant"));
    }
    let grant = Grant {
        permissions: values.permissions.unwrap_or_default(),
        paths: values.paths.unwrap_or_default(),
        hosts: values.hosts.unwrap_or_default(),
        upstreams: values.upstreams,
        public: values.public.unwrap_or_default(),
        origins: values.origins.unwrap_or_default(),
        auth: values.auth.unwrap_or_else(AuthMethods::api_key),
        token: values.token_sha256,
        certificate: values.certificate_sha256,
    };
    Some(GrantConfig { service, grant: Arc::new(grant), ca: values.ca })
}
