//! A seeded simulation: random events over a small alphabet, given to the core and to the naive [`model`], and all that
//! can be observed compared after each of them. The core sweeps its own invariants besides. A failure names its seed.

mod compare;
mod model;
mod shared;
mod stored;

use std::time::Duration;

use super::tests::{
    Command, Harness, Store, definition_of, instance, policy, refused, settings, source, split_of, version,
};
use super::{
    Deregistration, Drain, DrainCommand, Event, HealthLimits, InstanceRef, OnLastInstance, ProbeFailure, ProbeToken,
    ProbedHost, RegistrationPolicy, Settings, Source, SplitCommand, StaticClaim, StaticRoute, StaticTarget,
};
use crate::model::{DrainUntil, Incarnation, Operator, OperatorName, Role, ServiceName};
use model::Model;
use stored::Stored;

const SEEDS: u64 = 256;
const STEPS: usize = 300;

const SERVICES: [&str; 3] = ["a", "b", "c"];
const IDS: [&str; 4] = ["i1", "i2", "i3", "i4"];
const SOURCES: [&str; 3] = ["127.0.0.1", "10.0.0.1", "10.0.0.2"];
const HOSTS: [&str; 4] = ["", "one.example", "a.internal", "b.internal"];
const PATHS: [&str; 5] = ["/", "/x", "/y", "/x/z", "/s"];
const ROUTES: [&[&str]; 9] = [
    &["GET /x"],
    &["* /x"],
    &["POST /x"],
    &["GET /y"],
    &["GET /x/*", "POST /y"],
    &["GET /x/*"],
    &["HEAD /x", "GET /x"],
    &["GET /*"],
    &[],
];

struct Simulation {
    random: fastrand::Rng,
    furt: Harness,
    model: Model,
    stored: Stored,
    /// Orders to probe that were given once.
    orders: Vec<(InstanceRef, ProbeToken)>,
}

