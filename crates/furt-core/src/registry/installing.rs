//! Services and instances are put into the directory and taken out of it, with all that runs for them.

use std::net::IpAddr;
use std::sync::Arc;

use super::answer::{Answer, Registered};
use super::command::Registration;
use super::directory::{InstanceEntry, NewInstance, ServiceEntry};
use super::dispatch::Registry;
use super::effects::Effects;
use super::ids::{DnsSubject, InstanceRef};
use super::names::is_same_set;
use super::now::Now;
use super::plan::FirstProbe;
use super::probes::Health;
use super::report::Report;
use super::service_write::Registering;
use crate::model::{Definition, Incarnation, InstanceSpec, ServiceName, Status};

impl Registry {
    /// The store has it: installs definition and instance, starts its probes, answers.
    pub(super) fn install(&mut self, registering: Registering, now: Now, effects: &mut Effects) {
        self.places.release(&registering.command.definition.service, &registering.command.instance);
        let Registering { command, definition_owner, replaces, ttl, reply } = registering;
        let Registration { definition, instance: spec, addresses, source, .. } = *command;
        let service = definition.service.clone();
        let instance = InstanceRef { service: service.clone(), id: spec.id.clone() };
        let before = self.directory.instance(&instance).filter(|before| is_same_process(before.spec(), &spec));
        let kept = before.map(|before| (before.health(), is_same_set(before.addresses(), &addresses)));
        let health = match kept {
            Some((health, _)) => health,
            None if spec.health_endpoint.is_some() => Health::starting(now.at),
            None => Health::unprobed(),
        };
        let check_before = self.directory.service(&service).map(|entry| entry.definition().health_check.clone());
        if let Some(from) = definition_owner {
            self.install_definition(definition, from, health.status(), now);
        }
        let drain = self.drain_after(&instance, spec.incarnation.as_ref(), &replaces).cloned();
        let replaced = self.replaced_by(&instance, spec.incarnation.as_ref());
        let was_draining = self.directory.instance(&instance).is_some_and(|installed| installed.drain().is_some());
        let moved_from = self.moved_from(&instance, &spec);
        let moves = self.moves_of(&instance, &spec, now);
        let was_there = self.directory.instance(&instance).is_some_and(|before| before.spec().place() == spec.place());
        let live = self.live_at(&instance, &spec, &replaces);
        let mut replaced_ones: Vec<_> = moved_from.iter().cloned().collect();
        replaced_ones.extend(self.take_over(&instance, &replaces, source.address, effects));
        if self.forget_instance(&instance, effects) && kept.is_none() {
            self.end_probes(&instance, effects);
        }
        live.note_contest(moves.as_ref().and_then(|moves| moves.contest.clone()));
        let (spec, registered_from) = (Arc::new(spec), source.address);
        let url = spec.url.to_string();
        let ends_drain = was_draining && drain.is_none();
        let new = NewInstance {
            spec,
            addresses,
            suspended: None,
            registered_from,
            health,
            keeps_health: kept.is_some(),
            noted: Status::Unknown,
            live,
            drain,
            replaced,
            ttl,
        };
        self.install_instance(&instance, new, now, effects);
        if let Some(installed) = self.directory.instance_mut(&instance) {
            installed.set_moves(moves);
        }
        if !was_there {
            self.report_sharing(&instance, effects);
        }
        match kept {
            Some((_, true)) => self.order_probes(&instance, FirstProbe::WithinPeriod, now, effects),
            Some((_, false)) | None => self.plan_probes(&instance, FirstProbe::Now, now, effects),
        }
        let check = self.directory.service(&service).map(|entry| &entry.definition().health_check);
        if check_before.is_some() && check_before.as_ref() != check {
            self.probe_by_definition(&service, now, effects);
        }
        if kept.is_some() {
            // What the store noted of it ended with this registration.
            self.note_status(&instance, effects);
            self.note_sign_of_life(&instance, now, effects);
        }
        self.re_evaluate_joined(&instance, effects);
        if self.directory.service(&service).is_some_and(|entry| !entry.eligibility().is_eligible()) {
            // What it claimed on its way to the store may have kept others suspended.
            self.reinstate(effects);
        }
        self.refresh(&service, now, effects);
        self.publisher.advance();
        if ends_drain {
            effects.report(Report::DrainEnded { instance: instance.clone(), from: source.address });
        }
        if let Ok(Answer::Registered(registered)) = self.registered(&instance, true) {
            let (routes, from) = (registered.routes, source.address);
            effects.report(Report::Registered { instance, url, routes, replaced: moved_from, from });
            effects.reply(reply, Ok(Answer::Registered(Registered { replaced: replaced_ones, ..registered })));
        }
    }

