//! Registrations and heartbeats: what is checked, what is written, what is installed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::restore::{NOT_YET_EVALUATED, without_routes};
use super::{
    Answer, Change, CountedState, DnsSubject, Due, Effects, Health, InstanceEntry, InstanceRef, NameWatch, Now,
    Ownership, Refusal, Registered, Registering, Registration, RegistrationKind, Registry, ReplyId, Report,
    ServiceCommand, ServiceWrite, Source, view,
};
use crate::model::{Definition, InstanceId, InstanceSpec, ServiceName, Status, UpstreamHost};
use crate::routing::InstanceLive;

/// An instance's place in its service, beside what it registered.
pub(super) struct InstanceState {
    pub(super) addresses: Arc<[SocketAddr]>,
    pub(super) suspended: Option<Arc<str>>,
    pub(super) registered_from: IpAddr,
    pub(super) health: Health,
    pub(super) live: Arc<InstanceLive>,
    pub(super) is_draining: bool,
    /// The TTL that it was promised before, where it names none.
    pub(super) ttl: Option<Duration>,
}

/// What a registration comes to.
enum Plan {
    /// It is registered just so: counts as a heartbeat.
    Known,
    /// It is registered just so and draining: that is to end.
    Return,
    /// Another write of the service must be done first.
    Wait,
    /// To be written.
    Write { definition_owner: Option<IpAddr> },
}

impl Registry {
    pub(super) fn handle_registration(
        &mut self,
        mut command: Box<Registration>,
        reply: ReplyId,
        now: Now,
        effects: &mut Effects,
    ) {
        let service = command.definition.service.clone();
        self.renew(&mut command);
        match self.plan(&command) {
            Err(refusal) => effects.reply_to_command(reply, &service, &command.source, Err(refusal)),
            Ok(Plan::Wait) => self.park(ServiceCommand::Register(command), reply, effects),
            Ok(Plan::Known) => {
                let instance = InstanceRef { service: service.clone(), id: command.instance.id.clone() };
                self.hear_again(&instance, command.kind, now, effects);
                if let Some(installed) = self.instance_mut(&instance) {
                    installed.live.registered_ms.store(now.unix_ms, std::sync::atomic::Ordering::Relaxed);
                }
                self.probe_if_down(&instance, effects);
                let answer = self.registered(&instance, false);
                effects.reply(reply, answer);
            }
            Ok(Plan::Return) => self.begin_return(command, reply, now, effects),
            Ok(Plan::Write { definition_owner }) => {
                let ttl = self.promised(&command);
                self.begin_registration(Registering { command, definition_owner, ttl, reply }, effects);
            }
        }
    }

    /// An instance alone takes over the definition of today, each time that it is looked at: the service may have changed
    /// or gone while the command waited.
    pub(super) fn renew(&self, command: &mut Registration) {
        if command.kind == RegistrationKind::InstanceOnly {
            let service = &command.definition.service;
            let installed = self.services.get(service).filter(|entry| !entry.is_being_removed);
            command.definition =
                installed.map_or_else(|| Definition::new(service.clone()), |entry| (*entry.definition).clone());
        }
    }

    fn begin_registration(&mut self, registering: Registering, effects: &mut Effects) {
        let Registering { command, definition_owner, ttl, reply } = &registering;
        let service = command.definition.service.clone();
        let changes = changes(command, *definition_owner, *ttl);
        // Nothing is stored that a start would not read again.
        if let Err(why) = changes.iter().try_for_each(Change::check) {
            return effects.reply_to_command(*reply, &service, &command.source, Err(Refusal::Invalid(why)));
        }
        if definition_owner.is_some() {
            self.claims.add(&view::effective(&command.definition, &self.settings.policy.apps_domain));
        }
        self.claim_id(&InstanceRef { service: service.clone(), id: command.instance.id.clone() });
        self.submit(&service, ServiceWrite::Register(registering), changes, effects);
    }

