//! What is in maintenance, as requests ask for it. Made by the registry's publisher, and made anew with each change: there is
//! none of it in a snapshot while nothing is in maintenance.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;

use super::{Owner, Service, ServiceIndex};
use crate::model::{Maintenance, MaintenanceScope, ServiceName};

/// What is in it, and the maintenance.
pub type InMaintenance = (MaintenanceScope, Arc<Maintenance>);

/// All that is in maintenance, some of which may be over: whoever asks names the time.
#[derive(Debug, Default)]
pub struct MaintenanceTable {
    all: Option<InMaintenance>,
    services: BTreeMap<ServiceName, InMaintenance>,
    /// By the positions of static routes that lead to a service by its name, also while nobody is registered under it.
    aliases: HashMap<ServiceIndex, InMaintenance>,
}

impl MaintenanceTable {
    /// `aliases`: the positions of the static routes that lead to each service.
    pub(crate) fn new<'a>(
        of: impl IntoIterator<Item = InMaintenance>,
        aliases: impl Fn(&ServiceName) -> &'a [ServiceIndex],
    ) -> Self {
        let mut table = Self::default();
        for one in of {
            match &one.0 {
                MaintenanceScope::All => table.all = Some(one),
                MaintenanceScope::Service(service) => {
                    table.aliases.extend(aliases(service).iter().map(|index| (*index, one.clone())));
                    table.services.insert(service.clone(), one);
                }
            }
        }
        table
    }

    /// Each of them, the one of all services first.
    pub fn iter(&self) -> impl Iterator<Item = &InMaintenance> {
        self.all.iter().chain(self.services.values())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.services.len() + usize::from(self.all.is_some())
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Those that the service of a name is in: its own, and that of all services.
    pub fn of_service(&self, service: &ServiceName, now_ms: i64) -> impl Iterator<Item = &InMaintenance> {
        let both = self.services.get(service).into_iter().chain(&self.all);
        both.filter(move |(_, one)| !one.is_over(now_ms))
    }

    /// Those that a route is in: that of its service, and that of all of them. `service`: what its owner leads to.
    pub fn of_route(
        &self,
        owner: Owner,
        service: Option<&Service>,
        now_ms: i64,
    ) -> impl Iterator<Item = &InMaintenance> {
        let own = match owner {
            Owner::Static(index) => self.aliases.get(&index),
            Owner::Service(_) => service.and_then(|service| self.services.get(&service.definition.service)),
        };
        own.into_iter().chain(&self.all).filter(move |(_, one)| !one.is_over(now_ms))
    }

    /// Whether a route that leads to a service is in any, also in one that is just over. `service`: what its owner leads to.
    pub fn has(&self, owner: Owner, service: Option<&Service>) -> bool {
        match owner {
            Owner::Static(index) => self.aliases.contains_key(&index),
            Owner::Service(_) => service.is_some_and(|service| {
                service.suspended.is_none()
                    && (self.all.is_some() || self.services.contains_key(&service.definition.service))
            }),
        }
    }

    /// The first of those that a route is in which does not let the client in; `None`: it may pass.
    pub fn keeps_out(
        &self,
        owner: Owner,
        service: Option<&Service>,
        client: Option<IpAddr>,
        now_ms: i64,
    ) -> Option<&Arc<Maintenance>> {
        self.of_route(owner, service, now_ms).map(|(_, one)| one).find(|one| !one.lets_in(client))
    }
}