    /// The incarnation that one of this id replaces, or has replaced.
    pub(super) fn replaced_by(&self, instance: &InstanceRef, newer: Option<&Incarnation>) -> Option<Incarnation> {
        let installed = self.directory.instance(instance)?;
        let before = installed.spec().incarnation.as_ref();
        before.filter(|before| newer != Some(*before)).or_else(|| installed.replaced()).cloned()
    }

    /// Puts an instance into its service: published, its TTL running, its name watched.
    pub(super) fn install_instance(
        &mut self,
        instance: &InstanceRef,
        new: NewInstance,
        now: Now,
        effects: &mut Effects,
    ) {
        let Some(entry) = self.directory.service_mut(&instance.service) else { return };
        let installed = InstanceEntry::new(new, self.tokens.pool_group(), now);
        let (ttl, spec) = (installed.liveness().ttl(), Arc::clone(installed.spec()));
        self.publisher.add_id(&instance.id, entry.index());
        entry.insert(installed);
        if self.places.add(instance, &spec) {
            self.publisher.set_shared(&self.places);
        }
        self.leases.end_hold(&instance.service);
        self.names.watch(DnsSubject::Instance(instance.clone()), &spec.url, &mut self.tokens, effects);
        self.renew_lease(ttl, instance, now, effects);
    }

    /// Installs a definition as not evaluated, and without the claims of its registration: the configuration may be
    /// another than it was checked against, and [`re_evaluate`](Self::re_evaluate) says what holds today. A new service
    /// starts at its first instance's status: that is no change of status.
    fn install_definition(&mut self, definition: Definition, from: IpAddr, status: Status, now: Now) {
        self.release_claims(&definition);
        let definition = Arc::new(definition);
        let Some(entry) = self.directory.service_mut(&definition.service) else {
            return self.add_service(definition, from, status, now);
        };
        // Two of its owner's instances may have brought it at once.
        if *entry.definition() != definition || !entry.eligibility().is_eligible() {
            self.publisher.replace_routes(entry.index(), Some(entry.eligibility().effective()), None);
            self.claims.remove(entry.eligibility().effective());
            entry.replace_definition(definition, from);
        }
    }

    /// Puts a new service in, as not evaluated.
    pub(super) fn add_service(&mut self, definition: Arc<Definition>, from: IpAddr, status: Status, now: Now) {
        let index = self.publisher.add_service(&definition.service);
        self.directory.insert(ServiceEntry::new(definition, from, index, status, now));
    }

    /// Ends what runs for an instance and forgets it.
    pub(super) fn remove_instance(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        if self.forget_instance(instance, effects) {
            self.end_probes(instance, effects);
        }
    }

    fn end_probes(&mut self, instance: &InstanceRef, effects: &mut Effects) {
        self.probes.end(instance, effects);
        self.outage.forget(instance);
    }

    /// The same, but for its probes; says whether it was there.
    fn forget_instance(&mut self, instance: &InstanceRef, effects: &mut Effects) -> bool {
        let entry = self.directory.service_mut(&instance.service);
        let Some(removed) = entry.and_then(|entry| entry.remove(&instance.id)) else { return false };
        if self.places.remove(instance, removed.spec()) {
            self.publisher.set_shared(&self.places);
        }
        self.publisher.remove_id(&instance.id);
        self.leases.end(instance);
        self.directory.release_id(instance);
        self.names.unwatch(DnsSubject::Instance(instance.clone()), effects);
        true
    }

    /// Forgets a service without instances.
    pub(super) fn remove_service(&mut self, service: &ServiceName) {
        if let Some(entry) = self.directory.remove(service) {
            self.claims.remove(entry.eligibility().effective());
            self.publisher.free(entry.index());
            self.leases.end_hold(service);
        }
    }
}

/// Whether what probes found of the one holds for the other, as far as registrations tell: what they look at is the same.
fn is_same_process(before: &InstanceSpec, after: &InstanceSpec) -> bool {
    before.url == after.url
        && before.protocol == after.protocol
        && before.tls_name == after.tls_name
        && before.health_endpoint == after.health_endpoint
        && before.incarnation == after.incarnation
}