    /// The TTL that an instance is held to from its registration on though it names none.
    fn promised(&self, command: &Registration) -> Option<Duration> {
        let must_beat = command.kind == RegistrationKind::InstanceOnly && command.instance.heartbeat_ttl.is_none();
        must_beat.then_some(self.settings.heartbeat_ttl)
    }

    /// Checks a command in DESIGN §5.1's order: grant, owner, conflicts.
    fn plan(&self, command: &Registration) -> Result<Plan, Refusal> {
        let policy = &self.settings.policy;
        policy.check_grant(command)?;
        let service = &command.definition.service;
        let entry = self.services.get(service);
        let installed = entry.map(|entry| &entry.definition);
        let is_older = installed.is_some_and(|own| own.revision > command.definition.revision);
        let is_blocked = entry.is_some_and(|entry| entry.blocked.is_some());
        let is_same = installed.is_some_and(|own| **own == command.definition);
        if let Some(entry) = entry.filter(|_| !is_older && !is_same) {
            policy.check_owner(service, entry.registered_from, &command.source)?;
        }
        let installed = entry.and_then(|entry| entry.instances.get(&command.instance.id));
        // Also where nothing changes: it counts as a heartbeat, and those are the registrant's.
        if let Some(installed) = installed {
            policy.check_owner(service, installed.registered_from, &command.source)?;
        }
        if let Some(owner) = self.owners.get(&command.instance.id).filter(|owner| owner.service != *service) {
            return Err(self.taken(format!("instance id \"{}\"", command.instance.id), &owner.service));
        }
        if !is_older {
            self.check_conflicts(&command.definition)?;
        }
        if self.registration_must_wait(command) {
            return Ok(Plan::Wait);
        }
        let is_registered = installed.is_some_and(|installed| {
            !installed.is_being_removed()
                && *installed.spec == command.instance
                && (installed.addresses == command.addresses || command.instance.url.socket_address().is_none())
        });
        // A service that was kept out of the table comes back with the registration that may stand.
        let keeps_definition = is_older || (is_same && !is_blocked);
        Ok(match keeps_definition && is_registered {
            true if installed.is_some_and(|installed| installed.is_draining) => Plan::Return,
            true => Plan::Known,
            false => Plan::Write { definition_owner: (!keeps_definition).then(|| self.registrant(command)) },
        })
    }

    /// Whose a definition is that is written: of who sent it, unless it is just the one that is kept out. That stays its
    /// registrant's, but where nobody may register it from there.
    fn registrant(&self, command: &Registration) -> IpAddr {
        let entry =
            self.services.get(&command.definition.service).filter(|entry| *entry.definition == command.definition);
        let before = entry.map(|entry| entry.registered_from);
        let stays = before.filter(|from| self.settings.policy.check_definition(&command.definition, *from).is_ok());
        stays.unwrap_or(command.source.address)
    }

    /// Instances of one definition may be written side by side; anything else of a service goes one after the other.
    /// While a definition is on its way, that holds for its registrant alone: the store and the core must agree on who
    /// that is.
    pub(super) fn registration_must_wait(&self, command: &Registration) -> bool {
        let service = &command.definition.service;
        if self.outbox.is_parked(service) {
            return true;
        }
        // Two looks are enough, however many instances are on their way. A removal lets no registration pass, nor does
        // a drain, so the last write tells whether there is one; and all registrations before it bring what the first
        // one brings.
        let Some((first, last)) = self.outbox.ends(service) else { return false };
        let (ServiceWrite::Register(before), ServiceWrite::Register(_)) = (first, last) else { return true };
        let is_installed =
            self.services.get(service).is_some_and(|entry| entry.instances.contains_key(&command.instance.id));
        let owner = self.owners.get(&command.instance.id).filter(|owner| owner.service == *service);
        let is_same_instance = owner.is_some_and(|owner| owner.count > usize::from(is_installed));
        is_same_instance
            || before.command.definition != command.definition
            || (before.definition_owner.is_some() && before.command.source.address != command.source.address)
    }

