//! A service that has joined: it registers, beats, registers again when the registration was lost, and leaves.
//!
//! One task does this, one step after the other, so that a registration never follows the command to leave.

use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use furt_api::deregistration::Drained;
use furt_api::registration::{Heartbeat, Registered};
use furt_api::{Epoch, InstanceId, ServiceName};
use http::Method;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use crate::address::own_address;
use crate::error::Error;
use crate::exchange::Call;
use crate::hosts::{Hosts, Purpose};
use crate::service::{Service, Told};

/// furt's bound for a drain.
const LONGEST_DRAIN: Duration = Duration::from_secs(3600);

/// What a process is told apart from the one before it by.
fn incarnation() -> &'static str {
    static INCARNATION: OnceLock<String> = OnceLock::new();
    INCARNATION.get_or_init(|| uuid::Uuid::new_v4().to_string())
}

/// How a service stands with the registry.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Nothing was answered yet.
    Joining,
    /// It is registered, and was heard at the last beat.
    Joined,
    /// No host of the registry could be asked, for the reason that is given. It is tried again each fifth of a beat (1 s).
    Away(Error),
    /// A gateway refused, for the reason that is given. It is tried again with each beat (5 s).
    Refused(Error),
    /// It has left.
    Left,
}

/// A service that has joined, or is about to.
///
/// Dropping it changes nothing: the service stays until it leaves, or until its process or its runtime ends, and is then
/// removed when its TTL is over.
#[derive(Debug, Clone)]
pub struct Member {
    service: ServiceName,
    commands: mpsc::Sender<Leave>,
    state: watch::Receiver<State>,
}

/// What came of leaving.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Departure {
    /// Requests that the service still had in flight at the end of the drain. They go on.
    pub in_flight: u64,
}

struct Leave {
    drain: Duration,
    done: oneshot::Sender<Result<Departure, Error>>,
}

impl Member {
    /// The service's name for furt, with its namespace.
    pub fn service(&self) -> &str {
        self.service.as_str()
    }

    /// How it stands now.
    pub fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// How it stands whenever that changes, for [`changed`](watch::Receiver::changed) and
    /// [`wait_for`](watch::Receiver::wait_for).
    pub fn states(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Leaves: the service gets no new requests from now on. Waits until none of its requests is in flight any more, or until
    /// `drain` is over (at most an hour; longer is taken as that). So the process may end after it.
    ///
    /// # Errors
    /// [`Error::Left`] if it has left before. [`Error::Unreachable`] or [`Error::Refused`] if no gateway did it; it is not heard
    /// any more, and so is removed when its TTL is over.
    pub async fn leave(&self, drain: Duration) -> Result<Departure, Error> {
        let (done, outcome) = oneshot::channel();
        self.commands.send(Leave { drain, done }).await.map_err(|_| Error::Left)?;
        outcome.await.unwrap_or(Err(Error::Left))
    }

    pub(crate) fn has_left(&self) -> bool {
        self.commands.is_closed()
    }
}

/// What registers and beats.
pub(crate) struct Membership {
    hosts: Arc<Hosts>,
    name: String,
    service: ServiceName,
    what: Service,
    ttl: Duration,
    /// Once it is known, so that a registration does not move with the host that is asked.
    own: Option<IpAddr>,
    registered: Option<(InstanceId, Epoch)>,
    /// Whether a registration was sent at all.
    is_sent: bool,
}

impl Membership {
    /// # Errors
    /// What can be told before anything is sent.
    pub(crate) fn try_new(
        hosts: Arc<Hosts>,
        name: &str,
        service: ServiceName,
        what: Service,
        ttl: Duration,
    ) -> Result<Self, Error> {
        what.check(&service, name)?;
        Ok(Self { hosts, name: name.to_owned(), service, what, ttl, own: None, registered: None, is_sent: false })
    }

    /// Goes on in a task of its own.
    pub(crate) fn spawn(self) -> Member {
        let (commands, orders) = mpsc::channel(1);
        let first = if self.registered.is_some() { State::Joined } else { State::Joining };
        let (told, state) = watch::channel(first);
        let service = self.service.clone();
        tokio::spawn(self.run(orders, told));
        Member { service, commands, state }
    }

