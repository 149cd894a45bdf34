//! Endpoints that only look: they read the snapshot and never ask the driver.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde_json::{Value, json};

use super::problem::Problem;
use super::{Api, listing, views};
use crate::clock;
use crate::status;
use furt_core::registry::Source;

/// `GET /internal/services`
pub(super) async fn services(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshots.load_full();
    let before = json!({ "time": clock::rfc3339_ms(clock::unix_ms()) });
    let after = json!({ "generation": snapshot.generation.0, "epoch": snapshot.epoch.to_string() });
    // Pointers, so that a client that reads slowly holds no snapshot.
    let services: Vec<_> = snapshot.registered().map(Arc::clone).collect();
    listing::list(&before, "services", services.into_iter().map(|service| views::service(&service)), &after)
}

/// `GET /internal/services/{service}`
pub(super) async fn service(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Json<Value>, Problem> {
    let snapshot = api.snapshots.load_full();
    let found = snapshot.service_named(&name).map(|service| {
        let mut shown = views::service(service);
        shown["time"] = clock::rfc3339_ms(clock::unix_ms()).into();
        Json(shown)
    });
    found.ok_or_else(|| {
        Problem::new(StatusCode::NOT_FOUND, "not-found", format!("service \"{name}\" is not registered"))
    })
}

/// `GET /internal/routes`
pub(super) async fn routes(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshots.load_full();
    let routes: Vec<_> = snapshot.table.iter().map(Arc::clone).collect();
    let before = json!({ "total": routes.len() });
    let shown = routes.into_iter().map(move |route| views::route(&route, &snapshot));
    listing::list(&before, "routes", shown, &json!({}))
}

/// `GET /health`: of furt itself what edgeProxy says, and for those who may register or operate of all services.
pub(super) async fn health(State(api): State<Arc<Api>>, Extension(source): Extension<Source>) -> Json<Value> {
    let snapshot = api.snapshots.load();
    let mut body = if source.is_operator || snapshot.config.gateway.allow_registration_from.contains(source.address) {
        let mut body = status::detailed(&api.telemetry, &snapshot);
        body["generation"] = snapshot.generation.0.into();
        body["epoch"] = snapshot.epoch.to_string().into();
        body
    } else {
        status::brief(&api.telemetry)
    };
    // As edgeProxy says it, whose clients ask here; the public listener has the seed's word.
    if body["status"] == "healthy" {
        body["status"] = "ok".into();
    }
    // Not by their ids: that of one that is gone may stay until the next publish.
    body["backends"] = snapshot.registered().map(|service| service.instances.len()).sum::<usize>().into();
    body["uptime_secs"] = clock::now().saturating_duration_since(api.started).as_secs().into();
    Json(body)
}

/// `GET /livez`: the process answers.
pub(super) async fn livez() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: the configuration is in force, the snapshot published, the public listener open; until it stops.
pub(super) async fn readyz(State(api): State<Arc<Api>>) -> impl IntoResponse {
    if api.readiness.get() { (StatusCode::OK, "ok\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
}