    pub(super) fn check_conflicts(&self, definition: &Definition) -> Result<(), Refusal> {
        let effective = view::effective(definition, &self.settings.policy.apps_domain);
        self.settings.policy.check_static_routes(definition, &effective)?;
        let definition = effective;
        for route in &definition.routes {
            if let Some(conflict) = self.claims.conflict(&definition.service, definition.host.as_ref(), route) {
                return Err(self.taken(format!("route {} {}", route.method, route.pattern), conflict));
            }
        }
        Ok(())
    }

    fn taken(&self, what: String, conflict: &ServiceName) -> Refusal {
        let status = self.services.get(conflict).map_or(Status::Unknown, |entry| entry.status);
        let detail = format!("the service \"{conflict}\" ({status}) holds it");
        Refusal::Taken { what, conflict: Some((conflict.clone(), status)), detail }
    }

    pub(super) fn release_claims(&mut self, definition: &Definition) {
        self.claims.remove(&view::effective(definition, &self.settings.policy.apps_domain));
    }

    pub(super) fn claim_id(&mut self, instance: &InstanceRef) {
        let owner = Ownership { service: instance.service.clone(), count: 0 };
        self.owners.entry(instance.id.clone()).or_insert(owner).count += 1;
    }

    pub(super) fn release_id(&mut self, id: &InstanceId) {
        if let Some(owner) = self.owners.get_mut(id) {
            owner.count -= 1;
            if owner.count == 0 {
                self.owners.remove(id);
            }
        }
    }

    /// The store does not have it: nothing of it stays.
    pub(super) fn fail_registration(&mut self, registering: &Registering, why: &str, effects: &mut Effects) {
        let Registering { command, definition_owner, reply, .. } = registering;
        if definition_owner.is_some() {
            self.release_claims(&command.definition);
        }
        self.release_id(&command.instance.id);
        let refused = Err(Refusal::StoreFailed(why.to_owned()));
        effects.reply_to_command(*reply, &command.definition.service, &command.source, refused);
    }

    /// The store has it: installs definition and instance, starts its probes, answers.
    pub(super) fn install(&mut self, registering: Registering, now: Now, effects: &mut Effects) {
        let Registering { command, definition_owner, ttl, reply } = registering;
        let Registration { definition, instance: spec, addresses, source, .. } = *command;
        let service = definition.service.clone();
        let instance = InstanceRef { service: service.clone(), id: spec.id.clone() };
        let health = if spec.health_endpoint.is_some() { Health::unknown() } else { Health::unprobed() };
        if let Some(from) = definition_owner {
            self.install_definition(definition, from, health.status(), now);
        }
        // Requests that are in flight at the same place go on counting against its limits.
        let before = self.instance_mut(&instance).filter(|installed| installed.spec.url == spec.url);
        let live = before.map_or_else(Arc::<InstanceLive>::default, |installed| Arc::clone(&installed.live));
        self.remove_instance(&instance, effects);
        let spec = Arc::new(spec);
        let registered_from = source.address;
        let state =
            InstanceState { addresses, suspended: None, registered_from, health, live, is_draining: false, ttl };
        self.install_instance(&instance, &spec, state, now, effects);
        self.plan_probes(&instance, super::FirstProbe::Now, effects);
        self.recheck_joined(&instance, effects);
        if self.services.get(&service).is_some_and(|entry| entry.blocked.is_some()) {
            // What it claimed on its way to the store may have kept others out.
            self.stand_again(effects);
        }
        self.refresh(&service, now, effects);
        self.view.advance();
        if let Ok(Answer::Registered(registered)) = self.registered(&instance, true) {
            effects.report(Report::Registered {
                instance: instance.clone(),
                url: spec.url.to_string(),
                routes: registered.routes,
                from: source.address,
            });
            effects.reply(reply, Ok(Answer::Registered(registered)));
        }
    }

