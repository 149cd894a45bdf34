//! Services, instances and routes as operators are shown them.

use std::sync::atomic::{AtomicI64, Ordering};

use furt_api::route_options::RouteTimeouts;
use furt_api::services::{Drain, HealthCheck, HeldId, Instance, Service, ServiceRoute, ServiceTimeouts};
use furt_api::{Document, Seconds, Status, routes};

use super::{maintenance, metrics, route_options, splits, warnings};
use crate::clock;
use crate::wire;
use furt_core::model::{self, DrainMark, RouteSpec};
use furt_core::routing::{self, MaintenanceTable, Owner, Route, ServiceKind, SharedUrls, Snapshot};

pub(super) fn service(
    service: &routing::Service,
    shared: &SharedUrls,
    in_maintenance: Option<&MaintenanceTable>,
) -> Service {
    let definition = &service.definition;
    let is_sticky = definition.policy == model::LoadBalancingPolicy::Sticky;
    Service {
        service: definition.service.as_str().into(),
        status: wire::status(service.status),
        blocked: service.suspended.as_deref().map(str::to_owned),
        warnings: [warnings::of(service, shared), splits::without_instances_today(service)].concat(),
        draining: service.is_draining(),
        maintenance: maintenance::of_service(&definition.service, in_maintenance),
        split: service.split.as_ref().map(|split| splits::shown(&definition.service, &split.split)),
        since: wire::time(service.live.since_ms()),
        uptime_share: service.live.uptime_share(service.status, clock::unix_ms()),
        transitions: service.live.transitions(),
        requests: metrics::requests(service),
        waiting: service.live.waiting(),
        host: definition.host.as_ref().map(|host| host.as_str().to_owned()),
        routes: definition.routes.iter().map(|one| route_spec(one, service)).collect(),
        policy: definition.policy.as_str().to_owned(),
        hash_key: definition.hash_key.as_deref().map(str::to_owned),
        sticky_by: is_sticky.then(|| definition.sticky_by.as_str().to_owned()),
        slow_start: definition.slow_start.map(Seconds::from),
        timeouts: ServiceTimeouts {
            connect: definition.timeouts.connect.map(Seconds::from),
            read: definition.timeouts.read.map(Seconds::from),
            total: route_options::shown_total(definition.options.restrictions.as_deref()),
        },
        limits: route_options::shown_limits(definition.options.restrictions.as_deref()),
        retries: route_options::shown_retries(definition.options.restrictions.as_deref()),
        auth: route_options::shown_auth(definition.options.restrictions.as_deref()),
        cors: definition.options.cors.value().map(|cors| route_options::shown_cors(cors)),
        rewrite: definition.options.rewrite.value().map(|rewrite| route_options::shown_rewrite(rewrite)),
        compress: route_options::shown_compress(&definition.options.compress),
        health_check: health_check(&definition.health_check),
        metadata: definition.metadata.clone(),
        revision: definition.revision,
        instances: service.instances.iter().map(|one| instance(one)).collect(),
        time: None,
    }
}

fn health_check(check: &model::HealthCheck) -> Option<HealthCheck> {
    let shown = HealthCheck {
        interval: check.interval.map(Seconds::from),
        timeout: check.timeout.map(Seconds::from),
        failures: check.failures,
        status: check.status.map(|status| status.to_string()),
        host: check.host.as_ref().map(|host| host.as_str().to_owned()),
        grpc: check.grpc.as_deref().map(str::to_owned),
    };
    Some(shown).filter(|shown| *shown != HealthCheck::default())
}

fn route_spec(route: &RouteSpec, service: &routing::Service) -> ServiceRoute {
    let restrictions = route.options.restrictions.as_deref();
    let timeouts = RouteTimeouts {
        read: route.options.read_timeout.value().copied().map(Seconds::from),
        total: route_options::shown_total(restrictions),
    };
    ServiceRoute {
        method: route.method.as_str().to_owned(),
        path: route.pattern.as_str().to_owned(),
        permission: route.permission.as_ref().map(|permission| permission.as_str().to_owned()),
        routed: service.is_routable(),
        cors: route_options::shown_of_route(&route.options.cors, route_options::shown_cors),
        rewrite: route_options::shown_of_route(&route.options.rewrite, route_options::shown_rewrite),
        compress: route_options::shown_compress(&route.options.compress),
        limits: route_options::shown_limits(restrictions),
        timeouts: Some(timeouts).filter(|timeouts| *timeouts != RouteTimeouts::default()),
        retries: route_options::shown_retries(restrictions),
        auth: route_options::shown_auth(restrictions),
    }
}

