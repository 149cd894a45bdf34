//! A split over two gateways.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::foreign::Etcd;
use crate::gateways::{is_routed, pair_with};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, public_service, with};

const OF_ONE: &str = "/internal/services/one/split";
const RECORDS: &str = "/furt/default/v1/splits/";
const PROXIED: &str = "[server]\ntrusted_proxies = ['127.0.0.1']\n";
const CALLERS: usize = 100;

fn instance(id: &str, url: &str, version: Option<&str>) -> Value {
    with(public_service("one", url, "/one"), json!({"instance": id, "version": version}))
}

async fn put(gateway: &Gateway, body: Value) -> Answer {
    Answer::of(gateway.operate(Method::PUT, OF_ONE).json(&body)).await
}

async fn delete(gateway: &Gateway) -> Answer {
    Answer::of(gateway.operate(Method::DELETE, OF_ONE)).await
}

/// Waits until a gateway tells this share of version 2; `None`: no split.
async fn share_becomes(gateway: &Gateway, share: Option<f64>) {
    eventually(&format!("{share:?}"), SOON, async || {
        let shown = gateway.service("one").await?;
        (shown["split"]["versions"]["2"].as_f64() == share).then_some(())
    })
    .await;
}

/// The callers that reach the new instance through a gateway.
async fn at_new(gateway: &Gateway) -> BTreeSet<usize> {
    let mut at_new = BTreeSet::new();
    for caller in 0..CALLERS {
        let request = gateway.anonymous(Method::GET, "/one").header("x-forwarded-for", format!("10.1.0.{caller}"));
        if Answer::of(request).await.ok()["origin"] == "new" {
            at_new.insert(caller);
        }
    }
    at_new
}

/// A gateway that has not heard of the split yet is told by the store.
#[tokio::test]
async fn a_canary_that_comes_right_after_the_split_replaces_nothing_at_any_gateway() {
    let (etcd, old, new) = (Etcd::one().await, Origin::named("old").await, Origin::named("new").await);
    let [a, b] = pair_with(&etcd, "").await;
    a.registered(&instance("old", &old.url(), None)).await;
    is_routed(&b, "/one", SOON).await;
    for round in 0..20 {
        put(&a, json!({"versions": {"2": 30}})).await.ok();
        let metadata = json!({"metadata": {"by": round.to_string()}});
        let joined = b.registered(&with(instance("new", &new.url(), Some("2")), metadata)).await;
        assert_eq!(joined["canary"], true, "{round}: {joined}");
        assert_eq!(b.service("one").await.unwrap()["metadata"], json!({}), "{round}");
        Answer::of(b.operate(Method::DELETE, "/internal/services/one/instances/new")).await.ok();
        delete(&a).await.ok();
    }
}

#[tokio::test]
async fn both_gateways_split_alike_and_the_last_word_counts_at_both() {
    let (etcd, old, new) = (Etcd::one().await, Origin::named("old").await, Origin::named("new").await);
    let [mut a, b] = pair_with(&etcd, PROXIED).await;
    a.registered(&instance("old", &old.url(), None)).await;
    is_routed(&b, "/one", SOON).await;
    put(&a, json!({"versions": {"2": 30}})).await.ok();
    assert_eq!(etcd.ctl().names_below(RECORDS).await.len(), 1);
    share_becomes(&b, Some(30.0)).await;
    // A canary joins at the gateway that was not asked.
    let canary = with(instance("new", &new.url(), Some("2")), json!({"metadata": {"by": "new"}}));
    assert_eq!(b.registered(&canary).await["canary"], true);
    eventually("A has it", SOON, async || {
        let shown = a.service("one").await?;
        (shown["instances"].as_array()?.len() == 2 && shown["metadata"] == json!({})).then_some(())
    })
    .await;
    let at_a = at_new(&a).await;
    assert!((10..=50).contains(&at_a.len()), "{at_a:?}");
    assert_eq!(at_new(&b).await, at_a, "each caller has one side at both");

    // It outlives the gateway that set it, and one that starts has it.
    a.kill();
    assert_eq!(at_new(&b).await, at_a);
    a.start_again().await;
    is_routed(&a, "/one", SOON).await;
    assert_eq!(at_new(&a).await, at_a);

    put(&b, json!({"versions": {"2": 60}})).await.ok();
    share_becomes(&a, Some(60.0)).await;
    let more = at_new(&a).await;
    assert!(more.is_superset(&at_a) && more.len() > at_a.len(), "{at_a:?} {more:?}");
    assert_eq!(at_new(&b).await, more);
    delete(&a).await.ok();
    share_becomes(&b, None).await;
    assert_eq!(etcd.ctl().names_below(RECORDS).await, [""; 0]);
    delete(&b).await.problem(404, "not-found");
    assert_eq!(b.registered(&canary).await.get("canary"), None);
    eventually("its definition is there", SOON, async || {
        (a.service("one").await?["metadata"]["by"] == "new").then_some(())
    })
    .await;
    let events = b.seen("/internal/events").await["events"].clone();
    let set = events.as_array().unwrap().iter().find(|one| one["kind"] == "split-set").unwrap().clone();
    assert!(set["gateway"].is_string() && set["from"] == "127.0.0.1", "{set}");
}
