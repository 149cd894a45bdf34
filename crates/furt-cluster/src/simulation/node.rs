//! A node: a core, its seal, its disk, and a driver that may be stopped between any two effects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::seal::{Key, Packet, Seal, check_of, fingerprint, mix, nonce, public, sign, token_id};
use crate::model::{Fingerprint, NodeName, Now, Program, Restart, Scope, SecretId, VaultSide};
use crate::{
    Answer, AskId, Bid, Cluster, Command, Condition, Effect, Event, Identity, Policy, Refusal, ReplyId, Report, Stored,
};

/// The wall clock at the begin, in ms since the Unix epoch.
pub(crate) const EPOCH_MS: i64 = 1_795_818_000_000;

/// What a driver is to do later.
pub(crate) enum Due {
    Tell(Event),
    /// The successor that a document asked for is ready.
    Succeed(Scope),
    /// The program that was staged is ready.
    Upgrade(Program),
}

pub(crate) struct Node {
    pub(crate) key: Key,
    pub(crate) policy: Policy,
    /// The version that it runs.
    pub(crate) version: String,
    /// Programs that took over.
    pub(crate) ran: Vec<Program>,
    /// How far its clock is ahead.
    pub(crate) skew_ms: i64,
    pub(crate) core: Option<Cluster>,
    pub(crate) disk: Stored,
    pub(crate) seal: Seal,
    /// What comes back to the core, and when.
    pub(crate) due: BTreeMap<(u64, u64), Due>,
    pub(crate) outbox: Vec<Packet>,
    pub(crate) asks: Vec<(AskId, Bid)>,
    /// The token that it is to join by.
    pub(crate) token: Option<u64>,
    pub(crate) fails_at_restart: bool,
    pub(crate) open: BTreeMap<ReplyId, Command>,
    /// Keys that it has answered to be revoked.
    pub(crate) revoked: BTreeSet<Fingerprint>,
    pub(crate) answers: BTreeMap<ReplyId, Result<Answer, Refusal>>,
    pub(crate) reports: Vec<Report>,
    /// The secrets that it gave, and to whom.
    pub(crate) given: Vec<(SecretId, Fingerprint)>,
    /// How many tokens of a Vault it had made.
    pub(crate) tokens_made: u64,
    /// Whom it gave one.
    pub(crate) tokens_given: Vec<Fingerprint>,
    /// Its part in such tokens, and the one that it keeps.
    pub(crate) vault: VaultSide,
    pub(crate) vault_token: Option<u64>,
    /// When it starts again.
    pub(crate) starts_at: Option<u64>,
    pub(crate) last: u64,
    pub(crate) restarts: u64,
    /// How often a successor took over.
    pub(crate) successions: u64,
}

impl Node {
    pub(crate) fn new(key: Key) -> Self {
        Self {
            key,
            policy: Policy::default(),
            version: "0.1.0".to_owned(),
            ran: Vec::new(),
            skew_ms: 0,
            core: None,
            disk: Stored::default(),
            seal: Seal::default(),
            due: BTreeMap::new(),
            outbox: Vec::new(),
            asks: Vec::new(),
            token: None,
            fails_at_restart: false,
            open: BTreeMap::new(),
            revoked: BTreeSet::new(),
            answers: BTreeMap::new(),
            reports: Vec::new(),
            given: Vec::new(),
            tokens_made: 0,
            tokens_given: Vec::new(),
            // Two that make them, and one that has no Vault.
            vault: [VaultSide::Apart, VaultSide::Makes, VaultSide::Makes]
                .get(usize::try_from(key).unwrap() % 8)
                .copied()
                .unwrap_or(VaultSide::Wants),
            vault_token: None,
            starts_at: None,
            last: 0,
            restarts: 0,
            successions: 0,
        }
    }

    pub(crate) fn fingerprint(&self) -> Fingerprint {
        fingerprint(self.key)
    }

    pub(crate) fn now(&self, start: Instant, ms: u64) -> Now {
        let unix_ms = EPOCH_MS + i64::try_from(ms).unwrap() + self.skew_ms;
        Now { at: start + Duration::from_millis(ms), unix_ms }
    }

