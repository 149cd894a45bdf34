//! Static routes in the snapshot: their places, what they lead to, and which of them a new configuration keeps.
//!
//! One that leads where it led before keeps its index, its counters and what its name resolved to; any other is put in
//! anew. Never asks whether a registration is in the way: `reconfigure` has seen to that. Called by it and by
//! [`Registry::new`](super::Registry::new).

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::view::{View, instance, is_same_set};
use super::{DnsSubject, Effects, NameToken, NameWatch, Now};
use crate::model::{
    Definition, Host, InstanceSpec, MethodRule, Pattern, Permission, ServiceName, Status, UpstreamHost,
};
use crate::routing::{
    Instance, InstanceLive, Owner, PoolGroup, Route, RouteCounter, Service, ServiceIndex, ServiceKind, ServiceLive,
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
        /// The instance that the url stands for; its id says which route of the configuration it is.
        spec: Box<InstanceSpec>,
        /// Where it is.
        addresses: Arc<[SocketAddr]>,
    },
    /// To a registered service.
    Service(ServiceName),
}

/// Host, pattern and method: what is one route in the table.
type RouteKey = (Option<Host>, Pattern, MethodRule);

/// The static routes in force.
#[derive(Default)]
pub(super) struct StaticRoutes {
    routes: HashMap<RouteKey, InstalledStaticRoute>,
    /// What answers about the name of the one at an index must carry.
    tokens: HashMap<ServiceIndex, NameToken>,
}

/// One of them.
struct InstalledStaticRoute {
    permission: Option<Permission>,
    target: StaticTarget,
    index: ServiceIndex,
}

impl StaticRoute {
    fn place(&self) -> RouteKey {
        (self.host.clone(), self.pattern.clone(), self.method.clone())
    }
}

impl StaticTarget {
    /// Whether both lead to the same, wherever they stand in their files.
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Service(one), Self::Service(other)) => one == other,
            (Self::Url { spec: one, .. }, Self::Url { spec: other, .. }) => {
                InstanceSpec { id: other.id.clone(), ..(**one).clone() } == **other
            }
            (Self::Service(_), Self::Url { .. }) | (Self::Url { .. }, Self::Service(_)) => false,
        }
    }
}

impl View {
    /// Takes out every static route that `wanted` does not have, or has with another target.
    pub(super) fn drop_static_routes(&mut self, wanted: &[StaticRoute], effects: &mut Effects) {
        let kept: HashSet<RouteKey> = wanted
            .iter()
            .map(|route| (route.place(), &route.target))
            .filter(|(place, target)| {
                self.static_routes.routes.get(place).is_some_and(|fixed| fixed.target.is_same(target))
            })
            .map(|(place, _)| place)
            .collect();
        let mut gone: Vec<_> = self.static_routes.routes.extract_if(|place, _| !kept.contains(place)).collect();
        // The order of a hash is no order: indexes are given again as they were freed.
        gone.sort_by_key(|(_, fixed)| fixed.index);
        for ((host, pattern, method), InstalledStaticRoute { target, index, .. }) in gone {
            self.snapshot.table.remove(host.as_ref(), &method, &pattern);
            self.snapshot.services.set(index.0 as usize, None);
            if self.static_routes.tokens.remove(&index).is_some() {
                effects.unwatch_name(DnsSubject::Static(index));
            }
            if let StaticTarget::Service(name) = target {
                self.remove_alias(&name, index);
            }
            self.free(index);
        }
    }

    /// Puts a static route in, or the new form of one that leads where it led. Gives the service that it leads to by name,
    /// where it did not before.
    pub(super) fn add_static(
        &mut self,
        fixed: StaticRoute,
        token: NameToken,
        now: Now,
        effects: &mut Effects,
    ) -> Option<ServiceName> {
        let place = fixed.place();
        let known =
            self.static_routes.routes.get(&place).map(|before| (before.index, before.permission == fixed.permission));
        if let (Some((index, _)), StaticTarget::Url { spec, .. }) = (known, &fixed.target) {
            self.renumber(index, spec);
        }
        if known.is_some_and(|(_, is_same)| is_same) {
            return None;
        }
        let (index, is_new) = known.map_or_else(|| (self.take_index(), true), |(index, _)| (index, false));
        let StaticRoute { host, method, pattern, permission, target } = fixed;
        let owner = Owner::Static(index);
        let counter = RouteCounter::default();
        let route = Route { host, method, pattern, permission: permission.clone(), owner, counter };
        self.snapshot.table.insert(Arc::new(route));
        let shown = if is_new { self.lead(index, &target, token, now, effects) } else { None };
        self.static_routes.routes.insert(place, InstalledStaticRoute { permission, target, index });
        shown
    }

