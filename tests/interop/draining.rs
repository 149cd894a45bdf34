//! Drains, held ids and incarnations over two gateways.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::foreign::Etcd;
use crate::gateways::{agree, is_routed, leave, pair, shared_service, status};
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, throughout, with};

const DRAIN: &str = "/internal/services/one/instances/one/drain";

async fn with_one() -> (Etcd, Origin, [Gateway; 2]) {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let gateways = pair(&etcd).await;
    gateways[0].registered(&shared_service("one", &origin.url())).await;
    is_routed(&gateways[1], "/one", SOON).await;
    (etcd, origin, gateways)
}

async fn call(gateway: &Gateway, method: Method, path: &str) -> Answer {
    Answer::of(gateway.operate(method, path)).await
}

/// A request that the origin holds until it is released.
async fn in_flight(gateway: &Gateway, origin: &Origin) -> tokio::task::JoinHandle<reqwest::Result<Answer>> {
    origin.set_mode(Mode::Gated);
    let before = origin.requests("/one");
    let request = tokio::spawn(Answer::try_of(gateway.anonymous(Method::GET, "/one")));
    eventually("it arrives", SOON, async || (origin.requests("/one") > before).then_some(())).await;
    request
}

/// Waits until a gateway answers so.
async fn status_becomes(gateway: &Gateway, wanted: u16) {
    eventually(&format!("{wanted}"), SOON, async || (status(gateway, "/one").await == wanted).then_some(())).await;
}

#[tokio::test]
async fn a_drain_at_one_gateway_stops_new_requests_at_the_other_and_is_undone_there() {
    let (etcd, origin, [a, b]) = with_one().await;
    for (here, there) in [(&a, &b), (&b, &a)] {
        call(here, Method::POST, DRAIN).await.ok();
        status_becomes(there, 503).await;
        let before = origin.requests("/one");
        for gateway in [here, there] {
            Answer::of(gateway.anonymous(Method::GET, "/one")).await.problem(503, "draining");
        }
        assert_eq!(origin.requests("/one"), before);
        call(there, Method::DELETE, DRAIN).await.ok();
        for gateway in [here, there] {
            status_becomes(gateway, 200).await;
        }
    }
    assert_eq!(etcd.ctl().names_below("/furt/default/v1/draining/").await, Vec::<String>::new());
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn a_drain_ends_with_a_registration_at_the_other_gateway() {
    let (_etcd, origin, [a, b]) = with_one().await;
    call(&a, Method::POST, DRAIN).await.ok();
    status_becomes(&b, 503).await;
    b.registered(&shared_service("one", &origin.url())).await;
    for gateway in [&a, &b] {
        status_becomes(gateway, 200).await;
    }
}

#[tokio::test]
async fn a_drain_that_waits_waits_for_the_requests_of_the_other_gateway() {
    let (_etcd, origin, [a, b]) = with_one().await;
    let request = in_flight(&b, &origin).await;
    let drain = tokio::spawn(Answer::of(a.operate(Method::POST, &format!("{DRAIN}?wait=30"))));
    eventually("B knows", SOON, async || (b.instance("one").await["draining"] == true).then_some(())).await;
    throughout("the answer waits", Duration::from_secs(2), async || !drain.is_finished()).await;
    origin.release();
    assert_eq!(request.await.unwrap().unwrap().status, 200);
    let answer = tokio::time::timeout(SOON, drain).await.expect("an answer soon").unwrap().ok();
    assert_eq!((&answer["status"], &answer["in_flight"]), (&json!("draining"), &json!(0)));
}

#[tokio::test]
async fn what_was_said_of_a_drain_goes_with_it_though_a_request_is_in_flight() {
    let (etcd, origin, [a, b]) = with_one().await;
    let request = in_flight(&b, &origin).await;
    let busy = async || etcd.ctl().names_below("/furt/default/v1/busy/").await.len();
    for _ in 0..10 {
        call(&a, Method::POST, DRAIN).await.ok();
        eventually("B says that it is busy", SOON, async || (busy().await == 1).then_some(())).await;
        call(&a, Method::DELETE, DRAIN).await.ok();
        eventually("it takes that back", SOON, async || (busy().await == 0).then_some(())).await;
    }
    origin.release();
    assert_eq!(request.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn who_leaves_with_a_drain_waits_for_the_requests_of_the_other_gateway() {
    let (_etcd, origin, [a, b]) = with_one().await;
    let request = in_flight(&b, &origin).await;
    let path = "/internal/services/one/instances/one?drain=30";
    let removal = tokio::spawn(Answer::of(a.operate(Method::DELETE, path)));
    eventually("B knows", SOON, async || b.service("one").await.is_none().then_some(())).await;
    throughout("the answer waits", Duration::from_secs(2), async || !removal.is_finished()).await;
    origin.release();
    assert_eq!(request.await.unwrap().unwrap().status, 200);
    let answer = tokio::time::timeout(SOON, removal).await.expect("an answer soon").unwrap().ok();
    assert_eq!((&answer["status"], &answer["in_flight"]), (&json!("deregistered"), &json!(0)));
}

#[tokio::test]
async fn an_id_that_one_gateway_holds_drains_at_the_other_until_it_is_undone() {
    let (etcd, origin, [mut a, b]) = with_one().await;
    call(&a, Method::POST, &format!("{DRAIN}?until=undo")).await.ok();
    status_becomes(&b, 503).await;
    leave(&b, "one").await.ok();
    status_becomes(&a, 404).await;
    // As a new process of another incarnation, at either gateway.
    b.registered(&with(shared_service("one", &origin.url()), json!({"incarnation": "second"}))).await;
    for gateway in [&a, &b] {
        status_becomes(gateway, 503).await;
    }
    a.restart().await;
    assert_eq!(status(&a, "/one").await, 503);
    call(&a, Method::DELETE, DRAIN).await.ok();
    for gateway in [&a, &b] {
        status_becomes(gateway, 200).await;
    }
    assert_eq!(etcd.ctl().names_below("/furt/default/v1/holds/").await, Vec::<String>::new());
}

#[tokio::test]
async fn what_a_replaced_process_says_at_the_other_gateway_changes_nothing() {
    let (etcd, origin, [a, b]) = with_one().await;
    let process = |incarnation: &str| with(shared_service("one", &origin.url()), json!({"incarnation": incarnation}));
    a.registered(&process("first")).await;
    b.registered(&process("second")).await;
    eventually("A knows of the second", SOON, async || {
        (a.instance("one").await["incarnation"] == "second").then_some(())
    })
    .await;
    let path = "/internal/services/one/instances/one?incarnation=first";
    call(&a, Method::DELETE, path).await.problem(412, "another-incarnation");
    a.register(&process("first")).await.problem(412, "another-incarnation");
    let heartbeat = "/internal/services/one/instances/one/heartbeat?incarnation=first";
    call(&a, Method::POST, heartbeat).await.problem(412, "another-incarnation");
    assert_eq!(b.instance("one").await["replaced"], "first");
    agree(&[a, b], &etcd).await;
}
