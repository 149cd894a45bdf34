//! `[upstream]`: towards instances.

use super::positive;
use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::reading::FileTables;
use crate::config::types::UpstreamConfig;
use crate::config::value::{file, whole};

/// The most that `upstream.retries` may be: attempts beyond ten only add load to a service in trouble.
pub const MAX_RETRIES: u64 = 10;

pub(super) fn visit(keys: &mut impl TableVisitor) -> UpstreamConfig {
    keys.table("upstream", "Towards instances.");
    UpstreamConfig {
        connect_timeout: keys.value(
            Key {
                name: "upstream.connect_timeout",
                default: DefaultValue::Toml("2"),
                range: "duration",
                text: "For the TCP and TLS handshakes together. Raise it where instances are far away.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.upstream.connect_timeout,
        ),
        read_timeout: keys.value(
            Key {
                name: "upstream.read_timeout",
                default: DefaultValue::Toml("60"),
                range: "duration",
                text: "To the whole header of the answer, then to each part of its body. Raise it where services think \
                       long before they answer.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.upstream.read_timeout,
        ),
        stream_read_timeout: keys.value(
            Key {
                name: "upstream.stream_read_timeout",
                default: DefaultValue::Toml("3600"),
                range: "`read_timeout` to 30 days",
                text: "The same for WebSockets, event streams and gRPC. Raise it where they may be silent for longer.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.upstream.stream_read_timeout,
        ),
        idle_timeout: keys.value(
            Key {
                name: "upstream.idle_timeout",
                default: DefaultValue::Toml("60"),
                range: "duration",
                text: "The longest that an unused connection is kept. Where a service says how long it keeps one \
                       (`Keep-Alive: timeout=`), it is a second less than that. Lower it where a firewall drops \
                       connections in silence.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.upstream.idle_timeout,
        ),
        retries: keys.value(
            Key {
                name: "upstream.retries",
                default: DefaultValue::Toml("2"),
                range: "0 to 10",
                text: "Further attempts after the first. Lower it where a failure should show at once.",
                pushable: true,
                ..Key::ROW
            },
            whole(0..=MAX_RETRIES),
            |config| &config.upstream.retries,
        ),
        ca: keys.optional(
            Key {
                name: "upstream.ca",
                default: DefaultValue::absent("the system's", r#""/etc/furt/ca.pem""#),
                range: "a PEM file",
                text: "A PEM file of certificate authorities for https instances. Set it for a CA of your own. This file and the next \
                       two are put in force by themselves [when they change](edge.md#towards-services).",
                ..Key::ROW
            },
            file,
            |config| config.upstream.ca.as_ref(),
        ),
        cert: keys.optional(
            Key {
                name: "upstream.cert",
                default: DefaultValue::absent("none", r#""/etc/furt/furt.pem""#),
                range: "a PEM file",
                text: "The certificate that furt shows to https instances that ask for one, then those between it and the \
                       authority. It needs `upstream.key`.",
                ..Key::ROW
            },
            file,
            |config| config.upstream.cert.as_ref(),
        ),
        key: keys.optional(
            Key {
                name: "upstream.key",
                default: DefaultValue::absent("none", r#""/etc/furt/furt.key""#),
                range: "a PEM file",
                text: "The private key of `upstream.cert`, without a password; a file that everybody can read is refused.",
                ..Key::ROW
            },
            file,
            |config| config.upstream.key.as_ref(),
        ),
    }
}

pub(super) fn check(tables: &FileTables<'_, '_>, upstream: &UpstreamConfig) {
    let (stream, read) = (upstream.stream_read_timeout, upstream.read_timeout);
    if stream < read {
        tables.refuse_together(
            &["upstream.stream_read_timeout", "upstream.read_timeout"],
            format!(
                "streams would be cut after {} s, earlier than other answers after {} s; \
                 stream_read_timeout must be at least read_timeout",
                stream.as_secs_f64(),
                read.as_secs_f64()
            ),
        );
    }
}
