//! The audit of gateways that share a registry: one list, a chain a gateway, and an entry goes with its change.

use std::collections::BTreeMap;

use reqwest::Method;
use serde_json::{Value, json};

use crate::foreign::Etcd;
use crate::gateways::{pair, reach_becomes};
use crate::support::{Answer, Gateway, SOON, eventually};

async fn begin(gateway: &Gateway, service: &str) -> Answer {
    let path = format!("/internal/services/{service}/maintenance");
    Answer::of(gateway.operate(Method::PUT, &path).json(&json!({}))).await
}

async fn entries(gateway: &Gateway, query: &str) -> Vec<Value> {
    gateway.seen(&format!("/internal/audit{query}")).await["entries"].as_array().unwrap().clone()
}

fn services(entries: &[Value]) -> Vec<&str> {
    entries.iter().map(|entry| entry["service"].as_str().unwrap_or_default()).collect()
}

/// Each gateway's entries follow each other, from the first one on.
fn assert_chains(entries: &[Value]) -> usize {
    let mut last: BTreeMap<&str, &Value> = BTreeMap::new();
    for entry in entries {
        let before = last.insert(entry["gateway"].as_str().unwrap(), entry);
        let (number, sha256) =
            before.map_or((0, &Value::Null), |one| (one["number"].as_u64().unwrap(), &one["sha256"]));
        assert_eq!((&entry["number"], &entry["previous"]), (&json!(number + 1), sha256), "{entry}");
    }
    last.len()
}

#[tokio::test]
async fn gateways_show_one_list_with_a_chain_of_each_and_a_start_goes_on_with_its_own() {
    let etcd = Etcd::one().await;
    let [mut a, b] = pair(&etcd).await;
    for service in ["one", "two", "three", "four"] {
        begin(if service.len() == 3 { &a } else { &b }, service).await.ok();
    }
    let waiting = b.seen("/internal/audit?wait=30&after=1000000000");
    let told = async {
        a.kill();
        a.start_again().await;
        begin(&a, "five").await.ok();
    };
    // Whoever waits at another gateway is woken.
    let (_, ()) = tokio::time::timeout(SOON, async { tokio::join!(waiting, told) }).await.unwrap();
    let all = entries(&b, "").await;
    assert_eq!(services(&all), ["one", "two", "three", "four", "five"]);
    assert_eq!(assert_chains(&all), 2);
    assert_eq!(entries(&a, "").await, all);
    let (mut paged, mut after) = (Vec::new(), json!(0));
    loop {
        let page = b.seen(&format!("/internal/audit?limit=2&after={after}")).await;
        if page["entries"].as_array().unwrap().is_empty() {
            break;
        }
        paged.extend(page["entries"].as_array().unwrap().clone());
        after = page["next"].clone();
    }
    assert_eq!(paged, all);
}

#[tokio::test]
async fn changes_at_once_at_both_gateways_are_kept_once_each() {
    let etcd = Etcd::one().await;
    let gateways = pair(&etcd).await;
    let asked = (0..60).map(|number| {
        let gateway = &gateways[number % 2];
        async move { begin(gateway, &format!("s{number}")).await.ok() }
    });
    futures_util::future::join_all(asked).await;
    let all = entries(&gateways[0], "?limit=1000").await;
    let mut names = services(&all);
    names.sort_unstable();
    names.dedup();
    assert_eq!((all.len(), names.len(), assert_chains(&all)), (60, 60, 2));
}

#[tokio::test]
async fn kills_leave_as_many_entries_as_changes() {
    let etcd = Etcd::one().await;
    let [mut a, b] = pair(&etcd).await;
    for round in 0..5 {
        let killed = async {
            tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(20..150))).await;
        };
        let changing = async {
            for number in 0.. {
                let path = format!("/internal/services/s{round}-{number}/maintenance");
                if a.operate(Method::PUT, &path).json(&json!({})).send().await.is_err() {
                    return;
                }
            }
        };
        tokio::select! { () = killed => {}, () = changing => {} }
        a.kill();
        a.start_again().await;
    }
    let maintenance = async || b.seen("/internal/maintenance").await["maintenance"].as_array().unwrap().len();
    let all = entries(&b, "?after=0&limit=1000").await;
    assert!(all.len() > 5, "{}", all.len());
    assert_eq!((all.len(), assert_chains(&all)), (maintenance().await, 1));
}

#[tokio::test]
async fn without_the_store_a_change_is_refused_and_a_reload_is_not() {
    let mut etcd = Etcd::one().await;
    let [a, _b] = pair(&etcd).await;
    begin(&a, "one").await.ok();
    etcd.kill_all();
    reach_becomes(&a, false, SOON).await;
    assert_eq!(begin(&a, "two").await.status, 503);
    Answer::of(a.operate(Method::GET, "/internal/audit")).await.problem(503, "store-unavailable");
    Answer::of(a.operate(Method::POST, "/internal/reload")).await.ok();
    assert!(a.log().contains("the audit may lack \"reload\" by 127.0.0.1"));
    etcd.start_all().await;
    reach_becomes(&a, true, SOON).await;
    let seen = async || Some(services(&entries(&a, "").await).len()).filter(|count| *count == 1).map(drop);
    eventually("what was stored is shown", SOON, seen).await;
}
