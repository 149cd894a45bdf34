//! Two and three cores over one shared store: random commands at each of them, connections that are cut, entries of the log
//! that come late, audits, leases that end, gateways that are killed. The model of the store checks at every revision that
//! nothing is two's; after a while of quiet each core has what the store has.

mod log;
mod node;

use std::collections::BTreeSet;
use std::time::Duration;

use super::{IDS, ROUTES, SERVICES};
use crate::model::{
    CidrSet, DrainUntil, Incarnation, KeyName, KeySpec, Operator, OperatorName, PermissionRule, PermissionSet, Role,
    RuntimeKey, ServiceName, Sha256Digest,
};
use crate::registry::tests::{Command, begin, desired, end, grant, instance, source, split, ungrant, unsplit, version};
use crate::registry::{
    Answer, Deregistration, Drain, DrainCommand, Event, InstanceRef, KeyCommand, OnLastInstance, ProbeToken, Refusal,
    ReplyId, Source,
};
use log::Log;
use node::Node;

const SEEDS: u64 = 256;
const STEPS: usize = 250;
const KEYS: [&str; 2] = ["k1", "k2"];
const SECRETS: [&str; 3] = ["s1", "s2", "s3"];

struct Shared {
    random: fastrand::Rng,
    log: Log,
    nodes: Vec<Node>,
}

impl Shared {
    fn new(seed: u64) -> Self {
        let count = if seed.is_multiple_of(2) { 2 } else { 3 };
        let nodes: Vec<_> = (0..count).map(Node::new).collect();
        let mut all = Self { random: fastrand::Rng::with_seed(seed), log: Log::new(), nodes };
        // One clock for all.
        let now = all.nodes[0].furt.now;
        all.nodes.iter_mut().for_each(|node| node.furt.now = now);
        all
    }

    fn one_of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    fn chance(&mut self, of: u8) -> bool {
        self.random.u8(..of) == 0
    }

    fn some_instance(&mut self) -> InstanceRef {
        let (service, id) = (self.one_of(&SERVICES), self.one_of(&IDS));
        instance(&format!("{service}/{id}"))
    }

    fn some_registration(&mut self) -> Command {
        let at = self.one_of(&SERVICES);
        let routes =
            if self.chance(3) { self.one_of(&ROUTES) } else { ROUTES[usize::from(at.as_bytes()[0] - b'a') * 2] };
        let mut command = Command::new(at, routes).id(self.one_of(&IDS));
        match self.random.u8(..6) {
            0 => command = command.at("http://a.example", &["10.0.0.1:80"]),
            1 => command = command.at("http://127.0.0.1:9000", &[]),
            _ => {}
        }
        if self.chance(4) {
            command = command.revision(self.random.u64(..3));
        }
        let incarnation = self.one_of(&[None, None, Some("p"), Some("q")]);
        command.0.instance.incarnation = incarnation.map(|text| Incarnation::try_new(text).unwrap());
        command.0.instance.version = self.one_of(&[None, None, Some("v1"), Some("v2")]).map(version);
        match self.random.u8(..8) {
            0 => command = command.joining(),
            1 => command = command.alone(),
            _ => {}
        }
        match self.random.u8(..4) {
            0 => command.ttl(5),
            1 | 2 => command.ttl(20),
            _ => command,
        }
    }

    fn step(&mut self) {
        let at = self.random.usize(..self.nodes.len());
        match self.random.u8(..100) {
            0..16 => {
                let command = Box::new(self.some_registration().0);
                let reply = self.nodes[at].furt.new_reply();
                self.nodes[at].send(Event::RegistrationRequested(command, reply));
            }
            16..30 => self.heartbeat(at),
            30..37 => {
                let InstanceRef { service, id } = self.some_instance();
                let id = (!self.chance(4)).then_some(id);
                self.leave(at, service, id);
            }
            37..42 => self.drain(at),
            42..45 => self.key(at),
            45..48 => self.maintenance(at),
            48..50 => self.split(at),
            50..52 => self.grant(at),
            52..54 => self.apply(at),
            54..57 => {
                let (unlucky, is_lost) = (self.chance(8), self.random.bool());
                self.nodes[at].submit(&mut self.log, || unlucky, is_lost);
            }
            57..80 => {
                for _ in 0..=self.random.usize(..3) {
                    self.nodes[at].follow(&self.log);
                }
            }
            80..86 => {
                let ms = self.one_of(&[1, 50, 300, 1_000, 4_000, 20_000]);
                self.pass(ms);
            }
            86..88 => {
                let leases = self.log.leases();
                let also = (leases > 0).then(|| self.random.usize(..leases));
                self.log.end_leases(also, self.nodes[0].furt.now.at);
            }
            88..91 => self.nodes[at].cut(),
            91..93 => self.nodes[at].notice_cut(),
            93 => self.nodes[at].give_up(),
            94..97 => self.nodes[at].reconnect(&mut self.log),
            97 => self.log.compacted = self.log.entries.len(),
            98 => self.nodes[at].restart(&mut self.log),
            _ if self.random.bool() => {
                let count = self.random.usize(1..8);
                self.nodes[at].repeat(&self.log, count);
            }
            _ => self.probe(at),
        }
        self.check_heard();
    }

