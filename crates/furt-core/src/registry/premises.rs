//! What writes rely on: every record that a command was judged by. Empty unless the store is shared.

use super::change::Change;
use super::command::DrainCommand;
use super::directory::InstanceEntry;
use super::dispatch::Registry;
use super::eligibility::effective;
use super::ids::InstanceRef;
use super::refusal::Refusal;
use super::service_write::{DrainChange, Registering, RemovalCause};
use super::write::{Claim, Premise, Record};
use crate::model::{DrainUntil, InstanceId, MaintenanceScope, ServiceName};

impl Registry {
    /// Why nothing can be stored now, where that is known.
    pub(super) fn store_refusal(&self) -> Option<Refusal> {
        self.unreachable.as_ref().map(|why| Refusal::StoreFailed(why.to_string()))
    }

    /// Whether the store has what is to be removed.
    pub(super) fn is_stored(&self, removal: &Change) -> bool {
        match removal {
            Change::RemoveInstance(instance) => {
                !self.directory.instance(instance).is_some_and(InstanceEntry::has_lapsed)
            }
            Change::RemoveService { service, .. } => {
                !self.directory.service(service).is_some_and(|entry| entry.has_lapsed())
            }
            _ => true,
        }
    }

    pub(super) fn premises_of_registration(&self, registering: &Registering) -> Vec<Premise> {
        if !self.settings.sharing.is_shared() {
            return Vec::new();
        }
        let Registering { command, definition_owner, replaces, canary, .. } = registering;
        let service = command.definition.service.clone();
        let spec = &command.instance;
        let instance = InstanceRef { service: service.clone(), id: spec.id.clone() };
        let mut premises = vec![self.as_it_is_of_service(&service)];
        if definition_owner.is_some() {
            let routes = effective(&command.definition, &self.settings.policy.apps_domain);
            premises.push(Premise::Unclaimed(Claim::Routes(routes)));
        }
        // A split says whether a definition is installed or left out, and who has no version is no canary.
        if spec.version.is_some() && (definition_owner.is_some() || canary.is_some()) {
            let split = Record::Split(service.clone());
            premises.push(match self.splits.get(&service) {
                Some(_) => Premise::Unchanged(split),
                None => Premise::Absent(split),
            });
        }
        premises.push(self.as_it_is(&instance));
        let hold = Record::Hold(instance.clone());
        premises.push(match self.holds.get(&instance) {
            Some(_) => Premise::Unchanged(hold),
            None => Premise::Absent(hold),
        });
        let stored = self.directory.instance(&instance).filter(|stored| !stored.has_lapsed());
        if stored.is_none() {
            premises.push(Premise::Unclaimed(Claim::Id(spec.id.clone())));
        }
        if stored.is_none_or(|stored| stored.spec().place() != spec.place()) {
            premises.push(Premise::Unclaimed(Claim::Place(service, spec.place())));
        }
        premises.extend(stored.map(|stored| drain_as_it_is(&instance, stored)));
        for rival in replaces.iter().map(|id| instance.sibling(id)) {
            premises.push(self.as_it_is(&rival));
            premises.extend(self.directory.instance(&rival).map(|stored| drain_as_it_is(&rival, stored)));
        }
        premises
    }

    pub(super) fn premises_of_removal(
        &self,
        service: &ServiceName,
        instance: Option<&InstanceId>,
        cause: &RemovalCause,
    ) -> Vec<Premise> {
        let Some(entry) = self.directory.service(service).filter(|_| self.settings.sharing.is_shared()) else {
            return Vec::new();
        };
        match (cause, instance) {
            (RemovalCause::HoldEnded, _) => {
                vec![self.as_it_is_of_service(service), Premise::WithoutInstances(service.clone())]
            }
            (_, Some(id)) if !entry.is_being_removed() => {
                vec![self.as_it_is(&InstanceRef { service: service.clone(), id: id.clone() })]
            }
            _ => vec![self.as_it_is_of_service(service), Premise::Settled(service.clone())],
        }
    }

