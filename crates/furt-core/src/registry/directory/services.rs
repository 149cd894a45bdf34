//! Services by name, and instances found by their service and id.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::super::command::DrainCommand;
use super::super::ids::InstanceRef;
use super::super::refusal::Refusal;
use super::ids::IdOwners;
use super::instances::InstanceEntry;
use super::service::ServiceEntry;
use crate::live::ServiceTraffic;
use crate::model::{Definition, InstanceId, ServiceName, Status};

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
        self.services.insert(entry.definition().service.clone(), entry);
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
        let entry = self.services.get(&instance.service).filter(|entry| !entry.is_being_removed());
        let found = entry.and_then(|entry| Some((entry, entry.instances().get(&instance.id)?)));
        found
            .filter(|(_, installed)| !installed.is_being_removed())
            .ok_or_else(|| Refusal::NotFound(format!("instance \"{instance}\"")))
    }

    /// An instance, also one that is being removed.
    pub(in crate::registry) fn instance(&self, instance: &InstanceRef) -> Option<&InstanceEntry> {
        self.services.get(&instance.service)?.instances().get(&instance.id)
    }

    /// The same, to be changed.
    pub(in crate::registry) fn instance_mut(&mut self, instance: &InstanceRef) -> Option<&mut InstanceEntry> {
        self.services.get_mut(&instance.service)?.instance_mut(&instance.id)
    }

    /// Every TTL is extended by the time in which nobody could be heard.
    pub(in crate::registry) fn extend_leases(&mut self, gap: Duration) {
        let instances = self.services.values_mut().flat_map(ServiceEntry::instances_mut);
        instances.for_each(|instance| instance.liveness_mut().extend(gap));
    }

    /// The address that registered a service, or one of its instances that is not being removed.
    ///
    /// # Errors
    /// [`Refusal::NotFound`].
    pub(in crate::registry) fn registered_from(
        &self,
        service: &ServiceName,
        id: Option<&InstanceId>,
    ) -> Result<IpAddr, Refusal> {
        match id {
            Some(id) => {
                let instance = InstanceRef { service: service.clone(), id: id.clone() };
                Ok(self.installed(&instance)?.1.registered_from())
            }
            None => {
                let entry = self.services.get(service);
                Ok(entry.ok_or_else(|| Refusal::NotFound(format!("service \"{service}\"")))?.registered_from())
            }
        }
    }

    /// The requests that were answered so far by the services that are meant.
    pub(in crate::registry) fn answered_by(&self, is_meant: impl Fn(&ServiceEntry) -> bool) -> u64 {
        let meant = self.services.values().filter(|entry| is_meant(entry));
        meant.filter_map(|entry| entry.live().traffic_so_far()).map(ServiceTraffic::answered).sum()
    }

    /// The names of the services that are meant, in their order.
    pub(in crate::registry) fn names_where(&self, is_meant: impl Fn(&ServiceEntry) -> bool) -> Vec<ServiceName> {
        self.services.iter().filter(|(_, entry)| is_meant(entry)).map(|(name, _)| name.clone()).collect()
    }

    /// Every service that stays and is suspended, and why.
    pub(in crate::registry) fn suspended(&self) -> Vec<(ServiceName, Arc<str>)> {
        let staying = self.services.iter().filter(|(_, entry)| !entry.is_being_removed());
        staying
            .filter_map(|(name, entry)| Some((name.clone(), Arc::clone(entry.eligibility().suspension()?))))
            .collect()
    }

    /// The definition that an instance joins which brings none: that of today, or an empty one where there is no service.
    pub(in crate::registry) fn definition_to_join(&self, service: &ServiceName) -> Definition {
        let entry = self.services.get(service).filter(|entry| !entry.is_being_removed());
        entry.map_or_else(|| Definition::new(service.clone()), |entry| (**entry.definition()).clone())
    }

    /// The instances that stay of those that a drain is about.
    pub(in crate::registry) fn drain_targets(&self, command: &DrainCommand) -> impl Iterator<Item = &InstanceEntry> {
        let instances = self.services.get(&command.service).into_iter().flat_map(|entry| entry.instances().values());
        instances.filter(|installed| {
            let is_meant = command.instance.as_ref().is_none_or(|wanted| *wanted == installed.spec().id);
            is_meant && !installed.is_being_removed()
        })
    }

    /// The refusal of `what`, which the service `holder` has.
    pub(in crate::registry) fn taken(&self, what: String, holder: &ServiceName) -> Refusal {
        let status = self.services.get(holder).map_or(Status::Unknown, ServiceEntry::status);
        let detail = format!("the service \"{holder}\" ({status}) holds it");
        Refusal::Taken { what, conflict: Some((holder.clone(), status)), detail }
    }

    /// Whose an instance's id is.
    pub(in crate::registry) fn ids(&self) -> &IdOwners {
        &self.ids
    }

    pub(in crate::registry) fn claim_id(&mut self, instance: &InstanceRef) {
        self.ids.claim(&instance.id, &instance.service);
    }

    pub(in crate::registry) fn release_id(&mut self, instance: &InstanceRef) {
        self.ids.release(&instance.id, &instance.service);
    }

    /// How many services there are.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::registry) fn len(&self) -> usize {
        self.services.len()
    }
}
