//! What a shared store tells: changes of other gateways, leases that ended there, and what a comparison found.
//!
//! The store's word is final, and what is told came before the outcome of every write that is on its way from here. So what
//! a removal has hidden meanwhile is shown again where the store has it anew: that removal is outdated, as a rule.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::change::{Change, DefinitionRecord, InstanceRecord};
use super::dispatch::Registry;
use super::effects::Effects;
use super::eligibility::effective;
use super::event::{Incoming, Origin, StoreChanged};
use super::ids::InstanceRef;
use super::installing::Arrival;
use super::leases::Due;
use super::now::Now;
use super::report::Report;
use super::write::Record;
use crate::model::{Definition, DrainMark, DrainUntil, InstanceId, Place, ServiceName, Status};

/// What else one event says of the instances that it puts.
#[derive(Default)]
struct Told<'a> {
    /// Drains that begin or go on, and holds of ids.
    drains: HashMap<&'a InstanceRef, &'a Arc<DrainMark>>,
    ttls: HashMap<&'a InstanceRef, Duration>,
    /// Where it puts them.
    places: HashSet<(&'a ServiceName, Place)>,
}

/// What one event changed, to be looked at once all of it is taken over.
#[derive(Default)]
struct Followed {
    services: BTreeSet<ServiceName>,
    /// Instances that came, or came anew.
    joined: Vec<InstanceRef>,
    /// Instances that the store lost.
    lapsed: Vec<InstanceRef>,
}

impl Registry {
    pub(super) fn handle_store_changed(&mut self, changed: StoreChanged, now: Now, effects: &mut Effects) {
        let StoreChanged { revision, mut changes, by } = changed;
        // A store may tell once more what it told before. A comparison finds what it missed, at whichever revision.
        if !matches!(by, Origin::Comparison | Origin::Unreadable) && revision <= self.revision {
            return;
        }
        changes.sort_by_key(|incoming| turn(&incoming.change));
        self.revision = self.revision.max(revision);
        if by == Origin::Unreadable {
            return changes.iter().for_each(|incoming| self.note_unreadable(&incoming.change));
        }
        effects.set_origin(match &by {
            Origin::Gateway(name) => Some(name.clone()),
            Origin::Lapse | Origin::Comparison | Origin::Unreadable => None,
        });
        self.follow_grants(&changes, now, effects);
        let (told, mut followed) = (Told::new(&changes), Followed::default());
        for incoming in &changes {
            self.follow(incoming, &told, &by, &mut followed, now, effects);
        }
        let Followed { services, joined, lapsed } = followed;
        for instance in &joined {
            // One that is not routed is evaluated once for all that joined it, as it is settled.
            if self.directory.service(&instance.service).is_some_and(|entry| entry.eligibility().is_eligible()) {
                self.re_evaluate_joined(instance, effects);
            }
        }
        services.iter().for_each(|service| self.settle(service, now, effects));
        lapsed.iter().for_each(|instance| self.check_lapse(instance, now, effects));
        if !services.is_empty() {
            self.publisher.advance();
        }
        self.follow_keys(&changes, now, effects);
        effects.set_origin(None);
    }

    /// What is installed stays: the next registration stores it anew.
    fn note_unreadable(&mut self, change: &Change) {
        self.unreadable.extend(match change {
            Change::RemoveService { service, .. } if self.directory.service(service).is_some() => {
                Some(Record::Definition(service.clone()))
            }
            Change::RemoveInstance(instance) if self.directory.instance(instance).is_some() => {
                Some(Record::Instance(instance.clone()))
            }
            _ => None,
        });
    }

    /// The records of a service and of one of its instances are as they were registered, or gone.
    pub(super) fn note_readable(&mut self, service: &ServiceName, id: Option<&InstanceId>) {
        if self.unreadable.is_empty() {
            return;
        }
        let is_of_it = |record: &Record| match record {
            Record::Definition(one) => one == service,
            Record::Instance(one) => one.service == *service && id.is_none_or(|id| one.id == *id),
            _ => false,
        };
        self.unreadable.retain(|record| !is_of_it(record));
    }

    /// All of them before any service is evaluated, as the gateway that took the command did.
    fn follow_grants(&mut self, changes: &[Incoming], now: Now, effects: &mut Effects) {
        let grant = |incoming: &Incoming| match &incoming.change {
            Change::PutGrant(service, grant) => Some((service.clone(), Some(Arc::clone(grant)))),
            Change::RemoveGrant(service) => Some((service.clone(), None)),
            _ => None,
        };
        let grants: Vec<_> = changes.iter().filter_map(grant).collect();
        self.take_over_grants(&grants, None, now, effects);
    }

