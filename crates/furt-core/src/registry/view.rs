//! The snapshot in the making: indexes, routes and services as they change, published once a tick.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use super::Entry;
use super::static_routes::StaticRoutes;
use crate::model::{
    Definition, Epoch, Generation, Host, InstanceId, InstanceSpec, MethodRule, Pattern, Permission, RouteSpec,
    ServiceName, Status,
};
use crate::routing::{
    Instance, InstanceLive, KeyTable, Owner, PoolGroup, Route, Service, ServiceIndex, ServiceKind, Snapshot,
};

/// The snapshot, and what of it must be made anew before it is published.
pub(super) struct View {
    pub(super) snapshot: Snapshot,
    pub(super) static_routes: StaticRoutes,
    is_changed: bool,
    touched: BTreeMap<ServiceIndex, ServiceName>,
    free: Vec<ServiceIndex>,
    /// Slots of static routes that lead to a service by name.
    aliases: HashMap<ServiceName, Vec<ServiceIndex>>,
}

impl View {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            snapshot: Snapshot::new(epoch),
            static_routes: StaticRoutes::default(),
            is_changed: true,
            touched: BTreeMap::new(),
            free: Vec::new(),
            aliases: HashMap::new(),
        }
    }

    pub(super) fn generation(&self) -> Generation {
        self.snapshot.generation
    }

    /// Generations of this start follow those of all starts before.
    pub(super) fn begin(&mut self, epoch: Epoch, generation: Generation) {
        self.snapshot.epoch = epoch;
        self.snapshot.generation = generation;
    }

    pub(super) fn epoch(&self) -> Epoch {
        self.snapshot.epoch
    }

    /// Something that requests or callers see has changed.
    pub(super) fn advance(&mut self) {
        self.snapshot.generation = self.snapshot.generation.next();
        self.is_changed = true;
    }

    /// The keys; who changes them says so by [`advance`](Self::advance).
    pub(super) fn keys_mut(&mut self) -> &mut KeyTable {
        &mut self.snapshot.keys
    }

    /// The service at `index` must be shown anew.
    pub(super) fn touch(&mut self, index: ServiceIndex, service: &ServiceName) {
        // An index that changed hands within a tick shows its last service.
        self.touched.insert(index, service.clone());
    }

    pub(super) fn take(&mut self, services: &BTreeMap<ServiceName, Entry>) -> Option<Snapshot> {
        for (index, name) in std::mem::take(&mut self.touched) {
            if let Some(entry) = services.get(&name).filter(|entry| entry.index == index && !entry.is_being_removed) {
                let before = self.snapshot.services.get(index.0 as usize).and_then(Option::as_ref);
                let service = Arc::new(entry.seen(before));
                for alias in self.aliases.get(&name).into_iter().flatten() {
                    self.snapshot.services.set(alias.0 as usize, Some(Arc::clone(&service)));
                }
                self.snapshot.services.set(index.0 as usize, Some(service));
            }
        }
        std::mem::take(&mut self.is_changed).then(|| self.snapshot.clone())
    }

    pub(super) fn add_service(&mut self, name: &ServiceName) -> ServiceIndex {
        let index = self.take_index();
        self.snapshot.names.insert(name.clone(), index);
        index
    }

    /// An index where nothing is seen.
    pub(super) fn take_index(&mut self) -> ServiceIndex {
        self.free.pop().unwrap_or_else(|| {
            let index = ServiceIndex(u32::try_from(self.snapshot.services.len()).unwrap_or(u32::MAX));
            self.snapshot.services.push_back(None);
            index
        })
    }

    /// A leaving service is seen no more, though its index stays its own until it is gone.
    pub(super) fn hide(&mut self, index: ServiceIndex, name: &ServiceName) {
        self.snapshot.names.remove(name);
        self.snapshot.services.set(index.0 as usize, None);
        for alias in self.aliases.get(name).into_iter().flatten() {
            self.snapshot.services.set(alias.0 as usize, None);
        }
        self.touched.remove(&index);
    }

    /// Takes [`hide`](Self::hide) back.
    pub(super) fn show(&mut self, index: ServiceIndex, name: &ServiceName) {
        self.snapshot.names.insert(name.clone(), index);
        self.touch(index, name);
    }

    /// An instance is found by its id from now on.
    pub(super) fn add_id(&mut self, id: &InstanceId, index: ServiceIndex) {
        self.snapshot.ids.insert(id.clone(), index);
    }

    /// Nothing is found by this id.
    pub(super) fn remove_id(&mut self, id: &InstanceId) {
        self.snapshot.ids.remove(id);
    }

    pub(super) fn free(&mut self, index: ServiceIndex) {
        self.free.push(index);
    }

    /// Puts `after`'s routes in the place of `before`'s.
    pub(super) fn replace_routes(
        &mut self,
        index: ServiceIndex,
        before: Option<&Definition>,
        after: Option<&Definition>,
    ) {
        let table = &mut self.snapshot.table;
        for (definition, route) in before.iter().flat_map(|one| one.routes.iter().map(move |route| (one, route))) {
            table.remove(definition.host.as_ref(), &route.method, &route.pattern);
        }
        for (definition, route) in after.iter().flat_map(|one| one.routes.iter().map(move |route| (one, route))) {
            table.insert(Arc::new(Route {
                host: definition.host.clone(),
                method: route.method.clone(),
                pattern: route.pattern.clone(),
                permission: route.permission.clone(),
                owner: Owner::Service(index),
                counter: Default::default(),
            }));
        }
    }

    /// From now on a service is shown at this index as well.
    pub(super) fn add_alias(&mut self, name: &ServiceName, index: ServiceIndex) {
        self.aliases.entry(name.clone()).or_default().push(index);
    }

    pub(super) fn remove_alias(&mut self, name: &ServiceName, index: ServiceIndex) {
        if let Some(indexes) = self.aliases.get_mut(name) {
            indexes.retain(|one| *one != index);
            if indexes.is_empty() {
                self.aliases.remove(name);
            }
        }
    }

    /// Which indexes are of no service and no static route.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn free_indexes(&self) -> std::collections::BTreeSet<ServiceIndex> {
        self.free.iter().copied().collect()
    }
}

