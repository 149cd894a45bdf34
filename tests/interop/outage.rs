//! The store is away: what goes on, what is refused, and how it is said.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::background::Background;
use crate::foreign::fault_proxy::Network;
use crate::foreign::{Etcd, FaultProxy};
use crate::gateways::{
    agree, beating_service, health, is_not_routed, is_routed, pair, reach_becomes, refusal_to_start,
    registered_at_last, shared_service, status, stored_at,
};
use crate::support::{Answer, Gateway, Origin, SOON, ports, with};

/// Within this time a gateway knows that its store is away.
const KNOWN: Duration = Duration::from_secs(8);
/// Within this time it is back.
const BACK: Duration = Duration::from_secs(8);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_store_a_gateway_serves_and_refuses_only_what_must_be_stored() {
    let ttl = Duration::from_secs(2);
    let (mut etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [mut a, b] = pair(&etcd).await;
    let beating = beating_service("beating", &origin.url(), ttl);
    a.registered(&beating).await;
    a.registered(&shared_service("still", &origin.url())).await;
    a.registered(&beating_service("silent", &origin.url(), ttl)).await;
    let body = json!({"name": "web", "permissions": ["*"]});
    let key = Answer::of(a.operate(Method::POST, "/internal/keys").json(&body)).await.json()["key"].clone();
    for path in ["/beating", "/still", "/silent"] {
        is_routed(&b, path, SOON).await;
    }
    assert_eq!(health(&a).await["status"], "ok");
    let load = Background::requests(&[&a, &b], &["/beating".into(), "/still".into()]);
    let beats = Background::heartbeats(&[&a, &b], &[("beating".into(), "beating".into())], ttl / 4);

    etcd.kill_all();
    for gateway in [&a, &b] {
        reach_becomes(gateway, false, KNOWN).await;
        let said = health(gateway).await;
        assert_eq!(said["status"], "degraded", "{said}");
        assert!(!said["issues"].as_array().unwrap().is_empty(), "{said}");
        let ready = Answer::of(gateway.operate(Method::GET, "/readyz")).await;
        assert_eq!(ready.status, 200, "it serves: {ready:?}");
    }
    // What changes nothing is answered as ever.
    assert_eq!(a.register(&beating).await.status, 200);
    assert_eq!(b.register(&shared_service("still", &origin.url())).await.status, 200);
    // What must be stored is refused at once, and changes nothing.
    let refusals = [
        a.operate(Method::POST, "/internal/register-service").json(&shared_service("new", &origin.url())),
        a.operate(Method::POST, "/internal/register-service")
            .json(&with(shared_service("still", &origin.url()), json!({"weight": 9}))),
        a.operate(Method::DELETE, "/internal/services/still"),
        a.operate(Method::DELETE, "/internal/services/still/instances/still"),
        a.operate(Method::POST, "/internal/services/still/instances/still/drain"),
        a.operate(Method::POST, "/internal/services/still/drain?until=undo"),
        a.operate(Method::POST, "/internal/keys").json(&json!({"name": "new", "permissions": ["*"]})),
        a.operate(Method::POST, "/internal/keys/web/rotate").json(&json!({"grace": "1h"})),
    ];
    for request in refusals {
        let begin = Instant::now();
        let answer = Answer::of(request).await;
        answer.problem(503, "store-unavailable");
        assert!((1..=60).contains(&answer.retry_after()), "{answer:?}");
        assert!(begin.elapsed() < Duration::from_secs(1), "at once: {:?}", begin.elapsed());
    }
    assert_eq!((status(&a, "/still").await, status(&a, "/new").await), (200, 404));
    // Nothing expires meanwhile: nobody can know who is heard elsewhere.
    tokio::time::sleep(ttl + Duration::from_secs(2)).await;
    assert_eq!((status(&a, "/silent").await, status(&b, "/silent").await), (200, 200));
    a.reloaded(&stored_at(&etcd.endpoints())).await;
    let with_key =
        async |gateway: &Gateway| Answer::of(gateway.request(Method::GET, "/still", key.as_str().unwrap())).await;
    assert_eq!(
        (with_key(&a).await.status, with_key(&b).await.status),
        (reqwest::StatusCode::OK, reqwest::StatusCode::OK)
    );

    etcd.start_all().await;
    for gateway in [&a, &b] {
        reach_becomes(gateway, true, BACK).await;
        assert_eq!(health(gateway).await["status"], "ok");
    }
    registered_at_last(&a, &shared_service("new", &origin.url()), BACK).await;
    is_routed(&b, "/new", SOON).await;
    for gateway in [&a, &b] {
        is_not_routed(gateway, "/silent", ttl + SOON).await;
    }
    load.stop().await.none_failed("requests", 1_000);
    beats.stop().await.none_failed("heartbeats", 10);
    a.restart().await;
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn without_a_majority_a_gateway_knows_within_five_seconds() {
    let (mut etcd, origin) = (Etcd::three().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    a.registered(&shared_service("one", &origin.url())).await;
    is_routed(&b, "/one", SOON).await;
    etcd.members[0].kill();
    etcd.members[1].kill();
    for gateway in [&a, &b] {
        reach_becomes(gateway, false, Duration::from_secs(6)).await;
        assert_eq!(status(gateway, "/one").await, 200);
        gateway.register(&shared_service("two", &origin.url())).await.problem(503, "store-unavailable");
    }
    etcd.start_all().await;
    for gateway in [&a, &b] {
        reach_becomes(gateway, true, BACK).await;
    }
    registered_at_last(&a, &shared_service("two", &origin.url()), BACK).await;
    is_routed(&b, "/two", SOON).await;
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn one_good_member_among_a_dead_and_a_frozen_one_suffices() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let frozen = FaultProxy::to(etcd.members[0].client);
    frozen.set(Network::Frozen);
    let dead = format!("http://{}", ports::free_address());
    let endpoints = [dead, frozen.url(), etcd.endpoint(0)];
    let begin = Instant::now();
    let a = Gateway::start(&stored_at(&endpoints)).await;
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    a.registered(&shared_service("one", &origin.url())).await;
    // The one it uses freezes, and the other one thaws.
    let good = FaultProxy::to(etcd.members[0].client);
    let b = Gateway::start(&stored_at(&[good.url(), endpoints[0].clone(), frozen.url()])).await;
    is_routed(&b, "/one", SOON).await;
    good.set(Network::Frozen);
    frozen.set(Network::Open);
    let begin = Instant::now();
    registered_at_last(&b, &shared_service("two", &origin.url()), SOON).await;
    println!("another member after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(8), "{:?}", begin.elapsed());
    is_routed(&a, "/two", SOON).await;
}

#[tokio::test]
async fn a_start_without_etcd_ends_with_what_to_do() {
    let dead = format!("http://{}", ports::free_address());
    let begin = Instant::now();
    let said = refusal_to_start(&stored_at(std::slice::from_ref(&dead))).await;
    assert!(said.contains(dead.trim_start_matches("http://")), "the endpoint is named: {said}");
    assert!((5.0..20.0).contains(&begin.elapsed().as_secs_f64()), "{:?}", begin.elapsed());
    // One that takes connections and says nothing.
    let silent = FaultProxy::to("127.0.0.1:9".parse().unwrap());
    silent.set(Network::Frozen);
    let said = refusal_to_start(&stored_at(&[silent.url()])).await;
    assert!(said.contains(silent.url().trim_start_matches("http://")), "the endpoint is named: {said}");
    // One that speaks something else.
    let origin = Origin::start().await;
    let said = refusal_to_start(&stored_at(&[origin.url()])).await;
    assert!(said.contains(&origin.address().to_string()), "the endpoint is named: {said}");
}
