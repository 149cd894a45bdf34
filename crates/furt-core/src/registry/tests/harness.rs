//! A registry with a clock and a store that do what a test says, and short ways to write commands.
//!
//! Every effect is carried out at once and in order: writes are acknowledged, refused or kept back as [`Store`] says, plans and
//! answers are noted, and each tick publishes at most once. An answer that comes twice, or to nobody, fails the test.

pub(in crate::registry) mod apply_command;
pub(in crate::registry) mod grant_command;
pub(in crate::registry) mod key_command;
pub(in crate::registry) mod maintenance_command;
pub(in crate::registry) mod sharing;
pub(in crate::registry) mod split_command;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::command::{Command, address, instance, parts, policy, settings, source};
use crate::MemoryStore;
use crate::model::{
    AuditEntry, DrainUntil, Epoch, Grant, Incarnation, InstanceId, KeySpec, RouteSpec, RuntimeKey, Status,
};
use crate::ports::Store as _;
use crate::registry::directory::ServiceEntry;
use crate::registry::effects::Effects;
use crate::registry::eligibility::effective;
use crate::registry::{
    Answer, Change, Configuration, Contents, DefinitionRecord, Deregistration, DnsSubject, Drain, DrainCommand, Effect,
    Event, InstanceRef, NameWatch, Now, OnLastInstance, ProbeFailure, ProbePlan, ProbedHost, Reconfigured, Refusal,
    Registered, Registry, ReplyId, Report, Revision, Settings, Source, StaticRoute, Suspended, Write, WriteId,
};
use crate::routing::{Service, Snapshot};

/// What becomes of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::registry) enum Store {
    /// Done at once.
    Works,
    /// Refused at once.
    Fails,
    /// Kept until [`Harness::finish`].
    Waits,
}

pub(in crate::registry) struct Harness {
    pub(in crate::registry) registry: Registry,
    pub(in crate::registry) now: Now,
    pub(in crate::registry) store: Store,
    pub(in crate::registry) writes: VecDeque<(WriteId, Write)>,
    /// What a shared store is told to live.
    pub(in crate::registry) renewed: Vec<InstanceRef>,
    /// The revision of what was stored last.
    pub(in crate::registry) revision: Revision,
    /// All that were ever asked for.
    pub(in crate::registry) written: Vec<Change>,
    /// What the audit has.
    pub(in crate::registry) audited: Vec<Arc<AuditEntry>>,
    pub(in crate::registry) answers: BTreeMap<ReplyId, Result<Answer, Refusal>>,
    open: BTreeSet<ReplyId>,
    pub(in crate::registry) plans: BTreeMap<InstanceRef, ProbePlan>,
    pub(in crate::registry) names: BTreeMap<DnsSubject, NameWatch>,
    pub(in crate::registry) reports: Vec<Report>,
    /// What may be stored when it is convenient.
    pub(in crate::registry) kept: Vec<Change>,
    /// What a restart finds.
    pub(in crate::registry) stored: MemoryStore,
    /// The configuration's keys.
    pub(in crate::registry) configured: Vec<KeySpec>,
    pub(in crate::registry) snapshot: Snapshot,
    pub(in crate::registry) publishes: usize,
    /// Whether the tick goes on after an event: nothing is published until it ends.
    pub(in crate::registry) is_mid_turn: bool,
    next_reply: u64,
}

