//! One write as a transaction: what it relies on as comparisons, its changes as operations, no key twice.
//!
//! What the mirror knows already is decided here: a write that relies on what has changed since is outdated without a question.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::layout::{Fence, Fences, Key, Layout};
use super::mirror::{Mirror, Value};
use super::txn::{Compare, Nested, Op, Under};
use crate::audit::Head;
use crate::store::records;
use furt_core::model::{AuditEntry, GatewayName, KeyName, RuntimeKey, ServiceName};
use furt_core::registry::{Change, InstanceRecord, InstanceRef, Premise, Record, Write};

/// What a write would do.
#[derive(Debug)]
pub(super) enum Plan {
    Do(Box<Planned>),
    /// The store has it as it is to be.
    Nothing,
    Outdated,
}

#[derive(Debug, Default)]
pub(super) struct Planned {
    pub(super) nested: Nested,
    /// It puts an instance under a lease of its own.
    pub(super) ttl: Option<Duration>,
    /// What it puts, or removes and is there: where one of them changed with the batch, it was stored.
    pub(super) witnesses: BTreeSet<Key>,
    /// What it puts or removes, and what it looks at.
    touched: BTreeSet<Key>,
    read: BTreeSet<Key>,
    /// Services that go with their instances.
    removed: BTreeSet<ServiceName>,
    /// Services whose instances it looks at.
    ranges: BTreeSet<ServiceName>,
    /// The fences that it puts if it is stored.
    fences: BTreeSet<Fence>,
    /// Whether it brings a definition.
    pub(super) puts_any: bool,
    /// What it relies on of fences: they say nothing of the write that put them before, if that was ours.
    pub(super) claimed: BTreeSet<Fence>,
    /// API keys that it replaces, as they are.
    pub(super) replaced_keys: BTreeMap<Key, Change>,
}

/// The revision of each fence that a write of this gateway put, and which.
#[derive(Debug, Default)]
pub(super) struct OwnFences(BTreeMap<Fence, u64>);

/// What is known of this gateway's own writes.
#[derive(Debug)]
pub(super) struct Own {
    pub(super) gateway: GatewayName,
    pub(super) fences: OwnFences,
}

impl Own {
    pub(super) fn new(gateway: GatewayName) -> Self {
        Self { gateway, fences: OwnFences::default() }
    }
}

impl OwnFences {
    /// A write that was stored at `revision` put them: nobody else had since what it was judged by.
    pub(super) fn note(&mut self, fences: &BTreeSet<Fence>, revision: u64) {
        self.0.extend(fences.iter().map(|fence| (*fence, revision)));
    }

    /// The revision after which nobody may have put the fence.
    fn bound(&self, fence: Fence, seen: u64) -> u64 {
        self.0.get(&fence).map_or(seen, |own| seen.max(*own))
    }
}

impl Planned {
    /// Whether both can stand in one transaction: neither touches what the other one touches or looks at.
    pub(super) fn is_apart_from(&self, other: &Self) -> bool {
        // No key is put twice. That one claims what another one does is known to whoever judged both.
        if !self.fences.is_disjoint(&other.fences) {
            return false;
        }
        let one_way = |one: &Self, other: &Self| {
            let is_looked_at = |key: &Key| {
                let of = service_of(key);
                one.touched.contains(key)
                    || one.read.contains(key)
                    || of.is_some_and(|service| one.ranges.contains(service) || one.removed.contains(service))
            };
            !other.touched.iter().any(is_looked_at) && !other.removed.iter().any(|service| one.touches_any_of(service))
        };
        one_way(self, other) && one_way(other, self)
    }

    fn touches_any_of(&self, service: &ServiceName) -> bool {
        self.ranges.contains(service)
            || self.removed.contains(service)
            || self.touched.iter().chain(&self.read).any(|key| service_of(key) == Some(service))
    }

    /// Bytes, about.
    pub(super) fn size(&self) -> usize {
        self.nested.ops.iter().map(Op::size).sum()
    }

    /// How many comparisons or operations it has, whichever are more.
    pub(super) fn width(&self) -> usize {
        self.nested.compares.len().max(self.nested.ops.len())
    }
}

