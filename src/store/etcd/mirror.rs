//! What the store has, as far as it was followed: for each key when it was put last, and its lease.
//!
//! It has no values but those that a later write needs: what a drain, a TTL or an API key was, and records with fields that this
//! furt does not know.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::layout::Key;
use furt_core::model::{InstanceId, RuntimeKey, ServiceName, Sha256Digest};
use furt_core::registry::InstanceRef;

/// Of one key.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// The revision at which it was put last.
    pub(super) modified: u64,
    /// `None`: it has none.
    pub(super) lease: Option<Lease>,
    pub(super) value: Value,
}

/// A lease of the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Lease(pub(super) i64);

/// What is known of a value.
#[derive(Debug, Clone)]
pub(super) enum Value {
    /// It was told, and is not needed any more.
    Told,
    /// It is needed again as it was stored.
    Kept(Arc<[u8]>),
    /// As it was stored: only a newer furt reads all that restricts it.
    Newer(Arc<[u8]>),
    /// So many requests in flight.
    Busy(u32),
    /// `raw`: as it was stored, where it has fields that this furt does not know.
    ApiKey { api_key: Arc<RuntimeKey>, raw: Option<Arc<[u8]>> },
    /// It was not taken over. An orphan is, once its service comes.
    Refused { why: Arc<str>, orphan: Option<Arc<[u8]>> },
}

/// All keys that are followed.
#[derive(Debug, Default)]
pub(super) struct Mirror {
    /// All that is not later was followed.
    pub(super) revision: u64,
    entries: BTreeMap<Key, Entry>,
    instances: HashMap<ServiceName, BTreeSet<InstanceId>>,
    owners: HashMap<InstanceId, ServiceName>,
    digests: HashMap<Sha256Digest, furt_core::model::KeyName>,
    refused: usize,
    newer: usize,
    /// Keys that stand where records do, under no name that a record has.
    misnamed: BTreeSet<Vec<u8>>,
    /// Records that leases took along, where they have fields that this furt does not know: who lives is stored again with them.
    lapsed: BTreeMap<Key, Arc<[u8]>>,
}

/// The most records that are kept of those that leases took along.
const MAX_LAPSED: usize = 1024;

impl Entry {
    pub(super) fn is_refused(&self) -> bool {
        matches!(self.value, Value::Refused { .. })
    }

    fn is_newer(&self) -> bool {
        matches!(self.value, Value::Newer(_))
    }
}

