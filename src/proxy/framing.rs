//! Target, host and framing of messages: what two readers could understand differently is refused or made plain.
//!
//! Pingora has checked lengths, duplicates of `Host`, and that an absolute target agrees with it; what it lets
//! through beyond RFC 9112 is caught here. Called by `admission` and `headers`; never decides where a request goes.

use http::header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};

/// Interim answers (1xx) to one request; more than a service sends in an hour of `102 Processing` every half minute.
const MAX_INTERIM: u32 = 128;

/// Why a request is refused before its path is looked at, if it is.
///
/// Pingora takes a target that is neither a path nor a url ("admin") for `/` and sends it on as it came: routed as one
/// path, read as another.
pub(super) fn fault(request: &RequestHeader) -> Option<&'static str> {
    let target = request.raw_path();
    if !matches!(target.first(), Some(b'/' | b'*')) && !is_url(target) {
        return Some("the target must be a path, or a url of http or https");
    }
    match request.headers.get(HOST) {
        Some(host) if !is_host(host.as_bytes()) => Some("the Host is not a host"),
        // Only an HTTP/1.0 client may leave it out, and Pingora does not compare what is not there with a url.
        None if request.version != Version::HTTP_10 || is_url(target) => Some("the Host is missing"),
        _ => None,
    }
}

fn is_url(target: &[u8]) -> bool {
    ["http://", "https://"]
        .iter()
        .any(|scheme| target.get(..scheme.len()).is_some_and(|start| start.eq_ignore_ascii_case(scheme.as_bytes())))
}

/// Whether it may be a host and port (RFC 3986 §3.2.2, without the comma that lists are split at); empty is allowed.
fn is_host(text: &[u8]) -> bool {
    text.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%:[]!$&'()*+;=".contains(byte))
}

/// Gives the request the form that services are sent (RFC 9112 §3.2.1): a path as target, a `Host`, one length.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn plain_request(request: &mut RequestHeader, own_host: impl FnOnce() -> Option<String>) -> Result<()> {
    if is_url(request.raw_path()) {
        // The uri has path and query alone.
        request.set_uri(request.uri.clone());
    }
    if request.headers.get(HOST).is_none_or(HeaderValue::is_empty)
        && let Some(host) = own_host()
    {
        request.insert_header(HOST, host)?;
    }
    match single_length(&request.headers) {
        Some(length) => request.insert_header(CONTENT_LENGTH, length),
        None => Ok(()),
    }
}

/// Gives the answer a framing that every client reads alike.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn plain_response(response: &mut ResponseHeader) -> Result<()> {
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
pub(super) fn count_interim(count: &mut u32) -> Result<()> {
    *count += 1;
    if *count > MAX_INTERIM { broken("too many interim answers") } else { Ok(()) }
}

/// Checks an answer before anything of it is taken over.
///
/// # Errors
/// It switches protocols unasked, or its body has an end that nobody, or not this client, can tell.
pub(super) fn check_response(response: &ResponseHeader, request: &RequestHeader, is_upgrade: bool) -> Result<()> {
    // Pingora chunks what comes over HTTP/2 without a length after our last look at the header, and such a client knows
    // no chunks.
    let is_chunked_late = response.version == Version::HTTP_2
        && !response.headers.contains_key(CONTENT_LENGTH)
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

fn broken<T>(why: &'static str) -> Result<T> {
    Error::e_explain(ErrorType::InvalidHTTPHeader, why).map_err(Error::into_up)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(target: &str, headers: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build("GET", target.as_bytes(), None).unwrap();
        for (name, value) in headers {
            request.append_header(*name, *value).unwrap();
        }
        request
    }

    #[test]
    fn a_target_is_a_path_or_a_url() {
        for (target, is_refused) in [
            ("/", false),
            ("/a?b", false),
            ("*", false),
            ("http://g/a", false),
            ("HTTPS://g/a", false),
            ("admin", true),
            ("?a", true),
            ("@g/a", true),
            ("g:80", true),
            ("ftp://g/a", true),
        ] {
            assert_eq!(fault(&request(target, &[("host", "g")])).is_some(), is_refused, "{target}");
        }
    }

    #[test]
    fn a_host_is_one_and_is_there() {
        for (host, is_refused) in
            [("g", false), ("", false), ("g.example.:80", false), ("[::1]:80", false), ("a b", true), ("a,b", true)]
        {
            assert_eq!(fault(&request("/", &[("host", host)])).is_some(), is_refused, "{host}");
        }
        let mut without = request("/", &[]);
        assert!(fault(&without).is_some());
        without.set_version(Version::HTTP_10);
        assert!(fault(&without).is_none());
    }

    #[test]
    fn services_are_sent_a_path_a_host_and_one_length() {
        let mut sent = request("http://g/a?b=1", &[("content-length", "3, 3"), ("content-length", "3")]);
        plain_request(&mut sent, || Some("10.0.0.1:80".to_owned())).unwrap();
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
