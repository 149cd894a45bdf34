//! What a client's connection has not sent yet, shared by its stream and its task: the task sends what waits whenever it waits
//! for something else.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Context;

use super::outgoing::{Outgoing, Sent};
use super::sides::Writer;

/// What a stream has not sent yet.
#[derive(Debug)]
pub(super) struct Unsent<W>(Arc<Mutex<Outgoing<W>>>);

impl<W> Clone for Unsent<W> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<W: Writer> Unsent<W> {
    pub(super) fn new(writer: W) -> Self {
        Self(Arc::new(Mutex::new(Outgoing::new(writer))))
    }

    /// Sends what it can; wakes the task where it can send more.
    pub(super) fn poll_send(&self, context: &mut Context<'_>) {
        // Whoever writes next is told of a failure.
        _ = self.lock().poll_flush(context);
    }

    /// What was sent of the answer; where it has not begun and `may_probe`, its next byte is sent ahead.
    pub(super) fn look(&self, may_probe: bool, context: &mut Context<'_>) -> Sent {
        self.lock().look(may_probe, context)
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Outgoing<W>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
