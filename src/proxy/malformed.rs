//! Requests that are no HTTP/1.1: what is wrong with them, and what their clients are told.
//!
//! Pingora's parser repairs some, and answers others itself, without a code, a counter or a line in the access log. So the
//! edge gives Pingora another request in their place (`stand_in`) with this verdict beside it, and the hooks answer. Nothing of
//! such a request reaches a service.

use bytes::BytesMut;
use http::header;

use super::answer::GatewayAnswer;
use super::chunks::MALFORMED_CHUNKS;
use crate::listener::{Head, HeadScan, MAX_TARGET, RequestLine};
use crate::wire::GatewayProblem;

/// Why a request is refused. Handed to the hooks, which answer it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Malformed {
    /// The request line has other words, or other bytes, than one has.
    Line,
    /// `<` or `>` in the path.
    Path,
    /// The request line names another version.
    Version,
    /// A handshake of TLS.
    Tls,
    /// The preface of HTTP/2.
    Http2,
    /// `CONNECT`.
    Connect,
    /// The target is longer than any that is read.
    TargetTooLong,
    /// The header section is longer, or has more fields, than any that is read.
    HeaderTooLarge,
    /// Something else in the header section; only that Pingora's parser refuses it is known.
    Header,
    /// The chunks of the body, as far as they came with the header.
    Chunks,
}

impl Malformed {
    /// What is wrong with a header section, if that is seen before it is parsed. Quotes in a query are encoded on the way.
    pub(super) fn of(head: &mut Head) -> Option<Self> {
        let line = &head.bytes[..memchr::memchr(b'\n', &head.bytes).unwrap_or(head.bytes.len())];
        match head.scan.line {
            RequestLine::TooLong => Some(Self::TargetTooLong),
            _ if head.is_too_large && line.len() > MAX_TARGET => Some(Self::TargetTooLong),
            _ if head.is_too_large => Some(Self::HeaderTooLarge),
            RequestLine::Malformed => Some(Self::of_line(line.strip_suffix(b"\r").unwrap_or(line))),
            RequestLine::Plain => None,
            RequestLine::Quoted => match encoded(&head.bytes, line.len()) {
                Some(bytes) => {
                    let mut scan = HeadScan::default();
                    let length = scan.advance(&bytes);
                    // It was complete, so it still is.
                    (head.length, head.bytes, head.scan) = (length.unwrap_or_default(), bytes, scan);
                    (head.scan.line == RequestLine::TooLong).then_some(Self::TargetTooLong)
                }
                None => Some(Self::Path),
            },
        }
    }

    fn of_line(line: &[u8]) -> Self {
        let mut words = line.split(|byte| *byte == b' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            (Some([0x16, 0x03, ..]), ..) => Self::Tls,
            (Some(b"PRI"), Some(b"*"), Some(b"HTTP/2.0"), None) => Self::Http2,
            (Some(b"CONNECT"), ..) => Self::Connect,
            (Some(_), Some(_), None, None) => Self::Version,
            (Some(_), Some(_), Some(version), None) if is_version_of_another(version) => Self::Version,
            _ => Self::Line,
        }
    }

    /// What the client is told.
    pub(super) fn answer(self) -> GatewayAnswer {
        let (problem, detail) = match self {
            Self::Line => (
                GatewayProblem::BadRequest,
                "the request line must be a method, a target and a version in visible ASCII, without a fragment",
            ),
            Self::Path => (GatewayProblem::BadPath, "the path has a character that must be percent-encoded"),
            Self::Version => (GatewayProblem::BadRequest, "the version must be HTTP/1.1 or HTTP/1.0"),
            Self::Tls => (GatewayProblem::BadRequest, "this port speaks HTTP without TLS: use http://"),
            Self::Http2 => (GatewayProblem::BadRequest, "this port does not speak HTTP/2: use HTTP/1.1"),
            Self::Connect => {
                // No method is allowed for what CONNECT names (RFC 9110 §10.2.1).
                return GatewayAnswer::from(GatewayProblem::MethodNotAllowed).with_header(header::ALLOW, "");
            }
            Self::TargetTooLong => return GatewayProblem::TargetTooLong.into(),
            Self::HeaderTooLarge => return GatewayProblem::HeaderTooLarge.into(),
            Self::Header => (
                GatewayProblem::BadRequest,
                "the method, the target, a header's name or its value has a character that may not be there, \
                 or Host, target and framing contradict each other",
            ),
            Self::Chunks => (GatewayProblem::BadRequest, MALFORMED_CHUNKS),
        };
        GatewayAnswer::from(problem).with_detail(detail.to_owned())
    }
}

/// Whether a third word names a version, though none that is spoken here.
fn is_version_of_another(word: &[u8]) -> bool {
    word.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"HTTP/"))
        && !matches!(word, b"HTTP/1.1" | b"HTTP/1.0")
}

/// The same with the `"`, `<` and `>` of the query percent-encoded, as every browser does: services read them alike, but the
/// `http` crate reads none of them. `None`: the path has a `<` or a `>`, and paths are not repaired. `line` is the length of
/// the request line.
fn encoded(bytes: &[u8], line: usize) -> Option<BytesMut> {
    let mut out = BytesMut::with_capacity(bytes.len() + 64);
    let mut is_query = false;
    for &byte in &bytes[..line] {
        is_query |= byte == b'?';
        match byte {
            b'<' | b'>' if !is_query => return None,
            b'"' if is_query => out.extend_from_slice(b"%22"),
            b'<' => out.extend_from_slice(b"%3C"),
            b'>' => out.extend_from_slice(b"%3E"),
            _ => out.extend_from_slice(&[byte]),
        }
    }
    out.extend_from_slice(&bytes[line..]);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_what_the_client_speaks() {
        for (line, expected) in [
            (&b"\x16\x03\x01\x02\x00\x01"[..], Malformed::Tls),
            (b"PRI * HTTP/2.0", Malformed::Http2),
            (b"CONNECT a:443 HTTP/1.1", Malformed::Connect),
            (b"GET /", Malformed::Version),
            (b"GET / HTTP/1.2", Malformed::Version),
            (b"GET / http/1.1", Malformed::Version),
            (b"GET /a#b HTTP/1.1", Malformed::Line),
            (b"GET /a b HTTP/1.1", Malformed::Line),
            (b"GET / FTP/1.1", Malformed::Line),
            (b"nonsense", Malformed::Line),
            (b"", Malformed::Line),
        ] {
            assert_eq!(Malformed::of_line(line), expected, "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn quotes_are_encoded_in_the_query_alone() {
        for (line, expected) in [
            ("GET /a\"?\"<>\" HTTP/1.1\r", Some("GET /a\"?%22%3C%3E%22 HTTP/1.1\r")),
            ("GET /a\" HTTP/1.1\r", Some("GET /a\" HTTP/1.1\r")),
            ("GET /<?a HTTP/1.1\r", None),
            ("GET /> HTTP/1.1\r", None),
        ] {
            let rest = "\nX: \"<?>\r\n\r\n\"";
            let out = encoded(format!("{line}{rest}").as_bytes(), line.len());
            let expected = expected.map(|line| format!("{line}{rest}"));
            assert_eq!(out.as_deref(), expected.as_deref().map(str::as_bytes), "{line}");
        }
    }
}
