//! The bodies of `POST /internal/keys` and `POST /internal/keys/{name}/rotate`: every field, its rule and its default.

use std::num::NonZeroU32;
use std::time::Duration;

use serde_json::Value;

use super::super::fields::{FieldError, Fields, span, text};
use crate::clock;
use furt_core::model::{
    CidrSet, Invalid, KeyName, KeySpec, MAX_BURST, MAX_KEY_NETWORKS, MAX_KEY_PERMISSIONS, PermissionRule,
    PermissionSet, Rate, RateLimit, RuntimeKey, Sha256Digest,
};

const DAY: Duration = Duration::from_secs(86_400);
/// The longest life of a key that has an end: a century. Longer ones are mistakes of unit.
const MAX_LIFE: Duration = Duration::from_secs(36_500 * DAY.as_secs());
/// How long the key before stays good where nothing else is asked for: time for a rollout, also over night.
const DEFAULT_GRACE: Duration = DAY;
/// The longest grace: what takes longer is a second key.
const MAX_GRACE: Duration = Duration::from_secs(30 * DAY.as_secs());

/// The key that a body describes, made now, behind this digest.
///
/// # Errors
/// Every field that is wrong, missing or unknown.
pub(super) fn new_key(body: Value, sha256: Sha256Digest, now_ms: i64) -> Result<RuntimeKey, Vec<FieldError>> {
    let mut errors = Vec::new();
    let read = Fields::open(String::new(), body, &mut errors).and_then(|mut fields| {
        let rules = read_rules(&mut fields);
        let expires_ms = fields.optional("expires", |value| expires(&value, now_ms));
        fields.finish();
        Some((rules?.spec(sha256), expires_ms))
    });
    match read {
        Some((spec, expires_ms)) if errors.is_empty() => RuntimeKey::try_new(spec, now_ms, expires_ms, Vec::new())
            .map_err(|why| vec![FieldError { pointer: String::new(), detail: why.to_string() }]),
        _ => Err(errors),
    }
}

/// A key without its digest.
pub(in crate::api) struct Rules {
    name: KeyName,
    permissions: PermissionSet,
    allow_from: CidrSet,
    rate: Option<RateLimit>,
}

impl Rules {
    pub(in crate::api) fn spec(self, sha256: Sha256Digest) -> KeySpec {
        let Self { name, permissions, allow_from, rate } = self;
        KeySpec { name, sha256, permissions, allow_from, rate }
    }
}

/// The fields of a key that say what it may do. `None`: one is wrong, and told.
pub(in crate::api) fn read_rules(fields: &mut Fields<'_>) -> Option<Rules> {
    let name = fields.require("name", text(KeyName::try_new));
    let permissions = list(fields, "permissions", 1, MAX_KEY_PERMISSIONS, PermissionRule::try_new);
    let network = |text: &str| CidrSet::try_new(&[text]).map(|_| text.to_owned());
    let allow_from = list(fields, "allow_from", 0, MAX_KEY_NETWORKS, network);
    let rate = fields.optional("rate", text(Rate::try_new));
    let burst = fields.optional("burst", |value| burst(&value));
    let rate = RateLimit::try_of(rate, burst).map_err(|why| fields.refuse("burst", why.to_string())).ok().flatten();
    let (permissions, allow_from) = (PermissionSet::new(permissions?), CidrSet::try_new(&allow_from?).ok()?);
    Some(Rules { name: name?, permissions, allow_from, rate })
}

fn burst(value: &Value) -> Result<NonZeroU32, Invalid> {
    let count = value.as_u64().and_then(|count| u32::try_from(count).ok()).filter(|count| *count <= MAX_BURST);
    count.and_then(NonZeroU32::new).ok_or_else(|| Invalid::new(format!("must be a whole number from 1 to {MAX_BURST}")))
}

/// How long the key before stays good.
///
/// # Errors
/// Every field that is wrong or unknown.
pub(super) fn grace(body: Value) -> Result<Duration, Vec<FieldError>> {
    let mut errors = Vec::new();
    let grace = Fields::open(String::new(), body, &mut errors).and_then(|mut fields| {
        let grace = fields.optional("grace", |value| {
            span(&value).filter(|grace| *grace <= MAX_GRACE).ok_or_else(|| {
                Invalid::new(
                    "must be seconds such as 3600, or a text such as \"90s\", \"1h\" or \"7d\", from 0 to 30 days",
                )
            })
        });
        fields.finish();
        grace
    });
    if errors.is_empty() { Ok(grace.unwrap_or(DEFAULT_GRACE)) } else { Err(errors) }
}

/// A time as RFC 3339, or how long from now.
fn expires(value: &Value, now_ms: i64) -> Result<i64, Invalid> {
    let from_now = |life: Duration| i64::try_from(life.as_millis()).ok().and_then(|ms| now_ms.checked_add(ms));
    let at = value.as_str().and_then(clock::parse_rfc3339);
    let end_ms = at.or_else(|| span(value).and_then(from_now)).ok_or_else(|| {
        Invalid::new("must be a time such as \"2030-01-31T12:00:00Z\", or from now on seconds such as 3600 or a text such as \"12h\" or \"90d\"")
    })?;
    let longest = from_now(MAX_LIFE).unwrap_or(i64::MAX);
    if end_ms > now_ms && end_ms <= longest {
        Ok(end_ms)
    } else {
        Err(Invalid::new("must lie in the future, and within a hundred years"))
    }
}

