//! `/api/v1`: edgeProxy's Auto-Discovery API, so that what was written for it works unchanged.
//!
//! A backend is an instance, its app a service. It is never probed: who is not heard within the configured TTL is gone. These
//! endpoints write instances alone: a backend that joins a service with routes leaves them as they are, also when it is the
//! last that leaves (they are held then, as when it is not heard), and makes a service without routes, reached as
//! `<app>.<apps.domain>`, where there is none of that name. Answers have edgeProxy's
//! fields and furt's own beside them; "not found" is a problem with edgeProxy's `id` and `error`.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use furt_api::backends::{Backend, BackendDeregistered, BackendHeartbeat, BackendRegistered, Backends};
use furt_api::{Code, Outcome, Seconds};
use serde_json::Value;

use super::commands::{self, ApiResult, ask, unexpected};
use super::fields::{FieldError, Fields, text, whole};
use super::listener::BodyTooLarge;
use super::problem::{Problem, not_found};
use super::query::Parameters;
use super::registration::{self, Parsed};
use super::{Api, listing, views};
use crate::clock;
use crate::wire;
use furt_core::model::{
    Country, Definition, Host, InstanceId, InstanceSpec, Invalid, Region, Scheme, ServiceName, Status, UpstreamHost,
    UpstreamUrl,
};
use furt_core::registry::{Answer, Deregistration, Event, InstanceRef, OnLastInstance, RegistrationKind, Source};
use furt_core::routing::{Instance, Service, Snapshot};

/// edgeProxy's defaults.
const WEIGHT: u64 = 2;
const SOFT_LIMIT: u64 = 100;
const HARD_LIMIT: u64 = 150;
/// The country that edgeProxy assumes of a backend that names none, by its region.
const COUNTRY_OF_REGION: [(&str, &str); 4] = [("sa", "BR"), ("us", "US"), ("eu", "DE"), ("ap", "JP")];

/// Switched off, there is no such API.
pub(super) async fn where_switched_on(State(api): State<Arc<Api>>, request: Request, next: Next) -> Response {
    if api.config().internal.backends_api { next.run(request).await } else { not_found().await.into_response() }
}

/// `POST /api/v1/register`
pub(super) async fn register(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let form = commands::Form {
        parse: &|body| parse(body, &api.snapshots.load()),
        url_pointer: "/ip",
        is_too_large: too_large.is_some(),
    };
    let registered = commands::take_registration(&api, source, form, &headers, &body).await?;
    let (id, app) = (registered.instance.id.as_str(), registered.instance.service.as_str());
    let ttl = registered.heartbeat_ttl.as_secs_f64();
    let body = BackendRegistered {
        id: id.into(),
        registered: true,
        message: format!("backend {id} of {app} is registered; it must be heard every {ttl} s"),
        app: app.into(),
        status: wire::status(registered.status),
        generation: wire::generation(registered.generation),
        epoch: wire::epoch(registered.epoch),
        heartbeat_ttl: Seconds(ttl),
    };
    Ok((StatusCode::CREATED, Json(body)).into_response())
}

fn parse(body: Value, snapshot: &Snapshot) -> (Parsed, Vec<FieldError>) {
    let mut errors = Vec::new();
    let fields = Fields::open(String::new(), body, &mut errors);
    let parsed = fields.map(|fields| read(fields, snapshot)).unwrap_or_default();
    (parsed, errors)
}

fn read(mut fields: Fields<'_>, snapshot: &Snapshot) -> Parsed {
    let id = fields.require("id", text(InstanceId::try_new));
    let app = fields.require("app", text(ServiceName::try_new));
    let region = fields.require("region", text(Region::try_new));
    let country = fields.optional("country", text(Country::try_new));
    let ip = fields.require("ip", text(ip));
    let port = fields.require("port", whole(1, 65_535));
    let limits = registration::read_limits(&mut fields, WEIGHT, SOFT_LIMIT, HARD_LIMIT);
    if let Some(app) = &app
        && snapshot.service_named(app.as_str()).is_none()
        && Host::try_new(app.as_str()).is_err()
    {
        fields.refuse("app", "must be a host name too, since without routes it is reached as <app>.<apps.domain>");
    }
    fields.finish();
    let port = port.and_then(|port| u16::try_from(port).ok());
    let url =
        ip.zip(port).map(|(ip, port)| UpstreamUrl { scheme: Scheme::Http, host: UpstreamHost::Address(ip), port });
    let instance = (|| {
        let region = region?;
        Some(InstanceSpec {
            health_endpoint: None,
            weight: limits.weight,
            soft_limit: limits.soft,
            hard_limit: limits.hard,
            country: country.or_else(|| country_of(&region)),
            region: Some(region),
            ..InstanceSpec::new(id?, url.clone()?)
        })
    })();
    Parsed { url, kind: RegistrationKind::InstanceOnly, whole: app.map(Definition::new).zip(instance) }
}

