//! A node's start with what is on its disk.

use crate::cluster::{Bus, Cluster};
use crate::effect::Effect;
use crate::effects::Effects;
use crate::model::{Boot, Now};
use crate::parts::{Documents, InFlight, Joins, Nodes, Rollouts, Roster, Secrets, Taken, Updates, VaultTokens};
use crate::policy::{Condition, Identity, Nonces, Policy};
use crate::refused::RefusedCounts;
use crate::stored::{Applying, Change, Stored};

impl Cluster {
    /// A node at its start, with what is stored of it; [`Stored::default`] at its first one. The effects are to be carried out
    /// before anything else; the driver says [`Event::BusUp`](crate::Event::BusUp) once the bus is there.
    pub fn restore(
        identity: Identity,
        policy: Policy,
        stored: Stored,
        nonces: Nonces,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let mut effects = Effects::default();
        let least = stored.boot.map_or(1, |boot| boot.0.saturating_add(1));
        let boot = Boot(u64::try_from(now.unix_ms).unwrap_or_default().max(least));
        // Before a message has it.
        effects.persist(vec![Change::Boot(boot)]);
        let documents = Documents::new(&stored);
        let Stored { membership, trusted, records, secrets, active, made, tokens, applying, updating, floor, .. } =
            stored;
        let roster = membership.map(|membership| Roster::new(membership.founder, records)).unwrap_or_default();
        let mut cluster = Self {
            identity,
            boot,
            seq: 0,
            policy,
            condition: Condition::default(),
            nonces,
            bus: Bus::Down,
            hears_since: None,
            membership,
            roster,
            nodes: Nodes::default(),
            joins: Joins::new(tokens, trusted),
            secrets: Secrets::new(secrets, active, made),
            vault: VaultTokens::default(),
            documents,
            rollouts: Rollouts::default(),
            updates: Updates::default(),
            in_flight: InFlight::default(),
            taken: Taken::default(),
            refused: RefusedCounts::default(),
            next_beat: now.at,
            last_beat: None,
            last_request: 0,
            untold: Vec::new(),
            split_told: None,
        };
        if membership.is_none() {
            // Of a cluster whose making was cut short.
            for id in cluster.secrets.held().collect::<Vec<_>>() {
                cluster.secrets.drop(&id);
                effects.persist(vec![Change::SecretDropped(id)]);
                effects.push(Effect::DropSecret(id));
            }
        }
        cluster.settle(now, &mut effects);
        cluster.end_applying(applying, now, &mut effects);
        cluster.end_update(updating, floor, now, &mut effects);
        #[cfg(any(test, debug_assertions))]
        cluster.sweep_invariants();
        (cluster, effects.into_vec())
    }

    /// The restart may have been the one that a document asked for: then it is told once the bus is there.
    fn end_applying(&mut self, applying: Option<Applying>, now: Now, effects: &mut Effects) {
        let Some(Applying { scope, id, request }) = applying else { return };
        if self.documents.is_applying() {
            // It is tried again already.
            return;
        }
        effects.persist(vec![Change::Applying(None)]);
        if self.documents.applied(scope) == Some(id) {
            self.tell_result(id, Ok(()), request, now, effects);
        }
    }
}
