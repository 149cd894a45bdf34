//! The core's parts, and which way takes an event.

use std::time::{Duration, Instant};

use crate::effect::Effect;
use crate::effects::Effects;
use crate::event::Event;
use crate::message::{Body, Outgoing, Protect, To};
use crate::model::{Boot, Document, Fingerprint, Now, Role, Scope, SecretId, SettingsId, Standing, UpdateResult};
use crate::parts::{
    Documents, InFlight, Joins, MAX_IN_FLIGHT, Node, Nodes, Rollouts, Roster, Secrets, Taken, Updates, VaultTokens,
};
use crate::policy::{Condition, Identity, Nonces, Policy};
use crate::refused::{Refused, RefusedCounts};
use crate::report::Report;
use crate::stored::Membership;

/// Whether messages can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bus {
    Up,
    Down,
    /// The node has said that it ends: it says nothing after that.
    Left,
}

/// A node of a cluster: what it knows and decides. See the [crate's page](crate).
pub struct Cluster {
    pub(crate) identity: Identity,
    pub(crate) boot: Boot,
    pub(crate) seq: u64,
    pub(crate) policy: Policy,
    pub(crate) condition: Condition,
    pub(crate) nonces: Nonces,
    pub(crate) bus: Bus,
    /// Since when all others could be heard: what follows from a node's silence is not decided before its beats can have come.
    pub(crate) hears_since: Option<Instant>,
    pub(crate) membership: Option<Membership>,
    pub(crate) roster: Roster,
    pub(crate) nodes: Nodes,
    pub(crate) joins: Joins,
    pub(crate) secrets: Secrets,
    pub(crate) vault: VaultTokens,
    pub(crate) documents: Documents,
    pub(crate) rollouts: Rollouts,
    pub(crate) updates: Updates,
    pub(crate) in_flight: InFlight,
    pub(crate) taken: Taken,
    pub(crate) refused: RefusedCounts,
    pub(crate) next_beat: Instant,
    pub(crate) last_beat: Option<Instant>,
    pub(crate) last_request: u64,
    /// What could not be told, since the bus was away.
    pub(crate) untold: Vec<UpdateResult>,
    /// The generation whose split was reported.
    pub(crate) split_told: Option<u64>,
}

