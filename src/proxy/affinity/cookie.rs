//! The cookie `furt_affinity` in headers: what clients send, what they are told, what services do not see.
//!
//! Its value is one token for each service that the client stays with, the newest first: services of one host would take the cookie
//! from each other otherwise. A token is a mark of its service and the name of an instance (`names`). Only its length and its signs
//! are looked at here. What is no token is passed over, and is gone when the cookie is set again.

use http::header::{CACHE_CONTROL, COOKIE};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};

const NAME: &[u8] = b"furt_affinity";
/// Base64url of 18 bytes.
pub(super) const TOKEN_LEN: usize = 24;
/// The part of a token that is its service's.
pub(super) const MARK_LEN: usize = 4;
/// The most services of one host that a client stays with; of more it stays with the last ones. The cookie has 199 bytes then.
const MOST_TOKENS: usize = 8;
/// The most tokens that are looked at, also where several cookies have the name. A header may have 1 MiB.
const MOST_READ: usize = 32;

/// The pairs of all cookies, each as it was sent (RFC 6265 §4.2.1).
pub(super) fn pairs(sent: &HeaderMap) -> impl Iterator<Item = &[u8]> {
    let values = sent.get_all(COOKIE).into_iter();
    values.flat_map(|value| value.as_bytes().split(|byte| *byte == b';')).map(<[u8]>::trim_ascii)
}

/// The value, where a pair is the cookie.
fn value(pair: &[u8]) -> Option<&[u8]> {
    pair.strip_prefix(NAME)?.strip_prefix(b"=")
}

/// Whether a client sends the cookie, whatever it says.
pub(super) fn is_sent(sent: &HeaderMap) -> bool {
    pairs(sent).any(|pair| value(pair).is_some())
}

/// The tokens that a client sends, of whatever service.
pub(super) fn tokens(sent: &HeaderMap) -> impl Iterator<Item = &[u8; TOKEN_LEN]> {
    let parts = pairs(sent).filter_map(value).flat_map(|value| value.split(|byte| *byte == b'.'));
    let tokens = parts.take(MOST_READ).filter_map(|part| <&[u8; TOKEN_LEN]>::try_from(part).ok());
    tokens.filter(|token| is_token(token))
}

