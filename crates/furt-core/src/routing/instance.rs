//! Services and instances as requests see them, and the counters that outlive a snapshot.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwapOption;

use super::ejection::{Ejecting, Ejection};
use super::{InstanceSet, RetryBudget};
use crate::live::{ServiceEvents, ServiceTraffic};
use crate::model::{Definition, InstanceSpec, Status};

/// What an index leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceKind {
    /// It registered itself.
    Registered,
    /// A static route's url: one instance, never probed.
    Static,
}

/// A service as requests see it.
#[derive(Debug)]
pub struct Service {
    /// The definition that it registered.
    pub definition: Arc<Definition>,
    /// Whether it registered itself or is a static route's url.
    pub kind: ServiceKind,
    /// UP while one instance is UP; DOWN also while it has no instance.
    pub status: Status,
    /// Why it is suspended: kept but not routed, since the configuration does not allow it any more.
    pub suspended: Option<Arc<str>>,
    /// Those that are not being removed, ordered by id.
    pub instances: Box<[Arc<Instance>]>,
    /// What choosing knows of the instances as a whole; carried over while they are the same.
    pub instance_set: Arc<OnceLock<InstanceSet>>,
    /// What outlives the snapshot.
    pub live: Arc<ServiceLive>,
}

impl Service {
    /// Whether its routes are in force: one instance at least is not DOWN.
    pub fn is_routable(&self) -> bool {
        self.status != Status::Down && self.suspended.is_none()
    }

    /// The set of this service, where `instances` are the same as its own.
    pub fn instance_set_of(&self, instances: &[Arc<Instance>]) -> Option<Arc<OnceLock<InstanceSet>>> {
        let is_same = |(own, other): (&Arc<Instance>, &Arc<Instance>)| Arc::ptr_eq(&own.spec, &other.spec);
        let are_same = self.instances.len() == instances.len() && self.instances.iter().zip(instances).all(is_same);
        are_same.then(|| Arc::clone(&self.instance_set))
    }
}

/// An instance as requests see it.
#[derive(Debug)]
pub struct Instance {
    /// What the instance registered.
    pub spec: Arc<InstanceSpec>,
    /// Where it is; more than one where its name resolves to several, none where it does not resolve.
    pub addresses: Arc<[SocketAddr]>,
    /// The verdict of the health machine.
    pub status: Status,
    /// Changes whenever its url, protocol or addresses change: connections of another group are not reused.
    pub pool_group: PoolGroup,
    /// What outlives the snapshot.
    pub live: Arc<InstanceLive>,
}

/// A group of connections to an instance: any of them may be reused for another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PoolGroup(pub u64);

impl PoolGroup {
    /// Another group than this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Counters of an instance, carried over from snapshot to snapshot as long as it stays registered.
#[derive(Debug, Default)]
pub struct InstanceLive {
    in_flight: AtomicU32,
    pub(super) ejection: Ejection,
    pub(super) is_draining: AtomicBool,
    probe: ProbeFacts,
    /// Unix time in ms of the last change of status.
    pub since_ms: AtomicI64,
    /// Unix time in ms of the last registration, one that changed nothing among them; of a restored one, of its restoring.
    pub registered_ms: AtomicI64,
    /// Unix time in ms of the last heartbeat or registration.
    pub heard_ms: AtomicI64,
    /// The TTL in force, in ms; 0: none.
    pub ttl_ms: AtomicU64,
}

/// What the last probe showed.
#[derive(Debug, Default)]
struct ProbeFacts {
    at_ms: AtomicI64,
    took_us: AtomicU64,
    failures: AtomicU32,
    error: ArcSwapOption<String>,
    stopped: AtomicBool,
}

impl InstanceLive {
    /// Requests that hold a [`Lease`](super::Lease) on it.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// The end of its ejection as Unix time in ms; `None`: it is not ejected.
    pub fn ejected_until_ms(&self, now_ms: i64) -> Option<i64> {
        self.ejection.until_ms(now_ms)
    }

