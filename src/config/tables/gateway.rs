//! `[gateway]`: registration and probes.

use super::positive;
use crate::config::key::{DefaultValue, Key, ReloadClass, TableVisitor};
use crate::config::reading::FileTables;
use crate::config::types::GatewayConfig;
use crate::config::value::{Zero, boolean, duration, networks, whole};

/// With ten failures in a row as the default, a million is "never".
const MAX_FAILURES: u64 = 1_000_000;

pub(super) fn visit(keys: &mut impl TableVisitor) -> GatewayConfig {
    keys.table("gateway", "Registration of services, and probes of their health.");
    GatewayConfig {
        enabled: keys.value(
            Key {
                name: "gateway.enabled",
                default: DefaultValue::Toml("true"),
                range: "true, false",
                reload: ReloadClass::Restart,
                text: "`false`: nobody may register, send heartbeats, drain or deregister (403 `registration-off`); \
                       static routes work. Services that a disk store already holds stay routed and probed.",
                ..Key::ROW
            },
            boolean,
            |config| &config.gateway.enabled,
        ),
        health_check_interval: keys.value(
            Key {
                name: "gateway.health_check_interval",
                default: DefaultValue::Toml("30"),
                range: "duration",
                text: "Between probes of an instance that is UP. Lower it to notice a crash sooner, at the cost of more \
                       probes.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.gateway.health_check_interval,
        ),
        health_check_interval_down: keys.value(
            Key {
                name: "gateway.health_check_interval_down",
                default: DefaultValue::Toml("120"),
                range: "duration",
                text: "Between probes of an instance that is DOWN. Lower it to have it back sooner.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.gateway.health_check_interval_down,
        ),
        health_check_min_interval: keys.value(
            Key {
                name: "gateway.health_check_min_interval",
                default: DefaultValue::Toml("1"),
                range: "duration",
                text: "The least `health_check.interval` that a service may register. Raise it where services ask for too \
                       many probes.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.gateway.health_check_min_interval,
        ),
        health_check_timeout: keys.value(
            Key {
                name: "gateway.health_check_timeout",
                default: DefaultValue::Toml("5"),
                range: "duration",
                text: "How long a whole probe may take. Raise it where the health endpoint is slow.",
                pushable: true,
                ..Key::ROW
            },
            positive,
            |config| &config.gateway.health_check_timeout,
        ),
        max_consecutive_failures: keys.value(
            Key {
                name: "gateway.max_consecutive_failures",
                default: DefaultValue::Toml("3"),
                range: "1 to 1,000,000",
                text: "Failures in a row that make an instance DOWN. Raise it where single probes get lost.",
                pushable: true,
                ..Key::ROW
            },
            whole(1..=MAX_FAILURES),
            |config| &config.gateway.max_consecutive_failures,
        ),
        stop_ping_after_failures: keys.value(
            Key {
                name: "gateway.stop_ping_after_failures",
                default: DefaultValue::Toml("10"),
                range: "`max_consecutive_failures` to 1,000,000",
                text: "Failures in a row that end the probing, until the instance registers again.",
                pushable: true,
                ..Key::ROW
            },
            whole(1..=MAX_FAILURES),
            |config| &config.gateway.stop_ping_after_failures,
        ),
        startup_time: keys.value(
            Key {
                name: "gateway.startup_time",
                default: DefaultValue::Toml("60"),
                range: "duration, 0",
                text: "How long an instance may take before it listens. In this time it is probed every second at first, \
                       then every 2, 5 and 10 s, and its failures do not end the probing. Raise it for services that \
                       start slowly.",
                pushable: true,
                ..Key::ROW
            },
            duration(Zero::Allowed),
            |config| &config.gateway.startup_time,
        ),
        outage_hold: keys.value(
            Key {
                name: "gateway.outage_hold",
                default: DefaultValue::Toml(r#""5m""#),
                range: "duration, 0",
                text: "How long no instance on another host becomes DOWN, at most, when nearly all of them fail at once \
                       and none answers: the network of furt's own host is out then. `0`: verdicts are never held.",
                pushable: true,
                ..Key::ROW
            },
            duration(Zero::Allowed),
            |config| &config.gateway.outage_hold,
        ),
        allow_registration_from: keys.value(
            Key {
                name: "gateway.allow_registration_from",
                // All of loopback: a service that connects to `localhost` may well arrive from ::1.
                default: DefaultValue::Toml(r#"["127.0.0.0/8", "::1/128", "10.0.0.0/8"]"#),
                range: "networks",
                text: "Addresses that may register. Add the network that your services connect from.",
                ..Key::ROW
            },
            networks,
            |config| &config.gateway.allow_registration_from,
        ),
    }
}

pub(super) fn check(tables: &FileTables<'_, '_>, gateway: &GatewayConfig) {
    let (stop, down) = (gateway.stop_ping_after_failures, gateway.max_consecutive_failures);
    if stop < down {
        tables.refuse_together(
            &["gateway.stop_ping_after_failures", "gateway.max_consecutive_failures"],
            format!(
                "probing would stop after {stop} failures, before {down} make an instance DOWN; \
                 stop_ping_after_failures must be at least max_consecutive_failures"
            ),
        );
    }
}
