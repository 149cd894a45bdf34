//! Passive health: what requests themselves found out about an instance. One that fails several times in a row is ejected
//! for a while; at most half of a service's living instances are, so that a fault of the callers' own making (a bad
//! request that crashes every instance) never takes a service away.

use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use super::{Instance, Service};
use crate::model::Status;

/// Failures in a row that eject an instance.
const FAILURES: u32 = 5;
/// How long the first ejection lasts; the n-th in a row lasts n times as long.
const UNIT: Duration = Duration::from_secs(10);
/// The longest ejection. An instance that was well for as long begins anew.
const LONGEST: Duration = Duration::from_secs(300);

/// How a request fared at an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered, and not with a 5xx.
    Good,
    /// The connection failed, took too long or broke, or the answer was a 5xx.
    Bad,
}

/// What is known of an instance from requests.
#[derive(Debug, Default)]
pub(super) struct Ejection {
    failures: AtomicU32,
    /// How many ejections followed each other.
    count: AtomicU32,
    /// Unix time in ms; 0: never was.
    until_ms: AtomicI64,
}

impl Ejection {
    /// The end of an ejection that is not over, as Unix time in ms.
    pub(super) fn until_ms(&self, now_ms: i64) -> Option<i64> {
        // One that would last longer than any does was begun by another clock.
        let longest = now_ms.saturating_add(LONGEST.as_millis() as i64);
        Some(self.until_ms.load(Ordering::Relaxed)).filter(|until| *until > now_ms && *until <= longest)
    }
}

impl Service {
    /// Writes down how a request fared; gives the time for which the instance is ejected, if this was what ejected it.
    pub fn note_outcome(&self, instance: &Instance, outcome: Outcome, now_ms: i64) -> Option<Duration> {
        let own = &instance.live.ejection;
        if outcome == Outcome::Good {
            // Mostly it is 0 already, and a write would take the cache line from every other core.
            if own.failures.load(Ordering::Relaxed) != 0 {
                own.failures.store(0, Ordering::Relaxed);
            }
            return None;
        }
        let failures = own.failures.fetch_add(1, Ordering::Relaxed) + 1;
        if failures < FAILURES || own.until_ms(now_ms).is_some() {
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

impl Ejection {
    fn eject(&self, now_ms: i64) -> Duration {
        let last = self.until_ms.load(Ordering::Relaxed);
        let was_well = now_ms.saturating_sub(last) > LONGEST.as_millis() as i64;
        let count = if was_well { 1 } else { self.count.load(Ordering::Relaxed).saturating_add(1) };
        let time = UNIT.saturating_mul(count).min(LONGEST);
        self.count.store(count, Ordering::Relaxed);
        self.until_ms.store(now_ms + time.as_millis() as i64, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        time
    }
}

/// A flag of a service: someone decides about an ejection.
pub(super) type Ejecting = AtomicBool;
