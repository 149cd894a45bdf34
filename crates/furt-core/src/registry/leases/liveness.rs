//! When an instance was last heard, and by when it must be heard again.

use std::time::{Duration, Instant};

use super::super::now::Now;

/// An instance's TTL and the time from which it counts.
#[derive(Debug)]
pub(in crate::registry) struct Liveness {
    /// Set where the instance named a TTL, or once it sends heartbeats.
    ttl: Option<Duration>,
    /// `None`: only other gateways have heard it.
    heard: Option<Instant>,
}

impl Liveness {
    pub(in crate::registry) fn new(ttl: Option<Duration>, heard: Option<Instant>) -> Self {
        Self { ttl, heard }
    }

    pub(in crate::registry) fn ttl(&self) -> Option<Duration> {
        self.ttl
    }

    /// When it was heard here last.
    pub(in crate::registry) fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// When the TTL is over, as the instance was last heard here; `None`: it has none, or was not heard here.
    pub(in crate::registry) fn ends_at(&self) -> Option<Instant> {
        Some(self.heard? + self.ttl?)
    }

    /// Whether the instance was not heard in time: it is removed, whatever becomes of a command about it.
    pub(in crate::registry) fn is_over(&self, now: Now) -> bool {
        self.ends_at().is_some_and(|end| end <= now.at)
    }

    /// Whether it was heard here within its TTL.
    pub(in crate::registry) fn is_heard(&self, now: Now) -> bool {
        self.ends_at().is_some_and(|end| end > now.at)
    }

    /// The instance was heard, and is held to `ttl`, where there is one. Gives the TTL before.
    pub(in crate::registry) fn hear(&mut self, ttl: Option<Duration>, now: Now) -> Option<Duration> {
        let before = self.ttl;
        self.heard = Some(now.at);
        self.ttl = ttl.or(before);
        before
    }

    /// It is held to this TTL, by what another gateway promised.
    pub(in crate::registry) fn promise(&mut self, ttl: Duration) {
        self.ttl = Some(ttl);
    }

    /// Nobody could be heard for so long.
    pub(in crate::registry) fn extend(&mut self, gap: Duration) {
        self.heard = self.heard.map(|heard| heard + gap);
    }
}