    fn follow_keys(&mut self, changes: &[Incoming], now: Now, effects: &mut Effects) {
        let put: Vec<_> = changes.iter().filter_map(|incoming| incoming.change.put_key().cloned()).collect();
        let removed: Vec<_> = changes.iter().filter_map(|incoming| incoming.change.removed_key().cloned()).collect();
        if !put.is_empty() || !removed.is_empty() {
            let (keys, mut parts) = self.keys(effects);
            keys.follow(&put, &removed, None, now, &mut parts);
        }
    }

    fn follow(
        &mut self,
        incoming: &Incoming,
        told: &Told<'_>,
        by: &Origin,
        followed: &mut Followed,
        now: Now,
        effects: &mut Effects,
    ) {
        let is_command = matches!(by, Origin::Gateway(_));
        match &incoming.change {
            Change::PutDefinition(DefinitionRecord { definition, .. }) => {
                self.unreadable.remove(&Record::Definition(definition.service.clone()));
            }
            Change::PutInstance(record) => {
                self.unreadable.remove(&Record::Instance(record.instance()));
            }
            Change::RemoveInstance(instance) => self.note_readable(&instance.service, Some(&instance.id)),
            Change::RemoveService { service, .. } => self.note_readable(service, None),
            _ => {}
        }
        match &incoming.change {
            Change::PutDefinition(record) => {
                self.follow_definition(record, incoming, now, effects);
                followed.services.insert(record.definition.service.clone());
            }
            Change::PutInstance(record) => {
                self.follow_instance(record, incoming.suspended.clone(), told, now, effects);
                followed.services.insert(record.service.clone());
                followed.joined.push(record.instance());
            }
            Change::RemoveInstance(instance) => {
                followed.services.insert(instance.service.clone());
                if !is_command {
                    self.lapse(instance, &mut followed.lapsed, now);
                } else if !self.is_replaced_by(instance, told) {
                    self.follow_removal(instance, effects);
                }
            }
            Change::RemoveService { service, instances } => {
                followed.services.insert(service.clone());
                // Where it went without instances, nobody heard those that are here; they may be heard from here all the same.
                let is_of_none = instances.is_empty() && self.has_lapsed_instances(service);
                if is_command && !is_of_none {
                    self.drop_service(service, effects);
                } else {
                    self.lapse_service(service, &mut followed.lapsed, now);
                }
            }
            Change::NoteTtl { instance, ttl } => self.follow_ttl(instance, *ttl),
            Change::PutDraining(instance, mark) | Change::PutHold(instance, mark) => {
                self.follow_drain(instance, mark, effects);
            }
            // Another drain takes its place, without a moment between the two.
            Change::RemoveDraining(instance) | Change::RemoveHold(instance) if told.drains.contains_key(instance) => {}
            Change::RemoveDraining(instance) => self.follow_end_of_drain(instance, by, effects),
            Change::RemoveHold(instance) => {
                if self.holds.get(instance).is_some() {
                    self.follow_mark(instance, None, effects);
                }
            }
            Change::PutMaintenance(scope, maintenance) => {
                self.follow_maintenance(scope, Some(maintenance), now, effects);
            }
            Change::RemoveMaintenance(scope) => self.follow_maintenance(scope, None, now, effects),
            Change::PutSplit(service, split) => self.follow_split(service, Some(split), effects),
            Change::RemoveSplit(service) => self.follow_split(service, None, effects),
            // What another gateway saw is its own, the audit is nobody's to follow, and grants and keys are followed together.
            Change::Observe(..)
            | Change::Audit(_)
            | Change::PutGrant(..)
            | Change::RemoveGrant(_)
            | Change::PutKey(_)
            | Change::RemoveKey(_) => {}
        }
    }

    fn follow_definition(&mut self, record: &DefinitionRecord, incoming: &Incoming, now: Now, effects: &mut Effects) {
        let DefinitionRecord { definition, registered_from } = record;
        self.keep_service(&definition.service, now, effects);
        self.give_way(definition, now, effects);
        let check = |registry: &Self| {
            registry.directory.service(&definition.service).map(|entry| entry.definition().health_check.clone())
        };
        let before = check(self);
        let added = incoming.added;
        self.install_definition(Arc::clone(definition), *registered_from, added, Status::Down, now, effects);
        if self
            .directory
            .service_mut(&definition.service)
            .is_some_and(|entry| entry.suspend(incoming.suspended.clone()))
        {
            self.re_evaluate(&definition.service, effects);
        }
        let after = check(self);
        if before.is_some() && before != after {
            self.probe_by_definition(&definition.service, now, effects);
        }
    }

