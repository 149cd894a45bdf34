//! Draining by a command: the instances stay registered and probed, and get no new requests until they register again or the
//! drain is undone.
//!
//! A command is about an instance, or about all that a service has then: one that registers later is asked as any other. As
//! all that is durable it takes two events. Who may is who may deregister. The mark itself is with the counters that
//! requests share (`routing::draining`); what is being removed has it too, so that no request of an older snapshot comes late.

use std::sync::Arc;

use super::answer::Answer;
use super::change::Change;
use super::command::{Drain, DrainCommand, Registration, Source};
use super::directory::InstanceEntry;
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::{InstanceRef, ReplyId};
use super::now::Now;
use super::refusal::Refusal;
use super::report::Report;
use super::service_write::{ServiceCommand, ServiceWrite};
use crate::model::InstanceId;

impl Registry {
    pub(super) fn handle_drain(&mut self, command: Box<DrainCommand>, reply: ReplyId, effects: &mut Effects) {
        let service = command.service.clone();
        if self.outbox.is_writing(&service) {
            return self.park(ServiceCommand::Drain(command), reply, effects);
        }
        if let Err(refusal) = self.check_deregistration(&service, command.instance.as_ref(), &command.source) {
            effects.reply_to_command(reply, &service, &command.source, Err(refusal));
            return;
        }
        let is_draining = command.drain == Drain::Begins;
        let changing =
            self.directory.drain_targets(&command).filter(|installed| installed.is_draining() != is_draining);
        let ids: Vec<_> = changing.map(|installed| installed.spec().id.clone()).collect();
        if ids.is_empty() {
            let answer = self.drained(&command, &ids);
            effects.reply(reply, Ok(answer));
            return;
        }
        let changes = ids.iter().map(|id| change(id.clone(), command.drain)).collect();
        self.submit(&service, ServiceWrite::Drain { command, ids, reply }, changes, effects);
    }

    fn drained(&self, command: &DrainCommand, changed: &[InstanceId]) -> Answer {
        let is_shown =
            |instance: &&InstanceEntry| command.drain == Drain::Begins || changed.contains(&instance.spec().id);
        let instances = self
            .directory
            .drain_targets(command)
            .filter(is_shown)
            .map(|instance| Arc::clone(instance.live()))
            .collect();
        Answer::Drained { instances, generation: self.publisher.generation() }
    }

    /// The store has it: from here on no request takes a slot, whichever snapshot it reads.
    pub(super) fn finish_drain(
        &mut self,
        command: &DrainCommand,
        ids: &[InstanceId],
        reply: ReplyId,
        effects: &mut Effects,
    ) {
        for id in ids {
            let instance = InstanceRef { service: command.service.clone(), id: id.clone() };
            self.mark(&instance, command.drain, &command.source, effects);
        }
        self.publisher.advance();
        let answer = self.drained(command, ids);
        effects.reply(reply, Ok(answer));
    }

    fn mark(&mut self, instance: &InstanceRef, drain: Drain, source: &Source, effects: &mut Effects) {
        let Some(installed) = self.directory.instance_mut(instance) else { return };
        installed.set_draining(drain == Drain::Begins);
        let (instance, from) = (instance.clone(), source.address);
        effects.report(match drain {
            Drain::Begins => Report::DrainBegan { instance, from },
            Drain::Ends => Report::DrainEnded { instance, from },
        });
    }

    /// An instance that is draining registers just so: that ends the drain, and nothing else of it changes.
    pub(super) fn begin_return(&mut self, command: Box<Registration>, reply: ReplyId, now: Now, effects: &mut Effects) {
        let service = command.definition.service.clone();
        let instance = InstanceRef { service: service.clone(), id: command.instance.id.clone() };
        self.hear_registration(&instance, command.kind, now, effects);
        self.directory.claim_id(&instance);
        let changes = vec![change(instance.id, Drain::Ends)];
        self.submit(&service, ServiceWrite::Return { command, reply }, changes, effects);
    }

    pub(super) fn finish_return(&mut self, command: &Registration, reply: ReplyId, now: Now, effects: &mut Effects) {
        let instance = InstanceRef { service: command.definition.service.clone(), id: command.instance.id.clone() };
        self.directory.release_id(&instance);
        self.mark(&instance, Drain::Ends, &command.source, effects);
        self.hear_registration(&instance, command.kind, now, effects);
        self.publisher.advance();
        let outcome = self.registered(&instance, true);
        effects.reply_to_command(reply, &instance.service, &command.source, outcome);
    }

    pub(super) fn fail_return(&mut self, command: &Registration, reply: ReplyId, why: &str, effects: &mut Effects) {
        let service = command.definition.service.clone();
        self.directory.release_id(&InstanceRef { service, id: command.instance.id.clone() });
        let refused = Err(Refusal::StoreFailed(why.to_owned()));
        effects.reply_to_command(reply, &command.definition.service, &command.source, refused);
    }
}

fn change(instance: InstanceId, drain: Drain) -> Change {
    match drain {
        Drain::Begins => Change::PutDraining(instance),
        Drain::Ends => Change::RemoveDraining(instance),
    }
}
