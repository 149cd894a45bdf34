//! Draining by a command: the instances stay registered and probed, and get no new requests until the drain ends.
//!
//! What ends it is said when it begins: any registration, one of another incarnation, or nothing but the command to undo it.
//! The latter two are an operator's to begin and to undo. The last one holds the id and outlives the instance (`holds`).
//!
//! A command is about an instance, or about all that a service has then: one that registers later is asked as any other. As
//! all that is durable it takes two events. Who may is who may deregister. The mark itself is with the counters that
//! requests share (`routing::draining`); what is being removed has it too, so that no request of an older snapshot comes late.

use std::sync::Arc;

use super::answer::{Answer, Canary};
use super::audits::audit;
use super::caller::Caller;
use super::change::Change;
use super::command::{Drain, DrainCommand, Registration};
use super::directory::InstanceEntry;
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::InstanceRef;
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use super::service_write::{DrainChange, ServiceCommand, ServiceWrite};
use crate::model::{Actor, AuditAction, DrainMark, DrainUntil, Incarnation, InstanceId, Role};
use crate::routing::InstanceLive;

impl Registry {
    pub(super) fn handle_drain(&mut self, command: Box<DrainCommand>, caller: Caller, now: Now, effects: &mut Effects) {
        let service = command.service.clone();
        if self.outbox.is_writing(&service) {
            return self.park(ServiceCommand::Drain(command), caller, effects);
        }
        if let Err(refusal) = self.check_drain(&command) {
            effects.reply_to_command(caller.reply, &service, &command.source, Err(refusal));
            return;
        }
        let drains = self.drain_changes(&command, now);
        if drains.is_empty() {
            let answer = self.drained(&command, &drains);
            effects.reply(caller.reply, Ok(answer));
            return;
        }
        if let Some(refusal) =
            self.store_refusal().or_else(|| self.lapse_refusal(self.directory.drain_targets(&command)))
        {
            return effects.reply_to_command(caller.reply, &service, &command.source, Err(refusal));
        }
        // The entry goes first: where many instances go in several pieces, it is with the first one.
        let changes = drains.iter().flat_map(|change| stored(&command, change));
        let changes = self.audited_drain(&command, &drains, now).into_iter().chain(changes).collect();
        let premises = self.premises_of_drain(&command, &drains);
        self.submit(&service, ServiceWrite::Drain { command, drains, caller }, changes, premises, effects);
    }

    /// Whether the caller may begin or end these drains.
    ///
    /// # Errors
    /// Why it may not.
    fn check_drain(&self, command: &DrainCommand) -> Result<(), Refusal> {
        let DrainCommand { service, instance, drain, incarnation, source } = command;
        let ends_hold = *drain == Drain::Ends && self.holds.of(command).next().is_some();
        match self.check_deregistration(service, instance.as_ref(), source) {
            // An id is held also while nobody is registered under it.
            Err(Refusal::NotFound(_)) if ends_hold => {}
            outcome => outcome?,
        }
        if let Some(id) = instance {
            let instance = InstanceRef { service: service.clone(), id: id.clone() };
            self.check_incarnation(&instance, incarnation.as_ref())?;
        }
        let is_operators = |mark: &Arc<DrainMark>| mark.until > DrainUntil::Registration;
        let needs_operator = match drain {
            Drain::Begins(until) => *until > DrainUntil::Registration,
            Drain::Ends => {
                ends_hold || self.directory.drain_targets(command).filter_map(InstanceEntry::drain).any(is_operators)
            }
        };
        if needs_operator && !source.may(Role::Operate) {
            return Err(Refusal::OperatorsOnly);
        }
        Ok(())
    }

