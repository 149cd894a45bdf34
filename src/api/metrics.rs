//! `GET /metrics` and `GET /internal/stats`: what is counted, with what the snapshot shows beside it.
//!
//! The one is for Prometheus, by service and route; the other for `furt top`: counts of every service since it
//! registered, of which it takes the difference between two answers. Nothing here changes anything.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::Api;
use crate::clock;
use crate::telemetry::{Held, RouteKey, Seen, ServiceSeen};
use furt_core::live::{LATENCY_BUCKETS, STATUS_CLASSES, ServiceTraffic, TrafficCounts, latency_bound_us};
use furt_core::model::Status;
use furt_core::routing::{Service, Snapshot};

/// Patterns of a service that registered none: it is reached by its host.
const BY_HOST: [&str; 2] = ["/", "/*"];

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> impl IntoResponse {
    let look = || {
        let snapshot = api.snapshots.load_full();
        let now_ms = clock::unix_ms();
        let services = snapshot.registered().map(|service| seen(service, now_ms)).collect();
        Seen { services, is_there: move |key: &RouteKey, held| is_there(&snapshot, key, held) }
    };
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], api.telemetry.render(look))
}

fn seen(service: &Service, now_ms: i64) -> ServiceSeen {
    ServiceSeen {
        name: service.definition.service.clone(),
        events: Arc::clone(service.live.events()),
        is_up: service.status == Status::Up,
        uptime_ratio: service.live.uptime_share(service.status, now_ms),
        in_flight: in_flight(service),
        instances: [Status::Up, Status::Unknown, Status::Down].map(|status| instances(service, status)),
    }
}

/// Whether a service's definition has the pattern. A route of the configuration is there while the table holds it.
fn is_there(snapshot: &Snapshot, key: &RouteKey, held: Held) -> bool {
    let Some(name) = &key.service else { return held == Held::ByRoute };
    let service = snapshot.service_named(name.as_str()).filter(|service| service.suspended.is_none());
    service.is_some_and(|service| match service.definition.routes.as_slice() {
        [] => BY_HOST.contains(&key.pattern.as_str()),
        routes => routes.iter().any(|route| route.pattern == key.pattern),
    })
}

fn in_flight(service: &Service) -> u64 {
    service.instances.iter().map(|instance| u64::from(instance.live.in_flight())).sum()
}

fn instances(service: &Service, status: Status) -> u64 {
    service.instances.iter().filter(|instance| instance.status == status).count() as u64
}

/// `GET /internal/stats`
pub(super) async fn stats(State(api): State<Arc<Api>>) -> Json<Value> {
    let snapshot = api.snapshots.load_full();
    let now_ms = clock::unix_ms();
    let uptime_ms = clock::now().saturating_duration_since(api.started).as_millis();
    let series = &api.telemetry.series;
    Json(json!({
        // Whole ms: of a u128 that no process lives to fill.
        "uptime_ms": u64::try_from(uptime_ms).unwrap_or(u64::MAX),
        // Tells one start of furt from the next.
        "started_ms": api.started_ms,
        "epoch": snapshot.epoch.to_string(),
        "generation": snapshot.generation.0,
        "status_classes": STATUS_CLASSES,
        "latency_begins_us": (0..LATENCY_BUCKETS).map(latency_bound_us).collect::<Vec<_>>(),
        "services": snapshot.registered().map(|service| of_service(service, now_ms)).collect::<Vec<_>>(),
        "static": of_traffic(&series.fixed.read()),
        "unrouted": of_traffic(&series.unrouted.read()),
    }))
}

fn of_service(service: &Service, now_ms: i64) -> Value {
    let mut row = of_traffic(&counts(service));
    row["service"] = service.definition.service.as_str().into();
    row["status"] = service.status.as_str().into();
    row["registered_ms"] = service.live.registered_ms().into();
    row["instances"] = json!([instances(service, Status::Up), service.instances.len()]);
    row["in_flight"] = in_flight(service).into();
    row["uptime_share"] = service.live.uptime_share(service.status, now_ms).into();
    row
}

/// Nothing where there was no request: most services of a fleet have none at a time.
fn of_traffic(counts: &TrafficCounts) -> Value {
    if *counts == TrafficCounts::default() {
        return json!({});
    }
    json!({
        "requests": counts.classes,
        "refused": counts.refused,
        "errors": counts.failed,
        "latency": counts.latency,
    })
}

fn counts(service: &Service) -> TrafficCounts {
    service.live.traffic_so_far().map(ServiceTraffic::read).unwrap_or_default()
}

/// A service's requests as `/internal/services` shows them.
pub(super) fn requests(service: &Service) -> Value {
    let counts = counts(service);
    let by_status: serde_json::Map<_, _> =
        STATUS_CLASSES.into_iter().zip(counts.classes).map(|(class, count)| (class.to_owned(), count.into())).collect();
    json!({
        "total": counts.classes.iter().sum::<u64>(),
        "errors": counts.failed,
        "refused": counts.refused,
        "by_status": by_status,
    })
}
