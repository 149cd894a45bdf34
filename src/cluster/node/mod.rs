//! The core with its seal, its folder and its bus: events go in, and what the core says is carried out at once.

mod effects;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use furt_bus::{Bus, Delivery, Event as BusEvent};
use furt_cluster::model::{ClusterId, Fingerprint, NodeName, Role, TokenId, UpdateResult};
use furt_cluster::{
    Answer, Cluster, Command, Event, Identity, MAX_MESSAGE_BYTES, Outcome, Refusal, Refused, ReplyId, Stored,
};
use furt_seal::{Enclosed, JoinToken, Seal, WrappedToken, lexnode};
use tokio::sync::oneshot;

use super::arbiter::{Answered, Arbiter};
use super::folder::Folder;
use super::handle::{Failure, KnownSettings, MadeToken, SettingsChange};
use super::outside::Outside;
use super::programs::Programs;
use super::settings::{self, History};
use super::shared::{Derived, Shared};
use super::telling::Telling;
use super::vault::VaultCalls;
use crate::clock;
use crate::private_files::FileError;
use crate::telemetry::VERSION;

/// Who waits for a command.
type Reply = oneshot::Sender<Result<Answer, Failure>>;

/// Who waits for a token: its text is answered once the core has taken it.
struct Maker {
    token: JoinToken,
    reply: oneshot::Sender<Result<MadeToken, Failure>>,
}

enum Waiting {
    Command(Reply),
    /// That runs another program at this node.
    OwnUpdate(Reply),
    Token(Maker),
    Nobody,
}

/// The node while it runs.
pub(super) struct Node<'a, B> {
    core: Cluster,
    seal: Seal,
    name: NodeName,
    stored: Stored,
    folder: &'a Folder,
    bus: &'a mut B,
    arbiter: Arbiter,
    programs: Programs,
    telling: &'a mut Telling,
    waiting: BTreeMap<ReplyId, Waiting>,
    last_reply: u64,
    vault: Option<&'a VaultCalls>,
    /// The tokens that this node is to join by.
    joins: BTreeMap<TokenId, ClusterId>,
    derived: Derived,
    history: History,
    outside: Outside,
}

/// What happened, with what came with it.
type Happened = (Event, Option<Enclosed>);

impl<'a, B: Bus> Node<'a, B> {
    /// Goes on from what the folder has. The key is that of `seal`.
    ///
    /// # Errors
    /// The folder cannot be read or written.
    pub(super) fn begin(
        mut seal: Seal,
        (name, log): (NodeName, String),
        policy: furt_cluster::Policy,
        folder: &'a Folder,
        bus: &'a mut B,
        telling: &'a mut Telling,
        outside: Outside,
    ) -> Result<Self, FileError> {
        let found = folder.load()?;
        found.secrets.into_iter().for_each(|secret| seal.insert_secret(secret));
        let mut joins = BTreeMap::new();
        for token in found.tokens {
            if !found.stored.tokens.contains_key(&token.id()) {
                joins.insert(token.id(), token.cluster());
            }
            seal.insert_token(token);
        }
        let (fingerprint, key) = (seal.fingerprint(), seal.public().clone());
        let identity = Identity { fingerprint, key, name: name.clone(), version: Arc::from(VERSION) };
        let nonces = Box::new(furt_seal::nonce);
        let (core, effects) = Cluster::restore(identity, policy, found.stored.clone(), nonces, now());
        let (waiting, last_reply) = (BTreeMap::new(), 0);
        let at_start = joins.clone();
        let mut node = Self {
            core,
            seal,
            stored: found.stored,
            folder,
            bus,
            telling,
            name,
            waiting,
            last_reply,
            vault: None,
            joins,
            arbiter: Arbiter::new(log),
            derived: Derived::default(),
            history: folder.history()?,
            outside,
            // Nothing is asked for while a core is restored.
            programs: Programs::new(None).0,
        };
        node.carry_out_all(effects, &mut None, &mut VecDeque::new())?;
        if node.bus.is_up() {
            node.handle(Event::BusUp)?;
        }
        for (token, cluster) in at_start {
            node.command(Command::Join(cluster, token), Waiting::Nobody)?;
        }
        Ok(node)
    }

