//! How a node comes into a cluster: by a token, or welcomed by a node that both sides were told of.
//!
//! With a token the maker proves first that it knows it; only then does the joiner prove the same, and only a maker that has
//! proved it can welcome the joiner. Nothing is taken before: no cluster, no record, no secret.

use std::time::Duration;

use crate::cluster::Cluster;
use crate::effects::Effects;
use crate::message::{Body, MAX_RECORDS_A_MESSAGE, Proof, To, Transcript};
use crate::model::{Claim, ClusterId, Fingerprint, Nonce, Now, Record, Role, TokenId};
use crate::parts::{Ask, Envelope, Joining, Purpose, Roster};
use crate::refused::Refused;
use crate::report::Report;
use crate::stored::{Change, Membership};

/// The longest wait between two attempts: they double from 1 s on and never end.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

impl Cluster {
    pub(crate) fn begin_joining(&mut self, cluster: ClusterId, token: TokenId, now: Now, effects: &mut Effects) {
        self.joins.joining = Some(Joining { cluster, token, nonce: None, proven: None, tries: 0, next: now.at });
        self.continue_joining(now, effects);
    }

    /// Asks for the maker of the token, with a nonce of its own each time.
    pub(crate) fn continue_joining(&mut self, now: Now, effects: &mut Effects) {
        let Some(joining) = self.joins.joining.as_mut().filter(|joining| joining.next <= now.at) else { return };
        let wait = Duration::from_secs(1 << joining.tries.min(5)).min(LONGEST_WAIT);
        joining.tries = joining.tries.saturating_add(1);
        joining.next = now.at + wait;
        let nonce = (self.nonces)();
        (joining.nonce, joining.proven) = (Some(nonce), None);
        let token = joining.token;
        self.send(To::All, Body::JoinAsked { token, nonce }, now, effects);
    }

    /// At the maker: proves that it knows the token. Other nodes do not have it and say nothing.
    pub(crate) fn handle_join_asked(
        &mut self,
        envelope: &Envelope,
        token: TokenId,
        nonce: Nonce,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let (Some(membership), Some(entry)) = (self.membership, self.joins.token(&token)) else { return Ok(()) };
        let is_approved = self.roster.standing(&envelope.from).is_approved();
        if entry.until_ms <= now.unix_ms || (entry.uses == 0 && !is_approved) {
            return Err(Refused::TokenSpent);
        }
        if !self.nodes.get_mut(&envelope.from).is_some_and(|node| node.may_ask(Ask::Challenge, now)) {
            return Ok(());
        }
        let transcript = Transcript {
            cluster: membership.cluster,
            token,
            joiner: envelope.from,
            joiner_boot: envelope.boot,
            joiner_nonce: nonce,
            maker: self.own(),
            maker_boot: self.boot,
            maker_nonce: (self.nonces)(),
        };
        self.joins.challenge(transcript, now);
        self.send(To::Node(envelope.from), Body::JoinChallenge { transcript, proof: Proof::Make }, now, effects);
        Ok(())
    }

    /// At the joiner: only a right proof over the nonce of this attempt is answered.
    pub(crate) fn handle_join_challenge(
        &mut self,
        envelope: &Envelope,
        transcript: Transcript,
        proof: Proof,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let (own, boot) = (self.own(), self.boot);
        let joining = self.joins.joining.as_mut().ok_or(Refused::NotAsked)?;
        let expected = Transcript {
            cluster: joining.cluster,
            token: joining.token,
            joiner: own,
            joiner_boot: boot,
            joiner_nonce: joining.nonce.ok_or(Refused::NotAsked)?,
            maker: envelope.from,
            maker_boot: envelope.boot,
            maker_nonce: transcript.maker_nonce,
        };
        if transcript != expected || envelope.cluster != Some(joining.cluster) || joining.proven.is_some() {
            return Err(Refused::NotAsked);
        }
        if proof != Proof::Right {
            return Err(Refused::WrongProof);
        }
        joining.proven = Some(transcript);
        self.send(To::Node(envelope.from), Body::JoinProof { transcript, proof: Proof::Make }, now, effects);
        Ok(())
    }

