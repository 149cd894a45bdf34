//! Endpoints for API keys, for operators: make, list, rotate, revoke.
//!
//! A key is made here, shown in the one answer to whom it was made for, and nowhere else: the driver is told its digest.

mod body;
mod views;

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use furt_api::keys::{Key, Keys, RevokedKey};
use furt_api::{Code, Outcome};
use serde_json::{Map, Value};

use super::commands::{ApiResult, ask, check_staying, json_body, unexpected};
use super::listener::BodyTooLarge;
use super::problem::Problem;
use super::{Api, listing};
use crate::clock;
use crate::published::Published;
use crate::secret;
use crate::wire;
pub(super) use body::read_rules;
use furt_core::model::{KeyName, Sha256Digest};
use furt_core::registry::{Answer, Event, KeyAnswer, KeyCommand, KeyRefusal, Source};

/// `POST /internal/keys`: a new key, shown this once.
pub(super) async fn create(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    check_staying(&api)?;
    let body = json_body(too_large.is_some(), &headers, &body)?;
    let (key, sha256) = new_key()?;
    let commanded = body::new_key(body, sha256, clock::unix_ms()).map_err(Problem::invalid_fields)?;
    let answer = command(&api, source, KeyCommand::Create(Box::new(commanded))).await?;
    Ok(shown_once(StatusCode::CREATED, &answer, &key))
}

/// `POST /internal/keys/{name}/rotate`: another key in the place of one, which stays good for a while. A body is not needed.
pub(super) async fn rotate(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(name): Path<String>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    check_staying(&api)?;
    let name = named(&name)?;
    let body = match (too_large.is_some(), body.is_empty()) {
        (false, true) => Value::Object(Map::new()),
        (is_too_large, _) => json_body(is_too_large, &headers, &body)?,
    };
    let grace = body::grace(body).map_err(Problem::invalid_fields)?;
    let (key, sha256) = new_key()?;
    let answer = command(&api, source, KeyCommand::Rotate { name, sha256, grace }).await?;
    Ok(shown_once(StatusCode::OK, &answer, &key))
}

/// `DELETE /internal/keys/{name}`: no request that comes after the answer is let in with it.
pub(super) async fn revoke(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(name): Path<String>,
) -> ApiResult<RevokedKey> {
    let KeyAnswer { key, is_configured, generation } = command(&api, source, KeyCommand::Revoke(named(&name)?)).await?;
    Ok(Json(RevokedKey {
        status: Outcome::Revoked,
        name: key.name().as_str().into(),
        configured: is_configured,
        generation: wire::generation(generation),
    }))
}

/// `GET /internal/keys`
pub(super) async fn list(State(api): State<Arc<Api>>) -> Response {
    let snapshot = api.snapshots.load_full();
    let (configured, runtime) = (snapshot.keys.configured.clone(), snapshot.keys.runtime.clone());
    let configured = configured.into_iter().map(|(_, spec)| views::configured(&spec));
    let runtime = runtime.into_iter().map(|(_, key)| views::runtime(&key));
    listing::list(&envelope(&api, &snapshot), "keys", configured.chain(runtime))
}

/// The same at once.
pub(super) fn all(api: &Api) -> Keys {
    let snapshot = api.snapshots.load_full();
    let configured = snapshot.keys.configured.values().map(|spec| views::configured(spec));
    let runtime = snapshot.keys.runtime.values().map(views::runtime);
    Keys { keys: configured.chain(runtime).collect(), ..envelope(api, &snapshot) }
}

fn envelope(api: &Api, snapshot: &Published) -> Keys {
    Keys {
        keys: Vec::new(),
        gateways: api.nodes.list().len(),
        limits_shared: snapshot.config.limits.share,
        generation: wire::generation(snapshot.generation),
        epoch: wire::epoch(snapshot.epoch),
    }
}

/// `GET /internal/keys/{name}`: the key in force of that name; a runtime key that it stands against is its `kept`.
pub(super) async fn one(State(api): State<Arc<Api>>, Path(name): Path<String>) -> ApiResult<Key> {
    let snapshot = api.snapshots.load_full();
    let name = named(&name)?;
    let runtime = snapshot.keys.runtime.get(&name).map(views::runtime);
    match (snapshot.keys.configured.get(&name), runtime) {
        (None, None) => Err(KeyRefusal::Unknown(name).into()),
        (None, Some(runtime)) => Ok(Json(runtime)),
        (Some(spec), runtime) => Ok(Json(Key { kept: runtime.map(Box::new), ..views::configured(spec) })),
    }
}

/// What can be no name names no key.
fn named(name: &str) -> Result<KeyName, Problem> {
    let unknown = |_| Problem::new(StatusCode::NOT_FOUND, Code::NotFound, format!("there is no API key \"{name}\""));
    KeyName::try_new(name).map_err(unknown)
}

fn new_key() -> Result<(String, Sha256Digest), Problem> {
    let key = secret::new_key().map_err(|error| {
        log::error!("no API key can be made: {error}");
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "the system has no random numbers")
    })?;
    let sha256 = Sha256Digest::of(key.as_bytes());
    Ok((key, sha256))
}

async fn command(api: &Api, source: Source, command: KeyCommand) -> Result<KeyAnswer, Problem> {
    let by = source.actor();
    match ask(api, move |reply| Event::KeyRequested { command, by, reply }).await? {
        Answer::Key(answer) => Ok(answer),
        other => Err(unexpected(&other)),
    }
}

fn shown_once(status: StatusCode, answer: &KeyAnswer, key: &str) -> Response {
    let body = Json(views::with_key(&answer.key, key));
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}
