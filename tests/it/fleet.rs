//! Fleets: several instances of a service, chosen by load and affinity, and what becomes of requests when one fails.
//!
//! `failing` has instances that die or hang under load, `faults` that nothing leaks whatever goes wrong, `growing` the start
//! of thousands.

mod failing;
mod faults;
mod growing;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gateway::client_from;
use crate::support::wire::Wire;
use crate::support::{Answer, Gateway, Load, Mode, Origin, SOON, eventually, public_service, throughout, with};

/// The instance of `shop` that an origin is.
fn instance(id: &str, origin: &Origin, changes: Value) -> Value {
    with(with(public_service("shop", &origin.url(), "/shop"), json!({"instance": id})), changes)
}

async fn three(gateway: &Gateway, changes: Value) -> [Origin; 3] {
    let origins = [Origin::named("one").await, Origin::named("two").await, Origin::named("three").await];
    for (origin, id) in origins.iter().zip(["one", "two", "three"]) {
        gateway.registered(&instance(id, origin, changes.clone())).await;
    }
    origins
}

async fn all_are_up(gateway: &Gateway) {
    eventually("all are UP", SOON, async || {
        let shown = gateway.service("shop").await?["instances"].clone();
        shown.as_array()?.iter().all(|one| one["status"] == "UP").then_some(())
    })
    .await;
}

/// What the internal listener says of an instance of `shop`.
async fn shown(gateway: &Gateway, id: &str) -> Value {
    let shown = gateway.service("shop").await.unwrap()["instances"].clone();
    shown.as_array().unwrap().iter().find(|one| one["instance"] == id).unwrap().clone()
}

