//! Operators' commands about keys and tokens, and the signatures that they need.

use std::time::Duration;

use crate::cluster::{Bus, Cluster};
use crate::command::{Answer, Command, Indispensable, Refusal, ReplyId};
use crate::effect::{DraftId, Effect};
use crate::effects::Effects;
use crate::message::{Body, To};
use crate::model::{Beat, Claim, Fingerprint, Now, Record, Role, Scope, Standing, TokenId};
use crate::parts::{MAX_NODES, MAX_TOKENS, Purpose};
use crate::stored::{Change, Token};

/// The longest life of a token.
const MAX_TOKEN_TTL: Duration = Duration::from_secs(7 * 24 * 3600);

impl Cluster {
    pub(crate) fn handle_command(&mut self, command: Command, reply: ReplyId, now: Now, effects: &mut Effects) {
        let outcome = match command {
            Command::Init(cluster) => self.found(cluster, reply, effects),
            Command::Approve(key, role) => self.approve(key, role, reply, now, effects),
            Command::Revoke(key) => self.revoke(key, reply, now, effects),
            Command::Forget(key) => self.forget(&key),
            Command::MakeToken { token, uses, ttl, role } => self.make_token(token, uses, ttl, role, now, effects),
            Command::DropToken(token) => self.drop_token(&token, effects),
            Command::AskBeats => self.ask_for_beats(now, effects),
            Command::Join(cluster, token) => match self.membership {
                Some(membership) if membership.cluster != cluster => Err(Refusal::Joined(membership.cluster)),
                Some(_) if self.is_approved() => Ok(Some(Answer::Done)),
                // Its approval may have become void with the commander that gave it.
                Some(_) | None => {
                    self.begin_joining(cluster, token, now, effects);
                    Ok(Some(Answer::Joining))
                }
            },
            Command::Rotate => self.rotate(reply, now, effects),
            Command::Adopt(id) => self.adopt(id, reply, now, effects),
            Command::Update(target, program) => self.update(target, program, reply, now, effects),
            Command::Set { settings, agreement, restart } => {
                self.set(settings, agreement, restart, reply, now, effects)
            }
        };
        match outcome {
            Ok(Some(answer)) => effects.answer(reply, Ok(answer)),
            // It is answered once it is through.
            Ok(None) => {}
            Err(refusal) => effects.answer(reply, Err(refusal)),
        }
    }

    /// Whether this node may command others now.
    pub(crate) fn check_command(&self) -> Result<(), Refusal> {
        match () {
            () if self.membership.is_none() => Err(Refusal::Unjoined),
            () if !self.is_commander() => Err(Refusal::NotCommander),
            () if self.bus != Bus::Up => Err(Refusal::BusDown),
            () if self.is_busy() => Err(Refusal::Busy),
            () => Ok(()),
        }
    }

    pub(crate) fn sign(&mut self, purpose: Purpose, claims: Vec<Claim>, now: Now, effects: &mut Effects) {
        let founding = if let Purpose::Found(cluster, ..) = purpose { Some(cluster) } else { None };
        let Some(cluster) = founding.or(self.membership.map(|membership| membership.cluster)) else { return };
        let draft = self.in_flight.draft(purpose);
        effects.push(Effect::Sign { draft, cluster, claims, at_ms: now.unix_ms });
    }

    pub(crate) fn has_room_for(&self, more: usize) -> bool {
        self.roster.approved() + more <= MAX_NODES && self.roster.has_room(more)
    }