fn service_of(key: &Key) -> Option<&ServiceName> {
    match key {
        Key::Definition(service) => Some(service),
        Key::Instance(instance) | Key::Ttl(instance) | Key::Drain(instance) => Some(&instance.service),
        Key::Hold(_) | Key::ApiKey(_) | Key::Digest(_) | Key::Maintenance(_) | Key::Split(_) => None,
        Key::Grant(_) => None,
        Key::AuditHead(_) | Key::Busy(..) | Key::Gateway(_) => None,
    }
}

/// Plans a write by what the mirror has.
pub(super) fn plan(write: &Write, mirror: &Mirror, own: &Own, layout: &Layout) -> Plan {
    let mut planner = Planner {
        mirror,
        layout,
        gateway: &own.gateway,
        seen: write.seen.0,
        ops: BTreeMap::new(),
        entries: Vec::new(),
        head: None,
        changes_more: write.changes.iter().any(|change| !matches!(change, Change::Audit(_))),
        planned: Planned::default(),
    };
    if !write.premises.iter().all(|premise| planner.rely_on(premise, own)) {
        return Plan::Outdated;
    }
    for change in &write.changes {
        planner.change(change);
    }
    planner.finish()
}

struct Planner<'a> {
    mirror: &'a Mirror,
    layout: &'a Layout,
    /// This one.
    gateway: &'a GatewayName,
    seen: u64,
    /// What becomes of each key in the end.
    ops: BTreeMap<Key, Op>,
    /// Entries of the audit, and where its chain ends with them.
    entries: Vec<Op>,
    head: Option<Head>,
    /// Whether it is more than entries of the audit.
    changes_more: bool,
    planned: Planned,
}

