//! Registrations and heartbeats: what is checked, what is written, what is installed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::restore::{UNJUDGED, without_routes};
use super::{
    Answer, Brings, Change, Due, Effect, Event, Followed, Health, InstanceRef, Member, NameOrder, Now, Ownership,
    Pending, Refusal, Registered, Registering, Registration, Registry, ReplyId, Report, Source, Standing, WriteId,
    view,
};
use crate::model::{Definition, Generation, InstanceId, InstanceSpec, ServiceName, Status, UpstreamHost};
use crate::routing::InstanceLive;

/// An instance's place in its service, beside what it registered.
pub(super) struct Place {
    pub(super) addresses: Arc<[SocketAddr]>,
    pub(super) barred: Option<Arc<str>>,
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
    Write { definition_of: Option<IpAddr> },
}

impl Registry {
    pub(super) fn handle_registration(
        &mut self,
        mut wish: Box<Registration>,
        reply: ReplyId,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let service = wish.definition.service.clone();
        self.renew(&mut wish);
        match self.plan(&wish) {
            Err(refusal) => self.answer(reply, &service, &wish.source, Err(refusal), effects),
            Ok(Plan::Wait) => self.park(&service, Event::RegistrationRequested(wish, reply), effects),
            Ok(Plan::Known) => {
                let instance = InstanceRef { service: service.clone(), id: wish.instance.id.clone() };
                self.hear_again(&instance, wish.brings, now, effects);
                if let Some(member) = self.member_mut(&instance) {
                    member.live.registered_ms.store(now.unix_ms, std::sync::atomic::Ordering::Relaxed);
                }
                self.probe_if_down(&instance, effects);
                let answer = self.registered(&instance, false);
                effects.push(Effect::Answer(reply, answer));
            }
            Ok(Plan::Return) => self.begin_return(wish, reply, now, effects),
            Ok(Plan::Write { definition_of }) => {
                let ttl = self.promised(&wish);
                self.begin_registration(Registering { wish, definition_of, ttl, reply }, effects);
            }
        }
    }

    /// An instance alone takes over the definition of today, each time that it is looked at: the service may have changed
    /// or gone while the wish waited.
    pub(super) fn renew(&self, wish: &mut Registration) {
        if wish.brings == Brings::InstanceAlone {
            let service = &wish.definition.service;
            let installed = self.services.get(service).filter(|entry| !entry.is_leaving);
            wish.definition =
                installed.map_or_else(|| Definition::new(service.clone()), |entry| (*entry.definition).clone());
        }
    }

    fn begin_registration(&mut self, registering: Registering, effects: &mut Vec<Effect>) {
        let Registering { wish, definition_of, ttl, reply } = &registering;
        let service = wish.definition.service.clone();
        let changes = changes(wish, *definition_of, *ttl);
        // Nothing is stored that a start would not read again.
        if let Err(why) = changes.iter().try_for_each(Change::check) {
            return self.answer(*reply, &service, &wish.source, Err(Refusal::Invalid(why)), effects);
        }
        if definition_of.is_some() {
            self.claims.add(&view::effective(&wish.definition, &self.settings.policy.apps_domain));
        }
        self.claim_id(&InstanceRef { service: service.clone(), id: wish.instance.id.clone() });
        self.submit(&service, Pending::Register(registering), changes, effects);
    }

    /// The TTL that an instance is held to from its registration on though it names none.
    fn promised(&self, wish: &Registration) -> Option<Duration> {
        let must_beat = wish.brings == Brings::InstanceAlone && wish.instance.heartbeat_ttl.is_none();
        must_beat.then_some(self.settings.heartbeat_ttl)
    }

