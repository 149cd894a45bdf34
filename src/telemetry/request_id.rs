//! The id of a request in answers, in logs and at services.

use http::{HeaderMap, HeaderValue};

/// The header with it.
pub const HEADER: http::HeaderName = http::HeaderName::from_static("x-request-id");
/// The longest id of a client that is used.
const MAX_LENGTH: usize = 64;

/// The client's own id for its request if it is 1 to 64 letters, digits, `.`, `_` or `-`; a new random one otherwise.
pub fn of(headers: &HeaderMap) -> HeaderValue {
    let is_plain = |id: &&HeaderValue| {
        (1..=MAX_LENGTH).contains(&id.len())
            && id.as_bytes().iter().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(byte))
    };
    headers.get(HEADER).filter(is_plain).cloned().unwrap_or_else(random)
}

/// 128 random bits, in hexadecimal digits.
fn random() -> HeaderValue {
    let mut text = const_hex::Buffer::<16>::new();
    // Digits and letters are always a value.
    HeaderValue::from_str(text.format(&fastrand::u128(..).to_ne_bytes())).unwrap_or(HeaderValue::from_static("none"))
}

/// The text of an id that [`of`] gave.
pub fn text(id: &HeaderValue) -> &str {
    id.to_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plain_request_id_is_kept_and_any_other_replaced() {
        let long = "a".repeat(65);
        for (sent, kept) in [("abc-1._Z", true), ("", false), ("a b", false), ("a\"b", false), (long.as_str(), false)] {
            let mut headers = HeaderMap::new();
            headers.insert("x-request-id", sent.parse().unwrap());
            let id = of(&headers);
            assert_eq!(id == *sent, kept, "{sent}");
            assert!(!id.is_empty());
        }
    }
}
