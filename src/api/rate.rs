//! How often one address may register.
//!
//! A generic cell rate algorithm by hand: the crates for it can count an attempt or refuse it, but not look first and
//! count later, which is what leaves identical registrations uncounted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use furt_core::model::Rate;

/// Addresses that are remembered each for itself; beyond them those whose debt is paid are forgotten, and if none is,
/// the rest is counted together.
const REMEMBERED: usize = 10_000;

/// For each address, by when its attempts so far are paid off.
#[derive(Default)]
pub(super) struct SourceRates(Mutex<Debts>);

#[derive(Default)]
struct Debts {
    /// What they were counted by.
    limits: Option<(Rate, u32)>,
    paid_off: HashMap<IpAddr, Instant>,
}

impl SourceRates {
    /// Counts an attempt, if by `rate` over time and `burst` at once one more may be made now; gives what it cost.
    ///
    /// # Errors
    /// In so many whole seconds, at least 1, it may.
    pub(super) fn take(&self, source: IpAddr, rate: Rate, burst: u32, now: Instant) -> Result<Duration, u64> {
        let cost = Duration::from_secs(u64::from(rate.period_seconds)) / rate.count.get();
        let allowance = cost * burst.max(1);
        let mut debts = self.lock();
        if debts.limits.replace((rate, burst)) != Some((rate, burst)) {
            // What is owed by a slow rate would take hours to pay off by a fast one's allowance.
            debts.paid_off.clear();
        }
        let source = remembered(&mut debts.paid_off, source, now);
        let at = debts.paid_off.entry(source).or_insert(now);
        let debt = at.saturating_duration_since(now);
        match (debt + cost).checked_sub(allowance) {
            Some(wait) if !wait.is_zero() => Err(wait.as_secs_f64().ceil().max(1.0) as u64),
            _ => {
                *at = (*at).max(now) + cost;
                Ok(cost)
            }
        }
    }

    /// Takes an attempt back that turned out not to count, and cost so much.
    pub(super) fn give_back(&self, source: IpAddr, cost: Duration) {
        if let Some(at) = self.lock().paid_off.get_mut(&source) {
            *at -= cost;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Debts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The address to count for: its own, or where too many owe something, one that all further ones share.
fn remembered(paid_off: &mut HashMap<IpAddr, Instant>, source: IpAddr, now: Instant) -> IpAddr {
    if paid_off.len() >= REMEMBERED && !paid_off.contains_key(&source) {
        paid_off.retain(|_, at| *at > now);
        if paid_off.len() >= REMEMBERED {
            return IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED);
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
        assert_eq!(take(one, now), Err(1));
        assert_eq!(take(other, now), Ok(()));
        let later = now + Duration::from_millis(500);
        assert_eq!(take(one, later), Ok(()));
        assert_eq!(take(one, later), Err(1));
    }

    #[test]
    fn what_is_given_back_costs_nothing() {
        let rates = SourceRates::default();
        let (source, now) = ([127, 0, 0, 1].into(), crate::clock::now());
        for _ in 0..100 {
            let cost = rates.take(source, rate("1/m"), 1, now).unwrap();
            rates.give_back(source, cost);
        }
        assert!(rates.take(source, rate("1/m"), 1, now).is_ok());
        assert_eq!(rates.take(source, rate("1/m"), 1, now), Err(60));
    }

    #[test]
    fn another_rate_begins_anew() {
        let rates = SourceRates::default();
        let (source, now) = ([127, 0, 0, 1].into(), crate::clock::now());
        (0..100).for_each(|_| _ = rates.take(source, rate("1/m"), 100, now));
        assert_eq!(rates.take(source, rate("1/m"), 100, now), Err(60));
        assert!(rates.take(source, rate("10/s"), 1, now).is_ok(), "an hour's debt is forgotten");
        assert_eq!(rates.take(source, rate("10/s"), 1, now), Err(1));
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
        assert_eq!(take((1 << 24) + 1, now), Err(1));
        assert_eq!(rates.lock().paid_off.len(), REMEMBERED + 1);
        assert_eq!(take(1 << 25, now + Duration::from_secs(2)), Ok(()));
        assert_eq!(rates.lock().paid_off.len(), 1, "those that owe nothing are forgotten");
    }
}
