//! Static routes in the snapshot: their places, what they lead to, and which of them a new configuration keeps.
//!
//! One that leads where it led before keeps its slot, its counters and what its name resolved to; any other is put in
//! anew. Never asks whether a registration is in the way: `reconfigure` has seen to that. Called by it and by
//! [`Registry::new`](super::Registry::new).

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::view::{View, instance, is_same_set};
use super::{Effect, Followed, NameOrder, Now};
use crate::model::{
    Definition, Generation, Host, InstanceSpec, MethodRule, Pattern, Permission, ServiceName, Status, UpstreamHost,
};
use crate::routing::{Instance, InstanceLive, Owner, Route, RouteCounter, Service, ServiceKind, ServiceLive, Slot};

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
type Place = (Option<Host>, Pattern, MethodRule);

/// The static routes in force.
#[derive(Default)]
pub(super) struct Statics {
    routes: HashMap<Place, Fixed>,
    /// What answers about the name of the one at a slot must carry.
    orders: HashMap<Slot, Generation>,
}

/// One of them.
struct Fixed {
    permission: Option<Permission>,
    target: StaticTarget,
    slot: Slot,
}

impl StaticRoute {
    fn place(&self) -> Place {
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
    pub(super) fn drop_statics(&mut self, wanted: &[StaticRoute], effects: &mut Vec<Effect>) {
        let kept: HashSet<Place> = wanted
            .iter()
            .map(|route| (route.place(), &route.target))
            .filter(|(place, target)| self.statics.routes.get(place).is_some_and(|fixed| fixed.target.is_same(target)))
            .map(|(place, _)| place)
            .collect();
        let mut gone: Vec<_> = self.statics.routes.extract_if(|place, _| !kept.contains(place)).collect();
        // The order of a hash is no order: slots are given again as they were freed.
        gone.sort_by_key(|(_, fixed)| fixed.slot);
        for ((host, pattern, method), Fixed { target, slot, .. }) in gone {
            self.snapshot.table.remove(host.as_ref(), &method, &pattern);
            self.snapshot.services.set(slot.0 as usize, None);
            if self.statics.orders.remove(&slot).is_some() {
                effects.push(Effect::ForgetName(Followed::Static(slot)));
            }
            if let StaticTarget::Service(name) = target {
                self.remove_alias(&name, slot);
            }
            self.free(slot);
        }
    }

    /// Puts a static route in, or the new form of one that leads where it led. Gives the service that it leads to by name,
    /// where it did not before.
    pub(super) fn add_static(
        &mut self,
        fixed: StaticRoute,
        order: Generation,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Option<ServiceName> {
        let place = fixed.place();
        let known = self.statics.routes.get(&place).map(|before| (before.slot, before.permission == fixed.permission));
        if let (Some((slot, _)), StaticTarget::Url { spec, .. }) = (known, &fixed.target) {
            self.renumber(slot, spec);
        }
        if known.is_some_and(|(_, is_same)| is_same) {
            return None;
        }
        let (slot, is_new) = known.map_or_else(|| (self.take_slot(), true), |(slot, _)| (slot, false));
        let StaticRoute { host, method, pattern, permission, target } = fixed;
        let owner = Owner::Static(slot);
        let counter = RouteCounter::default();
        let route = Route { host, method, pattern, permission: permission.clone(), owner, counter };
        self.snapshot.table.insert(Arc::new(route));
        let shown = if is_new { self.lead(slot, &target, order, now, effects) } else { None };
        self.statics.routes.insert(place, Fixed { permission, target, slot });
        shown
    }

    /// Has a new static route's slot lead to its target; gives the service that is to be shown there.
    fn lead(
        &mut self,
        slot: Slot,
        target: &StaticTarget,
        order: Generation,
        now: Now,
        effects: &mut Vec<Effect>,
    ) -> Option<ServiceName> {
        let (spec, addresses) = match target {
            StaticTarget::Service(name) => {
                self.add_alias(name, slot);
                return Some(name.clone());
            }
            StaticTarget::Url { spec, addresses } => (spec, addresses),
        };
        let service = static_service(Arc::new((**spec).clone()), addresses, now);
        self.snapshot.services.set(slot.0 as usize, service.map(Arc::new));
        if let UpstreamHost::Name(name) = &spec.url.host {
            self.statics.orders.insert(slot, order);
            let order = NameOrder { generation: order, name: name.clone(), port: spec.url.port };
            effects.push(Effect::FollowName(Followed::Static(slot), order));
        }
        None
    }

    /// A static route's name leads elsewhere; says whether that is news.
    pub(super) fn move_static(&mut self, slot: Slot, order: Generation, addresses: &Arc<[SocketAddr]>) -> bool {
        // An answer about a name that the slot was given for before says nothing of this one's.
        let is_awaited = self.statics.orders.get(&slot) == Some(&order);
        let Some(instance) = self.static_instance(slot).filter(|_| is_awaited) else { return false };
        if is_same_set(&instance.addresses, addresses) {
            return false;
        }
        let moved = Instance {
            spec: Arc::clone(&instance.spec),
            addresses: Arc::clone(addresses),
            status: instance.status,
            generation: instance.generation.next(),
            live: Arc::clone(&instance.live),
        };
        self.show_static(slot, moved);
        self.advance();
        true
    }

    /// Its id says which route of the configuration it is, and that may be another one now.
    fn renumber(&mut self, slot: Slot, spec: &InstanceSpec) {
        let Some(instance) = self.static_instance(slot).filter(|instance| instance.spec.id != spec.id) else { return };
        let renumbered = Instance {
            spec: Arc::new(spec.clone()),
            addresses: Arc::clone(&instance.addresses),
            status: instance.status,
            generation: instance.generation,
            live: Arc::clone(&instance.live),
        };
        self.show_static(slot, renumbered);
    }

    fn static_instance(&self, slot: Slot) -> Option<Arc<Instance>> {
        self.snapshot.service(slot)?.instances.first().cloned()
    }

    fn show_static(&mut self, slot: Slot, instance: Instance) {
        let Some(service) = self.snapshot.service(slot) else { return };
        let service = Service {
            definition: Arc::clone(&service.definition),
            kind: service.kind,
            status: service.status,
            blocked: None,
            instances: Box::new([Arc::new(instance)]),
            fleet: Arc::default(),
            live: Arc::clone(&service.live),
        };
        self.snapshot.services.set(slot.0 as usize, Some(Arc::new(service)));
    }

    /// The slots of all static routes, each by its place in the table, for the invariants.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn static_slots(&self) -> impl Iterator<Item = (&Place, Slot)> {
        self.statics.routes.iter().map(|(place, fixed)| (place, fixed.slot))
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
        instances: Box::new([instance(&spec, addresses, Status::Up, Generation::default(), &live)]),
        fleet: Arc::default(),
        live: Arc::new(ServiceLive::new(now.unix_ms)),
    })
}