    /// Other services that have a route of the definition, as far as is installed.
    pub(super) fn claimed_by_others(&self, definition: &Definition) -> BTreeSet<ServiceName> {
        self.claims.others(&effective(definition, &self.settings.policy.apps_domain))
    }

    fn has_lapsed_instances(&self, service: &ServiceName) -> bool {
        self.directory.service(service).is_some_and(|entry| entry.instances().values().any(|one| one.has_lapsed()))
    }

    /// Services that the store lost give their routes up to one that it has.
    fn give_way(&mut self, definition: &Definition, now: Now, effects: &mut Effects) {
        for holder in self.claimed_by_others(definition) {
            let Some(entry) = self.directory.service(&holder).filter(|entry| entry.has_lapsed()) else { continue };
            let ids: Vec<_> = entry.instances().keys().cloned().collect();
            for id in ids {
                self.expire_lapsed(&InstanceRef { service: holder.clone(), id }, now, effects);
            }
            if self.directory.service(&holder).is_some() {
                self.drop_service(&holder, effects);
            }
        }
    }

    fn follow_instance(
        &mut self,
        record: &InstanceRecord,
        suspended: Option<Arc<str>>,
        told: &Told<'_>,
        now: Now,
        effects: &mut Effects,
    ) {
        let InstanceRecord { service, spec, registered_from, replaced, .. } = record;
        let instance = record.instance();
        if self.directory.service(service).is_none() {
            // An instance comes with its definition and goes with it; whoever reads the store tells of one without.
            return;
        }
        self.keep_service(service, now, effects);
        self.take_id(&instance, now, effects);
        let before = self.directory.instance(&instance);
        let is_same = before.is_some_and(|before| before.spec() == spec);
        // This gateway follows the name by itself.
        let followed = before.filter(|before| before.spec().url == spec.url && spec.url.socket_address().is_none());
        let addresses = followed.map_or_else(|| Arc::clone(&record.addresses), |before| Arc::clone(before.addresses()));
        let is_same_process = before.is_some_and(|before| before.spec().incarnation == spec.incarnation);
        let heard = before.filter(|_| is_same_process).and_then(|before| before.liveness().heard());
        let routes = self.directory.service(service).map_or(0, |entry| entry.definition().routes.len());
        let arrival = Arrival {
            spec: Arc::clone(spec),
            addresses,
            suspended,
            registered_from: *registered_from,
            replaced: replaced.clone(),
            drain: told.drains.get(&instance).copied().or_else(|| self.holds.get(&instance)).cloned(),
            ttl: told.ttls.get(&instance).copied(),
            heard,
            replaces: self.places.rivals(service, spec),
        };
        let departed = self.put_instance(&instance, arrival, now, effects);
        if !is_same {
            let (url, by, replaced) = (spec.url.to_string(), (*registered_from).into(), departed.moved_from);
            effects.report(Report::Registered { instance, url, routes, replaced, is_canary: false, by });
        }
    }

    /// An id is one service's: where another one has it here, the store has lost that one.
    fn take_id(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        let holders = self.directory.ids().other_owners(&instance.id, &instance.service);
        let others: Vec<_> = holders.cloned().map(|service| InstanceRef { service, id: instance.id.clone() }).collect();
        for other in others {
            if self.directory.instance(&other).is_some() {
                self.expire_lapsed(&other, now, effects);
            }
        }
    }

    /// Whether the event brings another instance to where this one is, which takes its place.
    fn is_replaced_by(&self, instance: &InstanceRef, told: &Told<'_>) -> bool {
        let Some(installed) = self.directory.instance(instance) else { return false };
        told.places.contains(&(&instance.service, installed.spec().place()))
    }

    fn follow_removal(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        if self.directory.instance(instance).is_some() {
            self.remove_instance(instance, effects);
            effects.report(Report::Deregistered { instance: instance.clone(), by: None });
        }
    }

    fn follow_ttl(&mut self, instance: &InstanceRef, ttl: Duration) {
        let Some(installed) = self.directory.instance_mut(instance) else { return };
        if installed.spec().heartbeat_ttl.is_none() {
            installed.liveness_mut().promise(ttl);
            super::shared::promised(installed.live(), Some(ttl));
        }
    }

    fn follow_drain(&mut self, instance: &InstanceRef, mark: &Arc<DrainMark>, effects: &mut Effects) {
        let installed = self.directory.instance(instance);
        let drain = installed.and_then(|installed| installed.drain());
        let hold = Some(mark).filter(|mark| mark.until == DrainUntil::Undo);
        let is_known = self.holds.get(instance) == hold && (installed.is_none() || drain == Some(mark));
        if !is_known {
            self.follow_mark(instance, Some(mark), effects);
        }
    }

