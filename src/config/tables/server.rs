//! `[server]`: the public listener.

use std::collections::HashSet;

use super::MAX_CONNECTIONS;
use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::reading::FileTables;
use crate::config::types::ServerConfig;
use crate::config::value::{Zero, addresses, duration, networks, whole};

/// More workers than any machine has cores.
const MAX_THREADS: u64 = 1024;

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
        max_connections: keys.value(
            Key {
                name: "server.max_connections",
                default: DefaultValue::Toml("20000"),
                range: "1 to 10,000,000",
                text: "The most client connections at once; more get 503. Fewer if there are \
                       [too few open files](operating.md#limits-of-the-machine). Lower it where memory is short.",
                ..Key::ROW
            },
            whole(1..=MAX_CONNECTIONS),
            |config| &config.server.max_connections,
        ),
        threads: keys
            .optional(
                Key {
                    name: "server.threads",
                    default: DefaultValue::absent("the number of cores", "4"),
                    range: "1 to 1024",
                    reload: ReloadClass::Restart,
                    text: "Worker threads of the public listener. Lower it where furt shares the machine.",
                    ..Key::ROW
                },
                whole(1..=MAX_THREADS),
                |config| Some(&config.server.threads),
            )
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from)),
    }
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
