//! The publisher of snapshots: indexes, routes and services as they change, published once a tick.
//!
//! Parts tell it what changed; a service is looked at when the snapshot is taken.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::directory::Directory;
use super::holds::Holds;
use super::ids::InstanceRef;
use super::maintenances::Maintenances;
use super::places::Places;
use crate::model::{
    Definition, Epoch, Generation, Grant, Host, InstanceId, MethodRule, Pattern, RouteOptions, Rule, RuntimeGrant,
    ServiceName, Share, Split, Subject,
};
use crate::routing::{
    HeldId, InMaintenance, KeyTable, MaintenanceTable, Owner, Route, RouteRules, Rules, Service, ServiceIndex,
    ServiceSplit, Snapshot,
};

/// The snapshot, and what of it must be made anew before it is published.
pub(super) struct Publisher {
    snapshot: Snapshot,
    is_changed: bool,
    touched: BTreeMap<ServiceIndex, ServiceName>,
    free: Vec<ServiceIndex>,
    /// Slots of static routes that lead to a service by name.
    aliases: HashMap<ServiceName, Vec<ServiceIndex>>,
    /// Whether they changed since maintenance was published with them.
    has_other_aliases: bool,
    /// Whether something of what operators make at run time has changed since the last generation.
    is_operated: bool,
    rules: Rules,
}

