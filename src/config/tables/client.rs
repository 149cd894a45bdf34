//! `[client]`: timeouts towards clients.

use super::positive;
use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::ClientConfig;

pub(super) fn visit(keys: &mut impl TableVisitor) -> ClientConfig {
    keys.table("client", "Timeouts towards clients, on both listeners.");
    ClientConfig {
        header_timeout: keys.value(
            Key {
                name: "client.header_timeout",
                default: DefaultValue::Toml("10"),
                range: "duration",
                text: "For the whole header of a request. Lower it against clients that send slowly on purpose.",
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
                ..Key::ROW
            },
            positive,
            |config| &config.client.body_timeout,
        ),
        keepalive_timeout: keys.value(
            Key {
                name: "client.keepalive_timeout",
                default: DefaultValue::Toml("75"),
                range: "duration",
                text: "How long an idle connection is kept; whole seconds, at least 1. Lower it where connections are \
                       many and memory is short.",
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
                ..Key::ROW
            },
            positive,
            |config| &config.client.write_timeout,
        ),
    }
}
