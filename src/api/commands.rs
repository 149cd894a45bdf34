//! Endpoints that change something: each asks the driver and answers what the driver said. Deregistering and draining are in
//! `deregistration`.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::{Extension, Json};
use furt_api::registration::{Heartbeat, Registered, Replaced};
use furt_api::{Code, Outcome, Seconds};
use serde_json::Value;

use super::Api;
use super::fields::FieldError;
use super::listener::{BodyTooLarge, MAX_BODY};
use super::problem::Problem;
use super::query::Parameters;
use super::registration::{self, Known, Parsed};
use super::{route_options, warnings};
use crate::clock;
use crate::driver::DriverGone;
use crate::upstream;
use crate::wire;
use furt_core::model::{AuthMethods, InstanceId, ServiceName, UpstreamHost, UpstreamUrl};
use furt_core::registry::{self, Answer, Event, InstanceRef, Registration, ReplyId, Source};

/// The longest wait for the registry or the cluster: a store or a node that hangs must not hold callers for ever.
pub(super) const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

pub(super) type ApiResult<T> = Result<Json<T>, Problem>;

/// `POST /internal/register-service`. It is checked in this order: address (by the guard), rate, size and type, JSON, fields;
/// then, by the registry, grant and conflicts.
pub(super) async fn register(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> ApiResult<Registered> {
    let form = Form {
        parse: &|body| {
            let is_registered = |service: &ServiceName| is_registered(&api, service);
            let snapshot = api.snapshots.load();
            let name = body.get("service").and_then(Value::as_str).unwrap_or_default();
            let installed = snapshot.service_named(name).map(|service| Arc::clone(&service.definition));
            // A service that says again what it said is not lost because the configuration has changed since.
            let was_said = |methods: &AuthMethods| {
                installed.as_ref().is_some_and(|one| one.auth_lists().any(|said| said == methods))
            };
            let auth_fault = |methods: &AuthMethods| snapshot.config.auth_fault(methods).filter(|_| !was_said(methods));
            registration::parse(body, &Known { is_registered: &is_registered, auth_fault: &auth_fault })
        },
        url_pointer: "/url",
        is_too_large: too_large.is_some(),
    };
    let registered = take_registration(&api, source, form, &headers, &body).await?;
    Ok(Json(Registered {
        status: Outcome::Registered,
        service: registered.instance.service.as_str().into(),
        instance: registered.instance.id.as_str().into(),
        routes: registered.routes,
        health: wire::status(registered.status),
        generation: wire::generation(registered.generation),
        epoch: wire::epoch(registered.epoch),
        heartbeat_ttl: Seconds::from(registered.heartbeat_ttl),
        replaced: registered.replaced.iter().map(replaced).collect(),
        canary: registered.canary.is_some(),
        warnings: route_warnings(&api, &registered),
    }))
}

/// What is odd about the routes as they are installed now. A registration that changes nothing is a heartbeat, and the log has
/// had it.
fn route_warnings(api: &Api, registered: &registry::Registered) -> Vec<String> {
    if !registered.is_change {
        return Vec::new();
    }
    let snapshot = api.snapshots.load_full();
    let name = &registered.instance.service;
    let Some(service) = snapshot.service_named(name.as_str()) else { return Vec::new() };
    let mut told = warnings::of_routes(service);
    told.extend(route_options::skipped_of(service, &snapshot));
    told.extend(warnings::of_unnamed_version(service, &registered.instance.id));
    told.extend(registered.canary.iter().map(|canary| warnings::of_canary(&registered.instance.id, canary)));
    told.iter().for_each(|warning| log::warn!("service \"{name}\": {warning}"));
    told
}

fn replaced(one: &registry::Replaced) -> Replaced {
    Replaced {
        instance: one.id.as_str().into(),
        url: one.url.to_string(),
        incarnation: one.incarnation.as_ref().map(|incarnation| incarnation.as_str().to_owned()),
    }
}

fn is_registered(api: &Api, service: &ServiceName) -> bool {
    api.snapshots.load().service_named(service.as_str()).is_some()
}

/// A kind of registration's body.
pub(super) struct Form<'a> {
    /// Reads it.
    pub(super) parse: &'a (dyn Fn(Value) -> (Parsed, Vec<FieldError>) + Sync),
    /// The pointer to the field that says where the instance is.
    pub(super) url_pointer: &'static str,
    pub(super) is_too_large: bool,
}

