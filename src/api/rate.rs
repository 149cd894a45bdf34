//! How often one address may register.
//!
//! A generic cell rate algorithm by hand: the crates for it can count an attempt or refuse it, but not look first and
//! count later, which is what leaves identical registrations uncounted (DESIGN §9).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Rate;

/// Addresses that are remembered each for itself; beyond them those whose debt is paid are forgotten, and if none is,
/// the rest is counted together.
const REMEMBERED: usize = 10_000;

/// For each address, by when its attempts so far are paid off.
pub(super) struct SourceRates {
    cost: Duration,
    allowance: Duration,
    paid_off: Mutex<HashMap<IpAddr, Instant>>,
}

impl SourceRates {
    /// `rate` over time, and `burst` at once.
    pub(super) fn new(rate: Rate, burst: u32) -> Self {
        let cost = Duration::from_secs(u64::from(rate.period_seconds)) / rate.count.get();
        Self { cost, allowance: cost * burst.max(1), paid_off: Mutex::default() }
    }

    /// Counts an attempt, if one more may be made now.
    ///
    /// # Errors
    /// In so many whole seconds, at least 1, it may.
    pub(super) fn take(&self, source: IpAddr, now: Instant) -> Result<(), u64> {
        let mut paid_off = self.lock();
        let source = remembered(&mut paid_off, source, now);
        let at = paid_off.entry(source).or_insert(now);
        let debt = at.saturating_duration_since(now);
        match (debt + self.cost).checked_sub(self.allowance) {
            Some(wait) if !wait.is_zero() => Err(wait.as_secs_f64().ceil().max(1.0) as u64),
            _ => {
                *at = (*at).max(now) + self.cost;
                Ok(())
            }
        }
    }

    /// Takes an attempt back that turned out not to count.
    pub(super) fn give_back(&self, source: IpAddr) {
        if let Some(at) = self.lock().get_mut(&source) {
            *at -= self.cost;
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.paid_off.lock().unwrap_or_else(PoisonError::into_inner)
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

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let rates = SourceRates::new(Rate::try_new("2/s").unwrap(), 3);
        let (one, other) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let now = crate::clock::now();
        (0..3).for_each(|_| assert_eq!(rates.take(one, now), Ok(())));
        assert_eq!(rates.take(one, now), Err(1));
        assert_eq!(rates.take(other, now), Ok(()));
        let later = now + Duration::from_millis(500);
        assert_eq!(rates.take(one, later), Ok(()));
        assert_eq!(rates.take(one, later), Err(1));
    }

    #[test]
    fn what_is_given_back_costs_nothing() {
        let rates = SourceRates::new(Rate::try_new("1/m").unwrap(), 1);
        let (source, now) = ([127, 0, 0, 1].into(), crate::clock::now());
        for _ in 0..100 {
            assert_eq!(rates.take(source, now), Ok(()));
            rates.give_back(source);
        }
        assert_eq!(rates.take(source, now), Ok(()));
        assert_eq!(rates.take(source, now), Err(60));
    }

    #[test]
    fn the_memory_is_bounded_and_those_beyond_it_share_one_rate() {
        let rates = SourceRates::new(Rate::try_new("1/s").unwrap(), 1);
        let now = crate::clock::now();
        let address = |number: u32| IpAddr::from(std::net::Ipv4Addr::from(number));
        (1..=REMEMBERED as u32).for_each(|number| assert_eq!(rates.take(address(number), now), Ok(())));
        assert_eq!(rates.take(address(1 << 24), now), Ok(()));
        assert_eq!(rates.take(address((1 << 24) + 1), now), Err(1));
        assert_eq!(rates.lock().len(), REMEMBERED + 1);
        assert_eq!(rates.take(address(1 << 25), now + Duration::from_secs(2)), Ok(()));
        assert_eq!(rates.lock().len(), 1, "those that owe nothing are forgotten");
    }
}
