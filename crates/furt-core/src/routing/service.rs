//! Services as requests see them, and the counters of each that outlive a snapshot.

use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, OnceLock};

use super::budget::RetryBudget;
use super::instance::Instance;
use super::instance_set::InstanceSet;
use super::part::{Part, PartLive, Parts};
use crate::live::{RouteTraffic, ServiceEvents, ServiceTraffic};
use crate::model::{Definition, FixedAnswer, Split, Status};

/// What an index leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServiceKind {
    /// It registered itself.
    Registered,
    /// A static route's url: one instance, never probed.
    Static,
    /// A static route that furt answers itself: no instance, always UP.
    Answers(FixedAnswer),
}

/// A service as requests see it.
#[derive(Debug)]
pub struct Service {
    /// The definition that it registered.
    pub definition: Arc<Definition>,
    /// Whether it registered itself or is what a static route leads to.
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
    /// Whether these are all of its instances or those of a side of its split.
    pub part: Part,
    /// Its split, with the instances of each side; `None`: there is none.
    pub split: Option<Box<ServiceSplit>>,
}

impl Service {
    /// A service that nothing is counted of yet, with these instances ordered by id, and without a split.
    pub fn new(
        definition: Arc<Definition>,
        kind: ServiceKind,
        status: Status,
        instances: Box<[Arc<Instance>]>,
    ) -> Self {
        Self {
            definition,
            kind,
            status,
            suspended: None,
            instances,
            instance_set: Arc::default(),
            live: Arc::default(),
            part: Part::default(),
            split: None,
        }
    }

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

/// A split with the instances of each of its sides.
#[derive(Debug)]
pub struct ServiceSplit {
    /// What was set.
    pub split: Arc<Split>,
    pub(super) versions: Box<[SideOfService]>,
    pub(super) stable: SideOfService,
}

/// One side: its instances as a service of their own, and its requests.
#[derive(Debug)]
pub(super) struct SideOfService {
    pub(super) service: Service,
    pub(super) traffic: Arc<RouteTraffic>,
}

/// Counters of a service, carried over from snapshot to snapshot as long as it stays registered.
#[derive(Debug, Default)]
pub struct ServiceLive {
    parts: Parts,
    /// Whether a request decides about an ejection just now.
    pub(super) is_ejecting: AtomicBool,
    /// How many of its requests may be sent twice.
    pub retries: RetryBudget,
    registered_ms: AtomicI64,
    since_ms: AtomicI64,
    /// When it had its first verdict; its registration, where it was DOWN or UP then.
    counted_from_ms: AtomicI64,
    up_ms: AtomicI64,
    events: Arc<ServiceEvents>,
    /// In its own memory from the first request on: of a set's services many have none.
    traffic: OnceLock<Box<ServiceTraffic>>,
}

impl ServiceLive {
    /// What is counted of a part of its instances, and who waits there.
    pub fn part(&self, part: Part) -> &PartLive {
        self.parts.get(part)
    }

    /// How many requests wait for a slot.
    pub fn waiting(&self) -> u32 {
        self.parts.waiting()
    }

    pub(super) fn note_release(&self, part: Part) {
        self.parts.note_release(part);
    }

    /// For a service that registers at `now_ms` (Unix ms).
    pub fn new(now_ms: i64) -> Self {
        let (registered_ms, since_ms, counted_from_ms) = (now_ms.into(), now_ms.into(), now_ms.into());
        Self { registered_ms, since_ms, counted_from_ms, ..Self::default() }
    }

    /// Writes down that the status changed from `before` at `now_ms`.
    pub fn note_transition(&self, before: Status, now_ms: i64) {
        let since = self.since_ms.swap(now_ms, Ordering::Relaxed);
        if before == Status::Up {
            self.up_ms.fetch_add((now_ms - since).max(0), Ordering::Relaxed);
        }
        if self.is_without_verdict(before) {
            self.counted_from_ms.store(now_ms, Ordering::Relaxed);
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

    /// The share of its time since the first verdict that it was UP, 0 to 1, where its status is `status` now. Before the
    /// first verdict: 1, since nothing says that it was not.
    pub fn uptime_share(&self, status: Status, now_ms: i64) -> f64 {
        if self.is_without_verdict(status) {
            return 1.0;
        }
        let current = if status == Status::Up { (now_ms - self.since_ms()).max(0) } else { 0 };
        let total = now_ms - self.counted_from_ms.load(Ordering::Relaxed);
        if total <= 0 {
            return if status == Status::Up { 1.0 } else { 0.0 };
        }
        ((self.up_ms.load(Ordering::Relaxed) + current) as f64 / total as f64).clamp(0.0, 1.0)
    }

    /// Whether no probe has said anything of it so far, where its status is `status`.
    fn is_without_verdict(&self, status: Status) -> bool {
        status == Status::Unknown && self.transitions() == 0
    }
}
