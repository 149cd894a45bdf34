//! What one of several gateways has of a limit that holds for all of them together.

use std::num::NonZeroU32;

use super::{Rate, RateLimit};

/// One part of so many equal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share(NonZeroU32);

impl Share {
    /// All of it.
    pub const WHOLE: Self = Self(NonZeroU32::MIN);

    /// What each of so many gateways has; of none as of one.
    pub fn among(gateways: usize) -> Self {
        Self(u32::try_from(gateways).ok().and_then(NonZeroU32::new).unwrap_or(NonZeroU32::MIN))
    }

    /// The part of a limit, rounded down, and at least 1: a gateway that may send nothing would be none. 0 is no limit, and stays so.
    pub fn of(self, limit: u32) -> u32 {
        if limit == 0 { 0 } else { (limit / self.0).max(1) }
    }

    /// The part of a rate, which is exact, and of its burst, rounded down and at least 1.
    pub fn of_rate(self, limit: RateLimit) -> RateLimit {
        let RateLimit { rate, burst } = limit;
        let period_seconds = rate.period_seconds.saturating_mul(self.0.get());
        let burst = NonZeroU32::new(burst.get() / self.0).unwrap_or(NonZeroU32::MIN);
        RateLimit { rate: Rate { period_seconds, ..rate }, burst }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_never_nothing_and_no_limit_stays_none() {
        let cases = [(1, 10, 10), (2, 10, 5), (3, 10, 3), (10, 10, 1), (50, 10, 1), (3, 0, 0), (0, 7, 7)];
        for (gateways, limit, share) in cases {
            assert_eq!(Share::among(gateways).of(limit), share, "{limit} among {gateways}");
        }
        assert_eq!(Share::among(usize::MAX), Share::WHOLE, "more than there can be");
    }

    #[test]
    fn shares_of_a_rate_are_the_rate_together() {
        let limit = |text, burst| RateLimit::new(Rate::try_new(text).unwrap(), NonZeroU32::new(burst));
        for (text, burst, gateways, per_minute) in [("10/s", 9, 3, 200.0), ("1/m", 1, 4, 0.25), ("7/s", 2, 1, 420.0)] {
            let RateLimit { rate, burst: shared } = Share::among(gateways).of_rate(limit(text, burst));
            let each = f64::from(rate.count.get()) * 60.0 / f64::from(rate.period_seconds);
            assert!((each - per_minute).abs() < 1e-9, "{text} among {gateways}: {each}");
            assert_eq!(shared.get(), (burst / gateways as u32).max(1));
        }
    }
}
