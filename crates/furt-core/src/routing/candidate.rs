//! Which instances are candidates for a request, in which order, and why a request gets none. [`Service::pick`] and what
//! `/internal/explain` shows both go by this file.

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
    /// UP, or UNKNOWN without a failed probe.
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

    /// The tier that it is a candidate in; `None`: it is no candidate.
    #[inline]
    pub(super) fn tier(&self, now_ms: i64) -> Option<Tier> {
        if self.exclusion().is_some() {
            return None;
        }
        if self.live.ejected_until_ms(now_ms).is_some() {
            return Some(Tier::Ejected);
        }
        let is_doubtful = self.status == Status::Unknown && self.live.consecutive_failures() != 0;
        Some(if is_doubtful { Tier::Doubtful } else { Tier::Fresh })
    }
}

impl Service {
    /// Whether there are instances that could be asked, and each of them is draining.
    pub fn is_draining(&self) -> bool {
        self.no_candidate() == Some(NoInstance::Draining)
    }

    /// Why a request would get no instance now; `None`: it would get one. Takes no slot.
    pub fn refusal_reason(&self) -> Option<NoInstance> {
        let is_full = |one: &Instance| one.spec.hard_limit != 0 && one.live.in_flight() >= one.spec.hard_limit;
        self.no_candidate().or_else(|| {
            let mut candidates = self.instances.iter().filter(|one| one.exclusion().is_none());
            candidates.all(|one| is_full(one)).then_some(NoInstance::Full)
        })
    }

    /// Why no instance is a candidate; `None`: there is one.
    pub(super) fn no_candidate(&self) -> Option<NoInstance> {
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
