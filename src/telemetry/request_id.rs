//! The id that a request goes by in answers, logs and at services.

use http::HeaderMap;

/// The longest id that is taken over from a client.
const MAX_LENGTH: usize = 64;

/// The client's own id for its request if it is short and plain, a new one otherwise.
pub fn of(headers: &HeaderMap) -> Box<str> {
    let plain = |id: &&str| {
        (1..=MAX_LENGTH).contains(&id.len())
            && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
    };
    match headers.get("x-request-id").and_then(|value| value.to_str().ok()).filter(plain) {
        Some(id) => id.into(),
        None => format!("{:032x}", fastrand::u128(..)).into(),
    }
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
            assert_eq!(&*id == sent, kept, "{sent}");
            assert!(!id.is_empty());
        }
    }
}
