//! The router around a real driver whose store fails: what callers are told, and what `/health` says meanwhile.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::Readiness;
use super::listener::Peer;
use crate::audit::{AuditTrail, News, Page};
use crate::config::Config;
use crate::driver::{Driver, StoreThread, now};
use crate::nodes::{Node, Nodes};
use crate::telemetry::Telemetry;
use furt_core::model::{CidrSet, Epoch, Host};
use furt_core::ports::{Probes, Store, StoreError};
use furt_core::registry::{self, HealthLimits, RegistrationPolicy, Registry, UnlistedRule};
use furt_core::registry::{Change, Contents, DnsSubject, InstanceRef, NameWatch, ProbePlan};

struct FullDisk;

impl Store for FullDisk {
    fn apply(&mut self, _changes: &[Change]) -> Result<(), StoreError> {
        Err(StoreError::Unavailable("disk full".to_owned()))
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        Ok(Contents::new(furt_core::model::Epoch(uuid::Uuid::nil())))
    }
}

/// Takes whatever is put, and lets nobody go.
pub(super) struct KeepsAll;

impl Store for KeepsAll {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let removes = |change: &Change| matches!(change, Change::RemoveInstance(_) | Change::RemoveService { .. });
        if changes.iter().any(removes) { Err(StoreError::Unavailable("disk full".to_owned())) } else { Ok(()) }
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        Ok(Contents::new(furt_core::model::Epoch(uuid::Uuid::nil())))
    }
}

struct NoProbes;

impl Probes for NoProbes {
    fn probe(&mut self, _instance: InstanceRef, _plan: ProbePlan) {}
    fn stop(&mut self, _instance: &InstanceRef) {}
    fn watch_name(&mut self, _subject: DnsSubject, _order: NameWatch) {}
    fn unwatch_name(&mut self, _subject: &DnsSubject) {}
}

/// The defaults' router, ready, over a driver that runs.
fn router(store: impl Store + 'static) -> Router {
    let readiness = Arc::new(Readiness::default());
    readiness.set_ready();
    router_of(store, readiness)
}

fn router_of(store: impl Store + 'static, readiness: Arc<Readiness>) -> Router {
    router_with(store, readiness, Arc::default(), None)
}

pub(super) fn router_with(
    store: impl Store + 'static,
    readiness: Arc<Readiness>,
    config: Arc<Config>,
    cluster: Option<super::Cluster>,
) -> Router {
    let telemetry = Telemetry::try_new().unwrap();
    let rules = registry::Settings {
        policy: RegistrationPolicy {
            grants: BTreeMap::new(),
            unlisted: UnlistedRule::Loopback,
            upstreams: CidrSet::try_new(&["127.0.0.0/8"]).unwrap(),
            static_routes: Vec::new(),
            apps_domain: Host::try_new("internal").unwrap(),
        },
        health: HealthLimits {
            interval: Duration::from_secs(30),
            interval_down: Duration::from_secs(120),
            failures_to_down: 3,
            failures_to_stop: 10,
            startup_time: Duration::from_secs(60),
            min_interval: Duration::from_secs(1),
        },
        heartbeat_ttl: Duration::from_secs(60),
        sharing: registry::Sharing::Exclusive,
        outage_hold: Duration::from_secs(300),
        shares_limits: false,
        rules: Arc::default(),
    };
    let (registry, effects) = Registry::new(Epoch(uuid::Uuid::nil()), rules, Vec::new(), Vec::new(), now());
    let (metrics, events) = (Arc::clone(&telemetry.registry), Arc::clone(&telemetry.events));
    let store = StoreThread::start(Box::new(store));
    let (driver, handle, snapshots) = Driver::new(registry, effects, config.into(), store, metrics, events);
    tokio::spawn(driver.run(NoProbes));
    super::router(super::Parts {
        own_listeners: Default::default(),
        driver: handle,
        snapshots,
        telemetry,
        readiness,
        reloads: super::Reloads::channel().0,
        upgrades: super::Upgrades::channel().0,
        geo: Arc::default(),
        connections: usize::MAX,
        tls: Default::default(),
        audit: AuditTrail::new(News::default(), |_, _| std::future::ready(Ok(Page::default()))),
        nodes: Nodes::alone(Node::this(&Config::default().internal, &[])),
        cluster,
        values: Default::default(),
    })
}

async fn answer(router: &Router, method: &str, path: &str, body: &Value) -> Response<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/json").extension(Peer([127, 0, 0, 1].into()));
    router.clone().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap()
}

pub(super) async fn json_of(response: Response<Body>) -> Value {
    serde_json::from_slice(&response.into_body().collect().await.unwrap().to_bytes()).unwrap()
}

#[tokio::test]
async fn a_registration_is_taken_while_furt_starts_and_refused_once_it_stops() {
    let readiness = Arc::new(Readiness::default());
    let router = router_of(KeepsAll, Arc::clone(&readiness));
    let registered = async |service: &str, port: u16| {
        let command = json!({"service": service, "url": format!("http://127.0.0.1:{port}")});
        let answer = answer(&router, "POST", "/internal/register-service", &command).await;
        (answer.status().as_u16(), json_of(answer).await["code"].clone())
    };
    let is_ready = async || answer(&router, "GET", "/readyz", &Value::Null).await.status() == 200;
    assert_eq!((registered("a", 9).await, is_ready().await), ((200, Value::Null), false));
    readiness.set_ready();
    assert_eq!((registered("b", 10).await, is_ready().await), ((200, Value::Null), true));
    readiness.set_stopping();
    assert_eq!((registered("c", 11).await, is_ready().await), ((503, json!("stopping")), false));
}

