//! What approved nodes may send that are not honest: signed, sealed, and read by a core.
//!
//! An input is a byte for how the node stands (see [`World::stored`]), and what happens then: a byte for its kind (see
//! [`Node::next`]) with its fields.

use std::collections::{BTreeSet, VecDeque};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use furt_bus::Outgoing as Packet;
use furt_cluster::model::{Boot, ClusterId, Fingerprint, NodeName, Nonce, Now, SecretId, Status, VaultSide};
use furt_cluster::{
    Agreement, Bid, Body, Cluster, Command, Condition, Effect, Event, Identity, MAX_MESSAGE_BYTES, Outgoing, Policy,
    Protect, ReplyId, Report, Ruling, Setting, Stored, To, UpdateRule,
};
use furt_seal::{Enclosed, fingerprint};

use super::input::Input;
use super::world::{CLUSTER, COMMANDER, EPOCH_MS, OWN, STRANGER, World, document_of, secret_of, world};

/// Beyond them an input is only slower, not different.
const MOST_STEPS: usize = 48;
/// Answers from outside after one event; a core that never came to rest would be a finding.
const MOST_ANSWERS: usize = 400;

#[expect(clippy::disallowed_methods, reason = "any instant will do as the start; from there on time is given")]
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// What goes wrong outside, by its bit in a byte of the input.
#[derive(Clone, Copy)]
enum Fault {
    Taken = 0,
    NoArbiter,
    Check,
    Apply,
    Stage,
    Takeover,
    Vault,
    Silence,
}

struct Node<'a> {
    world: &'a mut World,
    core: Cluster,
    disk: Stored,
    policy: Policy,
    version: String,
    ms: u64,
    faults: u8,
    answers: VecDeque<Event>,
    open: BTreeSet<ReplyId>,
    replies: u64,
    sent: Vec<Packet>,
    /// The last message of the node, which could have been sent.
    said: Option<Outgoing>,
    said_seq: u64,
    /// Whether somebody who may command did so, or may have.
    is_commanded: bool,
}

/// Asserts that the core holds its rules, answers each command once, and does nothing that only a commander may ask for where none
/// did.
pub(super) fn approved(data: &[u8]) {
    let mut input = Input(data);
    let how = input.byte() % 4;
    let mut world = world(if how == 1 { OWN } else { COMMANDER });
    let disk = world.stored(how);
    let policy = Policy { updates: UpdateRule::On, ..Policy::default() };
    let (core, effects) = restore(&world, &policy, &disk, "1.0.0", 0);
    let mut node = Node {
        world: &mut world,
        core,
        disk,
        policy,
        version: "1.0.0".to_owned(),
        ms: 0,
        faults: 0,
        answers: VecDeque::new(),
        open: BTreeSet::new(),
        replies: 0,
        sent: Vec::new(),
        said: None,
        said_seq: 0,
        is_commanded: how > 1,
    };
    node.carry_out(effects, None);
    node.happened(Event::BusUp, None);
    if how == 2 {
        let token = node.world.token().id();
        node.command(Command::Join(CLUSTER, token));
    }
    for _ in 0..MOST_STEPS {
        if input.is_empty() {
            break;
        }
        node.next(&mut input);
    }
    node.pass(70_000);
    let view = node.core.view(node.now());
    assert!(view.nodes.len() <= 256 + 1_024 + 256 + 1, "{} nodes are shown", view.nodes.len());
    // Restored, it is a core whose rules hold.
    node.restart();
    let said = node.said.take();
    if let Some(message) = said {
        let packet = node.world.packet(OWN, &message, secret_of(1).id());
        assert!(packet.is_none_or(|packet| packet.body.len() <= MAX_MESSAGE_BYTES && packet.check().is_ok()));
    }
}

fn restore(world: &World, policy: &Policy, disk: &Stored, version: &str, ms: u64) -> (Cluster, Vec<Effect>) {
    let own = world.seal(OWN);
    let identity = Identity {
        fingerprint: own.fingerprint(),
        key: own.public().clone(),
        name: NodeName::of("host", 1),
        version: version.into(),
    };
    let mut drawn = 0;
    let nonces = Box::new(move || {
        drawn = (drawn + 1) % 8;
        Nonce::new([drawn; 32])
    });
    Cluster::restore(identity, policy.clone(), disk.clone(), nonces, now(ms))
}

fn now(ms: u64) -> Now {
    Now { at: *START + Duration::from_millis(ms), unix_ms: EPOCH_MS + i64::try_from(ms).unwrap_or_default() }
}