/// Counts, reads and checks a registration, and has it written.
pub(super) async fn take_registration(
    api: &Api,
    source: Source,
    form: Form<'_>,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<registry::Registered, Problem> {
    let read = json_body(form.is_too_large, headers, body).map(form.parse);
    take_read(api, source, form.url_pointer, read).await
}

/// The same of a body that was read.
pub(super) async fn take_read(
    api: &Api,
    source: Source,
    url_pointer: &'static str,
    read: Result<(Parsed, Vec<FieldError>), Problem>,
) -> Result<registry::Registered, Problem> {
    // Before anything that takes time, so that many at once are counted too.
    let config = api.config();
    let (rate, burst) = (config.registration.rate, config.registration.burst);
    let taken = api.rates.take(source.address, rate, burst, clock::now());
    let attempt = match taken {
        Ok(attempt) => Some(attempt),
        // What is registered just so is a heartbeat, and a fleet behind one address sends more of them than its rate is.
        Err(_) if read.as_ref().is_ok_and(|(parsed, errors)| errors.is_empty() && is_installed(api, parsed)) => None,
        Err(wait) => return Err(Problem::rate_limited(wait)),
    };
    let outcome = try_register(api, source, url_pointer, read?).await;
    if let (Some(attempt), Ok(registered)) = (attempt, &outcome)
        && !registered.is_change
    {
        api.rates.give_back(attempt);
    }
    outcome
}

/// Whether a registration would change nothing, as far as requests see. The registry decides.
pub(super) fn is_installed(api: &Api, parsed: &Parsed) -> bool {
    let Some((definition, instance)) = &parsed.whole else { return false };
    let snapshot = api.snapshots.load();
    let service = snapshot.service_named(definition.service.as_str()).filter(|service| service.suspended.is_none());
    service.is_some_and(|service| {
        let installed = &service.definition;
        let is_canary = || {
            let sides = service.split.as_ref();
            sides.is_some_and(|sides| sides.split.spec.names(instance.version.as_ref()))
        };
        let keeps_definition = parsed.kind.joins()
            || is_canary()
            || installed.revision > definition.revision
            || **installed == *definition;
        keeps_definition && service.instances.iter().any(|one| *one.spec == *instance)
    })
}

async fn try_register(
    api: &Api,
    source: Source,
    url_pointer: &'static str,
    (parsed, mut errors): (Parsed, Vec<FieldError>),
) -> Result<registry::Registered, Problem> {
    let least = api.config().gateway.health_check_min_interval;
    let interval = parsed.whole.as_ref().and_then(|(definition, _)| definition.health_check.interval);
    if interval.is_some_and(|interval| interval < least) {
        let detail = format!("must be at least {} s, the gateway's health_check_min_interval", least.as_secs_f64());
        errors.push(FieldError { pointer: "/health_check/interval".to_owned(), detail });
    }
    let mut refuse = |detail| errors.push(FieldError { pointer: url_pointer.to_owned(), detail });
    let addresses = match &parsed.url {
        Some(url) => locate(api, url).await.map_err(&mut refuse).ok(),
        None => None,
    };
    let (Some((definition, instance)), Some(addresses), true) = (parsed.whole, addresses, errors.is_empty()) else {
        return Err(Problem::invalid_fields(errors));
    };
    let command = Box::new(Registration { definition, kind: parsed.kind, instance, addresses, source });
    match ask(api, |reply| Event::RegistrationRequested(command, reply)).await? {
        Answer::Registered(registered) => Ok(registered),
        other => Err(unexpected(&other)),
    }
}