fn is_token(token: &[u8; TOKEN_LEN]) -> bool {
    token.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

/// What the client is told: the token of the service with this mark, before those that it has of others.
///
/// Without an age, the cookie lasts as long as the browser's session. `Path=/`, since a service may have routes anywhere on the host.
/// No `Domain`: it is the host's alone. `SameSite=Lax`: pages of other sites send no requests with it but by links.
pub(super) fn to_set(own: &str, mark: [u8; MARK_LEN], sent: &HeaderMap, is_secure: bool) -> String {
    let mut set = String::with_capacity(64 + MOST_TOKENS * (TOKEN_LEN + 1));
    set.push_str("furt_affinity=");
    set.push_str(own);
    let mut kept: Vec<&str> = Vec::new();
    for token in tokens(sent).filter(|token| token[..MARK_LEN] != mark) {
        let Ok(token) = std::str::from_utf8(token) else { continue };
        // A service has one instance for a client: what came first is the newest.
        if kept.len() + 1 < MOST_TOKENS && !kept.iter().any(|other| other[..MARK_LEN] == token[..MARK_LEN]) {
            kept.push(token);
        }
    }
    for token in kept {
        set.push('.');
        set.push_str(token);
    }
    set.push_str("; Path=/; HttpOnly; SameSite=Lax");
    if is_secure {
        set.push_str("; Secure");
    }
    set
}

/// Whether a cache may give an answer to other clients too, as far as the answer tells.
pub(super) fn is_for_many(method: &Method, response: &ResponseHeader) -> bool {
    let is_kept = |value: &HeaderValue| {
        let directives = value.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
        directives.into_iter().any(|one| one.eq_ignore_ascii_case(b"private") || one.eq_ignore_ascii_case(b"no-store"))
    };
    matches!(*method, Method::GET | Method::HEAD)
        && response.status != StatusCode::SWITCHING_PROTOCOLS
        && !response.headers.get_all(CACHE_CONTROL).iter().any(is_kept)
}

/// Removes the cookie, wherever it is among others. These stay as they are and in their order.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn remove(request: &mut RequestHeader) -> pingora::Result<()> {
    if !is_sent(&request.headers) {
        return Ok(());
    }
    let mut left = Vec::new();
    for header in request.headers.get_all(COOKIE) {
        let others = header.as_bytes().split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let others: Vec<_> = others.filter(|pair| value(pair).is_none() && !pair.is_empty()).collect();
        if !others.is_empty() {
            left.extend(HeaderValue::from_bytes(&others.join(b"; ".as_slice())).ok());
        }
    }
    request.remove_header(&COOKIE);
    left.into_iter().try_for_each(|value| request.append_header("Cookie", value).map(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    const A1: &str = "aaaa11111111111111111111";
    const A2: &str = "aaaa22222222222222222222";
    const B1: &str = "bbbb1111-_11111111111111";

    fn sent(values: &[&str]) -> HeaderMap {
        let values = values.iter().map(|value| (COOKIE, HeaderValue::from_str(value).unwrap()));
        values.collect()
    }

    #[test]
    fn what_is_no_token_is_passed_over() {
        for (values, expected) in [
            (&[][..], &[][..]),
            (&[""], &[]),
            (&["furt_affinity"], &[]),
            (&["furt_affinity="], &[]),
            (&["a=1; furt_affinity=aaaa11111111111111111111;b=2"], &[A1]),
            (&["furt_affinity=aaaa11111111111111111111.bbbb1111-_11111111111111"], &[A1, B1]),
            (&["furt_affinity=aaaa11111111111111111111", "furt_affinity=bbbb1111-_11111111111111"], &[A1, B1]),
            (&["furt_affinity=.. .aaaa11111111111111111111.;furt_affinity=x"], &[A1]),
            (&["furt_affinity=aaaa1111111111111111111", "furt_affinity=aaaa111111111111111111111"], &[]),
            (
                &[
                    "furt_affinity=aaaa1111111111111111111=.\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}\u{e9}",
                ],
                &[],
            ),
            (&["furt_affinity=\"aaaa11111111111111111111\""], &[]),
            (&["Furt_affinity=aaaa11111111111111111111", "xfurt_affinity=aaaa11111111111111111111"], &[]),
            (&["furt_affinity_=aaaa11111111111111111111", "furt_affinity =aaaa11111111111111111111"], &[]),
        ] {
            let sent = sent(values);
            let found: Vec<_> = tokens(&sent).map(|token| std::str::from_utf8(token).unwrap()).collect();
            assert_eq!(found, expected, "{values:?}");
        }
        let long = format!("furt_affinity={}{A1}", ".".repeat(100_000));
        assert_eq!(tokens(&sent(&[&long])).count(), 0, "not all of it is looked at");
        let many = format!("furt_affinity={A1}{}", format!(".{B1}").repeat(1_000));
        assert_eq!(tokens(&sent(&[&many])).count(), MOST_READ);
    }

    #[test]
    fn a_token_takes_the_place_of_its_services_and_leaves_those_of_others() {
        let set = |values: &[&str], is_secure| to_set(A1, *b"aaaa", &sent(values), is_secure);
        let tail = "; Path=/; HttpOnly; SameSite=Lax";
        assert_eq!(set(&[], false), format!("furt_affinity={A1}{tail}"));
        assert_eq!(set(&[], true), format!("furt_affinity={A1}{tail}; Secure"));
        let of_others = format!("furt_affinity={A2}.{B1}.x");
        let twice = "furt_affinity=bbbb22222222222222222222";
        assert_eq!(set(&[&of_others, twice], false), format!("furt_affinity={A1}.{B1}{tail}"));
        let many: Vec<_> = (10..30).map(|number| format!("{number:0>4}00000000000000000000")).collect();
        let all = set(&[&format!("furt_affinity={}", many.join("."))], false);
        assert_eq!(all, format!("furt_affinity={A1}.{}{tail}", many[..7].join(".")));
        assert_eq!(all.len(), "furt_affinity=".len() + 199 + tail.len());
    }

    #[test]
    fn a_service_sees_all_cookies_but_this_one() {
        for (values, expected) in [
            (&[][..], &[][..]),
            (&["a=1;b=2 ;; c"], &["a=1;b=2 ;; c"]),
            (&["furt_affinity=x"], &[]),
            (&["a=1; furt_affinity=x; b=\"2\"; furt_affinity=y;"], &["a=1; b=\"2\""]),
            (&["furt_affinity=x", "a=1", "furt_affinity=x; b=2"], &["a=1", "b=2"]),
            (&["furt_affinity_2=x; furt_affinity; \u{e9}=1"], &["furt_affinity_2=x; furt_affinity; \u{e9}=1"]),
        ] {
            let mut request = RequestHeader::build("GET", b"/", None).unwrap();
            for value in values {
                request.append_header("Cookie", HeaderValue::from_str(value).unwrap()).unwrap();
            }
            remove(&mut request).unwrap();
            let left: Vec<_> = request.headers.get_all(COOKIE).iter().map(|value| value.as_bytes()).collect();
            assert_eq!(left, expected.iter().map(|value| value.as_bytes()).collect::<Vec<_>>(), "{values:?}");
        }
    }

    #[test]
    fn an_answer_is_for_many_unless_it_says_that_it_is_not() {
        for (method, status, control, expected) in [
            (Method::GET, 200, &[][..], true),
            (Method::HEAD, 404, &["public, max-age=60"], true),
            (Method::GET, 200, &["no-cache", "private=\"set-cookie\""], true),
            (Method::GET, 200, &["max-age=1 , Private"], false),
            (Method::GET, 200, &["public", "NO-STORE"], false),
            (Method::POST, 200, &[], false),
            (Method::GET, 101, &[], false),
        ] {
            let mut response = ResponseHeader::build(status, None).unwrap();
            for value in control {
                response.append_header("Cache-Control", *value).unwrap();
            }
            assert_eq!(is_for_many(&method, &response), expected, "{method} {status} {control:?}");
        }
    }
}
