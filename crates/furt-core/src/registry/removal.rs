//! Leaving: by wish, by expiry, and the end of a hold. Out of the snapshot first, then out of the store, then answered.

use super::{
    Answer, Cause, Change, Due, Effect, Event, Followed, HOLD, InstanceRef, LeaveWish, Now, Pending, REMOVAL_RETRY,
    Refusal, Registry, ReplyId, Report, Source, Takes,
};
use crate::model::{InstanceId, ServiceName};
use crate::routing::Drained;

impl Registry {
    pub(super) fn handle_deregistration(
        &mut self,
        wish: LeaveWish,
        reply: ReplyId,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        if self.pending_of.contains_key(&wish.service) {
            let service = wish.service.clone();
            self.park(&service, Event::DeregistrationRequested(wish, reply), effects);
            return;
        }
        let LeaveWish { service, instance, takes, source } = wish;
        match self.check_deregistration(&service, instance.as_ref(), &source) {
            Err(refusal) => self.answer(reply, &service, &source, Err(refusal), effects),
            Ok(()) => {
                let cause = Cause::Asked { reply, from: source.address, takes };
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
            Some(id) => self.member(&InstanceRef { service: service.clone(), id: id.clone() })?.1.registered_from,
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
        cause: Cause,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.services.get_mut(&service) else { return };
        let change = match &instance {
            Some(id) => {
                entry.members.begin_leaving(id);
                // By expiry, and by a wish that takes nothing along, the routes are held.
                let takes_service = match cause {
                    Cause::Asked { takes: Takes::Service, .. } => true,
                    Cause::Asked { takes: Takes::Nothing, .. } => entry.definition.routes.is_empty(),
                    Cause::Expired | Cause::HoldOver => false,
                };
                entry.is_leaving = takes_service && entry.members.are_leaving();
                if entry.is_leaving {
                    Change::RemoveService {
                        service: service.clone(),
                        instances: entry.members.keys().cloned().collect(),
                    }
                } else {
                    Change::RemoveInstance(id.clone())
                }
            }
            None => {
                entry.is_leaving = true;
                entry.members.begin_leaving_all();
                Change::RemoveService { service: service.clone(), instances: entry.members.keys().cloned().collect() }
            }
        };
        if entry.is_leaving {
            self.view.replace_routes(entry.slot, Some(&entry.effective), None);
            self.view.hide(entry.slot, &service);
        }
        self.view.advance();
        self.refresh(&service, now, effects);
        let pending = Pending::Remove { service: service.clone(), instance, cause };
        self.submit(&service, pending, vec![change], effects);
    }

    pub(super) fn finish_removal(
        &mut self,
        service: &ServiceName,
        instance: Option<InstanceId>,
        cause: Cause,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let Some(entry) = self.services.get(service) else { return };
        let is_whole = entry.is_leaving;
        let leaving: Vec<_> = match instance {
            Some(id) if !is_whole => vec![id],
            _ => entry.members.keys().cloned().collect(),
        };
        let drained: Drained = leaving.iter().filter_map(|id| Some(entry.members.get(id)?.live.clone())).collect();
        let count = leaving.len();
        for id in leaving {
            let instance = InstanceRef { service: service.clone(), id };
            self.remove_member(&instance, effects);
            match cause {
                Cause::Asked { from, .. } => effects.push(Effect::Report(Report::Deregistered { instance, from })),
                Cause::Expired => effects.push(Effect::Report(Report::Expired(instance))),
                Cause::HoldOver => {}
            }
        }
        if is_whole {
            self.remove_entry(service);
        } else if self.services.get(service).is_some_and(|entry| entry.members.is_empty()) {
            self.deadlines.set(Due::Held(service.clone()), now.at + HOLD);
        }
        if self.services.get(service).is_some_and(|entry| entry.blocked.is_some()) {
            // Who left may be why it was kept out.
            self.recheck(service, effects);
            self.view.advance();
            self.refresh(service, now, effects);
        }
        if is_whole {
            effects.push(Effect::Report(Report::Freed(service.clone())));
        }
        if let Cause::Asked { reply, .. } = cause {
            let answer = Answer::Deregistered { instances: count, drained, generation: self.view.generation() };
            effects.push(Effect::Answer(reply, Ok(answer)));
        }
    }

    fn remove_entry(&mut self, service: &ServiceName) {
        if let Some(entry) = self.services.remove(service) {
            self.claims.remove(&entry.effective);
            self.view.free(entry.slot);
            self.deadlines.clear(&Due::Held(service.clone()));
        }
    }

    /// Ends what runs for an instance and forgets it.
    pub(super) fn remove_member(&mut self, instance: &InstanceRef, effects: &mut Vec<Effect>) {
        let entry = self.services.get_mut(&instance.service);
        let Some(member) = entry.and_then(|entry| entry.members.remove(&instance.id)) else { return };
        self.view.remove_id(&instance.id);
        self.deadlines.clear(&Due::Instance(instance.clone()));
        self.release_id(&instance.id);
        if member.spec.health_endpoint.is_some() {
            effects.push(Effect::StopProbing(instance.clone()));
        }
        if member.spec.url.socket_address().is_none() {
            effects.push(Effect::ForgetName(Followed::Instance(instance.clone())));
        }
    }

    /// The store still has it. Who asked is told, and it is as before; what expired stays out and is tried again.
    pub(super) fn undo_removal(
        &mut self,
        service: &ServiceName,
        instance: Option<InstanceId>,
        cause: Cause,
        why: &str,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        effects.push(Effect::Report(Report::RemovalFailed { service: service.clone(), why: why.to_owned() }));
        let Some(entry) = self.services.get_mut(service) else { return };
        let again = now.at + REMOVAL_RETRY;
        let was_leaving = entry.is_leaving;
        match cause {
            Cause::HoldOver => {
                self.view.replace_routes(entry.slot, None, Some(&entry.effective));
                self.view.show(entry.slot, service);
                entry.is_leaving = false;
                self.deadlines.set(Due::Held(service.clone()), again);
            }
            Cause::Expired => {
                if let Some(id) = instance {
                    self.deadlines.set(Due::Instance(InstanceRef { service: service.clone(), id }), again);
                }
            }
            Cause::Asked { reply, .. } => {
                if std::mem::take(&mut entry.is_leaving) {
                    self.view.replace_routes(entry.slot, None, Some(&entry.effective));
                    self.view.show(entry.slot, service);
                }
                match &instance {
                    Some(id) => entry.members.stay(id, now),
                    None => entry.members.stay_all(now),
                }
                effects.push(Effect::Answer(reply, Err(Refusal::StoreFailed(why.to_owned()))));
            }
        }
        // The configuration may have changed while it was leaving. One that stays is judged with each change.
        if was_leaving {
            self.recheck(service, effects);
        }
        self.view.advance();
        self.refresh(service, now, effects);
    }

    pub(super) fn handle_deadlines(&mut self, now: Now, effects: &mut Vec<Effect>) {
        while let Some(due) = self.deadlines.pop(now.at) {
            match due {
                Due::Instance(instance) => self.check_expiry(instance, now, effects),
                Due::Keys => self.end_keys(now, effects),
                Due::Held(service) => {
                    if self.pending_of.contains_key(&service) {
                        self.deadlines.set(Due::Held(service), now.at + REMOVAL_RETRY);
                    } else {
                        self.begin_removal(service, None, Cause::HoldOver, now, effects);
                    }
                }
            }
        }
    }

    fn check_expiry(&mut self, instance: InstanceRef, now: Now, effects: &mut Vec<Effect>) {
        let is_entry_leaving = self.services.get(&instance.service).is_some_and(|entry| entry.is_leaving);
        // Instances that fall silent together leave together. Only a write that is about this instance, or takes the
        // whole service, is waited for.
        let is_registering = self.owners.get(&instance.id).is_some_and(|owner| owner.count > 1);
        let is_writing = self.pending_of.contains_key(&instance.service);
        let Some(member) = self.member_mut(&instance) else { return };
        let Some(end) = member.end() else { return };
        if end > now.at && !member.is_leaving() {
            self.deadlines.set(Due::Instance(instance), end);
        } else if is_entry_leaving || is_registering || (member.is_leaving() && is_writing) {
            self.deadlines.set(Due::Instance(instance), now.at + REMOVAL_RETRY);
        } else {
            let InstanceRef { service, id } = instance;
            self.begin_removal(service, Some(id), Cause::Expired, now, effects);
        }
    }
}
