//! `[internal]`: the listener for services and operators.

use std::net::SocketAddr;

use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::reading::FileTables;
use crate::config::types::{InternalConfig, ServerConfig};
use crate::config::value::{addresses, advertised, boolean, digest, file, hosts, networks, sourced};

pub(super) fn visit(keys: &mut impl TableVisitor) -> InternalConfig {
    keys.table("internal", "The internal listener: registrations, heartbeats, operators.");
    InternalConfig {
        listen: keys.value(
            Key {
                name: "internal.listen",
                default: DefaultValue::Toml(r#""127.0.0.1:8081""#),
                range: "at least one address with port",
                reload: ReloadClass::Restart,
                alias: Some("EDGEPROXY_API_LISTEN_ADDR"),
                text: "Where services and operators connect: one address, or a list. Change it where services run on \
                       other machines. Beyond loopback it should have `internal.tls_cert`; never a public address.",
                ..Key::ROW
            },
            addresses,
            |config| &config.internal.listen,
        ),
        advertise: keys.optional(
            Key {
                name: "internal.advertise",
                default: DefaultValue::absent(
                    "the first address of `internal.listen` that is neither loopback nor unspecified",
                    r#""http://10.0.0.7:8081""#,
                ),
                range: "`http(s)://host:port`",
                reload: ReloadClass::Restart,
                text: "Where clients on other machines find this listener, as `GET /internal/nodes` tells them. Set it where \
                       furt listens on all addresses, or behind a TLS end, a name or a mapped port.",
                ..Key::ROW
            },
            advertised,
            |config| config.internal.advertise.as_ref(),
        ),
        operators_from: keys.value(
            Key {
                name: "internal.operators_from",
                default: DefaultValue::Toml(r#"["127.0.0.0/8", "::1"]"#),
                range: "networks",
                text: "Addresses that may operate: see keys, routes and metrics, remove any service. Add the operators' \
                       network. With `[[operators]]` an address alone suffices no more.",
                ..Key::ROW
            },
            networks,
            |config| &config.internal.operators_from,
        ),
        operator_token_sha256: keys.optional(
            Key {
                name: "internal.operator_token_sha256",
                default: DefaultValue::absent(
                    "none",
                    r#""0000000000000000000000000000000000000000000000000000000000000000""#,
                ),
                range: "digest, or `vault:PATH#KEY`",
                text: "SHA-256 of a token that operators must send as well, as `Authorization: Bearer` \
                       (`printf %s TOKEN | sha256sum`), or where [Vault](vault.md) has it. Set it where others share the network.",
                ..Key::ROW
            },
            sourced(digest),
            |config| config.internal.operator_token_sha256.as_ref(),
        ),
        hosts: keys.value(
            Key {
                name: "internal.hosts",
                default: DefaultValue::Toml("[]"),
                range: "host names",
                text: "Host names that the listener answers to, in addition to addresses and `localhost`. Add the name \
                       that services use for furt.",
                ..Key::ROW
            },
            hosts,
            |config| &config.internal.hosts,
        ),
        dashboard: keys.value(
            Key {
                name: "internal.dashboard",
                default: DefaultValue::Toml("true"),
                range: "true, false",
                text: "Whether [pages for browsers](dashboard.md) are there (`/ui/`), for operators to look at.",
                ..Key::ROW
            },
            boolean,
            |config| &config.internal.dashboard,
        ),
        backends_api: keys.value(
            Key {
                name: "internal.backends_api",
                default: DefaultValue::Toml("true"),
                range: "true, false",
                alias: Some("EDGEPROXY_API_ENABLED"),
                text: "Whether [edgeProxy's API](registering.md#the-edgeproxy-api) for Auto-Discovery (`/api/v1`) is \
                       there.",
                ..Key::ROW
            },
            boolean,
            |config| &config.internal.backends_api,
        ),
        etcd_v2_api: keys.value(
            Key {
                name: "internal.etcd_v2_api",
                default: DefaultValue::Toml("true"),
                range: "true, false",
                text: "Whether the part of etcd's v2 API is there (`/v2/keys`, `/v2/machines`) that the npm package \
                       [etcd-registry](registering.md#coming-from-etcd-registry) uses.",
                ..Key::ROW
            },
            boolean,
            |config| &config.internal.etcd_v2_api,
        ),
        tls_cert: keys.optional(
            tls_key(
                "internal.tls_cert",
                r#""/etc/furt/internal.pem""#,
                "Its certificate with the chain. With one every address of `internal.listen` is [under TLS](edge.md#the-internal-listener) \
                 but those of loopback.",
            ),
            file,
            |config| config.internal.tls_cert.as_ref(),
        ),
        tls_key: keys.optional(
            tls_key(
                "internal.tls_key",
                r#""/etc/furt/internal.key""#,
                "The private key of `internal.tls_cert`. Nobody but its owner and its group may read it.",
            ),
            file,
            |config| config.internal.tls_key.as_ref(),
        ),
        tls_client_ca: keys.optional(
            tls_key(
                "internal.tls_client_ca",
                r#""/etc/furt/clients.pem""#,
                "Authorities of the certificates that clients may show in place of a token, see \
                 `grants.certificate_sha256`. A client that shows none is let in, and sends its token.",
            ),
            file,
            |config| config.internal.tls_client_ca.as_ref(),
        ),
    }
}

/// A row of a file of TLS.
const fn tls_key(name: &'static str, example: &'static str, text: &'static str) -> Key {
    let default = DefaultValue::absent("none", example);
    Key { name, default, range: "a PEM file", reload: ReloadClass::Restart, text, ..Key::ROW }
}

pub(super) fn check(tables: &FileTables<'_, '_>, internal: &InternalConfig, server: &ServerConfig) {
    if tables.is_invalid("internal.listen") {
        return;
    }
    if internal.listen.is_empty() {
        tables.refuse("internal.listen", "is empty; must be at least one address, such as \"127.0.0.1:8081\"");
    }
    for (index, own) in internal.listen.iter().enumerate() {
        for earlier in internal.listen.iter().take(index).filter(|earlier| is_one_socket(**earlier, *own)) {
            let message = match own == earlier {
                true => format!("names {own} twice; must name each address once"),
                false => format!("names {earlier} and {own}, which overlap; must name one of them, or another port"),
            };
            tables.refuse("internal.listen", message);
        }
    }
    if !tables.is_invalid("server.listen") {
        check_public(tables, internal, server);
    }
}

/// Reports each address of the internal listener that the public listener has as well.
fn check_public(tables: &FileTables<'_, '_>, internal: &InternalConfig, server: &ServerConfig) {
    let pairs = internal.listen.iter().flat_map(|own| server.listen.iter().map(move |public| (own, public)));
    for (own, public) in pairs.filter(|(own, public)| is_same_listener(**own, **public)) {
        if tables.is_set("internal.listen") {
            let message = format!("{own} is server.listen {public} too; must have a port of its own");
            tables.refuse("internal.listen", message);
        } else {
            let message = format!("{public} is internal.listen {own} too; must have a port of its own");
            tables.refuse("server.listen", message);
        }
    }
}

/// Whether a client of one listener could reach the other by mistake. Port 0 is a free port each time.
fn is_same_listener(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() != 0 && one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

/// Whether only one of two addresses can be listened on. An IPv6 listener takes IPv6 only, so `0.0.0.0` and `[::]` are two.
pub(super) fn is_one_socket(one: SocketAddr, other: SocketAddr) -> bool {
    one.is_ipv4() == other.is_ipv4() && is_same_listener(one, other)
}
