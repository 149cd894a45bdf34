//! What the claims of a token must say (RFC 7519 §4.1), when its signature is good.

use http::HeaderValue;
use serde_json::{Map, Value};

use super::error::TokenError;
use crate::config::IssuerConfig;
use furt_core::model::Message;

/// The longest subject, in bytes.
const MAX_SUBJECT: usize = 256;

/// What is taken from claims that are good.
#[derive(Debug)]
pub(super) struct Checked {
    /// Whom the token is about.
    pub(super) subject: HeaderValue,
    /// When it ends, in seconds since the Unix epoch.
    pub(super) expires: f64,
}

/// Checks claims at `now`, in seconds since the Unix epoch.
///
/// # Errors
/// The first that is wrong.
pub(super) fn check(claims: &Map<String, Value>, config: &IssuerConfig, now: f64) -> Result<Checked, TokenError> {
    let skew = config.clock_skew.as_secs_f64();
    match claims.get("iss") {
        Some(Value::String(issuer)) if *issuer == config.issuer => {}
        Some(Value::String(_)) => return Err(TokenError::Issuer),
        _ => return Err(TokenError::Claim("iss")),
    }
    check_audience(claims.get("aud"), &config.audience)?;
    let expires = time(claims, "exp")?.ok_or(TokenError::Claim("exp"))?;
    if expires + skew <= now {
        return Err(TokenError::Expired);
    }
    if time(claims, "nbf")?.is_some_and(|begins| begins > now + skew) {
        return Err(TokenError::NotYet);
    }
    if time(claims, "iat")?.is_some_and(|issued| issued > now + skew) {
        return Err(TokenError::FromFuture);
    }
    let subject = claims.get("sub").and_then(Value::as_str).filter(|text| (1..=MAX_SUBJECT).contains(&text.len()));
    let subject = subject.and_then(header_value).ok_or(TokenError::Claim("sub"))?;
    Ok(Checked { subject, expires })
}

/// A text as a header's value; `None`: it can be none, or has signs that are not to be seen.
pub(super) fn header_value(text: &str) -> Option<HeaderValue> {
    Message::try_value(text).ok().filter(|_| !text.contains(char::is_control))
}

fn check_audience(claim: Option<&Value>, accepted: &[String]) -> Result<(), TokenError> {
    let named = match claim {
        Some(Value::String(one)) => vec![one.as_str()],
        Some(Value::Array(some)) => {
            some.iter().map(Value::as_str).collect::<Option<_>>().ok_or(TokenError::Claim("aud"))?
        }
        _ => return Err(TokenError::Claim("aud")),
    };
    let is_accepted = named.iter().any(|one| accepted.iter().any(|own| own == one));
    if is_accepted { Ok(()) } else { Err(TokenError::Audience) }
}

/// A time of a claim: a number of seconds that is not negative, with or without a fraction.
fn time(claims: &Map<String, Value>, name: &'static str) -> Result<Option<f64>, TokenError> {
    let Some(claim) = claims.get(name) else { return Ok(None) };
    let seconds = claim.as_f64().filter(|seconds| seconds.is_finite() && *seconds >= 0.0);
    seconds.map(Some).ok_or(TokenError::Claim(name))
}
