//! One connection while it lasts: messages both ways.

mod hearing;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use log::warn;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::arriving::Arrivals;
use super::channel::{CONSUME, CONTROL, FIRST_SHARED, PUBLISH};
use super::confirms::{Confirms, Kind};
use super::connection::Connection;
use super::frame::Frame;
use super::logs::{Act, Logs};
use super::method::{self};
use super::options::Options;
use super::rebinding::{Rebind, Rebinds};
use super::sharing::{ANSWER, Due, Sharing};
use crate::bus::Event;
use crate::clock;
use crate::inbox::{Inbox, Reading};
use crate::message::{Outcome, Outgoing, ReadingEnd, Receipt, Ticket};
use crate::topology::{SharedQueue, Topology};
use crate::trouble::Trouble;

/// For the outcomes of what was published before leaving.
const LAST_OUTCOMES: Duration = Duration::from_secs(2);
/// For the broker's last word.
const FAREWELL: Duration = Duration::from_secs(1);
/// For the answer to the consumer of the node's own queue.
const START: Duration = Duration::from_secs(30);

/// What a bus asks of its thread.
pub(super) enum Command {
    Publish(Ticket, Box<Outgoing>),
    Ack(Receipt),
    Bind(String),
    Unbind(String),
    Read { log: String, reading: Reading, from: u64 },
    Stop(String),
    Leave(oneshot::Sender<()>),
}

/// How a session ends.
pub(super) enum Ended {
    /// It was asked to, or nobody is left.
    Left,
    Lost {
        trouble: Trouble,
        was_up: bool,
        /// Logs and shared queues for which the broker ended it, and why.
        cuts: BTreeMap<String, String>,
    },
}

pub(super) struct Session<'a> {
    number: u64,
    connection: Connection,
    options: &'a Options,
    inbox: &'a Inbox,
    /// Whether the broker has answered for the consumer of the node's own queue.
    is_up: bool,
    started: Instant,
    sharing: Sharing,
    logs: Logs,
    cuts: BTreeMap<String, String>,
    /// Deliveries that nobody acknowledged, by their channels: to do it twice would end the channel.
    outstanding: BTreeSet<(u16, u64)>,
    confirms: Confirms,
    /// `false` while the channel is opened anew.
    can_publish: bool,
    /// Whether the channel for it is being closed.
    is_closing_publish: bool,
    arrivals: Arrivals,
    rebinds: Rebinds,
    leaving: Option<(oneshot::Sender<()>, Instant)>,
}

impl<'a> Session<'a> {
    /// Everything but logs is declared; `keys` are those of [`crate::Bus::bind`], `cuts` logs and shared queues
    /// that ended the connection before.
    pub(super) fn new(
        number: u64,
        mut connection: Connection,
        options: &'a Options,
        inbox: &'a Inbox,
        keys: &BTreeSet<String>,
        cuts: &BTreeMap<String, String>,
    ) -> Self {
        let Topology { queue, shared, .. } = &options.topology;
        connection.method(CONSUME, &method::consume(queue));
        let sharing = Sharing::new(shared, cuts, clock::now());
        for (channel, queue) in sharing.asked() {
            connection.method(channel, &method::consume(queue));
        }
        for SharedQueue { name, .. } in shared {
            if let Some(why) = cuts.get(name) {
                inbox.push(Event::Shared { queue: name.clone(), result: Err(why.clone()) });
            }
        }
        let first_log = u16::try_from(shared.len()).map_or(u16::MAX, |count| FIRST_SHARED.saturating_add(count));
        let logs = Logs::new(&options.topology, first_log, cuts, clock::now());
        Self {
            number,
            connection,
            options,
            inbox,
            is_up: false,
            started: clock::now(),
            sharing,
            logs,
            cuts: BTreeMap::new(),
            outstanding: BTreeSet::new(),
            confirms: Confirms::default(),
            can_publish: true,
            is_closing_publish: false,
            arrivals: Arrivals::default(),
            rebinds: keys.iter().cloned().map(Rebind::Bind).collect(),
            leaving: None,
        }
    }

