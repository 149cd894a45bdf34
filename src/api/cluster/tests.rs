//! The router before a driver of the cluster that is scripted: what operators are told, and what reaches the driver.

mod settings;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::http::{Request, Response};
use furt_cluster::model::{
    Boot, CheckValue, ClusterId, Digest, Fingerprint, NodeName, NodeState, PublicKey, Record, Role, Scope, SettingsId,
    Signature, Standing, TokenId,
};
use furt_cluster::{Indispensable, Issue, Membership, NodeView, RefusedCounts, SecretView, Token, View};
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::super::Readiness;
use super::super::listener::Peer;
use super::super::tests::{KeepsAll, json_of, router_with};
use super::*;
use crate::cluster::{Link, MadeToken, Order};
use crate::config::{Config, Sourced};
use furt_core::model::Sha256Digest;

const TOKEN: &str = "furtc1.5e711294-0975-49a0-905d-86cf98781cd8.c2VjcmV0";
const OPERATOR: &str = "Bearer operator";

fn key(first: u8, second: u8) -> Fingerprint {
    let mut bytes = [0xab; 32];
    (bytes[0], bytes[4]) = (first, second);
    Fingerprint::new(bytes)
}

fn secret(generation: u64, check: u8) -> SecretId {
    SecretId { generation, check: CheckValue::new([check; 8]) }
}

fn node(fingerprint: Fingerprint, name: &str, standing: Standing) -> NodeView {
    NodeView {
        fingerprint,
        name: NodeName::try_new(name).ok(),
        standing,
        state: Some(NodeState::Active),
        is_self: false,
        boot: Some(Boot(1_763_152_200_000)),
        age: Some(Duration::from_millis(2_500)),
        skew_ms: Some(-3),
        beat: None,
    }
}

/// Two commanders, one of them this node; two pending keys that begin alike, and share a name with the second commander.
fn view() -> View {
    let commander = Standing::Approved(Role::Commander);
    let record = |claim| Record {
        claim,
        by: key(1, 0),
        key: PublicKey::new(b"key"),
        at_ms: 0,
        signature: Signature::new(b"signature"),
    };
    View {
        membership: Some(Membership { cluster: ClusterId(Uuid::nil()), founder: key(1, 0) }),
        is_joining: false,
        nodes: vec![
            NodeView { is_self: true, ..node(key(1, 0), "a.1", commander) },
            node(key(2, 0), "b.2", commander),
            node(key(3, 0), "c.3", Standing::Pending),
            node(key(3, 1), "b.2", Standing::Pending),
        ],
        secret: SecretView {
            active: Some(secret(1, 0x11)),
            held: [secret(1, 0x11), secret(2, 0x22)].into(),
            next: Some(secret(2, 0x22)),
            waits_for: [key(2, 0)].into(),
        },
        settings: [(Scope::Node(key(2, 0)), SettingsId { generation: 4, digest: Digest::new([9; 32]) })].into(),
        tokens: [(TokenId::new([7; 8]), Token { uses: 2, until_ms: 1_763_152_200_000, role: Role::Member })].into(),
        records: vec![record(Claim::Secret(secret(2, 0x22))), record(Claim::Secret(secret(2, 0x33)))],
        issues: vec![Issue::RotationDue],
        refused: RefusedCounts::default(),
        beats: 12,
    }
}

/// What the driver was told, and what it says to each command.
#[derive(Default)]
struct Driver {
    told: Arc<Mutex<Vec<String>>>,
}

impl Driver {
    fn told(&self) -> Vec<String> {
        std::mem::take(&mut self.told.lock().unwrap())
    }

    fn answering(&self, answer: impl Fn() -> Result<Answer, Failure> + Send + 'static) -> Router {
        self.showing(view(), answer)
    }

