//! Registrations on their way in: what is asked of the store, and what a refusal of the store undoes.

use std::sync::Arc;
use std::time::Duration;

use super::answer::{Answer, Canary, Registered};
use super::caller::Caller;
use super::change::{Change, DefinitionRecord, InstanceRecord};
use super::command::{Registration, RegistrationKind};
use super::dispatch::Registry;
use super::effects::Effects;
use super::eligibility::effective;
use super::ids::InstanceRef;
use super::now::Now;
use super::refusal::Refusal;
use super::registration_plan::Plan;
use super::service_write::{Registering, ServiceCommand, ServiceWrite};
use super::shared;
use crate::model::{Definition, DrainUntil};

impl Registry {
    pub(super) fn handle_registration(
        &mut self,
        mut command: Box<Registration>,
        caller: Caller,
        now: Now,
        effects: &mut Effects,
    ) {
        let service = command.definition.service.clone();
        self.round_ttl(&mut command);
        self.renew(&mut command);
        match self.plan(&command, now) {
            Err(refusal) => effects.reply_to_command(caller.reply, &service, &command.source, Err(refusal)),
            Ok(Plan::Wait) => self.park(ServiceCommand::Register(command), caller, effects),
            Ok(Plan::Known { is_canary }) => {
                let instance = InstanceRef { service, id: command.instance.id.clone() };
                self.hear_registration(&instance, command.kind, now, effects);
                if self.settings.sharing.is_shared() {
                    self.re_evaluate_suspended(&instance.service, now, effects);
                }
                if let Some(installed) = self.directory.instance(&instance) {
                    shared::registered(installed.live(), now);
                }
                let canary = is_canary.then(Canary::default);
                effects.reply(caller.reply, self.registered(&instance, canary, false));
            }
            Ok(Plan::EndDrain | Plan::Write { .. }) if let Some(refusal) = self.store_refusal() => {
                effects.reply_to_command(caller.reply, &service, &command.source, Err(refusal));
            }
            Ok(Plan::EndDrain) => self.begin_return(command, caller, now, effects),
            Ok(Plan::Write { definition_owner, replaces, canary }) => {
                let ttl = self.promised_ttl(&command);
                self.begin_registration(
                    Registering { command, definition_owner, replaces, canary, ttl, caller },
                    now,
                    effects,
                );
            }
        }
    }

    /// A shared store counts whole seconds, and the answer tells what the instance is held to.
    fn round_ttl(&self, command: &mut Registration) {
        let ttl = &mut command.instance.heartbeat_ttl;
        *ttl = ttl.map(|ttl| self.settings.sharing.held_to(ttl));
    }

    /// An instance alone takes over the definition of today, each time that it is looked at: the service may have changed
    /// or gone while the command waited.
    pub(super) fn renew(&self, command: &mut Registration) {
        if command.kind.joins() {
            command.definition = self.directory.definition_to_join(&command.definition.service);
        }
    }

    fn begin_registration(&mut self, registering: Registering, now: Now, effects: &mut Effects) {
        let Registering { command, definition_owner, caller, .. } = &registering;
        let service = command.definition.service.clone();
        let changes = self.changes(&registering, now);
        // Nothing is stored that a start would not read again.
        if let Err(why) = changes.iter().try_for_each(Change::check) {
            return effects.reply_to_command(caller.reply, &service, &command.source, Err(Refusal::Invalid(why)));
        }
        let premises = self.premises_of_registration(&registering);
        if definition_owner.is_some() {
            self.pending_claims.add(&effective(&command.definition, &self.settings.policy.apps_domain), self.revision);
        }
        self.places.claim(&service, &command.instance);
        for id in registering.ids() {
            self.directory.claim_id(&InstanceRef { service: service.clone(), id: id.clone() });
        }
        self.submit(&service, ServiceWrite::Register(registering), changes, premises, effects);
    }

