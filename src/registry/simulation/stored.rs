//! What a store would hold after the writes that were done: it must be what the core has installed, with the same owners.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use crate::model::{Definition, InstanceId, InstanceSpec, ServiceName};
use crate::registry::{Change, Entry};

#[derive(Default)]
pub(super) struct Stored {
    definitions: BTreeMap<ServiceName, (Definition, IpAddr)>,
    instances: BTreeMap<InstanceId, (ServiceName, InstanceSpec, IpAddr)>,
    draining: BTreeSet<InstanceId>,
}

impl Stored {
    pub(super) fn apply(&mut self, changes: &[Change]) {
        for change in changes {
            match change {
                Change::PutDefinition { definition, registered_from } => {
                    let stored = ((**definition).clone(), *registered_from);
                    self.definitions.insert(definition.service.clone(), stored);
                }
                Change::PutInstance { service, spec, registered_from, .. } => {
                    assert!(self.definitions.contains_key(service), "{service}: an instance of an unknown service");
                    let stored = (service.clone(), (**spec).clone(), *registered_from);
                    self.instances.insert(spec.id.clone(), stored);
                    self.draining.remove(&spec.id);
                }
                Change::RemoveInstance(id) => {
                    self.instances.remove(id).expect("only a stored instance is removed");
                    self.draining.remove(id);
                }
                Change::RemoveService { service, instances } => {
                    self.definitions.remove(service).expect("only a stored service is removed");
                    for id in instances {
                        self.instances.remove(id).expect("only a stored instance is removed");
                        self.draining.remove(id);
                    }
                }
                Change::PutDraining(id) => {
                    assert!(self.instances.contains_key(id), "{id}: a drain of an unknown instance");
                    assert!(self.draining.insert(id.clone()), "{id}: is draining already");
                }
                Change::RemoveDraining(id) => assert!(self.draining.remove(id), "{id}: is not draining"),
                Change::NoteDown { .. } => unreachable!("is kept, not written"),
                Change::PutKey(_) | Change::RemoveKey(_) => unreachable!("nobody asks for keys here"),
            }
        }
    }

    pub(super) fn compare(&self, services: &BTreeMap<ServiceName, Entry>) {
        let installed = services.iter().map(|(name, one)| (name, ((*one.definition).clone(), one.registered_from)));
        assert!(installed.eq(self.definitions.iter().map(|(name, one)| (name, one.clone()))), "definitions stored");
        let members = services.iter().flat_map(|(name, entry)| entry.members.iter().map(move |one| (name, one)));
        let installed: BTreeMap<_, _> = members
            .map(|(name, (id, one))| (id.clone(), (name.clone(), (*one.spec).clone(), one.registered_from)))
            .collect();
        assert_eq!(self.instances, installed, "instances stored");
        let members = services.values().flat_map(|entry| &entry.members).filter(|(_, one)| one.is_draining);
        assert!(members.map(|(id, _)| id).collect::<BTreeSet<_>>().into_iter().eq(&self.draining), "drains stored");
    }
}
