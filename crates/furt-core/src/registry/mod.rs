//! The pure core: what is registered, who may register what, who is up, what the table holds.
//!
//! [`Registry::handle`] takes an event and the time and gives effects; [`Registry::next_deadline`] says when to come
//! again; [`Registry::take_snapshot`] gives what requests are to see once it changed. No IO, clock, lock, await or log.
//!
//! What is durable takes two events: a command is checked against what is installed *and* pending and gives
//! [`Effect::Write`]; [`Event::WriteDone`] installs it and answers, [`Event::WriteFailed`] drops it. A removal leaves
//! the snapshot at once and is answered after its write. Writes are stored in the order they are given.
//!
//! Reading order: `event`, this file, `instances`, `health`, `grants`, `claims`, `removal`, `draining`, `keys`, `view`, `invariants`.

mod claims;
mod deadlines;
mod draining;
mod effects;
mod event;
mod grants;
mod health;
mod instances;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod keys;
mod outbox;
mod probing;
mod reconfigure;
mod refusal;
mod registering;
mod removal;
mod restore;
mod service_write;
#[cfg(test)]
mod simulation;
mod static_routes;
#[cfg(test)]
mod tests;
mod token;
mod view;

pub use draining::{Drain, DrainCommand};
pub use event::{
    Answer, Change, Contents, Deregistration, DnsSubject, Effect, Event, FirstProbe, InstanceRef, NameWatch, Now,
    OnLastInstance, ProbePlan, ProbeTarget, Reconfigured, Registered, Registration, RegistrationKind, ReplyId, Report,
    Source, WriteId,
};
pub use grants::{Grant, RegistrationPolicy, StaticClaim, UnlistedRule};
pub use health::{Health, HealthLimits, Verdict};
pub use keys::{KeyAnswer, KeyCommand, KeyRefusal, KeyReport};
pub use reconfigure::Configuration;
pub use refusal::Refusal;
pub use static_routes::{StaticRoute, StaticTarget};
pub use token::{NameToken, ProbeToken};

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::model::{Definition, Epoch, InstanceId, KeySpec, ServiceName, Status};
use crate::routing::{ServiceIndex, ServiceLive, Snapshot};
use claims::Claims;
use deadlines::{Deadlines, Due};
use effects::Effects;
use instances::{CountedState, InstanceEntry, Instances};
use keys::Keys;
use outbox::{Outbox, WriteIds};
use service_write::{ParkedCommand, Registering, RemovalCause, ServiceCommand, ServiceWrite};
use token::Tokens;

/// How long the routes of a service whose last instance expired are held as 503 (DESIGN §5.4).
const HOLD: Duration = Duration::from_secs(60);
/// When a removal that the store refused is tried again.
const REMOVAL_RETRY: Duration = Duration::from_secs(1);
/// The most commands that wait for one service's write: more callers than any fleet has instances starting at once.
const MAX_PARKED: usize = 10_000;

/// The numbers and rules that the core is given.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who may register what.
    pub policy: RegistrationPolicy,
    /// The numbers of the health machine.
    pub health: HealthLimits,
    /// The TTL of instances that heartbeat and name none.
    pub heartbeat_ttl: Duration,
}

/// Everything that is registered, and what waits for the store.
pub struct Registry {
    settings: Settings,
    services: BTreeMap<ServiceName, Entry>,
    /// Whose an instance's id is: of installed instances and pending ones.
    owners: HashMap<InstanceId, Ownership>,
    claims: Claims,
    write_ids: WriteIds,
    outbox: Outbox<ServiceName, ServiceWrite, ParkedCommand>,
    keys: Keys,
    deadlines: Deadlines,
    tokens: Tokens,
    view: view::View,
}

#[derive(Debug)]
struct Ownership {
    service: ServiceName,
    count: usize,
}

