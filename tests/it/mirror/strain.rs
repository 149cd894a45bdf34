//! A service for copies that hangs, is down, or is not there: no request feels it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{comes_to, counted, counted_in_all, get, mirror, next, service};
use crate::support::recorder::Recorder;
use crate::support::scripted::Blackhole;
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, ports, with};

/// So many requests one after the other; the time within which 99 of a hundred are answered.
async fn slowest(gateway: &Gateway, requests: usize) -> Duration {
    let mut times = Vec::with_capacity(requests);
    for _ in 0..requests {
        let began = Instant::now();
        get(gateway, "/s/a").await;
        times.push(began.elapsed());
    }
    times.sort();
    times[requests - requests / 100]
}

/// What the internal listener says of the service for copies.
async fn shown(gateway: &Gateway) -> Value {
    let mut shown = gateway.service("next").await.unwrap();
    assert!(shown.as_object_mut().unwrap().remove("time").is_some());
    shown
}

#[tokio::test]
async fn a_service_that_hangs_is_not_felt_and_leaves_no_trace_at_its_instance() {
    let gateway = Gateway::start("[registration]\nrate = '1000/s'").await;
    let (primary, mirrored) = (Origin::start().await, Origin::start().await);
    gateway.registered(&service(&primary.url())).await;
    gateway.registered(&next(&mirrored.url())).await;
    let without = slowest(&gateway, 1000).await;
    mirrored.set_mode(Mode::Hangs);
    gateway.reloaded(&mirror("")).await;
    let before = shown(&gateway).await;
    for _ in 0..65 {
        get(&gateway, "/s/a").await;
    }
    comes_to(&gateway, "too_many", 1).await;
    eventually("the others are there", SOON, async || (mirrored.requests("/s/a") == 64).then_some(())).await;
    assert_eq!(shown(&gateway).await, before, "while they hang");

    let hanging = slowest(&gateway, 1000).await;
    assert!(hanging < without * 10 + Duration::from_millis(250), "{hanging:?} while copies hang, {without:?} without");
    eventually("each copy is given up", SOON, async || (counted_in_all(&gateway).await == 1065).then_some(())).await;
    let timed_out = counted(&gateway, "timed_out").await;
    assert!(timed_out >= 64, "{timed_out}");
    assert_eq!(counted(&gateway, "too_many").await, 1065 - timed_out);
    assert_eq!(shown(&gateway).await, before, "afterwards");
    eventually("its connections are closed", SOON, async || (mirrored.serving_connections() == 0).then_some(())).await;

    mirrored.set_mode(Mode::Status(500));
    for number in 1..=80 {
        get(&gateway, "/s/a").await;
        comes_to(&gateway, "answered", number).await;
    }
    assert_eq!(shown(&gateway).await, before, "what fails a copy is no failure of the instance");
}

#[tokio::test]
async fn a_service_that_is_down_or_drains_or_is_unknown_gets_no_copy() {
    let gateway = Gateway::start(&mirror("")).await;
    let (primary, mut mirrored) = (Origin::start().await, Origin::start().await);
    gateway.registered(&service(&primary.url())).await;
    get(&gateway, "/s/a").await;
    comes_to(&gateway, "no_instance", 1).await;

    let probed = with(next(&mirrored.url()), json!({"health_endpoint": "/health", "instance": "a"}));
    gateway.registered_and_up(&probed).await;
    get(&gateway, "/s/a").await;
    comes_to(&gateway, "answered", 1).await;
    Answer::of(gateway.operate(Method::PUT, "/internal/services/next/maintenance")).await.ok();
    get(&gateway, "/s/a").await;
    comes_to(&gateway, "no_instance", 2).await;
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/next/maintenance")).await.ok();
    Answer::of(gateway.operate(Method::POST, "/internal/services/next/instances/a/drain")).await.ok();
    get(&gateway, "/s/a").await;
    comes_to(&gateway, "no_instance", 3).await;
    gateway.registered_and_up(&probed).await;

    mirrored.stop().await;
    gateway.status_becomes("next", "DOWN").await;
    get(&gateway, "/s/a").await;
    eventually("it has none", SOON, async || (counted(&gateway, "no_instance").await == 4).then_some(())).await;
    assert_eq!(counted(&gateway, "answered").await, 1);
}

#[tokio::test]
async fn a_copy_that_finds_nobody_fails_and_one_that_cannot_connect_is_given_up() {
    let gateway = Gateway::start(&mirror("")).await;
    let (primary, blackhole) = (Origin::start().await, Blackhole::start().await);
    gateway.registered(&service(&primary.url())).await;
    gateway.registered(&next(&format!("http://{}", ports::free_address()))).await;
    get(&gateway, "/s/a").await;
    comes_to(&gateway, "failed", 1).await;
    assert_eq!(gateway.service("next").await.unwrap()["status"], "UP", "copies say nothing of it");
    gateway.registered(&next(&blackhole.url())).await;
    get(&gateway, "/s/a").await;
    eventually("it is given up", SOON, async || {
        (counted(&gateway, "failed").await + counted(&gateway, "timed_out").await == 2).then_some(())
    })
    .await;
    let cut = Recorder::start().await;
    gateway.registered(&next(cut.url())).await;
    get(&gateway, "/s/a").await;
    comes_to(&gateway, "answered", 1).await;
}
