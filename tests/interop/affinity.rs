//! Sticky cookies of gateways that share a store: each takes those of the others, and the secret is in the store alone.

use reqwest::Method;
use serde_json::json;

use crate::foreign::Etcd;
use crate::gateways::{PREFIX, is_routed, refusal_to_start, stored_at};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, public_service, with};

fn instance(id: &str, origin: &Origin) -> serde_json::Value {
    let by_cookie = json!({"instance": id, "policy": "sticky", "sticky_by": "cookie"});
    with(public_service("shop", &origin.url(), "/shop"), by_cookie)
}

/// Who answers a client with this cookie, and the cookie that it is told.
async fn ask(gateway: &Gateway, cookie: &str) -> (String, Option<String>) {
    let answer = Answer::of(gateway.anonymous(Method::GET, "/shop").header("cookie", cookie)).await;
    let told = answer.header("set-cookie").split(';').next().filter(|value| !value.is_empty()).map(str::to_owned);
    (answer.ok()["origin"].as_str().unwrap().to_owned(), told)
}

#[tokio::test]
async fn gateways_of_one_store_take_each_others_cookies_from_their_first_start_on() {
    let (etcd, origins) = (Etcd::one().await, [Origin::named("one").await, Origin::named("two").await]);
    let tail = stored_at(&etcd.endpoints());
    // At once: one of them makes the secret, and all have the same.
    let (a, b, mut c) = tokio::join!(Gateway::start(&tail), Gateway::start(&tail), Gateway::start(&tail));
    for (origin, id) in origins.iter().zip(["one", "two"]) {
        a.registered(&instance(id, origin)).await;
    }
    for gateway in [&b, &c] {
        is_routed(gateway, "/shop", SOON).await;
        eventually("both are known", SOON, async || {
            let instances = gateway.service("shop").await?["instances"].as_array()?.len();
            (instances == 2).then_some(())
        })
        .await;
    }
    for maker in [&a, &b, &c] {
        let (own, cookie) = ask(maker, "other=1").await;
        let cookie = cookie.expect("a cookie");
        for taker in [&a, &b, &c] {
            assert_eq!(ask(taker, &cookie).await, (own.clone(), None));
        }
    }
    let (own, cookie) = ask(&c, "other=1").await;
    c.restart().await;
    assert_eq!(ask(&c, &cookie.unwrap()).await, (own, None));

    let key = format!("{PREFIX}affinity_secret");
    let secret = etcd.ctl().get(&key).await.expect("the secret").value;
    assert!(secret.len() == 64 && secret.bytes().all(|byte| byte.is_ascii_hexdigit()), "{secret}");
    for path in ["/health", "/internal/services", "/metrics", "/internal/nodes", "/internal/keys"] {
        let answer = Answer::of(a.operate(Method::GET, path)).await;
        assert!(!answer.body.contains(&secret), "{path}");
    }
    assert!([&a, &b, &c].iter().all(|gateway| !gateway.log().contains(&secret)));
}

#[tokio::test]
async fn a_secret_in_the_store_that_is_none_stops_the_start_with_what_to_do() {
    let etcd = Etcd::one().await;
    let key = format!("{PREFIX}affinity_secret");
    etcd.ctl().put(&key, "x").await;
    let told = refusal_to_start(&stored_at(&etcd.endpoints())).await;
    assert!(told.contains(&key) && told.contains("delete it"), "{told}");
}
