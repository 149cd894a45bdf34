//! What operators ask for: new keys, ends of keys, other digests; and what becomes of the writes.

use std::sync::Arc;
use std::time::Duration;

use super::super::answer::Answer;
use super::super::audits::audit;
use super::super::caller::{Asker, Caller};
use super::super::change::Change;
use super::super::ids::{ReplyId, WriteId};
use super::super::leases::REMOVAL_RETRY;
use super::super::now::Now;
use super::super::refusal::Refusal;
use super::super::report::Report;
use super::super::write::{Premise, Record, Write};
use super::command::{KeyAnswer, KeyCommand};
use super::refusal::{KeyRefusal, MAX_KEYS};
use super::report::KeyReport;
use super::state::{KeyEntry, KeyParts, KeyState, KeyWrite, Keys, MAX_PARKED, ParkedKeyCommand};
use crate::model::{Actor, AuditAction, KeyName, MAX_OLD_DIGESTS, OldDigest, RuntimeKey, Sha256Digest};

impl Keys {
    pub(in crate::registry) fn handle_command(
        &mut self,
        command: KeyCommand,
        by: Actor,
        reply: ReplyId,
        now: Now,
        parts: &mut KeyParts<'_>,
    ) {
        let parked = ParkedKeyCommand { command, asker: Asker { by, caller: Caller::new(reply) } };
        if self.outbox.is_writing(parked.command.name()) {
            self.park(parked, now, parts);
        } else {
            self.begin_command(parked, now, parts);
        }
        self.arm(now);
    }

    /// Lets a command wait for the write that its key is in. An end does not wait to be seen: the store may hang.
    fn park(&mut self, parked: ParkedKeyCommand, now: Now, parts: &mut KeyParts<'_>) {
        let name = parked.command.name().clone();
        let is_end = matches!(parked.command, KeyCommand::Revoke(_));
        let by = parked.asker.by.clone();
        // Commands that end a key have a limit of their own: nothing else may keep a key good.
        let limit = if is_end { 2 * MAX_PARKED } else { MAX_PARKED };
        if let Err(parked) = self.outbox.park(&name, parked, limit) {
            return self.refuse(&name, parked.asker, Refusal::Busy, parts);
        }
        if is_end {
            self.take_out(&name, KeyState::Revoked { by, at_ms: now.unix_ms }, parts);
        }
    }

    pub(super) fn unpark(&mut self, name: &KeyName, now: Now, parts: &mut KeyParts<'_>) {
        let mut queue = self.outbox.take_parked(name);
        while !self.outbox.is_writing(name) {
            let Some(parked) = queue.pop_front() else { return };
            self.begin_command(parked, now, parts);
        }
        self.outbox.park_again(name, queue);
    }

    fn begin_command(
        &mut self,
        ParkedKeyCommand { command, asker }: ParkedKeyCommand,
        now: Now,
        parts: &mut KeyParts<'_>,
    ) {
        let name = command.name().clone();
        let refused = match command {
            KeyCommand::Create(_) | KeyCommand::Rotate { .. } if let Some(why) = parts.store.unreachable => {
                Err(Refusal::StoreFailed(why.to_string()))
            }
            KeyCommand::Create(key) => self.begin_creation(Arc::new(*key), &asker, now, parts).map_err(Refusal::Key),
            KeyCommand::Rotate { sha256, grace, .. } => {
                self.begin_rotation(&name, sha256, grace, &asker, now, parts).map_err(Refusal::Key)
            }
            KeyCommand::Revoke(_) => self.begin_revocation(&name, &asker, now, parts).map_err(Refusal::Key),
        };
        if let Err(refusal) = refused {
            self.refuse(&name, asker, refusal, parts);
        }
    }

    fn begin_creation(
        &mut self,
        key: Arc<RuntimeKey>,
        asker: &Asker,
        now: Now,
        parts: &mut KeyParts<'_>,
    ) -> Result<(), KeyRefusal> {
        let name = key.name();
        let taken = |holder: &str| KeyRefusal::Taken { what: format!("name \"{name}\""), holder: holder.to_owned() };
        if self.configured.contains_key(name) {
            return Err(taken("the configuration"));
        }
        match self.runtime.get(name).map(|entry| &entry.state) {
            None => {}
            Some(KeyState::Stays) => return Err(taken("a runtime key")),
            Some(KeyState::Revoked { .. }) => {
                return Err(taken("a runtime key that is revoked, which the store could not be told yet,"));
            }
            Some(KeyState::Expired) => return Err(taken("a runtime key that expired and is removed soon,")),
        }
        self.check_digest(key.spec.sha256)?;
        // What is being written counts, whatever it is: close to the bound that is near enough.
        if self.runtime.len() + self.outbox.subjects() >= MAX_KEYS {
            return Err(KeyRefusal::TooMany);
        }
        self.pending_digests.insert(key.spec.sha256, name.clone());
        let change = Change::PutKey(Arc::clone(&key));
        let audited = audit(AuditAction::CreateKey(Arc::clone(&key)), &asker.by, now.unix_ms);
        let premises = parts.store.when_shared(|| {
            vec![Premise::Absent(Record::Key(name.clone())), Premise::Absent(Record::Digest(key.spec.sha256))]
        });
        self.submit(KeyWrite::Create { key, asker: asker.clone() }, vec![change, audited], premises, parts);
        Ok(())
    }

