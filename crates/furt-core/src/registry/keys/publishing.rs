//! What the configuration and a restart mean for keys, and what requests and operators see of each.
//!
//! The configuration wins: a runtime key with a name or digest of its keys is kept, and used again once it does not have
//! them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::super::now::Now;
use super::super::report::Report;
use super::command::KeyCommand;
use super::report::KeyReport;
use super::state::{Configured, KeyEntry, KeyParts, KeyState, Keys};
use crate::model::{Actor, KeyName, KeySpec, RuntimeKey};
use crate::routing::{ApiKey, KeyLive, ListedKey};

impl Keys {
    /// Replaces the configuration's keys, and evaluates the runtime keys by them. Names and digests
    /// are unique among them. A key of the same name and rate goes on counting its uses.
    pub(in crate::registry) fn configure(&mut self, keys: Vec<KeySpec>, parts: &mut KeyParts<'_>) {
        let before = std::mem::take(&mut self.configured);
        let specs = || before.values().map(|one| &*one.spec).chain(&keys);
        let concerned: BTreeSet<_> =
            specs().flat_map(|spec| self.digests.get(&spec.sha256).into_iter().chain([&spec.name])).cloned().collect();
        // All of them first, so that none takes a digest of the new configuration out of the table.
        concerned.iter().for_each(|name| self.withdraw(name, parts));
        let share = parts.publisher.share();
        let table = parts.publisher.keys_mut();
        for one in before.values() {
            table.remove(&one.spec.sha256);
            table.configured.remove(&one.spec.name);
        }
        self.configured_digests = keys.iter().map(|spec| (spec.sha256, spec.name.clone())).collect();
        for spec in keys {
            let same = before.get(&spec.name).filter(|one| one.spec.rate == spec.rate);
            let live = same.map_or_else(Arc::<KeyLive>::default, |one| Arc::clone(&one.live));
            let spec = Arc::new(spec);
            table.insert(spec.sha256, ApiKey::new(&spec, share, None, &live));
            table.configured.insert(spec.name.clone(), Arc::clone(&spec));
            self.configured.insert(spec.name.clone(), Configured { spec, live });
        }
        for name in &concerned {
            self.evaluate(name, parts);
            self.publish(name, parts);
        }
        parts.publisher.advance();
    }

    /// This gateway has another share of each rate: keys with one begin to count anew.
    pub(in crate::registry) fn share(&mut self, parts: &mut KeyParts<'_>) {
        let share = parts.publisher.share();
        let table = parts.publisher.keys_mut();
        for Configured { spec, live } in self.configured.values_mut().filter(|one| one.spec.rate.is_some()) {
            *live = Arc::default();
            table.insert(spec.sha256, ApiKey::new(spec, share, None, live));
        }
        let mut limited = Vec::new();
        for (name, entry) in self.runtime.iter_mut().filter(|(_, entry)| entry.key.spec.rate.is_some()) {
            entry.live = Arc::default();
            limited.push(name.clone());
        }
        limited.iter().for_each(|name| self.publish(name, parts));
    }

    /// Takes over what a store had; what is over ends at once.
    pub(in crate::registry) fn restore(
        &mut self,
        keys: BTreeMap<KeyName, Arc<RuntimeKey>>,
        now: Now,
        parts: &mut KeyParts<'_>,
    ) {
        for key in keys.into_values() {
            self.install(key, now, parts);
        }
        self.end_due(now, parts);
    }

    pub(super) fn install(&mut self, key: Arc<RuntimeKey>, now: Now, parts: &mut KeyParts<'_>) {
        let name = key.name().clone();
        self.claim_digests(&key);
        let live = Arc::default();
        let entry = KeyEntry { key, live, suspended: None, state: KeyState::Stays, usable: Vec::new(), end_ms: None };
        self.runtime.insert(name.clone(), entry);
        self.evaluate(&name, parts);
        self.publish(&name, parts);
        if let Some(by) = self.who_ends(&name) {
            self.take_out(&name, KeyState::Revoked { by, at_ms: now.unix_ms }, parts);
        }
    }

    /// Who asks for a key's end, and waits for a write of it.
    fn who_ends(&self, name: &KeyName) -> Option<Actor> {
        let mut parked = self.outbox.parked(name);
        parked.find(|one| matches!(one.command, KeyCommand::Revoke(_))).map(|one| one.asker.by.clone())
    }