impl Mirror {
    pub(super) fn get(&self, key: &Key) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// What was taken over; `None` also for what was refused.
    pub(super) fn accepted(&self, key: &Key) -> Option<&Entry> {
        self.get(key).filter(|entry| !entry.is_refused())
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = (&Key, &Entry)> {
        self.entries.iter()
    }

    /// What a gateway that is there says of itself.
    pub(super) fn gateway(&self, key: &Key) -> Option<&[u8]> {
        match self.get(key).map(|entry| &entry.value) {
            Some(Value::Kept(session) | Value::Newer(session)) => Some(session),
            _ => None,
        }
    }

    /// What gateways other than this one have in flight at an instance, as far as they said.
    pub(super) fn busy_elsewhere(&self, instance: &InstanceRef, this: &str) -> u32 {
        let all = self.entries.range(Key::Busy(instance.clone(), String::new())..);
        let of_it = all.map_while(|(key, entry)| match (key, &entry.value) {
            (Key::Busy(one, gateway), value) if one == instance => Some((gateway, value)),
            _ => None,
        });
        let counts = of_it.filter(|(gateway, _)| *gateway != this).map(|(_, value)| match value {
            Value::Busy(count) => *count,
            _ => 0,
        });
        counts.fold(0, u32::saturating_add)
    }

    /// Every instance under the service's name, those that were refused among them.
    pub(super) fn instances_of(&self, service: &ServiceName) -> impl Iterator<Item = (InstanceRef, &Entry)> {
        let ids = self.instances.get(service).into_iter().flatten();
        ids.filter_map(|id| {
            let instance = InstanceRef { service: service.clone(), id: id.clone() };
            let entry = self.entries.get(&Key::Instance(instance.clone()))?;
            Some((instance, entry))
        })
    }

    /// The service whose instance has the id.
    pub(super) fn owner(&self, id: &InstanceId) -> Option<&ServiceName> {
        self.owners.get(id)
    }

    /// The API key that has the digest.
    pub(super) fn key_of(&self, sha256: &Sha256Digest) -> Option<&furt_core::model::KeyName> {
        self.digests.get(sha256)
    }

    /// One of the records that were not taken over, and why.
    pub(super) fn first_refused(&self) -> Option<(&Key, &Arc<str>)> {
        let refused = |(key, entry)| match &(entry as &Entry).value {
            Value::Refused { why, .. } => Some((key, why)),
            _ => None,
        };
        // Nobody looks through ten thousand for none.
        (self.refused > 0).then(|| self.entries.iter().find_map(refused)).flatten()
    }

    /// One of the records that only a newer furt reads whole.
    pub(super) fn first_newer(&self) -> Option<&Key> {
        let mut all = self.entries.iter();
        (self.newer > 0).then(|| all.find(|(_, entry)| entry.is_newer()).map(|(key, _)| key)).flatten()
    }

    /// How many records were not taken over.
    pub(super) fn refused(&self) -> usize {
        self.refused + self.misnamed.len()
    }

    /// One of the keys that have no name of a record.
    pub(super) fn first_misnamed(&self) -> Option<&[u8]> {
        self.misnamed.first().map(Vec::as_slice)
    }

    /// The key is there, or is not any more.
    pub(super) fn note_misnamed(&mut self, key: &[u8], is_there: bool) {
        if is_there {
            self.misnamed.insert(key.to_vec());
        } else {
            self.misnamed.remove(key);
        }
    }

    /// These are all of them that there are.
    pub(super) fn set_misnamed(&mut self, keys: BTreeSet<Vec<u8>>) {
        self.misnamed = keys;
    }

    /// The record as it is stored, or was when its lease ended, where it has fields that this furt does not know.
    pub(super) fn raw(&self, key: &Key) -> Option<&Arc<[u8]>> {
        match self.get(key).map(|entry| &entry.value) {
            Some(Value::Kept(raw) | Value::Newer(raw) | Value::ApiKey { raw: Some(raw), .. }) => Some(raw),
            Some(_) => None,
            None => self.lapsed.get(key),
        }
    }

    pub(super) fn put(&mut self, key: Key, entry: Entry) {
        self.remove(&key);
        self.lapsed.remove(&key);
        self.refused += usize::from(entry.is_refused());
        self.newer += usize::from(entry.is_newer());
        if let Key::Instance(instance) = &key {
            self.instances.entry(instance.service.clone()).or_default().insert(instance.id.clone());
            if !entry.is_refused() {
                self.owners.insert(instance.id.clone(), instance.service.clone());
            }
        }
        if let Value::ApiKey { api_key, .. } = &entry.value {
            self.digests.extend(api_key.digests().map(|sha256| (sha256, api_key.name().clone())));
        }
        self.entries.insert(key, entry);
    }

    /// The digests of an API key are free for others that come with it: they may exchange theirs.
    pub(super) fn release_digests(&mut self, key: &Key) {
        let Some(Value::ApiKey { api_key, .. }) = self.entries.get(key).map(|entry| &entry.value) else { return };
        for sha256 in api_key.digests() {
            if self.digests.get(&sha256) == Some(api_key.name()) {
                self.digests.remove(&sha256);
            }
        }
    }

    /// The same for a key that nobody removed.
    pub(super) fn lapse(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.remove(key)?;
        if let (Key::Definition(_) | Key::Instance(_), Value::Kept(raw) | Value::Newer(raw)) = (key, &entry.value)
            && self.lapsed.len() < MAX_LAPSED
        {
            self.lapsed.insert(key.clone(), Arc::clone(raw));
        }
        Some(entry)
    }

    pub(super) fn remove(&mut self, key: &Key) -> Option<Entry> {
        self.release_digests(key);
        let entry = self.entries.remove(key)?;
        self.refused -= usize::from(entry.is_refused());
        self.newer -= usize::from(entry.is_newer());
        if let Key::Instance(instance) = key {
            if let Some(ids) = self.instances.get_mut(&instance.service) {
                ids.remove(&instance.id);
                if ids.is_empty() {
                    self.instances.remove(&instance.service);
                }
            }
            if self.owners.get(&instance.id) == Some(&instance.service) {
                self.owners.remove(&instance.id);
            }
        }
        Some(entry)
    }
}
