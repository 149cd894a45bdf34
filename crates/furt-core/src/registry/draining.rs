//! Draining by a wish: the instances stay registered and probed, and get no new requests until they register again or the
//! drain is undone.
//!
//! A wish is about an instance, or about all that a service has then: one that registers later is asked as any other. As
//! all that is durable it takes two events. Who may is who may deregister. The mark itself is with the counters that
//! requests share (`routing::draining`); what leaves has it too, so that no request of an older snapshot comes late.

use std::sync::Arc;

use super::{
    Answer, Change, Effect, Event, InstanceRef, Member, Now, Pending, Refusal, Registration, Registry, ReplyId, Report,
    Source,
};
use crate::model::{InstanceId, ServiceName};

/// What becomes of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// No new requests from now on.
    Begins,
    /// As before.
    Ends,
}

/// The wish to begin a drain or to end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainWish {
    /// Whose.
    pub service: ServiceName,
    /// Which; `None`: all that the service has now.
    pub instance: Option<InstanceId>,
    /// Begin or end.
    pub drain: Drain,
    /// Who asks.
    pub source: Source,
}

impl Registry {
    pub(super) fn handle_drain(&mut self, wish: Box<DrainWish>, reply: ReplyId, effects: &mut Vec<Effect>) {
        let service = wish.service.clone();
        if self.pending_of.contains_key(&service) {
            self.park(&service, Event::DrainRequested(wish, reply), effects);
            return;
        }
        if let Err(refusal) = self.check_deregistration(&service, wish.instance.as_ref(), &wish.source) {
            self.answer(reply, &service, &wish.source, Err(refusal), effects);
            return;
        }
        let is_draining = wish.drain == Drain::Begins;
        let changing = self.concerned(&wish).filter(|member| member.is_draining != is_draining);
        let ids: Vec<_> = changing.map(|member| member.spec.id.clone()).collect();
        if ids.is_empty() {
            let answer = self.drained(&wish, &ids);
            effects.push(Effect::Answer(reply, Ok(answer)));
            return;
        }
        let changes = ids.iter().map(|id| change(id.clone(), wish.drain)).collect();
        self.submit(&service, Pending::Drain { wish, ids, reply }, changes, effects);
    }

    /// The instances that a wish is about.
    fn concerned(&self, wish: &DrainWish) -> impl Iterator<Item = &Member> {
        let members = self.services.get(&wish.service).into_iter().flat_map(|entry| entry.members.values());
        members.filter(|member| {
            !member.is_leaving() && wish.instance.as_ref().is_none_or(|wanted| *wanted == member.spec.id)
        })
    }

    fn drained(&self, wish: &DrainWish, changed: &[InstanceId]) -> Answer {
        let is_shown = |member: &&Member| wish.drain == Drain::Begins || changed.contains(&member.spec.id);
        let instances = self.concerned(wish).filter(is_shown).map(|member| Arc::clone(&member.live)).collect();
        Answer::Drained { instances, generation: self.view.generation() }
    }

    /// The store has it: from here on no request takes a place, whichever snapshot it reads.
    pub(super) fn finish_drain(
        &mut self,
        wish: &DrainWish,
        ids: &[InstanceId],
        reply: ReplyId,
        effects: &mut Vec<Effect>,
    ) {
        for id in ids {
            let instance = InstanceRef { service: wish.service.clone(), id: id.clone() };
            self.mark(&instance, wish.drain, &wish.source, effects);
        }
        self.view.advance();
        let answer = self.drained(wish, ids);
        effects.push(Effect::Answer(reply, Ok(answer)));
    }

    fn mark(&mut self, instance: &InstanceRef, drain: Drain, source: &Source, effects: &mut Vec<Effect>) {
        let Some(member) = self.member_mut(instance) else { return };
        member.is_draining = drain == Drain::Begins;
        member.note_draining();
        let (instance, from) = (instance.clone(), source.address);
        effects.push(Effect::Report(match drain {
            Drain::Begins => Report::DrainBegan { instance, from },
            Drain::Ends => Report::DrainEnded { instance, from },
        }));
    }

    /// An instance that is draining registers just so: that ends the drain, and nothing else of it changes.
    pub(super) fn begin_return(
        &mut self,
        wish: Box<Registration>,
        reply: ReplyId,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let service = wish.definition.service.clone();
        let instance = InstanceRef { service: service.clone(), id: wish.instance.id.clone() };
        self.hear_again(&instance, wish.brings, now, effects);
        self.probe_if_down(&instance, effects);
        self.claim_id(&instance);
        let changes = vec![change(instance.id, Drain::Ends)];
        self.submit(&service, Pending::Return { wish, reply }, changes, effects);
    }

    pub(super) fn finish_return(&mut self, wish: &Registration, reply: ReplyId, now: Now, effects: &mut Vec<Effect>) {
        let instance = InstanceRef { service: wish.definition.service.clone(), id: wish.instance.id.clone() };
        self.release_id(&instance.id);
        self.mark(&instance, Drain::Ends, &wish.source, effects);
        self.hear_again(&instance, wish.brings, now, effects);
        self.view.advance();
        let outcome = self.registered(&instance, true);
        self.answer(reply, &instance.service, &wish.source, outcome, effects);
    }

    pub(super) fn fail_return(&mut self, wish: &Registration, reply: ReplyId, why: &str, effects: &mut Vec<Effect>) {
        self.release_id(&wish.instance.id);
        let refused = Err(Refusal::StoreFailed(why.to_owned()));
        self.answer(reply, &wish.definition.service, &wish.source, refused, effects);
    }
}

fn change(instance: InstanceId, drain: Drain) -> Change {
    match drain {
        Drain::Begins => Change::PutDraining(instance),
        Drain::Ends => Change::RemoveDraining(instance),
    }
}
