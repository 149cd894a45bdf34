//! Target, host and framing of messages: what two readers could understand differently is refused or made plain.
//!
//! Pingora has checked lengths, duplicates of `Host`, and that an absolute target agrees with it; what it lets
//! through beyond RFC 9112 is caught here. Called by `admission` and `headers`; never decides where a request goes.

use std::borrow::Cow;
use std::net::Ipv6Addr;

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType};

use super::answer::GatewayAnswer;
use super::streams;
use crate::wire::GatewayProblem;
use furt_core::model::host;

/// Interim answers (1xx) to one request; more than a service sends in an hour of `102 Processing` every half minute.
const MAX_INTERIM: u32 = 128;
/// Fields of an answer, and the bytes of all of them: Pingora's bounds over HTTP/1.
pub(super) const MAX_FIELDS: usize = 256;
const MAX_FIELDS_BYTES: usize = 1024 * 1024 - 1;

/// Makes the target the one value that is matched and sent on: a path with its query (RFC 9112 §3.2.1).
///
/// Pingora keeps the target as it came beside the path that it makes of it, and sends on the former: of a url the path is
/// taken here, and of anything else that is no path nothing is, since it would be matched as `/`.
///
/// # Errors
/// The target is neither a path nor a url of http or https, in ASCII.
pub(super) fn use_origin_form(request: &mut RequestHeader) -> Result<(), &'static str> {
    let target = request.raw_path();
    if !target.is_ascii() {
        return Err("the target has a character that must be percent-encoded");
    }
    if target.first() == Some(&b'/') {
        return Ok(());
    }
    if !is_url(target) {
        return Err("the target must be a path, or a url of http or https");
    }
    // The uri has path and query alone.
    request.set_uri(request.uri.clone());
    Ok(())
}

/// Why a request with this `Host` is refused before its path is looked at, if it is. `is_url`: its target was a url when it
/// came.
pub(super) fn host_fault(host: Option<&HeaderValue>, version: Version, is_url: bool) -> Option<&'static str> {
    match host {
        Some(host) if !is_host(host.as_bytes()) => Some("the Host is not a host"),
        // Only an HTTP/1.0 client may leave it out, and Pingora does not compare what is not there with a url.
        None if version != Version::HTTP_10 || is_url => Some("the Host is missing"),
        _ => None,
    }
}

fn is_url(target: &[u8]) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes())))
}

/// Whether it is a host and a port, or a host, or empty (RFC 3986 §3.2.2, RFC 9112 §3.2). Without percent-encoding and empty
/// labels, which some services undo, and the comma at which lists are split.
pub(super) fn is_host(text: &[u8]) -> bool {
    let (host, port) = match text.iter().rposition(|byte| *byte == b':') {
        Some(colon) if text.last() != Some(&b']') => (&text[..colon], &text[colon + 1..]),
        _ => (text, &[][..]),
    };
    if !is_port(port) {
        return false;
    }
    if let Some(address) = host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")) {
        return std::str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok());
    }
    if host.is_empty() {
        return text.is_empty();
    }
    let mut is_label_empty = true;
    for &byte in host {
        if byte == b'.' && is_label_empty || !HOST_BYTES[usize::from(byte)] {
            return false;
        }
        is_label_empty = byte == b'.';
    }
    true
}

/// The dot, and what a label is made of.
const HOST_BYTES: [bool; 256] = {
    let mut all = [false; 256];
    let mut byte = 0_u8;
    while byte < 0x80 {
        all[byte as usize] = byte.is_ascii_alphanumeric()
            || matches!(byte, b'.' | b'-' | b'_' | b'~' | b'!' | b'$' | b'&'..=b'+' | b';' | b'=');
        byte += 1;
    }
    all
};

/// Whether it is the number of a port, or empty.
fn is_port(text: &[u8]) -> bool {
    let mut port = 0;
    for &byte in text {
        port = port * 10 + u32::from(byte.wrapping_sub(b'0'));
        if !byte.is_ascii_digit() || port > u32::from(u16::MAX) {
            return false;
        }
    }
    text.len() <= 5
}

