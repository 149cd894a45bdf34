//! A bus on RabbitMQ, by AMQP 0-9-1.
//!
//! The protocol is furt's own code: the crates that speak it recurse into tables that strangers nest, which ends the process, and
//! drop the connection over a name that is no UTF-8 (decision 65). Here `wire` and `frame` read bytes without recursion,
//! `confirms` is pure, `declaring` opens a connection, `session` has it while it lasts, and this file makes the next one.
//!
//! All of it is on one thread with a runtime of its own: nothing of a node waits for a broker, and what is left of a connection
//! ends with it.

mod arriving;
mod channel;
mod confirms;
mod connection;
mod content;
#[doc(hidden)]
pub mod conversation;
mod declaring;
mod dial;
mod frame;
mod logs;
mod method;
mod options;
mod rebinding;
mod session;
mod sharing;
mod url;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use log::info;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use self::session::{Command, Ended, Session};
use crate::bus::{Bus, Event};
use crate::clock;
use crate::inbox::Inbox;
use crate::message::{Outcome, Outgoing, PublishError, Receipt, Ticket};
use crate::topology::TopologyError;
use crate::trouble::Trouble;
pub use options::{Options, Password};
pub use url::{BusUrl, UrlError};

/// The first pause before another connection. Each is twice as long, up to the last.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(30);
/// A connection that lasted so long was a good one: the next one is tried soon.
const STEADY: Duration = Duration::from_secs(10);
/// Between two looks whether the lock of a dead owner is gone.
const LOCK_PAUSE: Duration = Duration::from_secs(1);
/// A broker looks for dead owners at times of its own.
const LOCK_SLACK: Duration = Duration::from_secs(3);

/// A bus on a broker. See [`Bus`].
#[derive(Debug)]
pub struct AmqpBus {
    inbox: Arc<Inbox>,
    commands: mpsc::UnboundedSender<Command>,
}

/// What a bus cannot be made of.
#[derive(Debug, thiserror::Error)]
pub enum OptionsError {
    /// Names.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// AMQP has whole seconds, in two bytes.
    #[error("the heartbeat is {0:?}; it is at least 1 s, at most 1 h, and whole seconds")]
    Heartbeat(Duration),
    /// No thread.
    #[error("no thread can be started: {0}")]
    Thread(#[from] std::io::Error),
}

const LONGEST_HEARTBEAT: Duration = Duration::from_secs(3600);

impl AmqpBus {
    /// Starts the thread, which connects for ever.
    ///
    /// # Errors
    /// No broker would take it. That there is none now is an [`Event::Down`].
    pub fn start(options: Options) -> Result<Self, OptionsError> {
        options.topology.check()?;
        let heartbeat = options.heartbeat;
        if !(Duration::from_secs(1)..=LONGEST_HEARTBEAT).contains(&heartbeat) || heartbeat.subsec_nanos() != 0 {
            return Err(OptionsError::Heartbeat(heartbeat));
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let inbox = Arc::new(Inbox::default());
        let (commands, receiver) = mpsc::unbounded_channel();
        let for_thread = Arc::clone(&inbox);
        std::thread::Builder::new()
            .name("furt-bus".to_owned())
            .spawn(move || runtime.block_on(Link::new(options, for_thread, receiver).follow()))?;
        Ok(Self { inbox, commands })
    }

    /// The thread is there as long as this is.
    fn ask(&self, command: Command) {
        let _ = self.commands.send(command);
    }
}

impl Bus for AmqpBus {
    fn publish(&mut self, message: Outgoing) -> Result<Ticket, PublishError> {
        message.check()?;
        let ticket = self.inbox.ticket()?;
        self.ask(Command::Publish(ticket, Box::new(message)));
        Ok(ticket)
    }

    fn ack(&mut self, receipt: Receipt) {
        self.ask(Command::Ack(receipt));
    }

    fn bind(&mut self, key: &str) {
        self.ask(Command::Bind(key.to_owned()));
    }

    fn unbind(&mut self, key: &str) {
        self.ask(Command::Unbind(key.to_owned()));
    }

    fn is_up(&self) -> bool {
        self.inbox.is_up()
    }

    fn read_log(&mut self, log: &str, from: u64) {
        let reading = self.inbox.begin_reading(log);
        self.ask(Command::Read { log: log.to_owned(), reading, from });
    }

    fn stop_log(&mut self, log: &str) {
        self.inbox.stop_reading(log);
        self.ask(Command::Stop(log.to_owned()));
    }

