//! What operators ask for: new keys, ends of keys, other digests; and what becomes of the writes.

use std::net::IpAddr;
use std::sync::Arc;

use super::super::answer::Answer;
use super::super::change::Change;
use super::super::dispatch::Registry;
use super::super::effects::Effects;
use super::super::ids::{ReplyId, WriteId};
use super::super::leases::REMOVAL_RETRY;
use super::super::now::Now;
use super::super::refusal::Refusal;
use super::super::report::Report;
use super::command::{KeyAnswer, KeyCommand};
use super::refusal::{KeyRefusal, MAX_KEYS};
use super::report::KeyReport;
use super::state::{Asker, KeyState, KeyWrite, MAX_PARKED, ParkedKeyCommand};
use crate::model::{KeyName, MAX_OLD_DIGESTS, OldDigest, RuntimeKey, Sha256Digest};

impl Registry {
    pub(in crate::registry) fn handle_key_command(
        &mut self,
        command: KeyCommand,
        from: IpAddr,
        reply: ReplyId,
        now: Now,
        effects: &mut Effects,
    ) {
        let parked = ParkedKeyCommand { command, asker: Asker { from, reply } };
        if self.keys.outbox.is_writing(parked.command.name()) {
            self.park_key_command(parked, effects);
        } else {
            self.begin_key_command(parked, now, effects);
        }
        self.arm_keys(now);
    }

    /// Lets a command wait for the write that its key is in. An end does not wait to be seen: the store may hang.
    fn park_key_command(&mut self, parked: ParkedKeyCommand, effects: &mut Effects) {
        let name = parked.command.name().clone();
        let is_end = matches!(parked.command, KeyCommand::Revoke(_));
        let from = parked.asker.from;
        // Ends have places of their own: nothing else may keep a key good.
        let limit = if is_end { 2 * MAX_PARKED } else { MAX_PARKED };
        if let Err(parked) = self.keys.outbox.park(&name, parked, limit) {
            return self.refuse_key_command(&name, parked.asker, Refusal::Busy, effects);
        }
        if is_end {
            self.take_out(&name, KeyState::Revoked { from });
        }
    }

    fn unpark_key_commands(&mut self, name: &KeyName, now: Now, effects: &mut Effects) {
        let mut queue = self.keys.outbox.take_parked(name);
        while !self.keys.outbox.is_writing(name) {
            let Some(parked) = queue.pop_front() else { return };
            self.begin_key_command(parked, now, effects);
        }
        self.keys.outbox.park_again(name, queue);
    }

    fn begin_key_command(
        &mut self,
        ParkedKeyCommand { command, asker }: ParkedKeyCommand,
        now: Now,
        effects: &mut Effects,
    ) {
        let name = command.name().clone();
        let refused = match command {
            KeyCommand::Create(key) => self.begin_creation(Arc::new(*key), asker, effects),
            KeyCommand::Rotate { sha256, grace, .. } => {
                let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
                self.begin_rotation(&name, sha256, grace_ms, asker, now, effects)
            }
            KeyCommand::Revoke(_) => self.begin_revocation(&name, asker, effects),
        };
        if let Err(refusal) = refused {
            self.refuse_key_command(&name, asker, refusal.into(), effects);
        }
    }

    fn begin_creation(&mut self, key: Arc<RuntimeKey>, asker: Asker, effects: &mut Effects) -> Result<(), KeyRefusal> {
        let name = key.name();
        let taken = |holder: &str| KeyRefusal::Taken { what: format!("name \"{name}\""), holder: holder.to_owned() };
        if self.keys.configured.contains_key(name) {
            return Err(taken("the configuration"));
        }
        match self.keys.runtime.get(name).map(|entry| entry.state) {
            None => {}
            Some(KeyState::Stays) => return Err(taken("a runtime key")),
            Some(KeyState::Revoked { .. } | KeyState::Expired) => {
                return Err(taken("a runtime key that ended, which the store could not be told yet,"));
            }
        }
        self.check_digest(key.spec.sha256)?;
        // What is being written counts, whatever it is: close to the bound that is near enough.
        if self.keys.runtime.len() + self.keys.outbox.subjects() >= MAX_KEYS {
            return Err(KeyRefusal::TooMany);
        }
        self.keys.digests.insert(key.spec.sha256, name.clone());
        let change = Change::PutKey(Arc::clone(&key));
        self.submit_key_write(KeyWrite::Create { key, asker }, vec![change], effects);
        Ok(())
    }

    fn begin_rotation(
        &mut self,
        name: &KeyName,
        sha256: Sha256Digest,
        grace_ms: i64,
        asker: Asker,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), KeyRefusal> {
        let unusable = self.not_there(name);
        if self.keys.configured.contains_key(name) {
            return Err(KeyRefusal::Configured(name.clone()));
        }
        let entry = self.keys.runtime.get(name).filter(|entry| entry.state == KeyState::Stays).ok_or(unusable)?;
        self.check_digest(sha256)?;
        let mut key = RuntimeKey::clone(&entry.key);
        key.old = if grace_ms > 0 { key.still_good(now.unix_ms).collect() } else { Vec::new() };
        if grace_ms > 0 {
            if let Some(first) =
                key.old.iter().map(|old| old.until_ms).min().filter(|_| key.old.len() >= MAX_OLD_DIGESTS)
            {
                let seconds = u64::try_from((first - now.unix_ms).max(0)).unwrap_or(0).div_ceil(1000);
                return Err(KeyRefusal::TooManyOld { name: name.clone(), count: key.old.len(), seconds });
            }
            key.old.push(OldDigest { sha256: key.spec.sha256, until_ms: now.unix_ms.saturating_add(grace_ms) });
        }
        key.spec.sha256 = sha256;
        let key = Arc::new(key);
        self.keys.digests.insert(sha256, name.clone());
        let change = Change::PutKey(Arc::clone(&key));
        self.submit_key_write(KeyWrite::Rotate { key, asker }, vec![change], effects);
        Ok(())
    }

