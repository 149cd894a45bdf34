//! Clients that stay with an instance by furt's cookie: what they are told and when, what services see of it, and what becomes of
//! cookies that are forged, old, or of an instance that takes no requests.

mod corners;

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, public_service, with};

/// Over a restart the store keeps services and the secret.
const DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'\n";

/// A registration of an instance of `shop` whose clients have cookies.
fn instance(id: &str, url: &str) -> Value {
    let by_cookie = json!({"instance": id, "policy": "sticky", "sticky_by": "cookie"});
    with(public_service("shop", url, "/shop"), by_cookie)
}

/// Instances `one`, `two` and `three`, never probed.
async fn three(gateway: &Gateway) -> [Origin; 3] {
    let origins = [Origin::named("one").await, Origin::named("two").await, Origin::named("three").await];
    for (origin, id) in origins.iter().zip(["one", "two", "three"]) {
        gateway.registered(&instance(id, &origin.url())).await;
    }
    origins
}

/// Sends a request with these cookies.
async fn ask(gateway: &Gateway, path: &str, cookies: &str) -> Answer {
    let request = gateway.anonymous(Method::GET, path);
    Answer::of(if cookies.is_empty() { request } else { request.header("cookie", cookies) }).await
}

/// What a client stores of an answer, `furt_affinity=…`; `None`: furt tells it nothing.
fn told(answer: &Answer) -> Option<String> {
    let all = answer.headers.get_all("set-cookie").iter().filter_map(|value| value.to_str().ok());
    let own: Vec<_> = all.filter(|value| value.starts_with("furt_affinity=")).collect();
    assert!(own.len() <= 1, "{answer:?}");
    own.first().map(|value| value.split(';').next().unwrap().to_owned())
}

/// Who answered.
#[track_caller]
fn origin(answer: &Answer) -> String {
    answer.ok()["origin"].as_str().unwrap().to_owned()
}

/// A new client: who answers it, and its cookie.
async fn first(gateway: &Gateway) -> (String, String) {
    let answer = ask(gateway, "/shop", "").await;
    (origin(&answer), told(&answer).expect("a cookie"))
}

/// Of new clients the first that this instance answers: its cookie.
async fn at(gateway: &Gateway, id: &str) -> String {
    for _ in 0..100 {
        let (own, cookie) = first(gateway).await;
        if own == id {
            return cookie;
        }
    }
    panic!("{id} answers no new client");
}

#[tokio::test]
async fn a_client_stays_with_the_instance_of_its_cookie_over_a_reload_and_a_restart() {
    let mut gateway = Gateway::start(DISK).await;
    let _origins = three(&gateway).await;
    let answer = ask(&gateway, "/shop", "").await;
    let (own, cookie) = (origin(&answer), told(&answer).unwrap());
    let value = cookie.strip_prefix("furt_affinity=").unwrap();
    assert!(value.len() == 24 && !value.contains(&own), "{value}");
    let whole = format!("{cookie}; Path=/; HttpOnly; SameSite=Lax");
    assert_eq!((answer.header("set-cookie"), answer.header("cache-control")), (&*whole, "private"));

    for number in 0..200 {
        if number == 70 {
            gateway.reloaded(&format!("{DISK}[limits]\nmax_body = 1000000\n")).await;
        }
        if number == 140 {
            gateway.restart().await;
        }
        let answer = ask(&gateway, "/shop", &format!("a=1; {cookie}; b=\"2\"")).await;
        assert_eq!((origin(&answer), told(&answer)), (own.clone(), None), "{number}");
        assert_eq!(answer.header("cache-control"), "", "nothing is told");
        assert_eq!(answer.json()["headers"]["cookie"], json!(["a=1; b=\"2\""]), "the service does not see it");
    }
    let alone = ask(&gateway, "/shop", &cookie).await.ok();
    assert_eq!(alone["headers"]["cookie"], json!(null));

    let mut seen = BTreeSet::new();
    for _ in 0..30 {
        seen.insert(first(&gateway).await);
    }
    let origins: BTreeSet<_> = seen.iter().map(|(origin, _)| origin).collect();
    assert_eq!((origins.len(), seen.len()), (3, 3), "an instance has one name: {seen:?}");
    assert!(seen.contains(&(own, cookie)), "{seen:?}");
}

#[tokio::test]
async fn a_client_of_an_instance_that_is_gone_is_told_another_one_and_stays_there() {
    let gateway = Gateway::start("").await;
    let [mut one, _two, _three] = three(&gateway).await;
    let cookie = at(&gateway, "one").await;
    one.stop().await;
    let answer = ask(&gateway, "/shop", &cookie).await;
    let (next, new) = (origin(&answer), told(&answer).expect("another cookie"));
    assert!(next != "one" && new != cookie, "{answer:?}");
    for _ in 0..10 {
        let answer = ask(&gateway, "/shop", &new).await;
        assert_eq!((origin(&answer), told(&answer)), (next.clone(), None));
    }
    one.restart().await;
    let answer = ask(&gateway, "/shop", &new).await;
    assert_eq!((origin(&answer), told(&answer)), (next, None), "it does not go back by itself");
    let answer = Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop/instances/one")).await;
    assert!(answer.status.is_success(), "{answer:?}");
    assert_ne!(told(&ask(&gateway, "/shop", &cookie).await), None, "who comes with a name of nobody is told one");
    gateway.registered(&instance("one", &one.url())).await;
    let answer = ask(&gateway, "/shop", &cookie).await;
    assert_eq!((origin(&answer), told(&answer)), ("one".to_owned(), None), "whoever has the id has its clients");
}