    fn begin_rotation(
        &mut self,
        name: &KeyName,
        sha256: Sha256Digest,
        grace: Duration,
        asker: &Asker,
        now: Now,
        parts: &mut KeyParts<'_>,
    ) -> Result<(), KeyRefusal> {
        let unusable = self.not_there(name);
        let grace_ms = i64::try_from(grace.as_millis()).unwrap_or(i64::MAX);
        if self.configured.contains_key(name) {
            return Err(KeyRefusal::Configured(name.clone()));
        }
        let entry = self.runtime.get(name).filter(|entry| entry.state == KeyState::Stays).ok_or(unusable)?;
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
        self.pending_digests.insert(sha256, name.clone());
        let change = Change::PutKey(Arc::clone(&key));
        let audited = audit(AuditAction::RotateKey(Arc::clone(&key)), &asker.by, now.unix_ms);
        let premises = parts.store.when_shared(|| {
            vec![Premise::Unchanged(Record::Key(name.clone())), Premise::Absent(Record::Digest(sha256))]
        });
        self.submit(KeyWrite::Rotate { key, grace, asker: asker.clone() }, vec![change, audited], premises, parts);
        Ok(())
    }

    fn begin_revocation(
        &mut self,
        name: &KeyName,
        asker: &Asker,
        now: Now,
        parts: &mut KeyParts<'_>,
    ) -> Result<(), KeyRefusal> {
        let Some(key) = self.runtime.get(name).map(|entry| Arc::clone(&entry.key)) else {
            return Err(self.not_there(name));
        };
        self.take_out(name, KeyState::Revoked { by: asker.by.clone(), at_ms: now.unix_ms }, parts);
        self.begin_removal(vec![name.clone()], Some((asker.clone(), key)), now, parts);
        Ok(())
    }

    fn not_there(&self, name: &KeyName) -> KeyRefusal {
        if self.configured.contains_key(name) {
            KeyRefusal::Configured(name.clone())
        } else {
            KeyRefusal::Unknown(name.clone())
        }
    }

    fn check_digest(&self, sha256: Sha256Digest) -> Result<(), KeyRefusal> {
        let holder = self.configured_digests.get(&sha256).or_else(|| self.digests.get(&sha256));
        let holder = holder.or_else(|| self.pending_digests.get(&sha256)).or_else(|| self.ended_digests.get(&sha256));
        holder.map_or(Ok(()), |holder| {
            Err(KeyRefusal::Taken { what: "digest".to_owned(), holder: format!("the API key \"{holder}\"") })
        })
    }

    /// Asks the store to forget keys that are out of the table.
    pub(super) fn begin_removal(
        &mut self,
        names: Vec<KeyName>,
        asker: Option<(Asker, Arc<RuntimeKey>)>,
        now: Now,
        parts: &mut KeyParts<'_>,
    ) {
        names.iter().for_each(|name| {
            self.retry.remove(name);
        });
        // Each entry stands before its change: many of them go in several pieces.
        let by = asker.as_ref().map(|(asker, _)| (&asker.by, now.unix_ms));
        let change = |name: &KeyName| {
            let audited = by
                .map(|(by, at_ms)| audit(AuditAction::RevokeKey(name.clone()), by, at_ms))
                .or_else(|| self.audited_end(name));
            audited.into_iter().chain([Change::RemoveKey(name.clone())])
        };
        let changes = names.iter().flat_map(change).collect();
        // An operator's end is of the key by its name, however it was changed meanwhile.
        let is_by_time = asker.is_none();
        let unchanged = |name: &KeyName| Premise::Unchanged(Record::Key(name.clone()));
        let premises = parts.store.when_shared(|| names.iter().filter(|_| is_by_time).map(unchanged).collect());
        self.submit(KeyWrite::Remove { names, asker }, changes, premises, parts);
    }

    /// What the audit keeps of the end of a key, where an operator revoked it.
    fn audited_end(&self, name: &KeyName) -> Option<Change> {
        match &self.runtime.get(name)?.state {
            KeyState::Revoked { by, at_ms } => Some(audit(AuditAction::RevokeKey(name.clone()), by, *at_ms)),
            KeyState::Stays | KeyState::Expired => None,
        }
    }

