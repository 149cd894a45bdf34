//! Removals: by command, by expiry, and at the end of a hold. Out of the snapshot first, then out of the store, then answered.

use super::answer::Answer;
use super::change::Change;
use super::command::{Deregistration, OnLastInstance, Source};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::{InstanceRef, ReplyId};
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use super::service_write::{RemovalCause, ServiceCommand, ServiceWrite};
use crate::model::{InstanceId, ServiceName};
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
        let Deregistration { service, instance, on_last_instance, source } = command;
        match self.check_deregistration(&service, instance.as_ref(), &source) {
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
        let registered_from = match id {
            Some(id) => {
                self.directory.installed(&InstanceRef { service: service.clone(), id: id.clone() })?.1.registered_from
            }
            None => {
                let entry = self.directory.service(service);
                entry.ok_or_else(|| Refusal::NotFound(format!("service \"{service}\"")))?.registered_from
            }
        };
        self.settings.policy.check_owner(service, registered_from, source)
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
        let change = match &instance {
            Some(id) => {
                entry.instances.begin_removal(id);
                // By expiry, and by a command that takes nothing along, the routes are held.
                let removes_service = match cause {
                    RemovalCause::Requested { on_last_instance: OnLastInstance::RemoveService, .. } => true,
                    RemovalCause::Requested { on_last_instance: OnLastInstance::KeepRoutes, .. } => {
                        entry.definition.routes.is_empty()
                    }
                    RemovalCause::Expired | RemovalCause::HoldEnded => false,
                };
                entry.is_being_removed = removes_service && entry.instances.are_being_removed();
                if entry.is_being_removed {
                    Change::RemoveService {
                        service: service.clone(),
                        instances: entry.instances.keys().cloned().collect(),
                    }
                } else {
                    Change::RemoveInstance(id.clone())
                }
            }
            None => {
                entry.is_being_removed = true;
                entry.instances.begin_removal_of_all();
                Change::RemoveService { service: service.clone(), instances: entry.instances.keys().cloned().collect() }
            }
        };
        if entry.is_being_removed {
            self.publisher.replace_routes(entry.index, Some(entry.eligibility.effective()), None);
            self.publisher.withdraw(entry.index, &service);
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
        let is_whole = entry.is_being_removed;
        let removed: Vec<_> = match instance {
            Some(id) if !is_whole => vec![id],
            _ => entry.instances.keys().cloned().collect(),
        };
        let drained: Drained = removed.iter().filter_map(|id| Some(entry.instances.get(id)?.live.clone())).collect();
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
        } else if self.directory.service(service).is_some_and(|entry| entry.instances.is_empty()) {
            self.leases.hold_routes(service, now);
        }
        if self.directory.service(service).is_some_and(|entry| !entry.eligibility.is_eligible()) {
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

    /// The store still has it. After a command everything is as before, and the caller is told; what expired stays out and
    /// is tried again.
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
        let was_being_removed = entry.is_being_removed;
        match cause {
            RemovalCause::HoldEnded => {
                self.publisher.replace_routes(entry.index, None, Some(entry.eligibility.effective()));
                self.publisher.restore(entry.index, service);
                entry.is_being_removed = false;
                self.leases.retry_freeing(service, now);
            }
            RemovalCause::Expired => {
                if let Some(id) = instance {
                    self.leases.retry_removal(InstanceRef { service: service.clone(), id }, now);
                }
            }
            RemovalCause::Requested { reply, .. } => {
                if std::mem::take(&mut entry.is_being_removed) {
                    self.publisher.replace_routes(entry.index, None, Some(entry.eligibility.effective()));
                    self.publisher.restore(entry.index, service);
                }
                match &instance {
                    Some(id) => entry.instances.stay(id, now),
                    None => entry.instances.stay_all(now),
                }
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
