//! What a store would hold after the writes that were done: it must be what the core has installed, with the same owners.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Definition, DrainMark, DrainUntil, InstanceId, InstanceSpec, ServiceName, Split};
use crate::registry::{Change, DefinitionRecord, InstanceRecord, InstanceRef, Registry};

#[derive(Default)]
pub(super) struct Stored {
    definitions: BTreeMap<ServiceName, (Definition, IpAddr)>,
    instances: BTreeMap<InstanceId, (ServiceName, InstanceSpec, IpAddr)>,
    draining: BTreeMap<InstanceId, Arc<DrainMark>>,
    holds: BTreeMap<InstanceRef, Arc<DrainMark>>,
    ttls: BTreeMap<InstanceId, Duration>,
    splits: BTreeMap<ServiceName, Arc<Split>>,
}

impl Stored {
    pub(super) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::PutDefinition(DefinitionRecord { definition, registered_from }) => {
                    let stored = ((**definition).clone(), *registered_from);
                    self.definitions.insert(definition.service.clone(), stored);
                }
                Change::PutInstance(InstanceRecord { service, spec, registered_from, .. }) => {
                    assert!(self.definitions.contains_key(service), "{service}: an instance of an unknown service");
                    let stored = (service.clone(), (**spec).clone(), *registered_from);
                    self.instances.insert(spec.id.clone(), stored);
                    self.forget_state(&spec.id);
                }
                Change::RemoveInstance(InstanceRef { id, .. }) => {
                    self.instances.remove(id).expect("only a stored instance is removed");
                    self.forget_state(id);
                }
                Change::RemoveService { service, instances } => {
                    self.definitions.remove(service).expect("only a stored service is removed");
                    for id in instances {
                        self.instances.remove(id).expect("only a stored instance is removed");
                        self.forget_state(id);
                    }
                }
                Change::PutDraining(InstanceRef { id, .. }, mark) => {
                    assert!(self.instances.contains_key(id), "{id}: a drain of an unknown instance");
                    let before = self.draining.insert(id.clone(), Arc::clone(mark));
                    assert!(before.is_none_or(|before| before.until < mark.until), "{id}: is draining already");
                }
                Change::RemoveDraining(InstanceRef { id, .. }) => {
                    assert!(self.draining.remove(id).is_some(), "{id}: is not draining");
                }
                Change::PutHold(instance, mark) => {
                    let before = self.holds.insert(instance.clone(), Arc::clone(mark));
                    assert!(before.is_none(), "{instance}: is held already");
                }
                Change::RemoveHold(instance) => {
                    assert!(self.holds.remove(instance).is_some(), "{instance}: is not held");
                }
                Change::PutSplit(service, split) => {
                    self.splits.insert(service.clone(), Arc::clone(split));
                }
                Change::RemoveSplit(service) => {
                    assert!(self.splits.remove(service).is_some(), "{service}: has no split");
                }
                Change::Audit(_) => {}
                Change::Observe(..) | Change::NoteTtl { .. } => {
                    unreachable!("is kept, not written")
                }
                Change::PutKey(_)
                | Change::RemoveKey(_)
                | Change::PutMaintenance(..)
                | Change::RemoveMaintenance(_)
                | Change::PutGrant(..)
                | Change::RemoveGrant(_) => unreachable!("nobody asks for keys, maintenance and grants here"),
            }
        }
    }

    /// What is noted is there before the writes that wait, and ends with those that put its instance anew or remove it.
    pub(super) fn keep(&mut self, note: &Change) {
        if let Change::NoteTtl { instance: InstanceRef { id: instance, .. }, ttl } = note {
            assert!(self.instances.contains_key(instance), "{instance}: a TTL of an unknown instance");
            assert_ne!(self.ttls.insert(instance.clone(), *ttl), Some(*ttl), "{instance}: is held to it already");
        }
    }

    fn forget_state(&mut self, id: &InstanceId) {
        self.draining.remove(id);
        self.ttls.remove(id);
    }

    pub(super) fn compare(&self, registry: &Registry) {
        let directory = &registry.directory;
        assert!(registry.holds.iter().eq(&self.holds), "holds stored");
        assert!(registry.splits.iter().eq(&self.splits), "splits stored");
        let installed =
            directory.services().map(|(name, one)| (name, ((**one.definition()).clone(), one.registered_from())));
        assert!(installed.eq(self.definitions.iter().map(|(name, one)| (name, one.clone()))), "definitions stored");
        let instances =
            directory.services().flat_map(|(name, entry)| entry.instances().iter().map(move |one| (name, one)));
        let installed: BTreeMap<_, _> = instances
            .map(|(name, (id, one))| (id.clone(), (name.clone(), (**one.spec()).clone(), one.registered_from())))
            .collect();
        assert_eq!(self.instances, installed, "instances stored");
        let instances = || directory.services().flat_map(|(_, entry)| entry.instances().iter());
        let ttls = instances().filter(|(_, one)| one.spec().heartbeat_ttl.is_none());
        let ttls: BTreeMap<_, _> = ttls.filter_map(|(id, one)| Some((id.clone(), one.liveness().ttl()?))).collect();
        assert_eq!(self.ttls, ttls, "TTLs stored");
        let drains = instances().filter_map(|(id, one)| Some((id.clone(), Arc::clone(one.drain()?))));
        let drains: BTreeMap<_, _> = drains.filter(|(_, mark)| mark.until != DrainUntil::Undo).collect();
        assert_eq!(self.draining, drains, "drains stored");
    }
}
