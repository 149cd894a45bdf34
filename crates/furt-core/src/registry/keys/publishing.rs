//! What the configuration and a restart mean for keys, and what requests and operators see of each.
//!
//! The configuration wins: a runtime key with a name or digest of its keys is kept, and used again once it does not have
//! them any more.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;

use super::super::dispatch::Registry;
use super::super::effects::Effects;
use super::super::now::Now;
use super::super::report::Report;
use super::command::KeyCommand;
use super::report::KeyReport;
use super::state::{Configured, KeyEntry, KeyState, Keys};
use crate::model::{KeyName, KeySpec, RuntimeKey};
use crate::routing::{ApiKey, KeyLive, ListedKey};

impl Registry {
    /// Takes the configuration's keys in the place of those before, and evaluates the runtime keys by them. Names and digests
    /// are unique among them. A key of the same name and rate goes on counting its uses.
    pub(in crate::registry) fn configure_keys(&mut self, keys: Vec<KeySpec>, effects: &mut Effects) {
        let before = std::mem::take(&mut self.keys.configured);
        let specs = || before.values().map(|one| &*one.spec).chain(&keys);
        let concerned: BTreeSet<_> = specs()
            .flat_map(|spec| self.keys.digests.get(&spec.sha256).into_iter().chain([&spec.name]))
            .cloned()
            .collect();
        // All of them first, so that none takes a digest of the new configuration out of the table.
        concerned.iter().for_each(|name| self.withdraw_key(name));
        let table = self.publisher.keys_mut();
        for one in before.values() {
            table.remove(&one.spec.sha256);
            table.configured.remove(&one.spec.name);
        }
        self.keys.configured_digests = keys.iter().map(|spec| (spec.sha256, spec.name.clone())).collect();
        for spec in keys {
            let same = before.get(&spec.name).filter(|one| one.spec.rate == spec.rate);
            let live = same.map_or_else(Arc::<KeyLive>::default, |one| Arc::clone(&one.live));
            let spec = Arc::new(spec);
            table.insert(spec.sha256, ApiKey::new(&spec, None, &live));
            table.configured.insert(spec.name.clone(), Arc::clone(&spec));
            self.keys.configured.insert(spec.name.clone(), Configured { spec, live });
        }
        for name in &concerned {
            self.evaluate_key(name, effects);
            self.publish_key(name);
        }
        self.publisher.advance();
    }

    /// Takes over what a store had; what is over ends at once.
    pub(in crate::registry) fn restore_keys(
        &mut self,
        keys: BTreeMap<KeyName, Arc<RuntimeKey>>,
        now: Now,
        effects: &mut Effects,
    ) {
        for key in keys.into_values() {
            for sha256 in key.digests() {
                self.keys.digests.insert(sha256, key.name().clone());
            }
            self.install_key(key, effects);
        }
        self.end_keys(now, effects);
    }

    pub(super) fn install_key(&mut self, key: Arc<RuntimeKey>, effects: &mut Effects) {
        let name = key.name().clone();
        let live = Arc::default();
        let entry = KeyEntry { key, live, suspended: None, state: KeyState::Stays, usable: Vec::new(), end_ms: None };
        self.keys.runtime.insert(name.clone(), entry);
        self.evaluate_key(&name, effects);
        self.publish_key(&name);
        if let Some(from) = self.who_ends(&name) {
            self.take_out(&name, KeyState::Revoked { from });
        }
    }

    /// Who asks for a key's end, and waits for a write of it.
    fn who_ends(&self, name: &KeyName) -> Option<IpAddr> {
        let mut parked = self.keys.outbox.parked(name);
        parked.find(|one| matches!(one.command, KeyCommand::Revoke(_))).map(|one| one.asker.from)
    }

    /// Whether the configuration is against a runtime key.
    pub(super) fn evaluate_key(&mut self, name: &KeyName, effects: &mut Effects) {
        let Some(entry) = self.keys.runtime.get(name) else { return };
        let why = self.keys.objection(&entry.key);
        let Some(entry) = self.keys.runtime.get_mut(name).filter(|entry| entry.suspended != why) else { return };
        entry.suspended.clone_from(&why);
        if let Some(why) = why {
            effects.report(Report::Key(KeyReport::Suspended { name: name.clone(), why }));
        }
    }

    /// Takes a key that stays so far out of the table.
    pub(super) fn take_out(&mut self, name: &KeyName, state: KeyState) {
        if let Some(entry) = self.keys.runtime.get_mut(name).filter(|entry| entry.state == KeyState::Stays) {
            entry.state = state;
            self.publish_key(name);
        }
    }

    /// Puts into the snapshot what requests and operators are to see of a key now, and notes when that changes by itself.
    pub(super) fn publish_key(&mut self, name: &KeyName) {
        self.withdraw_key(name);
        let Some(entry) = self.keys.runtime.get_mut(name) else { return };
        let (key, stays) = (&entry.key, entry.state == KeyState::Stays);
        let table = self.publisher.keys_mut();
        if stays && entry.suspended.is_none() {
            let olds = key.old.iter().map(|old| {
                let end_ms = key.expires_ms.map_or(old.until_ms, |end_ms| end_ms.min(old.until_ms));
                (old.sha256, Some(end_ms))
            });
            for (sha256, end_ms) in olds.chain([(key.spec.sha256, key.expires_ms)]) {
                if !self.keys.configured_digests.contains_key(&sha256) {
                    table.insert(sha256, ApiKey::new(&key.spec, end_ms, &entry.live));
                    entry.usable.push(sha256);
                }
            }
        }
        let suspended = match entry.state {
            KeyState::Stays => entry.suspended.clone(),
            KeyState::Revoked { .. } => Some("it is revoked, and the store could not be told yet".into()),
            KeyState::Expired => Some("it expired, and the store could not be told yet".into()),
        };
        table.runtime.insert(name.clone(), ListedKey { key: Arc::clone(key), suspended });
        let end_ms = if stays { key.next_end_ms() } else { None };
        let before = std::mem::replace(&mut entry.end_ms, end_ms);
        before.map(|end_ms| self.keys.ends.remove(&(end_ms, name.clone())));
        self.keys.ends.extend(end_ms.map(|end_ms| (end_ms, name.clone())));
        self.publisher.advance();
    }

    pub(super) fn withdraw_key(&mut self, name: &KeyName) {
        if let Some(entry) = self.keys.runtime.get_mut(name) {
            let table = self.publisher.keys_mut();
            entry.usable.drain(..).for_each(|sha256| table.remove(&sha256));
        }
    }

    /// Takes a key off every list.
    pub(super) fn forget_key(&mut self, name: &KeyName) -> Option<KeyEntry> {
        self.withdraw_key(name);
        let entry = self.keys.runtime.remove(name)?;
        for sha256 in entry.key.digests() {
            self.keys.digests.remove(&sha256);
        }
        entry.end_ms.map(|end_ms| self.keys.ends.remove(&(end_ms, name.clone())));
        self.publisher.keys_mut().runtime.remove(name);
        self.publisher.advance();
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