    /// Takes a slot if it is not draining and fewer than `limit` are taken (0: no limit). Reserves first and looks then:
    /// so the limit is never passed, and who has set the mark and counts nothing in flight has missed no request. That
    /// takes one order of both (`SeqCst`), which costs nothing more on x86.
    pub(super) fn reserve(&self, limit: u32) -> bool {
        let before = self.in_flight.fetch_add(1, Ordering::SeqCst);
        if (limit != 0 && before >= limit) || self.is_draining() {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    pub(super) fn release(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Unix time in ms of the last probe's end; `None` before the first.
    pub fn last_ping_ms(&self) -> Option<i64> {
        Some(self.probe.at_ms.load(Ordering::Relaxed)).filter(|&ms| ms != 0)
    }

    /// How long the last probe took, in µs; `None` before the first, and where it failed: that was no response.
    pub fn response_time_us(&self) -> Option<u64> {
        let took_us = || self.probe.took_us.load(Ordering::Relaxed);
        self.last_ping_ms().filter(|_| self.probe.error.load().is_none()).map(|_| took_us())
    }

    /// Failed probes in a row.
    pub fn consecutive_failures(&self) -> u32 {
        self.probe.failures.load(Ordering::Relaxed)
    }

    /// Why the last probe failed; `None` where it did not.
    pub fn last_error(&self) -> Option<Arc<String>> {
        self.probe.error.load_full()
    }

    /// Whether probing has ended after too many failures.
    pub fn is_probing_stopped(&self) -> bool {
        self.probe.stopped.load(Ordering::Relaxed)
    }

    /// Writes down a probe: when it ended (Unix ms), how long it took, what failed.
    pub fn note_probe(&self, at_ms: i64, took: std::time::Duration, error: Option<String>) {
        self.probe.took_us.store(took.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        self.probe.error.store(error.map(Arc::new));
        self.probe.at_ms.store(at_ms, Ordering::Relaxed);
    }

    /// Writes down the state of the health machine.
    pub fn note_health(&self, failures: u32, stopped: bool) {
        self.probe.failures.store(failures, Ordering::Relaxed);
        self.probe.stopped.store(stopped, Ordering::Relaxed);
    }
}

/// Counters of a service, carried over from snapshot to snapshot as long as it stays registered.
#[derive(Debug, Default)]
pub struct ServiceLive {
    /// The rotation of its instances.
    pub(super) rotation: AtomicU32,
    pub(super) is_ejecting: Ejecting,
    /// Requests that wait for a slot at one of its instances.
    pub waiting: AtomicU32,
    /// Tells one of them whenever a slot is given back; the slot may be gone again when it looks.
    pub released: event_listener::Event,
    /// How many of its requests may be sent twice.
    pub retries: RetryBudget,
    registered_ms: AtomicI64,
    since_ms: AtomicI64,
    up_ms: AtomicI64,
    events: Arc<ServiceEvents>,
    /// In its own memory from the first request on: of a set's services many have none.
    traffic: OnceLock<Box<ServiceTraffic>>,
}

impl ServiceLive {
    /// For a service that registers at `now_ms` (Unix ms).
    pub fn new(now_ms: i64) -> Self {
        Self { registered_ms: now_ms.into(), since_ms: now_ms.into(), ..Self::default() }
    }

    /// Writes down that the status changed from `before` at `now_ms`.
    pub fn note_transition(&self, before: Status, now_ms: i64) {
        let since = self.since_ms.swap(now_ms, Ordering::Relaxed);
        if before == Status::Up {
            self.up_ms.fetch_add((now_ms - since).max(0), Ordering::Relaxed);
        }
        self.events.count_transition();
    }

    /// Unix time in ms of the last change of status, or of the registration.
    pub fn since_ms(&self) -> i64 {
        self.since_ms.load(Ordering::Relaxed)
    }

    /// Changes of status since it registered.
    pub fn transitions(&self) -> u64 {
        self.events.transitions()
    }

    /// What befell it since it registered.
    pub fn events(&self) -> &Arc<ServiceEvents> {
        &self.events
    }

    /// Its requests since it registered.
    pub fn traffic(&self) -> &ServiceTraffic {
        self.traffic.get_or_init(Box::default)
    }

    /// The same, `None` where there was no request.
    pub fn traffic_so_far(&self) -> Option<&ServiceTraffic> {
        self.traffic.get().map(|traffic| &**traffic)
    }

    /// Unix time in ms of its registration; tells one registration of a name from the next.
    pub fn registered_ms(&self) -> i64 {
        self.registered_ms.load(Ordering::Relaxed)
    }

    /// The share of its time that it was UP, 0 to 1, where its status is `status` now.
    pub fn uptime_share(&self, status: Status, now_ms: i64) -> f64 {
        let current = if status == Status::Up { (now_ms - self.since_ms()).max(0) } else { 0 };
        let total = now_ms - self.registered_ms.load(Ordering::Relaxed);
        if total <= 0 {
            return if status == Status::Up { 1.0 } else { 0.0 };
        }
        ((self.up_ms.load(Ordering::Relaxed) + current) as f64 / total as f64).clamp(0.0, 1.0)
    }
}
