//! Waiting for a place where every instance of a service is at its hard limit (DESIGN §8).
//!
//! A bounded number waits for a bounded time, the first comer first. Each place that is given back wakes one; all look
//! again every [`TICK`], since another instance may have been published meanwhile. Who waits reads the newest
//! snapshot each time. Dropping the wait, as when the client is gone, gives its turn to the next.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use event_listener::Listener as _;

use crate::routing::ServiceLive;

/// The most requests that wait for one service (DESIGN §8): more would only wait to fail.
const MOST: u32 = 128;
/// The longest wait (DESIGN §8).
pub(super) const LONGEST: Duration = Duration::from_secs(2);
/// From one look at what was published to the next.
const TICK: Duration = Duration::from_millis(50);

/// A request's place in the queue.
pub(super) struct Waiting<'a>(&'a AtomicU32);

impl<'a> Waiting<'a> {
    /// `None`: the queue is full.
    pub(super) fn enter(service: &'a ServiceLive) -> Option<Self> {
        let place = Self(&service.waiting);
        // Counted first, so that the bound holds however many come at once; dropping it takes it back.
        let before = service.waiting.fetch_add(1, Ordering::Relaxed);
        (before < MOST).then_some(place)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