impl Harness {
    pub(in crate::registry) fn new() -> Self {
        Self::with(settings(policy()), Vec::new())
    }

    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start; from there on time is given")]
    pub(in crate::registry) fn with(settings: Settings, static_routes: Vec<StaticRoute>) -> Self {
        let epoch = Epoch(uuid::Uuid::nil());
        let now = Now { at: Instant::now(), unix_ms: 1_000_000 };
        let (mut registry, effects) = Registry::new(epoch, settings, static_routes, Vec::new(), now);
        let snapshot = registry.take_snapshot().unwrap();
        let mut harness = Self {
            registry,
            now,
            store: Store::Works,
            writes: VecDeque::new(),
            renewed: Vec::new(),
            revision: Revision::default(),
            written: Vec::new(),
            audited: Vec::new(),
            answers: BTreeMap::new(),
            open: BTreeSet::new(),
            plans: BTreeMap::new(),
            names: BTreeMap::new(),
            reports: Vec::new(),
            kept: Vec::new(),
            stored: MemoryStore::default(),
            configured: Vec::new(),
            snapshot,
            publishes: 0,
            is_mid_turn: false,
            next_reply: 0,
        };
        effects.into_iter().for_each(|effect| harness.carry_out(effect));
        harness
    }

    /// A crash, and a start with what was stored under rules that may be others; time goes on meanwhile.
    pub(in crate::registry) fn restart(&mut self, settings: Settings, static_routes: Vec<StaticRoute>) {
        self.restart_barring(&BTreeMap::new(), settings, static_routes);
    }

    /// The same, where some may not be where they are any more.
    pub(in crate::registry) fn restart_barring(
        &mut self,
        suspended: &BTreeMap<InstanceId, Arc<str>>,
        settings: Settings,
        static_routes: Vec<StaticRoute>,
    ) {
        let contents = self.stored.load().unwrap();
        let mut after = Self::with(settings, static_routes);
        after.now = self.now;
        after.stored = std::mem::take(&mut self.stored);
        after.next_reply = self.next_reply;
        after.configure_keys(std::mem::take(&mut self.configured));
        let effects = after.registry.restore(
            contents,
            &Suspended { instances: suspended.clone(), ..Suspended::default() },
            after.now,
        );
        after.publish();
        effects.into_iter().for_each(|effect| after.carry_out(effect));
        after.finish_writes();
        *self = after;
    }

    /// Takes over what a store has.
    pub(in crate::registry) fn restore_from(&mut self, contents: Contents) {
        let effects = self.registry.restore(contents, &Suspended::default(), self.now);
        self.publish();
        effects.into_iter().for_each(|effect| self.carry_out(effect));
    }

