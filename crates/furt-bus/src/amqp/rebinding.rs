//! Changes of the bindings of the node's own queue, one at a time: where one is not allowed, the broker closes the channel.

use std::collections::VecDeque;

use super::method;
use crate::topology::Topology;

/// A change that is asked for, with its key.
pub(super) enum Rebind {
    Bind(String),
    Unbind(String),
}

#[derive(Default)]
pub(super) struct Rebinds {
    waiting: VecDeque<Rebind>,
    /// Whether the channel waits for the broker.
    is_busy: bool,
}

impl Rebinds {
    pub(super) fn push(&mut self, rebind: Rebind) {
        self.waiting.push_back(rebind);
    }

    /// What to ask for now.
    pub(super) fn next_payload(&mut self, topology: &Topology) -> Option<Vec<u8>> {
        if self.is_busy {
            return None;
        }
        let Topology { exchange, queue, .. } = topology;
        let payload = match self.waiting.front()? {
            Rebind::Bind(key) => method::queue_bind(queue, exchange, key),
            Rebind::Unbind(key) => method::queue_unbind(queue, exchange, key),
        };
        self.is_busy = true;
        Some(payload)
    }

    /// The broker did it.
    pub(super) fn done(&mut self) -> Option<Rebind> {
        self.is_busy = false;
        self.waiting.pop_front()
    }

    /// The broker closed the channel for it; nothing is asked for until [`Self::reopened`].
    pub(super) fn refused(&mut self) -> Option<Rebind> {
        self.waiting.pop_front()
    }

    pub(super) fn reopened(&mut self) {
        self.is_busy = false;
    }
}

impl FromIterator<Rebind> for Rebinds {
    fn from_iter<I: IntoIterator<Item = Rebind>>(rebinds: I) -> Self {
        Self { waiting: rebinds.into_iter().collect(), is_busy: false }
    }
}
