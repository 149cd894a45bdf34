//! Grants are made and removed at run time, by commands of operators and by what other gateways did.
//!
//! As all that is durable a command takes two events. Of two at once the later one counts: it is judged again by what the earlier one
//! left. What is registered under the name is evaluated anew: what is beyond the grant is kept, and not routed.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answer::Answer;
use super::audits::audit;
use super::caller::{Asker, Caller};
use super::change::Change;
use super::dispatch::Registry;
use super::effects::Effects;
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use super::runtime_grants::{GrantAnswer, GrantCommand, GrantReport, GrantWrite, MAX_PARKED, ParkedGrant};
use super::write::Write;
use crate::model::{Actor, AuditAction, Grant, RuntimeGrant, ServiceName};

impl Registry {
    pub(super) fn handle_grant(&mut self, command: GrantCommand, asker: Asker, now: Now, effects: &mut Effects) {
        let service = command.service().clone();
        let parked = ParkedGrant { command, asker };
        if !self.grants.outbox.is_writing(&service) {
            self.begin_grant_command(parked, now, effects);
        } else if let Err(parked) = self.grants.outbox.park(&service, parked, MAX_PARKED) {
            refuse(parked, Refusal::Busy, effects);
        }
    }

    fn begin_grant_command(&mut self, parked: ParkedGrant, now: Now, effects: &mut Effects) {
        let service = parked.command.service().clone();
        if let Some(refusal) = self.store_refusal() {
            return refuse(parked, refusal, effects);
        }
        let (grant, change, action) = match &parked.command {
            GrantCommand::Set(_, grant) => {
                if self.grants.is_configured(&service) {
                    return refuse(parked, Refusal::ConfiguredGrant(service), effects);
                }
                if !self.grants.has_room_for(&service) {
                    return refuse(parked, Refusal::TooManyGrants, effects);
                }
                let by = parked.asker.by.clone();
                let grant = Arc::new(RuntimeGrant { grant: Arc::clone(grant), by, set_ms: now.unix_ms });
                let change = Change::PutGrant(service.clone(), Arc::clone(&grant));
                // Nothing is stored that a start would not read again.
                if let Err(why) = change.check() {
                    return refuse(parked, Refusal::Invalid(why), effects);
                }
                let (before, after) = (self.grants.get(&service).map(Arc::clone), Arc::clone(&grant));
                (grant, change, AuditAction::SetGrant { service: service.clone(), before, after })
            }
            GrantCommand::Remove(_) => {
                let Some(grant) = self.grants.get(&service).map(Arc::clone) else {
                    let refusal = match self.grants.is_configured(&service) {
                        true => Refusal::ConfiguredGrant(service),
                        false => Refusal::NoGrant(service),
                    };
                    return refuse(parked, refusal, effects);
                };
                let before = Arc::clone(&grant);
                let action = AuditAction::RemoveGrant { service: service.clone(), before };
                (grant, Change::RemoveGrant(service.clone()), action)
            }
        };
        let changes = vec![change, audit(action, &parked.asker.by, now.unix_ms)];
        let id = self.write_ids.next();
        let premises = self.premises_of_grant(&service);
        self.grants.outbox.submit(id, vec![service], GrantWrite { parked, grant });
        effects.write(id, Write::new(changes, self.revision, premises));
    }

    pub(super) fn unpark_grant(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        let mut queue = self.grants.outbox.take_parked(service);
        while !self.grants.outbox.is_writing(service) {
            let Some(parked) = queue.pop_front() else { break };
            self.begin_grant_command(parked, now, effects);
        }
        self.grants.outbox.park_again(service, queue);
    }

    /// The store has it.
    pub(super) fn finish_grant(&mut self, write: GrantWrite, service: &ServiceName, now: Now, effects: &mut Effects) {
        let GrantWrite { parked: ParkedGrant { command, asker }, grant } = write;
        match command {
            GrantCommand::Set(..) => self.put_grant(service, &grant, now, effects),
            GrantCommand::Remove(_) => self.remove_grant(service, Some(&asker.by), now, effects),
        }
        self.answer_grant(service, asker.caller, grant, effects);
        self.unpark_grant(service, now, effects);
    }

    /// The store does not have it.
    pub(super) fn fail_grant(
        &mut self,
        write: GrantWrite,
        service: &ServiceName,
        why: &str,
        now: Now,
        effects: &mut Effects,
    ) {
        refuse(write.parked, Refusal::StoreFailed(why.to_owned()), effects);
        self.unpark_grant(service, now, effects);
    }

