//! Services by name, and instances found by their service and id.

use std::collections::BTreeMap;

use super::super::ids::InstanceRef;
use super::super::refusal::Refusal;
use super::ids::IdOwners;
use super::instances::InstanceEntry;
use super::service::ServiceEntry;
use crate::model::ServiceName;

/// All that is installed.
#[derive(Default)]
pub(in crate::registry) struct Directory {
    services: BTreeMap<ServiceName, ServiceEntry>,
    ids: IdOwners,
}

impl Directory {
    pub(in crate::registry) fn service(&self, name: &ServiceName) -> Option<&ServiceEntry> {
        self.services.get(name)
    }

    pub(in crate::registry) fn service_mut(&mut self, name: &ServiceName) -> Option<&mut ServiceEntry> {
        self.services.get_mut(name)
    }

    /// All services, in the order of their names.
    pub(in crate::registry) fn services(&self) -> impl Iterator<Item = (&ServiceName, &ServiceEntry)> {
        self.services.iter()
    }

    pub(in crate::registry) fn insert(&mut self, entry: ServiceEntry) {
        self.services.insert(entry.definition.service.clone(), entry);
    }

    pub(in crate::registry) fn remove(&mut self, name: &ServiceName) -> Option<ServiceEntry> {
        self.services.remove(name)
    }

    /// An instance with its service, neither of them being removed.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub(in crate::registry) fn installed(
        &self,
        instance: &InstanceRef,
    ) -> Result<(&ServiceEntry, &InstanceEntry), Refusal> {
        let entry = self.services.get(&instance.service).filter(|entry| !entry.is_being_removed);
        let found = entry.and_then(|entry| Some((entry, entry.instances.get(&instance.id)?)));
        found
            .filter(|(_, installed)| !installed.is_being_removed())
            .ok_or_else(|| Refusal::NotFound(format!("instance \"{instance}\"")))
    }

    /// An instance, also one that is being removed.
    pub(in crate::registry) fn instance(&self, instance: &InstanceRef) -> Option<&InstanceEntry> {
        self.services.get(&instance.service)?.instances.get(&instance.id)
    }

    /// The same, to be changed.
    pub(in crate::registry) fn instance_mut(&mut self, instance: &InstanceRef) -> Option<&mut InstanceEntry> {
        self.services.get_mut(&instance.service)?.instances.get_mut(&instance.id)
    }

    /// Every instance of every service, to be changed.
    pub(in crate::registry) fn instances_mut(&mut self) -> impl Iterator<Item = &mut InstanceEntry> {
        self.services.values_mut().flat_map(|entry| entry.instances.values_mut())
    }

    /// Whose an instance's id is.
    pub(in crate::registry) fn ids(&self) -> &IdOwners {
        &self.ids
    }

    pub(in crate::registry) fn claim_id(&mut self, instance: &InstanceRef) {
        self.ids.claim(&instance.id, &instance.service);
    }

    pub(in crate::registry) fn release_id(&mut self, instance: &InstanceRef) {
        self.ids.release(&instance.id);
    }

    /// How many services there are.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::registry) fn len(&self) -> usize {
        self.services.len()
    }
}
