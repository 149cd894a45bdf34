//! A rate such as `20/s` or `300/m`, as configuration writes it.

use std::num::NonZeroU32;

use super::Invalid;

/// So many a period; the period is a second or a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How many, at least 1.
    pub count: NonZeroU32,
    /// Per how many seconds: 1 or 60.
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
}
