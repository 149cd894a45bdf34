//! What must hold after every event; swept in debug builds and tests.

use super::{Due, InstanceRef, Pending, Registering, Registry};
use crate::model::Status;
use crate::routing::Owner;

impl Registry {
    /// Whether a sweep costs little.
    pub(super) fn is_small(&self) -> bool {
        self.services.len().max(self.owners.len()).max(self.keys.len()) <= 256
    }

    /// # Panics
    /// Where one of the rules below is broken: that is a bug in the core.
    pub(super) fn sweep_invariants(&self) {
        self.sweep_services();
        self.sweep_claims();
        self.sweep_owners();
        self.sweep_waiting();
        self.sweep_slots();
        self.sweep_keys();
    }

    fn sweep_services(&self) {
        for (name, entry) in &self.services {
            assert!(entry.members.are_counted(), "{name}: the counts are its instances'");
            assert_eq!(entry.status, entry.overall(), "{name}: status is its instances'");
            let is_held = self.deadlines.is_set(&Due::Held(name.clone()));
            if entry.members.is_empty() && !self.pending_of.contains_key(name) {
                assert!(is_held, "{name}: without instances only while held");
            }
            if is_held {
                assert!(entry.members.is_empty(), "{name}: held only without instances");
            }
            for (id, member) in entry.members.iter() {
                let instance = InstanceRef { service: name.clone(), id: id.clone() };
                assert_eq!(self.owners.get(id).map(|owner| &owner.service), Some(name), "{instance}: owns its id");
                let slot = self.view.snapshot.ids.get(id);
                assert_eq!(slot, Some(&entry.slot), "{instance}: found by its id");
                assert_eq!(member.seen.status, member.health().status(), "{instance}: is seen as it is");
                assert_eq!(member.seen.addresses, member.addresses, "{instance}: is seen where it is");
                let takes_none = member.is_draining || member.is_leaving();
                assert_eq!(member.live.is_draining(), takes_none, "{instance}: requests know whether it takes them");
                if member.ttl.is_some() && !member.is_leaving() {
                    assert!(
                        self.deadlines.is_set(&Due::Instance(instance.clone())),
                        "{instance}: its TTL has a deadline"
                    );
                }
                // Not by the number of failures: that which makes it DOWN may have changed since the last verdict.
                if member.health().is_stopped() {
                    assert_eq!(member.health().status(), Status::Down, "{instance}: DOWN once probing has ended");
                }
            }
        }
    }

    fn sweep_claims(&self) {
        let installed: usize = self.services.values().map(|entry| entry.effective.routes.len()).sum();
        let pending: usize = self.pending.values().map(|pending| self.claimed_by(pending)).sum();
        assert_eq!(self.claims.total(), installed + pending, "each installed and pending route is claimed once");
    }

    fn sweep_owners(&self) {
        let installed: usize = self.services.values().map(|entry| entry.members.len()).sum();
        let is_claim = |pending: &&Pending| matches!(pending, Pending::Register(_) | Pending::Return { .. });
        let pending = self.pending.values().filter(is_claim).count();
        assert_eq!(self.view.snapshot.ids.len(), installed, "nothing else is found by an id");
        let owned: usize = self.owners.values().map(|owner| owner.count).sum();
        assert_eq!(owned, installed + pending, "each installed and pending instance owns its id once");
    }

    fn sweep_waiting(&self) {
        let pending: usize = self.pending_of.values().map(|writes| writes.len()).sum();
        assert_eq!(pending, self.pending.len(), "each pending write is of one service");
        for (service, queue) in &self.parked {
            assert!(!queue.is_empty() && self.pending_of.contains_key(service), "{service}: waits for a write");
        }
        for (name, entry) in self.services.iter().filter(|(_, entry)| entry.is_leaving) {
            assert!(self.pending_of.contains_key(name), "{name}: leaves only while its removal is written");
            assert!(entry.members.values().all(|member| member.is_leaving()), "{name}: leaves with all instances");
        }
    }

    fn claimed_by(&self, pending: &Pending) -> usize {
        match pending {
            Pending::Register(Registering { wish, definition_of: Some(_), .. }) => {
                super::view::effective(&wish.definition, &self.settings.policy.apps_domain).routes.len()
            }
            Pending::Register(_) | Pending::Remove { .. } | Pending::Drain { .. } | Pending::Return { .. } => 0,
        }
    }

    fn sweep_slots(&self) {
        let snapshot = &self.view.snapshot;
        let free = self.view.free_slots();
        let mut routes = 0;
        for (name, entry) in &self.services {
            assert!(!free.contains(&entry.slot), "{name}: its slot is its own");
            let shown = snapshot.names.get(name).copied();
            assert_eq!(shown, (!entry.is_leaving).then_some(entry.slot), "{name}: found by name unless it leaves");
            routes += if entry.is_leaving { 0 } else { entry.effective.routes.len() };
        }
        let of_services = snapshot.table.iter().filter(|route| matches!(route.owner, Owner::Service(_))).count();
        assert_eq!(of_services, routes, "the table holds the routes of all services that stay");
        let mut statics = 0;
        for ((host, pattern, method), slot) in self.view.static_slots() {
            statics += 1;
            assert!(!free.contains(&slot), "{method} {pattern}: its slot is its own");
            let shown = snapshot
                .table
                .iter()
                .find(|route| (route.host.as_ref(), &route.pattern, &route.method) == (host.as_ref(), pattern, method));
            let owner = shown.map(|route| route.owner);
            assert_eq!(owner, Some(Owner::Static(slot)), "{method} {pattern}: a static route is never overlaid");
        }
        let of_statics = snapshot.table.len() - of_services;
        assert_eq!(of_statics, statics, "the table holds the static routes, and none of before");
    }
}
