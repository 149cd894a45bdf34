//! How often one address may register.
//!
//! A generic cell rate algorithm by hand: the crates for it can count an attempt or refuse it, but not look first and
//! count later, which is what leaves identical registrations uncounted (DESIGN §9).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::model::Rate;

/// Addresses that are remembered before those whose debt is paid are forgotten.
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

    /// Whether one more attempt may be made now.
    ///
    /// # Errors
    /// In so many whole seconds, at least 1, it may.
    pub(super) fn check(&self, source: IpAddr, now: Instant) -> Result<(), u64> {
        let debt = self.lock().get(&source).map_or(Duration::ZERO, |at| at.saturating_duration_since(now));
        match (debt + self.cost).checked_sub(self.allowance) {
            Some(wait) if !wait.is_zero() => Err(wait.as_secs_f64().ceil().max(1.0) as u64),
            _ => Ok(()),
        }
    }

    /// Counts an attempt.
    pub(super) fn count(&self, source: IpAddr, now: Instant) {
        let mut paid_off = self.lock();
        if paid_off.len() >= REMEMBERED {
            paid_off.retain(|_, at| *at > now);
        }
        let at = paid_off.entry(source).or_insert(now);
        *at = (*at).max(now) + self.cost;
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.paid_off.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_its_burst_and_then_its_rate() {
        let rates = SourceRates::new(Rate::try_new("2/s").unwrap(), 3);
        let (one, other) = ([127, 0, 0, 1].into(), [127, 0, 0, 2].into());
        let now = crate::clock::now();
        for _ in 0..3 {
            assert_eq!(rates.check(one, now), Ok(()));
            rates.count(one, now);
        }
        assert_eq!(rates.check(one, now), Err(1));
        assert_eq!(rates.check(other, now), Ok(()));
        let later = now + Duration::from_millis(500);
        assert_eq!(rates.check(one, later), Ok(()));
        rates.count(one, later);
        assert_eq!(rates.check(one, later), Err(1));
    }

    #[test]
    fn looking_costs_nothing() {
        let rates = SourceRates::new(Rate::try_new("1/m").unwrap(), 1);
        let now = crate::clock::now();
        (0..100).for_each(|_| assert_eq!(rates.check([127, 0, 0, 1].into(), now), Ok(())));
    }

    #[test]
    fn addresses_that_owe_nothing_are_forgotten() {
        let rates = SourceRates::new(Rate::try_new("1/s").unwrap(), 1);
        let now = crate::clock::now();
        (0..REMEMBERED as u32).for_each(|number| rates.count(std::net::Ipv4Addr::from(number).into(), now));
        rates.count([10, 0, 0, 1].into(), now + Duration::from_secs(2));
        assert_eq!(rates.lock().len(), 1);
    }
}
