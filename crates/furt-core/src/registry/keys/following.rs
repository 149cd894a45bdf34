//! What other gateways did to keys, and writes of this one that are outdated for it.

use std::sync::Arc;

use super::super::caller::{Asker, Caller};
use super::super::ids::WriteId;
use super::super::now::Now;
use super::super::refusal::Refusal;
use super::super::report::Report;
use super::command::KeyCommand;
use super::refusal::KeyRefusal;
use super::report::KeyReport;
use super::state::{KeyParts, KeyState, KeyWrite, Keys, ParkedKeyCommand};
use crate::model::{Actor, KeyName, RuntimeKey};

impl Keys {
    /// The store has these keys, new or replaced, and those no longer. A digest may have gone from one to another. `by`: the operator
    /// who asked for it here; `None`: another gateway took the command.
    pub(in crate::registry) fn follow(
        &mut self,
        put: &[Arc<RuntimeKey>],
        removed: &[KeyName],
        by: Option<&Actor>,
        now: Now,
        parts: &mut KeyParts<'_>,
    ) {
        for name in removed {
            self.follow_removal(name, by, now, parts);
        }
        let is_known = |key: &&Arc<RuntimeKey>| self.runtime.get(key.name()).is_some_and(|entry| entry.key == **key);
        let changed: Vec<_> = put.iter().filter(|key| !is_known(key)).collect();
        for key in &changed {
            if let Some(before) = self.runtime.get(key.name()).map(|entry| Arc::clone(&entry.key)) {
                self.withdraw(key.name(), parts);
                self.release_digests(&before);
            }
        }
        for key in changed {
            self.follow_put(key, by, now, parts);
        }
        self.end_due(now, parts);
    }

    fn follow_put(&mut self, key: &Arc<RuntimeKey>, by: Option<&Actor>, now: Now, parts: &mut KeyParts<'_>) {
        let name = key.name().clone();
        if self.runtime.get(&name).is_some_and(|entry| entry.key.created_ms != key.created_ms) {
            // Another key of that name.
            self.forget(&name, parts);
        }
        let by = by.cloned();
        let report = if let Some(entry) = self.runtime.get_mut(&name) {
            let before = std::mem::replace(&mut entry.key, Arc::clone(key));
            if before.spec.rate != key.spec.rate {
                // It begins to count anew.
                entry.live = Arc::default();
            }
            if entry.state == KeyState::Expired && !key.is_over(now.unix_ms) {
                // Its end was moved meanwhile.
                entry.state = KeyState::Stays;
                self.retry.remove(&name);
            }
            self.claim_digests(key);
            self.evaluate(&name, parts);
            self.publish(&name, parts);
            match before.spec.sha256 == key.spec.sha256 {
                true => KeyReport::Changed { name, by },
                false => KeyReport::Rotated { name, by },
            }
        } else {
            self.install(Arc::clone(key), now, parts);
            KeyReport::Created { name, by }
        };
        parts.effects.report(Report::Key(report));
    }

    fn follow_removal(&mut self, name: &KeyName, by: Option<&Actor>, now: Now, parts: &mut KeyParts<'_>) {
        if let Some(entry) = self.forget(name, parts) {
            let name = name.clone();
            parts.effects.report(Report::Key(match entry.key.is_over(now.unix_ms) {
                true => KeyReport::Expired(name),
                false => KeyReport::Revoked { name, by: by.cloned() },
            }));
        }
    }

    /// What a write relied on holds no longer: its command is judged again, before those that wait.
    pub(in crate::registry) fn handle_write_outdated(&mut self, write: WriteId, now: Now, parts: &mut KeyParts<'_>) {
        let Some((write, names)) = self.outbox.finish(write) else { return };
        match write {
            KeyWrite::Create { key, asker } => {
                self.pending_digests.remove(&key.spec.sha256);
                let report = KeyReport::Created { name: key.name().clone(), by: Some(asker.by.clone()) };
                if !self.is_done(&key, asker.caller, report, parts) {
                    self.judge_again(KeyCommand::Create(Box::new(RuntimeKey::clone(&key))), asker, now, parts);
                }
            }
            KeyWrite::Rotate { key, grace, asker } => {
                self.pending_digests.remove(&key.spec.sha256);
                let report = KeyReport::Rotated { name: key.name().clone(), by: Some(asker.by.clone()) };
                if !self.is_done(&key, asker.caller, report, parts) {
                    let (name, sha256) = (key.name().clone(), key.spec.sha256);
                    self.judge_again(KeyCommand::Rotate { name, sha256, grace }, asker, now, parts);
                }
            }
            KeyWrite::Remove { asker: Some((asker, key)), .. } => {
                if self.runtime.contains_key(key.name()) {
                    self.judge_again(KeyCommand::Revoke(key.name().clone()), asker, now, parts);
                } else {
                    // Someone else removed it.
                    let report = KeyReport::Revoked { name: key.name().clone(), by: Some(asker.by.clone()) };
                    self.answer(asker.caller, key, report, parts);
                }
            }
            KeyWrite::Remove { names, asker: None } => {
                names.iter().for_each(|name| self.retry_ended(name, now));
            }
        }
        names.iter().for_each(|name| self.unpark(name, now, parts));
        self.arm(now);
    }

    /// Whether the store has just this key: the write was stored, and that was not heard of as its outcome.
    fn is_done(&mut self, key: &Arc<RuntimeKey>, caller: Caller, report: KeyReport, parts: &mut KeyParts<'_>) -> bool {
        let is_done = self.runtime.get(key.name()).is_some_and(|entry| entry.key == *key);
        if is_done {
            self.answer(caller, Arc::clone(key), report, parts);
        }
        is_done
    }

    fn judge_again(&mut self, command: KeyCommand, asker: Asker, now: Now, parts: &mut KeyParts<'_>) {
        let name = command.name().clone();
        match (asker.again(), command) {
            (Some(asker), command) => {
                self.outbox.park_first(&name, ParkedKeyCommand { command, asker });
            }
            // It is refused all the same, and the store is told again.
            (None, KeyCommand::Revoke(_)) => {
                self.retry_ended(&name, now);
                let why = Refusal::Busy.to_string();
                self.refuse(&name, asker, KeyRefusal::NotForgotten { name: name.clone(), why }.into(), parts);
            }
            (None, _) => self.refuse(&name, asker, Refusal::Busy, parts),
        }
    }
}
