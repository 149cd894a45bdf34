//! What requests found out about one instance: failures in a row, and its ejections. Whether it may be ejected is for its
//! service to say, in `outcome`.

use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

/// Failures in a row that eject an instance.
const FAILURES: u32 = 5;
/// How long the first ejection lasts; the n-th in a row lasts n times as long.
const UNIT: Duration = Duration::from_secs(10);
/// The longest ejection. An instance that was well for as long begins anew.
const LONGEST: Duration = Duration::from_secs(300);

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

    /// A request fared well.
    #[inline]
    pub(super) fn succeeded(&self) {
        // Mostly it is 0 already, and a write would take the cache line from every other core.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed. Says whether the instance is to be ejected now, if it may be.
    #[inline]
    pub(super) fn failed(&self, now_ms: i64) -> bool {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed) + 1;
        failures >= FAILURES && self.until_ms(now_ms).is_none()
    }

    /// Ejects it; gives for how long.
    pub(super) fn eject(&self, now_ms: i64) -> Duration {
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