    /// Puts an instance into its service: shown, its TTL running, its name followed.
    pub(super) fn install_instance(
        &mut self,
        instance: &InstanceRef,
        spec: &Arc<InstanceSpec>,
        state: InstanceState,
        now: Now,
        effects: &mut Effects,
    ) {
        let InstanceState { addresses, suspended, registered_from, health, live, is_draining, ttl } = state;
        let ttl = spec.heartbeat_ttl.or(ttl);
        let (name_token, pool_group) = (self.tokens.name(), self.tokens.pool_group());
        live.note_health(health.failures(), health.is_stopped());
        live.since_ms.store(now.unix_ms, std::sync::atomic::Ordering::Relaxed);
        live.registered_ms.store(now.unix_ms, std::sync::atomic::Ordering::Relaxed);
        let seen = view::instance(spec, &addresses, health.status(), pool_group, &live);
        let installed = InstanceEntry {
            ttl,
            addresses,
            suspended,
            registered_from,
            state: CountedState::new(health),
            probe_token: None,
            name_token,
            heard: now.at,
            is_draining,
            live,
            seen,
            spec: Arc::clone(spec),
        };
        installed.note_draining();
        if let Some(entry) = self.services.get_mut(&instance.service) {
            self.view.add_id(&spec.id, entry.index);
            entry.instances.insert(installed);
        }
        self.deadlines.clear(&Due::Held(instance.service.clone()));
        if let UpstreamHost::Name(name) = &spec.url.host {
            let order = NameWatch { token: name_token, name: name.clone(), port: spec.url.port };
            effects.watch_name(DnsSubject::Instance(instance.clone()), order);
        }
        self.hold_to(ttl, instance, now, effects);
    }

    /// As if it were not allowed to stand, and without the claims of its registration: the configuration may be another
    /// than it was checked against, and [`recheck`](Self::recheck) says what holds today. A new service starts at its
    /// first instance's status: that is no change of status.
    fn install_definition(&mut self, definition: Definition, from: IpAddr, status: Status, now: Now) {
        self.release_claims(&definition);
        let definition = Arc::new(definition);
        let Some(entry) = self.services.get_mut(&definition.service) else {
            return self.add_entry(definition, from, status, now);
        };
        // Two of its registrant's instances may have brought it at once.
        if entry.definition != definition || entry.blocked.is_some() {
            self.view.replace_routes(entry.index, Some(&entry.effective), None);
            self.claims.remove(&entry.effective);
            entry.effective = without_routes(&definition);
            entry.definition = definition;
            entry.registered_from = from;
            entry.blocked = Some(NOT_YET_EVALUATED.into());
        }
    }

    pub(super) fn registered(&self, instance: &InstanceRef, is_change: bool) -> Result<Answer, Refusal> {
        let (entry, installed) = self.installed(instance)?;
        Ok(Answer::Registered(Registered {
            instance: instance.clone(),
            routes: entry.definition.routes.len(),
            status: installed.health().status(),
            generation: self.view.generation(),
            epoch: self.view.epoch(),
            heartbeat_ttl: installed.ttl.unwrap_or(self.settings.heartbeat_ttl),
            is_change,
        }))
    }

    pub(super) fn heartbeat(
        &mut self,
        instance: &InstanceRef,
        source: &Source,
        now: Now,
        effects: &mut Effects,
    ) -> Result<Answer, Refusal> {
        let (_, installed) = self.installed(instance)?;
        self.settings.policy.check_owner(&instance.service, installed.registered_from, source)?;
        let heartbeat_ttl = installed.spec.heartbeat_ttl.unwrap_or(self.settings.heartbeat_ttl);
        // From its first heartbeat on an instance is held to them.
        self.hold_to(Some(heartbeat_ttl), instance, now, effects);
        let status = self.installed(instance)?.1.health().status();
        Ok(Answer::Heard { status, epoch: self.view.epoch(), heartbeat_ttl })
    }

