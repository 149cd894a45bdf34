//! The store's own thread: one batch in flight while the next one gathers, so that a thousand writes share one sync.
//!
//! Every write that is gathered gets its outcome: also what is beyond the bound, and all of it once the thread is gone
//! (a store that panics may be half-way through a batch, so it is not called again). Notes that nobody waits for go along
//! with the next batch, and again with one after it where that failed. After a failure the store is tried again each
//! second, with nothing if need be, so that furt stops calling itself degraded when the store is well.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

use super::backend::Backend;
use crate::clock;
use furt_core::model::InstanceId;
use furt_core::ports::{Store, StoreError};
use furt_core::registry::{Change, Event, InstanceRecord, InstanceRef, Observation, Revision, Write, WriteId};
use furt_core::routing::InstanceLive;

/// The most writes that gather behind a batch: a fleet's start, and all that a stuck store may hold in memory.
pub(super) const MAX_GATHERED: usize = 10_000;

/// When a store that failed is tried again without another change.
const RETRY: Duration = Duration::from_secs(1);

/// Writes that wait, and the thread that the store works on.
pub struct StoreThread {
    gathering: Vec<(WriteId, Vec<Change>)>,
    in_flight: Vec<WriteId>,
    is_busy: bool,
    /// What nobody waits for: the newest of each instance and kind.
    notes: BTreeMap<(InstanceId, Kind), Change>,
    notes_in_flight: BTreeMap<(InstanceId, Kind), Change>,
    /// The instances that the batch in flight puts anew or removes: notes of what they were end with it.
    replaced_in_flight: Vec<InstanceId>,
    /// After a failure: when the store is tried again. Notes alone do not press it before.
    retry_at: Option<Instant>,
    /// Writes that were never handed over, and why.
    refused: Vec<(WriteId, &'static str)>,
    batches: std::sync::mpsc::SyncSender<Vec<Change>>,
    outcomes: mpsc::Receiver<Result<(), StoreError>>,
    condition: Option<Result<(), StoreError>>,
    is_gone: bool,
    /// Of what was stored last.
    revision: Revision,
}

/// What a note is about: notes of several kinds stand side by side.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Status,
    Ttl,
    Addresses,
}

impl Kind {
    const ALL: [Self; 3] = [Self::Status, Self::Ttl, Self::Addresses];
}

/// Why writes fail once the thread is gone.
const GONE: &str = "the store broke down; furt must be restarted";
/// Why writes beyond the bound fail.
const BEHIND: &str = "too many changes wait for it";

impl StoreThread {
    /// Starts the thread that the store works on from now on.
    pub fn start(mut store: Box<dyn Store>) -> Self {
        // One place each: a batch is handed over only when the one before is done.
        let (batches, work) = std::sync::mpsc::sync_channel::<Vec<Change>>(1);
        let (done, outcomes) = mpsc::channel(1);
        thread::spawn(move || {
            for changes in work {
                if done.blocking_send(store.apply(&changes)).is_err() {
                    return;
                }
            }
        });
        Self {
            gathering: Vec::new(),
            in_flight: Vec::new(),
            is_busy: false,
            notes: BTreeMap::new(),
            notes_in_flight: BTreeMap::new(),
            replaced_in_flight: Vec::new(),
            retry_at: None,
            refused: Vec::new(),
            batches,
            outcomes,
            condition: None,
            is_gone: false,
            revision: Revision::default(),
        }
    }

    pub(super) fn gather(&mut self, write: WriteId, changes: Vec<Change>) {
        if self.is_gone {
            self.refused.push((write, GONE));
        } else if self.gathering.len() >= MAX_GATHERED {
            self.refused.push((write, BEHIND));
        } else {
            self.gathering.push((write, changes));
        }
    }

    /// Takes a note that nobody waits for.
    fn note(&mut self, change: Change) {
        let (instance, kind) = match &change {
            Change::Observe(instance, Observation::Status(_)) => (&instance.id, Kind::Status),
            Change::NoteTtl { instance, .. } => (&instance.id, Kind::Ttl),
            Change::Observe(instance, Observation::Addresses(_)) => (&instance.id, Kind::Addresses),
            // No notes: they go by `gather`.
            Change::PutDefinition(_)
            | Change::PutInstance(_)
            | Change::RemoveInstance(_)
            | Change::RemoveService { .. }
            | Change::PutDraining(..)
            | Change::RemoveDraining(_)
            | Change::PutHold(..)
            | Change::RemoveHold(_)
            | Change::PutKey(_)
            | Change::RemoveKey(_)
            | Change::PutMaintenance(..)
            | Change::RemoveMaintenance(_)
            | Change::PutSplit(..)
            | Change::RemoveSplit(_)
            | Change::PutGrant(..)
            | Change::RemoveGrant(_)
            | Change::Audit(_) => return,
        };
        self.notes.insert((instance.clone(), kind), change);
    }

