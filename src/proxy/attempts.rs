//! The attempts to have one request answered: at which instances, how the last of them went, how long they took.
//!
//! Holds the slot at the instance that is asked; dropping it releases the slot. Judges nothing: `forward` does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pingora::upstreams::peer::HttpPeer;

use super::answer::GatewayAnswer;
use crate::clock;
use furt_core::model::{InstanceId, Side};
use furt_core::routing::{Instance, Lease};

/// What a request has tried so far.
#[derive(Default)]
pub(super) struct Attempts {
    /// How many there were.
    pub(super) count: usize,
    /// Whom Pingora is to ask next, where that is settled.
    pub(super) chosen: Option<Box<HttpPeer>>,
    /// The side of its service's split that it goes to; `None`: there is no split.
    pub(super) side: Option<Side>,
    /// The slot at an instance that the request holds.
    pub(super) lease: Option<Lease>,
    /// Whether the instance that answers is known to have failed the request.
    pub(super) is_failed: bool,
    /// Whether the last failure was that of a pooled connection, or of a request that the instance did not process: it says
    /// nothing of the instance.
    pub(super) was_stale: bool,
    /// What the last failed attempt would be answered with.
    pub(super) failure: Option<GatewayAnswer>,
    /// The instance that answered, once the slot at it is released.
    answered_by: Option<Arc<Instance>>,
    /// Instances that failed it, once for each of their addresses that did.
    failed_at: Vec<Arc<Instance>>,
    first_began: Option<Instant>,
    last_began: Option<Instant>,
    /// When the service's header was there, and how long it took from the first attempt on.
    answered: Option<(Instant, Duration)>,
}

impl Attempts {
    /// Another one begins; the first one starts the service's time.
    pub(super) fn begin(&mut self) {
        let now = clock::now();
        self.count += 1;
        self.last_began = Some(now);
        self.first_began.get_or_insert(now);
        self.is_failed = false;
    }

    /// How long the attempt that is under way has taken.
    pub(super) fn last_took(&self) -> Duration {
        self.last_began.map_or(Duration::ZERO, |began| clock::now().saturating_duration_since(began))
    }

    /// The service's header is there: none is tried again.
    pub(super) fn note_answered(&mut self) {
        let now = clock::now();
        self.answered = self.first_began.map(|began| (now, now.saturating_duration_since(began)));
        self.failed_at = Vec::new();
    }

    /// When the service's header was there, and how long it took from the first attempt on.
    pub(super) fn answered(&self) -> Option<(Instant, Duration)> {
        self.answered
    }

    /// Releases the slot; whose it was is still known.
    pub(super) fn release(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.answered_by = Some(Arc::clone(lease.instance()));
        }
    }

    /// The instance that answered, or was tried last.
    pub(super) fn instance(&self) -> Option<&Arc<Instance>> {
        self.lease.as_ref().map(Lease::instance).or(self.answered_by.as_ref()).or(self.failed_at.last())
    }

    /// How many there were after the first.
    pub(super) fn retries(&self) -> u32 {
        u32::try_from(self.count.saturating_sub(1)).unwrap_or(u32::MAX)
    }

    /// The address of the instance that was asked failed the request.
    pub(super) fn note_address_failed(&mut self) {
        if let Some(lease) = self.lease.take() {
            self.failed_at.push(Arc::clone(lease.instance()));
        }
    }

    /// The instance was reached and failed the request: its other addresses would lead to the same.
    pub(super) fn note_instance_failed(&mut self) {
        if let Some(lease) = self.lease.take() {
            let instance = lease.instance();
            self.failed_at.extend(instance.addresses.iter().map(|_| Arc::clone(instance)));
        }
    }

    /// Whether any instance failed the request.
    pub(super) fn any_failed(&self) -> bool {
        !self.failed_at.is_empty()
    }

    /// Whether this instance did.
    pub(super) fn has_failed(&self, id: &InstanceId) -> bool {
        self.failed_at.iter().any(|failed| failed.spec.id == *id)
    }

    /// How many of its addresses did.
    pub(super) fn failures(&self, instance: &Instance) -> usize {
        self.failed_at.iter().filter(|failed| failed.spec.id == instance.spec.id).count()
    }
}
