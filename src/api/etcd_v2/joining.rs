//! Putting a key: a registration, and where it says the same again a heartbeat, which does not need the store.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use furt_api::Code;
use serde_json::json;

use super::super::commands::{self, ask, unexpected};
use super::super::fields::{FieldError, Fields, text, whole};
use super::super::listener::{BodyTooLarge, MAX_BODY};
use super::super::problem::Problem;
use super::super::registration::Parsed;
use super::super::{Api, json as strict};
use super::errors::EtcdError;
use super::key::{Key, Place, folded, rest};
use super::{CONDITIONS, Form, find, tree};
use crate::clock;
use furt_core::model::{
    Definition, Document, Epoch, Host, InstanceId, InstanceSpec, Invalid, MAX_TIME, MIN_TTL, Scheme, ServiceName,
    UpstreamUrl,
};
use furt_core::registry::{Answer, Event, InstanceRef, RegistrationKind, Source};
use furt_core::routing::Snapshot;

/// How often a heartbeat is tried that the registry cannot take just now: a client that is told of an error comes again after
/// 15 s, when its 10 s are over.
const HEARTBEAT_TRIES: usize = 8;
/// Between two of them.
const HEARTBEAT_PAUSE: Duration = Duration::from_millis(250);

/// `PUT /v2/keys/{*path}`
pub(in crate::api) async fn put(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    if too_large.is_some() {
        let detail = format!("the body is larger than {MAX_BODY} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, detail));
    }
    let key = Key::new(&path);
    let place = key.instance()?;
    let form = Form::try_new(&headers, &body, query.as_deref())?;
    form.refuse(CONDITIONS)?;
    let (ttl, value) = (ttl(&form)?, form.value("value").unwrap_or_default());
    if value.is_empty() {
        let cause = "value: must be the JSON object that describes the service";
        return Err(EtcdError::ValueRequired.with(StatusCode::BAD_REQUEST, cause));
    }
    let snapshot = api.snapshots.load_full();
    let (parsed, errors) = parse(value, &place, ttl, &snapshot)?;
    let before = find(&snapshot, &place.candidates(&snapshot), &place.id);
    let before =
        before.map(|(service, one)| tree::leaf(service, one, &place.namespace, key.text(), snapshot.generation));
    let is_same = errors.is_empty() && commands::is_installed(&api, &parsed);
    if !is_same || !is_heard(&api, &parsed, &source).await? {
        commands::take_read(&api, source, "/url", Ok((parsed, errors))).await?;
    }
    let until_ms = ttl.map(|ttl| clock::unix_ms().saturating_add(ttl.as_millis().try_into().unwrap_or(i64::MAX)));
    let node = tree::file(key.text(), value.to_owned(), until_ms, api.snapshots.load().generation);
    Ok(match before {
        Some(before) => Json(json!({ "action": "set", "node": node, "prevNode": before })).into_response(),
        None => (StatusCode::CREATED, Json(json!({ "action": "set", "node": node }))).into_response(),
    })
}

/// What a put says, if all of it is right: of the path behind `/v2/keys/`, decoded, and the form. No registry is asked, as if it
/// had no service.
///
/// # Errors
/// The status of the answer, and what it says is wrong.
pub fn read_etcd_v2(path: &str, form: &[u8]) -> Result<(Definition, InstanceSpec), (u16, String)> {
    let snapshot = Snapshot::new(Epoch(uuid::Uuid::nil()));
    let read = || {
        let place = Key::new(path).instance()?;
        let form = Form::of(form);
        form.refuse(CONDITIONS)?;
        let ttl = ttl(&form)?;
        parse(form.value("value").unwrap_or_default(), &place, ttl, &snapshot)
    };
    let (parsed, errors) = read().map_err(|problem| (problem.status().as_u16(), problem.line()))?;
    let told = || (422, errors.iter().map(|error| format!("{}: {}", error.pointer, error.detail)).collect());
    parsed.whole.filter(|_| errors.is_empty()).ok_or_else(told)
}

/// Tells the registry that an instance lives; `false`: it has gone meanwhile.
async fn is_heard(api: &Api, parsed: &Parsed, source: &Source) -> Result<bool, Problem> {
    let Some((definition, instance)) = &parsed.whole else { return Ok(false) };
    let instance = InstanceRef { service: definition.service.clone(), id: instance.id.clone() };
    for _ in 1..HEARTBEAT_TRIES {
        match heartbeat(api, instance.clone(), source).await {
            Err(problem) if problem.status() == StatusCode::NOT_FOUND => return Ok(false),
            Err(problem) if problem.status() == StatusCode::SERVICE_UNAVAILABLE && !api.readiness.is_stopping() => {
                tokio::time::sleep(HEARTBEAT_PAUSE).await;
            }
            told => return told.map(|()| true),
        }
    }
    heartbeat(api, instance, source).await.map(|()| true)
}

async fn heartbeat(api: &Api, instance: InstanceRef, source: &Source) -> Result<(), Problem> {
    let source = source.clone();
    match ask(api, |reply| Event::HeartbeatReceived(instance, None, source, reply)).await? {
        Answer::Heard { .. } => Ok(()),
        other => Err(unexpected(&other)),
    }
}

/// # Errors
/// It is no whole number of seconds that furt takes.
fn ttl(form: &Form) -> Result<Option<Duration>, Problem> {
    let Some(text) = form.value("ttl").filter(|text| !text.is_empty()) else { return Ok(None) };
    let ttl = text.parse().ok().map(Duration::from_secs).filter(|ttl| (MIN_TTL..=MAX_TIME).contains(ttl));
    let cause =
        || format!("ttl: must be a whole number of seconds from {} to {}", MIN_TTL.as_secs(), MAX_TIME.as_secs());
    ttl.map(Some).ok_or_else(|| EtcdError::TtlNotANumber.with(StatusCode::BAD_REQUEST, cause()))
}

/// # Errors
/// The value is no JSON.
fn parse(
    value: &str,
    place: &Place,
    ttl: Option<Duration>,
    snapshot: &Snapshot,
) -> Result<(Parsed, Vec<FieldError>), Problem> {
    let value = strict::parse(value.as_bytes())
        .map_err(|error| EtcdError::InvalidField.with(StatusCode::BAD_REQUEST, format!("value: not JSON: {error}")))?;
    let mut errors = Vec::new();
    let document = Document::try_new(&value);
    if let Err(why) = &document {
        errors.push(FieldError { pointer: String::new(), detail: why.to_string() });
    }
    let fields = document.is_ok().then(|| Fields::open(String::new(), value, &mut errors)).flatten();
    let parsed = fields.map(|fields| read(fields, place, snapshot)).unwrap_or_default();
    Ok((with(parsed, document.ok(), ttl, &place.id), errors))
}

/// What the fields of a document say.
#[derive(Default)]
struct Read {
    service: Option<ServiceName>,
    url: Option<UpstreamUrl>,
    health_endpoint: Option<Box<str>>,
}

fn read(mut fields: Fields<'_>, place: &Place, snapshot: &Snapshot) -> Read {
    let in_namespace = |name: &str| ServiceName::try_new(&format!("{}{name}", place.namespace));
    let service = fields.require("name", text(in_namespace));
    if let Some(why) = service.as_ref().and_then(|service| misplaced(service, place, snapshot)) {
        fields.refuse("name", why);
    }
    let url = if fields.has_value("url") {
        fields.optional("url", text(UpstreamUrl::try_new))
    } else {
        let hostname = fields.require("hostname", text(|text| Ok::<_, Invalid>(text.to_owned())));
        let port = fields.require("port", whole(1, 65_535));
        let url = hostname.zip(port).map(|(hostname, port)| UpstreamUrl::try_new(&format!("http://{hostname}:{port}")));
        url.and_then(|url| url.map_err(|why| fields.refuse("hostname", why.to_string())).ok())
    };
    if url.as_ref().is_some_and(|url| url.scheme == Scheme::Https && url.socket_address().is_some()) {
        fields.refuse("url", "must name the host that its certificate is for, since it is https");
    }
    let health_endpoint = fields.optional("health_endpoint", text(InstanceSpec::try_health_endpoint));
    Read { service, url, health_endpoint }
}

/// Why a service cannot be at its key; `None`: it can.
fn misplaced(service: &ServiceName, place: &Place, snapshot: &Snapshot) -> Option<String> {
    let name = service.as_str().strip_prefix(place.namespace.as_str()).unwrap_or_default();
    if folded(name) != place.segment {
        return Some(format!("is written as \"{}\" in a key, but the key has \"{}\"", folded(name), place.segment));
    }
    if snapshot.service_named(service.as_str()).is_some() {
        return None;
    }
    if let Some(other) = place.candidates(snapshot).first() {
        let other = rest(other, &place.namespace);
        return Some(format!("is written in a key as the service \"{other}\" is, so that none of them could be found"));
    }
    let is_host = Host::try_new(service.as_str()).is_ok();
    (!is_host).then(|| "must be a host name too, since the service is reached as <name>.<apps.domain>".to_owned())
}

fn with(read: Read, document: Option<Document>, ttl: Option<Duration>, id: &InstanceId) -> Parsed {
    let Read { service, url, health_endpoint } = read;
    let spec =
        |url| InstanceSpec { health_endpoint, heartbeat_ttl: ttl, document, ..InstanceSpec::new(id.clone(), url) };
    let instance = url.clone().map(spec);
    Parsed { url, kind: RegistrationKind::InstanceOnly, whole: service.map(Definition::new).zip(instance) }
}