    /// The same, with a way to other programs.
    pub(super) fn with_programs(self, programs: Programs) -> Self {
        Self { programs, ..self }
    }

    pub(super) fn core(&self) -> &Cluster {
        &self.core
    }

    /// Tells what is wrong now, and counts what there is.
    pub(super) fn show(&self) {
        let view = self.core.view(now());
        self.telling.show(&view);
    }

    /// What gateways are to derive keys of from now on; `None`: nothing new.
    pub(super) fn newly_shared(&mut self) -> Option<Shared> {
        self.derived.renew(&self.core, &self.seal)
    }

    pub(super) fn telling(&mut self) -> &mut Telling {
        self.telling
    }

    pub(super) fn bus(&mut self) -> &mut B {
        self.bus
    }

    /// # Errors
    /// The folder cannot be written: this node is of no use any more, and another is to begin.
    pub(super) fn handle(&mut self, event: Event) -> Result<(), FileError> {
        self.handle_all((event, None))
    }

    /// Takes a message, whatever it is.
    ///
    /// # Errors
    /// As [`Self::handle`].
    pub(super) fn take(&mut self, delivery: &Delivery) -> Result<(), FileError> {
        let opened =
            if delivery.body.len() > MAX_MESSAGE_BYTES { Err(Refused::TooLarge) } else { self.seal.open(delivery) };
        match opened {
            Ok((opened, enclosed)) => self.handle_all((Event::Opened(Box::new(opened)), enclosed)),
            Err(why) => {
                // To read a stranger's message once more costs time.
                if why == Refused::Unsigned && self.telling.would_tell(why) {
                    self.telling.heard_unsigned(lexnode::recognise(&delivery.properties, &delivery.body).as_ref());
                }
                self.handle(Event::Refused(why))
            }
        }
    }

    /// From now on it has tokens of a Vault made and kept there.
    pub(super) fn use_vault(&mut self, calls: Option<&'a VaultCalls>) {
        self.vault = calls;
    }

    /// Takes a token that was made for another node.
    ///
    /// # Errors
    /// As [`Self::handle`].
    pub(super) fn take_made(
        &mut self,
        to: Fingerprint,
        outcome: Result<WrappedToken, String>,
    ) -> Result<(), FileError> {
        let (outcome, token) = match outcome {
            Ok(token) => (Ok(()), Some(Enclosed::VaultToken(token))),
            Err(why) => (Err(why.into()), None),
        };
        self.handle_all((Event::VaultTokenMade(to, outcome), token))
    }

    /// What the bus says of the arbiter's log.
    ///
    /// # Errors
    /// As [`Self::handle`].
    pub(super) fn hear_arbiter(&mut self, event: BusEvent) -> Result<(), FileError> {
        let (roster, now) = (&self.core, clock::now());
        let answered = match event {
            BusEvent::Log { log, result } => {
                self.arbiter.found(&log, result);
                None
            }
            BusEvent::Published { ticket, outcome } => self.arbiter.published(ticket, &outcome, self.bus, now),
            BusEvent::Logged(entry) => self.arbiter.read(&entry, |key| roster.may_command(key), self.bus, now),
            BusEvent::ReadingEnded { log, why } => self.arbiter.reading_ended(&log, &why),
            BusEvent::Down(_) => self.arbiter.lost(),
            _ => None,
        };
        self.end_asking(answered)
    }

    fn end_asking(&mut self, answered: Option<Answered>) -> Result<(), FileError> {
        let Some((ask, ruling)) = answered else { return Ok(()) };
        let further = self.arbiter.advance(&self.seal, self.bus, clock::now());
        for (ask, ruling) in [(ask, ruling)].into_iter().chain(further) {
            self.handle(Event::ArbiterAnswered(ask, ruling))?;
        }
        Ok(())
    }

