//! What must hold after every event; swept in debug builds and tests.

use super::dispatch::Registry;
use super::eligibility::effective;
use super::ids::InstanceRef;
use super::leases::Due;
use super::service_write::{Registering, ServiceWrite};
use crate::model::{DrainUntil, Status};
use crate::routing::Owner;

impl Registry {
    /// Whether a sweep costs little.
    pub(super) fn is_small(&self) -> bool {
        self.directory.len().max(self.directory.ids().len()).max(self.keys.len()) <= 256
    }

    /// # Panics
    /// Where one of the rules below is broken: that is a bug in the core.
    pub(super) fn sweep_invariants(&self) {
        self.sweep_services();
        self.sweep_claims();
        self.sweep_owners();
        self.sweep_waiting();
        self.sweep_holds();
        self.sweep_maintenance();
        self.sweep_splits();
        self.sweep_grants();
        self.sweep_indexes();
        self.keys.sweep(&self.publisher);
        let is_installed = |instance: &InstanceRef| self.directory.instance(instance).is_some();
        assert!(self.outage.is_consistent(is_installed), "who fails together is counted, and installed");
    }

    fn sweep_services(&self) {
        for (name, entry) in self.directory.services() {
            assert!(entry.instances().are_counted(), "{name}: the counts are its instances'");
            assert_eq!(entry.status(), entry.overall(), "{name}: status is its instances'");
            let is_held = self.leases.is_set(&Due::HeldRoutes(name.clone()));
            if entry.instances().is_empty() && !self.outbox.is_writing(name) {
                assert!(is_held, "{name}: without instances only while held");
            }
            if is_held {
                assert!(entry.instances().is_empty(), "{name}: held only without instances");
            }
            for (id, installed) in entry.instances().iter() {
                let instance = InstanceRef { service: name.clone(), id: id.clone() };
                assert!(self.directory.ids().claims(id, name) > 0, "{instance}: owns its id");
                let index = self.publisher.snapshot().ids.get(id);
                assert_eq!(index, Some(&entry.index()), "{instance}: found by its id");
                assert!(self.places.has(&instance, installed.spec()), "{instance}: is found where it is");
                assert_eq!(installed.published().status, installed.health().status(), "{instance}: is seen as it is");
                assert_eq!(&installed.published().addresses, installed.addresses(), "{instance}: is seen where it is");
                let takes_none = installed.drain().is_some() || installed.is_being_removed();
                assert_eq!(
                    installed.live().is_draining(),
                    takes_none,
                    "{instance}: requests know whether it takes them"
                );
                let hold = installed.drain().filter(|mark| mark.until == DrainUntil::Undo);
                assert_eq!(hold, self.holds.get(&instance), "{instance}: drains until undone where its id is held");
                assert_eq!(installed.live().drain().as_ref(), installed.drain(), "{instance}: its drain is shown");
                let is_exclusive = !self.settings.sharing.is_shared();
                if installed.liveness().ttl().is_some() && !installed.is_being_removed() && is_exclusive {
                    assert!(self.leases.is_set(&Due::Instance(instance.clone())), "{instance}: its TTL has a deadline");
                }
                if installed.has_lapsed() && !installed.is_being_removed() {
                    let is_due = self.leases.is_set(&Due::Lapsed(instance.clone()));
                    assert!(is_due || self.outbox.is_writing(name), "{instance}: is stored again, or leaves");
                }
                // Not by the number of failures: that which makes it DOWN may have changed since the last verdict.
                if installed.health().is_stopped() {
                    assert_eq!(installed.health().status(), Status::Down, "{instance}: DOWN once probing has ended");
                }
            }
        }
    }

    fn sweep_claims(&self) {
        let installed: usize = self.directory.services().map(|(_, entry)| self.claimed(entry).routes.len()).sum();
        assert_eq!(self.claims.total(), installed, "each installed route is claimed once");
        let pending: usize = self.outbox.writes().map(|write| self.claimed_by(write)).sum();
        assert_eq!(self.pending_claims.total(), pending, "each pending route is claimed once");
    }

