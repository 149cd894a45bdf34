//! What is to be done for a registration, by what is installed and what is on its way to the store.

use std::net::IpAddr;

use super::answer::Canary;
use super::command::{Registration, RegistrationKind};
use super::directory::InstanceEntry;
use super::dispatch::Registry;
use super::evaluating::Rivals;
use super::ids::InstanceRef;
use super::now::Now;
use super::probes::HealthLimits;
use super::refusal::Refusal;
use super::service_write::ServiceWrite;
use super::write::Record;
use crate::model::{InstanceId, Status};

/// What a registration comes to.
pub(super) enum Plan {
    /// It is registered without any change: that counts as a heartbeat.
    Known {
        /// Whether it is a canary.
        is_canary: bool,
    },
    /// It is registered without any change and draining: that is to end.
    EndDrain,
    /// Another write of the service must be done first.
    Wait,
    /// It is to be written.
    Write {
        /// The address recorded as the owner of the definition; `None`: the installed definition stays.
        definition_owner: Option<IpAddr>,
        /// Other instances of the service at its url.
        replaces: Vec<InstanceId>,
        /// Where it joins as a canary.
        canary: Option<Canary>,
    },
}

impl Registry {
    /// What is to be done for a registration. Checked in this order: grant, owner, conflicts.
    ///
    /// # Errors
    /// Why it is refused.
    pub(super) fn plan(&self, command: &Registration, now: Now) -> Result<Plan, Refusal> {
        let policy = &self.settings.policy;
        policy.check_grant(command)?;
        let service = &command.definition.service;
        let entry = self.directory.service(service);
        let installed = entry.map(|entry| entry.definition());
        let has_lapsed = entry.is_some_and(|entry| entry.has_lapsed());
        let is_same = installed.is_some_and(|own| **own == command.definition);
        // Of a definition that the store lost there is nothing to leave as it is.
        let is_canary = !has_lapsed && !is_same && installed.is_some() && self.is_canary(service, &command.instance);
        let is_older =
            !has_lapsed && installed.is_some_and(|own| is_canary || own.revision > command.definition.revision);
        let is_eligible = entry.is_some_and(|entry| entry.eligibility().is_eligible());
        if let Some(entry) = entry.filter(|_| !is_older && !is_same) {
            policy.check_owner(service, entry.registered_from(), &command.source)?;
        }
        let has_routes = installed.is_some_and(|own| !own.routes.is_empty());
        let installed = entry.and_then(|entry| entry.instances().get(&command.instance.id));
        // Also where nothing changes: it counts as a heartbeat, and those are the registrant's.
        if let Some(installed) = installed {
            policy.check_owner(service, installed.registered_from(), &command.source)?;
        }
        if let Some(owner) = self.directory.ids().other_owners(&command.instance.id, service).next() {
            return Err(self.directory.taken(format!("instance id \"{}\"", command.instance.id), owner));
        }
        if !is_older {
            self.check_conflicts(&command.definition, Rivals::All)?;
        }
        if self.registration_must_wait(command) {
            return Ok(Plan::Wait);
        }
        // A lower revision and a canary leave the definition as it is anyway.
        if command.kind == RegistrationKind::WithoutRoutes && has_routes && !is_older {
            return Err(Refusal::RoutesMissing);
        }
        if let Some(installed) = installed {
            let limits = self.health_limits(&InstanceRef { service: service.clone(), id: command.instance.id.clone() });
            check_replaced(command, installed, &limits, now)?;
        }
        let is_registered = installed.is_some_and(|installed| {
            // One that the store lost is stored again as it is heard, where it is held to a TTL.
            let is_stored = !installed.has_lapsed() || installed.liveness().ttl().is_some();
            is_stored
                && !installed.is_being_removed()
                && **installed.spec() == command.instance
                && (*installed.addresses() == command.addresses || command.instance.url.socket_address().is_none())
        });
        let incarnation = command.instance.incarnation.as_ref();
        let ends_drain =
            installed.and_then(|installed| installed.drain()).is_some_and(|mark| mark.ends_with(incarnation));
        // A service that is suspended is evaluated again with its registration. In a shared store it may be suspended here
        // alone: nothing is put anew for that, unless it is someone else's from here on.
        let is_shared = self.settings.sharing.is_shared();
        let is_as_it_stands = is_eligible
            || (is_shared && entry.is_some_and(|entry| entry.registered_from() == self.definition_owner(command)));
        let is_readable = |record: Record| self.unreadable.is_empty() || !self.unreadable.contains(&record);
        let keeps_definition =
            is_older || (is_same && is_as_it_stands && is_readable(Record::Definition(service.clone())));
        let instance = InstanceRef { service: service.clone(), id: command.instance.id.clone() };
        let is_registered = is_registered && is_readable(Record::Instance(instance));
        let replaces = self.replaces(command)?;
        Ok(match keeps_definition && is_registered && replaces.is_empty() {
            true if ends_drain => Plan::EndDrain,
            true => Plan::Known { is_canary },
            false => {
                let brings_definition = has_lapsed || !keeps_definition;
                let definition_owner = brings_definition.then(|| self.definition_owner(command));
                let canary = is_canary.then(|| Canary { obstacle: self.obstacle(command) });
                Plan::Write { definition_owner, replaces, canary }
            }
        })
    }