    fn next(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn start(&mut self, now: Now, ms: u64) {
        self.starts_at = None;
        self.restarts += 1;
        // A driver drops what is half there.
        self.disk.secrets.retain(|id, _| self.seal.secrets.contains_key(id));
        self.seal.secrets.retain(|id, _| self.disk.secrets.contains_key(id));
        let identity = Identity {
            fingerprint: self.fingerprint(),
            key: public(self.key),
            name: NodeName::of("host", u32::try_from(self.key).unwrap()),
            version: self.version.as_str().into(),
        };
        let mut drawn = mix(&[self.key, self.restarts]);
        let nonces = Box::new(move || {
            drawn += 1;
            nonce(drawn)
        });
        let (core, effects) = Cluster::restore(identity, self.policy.clone(), self.disk.clone(), nonces, now);
        self.core = Some(core);
        self.carry_out(effects, None, usize::MAX, ms);
        self.handle(Event::ConditionChanged(self.condition()), None, usize::MAX, now, ms);
        self.handle(Event::BusUp, None, usize::MAX, now, ms);
        if let Some(token) = self.token {
            self.command(Command::Join(super::CLUSTER, token_id(token)), now, ms);
        }
    }

    fn condition(&self) -> Condition {
        let vault = if self.vault_token.is_some() { VaultSide::Apart } else { self.vault };
        Condition { vault, ..Condition::default() }
    }

    pub(crate) fn crash(&mut self, starts_at: u64) {
        self.core = None;
        self.due.clear();
        self.open.clear();
        self.starts_at = Some(starts_at);
    }

    pub(crate) fn command(&mut self, command: Command, now: Now, ms: u64) -> Option<ReplyId> {
        self.core.as_ref()?;
        let reply = ReplyId(self.next());
        self.open.insert(reply, command.clone());
        self.handle(Event::Commanded(command, reply), None, usize::MAX, now, ms);
        Some(reply)
    }

    /// Gives the core an event, with the secret that came with it, and carries out the first `most` effects. Whether that were all.
    pub(crate) fn handle(&mut self, event: Event, secret: Option<u64>, most: usize, now: Now, ms: u64) -> bool {
        let Some(core) = self.core.as_mut() else { return true };
        let effects = core.handle(event, now);
        let is_whole = effects.len() <= most;
        self.carry_out(effects, secret, most, ms);
        is_whole
    }

    fn later(&mut self, ms: u64, event: Event) {
        let at = (ms, self.next());
        self.due.insert(at, Due::Tell(event));
    }

    fn carry_out(&mut self, effects: Vec<Effect>, secret: Option<u64>, most: usize, ms: u64) {
        // Whatever delays an answer from outside: the same for the same history.
        let delay = |more: u64| ms + mix(&[self.key, ms, more]) % 20;
        let (soon, later) = (delay(1), ms + mix(&[self.key, ms, 3]) % 2_000);
        for effect in effects.into_iter().take(most) {
            match effect {
                Effect::Persist(changes) => changes.into_iter().for_each(|change| self.disk.apply(change)),
                Effect::Send(message) => self.outbox.push(self.seal.seal(self.key, *message)),
                Effect::GiveSecret { id, to, message, .. } => {
                    let bytes = self.seal.secrets[&id];
                    assert_eq!(message.to, crate::To::Node(to));
                    self.given.push((id, to));
                    let packet = self.seal.seal(self.key, *message);
                    self.outbox.push(Packet { secret: Some((to, bytes)), ..packet });
                }
                Effect::MakeSecret { generation } => {
                    let secret = mix(&[self.key, ms, self.restarts, generation, 99]);
                    let id = SecretId { generation, check: check_of(secret) };
                    self.seal.secrets.insert(id, secret);
                    self.later(soon, Event::SecretMade(id));
                }
                Effect::KeepSecret(id) => {
                    let secret = secret.expect("a secret came with the event");
                    assert_eq!(id.check, check_of(secret), "what is kept was checked");
                    self.seal.secrets.insert(id, secret);
                }
                Effect::DropSecret(id) => {
                    self.seal.secrets.remove(&id);
                }
                Effect::Sign { draft, cluster, claims, at_ms } => {
                    let records = claims.into_iter().map(|claim| sign(self.key, cluster, claim, at_ms)).collect();
                    self.later(soon, Event::Signed(draft, records));
                }
                Effect::AskArbiter(ask, bid) => self.asks.push((ask, bid)),
                Effect::Check { check, document, .. } => {
                    let outcome = self.verdict(document.text()).map_err(|why| vec![why.into()]);
                    self.later(soon, Event::Checked(check, outcome));
                }
                Effect::Apply { scope, id, restart, document } => match self.verdict(document.text()) {
                    Ok(()) if restart == Restart::OneByOne && self.fails_at_restart => {
                        self.later(later, Event::Applied(scope, id, Err("it is not ready".into())));
                    }
                    Ok(()) if restart == Restart::OneByOne => {
                        let at = (later, self.next());
                        self.due.insert(at, Due::Succeed(scope));
                    }
                    outcome => self.later(later, Event::Applied(scope, id, outcome.map_err(Into::into))),
                },
                Effect::StageProgram(program) => {
                    // Some are signed by another key.
                    let is_bad = program.version.to_string().ends_with(".13");
                    let outcome = if is_bad { Err("the signature is wrong".into()) } else { Ok(()) };
                    self.later(later, Event::ProgramStaged(program, outcome));
                }
                Effect::TakeOver(program) => {
                    // Some do not start.
                    let at = (later, self.next());
                    let due = match program.version.to_string().ends_with(".14") {
                        true => Due::Tell(Event::TakeoverFailed("it is not ready".into())),
                        false => Due::Upgrade(program),
                    };
                    self.due.insert(at, due);
                }
                Effect::MakeVaultToken { to, .. } => {
                    self.tokens_made += 1;
                    // Some Vaults are away.
                    let is_bad = mix(&[self.key, ms, 7]).is_multiple_of(4);
                    let outcome = if is_bad { Err("Vault is away".into()) } else { Ok(()) };
                    self.later(later, Event::VaultTokenMade(to, outcome));
                }
                Effect::GiveVaultToken { to, message, .. } => {
                    assert_eq!(message.to, crate::To::Node(to));
                    self.tokens_given.push(to);
                    let packet = self.seal.seal(self.key, *message);
                    self.outbox.push(Packet { secret: Some((to, mix(&[self.key, ms, 8]))), ..packet });
                }
                Effect::KeepVaultToken => {
                    let token = secret.expect("a token came with the event");
                    // Some are used by somebody else before.
                    if !token.is_multiple_of(4) {
                        self.vault_token = Some(token);
                        self.later(soon, Event::ConditionChanged(self.condition()));
                    }
                }
                Effect::DropToken(token) => {
                    self.seal.tokens.remove(&token);
                }
                Effect::Answer(reply, answer) => {
                    let command = self.open.remove(&reply);
                    assert!(command.is_some(), "{reply:?} is answered once");
                    if let (Some(Command::Revoke(key)), Ok(_)) = (command, &answer) {
                        self.revoked.insert(key);
                    }
                    self.answers.insert(reply, answer);
                }
                Effect::Report(report) => self.reports.push(report),
            }
        }
    }

    /// Whether a document is right for this node: it is not if it names it as bad.
    fn verdict(&self, text: &str) -> Result<(), &'static str> {
        if text.contains(&format!("bad{} ", self.key)) { Err("line 1: a bad value") } else { Ok(()) }
    }

    /// A document asks for a restart: the successor stores that it has it, and takes over.
    pub(crate) fn succeed(&mut self, scope: Scope, now: Now, ms: u64) {
        let Some(applying) = self.disk.applying.filter(|applying| applying.scope == scope) else { return };
        let Some(core) = &self.core else { return };
        if core.documents.in_hand().is_none_or(|(id, _)| id != applying.id) {
            return;
        }
        // Some processes are killed before they store it.
        if !mix(&[self.key, ms, 8]).is_multiple_of(8) {
            self.handle(Event::Replaced, None, usize::MAX, now, ms);
        }
        self.crash(ms);
        self.successions += 1;
        self.start(now, ms);
    }

    /// Another program takes over.
    pub(crate) fn upgrade(&mut self, program: Program, now: Now, ms: u64) {
        self.version = program.version.to_string();
        self.ran.push(program);
        self.crash(ms);
        self.start(now, ms);
    }

    /// What it has of everyone's.
    pub(crate) fn approved(&self) -> BTreeSet<Fingerprint> {
        let standings = self.core.iter().flat_map(|core| core.roster.standings());
        standings.filter(|(_, standing)| standing.is_approved()).map(|(key, _)| *key).collect()
    }
}