    fn showing(&self, view: View, answer: impl Fn() -> Result<Answer, Failure> + Send + 'static) -> Router {
        let told = Arc::clone(&self.told);
        let tell = move |what: String| told.lock().unwrap().push(what);
        let (handle, mut orders) = Handle::channel();
        tokio::spawn(async move {
            while let Some(order) = orders.recv().await {
                match order {
                    Order::Look(reply) => _ = reply.send(Ok(Shown { view: view.clone(), link: Link::Up })),
                    Order::Command(command, reply) => {
                        tell(format!("{command:?}"));
                        _ = reply.send(answer());
                    }
                    Order::MakeToken { uses, ttl, role, reply } => {
                        tell(format!("token {uses} {ttl:?} {role}"));
                        let made =
                            MadeToken { text: TOKEN.to_owned(), id: TokenId::new([7; 8]), until_ms: 1_763_152_200_000 };
                        _ = reply.send(answer().map(|_| made));
                    }
                    Order::Settings(change, reply) => {
                        tell(format!("{change:?}"));
                        _ = reply.send(answer());
                    }
                    Order::Documents(reply) => _ = reply.send(Ok(settings::known())),
                    Order::Join(token, reply) => {
                        tell(format!("join {token}"));
                        _ = reply.send(answer());
                    }
                }
            }
        });
        router(Some(handle))
    }
}

fn router(cluster: Option<Handle>) -> Router {
    let readiness = Arc::new(Readiness::default());
    readiness.set_ready();
    router_of(cluster, readiness)
}

fn router_of(cluster: Option<Handle>, readiness: Arc<Readiness>) -> Router {
    let mut config = Config::default();
    config.internal.operator_token_sha256 = Some(Sourced::Here(Sha256Digest::of(b"operator")));
    router_with(KeepsAll, readiness, Arc::new(config), cluster)
}

async fn sent(router: &Router, method: &str, path: &str, authorization: Option<&str>, body: &str) -> Response<Body> {
    let request = Request::builder().method(method).uri(path).header("host", "localhost");
    let request = request.header("content-type", "application/json").extension(Peer([127, 0, 0, 1].into()));
    let request = authorization.into_iter().fold(request, |request, value| request.header("authorization", value));
    router.clone().oneshot(request.body(Body::from(body.to_owned())).unwrap()).await.unwrap()
}

async fn asked(router: &Router, method: &str, path: &str, body: &str) -> (u16, Value) {
    let answer = sent(router, method, path, Some(OPERATOR), body).await;
    (answer.status().as_u16(), json_of(answer).await)
}

/// Asserts a problem, and gives its detail.
async fn refused(router: &Router, method: &str, path: &str, body: &str, status: u16, code: &str) -> String {
    let (told, problem) = asked(router, method, path, body).await;
    assert_eq!((told, &problem["code"]), (status, &json!(code)), "{method} {path} {body}: {problem}");
    problem["detail"].as_str().unwrap().to_owned()
}