    pub(super) async fn run(
        &mut self,
        commands: &mut mpsc::UnboundedReceiver<Command>,
        keys: &mut BTreeSet<String>,
    ) -> Ended {
        let ended = self.turns(commands, keys).await;
        self.inbox.cut();
        self.tell(Confirms::lost);
        ended
    }

    /// Of what is not whole yet, in either direction.
    pub(super) fn kept_bytes(&self) -> usize {
        self.connection.kept_bytes() + self.arrivals.kept_bytes()
    }

    async fn turns(&mut self, commands: &mut mpsc::UnboundedReceiver<Command>, keys: &mut BTreeSet<String>) -> Ended {
        loop {
            if let Some(payload) = self.rebinds.next_payload(&self.options.topology) {
                self.connection.method(CONTROL, &payload);
            }
            if let Some((_, until)) = &self.leaving
                && (self.confirms.is_empty() || *until <= clock::now())
            {
                self.say_farewell().await;
                return Ended::Left;
            }
            let takes_commands = self.leaving.is_none() && self.can_publish && self.connection.has_room();
            let wake = self.next_wake();
            tokio::select! {
                biased;
                frame = self.connection.next() => {
                    let handled = frame.map_err(Trouble::Lost).and_then(|frame| self.handle(frame, keys));
                    if let Err(trouble) = handled {
                        let cuts = std::mem::take(&mut self.cuts);
                        return Ended::Lost { trouble, was_up: self.is_up, cuts };
                    }
                }
                command = commands.recv(), if takes_commands => match command {
                    Some(command) => self.carry_out(command, keys),
                    None => {
                        self.say_farewell().await;
                        return Ended::Left;
                    }
                },
                () = tokio::time::sleep_until(wake) => {
                    if !self.is_up && self.started + START <= clock::now() {
                        let trouble = Trouble::Lost("the broker does not answer a consumer".to_owned());
                        return Ended::Lost { trouble, was_up: false, cuts: BTreeMap::new() };
                    }
                    self.renew_publishing();
                    self.tell(|confirms| confirms.overdue(clock::now()));
                    self.look_after_shared();
                    self.look_after_logs();
                }
            }
        }
    }

    fn next_wake(&self) -> Instant {
        let starting = (!self.is_up).then(|| self.started + START);
        let leaving = self.leaving.as_ref().map(|(_, until)| *until);
        let wakes = [starting, leaving, self.confirms.deadline(), self.sharing.deadline(), self.logs.deadline()];
        wakes.into_iter().flatten().min().unwrap_or_else(|| clock::now() + START)
    }

    fn look_after_shared(&mut self) {
        let Due { late, open, ask } = self.sharing.due(clock::now());
        for queue in late {
            let result =
                Err(format!("the broker says nothing for {} s: the queue may have no majority", ANSWER.as_secs()));
            self.inbox.push(Event::Shared { queue, result });
        }
        for channel in open {
            self.connection.method(channel, &method::channel_open());
        }
        for (channel, queue) in ask {
            self.connection.method(channel, &method::consume(&queue));
        }
    }

    fn look_after_logs(&mut self) {
        for (channel, acts) in self.logs.due(clock::now()) {
            self.do_for_log(channel, acts);
        }
    }

    fn do_for_log(&mut self, channel: u16, acts: Vec<Act>) {
        let Some(log) = self.logs.name(channel).map(str::to_owned) else { return };
        for act in acts {
            match act {
                Act::Send(payload) => self.connection.method(channel, &payload),
                Act::Tell(result) => self.inbox.push(Event::Log { log: log.clone(), result }),
                Act::End(reading, why) => self.inbox.end_reading(&log, reading, why),
                Act::Forget => {
                    self.arrivals.forget(channel);
                    self.outstanding.retain(|(of, _)| *of != channel);
                }
            }
        }
    }