pub(super) fn instance(instance: &routing::Instance) -> Instance {
    let (spec, live) = (&instance.spec, &instance.live);
    let load = |ms: &AtomicI64| ms.load(Ordering::Relaxed);
    Instance {
        instance: spec.id.as_str().into(),
        url: spec.url.to_string(),
        addresses: instance.addresses.iter().map(ToString::to_string).collect(),
        protocol: spec.protocol.as_str().to_owned(),
        tls_name: spec.tls_name.as_deref().map(str::to_owned),
        health_endpoint: spec.health_endpoint.as_deref().map(str::to_owned),
        status: wire::status(instance.status),
        draining: live.is_draining(),
        drain: live.drain().map(|mark| drain(&mark)),
        incarnation: spec.incarnation.as_ref().map(|incarnation| incarnation.as_str().to_owned()),
        version: spec.version.as_ref().map(|version| version.as_str().to_owned()),
        replaced: live.replaced().map(|incarnation| incarnation.as_str().to_owned()),
        since: wire::time(load(&live.since_ms)),
        last_ping: live.last_ping_ms().map(wire::time),
        response_time_ms: live.response_time_us().map(|us| us as f64 / 1000.0),
        consecutive_failures: live.consecutive_failures(),
        last_error: live.last_error().map(|error| error.to_string()),
        probing: spec.health_endpoint.is_some() && !live.is_probing_stopped(),
        last_heard: wire::time(load(&live.heard_ms)),
        heartbeat_ttl: heartbeat_ttl(instance),
        in_flight: live.in_flight(),
        ejected_until: live.ejected_until_ms(clock::unix_ms()).map(wire::time),
        weight: spec.weight,
        soft_limit: spec.soft_limit,
        hard_limit: spec.hard_limit,
        region: spec.region.as_ref().map(|region| region.as_str().to_owned()),
        country: spec.country.as_ref().map(|country| country.as_str().to_owned()),
        document: spec.document.as_ref().map(|document| Document(document.fields())),
    }
}

fn drain(mark: &DrainMark) -> Drain {
    Drain {
        until: wire::drain_until(mark.until),
        from: mark.by.as_ref().map(|by| by.address.to_string()),
        by: mark.by.as_ref().and_then(wire::operator),
        since: mark.began_ms.map(wire::time),
        needs_undo: mark.needs_undo(),
    }
}

/// Ids that are held and under which nobody is registered.
pub(super) fn held(snapshot: &Snapshot) -> Vec<HeldId> {
    let is_registered = |held: &routing::HeldId| {
        let service = snapshot.service_named(held.service.as_str());
        service.is_some_and(|service| service.instances.iter().any(|one| one.spec.id == held.id))
    };
    let absent = snapshot.held.iter().filter(|held| !is_registered(held));
    let shown = |held: &routing::HeldId| HeldId {
        service: held.service.as_str().into(),
        instance: held.id.as_str().into(),
        drain: drain(&held.mark),
    };
    absent.map(shown).collect()
}

/// `None`: it may be silent.
pub(super) fn heartbeat_ttl(instance: &routing::Instance) -> Option<Seconds> {
    let ttl_ms = instance.live.ttl_ms.load(Ordering::Relaxed);
    Some(ttl_ms).filter(|&ms| ms != 0).map(|ms| Seconds(ms as f64 / 1000.0))
}

/// A route of the table: `service` names whose it is, `static` where it leads instead.
pub(super) fn route(route: &Route, snapshot: &Snapshot) -> routes::Route {
    let service = snapshot.service(route.owner.index());
    let registered = service.filter(|service| service.kind == ServiceKind::Registered);
    let url =
        service.filter(|service| service.kind == ServiceKind::Static).and_then(|service| service.instances.first());
    let answer = service.and_then(|service| match &service.kind {
        ServiceKind::Answers(answer) => Some(answer.to_string()),
        ServiceKind::Registered | ServiceKind::Static => None,
    });
    let (auth, has_other_auth) = route.rules.as_ref().map(|rules| rules.auth_of_all()).unwrap_or_default();
    routes::Route {
        method: route.method.as_str().to_owned(),
        path: route.pattern.as_str().to_owned(),
        host: route.host.as_ref().map(|host| host.as_str().to_owned()),
        permission: route.permission.as_ref().map(|permission| permission.as_str().to_owned()),
        auth: auth.map(|methods| methods.iter().map(|one| one.as_str().to_owned()).collect()),
        has_other_auth,
        service: registered.map(|service| service.definition.service.as_str().into()),
        is_static: matches!(route.owner, Owner::Static(_)),
        url: url.map(|instance| instance.spec.url.to_string()),
        answer,
        status: service.map_or(Status::Down, |service| wire::status(service.status)),
        routed: snapshot.is_usable(route),
    }
}
