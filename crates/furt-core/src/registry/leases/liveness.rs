//! When an instance was last heard, and by when it must be heard again.

use std::time::{Duration, Instant};

use super::super::now::Now;

/// An instance's TTL and the time from which it counts.
#[derive(Debug)]
pub(in crate::registry) struct Liveness {
    /// Set where the instance named a TTL, or once it sends heartbeats.
    ttl: Option<Duration>,
    heard: Instant,
}

impl Liveness {
    pub(in crate::registry) fn new(ttl: Option<Duration>, now: Now) -> Self {
        Self { ttl, heard: now.at }
    }

    pub(in crate::registry) fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// When the TTL is over, as the instance was last heard; `None`: it has none.
    pub(in crate::registry) fn ends_at(&self) -> Option<Instant> {
        self.ttl.map(|ttl| self.heard + ttl)
    }

    /// Whether the instance was not heard in time: it is removed, whatever becomes of a command about it.
    pub(in crate::registry) fn is_over(&self, now: Now) -> bool {
        self.ends_at().is_some_and(|end| end <= now.at)
    }

    /// The instance was heard, and is held to `ttl`, where there is one. Gives the TTL before.
    pub(in crate::registry) fn hear(&mut self, ttl: Option<Duration>, now: Now) -> Option<Duration> {
        let before = self.ttl;
        self.heard = now.at;
        self.ttl = ttl.or(before);
        before
    }

    /// Nobody could be heard for so long.
    pub(in crate::registry) fn extend(&mut self, gap: Duration) {
        self.heard += gap;
    }
}
