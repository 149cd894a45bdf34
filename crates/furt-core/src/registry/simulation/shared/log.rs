//! A model of a shared store: one log of changes, what it holds at each revision, leases that end, and premises that are
//! checked as they are written down.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::model::{Epoch, KeyName, MethodRule, Pattern, RuntimeKey, ServiceName};
use crate::registry::eligibility::effective;
use crate::registry::tests::policy;
use crate::registry::{
    Change, Claim, Contents, DefinitionRecord, InstanceRef, Origin, Premise, Record, Revision, Write, WriteId,
};

/// Which start of which gateway wrote something.
pub(super) type Session = (usize, usize);

/// One revision: what changed, and by whom.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) changes: Vec<Change>,
    pub(super) by: Origin,
    /// Who wrote it, and which of its writes were stored.
    pub(super) batch: Option<(Session, Vec<(WriteId, bool)>)>,
}

/// What the store holds at a revision, and since when.
#[derive(Clone)]
pub(super) struct State {
    pub(super) contents: Contents,
    /// When each record that is there was put last.
    put: BTreeMap<Record, u64>,
}

pub(super) struct Log {
    pub(super) entries: Vec<Entry>,
    /// What is held now.
    pub(super) state: State,
    claims: Vec<(Claim, u64)>,
    /// When the lease of each instance that has one was renewed last.
    leases: BTreeMap<InstanceRef, Instant>,
    /// Entries before this one can be read no more.
    pub(super) compacted: usize,
}

impl State {
    pub(super) fn new() -> Self {
        let contents = Contents { starts: 1, ..Contents::new(Epoch(uuid::Uuid::nil())) };
        Self { contents, put: BTreeMap::new() }
    }

    pub(super) fn apply(&mut self, changes: &[Change], revision: u64) {
        self.contents.revision = Revision(revision);
        for change in changes {
            self.apply_one(change, revision);
        }
    }

    fn apply_one(&mut self, change: &Change, revision: u64) {
        if let Change::RemoveInstance(instance) = change {
            assert!(self.has(instance), "{instance}: is removed, and not there");
        }
        let Contents { definitions, instances, draining, holds, keys, maintenance, splits, grants, .. } =
            &mut self.contents;
        match change {
            Change::PutDefinition(record) => {
                let service = record.definition.service.clone();
                definitions.insert(service.clone(), record.clone());
                self.put.insert(Record::Definition(service), revision);
            }
            Change::PutInstance(record) => {
                let instance = record.instance();
                assert!(definitions.contains_key(&instance.service), "{instance}: comes with its definition");
                let before = instances.insert(instance.id.clone(), record.clone());
                assert!(
                    before.is_none_or(|before| before.service == instance.service),
                    "{instance}: its id is its own"
                );
                self.forget_state(&instance);
                self.put.insert(Record::Instance(instance), revision);
            }
            Change::RemoveInstance(instance) => {
                instances.remove(&instance.id);
                self.forget_state(instance);
                self.put.remove(&Record::Instance(instance.clone()));
            }
            Change::RemoveService { service, .. } => {
                definitions.remove(service);
                self.put.remove(&Record::Definition(service.clone()));
                for instance in self.instances_of(service) {
                    self.apply_one(&Change::RemoveInstance(instance), revision);
                }
            }
            Change::NoteTtl { instance, ttl } => {
                if self.has(instance) {
                    self.contents.ttls.insert(instance.id.clone(), *ttl);
                }
            }
            Change::PutDraining(instance, mark) => {
                assert!(self.has(instance), "{instance}: a drain of none");
                self.contents.draining.insert(instance.id.clone(), mark.clone());
                self.put.insert(Record::Drain(instance.clone()), revision);
            }
            Change::RemoveDraining(instance) => {
                draining.remove(&instance.id);
                self.put.remove(&Record::Drain(instance.clone()));
            }
            Change::PutHold(instance, mark) => {
                holds.insert(instance.clone(), mark.clone());
                self.put.insert(Record::Hold(instance.clone()), revision);
            }
            Change::RemoveHold(instance) => {
                holds.remove(instance);
                self.put.remove(&Record::Hold(instance.clone()));
            }
            Change::PutKey(key) => {
                let name = key.name().clone();
                if let Some(before) = keys.insert(name.clone(), key.clone()) {
                    self.forget_digests(&before);
                }
                // What another one has by now stays its own.
                for sha256 in key.digests() {
                    self.put.insert(Record::Digest(sha256), revision);
                }
                self.put.insert(Record::Key(name), revision);
            }
            Change::RemoveKey(name) => {
                if let Some(before) = keys.remove(name) {
                    self.forget_digests(&before);
                }
                self.put.remove(&Record::Key(name.clone()));
            }
            Change::PutMaintenance(scope, one) => {
                maintenance.insert(scope.clone(), one.clone());
                self.put.insert(Record::Maintenance(scope.clone()), revision);
            }
            Change::RemoveMaintenance(scope) => {
                maintenance.remove(scope);
                self.put.remove(&Record::Maintenance(scope.clone()));
            }
            Change::PutSplit(service, split) => {
                splits.insert(service.clone(), split.clone());
                self.put.insert(Record::Split(service.clone()), revision);
            }
            Change::RemoveSplit(service) => {
                splits.remove(service);
                self.put.remove(&Record::Split(service.clone()));
            }
            Change::PutGrant(service, grant) => {
                grants.insert(service.clone(), grant.clone());
                self.put.insert(Record::Grant(service.clone()), revision);
            }
            Change::RemoveGrant(service) => {
                grants.remove(service);
                self.put.remove(&Record::Grant(service.clone()));
            }
            Change::Audit(_) => {}
            Change::Observe(..) => unreachable!("what a gateway saw is not shared"),
        }
    }

