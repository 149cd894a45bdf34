//! gRPC's own health protocol (`grpc.health.v1`), by hand: a request is a message of one text, an answer one of one number.
//!
//! Knows the messages and what they say of an instance; `probe` sends and reads them.

use bytes::{BufMut as _, Bytes, BytesMut};
use http::HeaderMap;
use pingora::{Error, ErrorType, Result};

/// The method that is called.
pub(super) const PATH: &str = "/grpc.health.v1.Health/Check";
/// The most bytes of an answer: it takes seven, and other fields may be beside its own.
pub(super) const MAX_ANSWER: usize = 1024;
/// Before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;
/// `HealthCheckRequest.service` and `HealthCheckResponse.status` as they begin in a message.
const SERVICE: u8 = 1 << 3 | 2;
const STATUS: u64 = 1 << 3;

/// A request that asks for a name, which is shorter than 128 bytes; an empty one is the whole server.
pub(super) fn request(name: &str) -> Bytes {
    let field = if name.is_empty() { 0 } else { 2 + name.len() };
    let mut message = BytesMut::with_capacity(PREFIX + field);
    message.put_u8(0);
    message.put_u32(u32::try_from(field).unwrap_or(0));
    if !name.is_empty() {
        message.put_u8(SERVICE);
        message.put_u8(u8::try_from(name.len()).unwrap_or(0));
        message.put_slice(name.as_bytes());
    }
    message.freeze()
}

/// Judges an answer. `end` are its trailers, or its header where it has no others.
///
/// # Errors
/// The instance is not one that serves, with the reason in words.
pub(super) fn judge(name: &str, end: &HeaderMap, body: &[u8]) -> Result<()> {
    let status = end.get("grpc-status").and_then(|status| status.to_str().ok()?.parse().ok());
    match status {
        Some(0) => {}
        None => return failed(0, "it answers, and without a grpc-status".to_owned()),
        Some(5) => return failed(5, format!("its health service does not know {} (NOT_FOUND)", shown(name))),
        Some(12) => return failed(12, "it has no grpc.health.v1.Health (UNIMPLEMENTED)".to_owned()),
        Some(other) => return failed(other, format!("its health service failed: grpc-status {other}{}", word(other))),
    }
    match serving_status(body) {
        Some(1) => Ok(()),
        Some(0) => failed(0, format!("its health service says UNKNOWN of {}", shown(name))),
        Some(2) => failed(2, format!("its health service says NOT_SERVING of {}", shown(name))),
        Some(3) => failed(3, format!("its health service says SERVICE_UNKNOWN of {}", shown(name))),
        Some(_) | None => failed(0, "its health service answers what is no HealthCheckResponse".to_owned()),
    }
}

/// # Errors
/// Always.
pub(super) fn failed(number: u16, why: String) -> Result<()> {
    Error::e_explain(ErrorType::CustomCode("grpc", number), why)
}

fn shown(name: &str) -> String {
    if name.is_empty() { "the server".to_owned() } else { format!("\"{name}\"") }
}

/// The name of a status, where it is one that servers answer by themselves.
fn word(status: u16) -> &'static str {
    match status {
        1 => " (CANCELLED)",
        2 => " (UNKNOWN)",
        4 => " (DEADLINE_EXCEEDED)",
        7 => " (PERMISSION_DENIED)",
        8 => " (RESOURCE_EXHAUSTED)",
        13 => " (INTERNAL)",
        14 => " (UNAVAILABLE)",
        16 => " (UNAUTHENTICATED)",
        _ => "",
    }
}