/// A list of texts; left out, it is empty, which is wrong where there must be one.
fn list<T>(
    fields: &mut Fields<'_>,
    name: &str,
    least: usize,
    most: usize,
    parse: impl Fn(&str) -> Result<T, Invalid>,
) -> Option<Vec<T>> {
    let given = match fields.take(name) {
        None if least > 0 => {
            fields.refuse(name, "is missing");
            return None;
        }
        None => Vec::new(),
        Some(Value::Array(list)) if (least..=most).contains(&list.len()) => list,
        Some(_) => {
            fields.refuse(name, format!("must be a list of {least} to {most} strings"));
            return None;
        }
    };
    let mut good = Vec::with_capacity(given.len());
    let count = given.len();
    for (at, value) in given.into_iter().enumerate() {
        match text(&parse)(value) {
            Ok(one) => good.push(one),
            Err(why) => {
                let pointer = format!("{}/{at}", fields.pointer_to(name));
                fields.errors().push(FieldError { pointer, detail: why.to_string() });
            }
        }
    }
    (good.len() == count).then_some(good)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW_MS: i64 = 1_763_152_200_000;

    fn read(body: Value) -> Result<RuntimeKey, Vec<String>> {
        let read = new_key(body, Sha256Digest::of(b"x"), NOW_MS);
        read.map_err(|errors| {
            let mut pointers: Vec<_> = errors.into_iter().map(|error| error.pointer).collect();
            pointers.sort();
            pointers
        })
    }

    fn wrong(body: Value) -> Vec<String> {
        read(body).expect_err("it is taken")
    }

    fn with(name: &str, value: Value) -> Value {
        let mut body = json!({"name": "a", "permissions": ["x"]});
        body[name] = value;
        body
    }

    #[test]
    fn a_body_needs_a_name_and_a_permission() {
        let key = read(json!({"name": "a", "permissions": ["x", "y:*"]})).unwrap();
        assert_eq!((key.created_ms, key.expires_ms, key.old.len()), (NOW_MS, None, 0));
        assert_eq!((key.spec.rate, key.spec.allow_from.is_empty()), (None, true));
        let nulls = json!({"name": "a", "permissions": ["x"], "allow_from": null, "rate": null, "expires": null});
        assert_eq!(read(nulls).unwrap().expires_ms, None);
        assert_eq!(wrong(json!({})), ["/name", "/permissions"]);
        assert_eq!(wrong(json!([])), [""]);
        assert_eq!(wrong(json!("a")), [""]);
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let body = json!({"name": "a b", "permissions": ["x", "", 7], "allow_from": ["10.0.0.0/8", "x", null],
                          "rate": "1/h", "expires": "soon", "key": "secret", "sha~256": 1});
        let told = "/allow_from/1 /allow_from/2 /expires /key /name /permissions/1 /permissions/2 /rate /sha~0256";
        assert_eq!(wrong(body).join(" "), told);
    }

    #[test]
    fn lists_are_lists_within_bounds() {
        let many = |count: usize| (0..count).map(|number| format!("p{number}")).collect::<Vec<_>>();
        assert!(read(with("permissions", json!(many(MAX_KEY_PERMISSIONS)))).is_ok());
        for bad in [json!([]), json!("x"), json!({}), json!(7), json!(many(MAX_KEY_PERMISSIONS + 1))] {
            assert_eq!(wrong(with("permissions", bad)), ["/permissions"]);
        }
        assert!(read(with("allow_from", json!([]))).is_ok());
        for bad in [json!("10.0.0.0/8"), json!(vec!["10.0.0.1"; MAX_KEY_NETWORKS + 1])] {
            assert_eq!(wrong(with("allow_from", bad)), ["/allow_from"]);
        }
    }

    #[test]
    fn an_end_is_a_time_or_a_span_in_the_future() {
        for (given, expected) in [
            (json!("2025-11-14T20:30:01Z"), 1_000),
            (json!("2025-11-14T21:30:01+01:00"), 1_000),
            (json!(30), 30_000),
            (json!(0.5), 500),
            (json!("30s"), 30_000),
            (json!("12h"), 43_200_000),
            (json!("90d"), 90 * 86_400_000),
        ] {
            assert_eq!(read(with("expires", given.clone())).unwrap().expires_ms, Some(NOW_MS + expected), "{given}");
        }
        for bad in [
            json!("2025-11-14T20:30:00Z"),
            json!("1999-01-01T00:00:00Z"),
            json!("9999-01-01T00:00:00Z"),
            json!("2026-01-01"),
            json!("2026-01-01T00:00:00"),
            json!("2026-13-01T00:00:00Z"),
            json!(""),
            json!("-1s"),
            json!("1w"),
            json!("40000d"),
            json!(0),
            json!(-5),
            json!(1e300),
            json!(true),
            json!(["1d"]),
        ] {
            assert_eq!(wrong(with("expires", bad.clone())), ["/expires"], "{bad}");
        }
    }

    #[test]
    fn a_grace_is_a_day_unless_said_otherwise_and_a_month_at_most() {
        let good = |body: Value| grace(body).unwrap();
        assert_eq!((good(json!({})), good(json!({"grace": null}))), (DAY, DAY));
        assert_eq!((good(json!({"grace": 0})), good(json!({"grace": "0s"}))), (Duration::ZERO, Duration::ZERO));
        assert_eq!(
            (good(json!({"grace": "1h"})), good(json!({"grace": "30d"}))),
            (Duration::from_secs(3600), MAX_GRACE)
        );
        for bad in [json!("31d"), json!(-1), json!("x"), json!([]), json!(false), json!(1e300)] {
            let errors = grace(json!({"grace": bad})).expect_err("it is taken");
            assert_eq!(errors[0].pointer, "/grace");
        }
        assert_eq!(grace(json!({"grcae": 1})).unwrap_err()[0].pointer, "/grcae");
        assert_eq!(grace(json!([])).unwrap_err()[0].pointer, "");
    }
}