    /// Notes that an instance lives; one whose probes had ended is probed afresh.
    fn hear(&mut self, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        let default = self.settings.heartbeat_ttl;
        let Some(installed) = self.instance_mut(instance) else { return };
        // A default that changed holds from here on: the answer to this tells it.
        let ttl = installed.ttl.map(|_| installed.spec.heartbeat_ttl.unwrap_or(default));
        self.hold_to(ttl, instance, now, effects);
    }

    /// It registered just so: as [`hear`](Self::hear), and one that comes to send heartbeats is held to them.
    pub(super) fn hear_again(
        &mut self,
        instance: &InstanceRef,
        kind: RegistrationKind,
        now: Now,
        effects: &mut Effects,
    ) {
        let default = self.settings.heartbeat_ttl;
        match (kind, self.instance_mut(instance)) {
            (RegistrationKind::InstanceOnly, Some(installed)) => {
                let ttl = installed.spec.heartbeat_ttl.unwrap_or(default);
                self.hold_to(Some(ttl), instance, now, effects);
            }
            (RegistrationKind::InstanceOnly | RegistrationKind::Full, _) => self.hear(instance, now, effects),
        }
    }

    /// It lives, and is to be heard again within `ttl`; `None`: whenever it likes.
    fn hold_to(&mut self, ttl: Option<Duration>, instance: &InstanceRef, now: Now, effects: &mut Effects) {
        let Some(installed) = self.instance_mut(instance) else { return };
        installed.heard = now.at;
        installed.live.heard_ms.store(now.unix_ms, std::sync::atomic::Ordering::Relaxed);
        let is_stopped = installed.health().is_stopped();
        // Zero where it has none, also if it had one before it registered anew.
        let ttl_ms = ttl.map_or(0, |ttl| ttl.as_millis().try_into().unwrap_or(u64::MAX));
        installed.live.ttl_ms.store(ttl_ms, std::sync::atomic::Ordering::Relaxed);
        if let Some(ttl) = ttl {
            let before = installed.ttl.replace(ttl);
            if before != Some(ttl) && installed.spec.heartbeat_ttl.is_none() {
                effects.keep(Change::NoteTtl { instance: instance.id.clone(), ttl });
            }
            let due = Due::Instance(instance.clone());
            if before.is_some_and(|before| ttl < before) || !self.deadlines.is_set(&due) {
                self.deadlines.set(due, now.at + ttl);
            }
        }
        if is_stopped {
            self.restart_probing(instance, now, effects);
        }
    }

    pub(super) fn instance_mut(&mut self, instance: &InstanceRef) -> Option<&mut InstanceEntry> {
        self.services.get_mut(&instance.service)?.instances.get_mut(&instance.id)
    }

    /// Nobody could be heard for so long: every TTL moves by it.
    pub(super) fn extend_deadlines(&mut self, lag: Duration) {
        for instance in self.services.values_mut().flat_map(|entry| entry.instances.values_mut()) {
            instance.heard += lag;
        }
    }
}

/// What a registration stores.
fn changes(command: &Registration, definition_owner: Option<IpAddr>, ttl: Option<Duration>) -> Vec<Change> {
    let definition =
        |registered_from| Change::PutDefinition { definition: Arc::new(command.definition.clone()), registered_from };
    let instance = Change::PutInstance {
        service: command.definition.service.clone(),
        spec: Arc::new(command.instance.clone()),
        addresses: Arc::clone(&command.addresses),
        registered_from: command.source.address,
    };
    let ttl = ttl.map(|ttl| Change::NoteTtl { instance: command.instance.id.clone(), ttl });
    definition_owner.map(definition).into_iter().chain([instance]).chain(ttl).collect()
}
