//! Which services own an instance id: each installed instance and each one on its way to the store claims its id once.
//! At most one service has it installed; another one may be on its way to a shared store, where one of the two is refused.

use std::collections::HashMap;

use crate::model::{InstanceId, ServiceName};

/// Owners by instance id.
#[derive(Debug, Default)]
pub(in crate::registry) struct IdOwners(HashMap<InstanceId, Vec<Owner>>);

#[derive(Debug)]
struct Owner {
    service: ServiceName,
    claims: usize,
}

impl IdOwners {
    pub(in crate::registry) fn claim(&mut self, id: &InstanceId, service: &ServiceName) {
        let owners = self.0.entry(id.clone()).or_insert_with(|| Vec::with_capacity(1));
        match owners.iter_mut().find(|owner| owner.service == *service) {
            Some(owner) => owner.claims += 1,
            None => owners.push(Owner { service: service.clone(), claims: 1 }),
        }
    }

    pub(in crate::registry) fn release(&mut self, id: &InstanceId, service: &ServiceName) {
        let Some(owners) = self.0.get_mut(id) else { return };
        let Some(at) = owners.iter().position(|owner| owner.service == *service) else { return };
        owners[at].claims -= 1;
        if owners[at].claims == 0 {
            owners.swap_remove(at);
        }
        if owners.is_empty() {
            self.0.remove(id);
        }
    }

    /// Other services than this one that claim the id.
    pub(in crate::registry) fn other_owners(
        &self,
        id: &InstanceId,
        service: &ServiceName,
    ) -> impl Iterator<Item = &ServiceName> {
        let owners = self.0.get(id).into_iter().flatten();
        owners.map(|owner| &owner.service).filter(move |owner| *owner != service)
    }

    /// How often `service` claims the id.
    pub(in crate::registry) fn claims(&self, id: &InstanceId, service: &ServiceName) -> usize {
        let owners = self.0.get(id).into_iter().flatten();
        owners.filter(|owner| owner.service == *service).map(|owner| owner.claims).sum()
    }

    /// How many ids are claimed.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::registry) fn len(&self) -> usize {
        self.0.len()
    }

    /// All claims on all ids.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::registry) fn total(&self) -> usize {
        self.0.values().flatten().map(|owner| owner.claims).sum()
    }
}