    fn heartbeat(&mut self, at: usize) {
        let whom = self.some_instance();
        let node = &mut self.nodes[at];
        let reply = node.furt.new_reply();
        node.send(Event::HeartbeatReceived(whom.clone(), None, source("127.0.0.1"), reply));
        if let Some(Ok(Answer::Heard { heartbeat_ttl, .. })) = node.furt.answers.get(&reply) {
            node.heard_until.insert(whom, node.furt.now.at + *heartbeat_ttl);
        }
        node.renew(&mut self.log);
    }

    fn leave(&mut self, at: usize, service: ServiceName, id: Option<crate::model::InstanceId>) {
        let node = &mut self.nodes[at];
        node.heard_until.retain(|of, _| of.service != service || id.as_ref().is_some_and(|id| *id != of.id));
        let reply = node.furt.new_reply();
        let command = Deregistration {
            service,
            instance: id,
            incarnation: None,
            on_last_instance: OnLastInstance::RemoveService,
            source: source("127.0.0.1"),
        };
        node.send(Event::DeregistrationRequested(command, reply));
    }

    fn drain(&mut self, at: usize) {
        let InstanceRef { service, id } = self.some_instance();
        let until = self.one_of(&[DrainUntil::Registration, DrainUntil::Restart, DrainUntil::Undo]);
        let drain = self.one_of(&[Drain::Begins(until), Drain::Begins(until), Drain::Ends]);
        let instance = (!self.chance(3)).then_some(id);
        let source = Source {
            operator: Some(Operator { name: Some(OperatorName::unnamed()), role: Role::Admin }),
            ..source("127.0.0.1")
        };
        let command = Box::new(DrainCommand { service, instance, incarnation: None, drain, source });
        let reply = self.nodes[at].furt.new_reply();
        self.nodes[at].send(Event::DrainRequested(command, reply));
    }

    fn key(&mut self, at: usize) {
        let name = KeyName::try_new(self.one_of(&KEYS)).unwrap();
        let sha256 = Sha256Digest::of(self.one_of(&SECRETS).as_bytes());
        let expires_ms = self.chance(4).then(|| self.nodes[at].furt.now.unix_ms + 3_000);
        let command = match self.random.u8(..4) {
            0 => KeyCommand::Revoke(name),
            1 => KeyCommand::Rotate { name, sha256, grace: Duration::from_secs(self.random.u64(..5)) },
            _ => KeyCommand::Create(Box::new(runtime_key(name, sha256, expires_ms))),
        };
        let reply = self.nodes[at].furt.new_reply();
        let by = source("127.0.0.1").actor();
        self.nodes[at].send(Event::KeyRequested { command, by, reply });
    }

    fn maintenance(&mut self, at: usize) {
        let name = self.one_of(&["*", "a", "b"]);
        let seconds = self.one_of(&[None, Some(1), Some(3), Some(30)]);
        let command = if self.chance(3) { end(name) } else { begin(name, seconds) };
        self.nodes[at].furt.ask_maintenance(command);
    }

    fn split(&mut self, at: usize) {
        let name = self.one_of(&["a", "b"]);
        let versions = self.one_of(&[&["v1"][..], &["v2", "v1"]]);
        let command = if self.chance(3) { unsplit(name) } else { split(name, versions) };
        self.nodes[at].furt.ask_split(command);
    }

    fn grant(&mut self, at: usize) {
        let name = self.one_of(&["a", "b"]);
        // What the second one allows is less than most definitions ask for.
        let pattern = self.one_of(&["/*", "/*", "/only/*"]);
        let command = if self.chance(3) { ungrant(name) } else { grant(name, pattern) };
        self.nodes[at].furt.ask_grant(command);
    }

    fn apply(&mut self, at: usize) {
        let mut secrets = SECRETS.to_vec();
        self.random.shuffle(&mut secrets);
        let keys: Vec<_> = KEYS.iter().copied().zip(secrets).filter(|_| self.random.bool()).collect();
        let mut state = desired();
        if !self.chance(4) {
            state = state.keys(&keys);
        }
        if self.chance(2) {
            state = state.grants(if self.chance(2) { &[("a", "/*")] } else { &[("b", "/*")] });
        }
        if self.chance(2) {
            state = state.maintenance(if self.chance(2) { &[("a", None)] } else { &[] });
        }
        if self.chance(2) {
            state = state.splits(if self.chance(2) { &[("a", &["v1"])] } else { &[] });
        }
        self.nodes[at].furt.ask_apply(&state, false);
    }