    /// # Panics
    /// Where what is installed, and was not lost by the store, is not what that has.
    pub(in crate::registry) fn assert_has(&self, contents: &Contents) {
        let directory = &self.registry.directory;
        let stored = directory.services().filter(|(_, entry)| !entry.has_lapsed());
        let definitions = stored.map(|(name, entry)| {
            let (definition, registered_from) = (Arc::clone(entry.definition()), entry.registered_from());
            (name.clone(), DefinitionRecord { definition, registered_from })
        });
        let definitions: BTreeMap<_, _> = definitions.collect();
        assert!(definitions.keys().eq(contents.definitions.keys()), "services: {:?}", definitions.keys());
        assert_eq!(definitions, contents.definitions, "definitions");
        let routes: BTreeSet<_> = self
            .snapshot
            .table
            .iter()
            .map(|route| {
                let host = route.host.as_ref().map(ToString::to_string);
                let owner = self.snapshot.service(route.owner.index()).map(|owner| owner.definition.service.clone());
                (host, route.method.to_string(), route.pattern.to_string(), owner)
            })
            .collect();
        // What is beyond its grant is installed, and not routed.
        let is_granted = |record: &&DefinitionRecord| {
            let is_within = |grant: &Grant| {
                let patterns = record.definition.routes.iter().map(|route| &route.pattern);
                patterns.into_iter().all(|pattern| grant.paths.iter().any(|path| path.covers(pattern)))
            };
            contents.grants.get(&record.definition.service).is_none_or(|one| is_within(&one.grant))
        };
        let stored = contents.definitions.values().filter(is_granted).flat_map(|record| {
            let effective = effective(&record.definition, &policy().apps_domain);
            let host = effective.host.as_ref().map(ToString::to_string);
            let of = |route: &RouteSpec| {
                (host.clone(), route.method.to_string(), route.pattern.to_string(), Some(effective.service.clone()))
            };
            effective.routes.iter().map(of).collect::<Vec<_>>()
        });
        let stored: BTreeSet<_> = stored.collect();
        let is_lost = |entry: &ServiceEntry| entry.has_lapsed();
        if !directory.services().any(|(_, entry)| is_lost(entry)) {
            assert_eq!(routes, stored, "routes");
        }
        let instances = || {
            let all = directory.services().map(|(name, entry)| (name, entry.instances()));
            let all = all.flat_map(|(name, all)| all.iter().map(move |(id, one)| (name, id, one)));
            all.filter(|(_, _, one)| !one.has_lapsed())
        };
        let installed: BTreeMap<_, _> = instances()
            .map(|(name, id, one)| (id.clone(), (name.clone(), Arc::clone(one.spec()), one.registered_from())))
            .collect();
        let stored: BTreeMap<_, _> = (contents.instances.iter())
            .map(|(id, one)| (id.clone(), (one.service.clone(), Arc::clone(&one.spec), one.registered_from)))
            .collect();
        assert_eq!(installed, stored, "instances");
        let promised = instances().filter(|(_, _, one)| one.spec().heartbeat_ttl.is_none());
        let ttls = promised.filter_map(|(_, id, one)| Some((id.clone(), one.liveness().ttl()?)));
        // One that was promised says nothing where the instance names its own since.
        let names_none = |id: &InstanceId| contents.instances[id].spec.heartbeat_ttl.is_none();
        let promised = contents.ttls.iter().filter(|(id, _)| names_none(id)).map(|(id, ttl)| (id.clone(), *ttl));
        assert!(ttls.collect::<BTreeMap<_, _>>().into_iter().eq(promised), "TTLs");
        let drains = instances().filter_map(|(_, id, one)| Some((id.clone(), Arc::clone(one.drain()?))));
        let drains = drains.filter(|(_, mark)| mark.until != DrainUntil::Undo);
        assert_eq!(drains.collect::<BTreeMap<_, _>>(), contents.draining, "drains");
        assert!(self.registry.holds.iter().eq(&contents.holds), "holds");
        // What a rotation replaced ends by time, and stays in the store.
        let shown = |key: &RuntimeKey| RuntimeKey { old: Vec::new(), ..key.clone() };
        let keys = self.snapshot.keys.runtime.values().map(|listed| shown(&listed.key));
        assert!(keys.eq(contents.keys.values().map(|key| shown(key))), "keys");
    }

    /// Other keys in the configuration.
    pub(in crate::registry) fn configure_keys(&mut self, keys: Vec<KeySpec>) {
        self.configured.clone_from(&keys);
        let mut effects = Effects::default();
        let (installed, mut parts) = self.registry.keys(&mut effects);
        installed.configure(keys, &mut parts);
        self.registry.sweep_invariants();
        self.publish();
        effects.into_vec().into_iter().for_each(|effect| self.carry_out(effect));
    }

    /// Another configuration with the same keys is in force when this returns.
    pub(in crate::registry) fn reconfigure(
        &mut self,
        settings: Settings,
        static_routes: Vec<StaticRoute>,
    ) -> Reconfigured {
        let reply = self.new_reply();
        let new = Configuration { settings, static_routes, keys: self.configured.clone() };
        self.send(Event::ConfigurationChanged(Box::new(new), reply));
        match self.answers[&reply].clone() {
            Ok(Answer::Reconfigured(answer)) => answer,
            other => panic!("{other:?} is no answer to a configuration"),
        }
    }

    /// One tick: the event, then, unless the store waits, what becomes of its writes.
    pub(in crate::registry) fn send(&mut self, event: Event) {
        let effects = self.registry.handle(event, self.now);
        self.publish();
        effects.into_iter().for_each(|effect| self.carry_out(effect));
        self.finish_writes();
    }

