//! `[client]`: timeouts towards clients.

use super::positive;
use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::ClientConfig;
use crate::config::value::whole;

pub(super) fn visit(keys: &mut impl TableVisitor) -> ClientConfig {
    keys.table("client", "Timeouts towards clients, on both listeners.");
    ClientConfig {
        header_timeout: keys.value(
            Key {
                name: "client.header_timeout",
                default: DefaultValue::Toml("10"),
                range: "duration",
                text: "For the whole header of a request. Lower it against clients that send slowly on purpose.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.client.header_timeout,
        ),
        body_timeout: keys.value(
            Key {
                name: "client.body_timeout",
                default: DefaultValue::Toml("30"),
                range: "duration",
                text: "Between two reads of a request's body. Raise it for uploads over bad links.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.client.body_timeout,
        ),
        body_min_rate: keys.value(
            Key {
                name: "client.body_min_rate",
                default: DefaultValue::Toml("240"),
                range: "0 to 1,000,000,000",
                text: "Bytes a second that a client must send of a body while the service waits for it; 0 is any. Lower \
                       it for clients on very slow links. Upgrades, event streams and gRPC are exempt, and every \
                       request whose answer has begun.",
                pushable: true,
                ..Key::ROW
            },
            whole(0..=1_000_000_000),
            |config| &config.client.body_min_rate,
        ),
        body_min_rate_window: keys.value(
            Key {
                name: "client.body_min_rate_window",
                default: DefaultValue::Toml("5"),
                range: "duration",
                text: "How long a body may be slower than that. What is sent faster is saved up, to pauses of \
                       `body_timeout`. Raise it for clients that begin slowly.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.client.body_min_rate_window,
        ),
        body_total_timeout: keys.optional(
            Key {
                name: "client.body_total_timeout",
                default: DefaultValue::absent("none", "300"),
                range: "duration",
                text: "How long a whole body is waited for. Set it where no upload is large.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| config.client.body_total_timeout.as_ref(),
        ),
        keepalive_timeout: keys.value(
            Key {
                name: "client.keepalive_timeout",
                default: DefaultValue::Toml("75"),
                range: "duration",
                text: "How long an idle connection is kept; whole seconds, at least 1. Lower it where connections are \
                       many and memory is short.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.client.keepalive_timeout,
        ),
        write_timeout: keys.value(
            Key {
                name: "client.write_timeout",
                default: DefaultValue::Toml("30"),
                range: "duration",
                text: "For a write that makes no progress. Raise it for clients that pause while they download.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.client.write_timeout,
        ),
    }
}