    /// Has a new static route's index lead to its target; gives the service that is to be shown there.
    fn lead(
        &mut self,
        index: ServiceIndex,
        target: &StaticTarget,
        token: NameToken,
        now: Now,
        effects: &mut Effects,
    ) -> Option<ServiceName> {
        let (spec, addresses) = match target {
            StaticTarget::Service(name) => {
                self.add_alias(name, index);
                return Some(name.clone());
            }
            StaticTarget::Url { spec, addresses } => (spec, addresses),
        };
        let service = static_service(Arc::new((**spec).clone()), addresses, now);
        self.snapshot.services.set(index.0 as usize, service.map(Arc::new));
        if let UpstreamHost::Name(name) = &spec.url.host {
            self.static_routes.tokens.insert(index, token);
            let watch = NameWatch { token, name: name.clone(), port: spec.url.port };
            effects.watch_name(DnsSubject::Static(index), watch);
        }
        None
    }

    /// A static route's name leads elsewhere; says whether that is news.
    pub(super) fn move_static(&mut self, index: ServiceIndex, token: NameToken, addresses: &Arc<[SocketAddr]>) -> bool {
        // An answer about a name that the index was given for before says nothing of this one's.
        let is_awaited = self.static_routes.tokens.get(&index) == Some(&token);
        let Some(instance) = self.static_instance(index).filter(|_| is_awaited) else { return false };
        if is_same_set(&instance.addresses, addresses) {
            return false;
        }
        let moved = Instance {
            spec: Arc::clone(&instance.spec),
            addresses: Arc::clone(addresses),
            status: instance.status,
            pool_group: instance.pool_group.next(),
            live: Arc::clone(&instance.live),
        };
        self.show_static(index, moved);
        self.advance();
        true
    }

    /// Its id says which route of the configuration it is, and that may be another one now.
    fn renumber(&mut self, index: ServiceIndex, spec: &InstanceSpec) {
        let Some(instance) = self.static_instance(index).filter(|instance| instance.spec.id != spec.id) else { return };
        let renumbered = Instance {
            spec: Arc::new(spec.clone()),
            addresses: Arc::clone(&instance.addresses),
            status: instance.status,
            pool_group: instance.pool_group,
            live: Arc::clone(&instance.live),
        };
        self.show_static(index, renumbered);
    }

    fn static_instance(&self, index: ServiceIndex) -> Option<Arc<Instance>> {
        self.snapshot.service(index)?.instances.first().cloned()
    }

    fn show_static(&mut self, index: ServiceIndex, instance: Instance) {
        let Some(service) = self.snapshot.service(index) else { return };
        let service = Service {
            definition: Arc::clone(&service.definition),
            kind: service.kind,
            status: service.status,
            blocked: None,
            instances: Box::new([Arc::new(instance)]),
            instance_set: Arc::default(),
            live: Arc::clone(&service.live),
        };
        self.snapshot.services.set(index.0 as usize, Some(Arc::new(service)));
    }

    /// The indexes of all static routes, each by its place in the table, for the invariants.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn static_indexes(&self) -> impl Iterator<Item = (&RouteKey, ServiceIndex)> {
        self.static_routes.routes.iter().map(|(place, fixed)| (place, fixed.index))
    }
}

fn static_service(spec: Arc<InstanceSpec>, addresses: &Arc<[SocketAddr]>, now: Now) -> Option<Service> {
    // The name is seen in logs alone; `ServiceKind::Static` tells it from a registered service of that name.
    let name = ServiceName::try_new("static").ok()?;
    let live = Arc::new(InstanceLive::default());
    Some(Service {
        definition: Arc::new(Definition::new(name)),
        kind: ServiceKind::Static,
        status: Status::Up,
        blocked: None,
        instances: Box::new([instance(&spec, addresses, Status::Up, PoolGroup::default(), &live)]),
        instance_set: Arc::default(),
        live: Arc::new(ServiceLive::new(now.unix_ms)),
    })
}