impl Entry {
    /// What requests see of it from now on, in the place of what they saw `before`.
    fn seen(&self, before: Option<&Arc<Service>>) -> Service {
        let instances: Box<[_]> =
            self.instances.values().filter(|one| !one.is_being_removed()).map(|one| Arc::clone(&one.seen)).collect();
        Service {
            instance_set: before.and_then(|before| before.instance_set_of(&instances)).unwrap_or_default(),
            definition: Arc::clone(&self.definition),
            kind: ServiceKind::Registered,
            status: self.status,
            blocked: self.blocked.clone(),
            instances,
            live: Arc::clone(&self.live),
        }
    }
}

/// What the snapshot shows of an instance.
pub(super) fn instance(
    spec: &Arc<InstanceSpec>,
    addresses: &Arc<[SocketAddr]>,
    status: Status,
    pool_group: PoolGroup,
    live: &Arc<InstanceLive>,
) -> Arc<Instance> {
    Arc::new(Instance {
        spec: Arc::clone(spec),
        addresses: Arc::clone(addresses),
        status,
        pool_group,
        live: Arc::clone(live),
    })
}

/// The definition with the routes that it really has. Without any, a service is reached by its host
/// `<service>.<apps_domain>`, with the permission `app:<service>` (DESIGN §6).
pub(super) fn effective(definition: &Definition, apps_domain: &Host) -> Arc<Definition> {
    let mut effective = definition.clone();
    if definition.routes.is_empty()
        && let Ok(host) = Host::try_new(&format!("{}.{apps_domain}", definition.service))
        && let Ok(permission) = Permission::try_new(&format!("app:{}", definition.service))
    {
        effective.host = Some(host);
        let all = ["/", "/*"].into_iter().filter_map(|text| Pattern::try_new(text).ok());
        effective.routes = all
            .map(|pattern| RouteSpec { method: MethodRule::Any, pattern, permission: Some(permission.clone()) })
            .collect();
    }
    Arc::new(effective)
}

/// Resolvers turn the order of a name's addresses from answer to answer; that is no news.
pub(super) fn is_same_set(before: &[SocketAddr], after: &[SocketAddr]) -> bool {
    before.len() == after.len() && after.iter().all(|address| before.contains(address))
}
