//! The instances of a service, and how many of them stay, by status: so that what a service is, is known without looking
//! at ten thousand instances at each change of one of them.
//!
//! Health and leaving, which the counts are about, change here alone. `invariants` sweeps the counts. Called by the rest
//! of the core.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::ops::Deref;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Health, NameToken, Now, ProbeToken};
use crate::model::{InstanceId, InstanceSpec, Status};
use crate::routing::{Instance, InstanceLive};

/// An installed instance.
pub(super) struct InstanceEntry {
    pub(super) spec: Arc<InstanceSpec>,
    pub(super) addresses: Arc<[SocketAddr]>,
    /// Why it may not be where it was restored, whatever the configuration says.
    pub(super) suspended: Option<Arc<str>>,
    pub(super) registered_from: IpAddr,
    pub(super) state: CountedState,
    /// What an outcome of its probes must carry to count; `None`: it was never probed.
    pub(super) probe_token: Option<ProbeToken>,
    /// What an answer about its name must carry to count.
    pub(super) name_token: NameToken,
    /// Set where it named a TTL, or once it heartbeats.
    pub(super) ttl: Option<Duration>,
    pub(super) heard: Instant,
    pub(super) is_draining: bool,
    pub(super) live: Arc<InstanceLive>,
    /// What the snapshot shows of it.
    pub(super) seen: Arc<Instance>,
}

/// What an instance counts as.
pub(super) struct CountedState {
    health: Health,
    is_being_removed: bool,
}

/// Instances by id. Reads as the map that it is; written by its own methods.
#[derive(Default)]
pub(super) struct Instances {
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
    pub(super) fn insert(&mut self, instance: InstanceEntry) {
        self.counts.add(&instance.state);
        let before = self.all.insert(instance.spec.id.clone(), instance);
        before.iter().for_each(|before| self.counts.take(&before.state));
    }

    pub(super) fn remove(&mut self, id: &InstanceId) -> Option<InstanceEntry> {
        let removed = self.all.remove(id)?;
        self.counts.take(&removed.state);
        Some(removed)
    }

    /// For all that is not counted.
    pub(super) fn get_mut(&mut self, id: &InstanceId) -> Option<&mut InstanceEntry> {
        self.all.get_mut(id)
    }

    /// The same of all.
    pub(super) fn values_mut(&mut self) -> impl Iterator<Item = &mut InstanceEntry> {
        self.all.values_mut()
    }

    pub(super) fn set_health(&mut self, id: &InstanceId, health: Health) {
        self.change(id, |state| state.health = health);
    }

    /// It leaves, and takes no request from now on.
    pub(super) fn begin_removal(&mut self, id: &InstanceId) {
        self.change(id, |state| state.is_being_removed = true);
    }

    /// All of them do.
    pub(super) fn begin_removal_of_all(&mut self) {
        self.all.values_mut().for_each(|instance| {
            instance.state.is_being_removed = true;
            instance.note_draining();
        });
        self.counts = Counts::default();
    }

    /// It could not leave and stays, unless it was not heard in time.
    pub(super) fn stay(&mut self, id: &InstanceId, now: Now) {
        let is_over = self.all.get(id).is_some_and(|instance| instance.is_over(now));
        self.change(id, |state| state.is_being_removed = is_over);
    }

    /// The same of all.
    pub(super) fn stay_all(&mut self, now: Now) {
        let ids: Vec<_> = self.all.keys().cloned().collect();
        ids.iter().for_each(|id| self.stay(id, now));
    }

    /// Whether all are leaving, or there is none.
    pub(super) fn are_being_removed(&self) -> bool {
        self.counts == Counts::default()
    }

    /// Of those that stay: UP while one is UP, DOWN when none is UP or UNKNOWN.
    pub(super) fn status(&self) -> Status {
        match self.counts {
            Counts { up: 1.., .. } => Status::Up,
            Counts { unknown: 1.., .. } => Status::Unknown,
            Counts { .. } => Status::Down,
        }
    }

    /// Whether the counts are what counting gives.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn are_counted(&self) -> bool {
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

impl CountedState {
    /// Of one that comes.
    pub(super) fn new(health: Health) -> Self {
        Self { health, is_being_removed: false }
    }
}

impl InstanceEntry {
    pub(super) fn health(&self) -> Health {
        self.state.health
    }

    /// Whether it is on its way out: in the registry until the store has forgotten it, and seen no more.
    pub(super) fn is_being_removed(&self) -> bool {
        self.state.is_being_removed
    }

    /// When its TTL is over, as it was last heard; `None`: it has none.
    pub(super) fn end(&self) -> Option<Instant> {
        self.ttl.map(|ttl| self.heard + ttl)
    }

    /// Whether it was not heard in time: it leaves, whatever becomes of a command about it.
    pub(super) fn is_over(&self, now: Now) -> bool {
        self.end().is_some_and(|end| end <= now.at)
    }

    /// Tells requests whether they may come.
    pub(super) fn note_draining(&self) {
        self.live.set_draining(self.is_draining || self.is_being_removed());
    }
}