    pub(super) fn premises_of_drain(&self, command: &DrainCommand, drains: &[DrainChange]) -> Vec<Premise> {
        if !self.settings.sharing.is_shared() {
            return Vec::new();
        }
        let of = |change: &DrainChange| {
            let instance = InstanceRef { service: command.service.clone(), id: change.id.clone() };
            let (drain, hold) = (Record::Drain(instance.clone()), Record::Hold(instance.clone()));
            let is_there = self.directory.instance(&instance).is_some();
            let installed = is_there.then(|| self.as_it_is(&instance));
            let [drain, hold] = match change.before {
                None => [Premise::Absent(drain), Premise::Absent(hold)],
                Some(DrainUntil::Undo) => [Premise::Absent(drain), Premise::Unchanged(hold)],
                Some(DrainUntil::Registration | DrainUntil::Restart) => {
                    [Premise::Unchanged(drain), Premise::Absent(hold)]
                }
            };
            installed.into_iter().chain([drain, hold])
        };
        drains.iter().flat_map(of).collect()
    }

    pub(super) fn premises_of_return(&self, instance: &InstanceRef) -> Vec<Premise> {
        if !self.settings.sharing.is_shared() {
            return Vec::new();
        }
        vec![self.as_it_is(instance), Premise::Unchanged(Record::Drain(instance.clone()))]
    }

    /// What is stored again relies on nobody having done so, nor having given away what is its own.
    pub(super) fn premises_of_restoring(&self, instance: &InstanceRef, installed: &InstanceEntry) -> Vec<Premise> {
        let service = &instance.service;
        let mut premises = vec![self.as_it_is_of_service(service)];
        if let Some(entry) = self.directory.service(service).filter(|entry| entry.has_lapsed()) {
            let routes = effective(entry.definition(), &self.settings.policy.apps_domain);
            premises.push(Premise::Unclaimed(Claim::Routes(routes)));
        }
        let place = installed.spec().place();
        premises.extend([
            Premise::Absent(Record::Instance(instance.clone())),
            Premise::Unclaimed(Claim::Id(instance.id.clone())),
            Premise::Unclaimed(Claim::Place(service.clone(), place)),
        ]);
        premises
    }

    /// What the audit says was there before must have been.
    pub(super) fn premises_of_maintenance(&self, scope: &MaintenanceScope) -> Vec<Premise> {
        self.as_it_is_at(Record::Maintenance(scope.clone()), self.maintenances.stored(scope).is_some())
    }

    /// The same of a split.
    pub(super) fn premises_of_split(&self, service: &ServiceName) -> Vec<Premise> {
        self.as_it_is_at(Record::Split(service.clone()), self.splits.get(service).is_some())
    }

    /// The same of a grant.
    pub(super) fn premises_of_grant(&self, service: &ServiceName) -> Vec<Premise> {
        self.as_it_is_at(Record::Grant(service.clone()), self.grants.get(service).is_some())
    }

    fn as_it_is_at(&self, record: Record, is_stored: bool) -> Vec<Premise> {
        match (self.settings.sharing.is_shared(), is_stored) {
            (false, _) => Vec::new(),
            (true, true) => vec![Premise::Unchanged(record)],
            (true, false) => vec![Premise::Absent(record)],
        }
    }

    fn as_it_is_of_service(&self, service: &ServiceName) -> Premise {
        let record = Record::Definition(service.clone());
        match self.directory.service(service).is_some_and(|entry| !entry.has_lapsed()) {
            true => Premise::Unchanged(record),
            false => Premise::Absent(record),
        }
    }

    fn as_it_is(&self, instance: &InstanceRef) -> Premise {
        let record = Record::Instance(instance.clone());
        match self.directory.instance(instance).is_some_and(|installed| !installed.has_lapsed()) {
            true => Premise::Unchanged(record),
            false => Premise::Absent(record),
        }
    }
}

/// The drain of a stored instance; a hold is no part of it.
fn drain_as_it_is(instance: &InstanceRef, stored: &InstanceEntry) -> Premise {
    let record = Record::Drain(instance.clone());
    match stored.drain().is_some_and(|mark| mark.until != DrainUntil::Undo) {
        true => Premise::Unchanged(record),
        false => Premise::Absent(record),
    }
}
