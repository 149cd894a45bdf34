//! What becomes of an answer of a route that asks for `compress`: by what it is, and then by what its client takes.

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE,
    ETAG, IF_NONE_MATCH, SET_COOKIE,
};
use http::{HeaderMap, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};

use super::accepted;
use crate::config::{CompressionConfig, ContentCoding};
use crate::proxy::streams;

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It stays as it is.
    Left,
    /// So it does, and another client would get it compressed.
    Varies,
    /// It is compressed.
    Compressed(ContentCoding),
    /// It says that nothing has changed of what the client has, which is one that was compressed.
    NotModified,
}

/// What becomes of `response`, the header as the client is to get it otherwise.
pub(super) fn of(request: &RequestHeader, response: &ResponseHeader, config: &CompressionConfig) -> Fate {
    // Whoever lets pages of other origins read what they get with a visitor's cookies, whether furt says so or the service.
    if is_kept(&response.headers) || response.headers.contains_key(ACCESS_CONTROL_ALLOW_CREDENTIALS) {
        return Fate::Left;
    }
    let coding = coding(request, config);
    if response.status == StatusCode::NOT_MODIFIED {
        let is_of_other_type = response.headers.contains_key(CONTENT_TYPE) && !is_of_types(&response.headers, config);
        return match coding {
            _ if is_of_other_type => Fate::Left,
            Some(_) if has_weak_one(&request.headers, &response.headers) => Fate::NotModified,
            // Mostly a 304 does not say what it is of. A cache that takes its `Vary` must not lose what the 200 said.
            Some(_) | None => Fate::Varies,
        };
    }
    if may_be_compressed(request, response, config) {
        coding.map_or(Fate::Varies, Fate::Compressed)
    } else {
        Fate::Left
    }
}

/// Whether nobody may change the content of an answer with these headers, or it is one of several parts, or is to pass as it comes. That
/// is looked at before rules change the headers as well: the service's own word counts.
pub(super) fn is_kept(headers: &HeaderMap) -> bool {
    headers.contains_key(CONTENT_ENCODING)
        || headers.contains_key(CONTENT_RANGE)
        || headers.contains_key(SET_COOKIE)
        || streams::is_answer(headers)
        || keeps_form(headers)
}

/// The coding that the client gets, if it gets any.
fn coding(request: &RequestHeader, config: &CompressionConfig) -> Option<ContentCoding> {
    let gets_none =
        request.method == Method::HEAD || request.version == Version::HTTP_10 || keeps_form(&request.headers);
    if gets_none { None } else { accepted::choose(&request.headers, &config.encodings) }
}

/// Whether it is, for a client that takes it.
fn may_be_compressed(request: &RequestHeader, response: &ResponseHeader, config: &CompressionConfig) -> bool {
    let headers = &response.headers;
    let has_no_body = response.status.is_informational()
        || matches!(response.status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT)
        || request.method == Method::CONNECT;
    let is_part = response.status == StatusCode::PARTIAL_CONTENT;
    let is_short = length(headers).is_some_and(|length| length < config.min_size);
    !has_no_body && !is_part && !is_short && is_of_types(headers, config)
}

fn is_of_types(headers: &HeaderMap, config: &CompressionConfig) -> bool {
    let Some(content_type) = headers.get(CONTENT_TYPE) else { return false };
    config.types.iter().any(|pattern| pattern.has(content_type.as_bytes()))
}

/// The bytes that an answer says it has; `None`: it does not say.
pub(super) fn length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Whether who sends it wants no proxy to change the content (RFC 9111 §5.2.1.6, §5.2.2.6).
fn keeps_form(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(CACHE_CONTROL).iter();
    let mut directives = lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b','));
    directives.any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Whether the answer's `ETag` is strong, and the client has named the weak form of it. furt alone makes such a form.