    /// What a command changes. A drain that holds longer than the one that is asked for stays as it is.
    fn drain_changes(&self, command: &DrainCommand, now: Now) -> Vec<DrainChange> {
        let targets = self.directory.drain_targets(command);
        let change = |installed: &InstanceEntry, mark: Option<DrainMark>| DrainChange {
            id: installed.spec().id.clone(),
            before: installed.drain().map(|mark| mark.until),
            mark: mark.map(Arc::new),
        };
        match command.drain {
            Drain::Begins(until) => {
                let holds_less = |installed: &&InstanceEntry| installed.drain().is_none_or(|mark| mark.until < until);
                let mark = |installed: &InstanceEntry| DrainMark {
                    until,
                    by: Some(command.source.actor()),
                    began_ms: Some(now.unix_ms),
                    incarnation: installed.spec().incarnation.clone(),
                };
                targets.filter(holds_less).map(|installed| change(installed, Some(mark(installed)))).collect()
            }
            Drain::Ends => {
                let draining = targets.filter(|installed| installed.drain().is_some());
                let absent = self.holds.of(command).filter(|held| self.directory.installed(held).is_err());
                let absent =
                    absent.map(|held| DrainChange { id: held.id.clone(), before: Some(DrainUntil::Undo), mark: None });
                draining.map(|installed| change(installed, None)).chain(absent).collect()
            }
        }
    }

    /// What the audit keeps of it, where an operator did it.
    fn audited_drain(&self, command: &DrainCommand, drains: &[DrainChange], now: Now) -> Option<Change> {
        let DrainCommand { service, instance, drain, source, .. } = command;
        let needs_operator = match drain {
            Drain::Begins(until) => *until > DrainUntil::Registration,
            Drain::Ends => drains.iter().any(|change| change.before > Some(DrainUntil::Registration)),
        };
        let from = self.directory.registered_from(service, instance.as_ref()).ok().filter(|_| !needs_operator);
        if !self.settings.policy.is_operators(service, from, source) {
            return None;
        }
        let (service, instances) = (service.clone(), drains.iter().map(|change| change.id.clone()).collect());
        let action = match *drain {
            Drain::Begins(until) => AuditAction::BeginDrain { service, instances, until },
            Drain::Ends => AuditAction::EndDrain { service, instances },
        };
        Some(audit(action, &source.actor(), now.unix_ms))
    }

    fn drained(&self, command: &DrainCommand, changed: &[DrainChange]) -> Answer {
        let is_changed = |installed: &&InstanceEntry| changed.iter().any(|one| one.id == installed.spec().id);
        let targets = || self.directory.drain_targets(command);
        let lives = |installed: &InstanceEntry| Arc::clone(installed.live());
        let instances = match command.drain {
            Drain::Begins(_) => targets().map(lives).collect(),
            Drain::Ends => {
                let ended: Vec<_> = targets().filter(is_changed).map(lives).collect();
                // An id without an instance has nothing in flight.
                let absent = changed.len().saturating_sub(ended.len());
                ended.into_iter().chain((0..absent).map(|_| Arc::<InstanceLive>::default())).collect()
            }
        };
        Answer::Drained { instances, generation: self.publisher.generation() }
    }

    /// The store has it: from here on no request takes a slot, whichever snapshot it reads.
    pub(super) fn finish_drain(
        &mut self,
        command: &DrainCommand,
        drains: Vec<DrainChange>,
        caller: Caller,
        effects: &mut Effects,
    ) {
        for DrainChange { id, mark, .. } in &drains {
            let instance = InstanceRef { service: command.service.clone(), id: id.clone() };
            self.mark(&instance, mark.clone(), Some(command.source.actor()), effects);
        }
        self.publisher.advance();
        let answer = self.drained(command, &drains);
        effects.reply(caller.reply, Ok(answer));
    }

    pub(super) fn mark(
        &mut self,
        instance: &InstanceRef,
        mark: Option<Arc<DrainMark>>,
        by: Option<Actor>,
        effects: &mut Effects,
    ) {
        let until = mark.as_ref().map(|mark| mark.until);
        let hold = mark.clone().filter(|mark| mark.until == DrainUntil::Undo);
        let is_hold_changed = self.holds.set(instance, hold);
        if is_hold_changed {
            self.publisher.set_held(&self.holds);
        }
        match self.directory.instance_mut(instance) {
            Some(installed) => {
                let begins = mark.is_some() && self.settings.sharing.is_shared();
                installed.set_drain(mark);
                if begins {
                    effects.departs(instance, installed.live());
                }
            }
            None if is_hold_changed => {}
            None => return,
        }
        let instance = instance.clone();
        effects.report(match until {
            Some(until) => Report::DrainBegan { instance, by, until },
            None => Report::DrainEnded { instance, by },
        });
    }

