//! Nodes on a bus that does what a test says.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use crate::model::Restart;
use crate::model::{
    Beat, Boot, Fingerprint, Metrics, NodeName, NodeState, Role, Scope, SecretId, Standing, Status, TokenId, VaultSide,
};
use crate::simulation::CLUSTER;
use crate::simulation::node::{Due, EPOCH_MS, Node};
use crate::simulation::seal::{Packet, Seal, document, fingerprint, token_id};
use crate::{
    Agreement, Answer, AskId, Bid, Body, Cluster, Command, Event, Issue, NodeView, Outgoing, Protect, Refusal, Refused,
    ReplyId, Ruling, Setting, To, View,
};

const WAY_MS: u64 = 10;

pub(crate) struct Net {
    start: Instant,
    pub(crate) ms: u64,
    pub(crate) nodes: Vec<Node>,
    queue: VecDeque<(u64, usize, Packet)>,
    /// All that was ever sent.
    pub(crate) log: Vec<Packet>,
    /// Nodes that hear and say nothing.
    pub(crate) cut: Vec<bool>,
    /// Which arbiter each node asks; `None`: it reaches none.
    pub(crate) arbiter_of: Vec<Option<usize>>,
    arbiters: [BTreeMap<Option<Scope>, Bid>; 2],
    seq: u64,
}

impl Net {
    /// So many nodes, of which none belongs to a cluster.
    #[expect(clippy::disallowed_methods, reason = "any instant will do as the start; from there on time is given")]
    pub(crate) fn unjoined(count: usize) -> Self {
        let mut net = Self {
            start: Instant::now(),
            ms: 0,
            nodes: (1..=count as u64).map(Node::new).collect(),
            queue: VecDeque::new(),
            log: Vec::new(),
            cut: vec![false; count],
            arbiter_of: vec![Some(0); count],
            arbiters: Default::default(),
            seq: 0,
        };
        (0..count).for_each(|at| net.restart(at));
        net.pass(100);
        net
    }

    /// A founder, and members that joined by tokens.
    pub(crate) fn joined(count: usize) -> Self {
        let mut net = Self::unjoined(count);
        net.command(0, Command::Init(CLUSTER)).unwrap();
        for at in 1..count {
            net.join(at, 0, Role::Member);
        }
        // Until each of them can say who is there.
        net.pass(20_000);
        net
    }

    pub(crate) fn join(&mut self, at: usize, maker: usize, role: Role) {
        let token = self.hand_out(maker, 1, role, &[at]);
        self.command(at, Command::Join(CLUSTER, token)).unwrap();
        self.pass(200);
        assert!(self.core(at).is_approved(), "{at} joins");
    }

    /// Makes a token at `maker` and gives it to `to`.
    pub(crate) fn hand_out(&mut self, maker: usize, uses: u32, role: Role, to: &[usize]) -> TokenId {
        let number = 10 * self.ms + maker as u64;
        let token = token_id(number);
        for at in to.iter().copied().chain([maker]) {
            self.nodes[at].seal.tokens.insert(token, number);
        }
        let ttl = Duration::from_secs(3_600);
        self.command(maker, Command::MakeToken { token, uses, ttl, role }).unwrap();
        token
    }

    pub(crate) fn restart(&mut self, at: usize) {
        let now = self.nodes[at].now(self.start, self.ms);
        self.nodes[at].crash(self.ms);
        self.nodes[at].start(now, self.ms);
        self.flush(at);
    }

    pub(crate) fn core(&self, at: usize) -> &Cluster {
        self.nodes[at].core.as_ref().unwrap()
    }

    pub(crate) fn key(&self, at: usize) -> Fingerprint {
        self.nodes[at].fingerprint()
    }

    pub(crate) fn standing(&self, at: usize, of: usize) -> Standing {
        self.core(at).roster.standing(&self.key(of))
    }

    pub(crate) fn view(&self, at: usize) -> View {
        self.core(at).view(self.nodes[at].now(self.start, self.ms))
    }