/// Who answered.
async fn asked(gateway: &Gateway, header: (&str, &str)) -> String {
    let answer = Answer::of(gateway.anonymous(Method::GET, "/shop").header(header.0, header.1)).await;
    answer.ok()["origin"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_of_three_dies_under_load_and_no_get_fails() {
    let gateway = Gateway::start("").await;
    let [mut dying, _two, _three] = three(&gateway, json!({"health_endpoint": "/health"})).await;
    all_are_up(&gateway).await;
    let (stop, count) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for _ in 0..6 {
        let (stop, count, url) = (Arc::clone(&stop), Arc::clone(&count), gateway.public_url("/shop"));
        clients.spawn(async move {
            let client = client_from(None);
            while !stop.load(Ordering::Relaxed) {
                assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    let more = async |answers: usize| {
        let before = count.load(Ordering::Relaxed);
        let are_enough = async || (count.load(Ordering::Relaxed) >= before + answers).then_some(());
        eventually("answers", Duration::from_secs(30), are_enough).await;
    };
    for _ in 0..3 {
        more(200).await;
        dying.stop().await;
        more(200).await;
        dying.restart().await;
    }
    stop.store(true, Ordering::Relaxed);
    while let Some(done) = clients.join_next().await {
        done.unwrap();
    }
}

#[tokio::test]
async fn an_instance_that_answers_500_is_left_out_after_five_and_asked_again_later() {
    let gateway = Gateway::start("").await;
    let [bad, _two, _three] = three(&gateway, json!({})).await;
    bad.set_mode(Mode::Status(500));
    let mut failures = 0;
    for _ in 0..60 {
        failures += usize::from(gateway.get("/shop").await.status == 500);
    }
    assert_eq!(failures, 5);
    let until = async || shown(&gateway, "one").await["ejected_until"].clone();
    assert!(until().await.is_string());
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    assert!(metrics.contains("furt_ejections_total 1\n"), "{metrics}");
    bad.set_mode(Mode::Echo);
    eventually("it is asked again", Duration::from_secs(15), async || {
        (asked(&gateway, ("x-any", "1")).await == "one").then_some(())
    })
    .await;
    assert!(until().await.is_null());
}

#[tokio::test]
async fn where_all_are_full_a_request_waits_for_a_place_and_not_for_ever() {
    let gateway = Gateway::start("").await;
    let origins = three(&gateway, json!({"hard_limit": 1})).await;
    origins.iter().for_each(|origin| origin.set_mode(Mode::Gated));
    let ask = || {
        let request = gateway.request(Method::GET, "/shop", "");
        tokio::spawn(async move { Answer::of(request).await })
    };
    let in_flight = async || {
        let shown = gateway.service("shop").await.unwrap()["instances"].clone();
        shown.as_array().unwrap().iter().map(|one| one["in_flight"].as_u64().unwrap()).sum::<u64>()
    };
    let held = [ask(), ask(), ask()];
    eventually("all are full", SOON, async || (in_flight().await == 3).then_some(())).await;
    let began = std::time::Instant::now();
    let refused = Answer::of(gateway.anonymous(Method::GET, "/shop")).await;
    refused.problem(503, "instances-full");
    assert_eq!(refused.header("retry-after"), "1");
    assert!(began.elapsed() >= Duration::from_millis(1_900), "it waited: {:?}", began.elapsed());

    let waiting = ask();
    throughout("it waits", Duration::from_millis(300), async || !waiting.is_finished()).await;
    for asked in held.into_iter().chain([waiting]) {
        eventually("an answer", SOON, async || {
            origins.iter().for_each(Origin::release);
            asked.is_finished().then_some(())
        })
        .await;
        asked.await.unwrap().ok();
    }
    eventually("nothing is in flight", SOON, async || (in_flight().await == 0).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_than_128_do_not_wait_and_those_who_do_are_served_when_a_place_is_free() {
    // The first one holds the place; 128 wait for it.
    const BEYOND: usize = 40;
    let gateway = Gateway::start("").await;
    let origin = Origin::start().await;
    origin.set_mode(Mode::Gated);
    gateway.registered(&instance("one", &origin, json!({"hard_limit": 1}))).await;
    let ask = || tokio::spawn(Answer::of(gateway.anonymous(Method::GET, "/shop")));
    let held = ask();
    eventually("it is full", SOON, async || (gateway.instance("shop").await["in_flight"] == 1).then_some(())).await;
    let asked: Vec<_> = (0..128 + BEYOND).map(|_| ask()).collect();
    let refused = async || (asked.iter().filter(|one| one.is_finished()).count() >= BEYOND).then_some(());
    eventually("whoever comes when 128 wait is refused", SOON, refused).await;
    origin.set_mode(Mode::Echo);
    origin.release();
    held.await.unwrap().ok();
    let mut served = 0;
    for one in asked {
        let answer = one.await.unwrap();
        if answer.status == 200 {
            served += 1;
        } else {
            answer.problem(503, "instances-full");
            assert_eq!(answer.retry_after(), 1);
        }
    }
    assert!((1..=128).contains(&served), "{served}");
    // A place is given back just after the answer is sent.
    eventually("nobody waits and nothing is in flight", SOON, async || {
        let shown = gateway.service("shop").await?;
        (shown["waiting"] == 0 && shown["instances"][0]["in_flight"] == 0).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_are_drained_and_replaced_one_by_one_under_load_and_no_request_fails() {
    let gateway = Gateway::start("").await;
    let mut origins = three(&gateway, json!({"health_endpoint": "/health"})).await;
    all_are_up(&gateway).await;
    origins.iter().for_each(|origin| origin.set_mode(Mode::Works(5)));
    let (client, url) = (client_from(None), gateway.public_url("/shop"));
    let mut load = Load::start(8, move |number, _| {
        let method = if number % 2 == 0 { Method::GET } else { Method::POST };
        let request = client.request(method, &url).body("order");
        async move { assert_eq!(request.send().await.unwrap().status(), 200) }
    });
    for (id, origin) in ["one", "two", "three"].into_iter().zip(&mut origins) {
        load.more(100).await;
        let path = format!("/internal/services/shop/instances/{id}?drain=30");
        let answer = Answer::of(gateway.operate(Method::DELETE, &path)).await.ok();
        assert_eq!((&answer["status"], &answer["in_flight"]), (&json!("deregistered"), &json!(0)), "{answer}");
        // Nothing of it is needed any more: not even a connection.
        let before = origin.requests("/shop");
        origin.stop().await;
        load.more(100).await;
        assert_eq!(origin.requests("/shop"), before, "no request comes after the answer");
        origin.restart().await;
        gateway.registered(&instance(id, origin, json!({"health_endpoint": "/health"}))).await;
        all_are_up(&gateway).await;
        eventually("it is asked", SOON, async || (origin.requests("/shop") > before).then_some(())).await;
    }
    load.stop().await;
}

#[tokio::test]
async fn a_new_instance_takes_those_who_wait() {
    let gateway = Gateway::start("").await;
    let full = Origin::named("full").await;
    full.set_mode(Mode::Gated);
    gateway.registered(&instance("full", &full, json!({"hard_limit": 1}))).await;
    let request = gateway.request(Method::GET, "/shop", "");
    let held = tokio::spawn(async move { Answer::of(request).await });
    eventually("it is full", SOON, async || (gateway.instance("shop").await["in_flight"] == 1).then_some(())).await;
    let request = gateway.request(Method::GET, "/shop", "");
    let waiting = tokio::spawn(async move { Answer::of(request).await });
    throughout("it waits", Duration::from_millis(200), async || !waiting.is_finished()).await;
    let fresh = Origin::named("fresh").await;
    gateway.registered(&instance("more", &fresh, json!({"hard_limit": 1}))).await;
    assert_eq!(waiting.await.unwrap().ok()["origin"], "fresh");
    full.release();
    held.await.unwrap().ok();
}

#[tokio::test]
async fn a_key_and_a_client_stay_with_their_instance() {
    let gateway = Gateway::start("").await;
    let by_header = json!({"policy": "hash", "hash_key": "header:x-user"});
    let [mut one, mut two, mut three] = three(&gateway, by_header).await;
    let mut seen = std::collections::BTreeSet::new();
    for user in 0..30 {
        let user = user.to_string();
        let first = asked(&gateway, ("x-user", &user)).await;
        for _ in 0..3 {
            assert_eq!(asked(&gateway, ("x-user", &user)).await, first, "{user}");
        }
        seen.insert(first);
    }
    assert_eq!(seen.len(), 3, "{seen:?}");

    for (id, origin) in [("one", &one), ("two", &two), ("three", &three)] {
        gateway.registered(&instance(id, origin, json!({"policy": "sticky"}))).await;
    }
    let own = asked(&gateway, ("x-any", "1")).await;
    for _ in 0..10 {
        assert_eq!(asked(&gateway, ("x-any", "1")).await, own);
    }
    match own.as_str() {
        "one" => one.stop().await,
        "two" => two.stop().await,
        _ => three.stop().await,
    }
    let next = asked(&gateway, ("x-any", "1")).await;
    assert_ne!(next, own, "it is gone");
    assert_eq!(asked(&gateway, ("x-any", "1")).await, next, "and now stays there");
}

#[tokio::test]
async fn an_instance_that_breaks_off_its_answers_is_left_out_after_five() {
    let gateway = Gateway::start("").await;
    let [bad, _two, _three] = three(&gateway, json!({})).await;
    bad.set_mode(Mode::BreaksOff);
    let mut broken = 0;
    for _ in 0..60 {
        broken += usize::from(Answer::try_of(gateway.anonymous(Method::GET, "/shop")).await.is_err());
    }
    assert_eq!(broken, 5);
}

#[tokio::test]
async fn clients_that_are_gone_leave_the_queue() {
    let gateway = Gateway::start("").await;
    let full = Origin::start().await;
    full.set_mode(Mode::Gated);
    gateway.registered(&instance("full", &full, json!({"hard_limit": 1}))).await;
    let request = gateway.request(Method::GET, "/shop", "");
    let held = tokio::spawn(async move { Answer::of(request).await });
    eventually("it is full", SOON, async || (gateway.instance("shop").await["in_flight"] == 1).then_some(())).await;
    let mut gone = Vec::new();
    // As many as the queue has places.
    for _ in 0..128 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("GET /shop HTTP/1.1\r\nHost: a\r\n\r\n").await;
        gone.push(wire);
    }
    let waiting = async || gateway.service("shop").await.unwrap()["waiting"].as_u64().unwrap();
    eventually("the queue is full", SOON, async || (waiting().await == 128).then_some(())).await;
    Answer::of(gateway.anonymous(Method::GET, "/shop")).await.problem(503, "instances-full");
    drop(gone);
    eventually("they are not waited for", SOON, async || (waiting().await == 0).then_some(())).await;
    let request = gateway.request(Method::GET, "/shop", "");
    let waiting = tokio::spawn(async move { Answer::of(request).await });
    throughout("there is room to wait", Duration::from_millis(300), async || !waiting.is_finished()).await;
    full.release();
    held.await.unwrap().ok();
    eventually("an answer", SOON, async || {
        full.release();
        waiting.is_finished().then_some(())
    })
    .await;
    waiting.await.unwrap().ok();
    assert_eq!(full.requests("/shop"), 2, "nothing of those who are gone is sent on");
}
