//! How callers of services are split by versions, and what of it waits for the store; the commands, answers and reports about it.
//!
//! A split belongs to the name of a service and not to what is registered under it.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::caller::Asker;
use super::ids::WriteId;
use super::outbox::Outbox;
use super::refusal::Refusal;
use crate::model::{Actor, Generation, ServiceName, Split, SplitSpec};

/// Names with a split: more services than anyone tries new versions of at once.
pub(super) const MAX_SPLITS: usize = 1_000;
/// Commands about one name that wait for its write: more than operators have terminals.
pub(super) const MAX_PARKED: usize = 64;

/// What an operator asks for.
#[derive(Debug, Clone)]
pub enum SplitCommand {
    /// The callers of a service are split so, in the place of a split that was set.
    Set(ServiceName, SplitSpec),
    /// They are split no more.
    Remove(ServiceName),
}

impl SplitCommand {
    pub(super) fn service(&self) -> &ServiceName {
        match self {
            Self::Set(service, _) | Self::Remove(service) => service,
        }
    }
}

/// The good answer to a [`SplitCommand`].
#[derive(Debug, Clone, PartialEq)]
pub struct SplitAnswer {
    /// The split as it is now; of one that was removed, as it was.
    pub split: Arc<Split>,
    /// The registry's last change.
    pub generation: Generation,
}

/// What is logged and counted of splits.
#[derive(Debug, Clone, PartialEq)]
pub enum SplitReport {
    /// A service has it from now on.
    Set {
        /// The service.
        service: ServiceName,
        /// The split.
        split: Arc<Split>,
    },
    /// A service has none from now on.
    Removed {
        /// The service.
        service: ServiceName,
        /// Who gave the command; `None`: another gateway took it.
        by: Option<Actor>,
    },
    /// A command was refused.
    Refused {
        /// The service.
        service: ServiceName,
        /// Who gave the command.
        by: Actor,
        /// Why it was refused.
        refusal: Refusal,
    },
}

pub(super) struct ParkedSplit {
    pub(super) command: SplitCommand,
    pub(super) asker: Asker,
}

/// A write on its way to the store.
pub(super) struct SplitWrite {
    pub(super) parked: ParkedSplit,
    /// What is set, or what is removed.
    pub(super) split: Arc<Split>,
}

/// All of them. Each service is in one write at most.
#[derive(Default)]
pub(super) struct Splits {
    entries: BTreeMap<ServiceName, Arc<Split>>,
    pub(super) outbox: Outbox<ServiceName, SplitWrite, ParkedSplit>,
}

impl Splits {
    pub(super) fn get(&self, service: &ServiceName) -> Option<&Arc<Split>> {
        self.entries.get(service)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ServiceName, &Arc<Split>)> {
        self.entries.iter()
    }

    pub(super) fn put(&mut self, service: &ServiceName, split: Arc<Split>) {
        self.entries.insert(service.clone(), split);
    }

    pub(super) fn remove(&mut self, service: &ServiceName) -> bool {
        self.entries.remove(service).is_some()
    }

    /// Whether one more may be set. What is being written counts, whatever it is: close to the bound that is near enough.
    pub(super) fn has_room_for(&self, service: &ServiceName) -> bool {
        self.entries.contains_key(service) || self.entries.len() + self.outbox.subjects() < MAX_SPLITS
    }

    /// The store is done with a write of it; `None`: it is none of these.
    pub(super) fn finish(&mut self, id: WriteId) -> Option<(SplitWrite, ServiceName)> {
        let (write, services) = self.outbox.finish(id)?;
        Some((write, services.into_iter().next()?))
    }
}
