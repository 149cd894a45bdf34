//! Which API key a request comes with: in `X-API-Key`, in `Authorization` where the operator says so, or as a certificate that stands
//! for one.
//!
//! One credential counts. `X-API-Key` goes before `Authorization`, which may be the service's own: there only what is a key of furt's
//! counts, and only that is kept from the service.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue, header};

use super::answer::GatewayAnswer;
use super::client::Client;
use super::context::Context;
use super::unauthorized::Challenges;
use crate::clock;
use crate::config::KeyAccept;
use crate::published::Published;
use crate::wire::GatewayProblem;
use furt_core::model::{KeyName, KeySpec, Sha256Digest};
use furt_core::routing::{ApiKey, Route};

/// The header that carries the key.
pub(super) const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The longest text of `Basic` that is decoded: a user and a key.
const MAX_BASIC: usize = 1024;

/// Finds the key that a request comes with, and whether it may take the route with it. A public route takes any request; a key
/// sent along is named to the service if it is good, and makes no difference otherwise.
///
/// # Errors
/// It may not.
pub(super) fn authenticate(
    headers: &HeaderMap,
    route: &Route,
    ctx: &mut Context,
    snapshot: &Published,
) -> Result<(), GatewayAnswer> {
    let Sent { key, is_in_authorization } = find(headers, &ctx.client, snapshot);
    ctx.credentials.has_good_key = Some(key.is_ok());
    // Also one that is not good here: the service is not to see it.
    ctx.credentials.is_in_authorization = is_in_authorization;
    if route.permission.is_none() {
        ctx.credentials.key = key.ok();
        return Ok(());
    }
    take(key, route, ctx, Challenges::of_keys(snapshot.config.keys.accept))
}

/// Takes the key that a request comes with to a route that asks for one. `otherwise`: what it is told to come with.
///
/// # Errors
/// It is not good here, or lacks the permission.
pub(super) fn take(
    key: Result<Arc<ApiKey>, GatewayProblem>,
    route: &Route,
    ctx: &mut Context,
    otherwise: Challenges,
) -> Result<(), GatewayAnswer> {
    let key = key.map_err(|problem| {
        let answer = GatewayAnswer::from(problem).with_challenges(otherwise);
        match problem {
            GatewayProblem::AddressNotAllowed => {
                answer.with_detail("the API key may not be used from this address".to_owned())
            }
            _ => answer,
        }
    })?;
    if let Some(permission) = &route.permission
        && !key.permissions.allows(permission)
    {
        let detail = format!("needs \"{permission}\"");
        return Err(GatewayAnswer::from(GatewayProblem::PermissionMissing).with_detail(detail));
    }
    ctx.credentials.is_asked_for = true;
    ctx.credentials.key = Some(key);
    Ok(())
}

/// Whether a request comes with a good key, also one that was refused before its key was asked for.
pub(super) fn has_good_key(headers: &HeaderMap, ctx: &Context, snapshot: &Published) -> bool {
    ctx.credentials.has_good_key.unwrap_or_else(|| find(headers, &ctx.client, snapshot).key.is_ok())
}

/// The name of the good key that a request comes with.
pub(super) fn name_of_key(headers: &HeaderMap, client: &Client, snapshot: &Published) -> Option<KeyName> {
    find(headers, client, snapshot).key.ok().map(|key| key.name.clone())
}

/// What a request came with.
pub(super) struct Sent {
    /// The key, where it is good here.
    pub(super) key: Result<Arc<ApiKey>, GatewayProblem>,
    /// Whether `Authorization` has a key of furt's, good or not.
    pub(super) is_in_authorization: bool,
}

/// The key of a request.
pub(super) fn find(headers: &HeaderMap, client: &Client, snapshot: &Published) -> Sent {
    let mut sent = headers.get_all(API_KEY).iter();
    let unknown = GatewayProblem::KeyUnknown;
    let (found, is_in_authorization) = match (sent.next(), sent.next()) {
        (None, _) => find_elsewhere(headers, client, snapshot),
        (Some(key), None) => (snapshot.keys.get(&Sha256Digest::of(key.as_bytes())).ok_or(unknown), false),
        // Two keys are none: which of them a service behind another proxy would see is anyone's guess.
        (Some(_), Some(_)) => (Err(unknown), false),
    };
    let is_good = |key: &Arc<ApiKey>| {
        if key.ends_ms.is_some_and(|end| end <= clock::unix_ms()) {
            return Err(unknown);
        }
        let allowed =
            key.allow_from.is_empty() || client.address.is_some_and(|address| key.allow_from.contains(address));
        if allowed { Ok(Arc::clone(key)) } else { Err(GatewayProblem::AddressNotAllowed) }
    };
    Sent { key: found.and_then(is_good), is_in_authorization }
}