    /// Checks a wish in DESIGN §5.1's order: grant, owner, conflicts.
    fn plan(&self, wish: &Registration) -> Result<Plan, Refusal> {
        let policy = &self.settings.policy;
        policy.check_grant(wish)?;
        let service = &wish.definition.service;
        let entry = self.services.get(service);
        let installed = entry.map(|entry| &entry.definition);
        let is_older = installed.is_some_and(|own| own.revision > wish.definition.revision);
        let is_blocked = entry.is_some_and(|entry| entry.blocked.is_some());
        let is_same = installed.is_some_and(|own| **own == wish.definition);
        if let Some(entry) = entry.filter(|_| !is_older && !is_same) {
            policy.check_owner(service, entry.registered_from, &wish.source)?;
        }
        let member = entry.and_then(|entry| entry.members.get(&wish.instance.id));
        // Also where nothing changes: it counts as a heartbeat, and those are the registrant's.
        if let Some(member) = member {
            policy.check_owner(service, member.registered_from, &wish.source)?;
        }
        if let Some(owner) = self.owners.get(&wish.instance.id).filter(|owner| owner.service != *service) {
            return Err(self.taken(format!("instance id \"{}\"", wish.instance.id), &owner.service));
        }
        if !is_older {
            self.check_conflicts(&wish.definition)?;
        }
        if self.must_wait(wish) {
            return Ok(Plan::Wait);
        }
        let is_registered = member.is_some_and(|member| {
            !member.is_leaving()
                && *member.spec == wish.instance
                && (member.addresses == wish.addresses || wish.instance.url.socket_address().is_none())
        });
        // A service that was kept out of the table comes back with the registration that may stand.
        let keeps_definition = is_older || (is_same && !is_blocked);
        Ok(match keeps_definition && is_registered {
            true if member.is_some_and(|member| member.is_draining) => Plan::Return,
            true => Plan::Known,
            false => Plan::Write { definition_of: (!keeps_definition).then(|| self.registrant(wish)) },
        })
    }

    /// Whose a definition is that is written: of who brings it, unless it is just the one that is kept out. That stays its
    /// registrant's, but where nobody may register it from there.
    fn registrant(&self, wish: &Registration) -> IpAddr {
        let entry = self.services.get(&wish.definition.service).filter(|entry| *entry.definition == wish.definition);
        let before = entry.map(|entry| entry.registered_from);
        let stays = before.filter(|from| self.settings.policy.check_definition(&wish.definition, *from).is_ok());
        stays.unwrap_or(wish.source.address)
    }

    /// Instances of one definition may be written side by side; anything else of a service goes one after the other.
    /// While a definition is on its way, that holds for its registrant alone: the store and the core must agree on who
    /// that is.
    pub(super) fn must_wait(&self, wish: &Registration) -> bool {
        let service = &wish.definition.service;
        if self.parked.contains_key(service) {
            return true;
        }
        let Some(writes) = self.pending_of.get(service) else { return false };
        // Two looks are enough, however many instances are on their way. A removal lets no registration pass, nor does
        // a drain, so the last write tells whether there is one; and all registrations before it bring what the first
        // one brings.
        let find = |write: Option<&WriteId>| write.and_then(|write| self.pending.get(write));
        let (first, last) = (find(writes.first()), find(writes.last()));
        if let Some(Pending::Remove { .. } | Pending::Drain { .. } | Pending::Return { .. }) = last {
            return true;
        }
        let is_installed =
            self.services.get(service).is_some_and(|entry| entry.members.contains_key(&wish.instance.id));
        let owner = self.owners.get(&wish.instance.id).filter(|owner| owner.service == *service);
        let is_same_instance = owner.is_some_and(|owner| owner.count > usize::from(is_installed));
        match first {
            Some(Pending::Register(Registering { wish: before, definition_of, .. })) => {
                is_same_instance
                    || before.definition != wish.definition
                    || (definition_of.is_some() && before.source.address != wish.source.address)
            }
            Some(Pending::Remove { .. } | Pending::Drain { .. } | Pending::Return { .. }) | None => true,
        }
    }

    pub(super) fn check_conflicts(&self, definition: &Definition) -> Result<(), Refusal> {
        let effective = view::effective(definition, &self.settings.policy.apps_domain);
        self.settings.policy.check_statics(definition, &effective)?;
        let definition = effective;
        for route in &definition.routes {
            if let Some(rival) = self.claims.rival(&definition.service, definition.host.as_ref(), route) {
                return Err(self.taken(format!("route {} {}", route.method, route.pattern), rival));
            }
        }
        Ok(())
    }

