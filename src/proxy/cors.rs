//! What browsers of other origins are told (the Fetch standard, §3.2), where `cors` is in force for the route: furt answers a
//! preflight in the service's place, before any key is asked for, and says in each answer who may read it, its own answers too.
//!
//! CORS is no access control: a request of another origin goes on, and its page reads nothing. A WebSocket is the exception,
//! which no browser keeps from a page: there furt itself refuses.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS,
    ACCESS_CONTROL_REQUEST_HEADERS, ACCESS_CONTROL_REQUEST_METHOD, COOKIE, HOST, ORIGIN,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use pingora::Result;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::answer::GatewayAnswer;
use super::client::{Client, FORWARDED_HOST};
use super::context::Context;
use super::preflight::Preflight;
use super::{secure, vary, websockets};
use crate::wire::GatewayProblem;
use furt_core::model::{MAX_CORS_HEADERS, Scheme, is_of_host};
use furt_core::routing::{CorsPolicy, Route};

/// What the names of all headers about CORS begin with that an answer has.
const ANY: &str = "access-control-";

/// The method that a preflight is about; `None`: the request is none.
pub(super) fn asked_method(request: &RequestHeader) -> Option<Method> {
    if request.method != Method::OPTIONS || !request.headers.contains_key(ORIGIN) {
        return None;
    }
    let asked = only(&request.headers, &ACCESS_CONTROL_REQUEST_METHOD)?;
    Method::from_bytes(asked.as_bytes()).ok()
}

/// What browsers may do with a route from other origins.
pub(super) fn policy(route: &Route) -> Option<&CorsPolicy> {
    route.rules.as_ref()?.cors.as_ref()
}

/// Answers a preflight to a route with that policy.
///
/// # Errors
/// The origin is not allowed.
pub(super) fn preflight(request: &RequestHeader, policy: &CorsPolicy) -> Result<GatewayAnswer, GatewayAnswer> {
    let headers = &request.headers;
    if allowed_origin(headers, policy).is_none() {
        return Err(GatewayProblem::OriginNotAllowed.into());
    }
    // What is no list cannot be sent back, and the browser refuses.
    let asked = only(headers, &ACCESS_CONTROL_REQUEST_HEADERS).filter(|asked| is_list(asked));
    Ok(GatewayAnswer::preflight(Preflight {
        // It is there: it has led to the route.
        method: headers.get(ACCESS_CONTROL_REQUEST_METHOD).cloned().unwrap_or(HeaderValue::from_static("")),
        headers: policy.allow_headers().or(asked).cloned(),
        max_age: policy.max_age().clone(),
    }))
}

/// Whether a page of that origin may open a WebSocket here: one of the request's own host may without being named.
///
/// # Errors
/// It may not.
pub(super) fn check_websocket(
    request: &RequestHeader,
    policy: &CorsPolicy,
    client: &Client,
) -> Result<(), GatewayAnswer> {
    let headers = &request.headers;
    let may_open = !is_foreign(request, client) || allowed_origin(headers, policy).is_some();
    if may_open { Ok(()) } else { Err(GatewayProblem::OriginNotAllowed.into()) }
}

/// Edits the request for a WebSocket that goes to the service: browsers send cookies along whatever the page says.
pub(super) fn for_service(session: &Session, request: &mut RequestHeader, ctx: &Context) {
    let has_none = ctx.target.cors().is_some_and(|policy| !policy.allows_credentials());
    if has_none && websockets::is_asked_for(session) && is_foreign(session.req_header(), &ctx.client) {
        request.remove_header(&COOKIE);
    }
}

/// Whether a request is of a page of another host.
fn is_foreign(request: &RequestHeader, client: &Client) -> bool {
    if !request.headers.contains_key(ORIGIN) {
        return false;
    }
    let is_https = client.scheme == Scheme::Https || secure::came_by_https(request, client);
    let origin = only(&request.headers, &ORIGIN).and_then(|origin| origin.to_str().ok());
    let is_own =
        |origin: &str| is_of_host(origin, authority(request, client)) && !(is_https && origin.starts_with("http:"));
    !origin.is_some_and(is_own)
}

/// Removes what the service says of origins: the policy stands for it.
pub(super) fn remove(response: &mut ResponseHeader) {
    let said: Vec<HeaderName> =
        response.headers.keys().filter(|name| name.as_str().starts_with(ANY)).cloned().collect();
    for name in said {
        response.remove_header(&name);
    }
}

/// Says in an answer who may read it.
///
/// # Errors
/// A header that cannot be made; none of these.
pub(super) fn tell(request: &RequestHeader, response: &mut ResponseHeader, policy: &CorsPolicy) -> Result<()> {
    if policy.varies() {
        vary::append(response, "Origin")?;
    }
    // The same for every request, also for one without an origin: a cache may keep it for both.
    let any = HeaderValue::from_static("*");
    let allowed = if policy.varies() { allowed_origin(&request.headers, policy) } else { Some(any) };
    let Some(allowed) = allowed else { return Ok(()) };
    response.insert_header(ACCESS_CONTROL_ALLOW_ORIGIN, allowed)?;
    if policy.allows_credentials() {
        response.insert_header(ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"))?;
    }
    response.insert_header(ACCESS_CONTROL_EXPOSE_HEADERS, policy.expose_headers().clone())
}

/// `Access-Control-Allow-Origin` for the request's origin, where it has one and may read.
fn allowed_origin(headers: &HeaderMap, policy: &CorsPolicy) -> Option<HeaderValue> {
    policy.allow_origin(only(headers, &ORIGIN)?)
}

/// The value of a header that is there once. What is there twice could be read in two ways.
fn only<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Option<&'h HeaderValue> {
    let mut all = headers.get_all(name).iter();
    all.next().filter(|_| all.next().is_none())
}

/// Whether it is a list of names, which is sent back as it came.
fn is_list(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let is_name = |name: &str| {
        let name = name.trim_matches([' ', '\t']);
        name.is_empty() || HeaderName::from_bytes(name.as_bytes()).is_ok()
    };
    text.split(',').count() <= MAX_CORS_HEADERS && text.split(',').all(is_name)
}

/// The host and port that a client asks for, as it wrote them or as a trusted proxy says.
pub(super) fn authority<'r>(request: &'r RequestHeader, client: &Client) -> &'r str {
    let text = |name: &HeaderName| request.headers.get(name).and_then(|host| host.to_str().ok());
    let told = if client.is_peer_trusted { text(&FORWARDED_HOST) } else { None };
    let told = told.and_then(|hosts| hosts.split(',').next()).map(str::trim).filter(|host| !host.is_empty());
    let sent = || request.uri.authority().map_or_else(|| text(&HOST).unwrap_or_default(), |own| own.as_str());
    told.unwrap_or_else(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_headers_are_sent_back() {
        let value = |text: &'static str| HeaderValue::from_static(text);
        for good in ["", "x-api-key", "authorization, Content-Type ,x-a", "x-a,,x-b"] {
            assert!(is_list(&value(good)), "{good}");
        }
        for bad in ["x a", "x-a; x-b", "x-a\", \"x", "ä"] {
            assert!(!is_list(&HeaderValue::from_bytes(bad.as_bytes()).unwrap()), "{bad}");
        }
        let many = |count: usize| HeaderValue::from_str(&vec!["x"; count].join(",")).unwrap();
        assert!(is_list(&many(MAX_CORS_HEADERS)) && !is_list(&many(MAX_CORS_HEADERS + 1)));
    }
}
