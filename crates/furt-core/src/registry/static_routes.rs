//! Static routes in the snapshot: their indexes, what they lead to, and which of them a new configuration keeps.
//!
//! One that leads where it led before keeps its index, its counters and what its name resolved to; any other is put in
//! anew. Never asks whether a registration is in the way: `reconfigure` has seen to that.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;

use super::effects::Effects;
use super::ids::DnsSubject;
use super::names::{WatchedNames, is_same_set};
use super::now::Now;
use super::publisher::Publisher;
use super::static_route::{StaticRoute, StaticTarget};
use super::token::Tokens;
use crate::model::{
    Definition, FixedAnswer, Host, InstanceSpec, MethodRule, Pattern, Permission, ServiceName, Status, Subject,
};
use crate::routing::{
    Instance, InstanceLive, Owner, Part, PoolGroup, Route, RouteCounter, RouteRules, Service, ServiceIndex,
    ServiceKind, ServiceLive,
};

/// Host, pattern and method: what is one route in the table.
type RouteKey = (Option<Host>, Pattern, MethodRule);

/// The static routes in force.
#[derive(Default)]
pub(super) struct StaticRoutes {
    routes: HashMap<RouteKey, InstalledStaticRoute>,
}

/// One of them.
struct InstalledStaticRoute {
    permission: Option<Permission>,
    rules: Option<Arc<RouteRules>>,
    target: StaticTarget,
    index: ServiceIndex,
}

/// The parts that a change of static routes goes to.
pub(super) struct StaticRouteParts<'a> {
    pub(super) publisher: &'a mut Publisher,
    pub(super) names: &'a mut WatchedNames,
    pub(super) tokens: &'a mut Tokens,
    pub(super) effects: &'a mut Effects,
}

impl StaticRoutes {
    /// Takes out every static route that `wanted` does not have, or has with another target.
    pub(super) fn remove_others(&mut self, wanted: &[StaticRoute], parts: &mut StaticRouteParts<'_>) {
        let kept: HashSet<RouteKey> = wanted
            .iter()
            .map(|route| (key(route), &route.target))
            .filter(|(key, target)| self.routes.get(key).is_some_and(|fixed| fixed.target.is_same(target)))
            .map(|(key, _)| key)
            .collect();
        let mut gone: Vec<_> = self.routes.extract_if(|key, _| !kept.contains(key)).collect();
        // The order of a hash is no order: indexes are given again as they were freed.
        gone.sort_by_key(|(_, fixed)| fixed.index);
        for ((host, pattern, method), InstalledStaticRoute { target, index, .. }) in gone {
            parts.publisher.remove_route(host.as_ref(), &method, &pattern);
            parts.publisher.set_static(index, None);
            parts.names.unwatch(DnsSubject::Static(index), parts.effects);
            if let StaticTarget::Service(name) = target {
                parts.publisher.remove_alias(&name, index);
            }
            parts.publisher.free(index);
        }
    }

    /// Puts a static route in, or the new form of one that leads where it led. Gives the service that it leads to by name,
    /// where it did not before.
    pub(super) fn add(
        &mut self,
        fixed: StaticRoute,
        now: Now,
        parts: &mut StaticRouteParts<'_>,
    ) -> Option<ServiceName> {
        let key = key(&fixed);
        let rules = parts.publisher.rules_of_static(subject(&fixed));
        let is_same = |before: &InstalledStaticRoute| before.permission == fixed.permission && before.rules == rules;
        let known = self.routes.get(&key).map(|before| (before.index, is_same(before)));
        if let (Some((index, _)), StaticTarget::Url { spec, .. }) = (known, &fixed.target) {
            renumber(index, spec, parts.publisher);
        }
        if known.is_some_and(|(_, is_same)| is_same) {
            return None;
        }
        let (index, is_new) = known.map_or_else(|| (parts.publisher.take_index(), true), |(index, _)| (index, false));
        let StaticRoute { host, method, pattern, permission, target } = fixed;
        let owner = Owner::Static(index);
        parts.publisher.insert_route(Route {
            host,
            method,
            pattern,
            permission: permission.clone(),
            owner,
            rules: rules.clone(),
            counter: RouteCounter::default(),
        });
        let service = if is_new { lead(index, &target, now, parts) } else { None };
        self.routes.insert(key, InstalledStaticRoute { permission, rules, target, index });
        service
    }

    /// All of them, as rules select them.
    pub(super) fn subjects(&self) -> impl Iterator<Item = Subject<'_>> {
        self.routes.iter().map(|((host, pattern, method), fixed)| Subject {
            service: service(&fixed.target),
            host: host.as_ref(),
            method,
            pattern,
            is_public: fixed.permission.is_none(),
        })
    }

    /// The indexes of all static routes, each by its key in the table, for the invariants.
    #[cfg(any(test, debug_assertions))]
    pub(super) fn indexes(&self) -> impl Iterator<Item = (&RouteKey, ServiceIndex)> {
        self.routes.iter().map(|(key, fixed)| (key, fixed.index))
    }
}

