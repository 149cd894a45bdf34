//! Which instances are candidates for a request, in which order, and why a request gets none. [`Service::pick`] and what
//! `/internal/explain` shows both go by this file: they ask tier by tier with one function, and one look tells both whether
//! an instance is full.

use std::sync::Arc;

use super::{Instance, Service};
use crate::model::Status;

/// Why an instance is no candidate, whatever its load.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exclusion {
    /// It is DOWN.
    Down,
    /// The name of its url has not been resolved.
    NoAddress,
    /// It is draining; otherwise it would be a candidate.
    Draining,
}

/// Candidates from the best to the last resort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    /// UP; or restored as UNKNOWN, UP before, and without a failed probe since.
    Proven,
    /// The same, or UNKNOWN without a failed probe: a new instance, which may accept connections and never answer.
    Fresh,
    /// UNKNOWN with failed probes.
    Doubtful,
    /// Ejected, since requests failed.
    Ejected,
}

/// Why no instance could be had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoInstance {
    /// None is a candidate, or all candidates were tried.
    Unavailable,
    /// Every candidate is at its hard limit.
    Full,
    /// Every instance that could be asked is draining.
    Draining,
}

impl Instance {
    /// Why it is no candidate for a request, whatever its load; `None`: it is one.
    #[inline]
    pub fn exclusion(&self) -> Option<Exclusion> {
        if self.addresses.is_empty() {
            return Some(Exclusion::NoAddress);
        }
        if self.status == Status::Down {
            return Some(Exclusion::Down);
        }
        self.live.is_draining().then_some(Exclusion::Draining)
    }

    /// Whether it is a candidate of a tier.
    #[inline]
    pub(super) fn is_in(&self, tier: Tier, now_ms: i64) -> bool {
        if self.exclusion().is_some() {
            return false;
        }
        let is_ejected = self.live.ejected_until_ms(now_ms).is_some();
        let is_doubtful = || self.status == Status::Unknown && self.live.consecutive_failures() != 0;
        match tier {
            Tier::Proven => !is_ejected && (self.status == Status::Up || self.live.is_restored_up()),
            Tier::Fresh => !is_ejected && !is_doubtful(),
            Tier::Doubtful => !is_ejected && is_doubtful(),
            Tier::Ejected => is_ejected,
        }
    }

    /// Whether it is given requests before any last resort. Whether it is full is not looked at.
    pub fn is_sound(&self, now_ms: i64) -> bool {
        self.is_in(Tier::Fresh, now_ms)
    }

    /// Whether it is at its hard limit with so many requests in flight.
    #[inline]
    pub(super) fn is_full(&self, in_flight: u32) -> bool {
        self.hard_limit != 0 && in_flight >= self.hard_limit
    }
}

impl Service {
    /// One of the instances that are UP and could be given a request, the `number`th of them; from the first again beyond the
    /// last. Takes no slot, and looks at no load. `None`: there is none, or the service is suspended.
    pub fn up_instance(&self, number: usize) -> Option<&Arc<Instance>> {
        let is_up = |one: &&Arc<Instance>| one.status == Status::Up && one.exclusion().is_none();
        let all = || self.instances.iter().filter(is_up);
        let number = number.checked_rem(all().count())?;
        all().nth(number).filter(|_| self.suspended.is_none())
    }

    /// Whether there are instances that could be asked, and each of them is draining.
    pub fn is_draining(&self) -> bool {
        self.no_candidate() == Some(NoInstance::Draining)
    }

    /// Why [`pick`](Self::pick) would give a request no instance at `now_ms` (Unix ms); `None`: it would give one. Takes no
    /// slot.
    pub fn refusal_reason(&self, now_ms: i64) -> Option<NoInstance> {
        self.by_tier(|tier| {
            let mut reason = NoInstance::Unavailable;
            for instance in self.instances.iter().filter(|one| one.is_in(tier, now_ms)) {
                if !instance.is_full(instance.live.in_flight()) {
                    return Ok(());
                }
                reason = NoInstance::Full;
            }
            Err(reason)
        })
        .err()
    }

    /// Asks tier by tier. The first that has a candidate decides, also where all its candidates are full: a request waits
    /// for a slot there rather than to go to an instance that is likely to fail. Only where all proven ones are full, a
    /// new one with a slot is asked.
    ///
    /// # Errors
    /// [`NoInstance`], where no tier has a candidate with a slot.
    #[inline]
    pub(super) fn by_tier<T>(&self, attempt: impl Fn(Tier) -> Result<T, NoInstance>) -> Result<T, NoInstance> {
        self.among([Tier::Proven, Tier::Fresh, Tier::Doubtful, Tier::Ejected], attempt)
    }

    /// The same without the last resorts.
    ///
    /// # Errors
    /// [`NoInstance`], where neither tier has a candidate with a slot.
    pub(super) fn by_sound_tier<T>(&self, attempt: impl Fn(Tier) -> Result<T, NoInstance>) -> Result<T, NoInstance> {
        self.among([Tier::Proven, Tier::Fresh], attempt)
    }

    #[inline]
    fn among<T, const N: usize>(
        &self,
        tiers: [Tier; N],
        attempt: impl Fn(Tier) -> Result<T, NoInstance>,
    ) -> Result<T, NoInstance> {
        for tier in tiers {
            match attempt(tier) {
                Err(NoInstance::Unavailable) => {}
                Err(NoInstance::Full) if tier == Tier::Proven => {}
                decided => return decided,
            }
        }
        // Where there are candidates, all of them were tried.
        Err(self.no_candidate().unwrap_or(NoInstance::Unavailable))
    }

    /// Why no instance is a candidate; `None`: there is one.
    fn no_candidate(&self) -> Option<NoInstance> {
        let mut reason = NoInstance::Unavailable;
        for instance in &self.instances {
            match instance.exclusion() {
                None => return None,
                Some(Exclusion::Draining) => reason = NoInstance::Draining,
                Some(Exclusion::Down | Exclusion::NoAddress) => {}
            }
        }
        Some(reason)
    }
}
