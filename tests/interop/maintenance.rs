//! Maintenance over two gateways.

use reqwest::Method;
use serde_json::json;

use crate::foreign::Etcd;
use crate::gateways::{is_routed, pair, shared_service, status};
use crate::support::{Answer, Gateway, Origin, SOON, eventually};

const OF_ONE: &str = "/internal/services/one/maintenance";
const RECORDS: &str = "/furt/default/v1/maintenance/";

async fn put(gateway: &Gateway, path: &str, body: serde_json::Value) -> Answer {
    Answer::of(gateway.operate(Method::PUT, path).json(&body)).await
}

async fn delete(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.operate(Method::DELETE, path)).await
}

/// Waits until a gateway answers so.
async fn status_becomes(gateway: &Gateway, wanted: u16) {
    eventually(&format!("{wanted}"), SOON, async || (status(gateway, "/one").await == wanted).then_some(())).await;
}

#[tokio::test]
async fn what_one_gateway_puts_into_maintenance_is_in_it_at_the_other_until_any_ends_it_or_its_time_is_over() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [mut a, b] = pair(&etcd).await;
    a.registered(&shared_service("one", &origin.url())).await;
    is_routed(&b, "/one", SOON).await;
    for path in [OF_ONE, "/internal/maintenance"] {
        put(&a, path, json!({"message": "back soon"})).await.ok();
        status_becomes(&b, 503).await;
        let problem = Answer::of(b.anonymous(Method::GET, "/one")).await.problem(503, "maintenance");
        assert_eq!(problem["detail"], "back soon");
        assert_eq!(etcd.ctl().names_below(RECORDS).await.len(), 1);
        delete(&b, path).await.ok();
        for gateway in [&a, &b] {
            status_becomes(gateway, 200).await;
        }
        delete(&a, path).await.problem(404, "not-found");
    }
    let events = b.seen("/internal/events").await["events"].clone();
    let began = events.as_array().unwrap().iter().find(|one| one["kind"] == "maintenance-began").unwrap().clone();
    assert!(began["gateway"].is_string() && began["from"] == "127.0.0.1", "{began}");

    // It outlives the gateway that began it, and a gateway that starts has it.
    put(&a, OF_ONE, json!({})).await.ok();
    status_becomes(&b, 503).await;
    a.kill();
    assert_eq!(status(&b, "/one").await, 503);
    a.start_again().await;
    assert_eq!(status(&a, "/one").await, 503);
    // The last word counts, at both of them.
    put(&b, OF_ONE, json!({"for": "6s", "message": "the last word"})).await.ok();
    eventually("A has it", SOON, async || {
        let answer = Answer::of(a.anonymous(Method::GET, "/one")).await;
        (answer.status == 503 && answer.json()["detail"] == "the last word").then_some(())
    })
    .await;
    for gateway in [&a, &b] {
        status_becomes(gateway, 200).await;
    }
    // The record stays for those whose clock is behind, and begins nothing again.
    assert_eq!(etcd.ctl().names_below(RECORDS).await.len(), 1);
    a.kill();
    a.start_again().await;
    status_becomes(&a, 200).await;
    put(&a, OF_ONE, json!({})).await.ok();
    status_becomes(&b, 503).await;
    delete(&b, OF_ONE).await.ok();
    assert_eq!(etcd.ctl().names_below(RECORDS).await, [""; 0]);
    for gateway in [&a, &b] {
        status_becomes(gateway, 200).await;
    }
}
