//! Services and instances are put into the directory and taken out of it, with all that runs for them.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::answer::{Answer, Registered, Replaced};
use super::command::Registration;
use super::directory::{InstanceEntry, NewInstance, ServiceEntry};
use super::dispatch::Registry;
use super::effects::Effects;
use super::eligibility::effective;
use super::ids::{DnsSubject, InstanceRef};
use super::names::is_same_set;
use super::now::Now;
use super::plan::FirstProbe;
use super::probes::Health;
use super::report::Report;
use super::revision::Revision;
use super::service_write::Registering;
use crate::model::{Definition, DrainMark, Incarnation, InstanceId, InstanceSpec, ServiceName, Status};

/// An instance that is to be put into its service: it registered here, or the store has it.
pub(super) struct Arrival {
    pub(super) spec: Arc<InstanceSpec>,
    pub(super) addresses: Arc<[SocketAddr]>,
    pub(super) suspended: Option<Arc<str>>,
    pub(super) registered_from: IpAddr,
    /// The incarnation that it replaced.
    pub(super) replaced: Option<Incarnation>,
    pub(super) drain: Option<Arc<DrainMark>>,
    /// The TTL that it was promised, where it names none.
    pub(super) ttl: Option<Duration>,
    /// When it was heard here last.
    pub(super) heard: Option<Instant>,
    /// Other instances of the service at its url.
    pub(super) replaces: Vec<InstanceId>,
}

/// What an [`Arrival`] replaced.
pub(super) struct Departed {
    /// The instance that was UP at another url under its id.
    pub(super) moved_from: Option<Replaced>,
    /// That one, and the others at its url.
    pub(super) all: Vec<Replaced>,
}

impl Registry {
    /// The store has it: installs definition and instance, starts its probes, answers.
    pub(super) fn install(&mut self, registering: Registering, now: Now, effects: &mut Effects) {
        self.release(&registering);
        let Registering { command, definition_owner, replaces, canary, ttl, caller } = registering;
        let Registration { definition, instance: spec, addresses, source, .. } = *command;
        let service = definition.service.clone();
        let instance = InstanceRef { service: service.clone(), id: spec.id.clone() };
        let check_before = self.directory.service(&service).map(|entry| entry.definition().health_check.clone());
        if let Some(from) = definition_owner {
            let status = self.health_on_arrival(&instance, &spec, now).status();
            self.install_definition(Arc::new(definition), from, None, status, now, effects);
        }
        let drain = self.drain_after(&instance, spec.incarnation.as_ref(), &replaces).cloned();
        let replaced = self.replaced_by(&instance, spec.incarnation.as_ref());
        let was_draining = self.directory.instance(&instance).is_some_and(|installed| installed.drain().is_some());
        let ends_drain = was_draining && drain.is_none();
        let url = spec.url.to_string();
        let arrival = Arrival {
            spec: Arc::new(spec),
            addresses,
            suspended: None,
            registered_from: source.address,
            replaced,
            drain,
            ttl,
            heard: Some(now.at),
            replaces,
        };
        let Departed { moved_from, all } = self.put_instance(&instance, arrival, now, effects);
        let check = self.directory.service(&service).map(|entry| &entry.definition().health_check);
        if check_before.is_some() && check_before.as_ref() != check {
            self.probe_by_definition(&service, now, effects);
        }
        self.re_evaluate_joined(&instance, effects);
        if self.directory.service(&service).is_some_and(|entry| !entry.eligibility().is_eligible()) {
            // What it claimed on its way to the store may have kept others suspended.
            self.reinstate(effects);
        }
        self.refresh(&service, now, effects);
        self.publisher.advance();
        if ends_drain {
            effects.report(Report::DrainEnded { instance: instance.clone(), by: Some(source.actor()) });
        }
        if let Ok(Answer::Registered(registered)) = self.registered(&instance, canary, true) {
            let (routes, by) = (registered.routes, source.actor());
            let is_canary = registered.canary.is_some();
            effects.report(Report::Registered { instance, url, routes, replaced: moved_from, is_canary, by });
            effects.reply(caller.reply, Ok(Answer::Registered(Registered { replaced: all, ..registered })));
        }
    }

    /// The health that an instance begins with, or goes on with where what its probes looked at stays.
    fn health_on_arrival(&self, instance: &InstanceRef, spec: &InstanceSpec, now: Now) -> Health {
        match self.directory.instance(instance).filter(|before| is_same_process(before.spec(), spec)) {
            Some(before) => before.health(),
            None if spec.health_endpoint.is_some() => Health::starting(now.at),
            None => Health::unprobed(),
        }
    }