impl Node<'_> {
    fn now(&self) -> Now {
        now(self.ms)
    }

    fn has(&self, fault: Fault) -> bool {
        self.faults & 1 << fault as u8 != 0
    }

    fn next(&mut self, input: &mut Input<'_>) {
        match input.byte() % 12 {
            0..4 => self.hear_body(input),
            4 => self.hear_text(input),
            5 => {
                let number = usize::from(input.byte());
                if let Some(packet) = self.sent.get(number % self.sent.len().max(1)).cloned() {
                    self.hear(&packet, None);
                }
            }
            6 => {
                let ms = input.number(2) * 4;
                self.pass(ms);
            }
            7 => self.faults = input.byte(),
            8 => {
                let command = command(input, self.world);
                self.command(command);
            }
            9 => self.restart(),
            10 => self.pass(1_000),
            _ => self.change(input),
        }
    }

    /// Lets time pass, with all that is due meanwhile.
    fn pass(&mut self, ms: u64) {
        let end = self.ms + ms;
        for _ in 0..MOST_ANSWERS {
            let due =
                self.core.next_deadline().map(|due| u64::try_from((due - *START).as_millis()).unwrap_or(u64::MAX));
            let Some(due) = due.filter(|due| *due <= end) else { break };
            // A deadline has its place between two milliseconds, and none that passed is due again at once.
            self.ms = due.max(self.ms) + 1;
            self.happened(Event::DeadlineReached, None);
        }
        self.ms = self.ms.max(end);
        assert!(self.core.next_deadline().is_none_or(|due| due > self.now().at), "it is due for ever");
    }

    fn head(&mut self, input: &mut Input<'_>, body: Body) -> Outgoing {
        let flags = input.byte();
        let has = |bit: u8| flags & 1 << bit != 0;
        let cluster = match flags & 3 {
            0 => None,
            1 => Some(ClusterId(uuid::Uuid::from_u128(8))),
            _ => Some(CLUSTER),
        };
        let skew = if has(2) { i64::from(input.byte()) * 1_000 - 128_000 } else { 0 };
        let to = match (has(3), has(4)) {
            (false, _) => To::Node(self.world.fingerprint(OWN)),
            (true, false) => To::All,
            (true, true) => To::Node(input.node(self.world)),
        };
        let protect = if has(5) { Protect::Cluster(secret_of(1).id()) } else { Protect::Signed };
        let seq = if has(6) { input.number(1) } else { self.sent.len() as u64 + 1 };
        let boot = if has(7) { Boot(input.number(1)) } else { Boot(5) };
        let at_ms = self.now().unix_ms + skew;
        Outgoing { boot, seq, at_ms, to, cluster, protect, body }
    }

    fn hear_body(&mut self, input: &mut Input<'_>) {
        let by = usize::from(input.byte() % 4);
        let (at_ms, boot) = (self.now().unix_ms, self.core.boot());
        let body = input.body(self.world, by, at_ms, boot);
        let message = self.head(input, body);
        let enclosed =
            if matches!(message.body, Body::SecretGiven { .. }) { input.secret() } else { secret_of(1).id() };
        if let Some(packet) = self.world.packet(by, &message, enclosed) {
            self.note_commands(by, &message.body);
            self.hear(&packet, Some((by, &message)));
        }
    }

    fn hear_text(&mut self, input: &mut Input<'_>) {
        let by = usize::from(input.byte() % 4);
        let function = input.maybe(Input::text);
        let kind = if function.is_some() { "task" } else { "heartbeat" };
        let mut json = String::from_utf8_lossy(input.long()).into_owned();
        for key in [OWN, COMMANDER, 2, STRANGER] {
            json = json.replace(&format!("@{key}"), &self.world.fingerprint(key).to_string());
        }
        let message = self.head(input, Body::BeatsAsked);
        self.is_commanded |= by <= COMMANDER;
        if let Some(packet) = self.world.forged(by, &message, kind, function.as_deref(), json.as_bytes()) {
            self.hear(&packet, None);
        }
    }

    /// The records of a commander count whoever brings them.
    fn note_commands(&mut self, by: usize, body: &Body) {
        let commanders = [self.world.fingerprint(OWN), self.world.fingerprint(COMMANDER)];
        let is_commanders = |record: &furt_cluster::model::Record| commanders.contains(&record.by);
        self.is_commanded |= by <= COMMANDER
            || match body {
                Body::Welcome { records, .. } | Body::RecordsGiven(records) => records.iter().any(is_commanders),
                Body::DocumentGiven { record, .. } => is_commanders(record),
                // A token was made by a commander, and whoever has it may join.
                Body::JoinProof { .. } => true,
                _ => false,
            };
    }

    fn hear(&mut self, packet: &Packet, sent: Option<(usize, &Outgoing)>) {
        let (event, enclosed) = match self.world.own().open_parts(&packet.key, &packet.properties, &packet.body) {
            Ok((opened, enclosed)) => {
                if let Some((by, message)) = sent {
                    assert_eq!(opened.from, self.world.fingerprint(by));
                    assert_eq!((opened.seq, opened.boot, opened.to), (message.seq, message.boot, message.to));
                }
                (Event::Opened(Box::new(opened)), enclosed)
            }
            Err(why) => (Event::Refused(why), None),
        };
        self.sent.push(packet.clone());
        self.happened(event, enclosed);
    }

    fn command(&mut self, command: Command) {
        self.is_commanded = true;
        self.replies += 1;
        let reply = ReplyId(self.replies);
        self.open.insert(reply);
        self.happened(Event::Commanded(command, reply), None);
    }

    fn change(&mut self, input: &mut Input<'_>) {
        let event = match input.byte() % 6 {
            0 => Event::BusDown,
            1 => Event::Leaving,
            2 => {
                let vault = [VaultSide::Apart, VaultSide::Wants, VaultSide::Makes][usize::from(input.byte() % 3)];
                Event::ConditionChanged(Condition { status: Status::Degraded, vault, ..Condition::default() })
            }
            3 => {
                self.is_commanded = true;
                let peers = (0..input.byte() % 4).map(|_| (input.node(self.world), input.role())).collect();
                let updates = if input.bit() { UpdateRule::On } else { UpdateRule::Off };
                self.policy = Policy { peers, updates, ..Policy::default() };
                Event::PolicyChanged(self.policy.clone())
            }
            _ => Event::BusUp,
        };
        self.happened(event, None);
    }

    /// As after a kill: what was on its way is gone.
    fn restart(&mut self) {
        self.answers.clear();
        self.open.clear();
        self.ms += 10;
        let (core, effects) = restore(self.world, &self.policy, &self.disk, &self.version, self.ms);
        (self.core, self.said_seq) = (core, 0);
        self.carry_out(effects, None);
        self.happened(Event::BusUp, None);
    }

    fn happened(&mut self, event: Event, enclosed: Option<Enclosed>) {
        let effects = self.core.handle(event, self.now());
        self.carry_out(effects, enclosed);
        for _ in 0..MOST_ANSWERS {
            let Some(answer) = self.answers.pop_front() else { return };
            let effects = self.core.handle(answer, self.now());
            self.carry_out(effects, None);
        }
        panic!("it does not come to rest");
    }

    fn carry_out(&mut self, effects: Vec<Effect>, enclosed: Option<Enclosed>) {
        for effect in effects {
            self.check(&effect, enclosed.as_ref());
            match effect {
                Effect::Persist(changes) => changes.into_iter().for_each(|change| self.disk.apply(change)),
                Effect::Send(message) => {
                    self.world.asked = match &message.body {
                        Body::SettingsCheck(check) => Some(check.request),
                        Body::ProgramAsked { request, .. } => Some(*request),
                        _ => self.world.asked,
                    };
                    self.said = Some(*message);
                }
                Effect::GiveSecret { .. } | Effect::GiveVaultToken { .. } | Effect::KeepVaultToken => {}
                Effect::MakeSecret { generation } => {
                    let secret = secret_of(generation);
                    self.answer(Event::SecretMade(secret.id()));
                    self.world.take_secret(secret);
                }
                Effect::KeepSecret(_) => {
                    if let Some(Enclosed::Secret(secret)) = &enclosed {
                        self.world.take_secret(secret.clone());
                    }
                }
                Effect::DropSecret(id) => drop(self.world.own().remove_secret(&id)),
                Effect::Sign { draft, claims, at_ms, .. } => {
                    let records = claims.into_iter().map(|claim| self.world.record(OWN, claim, at_ms)).collect();
                    self.answer(Event::Signed(draft, records));
                }
                Effect::AskArbiter(ask, bid) => {
                    let ruling = if self.has(Fault::NoArbiter) {
                        Ruling::Unreachable("it is away".into())
                    } else if self.has(Fault::Taken) {
                        Ruling::Taken(generation(bid).saturating_add(1))
                    } else {
                        Ruling::Granted
                    };
                    self.answer(Event::ArbiterAnswered(ask, ruling));
                }
                Effect::Check { check, .. } => {
                    let outcome = self.outcome(Fault::Check).map_err(|why| vec![why]);
                    self.answer(Event::Checked(check, outcome));
                }
                Effect::Apply { scope, id, .. } => self.answer(Event::Applied(scope, id, self.outcome(Fault::Apply))),
                Effect::StageProgram(program) => {
                    self.answer(Event::ProgramStaged(program, self.outcome(Fault::Stage)));
                }
                Effect::TakeOver(program) => match self.outcome(Fault::Takeover) {
                    Ok(()) => self.version = program.version.to_string(),
                    Err(why) => self.answer(Event::TakeoverFailed(why)),
                },
                Effect::MakeVaultToken { to, .. } => {
                    self.answer(Event::VaultTokenMade(to, self.outcome(Fault::Vault)));
                }
                Effect::DropToken(token) => self.world.drop_token(&token),
                Effect::Answer(reply, _) => assert!(self.open.remove(&reply), "{reply:?} is answered once"),
                Effect::Report(_) => {}
            }
        }
    }

    fn answer(&mut self, event: Event) {
        if !self.has(Fault::Silence) {
            self.answers.push_back(event);
        }
    }

    fn outcome(&self, fault: Fault) -> Result<(), std::sync::Arc<str>> {
        if self.has(fault) { Err("it is wrong".into()) } else { Ok(()) }
    }

    fn check(&mut self, effect: &Effect, enclosed: Option<&Enclosed>) {
        let stranger = self.world.fingerprint(STRANGER);
        let may_have = |to: &Fingerprint| self.is_commanded || *to != stranger;
        match effect {
            Effect::Send(message) => {
                assert_eq!(
                    (message.boot, message.cluster),
                    (self.core.boot(), self.core.membership().map(|it| it.cluster))
                );
                assert!(message.seq > self.said_seq, "a number is used once");
                self.said_seq = message.seq;
            }
            Effect::GiveSecret { id, to, key, message } => {
                assert!(self.world.seal(OWN).secret(id).is_some(), "what it gives, it has");
                assert!(may_have(to) && fingerprint(key) == Some(*to) && message.to == To::Node(*to), "{effect:?}");
                self.said_seq = message.seq;
            }
            Effect::GiveVaultToken { to, key, message } => {
                assert!(may_have(to) && fingerprint(key) == Some(*to) && message.to == To::Node(*to), "{effect:?}");
                self.said_seq = message.seq;
            }
            Effect::MakeVaultToken { to, .. } => assert!(may_have(to), "{effect:?}"),
            Effect::KeepSecret(id) => {
                let came = if let Some(Enclosed::Secret(secret)) = enclosed { Some(secret.id()) } else { None };
                assert_eq!(came, Some(*id), "what is kept came, and was checked");
            }
            Effect::KeepVaultToken => assert!(matches!(enclosed, Some(Enclosed::VaultToken(_)))),
            Effect::Apply { .. } | Effect::StageProgram(_) | Effect::TakeOver(_) | Effect::MakeSecret { .. } => {
                assert!(self.is_commanded, "nobody who may commanded it: {effect:?}");
            }
            Effect::Report(Report::Approved(key, _)) => assert!(may_have(key), "{effect:?}"),
            Effect::Report(Report::Result(result)) => {
                assert!(!result.action.contains(char::is_control), "it is logged as it is: {result:?}");
            }
            Effect::Report(Report::Revoked(_)) => assert!(self.is_commanded, "{effect:?}"),
            _ => {}
        }
    }
}

