//! Endpoints for splits, for operators: set, show, remove, list; and what the other endpoints say of them.

mod body;
mod judging;
mod views;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::{Extension, Json};
use furt_api::Outcome;
use furt_api::splits::{RemovedSplit, SetSplit, Split, Splits};

use super::Api;
use super::commands::{ApiResult, ask, check_staying, json_body, service_named, unexpected};
use super::listener::BodyTooLarge;
use super::problem::Problem;
use crate::wire;
pub(super) use body::read_fields;
use furt_core::model::{self, ServiceName, SplitSpec};
use furt_core::registry::{Answer, Event, Refusal, Source, SplitAnswer, SplitCommand};
use furt_core::routing::Snapshot;
pub(super) use judging::{judge, without_instances_today};
pub(super) use views::shown;

/// `PUT /internal/services/{service}/split`
pub(super) async fn set(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(service): Path<String>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<SetSplit> {
    let body = json_body(too_large.is_some(), &headers, &body)?;
    let service = service_named(&service)?;
    check_staying(&api)?;
    let spec = body::read(body).map_err(Problem::invalid_fields)?;
    let before = api.snapshots.load().splits.get(&service).map(Arc::clone);
    let SplitAnswer { split, generation } = command(&api, source, SplitCommand::Set(service.clone(), spec)).await?;
    let mut told = warnings(&service, &split, &api.snapshots.load());
    told.extend(before.and_then(|before| no_longer(&before.spec, &split.spec)));
    Ok(Json(SetSplit {
        status: Outcome::SplitSet,
        warnings: told,
        split: shown(&service, &split),
        generation: wire::generation(generation),
    }))
}

/// `GET /internal/services/{service}/split`
pub(super) async fn one(State(api): State<Arc<Api>>, Path(service): Path<String>) -> ApiResult<Split> {
    let service = service_named(&service)?;
    match api.snapshots.load().splits.get(&service) {
        Some(split) => Ok(Json(shown(&service, split))),
        None => Err(Refusal::NoSplit(service).into()),
    }
}

/// `DELETE /internal/services/{service}/split`
pub(super) async fn remove(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(service): Path<String>,
) -> ApiResult<RemovedSplit> {
    let service = service_named(&service)?;
    let SplitAnswer { generation, .. } = command(&api, source, SplitCommand::Remove(service.clone())).await?;
    Ok(Json(RemovedSplit {
        status: Outcome::SplitRemoved,
        service: service.as_str().into(),
        generation: wire::generation(generation),
    }))
}

/// `GET /internal/splits`
pub(super) async fn list(State(api): State<Arc<Api>>) -> Json<Splits> {
    let snapshot = api.snapshots.load_full();
    Json(Splits {
        time: wire::now(),
        splits: snapshot.splits.iter().map(|(service, split)| shown(service, split)).collect(),
        generation: wire::generation(snapshot.generation),
        epoch: wire::epoch(snapshot.epoch),
    })
}

/// What may be mistyped, the name of the service or of a version, and which callers find nobody.
fn warnings(name: &ServiceName, split: &model::Split, snapshot: &Snapshot) -> Vec<String> {
    let Some(service) = snapshot.service_named(name.as_str()) else {
        return vec![format!("no service \"{name}\" is registered")];
    };
    let is_there = |version| service.instances.iter().any(|one| one.spec.version.as_ref() == Some(version));
    let missing = split.spec.versions.iter().map(|one| &one.version).filter(|version| !is_there(*version));
    let missing = missing.map(|version| format!("no instance of \"{name}\" is of the version \"{version}\""));
    missing.chain(judging::without_instances(service, &split.spec)).collect()
}

/// What of the split before is not said again, and so holds no more.
fn no_longer(before: &SplitSpec, now: &SplitSpec) -> Option<String> {
    let header = before.header.as_ref().filter(|_| now.header.is_none());
    let header = header.map(|header| format!("the header {header} chooses no version any more"));
    let strict = (before.strict && !now.strict).then(|| "it is strict no more".to_owned());
    let gone: Vec<_> = header.into_iter().chain(strict).collect();
    (!gone.is_empty()).then(|| format!("{}: a split replaces the one before it as a whole", gone.join(", and ")))
}

async fn command(api: &Api, source: Source, command: SplitCommand) -> Result<SplitAnswer, Problem> {
    let by = source.actor();
    match ask(api, move |reply| Event::SplitRequested { command, by, reply }).await? {
        Answer::Split(answer) => Ok(answer),
        other => Err(unexpected(&other)),
    }
}
