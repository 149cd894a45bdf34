//! Leaving: by command, by expiry, and the end of a hold. Out of the snapshot first, then out of the store, then answered.

use super::{
    Answer, Change, Deregistration, DnsSubject, Due, Effects, HOLD, InstanceRef, Now, OnLastInstance, REMOVAL_RETRY,
    Refusal, Registry, RemovalCause, ReplyId, Report, ServiceCommand, ServiceWrite, Source,
};
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
            Some(id) => self.installed(&InstanceRef { service: service.clone(), id: id.clone() })?.1.registered_from,
            None => {
                let entry = self.services.get(service);
                entry.ok_or_else(|| Refusal::NotFound(format!("service \"{service}\"")))?.registered_from
            }
        };
        self.settings.policy.check_owner(service, registered_from, source)
    }

    /// Takes an instance, or all and the service with them, out of the snapshot and asks the store to forget it.
    fn begin_removal(
        &mut self,
        service: ServiceName,
        instance: Option<InstanceId>,
        cause: RemovalCause,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(entry) = self.services.get_mut(&service) else { return };
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
            self.view.replace_routes(entry.index, Some(&entry.effective), None);
            self.view.hide(entry.index, &service);
        }
        self.view.advance();
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
        let Some(entry) = self.services.get(service) else { return };
        let is_whole = entry.is_being_removed;
        let leaving: Vec<_> = match instance {
            Some(id) if !is_whole => vec![id],
            _ => entry.instances.keys().cloned().collect(),
        };
        let drained: Drained = leaving.iter().filter_map(|id| Some(entry.instances.get(id)?.live.clone())).collect();
        let count = leaving.len();
        for id in leaving {
            let instance = InstanceRef { service: service.clone(), id };
            self.remove_instance(&instance, effects);
            match cause {
                RemovalCause::Requested { from, .. } => effects.report(Report::Deregistered { instance, from }),
                RemovalCause::Expired => effects.report(Report::Expired(instance)),
                RemovalCause::HoldEnded => {}
            }
        }
        if is_whole {
            self.remove_entry(service);
        } else if self.services.get(service).is_some_and(|entry| entry.instances.is_empty()) {
            self.deadlines.set(Due::Held(service.clone()), now.at + HOLD);
        }
        if self.services.get(service).is_some_and(|entry| entry.blocked.is_some()) {
            // Who left may be why it was kept out.
            self.recheck(service, effects);
            self.view.advance();
            self.refresh(service, now, effects);
        }
        if is_whole {
            effects.report(Report::Freed(service.clone()));
        }
        if let RemovalCause::Requested { reply, .. } = cause {
            let answer = Answer::Deregistered { instances: count, drained, generation: self.view.generation() };
            effects.reply(reply, Ok(answer));
        }
    }

    fn remove_entry(&mut self, service: &ServiceName) {
        if let Some(entry) = self.services.remove(service) {
            self.claims.remove(&entry.effective);
            self.view.free(entry.index);
            self.deadlines.clear(&Due::Held(service.clone()));
        }
    }

    /// Ends what runs for an instance and forgets it.
    pub(super) fn remove_instance(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        let entry = self.services.get_mut(&instance.service);
        let Some(installed) = entry.and_then(|entry| entry.instances.remove(&instance.id)) else { return };
        self.view.remove_id(&instance.id);
        self.deadlines.clear(&Due::Instance(instance.clone()));
        self.release_id(&instance.id);
        if installed.spec.health_endpoint.is_some() {
            effects.stop_probing(instance.clone());
        }
        if installed.spec.url.socket_address().is_none() {
            effects.unwatch_name(DnsSubject::Instance(instance.clone()));
        }
    }

    /// The store still has it. Who asked is told, and it is as before; what expired stays out and is tried again.
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
        let Some(entry) = self.services.get_mut(service) else { return };
        let again = now.at + REMOVAL_RETRY;
        let was_being_removed = entry.is_being_removed;
        match cause {
            RemovalCause::HoldEnded => {
                self.view.replace_routes(entry.index, None, Some(&entry.effective));
                self.view.show(entry.index, service);
                entry.is_being_removed = false;
                self.deadlines.set(Due::Held(service.clone()), again);
            }
            RemovalCause::Expired => {
                if let Some(id) = instance {
                    self.deadlines.set(Due::Instance(InstanceRef { service: service.clone(), id }), again);
                }
            }
            RemovalCause::Requested { reply, .. } => {
                if std::mem::take(&mut entry.is_being_removed) {
                    self.view.replace_routes(entry.index, None, Some(&entry.effective));
                    self.view.show(entry.index, service);
                }
                match &instance {
                    Some(id) => entry.instances.stay(id, now),
                    None => entry.instances.stay_all(now),
                }
                effects.reply(reply, Err(Refusal::StoreFailed(why.to_owned())));
            }
        }
        // The configuration may have changed while it was leaving. One that stays is judged with each change.
        if was_being_removed {
            self.recheck(service, effects);
        }
        self.view.advance();
        self.refresh(service, now, effects);
    }

    pub(super) fn handle_deadlines(&mut self, now: Now, effects: &mut Effects) {
        while let Some(due) = self.deadlines.pop(now.at) {
            match due {
                Due::Instance(instance) => self.check_expiry(instance, now, effects),
                Due::Keys => self.end_keys(now, effects),
                Due::Held(service) => {
                    if self.outbox.is_writing(&service) {
                        self.deadlines.set(Due::Held(service), now.at + REMOVAL_RETRY);
                    } else {
                        self.begin_removal(service, None, RemovalCause::HoldEnded, now, effects);
                    }
                }
            }
        }
    }

    fn check_expiry(&mut self, instance: InstanceRef, now: Now, effects: &mut Effects) {
        let is_entry_being_removed = self.services.get(&instance.service).is_some_and(|entry| entry.is_being_removed);
        // Instances that fall silent together leave together. Only a write that is about this instance, or takes the
        // whole service, is waited for.
        let is_registering = self.owners.get(&instance.id).is_some_and(|owner| owner.count > 1);
        let is_writing = self.outbox.is_writing(&instance.service);
        let Some(installed) = self.instance_mut(&instance) else { return };
        let Some(end) = installed.end() else { return };
        if end > now.at && !installed.is_being_removed() {
            self.deadlines.set(Due::Instance(instance), end);
        } else if is_entry_being_removed || is_registering || (installed.is_being_removed() && is_writing) {
            self.deadlines.set(Due::Instance(instance), now.at + REMOVAL_RETRY);
        } else {
            let InstanceRef { service, id } = instance;
            self.begin_removal(service, Some(id), RemovalCause::Expired, now, effects);
        }
    }
}