impl Planner<'_> {
    /// `false`: it holds no longer.
    fn rely_on(&mut self, premise: &Premise, own: &Own) -> bool {
        let compare = match premise {
            Premise::Absent(record) => {
                let key = self.look_at(record);
                match self.mirror.get(&key) {
                    None => Compare::Absent(self.layout.key(&key)),
                    // What was refused, or is of no use here, counts as absent: so registering mends it.
                    Some(entry) if entry.is_refused() || entry.modified <= self.seen => {
                        Compare::PutAt(self.layout.key(&key), entry.modified)
                    }
                    Some(_) => return false,
                }
            }
            Premise::Unchanged(record) => {
                let key = self.look_at(record);
                match self.mirror.get(&key) {
                    // In the place of what is installed there may be something that cannot be read: it is replaced.
                    Some(entry) if entry.is_refused() || entry.modified <= self.seen => {
                        Compare::PutAt(self.layout.key(&key), entry.modified)
                    }
                    Some(_) | None => return false,
                }
            }
            Premise::Unclaimed(claim) => {
                let Fences { compared, put } = Fences::of(claim);
                for fence in &compared {
                    let bound = own.fences.bound(*fence, self.seen);
                    self.planned.nested.compares.push(Compare::NotPutAfter(self.layout.fence(*fence), bound));
                }
                self.planned.claimed.extend(compared);
                self.planned.puts_any |= put.contains(&Fence::Any);
                self.planned.fences.extend(put.into_iter().filter(|fence| *fence != Fence::Any));
                return true;
            }
            Premise::NoNewDigests => {
                let is_new = |(key, entry): (&Key, &super::mirror::Entry)| {
                    matches!(key, Key::Digest(_)) && entry.modified > self.seen
                };
                if self.mirror.entries().any(is_new) {
                    return false;
                }
                Compare::NonePutAfter(self.layout.digests(), self.seen)
            }
            Premise::Settled(service) => {
                self.planned.ranges.insert(service.clone());
                if self.mirror.instances_of(service).any(|(_, entry)| entry.modified > self.seen) {
                    return false;
                }
                Compare::NonePutAfter(self.instances(service), self.seen)
            }
            Premise::WithoutInstances(service) => {
                self.planned.ranges.insert(service.clone());
                if self.mirror.instances_of(service).any(|(_, entry)| !entry.is_refused()) {
                    return false;
                }
                match self.mirror.instances_of(service).map(|(_, entry)| entry.modified).max() {
                    None => Compare::Empty(self.instances(service)),
                    // Those that were refused go along.
                    Some(latest) => Compare::NonePutAfter(self.instances(service), latest),
                }
            }
        };
        self.planned.nested.compares.push(compare);
        true
    }

    fn instances(&self, service: &ServiceName) -> String {
        let [instances, ..] = self.layout.of_service(service);
        instances
    }

    fn look_at(&mut self, record: &Record) -> Key {
        let key = Key::from(record);
        self.planned.read.insert(key.clone());
        key
    }

    fn change(&mut self, change: &Change) {
        match change {
            Change::PutDefinition(record) => {
                let key = Key::Definition(record.definition.service.clone());
                let new = records::Definition::from_core(record);
                let value = self.mirror.raw(&key).map_or_else(
                    || new.to_json(),
                    |raw| match records::Definition::read(record.definition.service.as_str(), raw) {
                        Ok(stored) if stored.value == *record => raw.to_vec(),
                        Ok(_) | Err(_) => records::with_unknown_fields(&new, raw),
                    },
                );
                self.put(key, value, Under::None);
            }
            Change::PutInstance(record) => {
                let instance = record.instance();
                let key = Key::Instance(instance.clone());
                let new = records::Instance::from_core(record);
                let is_it = |stored: &InstanceRecord| {
                    (&stored.spec, &stored.service, &stored.replaced)
                        == (&record.spec, &record.service, &record.replaced)
                };
                let value = self.mirror.raw(&key).map_or_else(
                    || new.to_json(),
                    |raw| match records::Instance::read(instance.id.as_str(), raw) {
                        Ok(stored) if is_it(&stored.value) => raw.to_vec(),
                        Ok(_) | Err(_) => records::with_unknown_fields(&new, raw),
                    },
                );
                let under = record.spec.heartbeat_ttl.map_or(Under::None, |ttl| self.grant(ttl));
                self.put(key, value, under);
                self.remove(Key::Ttl(instance.clone()));
                self.remove(Key::Drain(instance));
            }
            Change::RemoveInstance(instance) => {
                self.remove(Key::Instance(instance.clone()));
                self.remove(Key::Ttl(instance.clone()));
                self.remove(Key::Drain(instance.clone()));
            }
            Change::RemoveService { service, .. } => {
                self.ops.retain(|key, _| service_of(key) != Some(service));
                self.remove(Key::Definition(service.clone()));
                self.planned.removed.insert(service.clone());
                let there = self.mirror.instances_of(service).map(|(instance, _)| Key::Instance(instance));
                self.planned.witnesses.extend(there);
            }
            Change::NoteTtl { instance, ttl } => self.promise(instance, *ttl),
            Change::PutDraining(instance, mark) => {
                let value = records::Drain::of_instance(&instance.id, mark).to_json();
                // Another write of the batch may give the instance another lease.
                self.planned.read.insert(Key::Instance(instance.clone()));
                let under = self.lease_of(instance);
                self.put(Key::Drain(instance.clone()), value, under);
            }
            Change::RemoveDraining(instance) => self.remove(Key::Drain(instance.clone())),
            Change::PutHold(instance, mark) => {
                self.put(Key::Hold(instance.clone()), records::Drain::of_id(instance, mark).to_json(), Under::None);
            }
            Change::RemoveHold(instance) => self.remove(Key::Hold(instance.clone())),
            Change::PutKey(api_key) => {
                let key = Key::ApiKey(api_key.name().clone());
                if let Some(Value::ApiKey { api_key, .. }) = self.mirror.get(&key).map(|entry| &entry.value) {
                    self.planned.replaced_keys.insert(key.clone(), Change::PutKey(Arc::clone(api_key)));
                }
                self.release_digests(api_key.name(), Some(api_key));
                let record = records::Key::from_core(api_key);
                let value = self
                    .mirror
                    .raw(&key)
                    .map_or_else(|| record.to_json(), |raw| records::with_unknown_fields(&record, raw));
                self.put(key, value, Under::None);
                for sha256 in api_key.digests() {
                    self.put(Key::Digest(sha256), api_key.name().as_str().into(), Under::None);
                }
            }
            Change::RemoveKey(name) => {
                let key = Key::ApiKey(name.clone());
                self.release_digests(name, None);
                self.remove(key);
            }
            Change::PutMaintenance(scope, maintenance) => {
                let value = records::Maintenance::from_core(scope, maintenance).to_json();
                self.put(Key::Maintenance(scope.clone()), value, Under::None);
            }
            Change::RemoveMaintenance(scope) => self.remove(Key::Maintenance(scope.clone())),
            Change::PutSplit(service, split) => {
                let value = records::Split::from_core(service, split).to_json();
                self.put(Key::Split(service.clone()), value, Under::None);
            }
            Change::RemoveSplit(service) => self.remove(Key::Split(service.clone())),
            Change::PutGrant(service, grant) => {
                let value = records::Grant::from_core(service, grant).to_json();
                self.put(Key::Grant(service.clone()), value, Under::None);
            }
            Change::RemoveGrant(service) => self.remove(Key::Grant(service.clone())),
            Change::Audit(entry) => self.append(entry),
            // What one gateway saw is its own.
            Change::Observe(..) => {}
        }
    }

    /// A lease for one that had none, or for another time: all that belongs to the instance goes with it.
    fn promise(&mut self, instance: &InstanceRef, ttl: Duration) {
        let under = self.grant(ttl);
        let key = Key::Instance(instance.clone());
        match self.ops.get_mut(&key) {
            Some(Op::Put { under: of_instance, .. }) => *of_instance = under,
            _ => self.attach(key, under),
        }
        let drain = Key::Drain(instance.clone());
        self.planned.read.insert(drain.clone());
        match self.ops.get_mut(&drain) {
            Some(Op::Put { under: of_drain, .. }) => *of_drain = under,
            Some(_) => {}
            None if self.mirror.accepted(&drain).is_some() => self.attach(drain, under),
            None => {}
        }
        self.put(Key::Ttl(instance.clone()), ttl.as_millis().to_string().into_bytes(), under);
    }

    fn grant(&mut self, ttl: Duration) -> Under {
        self.planned.ttl = Some(ttl);
        Under::Granted
    }

    /// The lease of an instance, which what belongs to it shares.
    fn lease_of(&self, instance: &InstanceRef) -> Under {
        let key = Key::Instance(instance.clone());
        match self.ops.get(&key) {
            Some(Op::Put { under, .. } | Op::Attach { under, .. }) => *under,
            Some(Op::Delete(_) | Op::DeleteAll(_)) | None => {
                self.mirror.get(&key).and_then(|entry| entry.lease).map_or(Under::None, Under::Held)
            }
        }
    }

    /// Digests that a key has no longer: as it is stored, and as this write put it before.
    fn release_digests(&mut self, name: &KeyName, unless: Option<&RuntimeKey>) {
        let stored = self.mirror.get(&Key::ApiKey(name.clone())).map(|entry| &entry.value);
        let stored = if let Some(Value::ApiKey { api_key, .. }) = stored { Some(api_key) } else { None };
        let is_put = |op: &Op| matches!(op, Op::Put { value, .. } if *value == name.as_str().as_bytes());
        let put = self.ops.iter().filter_map(|(key, op)| match key {
            Key::Digest(sha256) if is_put(op) => Some(*sha256),
            _ => None,
        });
        let stays = |sha256: &_| unless.is_some_and(|newer| newer.digests().any(|one| one == *sha256));
        let all = stored.into_iter().flat_map(|api_key| api_key.digests()).chain(put);
        // What another key takes over in this write is its own.
        let is_others = |sha256: &_| {
            let op = self.ops.get(&Key::Digest(*sha256));
            op.is_some_and(|op| matches!(op, Op::Put { value, .. } if *value != name.as_str().as_bytes()))
        };
        let gone: Vec<_> = all.filter(|sha256| !stays(sha256) && !is_others(sha256)).collect();
        gone.into_iter().for_each(|sha256| self.remove(Key::Digest(sha256)));
    }

    /// Adds an entry to this gateway's chain, as it was followed: where that is another one by now, the write is outdated. What is in
    /// the place of its end and cannot be read is the end of a chain all the same, and another one begins.
    fn append(&mut self, entry: &AuditEntry) {
        let key = Key::AuditHead(self.gateway.clone());
        let mirror = self.mirror;
        let mut head = self.head.take().unwrap_or_else(|| {
            let name = self.layout.key(&key);
            let stored = mirror.get(&key);
            self.planned.nested.compares.push(match stored {
                Some(stored) => Compare::PutAt(name, stored.modified),
                None => Compare::Absent(name),
            });
            match stored.map(|stored| &stored.value) {
                Some(Value::Kept(stored) | Value::Newer(stored)) => Head::parse(stored).unwrap_or_default(),
                _ => Head::default(),
            }
        });
        let value = head.append(self.gateway.as_str(), entry);
        let at = self.layout.audit_entry(entry.at_ms, self.gateway, head.number());
        self.entries.push(Op::Put { key: at, value, under: Under::None });
        self.put(key, head.to_json(), Under::None);
        self.head = Some(head);
    }

    fn put(&mut self, key: Key, value: Vec<u8>, under: Under) {
        let op = Op::Put { key: self.layout.key(&key), value, under };
        self.planned.witnesses.insert(key.clone());
        self.ops.insert(key, op);
    }

    fn attach(&mut self, key: Key, under: Under) {
        let op = Op::Attach { key: self.layout.key(&key), under };
        // A key that is not there cannot be attached, and the whole batch would fail for it.
        if let Some(entry) = self.mirror.get(&key) {
            self.planned.nested.compares.push(Compare::PutAt(self.layout.key(&key), entry.modified));
            self.planned.witnesses.insert(key.clone());
            self.ops.insert(key, op);
        }
    }

    fn remove(&mut self, key: Key) {
        if self.mirror.get(&key).is_some() {
            self.planned.witnesses.insert(key.clone());
        } else {
            self.planned.witnesses.remove(&key);
        }
        self.ops.insert(key.clone(), Op::Delete(self.layout.key(&key)));
    }

    fn finish(self) -> Plan {
        let Self { mut planned, mut ops, entries, layout, mirror, changes_more, .. } = self;
        for service in &planned.removed {
            let comes_again = |(key, op): (&Key, &Op)| {
                let is_of_it = service_of(key) == Some(service) && !matches!(key, Key::Definition(_));
                is_of_it && matches!(op, Op::Put { .. } | Op::Attach { .. })
            };
            if !ops.iter().any(comes_again) {
                planned.nested.ops.extend(layout.of_service(service).map(Op::DeleteAll));
                continue;
            }
            // A transaction may not remove and put one key, so each one that stays away is removed by itself.
            for (instance, _) in mirror.instances_of(service) {
                for key in [Key::Instance(instance.clone()), Key::Ttl(instance.clone()), Key::Drain(instance)] {
                    let delete = Op::Delete(layout.key(&key));
                    ops.entry(key).or_insert(delete);
                }
            }
        }
        // A witness that is put and then goes with its service is one no longer.
        planned.witnesses.retain(|key| ops.contains_key(key) || mirror.get(key).is_some());
        // What its entry tells of is so already: somebody else did it.
        let is_entry = |key: &Key| matches!(key, Key::AuditHead(_));
        let changes_nothing = changes_more && planned.witnesses.iter().all(is_entry);
        if planned.witnesses.is_empty() || changes_nothing {
            return Plan::Nothing;
        }
        // With the write, so that only what is stored is in anybody's way.
        let put_fence = |fence: &Fence| Op::Put { key: layout.fence(*fence), value: Vec::new(), under: Under::None };
        planned.nested.ops.extend(planned.fences.iter().map(put_fence));
        planned.touched = ops.keys().cloned().collect();
        planned.nested.ops.extend(ops.into_values().chain(entries));
        Plan::Do(Box::new(planned))
    }
}