/// The number in an answer; a field that is not there has its default, 0. `None`: it is no answer, or compressed, which was
/// not asked for.
fn serving_status(body: &[u8]) -> Option<u64> {
    let (prefix, mut message) = body.split_at_checked(PREFIX)?;
    let length = u32::from_be_bytes(prefix.get(1..)?.try_into().ok()?);
    if prefix.first() != Some(&0) || usize::try_from(length).ok()? != message.len() {
        return None;
    }
    let mut status = 0;
    while !message.is_empty() {
        let tag = varint(&mut message)?;
        match tag & 7 {
            0 => {
                let value = varint(&mut message)?;
                // Of a field that comes twice the last one counts.
                if tag == STATUS {
                    status = value;
                }
            }
            1 => message = message.get(8..)?,
            2 => {
                let length = usize::try_from(varint(&mut message)?).ok()?;
                message = message.get(length..)?;
            }
            5 => message = message.get(4..)?,
            _ => return None,
        }
    }
    Some(status)
}

/// A number in groups of seven bits, the lowest first.
fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_a_message_of_one_text() {
        assert_eq!(request(""), &[0, 0, 0, 0, 0][..]);
        assert_eq!(request("a.B"), &b"\0\0\0\0\x05\x0a\x03a.B"[..]);
        let longest = request(&"x".repeat(127));
        assert_eq!((longest.len(), &longest[..7]), (5 + 2 + 127, &[0, 0, 0, 0, 129, 0x0a, 127][..]));
    }

    #[test]
    fn an_answer_is_a_number_among_fields_that_may_be_unknown() {
        for (body, expected) in [
            (&b"\0\0\0\0\x02\x08\x01"[..], Some(1)),
            (b"\0\0\0\0\0", Some(0)),
            (b"\0\0\0\0\x04\x08\x02\x08\x01", Some(1)),
            (b"\0\0\0\0\x06\x12\x02ab\x08\x01", Some(1)),
            (b"\0\0\0\0\x11\x11\0\0\0\0\0\0\0\0\x1d\0\0\0\0\x08\x81\0", Some(1)),
            (b"\0\0\0\0\x02\x10\x01", Some(0)),
            (b"\x01\0\0\0\x02\x08\x01", None),
            (b"\0\0\0\0\x03\x08\x01", None),
            (b"\0\0\0\0\x01\x08", None),
            (b"\0\0\0\0\x03\x12\x7fa", None),
            (b"\0\0\0\0\x01\x0b", None),
            (b"\0\0\0\0\x0b\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", None),
            (b"\0\0\0\0", None),
            (b"", None),
            (b"<html>", None),
        ] {
            assert_eq!(serving_status(body), expected, "{body:?}");
        }
    }

    #[test]
    fn what_is_not_serving_is_told_in_words() {
        let told = |name: &str, status: Option<&str>, body: &[u8]| {
            let end: HeaderMap = status
                .map(|status| (http::HeaderName::from_static("grpc-status"), status.parse().unwrap()))
                .into_iter()
                .collect();
            judge(name, &end, body).map_err(|error| error.context.unwrap().as_str().to_owned())
        };
        assert_eq!(told("a", Some("0"), b"\0\0\0\0\x02\x08\x01"), Ok(()));
        for (status, body, expected) in [
            (Some("0"), &b"\0\0\0\0\x02\x08\x02"[..], "its health service says NOT_SERVING of \"a\""),
            (Some("0"), b"\0\0\0\0\0", "its health service says UNKNOWN of \"a\""),
            (Some("0"), b"\0\0\0\0\x02\x08\x03", "its health service says SERVICE_UNKNOWN of \"a\""),
            (Some("0"), b"", "its health service answers what is no HealthCheckResponse"),
            (Some("5"), b"", "its health service does not know \"a\" (NOT_FOUND)"),
            (Some("12"), b"", "it has no grpc.health.v1.Health (UNIMPLEMENTED)"),
            (Some("14"), b"", "its health service failed: grpc-status 14 (UNAVAILABLE)"),
            (Some("99"), b"", "its health service failed: grpc-status 99"),
            (None, b"\0\0\0\0\x02\x08\x01", "it answers, and without a grpc-status"),
        ] {
            assert_eq!(told("a", status, body), Err(expected.to_owned()));
        }
        assert_eq!(told("", Some("5"), b""), Err("its health service does not know the server (NOT_FOUND)".to_owned()));
    }
}
