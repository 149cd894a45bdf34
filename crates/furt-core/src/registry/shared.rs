//! All that the core writes to what requests share: the counters of services and instances, which outlive a snapshot.
//!
//! Everything else reaches requests by a snapshot. What is written here is seen at once, also by requests that read an
//! older snapshot. So it is only what may be seen early: times and outcomes for operators, the failures in a row that
//! selection ranks by, and whether an instance takes requests, which must hold for requests of every snapshot. Each is
//! written on its own: nobody reads two of them and expects them to be of one moment.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::now::Now;
use super::probes::{Health, ProbeFailure};
use crate::model::{DrainMark, Incarnation, Status};
use crate::routing::{InstanceLive, ServiceLive};

/// The instance is installed, or installed anew, and what it replaced; where that keeps its health, its status is as old as
/// it was.
pub(super) fn installed(live: &InstanceLive, of: &Health, keeps_health: bool, replaced: Option<Incarnation>, now: Now) {
    health(live, of);
    live.note_replaced(replaced);
    if !keeps_health {
        status_changed(live, now);
    }
    registered(live, now);
}

/// The instance registered, with or without a change.
pub(super) fn registered(live: &InstanceLive, now: Now) {
    live.registered_ms.store(now.unix_ms, Ordering::Relaxed);
}

/// The instance was heard, and is held to `ttl` from now on; `None`: to none, also if it had one before it registered anew.
pub(super) fn heard(live: &InstanceLive, ttl: Option<Duration>, now: Now) {
    live.heard_ms.store(now.unix_ms, Ordering::Relaxed);
    promised(live, ttl);
}

/// The instance is held to `ttl`, by what another gateway promised.
pub(super) fn promised(live: &InstanceLive, ttl: Option<Duration>) {
    let ttl_ms = ttl.map_or(0, |ttl| ttl.as_millis().try_into().unwrap_or(u64::MAX));
    live.ttl_ms.store(ttl_ms, Ordering::Relaxed);
}

/// Whether the instance takes no new request, whichever snapshot a request reads, and the command that drains it.
pub(super) fn takes_no_requests(live: &InstanceLive, is_draining: bool, by: Option<&Arc<DrainMark>>) {
    live.note_drain(by.cloned());
    live.set_draining(is_draining);
}

/// A probe ended.
pub(super) fn probed(live: &InstanceLive, took: Duration, outcome: &Result<(), ProbeFailure>, now: Now) {
    live.note_probe(now.unix_ms, took, outcome.as_ref().err().map(ToString::to_string));
}

/// The health machine of the instance.
pub(super) fn health(live: &InstanceLive, health: &Health) {
    live.note_health(health.failures(), health.is_stopped());
    live.note_restored_up(health.is_restored_up());
}

/// The instance's status changed.
pub(super) fn status_changed(live: &InstanceLive, now: Now) {
    live.since_ms.store(now.unix_ms, Ordering::Relaxed);
}

/// A probe of one of the service's instances ended.
pub(super) fn service_probed(live: &ServiceLive, took: Duration, outcome: &Result<(), ProbeFailure>) {
    live.events().count_probe(outcome, took);
}

/// The service's status changed from `before`.
pub(super) fn service_status_changed(live: &ServiceLive, before: Status, now: Now) {
    live.note_transition(before, now.unix_ms);
}
