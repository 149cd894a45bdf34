//! The keys of an issuer that are in force, whom they are fetched for, and how that goes. Requests read them without a lock.
//!
//! The keeper writes what came; a request that finds no key waits here for the next document, for a second at most.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use arc_swap::ArcSwapOption;
use serde_json::Value;
use tokio::sync::watch;

use super::key_set::KeySet;
use super::schedule::{Schedule, WAIT};
use super::source::FetchError;
use crate::clock;
use crate::telemetry::IssuerMetrics;
use furt_core::model::ProviderName;

/// The most requests that wait at once.
const MAX_WAITING: usize = 256;

/// The time of day in ms since the Unix epoch; tests have their own.
pub(super) type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The keys in force.
#[derive(Debug)]
pub(super) struct Held {
    /// Another one for each set that differs from the one before.
    pub(super) generation: u64,
    pub(super) keys: KeySet,
    document: Value,
}

/// The keys of an issuer.
pub(super) struct Keyring {
    name: ProviderName,
    held: ArcSwapOption<Held>,
    state: Mutex<State>,
    /// Fetches that have ended.
    ended: AtomicU64,
    ended_sender: watch::Sender<u64>,
    /// Wakes the keeper; it ends when this is dropped.
    wake: watch::Sender<()>,
    metrics: IssuerMetrics,
    clock: Clock,
}

struct State {
    schedule: Schedule,
    waiting: usize,
    /// Why the last fetch failed.
    fault: Option<String>,
}

/// What a good document is to whoever keeps it.
pub(super) struct Taken {
    /// The document.
    pub(super) document: Value,
    /// Whether its keys were not in force before.
    pub(super) is_new: bool,
    /// When it came, in seconds since the Unix epoch.
    pub(super) at: i64,
}

impl Keyring {
    /// An empty one.
    pub(super) fn new(name: ProviderName, schedule: Schedule, metrics: IssuerMetrics, clock: Clock) -> Self {
        Self {
            name,
            held: ArcSwapOption::empty(),
            state: Mutex::new(State { schedule, waiting: 0, fault: None }),
            ended: AtomicU64::new(0),
            ended_sender: watch::Sender::new(0),
            wake: watch::Sender::new(()),
            metrics,
            clock,
        }
    }

    /// Whose keys they are.
    pub(super) fn name(&self) -> &ProviderName {
        &self.name
    }

    /// What is counted of them.
    pub(super) fn metrics(&self) -> &IssuerMetrics {
        &self.metrics
    }

    /// The time of day in ms since the Unix epoch.
    pub(super) fn unix_ms(&self) -> i64 {
        (self.clock)()
    }

    /// The keys in force; `None`: there were never any.
    pub(super) fn held(&self) -> Option<Arc<Held>> {
        self.held.load_full()
    }

    /// How many fetches have ended.
    pub(super) fn ended(&self) -> u64 {
        self.ended.load(Ordering::Acquire)
    }

    /// Why the last fetch failed; `None`: it did not.
    pub(super) fn fault(&self) -> Option<String> {
        self.state().fault.clone()
    }

    /// Wakes the keeper when a fetch is wanted, and when the keyring is gone.
    pub(super) fn waker(&self) -> watch::Receiver<()> {
        self.wake.subscribe()
    }

    /// Waits until another fetch has ended than the first `seen`; `false`: there is none to wait for, or it takes too long.
    pub(super) async fn next_fetch(&self, seen: u64) -> bool {
        let Some((_waiting, mut ended)) = self.start_waiting(seen) else { return self.ended() != seen };
        let waited = tokio::time::timeout(WAIT, ended.wait_for(|count| *count != seen)).await;
        matches!(waited, Ok(Ok(_)))
    }

    fn start_waiting(&self, seen: u64) -> Option<(Waiting<'_>, watch::Receiver<u64>)> {
        let mut state = self.state();
        if self.ended() != seen || state.waiting >= MAX_WAITING || !state.schedule.want(clock::now()) {
            return None;
        }
        state.waiting += 1;
        drop(state);
        // Without a keeper nothing is fetched, and the wait has its end.
        _ = self.wake.send(());
        Some((Waiting(self), self.ended_sender.subscribe()))
    }

    /// When the next fetch begins; `None`: one is running.
    pub(super) fn due(&self) -> Option<Instant> {
        self.state().schedule.due(clock::now())
    }

    /// A fetch begins, where one is due.
    pub(super) fn begin(&self) -> bool {
        let (mut state, now) = (self.state(), clock::now());
        let is_due = state.schedule.due(now).is_some_and(|due| due <= now);
        if is_due {
            state.schedule.begin(now);
        }
        is_due
    }

    /// A fetch has ended: its keys are in force from now on, or those before stay. `jitter` is from 0 to 1.
    pub(super) fn end(&self, fetched: Result<Vec<u8>, FetchError>, jitter: f64) -> Option<Taken> {
        let read = fetched.map_err(|why| why.to_string());
        let read = read.and_then(|bytes| KeySet::read(&bytes).map_err(|why| format!("what comes {why}")));
        let taken = match read {
            Ok((keys, document)) => {
                let now = self.unix_ms();
                let is_new = self.put(keys, document.clone(), now);
                Ok(Taken { document, is_new, at: now.div_euclid(1000) })
            }
            Err(why) => Err(why),
        };
        self.metrics.fetched(taken.is_ok());
        let mut state = self.state();
        state.schedule.end(clock::now(), taken.is_ok(), jitter);
        self.tell(state.fault.as_deref(), taken.as_ref().err().map(String::as_str));
        state.fault = taken.as_ref().err().cloned();
        // With the lock: a request looks at this number and at the schedule together.
        let ended = self.ended.fetch_add(1, Ordering::AcqRel) + 1;
        self.ended_sender.send_replace(ended);
        taken.ok()
    }

    /// Puts keys in force that came at `at_ms`: whether they differ from those before.
    pub(super) fn put(&self, keys: KeySet, document: Value, at_ms: i64) -> bool {
        self.metrics.set_fetched_at(at_ms);
        let before = self.held();
        if before.as_ref().is_some_and(|held| held.document == document) {
            return false;
        }
        log::info!(
            "issuers: {} has {} keys that can check tokens, and {} that cannot",
            self.name,
            keys.usable(),
            keys.skipped()
        );
        let generation = before.map_or(0, |held| held.generation + 1);
        self.held.store(Some(Arc::new(Held { generation, keys, document })));
        true
    }

    /// The first failure and the recovery, not each repetition.
    fn tell(&self, before: Option<&str>, now: Option<&str>) {
        match (before, now) {
            (None, Some(why)) if self.held().is_some() => {
                log::warn!("issuers: the keys of {} cannot be fetched, those before stay: {why}", self.name);
            }
            (None, Some(why)) => log::warn!("issuers: the keys of {} cannot be fetched: {why}", self.name),
            (Some(_), None) => log::info!("issuers: the keys of {} are fetched again", self.name),
            _ => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request that waits.
struct Waiting<'k>(&'k Keyring);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.state().waiting -= 1;
    }
}
