//! The store that is gone with the process: for tests, and for gateways whose services register again anyway.

use std::sync::Arc;

use crate::model::{Epoch, InstanceId, Status};
use crate::ports::{Store, StoreError};
use crate::registry::{Change, Contents, InstanceRef, Observation};

/// Keeps what it is given in memory.
#[derive(Debug)]
pub struct MemoryStore {
    contents: Contents,
}

impl Default for MemoryStore {
    /// An empty one, of an epoch of its own.
    fn default() -> Self {
        Self { contents: Contents::new(Epoch(uuid::Uuid::new_v4())) }
    }
}

impl MemoryStore {
    /// What is noted of an instance ends with what puts it anew or removes it.
    fn forget_state(&mut self, id: &InstanceId) {
        self.contents.observed.down.remove(id);
        self.contents.observed.up.remove(id);
        self.contents.ttls.remove(id);
        self.contents.draining.remove(id);
    }
}

impl Store for MemoryStore {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            match change {
                Change::PutDefinition(record) => {
                    self.contents.definitions.insert(record.definition.service.clone(), record.clone());
                }
                Change::PutInstance(record) => {
                    self.contents.instances.insert(record.spec.id.clone(), record.clone());
                    self.forget_state(&record.spec.id);
                }
                Change::RemoveInstance(InstanceRef { id, .. }) => {
                    self.contents.instances.remove(id);
                    self.forget_state(id);
                }
                Change::RemoveService { service, instances } => {
                    self.contents.definitions.remove(service);
                    for id in instances {
                        self.contents.instances.remove(id);
                        self.forget_state(id);
                    }
                }
                Change::Observe(InstanceRef { id: instance, .. }, Observation::Status(status)) => {
                    let Contents { instances, observed, .. } = &mut self.contents;
                    let is_known = instances.contains_key(instance);
                    for (noted, with) in [(&mut observed.down, Status::Down), (&mut observed.up, Status::Up)] {
                        if is_known && *status == with {
                            noted.insert(instance.clone());
                        } else {
                            noted.remove(instance);
                        }
                    }
                }
                Change::NoteTtl { instance: InstanceRef { id: instance, .. }, ttl } => {
                    if self.contents.instances.contains_key(instance) {
                        self.contents.ttls.insert(instance.clone(), *ttl);
                    }
                }
                Change::Observe(InstanceRef { id: instance, .. }, Observation::Addresses(newer)) => {
                    if let Some(record) = self.contents.instances.get_mut(instance) {
                        record.addresses = Arc::clone(newer);
                    }
                }
                Change::PutDraining(InstanceRef { id, .. }, mark) if self.contents.instances.contains_key(id) => {
                    self.contents.draining.insert(id.clone(), Arc::clone(mark));
                }
                Change::PutDraining(InstanceRef { id, .. }, _) | Change::RemoveDraining(InstanceRef { id, .. }) => {
                    self.contents.draining.remove(id);
                }
                Change::PutHold(instance, mark) => {
                    self.contents.holds.insert(instance.clone(), Arc::clone(mark));
                }
                Change::RemoveHold(instance) => {
                    self.contents.holds.remove(instance);
                }
                Change::PutKey(key) => {
                    self.contents.keys.insert(key.name().clone(), Arc::clone(key));
                }
                Change::RemoveKey(name) => {
                    self.contents.keys.remove(name);
                }
                Change::PutMaintenance(scope, maintenance) => {
                    self.contents.maintenance.insert(scope.clone(), Arc::clone(maintenance));
                }
                Change::RemoveMaintenance(scope) => {
                    self.contents.maintenance.remove(scope);
                }
                Change::PutSplit(service, split) => {
                    self.contents.splits.insert(service.clone(), Arc::clone(split));
                }
                Change::RemoveSplit(service) => {
                    self.contents.splits.remove(service);
                }
                Change::PutGrant(service, grant) => {
                    self.contents.grants.insert(service.clone(), Arc::clone(grant));
                }
                Change::RemoveGrant(service) => {
                    self.contents.grants.remove(service);
                }
                // No part of what is registered: whoever shows it keeps it.
                Change::Audit(_) => {}
            }
        }
        Ok(())
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        self.contents.starts += 1;
        Ok(self.contents.clone())
    }
}