fn generation(bid: Bid) -> u64 {
    match bid {
        Bid::Secret(SecretId { generation, .. }) => generation,
        Bid::Settings(_, id) => id.generation,
    }
}

fn command(input: &mut Input<'_>, world: &World) -> Command {
    match input.byte() % 12 {
        0 => Command::Init(CLUSTER),
        1 => Command::Approve(input.node(world), input.role()),
        2 => Command::Revoke(input.node(world)),
        3 => Command::Forget(input.node(world)),
        4 => {
            let (uses, ttl) = (input.byte().into(), Duration::from_secs(input.number(3)));
            Command::MakeToken { token: world.token().id(), uses, ttl, role: input.role() }
        }
        5 => Command::DropToken(world.token().id()),
        6 => Command::AskBeats,
        7 => Command::Join(CLUSTER, world.token().id()),
        8 => Command::Rotate,
        9 => Command::Adopt(input.secret()),
        10 => {
            let setting = |input: &mut Input<'_>| Setting {
                scope: input.scope(world),
                document: document_of(input.byte()),
                expect: input.generation(),
            };
            Command::Set {
                settings: (0..input.byte() % 4).map(|_| setting(input)).collect(),
                agreement: if input.bit() { Agreement::All } else { Agreement::Partial },
                restart: input.restart(),
            }
        }
        _ => Command::Update(input.node(world), input.program()),
    }
}