/// The route, as rules select it.
fn subject(route: &StaticRoute) -> Subject<'_> {
    Subject {
        service: service(&route.target),
        host: route.host.as_ref(),
        method: &route.method,
        pattern: &route.pattern,
        is_public: route.permission.is_none(),
    }
}

fn service(target: &StaticTarget) -> Option<&ServiceName> {
    match target {
        StaticTarget::Service(service) => Some(service),
        StaticTarget::Url { .. } | StaticTarget::Answer(_) => None,
    }
}

fn key(route: &StaticRoute) -> RouteKey {
    (route.host.clone(), route.pattern.clone(), route.method.clone())
}

/// Has a new static route's index lead to its target; gives the service that is to be published there.
fn lead(index: ServiceIndex, target: &StaticTarget, now: Now, parts: &mut StaticRouteParts<'_>) -> Option<ServiceName> {
    match target {
        StaticTarget::Service(name) => {
            parts.publisher.add_alias(name, index);
            Some(name.clone())
        }
        StaticTarget::Url { spec, addresses } => {
            parts.publisher.set_static(index, static_service(Arc::new((**spec).clone()), addresses, now));
            parts.names.watch(DnsSubject::Static(index), &spec.url, parts.tokens, parts.effects);
            None
        }
        StaticTarget::Answer(answer) => {
            parts.publisher.set_static(index, answering(answer.clone(), now));
            None
        }
    }
}

/// The name of a static route's url leads elsewhere; says whether that is news.
pub(super) fn move_static(index: ServiceIndex, addresses: &Arc<[SocketAddr]>, publisher: &mut Publisher) -> bool {
    let Some(instance) = static_instance(index, publisher) else { return false };
    if is_same_set(&instance.addresses, addresses) {
        return false;
    }
    let moved = Instance {
        spec: Arc::clone(&instance.spec),
        addresses: Arc::clone(addresses),
        status: instance.status,
        soft_limit: instance.soft_limit,
        hard_limit: instance.hard_limit,
        pool_group: instance.pool_group.next(),
        live: Arc::clone(&instance.live),
    };
    replace(index, moved, publisher);
    publisher.advance();
    true
}

/// The instance's id says which route of the configuration it is, and that may be another one now.
fn renumber(index: ServiceIndex, spec: &InstanceSpec, publisher: &mut Publisher) {
    let Some(instance) = static_instance(index, publisher).filter(|instance| instance.spec.id != spec.id) else {
        return;
    };
    let renumbered = Instance {
        spec: Arc::new(spec.clone()),
        addresses: Arc::clone(&instance.addresses),
        status: instance.status,
        soft_limit: instance.soft_limit,
        hard_limit: instance.hard_limit,
        pool_group: instance.pool_group,
        live: Arc::clone(&instance.live),
    };
    replace(index, renumbered, publisher);
}

fn static_instance(index: ServiceIndex, publisher: &Publisher) -> Option<Arc<Instance>> {
    publisher.service(index)?.instances.first().cloned()
}

fn replace(index: ServiceIndex, instance: Instance, publisher: &mut Publisher) {
    let Some(service) = publisher.service(index) else { return };
    let service = Service {
        live: Arc::clone(&service.live),
        ..Service::new(
            Arc::clone(&service.definition),
            service.kind.clone(),
            service.status,
            Box::new([Arc::new(instance)]),
        )
    };
    publisher.set_static(index, Some(service));
}

/// A static route's url as a service.
fn static_service(spec: Arc<InstanceSpec>, addresses: &Arc<[SocketAddr]>, now: Now) -> Option<Service> {
    let instance = Instance {
        soft_limit: spec.soft_limit,
        hard_limit: spec.hard_limit,
        spec,
        addresses: Arc::clone(addresses),
        status: Status::Up,
        pool_group: PoolGroup::default(),
        live: Arc::new(InstanceLive::default()),
    };
    unregistered(ServiceKind::Static, Box::new([Arc::new(instance)]), now)
}

/// furt's own answer as a service, which always can be used.
fn answering(answer: FixedAnswer, now: Now) -> Option<Service> {
    unregistered(ServiceKind::Answers(answer), Box::new([]), now)
}

fn unregistered(kind: ServiceKind, instances: Box<[Arc<Instance>]>, now: Now) -> Option<Service> {
    // The name is seen in logs alone; the kind tells it from a registered service of that name.
    let name = ServiceName::try_new("static").ok()?;
    Some(Service {
        definition: Arc::new(Definition::new(name)),
        kind,
        status: Status::Up,
        suspended: None,
        instances,
        instance_set: Arc::default(),
        live: Arc::new(ServiceLive::new(now.unix_ms)),
        part: Part::default(),
        split: None,
    })
}