    /// The drain of an id once an instance of this incarnation is registered under it.
    /// One that it replaces at its url may be the same process under another id: that ends no drain until the restart.
    pub(super) fn drain_after(
        &self,
        instance: &InstanceRef,
        incarnation: Option<&Incarnation>,
        replaces: &[InstanceId],
    ) -> Option<&Arc<DrainMark>> {
        let of = |instance: &InstanceRef| self.directory.instance(instance)?.drain();
        let stays = |mark: &&Arc<DrainMark>| mark.until != DrainUntil::Undo && !mark.ends_with(incarnation);
        let replaced = || {
            let service = &instance.service;
            let ids = replaces.iter().map(|id| InstanceRef { service: service.clone(), id: id.clone() });
            ids.into_iter().filter_map(|one| of(&one)).find(stays)
        };
        self.holds.get(instance).or_else(|| of(instance).filter(stays)).or_else(replaced)
    }

    /// An instance that is draining registers just so: that ends the drain, and nothing else of it changes.
    pub(super) fn begin_return(&mut self, command: Box<Registration>, caller: Caller, now: Now, effects: &mut Effects) {
        let service = command.definition.service.clone();
        let instance = InstanceRef { service: service.clone(), id: command.instance.id.clone() };
        self.hear_registration(&instance, command.kind, now, effects);
        self.directory.claim_id(&instance);
        let premises = self.premises_of_return(&instance);
        let audited = self.audited_return(&instance, &command.source, now);
        let changes = audited.into_iter().chain([Change::RemoveDraining(instance)]).collect();
        self.submit(&service, ServiceWrite::Return { command, caller }, changes, premises, effects);
    }

    pub(super) fn finish_return(&mut self, command: &Registration, caller: Caller, now: Now, effects: &mut Effects) {
        let instance = InstanceRef { service: command.definition.service.clone(), id: command.instance.id.clone() };
        self.directory.release_id(&instance);
        self.mark(&instance, None, Some(command.source.actor()), effects);
        self.hear_registration(&instance, command.kind, now, effects);
        self.publisher.advance();
        let canary = self.joins_as_canary(command).then(Canary::default);
        let outcome = self.registered(&instance, canary, true);
        effects.reply_to_command(caller.reply, &instance.service, &command.source, outcome);
    }

    pub(super) fn fail_return(&mut self, command: &Registration, caller: Caller, why: &str, effects: &mut Effects) {
        let service = command.definition.service.clone();
        self.directory.release_id(&InstanceRef { service, id: command.instance.id.clone() });
        let refused = Err(Refusal::StoreFailed(why.to_owned()));
        effects.reply_to_command(caller.reply, &command.definition.service, &command.source, refused);
    }
}

/// What the store is to keep of it: a drain beside its instance, or a hold of its id.
fn stored(command: &DrainCommand, change: &DrainChange) -> Vec<Change> {
    let DrainChange { id, before, mark } = change;
    let instance = || InstanceRef { service: command.service.clone(), id: id.clone() };
    match (mark, before) {
        (Some(mark), before) if mark.until == DrainUntil::Undo => {
            let ends = before.map(|_| Change::RemoveDraining(instance()));
            ends.into_iter().chain([Change::PutHold(instance(), Arc::clone(mark))]).collect()
        }
        (Some(mark), _) => vec![Change::PutDraining(instance(), Arc::clone(mark))],
        (None, Some(DrainUntil::Undo)) => vec![Change::RemoveHold(instance())],
        (None, _) => vec![Change::RemoveDraining(instance())],
    }
}
