//! A rate such as `20/s` or `300/m`, as configuration writes it, and how many may come at once beyond it.

use std::num::NonZeroU32;

use super::Invalid;

/// So many a period; the period is a second or a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many requests, at least 1.
    pub count: NonZeroU32,
    /// Per how many seconds: 1 or 60, or in a [`Share`](super::Share) a multiple of it.
    pub period_seconds: u32,
}

impl Rate {
    /// From `n/s` or `n/m`.
    ///
    /// # Errors
    /// Anything else, and a count of 0 or over 4,294,967,295.
    pub fn try_new(text: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("must be a rate such as \"20/s\" or \"300/m\"");
        let (count, unit) = text.split_once('/').ok_or_else(refused)?;
        let count = count.trim().parse().map_err(|_| refused())?;
        let period_seconds = match unit.trim() {
            "s" => 1,
            "m" => 60,
            _ => return Err(refused()),
        };
        Ok(Self { count, period_seconds })
    }
}

/// The largest burst: one beyond it is no limit.
pub const MAX_BURST: u32 = 1_000_000;

/// So many over time, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RateLimit {
    /// Over time.
    pub rate: Rate,
    /// At once, after a pause; at least 1.
    pub burst: NonZeroU32,
}

impl RateLimit {
    /// Of a rate; the burst is one second's worth of it, at least 1, unless said otherwise.
    pub fn new(rate: Rate, burst: Option<NonZeroU32>) -> Self {
        let second = || NonZeroU32::new(rate.count.get() / rate.period_seconds).unwrap_or(NonZeroU32::MIN);
        Self { rate, burst: burst.unwrap_or_else(second) }
    }

    /// From parts that may each be missing.
    ///
    /// # Errors
    /// A burst without a rate.
    pub fn try_of(rate: Option<Rate>, burst: Option<NonZeroU32>) -> Result<Option<Self>, Invalid> {
        match (rate, burst) {
            (None, Some(_)) => Err(Invalid::new("has no use without rate; must be left out")),
            (rate, burst) => Ok(rate.map(|rate| Self::new(rate, burst))),
        }
    }
}

impl std::fmt::Display for Rate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.count, if self.period_seconds == 1 { "s" } else { "m" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_second_or_a_minute() {
        assert_eq!(Rate::try_new("20/s").unwrap().to_string(), "20/s");
        assert_eq!(Rate::try_new(" 300 / m ").unwrap().period_seconds, 60);
        for bad in ["", "20", "0/s", "-1/s", "20/h", "a/s"] {
            assert!(Rate::try_new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_burst_is_a_seconds_worth_unless_said_otherwise() {
        let burst =
            |rate: &str, burst| RateLimit::new(Rate::try_new(rate).unwrap(), NonZeroU32::new(burst)).burst.get();
        assert_eq!([burst("20/s", 0), burst("300/m", 0), burst("2/m", 0), burst("2/m", 7)], [20, 5, 1, 7]);
        assert_eq!(RateLimit::try_of(None, None), Ok(None));
        assert!(RateLimit::try_of(None, NonZeroU32::new(1)).is_err());
    }
}
