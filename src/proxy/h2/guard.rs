//! How a connection of HTTP/2 behaves: how many of its requests are being answered, and whether its client does what only costs.
//!
//! Shared by the connection's task, the tasks of its streams and its [`Wire`](super::wire::Wire). Takes the time; the first fault
//! that is found is the one that counts.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use h2::Reason;
use tokio::sync::Notify;

use crate::telemetry::Http2End;

/// Requests that are reset before they are answered, within [`RESETS_WITHIN`]: each has cost a service a request. A browser
/// whose user leaves a page resets as many as it has streams, once.
const MOST_RESETS: u32 = 100;
const RESETS_WITHIN: Duration = Duration::from_secs(10);
/// Requests that are none.
const MOST_MALFORMED: u32 = 32;

/// What a client is told whose connection ends so.
pub(super) fn reason(end: Http2End) -> Reason {
    match end {
        Http2End::Idle | Http2End::Age | Http2End::Stopping | Http2End::ClientAuth => Reason::NO_ERROR,
        Http2End::Resets | Http2End::Malformed | Http2End::Frames => Reason::ENHANCE_YOUR_CALM,
        Http2End::Protocol => Reason::PROTOCOL_ERROR,
    }
}

/// What is known of a connection.
#[derive(Debug, Default)]
pub(super) struct Guard {
    active: AtomicUsize,
    fault: OnceLock<Http2End>,
    changed: Notify,
    resets: Mutex<Resets>,
    malformed: AtomicUsize,
    /// Whether a part of an answer was sent since [`Wire`](super::wire::Wire) looked.
    has_sent: AtomicBool,
    is_retired: AtomicBool,
}

/// Requests that were reset since the last time they began to be counted.
#[derive(Debug, Default)]
struct Resets {
    since: Option<Instant>,
    count: u32,
}

impl Resets {
    /// One more; whether these are too many.
    fn note(&mut self, now: Instant) -> bool {
        let is_recent = self.since.is_some_and(|since| now.saturating_duration_since(since) < RESETS_WITHIN);
        if !is_recent {
            (self.since, self.count) = (Some(now), 0);
        }
        self.count += 1;
        self.count > MOST_RESETS
    }
}

impl Guard {
    /// A request begins, and lasts until what is returned is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::AcqRel);
        Active(Arc::clone(self))
    }

    /// Requests that have begun and are not over, those that were reset as well.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Acquire)
    }

    /// What the client did.
    pub(super) fn fault(&self) -> Option<Http2End> {
        self.fault.get().copied()
    }

    /// Waits until a request is over, or a fault is found.
    pub(super) async fn changed(&self) {
        self.changed.notified().await;
    }

    /// A fault is found.
    pub(super) fn accuse(&self, why: Http2End) {
        _ = self.fault.set(why);
        self.changed.notify_one();
    }

    /// No further request is wanted on it.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Ordering::Release);
        self.changed.notify_one();
    }

    /// Whether that is so.
    pub(super) fn is_retired(&self) -> bool {
        self.is_retired.load(Ordering::Acquire)
    }

    /// A request was none.
    pub(super) fn note_malformed(&self) {
        if self.malformed.fetch_add(1, Ordering::Relaxed) + 1 >= MOST_MALFORMED as usize {
            self.accuse(Http2End::Malformed);
        }
    }

    /// A request was reset before it was answered.
    pub(super) fn note_reset(&self, now: Instant) {
        if self.resets.lock().unwrap_or_else(PoisonError::into_inner).note(now) {
            self.accuse(Http2End::Resets);
        }
    }

    /// The client took a part of an answer.
    pub(super) fn note_sent(&self) {
        self.has_sent.store(true, Ordering::Relaxed);
    }

    /// Whether it took one since the last call.
    pub(super) fn take_sent(&self) -> bool {
        self.has_sent.load(Ordering::Relaxed) && self.has_sent.swap(false, Ordering::Relaxed)
    }
}

/// A request that is being answered.
pub(super) struct Active(Arc<Guard>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::AcqRel);
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    #[test]
    fn so_many_resets_within_a_time_are_too_many_and_over_a_longer_one_they_are_not() {
        let begin = clock::now();
        let guard = Guard::default();
        (0..MOST_RESETS).for_each(|_| guard.note_reset(begin));
        assert_eq!(guard.fault(), None);
        (0..MOST_RESETS).for_each(|_| guard.note_reset(begin + RESETS_WITHIN));
        assert_eq!(guard.fault(), None);
        guard.note_reset(begin + RESETS_WITHIN);
        assert_eq!(guard.fault(), Some(Http2End::Resets));
        guard.accuse(Http2End::Frames);
        assert_eq!(guard.fault(), Some(Http2End::Resets), "the first fault counts");
    }

    #[test]
    fn so_many_malformed_requests_are_too_many() {
        let guard = Guard::default();
        (1..MOST_MALFORMED).for_each(|_| guard.note_malformed());
        assert_eq!(guard.fault(), None);
        guard.note_malformed();
        assert_eq!(guard.fault(), Some(Http2End::Malformed));
    }

    #[test]
    fn a_request_counts_until_it_is_over() {
        let guard = Arc::new(Guard::default());
        let requests = [guard.begin(), guard.begin()];
        assert_eq!(guard.active(), 2);
        drop(requests);
        assert_eq!(guard.active(), 0);
    }
}
