//! What a service says of the probes of its instances.

use std::fmt;
use std::time::Duration;

use super::{Host, Invalid};

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