    /// At the maker: a right proof over the nonce of its challenge admits the key, and takes one use of the token.
    pub(crate) fn handle_join_proof(
        &mut self,
        envelope: &Envelope,
        transcript: Transcript,
        proof: Proof,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        if (transcript.joiner, transcript.joiner_boot) != (envelope.from, envelope.boot) {
            return Err(Refused::NotAsked);
        }
        if self.is_busy() {
            // It tries again.
            return Ok(());
        }
        self.joins.answer(&transcript, now)?;
        if proof != Proof::Right {
            return Err(Refused::WrongProof);
        }
        let entry = self.joins.token(&transcript.token).ok_or(Refused::TokenSpent)?;
        if self.roster.standing(&envelope.from).is_approved() {
            // It has joined, and did not hear that it had.
            self.welcome(&envelope.from, Some(transcript), now, effects);
            return Ok(());
        }
        if entry.until_ms <= now.unix_ms || !self.is_commander() {
            return Err(Refused::TokenSpent);
        }
        if !self.has_room_for(1) {
            return Err(Refused::Full);
        }
        self.joins.use_token(&transcript.token)?;
        let claims = vec![Claim::Approved { subject: envelope.from, role: entry.role }];
        self.sign(Purpose::Join(transcript), claims, now, effects);
        Ok(())
    }

    /// At the maker: the approval is signed. It is stored together with what is left of the token. One that is used up stays until its
    /// time is over: the node may not hear that it has joined, and then proves once more.
    pub(crate) fn finish_join(
        &mut self,
        transcript: Transcript,
        records: Vec<Record>,
        now: Now,
        effects: &mut Effects,
    ) {
        let left = self.joins.token(&transcript.token);
        let change = left.map(|token| Change::Token(transcript.token, Some(token)));
        self.take_records(records.clone(), change.into_iter().collect(), now, effects);
        self.publish(To::All, records, now, effects);
        self.welcome(&transcript.joiner, Some(transcript), now, effects);
    }

    /// Welcomes a node that is approved and does not belong to the cluster yet. It takes that from nodes alone that it was told
    /// of at its own place.
    pub(crate) fn welcome_approved(&mut self, to: &Fingerprint, now: Now, effects: &mut Effects) {
        let is_due = self.nodes.get_mut(to).is_some_and(|node| node.may_ask(Ask::Welcome, now));
        // A member's would not be taken, and of many nodes each would send one.
        if self.is_commander() && self.roster.standing(to).is_approved() && is_due {
            self.welcome(to, None, now, effects);
        }
    }

    fn welcome(&mut self, to: &Fingerprint, transcript: Option<Transcript>, now: Now, effects: &mut Effects) {
        let Some(Membership { founder, .. }) = self.membership else { return };
        let mut records = self.roster.chain(&self.own());
        for record in self.roster.chain(to) {
            if !records.contains(&record) {
                records.push(record);
            }
        }
        records.truncate(MAX_RECORDS_A_MESSAGE);
        self.send(To::Node(*to), Body::Welcome { transcript, founder, records }, now, effects);
        self.give_records(To::Node(*to), now, effects);
    }

    pub(crate) fn handle_welcome(
        &mut self,
        envelope: &Envelope,
        transcript: Option<Transcript>,
        founder: Fingerprint,
        records: Vec<Record>,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let cluster = envelope.cluster.ok_or(Refused::NotAsked)?;
        if self.membership.is_some() && self.is_approved() {
            // The second of several welcomes.
            return Ok(());
        }
        let is_awaited = match transcript {
            Some(transcript) => {
                let proven = self.joins.joining.as_ref().and_then(|joining| joining.proven);
                proven == Some(transcript) && transcript.maker == envelope.from && transcript.cluster == cluster
            }
            None => {
                let is_other = self.joins.joining.as_ref().is_some_and(|joining| joining.cluster != cluster);
                // A member does not say which cluster there is.
                let is_commander = self.policy.peers.get(&envelope.from) == Some(&Role::Commander);
                let is_told = is_commander || self.joins.trusted.contains(&envelope.from);
                is_told && !is_other
            }
        };
        if !is_awaited {
            return Err(Refused::NotAsked);
        }
        if records.len() > MAX_RECORDS_A_MESSAGE {
            return Err(Refused::TooLarge);
        }
        self.joins.joining = None;
        let membership = Membership { cluster, founder };
        if self.membership.is_some() {
            // It was in before, so it knows founder and records.
            return self.handle_records(records, now, effects);
        }
        self.enter(membership, records, Vec::new(), now, effects);
        Ok(())
    }

    /// Belongs to a cluster from now on.
    pub(crate) fn enter(
        &mut self,
        membership: Membership,
        records: Vec<Record>,
        mut changes: Vec<Change>,
        now: Now,
        effects: &mut Effects,
    ) {
        self.membership = Some(membership);
        self.roster = Roster::new(membership.founder, Default::default());
        changes.push(Change::Membership(membership));
        self.take_records(records, changes, now, effects);
        effects.report(Report::Joined(membership.cluster));
        self.beat(now, effects);
        self.send(To::All, Body::BeatsAsked, now, effects);
    }
}
