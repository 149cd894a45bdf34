//! How often one address may register.
//!
//! An attempt is counted before it is known whether it counts: one that changes nothing is given back.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use furt_core::live::RateLimiter;
use furt_core::model::{Rate, RateLimit};

/// Addresses that are remembered each for itself; beyond them those that owe nothing are forgotten, and if none does not, the
/// rest is counted together.
const REMEMBERED: usize = 10_000;

/// What each address has asked for.
#[derive(Default)]
pub(super) struct SourceRates(Mutex<Counted>);

#[derive(Default)]
struct Counted {
    /// What they are counted by.
    limit: Option<RateLimit>,
    by_address: HashMap<IpAddr, RateLimiter>,
}

/// An attempt that was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    counted_for: IpAddr,
}

impl SourceRates {
    /// Counts an attempt, if by `rate` over time and `burst` at once one more may be made now.
    ///
    /// # Errors
    /// After so long it may.
    pub(super) fn take(&self, source: IpAddr, rate: Rate, burst: u32, now: Instant) -> Result<Attempt, Duration> {
        let limit = RateLimit { rate, burst: NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN) };
        let mut counted = self.lock();
        if counted.limit.replace(limit) != Some(limit) {
            // What is owed by a slow rate would take hours to pay off by a fast one's allowance.
            counted.by_address.clear();
        }
        let counted_for = remembered(&mut counted.by_address, source, now);
        let limiter = counted.by_address.entry(counted_for).or_insert_with(|| RateLimiter::new(limit, now));
        limiter.check(now).map(|()| Attempt { counted_for })
    }

    /// Takes an attempt back that turned out not to count.
    pub(super) fn give_back(&self, attempt: Attempt) {
        if let Some(limiter) = self.lock().by_address.get(&attempt.counted_for) {
            limiter.give_back();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address to count for: its own, or where too many owe something, one that all further ones share.
fn remembered(by_address: &mut HashMap<IpAddr, RateLimiter>, source: IpAddr, now: Instant) -> IpAddr {
    if by_address.len() >= REMEMBERED && !by_address.contains_key(&source) {
        by_address.retain(|_, limiter| !limiter.is_idle(now));
        if by_address.len() >= REMEMBERED {
            return IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        }
    }
    source
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(text: &str) -> Rate {
        Rate::try_new(text).unwrap()
    }

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let rates = SourceRates::default();
        let take = |source, now| rates.take(source, rate("2/s"), 3, now).map(drop);
        let (one, other) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let now = crate::clock::now();
        (0..3).for_each(|_| assert_eq!(take(one, now), Ok(())));
        assert_eq!(take(one, now), Err(Duration::from_millis(500)));
        assert_eq!(take(other, now), Ok(()));
        let later = now + Duration::from_millis(500);
        assert_eq!(take(one, later), Ok(()));
        assert_eq!(take(one, later), Err(Duration::from_millis(500)));
    }

    #[test]
    fn what_is_given_back_costs_nothing() {
        let rates = SourceRates::default();
        let (source, now) = ([127, 0, 0, 1].into(), crate::clock::now());
        for _ in 0..100 {
            let attempt = rates.take(source, rate("1/m"), 1, now).unwrap();
            rates.give_back(attempt);
        }
        assert!(rates.take(source, rate("1/m"), 1, now).is_ok());
        assert_eq!(rates.take(source, rate("1/m"), 1, now), Err(Duration::from_secs(60)));
    }

    #[test]
    fn another_rate_begins_anew() {
        let rates = SourceRates::default();
        let (source, now) = ([127, 0, 0, 1].into(), crate::clock::now());
        (0..100).for_each(|_| _ = rates.take(source, rate("1/m"), 100, now));
        assert_eq!(rates.take(source, rate("1/m"), 100, now), Err(Duration::from_secs(60)));
        assert!(rates.take(source, rate("10/s"), 1, now).is_ok(), "an hour's debt is forgotten");
        assert_eq!(rates.take(source, rate("10/s"), 1, now), Err(Duration::from_millis(100)));
    }

    #[test]
    fn the_memory_is_bounded_and_those_beyond_it_share_one_rate() {
        let rates = SourceRates::default();
        let now = crate::clock::now();
        let take = |number: u32, now| {
            rates.take(IpAddr::from(std::net::Ipv4Addr::from(number)), rate("1/s"), 1, now).map(drop)
        };
        (1..=REMEMBERED as u32).for_each(|number| assert_eq!(take(number, now), Ok(())));
        assert_eq!(take(1 << 24, now), Ok(()));
        assert_eq!(take((1 << 24) + 1, now), Err(Duration::from_secs(1)));
        assert_eq!(rates.lock().by_address.len(), REMEMBERED + 1);
        assert_eq!(take(1 << 25, now + Duration::from_secs(2)), Ok(()));
        assert_eq!(rates.lock().by_address.len(), 1, "those that owe nothing are forgotten");
    }
}
