//! The single writer around the pure core: one task that owns the [`Registry`], one queue into it.
//!
//! A turn drains the queue, lets the core handle each event, publishes at most one snapshot, then carries out the
//! effects: so an answer is sent when requests already see what it says. The store is a [`Backend`]: one of this process alone
//! works on a thread of its own ([`StoreThread`]), one batch in flight while the next gathers. Probes, heartbeats and timers
//! never wait for it.
//!
//! `store` and `health` implement the core's `Store`, [`Backend`] and [`Probes`], `app` brings them together. Callers speak
//! through a [`Handle`].

mod backend;
mod grant_report;
mod handle;
mod key_report;
mod maintenance_report;
mod origin;
mod report;
mod split_report;
mod store_thread;
#[cfg(test)]
mod tests;

pub use backend::Backend;
#[cfg(test)]
pub(crate) use handle::Told;
pub use handle::{DriverGone, Handle, WeakHandle};

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use log::warn;
use tokio::sync::{mpsc, oneshot, watch};

use crate::clock;
use crate::published::{InForce, Published, Snapshots};
use crate::telemetry::{Events, RegistryMetrics};
use furt_core::model::Generation;
use furt_core::ports::Probes;
use furt_core::registry::{Answer, Configuration, Effect, Event, Now, Refusal, Registry, ReplyId};
use furt_core::routing::Snapshot;
pub use store_thread::StoreThread;

/// Events that may wait for a tick. Who sends more waits: a burst of 4,096 is a fleet's start, and 1 MiB.
const QUEUE: usize = 4096;
/// Events of one tick; bounds how long an answer waits for its publish.
const TICK: usize = 1024;
/// A turn comes at least this often, so that a longer gap shows that the process was held up.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Deadlines alone wake the driver no more often than this: ten thousand instances have one each, at ten thousand moments.
/// Who is silent has a second beyond its TTL, and each request looks at the end of its key itself.
const DEADLINES: Duration = Duration::from_millis(50);
/// A gap beyond this between two ticks is a clock gap: the process did not run, and nobody could be heard.
const CLOCK_GAP: Duration = Duration::from_secs(1);

enum Message {
    Happened(Event),
    Asked(Box<dyn FnOnce(ReplyId) -> Event + Send>, oneshot::Sender<Result<Answer, Refusal>>),
    Reconfigured(Box<Configuration>, InForce, oneshot::Sender<Result<Answer, Refusal>>),
    Replaced,
}

/// The writer; [`run`](Driver::run) it once.
pub struct Driver<B> {
    registry: Registry,
    /// What is published with each snapshot from the next one on.
    in_force: InForce,
    queue: mpsc::Receiver<Message>,
    snapshots: Snapshots,
    published: watch::Sender<Generation>,
    store: B,
    metrics: Arc<RegistryMetrics>,
    events: Arc<Events>,
    waiting: HashMap<ReplyId, oneshot::Sender<Result<Answer, Refusal>>>,
    next_reply: u64,
    first_effects: Vec<Effect>,
    /// Whether another process has taken over: instances are heard there, so nobody is silent here.
    is_replaced: bool,
}

/// The time, for the core.
pub fn now() -> Now {
    Now { at: clock::now(), unix_ms: clock::unix_ms() }
}

impl<B: Backend> Driver<B> {
    /// Brings the core together with a store; publishes its first snapshot with `in_force`, the configuration that it
    /// was made by. `first_effects` are those of its making.
    pub fn new(
        mut registry: Registry,
        first_effects: Vec<Effect>,
        in_force: InForce,
        store: B,
        metrics: Arc<RegistryMetrics>,
        events: Arc<Events>,
    ) -> (Self, Handle, Snapshots) {
        let (sender, queue) = mpsc::channel(QUEUE);
        let first =
            registry.take_snapshot().unwrap_or_else(|| Snapshot::new(furt_core::model::Epoch(uuid::Uuid::nil())));
        count_published(&metrics, &first);
        let (published, receiver) = watch::channel(first.generation);
        let snapshots = Arc::new(ArcSwap::from_pointee(Published::new(first, in_force.clone())));
        let driver = Self {
            registry,
            in_force,
            queue,
            snapshots: Arc::clone(&snapshots),
            published,
            store,
            metrics,
            events,
            waiting: HashMap::new(),
            next_reply: 0,
            first_effects,
            is_replaced: false,
        };
        (driver, Handle::new(sender, receiver), snapshots)
    }