    fn follow_end_of_drain(&mut self, instance: &InstanceRef, by: &Origin, effects: &mut Effects) {
        let Some(installed) = self.directory.instance(instance) else { return };
        // A drain goes with its instance's lease, and comes again with it.
        let is_lapse = *by == Origin::Lapse || installed.has_lapsed();
        if !is_lapse && installed.drain().is_some() && self.holds.get(instance).is_none() {
            self.follow_mark(instance, None, effects);
        }
    }

    fn follow_mark(&mut self, instance: &InstanceRef, mark: Option<&Arc<DrainMark>>, effects: &mut Effects) {
        let by = mark.and_then(|mark| mark.by.clone());
        self.mark(instance, mark.cloned(), by, effects);
        self.publisher.advance();
    }

    /// A service that is being removed here is not: the store has it anew.
    fn keep_service(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        let Some(entry) = self.directory.service_mut(service).filter(|entry| entry.is_being_removed()) else { return };
        entry.keep();
        entry.keep_instances(None, |_| false);
        self.publisher.restore(entry.index(), entry.eligibility().effective());
        self.re_evaluate(service, effects);
        self.refresh(service, now, effects);
    }

    /// Takes a service that goes with all its instances out of the snapshot, unless it is out already.
    pub(super) fn withdraw(&mut self, service: &ServiceName) {
        let entry = self.directory.service_mut(service);
        if let Some(entry) = entry.filter(|entry| !entry.is_being_removed()) {
            entry.begin_removal(None, true);
            self.publisher.withdraw(entry.index(), entry.eligibility().effective());
            self.publisher.advance();
        }
    }

    /// Takes a service with all its instances out.
    fn drop_service(&mut self, service: &ServiceName, effects: &mut Effects) {
        self.withdraw(service);
        let Some(entry) = self.directory.service(service) else { return };
        let ids: Vec<InstanceId> = entry.instances().keys().cloned().collect();
        for id in ids {
            self.follow_removal(&InstanceRef { service: service.clone(), id }, effects);
        }
        self.remove_service(service, effects);
        effects.report(Report::Freed(service.clone()));
        self.publisher.advance();
    }

    /// A service is what its instances are. One without any is held, or gone where the store lost it.
    pub(super) fn settle(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        let Some(entry) = self.directory.service_mut(service) else { return };
        if entry.instances().is_empty() && !entry.is_being_removed() {
            if entry.has_lapsed() && !self.outbox.is_writing(service) {
                return self.drop_service(service, effects);
            }
            if !self.leases.is_set(&Due::HeldRoutes(service.clone())) {
                self.leases.hold_routes(service, self.hold_of(service), now);
            }
        }
        if self.directory.service(service).is_some_and(|entry| !entry.eligibility().is_eligible()) {
            // What left may be why it was suspended.
            self.re_evaluate(service, effects);
        }
        self.refresh(service, now, effects);
    }
}

/// Which changes of one event come first: what goes makes room for what comes, and an instance comes after its service.
fn turn(change: &Change) -> u8 {
    match change {
        Change::RemoveService { .. } | Change::RemoveInstance(_) => 0,
        Change::PutDefinition(_) => 1,
        Change::PutInstance(_) => 2,
        Change::NoteTtl { .. }
        | Change::PutDraining(..)
        | Change::RemoveDraining(_)
        | Change::PutHold(..)
        | Change::RemoveHold(_)
        | Change::Observe(..)
        | Change::PutKey(_)
        | Change::RemoveKey(_)
        | Change::PutMaintenance(..)
        | Change::RemoveMaintenance(_)
        | Change::PutSplit(..)
        | Change::RemoveSplit(_)
        | Change::PutGrant(..)
        | Change::RemoveGrant(_)
        | Change::Audit(_) => 3,
    }
}

impl<'a> Told<'a> {
    fn new(changes: &'a [Incoming]) -> Self {
        let mut told = Self::default();
        for incoming in changes {
            match &incoming.change {
                Change::PutInstance(record) => {
                    told.places.insert((&record.service, record.spec.place()));
                }
                Change::PutDraining(instance, mark) | Change::PutHold(instance, mark) => {
                    let drains = told.drains.entry(instance).or_insert(mark);
                    // A hold goes before any other drain of its id.
                    *drains = if mark.until > drains.until { mark } else { *drains };
                }
                Change::NoteTtl { instance, ttl } => {
                    told.ttls.insert(instance, *ttl);
                }
                _ => {}
            }
        }
        told
    }
}