/// The key of a request without `X-API-Key`, and whether it is in `Authorization`.
fn find_elsewhere<'s>(
    headers: &HeaderMap,
    client: &Client,
    snapshot: &'s Published,
) -> (Result<&'s Arc<ApiKey>, GatewayProblem>, bool) {
    let accept = snapshot.config.keys.accept;
    let sent = if accept.reads_authorization() { in_authorization(headers, accept) } else { None };
    if let Some(key) = sent.as_ref().and_then(|digest| snapshot.keys.get(digest)) {
        return (Ok(key), true);
    }
    // Most certificates stand for no key.
    let shown = client.secured.as_ref().and_then(|secured| secured.certificate());
    let of_certificate = shown.and_then(|(_, sha256)| snapshot.keys.get(&KeySpec::digest_of_certificate(sha256)));
    let otherwise = if sent.is_some() { GatewayProblem::KeyUnknown } else { GatewayProblem::KeyMissing };
    (of_certificate.ok_or(otherwise), false)
}

/// The scheme of `Authorization` and what follows it. Two of them are none.
fn authorization(headers: &HeaderMap) -> Option<(&[u8], &[u8])> {
    let mut sent = headers.get_all(header::AUTHORIZATION).iter().map(HeaderValue::as_bytes);
    let (Some(sent), None) = (sent.next(), sent.next()) else { return None };
    let space = sent.iter().position(|byte| *byte == b' ')?;
    Some((&sent[..space], sent[space..].trim_ascii()))
}

/// The text of `Authorization: Bearer` (RFC 6750 §2.1); one that is no text is empty.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = authorization(headers)?;
    scheme.eq_ignore_ascii_case(b"bearer").then(|| std::str::from_utf8(token).unwrap_or_default())
}

/// The digest of what may be a key in `Authorization` (RFC 6750 §2.1, RFC 7617); `None`: there is nothing of the kind.
fn in_authorization(headers: &HeaderMap, accept: KeyAccept) -> Option<Sha256Digest> {
    let (scheme, rest) = authorization(headers)?;
    if accept.bearer && scheme.eq_ignore_ascii_case(b"bearer") {
        return Some(Sha256Digest::of(rest));
    }
    if accept.basic && scheme.eq_ignore_ascii_case(b"basic") && rest.len() <= MAX_BASIC {
        let plain = STANDARD.decode(rest).ok()?;
        let colon = plain.iter().position(|byte| *byte == b':')?;
        return Some(Sha256Digest::of(&plain[colon + 1..]));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_in_authorization_is_a_bearer_s_token_or_a_password_and_only_where_that_is_accepted() {
        let all = KeyAccept { bearer: true, basic: true };
        let read = |values: &[&str], accept| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            in_authorization(&headers, accept)
        };
        let key = Some(Sha256Digest::of(b"k:1"));
        for (value, expected) in [
            ("Bearer k:1", key),
            ("bearer   k:1 ", key),
            ("Basic dXNlcjprOjE=", key),
            ("BASIC OmsqOjE=", Some(Sha256Digest::of(b"k*:1"))),
            ("Basic dXNlcg==", None),
            ("Basic %%%", None),
            ("Digest k:1", None),
            ("Bearer", None),
            ("", None),
        ] {
            assert_eq!(read(&[value], all), expected, "{value}");
        }
        assert_eq!(read(&["Bearer k:1", "Bearer k:1"], all), None, "twice is none");
        assert_eq!(read(&["Bearer k:1"], KeyAccept { bearer: false, ..all }), None);
        assert_eq!(read(&["Basic dXNlcjprOjE="], KeyAccept { basic: false, ..all }), None);
        assert_eq!(read(&[&format!("Basic {}", "A".repeat(MAX_BASIC + 4))], all), None);
    }
}