    fn submit(&mut self, write: KeyWrite, changes: Vec<Change>, premises: Vec<Premise>, parts: &mut KeyParts<'_>) {
        let id = parts.write_ids.next();
        self.outbox.submit(id, write.names(), write);
        parts.effects.write(id, Write::new(changes, parts.store.seen, premises));
    }

    pub(in crate::registry) fn handle_write_done(&mut self, write: WriteId, now: Now, parts: &mut KeyParts<'_>) {
        let Some((write, names)) = self.outbox.finish(write) else { return };
        match write {
            KeyWrite::Create { key, asker } => {
                let report = KeyReport::Created { name: key.name().clone(), by: Some(asker.by.clone()) };
                self.pending_digests.remove(&key.spec.sha256);
                self.install(Arc::clone(&key), now, parts);
                self.answer(asker.caller, key, report, parts);
            }
            KeyWrite::Rotate { key, asker, .. } => {
                let report = KeyReport::Rotated { name: key.name().clone(), by: Some(asker.by.clone()) };
                self.pending_digests.remove(&key.spec.sha256);
                self.replace(&key, parts);
                self.answer(asker.caller, key, report, parts);
            }
            KeyWrite::Remove { names, asker } => {
                for name in names {
                    let forgotten = self.forget(&name, parts);
                    match (&asker, forgotten) {
                        (Some((asker, key)), forgotten) => {
                            let report = match &forgotten {
                                Some(KeyEntry { state: KeyState::Expired, .. }) => KeyReport::Expired(name),
                                _ => KeyReport::Revoked { name, by: Some(asker.by.clone()) },
                            };
                            let key = forgotten.map_or_else(|| Arc::clone(key), |entry| entry.key);
                            self.answer(asker.caller, key, report, parts);
                        }
                        (None, Some(KeyEntry { state: KeyState::Revoked { by, .. }, .. })) => {
                            parts.effects.report(Report::Key(KeyReport::Revoked { name, by: Some(by) }));
                        }
                        (None, Some(_)) => parts.effects.report(Report::Key(KeyReport::Expired(name))),
                        (None, None) => {}
                    }
                }
            }
        }
        names.iter().for_each(|name| self.unpark(name, now, parts));
        self.arm(now);
    }

    pub(in crate::registry) fn handle_write_failed(
        &mut self,
        write: WriteId,
        why: &str,
        now: Now,
        parts: &mut KeyParts<'_>,
    ) {
        let Some((write, names)) = self.outbox.finish(write) else { return };
        match write {
            KeyWrite::Create { key, asker } | KeyWrite::Rotate { key, asker, .. } => {
                self.pending_digests.remove(&key.spec.sha256);
                self.refuse(key.name(), asker, Refusal::StoreFailed(why.to_owned()), parts);
            }
            KeyWrite::Remove { names, asker } => {
                let why = why.to_owned();
                for name in &names {
                    self.retry_ended(name, now);
                }
                self.retry_at = Some(now.at + REMOVAL_RETRY);
                if let (Some((asker, _)), [name]) = (asker, names.as_slice()) {
                    let refusal = KeyRefusal::NotForgotten { name: name.clone(), why: why.clone() };
                    parts.effects.reply(asker.caller.reply, Err(refusal.into()));
                }
                parts.effects.report(Report::Key(KeyReport::RemovalFailed { names, why }));
            }
        }
        names.iter().for_each(|name| self.unpark(name, now, parts));
        self.arm(now);
    }

    pub(super) fn replace(&mut self, key: &Arc<RuntimeKey>, parts: &mut KeyParts<'_>) {
        let name = key.name();
        let Some(entry) = self.runtime.get_mut(name) else { return };
        let before = std::mem::replace(&mut entry.key, Arc::clone(key));
        self.release_digests(&before);
        self.claim_digests(key);
        self.evaluate(name, parts);
        self.publish(name, parts);
    }

    pub(super) fn answer(&mut self, caller: Caller, key: Arc<RuntimeKey>, report: KeyReport, parts: &mut KeyParts<'_>) {
        let is_configured = self.configured.contains_key(key.name());
        let answer = KeyAnswer { key, is_configured, generation: parts.publisher.generation() };
        parts.effects.report(Report::Key(report));
        parts.effects.reply(caller.reply, Ok(Answer::Key(answer)));
    }

    pub(super) fn refuse(&mut self, name: &KeyName, asker: Asker, refusal: Refusal, parts: &mut KeyParts<'_>) {
        let report = KeyReport::Refused { name: name.clone(), by: asker.by, refusal: refusal.clone() };
        parts.effects.report(Report::Key(report));
        parts.effects.reply(asker.caller.reply, Err(refusal));
    }
}
