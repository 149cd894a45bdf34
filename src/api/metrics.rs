//! `GET /metrics` and `GET /internal/stats`: what is counted, with what the snapshot shows beside it.
//!
//! The one is for Prometheus, by service and route; the other for `furt top`: counts of every service since it
//! registered, of which it takes the difference between two answers. Nothing here changes anything.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use furt_api::services::Requests;
use furt_api::stats::{Counts, ServiceStats, Stats, Traffic};

use super::{Api, listing};
use crate::clock;
use crate::telemetry::{CounterUse, RouteKey, ScrapeView, ServiceSample};
use crate::wire;
use furt_core::live::{LATENCY_BUCKETS, RouteTraffic, STATUS_CLASSES, ServiceTraffic, TrafficCounts, latency_bound_us};
use furt_core::model::Status;
use furt_core::routing::{Service, ServiceSplit, Snapshot};

/// Patterns of a service that registered none: it is reached by its host.
const BY_HOST: [&str; 2] = ["/", "/*"];

/// `GET /metrics`
pub(super) async fn metrics(State(api): State<Arc<Api>>) -> Response {
    let view = || {
        let snapshot = api.snapshots.load_full();
        let now_ms = clock::unix_ms();
        let services = snapshot.registered().map(|service| sample(service, now_ms)).collect();
        ScrapeView { services, has_route: move |key: &RouteKey, counters| has_route(&snapshot, key, counters) }
    };
    listing::in_pieces("text/plain; version=0.0.4", api.telemetry.gather(view))
}

fn sample(service: &Service, now_ms: i64) -> ServiceSample {
    ServiceSample {
        name: service.definition.service.clone(),
        events: Arc::clone(service.live.events()),
        is_up: service.status == Status::Up,
        uptime_ratio: service.live.uptime_share(service.status, now_ms),
        in_flight: in_flight(service),
        instances: [Status::Up, Status::Unknown, Status::Down].map(|status| instances(service, status)),
        sides: service.split.as_ref().map(|split| sides(split)).unwrap_or_default(),
    }
}

fn sides(split: &ServiceSplit) -> Vec<(Arc<str>, Arc<RouteTraffic>)> {
    split.traffic().map(|(name, traffic)| (name.into(), Arc::clone(traffic))).collect()
}

/// Whether a service's definition has the pattern. A route of the configuration is there while the table holds it.
fn has_route(snapshot: &Snapshot, key: &RouteKey, counters: CounterUse) -> bool {
    let Some(name) = &key.service else { return counters == CounterUse::Referenced };
    let service = snapshot.service_named(name.as_str()).filter(|service| service.suspended.is_none());
    service.is_some_and(|service| match service.definition.routes.as_slice() {
        [] => BY_HOST.contains(&key.pattern.as_str()),
        routes => routes.iter().any(|route| route.pattern == key.pattern),
    })
}

pub(super) fn in_flight(service: &Service) -> u64 {
    service.instances.iter().map(|instance| u64::from(instance.live.in_flight())).sum()
}

fn instances(service: &Service, status: Status) -> u64 {
    service.instances.iter().filter(|instance| instance.status == status).count() as u64
}

/// `GET /internal/stats`
pub(super) async fn stats(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshots.load_full();
    let now_ms = clock::unix_ms();
    let uptime_ms = clock::now().saturating_duration_since(api.started).as_millis();
    let series = &api.telemetry.series;
    let envelope = Stats {
        // Whole ms: of a u128 that no process lives to fill.
        uptime_ms: u64::try_from(uptime_ms).unwrap_or(u64::MAX),
        started_ms: api.started_ms,
        epoch: wire::epoch(snapshot.epoch),
        generation: wire::generation(snapshot.generation),
        status_classes: STATUS_CLASSES.map(str::to_owned).to_vec(),
        latency_begins_us: (0..LATENCY_BUCKETS).map(latency_bound_us).collect(),
        services: Vec::new(),
        static_routes: of_traffic(series.static_routes.read()),
        unrouted: of_traffic(series.unrouted.read()),
    };
    let services: Vec<_> = snapshot.registered().map(Arc::clone).collect();
    listing::list(&envelope, "services", services.into_iter().map(move |service| of_service(&service, now_ms)))
}

fn of_service(service: &Service, now_ms: i64) -> ServiceStats {
    ServiceStats {
        traffic: of_traffic(counts(service)),
        service: service.definition.service.as_str().into(),
        status: wire::status(service.status),
        registered_ms: service.live.registered_ms(),
        instances: [instances(service, Status::Up), service.instances.len() as u64],
        in_flight: in_flight(service),
        uptime_share: service.live.uptime_share(service.status, now_ms),
    }
}

/// Nothing where there was no request: most services of a fleet have none at a time.
fn of_traffic(counts: TrafficCounts) -> Traffic {
    let counts = Some(counts).filter(|counts| *counts != TrafficCounts::default());
    let shown = |TrafficCounts { classes, refused, failed, latency }| Counts {
        requests: classes.to_vec(),
        refused,
        errors: failed,
        latency,
    };
    Traffic { counts: counts.map(shown) }
}

fn counts(service: &Service) -> TrafficCounts {
    service.live.traffic_so_far().map(ServiceTraffic::read).unwrap_or_default()
}

/// A service's requests as `/internal/services` shows them.
pub(super) fn requests(service: &Service) -> Requests {
    let counts = counts(service);
    Requests {
        total: counts.classes.iter().sum(),
        errors: counts.failed,
        refused: counts.refused,
        by_status: STATUS_CLASSES.map(str::to_owned).into_iter().zip(counts.classes).collect(),
    }
}
