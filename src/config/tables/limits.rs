//! `[limits]`: what one client may ask for.

use super::MAX_CONNECTIONS;
use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::LimitsConfig;
use crate::config::value::{boolean, burst, size, text, whole};
use furt_core::model::Rate;

pub(super) fn visit(keys: &mut impl TableVisitor) -> LimitsConfig {
    keys.table(
        "limits",
        "Limits for clients; what is not set is not limited. Trusted proxies are seen through, and an IPv6 network of 64 \
         bits is one address.",
    );
    LimitsConfig {
        address_rate: keys.optional(
            Key {
                name: "limits.address_rate",
                default: DefaultValue::absent("none", r#""50/s""#),
                range: "rate",
                text: "Requests from one address without a good API key: public routes, wrong keys, unknown paths. Set \
                       it against guesses and floods.",
                pushable: true,
                ..Key::ROW
            },
            text("a rate", Rate::try_new),
            |config| config.limits.address_rate.as_ref(),
        ),
        address_burst: keys.value(
            Key {
                name: "limits.address_burst",
                default: DefaultValue::Toml("100"),
                range: "1 to 1,000,000",
                text: "How many of them may come at once. Raise it where many clients share an address.",
                pushable: true,
                ..Key::ROW
            },
            burst,
            |config| &config.limits.address_burst,
        ),
        address_connections: keys.optional(
            Key {
                name: "limits.address_connections",
                default: DefaultValue::absent("none", "200"),
                range: "1 to 10,000,000",
                text: "Connections from one address; trusted proxies have no such limit. Set it against clients that \
                       hold many open.",
                pushable: true,
                ..Key::ROW
            },
            whole(1..=MAX_CONNECTIONS),
            |config| config.limits.address_connections.as_ref(),
        ),
        max_body: keys.optional(
            Key {
                name: "limits.max_body",
                default: DefaultValue::absent("none", r#""10MiB""#),
                range: "size, at least 1",
                text: "The largest body of a request, in bytes or as `\"64KiB\"`, `\"10MiB\"`, `\"1GiB\"`. Set it where \
                       services can't defend themselves.",
                pushable: true,
                ..Key::ROW
            },
            size,
            |config| config.limits.max_body.as_ref(),
        ),
        share: keys.value(
            Key {
                name: "limits.share",
                default: DefaultValue::Toml("false"),
                range: "true, false",
                text: "Gateways that share the registry share `limits.address_rate`, the rates of API keys, the `limits` of routes, and the soft and \
                       hard limits of instances: each of them lets through one part of as many as there are gateways. Set it where \
                       clients are spread over them evenly. `false`: each of them lets through all of it.",
                ..Key::ROW
            },
            boolean,
            |config| &config.limits.share,
        ),
    }
}
