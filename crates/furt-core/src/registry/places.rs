//! Who is where, as it was registered: within a service one place is one instance, and services that share one are told.
//!
//! Installed instances are counted here, and registrations on their way to the store claim their place.

use std::collections::HashMap;
use std::sync::Arc;

use super::ids::InstanceRef;
use crate::model::{InstanceId, InstanceSpec, Place, ServiceName, UpstreamUrl};
use crate::routing::{SharedUrl, SharedUrls};

/// Instances that are named of those at one place: enough to look for the rest, however many share it.
const MAX_NAMED: usize = 16;

/// Instances by place.
#[derive(Debug, Default)]
pub(super) struct Places {
    installed: HashMap<Place, Occupants>,
    pending: HashMap<(ServiceName, Place), usize>,
    /// Places of several services that do not all say so.
    shared: SharedUrls,
}

/// Who is at one place.
#[derive(Debug, Default)]
struct Occupants {
    /// In their order. Nearly always one, for which a map would take a kilobyte.
    all: Vec<Occupant>,
    /// Those that do not say that they share it.
    silent: usize,
}

#[derive(Debug)]
struct Occupant {
    instance: InstanceRef,
    url: UpstreamUrl,
    says_so: bool,
}

impl Places {
    /// An instance is installed. Says whether what is told of shared urls changed.
    pub(super) fn add(&mut self, instance: &InstanceRef, spec: &InstanceSpec) -> bool {
        let occupant = Occupant { instance: instance.clone(), url: spec.url.clone(), says_so: spec.shared };
        let place = spec.place();
        let there = self.installed.entry(place.clone()).or_default();
        there.silent += usize::from(!occupant.says_so);
        match there.find(instance) {
            Ok(at) => {
                let before = std::mem::replace(&mut there.all[at], occupant);
                there.silent -= usize::from(!before.says_so);
            }
            Err(_) if there.all.is_empty() => there.all = vec![occupant],
            Err(at) => there.all.insert(at, occupant),
        }
        self.look_at(place)
    }

    /// It is gone. Says whether what is told of shared urls changed.
    pub(super) fn remove(&mut self, instance: &InstanceRef, spec: &InstanceSpec) -> bool {
        let place = spec.place();
        if let Some(there) = self.installed.get_mut(&place) {
            if let Ok(at) = there.find(instance) {
                let gone = there.all.remove(at);
                there.silent -= usize::from(!gone.says_so);
            }
            if there.all.is_empty() {
                self.installed.remove(&place);
            }
        }
        self.look_at(place)
    }

    fn look_at(&mut self, place: Place) -> bool {
        match self.installed.get(&place).and_then(Occupants::shared) {
            Some(shared) if self.shared.get(&place).is_some_and(|before| **before == shared) => false,
            Some(shared) => {
                self.shared.insert(place, Arc::new(shared));
                true
            }
            None => self.shared.remove(&place).is_some(),
        }
    }

    /// Other instances of the service that are where `spec` is.
    pub(super) fn rivals(&self, service: &ServiceName, spec: &InstanceSpec) -> Vec<InstanceId> {
        let Some(there) = self.installed.get(&spec.place()) else { return Vec::new() };
        let ids = there.of(service).map(|one| &one.id);
        ids.filter(|id| **id != spec.id).cloned().collect()
    }

    /// Instances of other services that are where this one is, where not all of them say so.
    pub(super) fn sharers(&self, instance: &InstanceRef, spec: &InstanceSpec) -> Vec<InstanceRef> {
        let Some(shared) = self.shared.get(&spec.place()) else { return Vec::new() };
        let others = shared.instances.iter().filter(|(service, _)| *service != instance.service);
        others.map(|(service, id)| InstanceRef { service: service.clone(), id: id.clone() }).collect()
    }

    /// Every url that is shared.
    pub(super) fn shared(&self) -> &SharedUrls {
        &self.shared
    }

    /// A registration to this place is on its way to the store.
    pub(super) fn claim(&mut self, service: &ServiceName, spec: &InstanceSpec) {
        *self.pending.entry((service.clone(), spec.place())).or_default() += 1;
    }

    /// It arrived, or failed.
    pub(super) fn release(&mut self, service: &ServiceName, spec: &InstanceSpec) {
        let key = (service.clone(), spec.place());
        if let Some(claims) = self.pending.get_mut(&key) {
            *claims -= 1;
            if *claims == 0 {
                self.pending.remove(&key);
            }
        }
    }

    /// Whether a registration of the service is on its way to this place.
    pub(super) fn is_claimed(&self, service: &ServiceName, spec: &InstanceSpec) -> bool {
        self.pending.contains_key(&(service.clone(), spec.place()))
    }

    /// How many instances are installed, and how many registrations are on their way.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.installed.values().map(|there| there.all.len()).sum(), self.pending.values().sum())
    }

    /// Whether this instance is noted where `spec` says.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn has(&self, instance: &InstanceRef, spec: &InstanceSpec) -> bool {
        self.installed.get(&spec.place()).is_some_and(|there| there.find(instance).is_ok())
    }
}

impl Occupants {
    /// Where the instance is among them, or would be.
    fn find(&self, instance: &InstanceRef) -> Result<usize, usize> {
        self.all.binary_search_by(|one| one.instance.cmp(instance))
    }

    /// Those of one service.
    fn of(&self, service: &ServiceName) -> impl Iterator<Item = &InstanceRef> {
        let first = self.all.partition_point(|one| one.instance.service < *service);
        self.all[first..].iter().map(|one| &one.instance).take_while(move |one| one.service == *service)
    }

    /// What is to be told: several services are there, and not all say that they share it.
    fn shared(&self) -> Option<SharedUrl> {
        let (first, last) = self.all.first().zip(self.all.last())?;
        if first.instance.service == last.instance.service || self.silent == 0 {
            return None;
        }
        let named = self.all.iter().take(MAX_NAMED).map(|one| &one.instance);
        let instances = named.map(|one| (one.service.clone(), one.id.clone())).collect();
        Some(SharedUrl { url: first.url.clone(), instances, count: self.all.len() })
    }
}
