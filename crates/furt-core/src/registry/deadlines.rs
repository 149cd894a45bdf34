//! When something is due. One entry an instance or service; a heartbeat does not move it, it is looked at when it comes.

use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

use super::InstanceRef;
use crate::model::ServiceName;

/// What a deadline is about.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum Due {
    /// An instance's TTL may be over.
    Instance(InstanceRef),
    /// The routes of a service without instances are to be freed.
    Held(ServiceName),
    /// Keys are over, or the store is to be told again of some that are.
    Keys,
}

/// Deadlines, each subject at most once.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    order: BTreeSet<(Instant, Due)>,
    when: HashMap<Due, Instant>,
}

impl Deadlines {
    /// Sets or moves a deadline.
    pub(super) fn set(&mut self, due: Due, at: Instant) {
        if let Some(before) = self.when.insert(due.clone(), at) {
            self.order.remove(&(before, due.clone()));
        }
        self.order.insert((at, due));
    }

    pub(super) fn clear(&mut self, due: &Due) {
        if let Some((due, at)) = self.when.remove_entry(due) {
            self.order.remove(&(at, due));
        }
    }

    pub(super) fn is_set(&self, due: &Due) -> bool {
        self.when.contains_key(due)
    }

    pub(super) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes the first one that has come by `now`.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Due> {
        let due = self.order.first().filter(|(at, _)| *at <= now).map(|(_, due)| due.clone())?;
        self.clear(&due);
        Some(due)
    }
}
