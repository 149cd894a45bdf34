//! The instances of a service, and how many of them stay, by status: so that what a service is, is known without looking
//! at ten thousand instances at each change of one of them.
//!
//! Health and removal, which the counts are about, change here alone. `invariants` sweeps the counts. Called by the rest
//! of the core.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::super::leases::Liveness;
use super::super::now::Now;
use super::super::probes::Health;
use super::super::shared;
use crate::model::{DrainMark, Incarnation, InstanceId, InstanceSpec, Share, Status, UpstreamUrl};
use crate::routing::{Contest, Instance, InstanceLive, PoolGroup};

/// An installed instance.
pub(in crate::registry) struct InstanceEntry {
    spec: Arc<InstanceSpec>,
    registered_from: IpAddr,
    liveness: Liveness,
    live: Arc<InstanceLive>,
    addresses: Arc<[SocketAddr]>,
    /// Why it may not be where it was restored, whatever the configuration says.
    suspended: Option<Arc<str>>,
    state: CountedState,
    /// The status that the store notes of it.
    noted: Status,
    drain: Option<Arc<DrainMark>>,
    replaced: Option<Incarnation>,
    moves: Option<Moves>,
    /// Where a shared store lost it, though no command removed it: how long it stays at least.
    lapsed_until: Option<Instant>,
    /// This gateway's part of its limits.
    share: Share,
    /// What the snapshot shows of it.
    published: Arc<Instance>,
}

/// Where an id was before.
#[derive(Debug, Clone)]
pub(in crate::registry) struct Moves {
    /// The url before.
    pub(in crate::registry) from: UpstreamUrl,
    /// When it moved from there, as Unix time in ms.
    pub(in crate::registry) at_ms: i64,
    /// That it came back to a url.
    pub(in crate::registry) contest: Option<Contest>,
}

/// An instance that is to be installed.
pub(in crate::registry) struct NewInstance {
    pub(in crate::registry) spec: Arc<InstanceSpec>,
    /// This gateway's part of its limits.
    pub(in crate::registry) share: Share,
    pub(in crate::registry) addresses: Arc<[SocketAddr]>,
    pub(in crate::registry) suspended: Option<Arc<str>>,
    pub(in crate::registry) registered_from: IpAddr,
    pub(in crate::registry) health: Health,
    /// Whether it had this health before: it registered anew, as what its probes had looked at.
    pub(in crate::registry) keeps_health: bool,
    /// The status that the store notes of it.
    pub(in crate::registry) noted: Status,
    pub(in crate::registry) live: Arc<InstanceLive>,
    pub(in crate::registry) drain: Option<Arc<DrainMark>>,
    /// The incarnation that it replaces.
    pub(in crate::registry) replaced: Option<Incarnation>,
    /// The TTL that it was promised before, where it names none.
    pub(in crate::registry) ttl: Option<Duration>,
    /// When it was heard here last; `None`: only other gateways have heard it.
    pub(in crate::registry) heard: Option<Instant>,
}

/// What an instance counts as.
struct CountedState {
    health: Health,
    is_being_removed: bool,
}

/// A change of an instance's status.
pub(in crate::registry) struct StatusChange {
    pub(in crate::registry) from: Status,
    pub(in crate::registry) to: Status,
}

/// Instances by id. Reads as the map that it is; written by its own methods.
#[derive(Default)]
pub(in crate::registry) struct Instances {
    all: BTreeMap<InstanceId, InstanceEntry>,
    counts: Counts,
}

/// Of those that stay.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    up: usize,
    unknown: usize,
    down: usize,
}

impl Instances {
    /// Puts one in; there is none of that id.
    pub(in crate::registry) fn insert(&mut self, instance: InstanceEntry) {
        self.counts.add(&instance.state);
        let before = self.all.insert(instance.spec.id.clone(), instance);
        before.iter().for_each(|before| self.counts.take(&before.state));
    }

    pub(in crate::registry) fn remove(&mut self, id: &InstanceId) -> Option<InstanceEntry> {
        let removed = self.all.remove(id)?;
        self.counts.take(&removed.state);
        Some(removed)
    }

    /// For all that is not counted: health and removal are.
    pub(in crate::registry) fn get_mut(&mut self, id: &InstanceId) -> Option<&mut InstanceEntry> {
        self.all.get_mut(id)
    }

    /// The same of all.
    pub(in crate::registry) fn values_mut(&mut self) -> impl Iterator<Item = &mut InstanceEntry> {
        self.all.values_mut()
    }