/// An installed service.
struct Entry {
    definition: Arc<Definition>,
    /// The definition with the routes that it really has: of a service without routes, those by host.
    effective: Arc<Definition>,
    registered_from: IpAddr,
    index: ServiceIndex,
    instances: Instances,
    status: Status,
    live: Arc<ServiceLive>,
    is_being_removed: bool,
    /// Why it is kept but not routed, where it may not stand; its effective definition has no routes then.
    blocked: Option<Arc<str>>,
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
            services: BTreeMap::new(),
            owners: HashMap::new(),
            claims: Claims::default(),
            write_ids: WriteIds::default(),
            outbox: Outbox::default(),
            keys: Keys::default(),
            deadlines: Deadlines::default(),
            tokens: Tokens::default(),
            view: view::View::new(epoch),
        };
        let mut effects = Effects::default();
        registry.configure_keys(keys, &mut effects);
        registry.add_static_routes(static_routes, now, &mut effects);
        (registry, effects.into_vec())
    }

    /// Takes what happened at `now` and says what is to be done, in this order.
    pub fn handle(&mut self, event: Event, now: Now) -> Vec<Effect> {
        let mut effects = Effects::default();
        self.handle_one(event, now, &mut effects);
        // The sweep costs what is registered: a debug build under a large fleet does without it.
        #[cfg(any(test, debug_assertions))]
        if self.is_small() {
            self.sweep_invariants();
        }
        effects.into_vec()
    }

    /// When [`Event::DeadlineReached`] is due next.
    pub fn next_deadline(&self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// What requests are to see, if it changed since it was last taken.
    pub fn take_snapshot(&mut self) -> Option<Snapshot> {
        self.view.take(&self.services)
    }

    fn handle_one(&mut self, event: Event, now: Now, effects: &mut Effects) {
        match event {
            Event::RegistrationRequested(command, reply) => self.handle_registration(command, reply, now, effects),
            Event::HeartbeatReceived(instance, source, reply) => {
                let outcome = self.heartbeat(&instance, &source, now, effects);
                effects.reply_to_command(reply, &instance.service, &source, outcome);
            }
            Event::DeregistrationRequested(command, reply) => self.handle_deregistration(command, reply, now, effects),
            Event::DrainRequested(command, reply) => self.handle_drain(command, reply, effects),
            Event::ProbeRequested(instance, source, reply) => {
                let outcome = self.probe_now(&instance, &source, now, effects);
                effects.reply_to_command(reply, &instance.service, &source, outcome);
            }
            Event::ProbeFinished { instance, token, outcome, took } => {
                self.handle_probe(&instance, token, outcome, took, now, effects);
            }
            Event::NameResolved { subject, token, addresses } => {
                self.handle_addresses(subject, token, addresses, now, effects);
            }
            Event::KeyRequested { command, from, reply } => self.handle_key_command(command, from, reply, now, effects),
            Event::WriteDone(write) => self.handle_write_done(write, now, effects),
            Event::WriteFailed(write, why) => self.handle_write_failed(write, &why, now, effects),
            Event::DeadlineReached => self.handle_deadlines(now, effects),
            Event::ClockGap(lag) => self.extend_deadlines(lag),
            Event::ConfigurationChanged(new, reply) => self.handle_configuration(*new, reply, now, effects),
        }
    }

    fn handle_write_done(&mut self, write: WriteId, now: Now, effects: &mut Effects) {
        let Some((write, services)) = self.outbox.finish(write) else {
            return self.handle_key_write_done(write, now, effects);
        };
        match write {
            ServiceWrite::Register(registering) => self.install(registering, now, effects),
            ServiceWrite::Remove { service, instance, cause } => {
                self.finish_removal(&service, instance, cause, now, effects);
            }
            ServiceWrite::Drain { command, ids, reply } => self.finish_drain(&command, &ids, reply, effects),
            ServiceWrite::Return { command, reply } => self.finish_return(&command, reply, now, effects),
        }
        services.iter().for_each(|service| self.unpark(service, now, effects));
    }

    fn handle_write_failed(&mut self, write: WriteId, why: &str, now: Now, effects: &mut Effects) {
        let Some((write, services)) = self.outbox.finish(write) else {
            return self.handle_key_write_failed(write, why, now, effects);
        };
        match write {
            ServiceWrite::Register(registering) => self.fail_registration(&registering, why, effects),
            ServiceWrite::Remove { service, instance, cause } => {
                self.undo_removal(&service, instance, cause, why, now, effects);
            }
            ServiceWrite::Drain { command, reply, .. } => {
                let refused = Err(Refusal::StoreFailed(why.to_owned()));
                effects.reply_to_command(reply, &command.service, &command.source, refused);
            }
            ServiceWrite::Return { command, reply } => self.fail_return(&command, reply, why, effects),
        }
        services.iter().for_each(|service| self.unpark(service, now, effects));
    }

    /// Gives a write about a service to the store.
    fn submit(&mut self, service: &ServiceName, write: ServiceWrite, changes: Vec<Change>, effects: &mut Effects) {
        let id = self.write_ids.next();
        self.outbox.submit(id, vec![service.clone()], write);
        effects.write(id, changes);
    }

    /// Lets a command wait until its service's writes are done.
    fn park(&mut self, command: ServiceCommand, reply: ReplyId, effects: &mut Effects) {
        let service = command.service().clone();
        if let Err(ParkedCommand { reply, .. }) =
            self.outbox.park(&service, ParkedCommand { command, reply }, MAX_PARKED)
        {
            effects.reply(reply, Err(Refusal::Busy));
        }
    }

    fn unpark(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
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
            let ParkedCommand { command, reply } = parked;
            match command {
                ServiceCommand::Register(command) => self.handle_registration(command, reply, now, effects),
                ServiceCommand::Deregister(command) => self.handle_deregistration(command, reply, now, effects),
                ServiceCommand::Drain(command) => self.handle_drain(command, reply, effects),
            }
        }
    }

    fn must_wait(&self, command: &ServiceCommand) -> bool {
        match command {
            ServiceCommand::Register(command) => self.registration_must_wait(command),
            ServiceCommand::Deregister(_) | ServiceCommand::Drain(_) => self.outbox.is_writing(command.service()),
        }
    }

    fn installed(&self, instance: &InstanceRef) -> Result<(&Entry, &InstanceEntry), Refusal> {
        let entry = self.services.get(&instance.service).filter(|entry| !entry.is_being_removed);
        let found = entry.and_then(|entry| Some((entry, entry.instances.get(&instance.id)?)));
        found
            .filter(|(_, installed)| !installed.is_being_removed())
            .ok_or_else(|| Refusal::NotFound(format!("instance \"{instance}\"")))
    }

    /// Sets a service's status from its instances', and tells the view.
    fn refresh(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        let Some(entry) = self.services.get_mut(service) else { return };
        self.view.touch(entry.index, service);
        let status = entry.overall();
        let before = std::mem::replace(&mut entry.status, status);
        // One that leaves by a command is not DOWN: it is reported as gone.
        if before != entry.status && !entry.is_being_removed {
            entry.live.note_transition(before, now.unix_ms);
            effects.report(Report::ServiceStatusChanged { service: service.clone(), from: before, to: entry.status });
        }
    }
}

impl Entry {
    /// UP while one instance is UP, DOWN when none is UP or UNKNOWN.
    fn overall(&self) -> Status {
        if self.is_being_removed { Status::Down } else { self.instances.status() }
    }
}