/// A body as JSON.
///
/// # Errors
/// It is too large, not said to be JSON, or none.
pub(super) fn json_body(is_too_large: bool, headers: &HeaderMap, body: &[u8]) -> Result<Value, Problem> {
    if is_too_large {
        let detail = format!("the body is larger than {MAX_BODY} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, Code::TooLarge, detail));
    }
    check_type(headers)?;
    super::json::parse(body).map_err(|error| {
        // Its text ends with line and column.
        let detail = format!("not JSON: {error}");
        Problem::new(StatusCode::BAD_REQUEST, Code::NotJson, detail)
    })
}

fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let media_type = value.split(';').next().unwrap_or_default().trim();
    if media_type.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    let detail = "the body must be application/json, and Content-Type must say so";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, Code::WrongType, detail))
}

/// Where an instance is; never furt itself, never an address that no service has.
///
/// # Errors
/// What is wrong with the url.
async fn locate(api: &Api, url: &UpstreamUrl) -> Result<Arc<[SocketAddr]>, String> {
    let addresses = match &url.host {
        UpstreamHost::Address(address) => Arc::new([SocketAddr::new(*address, url.port)]) as Arc<[SocketAddr]>,
        UpstreamHost::Name(name) => upstream::resolve(name, url.port).await.map_err(|why| why.to_string())?,
    };
    api.own_listeners.vet(&addresses).map_err(|why| why.to_string())?;
    Ok(addresses)
}

/// `POST /internal/services/{service}/instances/{id}/heartbeat`
pub(super) async fn heartbeat(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path((service, id)): Path<(String, String)>,
    mut parameters: Parameters,
) -> ApiResult<Heartbeat> {
    let instance = instance(&service, &id)?;
    let incarnation = parameters.incarnation();
    parameters.finish()?;
    match ask(&api, |reply| Event::HeartbeatReceived(instance, incarnation, source, reply)).await? {
        Answer::Heard { status, epoch, heartbeat_ttl } => Ok(Json(Heartbeat {
            status: Outcome::Ok,
            service: service.into(),
            instance: id.into(),
            health: wire::status(status),
            epoch: wire::epoch(epoch),
            heartbeat_ttl: Seconds::from(heartbeat_ttl),
        })),
        other => Err(unexpected(&other)),
    }
}

/// What a process that ends would take may not be answered any more.
pub(super) fn check_staying(api: &Api) -> Result<(), Problem> {
    if api.readiness.is_stopping() { Err(DriverGone.into()) } else { Ok(()) }
}

/// The service of that name, registered or not. What can be no name names none.
pub(super) fn service_named(name: &str) -> Result<ServiceName, Problem> {
    ServiceName::try_new(name).map_err(|why| {
        let detail = format!("\"{name}\" can be no service: its name {why}");
        Problem::new(StatusCode::NOT_FOUND, Code::NotFound, detail)
    })
}

/// Asks the registry, and waits no longer than a caller would.
pub(super) async fn ask(api: &Api, event: impl FnOnce(ReplyId) -> Event + Send + 'static) -> Result<Answer, Problem> {
    match tokio::time::timeout(ANSWER_TIMEOUT, api.driver.ask(event)).await {
        Ok(answer) => Ok(answer??),
        Err(_) => {
            let detail = "the store does not answer; what was asked may still be done, and asking again does no harm";
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, Code::StoreUnavailable, detail))
        }
    }
}

/// What can be no name names nothing that is registered.
pub(super) fn instance(service: &str, id: &str) -> Result<InstanceRef, Problem> {
    match (ServiceName::try_new(service), InstanceId::try_new(id)) {
        (Ok(service), Ok(id)) => Ok(InstanceRef { service, id }),
        _ => Err(unknown(&format!("{service}/{id}"))),
    }
}

pub(super) fn unknown(name: &str) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, Code::NotFound, format!("\"{name}\" is not registered"))
}

pub(super) fn unexpected(answer: &Answer) -> Problem {
    log::error!("the registry gave an answer to another question: {answer:?}");
    Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "the registry gave an answer to another question")
}
