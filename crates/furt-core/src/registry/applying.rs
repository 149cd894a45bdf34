//! What a file says is put in force, all of it in one write or none: grants, API keys, maintenance, splits.
//!
//! It takes two events, as all that is durable. What it is about is in no other write meanwhile, and commands about that wait. What it
//! takes away is in force until the store has it, unlike what a command takes away.

use std::sync::Arc;

use super::answer::Answer;
use super::applies::{ApplyAnswer, ApplyCommand, MAX_SHARED, MAX_SHARED_BYTES, MAX_WAITING, Subjects, WaitingApply};
use super::caller::Asker;
use super::differences::{Difference, differences};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::WriteId;
use super::now::Now;
use super::refusal::Refusal;
use super::write::{Premise, Record, Write};

impl Registry {
    pub(super) fn handle_apply(&mut self, command: ApplyCommand, asker: Asker, now: Now, effects: &mut Effects) {
        if let Err(refusal) = self.begin_apply(command, &asker, now, effects) {
            effects.reply(asker.caller.reply, Err(refusal));
        }
    }

    fn begin_apply(
        &mut self,
        command: ApplyCommand,
        asker: &Asker,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refusal> {
        let snapshot = self.publisher.snapshot();
        if command.seen.is_some_and(|seen| snapshot.operated > seen) {
            return Err(Refusal::ChangedSince);
        }
        let steps = differences(snapshot, &command.desired, &asker.by, now.unix_ms)?;
        let count = steps.iter().map(Vec::len).sum();
        let differences = match self.settings.sharing.is_shared() {
            true => first_part(steps),
            false => steps.into_iter().flatten().collect(),
        };
        let left = count - differences.len();
        if left > 0 && (differences.is_empty() || !command.in_parts) {
            return Err(Refusal::TooManyDifferences { count, most: MAX_SHARED });
        }
        if differences.is_empty() {
            let generation = self.publisher.generation();
            effects.reply(asker.caller.reply, Ok(Answer::Applied(ApplyAnswer { done: differences, left, generation })));
            return Ok(());
        }
        if let Some(refusal) = self.store_refusal() {
            return Err(refusal);
        }
        let subjects = Subjects::of(&differences);
        self.keys.check_ended(&subjects.keys, &subjects.put_keys)?;
        if self.applies.len() >= MAX_WAITING || !self.are_free(&subjects) {
            return Err(Refusal::Busy);
        }
        let premises = self.premises_of_apply(&subjects);
        let changes = differences.iter().flat_map(|one| one.changes(&asker.by, now.unix_ms)).collect();
        let id = self.write_ids.next();
        self.hold(id, subjects);
        self.applies.insert(id, WaitingApply { command, asker: asker.clone(), differences, left });
        effects.write(id, Write { is_whole: true, ..Write::new(changes, self.revision, premises) });
        Ok(())
    }

    /// Whether no write is about any of them.
    fn are_free(&self, subjects: &Subjects) -> bool {
        let Subjects { grants, keys, put_keys, maintenance, splits } = subjects;
        !grants.iter().any(|service| self.grants.outbox.is_writing(service))
            && !maintenance.iter().any(|scope| self.maintenances.outbox.is_writing(scope))
            && !splits.iter().any(|service| self.splits.outbox.is_writing(service))
            && self.keys.are_free(keys, put_keys)
    }

    fn premises_of_apply(&self, subjects: &Subjects) -> Vec<Premise> {
        if !self.settings.sharing.is_shared() {
            return Vec::new();
        }
        let Subjects { grants, keys, put_keys, maintenance, splits } = subjects;
        let grants = grants.iter().flat_map(|service| self.premises_of_grant(service));
        let maintenance = maintenance.iter().flat_map(|scope| self.premises_of_maintenance(scope));
        let splits = splits.iter().flat_map(|service| self.premises_of_split(service));
        let keys = keys.iter().map(|name| {
            let record = Record::Key(name.clone());
            if self.keys.is_stored(name) { Premise::Unchanged(record) } else { Premise::Absent(record) }
        });
        let digests = (!put_keys.is_empty()).then_some(Premise::NoNewDigests);
        grants.chain(maintenance).chain(splits).chain(keys).chain(digests).collect()
    }

    fn hold(&mut self, id: WriteId, subjects: Subjects) {
        let Subjects { grants, keys, put_keys, maintenance, splits } = subjects;
        self.grants.outbox.hold(id, grants);
        self.maintenances.outbox.hold(id, maintenance);
        self.splits.outbox.hold(id, splits);
        self.keys.hold(id, keys, put_keys);
    }

    /// The store has it.
    pub(super) fn finish_apply(&mut self, id: WriteId, waiting: WaitingApply, now: Now, effects: &mut Effects) {
        let WaitingApply { command: _, asker, differences, left } = waiting;
        let by = Some(&asker.by);
        let (mut put_keys, mut removed_keys) = (Vec::new(), Vec::new());
        let mut grants = Vec::new();
        for difference in &differences {
            match difference {
                Difference::Grant { service, after, .. } => grants.push((service.clone(), after.clone())),
                Difference::Key { after: Some(key), .. } => put_keys.push(Arc::clone(key)),
                Difference::Key { name, after: None, .. } => removed_keys.push(name.clone()),
                Difference::Maintenance { scope, after: Some(one), .. } => self.put_maintenance(scope, one, effects),
                Difference::Maintenance { scope, after: None, .. } => {
                    self.remove_maintenance(scope, Some(asker.by.clone()), now, effects);
                }
                Difference::Split { service, after: Some(split), .. } => self.put_split(service, split, effects),
                Difference::Split { service, after: None, .. } => {
                    self.remove_split(service, Some(asker.by.clone()), effects);
                }
            }
        }
        self.take_over_grants(&grants, by, now, effects);
        let (keys, mut parts) = self.keys(effects);
        keys.follow(&put_keys, &removed_keys, by, now, &mut parts);
        self.maintenances.arm(now);
        let generation = self.publisher.generation();
        let answer = ApplyAnswer { done: differences, left, generation };
        effects.reply(asker.caller.reply, Ok(Answer::Applied(answer)));
        self.let_go(id, now, effects, |_, _| {});
    }

    /// The store does not have it.
    pub(super) fn fail_apply(
        &mut self,
        id: WriteId,
        waiting: &WaitingApply,
        why: &str,
        now: Now,
        effects: &mut Effects,
    ) {
        effects.reply(waiting.asker.caller.reply, Err(Refusal::StoreFailed(why.to_owned())));
        self.let_go(id, now, effects, |_, _| {});
    }

    /// Others changed something of it meanwhile.
    pub(super) fn rejudge_apply(&mut self, id: WriteId, waiting: WaitingApply, now: Now, effects: &mut Effects) {
        let WaitingApply { command, asker, .. } = waiting;
        let reply = asker.caller.reply;
        match asker.again() {
            Some(asker) => {
                self.let_go(id, now, effects, |registry, effects| {
                    registry.handle_apply(command, asker, now, effects);
                });
            }
            None => {
                effects.reply(reply, Err(Refusal::Busy));
                self.let_go(id, now, effects, |_, _| {});
            }
        }
    }

    /// Lets go of all that a write was about, and of the commands that waited for it after what is done `first`.
    fn let_go(&mut self, id: WriteId, now: Now, effects: &mut Effects, first: impl FnOnce(&mut Self, &mut Effects)) {
        let grants = self.grants.outbox.release(id);
        let maintenance = self.maintenances.outbox.release(id);
        let splits = self.splits.outbox.release(id);
        let names = self.keys.release(id);
        first(self, effects);
        grants.iter().for_each(|service| self.unpark_grant(service, now, effects));
        maintenance.iter().for_each(|scope| self.unpark_maintenance(scope, now, effects));
        splits.iter().for_each(|service| self.unpark_split(service, now, effects));
        let (keys, mut parts) = self.keys(effects);
        keys.unpark_all(&names, now, &mut parts);
    }
}

/// As many steps as one transaction of a shared store takes.
fn first_part(steps: Vec<Vec<Difference>>) -> Vec<Difference> {
    let (mut part, mut bytes) = (Vec::new(), 0);
    for step in steps {
        bytes += step.iter().map(Difference::size).sum::<usize>();
        if part.len() + step.len() > MAX_SHARED || bytes > MAX_SHARED_BYTES {
            break;
        }
        part.extend(step);
    }
    part
}
