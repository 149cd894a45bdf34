//! What is in maintenance, and what of it waits for the store; the commands, answers and reports about it.
//!
//! It belongs to a name and not to what is registered under it. What is over is out of the snapshot at once, and stays here
//! until the store has forgotten it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::caller::Asker;
use super::ids::WriteId;
use super::now::Now;
use super::outbox::Outbox;
use super::refusal::Refusal;
use crate::model::{Actor, CidrSet, Generation, Maintenance, MaintenanceMessage, MaintenanceScope};

/// Names in maintenance: each change is published with all of them.
pub(super) const MAX_MAINTENANCES: usize = 1_000;
/// Commands about one name that wait for its write: more than operators have terminals.
pub(super) const MAX_PARKED: usize = 64;
/// How long at most until the time of day is looked at again, which may jump.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What an operator asks for.
#[derive(Debug, Clone)]
pub enum MaintenanceCommand {
    /// It begins, in the place of one that is on.
    Begin {
        /// What it is of.
        scope: MaintenanceScope,
        /// After which time it ends by itself; `None`: it does not.
        lasts: Option<Duration>,
        /// Clients that are let in all the same.
        allow_from: CidrSet,
        /// What the others are told.
        message: Option<MaintenanceMessage>,
    },
    /// It ends.
    End(MaintenanceScope),
}

impl MaintenanceCommand {
    pub(super) fn scope(&self) -> &MaintenanceScope {
        match self {
            Self::Begin { scope, .. } | Self::End(scope) => scope,
        }
    }
}

/// The good answer to a [`MaintenanceCommand`].
#[derive(Debug, Clone, PartialEq)]
pub struct MaintenanceAnswer {
    /// The maintenance as it is now; of one that ended, as it was.
    pub maintenance: Arc<Maintenance>,
    /// The registry's last change.
    pub generation: Generation,
}

/// What is logged and counted of maintenance.
#[derive(Debug, Clone, PartialEq)]
pub enum MaintenanceReport {
    /// It began, or another one took the place of one that was on.
    Began {
        /// What it is of.
        scope: MaintenanceScope,
        /// The maintenance.
        maintenance: Arc<Maintenance>,
    },
    /// It was ended.
    Ended {
        /// What it was of.
        scope: MaintenanceScope,
        /// Who gave the command; `None`: another gateway took it.
        by: Option<Actor>,
    },
    /// Its time was over.
    Expired(MaintenanceScope),
    /// A command was refused.
    Refused {
        /// What it was of.
        scope: MaintenanceScope,
        /// Who gave the command.
        by: Actor,
        /// Why it was refused.
        refusal: Refusal,
    },
    /// The store could not be told that it is over, and will be told again.
    RemovalFailed {
        /// What it was of.
        scope: MaintenanceScope,
        /// The reason, in words.
        why: String,
    },
}

pub(super) struct ParkedMaintenance {
    pub(super) command: MaintenanceCommand,
    pub(super) asker: Asker,
}

/// A write on its way to the store.
pub(super) enum MaintenanceWrite {
    Begin {
        command: MaintenanceCommand,
        maintenance: Arc<Maintenance>,
        asker: Asker,
    },
    End {
        /// As it was when that was asked.
        maintenance: Arc<Maintenance>,
        asker: Asker,
    },
    /// It is over.
    Forget,
}

pub(super) struct MaintenanceEntry {
    pub(super) maintenance: Arc<Maintenance>,
    /// Of one that is over: when the store is asked next to forget it.
    forget_at: Option<Instant>,
}

/// All of it. Each scope is in one write at most.
#[derive(Default)]
pub(super) struct Maintenances {
    entries: BTreeMap<MaintenanceScope, MaintenanceEntry>,
    pub(super) outbox: Outbox<MaintenanceScope, MaintenanceWrite, ParkedMaintenance>,
    due_at: Option<Instant>,
}

impl Maintenances {
    /// The one that is on.
    pub(super) fn get(&self, scope: &MaintenanceScope) -> Option<&Arc<Maintenance>> {
        self.entries.get(scope).filter(|entry| entry.forget_at.is_none()).map(|entry| &entry.maintenance)
    }

