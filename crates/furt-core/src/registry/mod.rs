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
mod probing;
mod reconfigure;
mod refusal;
mod registering;
mod removal;
mod restore;
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

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
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
    pending: BTreeMap<WriteId, Pending>,
    pending_of: HashMap<ServiceName, BTreeSet<WriteId>>,
    /// Commands that wait until a service's pending writes are done, in the order they came.
    parked: HashMap<ServiceName, VecDeque<Event>>,
    keys: Keys,
    deadlines: Deadlines,
    next_write: u64,
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

/// A write on its way to the store.
enum Pending {
    Register(Registering),
    Remove {
        service: ServiceName,
        instance: Option<InstanceId>,
        cause: Cause,
    },
    Drain {
        command: Box<DrainCommand>,
        ids: Vec<InstanceId>,
        reply: ReplyId,
    },
    /// An instance that is draining registered just so.
    Return {
        command: Box<Registration>,
        reply: ReplyId,
    },
}

/// A registration on its way to the store.
struct Registering {
    command: Box<Registration>,
    /// Whose the definition is that it brings; `None`: the installed one stays.
    definition_of: Option<IpAddr>,
    /// What it is held to from the start though it names no TTL; stored with it.
    ttl: Option<Duration>,
    reply: ReplyId,
}

enum Cause {
    Asked { reply: ReplyId, from: IpAddr, on_last_instance: OnLastInstance },
    Expired,
    HoldOver,
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
            pending: BTreeMap::new(),
            pending_of: HashMap::new(),
            parked: HashMap::new(),
            keys: Keys::default(),
            deadlines: Deadlines::default(),
            next_write: 0,
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
        match self.take_pending(write) {
            Some(Pending::Register(registering)) => {
                let service = registering.command.definition.service.clone();
                self.install(registering, now, effects);
                self.unpark(&service, now, effects);
            }
            Some(Pending::Remove { service, instance, cause }) => {
                self.finish_removal(&service, instance, cause, now, effects);
                self.unpark(&service, now, effects);
            }
            Some(Pending::Drain { command, ids, reply }) => {
                self.finish_drain(&command, &ids, reply, effects);
                self.unpark(&command.service, now, effects);
            }
            Some(Pending::Return { command, reply }) => {
                self.finish_return(&command, reply, now, effects);
                self.unpark(&command.definition.service, now, effects);
            }
            None => self.handle_key_write_done(write, now, effects),
        }
    }

    fn handle_write_failed(&mut self, write: WriteId, why: &str, now: Now, effects: &mut Effects) {
        match self.take_pending(write) {
            Some(Pending::Register(Registering { command, definition_of, reply, .. })) => {
                let service = command.definition.service.clone();
                if definition_of.is_some() {
                    self.release_claims(&command.definition);
                }
                self.release_id(&command.instance.id);
                let refused = Err(Refusal::StoreFailed(why.to_owned()));
                effects.reply_to_command(reply, &service, &command.source, refused);
                self.unpark(&service, now, effects);
            }
            Some(Pending::Remove { service, instance, cause }) => {
                self.undo_removal(&service, instance, cause, why, now, effects);
                self.unpark(&service, now, effects);
            }
            Some(Pending::Drain { command, reply, .. }) => {
                let refused = Err(Refusal::StoreFailed(why.to_owned()));
                effects.reply_to_command(reply, &command.service, &command.source, refused);
                self.unpark(&command.service, now, effects);
            }
            Some(Pending::Return { command, reply }) => {
                self.fail_return(&command, reply, why, effects);
                self.unpark(&command.definition.service, now, effects);
            }
            None => self.handle_key_write_failed(write, why, now, effects),
        }
    }

    fn submit(&mut self, service: &ServiceName, pending: Pending, changes: Vec<Change>, effects: &mut Effects) {
        let write = WriteId(self.next_write);
        self.next_write += 1;
        self.pending.insert(write, pending);
        self.pending_of.entry(service.clone()).or_default().insert(write);
        effects.write(write, changes);
    }

    fn take_pending(&mut self, write: WriteId) -> Option<Pending> {
        let pending = self.pending.remove(&write)?;
        let service = pending.service();
        if let Some(writes) = self.pending_of.get_mut(service) {
            writes.remove(&write);
            if writes.is_empty() {
                self.pending_of.remove(service);
            }
        }
        Some(pending)
    }

    /// Lets a command wait until the service's pending writes are done.
    fn park(&mut self, service: &ServiceName, event: Event, effects: &mut Effects) {
        let queue = self.parked.entry(service.clone()).or_default();
        if queue.len() < MAX_PARKED {
            queue.push_back(event);
        } else if let Event::RegistrationRequested(_, reply)
        | Event::DeregistrationRequested(_, reply)
        | Event::DrainRequested(_, reply) = event
        {
            effects.reply(reply, Err(Refusal::Busy));
        }
    }

    fn unpark(&mut self, service: &ServiceName, now: Now, effects: &mut Effects) {
        let mut queue = self.parked.remove(service).unwrap_or_default();
        while let Some(mut event) = queue.pop_front() {
            if let Event::RegistrationRequested(command, _) = &mut event {
                self.renew(command);
            }
            // The others wait behind it without being looked at: a full queue costs one look a write.
            if self.waits(&event) {
                queue.push_front(event);
                // What was taken out of it and waits anew came before the rest.
                self.parked.entry(service.clone()).or_default().append(&mut queue);
                return;
            }
            self.handle_one(event, now, effects);
        }
    }

    fn waits(&self, event: &Event) -> bool {
        match event {
            Event::RegistrationRequested(command, _) => self.must_wait(command),
            Event::DeregistrationRequested(command, _) => self.pending_of.contains_key(&command.service),
            Event::DrainRequested(command, _) => self.pending_of.contains_key(&command.service),
            Event::HeartbeatReceived(..)
            | Event::ProbeRequested(..)
            | Event::ProbeFinished { .. }
            | Event::NameResolved { .. }
            | Event::KeyRequested { .. }
            | Event::WriteDone(_)
            | Event::WriteFailed(..)
            | Event::DeadlineReached
            | Event::ClockGap(_)
            | Event::ConfigurationChanged(..) => false,
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

impl Pending {
    fn service(&self) -> &ServiceName {
        match self {
            Self::Register(registering) => &registering.command.definition.service,
            Self::Remove { service, .. } => service,
            Self::Drain { command, .. } => &command.service,
            Self::Return { command, .. } => &command.definition.service,
        }
    }
}