#[tokio::test]
async fn a_client_of_an_instance_that_is_down_or_draining_is_told_another_one() {
    let gateway = Gateway::start("[gateway]\nhealth_check_interval = 0.1\nmax_consecutive_failures = 1\n").await;
    let origins = [Origin::named("one").await, Origin::named("two").await];
    for (origin, id) in origins.iter().zip(["one", "two"]) {
        let probed = with(instance(id, &origin.url()), json!({"health_endpoint": "/health"}));
        gateway.registered(&probed).await;
    }
    let status_becomes = async |id: &str, status: &str| {
        eventually(&format!("{id} is {status}"), SOON, async || {
            let shown = gateway.service("shop").await?["instances"].clone();
            shown.as_array()?.iter().any(|one| one["instance"] == *id && one["status"] == *status).then_some(())
        })
        .await;
    };
    status_becomes("one", "UP").await;
    status_becomes("two", "UP").await;
    let cookie = at(&gateway, "one").await;
    origins[0].set_health(crate::support::Health::Status(503));
    status_becomes("one", "DOWN").await;
    let answer = ask(&gateway, "/shop", &cookie).await;
    let at_two = told(&answer).expect("another cookie");
    assert_eq!(origin(&answer), "two");
    assert_eq!(told(&ask(&gateway, "/shop", &at_two).await), None);

    origins[0].set_health(crate::support::Health::Healthy);
    status_becomes("one", "UP").await;
    let drain = |method| Answer::of(gateway.operate(method, "/internal/services/shop/instances/two/drain"));
    drain(Method::POST).await.ok();
    let answer = ask(&gateway, "/shop", &at_two).await;
    assert_eq!(
        (origin(&answer), told(&answer)),
        ("one".to_owned(), Some(cookie.clone())),
        "it has the same name as before"
    );
    drain(Method::DELETE).await.ok();
    let answer = ask(&gateway, "/shop", &cookie).await;
    assert_eq!((origin(&answer), told(&answer)), ("one".to_owned(), None));
}

#[tokio::test]
async fn a_client_of_an_instance_that_is_full_goes_elsewhere_once_and_comes_back() {
    let gateway = Gateway::start("").await;
    let origins = [Origin::named("one").await, Origin::named("two").await];
    for (origin, id) in origins.iter().zip(["one", "two"]) {
        gateway.registered(&with(instance(id, &origin.url()), json!({"hard_limit": 1}))).await;
    }
    let cookie = at(&gateway, "one").await;
    origins[0].set_mode(Mode::Gated);
    let before = origins[0].requests("/shop");
    let request = gateway.anonymous(Method::GET, "/shop").header("cookie", &cookie);
    let held = tokio::spawn(Answer::of(request));
    eventually("it is full", SOON, async || (origins[0].requests("/shop") > before).then_some(())).await;
    let answer = ask(&gateway, "/shop", &cookie).await;
    assert_eq!((origin(&answer), told(&answer)), ("two".to_owned(), None));
    origins[0].set_mode(Mode::Echo);
    origins[0].release();
    assert_eq!(told(&held.await.unwrap()), None);
    assert_eq!(origin(&ask(&gateway, "/shop", &cookie).await), "one");
}

#[tokio::test]
async fn cookies_that_furt_did_not_make_choose_nothing_and_are_replaced() {
    let gateway = Gateway::start("").await;
    let _origins = three(&gateway).await;
    let cookie = at(&gateway, "one").await;
    let good = cookie.strip_prefix("furt_affinity=").unwrap();
    let (mark, name) = good.split_at(4);
    let bent: String = name.chars().map(|sign| if sign == 'A' { 'B' } else { 'A' }).collect();
    for bad in [
        "one".to_owned(),
        "x".repeat(24),
        "x".repeat(6_000),
        ".".repeat(3_000),
        format!("{mark}{bent}"),
        format!("AAAA{name}"),
        format!("\"{good}\""),
        format!("{good}x"),
        good.to_lowercase(),
        String::new(),
    ] {
        let answer = ask(&gateway, "/shop", &format!("furt_affinity={bad}")).await;
        let own = origin(&answer);
        let new = told(&answer).unwrap_or_else(|| panic!("a cookie for {bad}"));
        assert_eq!(origin(&ask(&gateway, "/shop", &new).await), own, "{bad}");
    }
    // The first good one of several counts, and all are gone with the next that is set.
    let both = format!("furt_affinity={mark}{bent}; {cookie}; furt_affinity=x");
    let answer = ask(&gateway, "/shop", &both).await;
    assert_eq!((origin(&answer), told(&answer)), ("one".to_owned(), None));
}

#[tokio::test]
async fn services_of_one_host_keep_their_clients_side_by_side() {
    let gateway = Gateway::start("").await;
    let _shop = three(&gateway).await;
    let carts = [Origin::named("c1").await, Origin::named("c2").await, Origin::named("c3").await];
    for (origin, id) in carts.iter().zip(["c1", "c2", "c3"]) {
        let by_cookie = json!({"instance": id, "policy": "sticky", "sticky_by": "cookie"});
        gateway.registered(&with(public_service("cart", &origin.url(), "/cart"), by_cookie)).await;
    }
    let (shop, first) = first(&gateway).await;
    let answer = ask(&gateway, "/cart", &first).await;
    let (cart, both) = (origin(&answer), told(&answer).expect("a cookie of both"));
    assert_eq!(both.len(), first.len() + 25);
    for _ in 0..10 {
        for (path, own) in [("/shop", &shop), ("/cart", &cart)] {
            let answer = ask(&gateway, path, &both).await;
            assert_eq!((&origin(&answer), told(&answer)), (own, None), "{path}");
        }
    }
}
