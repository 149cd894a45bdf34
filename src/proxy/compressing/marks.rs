//! The header of a compressed answer: what it says of its content is not true any more of what is sent.

use http::header::{ACCEPT_RANGES, CONTENT_ENCODING, CONTENT_LENGTH, ETAG, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue, Version};
use pingora::Result;
use pingora::http::ResponseHeader;

use crate::config::ContentCoding;
use crate::proxy::vary;

/// What is about the bytes that the service has sent.
const OF_THE_BYTES: [HeaderName; 6] = [
    CONTENT_LENGTH,
    ACCEPT_RANGES,
    HeaderName::from_static("content-md5"),
    HeaderName::from_static("digest"),
    HeaderName::from_static("repr-digest"),
    HeaderName::from_static("content-digest"),
];

/// Makes it the header of an answer in that coding, for a client that speaks `version`.
///
/// # Errors
/// A header that cannot be made; none of these.
pub(super) fn set(response: &mut ResponseHeader, coding: ContentCoding, version: Version) -> Result<()> {
    for name in &OF_THE_BYTES {
        response.remove_header(name);
    }
    response.insert_header("Content-Encoding", HeaderValue::from_static(coding.as_str()))?;
    if version == Version::HTTP_11 && !response.headers.contains_key(TRANSFER_ENCODING) {
        response.insert_header("Transfer-Encoding", HeaderValue::from_static("chunked"))?;
    }
    weaken(response)?;
    vary(response)
}

/// Takes back that it is in a coding, where it turns out to have no content.
pub(super) fn take_back(response: &mut ResponseHeader) {
    response.remove_header(&CONTENT_ENCODING);
}

/// Says that other clients get other bytes.
///
/// # Errors
/// A header that cannot be made; none of these.
pub(super) fn vary(response: &mut ResponseHeader) -> Result<()> {
    vary::append(response, "Accept-Encoding")
}

/// Makes a strong `ETag` weak: it stands for the same content, and not for the same bytes (RFC 9110 §8.8.1).
///
/// # Errors
/// A header that cannot be made; none of these.
pub(super) fn weaken(response: &mut ResponseHeader) -> Result<()> {
    match weak(&response.headers) {
        Some(etag) => response.insert_header("ETag", etag),
        None => Ok(()),
    }
}

/// Makes them the trailers of a compressed answer, as [`set`] does with its header.
pub(super) fn set_trailers(trailers: &mut HeaderMap) {
    for name in &OF_THE_BYTES {
        trailers.remove(name);
    }
    if let Some(etag) = weak(trailers) {
        trailers.insert(ETAG, etag);
    }
}

/// The weak form of a strong `ETag`.
fn weak(headers: &HeaderMap) -> Option<HeaderValue> {
    let etag = headers.get(ETAG)?.as_bytes();
    let weak = etag.starts_with(b"\"").then(|| [b"W/", etag].concat())?;
    HeaderValue::from_maybe_shared(bytes::Bytes::from(weak)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The header's fields but for `Content-Encoding`, as lines in the order of their names.
    fn edited(said: &[(&'static str, &str)], version: Version) -> Vec<String> {
        let mut response = ResponseHeader::build(200, None).unwrap();
        for (name, value) in said {
            response.append_header(*name, *value).unwrap();
        }
        set(&mut response, ContentCoding::Brotli, version).unwrap();
        assert_eq!(response.remove_header("content-encoding").unwrap(), "br");
        let mut lines: Vec<_> = response.headers.iter().map(|(name, value)| format!("{name}: {value:?}")).collect();
        lines.sort_unstable();
        lines
    }

    #[test]
    fn trailers_say_nothing_of_the_service_s_bytes_either() {
        for (said, expected) in [
            (&[("content-md5", "x"), ("digest", "x"), ("repr-digest", "x"), ("content-digest", "x")][..], &[][..]),
            (&[("etag", "\"x\""), ("x-sum", "1")], &[("etag", "W/\"x\""), ("x-sum", "1")]),
            (&[("etag", "W/\"x\"")], &[("etag", "W/\"x\"")]),
        ] {
            let map = |fields: &[(&'static str, &'static str)]| -> HeaderMap {
                fields.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
            };
            let mut trailers = map(said);
            set_trailers(&mut trailers);
            assert_eq!(trailers, map(expected), "{said:?}");
        }
    }

    #[test]
    fn what_was_true_of_the_service_s_bytes_alone_is_gone() {
        let (h1, h2) = (Version::HTTP_11, Version::HTTP_2);
        for (said, version, expected) in [
            (&[][..], h1, &["transfer-encoding: \"chunked\"", "vary: \"Accept-Encoding\""][..]),
            (&[], h2, &["vary: \"Accept-Encoding\""]),
            (&[("transfer-encoding", "chunked")], h1, &["transfer-encoding: \"chunked\"", "vary: \"Accept-Encoding\""]),
            (
                &[
                    ("content-length", "5"),
                    ("accept-ranges", "bytes"),
                    ("content-md5", "x"),
                    ("digest", "x"),
                    ("repr-digest", "x"),
                    ("content-digest", "x"),
                    ("x-kept", "1"),
                ],
                h2,
                &["vary: \"Accept-Encoding\"", "x-kept: \"1\""],
            ),
            (&[("etag", "\"x\""), ("vary", "*")], h2, &["etag: \"W/\\\"x\\\"\"", "vary: \"*\""]),
            (
                &[("etag", "W/\"x\""), ("vary", "accept-encoding")],
                h2,
                &["etag: \"W/\\\"x\\\"\"", "vary: \"accept-encoding\""],
            ),
            (
                &[("etag", "x"), ("vary", "Origin")],
                h2,
                &["etag: \"x\"", "vary: \"Accept-Encoding\"", "vary: \"Origin\""],
            ),
        ] {
            assert_eq!(edited(said, version), expected, "{said:?}");
        }
    }
}