    fn forget_state(&mut self, instance: &InstanceRef) {
        self.contents.ttls.remove(&instance.id);
        self.contents.draining.remove(&instance.id);
        self.put.remove(&Record::Drain(instance.clone()));
    }

    fn forget_digests(&mut self, key: &RuntimeKey) {
        let is_others = |sha256| self.contents.keys.values().any(|one| one.digests().any(|other| other == sha256));
        let gone: Vec<_> = key.digests().filter(|sha256| !is_others(*sha256)).collect();
        for sha256 in gone {
            self.put.remove(&Record::Digest(sha256));
        }
    }

    pub(super) fn has(&self, instance: &InstanceRef) -> bool {
        self.contents.instances.get(&instance.id).is_some_and(|record| record.service == instance.service)
    }

    fn instances_of(&self, service: &ServiceName) -> Vec<InstanceRef> {
        let all = self.contents.instances.values().filter(|record| record.service == *service);
        all.map(|record| record.instance()).collect()
    }

    fn ttl(&self, instance: &InstanceRef) -> Option<Duration> {
        let record = self.contents.instances.get(&instance.id).filter(|_| self.has(instance))?;
        record.spec.heartbeat_ttl.or_else(|| self.contents.ttls.get(&instance.id).copied())
    }

    /// What leads from here to `other`, as a comparison finds it: what is gone first.
    pub(super) fn difference(&self, other: &Self) -> Vec<Change> {
        let (old, new) = (&self.contents, &other.contents);
        let is_new = |record: &Record| self.put.get(record) != other.put.get(record);
        let mut changes = Vec::new();
        for service in old.definitions.keys().filter(|service| !new.definitions.contains_key(*service)) {
            let instances = self.instances_of(service).into_iter().map(|instance| instance.id).collect();
            changes.push(Change::RemoveService { service: service.clone(), instances });
        }
        let gone = old.instances.values().map(|record| record.instance()).filter(|instance| !other.has(instance));
        changes.extend(gone.filter(|gone| new.definitions.contains_key(&gone.service)).map(Change::RemoveInstance));
        for record in new.definitions.values() {
            if is_new(&Record::Definition(record.definition.service.clone())) {
                changes.push(Change::PutDefinition(record.clone()));
            }
        }
        let mut anew = Vec::new();
        for record in new.instances.values() {
            let instance = record.instance();
            if is_new(&Record::Instance(instance.clone())) {
                changes.push(Change::PutInstance(record.clone()));
                anew.push(instance);
            }
        }
        for record in new.instances.values() {
            let instance = record.instance();
            let is_anew = anew.contains(&instance);
            let (before, ttl) = (old.ttls.get(&instance.id), new.ttls.get(&instance.id));
            if let Some(ttl) = ttl.filter(|_| is_anew || before != ttl) {
                changes.push(Change::NoteTtl { instance: instance.clone(), ttl: *ttl });
            }
            match new.draining.get(&instance.id) {
                Some(mark) if is_anew || is_new(&Record::Drain(instance.clone())) => {
                    changes.push(Change::PutDraining(instance, mark.clone()));
                }
                None if !is_anew && old.draining.contains_key(&instance.id) => {
                    changes.push(Change::RemoveDraining(instance));
                }
                Some(_) | None => {}
            }
        }
        let ended = old.holds.keys().filter(|hold| !new.holds.contains_key(*hold));
        changes.extend(ended.cloned().map(Change::RemoveHold));
        let held = new.holds.iter().filter(|(hold, mark)| old.holds.get(*hold) != Some(*mark));
        changes.extend(held.map(|(hold, mark)| Change::PutHold(hold.clone(), mark.clone())));
        let ended = old.keys.keys().filter(|name| !new.keys.contains_key(*name));
        changes.extend(ended.cloned().map(Change::RemoveKey));
        let put = new.keys.iter().filter(|(name, key)| old.keys.get(*name) != Some(*key));
        changes.extend(put.map(|(_, key)| Change::PutKey(key.clone())));
        let ended = old.maintenance.keys().filter(|scope| !new.maintenance.contains_key(*scope));
        changes.extend(ended.cloned().map(Change::RemoveMaintenance));
        let put = new.maintenance.iter().filter(|(scope, one)| old.maintenance.get(*scope) != Some(*one));
        changes.extend(put.map(|(scope, one)| Change::PutMaintenance(scope.clone(), one.clone())));
        let ended = old.splits.keys().filter(|service| !new.splits.contains_key(*service));
        changes.extend(ended.cloned().map(Change::RemoveSplit));
        let put = new.splits.iter().filter(|(service, one)| old.splits.get(*service) != Some(*one));
        changes.extend(put.map(|(service, one)| Change::PutSplit(service.clone(), one.clone())));
        let ended = old.grants.keys().filter(|service| !new.grants.contains_key(*service));
        changes.extend(ended.cloned().map(Change::RemoveGrant));
        let put = new.grants.iter().filter(|(service, one)| old.grants.get(*service) != Some(*one));
        changes.extend(put.map(|(service, one)| Change::PutGrant(service.clone(), one.clone())));
        changes
    }

