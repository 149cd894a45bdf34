//! Beats: this node's own, and what follows from those of others.

use std::time::Duration;

use crate::cluster::{Bus, Cluster};
use crate::effects::Effects;
use crate::message::{Body, To};
use crate::model::{Beat, Now, Scope, Status};
use crate::parts::{Ask, Envelope};
use crate::refused::Refused;
use crate::report::Report;

/// Between two beats that others ask for.
const ASKED_GAP: Duration = Duration::from_secs(1);
/// The longest version that a beat may name, in bytes: beats of pending keys are kept, and strangers send them.
const MAX_VERSION_BYTES: usize = 64;
/// The most secrets of another node's beat that are looked at.
const MAX_HELD_READ: usize = crate::model::MAX_HELD;

impl Cluster {
    pub(crate) fn handle_bus_up(&mut self, now: Now, effects: &mut Effects) {
        if self.bus == Bus::Left {
            return;
        }
        (self.bus, self.hears_since) = (Bus::Up, Some(now.at));
        self.beat(now, effects);
        if self.membership.is_some() {
            // So that it knows within a round trip who is there.
            self.send(To::All, Body::BeatsAsked, now, effects);
        }
        for result in std::mem::take(&mut self.untold) {
            self.send(To::All, Body::UpdateResult(Box::new(result)), now, effects);
        }
    }

    pub(crate) fn leave(&mut self, now: Now, effects: &mut Effects) {
        self.condition.status = Status::Leaving;
        self.beat(now, effects);
        self.bus = Bus::Left;
    }

    /// Beats now, and next an interval later.
    pub(crate) fn beat(&mut self, now: Now, effects: &mut Effects) {
        let beat = self.own_beat(now);
        self.send(To::All, Body::Beat(Box::new(beat)), now, effects);
        self.last_beat = Some(now.at);
        self.next_beat = now.at + self.interval();
    }

    /// What this node says of itself.
    pub(crate) fn own_beat(&self, now: Now) -> Beat {
        Beat {
            name: self.identity.name.clone(),
            status: self.condition.status,
            version: self.identity.version.clone(),
            interval: self.interval(),
            metrics: self.condition.metrics,
            registry: self.condition.registry,
            vault: self.condition.vault,
            records: self.roster.sum(),
            secret: self.secrets.active(),
            held: self.secrets.held().collect(),
            settings: self.documents.applied(Scope::Cluster),
            node_settings: self.documents.applied(Scope::Node(self.own())),
            skew_ms: self.skew(now),
        }
    }

    pub(crate) fn answer_beats_asked(&mut self, now: Now, effects: &mut Effects) {
        let next = self.last_beat.map_or(now.at, |at| at + ASKED_GAP);
        if next <= now.at {
            self.beat(now, effects);
        } else {
            self.next_beat = self.next_beat.min(next);
        }
    }

    /// The median of what the clocks of approved nodes are ahead of this one, in ms.
    fn skew(&self, now: Now) -> Option<i64> {
        let mut all: Vec<_> = self.live(now).iter().filter_map(|key| Some(self.nodes.get(key)?.skew_ms)).collect();
        all.sort_unstable();
        all.get(all.len() / 2).copied()
    }

    pub(crate) fn handle_beat(
        &mut self,
        envelope: &Envelope,
        mut beat: Beat,
        now: Now,
        effects: &mut Effects,
    ) -> Result<(), Refused> {
        let from = envelope.from;
        if beat.version.len() > MAX_VERSION_BYTES {
            return Err(Refused::Malformed);
        }
        beat.held.truncate(MAX_HELD_READ);
        beat.interval = beat.interval.clamp(Duration::from_secs(1), Duration::from_secs(60));
        let is_first = self.nodes.get(&from).is_none_or(|node| node.beat.is_none());
        if is_first && !self.standing(&from).is_approved() {
            effects.report(Report::PendingHeard(from, beat.name.clone()));
        }
        self.nodes.take_beat(&from, beat.clone(), now);
        self.report_states(now, effects);
        if self.standing(&from).is_approved() {
            if envelope.cluster.is_none() {
                self.welcome_approved(&from, now, effects);
            } else if self.membership.is_some() {
                self.catch_up(envelope, &beat, now, effects);
            }
        }
        self.approve_configured(now, effects);
        self.activate_if_held(now, effects);
        self.note_seen(&from, &beat, now, effects);
        self.retry_waiting(now, effects);
        Ok(())
    }

    /// Asks a node for what it has and this one lacks.
    fn catch_up(&mut self, envelope: &Envelope, beat: &Beat, now: Now, effects: &mut Effects) {
        let from = envelope.from;
        let differs = beat.records != self.roster.sum();
        if differs && self.nodes.get_mut(&from).is_some_and(|node| node.may_ask(Ask::Records, now)) {
            self.send(To::Node(from), Body::RecordsAsked, now, effects);
        }
        if let Some(id) = beat.settings.filter(|id| self.lacks(Scope::Cluster, *id)) {
            self.ask_for_document(&from, Scope::Cluster, id, now, effects);
        }
        for id in beat.held.iter().filter(|id| self.secrets.wants(id)).copied().collect::<Vec<_>>() {
            self.ask_for_secret(&from, id, now, effects);
        }
        self.ask_for_documents(Some(from), now, effects);
    }

    /// What is looked at with each beat of this node.
    pub(crate) fn tidy_up(&mut self, now: Now, effects: &mut Effects) {
        self.nodes.forget_old(now);
        for token in self.joins.ended_tokens(now) {
            self.end_token(&token, effects);
        }
        self.report_states(now, effects);
        self.settle(now, effects);
        self.retry_waiting(now, effects);
    }

    fn report_states(&mut self, now: Now, effects: &mut Effects) {
        let (roster, peers) = (&self.roster, &self.policy.peers);
        let is_approved = |key| peers.contains_key(key) || roster.standing(key).is_approved();
        for (key, node) in self.nodes.iter_mut().filter(|(key, _)| is_approved(key)) {
            let Some(to) = node.state(now).filter(|to| node.told != Some(*to)) else { continue };
            effects.report(Report::NodeStateChanged { node: *key, from: node.told, to });
            node.told = Some(to);
        }
    }
}
