//! The snapshot in the making: slots, routes and services as they change, published once a turn.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;

use super::{Effect, Entry, Followed, NameOrder, Now};
use crate::model::{
    Definition, Epoch, Generation, Host, InstanceSpec, MethodRule, Pattern, Permission, RouteSpec, ServiceName, Status,
    UpstreamHost,
};
use crate::routing::{
    Instance, InstanceLive, KeyTable, Owner, Route, Service, ServiceKind, ServiceLive, Slot, Snapshot,
};

/// A route of the configuration.
#[derive(Debug, Clone)]
pub struct StaticRoute {
    /// Its host; `None`: any.
    pub host: Option<Host>,
    /// Its methods.
    pub method: MethodRule,
    /// Its paths.
    pub pattern: Pattern,
    /// What the caller's key must hold; `None`: public.
    pub permission: Option<Permission>,
    /// Where it leads.
    pub target: StaticTarget,
}

/// Where a static route leads.
#[derive(Debug, Clone)]
pub enum StaticTarget {
    /// To a url of its own; addresses are empty until its name resolves.
    Url {
        /// The instance that the url stands for.
        spec: Box<InstanceSpec>,
        /// Where it is.
        addresses: Arc<[SocketAddr]>,
    },
    /// To a registered service.
    Service(ServiceName),
}

/// The snapshot, and what of it must be made anew before it is published.
pub(super) struct View {
    snapshot: Snapshot,
    is_changed: bool,
    touched: BTreeMap<Slot, ServiceName>,
    free: Vec<Slot>,
    /// Slots of static routes that lead to a service by name.
    aliases: HashMap<ServiceName, Vec<Slot>>,
}