/// Every endpoint with a body that is good.
const ALL: [(&str, &str, &str); 11] = [
    ("POST", "/internal/cluster/init", ""),
    ("POST", "/internal/cluster/join", r#"{"token": "furtc1.a.b"}"#),
    ("POST", "/internal/cluster/tokens", ""),
    ("DELETE", "/internal/cluster/tokens/0707070707070707", ""),
    ("POST", "/internal/cluster/nodes/02ababab/approve", r#"{"role": "commander"}"#),
    ("POST", "/internal/cluster/nodes/02ababab/revoke", ""),
    ("DELETE", "/internal/cluster/nodes/c.3", ""),
    ("POST", "/internal/cluster/beats", ""),
    ("POST", "/internal/cluster/secret/rotate", ""),
    ("POST", "/internal/cluster/secret/adopt", r#"{"check": "3333333333333333"}"#),
    ("POST", "/internal/cluster/settings", r#"{"to": "all", "set": {"limits.max_body": 5}}"#),
];

#[tokio::test]
async fn each_endpoint_reaches_the_driver_and_is_answered() {
    let driver = Driver::default();
    let (two, three) = (key(2, 0).to_string(), key(3, 0).to_string());
    type Said = fn() -> Answer;
    let answers: [(Said, u16, Value); 11] = [
        (
            || Answer::Founded(ClusterId(Uuid::nil()), secret(1, 0x11)),
            200,
            json!({"status": "founded", "cluster": Uuid::nil(), "secret": {"generation": 1, "check": "1111111111111111"}}),
        ),
        (|| Answer::Joining, 202, json!({"status": "joining"})),
        (|| Answer::Done, 201, json!({"token": TOKEN, "id": "0707070707070707", "until": "2025-11-14T20:30:00Z"})),
        (|| Answer::Done, 200, json!({"status": "dropped", "id": "0707070707070707"})),
        (|| Answer::Done, 200, json!({"status": "approved", "fingerprint": two, "role": "commander"})),
        (
            || Answer::Revoked([key(3, 0)].into()),
            200,
            json!({"status": "revoked", "fingerprint": two, "approved_again": [three]}),
        ),
        (|| Answer::Done, 200, json!({"status": "forgotten", "fingerprint": three})),
        (|| Answer::Done, 200, json!({"status": "asked"})),
        (
            || Answer::Rotating(secret(2, 0x22)),
            200,
            json!({"status": "rotating", "secret": {"generation": 2, "check": "2222222222222222"}}),
        ),
        (|| Answer::Done, 200, json!({"status": "adopted", "secret": {"generation": 2, "check": "3333333333333333"}})),
        (
            || Answer::Set { documents: BTreeMap::new(), outcomes: BTreeMap::new() },
            200,
            json!({"status": "set", "documents": [], "outcomes": []}),
        ),
    ];
    let told = [
        "Init(".to_owned(),
        "join furtc1.a.b".to_owned(),
        "token 1 3600s member".to_owned(),
        "DropToken(0707070707070707)".to_owned(),
        format!("Approve({two}, Commander)"),
        format!("Revoke({two})"),
        format!("Forget({three})"),
        "AskBeats".to_owned(),
        "Rotate".to_owned(),
        "Adopt(SecretId { generation: 2, check: 3333333333333333 })".to_owned(),
        "SettingsChange { scopes: [cluster], set: {\"limits.max_body\": Integer(5)}".to_owned(),
    ];
    for (((method, path, body), (answer, status, expected)), told) in ALL.into_iter().zip(answers).zip(told) {
        let router = driver.answering(move || Ok(answer()));
        assert_eq!(asked(&router, method, path, body).await, (status, expected), "{method} {path}");
        let [one] = driver.told().try_into().unwrap();
        assert!(one.starts_with(&told), "{one}");
        // What is not its answer is furt's own fault.
        let router = driver.answering(|| Ok(Answer::Updated(furt_cluster::Outcome::Away)));
        if !path.ends_with("tokens") {
            refused(&router, method, path, body, 500, "internal").await;
        }
        driver.told();
    }
    let router = driver.answering(|| Ok(Answer::Done));
    let (status, body) = asked(&router, "POST", "/internal/cluster/join", ALL[1].2).await;
    assert_eq!((status, &body["status"]), (200, &json!("joined")));
}

#[tokio::test]
async fn who_approves_a_commander_as_member_is_told_that_it_stays_one() {
    let router = Driver::default().answering(|| Ok(Answer::Done));
    for (body, role) in [("", "commander"), (r#"{"role": "member"}"#, "commander")] {
        let answer = asked(&router, "POST", "/internal/cluster/nodes/02ababab/approve", body).await;
        assert_eq!((answer.0, &answer.1["role"]), (200, &json!(role)), "{body}");
    }
    let pending = key(3, 0).to_string();
    let answer = asked(&router, "POST", &format!("/internal/cluster/nodes/{pending}/approve"), "").await;
    assert_eq!((answer.0, &answer.1["role"]), (200, &json!("member")));
}

#[tokio::test]
async fn a_token_is_answered_once_and_never_cached() {
    let router = Driver::default().answering(|| Ok(Answer::Done));
    let answer =
        sent(&router, "POST", "/internal/cluster/tokens", Some(OPERATOR), r#"{"uses": 20, "ttl_s": 60}"#).await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["cache-control"]), (201, &"no-store".parse().unwrap()));
    let nodes = asked(&router, "GET", "/internal/nodes", "").await.1;
    assert!(!nodes.to_string().contains(TOKEN), "{nodes}");
}

#[tokio::test]
async fn every_refusal_has_the_status_that_it_names() {
    let outdated = || Refusal::Outdated { scope: Scope::Cluster, generation: 3 };
    let disagreed = || Refusal::Disagreed { disagree: BTreeMap::new(), silent: BTreeSet::new() };
    let refusals: Vec<(Refusal, u16, &str)> = vec![
        (Refusal::BusDown, 503, "cluster-unavailable"),
        (Refusal::NoArbiter("away".into()), 503, "cluster-unavailable"),
        (Refusal::Busy, 503, "busy"),
        (Refusal::NotCommander, 403, "not-commander"),
        (Refusal::NoSuchToken, 404, "not-found"),
        (Refusal::Unknown(key(9, 9)), 404, "not-found"),
        (Refusal::NoSuchSecret, 404, "not-found"),
        (Refusal::Unjoined, 409, "cluster-conflict"),
        (Refusal::Joined(ClusterId(Uuid::nil())), 409, "cluster-conflict"),
        (Refusal::Revoked(key(2, 0)), 409, "cluster-conflict"),
        (Refusal::Approved(key(2, 0)), 409, "cluster-conflict"),
        (Refusal::Indispensable(Indispensable::Founder), 409, "cluster-conflict"),
        (Refusal::Full, 409, "cluster-conflict"),
        (Refusal::NoSecret, 409, "cluster-conflict"),
        (Refusal::RotationRuns(secret(2, 2)), 409, "cluster-conflict"),
        (Refusal::SettingsRun(Scope::Cluster), 409, "cluster-conflict"),
        (Refusal::Split(2), 409, "cluster-conflict"),
        (Refusal::UpdateRuns(key(2, 0)), 409, "cluster-conflict"),
        (outdated(), 412, "outdated"),
        (Refusal::SecretTaken(2), 412, "outdated"),
        (Refusal::Invalid("a token is for 1 to 256 nodes"), 422, "invalid-fields"),
        (disagreed(), 422, "invalid-config"),
    ];
    for (refusal, status, code) in refusals {
        let said = refusal.clone();
        let router = Driver::default().answering(move || Err(said.clone().into()));
        let detail = refused(&router, "POST", "/internal/cluster/beats", "", status, code).await;
        assert_eq!(detail, refusal.to_string());
    }
    let router = Driver::default().answering(|| Err(Failure::Token("is of another cluster".to_owned())));
    let (status, problem) = asked(&router, "POST", "/internal/cluster/join", ALL[1].2).await;
    assert_eq!((status, &problem["errors"][0]["pointer"]), (422, &json!("/token")), "{problem}");
    let router = Driver::default().answering(|| Err(Failure::Unavailable("its folder is away".to_owned())));
    let answer = sent(&router, "POST", "/internal/cluster/beats", Some(OPERATOR), "").await;
    assert_eq!((answer.status().as_u16(), &answer.headers()["retry-after"]), (503, &"1".parse().unwrap()));
    assert_eq!(json_of(answer).await["detail"], "its folder is away");
}

#[tokio::test]
async fn without_a_cluster_and_without_the_token_there_is_nothing_to_command() {
    let alone = router(None);
    let driver = Driver::default();
    let joined = driver.answering(|| Ok(Answer::Done));
    let mut no_token = Config::default();
    no_token.internal.operator_token_sha256 = None;
    let readiness = Arc::new(Readiness::default());
    let no_token = router_with(KeepsAll, readiness, Arc::new(no_token), Some(Handle::channel().0));
    for (method, path, body) in ALL {
        let detail = refused(&alone, method, path, body, 404, "not-found").await;
        assert!(detail.contains("cluster.url is not set"), "{detail}");
        for authorization in [None, Some("Bearer wrong")] {
            let answer = sent(&joined, method, path, authorization, body).await;
            assert_eq!(answer.status(), 403, "{method} {path}");
            assert_eq!(json_of(answer).await["code"], "operators-only");
        }
        let detail = refused(&no_token, method, path, body, 403, "operators-only").await;
        assert!(detail.contains("operator_token_sha256"), "{detail}");
        assert_eq!(sent(&joined, method, &format!("{path}?x=1"), Some(OPERATOR), body).await.status(), 422);
    }
    assert!(driver.told().is_empty());
}

#[tokio::test]
async fn a_key_is_a_fingerprint_or_enough_of_it() {
    let driver = Driver::default();
    let router = driver.answering(|| Ok(Answer::Revoked(BTreeSet::new())));
    let revoke = |key: &str| format!("/internal/cluster/nodes/{key}/revoke");
    let whole = key(9, 9).to_string();
    for (text, meant) in [
        ("02ABABAB", key(2, 0)),
        ("03abababab", key(3, 1)),
        (&key(3, 0).to_string()[..10], key(3, 0)),
        // What this node has not heard is for the core to judge.
        (&whole, key(9, 9)),
    ] {
        let text = if text == "03abababab" { key(3, 1).to_string()[..10].to_owned() } else { text.to_owned() };
        assert_eq!(asked(&router, "POST", &revoke(&text), "").await.0, 200, "{text}");
        assert_eq!(driver.told(), [format!("Revoke({meant})")]);
    }
    let detail = refused(&router, "POST", &revoke("03ababab"), "", 409, "cluster-conflict").await;
    assert!(detail.contains(&key(3, 0).to_string()) && detail.contains(&key(3, 1).to_string()), "{detail}");
    let long = format!("{}0", key(2, 0));
    for bad in ["02ababa", "04ababab", "a.1", "b.2", "02ababab%20", "%00", "02abababzz", "a%2Fb", &long] {
        refused(&router, "POST", &revoke(bad), "", 404, "not-found").await;
        refused(&router, "POST", &revoke(bad).replace("revoke", "approve"), "", 404, "not-found").await;
    }
    // A stranger has the name of another one.
    let router = driver.answering(|| Ok(Answer::Done));
    let forget = |key: &str| format!("/internal/cluster/nodes/{key}");
    refused(&router, "DELETE", &forget("b.2"), "", 409, "cluster-conflict").await;
    refused(&router, "DELETE", &forget("nobody.1"), "", 404, "not-found").await;
    assert!(driver.told().is_empty());
    for text in ["c.3", &key(3, 0).to_string()] {
        assert_eq!(asked(&router, "DELETE", &forget(text), "").await.0, 200);
        assert_eq!(driver.told(), [format!("Forget({})", key(3, 0))]);
    }
}

#[tokio::test]
async fn a_bad_body_reaches_nobody() {
    let driver = Driver::default();
    let router = driver.answering(|| Ok(Answer::Done));
    for (method, path, body) in ALL.into_iter().filter(|(method, ..)| *method == "POST") {
        let takes_none = ["init", "revoke", "beats", "rotate"].iter().any(|end| path.ends_with(end));
        if takes_none {
            refused(&router, method, path, "{}", 400, "unexpected-body").await;
            continue;
        }
        refused(&router, method, path, "{", 400, "not-json").await;
        refused(&router, method, path, r#"{"role": 1, "role": 2}"#, 400, "not-json").await;
        for bad in ["[]", "null", r#"{"x": 1}"#, r#"{"token": 5, "check": "x", "role": "root", "uses": 0}"#] {
            refused(&router, method, path, bad, 422, "invalid-fields").await;
        }
        if body.contains("token") || body.contains("check") || body.contains("set") {
            refused(&router, method, path, "{}", 422, "invalid-fields").await;
            refused(&router, method, path, "", 400, "not-json").await;
        }
    }
    let adopt = "/internal/cluster/secret/adopt";
    refused(&router, "POST", adopt, r#"{"check": "4444444444444444"}"#, 404, "not-found").await;
    refused(&router, "DELETE", "/internal/cluster/tokens/%2e%2e", "", 404, "not-found").await;
    refused(&router, "DELETE", "/internal/cluster/tokens/x", "", 404, "not-found").await;
    assert!(driver.told().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_hangs_or_is_gone_is_a_503() {
    let (handle, orders) = Handle::channel();
    let router = router(Some(handle));
    let detail = refused(&router, "POST", "/internal/cluster/beats", "", 503, "cluster-unavailable").await;
    assert!(detail.contains("may still be carried out"), "{detail}");
    let (status, nodes) = asked(&router, "GET", "/internal/nodes", "").await;
    assert_eq!((status, nodes["nodes"].as_array().map(Vec::len), nodes.get("cluster")), (200, Some(1), None));
    assert!(nodes["cluster_error"].as_str().unwrap().contains("did not answer"), "{nodes}");
    drop(orders);
    let detail = refused(&router, "POST", "/internal/cluster/beats", "", 503, "cluster-unavailable").await;
    assert!(detail.contains("this node stops, or cannot write"), "{detail}");
    let nodes = asked(&router, "GET", "/internal/nodes", "").await.1;
    assert!(nodes["cluster_error"].as_str().unwrap().contains("this node stops, or cannot write"), "{nodes}");
}

#[tokio::test]
async fn a_furt_that_stops_takes_no_command() {
    let readiness = Arc::new(Readiness::default());
    let router = router_of(Some(Handle::channel().0), Arc::clone(&readiness));
    readiness.set_stopping();
    for (method, path, body) in ALL {
        refused(&router, method, path, body, 503, "stopping").await;
    }
}

#[tokio::test]
async fn operators_are_shown_the_cluster_and_others_what_they_were_shown_without_one() {
    let router = Driver::default().answering(|| Ok(Answer::Done));
    let shown = asked(&router, "GET", "/internal/nodes", "").await.1;
    let cluster = &shown["cluster"];
    let own = key(1, 0).to_string();
    assert_eq!((&cluster["id"], &cluster["founder"]), (&json!(Uuid::nil()), &json!(own)));
    assert_eq!((&cluster["fingerprint"], &cluster["link"]), (&json!(own), &json!({"status": "up", "why": null})));
    let standings: Vec<_> = cluster["members"].as_array().unwrap().iter().map(|one| &one["standing"]).collect();
    assert_eq!(standings, ["commander", "commander", "pending", "pending"]);
    let one = &cluster["members"][1];
    assert_eq!((&one["age"], &one["skew_ms"], &one["this"]), (&json!(2.5), &json!(-3), &json!(false)));
    assert_eq!(cluster["secret"]["waits_for"], json!([key(2, 0)]));
    assert_eq!(cluster["settings"][0]["node"], json!(key(2, 0)));
    assert_eq!(cluster["tokens"][0]["id"], "0707070707070707");
    assert_eq!(cluster["issues"], json!(["a revoked key may know the active secret; rotate it"]));
    let typed: furt_api::nodes::Nodes = serde_json::from_value(shown.clone()).unwrap();
    assert_eq!(serde_json::to_value(&typed).unwrap(), shown);

    // A service is told of no key, and a furt without a cluster tells what it told before there were any.
    let service = json_of(sent(&router, "GET", "/internal/nodes", None, "").await).await;
    let alone = asked(&super::tests::router(None), "GET", "/internal/nodes", "").await.1;
    for told in [service, alone] {
        assert_eq!(told.as_object().unwrap().keys().collect::<Vec<_>>(), ["nodes"], "{told}");
    }
    let unjoined = View { membership: None, is_joining: true, ..view() };
    let router = Driver::default().showing(unjoined, || Ok(Answer::Done));
    let shown = asked(&router, "GET", "/internal/nodes", "").await.1;
    assert_eq!((&shown["cluster"]["id"], &shown["cluster"]["joining"]), (&Value::Null, &json!(true)));
    let approve = format!("/internal/cluster/nodes/{}/approve", key(2, 0));
    assert_eq!(asked(&router, "POST", &approve, "").await.1["status"], "trusted");
}