fn ip(text: &str) -> Result<IpAddr, Invalid> {
    let address = text.parse::<IpAddr>().map_err(|_| Invalid::new("must be an address of IPv4 or IPv6"))?;
    Ok(address.to_canonical())
}

fn country_of(region: &Region) -> Option<Country> {
    let known = COUNTRY_OF_REGION.iter().find(|(name, _)| *name == region.as_str())?;
    Country::try_new(known.1).ok()
}

/// `POST /api/v1/heartbeat/{id}`
pub(super) async fn heartbeat(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(id): Path<String>,
) -> ApiResult<BackendHeartbeat> {
    let instance = locate(&api, &id).ok_or_else(|| unknown(&id, "backend not registered"))?;
    match ask(&api, |reply| Event::HeartbeatReceived(instance, None, source, reply)).await? {
        Answer::Heard { status, epoch, heartbeat_ttl } => Ok(Json(BackendHeartbeat {
            id: id.into(),
            status: Outcome::Ok,
            health: wire::status(status),
            epoch: wire::epoch(epoch),
            heartbeat_ttl: Seconds::from(heartbeat_ttl),
        })),
        other => Err(unexpected(&other)),
    }
}

/// `DELETE /api/v1/backends/{id}`
pub(super) async fn deregister(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    Path(id): Path<String>,
) -> ApiResult<BackendDeregistered> {
    let InstanceRef { service, id: instance } = locate(&api, &id).ok_or_else(|| unknown(&id, "backend not found"))?;
    let command = Deregistration {
        service,
        instance: Some(instance),
        incarnation: None,
        on_last_instance: OnLastInstance::KeepRoutes,
        source,
    };
    match ask(&api, |reply| Event::DeregistrationRequested(command, reply)).await? {
        Answer::Deregistered { generation, .. } => {
            let generation = wire::generation(generation);
            Ok(Json(BackendDeregistered { id: id.into(), deregistered: true, generation }))
        }
        other => Err(unexpected(&other)),
    }
}

/// `GET /api/v1/backends`
pub(super) async fn list(State(api): State<Arc<Api>>, mut parameters: Parameters) -> Result<Response, Problem> {
    let (app, region) = (parameters.text("app"), parameters.text("region"));
    parameters.finish()?;
    let snapshot = api.snapshots.load_full();
    let now_ms = clock::unix_ms();
    let is_in = |one: &Instance| {
        region.as_deref().is_none_or(|region| one.spec.region.as_ref().is_some_and(|own| own.as_str() == region))
    };
    let of_service = |service: &Arc<Service>| {
        let own = service.instances.iter().filter(|one| is_in(one));
        own.map(|one| (Arc::clone(service), Arc::clone(one))).collect::<Vec<_>>()
    };
    let found: Vec<_> = match &app {
        Some(app) => snapshot.service_named(app).map(of_service).unwrap_or_default(),
        None => snapshot.registered().flat_map(of_service).collect(),
    };
    let envelope = Backends { total: found.len(), backends: Vec::new() };
    let backends = found.into_iter().map(move |(service, instance)| show(&service, &instance, now_ms));
    Ok(listing::list(&envelope, "backends", backends))
}

/// `GET /api/v1/backends/{id}`
pub(super) async fn one(State(api): State<Arc<Api>>, Path(id): Path<String>) -> ApiResult<Backend> {
    let snapshot = api.snapshots.load_full();
    let (service, instance) = find(&snapshot, &id).ok_or_else(|| unknown(&id, "backend not found"))?;
    Ok(Json(show(service, instance, clock::unix_ms())))
}

fn find<'a>(snapshot: &'a Snapshot, id: &str) -> Option<(&'a Arc<Service>, &'a Arc<Instance>)> {
    snapshot.instance_with_id(&InstanceId::try_new(id).ok()?)
}

fn locate(api: &Api, id: &str) -> Option<InstanceRef> {
    let snapshot = api.snapshots.load();
    let (service, instance) = find(&snapshot, id)?;
    Some(InstanceRef { service: service.definition.service.clone(), id: instance.spec.id.clone() })
}

/// A backend as edgeProxy lists it, and what furt knows beside.
fn show(service: &Service, instance: &Instance, now_ms: i64) -> Backend {
    let (spec, live) = (&instance.spec, &instance.live);
    let ip = match &spec.url.host {
        UpstreamHost::Address(address) => Some(*address),
        UpstreamHost::Name(_) => instance.addresses.first().map(std::net::SocketAddr::ip),
    };
    let seconds_since = |ms: i64| (now_ms - ms).max(0) / 1000;
    let ejected_until_ms = live.ejected_until_ms(now_ms);
    let is_asked = instance.status != Status::Down && !live.is_draining() && ejected_until_ms.is_none();
    Backend {
        id: spec.id.as_str().into(),
        app: service.definition.service.as_str().into(),
        region: spec.region.as_ref().map(|region| region.as_str().to_owned()),
        country: spec.country.as_ref().map(|country| country.as_str().to_owned()),
        ip: ip.map(|ip| ip.to_string()),
        port: spec.url.port,
        healthy: is_asked && service.suspended.is_none(),
        status: wire::status(instance.status),
        draining: live.is_draining(),
        ejected_until: ejected_until_ms.map(wire::time),
        last_heartbeat_secs: seconds_since(live.heard_ms.load(Ordering::Relaxed)),
        registered_secs: seconds_since(live.registered_ms.load(Ordering::Relaxed)),
        heartbeat_ttl: views::heartbeat_ttl(instance),
        weight: spec.weight,
        soft_limit: spec.soft_limit,
        hard_limit: spec.hard_limit,
        in_flight: live.in_flight(),
    }
}