    /// Why the definition of a canary could not take the place of the installed one, as things are.
    fn obstacle(&self, command: &Registration) -> Option<Refusal> {
        let service = &command.definition.service;
        let entry = self.directory.service(service)?;
        let is_owner = self.settings.policy.check_owner(service, entry.registered_from(), &command.source);
        is_owner.and_then(|()| self.check_conflicts(&command.definition, Rivals::All)).err()
    }

    /// The address recorded as the owner of a definition that is written. Normally that is the caller. If the caller
    /// registers a suspended definition again without a change, the original owner keeps it, unless the policy no longer
    /// allows registration from that address.
    fn definition_owner(&self, command: &Registration) -> IpAddr {
        let entry = self.directory.service(&command.definition.service);
        let before =
            entry.filter(|entry| **entry.definition() == command.definition).map(|entry| entry.registered_from());
        let stays = before.filter(|from| self.settings.policy.check_definition(&command.definition, *from).is_ok());
        stays.unwrap_or(command.source.address)
    }

    /// What else of the service is at the instance's url: within a service one url is one instance.
    ///
    /// # Errors
    /// One of them is another registrant's.
    fn replaces(&self, command: &Registration) -> Result<Vec<InstanceId>, Refusal> {
        let service = &command.definition.service;
        let rivals = self.places.rivals(service, &command.instance);
        let entry = self.directory.service(service);
        for rival in rivals.iter().filter_map(|id| entry?.instances().get(id)) {
            self.settings.policy.check_owner(service, rival.registered_from(), &command.source)?;
        }
        Ok(rivals)
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
        // The first of several that bring one definition would make the others outdated.
        if before.definition_owner.is_some() && self.settings.sharing.is_shared() {
            return true;
        }
        let is_installed =
            self.directory.service(service).is_some_and(|entry| entry.instances().contains_key(&command.instance.id));
        let claims = self.directory.ids().claims(&command.instance.id, service);
        let is_same_instance = claims > usize::from(is_installed);
        // Nor may one that is at the same url be on its way to the store, or one that this one replaces.
        let is_rival = |id: &InstanceId| self.directory.ids().claims(id, service) > 1;
        is_same_instance
            || self.places.is_claimed(service, &command.instance)
            || self.places.rivals(service, &command.instance).iter().any(is_rival)
            || before.command.definition != command.definition
            || (before.definition_owner.is_some() && before.command.source.address != command.source.address)
    }
}

/// An incarnation that was replaced may not push out the one that replaced it while that is UP or starts.
///
/// # Errors
/// [`Refusal::Replaced`].
fn check_replaced(
    command: &Registration,
    installed: &InstanceEntry,
    limits: &HealthLimits,
    now: Now,
) -> Result<(), Refusal> {
    let incarnation = command.instance.incarnation.as_ref();
    let was_replaced = incarnation.is_some() && incarnation == installed.replaced();
    let health = installed.health();
    let is_protected = health.status() == Status::Up || health.is_starting(limits, now.at);
    if was_replaced && !installed.is_being_removed() && is_protected {
        let (id, installed) = (command.instance.id.clone(), installed.spec().incarnation.clone());
        return Err(Refusal::Replaced { id, installed });
    }
    Ok(())
}