    fn finish_writes(&mut self) {
        while self.store != Store::Waits && !self.writes.is_empty() {
            self.finish(self.store);
        }
    }

    pub(in crate::registry) fn publish(&mut self) {
        if self.is_mid_turn {
            return;
        }
        if let Some(snapshot) = self.registry.take_snapshot() {
            assert!(snapshot.generation >= self.snapshot.generation, "generations grow");
            self.snapshot = snapshot;
            self.publishes += 1;
        }
        assert!(self.registry.take_snapshot().is_none(), "one tick publishes once");
    }

    /// The first write that waits is done, or refused.
    pub(in crate::registry) fn finish(&mut self, store: Store) {
        let (id, write) = self.writes.pop_front().expect("no write waits");
        let event = match store {
            Store::Fails => Event::WriteFailed(id, "disk full".to_owned()),
            Store::Works | Store::Waits => {
                self.stored.apply(&write.changes).unwrap();
                self.audited.extend(write.changes.iter().filter_map(audited).cloned());
                self.revision = Revision(self.revision.0 + 1);
                Event::WriteDone(id, self.revision)
            }
        };
        let effects = self.registry.handle(event, self.now);
        self.publish();
        effects.into_iter().for_each(|effect| self.carry_out(effect));
    }

    fn carry_out(&mut self, effect: Effect) {
        match effect {
            // Counters alone are told of it.
            Effect::Departs(..) => {}
            Effect::Write(id, write) => {
                self.written.extend(write.changes.iter().filter(|change| audited(change).is_none()).cloned());
                self.writes.push_back((id, write));
            }
            Effect::Keep(change) => {
                self.stored.apply(std::slice::from_ref(&change)).unwrap();
                self.kept.push(change);
            }
            Effect::Answer(reply, answer) => {
                assert!(self.open.remove(&reply), "{reply:?} is answered twice or was never asked: {answer:?}");
                self.answers.insert(reply, answer);
            }
            Effect::Probe(instance, plan) => {
                self.plans.insert(instance, plan);
            }
            Effect::StopProbing(instance) => {
                self.plans.remove(&instance);
            }
            Effect::WatchName(subject, order) => {
                self.names.insert(subject, order);
            }
            Effect::UnwatchName(subject) => {
                self.names.remove(&subject).expect("only a followed name is forgotten");
            }
            Effect::Report(report, _) => self.reports.push(report),
            Effect::Renew(instance) => self.renewed.push(instance),
        }
    }

    pub(in crate::registry) fn new_reply(&mut self) -> ReplyId {
        self.next_reply += 1;
        self.open.insert(ReplyId(self.next_reply));
        ReplyId(self.next_reply)
    }

    pub(in crate::registry) fn unanswered(&self) -> usize {
        self.open.len()
    }

    /// Who waits for an answer.
    pub(in crate::registry) fn open(&self) -> &BTreeSet<ReplyId> {
        &self.open
    }

    /// Asks, without the expectation of an answer at once.
    pub(in crate::registry) fn ask(&mut self, command: &Command) -> ReplyId {
        let reply = self.new_reply();
        self.send(Event::RegistrationRequested(Box::new(command.0.clone()), reply));
        reply
    }

    pub(in crate::registry) fn register(&mut self, command: &Command) -> Result<Registered, Refusal> {
        let reply = self.ask(command);
        match self.answers[&reply].clone()? {
            Answer::Registered(registered) => Ok(registered),
            other => panic!("{other:?} is no answer to a registration"),
        }
    }

    pub(in crate::registry) fn ask_to_deregister(&mut self, whom: &str, from: Source) -> ReplyId {
        self.ask_to_deregister_with(OnLastInstance::RemoveService, whom, from)
    }