fn has_weak_one(request: &HeaderMap, response: &HeaderMap) -> bool {
    let Some(etag) = response.get(ETAG).map(|etag| etag.as_bytes()).filter(|etag| etag.starts_with(b"\"")) else {
        return false;
    };
    let lines = request.get_all(IF_NONE_MATCH).iter();
    // An ETag may have a comma, and what is between two of them is then not the same as the one that is looked for.
    let is_listed = |line: &[u8]| {
        let mut starts = memchr::memmem::find_iter(line, b"W/");
        starts.any(|at| line[at + 2..].starts_with(etag) && (at == 0 || matches!(line[at - 1], b',' | b' ' | b'\t')))
    };
    lines.into_iter().any(|line| is_listed(line.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> CompressionConfig {
        crate::config::Config::default().compression
    }

    /// A request with `Accept-Encoding: gzip` and more.
    fn request(method: &str, more: &[(&'static str, &str)]) -> RequestHeader {
        let mut request = RequestHeader::build(method, b"/", None).unwrap();
        request.insert_header("accept-encoding", "gzip").unwrap();
        for (name, value) in more {
            request.insert_header(*name, *value).unwrap();
        }
        request
    }

    fn response(status: u16, headers: &[(&'static str, &str)]) -> ResponseHeader {
        let mut response = ResponseHeader::build(status, None).unwrap();
        for (name, value) in headers {
            response.append_header(*name, *value).unwrap();
        }
        response
    }

    const GZIP: Fate = Fate::Compressed(ContentCoding::Gzip);
    const HTML: (&str, &str) = ("content-type", "text/html; charset=utf-8");

    #[test]
    fn an_answer_is_left_by_what_it_is() {
        for (status, headers, expected) in [
            (200, &[HTML][..], GZIP),
            (404, &[HTML], GZIP),
            (500, &[("content-type", "application/problem+json")], GZIP),
            (301, &[HTML, ("location", "/x")], GZIP),
            (200, &[HTML, ("content-length", "1024")], GZIP),
            (200, &[HTML, ("content-length", "1023")], Fate::Left),
            (200, &[HTML, ("content-length", "0")], Fate::Left),
            (200, &[], Fate::Left),
            (200, &[("content-type", "")], Fate::Left),
            (200, &[("content-type", "image/png")], Fate::Left),
            (200, &[("content-type", "text/event-stream")], Fate::Left),
            (200, &[("content-type", "Text/Event-Stream;charset=utf-8")], Fate::Left),
            (200, &[("content-type", "application/grpc+json")], Fate::Left),
            (200, &[HTML, ("content-encoding", "br")], Fate::Left),
            (200, &[HTML, ("content-range", "bytes 0-1/2")], Fate::Left),
            (200, &[HTML, ("set-cookie", "a=b")], Fate::Left),
            (200, &[HTML, ("access-control-allow-credentials", "true")], Fate::Left),
            (200, &[HTML, ("access-control-allow-origin", "*")], GZIP),
            (200, &[HTML, ("cache-control", "no-transform")], Fate::Left),
            (200, &[HTML, ("cache-control", "public"), ("cache-control", "max-age=1, No-Transform ")], Fate::Left),
            (200, &[HTML, ("cache-control", "x-no-transform, no-store")], GZIP),
            (204, &[HTML], Fate::Left),
            (205, &[HTML], Fate::Left),
            (206, &[HTML], Fate::Left),
            (101, &[HTML], Fate::Left),
            (103, &[HTML], Fate::Left),
            (304, &[HTML], Fate::Varies),
            (304, &[("content-type", "image/png")], Fate::Left),
            (304, &[("cache-control", "no-transform")], Fate::Left),
        ] {
            let found = of(&request("GET", &[]), &response(status, headers), &config());
            assert_eq!(found, expected, "{status} {headers:?}");
        }
        assert_eq!(of(&request("CONNECT", &[]), &response(200, &[HTML]), &config()), Fate::Left);
        assert_eq!(of(&request("POST", &[]), &response(200, &[HTML]), &config()), GZIP);
    }

    #[test]
    fn what_the_client_alone_is_the_reason_for_varies() {
        let html = response(200, &[HTML]);
        assert_eq!(of(&request("HEAD", &[]), &html, &config()), Fate::Varies);
        assert_eq!(of(&request("GET", &[("accept-encoding", "deflate")]), &html, &config()), Fate::Varies);
        assert_eq!(of(&request("GET", &[("cache-control", "no-transform")]), &html, &config()), Fate::Varies);
        let mut old = request("GET", &[]);
        old.set_version(Version::HTTP_10);
        assert_eq!(of(&old, &html, &config()), Fate::Varies);
        let png = response(200, &[("content-type", "image/png")]);
        assert_eq!(of(&request("HEAD", &[]), &png, &config()), Fate::Left);
    }

    #[test]
    fn a_304_is_of_what_the_client_says_that_it_has() {
        for (asked, etag, expected) in [
            ("W/\"x\"", Some("\"x\""), Fate::NotModified),
            ("\"a\", W/\"x\"", Some("\"x\""), Fate::NotModified),
            ("\"a\",W/\"x\",\"b\"", Some("\"x\""), Fate::NotModified),
            ("\"x\"", Some("\"x\""), Fate::Varies),
            ("W/\"xy\"", Some("\"x\""), Fate::Varies),
            ("W/\"x\"", Some("W/\"x\""), Fate::Varies),
            ("W/\"x\"", None, Fate::Varies),
            ("*", Some("\"x\""), Fate::Varies),
            ("\"W/\"x\"", Some("\"x\""), Fate::Varies),
        ] {
            let etag: Vec<_> = etag.iter().map(|etag| ("etag", *etag)).collect();
            let found = of(&request("GET", &[("if-none-match", asked)]), &response(304, &etag), &config());
            assert_eq!(found, expected, "{asked} {etag:?}");
        }
    }

    #[test]
    fn a_304_keeps_its_etag_for_a_client_that_would_get_no_coding() {
        let unchanged = response(304, &[("etag", "\"x\"")]);
        let asked = ("if-none-match", "W/\"x\"");
        for (request, expected) in [
            (request("GET", &[asked]), Fate::NotModified),
            (request("GET", &[asked, ("accept-encoding", "deflate")]), Fate::Varies),
            (request("GET", &[asked, ("cache-control", "no-transform")]), Fate::Varies),
            (request("HEAD", &[asked]), Fate::Varies),
        ] {
            assert_eq!(of(&request, &unchanged, &config()), expected, "{request:?}");
        }
    }
}