impl Cluster {
    /// Takes what happened at `now` and says what is to be done, in this order. Never panics, whatever a message says; in
    /// debug builds it does where an invariant of its own is broken.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Effects::default();
        self.dispatch(event, now, &mut effects);
        #[cfg(any(test, debug_assertions))]
        self.sweep_invariants();
        effects.into_vec()
    }

    /// When [`Event::DeadlineReached`] is due next; `None`: the node has left.
    pub fn next_deadline(&self) -> Option<Instant> {
        if self.bus == Bus::Left {
            return None;
        }
        let joining = self.joins.joining.as_ref().map(|joining| joining.next);
        let updating = self.updates.commanded.map(|one| one.until);
        [joining, self.secrets.next_ask(), self.vault.next_ask(), self.rollouts.next(), updating]
            .into_iter()
            .flatten()
            .chain([self.next_beat])
            .min()
    }

    /// This start of the node, which stands on each of its messages.
    pub fn boot(&self) -> Boot {
        self.boot
    }

    /// The cluster; `None`: the node belongs to none.
    pub fn membership(&self) -> Option<Membership> {
        self.membership
    }

    /// The secret that this node seals by, where it has one: sticky cookies and tickets are derived from it.
    pub fn active_secret(&self) -> Option<SecretId> {
        self.secrets.active()
    }

    /// The secrets that this node has, in their order.
    pub fn held_secrets(&self) -> impl Iterator<Item = SecretId> {
        self.secrets.held()
    }

    /// The document of a scope that is in force at this node, with its name.
    pub fn document(&self, scope: Scope) -> Option<(SettingsId, &Document)> {
        let id = self.documents.applied(scope)?;
        Some((id, self.documents.get(scope, id)?))
    }

    /// The latest document of a scope by the records, and its content where this node has it.
    pub fn latest(&self, scope: Scope) -> Option<(SettingsId, Option<&Document>)> {
        let (_, id, _) = self.roster.settings(scope)?;
        Some((id, self.documents.get(scope, id)))
    }

    /// Whether the key may command, by the records: whose bids an arbiter counts.
    pub fn may_command(&self, key: &Fingerprint) -> bool {
        self.roster.standing(key).is_commander()
    }

    fn dispatch(&mut self, event: Event, now: Now, effects: &mut Effects) {
        match event {
            Event::Opened(opened) => self.handle_opened(*opened, now, effects),
            Event::Refused(why) => self.refuse(None, why, effects),
            Event::Commanded(command, reply) => self.handle_command(command, reply, now, effects),
            Event::SecretMade(id) => self.handle_secret_made(id, now, effects),
            Event::Signed(draft, records) => self.handle_signed(draft, records, now, effects),
            Event::ArbiterAnswered(ask, ruling) => self.handle_ruling(ask, ruling, now, effects),
            Event::Checked(check, outcome) => self.handle_checked(check, outcome, now, effects),
            Event::Applied(scope, id, outcome) => self.handle_applied(scope, id, outcome, now, effects),
            Event::VaultTokenMade(to, outcome) => self.handle_vault_token_made(to, outcome, now, effects),
            Event::ProgramStaged(program, outcome) => self.handle_staged(program, outcome, now, effects),
            Event::Replaced => self.handle_replaced(now, effects),
            Event::TakeoverFailed(why) => self.handle_takeover_failed(why, now, effects),
            Event::ConditionChanged(condition) => {
                self.condition = condition;
                self.settle_vault(now);
            }
            Event::PolicyChanged(policy) => {
                let allows_others = policy.settings != self.policy.settings;
                self.policy = policy;
                if allows_others {
                    self.documents.forget_refusals();
                    self.ask_for_documents(None, now, effects);
                }
                self.next_beat = self.next_beat.min(now.at + self.interval());
            }
            Event::BusUp => self.handle_bus_up(now, effects),
            Event::BusDown => {
                if self.bus == Bus::Up {
                    (self.bus, self.hears_since) = (Bus::Down, None);
                }
            }
            Event::Leaving => self.leave(now, effects),
            Event::DeadlineReached => self.handle_deadlines(now, effects),
        }
    }

    fn handle_deadlines(&mut self, now: Now, effects: &mut Effects) {
        if self.bus == Bus::Left {
            return;
        }
        self.continue_joining(now, effects);
        if self.secrets.next_ask().is_some_and(|at| at <= now.at) {
            self.ask_for_secrets(now, effects);
        }
        if self.vault.next_ask().is_some_and(|at| at <= now.at) {
            self.ask_for_vault_token(now, effects);
        }
        self.end_phases(now, effects);
        self.end_waiting_update(now, effects);
        if self.next_beat <= now.at {
            self.beat(now, effects);
            self.tidy_up(now, effects);
        }
    }

    /// How the key stands, by the records and by the local file.
    pub(crate) fn standing(&self, key: &Fingerprint) -> Standing {
        let configured = self.policy.peers.get(key).map_or(Standing::Pending, |role| Standing::Approved(*role));
        // Revoked is the greatest.
        self.roster.standing(key).max(configured)
    }

    pub(crate) fn own(&self) -> Fingerprint {
        self.identity.fingerprint
    }

    /// Whether this node may command, by the records.
    pub(crate) fn is_commander(&self) -> bool {
        self.roster.standing(&self.own()) == Standing::Approved(Role::Commander)
    }

    /// Whether this node belongs to its cluster, by the records.
    pub(crate) fn is_approved(&self) -> bool {
        self.roster.standing(&self.own()).is_approved()
    }

    /// The approved nodes that are there and belong to the cluster, this one not among them. One that is approved and was not
    /// welcomed yet can have nothing.
    pub(crate) fn live(&self, now: Now) -> Vec<Fingerprint> {
        let belongs = |key, node: &Node| node.cluster.is_some() && self.standing(key).is_approved();
        let live = self.nodes.iter().filter(|(key, node)| node.is_live(now) && belongs(key, node));
        live.map(|(key, _)| *key).collect()
    }

    /// Whether every node that is there can have been heard.
    pub(crate) fn has_heard_all(&self, now: Now) -> bool {
        let approved = self.nodes.iter().filter(|(key, _)| self.standing(key).is_approved());
        let longest = approved.filter_map(|(_, node)| node.beat.as_ref().map(|beat| beat.interval)).max();
        let patience = longest.unwrap_or_default().max(self.policy.interval()) * 3;
        self.hears_since.is_some_and(|since| now.at.saturating_duration_since(since) >= patience)
    }

    pub(crate) fn commands_in_flight(&self) -> usize {
        self.in_flight.len() + self.rollouts.len() + usize::from(self.updates.commanded.is_some())
    }

    pub(crate) fn is_busy(&self) -> bool {
        self.commands_in_flight() >= MAX_IN_FLIGHT
    }

    pub(crate) fn refuse(&mut self, from: Option<Fingerprint>, why: Refused, effects: &mut Effects) {
        self.refused.count(why);
        effects.report(Report::Refused { from, why });
    }

    pub(crate) fn send(&mut self, to: To, body: Body, now: Now, effects: &mut Effects) {
        self.send_protected(to, Protect::Signed, body, now, effects);
    }

    /// Sends what not everyone on the bus may read, by the latest secret that the receiver has as well. Where there is none the
    /// receiver asks again once it has one.
    pub(crate) fn send_sealed(&mut self, to: &Fingerprint, body: Body, now: Now, effects: &mut Effects) {
        let Some(id) = self.common_secret(to) else { return };
        self.send_protected(To::Node(*to), Protect::Cluster(id), body, now, effects);
    }

    /// The secret that this node seals by, if the other one has it as well; else the latest that both have.
    pub(crate) fn common_secret(&self, with: &Fingerprint) -> Option<SecretId> {
        let beat = self.nodes.get(with)?.beat.as_ref()?;
        let active = self.secrets.active().filter(|id| beat.held.contains(id));
        active.or_else(|| self.secrets.held().filter(|id| beat.held.contains(id)).max())
    }

    pub(crate) fn send_protected(&mut self, to: To, protect: Protect, body: Body, now: Now, effects: &mut Effects) {
        if self.bus == Bus::Up {
            let message = self.message(to, protect, body, now);
            effects.send(message);
        }
    }

    pub(crate) fn message(&mut self, to: To, protect: Protect, body: Body, now: Now) -> Outgoing {
        self.seq += 1;
        let cluster = self.membership.map(|membership| membership.cluster);
        Outgoing { boot: self.boot, seq: self.seq, at_ms: now.unix_ms, to, cluster, protect, body }
    }

    /// Until the next beat.
    pub(crate) fn interval(&self) -> Duration {
        self.policy.interval()
    }
}
