//! What restricts in an entry of `[[rules]]`: `limits`, `timeouts`, `retries`, `auth`, `allow_from`, `deny_from`.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::config::key::{DefaultValue, EntryVisitor, Key, Nested};
use crate::config::section::Section;
use crate::config::value::{Parsed, Value, Zero, auth, burst, duration, networks, size, text, whole};
use furt_core::model::{
    AuthMethods, CidrSet, LimitBy, Limits, MAX_BURST, MAX_RETRIES, MAX_RULE_NETWORKS, MAX_TIME, Rate, RateLimit,
    Restrictions, Said,
};

/// The values in an entry. `None`: absent, or invalid and reported.
pub(super) struct RestrictionValues {
    limits: Nested<LimitValues>,
    timeouts: Nested<TimeoutValues>,
    retries: Option<u8>,
    auth: Option<AuthMethods>,
    allow_from: Option<CidrSet>,
    deny_from: Option<CidrSet>,
}

struct LimitValues {
    rate: Option<Rate>,
    burst: Option<NonZeroU32>,
    concurrency: Option<u32>,
    by: Option<LimitBy>,
    max_body: Option<u64>,
}

struct TimeoutValues {
    read: Option<Duration>,
    total: Option<Duration>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> RestrictionValues {
    RestrictionValues {
        allow_from: keys.optional(
            Key {
                name: "rules.allow_from",
                default: DefaultValue::absent("anywhere", r#"["10.0.0.0/8"]"#),
                range: "1 to 1,024 networks",
                text: "Requests from [other addresses](routes.md#allow_from-and-deny_from) get 403.",
                ..Key::ROW
            },
            some_networks,
        ),
        deny_from: keys.optional(
            Key {
                name: "rules.deny_from",
                default: DefaultValue::absent("nowhere", r#"["198.51.100.0/24"]"#),
                range: "1 to 1,024 networks",
                text: "Requests from these addresses get 403.",
                ..Key::ROW
            },
            some_networks,
        ),
        auth: keys.optional(
            Key {
                name: "rules.auth",
                default: DefaultValue::absent("as the service says", r#"["key", "login"]"#),
                range: "1 to 8 of `\"key\"` and names of `[[issuers]]` and `[[forward_auth]]`, of these at most one",
                text: "The [methods of authentication](auth.md#which-methods-a-route-takes) that the routes take, instead of what services and earlier \
                       rules say. It closes routes without a permission as well.",
                ..Key::ROW
            },
            auth,
        ),
        limits: keys.table("rules.limits", visit_limits),
        timeouts: keys.table("rules.timeouts", visit_timeouts),
        retries: keys.optional(
            Key {
                name: "rules.retries",
                default: DefaultValue::absent("`upstream.retries`", "0"),
                range: "0 to 10",
                text: "The most [attempts](requests.md#retries) after the first; not more than `upstream.retries`.",
                ..Key::ROW
            },
            whole(0..=u64::from(MAX_RETRIES)),
        ),
    }
}

fn visit_limits<V: EntryVisitor>(keys: &mut V) -> LimitValues {
    LimitValues {
        rate: keys.optional(
            Key {
                name: "rules.limits.rate",
                default: DefaultValue::absent("none", r#""100/s""#),
                range: "rate",
                text: "[How often](routes.md#limits) the routes may be asked; all that the rule matches count together.",
                ..Key::ROW
            },
            text("a rate", Rate::try_new),
        ),
        burst: keys.optional(
            Key {
                name: "rules.limits.burst",
                default: DefaultValue::absent("one second's worth of `rate`, at least 1", "200"),
                range: "1 to 1,000,000",
                text: "How many requests may come at once after a pause.",
                ..Key::ROW
            },
            burst,
        ),
        concurrency: keys.optional(
            Key {
                name: "rules.limits.concurrency",
                default: DefaultValue::absent("none", "50"),
                range: "1 to 1,000,000",
                text: "How many requests may be in flight at the same time.",
                ..Key::ROW
            },
            whole(1..=u64::from(MAX_BURST)),
        ),
        by: keys.optional(
            Key {
                name: "rules.limits.by",
                default: DefaultValue::absent("`\"caller\"`", r#""route""#),
                range: "`\"caller\"`, `\"address\"`, `\"route\"`",
                text: "Whom `rate` and `concurrency` count as one: the API key, or the address of a request without; the address; all \
                       requests that the rule matches.",
                ..Key::ROW
            },
            text("what limits count by", LimitBy::try_new),
        ),
        max_body: keys.optional(
            Key {
                name: "rules.limits.max_body",
                default: DefaultValue::absent("the gateway's `max_body` in `[limits]`", r#""1MiB""#),
                range: "size, at least 1",
                text: "The largest body of a request; never more than the gateway's.",
                ..Key::ROW
            },
            size,
        ),
    }
}

fn visit_timeouts<V: EntryVisitor>(keys: &mut V) -> TimeoutValues {
    TimeoutValues {
        read: keys.optional(
            Key {
                name: "rules.timeouts.read",
                default: DefaultValue::absent("the service's, or `upstream.read_timeout`", r#""20s""#),
                range: "1 ms to 1 day",
                text: "How long a service may take to the header of its answer, and between parts of it.",
                ..Key::ROW
            },
            timeout,
        ),
        total: keys.optional(
            Key {
                name: "rules.timeouts.total",
                default: DefaultValue::absent("none", r#""60s""#),
                range: "1 ms to 1 day",
                text: "How long a request may take [to the end of its answer](routes.md#timeouts-and-retries), unless it is a stream.",
                ..Key::ROW
            },
            timeout,
        ),
    }
}

fn timeout(value: &Value<'_>) -> Parsed<Duration> {
    match duration(Zero::Refused)(value)? {
        time if time <= MAX_TIME => Ok(time),
        _ => value.error("is out of range; must be from 1 ms to 1 day".to_owned()),
    }
}

/// Networks; none would be a rule for nobody or for everyone, whichever its reader takes it for.
fn some_networks(value: &Value<'_>) -> Parsed<CidrSet> {
    match networks(value)? {
        set if (1..=MAX_RULE_NETWORKS).contains(&set.len()) => Ok(set),
        _ => value.error(format!("must be 1 to {MAX_RULE_NETWORKS} addresses or networks such as \"10.0.0.0/8\"")),
    }
}

/// Reads what restricts, and the timeout that does not.
pub(super) fn read(values: RestrictionValues, entry: &Section<'_>) -> (Restrictions, Said<Duration>) {
    let RestrictionValues { limits, timeouts, retries, auth, allow_from, deny_from } = values;
    let (read, total_timeout) = match timeouts {
        Nested::Absent => (None, None),
        Nested::Off => {
            refuse_off(entry, "timeouts");
            (None, None)
        }
        Nested::Is(TimeoutValues { read, total }) => {
            if read.is_none() && total.is_none() && !entry.has_faults_in("timeouts") {
                entry.refuse("timeouts", "says nothing; must have read or total");
            }
            (read, total)
        }
    };
    let limits = read_limits(limits, entry);
    let restrictions = Restrictions { limits, total_timeout, retries, auth, allow_from, deny_from };
    (restrictions, read.map_or(Said::Nothing, Said::Is))
}

fn read_limits(values: Nested<LimitValues>, entry: &Section<'_>) -> Option<Limits> {
    let values = match values {
        Nested::Absent => return None,
        Nested::Off => {
            refuse_off(entry, "limits");
            return None;
        }
        Nested::Is(values) => values,
    };
    // What is wrong is reported already, and what is missing for it would be said twice.
    if entry.has_faults_in("limits") {
        return None;
    }
    let LimitValues { rate, burst, concurrency, by, max_body } = values;
    let rate = RateLimit::try_of(rate, burst).map_err(|why| entry.refuse("limits", format!("burst {why}"))).ok()?;
    let concurrency = concurrency.and_then(NonZeroU32::new);
    let limits = Limits { rate, concurrency, by: by.unwrap_or_default(), max_body };
    limits.check().map_err(|why| entry.refuse("limits", why.to_string())).is_ok().then_some(limits)
}

fn refuse_off(entry: &Section<'_>, key: &str) {
    entry.refuse(key, "cannot be false: what restricts adds up, and nothing takes it away; must be a table");
}
