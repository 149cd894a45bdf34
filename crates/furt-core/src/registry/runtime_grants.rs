//! Grants of the configuration and those made at run time, and what of these waits for the store; the commands, answers and
//! reports about them.
//!
//! A grant belongs to the name of a service and not to what is registered under it. The configuration wins: a grant that was made
//! at run time for a service that has one there is kept, and in force again once it has none.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::caller::Asker;
use super::ids::WriteId;
use super::outbox::Outbox;
use super::refusal::Refusal;
use crate::model::{Actor, Generation, Grant, RuntimeGrant, ServiceName};

/// Services with a grant of run time; some 50 MiB where each is as large as it may be.
pub(super) const MAX_GRANTS: usize = 10_000;
/// Commands about one name that wait for its write: more than operators have terminals.
pub(super) const MAX_PARKED: usize = 64;

/// What an operator asks for.
#[derive(Debug, Clone)]
pub enum GrantCommand {
    /// A service may register this, and nothing that was granted to it before.
    Set(ServiceName, Arc<Grant>),
    /// It has no grant of run time.
    Remove(ServiceName),
}

impl GrantCommand {
    pub(super) fn service(&self) -> &ServiceName {
        match self {
            Self::Set(service, _) | Self::Remove(service) => service,
        }
    }
}

/// The good answer to a [`GrantCommand`].
#[derive(Debug, Clone, PartialEq)]
pub struct GrantAnswer {
    /// The grant as it is now; of one that was removed, as it was.
    pub grant: Arc<RuntimeGrant>,
    /// Why the service is not routed now, where what it registered is beyond what it may.
    pub suspended: Option<Arc<str>>,
    /// The registry's last change.
    pub generation: Generation,
}

/// What is logged and counted of grants.
#[derive(Debug, Clone, PartialEq)]
pub enum GrantReport {
    /// A service has it from now on.
    Set {
        /// The service.
        service: ServiceName,
        /// The grant.
        grant: Arc<RuntimeGrant>,
    },
    /// A service has none of run time from now on.
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

pub(super) struct ParkedGrant {
    pub(super) command: GrantCommand,
    pub(super) asker: Asker,
}

/// A write on its way to the store.
pub(super) struct GrantWrite {
    pub(super) parked: ParkedGrant,
    /// What is set, or what is removed.
    pub(super) grant: Arc<RuntimeGrant>,
}

/// All of them. Each service is in one write at most.
#[derive(Default)]
pub(super) struct RuntimeGrants {
    configured: BTreeMap<ServiceName, Arc<Grant>>,
    entries: BTreeMap<ServiceName, Arc<RuntimeGrant>>,
    pub(super) outbox: Outbox<ServiceName, GrantWrite, ParkedGrant>,
}

impl RuntimeGrants {
    pub(super) fn get(&self, service: &ServiceName) -> Option<&Arc<RuntimeGrant>> {
        self.entries.get(service)
    }

    #[cfg(any(test, debug_assertions))]
    pub(super) fn iter(&self) -> impl Iterator<Item = (&ServiceName, &Arc<RuntimeGrant>)> {
        self.entries.iter()
    }

    pub(super) fn put(&mut self, service: &ServiceName, grant: Arc<RuntimeGrant>) {
        self.entries.insert(service.clone(), grant);
    }

    pub(super) fn remove(&mut self, service: &ServiceName) -> bool {
        self.entries.remove(service).is_some()
    }

    pub(super) fn is_configured(&self, service: &ServiceName) -> bool {
        self.configured.contains_key(service)
    }

    /// Replaces those of the configuration; gives all that are in force with them.
    pub(super) fn configure(
        &mut self,
        configured: BTreeMap<ServiceName, Arc<Grant>>,
    ) -> BTreeMap<ServiceName, Arc<Grant>> {
        self.configured = configured;
        let mut all: BTreeMap<_, _> = self.entries.iter().map(|(service, one)| (service.clone(), of(one))).collect();
        all.extend(self.configured.iter().map(|(service, grant)| (service.clone(), Arc::clone(grant))));
        all
    }

    /// The one that is in force.
    pub(super) fn in_force(&self, service: &ServiceName) -> Option<Arc<Grant>> {
        self.configured.get(service).cloned().or_else(|| self.entries.get(service).map(of))
    }

    /// Whether one more may be set. What is being written counts, whatever it is: close to the bound that is near enough.
    pub(super) fn has_room_for(&self, service: &ServiceName) -> bool {
        self.entries.contains_key(service) || self.entries.len() + self.outbox.subjects() < MAX_GRANTS
    }

    /// The store is done with a write of it; `None`: it is none of these.
    pub(super) fn finish(&mut self, id: WriteId) -> Option<(GrantWrite, ServiceName)> {
        let (write, services) = self.outbox.finish(id)?;
        Some((write, services.into_iter().next()?))
    }
}

fn of(runtime: &Arc<RuntimeGrant>) -> Arc<Grant> {
    Arc::clone(&runtime.grant)
}