    async fn event(&mut self) -> Event {
        let event = self.inbox.next().await;
        if let Event::Logged(entry) = &event {
            self.ask(Command::Ack(entry.receipt));
        }
        event
    }

    async fn close(self) {
        let (left, has_left) = oneshot::channel();
        self.ask(Command::Leave(left));
        // The other end is dropped where there was no connection to leave.
        let _ = has_left.await;
    }
}

/// One connection after the other.
struct Link {
    options: Options,
    inbox: Arc<Inbox>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// Those of [`Bus::bind`], for the next connection.
    keys: BTreeSet<String>,
    /// Logs for which the last connection was ended, and why. A broker whose streams are switched off does so.
    cuts: BTreeMap<String, String>,
    /// What was told last.
    told: Option<Trouble>,
    /// Since when the node's own queue has another owner.
    locked_since: Option<Instant>,
    pause: Duration,
}

/// Whether anybody wants the bus.
#[derive(PartialEq)]
enum Wanted {
    Still,
    NoMore,
}

impl Link {
    fn new(options: Options, inbox: Arc<Inbox>, commands: mpsc::UnboundedReceiver<Command>) -> Self {
        let (keys, cuts) = (BTreeSet::new(), BTreeMap::new());
        Self { options, inbox, commands, keys, cuts, told: None, locked_since: None, pause: FIRST_PAUSE }
    }

    async fn follow(mut self) {
        for (number, tried) in (1..).zip(0..) {
            let options = self.options.clone();
            let Some(opened) = self.meanwhile(declaring::open(&options, tried)).await else { return };
            let trouble = match opened {
                Ok(connection) => {
                    let inbox = Arc::clone(&self.inbox);
                    let mut session = Session::new(number, connection, &options, &inbox, &self.keys, &self.cuts);
                    let began = clock::now();
                    match session.run(&mut self.commands, &mut self.keys).await {
                        Ended::Left => return,
                        Ended::Lost { trouble, was_up, cuts } => {
                            self.cuts = cuts;
                            if was_up {
                                (self.told, self.locked_since) = (None, None);
                            }
                            if began.elapsed() > STEADY {
                                self.pause = FIRST_PAUSE;
                            }
                            trouble
                        }
                    }
                }
                Err(trouble) => trouble,
            };
            let pause = self.pause_after(trouble);
            if self.meanwhile(tokio::time::sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    /// Tells it, and says how long to wait.
    fn pause_after(&mut self, trouble: Trouble) -> Duration {
        let trouble = self.judge_lock(trouble);
        let is_waiting = matches!(trouble, Trouble::Locked { .. });
        if self.told.as_ref() != Some(&trouble) {
            self.inbox.down(trouble.clone());
            self.told = Some(trouble);
        }
        if is_waiting {
            return LOCK_PAUSE;
        }
        let pause = self.pause.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        pause
    }

    /// A lock that outlives a dead owner's is a living one's.
    fn judge_lock(&mut self, trouble: Trouble) -> Trouble {
        let Trouble::Locked { queue, within } = trouble else {
            self.locked_since = None;
            return trouble;
        };
        let now = clock::now();
        let since = *self.locked_since.get_or_insert(now);
        if now < since + within + LOCK_SLACK {
            return Trouble::Locked { queue, within };
        }
        Trouble::NameTaken { queue }
    }

    /// Waits while there is no connection; `None`: nobody wants one any more.
    async fn meanwhile<T>(&mut self, wait: impl Future<Output = T>) -> Option<T> {
        let mut wait = pin!(wait);
        loop {
            tokio::select! {
                waited = &mut wait => return Some(waited),
                command = self.commands.recv() => {
                    if self.absent(command?) == Wanted::NoMore {
                        return None;
                    }
                }
            }
        }
    }

    fn absent(&mut self, command: Command) -> Wanted {
        match command {
            Command::Publish(ticket, _) => self.inbox.published(ticket, Outcome::NotSent),
            // Readings are over without a connection.
            Command::Ack(_) | Command::Read { .. } | Command::Stop(_) => {}
            Command::Bind(key) => {
                self.keys.insert(key);
            }
            Command::Unbind(key) => {
                self.keys.remove(&key);
            }
            Command::Leave(left) => {
                info!("there is no connection to a broker to leave");
                let _ = left.send(());
                return Wanted::NoMore;
            }
        }
        Wanted::Still
    }
}