    fn sweep_owners(&self) {
        let installed: usize = self.directory.services().map(|(_, entry)| entry.instances().len()).sum();
        let claims = |write: &ServiceWrite| match write {
            ServiceWrite::Register(registering) => registering.ids().count(),
            ServiceWrite::Return { .. } | ServiceWrite::Restore { .. } => 1,
            ServiceWrite::Remove { .. } | ServiceWrite::Drain { .. } => 0,
        };
        let pending: usize = self.outbox.writes().map(claims).sum();
        let is_registration = |write: &&ServiceWrite| matches!(write, ServiceWrite::Register(_));
        let registrations = self.outbox.writes().filter(is_registration).count();
        assert_eq!(self.places.counts(), (installed, registrations), "each instance and registration has its place");
        assert!(*self.places.shared() == self.publisher.snapshot().shared_urls, "shared urls are shown");
        assert_eq!(self.publisher.snapshot().ids.len(), installed, "nothing else is found by an id");
        assert_eq!(
            self.directory.ids().total(),
            installed + pending,
            "each installed and pending instance owns its id once"
        );
    }

    fn sweep_holds(&self) {
        let shown = self.publisher.snapshot().held.iter().map(|held| (&held.service, &held.id, &held.mark));
        assert!(shown.eq(self.holds.iter().map(|(of, mark)| (&of.service, &of.id, mark))), "each hold is shown");
    }

    fn sweep_splits(&self) {
        self.splits.outbox.sweep();
        assert!(self.publisher.snapshot().splits.iter().eq(self.splits.iter()), "each split is shown");
    }

    fn sweep_grants(&self) {
        self.grants.outbox.sweep();
        let snapshot = self.publisher.snapshot();
        assert!(snapshot.runtime_grants.iter().eq(self.grants.iter()), "each grant of run time is shown");
        let in_force = &self.settings.policy.grants;
        let shown: std::collections::BTreeMap<_, _> = snapshot.grants.iter().collect();
        assert!(shown.into_iter().eq(in_force.iter()), "the grants that are in force are shown");
        for (service, grant) in in_force {
            assert_eq!(
                self.grants.in_force(service).as_ref(),
                Some(grant),
                "{service}: the configuration's grant wins"
            );
        }
        assert!(
            self.grants.iter().all(|(service, _)| in_force.contains_key(service)),
            "each grant is in force, or its rival"
        );
    }

    fn sweep_maintenance(&self) {
        self.maintenances.outbox.sweep();
        let shown = self.publisher.snapshot().maintenance.iter().flat_map(|table| table.iter());
        assert!(
            shown.map(|(scope, one)| (scope, one)).eq(self.maintenances.iter()),
            "each maintenance is shown until it is over"
        );
    }

    fn sweep_waiting(&self) {
        self.outbox.sweep();
        for (name, entry) in self.directory.services().filter(|(_, entry)| entry.is_being_removed()) {
            assert!(self.outbox.is_writing(name), "{name}: is being removed only while that is written");
            assert!(
                entry.instances().values().all(|instance| instance.is_being_removed()),
                "{name}: is removed with all instances"
            );
        }
    }

    fn claimed_by(&self, write: &ServiceWrite) -> usize {
        match write {
            ServiceWrite::Register(Registering { command, definition_owner: Some(_), .. }) => {
                effective(&command.definition, &self.settings.policy.apps_domain).routes.len()
            }
            ServiceWrite::Register(_)
            | ServiceWrite::Remove { .. }
            | ServiceWrite::Drain { .. }
            | ServiceWrite::Return { .. }
            | ServiceWrite::Restore { .. } => 0,
        }
    }

    fn sweep_indexes(&self) {
        let snapshot = self.publisher.snapshot();
        let free = self.publisher.free_indexes();
        let mut routes = 0;
        for (name, entry) in self.directory.services() {
            assert!(!free.contains(&entry.index()), "{name}: its slot is its own");
            let shown = snapshot.names.get(name).copied();
            assert_eq!(
                shown,
                (!entry.is_being_removed()).then_some(entry.index()),
                "{name}: found by name unless it is being removed"
            );
            routes += if entry.is_being_removed() { 0 } else { entry.eligibility().effective().routes.len() };
        }
        let of_services = snapshot.table.iter().filter(|route| matches!(route.owner, Owner::Service(_))).count();
        assert_eq!(of_services, routes, "the table holds the routes of all services that stay");
        let mut static_routes = 0;
        for ((host, pattern, method), index) in self.static_routes.indexes() {
            static_routes += 1;
            assert!(!free.contains(&index), "{method} {pattern}: its slot is its own");
            let shown = snapshot
                .table
                .iter()
                .find(|route| (route.host.as_ref(), &route.pattern, &route.method) == (host.as_ref(), pattern, method));
            let owner = shown.map(|route| route.owner);
            assert_eq!(owner, Some(Owner::Static(index)), "{method} {pattern}: a static route is never overlaid");
        }
        let of_static_routes = snapshot.table.len() - of_services;
        assert_eq!(of_static_routes, static_routes, "the table holds the static routes, and none of before");
    }
}