    /// The store does not have it: nothing of it stays.
    pub(super) fn fail_registration(&mut self, registering: &Registering, why: &str, effects: &mut Effects) {
        self.release(registering);
        let Registering { command, caller, .. } = registering;
        let refused = Err(Refusal::StoreFailed(why.to_owned()));
        effects.reply_to_command(caller.reply, &command.definition.service, &command.source, refused);
    }

    /// Gives back all that a registration claimed on its way to the store.
    pub(super) fn release(&mut self, registering: &Registering) {
        if registering.definition_owner.is_some() {
            self.release_claims(&registering.command.definition);
        }
        self.release_ids(registering);
    }

    /// Gives back what a registration claimed of ids and places on its way to the store.
    fn release_ids(&mut self, registering: &Registering) {
        let service = &registering.command.definition.service;
        self.places.release(service, &registering.command.instance);
        for id in registering.ids() {
            self.directory.release_id(&InstanceRef { service: service.clone(), id: id.clone() });
        }
    }

    /// The TTL that an instance is held to from its registration on though it names none.
    fn promised_ttl(&self, command: &Registration) -> Option<Duration> {
        let must_beat = command.kind == RegistrationKind::InstanceOnly && command.instance.heartbeat_ttl.is_none();
        must_beat.then_some(self.settings.heartbeat_ttl)
    }

    /// Gives back what a registration claimed on its way to the store.
    pub(super) fn release_claims(&mut self, definition: &Definition) {
        self.pending_claims.remove(&effective(definition, &self.settings.policy.apps_domain));
    }

    /// The answer to a registration.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] where it is not installed.
    pub(super) fn registered(
        &self,
        instance: &InstanceRef,
        canary: Option<Canary>,
        is_change: bool,
    ) -> Result<Answer, Refusal> {
        let (entry, installed) = self.directory.installed(instance)?;
        Ok(Answer::Registered(Registered {
            instance: instance.clone(),
            routes: entry.definition().routes.len(),
            status: installed.health().status(),
            generation: self.publisher.generation(),
            epoch: self.publisher.epoch(),
            heartbeat_ttl: installed.liveness().ttl().unwrap_or(self.settings.heartbeat_ttl),
            replaced: Vec::new(),
            canary,
            is_change,
        }))
    }

    /// What a registration stores.
    fn changes(&self, registering: &Registering, now: Now) -> Vec<Change> {
        let Registering { command, definition_owner, replaces, ttl, .. } = registering;
        let service = command.definition.service.clone();
        let instance = InstanceRef { service: service.clone(), id: command.instance.id.clone() };
        let incarnation = command.instance.incarnation.as_ref();
        let definition = definition_owner.map(|registered_from| {
            Change::PutDefinition(DefinitionRecord {
                definition: Arc::new(command.definition.clone()),
                registered_from,
            })
        });
        let put = Change::PutInstance(InstanceRecord {
            service,
            spec: Arc::new(command.instance.clone()),
            addresses: Arc::clone(&command.addresses),
            registered_from: command.source.address,
            replaced: self.replaced_by(&instance, incarnation),
        });
        let ttl = ttl.map(|ttl| Change::NoteTtl { instance: instance.clone(), ttl });
        // What puts an instance anew ends its drain in the store, but for a hold of its id.
        let is_lost = |rival: &InstanceRef| self.directory.instance(rival).is_some_and(|one| one.has_lapsed());
        let gone = replaces.iter().map(|id| instance.sibling(id)).filter(|rival| !is_lost(rival));
        let gone = gone.map(Change::RemoveInstance);
        let drain = self.drain_after(&instance, incarnation, replaces).filter(|mark| mark.until != DrainUntil::Undo);
        let drain = drain.map(|mark| Change::PutDraining(instance.clone(), Arc::clone(mark)));
        let audited = self.audited_registration(registering, now);
        audited.into_iter().chain(definition).chain(gone).chain([put]).chain(ttl).chain(drain).collect()
    }
}