#[tokio::test]
async fn a_store_that_fails_is_a_503_with_retry_after_and_makes_furt_degraded() {
    let router = router(FullDisk);
    let health = json_of(answer(&router, "GET", "/health", &Value::Null).await).await;
    assert_eq!((&health["status"], &health["issues"]), (&json!("ok"), &Value::Null));
    let command = json!({"service": "a", "url": "http://127.0.0.1:9", "routes": [{"method": "GET", "path": "/a"}]});
    let refused = answer(&router, "POST", "/internal/register-service", &command).await;
    assert_eq!(refused.status(), 503);
    assert_eq!(refused.headers()["retry-after"], "1");
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    let problem = json_of(refused).await;
    assert_eq!(problem["code"], "store-unavailable", "{problem}");
    let health = answer(&router, "GET", "/health", &Value::Null).await;
    assert_eq!(health.status(), 200);
    let health = json_of(health).await;
    assert_eq!(health["status"], "degraded");
    assert!(health["issues"][0].as_str().is_some_and(|issue| issue.contains("disk full")), "{health}");
    assert_eq!(health["services"], json!({}), "what is not stored is not there");
}

#[tokio::test]
async fn health_counts_the_backends_that_the_list_shows_also_while_some_cannot_leave() {
    let router = router(KeepsAll);
    for (id, ttl, port) in [("silent", 1, 9), ("stays", 60, 10)] {
        let url = format!("http://127.0.0.1:{port}");
        let command = json!({"service": "a", "instance": id, "url": url, "heartbeat_ttl": ttl});
        assert_eq!(answer(&router, "POST", "/internal/register-service", &command).await.status(), 200);
    }
    for _ in 0..500 {
        let list = json_of(answer(&router, "GET", "/api/v1/backends", &Value::Null).await).await;
        let health = json_of(answer(&router, "GET", "/health", &Value::Null).await).await;
        if list["total"] == 1 {
            assert_eq!(health["backends"], 1, "{health}");
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the silent one is shown after 10 s");
}

/// Whatever is sent to etcd's v2 API: an answer comes at once, it is no 5xx, and an error has etcd's form where the
/// target can be read.
#[tokio::test]
async fn mangled_requests_to_the_v2_api_get_an_answer_of_its_form() {
    const PATHS: [&str; 6] = [
        "/v2/keys/services/shop/5e9f5f2b",
        "/v2/keys/ns/services/shop/5e9f5f2b?ttl=10&prevExist=true",
        "/v2/keys/services/shop?recursive=true&sorted=true",
        "/v2/keys/services?recursive=false",
        "/v2/machines",
        "/?refresh=10/v2/keys/services/shop/5e9f5f2b",
    ];
    const FORM: &str = "value=%7B%22name%22%3A%22shop%22%2C%22hostname%22%3A%22127.0.0.1%22%2C%22port%22%3A9%7D&ttl=10";
    const PIECES: [&str; 12] =
        ["/", "//", "%2F", "%00", "%", "?", "&", "=", "..", "value=", "ttl=-1", "%7B%22a%22%3A%5B"];
    let mangled = |rng: &mut fastrand::Rng, text: &str| {
        let mut bytes = text.as_bytes().to_vec();
        for _ in 0..rng.usize(..4) {
            let place = rng.usize(..=bytes.len());
            match rng.u8(..3) {
                0 => drop(bytes.splice(place..place, PIECES[rng.usize(..PIECES.len())].bytes())),
                1 => drop(bytes.drain(place..(place + rng.usize(..8)).min(bytes.len()))),
                _ => bytes.insert(place, rng.u8(..)),
            }
        }
        bytes
    };
    let router = router(KeepsAll);
    let (mut taken, mut refused) = (0, 0);
    for seed in 0..3_000 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let path = PATHS[rng.usize(..PATHS.len())];
        let path = mangled(&mut rng, path);
        let Ok(uri) = axum::http::Uri::try_from(path) else { continue };
        let method = ["GET", "PUT", "DELETE", "POST", "HEAD"][rng.usize(..5)];
        let request = Request::builder().method(method).uri(uri.clone()).header("host", "localhost");
        let request = request.header("content-type", "application/x-www-form-urlencoded");
        let request = request.extension(Peer([127, 0, 0, 1].into())).body(Body::from(mangled(&mut rng, FORM))).unwrap();
        let answered = tokio::time::timeout(Duration::from_secs(5), router.clone().oneshot(request)).await;
        let answer = answered.unwrap_or_else(|_| panic!("seed {seed}: {method} {uri} has no answer")).unwrap();
        let status = answer.status();
        // What KeepsAll does not let go.
        assert!(!status.is_server_error() || status == 503, "seed {seed}: {method} {uri}: {status}");
        taken += usize::from(status.is_success());
        refused += usize::from(status.is_client_error());
        if status.is_client_error() && uri.path().starts_with("/v2/") && method != "HEAD" {
            let error = json_of(answer).await;
            let has_form = error["errorCode"].is_u64() && error["message"].is_string();
            assert!(has_form, "seed {seed}: {method} {uri}: {error}");
        }
    }
    assert!(taken > 200 && refused > 200, "{taken} taken, {refused} refused");
}