    /// Puts an instance into its service in the place of what it replaces, and starts its probes.
    pub(super) fn put_instance(
        &mut self,
        instance: &InstanceRef,
        arrival: Arrival,
        now: Now,
        effects: &mut Effects,
    ) -> Departed {
        let Arrival { spec, addresses, suspended, registered_from, replaced, drain, ttl, heard, replaces } = arrival;
        let health = self.health_on_arrival(instance, &spec, now);
        let before = self.directory.instance(instance).filter(|before| is_same_process(before.spec(), &spec));
        let is_at_same_addresses = before.map(|before| is_same_set(before.addresses(), &addresses));
        let keeps_health = is_at_same_addresses.is_some();
        let moved_from = self.moved_from(instance, &spec);
        let moves = self.moves_of(instance, &spec, now);
        let was_there = self.directory.instance(instance).is_some_and(|before| before.spec().place() == spec.place());
        let live = self.live_at(instance, &spec, &replaces);
        let mut all: Vec<_> = moved_from.iter().cloned().collect();
        all.extend(self.take_over(instance, &replaces, registered_from, effects));
        if self.forget_instance(instance, effects) && !keeps_health {
            self.end_probes(instance, effects);
        }
        live.note_contest(moves.as_ref().and_then(|moves| moves.contest.clone()));
        let new = NewInstance {
            spec,
            share: self.publisher.share(),
            addresses,
            suspended,
            registered_from,
            health,
            keeps_health,
            noted: Status::Unknown,
            live,
            drain,
            replaced,
            ttl,
            heard,
        };
        self.install_instance(instance, new, now, effects);
        if let Some(installed) = self.directory.instance_mut(instance) {
            installed.set_moves(moves);
        }
        if !was_there {
            self.report_sharing(instance, effects);
        }
        match is_at_same_addresses {
            Some(true) => self.order_probes(instance, FirstProbe::WithinPeriod, now, effects),
            Some(false) => self.plan_probes(instance, FirstProbe::Now, now, effects),
            // Many may come from a shared store at once.
            None if heard.is_none() => self.plan_probes(instance, FirstProbe::Spread, now, effects),
            None => self.plan_probes(instance, FirstProbe::Now, now, effects),
        }
        if keeps_health {
            // What the store noted of it ended with this registration.
            self.note_status(instance, effects);
            self.note_sign_of_life(instance, now, effects);
        }
        Departed { moved_from, all }
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
        self.directory.claim_id(instance);
        self.leases.end_hold(&instance.service);
        self.names.watch(DnsSubject::Instance(instance.clone()), &spec.url, &mut self.tokens, effects);
        self.begin_lease(ttl, instance, now);
    }

    /// Installs a definition as not evaluated: the configuration may be another than it was checked against, and
    /// [`re_evaluate`](Self::re_evaluate) says what holds today. A new service starts at its first instance's status: that
    /// is no change of status.
    pub(super) fn install_definition(
        &mut self,
        definition: Arc<Definition>,
        from: IpAddr,
        added: Option<Revision>,
        status: Status,
        now: Now,
        effects: &mut Effects,
    ) {
        let service = definition.service.clone();
        let Some(entry) = self.directory.service(&service) else {
            self.add_service(definition, from, added.unwrap_or(self.revision), status, now);
            return self.re_evaluate_rivals(&service, BTreeSet::new(), effects);
        };
        let known = if entry.has_lapsed() { self.revision } else { entry.added() };
        let added = added.unwrap_or(known);
        // Two of its owner's instances may have brought it at once.
        let is_same = (entry.definition(), entry.registered_from(), entry.added()) == (&definition, from, added);
        if is_same && entry.eligibility().is_eligible() && !entry.has_lapsed() {
            return;
        }
        let claimed = self.claimed(entry);
        self.claims.remove(&claimed);
        let rivals = self.claims.others(&claimed);
        if let Some(entry) = self.directory.service_mut(&service) {
            if !entry.is_being_removed() {
                self.publisher.replace_routes(entry.index(), Some(entry.eligibility().effective()), None);
            }
            entry.replace_definition(definition, from, added);
        }
        self.claim_of(&service);
        self.re_evaluate_rivals(&service, rivals, effects);
    }

    /// Puts a new service in, as not evaluated.
    pub(super) fn add_service(
        &mut self,
        definition: Arc<Definition>,
        from: IpAddr,
        added: Revision,
        status: Status,
        now: Now,
    ) {
        let index = self.publisher.add_service(&definition.service);
        let service = definition.service.clone();
        self.directory.insert(ServiceEntry::new(definition, from, added, index, status, now));
        self.claim_of(&service);
    }

    /// The definition whose routes a service keeps from others: what is in the table, or in a shared store all that it has.
    pub(super) fn claimed(&self, entry: &ServiceEntry) -> Arc<Definition> {
        if self.settings.sharing.is_shared() {
            effective(entry.definition(), &self.settings.policy.apps_domain)
        } else {
            Arc::clone(entry.eligibility().effective())
        }
    }

    /// Keeps the routes of a service that is installed from others. One that is not evaluated has none yet, unless the
    /// store is shared.
    fn claim_of(&mut self, service: &ServiceName) {
        if let Some(entry) = self.directory.service(service) {
            let (claimed, added) = (self.claimed(entry), entry.added());
            self.claims.add(&claimed, added);
        }
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
        if self.settings.sharing.is_shared() {
            effects.departs(instance, removed.live());
        }
        true
    }

    /// Forgets a service without instances.
    pub(super) fn remove_service(&mut self, service: &ServiceName, effects: &mut Effects) {
        if let Some(entry) = self.directory.remove(service) {
            let claimed = self.claimed(&entry);
            self.claims.remove(&claimed);
            let rivals = self.claims.others(&claimed);
            self.publisher.free(entry.index());
            self.leases.end_hold(service);
            self.re_evaluate_rivals(service, rivals, effects);
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
