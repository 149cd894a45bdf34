//! Splits are set and removed, by commands of operators and by what other gateways did.
//!
//! As all that is durable a command takes two events. Of two at once the later one counts: it is judged again by what the earlier one
//! left.

use std::sync::Arc;

use super::answer::Answer;
use super::audits::audit;
use super::caller::{Asker, Caller};
use super::change::Change;
use super::command::Registration;
use super::dispatch::Registry;
use super::effects::Effects;
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use super::splits::{MAX_PARKED, ParkedSplit, SplitAnswer, SplitCommand, SplitReport, SplitWrite};
use super::write::Write;
use crate::model::{Actor, AuditAction, InstanceSpec, ServiceName, Split};

impl Registry {
    pub(super) fn handle_split(&mut self, command: SplitCommand, asker: Asker, now: Now, effects: &mut Effects) {
        let service = command.service().clone();
        let parked = ParkedSplit { command, asker };
        if !self.splits.outbox.is_writing(&service) {
            self.begin_split_command(parked, now, effects);
        } else if let Err(parked) = self.splits.outbox.park(&service, parked, MAX_PARKED) {
            refuse(parked, Refusal::Busy, effects);
        }
    }

    fn begin_split_command(&mut self, parked: ParkedSplit, now: Now, effects: &mut Effects) {
        let service = parked.command.service().clone();
        if let Some(refusal) = self.store_refusal() {
            return refuse(parked, refusal, effects);
        }
        let (split, change, action) = match &parked.command {
            SplitCommand::Set(_, spec) => {
                if !self.splits.has_room_for(&service) {
                    return refuse(parked, Refusal::TooManySplits, effects);
                }
                let split = Arc::new(Split { spec: spec.clone(), by: parked.asker.by.clone(), set_ms: now.unix_ms });
                let change = Change::PutSplit(service.clone(), Arc::clone(&split));
                // Nothing is stored that a start would not read again.
                if let Err(why) = change.check() {
                    return refuse(parked, Refusal::Invalid(why), effects);
                }
                let (before, after) = (self.splits.get(&service).map(Arc::clone), Arc::clone(&split));
                (split, change, AuditAction::SetSplit { service: service.clone(), before, after })
            }
            SplitCommand::Remove(_) => {
                let Some(split) = self.splits.get(&service).map(Arc::clone) else {
                    return refuse(parked, Refusal::NoSplit(service), effects);
                };
                let before = Arc::clone(&split);
                let action = AuditAction::RemoveSplit { service: service.clone(), before };
                (split, Change::RemoveSplit(service.clone()), action)
            }
        };
        let changes = vec![change, audit(action, &parked.asker.by, now.unix_ms)];
        let id = self.write_ids.next();
        let premises = self.premises_of_split(&service);
        self.splits.outbox.submit(id, vec![service], SplitWrite { parked, split });
        effects.write(id, Write::new(changes, self.revision, premises));
    }

    pub(super) fn unpark_split(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        let mut queue = self.splits.outbox.take_parked(service);
        while !self.splits.outbox.is_writing(service) {
            let Some(parked) = queue.pop_front() else { break };
            self.begin_split_command(parked, now, effects);
        }
        self.splits.outbox.park_again(service, queue);
    }

    /// The store has it.
    pub(super) fn finish_split(&mut self, write: SplitWrite, service: &ServiceName, now: Now, effects: &mut Effects) {
        let SplitWrite { parked: ParkedSplit { command, asker }, split } = write;
        match command {
            SplitCommand::Set(..) => self.put_split(service, &split, effects),
            SplitCommand::Remove(_) => self.remove_split(service, Some(asker.by), effects),
        }
        self.answer_split(asker.caller, split, effects);
        self.unpark_split(service, now, effects);
    }

    /// The store does not have it.
    pub(super) fn fail_split(
        &mut self,
        write: SplitWrite,
        service: &ServiceName,
        why: &str,
        now: Now,
        effects: &mut Effects,
    ) {
        refuse(write.parked, Refusal::StoreFailed(why.to_owned()), effects);
        self.unpark_split(service, now, effects);
    }

    /// Others changed it meanwhile.
    pub(super) fn rejudge_split(&mut self, write: SplitWrite, service: &ServiceName, now: Now, effects: &mut Effects) {
        let SplitWrite { parked, split } = write;
        let is_done = match parked.command {
            // It was stored, and that was not heard of as its outcome.
            SplitCommand::Set(..) => self.splits.get(service) == Some(&split),
            // Someone else removed it.
            SplitCommand::Remove(_) => self.splits.get(service).is_none(),
        };
        if is_done {
            self.answer_split(parked.asker.caller, split, effects);
        } else if let Some(asker) = parked.asker.again() {
            self.splits.outbox.park_first(service, ParkedSplit { asker, ..parked });
        } else {
            refuse(parked, Refusal::Busy, effects);
        }
        self.unpark_split(service, now, effects);
    }

    /// Another gateway set it, or removed it (`None`).
    pub(super) fn follow_split(&mut self, service: &ServiceName, split: Option<&Arc<Split>>, effects: &mut Effects) {
        match split {
            Some(split) => self.put_split(service, split, effects),
            None => self.remove_split(service, None, effects),
        }
    }

    /// Takes over what a store had.
    pub(super) fn restore_splits(&mut self, all: impl IntoIterator<Item = (ServiceName, Arc<Split>)>) {
        for (service, split) in all {
            self.publisher.set_split(&service, Some(&split));
            self.splits.put(&service, split);
        }
    }

    /// Whether an instance joins its service as one of the versions that a split names.
    pub(super) fn is_canary(&self, service: &ServiceName, instance: &InstanceSpec) -> bool {
        let split = self.splits.get(service);
        split.is_some_and(|split| split.spec.names(instance.version.as_ref()))
    }

    /// Whether that keeps what its registration says of the service from being installed.
    pub(super) fn joins_as_canary(&self, command: &Registration) -> bool {
        let service = &command.definition.service;
        let installed = self.directory.service(service);
        installed.is_some_and(|installed| **installed.definition() != command.definition)
            && self.is_canary(service, &command.instance)
    }

    pub(super) fn put_split(&mut self, service: &ServiceName, split: &Arc<Split>, effects: &mut Effects) {
        // A comparison tells what is known as well, and so does the store of what was followed.
        if self.splits.get(service) == Some(split) {
            return;
        }
        self.splits.put(service, Arc::clone(split));
        self.publisher.set_split(service, Some(split));
        self.publisher.advance();
        effects.report(Report::Split(SplitReport::Set { service: service.clone(), split: Arc::clone(split) }));
    }

    pub(super) fn remove_split(&mut self, service: &ServiceName, by: Option<Actor>, effects: &mut Effects) {
        if self.splits.remove(service) {
            self.publisher.set_split(service, None);
            self.publisher.advance();
            effects.report(Report::Split(SplitReport::Removed { service: service.clone(), by }));
        }
    }

    fn answer_split(&self, caller: Caller, split: Arc<Split>, effects: &mut Effects) {
        let generation = self.publisher.generation();
        effects.reply(caller.reply, Ok(Answer::Split(SplitAnswer { split, generation })));
    }
}

fn refuse(ParkedSplit { command, asker }: ParkedSplit, refusal: Refusal, effects: &mut Effects) {
    let service = command.service().clone();
    effects.report(Report::Split(SplitReport::Refused { service, by: asker.by, refusal: refusal.clone() }));
    effects.reply(asker.caller.reply, Err(refusal));
}
