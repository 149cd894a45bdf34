//! Which service owns an instance id: each installed instance and each one on its way to the store claims its id once.

use std::collections::HashMap;

use crate::model::{InstanceId, ServiceName};

/// Owners by instance id.
#[derive(Debug, Default)]
pub(in crate::registry) struct IdOwners(HashMap<InstanceId, Owner>);

#[derive(Debug)]
struct Owner {
    service: ServiceName,
    claims: usize,
}

impl IdOwners {
    pub(in crate::registry) fn claim(&mut self, id: &InstanceId, service: &ServiceName) {
        let new = || Owner { service: service.clone(), claims: 0 };
        self.0.entry(id.clone()).or_insert_with(new).claims += 1;
    }

    pub(in crate::registry) fn release(&mut self, id: &InstanceId) {
        let Some(owner) = self.0.get_mut(id) else { return };
        owner.claims -= 1;
        if owner.claims == 0 {
            self.0.remove(id);
        }
    }

    /// The service that owns the id.
    pub(in crate::registry) fn owner(&self, id: &InstanceId) -> Option<&ServiceName> {
        self.0.get(id).map(|owner| &owner.service)
    }

    /// How often `service` claims the id.
    pub(in crate::registry) fn claims(&self, id: &InstanceId, service: &ServiceName) -> usize {
        self.0.get(id).filter(|owner| owner.service == *service).map_or(0, |owner| owner.claims)
    }

    /// How many ids are claimed.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::registry) fn len(&self) -> usize {
        self.0.len()
    }

    /// All claims on all ids.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::registry) fn total(&self) -> usize {
        self.0.values().map(|owner| owner.claims).sum()
    }
}