    fn approve(
        &mut self,
        key: Fingerprint,
        role: Role,
        reply: ReplyId,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<Answer>, Refusal> {
        if self.membership.is_none() {
            self.joins.trusted.insert(key);
            effects.persist(vec![Change::Trusted(key)]);
            return Ok(Some(Answer::Done));
        }
        self.check_command()?;
        match self.roster.standing(&key) {
            Standing::Revoked => return Err(Refusal::Revoked(key)),
            Standing::Approved(has) if has >= role => return Ok(Some(Answer::Done)),
            Standing::Approved(_) => {}
            Standing::Pending if !self.has_room_for(1) => return Err(Refusal::Full),
            Standing::Pending => {}
        }
        self.sign(Purpose::Approve(key, Some(reply)), vec![Claim::Approved { subject: key, role }], now, effects);
        Ok(None)
    }

    /// On a commander, what the local file approves and is heard is approved for all.
    pub(crate) fn approve_configured(&mut self, now: Now, effects: &mut Effects) {
        if self.check_command().is_err() {
            return;
        }
        let lacks = |(key, role): &(&Fingerprint, &Role)| {
            self.nodes.get(key).is_some()
                && match self.roster.standing(key) {
                    Standing::Pending => true,
                    Standing::Approved(has) => has < **role,
                    Standing::Revoked => false,
                }
        };
        let missing: Vec<_> = self.policy.peers.iter().filter(lacks).map(|(key, role)| (*key, *role)).collect();
        for (subject, role) in missing {
            let is_signing = self.in_flight.has_draft(|one| matches!(one, Purpose::Approve(key, _) if *key == subject));
            if !is_signing && !self.is_busy() && self.has_room_for(1) {
                self.sign(Purpose::Approve(subject, None), vec![Claim::Approved { subject, role }], now, effects);
            }
        }
    }

    /// Revokes a key, and says again what it had said and is to stay.
    fn revoke(
        &mut self,
        key: Fingerprint,
        reply: ReplyId,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<Answer>, Refusal> {
        self.check_command()?;
        if self.membership.is_some_and(|membership| membership.founder == key) {
            return Err(Refusal::Indispensable(Indispensable::Founder));
        }
        if key == self.own() {
            return Err(Refusal::Indispensable(Indispensable::Own));
        }
        match self.standing(&key) {
            Standing::Revoked => return Ok(Some(Answer::Revoked(Default::default()))),
            Standing::Pending if self.nodes.get(&key).is_none() => return Err(Refusal::Unknown(key)),
            Standing::Pending | Standing::Approved(_) => {}
        }
        let mut again = self.roster.resting_on(&key);
        again.retain(|claim| self.can_be_had(claim, &key, now));
        let approved = |claim: &Claim| if let Claim::Approved { subject, .. } = claim { Some(*subject) } else { None };
        let subjects: Vec<_> = again.iter().filter_map(approved).collect();
        if subjects.contains(&self.own()) {
            return Err(Refusal::Indispensable(Indispensable::OwnApproval));
        }
        let mut claims = vec![Claim::Revoked { subject: key }];
        claims.extend(again);
        self.sign(Purpose::Revoke(key, subjects, reply), claims, now, effects);
        Ok(None)
    }

    /// Whether another node than the revoked one has what the claim speaks of. What the revoked node alone may have would be asked for
    /// without end.
    fn can_be_had(&self, claim: &Claim, revoked: &Fingerprint, now: Now) -> bool {
        let live: Vec<_> = self.live(now).into_iter().filter(|key| key != revoked).collect();
        let mut beats = live.iter().filter_map(|key| Some((*key, self.nodes.get(key)?.beat.as_ref()?)));
        match claim {
            Claim::Secret(id) => {
                let is_active = Some(*id) == self.roster.active();
                is_active || self.secrets.has(id) || beats.any(|(_, beat)| beat.held.contains(id))
            }
            Claim::Settings { scope, id, .. } => {
                let has = |key, beat: &Beat| match scope {
                    Scope::Cluster => beat.settings == Some(*id),
                    Scope::Node(node) => *node == key && beat.node_settings == Some(*id),
                };
                self.documents.get(*scope, *id).is_some() || beats.any(|(key, beat)| has(key, beat))
            }
            Claim::Approved { .. } | Claim::Revoked { .. } | Claim::Active(_) | Claim::Adopted(_) => true,
        }
    }

    fn forget(&mut self, key: &Fingerprint) -> Result<Option<Answer>, Refusal> {
        if self.standing(key).is_approved() {
            return Err(Refusal::Approved(*key));
        }
        self.nodes.remove(key).then_some(Some(Answer::Done)).ok_or(Refusal::Unknown(*key))
    }

    fn make_token(
        &mut self,
        token: TokenId,
        uses: u32,
        ttl: Duration,
        role: Role,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Option<Answer>, Refusal> {
        if self.membership.is_none() {
            return Err(Refusal::Unjoined);
        }
        if !self.is_commander() {
            return Err(Refusal::NotCommander);
        }
        if !(1..=256).contains(&uses) {
            return Err(Refusal::Invalid("a token is for 1 to 256 nodes"));
        }
        if ttl.is_zero() || ttl > MAX_TOKEN_TTL {
            return Err(Refusal::Invalid("a token lives for at most 7 days"));
        }
        if self.joins.tokens().len() >= MAX_TOKENS {
            let spent = self.joins.tokens().iter().filter(|(_, token)| token.uses == 0);
            let oldest = spent.min_by_key(|(_, token)| token.until_ms).map(|(id, _)| *id);
            oldest.into_iter().for_each(|id| self.end_token(&id, effects));
        }
        if self.joins.tokens().len() >= MAX_TOKENS {
            return Err(Refusal::Invalid("this node has 64 tokens; wait for the end of one"));
        }
        let ttl_ms = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
        let entry = Token { uses, until_ms: now.unix_ms.saturating_add(ttl_ms), role };
        self.joins.put_token(token, entry);
        effects.persist(vec![Change::Token(token, Some(entry))]);
        Ok(Some(Answer::Done))
    }

    fn drop_token(&mut self, token: &TokenId, effects: &mut Effects) -> Result<Option<Answer>, Refusal> {
        self.joins.token(token).ok_or(Refusal::NoSuchToken)?;
        self.end_token(token, effects);
        Ok(Some(Answer::Done))
    }

    pub(crate) fn end_token(&mut self, token: &TokenId, effects: &mut Effects) {
        self.joins.remove_token(token);
        effects.persist(vec![Change::Token(*token, None)]);
        effects.push(Effect::DropToken(*token));
    }

    fn ask_for_beats(&mut self, now: Now, effects: &mut Effects) -> Result<Option<Answer>, Refusal> {
        match (self.membership, self.bus) {
            (None, _) => Err(Refusal::Unjoined),
            (Some(_), Bus::Down | Bus::Left) => Err(Refusal::BusDown),
            (Some(_), Bus::Up) => {
                self.send(To::All, Body::BeatsAsked, now, effects);
                Ok(Some(Answer::Done))
            }
        }
    }

    pub(crate) fn handle_signed(&mut self, draft: DraftId, records: Vec<Record>, now: Now, effects: &mut Effects) {
        let Some(purpose) = self.in_flight.take_draft(draft) else { return };
        match purpose {
            Purpose::Found(cluster, secret, reply) => {
                self.finish_founding(cluster, secret, reply, records, now, effects)
            }
            Purpose::Approve(_, reply) => {
                self.put_out(records, now, effects);
                if let Some(reply) = reply {
                    effects.answer(reply, Ok(Answer::Done));
                }
            }
            Purpose::Revoke(_, again, reply) => {
                self.put_out(records, now, effects);
                effects.answer(reply, Ok(Answer::Revoked(again.into_iter().collect())));
            }
            Purpose::Join(transcript) => self.finish_join(transcript, records, now, effects),
            Purpose::Rotate(id, reply) => {
                self.secrets.set_made(None);
                self.take_records(records.clone(), vec![Change::Made(None)], now, effects);
                self.publish(To::All, records, now, effects);
                // It says that the secret can be had here.
                self.beat(now, effects);
                effects.answer(reply, Ok(Answer::Rotating(id)));
            }
            Purpose::Activate(_) => self.put_out(records, now, effects),
            Purpose::Adopt(reply) => {
                self.put_out(records, now, effects);
                effects.answer(reply, Ok(Answer::Done));
            }
            Purpose::Set(number) => self.apply_rollout(number, records, now, effects),
        }
    }

    /// Keeps records of this node and tells all others.
    fn put_out(&mut self, records: Vec<Record>, now: Now, effects: &mut Effects) {
        self.take_records(records.clone(), Vec::new(), now, effects);
        self.publish(To::All, records, now, effects);
    }
}