    pub(in crate::registry) fn ask_to_deregister_with(
        &mut self,
        on_last_instance: OnLastInstance,
        whom: &str,
        source: Source,
    ) -> ReplyId {
        let (service, instance) = parts(whom);
        let reply = self.new_reply();
        let command = Deregistration { service, instance, incarnation: None, on_last_instance, source };
        self.send(Event::DeregistrationRequested(command, reply));
        reply
    }

    /// `whom`: a service, or `service/instance`.
    pub(in crate::registry) fn deregister(&mut self, whom: &str, from: Source) -> Result<usize, Refusal> {
        let reply = self.ask_to_deregister(whom, from);
        match self.answers[&reply].clone()? {
            Answer::Deregistered { instances, .. } => Ok(instances),
            other => panic!("{other:?} is no answer to a deregistration"),
        }
    }

    pub(in crate::registry) fn ask_for_drain(&mut self, whom: &str, drain: Drain, source: Source) -> ReplyId {
        let (service, instance) = parts(whom);
        let reply = self.new_reply();
        let command = DrainCommand { service, instance, incarnation: None, drain, source };
        self.send(Event::DrainRequested(Box::new(command), reply));
        reply
    }

    /// How many instances are draining by it, or are draining no more.
    pub(in crate::registry) fn drain(&mut self, whom: &str, drain: Drain, from: Source) -> Result<usize, Refusal> {
        let reply = self.ask_for_drain(whom, drain, from);
        match self.answers[&reply].clone()? {
            Answer::Drained { instances, .. } => Ok(instances.instances()),
            other => panic!("{other:?} is no answer to a drain"),
        }
    }

    pub(in crate::registry) fn heartbeat(&mut self, whom: &str, from: Source) -> Result<Status, Refusal> {
        let reply = self.new_reply();
        self.send(Event::HeartbeatReceived(instance(whom), None, from, reply));
        match self.answers[&reply].clone()? {
            Answer::Heard { status, .. } => Ok(status),
            other => panic!("{other:?} is no answer to a heartbeat"),
        }
    }

    /// The same of this incarnation alone.
    pub(in crate::registry) fn heartbeat_of(&mut self, whom: &str, incarnation: &str) -> Result<(), Refusal> {
        let reply = self.new_reply();
        let incarnation = Incarnation::try_new(incarnation).unwrap();
        self.send(Event::HeartbeatReceived(instance(whom), Some(incarnation), source("127.0.0.1"), reply));
        self.answers[&reply].clone().map(drop)
    }

    pub(in crate::registry) fn drain_of(&mut self, whom: &str, incarnation: &str, drain: Drain) -> Result<(), Refusal> {
        let ((service, instance), reply) = (parts(whom), self.new_reply());
        let incarnation = Some(Incarnation::try_new(incarnation).unwrap());
        let command = DrainCommand { service, instance, incarnation, drain, source: source("127.0.0.1") };
        self.send(Event::DrainRequested(Box::new(command), reply));
        self.answers[&reply].clone().map(drop)
    }

    pub(in crate::registry) fn deregister_of(&mut self, whom: &str, incarnation: &str) -> Result<(), Refusal> {
        let ((service, instance), reply) = (parts(whom), self.new_reply());
        let incarnation = Some(Incarnation::try_new(incarnation).unwrap());
        let (on_last_instance, source) = (OnLastInstance::RemoveService, source("127.0.0.1"));
        let command = Deregistration { service, instance, incarnation, on_last_instance, source };
        self.send(Event::DeregistrationRequested(command, reply));
        self.answers[&reply].clone().map(drop)
    }

    pub(in crate::registry) fn ask_for_probe(&mut self, whom: &str, from: Source) -> Result<Status, Refusal> {
        let reply = self.new_reply();
        self.send(Event::ProbeRequested(instance(whom), from, reply));
        match self.answers[&reply].clone()? {
            Answer::Probing { status } => Ok(status),
            other => panic!("{other:?} is no answer to the request for a probe"),
        }
    }