    async fn run(mut self, mut orders: mpsc::Receiver<Leave>, told: watch::Sender<State>) {
        let beat = self.ttl / 2;
        let mut pause = if self.registered.is_some() { beat } else { Duration::ZERO };
        // The one sender is in here as long as anybody may ask; nobody asks any more where all are gone.
        let mut is_watched = true;
        loop {
            let leave = tokio::select! {
                biased;
                leave = orders.recv(), if is_watched => leave,
                () = sleep(pause) => {
                    let (state, then) = match self.step().await {
                        Ok(()) => (State::Joined, beat),
                        Err(error @ (Error::Unreachable(_) | Error::Answer { .. })) => (State::Away(error), soon(beat)),
                        Err(error) => (State::Refused(error), beat),
                    };
                    pause = then;
                    told.send_if_modified(|told| {
                        let is_new = *told != state;
                        *told = state;
                        is_new
                    });
                    continue;
                }
            };
            let Some(Leave { drain, done }) = leave else {
                is_watched = false;
                continue;
            };
            let outcome = self.leave(drain).await;
            told.send_replace(State::Left);
            orders.close();
            _ = done.send(outcome);
            return;
        }
    }

    /// A beat, or a registration where the gateway does not know it, knows another process, or has another registry.
    async fn step(&mut self) -> Result<(), Error> {
        let Some((instance, epoch)) = &self.registered else { return self.register().await };
        match self.beat(instance).await {
            Ok(beat) if beat.epoch == *epoch => Ok(()),
            Ok(_) => self.register().await,
            Err(error) if is_gone(&error) => self.register().await,
            Err(error) => Err(error),
        }
    }

    async fn beat(&self, instance: &InstanceId) -> Result<Heartbeat, Error> {
        let path = format!("{}/heartbeat?incarnation={}", path_to(&self.service, instance), incarnation());
        self.hosts.ask(Purpose::Change, &Call::new(Method::POST, path)).await
    }

    /// # Errors
    /// As [`Hosts::ask`], or this machine's address is not known.
    pub(crate) async fn register(&mut self) -> Result<(), Error> {
        self.registered = None;
        let own = self.own_address().await?.map(|own| own.to_string());
        let told = Told { ttl: self.ttl.as_secs_f64(), incarnation: incarnation() };
        let registration = self.what.fill_in(&self.service, &self.name, own.as_deref(), &told)?;
        let body = serde_json::to_vec(&registration).map_err(|why| Error::Service(why.to_string()))?;
        let mut call = Call::new(Method::POST, "/internal/register-service".to_owned());
        call.body = Some(Bytes::from(body));
        self.is_sent = true;
        let answer: Registered = self.hosts.ask(Purpose::Change, &call).await?;
        self.registered = Some((answer.instance, answer.epoch));
        Ok(())
    }

    async fn own_address(&mut self) -> Result<Option<IpAddr>, Error> {
        if self.what.needs_address() && self.own.is_none() {
            let named = self.hosts.named();
            self.own = own_address(named, self.hosts.silence()).await;
            if self.own.is_none() {
                let what = "its name does not resolve, or there is no route to it";
                let tries = named.iter().map(|host| crate::Try { host: host.to_string(), what: what.to_owned() });
                return Err(Error::Unreachable(tries.collect()));
            }
        }
        Ok(self.own)
    }

    async fn leave(&mut self, drain: Duration) -> Result<Departure, Error> {
        let gone = Departure { in_flight: 0 };
        if !self.is_sent {
            return Ok(gone);
        }
        let instance = match &self.registered {
            Some((instance, _)) => instance.clone(),
            // A registration without an answer may be there all the same.
            None => {
                let own = self.own.map(|own| own.to_string());
                let told = Told { ttl: self.ttl.as_secs_f64(), incarnation: incarnation() };
                let registration = self.what.fill_in(&self.service, &self.name, own.as_deref(), &told)?;
                registration.instance.unwrap_or_else(|| self.service.as_str().into())
            }
        };
        // A gateway may take its time to answer a drain. So one that is silent is found out before.
        if !drain.is_zero() {
            match self.beat(&instance).await {
                Err(error) if is_gone(&error) => return Ok(gone),
                beat => beat.map(|_| ())?,
            }
        }
        let drain = drain.min(LONGEST_DRAIN);
        let (path, seconds) = (path_to(&self.service, &instance), drain.as_secs_f64());
        let mut call = Call::new(Method::DELETE, format!("{path}?drain={seconds}&incarnation={}", incarnation()));
        call.wait = drain;
        match self.hosts.ask::<Drained>(Purpose::Change, &call).await {
            Ok(answer) => Ok(Departure { in_flight: answer.in_flight }),
            Err(error) if is_gone(&error) => Ok(gone),
            Err(error) => Err(error),
        }
    }
}

/// The registration expired, or another process has its place.
fn is_gone(error: &Error) -> bool {
    matches!(error.status(), Some(404 | 412))
}

/// Names and ids have nothing in them that a path would not take.
fn path_to(service: &ServiceName, instance: &InstanceId) -> String {
    format!("/internal/services/{service}/instances/{instance}")
}

/// A fifth of a beat, so that a TTL has several tries left; not all clients at once.
fn soon(beat: Duration) -> Duration {
    beat.mul_f64(0.16 + 0.08 * fastrand::f64())
}