    pub(crate) fn seen(&self, at: usize, of: usize) -> Option<NodeView> {
        self.view(at).nodes.into_iter().find(|node| node.fingerprint == self.key(of))
    }

    pub(crate) fn state(&self, at: usize, of: usize) -> Option<NodeState> {
        self.seen(at, of)?.state
    }

    pub(crate) fn issues(&self, at: usize) -> Vec<Issue> {
        self.view(at).issues
    }

    pub(crate) fn refused(&self, at: usize, why: Refused) -> u64 {
        self.view(at).refused.get(why)
    }

    pub(crate) fn send(&mut self, at: usize, event: Event) {
        let now = self.nodes[at].now(self.start, self.ms);
        self.nodes[at].handle(event, None, usize::MAX, now, self.ms);
        self.flush(at);
    }

    /// Gives a command; its answer comes later.
    pub(crate) fn begin(&mut self, at: usize, command: Command) -> ReplyId {
        let now = self.nodes[at].now(self.start, self.ms);
        let reply = self.nodes[at].command(command, now, self.ms).unwrap();
        self.flush(at);
        reply
    }

    pub(crate) fn answer(&self, at: usize, reply: ReplyId) -> Option<&Result<Answer, Refusal>> {
        self.nodes[at].answers.get(&reply)
    }

    /// Gives a command and waits for its answer.
    pub(crate) fn command(&mut self, at: usize, command: Command) -> Result<Answer, Refusal> {
        let reply = self.begin(at, command);
        for _ in 0..700 {
            if let Some(answer) = self.answer(at, reply) {
                return answer.clone();
            }
            self.pass(100);
        }
        panic!("no answer within 70 s");
    }

    /// Sets the cluster's settings from what the node has.
    pub(crate) fn set(&mut self, at: usize, text: &str) -> Result<Answer, Refusal> {
        let command = self.setting(at, Scope::Cluster, text);
        self.command(at, command)
    }

    pub(crate) fn setting(&self, at: usize, scope: Scope, text: &str) -> Command {
        let expect = self.core(at).roster.settings(scope).map_or(0, |(_, id, _)| id.generation);
        let settings = vec![Setting { scope, document: document(text), expect }];
        Command::Set { settings, agreement: Agreement::All, restart: Restart::Never }
    }

    /// The text that is in force at a node.
    pub(crate) fn text(&self, at: usize, scope: Scope) -> Option<String> {
        self.nodes[at].disk.applied.get(&scope).map(|(_, document)| document.text().to_owned())
    }

    /// The generation of the secret that each node seals by.
    pub(crate) fn generations(&self) -> Vec<u64> {
        (0..self.nodes.len()).map(|at| self.core(at).active_secret().map_or(0, |id| id.generation)).collect()
    }

    pub(crate) fn secret(&self, at: usize) -> Option<SecretId> {
        self.core(at).active_secret()
    }

    fn flush(&mut self, at: usize) {
        for packet in std::mem::take(&mut self.nodes[at].outbox) {
            self.log.push(packet.clone());
            if !self.cut[at] {
                self.publish(packet);
            }
        }
        for (ask, bid) in std::mem::take(&mut self.nodes[at].asks) {
            self.rule(at, ask, bid);
        }
    }

    /// Puts a message on the bus, whoever it is of.
    pub(crate) fn publish(&mut self, packet: Packet) {
        for to in 0..self.nodes.len() {
            let is_meant = match packet.out.to {
                To::All => true,
                To::Node(key) => key == self.key(to),
            };
            if is_meant && !self.cut[to] {
                self.queue.push_back((self.ms + WAY_MS, to, packet.clone()));
            }
        }
    }

    /// A message of any key, whether it is a node here or not.
    pub(crate) fn say(&mut self, key: u64, to: To, body: Body) {
        self.seq += 1;
        let at_ms = EPOCH_MS + i64::try_from(self.ms).unwrap();
        let (cluster, protect) = (Some(CLUSTER), Protect::Signed);
        let out = Outgoing { boot: Boot(1), seq: self.seq, at_ms, to, cluster, protect, body };
        self.publish(Seal::default().seal(key, out));
    }

