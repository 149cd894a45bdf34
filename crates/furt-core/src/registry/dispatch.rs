//! The registry's parts, and the order in which they are asked.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Instant;

use super::applies::WaitingApply;
use super::audits::WaitingEntry;
use super::caller::{Asker, Caller};
use super::change::Change;
use super::claims::Claims;
use super::directory::{Directory, StatusChange};
use super::effects::{Effect, Effects};
use super::event::Event;
use super::holds::Holds;
use super::ids::WriteId;
use super::keys::{KeyParts, KeyStore, Keys};
use super::lapses::Lapses;
use super::leases::Leases;
use super::maintenances::Maintenances;
use super::names::WatchedNames;
use super::now::Now;
use super::outbox::{Outbox, WriteIds};
use super::places::Places;
use super::probes::{OutageWatch, ProbeOutcome, Probes};
use super::publisher::Publisher;
use super::refusal::Refusal;
use super::report::Report;
use super::revision::Revision;
use super::runtime_grants::RuntimeGrants;
use super::service_write::{ParkedCommand, ServiceCommand, ServiceWrite};
use super::settings::Settings;
use super::splits::Splits;
use super::static_route::StaticRoute;
use super::static_routes::StaticRoutes;
use super::token::Tokens;
use super::write::{Premise, Record, Write};
use crate::model::{Epoch, KeySpec, ServiceName};
use crate::routing::Snapshot;

/// The most commands that wait for one service's write: more callers than any fleet has instances starting at once.
pub(super) const MAX_PARKED: usize = 10_000;

/// Everything that is registered, and what waits for the store. Each field is a part that owns its state.
pub struct Registry {
    pub(super) settings: Settings,
    pub(super) directory: Directory,
    /// Of installed definitions.
    pub(super) claims: Claims,
    /// Of definitions on their way to the store.
    pub(super) pending_claims: Claims,
    pub(super) write_ids: WriteIds,
    pub(super) outbox: Outbox<ServiceName, ServiceWrite, ParkedCommand>,
    pub(super) keys: Keys,
    pub(super) leases: Leases,
    pub(super) probes: Probes,
    pub(super) holds: Holds,
    pub(super) maintenances: Maintenances,
    /// Entries of the audit on their way to the store that belong to no other change.
    pub(super) audits: BTreeMap<WriteId, WaitingEntry>,
    /// Files on their way to the store.
    pub(super) applies: BTreeMap<WriteId, WaitingApply>,
    pub(super) splits: Splits,
    pub(super) grants: RuntimeGrants,
    pub(super) places: Places,
    pub(super) outage: OutageWatch,
    pub(super) names: WatchedNames,
    pub(super) tokens: Tokens,
    pub(super) static_routes: StaticRoutes,
    pub(super) publisher: Publisher,
    /// What the store had when it was heard of last.
    pub(super) revision: Revision,
    /// Why a shared store cannot be followed, where it cannot.
    pub(super) unreachable: Option<Arc<str>>,
    /// How many gateways share the registry, as far as this one was told.
    pub(super) gateways: usize,
    pub(super) lapses: Lapses,
    /// Records of a shared store that were put by a stranger and cannot be read: what is installed stays, and is stored again as
    /// it is registered.
    pub(super) unreadable: BTreeSet<Record>,
}

impl Registry {
    /// An empty registry with the configuration's routes and keys; the effects are to be carried out at once.
    pub fn new(
        epoch: Epoch,
        settings: Settings,
        static_routes: Vec<StaticRoute>,
        keys: Vec<KeySpec>,
        now: Now,
    ) -> (Self, Vec<Effect>) {
        let mut registry = Self {
            settings,
            directory: Directory::default(),
            claims: Claims::default(),
            pending_claims: Claims::default(),
            write_ids: WriteIds::default(),
            outbox: Outbox::default(),
            keys: Keys::default(),
            leases: Leases::default(),
            probes: Probes::default(),
            holds: Holds::default(),
            maintenances: Maintenances::default(),
            audits: BTreeMap::new(),
            applies: BTreeMap::new(),
            splits: Splits::default(),
            grants: RuntimeGrants::default(),
            places: Places::default(),
            outage: OutageWatch::default(),
            names: WatchedNames::default(),
            tokens: Tokens::default(),
            static_routes: StaticRoutes::default(),
            publisher: Publisher::new(epoch),
            revision: Revision::default(),
            unreachable: None,
            gateways: 1,
            unreadable: BTreeSet::new(),
            lapses: Lapses::default(),
        };
        let mut effects = Effects::default();
        let (installed, mut parts) = registry.keys(&mut effects);
        installed.configure(keys, &mut parts);
        registry.configure_grants();
        registry.publisher.set_rules(&registry.settings.rules);
        registry.add_static_routes(static_routes, now, &mut effects);
        (registry, effects.into_vec())
    }