fn unknown(id: &str, error: &'static str) -> Problem {
    let problem = Problem::new(StatusCode::NOT_FOUND, Code::NotFound, format!("no backend \"{id}\" is registered"));
    problem.with(|body| (body.id, body.error) = (Some(id.into()), Some(error.to_owned())))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::store::stored;
    use furt_core::model::Epoch;
    use furt_core::registry::{Change, DefinitionRecord, InstanceRecord};
    use furt_core::routing::{Outcome, PoolGroup, ServiceKind};

    #[test]
    fn a_soft_limit_that_nobody_sent_is_never_above_the_hard_one() {
        let snapshot = Snapshot::new(Epoch(uuid::Uuid::nil()));
        for (hard, soft) in [(50, 50), (100, 100), (1_000, 100), (0, 100)] {
            let body = json!({"id": "a", "app": "a", "region": "eu", "ip": "10.0.0.1", "port": 80, "hard_limit": hard});
            let (parsed, errors) = parse(body, &snapshot);
            let (_, spec) = parsed.whole.filter(|_| errors.is_empty()).unwrap_or_else(|| panic!("{errors:?}"));
            assert_eq!((spec.hard_limit, spec.soft_limit), (hard, soft));
        }
    }

    #[test]
    fn all_that_can_be_registered_is_read_back_as_it_was() {
        let snapshot = Snapshot::new(Epoch(uuid::Uuid::nil()));
        let seed = json!({"id": "backend-eu-1", "app": "myapp", "region": "eu", "ip": "10.50.1.1", "port": 8080});
        for change in [
            json!({}),
            json!({"id": ":a._:-B"}),
            json!({"app": "a-b.c"}),
            json!({"app": "0"}),
            json!({"region": "moon-1"}),
            json!({"country": "xk"}),
            json!({"ip": "::1"}),
            json!({"ip": "::ffff:10.0.0.1", "port": 65_535}),
            json!({"ip": "fd00:1:2:3:4:5:6:7", "port": 1}),
            json!({"ip": "fe80::1"}),
            json!({"ip": "0.0.0.0", "port": 80}),
            json!({"weight": 1, "soft_limit": 0, "hard_limit": 0}),
            json!({"weight": 255, "soft_limit": u32::MAX, "hard_limit": u32::MAX}),
            json!({"hard_limit": 1}),
        ] {
            let mut body = seed.clone();
            body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
            let (parsed, errors) = parse(body.clone(), &snapshot);
            let (definition, spec) = parsed.whole.filter(|_| errors.is_empty()).unwrap_or_else(|| panic!("{errors:?}"));
            let registered_from = [127, 0, 0, 1].into();
            let addresses = Arc::new([spec.url.socket_address().unwrap()]);
            let service = definition.service.clone();
            let definition = Change::PutDefinition(DefinitionRecord { definition: definition.into(), registered_from });
            let instance = Change::PutInstance(InstanceRecord {
                service,
                spec: spec.into(),
                addresses,
                registered_from,
                replaced: None,
            });
            for put in [definition, instance] {
                assert_eq!(stored(&put).map(Result::unwrap), Some(put), "{body}");
            }
        }
    }

    #[test]
    fn who_is_ejected_is_not_healthy_and_says_until_when() {
        let instance = |id: &str| {
            Arc::new(Instance {
                spec: Arc::new(InstanceSpec::new(
                    InstanceId::try_new(id).unwrap(),
                    UpstreamUrl::try_new("http://10.0.0.1:80").unwrap(),
                )),
                addresses: Arc::new([]),
                status: Status::Up,
                soft_limit: 0,
                hard_limit: 0,
                pool_group: PoolGroup::default(),
                live: Arc::default(),
            })
        };
        let service = Service::new(
            Arc::new(Definition::new(ServiceName::try_new("a").unwrap())),
            ServiceKind::Registered,
            Status::Up,
            [instance("a1"), instance("a2")].into(),
        );
        let own = &service.instances[0];
        let shown = show(&service, own, 1_000);
        assert_eq!((shown.healthy, shown.ejected_until), (true, None));
        assert!((0..10).any(|_| service.note_outcome(own, Outcome::Bad, 1_000).is_some()), "it is ejected");
        let shown = show(&service, own, 2_000);
        assert_eq!((shown.healthy, shown.ejected_until), (false, Some("1970-01-01T00:00:11Z".to_owned().into())));
        assert!(show(&service, own, 11_000).healthy);
    }
}