    /// A probe by the plan in force fails, or succeeds: that is each gateway's own.
    fn probe(&mut self, at: usize) {
        let plans: Vec<(InstanceRef, ProbeToken)> =
            self.nodes[at].furt.plans.iter().map(|(whom, plan)| (whom.clone(), plan.token)).collect();
        if let Some((whom, _)) = self.random.choice(&plans) {
            let outcome = if self.random.bool() { "+" } else { "-" };
            self.nodes[at].furt.probe(&whom.to_string(), outcome);
        }
    }

    fn pass(&mut self, ms: u64) {
        for node in &mut self.nodes {
            node.furt.pass_ms(ms);
        }
        let now = self.nodes[0].furt.now.at;
        self.log.end_leases(None, now);
    }

    /// Who is heard is in the table, whatever the store lost.
    fn check_heard(&mut self) {
        for node in &mut self.nodes {
            let now = node.furt.now.at;
            node.heard_until.retain(|_, until| *until > now);
            for (instance, until) in &node.heard_until {
                let is_there = node.furt.registry.directory.installed(instance).is_ok();
                assert!(is_there, "{instance} is heard for {:?} more, and not there", *until - now);
            }
        }
    }

    /// Everything is connected, written and told.
    fn settle(&mut self) {
        for at in 0..self.nodes.len() {
            self.nodes[at].reconnect(&mut self.log);
        }
        for _ in 0..200 {
            for at in 0..self.nodes.len() {
                self.nodes[at].submit(&mut self.log, || false, false);
            }
            for node in &mut self.nodes {
                // What is compacted while it is read is read all the same.
                self.log.compacted = self.log.compacted.min(node.told);
                while node.told < self.log.entries.len() {
                    node.follow(&self.log);
                }
            }
        }
    }

    /// Until nobody is heard, and nothing happens any more.
    fn end(&mut self) {
        for ms in [1_000, 60_000, 70_000, 70_000] {
            self.settle();
            self.compare();
            self.pass(ms);
        }
        self.settle();
        self.compare();
        let is_lost = |node: &Node| {
            node.furt
                .registry
                .directory
                .services()
                .any(|(_, entry)| entry.has_lapsed() || entry.instances().values().any(|one| one.has_lapsed()))
        };
        assert!(!self.nodes.iter().any(is_lost), "what the store lost is there again, or gone");
        self.obey();
    }

    /// Each of them still does what it is told, and the others follow.
    fn obey(&mut self) {
        let name = KeyName::try_new("k9").unwrap();
        let sha256 = |text: &str| Sha256Digest::of(text.as_bytes());
        for at in 0..self.nodes.len() {
            let whom = || instance("z/z");
            let from = source("127.0.0.1");
            let operator = Source {
                operator: Some(Operator { name: Some(OperatorName::unnamed()), role: Role::Admin }),
                ..source("127.0.0.1")
            };
            let key = |command| move |reply| Event::KeyRequested { command, by: source("127.0.0.1").actor(), reply };
            let drain = |drain| {
                let InstanceRef { service, id } = whom();
                let instance = Some(id);
                let command = DrainCommand { service, instance, incarnation: None, drain, source: operator.clone() };
                move |reply| Event::DrainRequested(Box::new(command), reply)
            };
            self.must(at, |reply| {
                Event::RegistrationRequested(Box::new(Command::new("z", &["GET /z"]).ttl(20).0), reply)
            });
            self.must(at, |reply| Event::HeartbeatReceived(whom(), None, from, reply));
            self.must(at, drain(Drain::Begins(DrainUntil::Undo)));
            assert!(self.nodes.iter().all(|node| node.furt.draining("z") == ["z"]), "drained at each of them");
            self.must(at, drain(Drain::Ends));
            let maintain =
                |command| move |reply| Event::MaintenanceRequested { command, by: source("127.0.0.1").actor(), reply };
            let is_told = |node: &Node| node.furt.keeps_out("z").is_some_and(|message| message == "z");
            self.must(at, maintain(begin("z", None)));
            assert!(self.nodes.iter().all(is_told), "in maintenance at each of them");
            self.must(at, maintain(end("z")));
            assert!(!self.nodes.iter().any(is_told), "in maintenance at none of them");
            let divide =
                |command| move |reply| Event::SplitRequested { command, by: source("127.0.0.1").actor(), reply };
            let is_split = |node: &Node| node.furt.snapshot.service_named("z").is_some_and(|one| one.split.is_some());
            self.must(at, divide(split("z", &["v1"])));
            assert!(self.nodes.iter().all(is_split), "split at each of them");
            self.must(at, divide(unsplit("z")));
            assert!(!self.nodes.iter().any(is_split), "split at none of them");
            let leave = |service, id, from| Deregistration {
                service,
                instance: Some(id),
                incarnation: None,
                on_last_instance: OnLastInstance::RemoveService,
                source: from,
            };
            let InstanceRef { service, id } = whom();
            self.must(at, |reply| Event::DeregistrationRequested(leave(service, id, source("127.0.0.1")), reply));
            assert!(self.nodes.iter().all(|node| node.furt.status("z").is_none()), "gone at each of them");
            self.must(at, key(KeyCommand::Create(Box::new(runtime_key(name.clone(), sha256("s8"), None)))));
            let grace = Duration::ZERO;
            self.must(at, key(KeyCommand::Rotate { name: name.clone(), sha256: sha256("s9"), grace }));
            let is_usable = |node: &Node| node.furt.snapshot.keys.usable().any(|(digest, _)| *digest == sha256("s9"));
            assert!(self.nodes.iter().all(is_usable), "usable at each of them");
            self.must(at, key(KeyCommand::Revoke(name.clone())));
            assert!(!self.nodes.iter().any(is_usable), "usable at none of them");
        }
    }

