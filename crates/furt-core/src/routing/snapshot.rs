//! The one immutable view that a request is answered from.

use std::sync::Arc;

use super::{Found, Instance, KeyTable, MaintenanceTable, Route, Service, ServiceIndex, Table};
use crate::model::{
    DrainMark, Epoch, Generation, Grant, InstanceId, Place, RuntimeGrant, ServiceName, Share, Split, UpstreamUrl,
};

/// Everything that requests need, as of one generation. Cloning costs a few reference counts.
#[derive(Clone)]
pub struct Snapshot {
    /// The last change in it.
    pub generation: Generation,
    /// The last change of what operators make at run time: grants, API keys, maintenance, splits.
    pub operated: Generation,
    /// Whose registry it is.
    pub epoch: Epoch,
    /// The routes.
    pub table: Table,
    /// What the routes' owners lead to, by index; `None`: nothing is registered there.
    pub services: imbl::Vector<Option<Arc<Service>>>,
    /// Registered services by name.
    pub names: imbl::OrdMap<ServiceName, ServiceIndex>,
    /// The service of an instance by the instance's id; the id of one that is being removed may still be here.
    pub ids: imbl::HashMap<InstanceId, ServiceIndex>,
    /// The API keys.
    pub keys: KeyTable,
    /// Ids that an operator holds, by service and id; also those that nobody is registered under.
    pub held: Arc<[HeldId]>,
    /// What is in maintenance; `None`: nothing.
    pub maintenance: Option<Arc<MaintenanceTable>>,
    /// How callers are split by versions, by services, registered or not.
    pub splits: imbl::OrdMap<ServiceName, Arc<Split>>,
    /// What services may register, by the configuration or else by grants of run time.
    pub grants: imbl::HashMap<ServiceName, Arc<Grant>>,
    /// Grants that were made at run time, also where the configuration has another one.
    pub runtime_grants: imbl::OrdMap<ServiceName, Arc<RuntimeGrant>>,
    /// Urls at which several services are, and not all of them say so.
    pub shared_urls: SharedUrls,
    /// This gateway's part of each limit that holds for all gateways together.
    pub share: Share,
}

/// A url at which several services are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedUrl {
    /// The url.
    pub url: UpstreamUrl,
    /// The first of those that are there, each by its service and id.
    pub instances: Vec<(ServiceName, InstanceId)>,
    /// How many there are.
    pub count: usize,
}

/// Urls at which several services are, by what is compared of them.
pub type SharedUrls = imbl::OrdMap<Place, Arc<SharedUrl>>;

/// An id that drains until that is undone, whoever registers under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldId {
    /// The service.
    pub service: ServiceName,
    /// The id of its instance.
    pub id: InstanceId,
    /// Who holds it, and since when.
    pub mark: Arc<DrainMark>,
}

impl Snapshot {
    /// An empty one.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            generation: Generation::default(),
            operated: Generation::default(),
            epoch,
            table: Table::default(),
            services: imbl::Vector::new(),
            names: imbl::OrdMap::new(),
            ids: imbl::HashMap::new(),
            keys: KeyTable::default(),
            held: Arc::default(),
            maintenance: None,
            splits: imbl::OrdMap::new(),
            grants: imbl::HashMap::new(),
            runtime_grants: imbl::OrdMap::new(),
            shared_urls: SharedUrls::new(),
            share: Share::WHOLE,
        }
    }

    /// What an index leads to.
    pub fn service(&self, index: ServiceIndex) -> Option<&Arc<Service>> {
        self.services.get(index.0 as usize)?.as_ref()
    }

    /// A registered service by its name.
    pub fn service_named(&self, name: &str) -> Option<&Arc<Service>> {
        self.service(*self.names.get(name)?)
    }

    /// An instance by its id, with its service.
    pub fn instance_with_id(&self, id: &InstanceId) -> Option<(&Arc<Service>, &Arc<Instance>)> {
        let service = self.service(*self.ids.get(id)?)?;
        let at = service.instances.binary_search_by(|one| one.spec.id.cmp(id)).ok()?;
        Some((service, &service.instances[at]))
    }

    /// The registered services in the order of their names.
    pub fn registered(&self) -> impl Iterator<Item = &Arc<Service>> {
        self.names.values().filter_map(|index| self.service(*index))
    }

    /// Whether the grant of a service that is in force is one of the configuration.
    pub fn is_grant_configured(&self, service: &ServiceName) -> bool {
        let is_other = |in_force: &Arc<Grant>| {
            self.runtime_grants.get(service).is_none_or(|runtime| !Arc::ptr_eq(&runtime.grant, in_force))
        };
        self.grants.get(service).is_some_and(is_other)
    }

    /// Whether a route leads to a service that can answer.
    pub fn is_usable(&self, route: &Route) -> bool {
        self.service(route.owner.index()).is_some_and(|service| service.is_routable())
    }

    /// Whether nothing stands in for the route's service while it is DOWN, since it is in maintenance.
    pub fn is_kept_from_others(&self, route: &Route) -> bool {
        let service = self.service(route.owner.index()).map(|service| &**service);
        self.maintenance.as_ref().is_some_and(|table| table.has(route.owner, service))
    }

    /// The route of a request; host and path normalized ([`model::host`](crate::model::host), [`model::path`](crate::model::path)).
    pub fn find(&self, host: &str, path: &str, method: &http::Method) -> Found<'_> {
        self.table.find(host, path, method, |route| self.is_usable(route) || self.is_kept_from_others(route))
    }
}
