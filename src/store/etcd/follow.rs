//! What changed at one revision, as the core is told it. Records of strangers that furt cannot take over are refused here, and
//! counted.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;

use super::layout::{Key, Layout};
use super::mirror::{Entry, Lease, Mirror, Value};
use super::session::Session;
use crate::audit::Head;
use crate::store::records;
use furt_core::model::{InstanceId, MAX_DURATION, RuntimeGrant, ServiceName};
use furt_core::registry::{Change, Incoming, InstanceRecord, InstanceRef, Revision};

/// The largest record that is taken over: as large as the body of a registration may be.
const MAX_RECORD: usize = 64 * 1024;
/// Why a service is not routed whose record says that this furt would misread it.
const NEWER: &str = "written by a newer furt";
/// Why a key has no record of furt's.
pub(super) const MISNAMED: &str = "its name is none that furt gives";

/// All that changed at one revision.
#[derive(Debug, Clone, Default)]
pub(super) struct Group {
    pub(super) revision: u64,
    pub(super) puts: Vec<Put>,
    pub(super) deletes: Vec<Vec<u8>>,
}

#[derive(Debug, Clone)]
pub(super) struct Put {
    pub(super) key: Vec<u8>,
    pub(super) value: Vec<u8>,
    /// The revision at which it was put first.
    pub(super) created: u64,
    pub(super) modified: u64,
    pub(super) lease: Option<Lease>,
}

/// What a group means.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub(super) changes: Vec<Incoming>,
    /// Every key that was put or removed.
    pub(super) changed: BTreeSet<Key>,
    /// Gateways that said something.
    pub(super) sessions: Vec<(String, Session)>,
    /// Those of the changes that were there before, and of use only now.
    pub(super) adopted: Vec<Incoming>,
    /// What was not taken over.
    pub(super) refused: Vec<Refused>,
}

#[derive(Debug)]
pub(super) struct Refused {
    pub(super) key: String,
    pub(super) why: Arc<str>,
    /// What is installed stays, though in its place there is something that cannot be read.
    pub(super) installed: Option<Change>,
}

/// Why an instance may not be where it is, such as at what is a listener of this gateway.
pub(super) type Vet = dyn Fn(&InstanceRecord) -> Option<Arc<str>> + Send + Sync;

/// Takes a group over into the mirror. `is_lapse`: what goes was removed by nobody.
pub(super) fn follow(group: &Group, mirror: &mut Mirror, layout: &Layout, vet: &Vet, is_lapse: bool) -> Followed {
    let mut follower = Follower { mirror, layout, vet, followed: Followed::default() };
    follower.removals(&group.deletes, is_lapse);
    follower.misnamed(group);
    let mut puts: Vec<_> = group.puts.iter().filter_map(|put| Some((layout.parse(&put.key)?, put))).collect();
    // An instance comes after its service, and what belongs to it after that: as the keys are ordered.
    puts.sort_by(|(one, _), (other, _)| one.cmp(other));
    let of_instances: BTreeSet<_> = puts.iter().filter_map(|(key, _)| instance_of(key)).collect();
    puts.iter().for_each(|(key, _)| follower.mirror.release_digests(key));
    for (key, put) in puts {
        follower.followed.changed.insert(key.clone());
        follower.put(key, put);
    }
    for instance in of_instances {
        follower.tell_state(&instance);
    }
    let followed = std::mem::take(&mut follower.followed);
    mirror.revision = mirror.revision.max(group.revision);
    followed
}

fn instance_of(key: &Key) -> Option<InstanceRef> {
    match key {
        Key::Instance(instance) | Key::Ttl(instance) | Key::Drain(instance) => Some(instance.clone()),
        _ => None,
    }
}

struct Follower<'a> {
    mirror: &'a mut Mirror,
    layout: &'a Layout,
    vet: &'a Vet,
    followed: Followed,
}

