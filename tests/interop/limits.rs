//! Limits that gateways share: each of them lets through its part.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::foreign::Etcd;
use crate::gateways::{agree, is_routed, pair_with, reach_becomes, shared_service, stored_at};
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, throughout, with};

const GUARDED: &str = "/guarded";

/// Which of so many requests, one after the other, a gateway lets through.
async fn let_through(gateway: &Gateway, requests: usize, path: &str, key: Option<&str>) -> usize {
    let mut passed = 0;
    for _ in 0..requests {
        let answer = match key {
            Some(key) => Answer::of(gateway.request(Method::GET, path, key)).await,
            None => Answer::of(gateway.anonymous(Method::GET, path)).await,
        };
        assert!(answer.status == 200 || answer.status == 429, "{answer:?}");
        passed += usize::from(answer.status == 200);
    }
    passed
}

async fn gateways_are(gateway: &Gateway, count: usize) {
    eventually(&format!("{count} gateways"), Duration::from_secs(20), async || {
        let listed = Answer::of(gateway.operate(Method::GET, "/internal/keys")).await.ok();
        assert_eq!(listed["limits_shared"], true);
        (listed["gateways"] == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_gateways_let_through_together_what_one_does_alone() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [a, mut b] = pair_with(&etcd, "\n[limits]\nshare = true\naddress_rate = '12/m'\naddress_burst = 12\n").await;
    let routes = json!({"routes": [{"method": "*", "path": GUARDED, "permission": "comments:read"}]});
    a.registered(&with(shared_service("guarded", &origin.url()), routes)).await;
    let body = json!({"name": "slow", "permissions": ["comments:read"], "rate": "6/m", "burst": 6});
    let made = Answer::of(a.operate(Method::POST, "/internal/keys").json(&body)).await;
    let key = made.json()["key"].as_str().unwrap().to_owned();
    for gateway in [&a, &b] {
        gateways_are(gateway, 2).await;
        let listed = async || Answer::of(gateway.operate(Method::GET, "/internal/keys/slow")).await.status == 200;
        eventually("the key is known", SOON, async || listed().await.then_some(())).await;
        assert_eq!(let_through(gateway, 8, GUARDED, Some(&key)).await, 3);
    }
    a.registered(&shared_service("open", &origin.url())).await;
    eventually("B routes it", SOON, async || {
        (Answer::of(b.operate(Method::GET, "/internal/services/open")).await.status == 200).then_some(())
    })
    .await;
    for gateway in [&a, &b] {
        assert_eq!(let_through(gateway, 14, "/open", None).await, 6);
    }
    b.kill();
    gateways_are(&a, 1).await;
    // What is limited otherwise than before counts anew.
    assert_eq!(let_through(&a, 8, GUARDED, Some(&key)).await, 6);
    assert_eq!(let_through(&a, 14, "/open", None).await, 12);
}

/// Without its store a gateway divides by those that it knew last, by other limits as well.
#[tokio::test]
async fn what_is_divided_stays_so_without_the_store_and_over_a_reload() {
    let (mut etcd, origin) = (Etcd::one().await, Origin::start().await);
    let limits = |rate: u32| format!("\n[limits]\nshare = true\naddress_rate = '{rate}/m'\naddress_burst = {rate}\n");
    let gateways = pair_with(&etcd, &limits(12)).await;
    let [a, b] = &gateways;
    a.registered(&shared_service("open", &origin.url())).await;
    is_routed(b, "/open", SOON).await;
    for gateway in &gateways {
        gateways_are(gateway, 2).await;
    }
    etcd.kill_all();
    for gateway in &gateways {
        reach_becomes(gateway, false, SOON).await;
    }
    a.reloaded(&format!("{}{}", stored_at(&etcd.endpoints()), limits(24))).await;
    gateways_are(a, 2).await;
    assert_eq!(let_through(a, 20, "/open", None).await, 12);
    etcd.start_all().await;
    for gateway in &gateways {
        reach_becomes(gateway, true, SOON).await;
        gateways_are(gateway, 2).await;
    }
    agree(&gateways, &etcd).await;
}

#[tokio::test]
async fn limits_of_routes_hold_for_two_gateways_together() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let rule =
        "\n[limits]\nshare = true\n[[rules]]\nservice = 'ruled'\nlimits = { rate = '6/m', burst = 6, by = 'route' }\n";
    let [a, mut b] = pair_with(&etcd, rule).await;
    for (name, more) in [("ruled", json!({})), ("own", json!({"limits": {"rate": "8/m", "burst": 8}}))] {
        a.registered(&with(shared_service(name, &origin.url()), more)).await;
        is_routed(&b, &format!("/{name}"), SOON).await;
    }
    // Looking whether it is routed has used up a part of it at B.
    a.registered(&with(shared_service("own", &origin.url()), json!({"limits": {"rate": "10/m", "burst": 10}}))).await;
    eventually("B has the other limit", SOON, async || {
        let own = Answer::of(b.operate(Method::GET, "/internal/services/own")).await.ok();
        (own["limits"]["rate"] == "10/m").then_some(())
    })
    .await;
    for gateway in [&a, &b] {
        gateways_are(gateway, 2).await;
        assert_eq!(let_through(gateway, 12, "/own", None).await, 5);
    }
    assert_eq!(let_through(&a, 8, "/ruled", None).await, 3);
    b.kill();
    gateways_are(&a, 1).await;
    // What is used up stays so: five at each of them were the whole limit, of which little has come back until B was missed.
    let more = let_through(&a, 12, "/own", None).await;
    assert!((1..=3).contains(&more), "{more}");
}

#[tokio::test]
async fn a_hard_limit_holds_for_two_gateways_together() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [a, b] = pair_with(&etcd, "\n[limits]\nshare = true\n").await;
    a.registered(&with(shared_service("one", &origin.url()), json!({"hard_limit": 4}))).await;
    is_routed(&b, "/one", SOON).await;
    for gateway in [&a, &b] {
        gateways_are(gateway, 2).await;
    }
    origin.set_mode(Mode::Gated);
    let before = origin.requests("/one");
    let arrived = || origin.requests("/one") - before;
    let mut all = tokio::task::JoinSet::new();
    for (gateway, wanted) in [(&a, 2), (&b, 4)] {
        for _ in 0..5 {
            all.spawn(Answer::try_of(gateway.anonymous(Method::GET, "/one")));
        }
        eventually("its share arrives", SOON, async || (arrived() >= wanted).then_some(())).await;
        throughout("no more arrive", Duration::from_millis(500), async || arrived() == wanted).await;
    }
    origin.set_mode(Mode::Echo);
    origin.release();
    while let Some(answer) = all.join_next().await {
        let status = answer.unwrap().unwrap().status;
        assert!(status == 200 || status == 503, "{status}");
    }
}
