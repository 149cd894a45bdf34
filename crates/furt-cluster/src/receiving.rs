//! A message's way in: whose it is, whether it is new, and whether its sender may say so.

use crate::cluster::Cluster;
use crate::effects::Effects;
use crate::message::{Body, Opened, To};
use crate::model::{Now, Standing};
use crate::parts::{Ask, Envelope};
use crate::refused::Refused;

/// What the sender of a body must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    /// Anyone who is not revoked. The body's own way checks the rest.
    Anyone,
    Approved,
    Commander,
}

fn sender_of(body: &Body) -> Sender {
    match body {
        Body::Beat(_)
        | Body::JoinAsked { .. }
        | Body::JoinChallenge { .. }
        | Body::JoinProof { .. }
        | Body::Welcome { .. } => Sender::Anyone,
        Body::BeatsAsked
        | Body::RecordsAsked
        | Body::RecordsGiven(_)
        | Body::SecretAsked(_)
        | Body::SecretGiven { .. }
        | Body::VaultTokenAsked
        | Body::VaultTokenGiven
        | Body::SettingsChecked { .. }
        | Body::DocumentAsked { .. }
        // What it says is said by a record, which a commander signed.
        | Body::DocumentGiven { .. }
        | Body::UpdateResult(_) => Sender::Approved,
        Body::SettingsCheck(_) | Body::ProgramAsked { .. } => Sender::Commander,
    }
}

impl Cluster {
    pub(crate) fn handle_opened(&mut self, opened: Opened, now: Now, effects: &mut Effects) {
        let from = opened.from;
        if let Err(why) = self.receive(opened, now, effects) {
            self.refuse(Some(from), why, effects);
        }
    }

    fn receive(&mut self, opened: Opened, now: Now, effects: &mut Effects) -> Result<(), Refused> {
        let Opened { from, key, boot, seq, at_ms, to, cluster, body } = opened;
        if from == self.own() {
            if boot == self.boot {
                return Ok(());
            }
            // What was said before this start, and comes again, proves nothing.
            let is_alive = boot > self.boot || u64::try_from(at_ms).is_ok_and(|at| at > self.boot.0);
            if is_alive {
                self.nodes.note_own_key(now);
            }
            return Err(Refused::OwnKey);
        }
        if let (Some(own), Some(other)) = (self.membership, cluster)
            && own.cluster != other
        {
            self.nodes.note_foreign(other, now);
            return Err(Refused::Foreign);
        }
        if to != To::All && to != To::Node(self.own()) {
            return Err(Refused::NotForUs);
        }
        let standing = self.standing(&from);
        if standing == Standing::Revoked {
            return Err(Refused::Revoked);
        }
        let envelope = Envelope { from, key, boot, seq, at_ms, cluster };
        let (roster, peers) = (&self.roster, &self.policy.peers);
        self.nodes.admit(&envelope, now, |key| peers.contains_key(key) || roster.standing(key).is_approved())?;
        match sender_of(&body) {
            Sender::Anyone => {}
            Sender::Approved | Sender::Commander if !standing.is_approved() => return Err(Refused::Unapproved),
            Sender::Commander if !standing.is_commander() => return Err(Refused::MemberCommand),
            Sender::Approved | Sender::Commander => {}
        }
        self.take(envelope, body, now, effects)
    }

    fn take(&mut self, envelope: Envelope, body: Body, now: Now, effects: &mut Effects) -> Result<(), Refused> {
        let from = envelope.from;
        match body {
            Body::Beat(beat) => self.handle_beat(&envelope, *beat, now, effects),
            Body::BeatsAsked => {
                self.answer_beats_asked(now, effects);
                Ok(())
            }
            Body::JoinAsked { token, nonce } => self.handle_join_asked(&envelope, token, nonce, now, effects),
            Body::JoinChallenge { transcript, proof } => {
                self.handle_join_challenge(&envelope, transcript, proof, now, effects)
            }
            Body::JoinProof { transcript, proof } => self.handle_join_proof(&envelope, transcript, proof, now, effects),
            Body::Welcome { transcript, founder, records } => {
                self.handle_welcome(&envelope, transcript, founder, records, now, effects)
            }
            Body::RecordsAsked => {
                if self.nodes.get_mut(&from).is_some_and(|node| node.may_ask(Ask::GiveRecords, now)) {
                    self.give_records(To::Node(from), now, effects);
                }
                Ok(())
            }
            Body::RecordsGiven(records) => self.handle_records(records, now, effects),
            Body::SecretAsked(id) => self.handle_secret_asked(&from, id, now, effects),
            Body::SecretGiven { id, check } => self.handle_secret_given(id, check, now, effects),
            Body::VaultTokenAsked => self.handle_vault_token_asked(&from, now, effects),
            Body::VaultTokenGiven => self.handle_vault_token_given(&from, now, effects),
            Body::SettingsCheck(check) => {
                if check.request.by != from {
                    return Err(Refused::NotAsked);
                }
                self.handle_settings_check(*check, now, effects)
            }
            Body::SettingsChecked { request, scope, outcome } => {
                self.note_checked(&from, request, scope, outcome, now, effects)
            }
            Body::DocumentAsked { scope, id, secret } => {
                self.handle_document_asked(&from, scope, id, secret, now, effects)
            }
            Body::DocumentGiven { record, document, request } => {
                self.handle_document_given(*record, document, request, now, effects)
            }
            Body::ProgramAsked { request, program } => {
                self.handle_program_asked(&envelope, request, program, now, effects)
            }
            Body::UpdateResult(result) => {
                self.handle_result(&from, *result, now, effects);
                Ok(())
            }
        }
    }
}
