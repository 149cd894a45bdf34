//! How long an instance keeps a connection that nobody uses: what it says of it, and what was seen.
//!
//! A request that is sent while the service closes the connection is lost. One that may be repeated is sent again. One that may
//! not must be given a connection that is younger than any that a service closes.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// The longest for requests that are not repeated, where the service does not say how long it keeps connections. Of the
/// servers that are widespread, those that do not say it keep them for 5 s (uvicorn) or longer.
const CAREFUL: Duration = Duration::from_secs(4);
/// What a connection is given up before the service closes it.
const MARGIN: Duration = Duration::from_secs(1);
/// Nothing that was seen makes it shorter than this.
const SHORTEST: Duration = Duration::from_millis(500);
/// No service has said anything yet.
const UNKNOWN: u32 = u32::MAX;

/// What is known of one instance.
#[derive(Debug)]
pub struct KeepAlive {
    /// What it says, in ms.
    said_ms: AtomicU32,
    /// What was learned from connections that it closed, in ms.
    seen_ms: AtomicU32,
}

impl Default for KeepAlive {
    fn default() -> Self {
        Self { said_ms: AtomicU32::new(UNKNOWN), seen_ms: AtomicU32::new(UNKNOWN) }
    }
}

impl KeepAlive {
    /// The service says that it keeps an unused connection for so many seconds (`Keep-Alive: timeout=`).
    pub fn note_said(&self, seconds: u32) {
        let ms = seconds.saturating_mul(1000).min(UNKNOWN - 1);
        // It mostly says the same, and a write would take the cache line from every other core.
        if self.said_ms.load(Ordering::Relaxed) != ms {
            self.said_ms.store(ms, Ordering::Relaxed);
        }
    }

    /// The service closed a connection that was unused for no longer than [`careful`](Self::careful) allows, as a request was
    /// sent on it. From now on that is half as long. `most` is what the configuration allows.
    pub fn note_closed(&self, most: Duration) {
        let half = (self.careful(most) / 2).max(SHORTEST);
        self.seen_ms.store(u32::try_from(half.as_millis()).unwrap_or(UNKNOWN), Ordering::Relaxed);
    }

    /// How long a connection may be unused, `most` at most, before a request that may be repeated is sent on it.
    pub fn usual(&self, most: Duration) -> Duration {
        self.said().map_or(most, |said| most.min(said))
    }

    /// The same for a request that may not be repeated.
    pub fn careful(&self, most: Duration) -> Duration {
        let seen = match self.seen_ms.load(Ordering::Relaxed) {
            UNKNOWN => most,
            ms => Duration::from_millis(ms.into()),
        };
        most.min(self.said().unwrap_or(CAREFUL)).min(seen)
    }

    /// What the service says, without the margin.
    fn said(&self) -> Option<Duration> {
        let ms = self.said_ms.load(Ordering::Relaxed);
        (ms != UNKNOWN).then(|| {
            let said = Duration::from_millis(ms.into());
            said.saturating_sub(MARGIN.min(said / 2))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    fn both(keep_alive: &KeepAlive, most: Duration) -> (u128, u128) {
        (keep_alive.usual(most).as_millis(), keep_alive.careful(most).as_millis())
    }

    #[test]
    fn what_a_service_says_holds_for_all_requests_with_a_margin() {
        let keep_alive = KeepAlive::default();
        assert_eq!(both(&keep_alive, MINUTE), (60_000, 4000));
        assert_eq!(both(&keep_alive, Duration::from_secs(2)), (2000, 2000));
        for (said, kept) in [(5, 4000), (30, 29_000), (2, 1000), (1, 500), (0, 0), (3600, 60_000), (u32::MAX, 60_000)] {
            keep_alive.note_said(said);
            assert_eq!(both(&keep_alive, MINUTE), (kept, kept), "{said}");
        }
    }

    #[test]
    fn a_connection_that_was_closed_too_early_makes_the_time_shorter_until_it_is_short() {
        let keep_alive = KeepAlive::default();
        for careful in [2000, 1000, 500, 500] {
            keep_alive.note_closed(MINUTE);
            assert_eq!(both(&keep_alive, MINUTE), (60_000, careful));
        }
        // What it says now is no better than what it said before.
        keep_alive.note_said(30);
        assert_eq!(both(&keep_alive, MINUTE), (29_000, 500));
    }
}
