//! The store's own thread: one batch in flight while the next one gathers, so that a thousand writes share one sync.

use std::thread;

use tokio::sync::mpsc;

use super::{Change, Event, Store, StoreError};
use crate::registry::WriteId;

/// Writes that wait, and the thread that the store works on.
pub(super) struct StoreThread {
    gathering: Vec<(WriteId, Vec<Change>)>,
    batches: std::sync::mpsc::SyncSender<Batch>,
    outcomes: mpsc::Receiver<Outcome>,
    is_busy: bool,
    condition: Option<Result<(), StoreError>>,
}

struct Batch {
    writes: Vec<WriteId>,
    changes: Vec<Change>,
}

struct Outcome {
    writes: Vec<WriteId>,
    result: Result<(), StoreError>,
}

impl StoreThread {
    pub(super) fn start(mut store: Box<dyn Store>) -> Self {
        // One place each: a batch is handed over only when the one before is done.
        let (batches, work) = std::sync::mpsc::sync_channel::<Batch>(1);
        let (done, outcomes) = mpsc::channel(1);
        thread::spawn(move || {
            for Batch { writes, changes } in work {
                let result = store.apply(&changes);
                if done.blocking_send(Outcome { writes, result }).is_err() {
                    return;
                }
            }
        });
        Self { gathering: Vec::new(), batches, outcomes, is_busy: false, condition: None }
    }

    pub(super) fn gather(&mut self, write: WriteId, changes: Vec<Change>) {
        self.gathering.push((write, changes));
    }

    /// Hands over what has gathered, if the thread is free. Says how the last batch went, once after each.
    pub(super) fn submit(&mut self) -> Option<Result<(), StoreError>> {
        if !self.is_busy && !self.gathering.is_empty() {
            let (writes, changes): (Vec<_>, Vec<_>) = std::mem::take(&mut self.gathering).into_iter().unzip();
            let changes = changes.into_iter().flatten().collect();
            self.is_busy = self.batches.send(Batch { writes, changes }).is_ok();
        }
        self.condition.take()
    }

    /// Waits for the batch in flight; without one, for ever. Dropping the wait loses nothing.
    pub(super) async fn outcomes(&mut self) -> Vec<Event> {
        if !self.is_busy {
            std::future::pending::<()>().await;
        }
        let Some(Outcome { writes, result }) = self.outcomes.recv().await else { return Vec::new() };
        self.is_busy = false;
        let event = |write| match &result {
            Ok(()) => Event::WriteDone(write),
            Err(error) => Event::WriteFailed(write, error.to_string()),
        };
        let events = writes.into_iter().map(event).collect();
        self.condition = Some(result);
        events
    }
}
