//! The header of a request over HTTP/2, made what the hooks know from HTTP/1: one `Host`, a path as target, one `Cookie`.
//!
//! `h2` has refused fields that belong to a connection, and pseudo-header fields that are missing or come twice. Pingora has
//! refused lengths and hosts that contradict each other.

use bytes::{BufMut as _, BytesMut};
use http::header::{COOKIE, EXPECT, HOST};
use http::{HeaderValue, Method, Uri};
use pingora::http::RequestHeader;

use crate::proxy::framing::MAX_FIELDS;
use crate::proxy::malformed::Malformed;

/// Stands for the method of what is no request.
const UNREADABLE: &[u8] = b"-";

/// Makes it so; returns what is wrong with it.
pub(super) fn plain(request: &mut RequestHeader) -> Option<Malformed> {
    if request.method == Method::CONNECT {
        // Pingora would answer it itself.
        request.set_method(Method::from_bytes(UNREADABLE).unwrap_or_default());
        set_host(request);
        request.set_uri(Uri::from_static("*"));
        return Some(Malformed::Connect);
    }
    if !set_host(request) || !join_cookies(request) {
        return Some(Malformed::Header);
    }
    // Such a client is told nothing between its header and the answer (`docs/http2.md`).
    request.remove_header(&EXPECT);
    if request.headers.len() > MAX_FIELDS {
        return Some(Malformed::HeaderTooLarge);
    }
    let is_visible = request.raw_path().iter().all(u8::is_ascii_graphic);
    (!is_visible).then_some(Malformed::Path)
}

/// Puts `:authority` into `Host`, and leaves the path alone as target. Whether that can be.
fn set_host(request: &mut RequestHeader) -> bool {
    let Some(authority) = request.uri.authority() else { return true };
    let Ok(host) = HeaderValue::from_str(authority.as_str()) else { return false };
    if let Some(path) = request.uri.path_and_query().cloned() {
        request.set_uri(path.into());
    }
    request.insert_header(HOST, host).is_ok()
}

/// Joins cookies that came in a field each, for the sake of compression (RFC 9113 §8.2.3). Whether that can be.
fn join_cookies(request: &mut RequestHeader) -> bool {
    let mut cookies = request.headers.get_all(COOKIE).iter();
    let (Some(first), Some(second)) = (cookies.next(), cookies.next()) else { return true };
    let mut joined = BytesMut::from(first.as_bytes());
    for cookie in std::iter::once(second).chain(cookies) {
        joined.put_slice(b"; ");
        joined.put_slice(cookie.as_bytes());
    }
    HeaderValue::from_maybe_shared(joined.freeze()).is_ok_and(|joined| request.insert_header(COOKIE, joined).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, fields: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = http::Request::builder().method(method).uri(uri).version(http::Version::HTTP_2);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0.into()
    }

    #[test]
    fn the_authority_is_the_host_and_the_target_is_a_path() {
        for (uri, fields, host, target) in [
            ("https://g:8443/a?b", &[][..], "g:8443", "/a?b"),
            ("http://g/", &[("host", "g")], "g", "/"),
            ("/a", &[("host", "h")], "h", "/a"),
        ] {
            let mut request = request("GET", uri, fields);
            assert_eq!(plain(&mut request), None, "{uri}");
            assert_eq!(request.headers.get_all(HOST).iter().collect::<Vec<_>>(), [host], "{uri}");
            assert_eq!((request.raw_path(), request.uri.authority()), (target.as_bytes(), None), "{uri}");
        }
    }

    #[test]
    fn cookies_are_one_field_in_their_order() {
        for (crumbs, whole) in [
            (&[][..], None),
            (&[("cookie", "a=1")], Some("a=1")),
            (&[("cookie", "a=1; b=2"), ("x", "y"), ("cookie", "c=3"), ("cookie", "d=4")], Some("a=1; b=2; c=3; d=4")),
        ] {
            let mut request = request("GET", "https://g/", crumbs);
            assert_eq!(plain(&mut request), None);
            let cookies: Vec<_> = request.headers.get_all(COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
            assert_eq!(cookies, Vec::from_iter(whole));
        }
    }

    #[test]
    fn what_is_no_request_is_told() {
        let mut tunnel = request("CONNECT", "g:443", &[]);
        assert_eq!(plain(&mut tunnel), Some(Malformed::Connect));
        assert_eq!((tunnel.method.as_str(), tunnel.uri.path()), ("-", "*"));
        assert_eq!(tunnel.headers[HOST], "g:443");
        assert_eq!(plain(&mut request("GET", "https://g/\u{e9}", &[])), Some(Malformed::Path));
        let mut large = request("GET", "https://g/", &[("a", "b"); MAX_FIELDS]);
        assert_eq!(plain(&mut large), Some(Malformed::HeaderTooLarge));
    }

    #[test]
    fn nobody_waits_for_what_is_never_said() {
        let mut request = request("POST", "https://g/", &[("expect", "100-continue")]);
        assert_eq!((plain(&mut request), request.headers.contains_key(EXPECT)), (None, false));
    }
}
