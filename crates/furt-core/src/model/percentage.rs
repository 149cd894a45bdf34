//! A part of all callers or requests.

use std::fmt;

use super::Invalid;

/// A percentage from 0 to 100 in steps of 0.01, which are called points.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percentage(u16);

impl Percentage {
    /// None of it.
    pub const NONE: Self = Self(0);
    /// All of it.
    pub const ALL: Self = Self(Self::POINTS);
    /// How many points all of it are.
    pub const POINTS: u16 = 10_000;

    /// From so many points, at most [`POINTS`](Self::POINTS).
    ///
    /// # Errors
    /// It is more than the whole.
    pub fn try_new(points: u16) -> Result<Self, Invalid> {
        if points <= Self::POINTS { Ok(Self(points)) } else { Err(Self::invalid()) }
    }

    /// From a number with at most two decimals.
    ///
    /// # Errors
    /// It is not from 0 to 100, or has more decimals.
    pub fn try_percent(percent: f64) -> Result<Self, Invalid> {
        let points = (percent * 100.0).round();
        // A double is nearest to one text of two decimals.
        if !(0.0..=f64::from(Self::POINTS)).contains(&points) || points / 100.0 != percent {
            return Err(Self::invalid());
        }
        // In range, and whole.
        Ok(Self(points as u16))
    }

    /// From a text, such as `5%` or `0.25`.
    ///
    /// # Errors
    /// It is none, or out of range.
    pub fn from_text(text: &str) -> Result<Self, Invalid> {
        let number = text.strip_suffix('%').unwrap_or(text);
        points(number).filter(|points| *points <= Self::POINTS).map(Self).ok_or_else(Self::invalid)
    }

    fn invalid() -> Invalid {
        Invalid::new("must be a percentage from 0 to 100 with at most two decimals")
    }

    /// The points, at most [`POINTS`](Self::POINTS).
    pub fn points(self) -> u16 {
        self.0
    }

    /// As a number, 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 100.0
    }

    /// What is left of it without that part, at least nothing.
    pub fn without(self, part: Self) -> Self {
        Self(self.0.saturating_sub(part.0))
    }

    /// Whether something is within, for which `drawn` was drawn, 0 to below [`POINTS`](Self::POINTS).
    pub fn has(self, drawn: u16) -> bool {
        drawn < self.0
    }
}

/// Such as `5%` and `0.25%`.
impl fmt::Display for Percentage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.percent())
    }
}

fn points(number: &str) -> Option<u16> {
    let is_digits =
        |text: &str, most| (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    let (whole, rest) = number.split_once('.').unwrap_or((number, "0"));
    if !is_digits(whole, 3) || !is_digits(rest, 2) {
        return None;
    }
    let (whole, rest_points): (u16, u16) = (whole.parse().ok()?, rest.parse().ok()?);
    let rest_points = if rest.len() == 1 { rest_points * 10 } else { rest_points };
    whole.checked_mul(100)?.checked_add(rest_points)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_has_at_most_two_decimals() {
        for (percent, points) in
            [(0.0, 0), (0.01, 1), (0.07, 7), (5.0, 500), (33.33, 3_333), (99.99, 9_999), (100.0, 10_000)]
        {
            let share = Percentage::try_percent(percent).unwrap();
            assert_eq!((share.points(), share.percent()), (points, percent));
        }
        for points in 0..=Percentage::POINTS {
            let share = Percentage::try_new(points).unwrap();
            assert_eq!(Percentage::try_percent(share.percent()), Ok(share));
            assert_eq!(Percentage::from_text(&share.to_string()), Ok(share));
        }
        for bad in [-0.01, 100.01, 0.001, 33.333, f64::NAN, f64::INFINITY, -1e300] {
            assert!(Percentage::try_percent(bad).is_err(), "{bad}");
        }
        assert!(Percentage::try_new(10_001).is_err());
    }

    #[test]
    fn it_is_read_as_people_write_it() {
        for (text, points) in [("5%", 500), ("5", 500), ("0.25", 25), ("12.50%", 1_250), ("007.1", 710), ("0%", 0)] {
            assert_eq!(Percentage::from_text(text).map(Percentage::points), Ok(points), "{text}");
        }
        for bad in [
            "", "%", "5%%", "+5", "-0", "1e1", "1.005", "five", "101", "100.01%", "1000%", "99999", " 5", "5 %", ".5%",
            "5.%", "1.2.3",
        ] {
            assert!(Percentage::from_text(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn it_has_that_part_of_all_that_can_be_drawn() {
        for points in [0, 1, 1_000, 10_000] {
            let share = Percentage::try_new(points).unwrap();
            assert_eq!((0..Percentage::POINTS).filter(|drawn| share.has(*drawn)).count(), usize::from(points));
        }
        assert_eq!(Percentage::ALL.without(Percentage(1)), Percentage(9_999));
        assert_eq!(Percentage(1).without(Percentage(2)), Percentage::NONE);
    }
}