    /// When [`Self::pass_deadlines`] is due next.
    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.core.next_deadline().into_iter().chain(self.arbiter.deadline()).min()
    }

    /// # Errors
    /// As [`Self::handle`].
    pub(super) fn pass_deadlines(&mut self) -> Result<(), FileError> {
        let late = self.arbiter.pass_deadline(clock::now(), self.bus);
        self.end_asking(late)?;
        self.handle(Event::DeadlineReached)
    }

    /// # Errors
    /// As [`Self::handle`].
    pub(super) fn order(&mut self, command: Command, reply: Reply) -> Result<(), FileError> {
        let waiting = match &command {
            Command::Update(target, _) if *target == self.seal.fingerprint() => Waiting::OwnUpdate(reply),
            _ => Waiting::Command(reply),
        };
        self.command(command, waiting)
    }

    /// Another process has taken over: who had it do so at the node itself is told, since the next process knows no caller.
    ///
    /// # Errors
    /// As [`Self::handle`].
    pub(super) fn replaced(&mut self) -> Result<(), FileError> {
        if self.outside.is_replaced() {
            self.handle(Event::Replaced)?;
        }
        self.tell_updated();
        Ok(())
    }

    fn tell_updated(&mut self) {
        let Some(program) = self.programs.taken_over_by() else { return };
        let result = UpdateResult {
            action: "update_program".into(),
            status: Ok(()),
            detail: Some(program.version.to_string().into()),
            node: self.name.clone(),
            at_ms: clock::unix_ms(),
            generation: 0,
            request: None,
        };
        for waiting in std::mem::take(&mut self.waiting).into_values() {
            if let Waiting::OwnUpdate(caller) = waiting {
                _ = caller.send(Ok(Answer::Updated(Outcome::Told(result.clone()))));
            }
        }
    }

    /// Changes settings.
    ///
    /// # Errors
    /// As [`Self::handle`].
    pub(super) fn set(&mut self, change: &SettingsChange, reply: Reply) -> Result<(), FileError> {
        match settings::command(&self.core, change) {
            Ok(command) => self.order(command, reply),
            Err(why) => {
                // Who asked may have left.
                _ = reply.send(Err(why));
                Ok(())
            }
        }
    }

    /// The settings that this node knows.
    pub(super) fn documents(&self) -> Vec<KnownSettings> {
        let scopes = self.core.view(now()).settings.into_keys();
        settings::known(&self.core, scopes, &self.history)
    }

    /// Draws a token, keeps it, and has the core take it.
    ///
    /// # Errors
    /// As [`Self::handle`].
    pub(super) fn make_token(
        &mut self,
        uses: u32,
        ttl: Duration,
        role: Role,
        reply: oneshot::Sender<Result<MadeToken, Failure>>,
    ) -> Result<(), FileError> {
        let Some(membership) = self.core.membership() else {
            _ = reply.send(Err(Refusal::Unjoined.into()));
            return Ok(());
        };
        let token = JoinToken::draw(membership.cluster, self.seal.fingerprint());
        self.folder.keep_token(&token)?;
        self.seal.insert_token(token.clone());
        let command = Command::MakeToken { token: token.id(), uses, ttl, role };
        self.command(command, Waiting::Token(Maker { token, reply }))
    }

    /// Joins by a token, now and after each restart, until it has.
    ///
    /// # Errors
    /// As [`Self::handle`].
    pub(super) fn join(&mut self, token: JoinToken, reply: Option<Reply>) -> Result<(), FileError> {
        let (cluster, id) = (token.cluster(), token.id());
        let waiting = reply.map_or(Waiting::Nobody, Waiting::Command);
        if !self.stored.tokens.contains_key(&id) && self.may_join(cluster) {
            self.folder.keep_token(&token)?;
            self.seal.insert_token(token);
            self.joins.insert(id, cluster);
        }
        self.command(Command::Join(cluster, id), waiting)
    }

    /// One that cannot join any more keeps no token of it.
    fn may_join(&self, cluster: ClusterId) -> bool {
        self.core.membership().is_none_or(|membership| membership.cluster == cluster)
    }

    fn command(&mut self, command: Command, waiting: Waiting) -> Result<(), FileError> {
        self.last_reply += 1;
        let reply = ReplyId(self.last_reply);
        self.waiting.insert(reply, waiting);
        self.handle(Event::Commanded(command, reply))
    }
}

pub(super) fn now() -> furt_cluster::model::Now {
    furt_cluster::model::Now { at: clock::now(), unix_ms: clock::unix_ms() }
}
