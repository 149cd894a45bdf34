//! Endpoints that change nothing: they read the snapshot and never ask the driver.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use furt_api::Code;
use furt_api::health::{GatewayStatus, Health};
use furt_api::routes::Routes;
use furt_api::services::{Service, Services};

use super::problem::Problem;
use super::{Api, listing, route_options, views, warnings};
use crate::clock;
use crate::status;
use crate::wire;
use furt_core::model::Role;
use furt_core::registry::Source;

/// `GET /internal/services`
pub(super) async fn services(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshots.load_full();
    let envelope = Services {
        time: wire::now(),
        services: Vec::new(),
        held: views::held(&snapshot),
        generation: wire::generation(snapshot.generation),
        epoch: wire::epoch(snapshot.epoch),
    };
    let shared = snapshot.shared_urls.clone();
    // Pointers, so that a client that reads slowly holds no snapshot.
    let services: Vec<_> = snapshot.registered().map(Arc::clone).collect();
    let table = snapshot.maintenance.clone();
    let shown = services.into_iter().map(move |service| views::service(&service, &shared, table.as_deref()));
    listing::list(&envelope, "services", shown)
}

/// `GET /internal/services/{service}`
pub(super) async fn service(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Json<Service>, Problem> {
    let snapshot = api.snapshots.load_full();
    let found = snapshot.service_named(&name).map(|service| {
        let mut shown = views::service(service, &snapshot.shared_urls, snapshot.maintenance.as_deref());
        shown.warnings.extend(warnings::of_routes(service));
        shown.warnings.extend(route_options::skipped_of(service, &snapshot));
        Json(Service { time: Some(wire::now()), ..shown })
    });
    found.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, Code::NotFound, format!("service \"{name}\" is not registered"))
    })
}

/// `GET /internal/routes`
pub(super) async fn routes(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshots.load_full();
    let routes: Vec<_> = snapshot.table.iter().map(Arc::clone).collect();
    let envelope = Routes { total: routes.len(), routes: Vec::new() };
    listing::list(&envelope, "routes", routes.into_iter().map(move |route| views::route(&route, &snapshot)))
}

/// `GET /health`: of furt itself what edgeProxy says, and for those who may register or operate of all services.
pub(super) async fn health(State(api): State<Arc<Api>>, Extension(source): Extension<Source>) -> Json<Health> {
    let snapshot = api.snapshots.load();
    let faults = snapshot.provider_faults();
    let mut body = if source.may(Role::Read) || snapshot.config.gateway.allow_registration_from.contains(source.address)
    {
        let mut body = status::detailed(&api.telemetry.issues, &faults, &snapshot);
        body.generation = Some(wire::generation(snapshot.generation));
        body.epoch = Some(wire::epoch(snapshot.epoch));
        body
    } else {
        status::brief(&api.telemetry.issues, &faults)
    };
    // edgeProxy's clients ask here and know "ok"; the public listener says "healthy".
    if body.status == GatewayStatus::Healthy {
        body.status = GatewayStatus::Ok;
    }
    // Not by their ids: that of one that is gone may stay until the next publish.
    body.backends = Some(snapshot.registered().map(|service| service.instances.len()).sum());
    body.uptime_secs = Some(clock::now().saturating_duration_since(api.started).as_secs());
    Json(body)
}

/// `GET /livez`: the process answers.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the configuration is in force, the snapshot published, the public listener open; until it stops.
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> impl IntoResponse {
    if api.readiness.is_ready() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}
