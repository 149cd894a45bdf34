//! `[registration]`: limits of registrations.

use crate::config::key::{DefaultValue, Key, TableVisitor};
use crate::config::types::{RegistrationConfig, Unlisted};
use crate::config::value::{networks, one_of, text, ttl, whole};
use furt_core::model::{MAX_BURST, Rate};

const UNLISTED: &[(&str, Unlisted)] =
    &[("loopback", Unlisted::Loopback), ("allow", Unlisted::Allow), ("deny", Unlisted::Deny)];

pub(super) fn visit(keys: &mut impl TableVisitor) -> RegistrationConfig {
    keys.table("registration", "Limits of registrations.");
    RegistrationConfig {
        rate: keys.value(
            Key {
                name: "registration.rate",
                default: DefaultValue::Toml(r#""20/s""#),
                range: "rate",
                text: "Registrations from one address; heartbeats and identical registrations do not count. Raise it \
                       where one address starts many services.",
                pushable: true,
                ..Key::ROW
            },
            text("a rate", Rate::try_new),
            |config| &config.registration.rate,
        ),
        burst: keys.value(
            Key {
                name: "registration.burst",
                default: DefaultValue::Toml("200"),
                range: "1 to 1,000,000",
                text: "How many may come at once, beyond the rate. Raise it where everything restarts together.",
                pushable: true,
                ..Key::ROW
            },
            whole(1..=u64::from(MAX_BURST)),
            |config| &config.registration.burst,
        ),
        unlisted: keys.value(
            Key {
                name: "registration.unlisted",
                default: DefaultValue::Toml(r#""loopback""#),
                range: "`\"loopback\"`, `\"allow\"`, `\"deny\"`",
                text: "What a service without a `[[grants]]` entry may register: `\"loopback\"` is anything, from this \
                       machine only; `\"allow\"` is anything, `\"deny\"` nothing.",
                ..Key::ROW
            },
            one_of(UNLISTED),
            |config| &config.registration.unlisted,
        ),
        upstreams: keys.value(
            Key {
                name: "registration.upstreams",
                default: DefaultValue::Toml(
                    r#"["127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "::1/128", "fc00::/7"]"#,
                ),
                range: "networks",
                text: "Where instances may be. Narrow it, so that no registration leads furt elsewhere.",
                ..Key::ROW
            },
            networks,
            |config| &config.registration.upstreams,
        ),
        heartbeat_ttl: keys.value(
            Key {
                name: "registration.heartbeat_ttl",
                default: DefaultValue::Toml("60"),
                range: "1 s to 1 day",
                alias: Some("EDGEPROXY_HEARTBEAT_TTL_SECS"),
                text: "The TTL of instances that send heartbeats without naming one, or that came by `/api/v1`: without \
                       a heartbeat for so long an instance is removed. A new value holds for an instance from its next \
                       heartbeat on, whose answer has it.",
                pushable: true,
                ..Key::ROW
            },
            ttl,
            |config| &config.registration.heartbeat_ttl,
        ),
    }
}
