//! The secret's generations: how the first is made, how the next one is, and when it becomes active.

use std::collections::BTreeSet;

use crate::cluster::Cluster;
use crate::command::{Answer, Refusal, ReplyId};
use crate::effect::{AskId, Bid, Effect};
use crate::effects::Effects;
use crate::event::Ruling;
use crate::model::{Claim, ClusterId, Fingerprint, Now, Record, SecretId};
use crate::parts::{Asked, Making, Purpose};
use crate::stored::{Change, Membership};

/// For how long the node that announced a generation alone may activate it, in ms. After that any commander does.
const AUTHOR_FIRST_MS: i64 = 30_000;
/// After this time without anyone who has it a secret is passed over by the next rotation, in ms.
const LOST_AFTER_MS: i64 = 60_000;

impl Cluster {
    /// `furt cluster init`. Nothing else ever makes a cluster's first secret.
    pub(crate) fn found(
        &mut self,
        cluster: ClusterId,
        reply: ReplyId,
        effects: &mut Effects,
    ) -> Result<Option<Answer>, Refusal> {
        if let Some(membership) = self.membership {
            return Err(Refusal::Joined(membership.cluster));
        }
        if self.is_busy() || self.in_flight.rotates() {
            return Err(Refusal::Busy);
        }
        self.in_flight.make(Making::Founding(cluster, reply));
        effects.push(Effect::MakeSecret { generation: 1 });
        Ok(None)
    }

    pub(crate) fn finish_founding(
        &mut self,
        cluster: ClusterId,
        secret: SecretId,
        reply: ReplyId,
        records: Vec<Record>,
        now: Now,
        effects: &mut Effects,
    ) {
        if let Some(membership) = self.membership {
            // It was welcomed into another one meanwhile.
            self.discard(secret, effects);
            return effects.answer(reply, Err(Refusal::Joined(membership.cluster)));
        }
        self.joins.joining = None;
        self.secrets.hold(secret);
        let membership = Membership { cluster, founder: self.own() };
        self.enter(membership, records, vec![Change::Secret(secret, None)], now, effects);
        effects.answer(reply, Ok(Answer::Founded(cluster, secret)));
    }

