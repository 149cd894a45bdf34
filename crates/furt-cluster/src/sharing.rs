//! How the secret comes to each node, and to no one else.

use std::collections::BTreeSet;

use crate::cluster::{Bus, Cluster};
use crate::effect::Effect;
use crate::effects::Effects;
use crate::message::{Body, Protect, To};
use crate::model::{CheckValue, Fingerprint, MAX_HELD, Now, SecretId};
use crate::parts::{Ask, OVERLAP};
use crate::refused::Refused;
use crate::report::Report;
use crate::stored::Change;

impl Cluster {
    /// Draws the conclusions from the records about secrets: what to ask for, what to seal by, what to wipe.
    pub(crate) fn settle_secrets(&mut self, now: Now, effects: &mut Effects) {
        let (announced, split, active) = (self.roster.announced(), self.roster.split(), self.roster.active());
        self.report_split(split.as_ref(), effects);
        let oldest = active.map_or(0, |active| active.generation);
        let is_current = |id: &&SecretId| id.generation >= oldest;
        let is_split = |id: &SecretId| split.as_ref().is_some_and(|split| split.contains(id));
        // Nobody may give this node anything before it is approved; nothing of a split is taken before one is adopted.
        let wanted = if self.is_approved() {
            announced.iter().filter(is_current).filter(|id| !is_split(id)).copied().collect()
        } else {
            BTreeSet::new()
        };
        self.secrets.want(wanted, now);
        if let Some(active) = active.filter(|id| self.secrets.has(id) && self.secrets.active() != Some(*id)) {
            self.secrets.activate(active);
            effects.persist(vec![Change::Active(active)]);
            effects.report(Report::SecretActivated(active));
        }
        let needed: BTreeSet<_> = announced
            .iter()
            .filter(is_current)
            .copied()
            .chain(self.secrets.active())
            .chain(self.secrets.made())
            .collect();
        self.end_secrets(&needed, now, effects);
    }

    fn report_split(&mut self, split: Option<&BTreeSet<SecretId>>, effects: &mut Effects) {
        let generation = split.and_then(|split| split.first().map(|id| id.generation));
        if let Some(generation) = generation.filter(|generation| self.split_told != Some(*generation)) {
            effects.report(Report::SecretSplit(generation));
        }
        self.split_told = generation;
    }

    /// What is not needed opens messages for a while, and is wiped then.
    fn end_secrets(&mut self, needed: &BTreeSet<SecretId>, now: Now, effects: &mut Effects) {
        let end_ms = now.unix_ms.saturating_add(i64::try_from(OVERLAP.as_millis()).unwrap_or(i64::MAX));
        for id in self.secrets.held().collect::<Vec<_>>() {
            let until_ms = (!needed.contains(&id)).then_some(end_ms);
            if self.secrets.set_end(&id, until_ms) {
                effects.persist(vec![Change::Secret(id, until_ms)]);
            }
        }
        let mut ended = self.secrets.ended(now);
        // Rotations in quick succession: the oldest gives way.
        let others: Vec<_> = self.secrets.held().filter(|id| !needed.contains(id) && !ended.contains(id)).collect();
        let surplus = (self.secrets.held().count() - ended.len()).saturating_sub(MAX_HELD);
        ended.extend(others.into_iter().take(surplus));
        for id in ended {
            self.secrets.drop(&id);
            effects.persist(vec![Change::SecretDropped(id)]);
            effects.push(Effect::DropSecret(id));
        }
    }

    /// Asks one of those that have it for each secret that this node lacks; each time another one.
    pub(crate) fn ask_for_secrets(&mut self, now: Now, effects: &mut Effects) {
        let turn = self.secrets.ask(now);
        let live = self.live(now);
        for id in self.secrets.wanted().collect::<Vec<_>>() {
            let has = |key: &&Fingerprint| {
                self.nodes.get(key).and_then(|node| node.beat.as_ref()).is_some_and(|beat| beat.held.contains(&id))
            };
            let holders: Vec<_> = live.iter().filter(has).copied().collect();
            if !holders.is_empty() {
                self.ask_for_secret(&holders[turn % holders.len()], id, now, effects);
            }
        }
    }

    pub(crate) fn ask_for_secret(&mut self, from: &Fingerprint, id: SecretId, now: Now, effects: &mut Effects) {
        if self.nodes.get_mut(from).is_some_and(|node| node.may_ask(Ask::Secret(id), now)) {
            self.send(To::Node(*from), Body::SecretAsked(id), now, effects);
        }
    }

    /// Gives a secret to an approved key: the one way on which it leaves this node.
    pub(crate) fn handle_secret_asked(
        &mut self,
        from: &Fingerprint,
        id: SecretId,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        // By the records, not by the local file: what a file says, no other node can know.
        if !self.roster.standing(from).is_approved() || !self.is_approved() {
            return Err(Refused::Unapproved);
        }
        let is_given = self.secrets.has(&id) && self.roster.announced().contains(&id);
        let Some(node) = self.nodes.get_mut(from).filter(|_| is_given) else { return Ok(()) };
        if !node.may_ask(Ask::Give(id), now) || self.bus != Bus::Up {
            return Ok(());
        }
        let key = node.key.clone();
        let body = Body::SecretGiven { id, check: id.check };
        let message = Box::new(self.message(To::Node(*from), Protect::Signed, body, now));
        effects.push(Effect::GiveSecret { id, to: *from, key, message });
        effects.report(Report::SecretGiven(id, *from));
        Ok(())
    }

    /// Takes a secret that was asked for, if it is the one that a commander announced.
    pub(crate) fn handle_secret_given(
        &mut self,
        id: SecretId,
        check: CheckValue,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        if self.secrets.has(&id) && check == id.check {
            // The second answer.
            return Ok(());
        }
        if !self.secrets.wants(&id) {
            return Err(Refused::NotAsked);
        }
        if check != id.check {
            return Err(Refused::WrongCheck);
        }
        effects.push(Effect::KeepSecret(id));
        effects.persist(vec![Change::Secret(id, None)]);
        self.secrets.hold(id);
        effects.report(Report::SecretTaken(id));
        self.settle_secrets(now, effects);
        // Who activates the next one waits for this.
        self.beat(now, effects);
        // Documents come sealed by it.
        self.ask_for_documents(None, now, effects);
        Ok(())
    }
}