    /// Sets an instance's health; gives the change of its status, if there is one.
    pub(in crate::registry) fn set_health(&mut self, id: &InstanceId, health: Health) -> Option<StatusChange> {
        let from = self.all.get(id)?.health().status();
        self.change(id, |state| state.health = health);
        let to = health.status();
        let installed = self.all.get_mut(id).filter(|_| from != to)?;
        installed.publish(installed.published.pool_group);
        Some(StatusChange { from, to })
    }

    /// The status that the store is to note of it from now on; `None`: it notes it already, or none is to be noted, since
    /// it is not probed.
    pub(in crate::registry) fn take_unnoted(&mut self, id: &InstanceId) -> Option<Status> {
        let instance = self.all.get_mut(id).filter(|instance| instance.spec.health_endpoint.is_some())?;
        let status = instance.health().status();
        (std::mem::replace(&mut instance.noted, status) != status).then_some(status)
    }

    /// It is being removed, and takes no request from now on.
    pub(in crate::registry) fn begin_removal(&mut self, id: &InstanceId) {
        self.change(id, |state| state.is_being_removed = true);
    }

    /// All of them do.
    pub(in crate::registry) fn begin_removal_of_all(&mut self) {
        self.all.values_mut().for_each(|instance| {
            instance.state.is_being_removed = true;
            instance.note_draining();
        });
        self.counts = Counts::default();
    }

    /// It could not leave and stays, unless it has to go all the same.
    pub(in crate::registry) fn stay(&mut self, id: &InstanceId, must_go: impl Fn(&InstanceEntry) -> bool) {
        let must_go = self.all.get(id).is_some_and(must_go);
        self.change(id, |state| state.is_being_removed = must_go);
    }

    /// The same of all.
    pub(in crate::registry) fn stay_all(&mut self, must_go: impl Fn(&InstanceEntry) -> bool) {
        let ids: Vec<_> = self.all.keys().cloned().collect();
        ids.iter().for_each(|id| self.stay(id, &must_go));
    }

    /// Whether all are being removed, or there is none.
    pub(in crate::registry) fn are_being_removed(&self) -> bool {
        self.counts == Counts::default()
    }

    /// Of those that stay: UP while one is UP, DOWN when none is UP or UNKNOWN.
    pub(in crate::registry) fn status(&self) -> Status {
        match self.counts {
            Counts { up: 1.., .. } => Status::Up,
            Counts { unknown: 1.., .. } => Status::Unknown,
            Counts { .. } => Status::Down,
        }
    }

    /// Whether the counts are what counting gives.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::registry) fn are_counted(&self) -> bool {
        let mut counts = Counts::default();
        self.all.values().for_each(|instance| counts.add(&instance.state));
        counts == self.counts
    }

    fn change(&mut self, id: &InstanceId, change: impl FnOnce(&mut CountedState)) {
        let Some(instance) = self.all.get_mut(id) else { return };
        self.counts.take(&instance.state);
        change(&mut instance.state);
        self.counts.add(&instance.state);
        instance.note_draining();
    }
}

impl Deref for Instances {
    type Target = BTreeMap<InstanceId, InstanceEntry>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl Counts {
    fn add(&mut self, state: &CountedState) {
        if !state.is_being_removed {
            *self.of(state.health.status()) += 1;
        }
    }

    fn take(&mut self, state: &CountedState) {
        if !state.is_being_removed {
            *self.of(state.health.status()) -= 1;
        }
    }

    fn of(&mut self, status: Status) -> &mut usize {
        match status {
            Status::Up => &mut self.up,
            Status::Unknown => &mut self.unknown,
            Status::Down => &mut self.down,
        }
    }
}

impl InstanceEntry {
    pub(in crate::registry) fn new(new: NewInstance, pool_group: PoolGroup, now: Now) -> Self {
        let NewInstance { spec, addresses, suspended, registered_from, health, .. } = new;
        let NewInstance { share, keeps_health, noted, live, drain, replaced, ttl, heard, .. } = new;
        let liveness = Liveness::new(spec.heartbeat_ttl.or(ttl), heard);
        let published = published(&spec, share, &addresses, health, pool_group, &live);
        shared::installed(&live, &health, keeps_health, replaced.clone(), now);
        let state = CountedState { health, is_being_removed: false };
        let entry = Self {
            spec,
            registered_from,
            liveness,
            live,
            addresses,
            suspended,
            state,
            noted,
            drain,
            replaced,
            moves: None,
            lapsed_until: None,
            share,
            published,
        };
        entry.note_draining();
        entry
    }

