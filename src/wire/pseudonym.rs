//! furt's name in `Via` (RFC 9110 §7.6.3): the fields that it is sent in, and how often a request has passed under it.
//!
//! The fields are made with the configuration, so that a request copies one. `proxy` decides when a name is there too often.

use http::header::VIA;
use http::{HeaderMap, HeaderValue, Version};

use furt_core::model::Invalid;

/// The longest name, in bytes: as long as a label of a host.
const MAX_BYTES: usize = 63;

/// A name, as it stands in `Via`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pseudonym {
    name: Box<str>,
    received_1_0: HeaderValue,
    received_1_1: HeaderValue,
    received_2: HeaderValue,
}

impl Pseudonym {
    /// From a token (RFC 9110 §5.6.2) of at most 63 bytes.
    ///
    /// # Errors
    /// Anything else.
    pub fn try_new(name: &str) -> Result<Self, Invalid> {
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let refused =
            || Invalid::new(format!("must be 1 to {MAX_BYTES} of letters, digits and signs such as \"-\" and \".\""));
        if name.is_empty() || name.len() > MAX_BYTES || !name.bytes().all(is_token) {
            return Err(refused());
        }
        let field = |version| HeaderValue::try_from(format!("{version} {name}")).map_err(|_| refused());
        Ok(Self {
            name: name.into(),
            received_1_0: field("1.0")?,
            received_1_1: field("1.1")?,
            received_2: field("2.0")?,
        })
    }

    /// The value to append for a request that was received in that version of HTTP.
    pub fn field(&self, received: Version) -> HeaderValue {
        match received {
            Version::HTTP_10 => self.received_1_0.clone(),
            Version::HTTP_2 => self.received_2.clone(),
            _ => self.received_1_1.clone(),
        }
    }

    /// How many members of `Via` have the name. What a comment says may count as well; only who wrote it is harmed.
    pub fn count(&self, headers: &HeaderMap) -> usize {
        let members = headers.get_all(VIA).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        members
            .filter(|member| received_by(member).is_some_and(|by| by.eq_ignore_ascii_case(self.name.as_bytes())))
            .count()
    }
}

/// The second word of a member: the first is the protocol.
fn received_by(member: &[u8]) -> Option<&[u8]> {
    member.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).nth(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_of_all_values_are_counted_by_their_name_alone() {
        let furt = Pseudonym::try_new("furt").unwrap();
        for (values, count) in [
            (&[][..], 0),
            (&["1.1 furt"], 1),
            (&["1.1 furt, 1.0 FURT ,HTTP/1.1\tfurt (a comment)", "1.1 other", "1.1  furt"], 4),
            (&["1.1 furt:8080, 1.1 furt2, furt, 1.1 afurt, 2 not-furt"], 0),
            (&[",, ,", "", "1.1"], 0),
            (&["1.1 furt,1.1 furt,1.1 furt"], 3),
        ] {
            let mut headers = HeaderMap::new();
            values.iter().for_each(|value| _ = headers.append(VIA, value.parse().unwrap()));
            assert_eq!(furt.count(&headers), count, "{values:?}");
        }
    }

    #[test]
    fn a_name_is_a_token_and_follows_the_version_that_was_received() {
        let name = Pseudonym::try_new("furt-eu.1").unwrap();
        assert_eq!(name.field(Version::HTTP_10), "1.0 furt-eu.1");
        assert_eq!(name.field(Version::HTTP_11), "1.1 furt-eu.1");
        for refused in ["", "a b", "a,b", "a/b", "a\n", "\u{e9}", "a(b)", &"a".repeat(64)] {
            assert!(Pseudonym::try_new(refused).is_err(), "{refused:?}");
        }
        assert!(Pseudonym::try_new(&"a".repeat(63)).is_ok());
    }
}
