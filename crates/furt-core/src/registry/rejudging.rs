//! Writes that are outdated: what they did meanwhile is taken back, and their commands are judged again by what the store
//! has now, before any that came after them.

use super::answer::Answer;
use super::caller::Caller;
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::WriteId;
use super::now::Now;
use super::refusal::Refusal;
use super::service_write::{ParkedCommand, RemovalCause, ServiceCommand, ServiceWrite};

impl Registry {
    pub(super) fn handle_write_outdated(&mut self, write: WriteId, now: Now, effects: &mut Effects) {
        if let Some((write, scope)) = self.maintenances.finish(write) {
            return self.rejudge_maintenance(write, &scope, now, effects);
        }
        if let Some((write, service)) = self.splits.finish(write) {
            return self.rejudge_split(write, &service, now, effects);
        }
        if let Some((write, service)) = self.grants.finish(write) {
            return self.rejudge_grant(write, &service, now, effects);
        }
        if let Some(waiting) = self.applies.remove(&write) {
            return self.rejudge_apply(write, waiting, now, effects);
        }
        if let Some(waiting) = self.audits.remove(&write) {
            return self.rejudge_audit(waiting, effects);
        }
        let Some((write, services)) = self.outbox.finish(write) else {
            let (keys, mut parts) = self.keys(effects);
            return keys.handle_write_outdated(write, now, &mut parts);
        };
        match write {
            ServiceWrite::Register(registering) => {
                self.release(&registering);
                self.judge_again(ServiceCommand::Register(registering.command), registering.caller, effects);
            }
            ServiceWrite::Remove { service, instance, cause, leaving, .. } => {
                self.undo_removal(&service, instance.clone(), &cause, now, effects);
                let RemovalCause::Requested { command, caller } = cause else {
                    return self.unpark(&service, now, effects);
                };
                let is_gone = self.directory.registered_from(&service, instance.as_ref()).is_err();
                if is_gone {
                    // Someone else removed it, or its lease ended: what was asked for is done.
                    let (instances, drained) = (leaving.len(), leaving.into_iter().collect());
                    let generation = self.publisher.generation();
                    effects.reply(caller.reply, Ok(Answer::Deregistered { instances, drained, generation }));
                } else {
                    self.judge_again(ServiceCommand::Deregister(command), caller, effects);
                }
            }
            ServiceWrite::Drain { command, caller, .. } => {
                self.judge_again(ServiceCommand::Drain(command), caller, effects);
            }
            ServiceWrite::Return { command, caller } => {
                let instance = super::ids::InstanceRef {
                    service: command.definition.service.clone(),
                    id: command.instance.id.clone(),
                };
                self.directory.release_id(&instance);
                self.judge_again(ServiceCommand::Register(command), caller, effects);
            }
            ServiceWrite::Restore { instance, .. } => {
                self.directory.release_id(&instance);
                self.check_lapse(&instance, now, effects);
                self.settle(&instance.service, now, effects);
            }
        }
        services.iter().for_each(|service| self.unpark(service, now, effects));
    }

    /// Lets a command be judged again, before those that wait.
    fn judge_again(&mut self, command: ServiceCommand, caller: Caller, effects: &mut Effects) {
        match caller.again() {
            Some(caller) => {
                let service = command.service().clone();
                self.outbox.park_first(&service, ParkedCommand { command, caller });
            }
            None => effects.reply(caller.reply, Err(Refusal::Busy)),
        }
    }
}