impl Publisher {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            snapshot: Snapshot::new(epoch),
            is_changed: true,
            touched: BTreeMap::new(),
            free: Vec::new(),
            aliases: HashMap::new(),
            has_other_aliases: false,
            is_operated: false,
            rules: Rules::default(),
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
        if std::mem::take(&mut self.is_operated) {
            self.snapshot.operated = self.snapshot.generation;
        }
        self.is_changed = true;
    }

    /// The keys; who changes them says so by [`advance`](Self::advance).
    pub(super) fn keys_mut(&mut self) -> &mut KeyTable {
        self.is_operated = true;
        &mut self.snapshot.keys
    }

    /// This gateway's part of each limit.
    pub(super) fn share(&self) -> Share {
        self.snapshot.share
    }

    pub(super) fn set_share(&mut self, share: Share) {
        self.snapshot.share = share;
        self.advance();
    }

    /// The ids that are held, as they are from now on.
    pub(super) fn set_held(&mut self, holds: &Holds) {
        let held = holds.iter().map(|(InstanceRef { service, id }, mark)| HeldId {
            service: service.clone(),
            id: id.clone(),
            mark: Arc::clone(mark),
        });
        self.snapshot.held = held.collect();
    }

    /// What is in maintenance, as it is from now on; whoever changes it says so by [`advance`](Self::advance).
    pub(super) fn set_maintenance(&mut self, maintenances: &Maintenances) {
        self.is_operated = true;
        let all = maintenances.iter().map(|(scope, one)| (scope.clone(), Arc::clone(one))).collect();
        self.put_maintenance(all);
    }

    fn put_maintenance(&mut self, all: Vec<InMaintenance>) {
        let aliases = |service: &ServiceName| self.aliases.get(service).map_or(&[][..], Vec::as_slice);
        let table = (!all.is_empty()).then(|| Arc::new(MaintenanceTable::new(all, aliases)));
        self.snapshot.maintenance = table;
        self.has_other_aliases = false;
    }

    /// All grants that are in force from now on; whoever changes them says so by [`advance`](Self::advance).
    pub(super) fn set_grants(&mut self, in_force: &BTreeMap<ServiceName, Arc<Grant>>) {
        self.snapshot.grants = in_force.iter().map(|(service, grant)| (service.clone(), Arc::clone(grant))).collect();
    }

    /// The grant of a service that was made at run time, and the one that is in force.
    pub(super) fn set_grant(
        &mut self,
        name: &ServiceName,
        runtime: Option<&Arc<RuntimeGrant>>,
        in_force: Option<&Arc<Grant>>,
    ) {
        self.is_operated = true;
        let Snapshot { runtime_grants, grants, .. } = &mut self.snapshot;
        match runtime {
            Some(grant) => runtime_grants.insert(name.clone(), Arc::clone(grant)),
            None => runtime_grants.remove(name),
        };
        match in_force {
            Some(grant) => grants.insert(name.clone(), Arc::clone(grant)),
            None => grants.remove(name),
        };
    }

    /// The split of a service from now on; `None`: it has none. Its service is published anew.
    pub(super) fn set_split(&mut self, name: &ServiceName, split: Option<&Arc<Split>>) {
        self.is_operated = true;
        match split {
            Some(split) => self.snapshot.splits.insert(name.clone(), Arc::clone(split)),
            None => self.snapshot.splits.remove(name),
        };
        if let Some(index) = self.snapshot.names.get(name).copied() {
            self.touch(index, name);
        }
    }

    /// The urls that services share, as they are from now on.
    pub(super) fn set_shared(&mut self, places: &Places) {
        self.snapshot.shared_urls = places.shared().clone();
        self.advance();
    }

    /// The service at `index` must be published anew.
    pub(super) fn touch(&mut self, index: ServiceIndex, service: &ServiceName) {
        // An index that changed hands within a tick is its last service's.
        self.touched.insert(index, service.clone());
    }

    pub(super) fn take(&mut self, directory: &Directory) -> Option<Snapshot> {
        for (index, name) in std::mem::take(&mut self.touched) {
            if let Some(entry) =
                directory.service(&name).filter(|entry| entry.index() == index && !entry.is_being_removed())
            {
                let before = self.snapshot.services.get(index.0 as usize).and_then(Option::as_ref);
                let mut service = entry.published(before);
                if let Some(split) = self.snapshot.splits.get(&name) {
                    let split = ServiceSplit::new(split, &service, before.map(|before| &**before));
                    service.split = Some(Box::new(split));
                }
                let service = Arc::new(service);
                for alias in self.aliases.get(&name).into_iter().flatten() {
                    self.snapshot.services.set(alias.0 as usize, Some(Arc::clone(&service)));
                }
                self.snapshot.services.set(index.0 as usize, Some(service));
            }
        }
        if let Some(before) = self.snapshot.maintenance.clone().filter(|_| self.has_other_aliases) {
            self.put_maintenance(before.iter().cloned().collect());
        }
        std::mem::take(&mut self.is_changed).then(|| self.snapshot.clone())
    }

    pub(super) fn add_service(&mut self, name: &ServiceName) -> ServiceIndex {
        let index = self.take_index();
        self.snapshot.names.insert(name.clone(), index);
        index
    }

    /// An index at which nothing is published.
    pub(super) fn take_index(&mut self) -> ServiceIndex {
        self.free.pop().unwrap_or_else(|| {
            let index = ServiceIndex(u32::try_from(self.snapshot.services.len()).unwrap_or(u32::MAX));
            self.snapshot.services.push_back(None);
            index
        })
    }

    /// A service that is being removed is published no more, though its index stays its own until it is gone.
    pub(super) fn withdraw(&mut self, index: ServiceIndex, effective: &Definition) {
        let name = &effective.service;
        self.replace_routes(index, Some(effective), None);
        self.snapshot.names.remove(name);
        self.snapshot.services.set(index.0 as usize, None);
        for alias in self.aliases.get(name).into_iter().flatten() {
            self.snapshot.services.set(alias.0 as usize, None);
        }
        self.touched.remove(&index);
    }

    /// Takes [`withdraw`](Self::withdraw) back.
    pub(super) fn restore(&mut self, index: ServiceIndex, effective: &Definition) {
        self.replace_routes(index, None, Some(effective));
        self.snapshot.names.insert(effective.service.clone(), index);
        self.touch(index, &effective.service);
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

    /// Replaces the routes of `before` by those of `after`.
    pub(super) fn replace_routes(
        &mut self,
        index: ServiceIndex,
        before: Option<&Definition>,
        after: Option<&Definition>,
    ) {
        let Self { snapshot: Snapshot { table, .. }, rules, .. } = self;
        for (definition, route) in before.iter().flat_map(|one| one.routes.iter().map(move |route| (one, route))) {
            table.remove(definition.host.as_ref(), &route.method, &route.pattern);
        }
        for (definition, route) in after.iter().flat_map(|one| one.routes.iter().map(move |route| (one, route))) {
            let subject = Subject::registered(definition, route);
            table.insert(Arc::new(Route {
                host: definition.host.clone(),
                method: route.method.clone(),
                pattern: route.pattern.clone(),
                permission: route.permission.clone(),
                owner: Owner::Service(index),
                rules: rules.of(subject, &definition.options, &route.options),
                counter: Default::default(),
            }));
        }
    }

    /// The operator's rules; says whether they are others. Routes that are in the table keep what held for them before they are
    /// put in anew.
    pub(super) fn set_rules(&mut self, rules: &Arc<[Rule]>) -> bool {
        let is_news = self.rules.operators() != rules;
        if is_news {
            self.rules.set_operators(Arc::clone(rules));
        }
        is_news
    }

    /// What holds for a static route, of which the operator's rules alone say anything.
    pub(super) fn rules_of_static(&mut self, route: Subject<'_>) -> Option<Arc<RouteRules>> {
        let nothing = RouteOptions::default();
        self.rules.of(route, &nothing, &nothing)
    }

    /// From now on a service is published at this index as well.
    pub(super) fn add_alias(&mut self, name: &ServiceName, index: ServiceIndex) {
        self.aliases.entry(name.clone()).or_default().push(index);
        self.has_other_aliases = true;
    }

    pub(super) fn remove_alias(&mut self, name: &ServiceName, index: ServiceIndex) {
        if let Some(indexes) = self.aliases.get_mut(name) {
            indexes.retain(|one| *one != index);
            self.has_other_aliases = true;
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

    /// Puts a static route's service at its index; `None`: nothing is there any more.
    pub(super) fn set_static(&mut self, index: ServiceIndex, service: Option<Service>) {
        self.snapshot.services.set(index.0 as usize, service.map(Arc::new));
    }

    /// What is published at an index.
    pub(super) fn service(&self, index: ServiceIndex) -> Option<&Arc<Service>> {
        self.snapshot.service(index)
    }

    pub(super) fn insert_route(&mut self, route: Route) {
        self.snapshot.table.insert(Arc::new(route));
    }

    pub(super) fn remove_route(&mut self, host: Option<&Host>, method: &MethodRule, pattern: &Pattern) {
        self.snapshot.table.remove(host, method, pattern);
    }

    /// The snapshot in the making.
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }
}
