//! Removals: by command, by expiry, and at the end of a hold. Out of the snapshot first, then out of the store, then answered.

use std::sync::Arc;

use super::answer::Answer;
use super::command::{Deregistration, OnLastInstance, Source};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::{InstanceRef, ReplyId};
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use super::service_write::{RemovalCause, ServiceCommand, ServiceWrite};
use crate::model::{Incarnation, InstanceId, ServiceName};
use crate::routing::Drained;

impl Registry {
    pub(super) fn handle_deregistration(
        &mut self,
        command: Deregistration,
        reply: ReplyId,
        now: Now,
        effects: &mut Effects,
    ) {
        if self.outbox.is_writing(&command.service) {
            return self.park(ServiceCommand::Deregister(command), reply, effects);
        }
        let Deregistration { service, instance, incarnation, on_last_instance, source } = command;
        let check = |id: &InstanceId| {
            self.check_incarnation(&InstanceRef { service: service.clone(), id: id.clone() }, incarnation.as_ref())
        };
        let checked = self.check_deregistration(&service, instance.as_ref(), &source);
        match checked.and_then(|()| instance.as_ref().map_or(Ok(()), check)) {
            Err(refusal) => effects.reply_to_command(reply, &service, &source, Err(refusal)),
            Ok(()) => {
                let cause = RemovalCause::Requested { reply, from: source.address, on_last_instance };
                self.begin_removal(service, instance, cause, now, effects);
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
        let Some(entry) = self.directory.service_mut(&service) else { return };
        // By expiry, and by a command that takes nothing along, the routes are held.
        let goes_with_last = match cause {
            RemovalCause::Requested { on_last_instance: OnLastInstance::RemoveService, .. } => true,
            RemovalCause::Requested { on_last_instance: OnLastInstance::KeepRoutes, .. } => {
                entry.definition().routes.is_empty()
            }
            RemovalCause::Expired | RemovalCause::HoldEnded => false,
        };
        let change = entry.begin_removal(instance.as_ref(), goes_with_last);
        if entry.is_being_removed() {
            self.publisher.withdraw(entry.index(), entry.eligibility().effective());
        }
        self.publisher.advance();
        self.refresh(&service, now, effects);
        let write = ServiceWrite::Remove { service: service.clone(), instance, cause };
        self.submit(&service, write, vec![change], effects);
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
            match cause {
                RemovalCause::Requested { from, .. } => effects.report(Report::Deregistered { instance, from }),
                RemovalCause::Expired => effects.report(Report::Expired(instance)),
                RemovalCause::HoldEnded => {}
            }
        }
        if is_whole {
            self.remove_service(service);
        } else if self.directory.service(service).is_some_and(|entry| entry.instances().is_empty()) {
            self.leases.hold_routes(service, now);
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
        if let RemovalCause::Requested { reply, .. } = cause {
            let answer = Answer::Deregistered { instances: count, drained, generation: self.publisher.generation() };
            effects.reply(reply, Ok(answer));
        }
    }

    /// The store still has it. After a command everything is as before, and the caller gets the error. What expired stays
    /// out and is tried again.
    pub(super) fn undo_removal(
        &mut self,
        service: &ServiceName,
        instance: Option<InstanceId>,
        cause: RemovalCause,
        why: &str,
        now: Now,
        effects: &mut Effects,
    ) {
        effects.report(Report::RemovalFailed { service: service.clone(), why: why.to_owned() });
        let Some(entry) = self.directory.service_mut(service) else { return };
        let was_being_removed = entry.keep();
        if was_being_removed {
            self.publisher.restore(entry.index(), entry.eligibility().effective());
        }
        match (cause, instance) {
            (RemovalCause::HoldEnded, _) => self.leases.retry_freeing(service, now),
            (RemovalCause::Expired, Some(id)) => {
                self.leases.retry_removal(InstanceRef { service: service.clone(), id }, now);
            }
            (RemovalCause::Expired, None) => {}
            (RemovalCause::Requested { reply, .. }, instance) => {
                entry.keep_instances(instance.as_ref(), now);
                effects.reply(reply, Err(Refusal::StoreFailed(why.to_owned())));
            }
        }
        // The configuration may have changed meanwhile, and only services that stay are evaluated with each change.
        if was_being_removed {
            self.re_evaluate(service, effects);
        }
        self.publisher.advance();
        self.refresh(service, now, effects);
    }
}