    fn must(&mut self, at: usize, command: impl FnOnce(ReplyId) -> Event) {
        let reply = self.nodes[at].furt.new_reply();
        self.nodes[at].send(command(reply));
        self.settle();
        let answer = &self.nodes[at].furt.answers[&reply];
        assert!(answer.is_ok(), "{answer:?}");
        self.compare();
    }

    fn compare(&self) {
        for node in &self.nodes {
            assert_eq!(node.furt.open(), &BTreeSet::new(), "each command is answered");
            assert!(node.furt.writes.is_empty() && node.furt.registry.outbox.is_empty(), "nothing is on its way");
            let known = node.furt.registry.maintenances.all_stored();
            assert!(known.eq(&self.log.state.contents.maintenance), "what is in maintenance");
            assert!(
                node.furt.registry.splits.iter().eq(&self.log.state.contents.splits),
                "which services have a split"
            );
            assert!(
                node.furt.registry.grants.iter().eq(&self.log.state.contents.grants),
                "which services have a grant"
            );
            node.furt.assert_has(&self.log.state.contents);
        }
    }
}

fn runtime_key(name: KeyName, sha256: Sha256Digest, expires_ms: Option<i64>) -> RuntimeKey {
    let permissions = PermissionSet::new(vec![PermissionRule::try_new("*").unwrap()]);
    let spec = KeySpec { name, sha256, permissions, allow_from: CidrSet::default(), rate: None };
    RuntimeKey::try_new(spec, 1_000, expires_ms, Vec::new()).unwrap()
}

#[test]
fn each_core_has_what_the_store_has_and_the_store_has_nothing_twice() {
    let fails = |seed: &u64| {
        let seed = *seed;
        let run = std::panic::catch_unwind(|| {
            let mut all = Shared::new(seed);
            for _ in 0..STEPS {
                all.step();
            }
            all.end();
        });
        run.is_err()
    };
    let failing: Vec<_> = (0..SEEDS).filter(fails).collect();
    assert!(failing.is_empty(), "seeds {failing:?} fail, as the panics before this one say");
}

#[test]
fn of_two_that_want_one_route_one_gets_it_and_the_other_is_told_who_has_it() {
    for seed in 0..SEEDS {
        let mut all = Shared::new(2 * seed);
        let wants = [Command::new("a", &["GET /x", "* /y"]), Command::new("b", &["* /y", "POST /x"])];
        let replies: Vec<_> = wants
            .into_iter()
            .zip(&mut all.nodes)
            .map(|(command, node)| {
                let reply = node.furt.new_reply();
                node.send(Event::RegistrationRequested(Box::new(command.0), reply));
                reply
            })
            .collect();
        while all.nodes.iter().any(|node| !node.furt.open().is_empty()) {
            let at = all.random.usize(..2);
            if all.random.bool() {
                all.nodes[at].submit(&mut all.log, || false, false);
            } else {
                all.nodes[at].follow(&all.log);
            }
        }
        let answers = replies.iter().zip(&all.nodes).map(|(reply, node)| node.furt.answers[reply].clone());
        let (good, bad): (Vec<_>, Vec<_>) = answers.partition(Result::is_ok);
        assert_eq!((good.len(), bad.len()), (1, 1), "seed {seed}");
        let holder = all.log.state.contents.definitions.keys().next();
        let Err(Refusal::Taken { conflict: Some((rival, _)), .. }) = &bad[0] else { panic!("seed {seed}: {bad:?}") };
        assert_eq!(Some(rival), holder, "seed {seed}");
    }
}
