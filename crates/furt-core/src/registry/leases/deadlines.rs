//! When something is due: at most one deadline an instance or service.

use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, Instant};

use super::super::ids::InstanceRef;
use super::super::now::Now;
use super::liveness::Liveness;
use crate::model::ServiceName;

/// How long the routes of a service whose last instance expired are held: they are answered with 503 meanwhile.
pub(in crate::registry) const HOLD: Duration = Duration::from_secs(60);
/// When a removal that the store refused, or that waits for another write, is tried again.
pub(in crate::registry) const REMOVAL_RETRY: Duration = Duration::from_secs(1);

/// What a deadline is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(in crate::registry) enum Due {
    /// An instance's TTL may be over.
    Instance(InstanceRef),
    /// A shared store lost an instance: it is to be stored again, or has expired.
    Lapsed(InstanceRef),
    /// The routes of a service without instances are to be freed.
    HeldRoutes(ServiceName),
}

/// The deadlines of all leases.
#[derive(Debug, Default)]
pub(in crate::registry) struct Leases {
    order: BTreeSet<(Instant, Due)>,
    when: HashMap<Due, Instant>,
}

impl Leases {
    /// When something is due next.
    pub(in crate::registry) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the first deadline that has come by `now`.
    pub(in crate::registry) fn pop(&mut self, now: Instant) -> Option<Due> {
        let due = self.order.first().filter(|(at, _)| *at <= now).map(|(_, due)| due.clone())?;
        self.clear(&due);
        Some(due)
    }

    /// The instance was heard, and is held to `ttl`, where there is one. Says whether that TTL is another than before.
    pub(in crate::registry) fn hear(
        &mut self,
        instance: &InstanceRef,
        liveness: &mut Liveness,
        ttl: Option<Duration>,
        now: Now,
    ) -> bool {
        let before = liveness.hear(ttl, now);
        let Some(ttl) = ttl else { return false };
        let due = Due::Instance(instance.clone());
        // A later end is found when the deadline comes; an earlier one must move it.
        if before.is_some_and(|before| ttl < before) || !self.is_set(&due) {
            self.set(due, now.at + ttl);
        }
        before != Some(ttl)
    }

    /// Looks at the instance's TTL at this time.
    pub(in crate::registry) fn look_at(&mut self, instance: InstanceRef, at: Instant) {
        self.set(Due::Instance(instance), at);
    }

    /// Tries the removal of an instance again.
    pub(in crate::registry) fn retry_removal(&mut self, instance: InstanceRef, now: Now) {
        self.look_at(instance, now.at + REMOVAL_RETRY);
    }

    /// Looks at an instance that a shared store lost at this time.
    pub(in crate::registry) fn look_at_lapsed(&mut self, instance: InstanceRef, at: Instant) {
        self.set(Due::Lapsed(instance), at);
    }

    /// A shared store has the instance again.
    pub(in crate::registry) fn end_lapse(&mut self, instance: &InstanceRef) {
        self.clear(&Due::Lapsed(instance.clone()));
    }

    /// The instance is gone.
    pub(in crate::registry) fn end(&mut self, instance: &InstanceRef) {
        self.clear(&Due::Instance(instance.clone()));
        self.clear(&Due::Lapsed(instance.clone()));
    }

    /// Holds the routes of a service that has no instances any more.
    pub(in crate::registry) fn hold_routes(&mut self, service: &ServiceName, hold: Duration, now: Now) {
        self.set(Due::HeldRoutes(service.clone()), now.at + hold);
    }

    /// Tries again to free the routes that were held.
    pub(in crate::registry) fn retry_freeing(&mut self, service: &ServiceName, now: Now) {
        self.set(Due::HeldRoutes(service.clone()), now.at + REMOVAL_RETRY);
    }

    /// The service has an instance again, or is gone.
    pub(in crate::registry) fn end_hold(&mut self, service: &ServiceName) {
        self.clear(&Due::HeldRoutes(service.clone()));
    }

    pub(in crate::registry) fn is_set(&self, due: &Due) -> bool {
        self.when.contains_key(due)
    }

    fn set(&mut self, due: Due, at: Instant) {
        if let Some(before) = self.when.insert(due.clone(), at) {
            self.order.remove(&(before, due.clone()));
        }
        self.order.insert((at, due));
    }

    fn clear(&mut self, due: &Due) {
        if let Some((due, at)) = self.when.remove_entry(due) {
            self.order.remove(&(at, due));
        }
    }
}
