//! `/health` on both listeners, and what it keeps from those who need not know; `/livez` and `/readyz`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::{Answer, Gateway, Origin, SOON, eventually, sagjan, with};

const PATH: &str = "/health";

async fn up(tail: &str) -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    (gateway, origin)
}

/// Whether it has what everyone may know, and nothing else.
fn is_short(health: &Value) -> bool {
    let members: Vec<_> = health.as_object().unwrap().keys().map(String::as_str).collect();
    members.len() == 3 && ["status", "service", "version"].iter().all(|member| members.contains(member))
}

/// `2025-11-14T20:30:00Z`, with or without a fraction.
fn is_utc(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.len() >= 20 && text.as_bytes()[10] == b'T' && text.ends_with('Z'))
}

#[tokio::test]
async fn health_is_as_the_seed_shows_it() {
    let (gateway, origin) = up("").await;
    // The internal listener has edgeProxy's word, whose clients ask there.
    for (request, well) in
        [(gateway.anonymous(Method::GET, PATH), "healthy"), (gateway.operate(Method::GET, PATH), "ok")]
    {
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, 200);
        assert!(answer.header("content-type").starts_with("application/json"));
        let health = answer.json();
        assert_eq!(health["status"], well);
        assert_eq!(health["service"], "furt");
        assert_eq!(health["version"], env!("CARGO_PKG_VERSION"));
        assert!(!health["build"].is_null(), "{health}");
        let sagjan = &health["services"]["sagjan"];
        assert_eq!(sagjan["status"], "UP");
        assert_eq!(sagjan["url"].as_str().unwrap().trim_end_matches('/'), origin.url());
        assert!(is_utc(&sagjan["last_ping"]), "{sagjan}");
        assert!(sagjan["response_time_ms"].is_number(), "{sagjan}");
    }
}

#[tokio::test]
async fn a_down_service_shows_its_failures_and_leaves_furt_healthy() {
    let (gateway, mut origin) = up("").await;
    origin.stop().await;
    gateway.status_becomes("sagjan", "DOWN").await;
    let health = Answer::of(gateway.anonymous(Method::GET, PATH)).await.ok();
    assert_eq!(health["status"], "healthy", "furt itself is");
    assert_eq!(health["services"]["sagjan"]["status"], "DOWN");
    assert!(health["services"]["sagjan"]["consecutive_failures"].as_u64().unwrap() >= 3);
    assert!(is_utc(&health["services"]["sagjan"]["last_ping"]));
}

#[tokio::test]
async fn several_instances_are_shown_one_by_one() {
    let gateway = Gateway::start("").await;
    let (one, two) = (Origin::start().await, Origin::start().await);
    for (instance, origin) in [("b", &two), ("a", &one)] {
        gateway.registered(&with(sagjan(&origin.url()), json!({"instance": instance}))).await;
    }
    let sagjan = eventually("both UP", SOON, async || {
        let health = Answer::of(gateway.anonymous(Method::GET, PATH)).await.ok();
        let sagjan = health["services"]["sagjan"].clone();
        let both_up = ["a", "b"].iter().all(|instance| sagjan["instances"][instance]["status"] == "UP");
        both_up.then_some(sagjan)
    })
    .await;
    assert_eq!(sagjan["url"].as_str().unwrap().trim_end_matches('/'), one.url(), "the first by its id");
}

#[tokio::test]
async fn untrusted_addresses_see_no_services() {
    let (gateway, _origin) = up("[gateway]\nallow_registration_from = ['127.0.0.1']").await;
    let stranger = client_from(Some("127.0.0.2".parse().unwrap()));
    let health = Answer::of(stranger.get(gateway.public_url(PATH))).await.ok();
    assert!(is_short(&health), "{health}");
    let trusted = Answer::of(gateway.anonymous(Method::GET, PATH)).await.ok();
    assert!(trusted["services"]["sagjan"].is_object(), "{trusted}");
}

#[tokio::test]
async fn on_the_internal_listener_everyone_gets_what_edge_proxy_answers() {
    let (gateway, _origin) =
        up("[internal]\noperators_from = ['127.0.0.1']\n[gateway]\nallow_registration_from = ['127.0.0.1']").await;
    let stranger = client_from(Some("127.0.0.2".parse().unwrap()));
    let health = Answer::of(stranger.get(gateway.internal_url(PATH))).await.ok();
    let members: Vec<_> = health.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(members, ["status", "service", "version", "backends", "uptime_secs"]);
    assert_eq!((&health["status"], &health["backends"]), (&json!("ok"), &json!(1)));
}

#[tokio::test]
async fn what_came_through_an_unknown_proxy_sees_no_services() {
    let (gateway, _origin) = up("").await;
    for (name, value) in
        [("x-forwarded-for", "127.0.0.1"), ("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=127.0.0.1")]
    {
        let health = Answer::of(gateway.anonymous(Method::GET, PATH).header(name, value)).await.ok();
        assert!(is_short(&health), "{name}: {value}: {health}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_the_clients_address_counts() {
    let tail =
        "[server]\ntrusted_proxies = ['127.0.0.1']\n[gateway]\nallow_registration_from = ['127.0.0.1', '10.0.0.0/8']";
    let (gateway, _origin) = up(tail).await;
    let from = async |client: &str| {
        Answer::of(gateway.anonymous(Method::GET, PATH).header("x-forwarded-for", client)).await.ok()
    };
    assert!(from("10.1.2.3").await["services"].is_object());
    assert!(is_short(&from("203.0.113.9").await));
    assert!(is_short(&from("10.1.2.3, 203.0.113.9").await), "the last hop that is not a trusted proxy counts");
}

#[tokio::test]
async fn health_needs_no_key_and_takes_no_other_method() {
    let gateway = Gateway::start("").await;
    assert_eq!(Answer::of(gateway.anonymous(Method::HEAD, PATH)).await.status, 200);
    let post = Answer::of(gateway.anonymous(Method::POST, PATH)).await;
    post.problem(405, "method-not-allowed");
    assert!(post.header("allow").contains("GET"));
}

#[tokio::test]
async fn livez_and_readyz_answer_on_the_internal_listener() {
    let gateway = Gateway::start("").await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(Answer::of(gateway.operate(Method::GET, path)).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn a_hundred_services_are_all_shown() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    for number in 0..100 {
        let body = json!({"service": format!("s{number}"), "url": origin.url(), "routes": []});
        gateway.registered(&body).await;
    }
    let health = Answer::of(gateway.anonymous(Method::GET, PATH)).await.ok();
    assert_eq!(health["services"].as_object().unwrap().len(), 100);
}
