//! How a node comes to a token of a Vault: another one has one made for it. The bytes never reach the core.

use std::sync::Arc;

use crate::cluster::{Bus, Cluster};
use crate::effect::Effect;
use crate::effects::Effects;
use crate::message::{Body, Protect, To};
use crate::model::{Fingerprint, Now, VaultSide};
use crate::refused::Refused;
use crate::report::Report;

impl Cluster {
    /// Follows what the node says of itself.
    pub(crate) fn settle_vault(&mut self, now: Now) {
        match self.condition.vault {
            VaultSide::Wants => self.vault.want(now),
            VaultSide::Apart | VaultSide::Makes => self.vault.rest(),
        }
    }

    /// Asks one of those that make tokens; each time another one.
    pub(crate) fn ask_for_vault_token(&mut self, now: Now, effects: &mut Effects) {
        let makes = |key: &Fingerprint| {
            self.nodes.get(key).and_then(|node| node.beat.as_ref()).is_some_and(|beat| beat.vault == VaultSide::Makes)
        };
        let makers: Vec<_> = self.live(now).into_iter().filter(makes).collect();
        if makers.is_empty() || !self.is_approved() || self.bus != Bus::Up {
            return self.vault.wait(now);
        }
        let maker = makers[self.vault.turn() % makers.len()];
        self.vault.note_asked(maker, now);
        self.send(To::Node(maker), Body::VaultTokenAsked, now, effects);
    }

    /// Has a token made for an approved key, never one of this node's own.
    pub(crate) fn handle_vault_token_asked(
        &mut self,
        from: &Fingerprint,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        // By the records, as with secrets: the local file alone lets nobody have a token.
        if !self.roster.standing(from).is_approved() || !self.is_approved() {
            return Err(Refused::Unapproved);
        }
        if self.condition.vault != VaultSide::Makes || self.bus != Bus::Up {
            return Ok(());
        }
        let name = self.nodes.get(from).and_then(|node| node.beat.as_ref()).map(|beat| beat.name.clone());
        if let Some(name) = name
            && self.vault.begin(*from, now)
        {
            effects.push(Effect::MakeVaultToken { to: *from, name });
        }
        Ok(())
    }

    /// Gives the token that was made: the one way on which it leaves this node. The key may have been revoked meanwhile; then the
    /// token is wiped with its event, and ends unwrapped.
    pub(crate) fn handle_vault_token_made(
        &mut self,
        to: Fingerprint,
        outcome: Result<(), Arc<str>>,
        now: Now,
        effects: &mut Effects,
    ) {
        let is_due = self.vault.end(&to, now);
        if let Err(why) = outcome {
            return effects.report(Report::VaultTokenFailed(to, why));
        }
        if !is_due || !self.roster.standing(&to).is_approved() || !self.is_approved() || self.bus != Bus::Up {
            return;
        }
        let Some(key) = self.nodes.get(&to).map(|node| node.key.clone()) else { return };
        let message = Box::new(self.message(To::Node(to), Protect::Signed, Body::VaultTokenGiven, now));
        effects.push(Effect::GiveVaultToken { to, key, message });
        effects.report(Report::VaultTokenGiven(to));
    }

    /// Takes the one answer that is waited for.
    pub(crate) fn handle_vault_token_given(
        &mut self,
        from: &Fingerprint,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let is_approved = self.roster.standing(from).is_approved();
        if !is_approved || !self.vault.take_answer(from, now) {
            return Err(Refused::NotAsked);
        }
        effects.push(Effect::KeepVaultToken);
        effects.report(Report::VaultTokenTaken(*from));
        Ok(())
    }
}
