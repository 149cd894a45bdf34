//! What a service says of the probes of its instances.

use std::fmt;
use std::time::Duration;

use super::{Host, Invalid};

/// The longest name that gRPC's health protocol is asked about: with its length it is a message of one byte for each.
const MAX_NAME: usize = 127;

/// A service's own probes; what is `None` follows the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HealthCheck {
    /// Between probes of an instance that is UP.
    pub interval: Option<Duration>,
    /// For a whole probe: from the connect to the end of the header.
    pub timeout: Option<Duration>,
    /// Failures in a row that make an instance DOWN, at least 1.
    pub failures: Option<u32>,
    /// The statuses of a good answer; `None`: 200 to 299.
    pub status: Option<StatusRange>,
    /// The host that the probe asks for; `None`: that of the url.
    pub host: Option<Host>,
    /// The name that gRPC's own health protocol is asked about, empty for the whole server; `None`: the probe is a `GET`.
    pub grpc: Option<Box<str>>,
}

impl HealthCheck {
    /// A name that gRPC's own health protocol is asked about.
    ///
    /// # Errors
    /// More than 127 bytes, and what is not visible ASCII.
    pub fn try_grpc(text: &str) -> Result<Box<str>, Invalid> {
        if text.len() <= MAX_NAME && text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Ok(text.into())
        } else {
            Err(Invalid::new(format!(
                "must be the name of a gRPC service, at most {MAX_NAME} visible ASCII characters, or \"\" for the whole server"
            )))
        }
    }
}

/// Statuses from one to another, both within 200 to 599.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusRange {
    first: u16,
    last: u16,
}

impl StatusRange {
    /// Every 2xx.
    pub const SUCCESS: Self = Self { first: 200, last: 299 };

    /// From `204` or `200-399`.
    ///
    /// # Errors
    /// Anything else, and what is no final status.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let status = |text: &str| {
            let is_three_digits = text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse().ok().filter(|status| is_three_digits && (200..=599).contains(status))
        };
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        match (status(first), status(last)) {
            (Some(first), Some(last)) if first <= last => Ok(Self { first, last }),
            _ => Err(Invalid::new("must be a status or a range of them, from 200 to 599, such as \"200-399\"")),
        }
    }

    /// Whether a status is one of them.
    pub fn contains(self, status: u16) -> bool {
        (self.first..=self.last).contains(&status)
    }
}

impl fmt::Display for StatusRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self { first, last } if first == last => write!(f, "{first}"),
            Self { first, last } => write!(f, "{first}-{last}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_of_grpc_is_short_and_visible_or_empty() {
        for text in ["", "helloworld.Greeter", &"x".repeat(127)] {
            assert_eq!(HealthCheck::try_grpc(text).as_deref(), Ok(text));
        }
        for text in ["a b", "\u{e9}", "a\n", &"x".repeat(128)] {
            assert!(HealthCheck::try_grpc(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_range_of_statuses_is_one_or_two_of_them_in_their_order() {
        for text in ["200-399", "204", "200-599"] {
            assert_eq!(StatusRange::try_new(text).map(|range| range.to_string()), Ok(text.to_owned()));
        }
        for text in ["", "-", "200-", "399-200", "100-200", "200-600", "2xx", "+200", "200-299-399", " 200"] {
            assert!(StatusRange::try_new(text).is_err(), "{text}");
        }
        let range = StatusRange::try_new("200-399").unwrap();
        assert_eq!([199, 200, 399, 400].map(|status| range.contains(status)), [false, true, true, false]);
    }
}
