//! How often a key may be used.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter, clock::Clock, clock::DefaultClock};

use crate::model::{KeyName, Rate};

/// One limiter for each key that has a rate; the burst is one second's worth, at least 1.
#[derive(Default)]
pub struct KeyLimits {
    limiters: HashMap<KeyName, (Rate, Arc<DefaultDirectRateLimiter>)>,
    clock: DefaultClock,
}

impl KeyLimits {
    /// For these keys and rates.
    pub fn new(rates: impl IntoIterator<Item = (KeyName, Rate)>) -> Self {
        Self::default().replaced_by(rates)
    }

    /// For these keys and rates; what a key of the same rate has used up stays so.
    pub fn replaced_by(&self, rates: impl IntoIterator<Item = (KeyName, Rate)>) -> Self {
        let limiter = |name: &KeyName, rate| match self.limiters.get(name) {
            Some((before, limiter)) if *before == rate => Arc::clone(limiter),
            _ => Arc::new(RateLimiter::direct(quota(rate))),
        };
        let limiters = rates.into_iter().map(|(name, rate)| (name.clone(), (rate, limiter(&name, rate)))).collect();
        Self { limiters, clock: DefaultClock::default() }
    }

    /// Counts a use of the key.
    ///
    /// # Errors
    /// It is used too often; in so many whole seconds, at least 1, it may be used again.
    pub fn check(&self, key: &KeyName) -> Result<(), u64> {
        let Some((_, limiter)) = self.limiters.get(key) else { return Ok(()) };
        limiter.check().map_err(|until| until.wait_time_from(self.clock.now()).as_secs_f64().ceil().max(1.0) as u64)
    }
}

fn quota(rate: Rate) -> Quota {
    let burst = NonZeroU32::new(rate.count.get() / rate.period_seconds).unwrap_or(NonZeroU32::MIN);
    let interval = Duration::from_secs(u64::from(rate.period_seconds)) / rate.count.get();
    Quota::with_period(interval).unwrap_or(Quota::per_second(rate.count)).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_limited_to_its_rate_and_others_are_not() {
        let name = |text| KeyName::try_new(text).unwrap();
        let limits = KeyLimits::new([(name("slow"), Rate::try_new("2/m").unwrap())]);
        assert_eq!(limits.check(&name("slow")), Ok(()));
        let wait = limits.check(&name("slow")).unwrap_err();
        assert!((29..=30).contains(&wait), "{wait}");
        (0..1000).for_each(|_| assert_eq!(limits.check(&name("free")), Ok(())));
    }

    #[test]
    fn a_key_that_stays_as_it_was_has_used_up_what_it_had() {
        let (name, rate) = (KeyName::try_new("slow").unwrap(), |text| Rate::try_new(text).unwrap());
        let limits = KeyLimits::new([(name.clone(), rate("2/m"))]);
        assert_eq!(limits.check(&name), Ok(()));
        assert!(limits.replaced_by([(name.clone(), rate("2/m"))]).check(&name).is_err());
        assert_eq!(limits.replaced_by([(name.clone(), rate("3/m"))]).check(&name), Ok(()));
    }

    #[test]
    fn the_burst_is_a_seconds_worth() {
        let name = KeyName::try_new("a").unwrap();
        let limits = KeyLimits::new([(name.clone(), Rate::try_new("100/s").unwrap())]);
        let passed = (0..200).filter(|_| limits.check(&name).is_ok()).count();
        assert!((100..120).contains(&passed), "{passed}");
    }
}