impl Simulation {
    fn new(seed: u64) -> Self {
        let limits = HealthLimits {
            interval: Duration::from_secs(30),
            interval_down: Duration::from_secs(120),
            failures_to_down: 2,
            failures_to_stop: 4,
            startup_time: Duration::from_secs(20),
            min_interval: Duration::from_secs(1),
        };
        let fixed = definition_of("x", &["GET /s"]).routes.remove(0);
        let (method, pattern) = (fixed.method, fixed.pattern);
        let claim = StaticClaim { host: None, method: method.clone(), pattern: pattern.clone(), exclusive: true };
        let target = StaticTarget::Service(ServiceName::try_new("a").unwrap());
        let route = StaticRoute { host: None, method, pattern, permission: None, target };
        let heartbeat_ttl = Duration::from_secs(15);
        let policy = RegistrationPolicy { static_routes: vec![claim], ..policy() };
        let mut furt = Harness::with(Settings { health: limits, heartbeat_ttl, ..settings(policy) }, vec![route]);
        furt.store = Store::Waits;
        let model = Model::new(furt.now.at, limits, heartbeat_ttl);
        Self { random: fastrand::Rng::with_seed(seed), furt, model, stored: Stored::default(), orders: Vec::new() }
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    fn some_instance(&mut self) -> InstanceRef {
        let (service, id) = (self.one_of(&SERVICES), self.one_of(&IDS));
        instance(&format!("{service}/{id}"))
    }

    fn some_incarnation(&mut self) -> Option<Incarnation> {
        self.one_of(&[None, None, Some("p"), Some("q")]).map(|text| Incarnation::try_new(text).unwrap())
    }

    fn some_registration(&mut self) -> Command {
        // Few definitions a service: it must happen that one is registered again just so.
        let at = SERVICES[self.random.usize(..3)];
        let routes = if self.random.u8(..3) == 0 {
            self.one_of(&ROUTES)
        } else {
            ROUTES[usize::from(at.as_bytes()[0] - b'a') * 2]
        };
        let mut command = Command::new(at, routes).id(self.one_of(&IDS)).from(self.one_of(&SOURCES));
        if self.random.u8(..6) == 0 && !routes.is_empty() {
            command = command.host("one.example");
        }
        if self.random.u8(..4) == 0 {
            command = command.revision(self.random.u64(..3));
        }
        match self.random.u8(..6) {
            0 => command = command.at("http://a.example", &["10.0.0.1:80"]),
            1 => command = command.at("http://127.0.0.1:9000", &[]),
            _ => {}
        }
        if self.random.u8(..3) == 0 {
            command = command.shared();
        }
        command.0.instance.incarnation = self.some_incarnation();
        command.0.instance.version = self.one_of(&[None, None, Some("v1"), Some("v2")]).map(version);
        match self.random.u8(..12) {
            0 => command = command.joining(),
            1 if routes.is_empty() => command = command.without_routes(),
            _ => {}
        }
        match self.random.u8(..6) {
            0 => command.ttl(5),
            1 | 2 => command.ttl(20),
            3 => command.unprobed(),
            _ => command,
        }
    }

    fn step(&mut self) {
        self.furt.is_mid_turn = self.random.u8(..3) == 0;
        match self.random.u8(..100) {
            0..30 => {
                let command = Box::new(self.some_registration().0);
                let reply = self.furt.new_reply();
                self.furt.send(Event::RegistrationRequested(command.clone(), reply));
                self.model.command(model::Command::Register(command, reply));
            }
            30..40 => {
                let (whom, from) = (self.some_instance(), source(self.one_of(&SOURCES)));
                let reply = self.furt.new_reply();
                let incarnation = self.some_incarnation();
                self.model.heartbeat(&whom, incarnation.as_ref(), from.address, reply);
                self.furt.send(Event::HeartbeatReceived(whom, incarnation, from, reply));
            }
            40..50 => {
                let InstanceRef { service, id } = self.some_instance();
                let id = (self.random.u8(..4) > 0).then_some(id);
                self.leave(service, id);
            }
            50..53 => {
                let (whom, from) = (self.some_instance(), source(self.one_of(&SOURCES)));
                let reply = self.furt.new_reply();
                self.model.ask_for_probe(&whom, from.address, reply);
                self.furt.send(Event::ProbeRequested(whom, from, reply));
            }
            53..65 => self.probe(),
            65..70 => {
                let InstanceRef { service, id } = self.some_instance();
                let instance = (self.random.u8(..3) > 0).then_some(id);
                let until = self.one_of(&[DrainUntil::Registration, DrainUntil::Restart, DrainUntil::Undo]);
                let drain = self.one_of(&[Drain::Begins(until), Drain::Begins(until), Drain::Ends]);
                let operator =
                    self.random.bool().then(|| Operator { name: Some(OperatorName::unnamed()), role: Role::Operate });
                let source = Source { operator, ..source(self.one_of(&SOURCES)) };
                let command = Box::new(DrainCommand { service, instance, incarnation: None, drain, source });
                let reply = self.furt.new_reply();
                self.model.command(model::Command::Drain(command.clone(), reply));
                self.furt.send(Event::DrainRequested(command, reply));
            }
            70..80 => {
                let ms = self.one_of(&[1, 300, 1_000, 4_000, 15_000, 70_000]);
                self.pass(ms);
            }
            80..82 => {
                let lag = Duration::from_millis(self.random.u64(1_000..10_000));
                self.furt.now.at += lag;
                self.model.now = self.furt.now.at;
                self.furt.send(Event::ClockGap(lag));
                self.model.clock_gap(lag);
                self.pass(0);
            }
            82..85 => self.split(),
            _ => {
                let count = self.random.usize(..=self.furt.writes.len());
                let store = if self.random.u8(..5) == 0 { Store::Fails } else { Store::Works };
                self.finish(count, store);
            }
        }
        if !self.furt.is_mid_turn {
            self.furt.publish();
            self.compare();
        }
    }

    /// Commands about one split that wait for each other are scripts of their own.
    fn split(&mut self) {
        let service = ServiceName::try_new(self.one_of(&SERVICES)).unwrap();
        if self.model.is_splitting(&service) {
            return;
        }
        let versions = self.one_of(&[None, Some(&["v1"][..]), Some(&["v2"]), Some(&["v2", "v1"])]);
        let reply = self.furt.new_reply();
        let named = versions.map(|versions| versions.iter().map(|text| version(text)).collect());
        self.model.split(service.clone(), named, reply);
        let command = match versions {
            Some(versions) => SplitCommand::Set(service, split_of(versions)),
            None => SplitCommand::Remove(service),
        };
        self.furt.send(Event::SplitRequested { command, by: std::net::IpAddr::from([127, 0, 0, 1]).into(), reply });
    }

    fn leave(&mut self, service: ServiceName, id: Option<crate::model::InstanceId>) {
        let from = source(self.one_of(&SOURCES));
        let reply = self.furt.new_reply();
        self.model.command(model::Command::Leave {
            service: service.clone(),
            id: id.clone(),
            from: from.address,
            reply,
        });
        let command = Deregistration {
            service,
            instance: id,
            incarnation: None,
            on_last_instance: OnLastInstance::RemoveService,
            source: from,
        };
        self.furt.send(Event::DeregistrationRequested(command, reply));
    }

    /// An outcome of an order that was given at some time: it counts only while the order holds.
    fn probe(&mut self) {
        self.orders.extend(self.furt.plans.iter().map(|(whom, plan)| (whom.clone(), plan.token)));
        self.orders.sort();
        self.orders.dedup();
        if self.orders.is_empty() {
            return;
        }
        let newest = self.orders.len().saturating_sub(self.random.usize(1..=12));
        let (instance, token) = self.orders[newest.max(self.random.usize(..self.orders.len()))].clone();
        let outcome = match self.random.u8(..9) {
            0..3 => Ok(()),
            3 => Err(ProbeFailure::NotSent("no local port".to_owned())),
            _ => Err(refused()),
        };
        if self.furt.plans.get(&instance).is_some_and(|plan| plan.token == token) {
            self.model.probed(&instance, &outcome);
        }
        let (host, took) = (ProbedHost::Own, Duration::from_millis(2));
        self.furt.send(Event::ProbeFinished { instance, token, outcome, host, took });
    }

    fn pass(&mut self, ms: u64) {
        let end = self.furt.now.at + Duration::from_millis(ms);
        loop {
            let at = self.furt.registry.next_deadline();
            assert_eq!(at, self.model.next_deadline(), "both wake at one time");
            let Some(at) = at.filter(|at| *at <= end) else { break };
            self.furt.now.at = at.max(self.furt.now.at);
            self.model.now = self.furt.now.at;
            self.furt.send(Event::DeadlineReached);
            self.model.deadlines();
        }
        self.furt.now.at = end;
        self.model.now = end;
        self.nobody_outlives_its_ttl();
    }

    /// Who is seen was heard in time, or is about to be looked at again after a write of its own.
    fn nobody_outlives_its_ttl(&self) {
        let second = Duration::from_secs(1);
        for instance in self.model.services.iter().flat_map(|one| &one.instances).filter(|one| !one.is_being_removed) {
            let is_late = instance.ttl.is_some_and(|ttl| instance.heard + ttl + second <= self.furt.now.at);
            let is_due = instance.look.is_some_and(|at| at <= self.furt.now.at + second);
            assert!(!is_late || is_due, "{} outlives its TTL", instance.spec.id);
        }
    }

    fn finish(&mut self, count: usize, store: Store) {
        for _ in 0..count {
            self.keep_notes();
            if store == Store::Works {
                self.stored.apply(&self.furt.writes[0].1.changes);
            }
            self.furt.finish(store);
            self.model.written(store == Store::Works);
        }
    }

    fn keep_notes(&mut self) {
        self.furt.kept.drain(..).for_each(|note| self.stored.keep(&note));
    }

    /// Everyone leaves, every write is done: nothing is left of anyone.
    fn empty(&mut self) {
        self.furt.is_mid_turn = false;
        while !self.furt.writes.is_empty() {
            self.finish(1, Store::Works);
        }
        for service in SERVICES {
            let (service, reply) = (ServiceName::try_new(service).unwrap(), self.furt.new_reply());
            let command = Deregistration {
                service,
                instance: None,
                incarnation: None,
                on_last_instance: OnLastInstance::RemoveService,
                source: source("127.0.0.1"),
            };
            self.furt.send(Event::DeregistrationRequested(command, reply));
        }
        while !self.furt.writes.is_empty() {
            self.furt.finish(Store::Works);
        }
        assert_eq!(self.furt.unanswered(), 0, "everyone was answered");
        let registry = &self.furt.registry;
        let directory = &registry.directory;
        assert_eq!((directory.len(), directory.ids().len()), (0, 0), "ids left: {:?}", directory.ids());
        assert_eq!(registry.claims.total(), 0, "claims left");
        assert!(registry.outbox.is_empty());
        assert_eq!((registry.next_deadline(), self.furt.plans.len(), self.furt.names.len()), (None, 0, 0));
        assert_eq!((self.furt.snapshot.table.len(), self.furt.snapshot.names.len()), (1, 0), "the static route stays");
        assert!(self.furt.snapshot.services.iter().all(Option::is_none));
        assert!(self.furt.snapshot.services.len() <= 1 + SERVICES.len(), "indexes are used again");
    }
}

#[test]
fn the_core_does_what_the_naive_model_does() {
    for seed in 0..SEEDS {
        let run = std::panic::catch_unwind(|| {
            let mut simulation = Simulation::new(seed);
            for _ in 0..STEPS {
                simulation.step();
            }
            simulation.empty();
        });
        assert!(run.is_ok(), "seed {seed} fails, as the panic before this one says");
    }
}