    fn rule(&mut self, at: usize, ask: AskId, bid: Bid) {
        let (series, generation) = match bid {
            Bid::Secret(id) => (None, id.generation),
            Bid::Settings(scope, id) => (Some(scope), id.generation),
        };
        let ruling = match self.arbiter_of[at] {
            None => Ruling::Unreachable("cut off".into()),
            Some(arbiter) => {
                let given = self.arbiters[arbiter].get(&series).copied();
                let greatest = given.map_or(0, |given| match given {
                    Bid::Secret(id) => id.generation,
                    Bid::Settings(_, id) => id.generation,
                });
                if given == Some(bid) || greatest < generation {
                    self.arbiters[arbiter].insert(series, bid);
                    Ruling::Granted
                } else {
                    Ruling::Taken(greatest)
                }
            }
        };
        let when = (self.ms + WAY_MS, ask.0);
        self.nodes[at].due.insert(when, Due::Tell(Event::ArbiterAnswered(ask, ruling)));
    }

    /// Lets time pass.
    pub(crate) fn pass(&mut self, ms: u64) {
        let end = self.ms + ms;
        while self.ms < end {
            self.ms += 10.min(end - self.ms);
            while self.queue.front().is_some_and(|(when, ..)| *when <= self.ms) {
                let Some((_, at, packet)) = self.queue.pop_front() else { break };
                if self.nodes[at].core.is_some() && !self.cut[at] {
                    let (event, secret) = self.nodes[at].seal.open(self.key(at), &packet);
                    let now = self.nodes[at].now(self.start, self.ms);
                    self.nodes[at].handle(event, secret, usize::MAX, now, self.ms);
                    self.flush(at);
                }
            }
            for at in 0..self.nodes.len() {
                self.run(at);
            }
        }
    }

    fn run(&mut self, at: usize) {
        let now = self.nodes[at].now(self.start, self.ms);
        while let Some(entry) = self.nodes[at].due.first_entry().filter(|entry| entry.key().0 <= self.ms) {
            match entry.remove() {
                Due::Tell(event) => self.send(at, event),
                Due::Upgrade(program) => {
                    self.nodes[at].upgrade(program, now, self.ms);
                    self.flush(at);
                }
                Due::Succeed(scope) => {
                    self.nodes[at].succeed(scope, now, self.ms);
                    self.flush(at);
                }
            }
        }
        let deadline = self.nodes[at].core.as_ref().and_then(|core| core.next_deadline());
        if deadline.is_some_and(|deadline| deadline <= now.at) {
            self.send(at, Event::DeadlineReached);
        }
    }

    /// How many messages of this kind were ever sent.
    pub(crate) fn count(&self, is_meant: impl Fn(&Body) -> bool) -> usize {
        self.log.iter().filter(|packet| is_meant(&packet.out.body)).count()
    }
}

pub(crate) fn stranger(key: u64) -> Fingerprint {
    fingerprint(key)
}

/// A beat of a key that is no node here.
pub(crate) fn beat_of(key: u64) -> Body {
    Body::Beat(Box::new(Beat {
        name: NodeName::of("stranger", u32::try_from(key).unwrap()),
        status: Status::Healthy,
        version: "0.1.0".into(),
        interval: Duration::from_secs(5),
        metrics: Metrics::default(),
        registry: None,
        vault: VaultSide::Apart,
        records: 0,
        secret: None,
        held: Vec::new(),
        settings: None,
        node_settings: None,
        skew_ms: None,
    }))
}

impl Net {
    pub(crate) fn membership_count(&self, cluster: crate::model::ClusterId) -> usize {
        self.nodes.iter().filter(|node| node.disk.membership.is_some_and(|one| one.cluster == cluster)).count()
    }

    /// Whether targets of a command of this node check still.
    pub(crate) fn is_checking(&self, at: usize) -> bool {
        let rollouts = &self.core(at).rollouts;
        rollouts.numbers().iter().any(|number| rollouts.get(*number).unwrap().phase == crate::parts::Phase::Checking)
    }
}