    /// A log may have changed its leader before the broker answered for an entry. Then RabbitMQ 3.10 never answers for it, and
    /// takes later entries of the same channel for some that it has: it answers for them and does not write them.
    fn renew_publishing(&mut self) {
        if self.confirms.has_overdue_entry(clock::now()) {
            self.tell(Confirms::lost);
            self.arrivals.forget(PUBLISH);
            (self.can_publish, self.is_closing_publish) = (false, true);
            self.connection.method(PUBLISH, &method::channel_close());
        }
    }

    fn tell(&mut self, answered: impl FnOnce(&mut Confirms) -> Vec<(Ticket, Outcome)>) {
        for (ticket, outcome) in answered(&mut self.confirms) {
            self.inbox.published(ticket, outcome);
        }
    }

    fn carry_out(&mut self, command: Command, keys: &mut BTreeSet<String>) {
        match command {
            Command::Publish(ticket, message) => {
                let Outgoing { key, is_mandatory, properties, body } = *message;
                let Topology { exchange, logs, .. } = &self.options.topology;
                let kind = if logs.contains(&key) { Kind::Entry } else { Kind::Message };
                let publish = method::publish(exchange, &key, is_mandatory);
                self.connection.method(PUBLISH, &publish);
                self.connection.content(PUBLISH, &properties, &body);
                self.confirms.sent(ticket, kind, key, body, clock::now());
            }
            Command::Ack(receipt) => {
                if receipt.session == self.number && self.outstanding.remove(&(receipt.channel, receipt.tag)) {
                    self.connection.method(receipt.channel, &method::ack(receipt.tag));
                }
            }
            Command::Bind(key) => {
                keys.insert(key.clone());
                self.rebinds.push(Rebind::Bind(key));
            }
            Command::Unbind(key) => {
                keys.remove(&key);
                self.rebinds.push(Rebind::Unbind(key));
            }
            Command::Read { log, reading, from } => self.read(&log, reading, from),
            Command::Stop(log) => {
                if let Some((channel, acts)) = self.logs.stop(&log, clock::now()) {
                    self.do_for_log(channel, acts);
                }
            }
            Command::Leave(left) => self.leaving = Some((left, clock::now() + LAST_OUTCOMES)),
        }
    }

    fn read(&mut self, log: &str, reading: Reading, from: u64) {
        if !self.inbox.is_current(log, reading) {
            return;
        }
        match self.logs.read(log, reading, from, clock::now()) {
            Some((channel, acts)) => self.do_for_log(channel, acts),
            None => self.inbox.end_reading(log, reading, ReadingEnd::Failed(format!("there is no log \"{log}\""))),
        }
    }

    /// The broker has dealt with one.
    fn rebound(&self, rebind: Option<Rebind>, result: Result<(), String>, keys: &mut BTreeSet<String>) {
        match (rebind, result) {
            (Some(Rebind::Bind(key)), result) => {
                if result.is_err() {
                    keys.remove(&key);
                }
                self.inbox.push(Event::Bound { key, result });
            }
            (Some(Rebind::Unbind(key)), Err(text)) => warn!("the broker did not undo the binding to \"{key}\": {text}"),
            (Some(Rebind::Unbind(_)), Ok(())) | (None, _) => {}
        }
    }

    async fn say_farewell(&mut self) {
        self.connection.method(0, &method::close());
        let last_word = async {
            while let Ok(frame) = self.connection.next().await {
                if matches!(frame, Frame::Method { channel: 0, class: 10, method: 51, .. }) {
                    return;
                }
            }
        };
        // A broker that does not answer is left all the same.
        let _ = tokio::time::timeout(FAREWELL, last_word).await;
        if let Some((left, _)) = self.leaving.take() {
            let _ = left.send(());
        }
    }
}