    /// The one that the store has, as far as is known.
    pub(super) fn stored(&self, scope: &MaintenanceScope) -> Option<&Arc<Maintenance>> {
        self.entries.get(scope).map(|entry| &entry.maintenance)
    }

    /// All that the store has, as far as is known.
    #[cfg(test)]
    pub(super) fn all_stored(&self) -> impl Iterator<Item = (&MaintenanceScope, &Arc<Maintenance>)> {
        self.entries.iter().map(|(scope, entry)| (scope, &entry.maintenance))
    }

    /// All that are on.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&MaintenanceScope, &Arc<Maintenance>)> {
        let on = self.entries.iter().filter(|(_, entry)| entry.forget_at.is_none());
        on.map(|(scope, entry)| (scope, &entry.maintenance))
    }

    pub(super) fn put(&mut self, scope: MaintenanceScope, maintenance: Arc<Maintenance>) {
        self.entries.insert(scope, MaintenanceEntry { maintenance, forget_at: None });
    }

    /// The store has it no longer. Gives it, if it was on.
    pub(super) fn remove(&mut self, scope: &MaintenanceScope) -> Option<Arc<Maintenance>> {
        let entry = self.entries.remove(scope)?;
        entry.forget_at.is_none().then_some(entry.maintenance)
    }

    /// Whether one more may begin. What is being written counts, whatever it is: close to the bound that is near enough.
    pub(super) fn has_room_for(&self, scope: &MaintenanceScope) -> bool {
        self.entries.contains_key(scope) || self.entries.len() + self.outbox.subjects() < MAX_MAINTENANCES
    }

    /// The store is done with a write of it; `None`: it is none of these.
    pub(super) fn finish(&mut self, id: WriteId) -> Option<(MaintenanceWrite, MaintenanceScope)> {
        let (write, scopes) = self.outbox.finish(id)?;
        Some((write, scopes.into_iter().next()?))
    }

    pub(super) fn next_deadline(&self) -> Option<Instant> {
        self.due_at
    }

    /// Takes out those whose time is over; `forget_at`: when the store is asked to forget each of them.
    pub(super) fn take_over(
        &mut self,
        now: Now,
        forget_at: impl Fn(&MaintenanceScope) -> Instant,
    ) -> Vec<MaintenanceScope> {
        let on = self.entries.iter_mut().filter(|(_, entry)| entry.forget_at.is_none());
        let over = on.filter(|(_, entry)| entry.maintenance.is_over(now.unix_ms));
        over.map(|(scope, entry)| {
            entry.forget_at = Some(forget_at(scope));
            scope.clone()
        })
        .collect()
    }

    /// Those that are over and that the store is to forget now.
    pub(super) fn to_forget(&self, now: Now) -> Vec<MaintenanceScope> {
        let due = self.entries.iter().filter(|(_, entry)| entry.forget_at.is_some_and(|at| at <= now.at));
        due.map(|(scope, _)| scope).filter(|scope| !self.outbox.is_writing(scope)).cloned().collect()
    }

    /// Has the store asked at this time to forget one that is over; says whether it is.
    pub(super) fn forget_at(&mut self, scope: &MaintenanceScope, at: Instant) -> bool {
        let over = self.entries.get_mut(scope).and_then(|entry| entry.forget_at.as_mut());
        over.map(|forget_at| *forget_at = at).is_some()
    }

    /// Sets the deadline to the next thing that is due. What is in a write is looked at after it.
    pub(super) fn arm(&mut self, now: Now) {
        let due = |(scope, entry): (&MaintenanceScope, &MaintenanceEntry)| match entry.forget_at {
            Some(_) if self.outbox.is_writing(scope) => None,
            Some(at) => Some(at),
            None => {
                let left = entry.maintenance.left(now.unix_ms)?;
                Some(now.at + left.clamp(Duration::from_millis(1), LOOK_AGAIN))
            }
        };
        self.due_at = self.entries.iter().filter_map(due).min();
    }
}
