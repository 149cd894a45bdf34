//! Endpoints for maintenance, for operators: begin, end, list; and what the other endpoints say of it.

mod body;
mod judging;
mod views;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use furt_api::Outcome;
use furt_api::maintenance::{BegunMaintenance, EndedMaintenance, Maintenances};
use serde_json::{Map, Value};

use super::Api;
use super::commands::{ApiResult, ask, check_staying, json_body, service_named, unexpected};
use super::listener::BodyTooLarge;
use super::problem::Problem;
use crate::clock;
use crate::config::{StaticRouteConfig, StaticTarget};
use crate::published::Published;
use crate::wire;
use furt_core::model::MaintenanceScope;
use furt_core::registry::{Answer, Event, MaintenanceAnswer, MaintenanceCommand, Source};
pub(super) use judging::{Judgement, judge};
pub(super) use views::of_service;

/// `PUT /internal/services/{service}/maintenance`; a body is not needed.
pub(super) async fn begin(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(service): Path<String>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<BegunMaintenance> {
    let body = json(too_large.is_some(), &headers, &body)?;
    begin_of(&api, source, MaintenanceScope::Service(service_named(&service)?), body).await
}

/// `PUT /internal/maintenance`: of all services and static routes.
pub(super) async fn begin_all(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<BegunMaintenance> {
    let body = json(too_large.is_some(), &headers, &body)?;
    begin_of(&api, source, MaintenanceScope::All, body).await
}

/// `DELETE /internal/services/{service}/maintenance`
pub(super) async fn end(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(service): Path<String>,
) -> ApiResult<EndedMaintenance> {
    end_of(&api, source, MaintenanceScope::Service(service_named(&service)?)).await
}

/// `DELETE /internal/maintenance`
pub(super) async fn end_all(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
) -> ApiResult<EndedMaintenance> {
    end_of(&api, source, MaintenanceScope::All).await
}

/// `GET /internal/maintenance`
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Maintenances> {
    let snapshot = api.snapshots.load_full();
    let now_ms = clock::unix_ms();
    let all = snapshot.maintenance.iter().flat_map(|table| table.iter());
    let on = all.filter(|(_, maintenance)| !maintenance.is_over(now_ms));
    Json(Maintenances {
        time: wire::now(),
        maintenance: on.map(|(scope, maintenance)| views::shown(scope, maintenance)).collect(),
        generation: wire::generation(snapshot.generation),
        epoch: wire::epoch(snapshot.epoch),
    })
}

fn json(is_too_large: bool, headers: &HeaderMap, body: &[u8]) -> Result<Value, Problem> {
    match (is_too_large, body.is_empty()) {
        (false, true) => Ok(Value::Object(Map::new())),
        (is_too_large, _) => json_body(is_too_large, headers, body),
    }
}

async fn begin_of(api: &Api, source: Source, scope: MaintenanceScope, body: Value) -> ApiResult<BegunMaintenance> {
    check_staying(api)?;
    let begin = body::begin(scope.clone(), body).map_err(Problem::invalid_fields)?;
    let MaintenanceAnswer { maintenance, generation } = command(api, source, begin).await?;
    Ok(Json(BegunMaintenance {
        status: Outcome::MaintenanceBegan,
        maintenance: views::shown(&scope, &maintenance),
        warnings: unknown(&scope, &api.snapshots.load()).into_iter().collect(),
        generation: wire::generation(generation),
    }))
}

/// That nothing is known of the name yet; it may be mistyped.
fn unknown(scope: &MaintenanceScope, published: &Published) -> Option<String> {
    let MaintenanceScope::Service(name) = scope else { return None };
    let leads = |route: &StaticRouteConfig| matches!(&route.target, StaticTarget::Service(service) if service == name);
    let is_known = published.service_named(name.as_str()).is_some() || published.config.routes.iter().any(leads);
    (!is_known).then(|| format!("no service \"{name}\" is registered, and no static route leads to it"))
}

async fn end_of(api: &Api, source: Source, scope: MaintenanceScope) -> ApiResult<EndedMaintenance> {
    let MaintenanceAnswer { generation, .. } = command(api, source, MaintenanceCommand::End(scope.clone())).await?;
    Ok(Json(EndedMaintenance {
        status: Outcome::MaintenanceEnded,
        service: views::name(&scope),
        generation: wire::generation(generation),
    }))
}

async fn command(api: &Api, source: Source, command: MaintenanceCommand) -> Result<MaintenanceAnswer, Problem> {
    let by = source.actor();
    match ask(api, move |reply| Event::MaintenanceRequested { command, by, reply }).await? {
        Answer::Maintenance(answer) => Ok(answer),
        other => Err(unexpected(&other)),
    }
}
