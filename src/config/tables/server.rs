//! `[server]`: the public listener.

use std::collections::HashSet;

use http::HeaderName;

use super::{MAX_CONNECTIONS, positive};
use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::reading::FileTables;
use crate::config::types::ServerConfig;
use crate::config::value::{Commas, Parsed, Value, Zero, addresses, boolean, duration, list, networks, text, whole};
use crate::header_name::{Folding, HeaderNames, reads_as};
use crate::wire::Pseudonym;
use furt_core::model::Invalid;

/// More workers than any machine has cores.
const MAX_THREADS: u64 = 1024;
/// What a connection's window has room for, if each sends 100 bytes.
const MAX_STREAMS: u64 = 10_000;

pub(super) fn visit(keys: &mut impl TableVisitor) -> ServerConfig {
    keys.table("server", "The public listener: what clients reach.");
    ServerConfig {
        listen: keys.value(
            Key {
                name: "server.listen",
                default: DefaultValue::Toml(r#"["0.0.0.0:7811"]"#),
                range: "at least one address with port",
                reload: ReloadClass::Restart,
                text: "Addresses of the public listener. Change it for another port, one interface only, or IPv6: \
                       `\"[::]:7811\"` takes IPv6 only.",
                ..Key::ROW
            },
            addresses,
            |config| &config.server.listen,
        ),
        grace: keys.value(
            Key {
                name: "server.grace",
                default: DefaultValue::Toml("10"),
                range: "duration, 0 allowed",
                text: "The longest wait for clients after SIGTERM. Raise it where requests are long; 0 cuts them at once.",
                pushable: true,
                ..Key::ROW
            },
            duration(Zero::Allowed),
            |config| &config.server.grace,
        ),
        trusted_proxies: keys.value(
            Key {
                name: "server.trusted_proxies",
                default: DefaultValue::Toml("[]"),
                range: "networks",
                text: "The proxies whose `X-Forwarded-*` and country header are believed. Name the proxies or load \
                       balancers in front of furt, and nothing else.",
                ..Key::ROW
            },
            networks,
            |config| &config.server.trusted_proxies,
        ),
        proxy_protocol_from: keys.value(
            Key {
                name: "server.proxy_protocol_from",
                default: DefaultValue::Toml("[]"),
                range: "networks",
                text: "The load balancers that begin every connection with a [PROXY header](edge.md#proxy-protocol), version 1 or \
                       2, on plain listeners and under TLS. Its address is the client's. From them it must come, and from \
                       nobody else it is taken.",
                ..Key::ROW
            },
            networks,
            |config| &config.server.proxy_protocol_from,
        ),
        proxy_headers: keys.value(
            Key {
                name: "server.proxy_headers",
                default: DefaultValue::Toml(PROXY_HEADERS),
                range: "names of headers",
                text: "Headers that services take for a proxy's word, on the client's address or on the path: removed from \
                       requests that come from elsewhere than `server.trusted_proxies`, whatever sign stands for `-`. Add \
                       those that your services believe; `[]` lets all pass.",
                ..Key::ROW
            },
            header_names,
            |config| &config.server.proxy_headers,
        ),
        via: keys.value(
            Key {
                name: "server.via",
                default: DefaultValue::Toml(r#""furt""#),
                range: "1 to 63 characters of a token; `\"\"`",
                text: "furt's name in the `Via` of requests to services, by which [loops](requests.md#loops) are found. Give \
                       gateways names of their own where more than eight stand in a row. `\"\"`: no `Via`, and loops are not \
                       found; for nginx as a service, which then compresses (or set its `gzip_proxied any`).",
                ..Key::ROW
            },
            text("a name in Via", via),
            |config| &config.server.via,
        ),
        max_connections: keys.value(
            Key {
                name: "server.max_connections",
                default: DefaultValue::Toml("20000"),
                range: "1 to 10,000,000",
                text: "The most client connections at once; more get 503. Fewer if there are \
                       [too few open files](operating.md#limits-of-the-machine). Lower it where memory is short.",
                pushable: true,
                ..Key::ROW
            },
            whole(1..=MAX_CONNECTIONS),
            |config| &config.server.max_connections,
        ),
        max_requests: keys.value(
            Key {
                name: "server.max_requests",
                default: DefaultValue::Toml("20000"),
                range: "1 to 10,000,000",
                text: "The most requests at once, over HTTP/1.1 and HTTP/2 together; more get 503 `overloaded`. Lower it where \
                       memory is short: each takes some 40 KiB.",
                pushable: true,
                ..Key::ROW
            },
            whole(1..=MAX_CONNECTIONS),
            |config| &config.server.max_requests,
        ),
        http2: keys.value(
            Key {
                name: "server.http2",
                default: DefaultValue::Toml("true"),
                range: "true, false",
                text: "Whether clients may speak [HTTP/2](http2.md): by ALPN under TLS, by prior knowledge on plain listeners.",
                ..Key::ROW
            },
            boolean,
            |config| &config.server.http2,
        ),
        max_streams: keys.value(
            Key {
                name: "server.max_streams",
                default: DefaultValue::Toml("100"),
                range: "1 to 10,000",
                text: "The most requests at once of one connection over HTTP/2. Raise it for gateways or meshes in front of furt \
                       that share one connection.",
                pushable: true,
                ..Key::ROW
            },
            whole(1..=MAX_STREAMS),
            |config| &config.server.max_streams,
        ),
        max_connection_age: keys.value(
            Key {
                name: "server.max_connection_age",
                default: DefaultValue::Toml(r#""1h""#),
                range: "duration",
                text: "How old a connection over HTTP/2 becomes, give or take a tenth; its requests are answered first. Lower it \
                       where a load balancer is to spread clients anew soon.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.server.max_connection_age,
        ),
        upgrade_grace: keys.value(
            Key {
                name: "server.upgrade_grace",
                default: DefaultValue::Toml(r#""1h""#),
                range: "duration, 0 allowed",
                text: "How long the process that was replaced by `furt upgrade` waits for its clients. Raise it where WebSockets \
                       and downloads last longer.",
                pushable: true,
                ..Key::ROW
            },
            duration(Zero::Allowed),
            |config| &config.server.upgrade_grace,
        ),
        threads: keys
            .optional(
                Key {
                    name: "server.threads",
                    default: DefaultValue::absent("the number of cores", "4"),
                    range: "1 to 1024",
                    reload: ReloadClass::Restart,
                    text: "Worker threads of the public listener. Lower it where furt shares the machine.",
                    pushable: true,
                    ..Key::ROW
                },
                whole(1..=MAX_THREADS),
                |config| Some(&config.server.threads),
            )
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    }
}

/// Headers by which proxies, CDNs and clouds name the client's address, and two by which the path is another (IIS, Symfony).
const PROXY_HEADERS: &str = r#"["X-Real-IP", "True-Client-IP", "CF-Connecting-IP", "CF-Connecting-IPv6", "Fastly-Client-IP", "Fly-Client-IP", "X-Client-IP", "X-Cluster-Client-IP", "Client-IP", "X-Original-Forwarded-For", "X-Originating-IP", "X-Remote-IP", "X-Remote-Addr", "X-Azure-ClientIP", "X-Azure-SocketIP", "X-AppEngine-User-IP", "X-Envoy-External-Address", "Proxy-Client-IP", "WL-Proxy-Client-IP", "X-Original-URL", "X-Rewrite-URL"]"#;

/// Headers without which a message is another one.
const NEEDED: [&str; 12] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "max-forwards",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
];

fn header_names(value: &Value<'_>) -> Parsed<HeaderNames> {
    list(Commas::Split, "a header that a proxy sets", header_name)(value).map(HeaderNames::new)
}

fn header_name(text: &str) -> Result<HeaderName, Invalid> {
    let name = HeaderName::from_bytes(text.as_bytes()).ok();
    let begins_well = |name: &HeaderName| name.as_str().starts_with(|first: char| first.is_ascii_alphanumeric());
    let name =
        name.filter(begins_well).ok_or_else(|| Invalid::new("must be the name of a header, such as \"X-Real-IP\""))?;
    if NEEDED.iter().any(|needed| reads_as(needed, name.as_str(), Folding::EverySign)) {
        return Err(Invalid::new("must not be one that the message itself needs"));
    }
    Ok(name)
}

fn via(text: &str) -> Result<Option<Pseudonym>, Invalid> {
    if text.is_empty() { Ok(None) } else { Pseudonym::try_new(text).map(Some) }
}

pub(super) fn check(tables: &FileTables<'_, '_>, server: &ServerConfig) {
    if server.listen.is_empty() {
        tables.refuse("server.listen", "is empty; must be at least one address, such as \"0.0.0.0:7811\"");
    }
    let mut named = HashSet::new();
    for address in &server.listen {
        if address.port() != 0 && !named.insert(address) {
            tables.refuse("server.listen", format!("names {address} twice; must name each address once"));
        }
    }
}
