//! Gateways that are replaced one after the other under load, beside records of a newer furt.

use serde_json::json;

use crate::background::Background;
use crate::foreign::Etcd;
use crate::gateways::{PREFIX, agree, edited, health, is_not_routed, is_routed, shared_service, status, stored_at};
use crate::support::{Gateway, Origin, SOON, with};

const SERVICES: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn gateways_are_replaced_under_load_while_a_newer_one_writes() {
    let (etcd, origin) = (Etcd::three().await, Origin::start().await);
    let tail = stored_at(&etcd.endpoints());
    let mut gateways = [Gateway::start(&tail).await, Gateway::start(&tail).await, Gateway::start(&tail).await];
    let paths: Vec<_> = (0..SERVICES).map(|number| format!("/s{number}")).collect();
    for path in paths.iter().map(String::as_str).chain(["/restricted"]) {
        gateways[0].registered(&shared_service(&path[1..], &origin.url())).await;
        for gateway in &gateways {
            is_routed(gateway, path, SOON).await;
        }
    }
    let load = Background::requests_somewhere(&gateways.each_ref(), &paths);
    let key = |service: &str| format!("{PREFIX}v1/services/{service}");
    for round in 0..gateways.len() {
        // What the newer one of them writes: a field more, and in the end one that restricts.
        let service = format!("s{round}");
        edited(&etcd, &key(&service), json!({"future": {"round": round}})).await;
        if round == 1 {
            edited(&etcd, &key("restricted"), json!({"reads": 999, "future": "rule"})).await;
            for gateway in &gateways {
                is_not_routed(gateway, "/restricted", SOON).await;
            }
        }
        load.more(500).await;
        gateways[round].restart().await;
        for path in &paths {
            is_routed(&gateways[round], path, SOON).await;
        }
        // Each older one writes the record again.
        let weight = u8::try_from(round + 2).unwrap();
        let again = with(shared_service(&service, &origin.url()), json!({"weight": weight, "metadata": {"a": "b"}}));
        gateways[round].registered(&again).await;
        load.more(500).await;
    }
    for gateway in &gateways {
        assert_ne!(status(gateway, "/restricted").await, 200);
        let said = health(gateway).await.to_string();
        assert!(said.contains("newer"), "{said}");
    }
    for round in 0..gateways.len() {
        let record = etcd.ctl().get(&key(&format!("s{round}"))).await.unwrap().value;
        assert!(record.contains(&format!(r#""future":{{"round":{round}}}"#)), "{record}");
        assert!(record.contains(r#""a":"b""#), "{record}");
    }
    edited(&etcd, &key("restricted"), json!({"reads": 1})).await;
    for gateway in &gateways {
        is_routed(gateway, "/restricted", SOON).await;
    }
    let requests = load.stop().await;
    println!("requests: {requests}");
    requests.none_failed("requests", 3_000);
    agree(&gateways, &etcd).await;
}