    /// # Panics
    /// Where two services have one route, or two instances of a service one place.
    fn check(&self) {
        let mut owners: BTreeMap<(String, String, String), &ServiceName> = BTreeMap::new();
        for (service, DefinitionRecord { definition, .. }) in &self.contents.definitions {
            let effective = effective(definition, &policy().apps_domain);
            for route in &effective.routes {
                let host = effective.host.as_ref().map(ToString::to_string).unwrap_or_default();
                let (method, pattern): (&MethodRule, &Pattern) = (&route.method, &route.pattern);
                let before = owners.insert((host, method.to_string(), pattern.to_string()), service);
                assert!(before.is_none(), "{method} {pattern} is of {service} and {before:?}");
            }
        }
        let mut places = BTreeMap::new();
        for record in self.contents.instances.values() {
            let place = format!("{} {:?}", record.service, record.spec.place());
            let before = places.insert(place.clone(), &record.spec.id);
            assert!(before.is_none(), "{place} is of {} and {before:?}", record.spec.id);
        }
        let mut digests: BTreeMap<_, &KeyName> = BTreeMap::new();
        for (name, sha256) in
            self.contents.keys.iter().flat_map(|(name, key)| key.digests().map(move |one| (name, one)))
        {
            let before = digests.insert(sha256, name);
            assert!(before.is_none(), "a digest is of {name} and {before:?}");
        }
    }
}

impl Log {
    pub(super) fn new() -> Self {
        Self { entries: Vec::new(), state: State::new(), claims: Vec::new(), leases: BTreeMap::new(), compacted: 0 }
    }

    pub(super) fn revision(&self) -> u64 {
        self.entries.len() as u64
    }

    fn append(&mut self, entry: Entry, now: Instant) {
        let revision = self.revision() + 1;
        self.state.apply(&entry.changes, revision);
        for change in &entry.changes {
            match change {
                Change::PutInstance(record) => {
                    self.leases.insert(record.instance(), now);
                }
                Change::NoteTtl { instance, .. } => {
                    self.leases.insert(instance.clone(), now);
                }
                _ => {}
            }
        }
        let Self { leases, state, .. } = self;
        leases.retain(|instance, _| state.has(instance));
        self.entries.push(entry);
        self.state.check();
    }