    pub(crate) fn rotate(
        &mut self,
        reply: ReplyId,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<Answer>, Refusal> {
        self.check_command()?;
        if let Some(split) = self.roster.split().and_then(|split| split.first().map(|id| id.generation)) {
            return Err(Refusal::Split(split));
        }
        let active = self.roster.active().filter(|id| self.secrets.active() == Some(*id)).ok_or(Refusal::NoSecret)?;
        let next = self.next_secret();
        if let Some(next) = next.filter(|next| !self.is_lost(*next, now)) {
            return Err(Refusal::RotationRuns(next));
        }
        if self.in_flight.rotates() {
            return Err(Refusal::Busy);
        }
        let latest = next.unwrap_or(active).generation;
        let generation = latest.max(self.taken.abandoned(None, now)).saturating_add(1);
        match self.secrets.made() {
            // The arbiter may have given it to this node, and its answer was lost.
            Some(made) if made.generation == generation => self.bid_for_secret(made, reply, effects),
            made => {
                if let Some(made) = made {
                    self.discard(made, effects);
                }
                self.in_flight.make(Making::Rotating(generation, reply));
                effects.push(Effect::MakeSecret { generation });
            }
        }
        Ok(None)
    }

    pub(crate) fn handle_secret_made(&mut self, id: SecretId, now: Now, effects: &mut Effects) {
        match self.in_flight.take_making() {
            Some(Making::Founding(cluster, reply)) => {
                let claims = vec![Claim::Secret(id), Claim::Active(id)];
                self.sign(Purpose::Found(cluster, id, reply), claims, now, effects);
            }
            Some(Making::Rotating(generation, reply)) if generation == id.generation => {
                self.secrets.hold(id);
                self.secrets.set_made(Some(id));
                effects.persist(vec![Change::Secret(id, None), Change::Made(Some(id))]);
                self.bid_for_secret(id, reply, effects);
            }
            Some(Making::Rotating(_, reply)) => {
                effects.push(Effect::DropSecret(id));
                effects.answer(reply, Err(Refusal::Busy));
            }
            None => effects.push(Effect::DropSecret(id)),
        }
    }

    fn bid_for_secret(&mut self, id: SecretId, reply: ReplyId, effects: &mut Effects) {
        let ask = self.in_flight.ask(Asked::Rotate(id, reply));
        effects.push(Effect::AskArbiter(ask, Bid::Secret(id)));
    }

    pub(crate) fn handle_ruling(&mut self, ask: AskId, ruling: Ruling, now: Now, effects: &mut Effects) {
        match self.in_flight.take_ask(ask) {
            Some(Asked::Rotate(id, reply)) => self.end_bid(id, reply, ruling, now, effects),
            Some(Asked::Set(number, scope)) => self.note_ruling(number, scope, ruling, now, effects),
            None => {}
        }
    }

    fn end_bid(&mut self, id: SecretId, reply: ReplyId, ruling: Ruling, now: Now, effects: &mut Effects) {
        let latest = self.roster.announced().last().map_or(0, |latest| latest.generation);
        match ruling {
            Ruling::Granted if !self.is_commander() => effects.answer(reply, Err(Refusal::NotCommander)),
            Ruling::Granted if id.generation > latest => {
                self.sign(Purpose::Rotate(id, reply), vec![Claim::Secret(id)], now, effects);
            }
            Ruling::Granted => {
                self.discard(id, effects);
                effects.answer(reply, Err(Refusal::SecretTaken(latest)));
            }
            Ruling::Taken(generation) => {
                self.taken.note(None, generation, now);
                self.discard(id, effects);
                effects.answer(reply, Err(Refusal::SecretTaken(generation)));
            }
            Ruling::Unreachable(why) => effects.answer(reply, Err(Refusal::NoArbiter(why))),
        }
    }

    /// Wipes a secret that was not announced.
    fn discard(&mut self, id: SecretId, effects: &mut Effects) {
        if self.secrets.made() == Some(id) {
            self.secrets.set_made(None);
            effects.persist(vec![Change::Made(None), Change::SecretDropped(id)]);
        }
        self.secrets.drop(&id);
        effects.push(Effect::DropSecret(id));
    }

    pub(crate) fn adopt(
        &mut self,
        id: SecretId,
        reply: ReplyId,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<Answer>, Refusal> {
        self.check_command()?;
        if !self.roster.split().is_some_and(|split| split.contains(&id)) {
            return Err(Refusal::NoSuchSecret);
        }
        self.sign(Purpose::Adopt(reply), vec![Claim::Adopted(id)], now, effects);
        Ok(None)
    }

    /// The secret that is announced and not active yet. While several have its generation there is none.
    pub(crate) fn next_secret(&self) -> Option<SecretId> {
        let announced = self.roster.announced();
        let latest = announced.last().copied()?;
        let is_single = announced.iter().filter(|one| one.generation == latest.generation).count() == 1;
        (is_single && self.roster.active().is_none_or(|active| active.generation < latest.generation)).then_some(latest)
    }

    /// Whether a secret was announced a while ago and nobody who is there has it: its maker is gone.
    fn is_lost(&self, id: SecretId, now: Now) -> bool {
        let said =
            self.roster.records().filter(|record| record.claim == Claim::Secret(id)).map(|record| record.at_ms).max();
        let is_old = said.is_some_and(|said| now.unix_ms.saturating_sub(said) >= LOST_AFTER_MS);
        is_old && self.has_heard_all(now) && self.lacking(id, now).len() > self.live(now).len()
    }

    /// The approved nodes that are there and do not have the secret.
    pub(crate) fn lacking(&self, id: SecretId, now: Now) -> BTreeSet<Fingerprint> {
        let has = |key: &Fingerprint| {
            self.nodes.get(key).and_then(|node| node.beat.as_ref()).is_some_and(|beat| beat.held.contains(&id))
        };
        let mut lacking: BTreeSet<_> = self.live(now).into_iter().filter(|key| !has(key)).collect();
        if !self.secrets.has(&id) {
            lacking.insert(self.own());
        }
        lacking
    }

    /// Activates the next secret once everyone who is there has it.
    pub(crate) fn activate_if_held(&mut self, now: Now, effects: &mut Effects) {
        let Some(next) = self.next_secret() else { return };
        if self.check_command().is_err() || !self.has_heard_all(now) || !self.lacking(next, now).is_empty() {
            return;
        }
        let of_next = |record: &&Record| record.claim == Claim::Secret(next);
        let announced = self.roster.records().find(of_next).map(|record| (record.by, record.at_ms));
        let Some((author, at_ms)) = announced else { return };
        if author != self.own() && now.unix_ms.saturating_sub(at_ms) < AUTHOR_FIRST_MS {
            return;
        }
        if !self.in_flight.has_draft(|purpose| *purpose == Purpose::Activate(next)) {
            self.sign(Purpose::Activate(next), vec![Claim::Active(next)], now, effects);
        }
    }
}
