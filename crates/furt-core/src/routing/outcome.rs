//! Passive health: what requests themselves find out about instances. One that fails several times in a row is ejected
//! for a while; at most half of a service's living instances are, so that a fault of the callers' own making (a bad
//! request that crashes every instance) never takes a service away.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::instance::Instance;
use super::service::Service;
use crate::model::Status;

/// How a request fared at an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, and not with a 5xx.
    Good,
    /// The connection failed, took too long or broke, or the answer was a 5xx.
    Bad,
}

impl Service {
    /// Writes down how a request fared; gives the time for which the instance is ejected, if this was what ejected it.
    pub fn note_outcome(&self, instance: &Instance, outcome: Outcome, now_ms: i64) -> Option<Duration> {
        let own = &instance.live.ejection;
        if outcome == Outcome::Good {
            own.succeeded();
            return None;
        }
        if !own.failed(now_ms) {
            return None;
        }
        // One at a time, so that two at once do not both count as the last that is allowed; the next failure tries again.
        if self.live.is_ejecting.swap(true, Ordering::Acquire) {
            return None;
        }
        let ejected = self.may_eject(now_ms).then(|| own.eject(now_ms));
        self.live.is_ejecting.store(false, Ordering::Release);
        ejected
    }

    fn may_eject(&self, now_ms: i64) -> bool {
        let living = || self.instances.iter().filter(|one| one.status != Status::Down);
        let ejected = living().filter(|one| one.live.ejection.until_ms(now_ms).is_some()).count();
        ejected < living().count() / 2
    }
}
