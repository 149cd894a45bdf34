//! Services, instances and routes as operators are shown them.

use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::metrics;
use crate::clock;
use furt_core::model::RouteSpec;
use furt_core::routing::{Instance, Owner, Route, Service, ServiceKind, Snapshot};

pub(super) fn service(service: &Service) -> Value {
    let definition = &service.definition;
    let now_ms = clock::unix_ms();
    json!({
        "service": definition.service.as_str(),
        "status": service.status.as_str(),
        "blocked": service.suspended.as_deref(),
        "draining": service.is_draining(),
        "since": clock::rfc3339(service.live.since_ms()),
        "uptime_share": service.live.uptime_share(service.status, now_ms),
        "transitions": service.live.transitions(),
        "requests": metrics::requests(service),
        "waiting": service.live.waiting.load(Ordering::Relaxed),
        "host": definition.host.as_ref().map(|host| host.as_str()),
        "routes": definition.routes.iter().map(|one| route_spec(one, service)).collect::<Vec<_>>(),
        "policy": definition.policy.as_str(),
        "hash_key": definition.hash_key.as_deref(),
        "slow_start": definition.slow_start.map(|time| time.as_secs_f64()),
        "timeouts": {
            "connect": definition.timeouts.connect.map(|time| time.as_secs_f64()),
            "read": definition.timeouts.read.map(|time| time.as_secs_f64()),
        },
        "metadata": definition.metadata,
        "revision": definition.revision,
        "instances": service.instances.iter().map(|one| instance(one)).collect::<Vec<_>>(),
    })
}

fn route_spec(route: &RouteSpec, service: &Service) -> Value {
    json!({
        "method": route.method.as_str(),
        "path": route.pattern.as_str(),
        "permission": route.permission.as_ref().map(|permission| permission.as_str()),
        "routed": service.is_routable(),
    })
}

fn instance(instance: &Instance) -> Value {
    let (spec, live) = (&instance.spec, &instance.live);
    let ttl_ms = live.ttl_ms.load(std::sync::atomic::Ordering::Relaxed);
    let time = |ms: i64| clock::rfc3339(ms);
    let load = |ms: &std::sync::atomic::AtomicI64| ms.load(std::sync::atomic::Ordering::Relaxed);
    json!({
        "instance": spec.id.as_str(),
        "url": spec.url.to_string(),
        "addresses": instance.addresses.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "protocol": spec.protocol.as_str(),
        "tls_name": spec.tls_name.as_deref(),
        "health_endpoint": spec.health_endpoint.as_deref(),
        "status": instance.status.as_str(),
        "draining": live.is_draining(),
        "since": time(load(&live.since_ms)),
        "last_ping": live.last_ping_ms().map(time),
        "response_time_ms": live.response_time_us().map(|us| us as f64 / 1000.0),
        "consecutive_failures": live.consecutive_failures(),
        "last_error": live.last_error().map(|error| error.to_string()),
        "probing": spec.health_endpoint.is_some() && !live.is_probing_stopped(),
        "last_heard": time(load(&live.heard_ms)),
        "heartbeat_ttl": Some(ttl_ms).filter(|&ms| ms != 0).map(|ms| ms as f64 / 1000.0),
        "in_flight": live.in_flight(),
        "ejected_until": live.ejected_until_ms(clock::unix_ms()).map(time),
        "weight": spec.weight,
        "soft_limit": spec.soft_limit,
        "hard_limit": spec.hard_limit,
        "region": spec.region.as_ref().map(|region| region.as_str()),
        "country": spec.country.as_ref().map(|country| country.as_str()),
    })
}

/// A route of the table: `service` names whose it is, `static` where it leads instead.
pub(super) fn route(route: &Route, snapshot: &Snapshot) -> Value {
    let service = snapshot.service(route.owner.index());
    let name = service
        .filter(|service| service.kind == ServiceKind::Registered)
        .map(|service| service.definition.service.as_str());
    let url =
        service.filter(|service| service.kind == ServiceKind::Static).and_then(|service| service.instances.first());
    json!({
        "method": route.method.as_str(),
        "path": route.pattern.as_str(),
        "host": route.host.as_ref().map(|host| host.as_str()),
        "permission": route.permission.as_ref().map(|permission| permission.as_str()),
        "service": name,
        "static": matches!(route.owner, Owner::Static(_)),
        "url": url.map(|instance| instance.spec.url.to_string()),
        "status": service.map_or("DOWN", |service| service.status.as_str()),
        "routed": snapshot.is_usable(route),
    })
}
