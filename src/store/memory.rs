//! The store that is gone with the process: for tests, and for gateways whose services register again anyway.

use crate::driver::{Change, Contents, Store, StoreError};

/// Keeps what it is given in memory.
#[derive(Debug, Default)]
pub struct MemoryStore {
    contents: Contents,
}

impl Store for MemoryStore {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        for change in changes {
            match change {
                Change::PutDefinition { definition, .. } => {
                    self.contents.definitions.insert(definition.service.clone(), change.clone());
                }
                Change::PutInstance { spec, .. } => {
                    self.contents.instances.insert(spec.id.clone(), change.clone());
                }
                Change::RemoveInstance(id) => {
                    self.contents.instances.remove(id);
                }
                Change::RemoveService(service) => {
                    self.contents.definitions.remove(service);
                    let of_service =
                        |change: &Change| matches!(change, Change::PutInstance { service: own, .. } if own == service);
                    self.contents.instances.retain(|_, change| !of_service(change));
                }
            }
        }
        Ok(())
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        Ok(self.contents.clone())
    }
}