    /// Takes what happened at `now` and says what is to be done, in this order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Effects::default();
        self.dispatch(event, now, &mut effects);
        // The sweep costs what is registered: a debug build with many instances does without it.
        #[cfg(any(test, debug_assertions))]
        if self.is_small() {
            self.sweep_invariants();
        }
        effects.into_vec()
    }

    /// When [`Event::DeadlineReached`] is due next.
    pub fn next_deadline(&self) -> Option<Instant> {
        let of_parts = [self.keys.next_deadline(), self.maintenances.next_deadline(), self.outage.next_deadline()];
        self.leases.next().into_iter().chain(of_parts.into_iter().flatten()).min()
    }

    /// What requests are to see, if it changed since it was last taken.
    pub fn take_snapshot(&mut self) -> Option<Snapshot> {
        self.publisher.take(&self.directory)
    }

    fn dispatch(&mut self, event: Event, now: Now, effects: &mut Effects) {
        match event {
            Event::RegistrationRequested(command, reply) => {
                self.handle_registration(command, Caller::new(reply), now, effects);
            }
            Event::HeartbeatReceived(instance, incarnation, source, reply) => {
                let outcome = self.heartbeat(&instance, incarnation.as_ref(), &source, now, effects);
                effects.reply_to_command(reply, &instance.service, &source, outcome);
            }
            Event::DeregistrationRequested(command, reply) => {
                self.handle_deregistration(Box::new(command), Caller::new(reply), now, effects);
            }
            Event::DrainRequested(command, reply) => self.handle_drain(command, Caller::new(reply), now, effects),
            Event::ProbeRequested(instance, source, reply) => {
                let outcome = self.probe_now(&instance, &source, now, effects);
                effects.reply_to_command(reply, &instance.service, &source, outcome);
            }
            Event::ProbeFinished { instance, token, outcome, host, took } => {
                let probed = ProbeOutcome { outcome, host, took };
                self.handle_probe(&instance, token, probed, now, effects);
            }
            Event::NameResolved { subject, token, addresses } => {
                self.handle_addresses(subject, token, addresses, now, effects);
            }
            Event::KeyRequested { command, by, reply } => {
                let (keys, mut parts) = self.keys(effects);
                keys.handle_command(command, by, reply, now, &mut parts);
            }
            Event::MaintenanceRequested { command, by, reply } => {
                self.handle_maintenance(command, Asker { by, caller: Caller::new(reply) }, now, effects);
            }
            Event::SplitRequested { command, by, reply } => {
                self.handle_split(command, Asker { by, caller: Caller::new(reply) }, now, effects);
            }
            Event::GrantRequested { command, by, reply } => {
                self.handle_grant(command, Asker { by, caller: Caller::new(reply) }, now, effects);
            }
            Event::ApplyRequested { command, by, reply } => {
                self.handle_apply(command, Asker { by, caller: Caller::new(reply) }, now, effects);
            }
            Event::AuditRequested { action, by, reply } => {
                self.handle_audit(*action, Asker { by, caller: Caller::new(reply) }, now, effects);
            }
            Event::WriteDone(write, revision) => {
                self.revision = self.revision.max(revision);
                self.handle_write_done(write, now, effects);
            }
            Event::WriteFailed(write, why) => self.handle_write_failed(write, &why, now, effects),
            Event::WriteOutdated(write, revision) => {
                self.revision = self.revision.max(revision);
                self.handle_write_outdated(write, now, effects);
            }
            Event::StoreChanged(changed) => self.handle_store_changed(*changed, now, effects),
            Event::StoreReach(reach) => self.handle_store_reach(reach, now, effects),
            Event::GatewaysCounted(gateways) => {
                self.gateways = gateways;
                self.share_limits(effects);
            }
            Event::DeadlineReached => self.handle_deadlines(now, effects),
            Event::ClockGap(gap) => self.extend_deadlines(gap),
            Event::ConfigurationChanged(new, reply) => self.handle_configuration(*new, reply, now, effects),
        }
    }

    fn handle_write_done(&mut self, write: WriteId, now: Now, effects: &mut Effects) {
        if let Some((write, scope)) = self.maintenances.finish(write) {
            return self.finish_maintenance(write, &scope, now, effects);
        }
        if let Some((write, service)) = self.splits.finish(write) {
            return self.finish_split(write, &service, now, effects);
        }
        if let Some((write, service)) = self.grants.finish(write) {
            return self.finish_grant(write, &service, now, effects);
        }
        if let Some(waiting) = self.applies.remove(&write) {
            return self.finish_apply(write, waiting, now, effects);
        }
        if let Some(waiting) = self.audits.remove(&write) {
            return self.finish_audit(&waiting, Ok(()), effects);
        }
        let Some((write, services)) = self.outbox.finish(write) else {
            let (keys, mut parts) = self.keys(effects);
            return keys.handle_write_done(write, now, &mut parts);
        };
        match write {
            ServiceWrite::Register(registering) => {
                self.note_readable(&registering.command.definition.service, Some(&registering.command.instance.id));
                self.install(registering, now, effects);
            }
            ServiceWrite::Remove { service, instance, is_whole, cause, .. } => {
                if is_whole {
                    self.withdraw(&service);
                }
                self.finish_removal(&service, instance, cause, now, effects);
            }
            ServiceWrite::Drain { command, drains, caller } => self.finish_drain(&command, drains, caller, effects),
            ServiceWrite::Return { command, caller } => self.finish_return(&command, caller, now, effects),
            ServiceWrite::Restore { instance, with_definition } => {
                self.finish_restoring(&instance, with_definition, effects);
            }
        }
        services.iter().for_each(|service| self.unpark(service, now, effects));
    }

    fn handle_write_failed(&mut self, write: WriteId, why: &str, now: Now, effects: &mut Effects) {
        if let Some((write, scope)) = self.maintenances.finish(write) {
            return self.fail_maintenance(write, &scope, why, now, effects);
        }
        if let Some((write, service)) = self.splits.finish(write) {
            return self.fail_split(write, &service, why, now, effects);
        }
        if let Some((write, service)) = self.grants.finish(write) {
            return self.fail_grant(write, &service, why, now, effects);
        }
        if let Some(waiting) = self.applies.remove(&write) {
            return self.fail_apply(write, &waiting, why, now, effects);
        }
        if let Some(waiting) = self.audits.remove(&write) {
            return self.finish_audit(&waiting, Err(why), effects);
        }
        let Some((write, services)) = self.outbox.finish(write) else {
            let (keys, mut parts) = self.keys(effects);
            return keys.handle_write_failed(write, why, now, &mut parts);
        };
        match write {
            ServiceWrite::Register(registering) => self.fail_registration(&registering, why, effects),
            ServiceWrite::Remove { service, instance, cause, .. } => {
                self.fail_removal(&service, instance, cause, why, now, effects);
            }
            ServiceWrite::Drain { command, caller, .. } => {
                let refused = Err(Refusal::StoreFailed(why.to_owned()));
                effects.reply_to_command(caller.reply, &command.service, &command.source, refused);
            }
            ServiceWrite::Return { command, caller } => self.fail_return(&command, caller, why, effects),
            ServiceWrite::Restore { instance, .. } => self.retry_restoring(&instance, now),
        }
        services.iter().for_each(|service| self.unpark(service, now, effects));
    }

    /// The keys, with the parts that their changes go to.
    pub(super) fn keys<'a>(&'a mut self, effects: &'a mut Effects) -> (&'a mut Keys, KeyParts<'a>) {
        let Self { keys, publisher, write_ids, settings, revision, unreachable, .. } = self;
        let store = KeyStore { sharing: settings.sharing, seen: *revision, unreachable: unreachable.as_ref() };
        (keys, KeyParts { publisher, write_ids, effects, store })
    }

    /// Gives a write about a service to the store.
    pub(super) fn submit(
        &mut self,
        service: &ServiceName,
        write: ServiceWrite,
        changes: Vec<Change>,
        premises: Vec<Premise>,
        effects: &mut Effects,
    ) {
        let id = self.write_ids.next();
        self.outbox.submit(id, vec![service.clone()], write);
        effects.write(id, Write::new(changes, self.revision, premises));
    }

    /// Lets a command wait until its service's writes are done.
    pub(super) fn park(&mut self, command: ServiceCommand, caller: Caller, effects: &mut Effects) {
        let service = command.service().clone();
        if let Err(ParkedCommand { caller, .. }) =
            self.outbox.park(&service, ParkedCommand { command, caller }, MAX_PARKED)
        {
            effects.reply(caller.reply, Err(Refusal::Busy));
        }
    }

    pub(super) fn unpark(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        let mut queue = self.outbox.take_parked(service);
        while let Some(mut parked) = queue.pop_front() {
            if let ServiceCommand::Register(command) = &mut parked.command {
                self.renew(command);
            }
            // The others wait behind it without being looked at: a full queue costs one look a write.
            if self.must_wait(&parked.command) {
                queue.push_front(parked);
                return self.outbox.park_again(service, queue);
            }
            let ParkedCommand { command, caller } = parked;
            match command {
                ServiceCommand::Register(command) => self.handle_registration(command, caller, now, effects),
                ServiceCommand::Deregister(command) => self.handle_deregistration(command, caller, now, effects),
                ServiceCommand::Drain(command) => self.handle_drain(command, caller, now, effects),
            }
        }
    }

    fn must_wait(&self, command: &ServiceCommand) -> bool {
        match command {
            ServiceCommand::Register(command) => self.registration_must_wait(command),
            ServiceCommand::Deregister(_) | ServiceCommand::Drain(_) => self.outbox.is_writing(command.service()),
        }
    }

    /// Sets a service's status from its instances', and has it published anew.
    pub(super) fn refresh(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        let Some(entry) = self.directory.service_mut(service) else { return };
        self.publisher.touch(entry.index(), service);
        if let Some(StatusChange { from, to }) = entry.refresh_status(now) {
            effects.report(Report::ServiceStatusChanged { service: service.clone(), from, to });
        }
    }
}
