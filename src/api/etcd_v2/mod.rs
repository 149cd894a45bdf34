//! `/v2/keys` and `/v2/machines`: the part of etcd's v2 API that the npm package `etcd-registry` uses, so that what was
//! written for it works unchanged.
//!
//! A key `/services/[NAMESPACE/]NAME/ID` is an instance of the service `[NAMESPACE.]NAME`. There is no tree that is kept:
//! putting a key registers, putting the same again is a heartbeat, deleting it deregisters, and what is got is made of the
//! snapshot. As edgeProxy's API it writes instances alone.

mod errors;
mod joining;
mod key;
pub(super) mod misplaced;
mod tree;

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use serde_json::json;

use super::commands::{ask, unexpected};
use super::problem::{self, Problem, not_found};
use super::{Api, lookup};
use errors::EtcdError;
use furt_core::model::{Generation, InstanceId};
use furt_core::registry::{Answer, Deregistration, Event, OnLastInstance, Source};
use furt_core::routing::{Instance, Service, Snapshot};
use key::Key;

pub(super) use joining::put;
pub use joining::read_etcd_v2;

/// Switched off, there is no such API.
pub(super) async fn where_switched_on(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if api.config().internal.etcd_v2_api { next.run(request).await } else { not_found().await.into_response() }
}

/// Gives answers below `/v2/` the header, and problems the form, that clients of etcd read; those of the router itself as well.
pub(super) async fn in_its_form(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    let is_of_it = request.uri().path().starts_with("/v2/") && api.config().internal.etcd_v2_api;
    let mut response = next.run(request).await;
    if !is_of_it {
        return response;
    }
    problem::put_where_missing(&mut response);
    let index = api.snapshots.load().generation.0;
    response.headers_mut().insert("x-etcd-index", index.into());
    if let Some(problem) = response.extensions_mut().get_mut::<Problem>() {
        errors::put_into_form(problem, index);
    }
    response
}

/// `GET /v2/keys/{*path}`
pub(super) async fn get(
    State(api): State<Arc<Api>>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let key = Key::new(&path);
    let parameters = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    parameters.refuse(&["wait", "waitIndex"])?;
    let snapshot = api.snapshots.load_full();
    let depth = if parameters.is_true("recursive") { tree::Depth::All } else { tree::Depth::One };
    let node = tree::node(&snapshot, &key, depth)?;
    let node = node.ok_or_else(|| EtcdError::KeyNotFound.with(StatusCode::NOT_FOUND, key.text()))?;
    Ok(axum::Json(json!({ "action": "get", "node": node })).into_response())
}

/// `DELETE /v2/keys/{*path}`
pub(super) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let key = Key::new(&path);
    Form::of(query.as_deref().unwrap_or_default().as_bytes()).refuse(CONDITIONS)?;
    let place = key.instance()?;
    let snapshot = api.snapshots.load_full();
    let found = find(&snapshot, &place.candidates(&snapshot), &place.id);
    let (service, instance) = found.ok_or_else(|| EtcdError::KeyNotFound.with(StatusCode::NOT_FOUND, key.text()))?;
    let command = Deregistration {
        service: service.definition.service.clone(),
        instance: Some(place.id.clone()),
        incarnation: None,
        on_last_instance: OnLastInstance::KeepRoutes,
        source,
    };
    match ask(&api, |reply| Event::DeregistrationRequested(command, reply)).await? {
        Answer::Deregistered { generation, .. } => {
            let before = tree::leaf(service, instance, &place.namespace, key.text(), snapshot.generation);
            let node = json!({ "key": key.text(), "modifiedIndex": generation.0, "createdIndex": generation.0 });
            Ok(axum::Json(json!({ "action": "delete", "node": node, "prevNode": before })).into_response())
        }
        other => Err(unexpected(&other)),
    }
}

/// `GET /v2/machines`: the address that the client came by, since it drops those that are not told, then the other nodes.
pub(super) async fn machines(State(api): State<Arc<Api>>, request: Request) -> String {
    let authority = request.uri().authority().map(|authority| authority.as_str());
    let host = authority.or_else(|| request.headers().get(header::HOST)?.to_str().ok());
    let nodes = api.nodes.list();
    let others = nodes.iter().skip(1).filter_map(|node| node.internal.as_ref().map(lookup::origin));
    host.map(|host| format!("http://{host}")).into_iter().chain(others).collect::<Vec<_>>().join(", ")
}

/// Conditions of a write, which furt does not know: to overlook them would do what was to be kept from being done.
const CONDITIONS: &[&str] = &["prevExist", "prevValue", "prevIndex", "dir", "recursive", "refresh"];

/// The instance with an id at one of these services.
fn find<'a>(
    snapshot: &'a Snapshot,
    candidates: &[&'a Arc<Service>],
    id: &InstanceId,
) -> Option<(&'a Arc<Service>, &'a Arc<Instance>)> {
    let (service, instance) = snapshot.instance_with_id(id)?;
    candidates.iter().any(|one| Arc::ptr_eq(one, service)).then_some((service, instance))
}

/// Names and values of a form or a query; the first of two counts, as in etcd.
#[derive(Default)]
struct Form(Vec<(String, String)>);

impl Form {
    fn of(text: &[u8]) -> Self {
        Self(url::form_urlencoded::parse(text).into_owned().collect())
    }

    /// Those of the body first, then those of the query.
    ///
    /// # Errors
    /// A body that is no form.
    fn try_new(headers: &HeaderMap, body: &[u8], query: Option<&str>) -> Result<Self, Problem> {
        let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let media_type = value.split(';').next().unwrap_or_default().trim();
        if !body.is_empty() && !media_type.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let cause = "the body must be application/x-www-form-urlencoded, and Content-Type must say so";
            return Err(EtcdError::InvalidForm.with(StatusCode::BAD_REQUEST, cause));
        }
        let Self(mut pairs) = Self::of(body);
        pairs.extend(Self::of(query.unwrap_or_default().as_bytes()).0);
        Ok(Self(pairs))
    }

    fn value(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    fn is_true(&self, name: &str) -> bool {
        self.value(name) == Some("true")
    }

    /// # Errors
    /// One of these is there, and not as good as absent.
    fn refuse(&self, names: &[&str]) -> Result<(), Problem> {
        // `prevExist=false` asks for something, unlike `recursive=false`.
        let is_asked = |name: &str, value: &str| !value.is_empty() && (name.starts_with("prev") || value != "false");
        let found = names.iter().find(|name| self.value(name).is_some_and(|value| is_asked(name, value)));
        found.map_or(Ok(()), |name| {
            let cause = format!("{name}: furt has no such conditions and no such waits; leave it out");
            Err(EtcdError::InvalidField.with(StatusCode::BAD_REQUEST, cause))
        })
    }
}

/// The numbers that etcd gives each key; here the registry's last change stands for both.
fn index(generation: Generation) -> u64 {
    generation.0
}
