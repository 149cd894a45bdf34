//! A log in memory: what was appended, of which the oldest goes when there is too much.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::message::Outgoing;
use crate::topology::{LOG_BYTES, LOG_SEGMENT_BYTES};

#[derive(Debug, Default)]
pub(crate) struct KeptLog {
    /// The offset of the first that is left.
    first: u64,
    entries: VecDeque<Arc<Outgoing>>,
    bytes: u64,
}

impl KeptLog {
    pub(crate) fn append(&mut self, message: Arc<Outgoing>) {
        self.bytes += size(&message);
        self.entries.push_back(message);
        while self.bytes > LOG_BYTES + LOG_SEGMENT_BYTES
            && let Some(oldest) = self.entries.pop_front()
        {
            self.first += 1;
            self.bytes -= size(&oldest);
        }
    }

    /// The offset of the first that is left.
    pub(crate) fn first(&self) -> u64 {
        self.first
    }

    pub(crate) fn get(&self, offset: u64) -> Option<&Arc<Outgoing>> {
        self.entries.get(usize::try_from(offset.checked_sub(self.first)?).ok()?)
    }
}

/// With a share of what a broker keeps beside a body.
fn size(message: &Outgoing) -> u64 {
    message.body.len() as u64 + 200
}
