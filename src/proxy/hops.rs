//! How far a request may still go: a loop of furts is broken by `Via` (RFC 9110 §7.6.3), and `OPTIONS` and `TRACE` end where
//! `Max-Forwards` says (§7.6.2).
//!
//! Looked at once a request is let in, so that nobody learns more by these headers than without them. Called by `admission`
//! and `headers`.

use bytes::Bytes;
use http::header::{ALLOW, HOST, MAX_FORWARDS, VIA};
use http::{HeaderMap, Method};
use pingora::http::RequestHeader;

use super::answer::GatewayAnswer;
use crate::wire::{GatewayProblem, Pseudonym};
use furt_core::model::MethodRule;
use furt_core::routing::Route;

/// How often a request may have passed furts of one name. Three or four stand in a row where edge, region and cluster each have
/// one; a loop is broken before its work is eight times that of a request.
const MAX_PASSES: usize = 8;

/// What a `*` route is shown as in `Allow`, which has no word for every method.
const USUAL: [Method; 7] =
    [Method::DELETE, Method::GET, Method::HEAD, Method::OPTIONS, Method::PATCH, Method::POST, Method::PUT];

/// Whether the request has passed furts of this name too often.
///
/// # Errors
/// The answer to it.
pub(super) fn check_loop(headers: &HeaderMap, own: &Pseudonym) -> Result<(), GatewayAnswer> {
    if !headers.contains_key(VIA) || own.count(headers) < MAX_PASSES {
        return Ok(());
    }
    let detail = format!("by its Via the request has passed {MAX_PASSES} times already");
    Err(GatewayAnswer::from(GatewayProblem::LoopDetected).with_detail(detail))
}

/// Whether `Max-Forwards` counts for requests of the method.
pub(super) fn is_limited(method: &Method) -> bool {
    matches!(*method, Method::OPTIONS | Method::TRACE)
}

/// How many servers the request may still be forwarded by; `None`: it does not say.
///
/// # Errors
/// What it says is not one whole number: two readers could understand it differently.
pub(super) fn max_forwards(headers: &HeaderMap) -> Result<Option<u32>, GatewayAnswer> {
    let mut values = headers.get_all(MAX_FORWARDS).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let digits = std::str::from_utf8(value.as_bytes()).unwrap_or_default().trim_ascii();
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number || values.next().is_some() {
        let detail = "Max-Forwards is not one whole number".to_owned();
        return Err(GatewayAnswer::from(GatewayProblem::BadRequest).with_detail(detail));
    }
    // A number that is too large for any is one that no chain reaches.
    Ok(Some(digits.parse().unwrap_or(u32::MAX)))
}

/// furt's own answer to a request that it may not forward. `routes`: those that match its host and path.
pub(super) fn last_hop<'a>(request: &RequestHeader, routes: impl IntoIterator<Item = &'a Route>) -> GatewayAnswer {
    if request.method == Method::TRACE {
        return GatewayAnswer::trace(trace(request));
    }
    GatewayAnswer::options().with_header(ALLOW, allow(routes))
}

/// The request as it came, but for all headers that may be a secret of its client or of a proxy before furt.
fn trace(request: &RequestHeader) -> Bytes {
    let mut text = format!("{} ", request.method).into_bytes();
    text.extend_from_slice(request.raw_path());
    text.extend_from_slice(format!(" {:?}\r\n", request.version).as_bytes());
    for (shown, name) in [("Host", HOST), ("Max-Forwards", MAX_FORWARDS), ("Via", VIA)] {
        for value in request.headers.get_all(name) {
            text.extend_from_slice(shown.as_bytes());
            text.extend_from_slice(b": ");
            text.extend_from_slice(value.as_bytes());
            text.extend_from_slice(b"\r\n");
        }
    }
    text.extend_from_slice(b"\r\n");
    text.into()
}

/// The methods of all routes, in the order of their names.
fn allow<'a>(routes: impl IntoIterator<Item = &'a Route>) -> String {
    let mut methods: Vec<Method> = Vec::new();
    for route in routes {
        match &route.method {
            MethodRule::Any => methods.extend(USUAL),
            MethodRule::Only(method) if *method == Method::GET => methods.extend([Method::GET, Method::HEAD]),
            MethodRule::Only(method) => methods.push(method.clone()),
        }
    }
    methods.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    methods.dedup();
    methods.iter().map(Method::as_str).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn headers(name: http::HeaderName, values: &[&str]) -> HeaderMap {
        values.iter().map(|value| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn max_forwards_is_one_whole_number() {
        for (values, expected) in [
            (&[][..], Ok(None)),
            (&["0"], Ok(Some(0))),
            (&["007"], Ok(Some(7))),
            (&["99999999999999999999"], Ok(Some(u32::MAX))),
            (&[""], Err(())),
            (&["-1"], Err(())),
            (&["+1"], Err(())),
            (&["1, 2"], Err(())),
            (&["1", "1"], Err(())),
            (&["ten"], Err(())),
        ] {
            let found = max_forwards(&headers(MAX_FORWARDS, values));
            assert_eq!(
                found.map_err(|answer| assert_eq!(answer.status(), StatusCode::BAD_REQUEST)),
                expected,
                "{values:?}"
            );
        }
    }

    #[test]
    fn a_loop_is_broken_after_eight_passes() {
        let own = Pseudonym::try_new("furt").unwrap();
        for (values, is_loop) in [
            (&[][..], false),
            (&["1.1 furt, 1.1 furt, 1.1 furt, 1.1 furt", "1.1 furt, 1.1 furt, 1.1 furt, 1.1 other"], false),
            (&["1.1 furt, 1.1 furt, 1.1 furt, 1.1 furt", "1.1 furt, 1.1 furt, 1.1 furt, 1.1 furt"], true),
        ] {
            let refused = check_loop(&headers(VIA, values), &own).err().map(|answer| answer.status().as_u16());
            assert_eq!(refused, is_loop.then_some(508), "{values:?}");
        }
    }

    #[test]
    fn a_trace_shows_the_way_and_no_secret() {
        let mut request = RequestHeader::build("TRACE", b"/a?b", None).unwrap();
        for (name, value) in [
            ("host", "g"),
            ("cookie", "secret"),
            ("x-api-key", "secret"),
            ("x-origin-secret", "secret"),
            ("max-forwards", "0"),
            ("via", "1.1 one"),
            ("via", "1.1 two"),
        ] {
            request.append_header(name, value).unwrap();
        }
        let shown = "TRACE /a?b HTTP/1.1\r\nHost: g\r\nMax-Forwards: 0\r\nVia: 1.1 one\r\nVia: 1.1 two\r\n\r\n";
        assert_eq!(trace(&request), shown);
    }
}
