//! API keys that one gateway made are good at the other, and those it revoked are not.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::foreign::Etcd;
use crate::gateways::pair;
use crate::support::{Answer, Gateway, Origin, SOON, eventually, with};

const PATH: &str = "/guarded";

async fn guarded() -> (Etcd, Origin, [Gateway; 2]) {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let gateways = pair(&etcd).await;
    let routes = json!({"routes": [{"method": "*", "path": PATH, "permission": "comments:read"}]});
    let service = with(crate::gateways::shared_service("guarded", &origin.url()), routes);
    gateways[0].registered(&service).await;
    (etcd, origin, gateways)
}

async fn create(gateway: &Gateway, body: &Value) -> Answer {
    Answer::of(gateway.operate(Method::POST, "/internal/keys").json(body)).await
}

async fn created(gateway: &Gateway, body: &Value) -> String {
    let answer = create(gateway, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["key"].as_str().unwrap().to_owned()
}

fn reader(name: &str) -> Value {
    json!({"name": name, "permissions": ["comments:read"]})
}

async fn is_good(gateway: &Gateway, key: &str) -> bool {
    Answer::of(gateway.request(Method::GET, PATH, key)).await.status == 200
}

/// How long it takes until a gateway takes a key, or refuses it.
async fn until(gateway: &Gateway, key: &str, good: bool) -> Duration {
    let begin = Instant::now();
    while is_good(gateway, key).await != good {
        assert!(begin.elapsed() < SOON, "the key does not become {good}");
    }
    begin.elapsed()
}

async fn revoke(gateway: &Gateway, name: &str) -> Answer {
    Answer::of(gateway.operate(Method::DELETE, &format!("/internal/keys/{name}"))).await
}

#[tokio::test]
async fn a_key_is_good_and_revoked_at_both_gateways_within_100_ms() {
    let (_etcd, _origin, [a, b]) = guarded().await;
    let (mut made, mut revoked) = (Vec::new(), Vec::new());
    for number in 0..30 {
        let name = format!("key-{number}");
        let key = created(&a, &reader(&name)).await;
        made.push(until(&b, &key, true).await);
        // By the other one than it was made by.
        let (here, there) = if number % 2 == 0 { (&a, &b) } else { (&b, &a) };
        revoke(here, &name).await.ok();
        assert!(!is_good(here, &key).await, "where it was revoked no later request is let in");
        revoked.push(until(there, &key, false).await);
    }
    for delays in [&mut made, &mut revoked] {
        delays.sort();
        // Other tests run beside this one.
        assert!(delays[27] < Duration::from_millis(100), "{delays:?}");
    }
}

#[tokio::test]
async fn a_name_that_both_gateways_are_told_at_once_is_one_key() {
    let (etcd, _origin, [a, b]) = guarded().await;
    for number in 0..30 {
        let body = reader(&format!("key-{number}"));
        let (one, other) = tokio::join!(create(&a, &body), create(&b, &body));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{one:?} {other:?}");
        let key = if one.status == 201 { one } else { other }.json()["key"].as_str().unwrap().to_owned();
        for gateway in [&a, &b] {
            until(gateway, &key, true).await;
        }
    }
    assert_eq!(etcd.ctl().names_below("/furt/default/v1/keys/").await.len(), 30);
    assert_eq!(etcd.ctl().names_below("/furt/default/v1/digests/").await.len(), 30);
}

#[tokio::test]
async fn a_rotated_key_is_good_until_its_grace_is_over_at_both_gateways() {
    let (_etcd, _origin, [a, b]) = guarded().await;
    let old = created(&a, &reader("web")).await;
    until(&b, &old, true).await;
    let rotate = b.operate(Method::POST, "/internal/keys/web/rotate").json(&json!({"grace": "2s"}));
    let new = Answer::of(rotate).await.ok()["key"].as_str().unwrap().to_owned();
    until(&a, &new, true).await;
    assert!(is_good(&a, &old).await && is_good(&b, &old).await);
    for gateway in [&a, &b] {
        until(gateway, &old, false).await;
        assert!(is_good(gateway, &new).await);
    }
}

#[tokio::test]
async fn an_expired_key_is_refused_at_both_gateways_and_no_secret_is_in_etcd() {
    let (etcd, _origin, [a, b]) = guarded().await;
    let key = created(&a, &with(reader("short"), json!({"expires": "2s"}))).await;
    until(&b, &key, true).await;
    let records = etcd.ctl().below("/furt/").await;
    assert!(records.iter().all(|record| !record.key.contains(&key) && !record.value.contains(&key)));
    for gateway in [&a, &b] {
        until(gateway, &key, false).await;
    }
    // Its name is free again once it is removed, or is still shown as expired; either way both say the same.
    eventually("both say the same", SOON, async || {
        let names = async |gateway: &Gateway| gateway.seen("/internal/keys").await["keys"].to_string();
        (names(&a).await == names(&b).await).then_some(())
    })
    .await;
}

#[tokio::test]
async fn what_limits_mean_is_said_where_several_gateways_count_each_by_itself() {
    let (_etcd, origin, [a, mut b]) = guarded().await;
    created(&a, &reader("free")).await;
    created(&a, &with(reader("slow"), json!({"rate": "10/s"}))).await;
    let explained = async |key: &str| {
        let path = format!("/internal/explain?method=GET&url={PATH}&key={key}");
        Answer::of(a.operate(Method::GET, &path)).await.ok()["warnings"].to_string()
    };
    let listed = async || Answer::of(a.operate(Method::GET, "/internal/keys")).await.ok()["gateways"].clone();
    assert_eq!(listed().await, 2);
    assert!(!explained("free").await.contains("each gateway's own"));
    assert!(explained("slow").await.contains("the key's rate is each gateway's own: 2 gateways"));
    let service = crate::gateways::shared_service("guarded", &origin.url());
    let routes = json!({"routes": [{"method": "*", "path": PATH, "permission": "comments:read"}], "hard_limit": 5});
    a.registered(&with(service, routes)).await;
    assert!(explained("free").await.contains("hard limits are each gateway's own: 2 gateways"));
    assert!(explained("slow").await.contains("hard limits and the key's rate are each gateway's own: 2 gateways"));
    b.kill();
    eventually("it is alone", Duration::from_secs(20), async || (listed().await == 1).then_some(())).await;
    assert!(!explained("slow").await.contains("each gateway's own"));
}