/// Whether the body's framing is one that furt reads: chunks alone, said once, or no transfer coding at all.
///
/// Pingora looks at the last coding only, and sends the body on as chunks, so that a service would take what is compressed for
/// the content.
///
/// # Errors
/// Another coding, which furt does not know (RFC 9112 §6.1), or chunks of chunks (§7.1).
pub(super) fn check_transfer_coding(headers: &HeaderMap) -> Result<(), GatewayAnswer> {
    let mut sent = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(first) = sent.next() else { return Ok(()) };
    let is_chunked = |coding: &[u8]| coding.trim_ascii().eq_ignore_ascii_case(b"chunked");
    if sent.next().is_none() && is_chunked(first.as_bytes()) {
        return Ok(());
    }
    let codings =
        headers.get_all(TRANSFER_ENCODING).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    if codings.into_iter().all(is_chunked) {
        return Err(GatewayAnswer::from(GatewayProblem::BadRequest)
            .with_detail("the body is chunked more than once".to_owned()));
    }
    Err(GatewayProblem::TransferCoding.into())
}

/// Gives the request a `Host` where it came without one (HTTP/1.0), or with an empty one.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn plain_host(
    request: &mut RequestHeader,
    sent: Option<&HeaderValue>,
    own: impl FnOnce() -> Option<String>,
) -> pingora::Result<()> {
    match sent.filter(|host| !host.is_empty()) {
        Some(_) => Ok(()),
        None => own().map_or(Ok(()), |host| request.insert_header(HOST, host)),
    }
}

/// Gives a request with a body one length.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn plain_length(request: &mut RequestHeader) -> pingora::Result<()> {
    single_length(&request.headers).map_or(Ok(()), |length| request.insert_header(CONTENT_LENGTH, length))
}

/// Gives the answer a framing that every client reads alike.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn plain_response(response: &mut ResponseHeader) -> pingora::Result<()> {
    if response.status == StatusCode::NO_CONTENT {
        response.remove_header(&CONTENT_LENGTH);
        response.remove_header(&TRANSFER_ENCODING);
    }
    match single_length(&response.headers) {
        Some(length) => response.insert_header(CONTENT_LENGTH, length),
        None => Ok(()),
    }
}

/// The length that repeated or listed ones agree on (RFC 9110 §8.6), where it is not said once only.
fn single_length(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let first = lengths.next()?.as_bytes();
    if !first.contains(&b',') && lengths.next().is_none() {
        return None;
    }
    HeaderValue::from_bytes(first.split(|byte| *byte == b',').next()?.trim_ascii()).ok()
}

/// How long the request says that its body is; `None`: it does not say.
pub(super) fn body_length(request: &RequestHeader) -> Option<u64> {
    // Repeated lengths agree, or Pingora had refused the request.
    let length = request.headers.get(CONTENT_LENGTH)?.to_str().ok()?;
    length.split(',').next()?.trim().parse().ok()
}

/// Whether an answer is still to come after one of this status.
pub(super) fn is_interim(status: StatusCode) -> bool {
    status.is_informational() && status != StatusCode::SWITCHING_PROTOCOLS
}

/// Counts an interim answer.
///
/// # Errors
/// There were too many: the service would hold the client for ever.
pub(super) fn count_interim(count: &mut u32) -> pingora::Result<()> {
    *count += 1;
    if *count > MAX_INTERIM { broken("too many interim answers") } else { Ok(()) }
}

/// Checks an answer before anything of it is taken over.
///
/// # Errors
/// Its header is longer than one of HTTP/1 may be, it switches protocols unasked, or its body has an end that nobody, or not
/// this client, can tell.
pub(super) fn check_response(
    response: &ResponseHeader,
    request: &RequestHeader,
    is_upgrade: bool,
) -> pingora::Result<()> {
    if response.version == Version::HTTP_2 && !has_fields_within_bounds(&response.headers) {
        return broken("an answer over HTTP/2 with too many or too long fields");
    }
    // Pingora chunks what comes over HTTP/2 without a length after our last look at the header, and such a client knows
    // no chunks.
    let is_chunked_late = response.version == Version::HTTP_2
        && (!response.headers.contains_key(CONTENT_LENGTH) || streams::is_grpc_message(&response.headers))
        && request.method != Method::HEAD
        && !matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    if is_chunked_late && request.version == Version::HTTP_10 {
        return broken("an answer without a length over HTTP/2 to a client of HTTP/1.0");
    }
    if response.status == StatusCode::SWITCHING_PROTOCOLS && !is_upgrade {
        return broken("101 to a request that asked for no upgrade");
    }
    let coding = response.headers.get_all(TRANSFER_ENCODING).iter().next_back();
    let last = coding.map(|value| value.as_bytes().rsplit(|byte| *byte == b',').next().unwrap_or_default());
    if last.is_some_and(|last| !last.trim_ascii().eq_ignore_ascii_case(b"chunked")) {
        return broken("a transfer coding other than chunked");
    }
    Ok(())
}