    /// Probes of the plan that holds now; `+` is a success, `-` a failure.
    pub(in crate::registry) fn probe(&mut self, whom: &str, outcomes: &str) {
        for outcome in outcomes.chars() {
            let token = self.plans.get(&instance(whom)).expect("it is probed").token;
            let outcome = if outcome == '+' { Ok(()) } else { Err(refused()) };
            let (host, took) = (ProbedHost::Own, Duration::from_millis(3));
            self.send(Event::ProbeFinished { instance: instance(whom), token, outcome, host, took });
        }
    }

    /// A probe of the plan that holds now, over a network.
    pub(in crate::registry) fn probe_elsewhere(&mut self, whom: &str, outcome: Result<(), ProbeFailure>) {
        let token = self.plans.get(&instance(whom)).expect("it is probed").token;
        let (host, took) = (ProbedHost::Other, Duration::from_millis(3));
        self.send(Event::ProbeFinished { instance: instance(whom), token, outcome, host, took });
    }

    pub(in crate::registry) fn resolve(&mut self, whom: &str, addresses: &[&str]) {
        let subject = DnsSubject::Instance(instance(whom));
        let token = self.names.get(&subject).expect("its name is followed").token;
        let addresses = addresses.iter().map(|text| address(text)).collect();
        self.send(Event::NameResolved { subject, token, addresses });
    }

    /// Time passes, with each deadline looked at when it comes.
    pub(in crate::registry) fn pass_ms(&mut self, ms: u64) {
        let end = self.now.at + Duration::from_millis(ms);
        while let Some(at) = self.registry.next_deadline().filter(|at| *at <= end) {
            self.move_clock(at.max(self.now.at));
            self.send(Event::DeadlineReached);
        }
        self.move_clock(end);
    }

    pub(in crate::registry) fn pass(&mut self, seconds: u64) {
        self.pass_ms(seconds * 1000);
    }

    fn move_clock(&mut self, at: Instant) {
        self.now.unix_ms += i64::try_from((at - self.now.at).as_millis()).unwrap();
        self.now.at = at;
    }

    pub(in crate::registry) fn service(&self, name: &str) -> Option<&Service> {
        self.snapshot.service_named(name).map(|service| &**service)
    }

    /// The status that requests see; `None` where the service is not there.
    pub(in crate::registry) fn status(&self, name: &str) -> Option<Status> {
        self.service(name).map(|service| service.status)
    }

    /// The instances that requests see.
    pub(in crate::registry) fn instances(&self, name: &str) -> Vec<&str> {
        self.service(name)
            .map_or_else(Vec::new, |found| found.instances.iter().map(|one| one.spec.id.as_str()).collect())
    }

    /// Those of them that requests leave out.
    pub(in crate::registry) fn draining(&self, name: &str) -> Vec<&str> {
        let instances = self.service(name).into_iter().flat_map(|found| &found.instances);
        instances.filter(|one| one.live.is_draining()).map(|one| one.spec.id.as_str()).collect()
    }

    /// Whose routes match a path on a host, those of services that can answer alone; static routes' urls are `static`.
    pub(in crate::registry) fn usable(&self, host: &str, path: &str) -> Vec<&str> {
        let table = self.snapshot.table.iter();
        let matching =
            table.filter(|one| one.pattern.matches(path) && one.host.as_ref().is_none_or(|own| own.as_str() == host));
        let usable = matching.filter(|route| self.snapshot.is_usable(route));
        let mut names: Vec<_> = usable
            .filter_map(|route| self.snapshot.service(route.owner.index()))
            .map(|service| service.definition.service.as_str())
            .collect();
        names.sort_unstable();
        names
    }
}

/// Why a probe failed where nothing listens.
pub(in crate::registry) fn refused() -> ProbeFailure {
    ProbeFailure::NoAnswer("connection refused".to_owned())
}

fn audited(change: &Change) -> Option<&Arc<AuditEntry>> {
    if let Change::Audit(entry) = change { Some(entry) } else { None }
}