    fn begin_revocation(&mut self, name: &KeyName, asker: Asker, effects: &mut Effects) -> Result<(), KeyRefusal> {
        if !self.keys.runtime.contains_key(name) {
            return Err(self.not_there(name));
        }
        self.take_out(name, KeyState::Revoked { from: asker.from });
        self.begin_key_removal(vec![name.clone()], Some(asker), effects);
        Ok(())
    }

    fn not_there(&self, name: &KeyName) -> KeyRefusal {
        if self.keys.configured.contains_key(name) {
            KeyRefusal::Configured(name.clone())
        } else {
            KeyRefusal::Unknown(name.clone())
        }
    }

    fn check_digest(&self, sha256: Sha256Digest) -> Result<(), KeyRefusal> {
        let holder = self.keys.configured_digests.get(&sha256).or_else(|| self.keys.digests.get(&sha256));
        holder.map_or(Ok(()), |holder| {
            Err(KeyRefusal::Taken { what: "digest".to_owned(), holder: format!("the API key \"{holder}\"") })
        })
    }

    /// Asks the store to forget keys that are out of the table.
    pub(super) fn begin_key_removal(&mut self, names: Vec<KeyName>, asker: Option<Asker>, effects: &mut Effects) {
        names.iter().for_each(|name| {
            self.keys.retry.remove(name);
        });
        let changes = names.iter().cloned().map(Change::RemoveKey).collect();
        self.submit_key_write(KeyWrite::Remove { names, asker }, changes, effects);
    }

    fn submit_key_write(&mut self, write: KeyWrite, changes: Vec<Change>, effects: &mut Effects) {
        let id = self.write_ids.next();
        self.keys.outbox.submit(id, write.names(), write);
        effects.write(id, changes);
    }

    pub(in crate::registry) fn handle_key_write_done(&mut self, write: WriteId, now: Now, effects: &mut Effects) {
        let Some((write, names)) = self.keys.outbox.finish(write) else { return };
        match write {
            KeyWrite::Create { key, asker } => {
                let report = KeyReport::Created { name: key.name().clone(), from: asker.from };
                self.install_key(Arc::clone(&key), effects);
                self.answer_key_command(asker, key, report, effects);
            }
            KeyWrite::Rotate { key, asker } => {
                let report = KeyReport::Rotated { name: key.name().clone(), from: asker.from };
                self.replace_key(&key, effects);
                self.answer_key_command(asker, key, report, effects);
            }
            KeyWrite::Remove { names, asker } => {
                for name in names {
                    let Some(entry) = self.forget_key(&name) else { continue };
                    let report = match entry.state {
                        KeyState::Revoked { from } => KeyReport::Revoked { name, from },
                        KeyState::Expired | KeyState::Stays => KeyReport::Expired(name),
                    };
                    match asker {
                        Some(asker) => self.answer_key_command(asker, entry.key, report, effects),
                        None => effects.report(Report::Key(report)),
                    }
                }
            }
        }
        names.iter().for_each(|name| self.unpark_key_commands(name, now, effects));
        self.arm_keys(now);
    }

    pub(in crate::registry) fn handle_key_write_failed(
        &mut self,
        write: WriteId,
        why: &str,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some((write, names)) = self.keys.outbox.finish(write) else { return };
        match write {
            KeyWrite::Create { key, asker } | KeyWrite::Rotate { key, asker } => {
                self.keys.digests.remove(&key.spec.sha256);
                self.refuse_key_command(key.name(), asker, Refusal::StoreFailed(why.to_owned()), effects);
            }
            KeyWrite::Remove { names, asker } => {
                let why = why.to_owned();
                self.keys.retry.extend(names.iter().cloned());
                self.keys.retry_at = Some(now.at + REMOVAL_RETRY);
                if let (Some(asker), [name]) = (asker, names.as_slice()) {
                    let refusal = KeyRefusal::NotForgotten { name: name.clone(), why: why.clone() };
                    effects.reply(asker.reply, Err(refusal.into()));
                }
                effects.report(Report::Key(KeyReport::RemovalFailed { names, why }));
            }
        }
        names.iter().for_each(|name| self.unpark_key_commands(name, now, effects));
        self.arm_keys(now);
    }

    fn replace_key(&mut self, key: &Arc<RuntimeKey>, effects: &mut Effects) {
        let name = key.name();
        let Some(entry) = self.keys.runtime.get_mut(name) else { return };
        let before = std::mem::replace(&mut entry.key, Arc::clone(key));
        for sha256 in before.digests() {
            self.keys.digests.remove(&sha256);
        }
        for sha256 in key.digests() {
            self.keys.digests.insert(sha256, name.clone());
        }
        self.evaluate_key(name, effects);
        self.publish_key(name);
    }

    fn answer_key_command(&mut self, asker: Asker, key: Arc<RuntimeKey>, report: KeyReport, effects: &mut Effects) {
        let is_configured = self.keys.configured.contains_key(key.name());
        let answer = KeyAnswer { key, is_configured, generation: self.publisher.generation() };
        effects.report(Report::Key(report));
        effects.reply(asker.reply, Ok(Answer::Key(answer)));
    }

    fn refuse_key_command(&mut self, name: &KeyName, asker: Asker, refusal: Refusal, effects: &mut Effects) {
        let report = KeyReport::Refused { name: name.clone(), from: asker.from, refusal: refusal.clone() };
        effects.report(Report::Key(report));
        effects.reply(asker.reply, Err(refusal));
    }
}