/// Whether nothing follows the header of this answer, by what it says itself (RFC 9112 §6.3).
pub(super) fn is_whole_answer(response: &ResponseHeader, request: &RequestHeader) -> bool {
    request.method == Method::HEAD
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
        || !response.headers.contains_key(TRANSFER_ENCODING)
            && response
                .headers
                .get(CONTENT_LENGTH)
                .is_some_and(|length| length.as_bytes().iter().all(|byte| *byte == b'0'))
}

/// Checks the trailers of an answer over HTTP/2.
///
/// # Errors
/// They are more or longer than a header may be.
pub(super) fn check_trailers(trailers: &HeaderMap) -> pingora::Result<()> {
    if has_fields_within_bounds(trailers) {
        Ok(())
    } else {
        broken("trailers over HTTP/2 with too many or too long fields")
    }
}

/// Whether there are no more fields, and no longer ones, than Pingora reads over HTTP/1. Over HTTP/2 a few bytes on the wire
/// can stand for a field of kilobytes each, which the header's compression repeats.
fn has_fields_within_bounds(headers: &HeaderMap) -> bool {
    // As a line of HTTP/1: a colon, a blank, CRLF.
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    headers.len() <= MAX_FIELDS && headers.iter().map(line).sum::<usize>() <= MAX_FIELDS_BYTES
}

fn broken<T>(why: &'static str) -> pingora::Result<T> {
    Error::e_explain(ErrorType::InvalidHTTPHeader, why).map_err(Error::into_up)
}

