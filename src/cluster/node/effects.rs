//! Carries out what the core says, in its order.

use std::collections::VecDeque;

use furt_bus::Bus;
use furt_cluster::model::{SecretId, TokenId};
use furt_cluster::{Answer, Change, Effect, Event, Outgoing, Refusal, ReplyId, Report, Ruling};
use furt_seal::{Enclosed, Secret};

use super::{Happened, Maker, Node, Waiting, now};
use crate::clock;
use crate::cluster::handle::{Failure, MadeToken};
use crate::private_files::FileError;

impl<B: Bus> Node<'_, B> {
    /// What one event leads to by itself is handled before the next from outside.
    pub(super) fn handle_all(&mut self, happened: Happened) -> Result<(), FileError> {
        let mut queue = VecDeque::from([happened]);
        while let Some((event, mut enclosed)) = queue.pop_front() {
            let effects = self.core.handle(event, now());
            self.carry_out_all(effects, &mut enclosed, &mut queue)?;
        }
        Ok(())
    }

    pub(super) fn carry_out_all(
        &mut self,
        effects: Vec<Effect>,
        enclosed: &mut Option<Enclosed>,
        queue: &mut VecDeque<Happened>,
    ) -> Result<(), FileError> {
        effects.into_iter().try_for_each(|effect| self.carry_out(effect, enclosed, queue))
    }

    fn carry_out(
        &mut self,
        effect: Effect,
        enclosed: &mut Option<Enclosed>,
        queue: &mut VecDeque<Happened>,
    ) -> Result<(), FileError> {
        let mut next = |event| queue.push_back((event, None));
        match effect {
            Effect::Persist(changes) => {
                let mut after = self.stored.clone();
                for change in changes {
                    if let Change::Applied(scope, id, document) = &change {
                        let history = self.history.with(*scope, *id, document, clock::unix_ms());
                        self.folder.keep_history(&history)?;
                        self.history = history;
                    }
                    after.apply(change);
                }
                self.folder.keep(&after)?;
                self.stored = after;
            }
            Effect::Send(message) => self.send(self.seal.seal(&message), &message),
            Effect::GiveSecret { id, key, message, .. } => self.send(self.seal.give(&id, &key, &message), &message),
            Effect::MakeSecret { generation } => {
                let made = Secret::draw(generation);
                let id = made.id();
                self.folder.keep_secret(&made)?;
                self.seal.insert_secret(made);
                next(Event::SecretMade(id));
            }
            Effect::KeepSecret(id) => {
                if let Some(Enclosed::Secret(secret)) = enclosed.take_if(|one| is_secret(one, &id)) {
                    self.folder.keep_secret(&secret)?;
                    self.seal.insert_secret(secret);
                }
            }
            Effect::DropSecret(id) => {
                self.seal.remove_secret(&id);
                self.folder.drop_secret(&id)?;
            }
            Effect::Sign { draft, cluster, claims, at_ms } => {
                next(Event::Signed(draft, self.seal.sign(cluster, &claims, at_ms)));
            }
            Effect::AskArbiter(ask, bid) => match self.core.membership() {
                Some(membership) => {
                    self.arbiter.ask(ask, membership.cluster, bid, clock::now());
                    let answered = self.arbiter.advance(&self.seal, self.bus, clock::now());
                    answered.into_iter().for_each(|(ask, ruling)| next(Event::ArbiterAnswered(ask, ruling)));
                }
                None => {
                    next(Event::ArbiterAnswered(ask, Ruling::Unreachable("this node belongs to no cluster".into())))
                }
            },
            Effect::Check { check, scope, restart, document } => self.outside.check(check, scope, restart, &document),
            Effect::Apply { scope, id, restart, document } => self.outside.apply(scope, id, restart, &document),
            Effect::StageProgram(program) => self.programs.stage(program),
            Effect::TakeOver(program) => self.programs.take_over(program),
            Effect::MakeVaultToken { to, name } => match self.vault {
                Some(calls) => (calls.make)(to, &name),
                None => next(Event::VaultTokenMade(to, Err("this node has no Vault".into()))),
            },
            Effect::GiveVaultToken { key, message, .. } => {
                if let Some(Enclosed::VaultToken(token)) = enclosed.take() {
                    self.send(self.seal.give_vault_token(&token, &key, &message), &message);
                }
            }
            Effect::KeepVaultToken => {
                if let (Some(Enclosed::VaultToken(token)), Some(calls)) = (enclosed.take(), self.vault) {
                    (calls.keep)(token);
                }
            }
            Effect::DropToken(token) => self.drop_token(&token)?,
            Effect::Answer(reply, answer) => self.answer(reply, answer)?,
            Effect::Report(report) => {
                if matches!(report, Report::Joined(_)) {
                    self.end_joins()?;
                }
                self.telling.report(&report);
            }
        }
        Ok(())
    }

    fn send(&mut self, sealed: Result<furt_bus::Outgoing, furt_seal::SealError>, message: &Outgoing) {
        match sealed {
            // What is lost is said again: nobody waits for an outcome.
            Ok(sealed) => {
                if let Err(why) = self.bus.publish(sealed) {
                    log::debug!("cluster: a message was not sent: {why}");
                }
            }
            Err(why) => log::error!("cluster: a message cannot be sealed: {why} ({:?})", message.to),
        }
    }

    fn answer(&mut self, reply: ReplyId, answer: Result<Answer, Refusal>) -> Result<(), FileError> {
        // A caller that has left is answered in vain.
        match self.waiting.remove(&reply) {
            Some(Waiting::Command(caller) | Waiting::OwnUpdate(caller)) => {
                _ = caller.send(answer.map_err(Failure::Refused))
            }
            Some(Waiting::Token(Maker { token, reply })) => match answer {
                Ok(_) => {
                    let until_ms = self.stored.tokens.get(&token.id()).map_or(0, |kept| kept.until_ms);
                    _ = reply.send(Ok(MadeToken { text: token.text().to_string(), id: token.id(), until_ms }));
                }
                Err(refusal) => {
                    self.drop_token(&token.id())?;
                    _ = reply.send(Err(refusal.into()));
                }
            },
            Some(Waiting::Nobody) => {
                if let Err(refusal) = answer {
                    log::warn!("cluster: this node cannot join: {refusal}");
                }
            }
            None => {}
        }
        Ok(())
    }

    pub(super) fn drop_token(&mut self, token: &TokenId) -> Result<(), FileError> {
        self.seal.remove_token(token);
        self.folder.drop_token(token)
    }

    /// The tokens that this node was to join by are of no more use; those that it made are.
    fn end_joins(&mut self) -> Result<(), FileError> {
        std::mem::take(&mut self.joins).into_keys().try_for_each(|id| self.drop_token(&id))
    }
}

fn is_secret(enclosed: &Enclosed, id: &SecretId) -> bool {
    matches!(enclosed, Enclosed::Secret(secret) if secret.id() == *id)
}
