//! Endpoints for grants that operators make at run time: set, show, remove, list.

mod body;
mod views;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use furt_api::Outcome;
use furt_api::grants::{Grant, Grants, RemovedGrant, SetGrant};

use super::Api;
use super::commands::{ApiResult, ask, check_staying, json_body, service_named, unexpected};
use super::listener::BodyTooLarge;
use super::problem::Problem;
use crate::published::Published;
use crate::wire;
pub(super) use body::{AuthFault, read_fields};
use furt_core::model::{AuthMethods, ServiceName};
use furt_core::registry::{Answer, Event, GrantAnswer, GrantCommand, Refusal, Source};

/// `PUT /internal/services/{service}/grant`
pub(super) async fn set(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(service): Path<String>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<SetGrant> {
    let body = json_body(too_large.is_some(), &headers, &body)?;
    let service = service_named(&service)?;
    check_staying(&api)?;
    let grant = {
        let published = api.snapshots.load();
        let auth_fault = |methods: &AuthMethods| published.config.unknown_provider(methods);
        body::read(body, &auth_fault).map_err(Problem::invalid_fields)?
    };
    let GrantAnswer { grant, suspended, generation } =
        command(&api, source, GrantCommand::Set(service.clone(), Arc::new(grant))).await?;
    Ok(Json(SetGrant {
        status: Outcome::GrantSet,
        grant: views::runtime(&service, &grant, false),
        warnings: warnings(&service, suspended),
        generation: wire::generation(generation),
    }))
}

/// `GET /internal/services/{service}/grant`: the one that is in force.
pub(super) async fn one(State(api): State<Arc<Api>>, Path(service): Path<String>) -> ApiResult<Grant> {
    let service = service_named(&service)?;
    let published = api.snapshots.load();
    let configured = published.config.grants.iter().find(|grant| grant.service == service);
    let runtime = || published.runtime_grants.get(&service).map(|grant| views::runtime(&service, grant, false));
    match configured.map(views::configured).or_else(runtime) {
        Some(grant) => Ok(Json(grant)),
        None => Err(Refusal::NoGrant(service).into()),
    }
}

/// `DELETE /internal/services/{service}/grant`
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(service): Path<String>,
) -> ApiResult<RemovedGrant> {
    let service = service_named(&service)?;
    let GrantAnswer { suspended, generation, .. } =
        command(&api, source, GrantCommand::Remove(service.clone())).await?;
    Ok(Json(RemovedGrant {
        status: Outcome::GrantRemoved,
        warnings: warnings(&service, suspended),
        service: service.as_str().into(),
        generation: wire::generation(generation),
    }))
}

/// `GET /internal/grants`
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Grants> {
    let published = api.snapshots.load_full();
    Json(Grants {
        time: wire::now(),
        grants: all(&published),
        generation: wire::generation(published.generation),
        epoch: wire::epoch(published.epoch),
    })
}

fn all(published: &Published) -> Vec<Grant> {
    let mut configured: Vec<_> = published.config.grants.iter().collect();
    configured.sort_by_key(|grant| &grant.service);
    let is_configured = |service| configured.binary_search_by_key(&service, |grant| &grant.service).is_ok();
    let runtime = published.runtime_grants.iter();
    let runtime = runtime.map(|(service, grant)| views::runtime(service, grant, is_configured(service)));
    configured.iter().map(|grant| views::configured(grant)).chain(runtime).collect()
}

fn warnings(service: &ServiceName, suspended: Option<Arc<str>>) -> Vec<String> {
    suspended.into_iter().map(|why| format!("\"{service}\" is registered and not routed: {why}")).collect()
}

async fn command(api: &Api, source: Source, command: GrantCommand) -> Result<GrantAnswer, Problem> {
    let by = source.actor();
    match ask(api, move |reply| Event::GrantRequested { command, by, reply }).await? {
        Answer::Grant(answer) => Ok(answer),
        other => Err(unexpected(&other)),
    }
}