    /// Hands over what has gathered, if the thread is free.
    fn hand_over(&mut self, now: Instant) {
        let is_due = match self.retry_at {
            Some(at) => at <= now,
            None => !self.notes.is_empty(),
        };
        if self.is_busy || self.is_gone || (self.gathering.is_empty() && !is_due) {
            return;
        }
        let (writes, changes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.gathering).into_iter().unzip();
        self.notes_in_flight = std::mem::take(&mut self.notes);
        // Notes first: they are of instances as they were before these changes.
        let notes = self.notes_in_flight.values().cloned();
        self.replaced_in_flight = changes.iter().flatten().flat_map(replaced).cloned().collect();
        let batch = notes.chain(changes.into_iter().flatten()).collect();
        // If the thread is gone, that shows as its outcome.
        drop(self.batches.send(batch));
        self.in_flight = writes;
        self.is_busy = true;
    }

    /// Waits for the outcome of any write; without one on its way, for ever. Dropping the wait loses nothing.
    async fn outcomes(&mut self) -> Vec<Event> {
        if !self.refused.is_empty() {
            let refused = std::mem::take(&mut self.refused).into_iter();
            return refused.map(|(write, why)| Event::WriteFailed(write, why.to_owned())).collect();
        }
        if !self.is_busy {
            return std::future::pending().await;
        }
        let result = self.outcomes.recv().await.unwrap_or_else(|| {
            self.is_gone = true;
            self.refused.extend(std::mem::take(&mut self.gathering).into_iter().map(|(write, _)| (write, GONE)));
            Err(StoreError::Unavailable(GONE.to_owned()))
        });
        self.is_busy = false;
        self.finish_notes(result.is_ok());
        self.retry_at = result.is_err().then(|| clock::now() + RETRY);
        if result.is_ok() {
            self.revision = Revision(self.revision.0 + 1);
        }
        let revision = self.revision;
        let event = |write| match &result {
            Ok(()) => Event::WriteDone(write, revision),
            Err(error) => Event::WriteFailed(write, error.to_string()),
        };
        let events = std::mem::take(&mut self.in_flight).into_iter().map(event).collect();
        self.condition = Some(result);
        events
    }

    /// Notes that were not stored wait for the next batch, unless there are newer ones. With a batch that was stored
    /// the core installs what it put only now: what was noted meanwhile was of the instances before.
    fn finish_notes(&mut self, is_stored: bool) {
        let notes = std::mem::take(&mut self.notes_in_flight);
        let replaced = std::mem::take(&mut self.replaced_in_flight);
        if is_stored {
            for id in replaced {
                let mut key = (id, Kind::Status);
                for kind in Kind::ALL {
                    key.1 = kind;
                    self.notes.remove(&key);
                }
            }
        } else {
            for (key, note) in notes {
                self.notes.entry(key).or_insert(note);
            }
        }
    }
}

impl Backend for StoreThread {
    // This store is one process's: what its writes rely on holds.
    fn write(&mut self, id: WriteId, write: Write) {
        self.gather(id, write.changes);
    }

    fn keep(&mut self, change: Change) {
        self.note(change);
    }

    // Nobody's TTL is this store's.
    fn renew(&mut self, _instance: InstanceRef) {}

    // No other gateway has anything in flight.
    fn departs(&mut self, _instance: InstanceRef, _live: Arc<InstanceLive>) {}

    fn submit(&mut self, now: Instant) {
        self.hand_over(now);
    }

    fn take_condition(&mut self) -> Option<Result<(), StoreError>> {
        self.condition.take()
    }

    async fn events(&mut self) -> Vec<Event> {
        self.outcomes().await
    }
}

/// The instances whose notes a change makes meaningless.
fn replaced(change: &Change) -> &[InstanceId] {
    match change {
        Change::PutInstance(InstanceRecord { spec, .. }) => std::slice::from_ref(&spec.id),
        Change::RemoveInstance(instance) => std::slice::from_ref(&instance.id),
        Change::RemoveService { instances, .. } => instances,
        Change::PutDefinition(_)
        | Change::Observe(..)
        | Change::NoteTtl { .. }
        | Change::PutDraining(..)
        | Change::RemoveDraining(_)
        | Change::PutHold(..)
        | Change::RemoveHold(_)
        | Change::PutKey(_)
        | Change::RemoveKey(_)
        | Change::PutMaintenance(..)
        | Change::RemoveMaintenance(_)
        | Change::PutSplit(..)
        | Change::RemoveSplit(_)
        | Change::PutGrant(..)
        | Change::RemoveGrant(_)
        | Change::Audit(_) => &[],
    }
}
