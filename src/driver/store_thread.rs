//! The store's own thread: one batch in flight while the next one gathers, so that a thousand writes share one sync.
//!
//! Every write that is gathered gets its outcome: also what is beyond the bound, and all of it once the thread is gone
//! (a store that panics may be half-way through a batch, so it is not called again).

use std::thread;

use tokio::sync::mpsc;

use super::{Change, Event, Store, StoreError};
use crate::registry::WriteId;

/// The most writes that gather behind a batch: a fleet's start, and all that a stuck store may hold in memory.
pub(super) const MAX_GATHERED: usize = 10_000;

/// Writes that wait, and the thread that the store works on.
pub(super) struct StoreThread {
    gathering: Vec<(WriteId, Vec<Change>)>,
    in_flight: Vec<WriteId>,
    /// Writes that were never handed over, and why.
    refused: Vec<(WriteId, &'static str)>,
    batches: std::sync::mpsc::SyncSender<Vec<Change>>,
    outcomes: mpsc::Receiver<Result<(), StoreError>>,
    condition: Option<Result<(), StoreError>>,
    is_gone: bool,
}

/// Why writes fail once the thread is gone.
const GONE: &str = "the store broke down; furt must be restarted";
/// Why writes beyond the bound fail.
const BEHIND: &str = "too many changes wait for it";

impl StoreThread {
    pub(super) fn start(mut store: Box<dyn Store>) -> Self {
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
            refused: Vec::new(),
            batches,
            outcomes,
            condition: None,
            is_gone: false,
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

    /// Hands over what has gathered, if the thread is free.
    pub(super) fn submit(&mut self) {
        if !self.in_flight.is_empty() || self.gathering.is_empty() {
            return;
        }
        let (writes, changes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.gathering).into_iter().unzip();
        // If the thread is gone, that shows as its outcome.
        drop(self.batches.send(changes.into_iter().flatten().collect()));
        self.in_flight = writes;
    }

    /// How the last batch went; once after each.
    pub(super) fn take_condition(&mut self) -> Option<Result<(), StoreError>> {
        self.condition.take()
    }

    /// Waits for the outcome of any write; without one on its way, for ever. Dropping the wait loses nothing.
    pub(super) async fn outcomes(&mut self) -> Vec<Event> {
        if !self.refused.is_empty() {
            let refused = std::mem::take(&mut self.refused).into_iter();
            return refused.map(|(write, why)| Event::WriteFailed(write, why.to_owned())).collect();
        }
        if self.in_flight.is_empty() {
            return std::future::pending().await;
        }
        let result = self.outcomes.recv().await.unwrap_or_else(|| {
            self.is_gone = true;
            self.refused.extend(std::mem::take(&mut self.gathering).into_iter().map(|(write, _)| (write, GONE)));
            Err(StoreError(GONE.to_owned()))
        });
        let event = |write| match &result {
            Ok(()) => Event::WriteDone(write),
            Err(error) => Event::WriteFailed(write, error.to_string()),
        };
        let events = std::mem::take(&mut self.in_flight).into_iter().map(event).collect();
        self.condition = Some(result);
        events
    }
}
