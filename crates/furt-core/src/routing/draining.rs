//! Draining: an instance that keeps what it has in flight and takes nothing new.
//!
//! The mark is with the counters that outlive a snapshot, so that it holds for requests that read an older one, too. The
//! registry sets it; [`pick`](super::Service::pick) leaves such instances out; `api` waits until nothing is in flight. Never
//! waits itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::InstanceLive;
use crate::model::DrainMark;

impl InstanceLive {
    /// From now on it takes new requests, or takes none.
    pub fn set_draining(&self, is_draining: bool) {
        self.is_draining.store(is_draining, Ordering::SeqCst);
    }

    /// What drains it by a command, for operators; `None`: nothing does, though it may be on its way out.
    pub fn note_drain(&self, mark: Option<Arc<DrainMark>>) {
        self.drain.store(mark);
    }

    /// What drains it by a command.
    pub fn drain(&self) -> Option<Arc<DrainMark>> {
        self.drain.load_full()
    }

    /// Whether it takes no new requests.
    pub fn is_draining(&self) -> bool {
        self.is_draining.load(Ordering::SeqCst)
    }
}

/// Instances that take no new requests, for as long as someone wants to know what they have in flight.
#[derive(Debug, Clone, Default)]
pub struct Drained(Vec<Arc<InstanceLive>>);

impl Drained {
    /// How many instances they are.
    pub fn instances(&self) -> usize {
        self.0.len()
    }

    /// How many of them take new requests again: their drain ended.
    pub fn ended(&self) -> usize {
        self.0.iter().filter(|live| !live.is_draining()).count()
    }

    /// What drains each of them, where a command does.
    pub fn marks(&self) -> impl Iterator<Item = Arc<DrainMark>> {
        self.0.iter().filter_map(|live| live.drain())
    }

    /// Requests that hold a slot at any of them, here and at gateways that share the store; once it is 0 here it stays so while
    /// they are draining.
    pub fn in_flight(&self) -> u64 {
        let of = |live: &InstanceLive| {
            u64::from(live.in_flight()) + u64::from(live.in_flight_elsewhere.load(Ordering::Relaxed))
        };
        self.0.iter().map(|live| of(live)).sum()
    }
}

impl FromIterator<Arc<InstanceLive>> for Drained {
    fn from_iter<I: IntoIterator<Item = Arc<InstanceLive>>>(lives: I) -> Self {
        Self(lives.into_iter().collect())
    }
}

/// The same instances in the same order.
impl PartialEq for Drained {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.iter().zip(&other.0).all(|(one, other)| Arc::ptr_eq(one, other))
    }
}