    /// Takes turns until every [`Handle`] is gone.
    pub async fn run(mut self, mut probes: impl Probes) {
        let effects = std::mem::take(&mut self.first_effects);
        self.carry_out(effects, &mut probes);
        let mut inbox = Vec::with_capacity(TICK);
        let mut last_tick = clock::now();
        loop {
            let wake = self.next_wake(last_tick);
            tokio::select! {
                received = self.queue.recv_many(&mut inbox, TICK) => {
                    if received == 0 {
                        return;
                    }
                }
                events = self.store.events() => inbox.extend(events.into_iter().map(Message::Happened)),
                () = tokio::time::sleep_until(wake.into()) => {}
            }
            let now = now();
            let gap = now.at.saturating_duration_since(last_tick);
            last_tick = now.at;
            let effects = self.tick(&mut inbox, gap, now);
            self.carry_out(effects, &mut probes);
        }
    }

    fn next_wake(&self, last_tick: Instant) -> Instant {
        let heartbeat = last_tick + HEARTBEAT;
        let earliest = last_tick + DEADLINES;
        self.next_deadline().map_or(heartbeat, |deadline| deadline.max(earliest).min(heartbeat))
    }

    fn next_deadline(&self) -> Option<Instant> {
        self.registry.next_deadline().filter(|_| !self.is_replaced)
    }

    fn tick(&mut self, inbox: &mut Vec<Message>, gap: Duration, now: Now) -> Vec<Effect> {
        let mut effects = Vec::new();
        if gap > CLOCK_GAP {
            warn!("furt was held up for {:.1} s: who was to be heard meanwhile has so much longer", gap.as_secs_f64());
            effects.extend(self.registry.handle(Event::ClockGap(gap), now));
        }
        for message in inbox.drain(..) {
            let event = match message {
                Message::Happened(event) => event,
                Message::Asked(event, answer) => event(self.next_reply(answer)),
                Message::Reconfigured(configuration, in_force, answer) => {
                    self.in_force = in_force;
                    Event::ConfigurationChanged(configuration, self.next_reply(answer))
                }
                Message::Replaced => {
                    self.is_replaced = true;
                    continue;
                }
            };
            effects.extend(self.registry.handle(event, now));
        }
        if self.next_deadline().is_some_and(|deadline| deadline <= now.at) {
            effects.extend(self.registry.handle(Event::DeadlineReached, now));
        }
        if let Some(snapshot) = self.registry.take_snapshot() {
            count_published(&self.metrics, &snapshot);
            let generation = snapshot.generation;
            self.snapshots.store(Arc::new(Published::new(snapshot, self.in_force.clone())));
            self.published.send_replace(generation);
        }
        effects
    }

    fn next_reply(&mut self, answer: oneshot::Sender<Result<Answer, Refusal>>) -> ReplyId {
        let reply = ReplyId(self.next_reply);
        self.next_reply += 1;
        self.waiting.insert(reply, answer);
        reply
    }

    fn carry_out(&mut self, effects: Vec<Effect>, probes: &mut impl Probes) {
        // Before the answers: who is told that the store failed finds furt degraded.
        if let Some(condition) = self.store.take_condition() {
            self.metrics.store_answered(condition);
        }
        for effect in effects {
            match effect {
                Effect::Write(id, write) => self.store.write(id, write),
                Effect::Renew(instance) => self.store.renew(instance),
                Effect::Departs(instance, live) => self.store.departs(instance, live),
                Effect::Keep(change) => self.store.keep(change),
                Effect::Answer(reply, answer) => {
                    if let Some(waiting) = self.waiting.remove(&reply) {
                        // Who asked may have hung up; what was asked is done all the same.
                        drop(waiting.send(answer));
                    }
                }
                Effect::Probe(instance, plan) => probes.probe(instance, plan),
                Effect::StopProbing(instance) => probes.stop(&instance),
                Effect::WatchName(subject, order) => probes.watch_name(subject, order),
                Effect::UnwatchName(subject) => probes.unwatch_name(&subject),
                Effect::Report(event, by) => {
                    self.events.push(report::report(&event, by.as_ref(), &self.metrics));
                }
            }
        }
        self.store.submit(clock::now());
    }
}

fn count_published(metrics: &RegistryMetrics, snapshot: &Snapshot) {
    let maintenances = snapshot.maintenance.as_ref().map_or(0, |table| table.len());
    metrics.snapshot_published(snapshot.generation, snapshot.names.len(), snapshot.table.len(), maintenances);
}