    /// Whether the configuration is against a runtime key.
    pub(super) fn evaluate(&mut self, name: &KeyName, parts: &mut KeyParts<'_>) {
        let Some(entry) = self.runtime.get(name) else { return };
        let why = self.objection(&entry.key);
        let Some(entry) = self.runtime.get_mut(name).filter(|entry| entry.suspended != why) else { return };
        entry.suspended.clone_from(&why);
        if let Some(why) = why {
            parts.effects.report(Report::Key(KeyReport::Suspended { name: name.clone(), why }));
        }
    }

    /// Takes a key that stays so far out of the table.
    pub(super) fn take_out(&mut self, name: &KeyName, state: KeyState, parts: &mut KeyParts<'_>) {
        if let Some(entry) = self.runtime.get_mut(name).filter(|entry| entry.state == KeyState::Stays) {
            entry.state = state;
            self.publish(name, parts);
        }
    }

    /// Puts into the snapshot what requests and operators are to see of a key now, and notes when that changes by itself.
    pub(super) fn publish(&mut self, name: &KeyName, parts: &mut KeyParts<'_>) {
        self.withdraw(name, parts);
        let Some(entry) = self.runtime.get_mut(name) else { return };
        let (key, stays) = (&entry.key, entry.state == KeyState::Stays);
        let share = parts.publisher.share();
        let table = parts.publisher.keys_mut();
        if stays && entry.suspended.is_none() {
            let olds = key.old.iter().map(|old| {
                let end_ms = key.expires_ms.map_or(old.until_ms, |end_ms| end_ms.min(old.until_ms));
                (old.sha256, Some(end_ms))
            });
            for (sha256, end_ms) in olds.chain([(key.spec.sha256, key.expires_ms)]) {
                if !self.configured_digests.contains_key(&sha256) {
                    table.insert(sha256, ApiKey::new(&key.spec, share, end_ms, &entry.live));
                    entry.usable.push(sha256);
                }
            }
        }
        let suspended = match &entry.state {
            KeyState::Stays => entry.suspended.clone(),
            KeyState::Revoked { .. } => Some("it is revoked, and the store could not be told yet".into()),
            KeyState::Expired => Some("it expired, and is removed soon".into()),
        };
        table.runtime.insert(name.clone(), ListedKey { key: Arc::clone(key), suspended, stays });
        let end_ms = if stays { key.next_end_ms() } else { None };
        let before = std::mem::replace(&mut entry.end_ms, end_ms);
        before.map(|end_ms| self.ends.remove(&(end_ms, name.clone())));
        self.ends.extend(end_ms.map(|end_ms| (end_ms, name.clone())));
        parts.publisher.advance();
    }

    pub(super) fn claim_digests(&mut self, key: &RuntimeKey) {
        self.digests.extend(key.digests().map(|sha256| (sha256, key.name().clone())));
    }

    pub(super) fn release_digests(&mut self, key: &RuntimeKey) {
        // Another one may have taken it over.
        for sha256 in key.digests().filter(|sha256| self.digests.get(sha256) == Some(key.name())).collect::<Vec<_>>() {
            self.digests.remove(&sha256);
        }
        self.ended_digests.retain(|_, name| name != key.name());
    }

    pub(super) fn withdraw(&mut self, name: &KeyName, parts: &mut KeyParts<'_>) {
        if let Some(entry) = self.runtime.get_mut(name) {
            let table = parts.publisher.keys_mut();
            entry.usable.drain(..).for_each(|sha256| table.remove(&sha256));
        }
    }

    /// Takes a key off every list.
    pub(super) fn forget(&mut self, name: &KeyName, parts: &mut KeyParts<'_>) -> Option<KeyEntry> {
        self.withdraw(name, parts);
        let entry = self.runtime.remove(name)?;
        self.retry.remove(name);
        self.release_digests(&entry.key);
        entry.end_ms.map(|end_ms| self.ends.remove(&(end_ms, name.clone())));
        parts.publisher.keys_mut().runtime.remove(name);
        parts.publisher.advance();
        Some(entry)
    }
}

impl Keys {
    /// Why a runtime key may not be used, where it may not.
    pub(super) fn objection(&self, key: &RuntimeKey) -> Option<Arc<str>> {
        if self.configured.contains_key(key.name()) {
            return Some("the configuration has a key of the same name".into());
        }
        let holder = self.configured_digests.get(&key.spec.sha256)?;
        Some(format!("the configuration has the same key under the name \"{holder}\"").into())
    }
}