    /// Stores those of the writes whose premises hold; `is_unlucky`: of a write that is refused all the same, as by a claim
    /// that only looks like another.
    pub(super) fn submit(
        &mut self,
        by: Origin,
        session: Session,
        writes: &[(WriteId, Write)],
        mut is_unlucky: impl FnMut() -> bool,
        now: Instant,
    ) {
        let (mut changes, mut fates) = (Vec::new(), Vec::new());
        let (before, claims) = (self.state.clone(), self.claims.clone());
        let revision = self.revision() + 1;
        for (id, write) in writes {
            let holds = write.premises.iter().all(|premise| holds(premise, write.seen, &before, &claims));
            let is_refused = !write.premises.is_empty() && is_unlucky();
            let is_stored = holds && !is_refused;
            fates.push((*id, is_stored));
            if is_stored {
                changes.extend(write.changes.iter().cloned());
                let made = write.premises.iter().filter_map(|premise| match premise {
                    Premise::Unclaimed(claim) => Some((claim.clone(), revision)),
                    _ => None,
                });
                self.claims.extend(made);
            }
        }
        self.append(Entry { changes, by, batch: Some((session, fates)) }, now);
    }

    /// Says that a gateway is there: what it wrote before and is not here will never be.
    pub(super) fn begin_session(&mut self, by: Origin, session: Session, now: Instant) {
        self.append(Entry { changes: Vec::new(), by, batch: Some((session, Vec::new())) }, now);
    }

    /// Stores a note, unless its instance is not there.
    pub(super) fn note(&mut self, by: Origin, change: Change, now: Instant) {
        let is_known = matches!(&change, Change::NoteTtl { instance, .. } if self.state.has(instance));
        if is_known {
            self.append(Entry { changes: vec![change], by, batch: None }, now);
        }
    }

    pub(super) fn renew(&mut self, instance: &InstanceRef, now: Instant) {
        if let Some(renewed) = self.leases.get_mut(instance) {
            *renewed = now;
        }
    }

    /// Ends the leases that are over, and one more where `also` says so.
    pub(super) fn end_leases(&mut self, also: Option<usize>, now: Instant) {
        let leased: Vec<_> = self
            .leases
            .iter()
            .filter_map(|(instance, renewed)| Some((instance.clone(), *renewed + self.state.ttl(instance)?)))
            .collect();
        let over = leased.iter().enumerate().filter(|(at, (_, end))| *end <= now || also == Some(*at));
        let changes: Vec<_> = over.map(|(_, (instance, _))| Change::RemoveInstance(instance.clone())).collect();
        if !changes.is_empty() {
            self.append(Entry { changes, by: Origin::Lapse, batch: None }, now);
        }
    }

    pub(super) fn leases(&self) -> usize {
        self.leases.keys().filter(|instance| self.state.ttl(instance).is_some()).count()
    }
}

fn holds(premise: &Premise, seen: Revision, state: &State, claims: &[(Claim, u64)]) -> bool {
    let put = |record: &Record| state.put.get(record).copied();
    match premise {
        Premise::Absent(record) => put(record).is_none(),
        Premise::Unchanged(record) => put(record).is_some_and(|revision| revision <= seen.0),
        Premise::Unclaimed(claim) => {
            !claims.iter().any(|(other, revision)| *revision > seen.0 && is_same(claim, other))
        }
        Premise::Settled(service) => {
            let of = |record: &Record| matches!(record, Record::Instance(instance) if instance.service == *service);
            !state.put.iter().any(|(record, revision)| of(record) && *revision > seen.0)
        }
        Premise::NoNewDigests => {
            let of = |record: &Record| matches!(record, Record::Digest(_));
            !state.put.iter().any(|(record, revision)| of(record) && *revision > seen.0)
        }
        Premise::WithoutInstances(service) => state.instances_of(service).is_empty(),
    }
}

/// Whether two claims are about the same thing.
pub(super) fn is_same(one: &Claim, other: &Claim) -> bool {
    match (one, other) {
        (Claim::Routes(one), Claim::Routes(other)) => {
            let has = |route: &crate::model::RouteSpec| {
                other.routes.iter().any(|own| own.pattern == route.pattern && own.method == route.method)
            };
            one.host == other.host && one.routes.iter().any(has)
        }
        (one, other) => one == other,
    }
}