    fn taken(&self, what: String, rival: &ServiceName) -> Refusal {
        let status = self.services.get(rival).map_or(Status::Unknown, |entry| entry.status);
        let detail = format!("the service \"{rival}\" ({status}) holds it");
        Refusal::Taken { what, rival: Some((rival.clone(), status)), detail }
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

    /// The store has it: installs definition and instance, starts its probes, answers.
    pub(super) fn install(&mut self, registering: Registering, now: Now, effects: &mut Vec<Effect>) {
        let Registering { wish, definition_of, ttl, reply } = registering;
        let Registration { definition, instance: spec, addresses, source, .. } = *wish;
        let service = definition.service.clone();
        let instance = InstanceRef { service: service.clone(), id: spec.id.clone() };
        let health = if spec.health_endpoint.is_some() { Health::unknown() } else { Health::unprobed() };
        if let Some(from) = definition_of {
            self.install_definition(definition, from, health.status(), now);
        }
        // Requests that are in flight at the same place go on counting against its limits.
        let before = self.member_mut(&instance).filter(|member| member.spec.url == spec.url);
        let live = before.map_or_else(Arc::<InstanceLive>::default, |member| Arc::clone(&member.live));
        self.remove_member(&instance, effects);
        let spec = Arc::new(spec);
        let registered_from = source.address;
        let place = Place { addresses, barred: None, registered_from, health, live, is_draining: false, ttl };
        self.install_member(&instance, &spec, place, now, effects);
        self.plan_probes(&instance, super::FirstProbe::Now, effects);
        self.recheck_joined(&instance, effects);
        if self.services.get(&service).is_some_and(|entry| entry.blocked.is_some()) {
            // What it claimed on its way to the store may have kept others out.
            self.stand_again(effects);
        }
        self.refresh(&service, now, effects);
        self.view.advance();
        if let Ok(Answer::Registered(registered)) = self.registered(&instance, true) {
            effects.push(Effect::Report(Report::Registered {
                instance: instance.clone(),
                url: spec.url.to_string(),
                routes: registered.routes,
                from: source.address,
            }));
            effects.push(Effect::Answer(reply, Ok(Answer::Registered(registered))));
        }
    }

    /// Puts an instance into its service: shown, its TTL running, its name followed.
    pub(super) fn install_member(
        &mut self,
        instance: &InstanceRef,
        spec: &Arc<InstanceSpec>,
        place: Place,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        let Place { addresses, barred, registered_from, health, live, is_draining, ttl } = place;
        let ttl = spec.heartbeat_ttl.or(ttl);
        let name_order = self.next_order();
        live.note_health(health.failures(), health.is_stopped());
        live.since_ms.store(now.unix_ms, std::sync::atomic::Ordering::Relaxed);
        live.registered_ms.store(now.unix_ms, std::sync::atomic::Ordering::Relaxed);
        let seen = view::instance(spec, &addresses, health.status(), name_order, &live);
        let member = Member {
            ttl,
            addresses,
            barred,
            registered_from,
            standing: Standing::new(health),
            probe_order: Generation::default(),
            name_order,
            heard: now.at,
            is_draining,
            live,
            seen,
            spec: Arc::clone(spec),
        };
        member.note_draining();
        if let Some(entry) = self.services.get_mut(&instance.service) {
            self.view.add_id(&spec.id, entry.slot);
            entry.members.insert(member);
        }
        self.deadlines.clear(&Due::Held(instance.service.clone()));
        if let UpstreamHost::Name(name) = &spec.url.host {
            let order = NameOrder { generation: name_order, name: name.clone(), port: spec.url.port };
            effects.push(Effect::FollowName(Followed::Instance(instance.clone()), order));
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
            self.view.replace_routes(entry.slot, Some(&entry.effective), None);
            self.claims.remove(&entry.effective);
            entry.effective = without_routes(&definition);
            entry.definition = definition;
            entry.registered_from = from;
            entry.blocked = Some(UNJUDGED.into());
        }
    }

    pub(super) fn registered(&self, instance: &InstanceRef, is_change: bool) -> Result<Answer, Refusal> {
        let (entry, member) = self.member(instance)?;
        Ok(Answer::Registered(Registered {
            instance: instance.clone(),
            routes: entry.definition.routes.len(),
            status: member.health().status(),
            generation: self.view.generation(),
            epoch: self.view.epoch(),
            heartbeat_ttl: member.ttl.unwrap_or(self.settings.heartbeat_ttl),
            is_change,
        }))
    }

    pub(super) fn heartbeat(
        &mut self,
        instance: &InstanceRef,
        source: &Source,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Result<Answer, Refusal> {
        let (_, member) = self.member(instance)?;
        self.settings.policy.check_owner(&instance.service, member.registered_from, source)?;
        let heartbeat_ttl = member.spec.heartbeat_ttl.unwrap_or(self.settings.heartbeat_ttl);
        // From its first heartbeat on an instance is held to them.
        self.hold_to(Some(heartbeat_ttl), instance, now, effects);
        let status = self.member(instance)?.1.health().status();
        Ok(Answer::Heard { status, epoch: self.view.epoch(), heartbeat_ttl })
    }

    /// Notes that an instance lives; one whose probes had ended is probed afresh.
    fn hear(&mut self, instance: &InstanceRef, now: Now, effects: &mut Vec<Effect>) {
        let default = self.settings.heartbeat_ttl;
        let Some(member) = self.member_mut(instance) else { return };
        // A default that changed holds from here on: the answer to this tells it.
        let ttl = member.ttl.map(|_| member.spec.heartbeat_ttl.unwrap_or(default));
        self.hold_to(ttl, instance, now, effects);
    }

    /// It registered just so: as [`hear`](Self::hear), and one that comes to send heartbeats is held to them.
    pub(super) fn hear_again(&mut self, instance: &InstanceRef, brings: Brings, now: Now, effects: &mut Vec<Effect>) {
        let default = self.settings.heartbeat_ttl;
        match (brings, self.member_mut(instance)) {
            (Brings::InstanceAlone, Some(member)) => {
                let ttl = member.spec.heartbeat_ttl.unwrap_or(default);
                self.hold_to(Some(ttl), instance, now, effects);
            }
            (Brings::InstanceAlone | Brings::Definition, _) => self.hear(instance, now, effects),
        }
    }

    /// It lives, and is to be heard again within `ttl`; `None`: whenever it likes.
    fn hold_to(&mut self, ttl: Option<Duration>, instance: &InstanceRef, now: Now, effects: &mut Vec<Effect>) {
        let Some(member) = self.member_mut(instance) else { return };
        member.heard = now.at;
        member.live.heard_ms.store(now.unix_ms, std::sync::atomic::Ordering::Relaxed);
        let is_stopped = member.health().is_stopped();
        // Zero where it has none, also if it had one before it registered anew.
        let ttl_ms = ttl.map_or(0, |ttl| ttl.as_millis().try_into().unwrap_or(u64::MAX));
        member.live.ttl_ms.store(ttl_ms, std::sync::atomic::Ordering::Relaxed);
        if let Some(ttl) = ttl {
            let before = member.ttl.replace(ttl);
            if before != Some(ttl) && member.spec.heartbeat_ttl.is_none() {
                effects.push(Effect::Keep(Change::NoteTtl { instance: instance.id.clone(), ttl }));
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

    pub(super) fn member_mut(&mut self, instance: &InstanceRef) -> Option<&mut Member> {
        self.services.get_mut(&instance.service)?.members.get_mut(&instance.id)
    }

    /// Nobody could be heard for so long: every TTL moves by it.
    pub(super) fn forgive(&mut self, lag: Duration) {
        for member in self.services.values_mut().flat_map(|entry| entry.members.values_mut()) {
            member.heard += lag;
        }
    }
}

/// What a registration stores.
fn changes(wish: &Registration, definition_of: Option<IpAddr>, ttl: Option<Duration>) -> Vec<Change> {
    let definition =
        |registered_from| Change::PutDefinition { definition: Arc::new(wish.definition.clone()), registered_from };
    let instance = Change::PutInstance {
        service: wish.definition.service.clone(),
        spec: Arc::new(wish.instance.clone()),
        addresses: Arc::clone(&wish.addresses),
        registered_from: wish.source.address,
    };
    let ttl = ttl.map(|ttl| Change::NoteTtl { instance: wish.instance.id.clone(), ttl });
    definition_of.map(definition).into_iter().chain([instance]).chain(ttl).collect()
}
