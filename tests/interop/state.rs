//! What operators make at run time as a file, over etcd: one transaction for up to ninety records, more in parts; grants of one gateway
//! hold at the other.

use reqwest::Method;
use serde_json::{Value, json};

use crate::foreign::Etcd;
use crate::gateways::{is_routed, pair, reach_becomes, shared_service, status};
use crate::support::{Answer, Gateway, Origin, SOON, eventually};

fn keys(count: usize, round: usize) -> Value {
    let digest = |number: usize| furt_core::model::Sha256Digest::of(format!("{round}-{number}").as_bytes()).to_string();
    let key =
        |number: usize| json!({"name": format!("k{number:04}"), "sha256": digest(number), "permissions": ["a:b"]});
    (0..count).map(key).collect()
}

async fn post(gateway: &Gateway, query: &str, body: &Value) -> Answer {
    Answer::of(gateway.operate(Method::POST, &format!("/internal/apply{query}")).json(body)).await
}

async fn revision(gateway: &Gateway) -> String {
    gateway.seen("/internal/export").await["revision"].as_str().unwrap().to_owned()
}

async fn agree(a: &Gateway, b: &Gateway) {
    eventually("both have the same", SOON, async || (revision(a).await == revision(b).await).then_some(())).await;
}

#[tokio::test]
async fn ninety_records_are_one_transaction_and_more_go_in_parts() {
    let etcd = Etcd::one().await;
    let [a, b] = pair(&etcd).await;
    let applied = post(&a, "", &json!({ "keys": keys(90, 0) })).await.ok();
    assert_eq!((applied["changes"].as_array().unwrap().len(), &applied["left"]), (90, &json!(0)));
    let modified =
        async |number: usize| etcd.ctl().get(&format!("/furt/default/v1/keys/k{number:04}")).await.unwrap().modified;
    assert_eq!(modified(0).await, modified(89).await, "one revision");
    agree(&a, &b).await;
    // Each has another digest, so that three records a key are touched.
    post(&b, "", &json!({ "keys": keys(90, 1) })).await.ok();
    assert_eq!(modified(0).await, modified(89).await);
    agree(&a, &b).await;
    let many = json!({ "keys": keys(250, 2), "splits": [{"service": "s", "versions": {"2": 5}}] });
    let refused = post(&a, "", &many).await.problem(422, "too-many-changes");
    assert!(refused["detail"].as_str().unwrap().contains("251 records are to be changed, and a shared store takes 90"));
    let mut left = Vec::new();
    loop {
        let part = post(&a, "?in_parts=true", &many).await.ok();
        left.push(part["left"].as_u64().unwrap());
        if part["left"] == 0 {
            break;
        }
    }
    assert_eq!(left, [161, 71, 0]);
    agree(&a, &b).await;
    assert_eq!(post(&b, "", &many).await.ok()["status"], "unchanged");
    let audit = a.seen("/internal/audit?after=0&limit=1000").await;
    // Each key once new and twice another one, as far as it was there; and the split.
    assert_eq!(audit["entries"].as_array().unwrap().len(), 90 + 90 + 250 + 1);
}

#[tokio::test]
async fn keys_that_exchange_their_digests_are_good_at_both_gateways_throughout() {
    let etcd = Etcd::one().await;
    let [a, b] = pair(&etcd).await;
    let digest = |secret: &str| furt_core::model::Sha256Digest::of(secret.as_bytes()).to_string();
    let key = |name: &str, secret: &str| json!({"name": name, "sha256": digest(secret), "permissions": ["a:b"]});
    for state in [
        json!({"keys": [key("one", "1"), key("two", "2")]}),
        json!({"keys": [key("one", "2"), key("two", "1")]}),
        json!({"keys": [key("one", "2"), key("renamed", "1")]}),
        json!({"keys": [key("renamed", "2")]}),
        json!({"keys": [key("one", "1"), key("two", "2")]}),
    ] {
        post(&a, "", &state).await.ok();
        agree(&a, &b).await;
        assert_eq!(post(&b, "", &state).await.ok()["status"], "unchanged");
        assert!(!b.log().contains("its digest is that of"), "{}", b.log());
    }
}

#[tokio::test]
async fn a_state_applied_at_both_at_once_is_one_of_them() {
    let etcd = Etcd::one().await;
    let gateways = pair(&etcd).await;
    for round in 0..10 {
        let bodies = [0, 1].map(|at| json!({ "keys": keys(10, round * 2 + at), "splits": [{"service": format!("s{at}"), "versions": {"2": 5}}] }));
        let (first, second) = tokio::join!(post(&gateways[0], "", &bodies[0]), post(&gateways[1], "", &bodies[1]));
        assert!(first.status == 200 && second.status == 200, "{first:?} {second:?}");
        agree(&gateways[0], &gateways[1]).await;
        let export = gateways[0].seen("/internal/export").await;
        let is = |body: &Value| {
            export["keys"] == body["keys"] && export["splits"][0]["service"] == body["splits"][0]["service"]
        };
        assert!(bodies.iter().any(is), "{export}");
    }
}

#[tokio::test]
async fn a_grant_of_one_gateway_holds_at_the_other() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    a.registered(&shared_service("one", &origin.url())).await;
    is_routed(&b, "/one", SOON).await;
    let narrow = json!({"grants": [{"service": "one", "paths": ["/none"], "public": true}]});
    post(&a, "", &narrow).await.ok();
    eventually("it is not routed at B", SOON, async || (status(&b, "/one").await == 404).then_some(())).await;
    b.register(&shared_service("one", &origin.url())).await.problem(403, "beyond-grant");
    let wide = json!({"paths": ["/one"], "permissions": ["*"], "public": true});
    Answer::of(b.operate(Method::PUT, "/internal/services/one/grant").json(&wide)).await.ok();
    is_routed(&a, "/one", SOON).await;
}

#[tokio::test]
async fn without_the_store_nothing_is_changed() {
    let mut etcd = Etcd::one().await;
    let [a, _b] = pair(&etcd).await;
    let before = revision(&a).await;
    etcd.kill_all();
    reach_becomes(&a, false, SOON).await;
    let body = json!({ "keys": keys(3, 0) });
    post(&a, "", &body).await.problem(503, "store-unavailable");
    assert_eq!(post(&a, "?dry_run=true", &body).await.ok()["status"], "compared");
    assert_eq!(revision(&a).await, before);
    etcd.start_all().await;
    reach_becomes(&a, true, SOON).await;
    post(&a, "", &body).await.ok();
}

#[tokio::test]
async fn kills_leave_each_part_whole_and_the_same_command_goes_on() {
    let etcd = Etcd::one().await;
    let [mut a, b] = pair(&etcd).await;
    let state = json!({ "keys": keys(400, 0) });
    let file = a.dir().join("state.json");
    std::fs::write(&file, state.to_string()).unwrap();
    for _ in 0..4 {
        let running = a.cli(&["apply", "-f", "state.json", "--in-parts"]);
        let killed = tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(50..400)));
        tokio::select! { _ = running => {}, () = killed => {} }
        a.kill();
        a.start_again().await;
        let count = b.seen("/internal/export").await["keys"].as_array().unwrap().len();
        assert!(count % 90 == 0 || count == 400, "{count}");
    }
    let output = a.cli(&["apply", "-f", "state.json", "--in-parts"]).await;
    assert!(output.status.success(), "{output:?}");
    agree(&a, &b).await;
    let audit = a.seen("/internal/audit?after=0&limit=1000").await;
    assert_eq!(audit["entries"].as_array().unwrap().len(), 400);
}
