//! `limits`, `timeouts`, `retries` and `auth`: read, and shown as they were said.

use std::num::NonZeroU32;
use std::time::Duration;

use furt_api::Seconds;
use furt_api::route_options;
use serde_json::Value;

use super::super::fields::{Fields, seconds, text, whole};
use super::Of;
use furt_core::model::{
    AuthMethod, AuthMethods, Invalid, LimitBy, Limits, MAX_AUTH_METHODS, MAX_BURST, MAX_RETRIES, MAX_TIME, MIN_TIMEOUT,
    Rate, RateLimit, Restrictions, Timeouts, size,
};

/// What `timeouts` says.
#[derive(Debug, Default)]
pub(super) struct SaidTimeouts {
    /// Those of attempts.
    pub(super) attempts: Timeouts,
    /// That of the whole request.
    pub(super) total: Option<Duration>,
}

/// Reads what restricts, and all timeouts.
pub(super) fn read(fields: &mut Fields<'_>, of: Of) -> (Restrictions, Timeouts) {
    for name in ["limits", "timeouts", "retries", "auth"] {
        if of == Of::Route && fields.has(name) && !fields.has_value(name) {
            fields.refuse(
                name,
                match name {
                    "auth" => "cannot be null; must be a list of who may vouch for callers, or be left out",
                    _ => {
                        "cannot be null: what the definition says of it holds for this route as well; must be left out"
                    }
                },
            );
        }
    }
    let limits = fields.nested("limits", read_limits).flatten();
    let SaidTimeouts { attempts, total } = fields.nested("timeouts", |own| read_timeouts(own, of)).unwrap_or_default();
    let retries = fields.optional("retries", whole(0, MAX_RETRIES.into())).and_then(|count| count.try_into().ok());
    let auth = fields
        .list("auth", MAX_AUTH_METHODS, AuthMethod::try_new)
        .and_then(|methods| AuthMethods::try_of(methods).map_err(|why| fields.refuse("auth", why.to_string())).ok());
    let restrictions = Restrictions { limits, total_timeout: total, retries, auth, allow_from: None, deny_from: None };
    (restrictions, attempts)
}

fn read_timeouts(own: &mut Fields<'_>, of: Of) -> SaidTimeouts {
    // A connection is the service's, whichever route it is for.
    let connect = if of == Of::Definition { own.optional("connect", seconds(MIN_TIMEOUT, MAX_TIME)) } else { None };
    let read = own.optional("read", seconds(MIN_TIMEOUT, MAX_TIME));
    let total = own.optional("total", seconds(MIN_TIMEOUT, MAX_TIME));
    SaidTimeouts { attempts: Timeouts { connect, read }, total }
}

fn read_limits(own: &mut Fields<'_>) -> Option<Limits> {
    let before = own.errors().len();
    let count = |least: u64| whole(least, MAX_BURST.into());
    let number = |number: u64| u32::try_from(number).ok().and_then(NonZeroU32::new);
    let rate = own.optional("rate", text(Rate::try_new));
    let has_rate = rate.is_some();
    let burst = own.optional("burst", count(1)).and_then(number);
    let concurrency = own.optional("concurrency", count(1)).and_then(number);
    let by = own.optional("by", text(LimitBy::try_new));
    let max_body = own.optional("max_body", bytes);
    if own.errors().len() > before {
        return None;
    }
    if burst.is_some() && !has_rate {
        own.refuse("burst", "has no use without \"rate\"; must be left out");
        return None;
    }
    let rate = rate.map(|rate| RateLimit::new(rate, burst));
    let limits = Limits { rate, concurrency, by: by.unwrap_or_default(), max_body };
    limits.check().map_err(|why| own.refuse_whole(why.to_string())).is_ok().then_some(limits)
}

/// A number of bytes, or a text with a unit.
fn bytes(value: Value) -> Result<u64, Invalid> {
    let bytes = match &value {
        Value::String(text) => size(text),
        _ => value.as_u64(),
    };
    bytes
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| Invalid::new("must be a number of bytes, at least 1, or a text such as \"1MiB\""))
}

/// The field `limits`, as it was said.
pub(in crate::api) fn shown_limits(restrictions: Option<&Restrictions>) -> Option<route_options::Limits> {
    let Limits { rate, concurrency, by, max_body } = restrictions?.limits?;
    let has_burst = |limit: &RateLimit| *limit != RateLimit::new(limit.rate, None);
    Some(route_options::Limits {
        rate: rate.map(|limit| limit.rate.to_string()),
        burst: rate.filter(has_burst).map(|limit| limit.burst.get()),
        concurrency: concurrency.map(NonZeroU32::get),
        by: Some(by).filter(|by| *by != LimitBy::default()).map(|by| by.as_str().to_owned()),
        max_body,
    })
}

/// `timeouts.total`, as it was said.
pub(in crate::api) fn shown_total(restrictions: Option<&Restrictions>) -> Option<Seconds> {
    restrictions?.total_timeout.map(Seconds::from)
}

/// The field `auth`, as it was said.
pub(in crate::api) fn shown_auth(restrictions: Option<&Restrictions>) -> Option<Vec<String>> {
    Some(restrictions?.auth.as_ref()?.iter().map(|one| one.as_str().to_owned()).collect())
}

/// The field `retries`, as it was said.
pub(in crate::api) fn shown_retries(restrictions: Option<&Restrictions>) -> Option<u8> {
    restrictions?.retries
}