impl View {
    pub(super) fn new(epoch: Epoch, keys: KeyTable) -> Self {
        let mut snapshot = Snapshot::new(epoch);
        snapshot.keys = keys;
        Self { snapshot, is_changed: true, touched: BTreeMap::new(), free: Vec::new(), aliases: HashMap::new() }
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

    /// The service at `slot` must be shown anew.
    pub(super) fn touch(&mut self, slot: Slot, service: &ServiceName) {
        // A slot that changed hands within a turn shows its last service.
        self.touched.insert(slot, service.clone());
    }

    pub(super) fn take(&mut self, services: &BTreeMap<ServiceName, Entry>) -> Option<Snapshot> {
        for (slot, name) in std::mem::take(&mut self.touched) {
            if let Some(entry) = services.get(&name).filter(|entry| entry.slot == slot && !entry.is_leaving) {
                let service = Arc::new(entry.seen());
                for alias in self.aliases.get(&name).into_iter().flatten() {
                    self.snapshot.services.set(alias.0 as usize, Some(Arc::clone(&service)));
                }
                self.snapshot.services.set(slot.0 as usize, Some(service));
            }
        }
        std::mem::take(&mut self.is_changed).then(|| self.snapshot.clone())
    }

    pub(super) fn add_service(&mut self, name: &ServiceName) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| self.append(None));
        self.snapshot.names.insert(name.clone(), slot);
        slot
    }

    fn append(&mut self, service: Option<Arc<Service>>) -> Slot {
        let slot = Slot(u32::try_from(self.snapshot.services.len()).unwrap_or(u32::MAX));
        self.snapshot.services.push_back(service);
        slot
    }

    /// A leaving service is seen no more, though its slot stays its own until it is gone.
    pub(super) fn hide(&mut self, slot: Slot, name: &ServiceName) {
        self.snapshot.names.remove(name);
        self.snapshot.services.set(slot.0 as usize, None);
        for alias in self.aliases.get(name).into_iter().flatten() {
            self.snapshot.services.set(alias.0 as usize, None);
        }
        self.touched.remove(&slot);
    }

    /// Takes [`hide`](Self::hide) back.
    pub(super) fn show(&mut self, slot: Slot, name: &ServiceName) {
        self.snapshot.names.insert(name.clone(), slot);
        self.touch(slot, name);
    }

    pub(super) fn free(&mut self, slot: Slot) {
        self.free.push(slot);
    }

    /// Puts `after`'s routes in the place of `before`'s.
    pub(super) fn replace_routes(&mut self, slot: Slot, before: Option<&Definition>, after: Option<&Definition>) {
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
                owner: Owner::Service(slot),
                counter: Default::default(),
            }));
        }
    }

    pub(super) fn add_static(&mut self, fixed: StaticRoute, now: Now, effects: &mut Vec<Effect>) {
        let slot = match fixed.target {
            StaticTarget::Service(name) => {
                let slot = self.append(None);
                self.aliases.entry(name).or_default().push(slot);
                slot
            }
            StaticTarget::Url { spec, addresses } => {
                let slot = self.append(None);
                if let UpstreamHost::Name(name) = &spec.url.host {
                    let order =
                        NameOrder { generation: Generation::default(), name: name.clone(), port: spec.url.port };
                    effects.push(Effect::FollowName(Followed::Static(slot), order));
                }
                let service = static_service(Arc::new(*spec), &addresses, Generation::default(), now);
                self.snapshot.services.set(slot.0 as usize, service.map(Arc::new));
                slot
            }
        };
        self.snapshot.table.insert(Arc::new(Route {
            host: fixed.host,
            method: fixed.method,
            pattern: fixed.pattern,
            permission: fixed.permission,
            owner: Owner::Static(slot),
            counter: Default::default(),
        }));
    }

    /// A static route's name leads elsewhere; says whether that is news.
    pub(super) fn move_static(&mut self, slot: Slot, order: Generation, addresses: &Arc<[SocketAddr]>) -> bool {
        let Some(Some(service)) = self.snapshot.services.get(slot.0 as usize) else { return false };
        let Some(instance) = service.instances.first() else { return false };
        if order != Generation::default() || is_same_set(&instance.addresses, addresses) {
            return false;
        }
        let moved = Arc::new(Instance {
            spec: Arc::clone(&instance.spec),
            addresses: Arc::clone(addresses),
            status: instance.status,
            generation: instance.generation.next(),
            live: Arc::clone(&instance.live),
        });
        let service = Service {
            definition: Arc::clone(&service.definition),
            kind: service.kind,
            status: service.status,
            blocked: None,
            instances: Box::new([moved]),
            live: Arc::clone(&service.live),
        };
        self.snapshot.services.set(slot.0 as usize, Some(Arc::new(service)));
        self.advance();
        true
    }

    /// What is shown now, for the invariants.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn snapshot(&self) -> &Snapshot {
        &self.snapshot
    }

    /// Which slots are of no service and no static route.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn free_slots(&self) -> std::collections::BTreeSet<Slot> {
        self.free.iter().copied().collect()
    }
}

impl Entry {
    fn seen(&self) -> Service {
        Service {
            definition: Arc::clone(&self.definition),
            kind: ServiceKind::Registered,
            status: self.status,
            blocked: self.blocked.clone(),
            instances: self.members.values().filter(|one| !one.is_leaving).map(|one| Arc::clone(&one.seen)).collect(),
            live: Arc::clone(&self.live),
        }
    }
}

/// What the snapshot shows of an instance.
pub(super) fn instance(
    spec: &Arc<InstanceSpec>,
    addresses: &Arc<[SocketAddr]>,
    status: Status,
    generation: Generation,
    live: &Arc<InstanceLive>,
) -> Arc<Instance> {
    Arc::new(Instance {
        spec: Arc::clone(spec),
        addresses: Arc::clone(addresses),
        status,
        generation,
        live: Arc::clone(live),
    })
}

fn static_service(
    spec: Arc<InstanceSpec>,
    addresses: &Arc<[SocketAddr]>,
    generation: Generation,
    now: Now,
) -> Option<Service> {
    // The name is seen in logs alone; `ServiceKind::Static` tells it from a registered service of that name.
    let name = ServiceName::try_new("static").ok()?;
    let live = Arc::new(InstanceLive::default());
    Some(Service {
        definition: Arc::new(Definition::new(name)),
        kind: ServiceKind::Static,
        status: Status::Up,
        blocked: None,
        instances: Box::new([instance(&spec, addresses, Status::Up, generation, &live)]),
        live: Arc::new(ServiceLive::new(now.unix_ms)),
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