    pub(in crate::registry) fn spec(&self) -> &Arc<InstanceSpec> {
        &self.spec
    }

    /// The address that registered it.
    pub(in crate::registry) fn registered_from(&self) -> IpAddr {
        self.registered_from
    }

    pub(in crate::registry) fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    pub(in crate::registry) fn liveness_mut(&mut self) -> &mut Liveness {
        &mut self.liveness
    }

    /// The counters that requests share.
    pub(in crate::registry) fn live(&self) -> &Arc<InstanceLive> {
        &self.live
    }

    pub(in crate::registry) fn health(&self) -> Health {
        self.state.health
    }

    /// Whether it is on its way out: in the registry until the store has forgotten it, and published no more.
    pub(in crate::registry) fn is_being_removed(&self) -> bool {
        self.state.is_being_removed
    }

    pub(in crate::registry) fn addresses(&self) -> &Arc<[SocketAddr]> {
        &self.addresses
    }

    /// Why it may not be where it is, whatever the configuration says.
    pub(in crate::registry) fn suspended(&self) -> Option<&Arc<str>> {
        self.suspended.as_ref()
    }

    /// What drains it by a command.
    pub(in crate::registry) fn drain(&self) -> Option<&Arc<DrainMark>> {
        self.drain.as_ref()
    }

    pub(in crate::registry) fn set_drain(&mut self, drain: Option<Arc<DrainMark>>) {
        self.drain = drain;
        self.note_draining();
    }

    /// Whether a shared store lost it, though no command removed it.
    pub(in crate::registry) fn has_lapsed(&self) -> bool {
        self.lapsed_until.is_some()
    }

    /// How long it stays at least where a shared store lost it.
    pub(in crate::registry) fn lapsed_until(&self) -> Option<Instant> {
        self.lapsed_until
    }

    pub(in crate::registry) fn set_lapsed(&mut self, until: Option<Instant>) {
        self.lapsed_until = until;
    }

    /// Where its id was before.
    pub(in crate::registry) fn moves(&self) -> Option<&Moves> {
        self.moves.as_ref()
    }

    pub(in crate::registry) fn set_moves(&mut self, moves: Option<Moves>) {
        self.moves = moves;
    }

    /// The incarnation that it replaced.
    pub(in crate::registry) fn replaced(&self) -> Option<&Incarnation> {
        self.replaced.as_ref()
    }

    /// It is elsewhere now, where it may be. Connections of another group are not used again.
    pub(in crate::registry) fn move_to(&mut self, addresses: &Arc<[SocketAddr]>, pool_group: PoolGroup) {
        self.addresses = Arc::clone(addresses);
        self.suspended = None;
        self.publish(pool_group);
    }

    /// What the snapshot shows of it.
    pub(in crate::registry) fn published(&self) -> &Arc<Instance> {
        &self.published
    }

    fn publish(&mut self, pool_group: PoolGroup) {
        self.published = published(&self.spec, self.share, &self.addresses, self.state.health, pool_group, &self.live);
    }

    /// Whether it has limits that may be shared.
    pub(in crate::registry) fn has_limits(&self) -> bool {
        self.spec.soft_limit != 0 || self.spec.hard_limit != 0
    }

    /// This gateway's part of its limits is another one.
    pub(in crate::registry) fn set_share(&mut self, share: Share) {
        self.share = share;
        self.publish(self.published.pool_group);
    }

    /// Tells requests whether they may come.
    fn note_draining(&self) {
        let takes_none = self.drain.is_some() || self.is_being_removed();
        shared::takes_no_requests(&self.live, takes_none, self.drain.as_ref());
    }
}

fn published(
    spec: &Arc<InstanceSpec>,
    share: Share,
    addresses: &Arc<[SocketAddr]>,
    health: Health,
    pool_group: PoolGroup,
    live: &Arc<InstanceLive>,
) -> Arc<Instance> {
    Arc::new(Instance {
        spec: Arc::clone(spec),
        addresses: Arc::clone(addresses),
        status: health.status(),
        soft_limit: share.of(spec.soft_limit),
        hard_limit: share.of(spec.hard_limit),
        pool_group,
        live: Arc::clone(live),
    })
}
