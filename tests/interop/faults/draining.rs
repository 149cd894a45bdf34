//! A drain that holds, and an etcd that is away for longer than every TTL.

use std::time::Duration;

use reqwest::Method;

use crate::background::Background;
use crate::foreign::Etcd;
use crate::gateways::{agree, beating_service, is_routed, pair, reach_becomes, status};
use crate::support::{Answer, Mode, Origin, SOON, eventually};

const TTL: Duration = Duration::from_secs(3);

/// While `drained` beats and its lease ends all the same, no gateway gives it a request.
async fn drained_gets_none(until: &str, hurt: impl AsyncFn(&mut Etcd)) {
    let (mut etcd, origin, drained) = (Etcd::one().await, Origin::start().await, Origin::named("drained").await);
    let [a, mut b] = pair(&etcd).await;
    a.registered(&beating_service("lives", &origin.url(), TTL)).await;
    a.registered(&beating_service("drained", &drained.url(), TTL)).await;
    for path in ["/lives", "/drained"] {
        is_routed(&b, path, SOON).await;
    }
    let instances = ["lives", "drained"].map(|name| (name.to_owned(), name.to_owned()));
    let beats = Background::heartbeats(&[&a, &b], &instances, TTL / 4);
    let drain = format!("/internal/services/drained/instances/drained/drain?until={until}");
    Answer::of(a.operate(Method::POST, &drain)).await.ok();
    for gateway in [&a, &b] {
        eventually("it drains", SOON, async || (status(gateway, "/drained").await == 503).then_some(())).await;
    }
    drained.set_mode(Mode::Echo);
    let before = drained.requests("/drained");
    let load = Background::requests(&[&a, &b], &["/lives".into()]);
    let asked = Background::requests(&[&a, &b], &["/drained".into()]);
    hurt(&mut etcd).await;
    for gateway in [&a, &b] {
        reach_becomes(gateway, true, SOON).await;
    }
    tokio::time::sleep(TTL * 2).await;
    let asked = asked.stop().await;
    assert!(asked.done > 500 && asked.failed == asked.done, "{asked:?}");
    assert_eq!(drained.requests("/drained"), before, "it gets no request");
    load.stop().await.none_failed("requests", 1_000);
    beats.stop().await.none_failed("heartbeats", 10);
    if until == "undo" {
        // It holds over a restart, too, and past its expiry.
        b.restart().await;
        b.registered(&beating_service("drained", &drained.url(), TTL)).await;
        assert_eq!(status(&b, "/drained").await, 503);
        Answer::of(b.operate(Method::DELETE, "/internal/services/drained/instances/drained/drain")).await.ok();
        for gateway in [&a, &b] {
            is_routed(gateway, "/drained", SOON).await;
        }
    }
    agree(&[a, b], &etcd).await;
}

async fn killed(etcd: &mut Etcd) {
    etcd.kill_all();
    tokio::time::sleep(TTL * 4).await;
    etcd.start_all().await;
}

/// Its leases end when it wakes.
async fn frozen(etcd: &mut Etcd) {
    etcd.members[0].freeze();
    tokio::time::sleep(TTL * 4).await;
    etcd.members[0].thaw();
    etcd.becomes_healthy().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_that_holds_holds_while_etcd_is_killed_for_longer_than_each_ttl() {
    drained_gets_none("undo", killed).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_kind_of_drain_holds_when_the_instances_lease_ended_and_it_is_stored_again() {
    for until in ["undo", "restart", "registration"] {
        drained_gets_none(until, frozen).await;
    }
}