    /// Others changed it meanwhile.
    pub(super) fn rejudge_grant(&mut self, write: GrantWrite, service: &ServiceName, now: Now, effects: &mut Effects) {
        let GrantWrite { parked, grant } = write;
        let is_done = match parked.command {
            // It was stored, and that was not heard of as its outcome.
            GrantCommand::Set(..) => self.grants.get(service) == Some(&grant),
            // Someone else removed it.
            GrantCommand::Remove(_) => self.grants.get(service).is_none(),
        };
        if is_done {
            self.answer_grant(service, parked.asker.caller, grant, effects);
        } else if let Some(asker) = parked.asker.again() {
            self.grants.outbox.park_first(service, ParkedGrant { asker, ..parked });
        } else {
            refuse(parked, Refusal::Busy, effects);
        }
        self.unpark_grant(service, now, effects);
    }

    /// Takes over what a store had, before any service is evaluated.
    pub(super) fn restore_grants(&mut self, all: impl IntoIterator<Item = (ServiceName, Arc<RuntimeGrant>)>) {
        for (service, grant) in all {
            self.grants.put(&service, grant);
            self.show_grant(&service);
        }
    }

    /// The grants of the configuration from now on; they are evaluated by whoever asks for that.
    pub(super) fn configure_grants(&mut self) {
        let configured = std::mem::take(&mut self.settings.policy.grants);
        self.settings.policy.grants = self.grants.configure(configured);
        self.publisher.set_grants(&self.settings.policy.grants);
    }

    fn put_grant(&mut self, service: &ServiceName, grant: &Arc<RuntimeGrant>, now: Now, effects: &mut Effects) {
        self.take_over_grants(&[(service.clone(), Some(Arc::clone(grant)))], None, now, effects);
    }

    fn remove_grant(&mut self, service: &ServiceName, by: Option<&Actor>, now: Now, effects: &mut Effects) {
        self.take_over_grants(&[(service.clone(), None)], by, now, effects);
    }

    /// Puts grants in force, new ones and others, and what is gone (`None`). Services are evaluated by what they are granted then; what
    /// they give up is free for others that wait for it. `by`: who asked for the end of one.
    pub(super) fn take_over_grants(
        &mut self,
        grants: &[(ServiceName, Option<Arc<RuntimeGrant>>)],
        by: Option<&Actor>,
        now: Now,
        effects: &mut Effects,
    ) {
        let mut concerned = Vec::new();
        for (service, grant) in grants {
            let report = match grant {
                // A comparison tells what is known as well, and so does the store of what was followed.
                Some(grant) if self.grants.get(service) == Some(grant) => continue,
                Some(grant) => {
                    self.grants.put(service, Arc::clone(grant));
                    GrantReport::Set { service: service.clone(), grant: Arc::clone(grant) }
                }
                None if self.grants.remove(service) => {
                    GrantReport::Removed { service: service.clone(), by: by.cloned() }
                }
                None => continue,
            };
            effects.report(Report::Grant(report));
            let before = self.settings.policy.grants.get(service).map(Arc::clone);
            self.show_grant(service);
            self.publisher.advance();
            if before.as_deref() != self.settings.policy.grants.get(service).map(|grant| &**grant) {
                concerned.push(service);
            }
        }
        if concerned.is_empty() {
            return;
        }
        concerned.iter().for_each(|service| self.re_evaluate(service, effects));
        self.reinstate(effects);
        concerned.iter().for_each(|service| self.refresh(service, now, effects));
        self.publisher.advance();
    }

    /// Puts what a service is granted now where it is looked for.
    fn show_grant(&mut self, service: &ServiceName) {
        let in_force: Option<Arc<Grant>> = self.grants.in_force(service);
        self.publisher.set_grant(service, self.grants.get(service), in_force.as_ref());
        let all: &mut BTreeMap<_, _> = &mut self.settings.policy.grants;
        match in_force {
            Some(grant) => all.insert(service.clone(), grant),
            None => all.remove(service),
        };
    }

    fn answer_grant(&self, service: &ServiceName, caller: Caller, grant: Arc<RuntimeGrant>, effects: &mut Effects) {
        let generation = self.publisher.generation();
        let suspended = self.directory.service(service).and_then(|entry| entry.eligibility().suspension().cloned());
        effects.reply(caller.reply, Ok(Answer::Grant(GrantAnswer { grant, suspended, generation })));
    }
}

fn refuse(ParkedGrant { command, asker }: ParkedGrant, refusal: Refusal, effects: &mut Effects) {
    let service = command.service().clone();
    effects.report(Report::Grant(GrantReport::Refused { service, by: asker.by, refusal: refusal.clone() }));
    effects.reply(asker.caller.reply, Err(refusal));
}
