//! Removals: by command, by expiry, and at the end of a hold. Out of the snapshot first, then out of the store, then answered.

use std::sync::Arc;
use std::time::Duration;

use super::answer::Answer;
use super::audits::audit;
use super::caller::Caller;
use super::command::{Deregistration, OnLastInstance, Source};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::InstanceRef;
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use super::service_write::{RemovalCause, ServiceCommand, ServiceWrite};
use crate::model::{Actor, AuditAction, Incarnation, InstanceId, ServiceName};
use crate::routing::Drained;

impl Registry {
    pub(super) fn handle_deregistration(
        &mut self,
        command: Box<Deregistration>,
        caller: Caller,
        now: Now,
        effects: &mut Effects,
    ) {
        if self.outbox.is_writing(&command.service) {
            return self.park(ServiceCommand::Deregister(command), caller, effects);
        }
        let Deregistration { service, instance, incarnation, source, .. } = &*command;
        let check = |id: &InstanceId| {
            self.check_incarnation(&InstanceRef { service: service.clone(), id: id.clone() }, incarnation.as_ref())
        };
        let checked = self.check_deregistration(service, instance.as_ref(), source);
        let checked = checked.and_then(|()| instance.as_ref().map_or(Ok(()), check));
        let target = instance.as_ref().and_then(|id| self.directory.service(service)?.instances().get(id));
        let refusal = || self.store_refusal().or_else(|| self.lapse_refusal(target.into_iter()));
        match checked.and_then(|()| refusal().map_or(Ok(()), Err)) {
            Err(refusal) => effects.reply_to_command(caller.reply, service, source, Err(refusal)),
            Ok(()) => {
                let (service, instance) = (service.clone(), instance.clone());
                self.begin_removal(service, instance, RemovalCause::Requested { command, caller }, now, effects);
            }
        }
    }

    pub(super) fn check_deregistration(
        &self,
        service: &ServiceName,
        id: Option<&InstanceId>,
        source: &Source,
    ) -> Result<(), Refusal> {
        let registered_from = self.directory.registered_from(service, id)?;
        self.settings.policy.check_owner(service, registered_from, source)
    }

    /// A command that names an incarnation is about that one alone.
    ///
    /// # Errors
    /// [`Refusal::AnotherIncarnation`], [`Refusal::NotFound`].
    pub(super) fn check_incarnation(&self, instance: &InstanceRef, named: Option<&Incarnation>) -> Result<(), Refusal> {
        let Some(named) = named else { return Ok(()) };
        let installed = self.directory.installed(instance)?.1.spec().incarnation.clone();
        if installed.as_ref() == Some(named) {
            return Ok(());
        }
        Err(Refusal::AnotherIncarnation { instance: instance.clone(), installed, named: named.clone() })
    }

    /// Takes an instance, or all and the service with them, out of the snapshot and asks the store to forget it.
    pub(super) fn begin_removal(
        &mut self,
        service: ServiceName,
        instance: Option<InstanceId>,
        cause: RemovalCause,
        now: Now,
        effects: &mut Effects,
    ) {
        let audited = self.audited_removal(&service, instance.as_ref(), &cause);
        let Some(entry) = self.directory.service_mut(&service) else { return };
        // By expiry, and by a command that takes nothing along, the routes are held.
        let goes_with_last = match &cause {
            RemovalCause::Requested { command, .. } => match command.on_last_instance {
                OnLastInstance::RemoveService => true,
                OnLastInstance::KeepRoutes => entry.definition().routes.is_empty(),
            },
            RemovalCause::Expired | RemovalCause::HoldEnded => false,
        };
        let leaving = entry.lives_of(instance.as_ref());
        let change = entry.begin_removal(instance.as_ref(), goes_with_last);
        if entry.is_being_removed() {
            self.publisher.withdraw(entry.index(), entry.eligibility().effective());
        }
        self.publisher.advance();
        self.refresh(&service, now, effects);
        let is_whole = self.directory.service(&service).is_some_and(|entry| entry.is_being_removed());
        let (changes, premises) = if self.is_stored(&change) {
            (vec![change], self.premises_of_removal(&service, instance.as_ref(), &cause))
        } else {
            (Vec::new(), Vec::new())
        };
        let audited = audited.map(|(instances, by)| {
            audit(AuditAction::Deregister { service: service.clone(), instances, is_whole }, &by, now.unix_ms)
        });
        let changes: Vec<_> = audited.into_iter().chain(changes).collect();
        if changes.is_empty() {
            self.finish_removal(&service, instance, cause, now, effects);
        } else {
            let write = ServiceWrite::Remove { service: service.clone(), instance, is_whole, cause, leaving };
            self.submit(&service, write, changes, premises, effects);
        }
    }

