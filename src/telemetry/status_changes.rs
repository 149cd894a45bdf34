//! When the status of each service changed, within a day, for the dashboard: since furt started, and a bounded number of changes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use furt_core::model::{ServiceName, Status};

/// How far back changes are kept, in ms.
pub const KEPT_MS: i64 = 24 * 3600 * 1000;
/// Changes of one service: one that changes for ever is seen by the last of them.
const MAX_CHANGES: usize = 100;
/// Services with changes, at some 2.5 KB each at most.
const MAX_SERVICES: usize = 10_000;

/// A change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusChange {
    /// When, in Unix ms.
    pub at_ms: i64,
    /// What it was before.
    pub from: Status,
    /// What it is since.
    pub to: Status,
}

/// The changes of all services.
#[derive(Default)]
pub struct StatusChanges(Mutex<HashMap<ServiceName, VecDeque<StatusChange>>>);

impl StatusChanges {
    /// Notes a change. Where too many services have some, those without one for a day are forgotten, and if none is, the new
    /// one is not kept.
    pub fn note(&self, service: &ServiceName, change: StatusChange) {
        let mut services = self.lock();
        let oldest_ms = change.at_ms - KEPT_MS;
        if services.len() >= MAX_SERVICES && !services.contains_key(service) {
            services.retain(|_, changes| changes.back().is_some_and(|last| last.at_ms > oldest_ms));
            if services.len() >= MAX_SERVICES {
                return;
            }
        }
        let changes = services.entry(service.clone()).or_default();
        while changes.len() >= MAX_CHANGES || changes.front().is_some_and(|first| first.at_ms <= oldest_ms) {
            changes.pop_front();
        }
        changes.push_back(change);
    }

    /// The changes of a service since a day before `now_ms`, the oldest first.
    pub fn of(&self, service: &ServiceName, now_ms: i64) -> Vec<StatusChange> {
        let services = self.lock();
        let changes = services.get(service).into_iter().flatten();
        changes.filter(|change| change.at_ms > now_ms - KEPT_MS).copied().collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<ServiceName, VecDeque<StatusChange>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(at_ms: i64) -> StatusChange {
        StatusChange { at_ms, from: Status::Up, to: Status::Down }
    }

    fn name(text: &str) -> ServiceName {
        ServiceName::try_new(text).unwrap()
    }

    #[test]
    fn changes_are_kept_for_a_day() {
        let (changes, shop) = (StatusChanges::default(), name("shop"));
        changes.note(&shop, change(1));
        changes.note(&shop, change(2));
        assert_eq!(changes.of(&shop, 3), [change(1), change(2)]);
        assert_eq!(changes.of(&shop, KEPT_MS + 1), [change(2)]);
        assert_eq!(changes.of(&name("other"), 3), []);
        changes.note(&shop, change(KEPT_MS + 2));
        assert_eq!(changes.lock()[&shop], [change(KEPT_MS + 2)]);
    }

    #[test]
    fn they_are_bounded() {
        let (changes, shop) = (StatusChanges::default(), name("shop"));
        (0..MAX_CHANGES as i64 + 5).for_each(|at| changes.note(&shop, change(at)));
        assert_eq!(changes.of(&shop, 200).len(), MAX_CHANGES);
        assert_eq!(changes.of(&shop, 200)[0], change(5));
        (0..MAX_SERVICES).for_each(|number| changes.note(&name(&format!("s{number}")), change(1_000)));
        assert_eq!(changes.lock().len(), MAX_SERVICES);
        assert_eq!(changes.of(&name("s9999"), 1_001), [], "there was no room");
        changes.note(&name("late"), change(1_000 + KEPT_MS));
        assert_eq!(changes.lock().len(), 1, "those without a change for a day are forgotten");
    }
}