/// The host that routes are matched by. Pingora has checked that target and `Host` agree.
pub(super) fn authority<'a>(target: Option<&'a http::uri::Authority>, host: Option<&'a HeaderValue>) -> Cow<'a, str> {
    let text = match target {
        Some(authority) => authority.as_str(),
        None => host.and_then(|value| value.to_str().ok()).unwrap_or_default(),
    };
    host::normalize(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use furt_core::model::path;

    fn request(target: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    #[test]
    fn a_target_is_a_path_or_a_url_whose_path_is_taken() {
        for (target, path) in [
            ("/", Some("/")),
            ("/a?b", Some("/a?b")),
            ("http://g/a", Some("/a")),
            ("HTTPS://g/a?b", Some("/a?b")),
            ("http://g", Some("/")),
            ("http://g?b", Some("/?b")),
            ("*", None),
            ("*/../a", None),
            ("**", None),
            ("admin", None),
            ("?a", None),
            ("@g/a", None),
            ("g:80", None),
            ("ftp://g/a", None),
            ("/a?\u{e9}", None),
        ] {
            let mut request = request(target, &[("host", "g")]);
            let is_taken = use_origin_form(&mut request).is_ok();
            assert_eq!(is_taken.then(|| std::str::from_utf8(request.raw_path()).unwrap()), path, "{target}");
        }
    }

    /// Whatever a target is made of: what is sent on is read as the path that was matched, or nothing is.
    #[test]
    fn what_is_sent_on_is_what_was_matched() {
        let words: [&[u8]; 24] = [
            b"/",
            b"*",
            b"?",
            b"#",
            b";",
            b"%",
            b"..",
            b".",
            b"a",
            b"http://",
            b"https:",
            b"g",
            b":80",
            b"@",
            b"\\",
            b"//",
            b"%2f",
            b"%2e",
            b"%00",
            b"\xc3\xa9",
            b"\xff",
            b"admin",
            b"ftp://",
            b"[",
        ];
        let mut random = fastrand::Rng::with_seed(11);
        let mut taken = 0;
        for _ in 0..300_000 {
            let target = (0..random.usize(1..8)).flat_map(|_| words[random.usize(..words.len())]).copied();
            let target: Vec<u8> = target.collect();
            let Ok(mut request) = RequestHeader::build("GET", &target, None) else { continue };
            if use_origin_form(&mut request).is_err() {
                continue;
            }
            let Ok(matched) = path::normalize(request.uri.path()) else { continue };
            let matched = matched.into_owned();
            plain_length(&mut request).unwrap();
            let sent = std::str::from_utf8(request.raw_path()).unwrap();
            let path = sent.split('?').next().unwrap();
            assert!(path.starts_with('/'), "{}", target.escape_ascii());
            assert_eq!(path::normalize(path).as_deref(), Ok(matched.as_str()), "{}", target.escape_ascii());
            taken += 1;
        }
        assert!(taken > 10_000, "{taken}");
    }

    #[test]
    fn a_host_is_one_and_is_there() {
        let fault = |host: Option<&str>, version, is_url| {
            host_fault(host.map(|host| HeaderValue::from_str(host).unwrap()).as_ref(), version, is_url)
        };
        for host in ["g", "", "g.example.:80", "g:", "[::1]:80", "[::1]", "127.0.0.1:65535", "a_b~c!d", "g:00080"] {
            assert_eq!(fault(Some(host), Version::HTTP_11, false), None, "{host}");
        }
        for host in [
            "a b",
            "a,b",
            "a/b",
            "g:x",
            ":80:80",
            "a:b:c",
            "[::1",
            "::1",
            "[::1]x",
            "[::1]:x",
            "[a]",
            "[]",
            ":80",
            ":",
            ".",
            "a..b",
            "g..",
            ".g",
            "g%2e",
            "g:65536",
            "g:123456",
            "g:-1",
            "g]",
            "[::1%25lo]",
            "u@g",
            "g\\",
        ] {
            assert!(fault(Some(host), Version::HTTP_11, false).is_some(), "{host}");
        }
        assert!(fault(None, Version::HTTP_11, false).is_some());
        assert!(fault(None, Version::HTTP_10, false).is_none());
        assert!(
            fault(None, Version::HTTP_10, true).is_some(),
            "nothing compares a url's host with one that is not there"
        );
    }

    #[test]
    fn chunks_said_once_are_the_only_transfer_coding() {
        for (codings, status) in [
            (&[][..], None),
            (&["chunked"], None),
            (&["Chunked "], None),
            (&["chunked, chunked"], Some(400)),
            (&["chunked", "chunked"], Some(400)),
            (&["gzip, chunked"], Some(501)),
            (&["gzip", "chunked"], Some(501)),
            (&["identity, chunked"], Some(501)),
            (&["chunked;a=b"], Some(501)),
            (&["chunked,"], Some(501)),
        ] {
            let mut headers = HeaderMap::new();
            for coding in codings {
                headers.append(TRANSFER_ENCODING, coding.parse().unwrap());
            }
            let refused = check_transfer_coding(&headers).err().map(|answer| answer.status().as_u16());
            assert_eq!(refused, status, "{codings:?}");
        }
    }

    #[test]
    fn fields_over_http_2_have_the_bounds_of_http_1() {
        for (count, length, is_refused) in [(256, 1, false), (257, 1, true), (4, 262_100, false), (4, 262_144, true)] {
            let mut response = ResponseHeader::build(200, None).unwrap();
            response.set_version(Version::HTTP_2);
            for _ in 0..count {
                response.append_header("x-a", "v".repeat(length)).unwrap();
            }
            assert_eq!(
                check_response(&response, &request("/", &[]), false).is_err(),
                is_refused,
                "{count} of {length}"
            );
        }
    }

    #[test]
    fn services_are_sent_a_path_a_host_and_one_length() {
        let mut sent = request("http://g/a?b=1", &[("content-length", "3, 3"), ("content-length", "3")]);
        use_origin_form(&mut sent).unwrap();
        plain_host(&mut sent, None, || Some("10.0.0.1:80".to_owned())).unwrap();
        plain_length(&mut sent).unwrap();
        assert_eq!(sent.raw_path(), b"/a?b=1");
        assert_eq!(sent.headers[HOST], "10.0.0.1:80");
        assert_eq!(sent.headers.get_all(CONTENT_LENGTH).iter().collect::<Vec<_>>(), ["3"]);
    }

    #[test]
    fn an_answer_without_content_has_no_length() {
        let mut response = ResponseHeader::build(204, None).unwrap();
        response.insert_header(CONTENT_LENGTH, "4").unwrap();
        plain_response(&mut response).unwrap();
        assert!(response.headers.is_empty());
    }

    #[test]
    fn only_chunked_ends_a_transfer_coding() {
        for (coding, is_refused) in
            [("chunked", false), ("gzip, Chunked", false), ("foo", true), ("chunked, gzip", true)]
        {
            let mut response = ResponseHeader::build(200, None).unwrap();
            response.insert_header(TRANSFER_ENCODING, coding).unwrap();
            assert_eq!(check_response(&response, &request("/", &[]), false).is_err(), is_refused, "{coding}");
        }
    }
}