    /// Who leaves by an operator's command, and whose; `None`: it is no operator's.
    fn audited_removal(
        &self,
        service: &ServiceName,
        instance: Option<&InstanceId>,
        cause: &RemovalCause,
    ) -> Option<(Vec<InstanceId>, Actor)> {
        let RemovalCause::Requested { command, .. } = cause else { return None };
        let from = self.directory.registered_from(service, instance).ok();
        if !self.settings.policy.is_operators(service, from, &command.source) {
            return None;
        }
        let all = || self.directory.service(service).map(|entry| entry.instances().keys().cloned().collect());
        let instances = instance.map_or_else(all, |id| Some(vec![id.clone()])).unwrap_or_default();
        Some((instances, command.source.actor()))
    }

    pub(super) fn finish_removal(
        &mut self,
        service: &ServiceName,
        instance: Option<InstanceId>,
        cause: RemovalCause,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(entry) = self.directory.service(service) else { return };
        let is_whole = entry.is_being_removed();
        let removed: Vec<_> = match instance {
            Some(id) if !is_whole => vec![id],
            _ => entry.instances().keys().cloned().collect(),
        };
        let drained: Drained =
            removed.iter().filter_map(|id| Some(Arc::clone(entry.instances().get(id)?.live()))).collect();
        let count = removed.len();
        for id in removed {
            let instance = InstanceRef { service: service.clone(), id };
            self.remove_instance(&instance, effects);
            match &cause {
                RemovalCause::Requested { command, .. } => {
                    effects.report(Report::Deregistered { instance, by: Some(command.source.actor()) });
                }
                RemovalCause::Expired => effects.report(Report::Expired(instance)),
                RemovalCause::HoldEnded => {}
            }
        }
        if is_whole {
            self.remove_service(service, effects);
        } else if self.directory.service(service).is_some_and(|entry| entry.instances().is_empty()) {
            // The last two may have left at once, each as one of two, through two gateways.
            let is_to_go = matches!(&cause, RemovalCause::Requested { command, .. }
                if command.on_last_instance == OnLastInstance::RemoveService);
            let hold = if is_to_go { Duration::ZERO } else { self.hold_of(service) };
            self.leases.hold_routes(service, hold, now);
        }
        if self.directory.service(service).is_some_and(|entry| !entry.eligibility().is_eligible()) {
            // The removed instance may be why it was suspended.
            self.re_evaluate(service, effects);
            self.publisher.advance();
            self.refresh(service, now, effects);
        }
        if is_whole {
            effects.report(Report::Freed(service.clone()));
        }
        if let RemovalCause::Requested { caller, .. } = cause {
            let answer = Answer::Deregistered { instances: count, drained, generation: self.publisher.generation() };
            effects.reply(caller.reply, Ok(answer));
        }
    }

    /// The store still has it. After a command everything is as before, and the caller gets the error. What expired stays
    /// out and is tried again.
    pub(super) fn fail_removal(
        &mut self,
        service: &ServiceName,
        instance: Option<InstanceId>,
        cause: RemovalCause,
        why: &str,
        now: Now,
        effects: &mut Effects,
    ) {
        effects.report(Report::RemovalFailed { service: service.clone(), why: why.to_owned() });
        self.undo_removal(service, instance, &cause, now, effects);
        if let RemovalCause::Requested { caller, .. } = cause {
            effects.reply(caller.reply, Err(Refusal::StoreFailed(why.to_owned())));
        }
    }

    /// Takes back what [`begin_removal`](Self::begin_removal) did, as far as it is not taken back already.
    pub(super) fn undo_removal(
        &mut self,
        service: &ServiceName,
        instance: Option<InstanceId>,
        cause: &RemovalCause,
        now: Now,
        effects: &mut Effects,
    ) {
        let is_exclusive = !self.settings.sharing.is_shared();
        let Some(entry) = self.directory.service_mut(service) else { return };
        let was_being_removed = entry.keep();
        if was_being_removed {
            self.publisher.restore(entry.index(), entry.eligibility().effective());
        }
        match (cause, instance) {
            (RemovalCause::HoldEnded, _) if entry.instances().is_empty() => self.leases.retry_freeing(service, now),
            (RemovalCause::Expired, Some(id)) => {
                self.leases.retry_removal(InstanceRef { service: service.clone(), id }, now);
            }
            (RemovalCause::Expired | RemovalCause::HoldEnded, _) => {}
            (RemovalCause::Requested { .. }, instance) => {
                entry.keep_instances(instance.as_ref(), |one| is_exclusive && one.liveness().is_over(now));
            }
        }
        // The configuration may have changed meanwhile, and only services that stay are evaluated with each change.
        if was_being_removed {
            self.re_evaluate(service, effects);
        }
        self.publisher.advance();
        self.settle(service, now, effects);
    }
}