impl Follower<'_> {
    fn removals(&mut self, deletes: &[Vec<u8>], is_lapse: bool) {
        let keys: BTreeSet<_> = deletes.iter().filter_map(|key| self.layout.parse(key)).collect();
        let is_gone = |key: &Key| keys.contains(key);
        for key in &keys {
            let before = if is_lapse { self.mirror.lapse(key) } else { self.mirror.remove(key) };
            if before.is_none() {
                continue;
            }
            self.followed.changed.insert(key.clone());
            let change = match key {
                Key::Definition(service) => {
                    let of_it = |key: &Key| match key {
                        Key::Instance(instance) if instance.service == *service => Some(instance.id.clone()),
                        _ => None,
                    };
                    let instances: Vec<InstanceId> = keys.iter().filter_map(of_it).collect();
                    Change::RemoveService { service: service.clone(), instances }
                }
                Key::Instance(instance) if is_gone(&Key::Definition(instance.service.clone())) => continue,
                Key::Instance(instance) => Change::RemoveInstance(instance.clone()),
                // It goes with its instance.
                Key::Drain(instance) if is_gone(&Key::Instance(instance.clone())) => continue,
                Key::Drain(instance) => Change::RemoveDraining(instance.clone()),
                Key::Hold(instance) => Change::RemoveHold(instance.clone()),
                Key::ApiKey(name) => Change::RemoveKey(name.clone()),
                Key::Maintenance(scope) => Change::RemoveMaintenance(scope.clone()),
                Key::Split(service) => Change::RemoveSplit(service.clone()),
                Key::Grant(service) => Change::RemoveGrant(service.clone()),
                Key::Ttl(_) | Key::Digest(_) | Key::AuditHead(_) | Key::Busy(..) | Key::Gateway(_) => continue,
            };
            self.tell(change, None);
        }
    }

    /// Keys that furt would store no record under, though they stand where records do.
    fn misnamed(&mut self, group: &Group) {
        group.deletes.iter().for_each(|key| self.mirror.note_misnamed(key, false));
        for put in group.puts.iter().filter(|put| self.layout.is_misnamed(&put.key)) {
            self.mirror.note_misnamed(&put.key, true);
            let key = String::from_utf8_lossy(&put.key).into_owned();
            self.followed.refused.push(Refused { key, why: MISNAMED.into(), installed: None });
        }
    }

    fn tell(&mut self, change: Change, suspended: Option<Arc<str>>) {
        self.followed.changes.push(Incoming { suspended, ..change.into() });
    }

    fn put(&mut self, key: Key, put: &Put) {
        let entry = |value| Entry { modified: put.modified, lease: put.lease, value };
        let taken_over = if put.value.len() > MAX_RECORD {
            Err(format!("it has {} bytes, more than {MAX_RECORD}", put.value.len()))
        } else {
            self.take_over(&key, put)
        };
        match taken_over {
            Ok(value) => {
                self.mirror.put(key.clone(), entry(value));
                if let Key::Definition(service) = &key {
                    self.adopt(service);
                }
            }
            Err(why) => {
                let is_orphan = matches!(&key, Key::Instance(instance) if !self.has_service(&instance.service));
                let orphan = is_orphan.then(|| put.value.as_slice().into());
                if let (Key::ApiKey(name), NEWER) = (&key, why.as_str()) {
                    // As it was it would let in whom the newer one keeps out.
                    self.tell(Change::RemoveKey(name.clone()), None);
                }
                if let Key::Grant(service) = &key {
                    // Without it more could be registered than it says.
                    self.tell(Change::PutGrant(service.clone(), Arc::new(RuntimeGrant::of_nothing())), None);
                }
                let why: Arc<str> = why.into();
                let installed = self.mirror.accepted(&key).and_then(|_| match &key {
                    Key::Definition(service) => {
                        Some(Change::RemoveService { service: service.clone(), instances: Vec::new() })
                    }
                    Key::Instance(instance) => Some(Change::RemoveInstance(instance.clone())),
                    _ => None,
                });
                self.followed.refused.push(Refused { key: self.layout.key(&key), why: Arc::clone(&why), installed });
                self.mirror.put(key, entry(Value::Refused { why, orphan }));
            }
        }
    }

    /// Instances that came before their service.
    fn adopt(&mut self, service: &ServiceName) {
        let of = self.mirror.instances_of(service).filter_map(|(instance, entry)| match &entry.value {
            Value::Refused { orphan: Some(orphan), .. } => {
                let (modified, lease) = (entry.modified, entry.lease);
                let (key, value) = (Vec::new(), orphan.to_vec());
                Some((instance, Put { key, value, created: modified, modified, lease }))
            }
            _ => None,
        });
        let orphans: Vec<_> = of.collect();
        let before = self.followed.changes.len();
        for (instance, orphan) in orphans {
            self.put(Key::Instance(instance), &orphan);
        }
        self.followed.adopted.extend_from_slice(&self.followed.changes[before..]);
    }

    fn has_service(&self, service: &ServiceName) -> bool {
        self.mirror.accepted(&Key::Definition(service.clone())).is_some()
    }

    /// # Errors
    /// Why the record cannot be taken over.
    fn take_over(&mut self, key: &Key, put: &Put) -> Result<Value, String> {
        let kept = |is_needed: bool| match is_needed {
            true if newer(put, true).is_some() => Value::Newer(put.value.as_slice().into()),
            true => Value::Kept(put.value.as_slice().into()),
            false => Value::Told,
        };
        match key {
            Key::Definition(service) => {
                let read = records::Definition::read(service.as_str(), &put.value);
                let read = read.map_err(|error| self.or_newer(put, error.fault))?;
                let has_unknown = read.has_unknown_fields();
                let suspended = newer(put, has_unknown);
                let is_needed = has_unknown || suspended.is_some();
                self.followed.changes.push(Incoming {
                    change: Change::PutDefinition(read.value),
                    suspended,
                    added: Some(Revision(put.created)),
                });
                Ok(kept(is_needed))
            }
            Key::Instance(instance) => {
                let read = records::Instance::read(instance.id.as_str(), &put.value);
                let read = read.map_err(|error| self.or_newer(put, error.fault))?;
                if read.value.service != instance.service {
                    return Err(format!("it says that it is of service \"{}\"", read.value.service));
                }
                if !self.has_service(&instance.service) {
                    return Err(format!("there is no service \"{}\"", instance.service));
                }
                if let Some(owner) = self.mirror.owner(&instance.id).filter(|owner| **owner != instance.service) {
                    return Err(format!("its id is one of service \"{owner}\""));
                }
                let has_unknown = read.has_unknown_fields();
                let suspended = newer(put, has_unknown).or_else(|| (self.vet)(&read.value));
                self.tell(Change::PutInstance(read.value), suspended);
                Ok(kept(has_unknown))
            }
            Key::Ttl(_) => ttl(&put.value).map(|_| kept(true)).ok_or_else(|| "it is no TTL in ms".to_owned()),
            Key::Drain(instance) => {
                let read = records::Drain::read(instance.id.as_str(), &put.value);
                read.map(|_| kept(true)).map_err(|error| self.or_newer(put, error.fault))
            }
            Key::Hold(instance) => {
                let read = records::Drain::read_hold(&instance.to_string(), &put.value);
                let (instance, mark) = read.map_err(|error| self.or_newer(put, error.fault))?.value;
                self.tell(Change::PutHold(instance, mark), None);
                Ok(Value::Told)
            }
            Key::ApiKey(name) => {
                let read = records::Key::read(name.as_str(), &put.value);
                let read = read.map_err(|error| self.or_newer(put, error.fault))?;
                let has_unknown = read.has_unknown_fields();
                // A key is used or it is not: half of what restricts it would let requests in.
                if newer(put, has_unknown).is_some() {
                    return Err(NEWER.to_owned());
                }
                let api_key = read.value;
                let others = api_key.digests().filter_map(|sha256| self.mirror.key_of(&sha256));
                if let Some(other) = others.into_iter().find(|other| *other != name) {
                    return Err(format!("its digest is that of the API key \"{other}\""));
                }
                self.tell(Change::PutKey(Arc::clone(&api_key)), None);
                Ok(Value::ApiKey { api_key, raw: has_unknown.then(|| put.value.as_slice().into()) })
            }
            Key::Maintenance(scope) => {
                let read = records::Maintenance::read(&scope.to_string(), &put.value);
                let (scope, maintenance) = read.map_err(|error| self.or_newer(put, error.fault))?.value;
                self.tell(Change::PutMaintenance(scope, maintenance), None);
                Ok(Value::Told)
            }
            Key::Split(service) => {
                let read = records::Split::read(service.as_str(), &put.value);
                let (service, split) = read.map_err(|error| self.or_newer(put, error.fault))?.value;
                self.tell(Change::PutSplit(service, split), None);
                Ok(Value::Told)
            }
            Key::Grant(service) => {
                let read = records::Grant::read(service.as_str(), &put.value);
                let read = read.map_err(|error| self.or_newer(put, error.fault))?;
                // Half of what restricts it would let more be registered.
                if newer(put, read.has_unknown_fields()).is_some() {
                    return Err(NEWER.to_owned());
                }
                let (service, grant) = read.value;
                self.tell(Change::PutGrant(service, grant), None);
                Ok(Value::Told)
            }
            Key::Digest(_) => Ok(Value::Told),
            Key::AuditHead(_) => {
                Head::parse(&put.value).map(|_| kept(true)).ok_or_else(|| "it is no end of a chain".to_owned())
            }
            Key::Busy(..) => {
                number(&put.value).map(Value::Busy).ok_or_else(|| "it is no number of requests".to_owned())
            }
            Key::Gateway(id) => {
                let session: Session = serde_json::from_slice(&put.value).map_err(|error| error.to_string())?;
                self.followed.sessions.push((id.clone(), session));
                Ok(kept(true))
            }
        }
    }

    fn or_newer(&self, put: &Put, fault: impl ToString) -> String {
        newer(put, true).map_or_else(|| fault.to_string(), |newer| newer.to_string())
    }

    /// What belongs to an instance is told with it, whichever of them changed.
    fn tell_state(&mut self, instance: &InstanceRef) {
        if self.mirror.accepted(&Key::Instance(instance.clone())).is_none() {
            return;
        }
        let kept = |key: &Key| match self.mirror.get(key).map(|entry| &entry.value) {
            Some(Value::Kept(value) | Value::Newer(value)) => Some(Arc::clone(value)),
            _ => None,
        };
        let promised = kept(&Key::Ttl(instance.clone())).and_then(|value| ttl(&value));
        let drain = kept(&Key::Drain(instance.clone()))
            .and_then(|value| records::Drain::read(instance.id.as_str(), &value).ok());
        if let Some(ttl) = promised {
            self.tell(Change::NoteTtl { instance: instance.clone(), ttl }, None);
        }
        if let Some(drain) = drain {
            self.tell(Change::PutDraining(instance.clone(), drain.value.1), None);
        }
    }
}

fn number(value: &[u8]) -> Option<u32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn ttl(value: &[u8]) -> Option<Duration> {
    let ms = std::str::from_utf8(value).ok()?.parse().ok()?;
    Some(Duration::from_millis(ms)).filter(|ttl| !ttl.is_zero() && *ttl <= MAX_DURATION)
}

/// Why a record is kept and not used: it names a format whose readers alone know all that restricts.
fn newer(put: &Put, has_unknown_fields: bool) -> Option<Arc<str>> {
    #[derive(Deserialize)]
    struct Reads {
        reads: Option<u64>,
    }
    let may_say = has_unknown_fields || memchr::memmem::find(&put.value, b"\"reads\"").is_some();
    let reads = may_say.then(|| serde_json::from_slice::<Reads>(&put.value).ok())??.reads?;
    (reads > records::READS).then(|| NEWER.into())
}
