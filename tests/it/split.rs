//! Splits from outside: who goes to which version, what becomes of a version that has nobody, who joins as a canary, what a split
//! outlives, and where operators see it.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::{Answer, Gateway, Health, Mode, Origin, SOON, eventually, public_service, with};

const OF_SHOP: &str = "/internal/services/shop/split";
const DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'\n";
/// Clients are told apart by what a trusted proxy says of them.
const PROXIED: &str = "[server]\ntrusted_proxies = ['127.0.0.1']\n";
/// Callers of whom each share is tried.
const CALLERS: usize = 200;

/// An instance of `shop` at `/shop`, which is called as its origin.
fn instance(id: &str, url: &str, version: Option<&str>) -> Value {
    with(public_service("shop", url, "/shop"), json!({"instance": id, "version": version}))
}

/// A gateway before `shop` with an `old` and a `new` instance, of which the latter is of version 2.
async fn with_shop(tail: &str) -> (Gateway, [Origin; 2]) {
    let gateway = Gateway::start(tail).await;
    let origins = [Origin::named("old").await, Origin::named("new").await];
    gateway.registered(&instance("old", &origins[0].url(), None)).await;
    gateway.registered(&instance("new", &origins[1].url(), Some("2"))).await;
    (gateway, origins)
}

async fn put(gateway: &Gateway, body: Value) -> Answer {
    Answer::of(gateway.operate(Method::PUT, OF_SHOP).json(&body)).await
}

async fn delete(gateway: &Gateway) -> Answer {
    Answer::of(gateway.operate(Method::DELETE, OF_SHOP)).await
}

fn address(number: usize) -> String {
    format!("10.1.{}.{}", number / 200, number % 200 + 1)
}

/// Whom a request of the caller of that number reaches.
async fn reached(gateway: &Gateway, caller: usize, headers: &[(&str, &str)]) -> String {
    let request = gateway.anonymous(Method::GET, "/shop").header("x-forwarded-for", address(caller));
    let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
    Answer::of(request).await.ok()["origin"].as_str().unwrap().to_owned()
}

/// The callers that reach the new instance.
async fn at_new(gateway: &Gateway) -> BTreeSet<usize> {
    let mut at_new = BTreeSet::new();
    for caller in 0..CALLERS {
        if reached(gateway, caller, &[]).await == "new" {
            at_new.insert(caller);
        }
    }
    at_new
}

/// Standard output of a verb that must succeed.
async fn said(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.cli(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_ramp_moves_each_caller_once_and_the_end_has_all_go_everywhere() {
    let (gateway, _origins) = with_shop(PROXIED).await;
    let mut before = BTreeSet::new();
    for (percent, expected) in [(0.0, 0..=0), (5.0, 2..=22), (50.0, 75..=125), (100.0, CALLERS..=CALLERS)] {
        let set = put(&gateway, json!({"versions": {"2": percent}})).await.ok();
        assert_eq!((&set["status"], &set["versions"]["2"]), (&json!("split-set"), &json!(percent)));
        assert_eq!(set["stable"], json!(100.0 - percent));
        let now = at_new(&gateway).await;
        assert!(expected.contains(&now.len()), "{percent} %: {}", now.len());
        assert!(now.is_superset(&before), "nobody goes back: {before:?} {now:?}");
        before = now;
    }
    let removed = delete(&gateway).await.ok();
    assert_eq!((&removed["status"], &removed["service"]), (&json!("split-removed"), &json!("shop")));
    let mut seen = BTreeMap::<_, usize>::new();
    for _ in 0..20 {
        *seen.entry(reached(&gateway, 0, &[]).await).or_default() += 1;
    }
    assert_eq!(seen.len(), 2, "one caller goes everywhere again: {seen:?}");
    delete(&gateway).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_caller_is_its_api_key_wherever_it_comes_from() {
    let gateway = Gateway::start(PROXIED).await;
    let origins = [Origin::named("old").await, Origin::named("new").await];
    for (origin, (id, version)) in origins.iter().zip([("old", None), ("new", Some("2"))]) {
        let route = json!({"method": "GET", "path": "/shop", "permission": "shop:read"});
        gateway.registered(&with(instance(id, &origin.url(), version), json!({"routes": [route]}))).await;
    }
    put(&gateway, json!({"versions": {"2": 50}})).await.ok();
    let mut sides = BTreeMap::new();
    for number in 0..20 {
        let name = format!("caller-{number}");
        let body = json!({"name": name, "permissions": ["shop:read"]});
        let key = Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&body)).await.json()["key"].clone();
        for caller in 0..4 {
            let at = reached(&gateway, caller, &[("x-api-key", key.as_str().unwrap())]).await;
            assert_eq!(*sides.entry(name.clone()).or_insert_with(|| at.clone()), at, "{name} stays where it is");
        }
    }
    let seen: BTreeSet<_> = sides.values().collect();
    assert_eq!(seen.len(), 2, "{sides:?}");
    // What is told of a key is what becomes of it.
    for (name, at) in sides.iter().take(5) {
        let told = gateway.seen(&format!("/internal/explain?method=GET&url=/shop&key={name}")).await;
        let side = if at == "new" { "2" } else { "stable" };
        assert!(told["warnings"].to_string().contains(&format!("API key \\\"{name}\\\" goes to {side}")), "{told}");
    }
}

#[tokio::test]
async fn a_client_may_say_by_a_header_where_it_goes() {
    let (gateway, _origins) = with_shop(PROXIED).await;
    put(&gateway, json!({"versions": {"2": 50}, "header": "X-Canary"})).await.ok();
    for caller in 0..10 {
        let own = reached(&gateway, caller, &[]).await;
        assert_eq!(reached(&gateway, caller, &[("x-canary", "2")]).await, "new");
        assert_eq!(reached(&gateway, caller, &[("X-Canary", "stable")]).await, "old");
        for ignored in ["", "3", "Stable", "new", "2, 2"] {
            assert_eq!(reached(&gateway, caller, &[("x-canary", ignored)]).await, own, "{ignored:?}");
        }
        assert_eq!(reached(&gateway, caller, &[("x-other", "2")]).await, own);
    }
    put(&gateway, json!({"versions": {"2": 0}})).await.ok();
    assert_eq!(reached(&gateway, 0, &[("x-canary", "2")]).await, "old", "no header is named");
}

#[tokio::test]
async fn the_others_are_asked_where_a_version_has_nobody_unless_the_split_is_strict() {
    let (gateway, [old, mut new]) = with_shop("").await;
    let all = |strict: bool| json!({"versions": {"2": 100}, "strict": strict});
    let ask = async || Answer::of(gateway.anonymous(Method::GET, "/shop")).await;
    let answers = async |expected: &str| {
        put(&gateway, all(false)).await.ok();
        assert_eq!(ask().await.ok()["origin"], expected);
        put(&gateway, all(true)).await.ok();
    };
    put(&gateway, all(true)).await.ok();
    assert_eq!(ask().await.ok()["origin"], "new");

    // Draining.
    let drain = "/internal/services/shop/instances/new/drain";
    Answer::of(gateway.operate(Method::POST, drain)).await.ok();
    assert_eq!(ask().await.problem(503, "no-instance")["status"], 503);
    answers("old").await;
    Answer::of(gateway.operate(Method::DELETE, drain)).await.ok();
    assert_eq!(ask().await.ok()["origin"], "new");

    // It refuses connections: another attempt goes to the others.
    new.stop().await;
    ask().await.problem(502, "connect-failed");
    answers("old").await;
    new.restart().await;

    // It is gone.
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop/instances/new")).await.ok();
    ask().await.problem(503, "no-instance");
    answers("old").await;
    // And so is the rest.
    gateway.registered(&instance("new", &new.url(), Some("2"))).await;
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop/instances/old")).await.ok();
    put(&gateway, json!({"versions": {"2": 0}, "strict": true})).await.ok();
    ask().await.problem(503, "no-instance");
    put(&gateway, json!({"versions": {"2": 0}})).await.ok();
    ask().await.problem(503, "no-instance");
    put(&gateway, json!({"versions": {"2": 1}})).await.ok();
    assert_eq!(ask().await.ok()["origin"], "new");
    drop(old);
}

/// A version without a share is for whoever asks for it alone.
#[tokio::test]
async fn the_stable_instances_stand_in_for_others_and_a_version_without_a_share_for_nobody() {
    let gateway = Gateway::start("").await;
    let mut origins = Vec::new();
    for (id, version) in [("old", None), ("dark", Some("2")), ("new", Some("3"))] {
        let origin = Origin::named(id).await;
        gateway.registered(&instance(id, &origin.url(), version)).await;
        origins.push(origin);
    }
    put(&gateway, json!({"versions": {"2": 0, "3": 50}, "header": "x-canary"})).await.ok();
    let ask = async |side: &str| Answer::of(gateway.anonymous(Method::GET, "/shop").header("x-canary", side)).await;
    let drain = async |method: Method, id: &str| {
        let path = format!("/internal/services/shop/instances/{id}/drain");
        Answer::of(gateway.operate(method, &path)).await.ok();
    };
    drain(Method::POST, "new").await;
    for _ in 0..10 {
        assert_eq!(ask("3").await.ok()["origin"], "old");
    }
    assert_eq!(ask("2").await.ok()["origin"], "dark");
    drain(Method::POST, "old").await;
    for side in ["3", "stable"] {
        ask(side).await.problem(503, "draining");
    }
    assert_eq!(ask("2").await.ok()["origin"], "dark");
    drain(Method::DELETE, "new").await;
    drain(Method::POST, "dark").await;
    for side in ["2", "3", "stable"] {
        assert_eq!(ask(side).await.ok()["origin"], "new", "{side}");
    }
}

#[tokio::test]
async fn a_version_that_the_split_does_not_name_is_told() {
    let (gateway, [_old, new]) = with_shop("").await;
    put(&gateway, json!({"versions": {"2": 5}})).await.ok();
    let mistyped = with(instance("new", &new.url(), Some("2.0")), json!({"metadata": {"by": "new"}}));
    let told = gateway.registered(&mistyped).await;
    let expected = "the split of \"shop\" does not name the version \"2.0\": instance \"new\" is a stable one, and what it says of the service holds for all";
    assert_eq!((told.get("canary"), &told["warnings"]), (None, &json!([expected])), "{told}");
}

#[tokio::test]
async fn a_canary_that_fails_is_ejected_and_its_callers_go_to_the_others() {
    let (gateway, [_old, new]) = with_shop("").await;
    put(&gateway, json!({"versions": {"2": 100}})).await.ok();
    new.set_mode(Mode::Status(500));
    let mut failures = 0;
    for _ in 0..30 {
        failures += usize::from(Answer::of(gateway.anonymous(Method::POST, "/shop")).await.status == 500);
    }
    assert_eq!(failures, 5);
    new.set_mode(Mode::Echo);
    eventually("it is asked again", SOON.max(std::time::Duration::from_secs(15)), async || {
        let answer = Answer::of(gateway.anonymous(Method::GET, "/shop")).await;
        (answer.ok()["origin"] == "new").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_canary_that_is_down_has_its_callers_back_once_it_is_up() {
    let gateway = Gateway::start("[gateway]\nhealth_check_interval = '200ms'\nhealth_check_timeout = '200ms'").await;
    let [old, new] = [Origin::named("old").await, Origin::named("new").await];
    gateway.registered(&instance("old", &old.url(), None)).await;
    let probed = json!({"health_endpoint": "/health"});
    gateway.registered(&with(instance("new", &new.url(), Some("2")), probed)).await;
    put(&gateway, json!({"versions": {"2": 100}})).await.ok();
    let becomes = async |expected: &str| {
        eventually(expected, SOON, async || {
            let answer = Answer::of(gateway.anonymous(Method::GET, "/shop")).await;
            (answer.ok()["origin"] == expected).then_some(())
        })
        .await;
    };
    becomes("new").await;
    new.set_health(Health::Status(500));
    becomes("old").await;
    new.set_health(Health::Healthy);
    becomes("new").await;
}

#[tokio::test]
async fn a_canary_joins_and_its_definition_comes_with_the_end_of_the_split() {
    let (gateway, [old, new]) = with_shop("").await;
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop/instances/new")).await.ok();
    put(&gateway, json!({"versions": {"2": 100}})).await.ok();
    let routes = json!([{"method": "*", "path": "/shop"}, {"method": "GET", "path": "/new"}]);
    let canary = with(instance("new", &new.url(), Some("2")), json!({"routes": routes, "metadata": {"by": "new"}}));
    let stable = instance("old", &old.url(), None);
    for _ in 0..2 {
        let joined = gateway.registered(&canary).await;
        assert_eq!((&joined["canary"], &joined["routes"]), (&json!(true), &json!(1)), "{joined}");
        assert_eq!(gateway.registered(&stable).await.get("canary"), None);
    }
    // What is left out is told, and what would be refused.
    let taken = with(public_service("other", &old.url(), "/taken"), json!({"instance": "other"}));
    gateway.registered(&taken).await;
    let routes = json!([{"method": "*", "path": "/shop"}, {"method": "*", "path": "/taken"}]);
    let told = with(canary.clone(), json!({"routes": routes, "weight": 2}));
    let told = gateway.registered(&told).await["warnings"].to_string();
    assert!(
        told.contains("not in force until it registers without the split, which would be refused today: "),
        "{told}"
    );
    let told = gateway.registered(&canary).await["warnings"].to_string();
    assert!(told.contains("not in force until it registers without the split\"]"), "{told}");
    Answer::of(gateway.anonymous(Method::GET, "/new")).await.problem(404, "route-not-found");
    let events = gateway.seen("/internal/events").await["events"].clone();
    let last = events.as_array().unwrap().iter().rfind(|one| one["kind"] == "registered" && one["instance"] == "new");
    assert_eq!(last.unwrap()["canary"], true, "{events}");
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/shop")).await.ok()["origin"], "new");
    delete(&gateway).await.ok();
    let promoted = gateway.registered(&canary).await;
    assert_eq!((promoted.get("canary"), &promoted["routes"]), (None, &json!(2)), "{promoted}");
    Answer::of(gateway.anonymous(Method::GET, "/new")).await.ok();
    assert_eq!(gateway.service("shop").await.unwrap()["metadata"]["by"], "new");
}

#[tokio::test]
async fn it_outlives_restarts_and_registrations() {
    let (mut gateway, [old, new]) = with_shop(&format!("{DISK}{PROXIED}")).await;
    put(&gateway, json!({"versions": {"2": 30, "1": 20.25}, "header": "X-Canary"})).await.ok();
    let before = at_new(&gateway).await;
    assert!((35..=95).contains(&before.len()), "{}", before.len());
    gateway.restart().await;
    assert_eq!(at_new(&gateway).await, before, "each caller is where it was");
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop")).await.ok();
    gateway.registered(&instance("old", &old.url(), None)).await;
    gateway.registered(&instance("new", &new.url(), Some("2"))).await;
    assert_eq!(at_new(&gateway).await, before);
    let split = gateway.seen(OF_SHOP).await;
    let order: Vec<_> = split["versions"].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!((order, &split["stable"], &split["header"]), (vec!["2", "1"], &json!(49.75), &json!("x-canary")));
    delete(&gateway).await.ok();
    gateway.restart().await;
    Answer::of(gateway.operate(Method::GET, OF_SHOP)).await.problem(404, "not-found");
}

#[tokio::test]
async fn a_cookie_keeps_a_client_within_its_side() {
    let gateway = Gateway::start("").await;
    let mut origins = Vec::new();
    for (id, version) in [("a", None), ("b", None), ("c", Some("2")), ("d", Some("2"))] {
        let origin = Origin::named(id).await;
        let sticky = json!({"policy": "sticky", "sticky_by": "cookie"});
        gateway.registered(&with(instance(id, &origin.url(), version), sticky)).await;
        origins.push(origin);
    }
    let ask = async |side: &str, cookie: &str| {
        let request = gateway.anonymous(Method::GET, "/shop").header("x-canary", side).header("cookie", cookie);
        let answer = Answer::of(request).await;
        let told = answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned();
        (answer.ok()["origin"].as_str().unwrap().to_owned(), told)
    };
    put(&gateway, json!({"versions": {"2": 0}, "header": "x-canary"})).await.ok();
    for (side, of_side) in [("2", ["c", "d"]), ("stable", ["a", "b"])] {
        let (own, cookie) = ask(side, "").await;
        assert!(of_side.contains(&own.as_str()) && !cookie.is_empty(), "{side}: {own}");
        for _ in 0..10 {
            assert_eq!(ask(side, &cookie).await, (own.clone(), String::new()), "{side}");
        }
        // On the other side it is told another one.
        let other = if side == "2" { "stable" } else { "2" };
        let (next, new) = ask(other, &cookie).await;
        assert!(!of_side.contains(&next.as_str()) && !new.is_empty() && new != cookie, "{next} {new}");
        for _ in 0..10 {
            assert_eq!(ask(other, &new).await, (next.clone(), String::new()));
        }
    }
}

#[tokio::test]
async fn an_address_has_an_instance_on_each_side() {
    let gateway = Gateway::start("").await;
    let mut origins = Vec::new();
    for (id, version) in [("a", None), ("b", None), ("c", Some("2")), ("d", Some("2"))] {
        let origin = Origin::named(id).await;
        gateway.registered(&with(instance(id, &origin.url(), version), json!({"policy": "sticky"}))).await;
        origins.push(origin);
    }
    put(&gateway, json!({"versions": {"2": 0}, "header": "x-canary"})).await.ok();
    let mut seen = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..20 {
        for (seen, side) in seen.iter_mut().zip(["2", "stable"]) {
            seen.insert(reached(&gateway, 0, &[("x-canary", side)]).await);
        }
    }
    assert!(seen.iter().all(|seen| seen.len() == 1), "{seen:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_that_wait_for_a_full_version_take_no_place_of_the_others() {
    let gateway = Gateway::start("").await;
    let [old, new] = [Origin::named("old").await, Origin::named("new").await];
    for (origin, (id, version)) in [&old, &new].into_iter().zip([("old", None), ("new", Some("2"))]) {
        gateway.registered(&with(instance(id, &origin.url(), version), json!({"hard_limit": 1}))).await;
        origin.set_mode(Mode::Gated);
    }
    put(&gateway, json!({"versions": {"2": 0}, "header": "x-canary"})).await.ok();
    let ask = |side: &str| tokio::spawn(Answer::of(gateway.anonymous(Method::GET, "/shop").header("x-canary", side)));
    let held = [ask("2"), ask("stable")];
    eventually("both are full", SOON, async || {
        let shown = gateway.service("shop").await?["instances"].clone();
        shown.as_array()?.iter().all(|one| one["in_flight"] == 1).then_some(())
    })
    .await;
    // As many as may wait do, and the next one is refused.
    let of_new: Vec<_> = (0..129).map(|_| ask("2")).collect();
    let refused = async || of_new.iter().any(tokio::task::JoinHandle::is_finished).then_some(());
    eventually("one is refused", SOON, refused).await;
    let waits = ask("stable");
    eventually("another one waits", SOON, async || (gateway.service("shop").await?["waiting"] == 129).then_some(()))
        .await;
    for origin in [&old, &new] {
        origin.set_mode(Mode::Echo);
        origin.release();
    }
    for (held, expected) in held.into_iter().chain([waits]).zip(["new", "old", "old"]) {
        assert_eq!(held.await.unwrap().ok()["origin"], expected);
    }
    of_new.iter().for_each(tokio::task::JoinHandle::abort);
}

#[tokio::test]
async fn what_is_probably_not_meant_is_told() {
    let (gateway, _origins) = with_shop("").await;
    let told = async |body: Value| put(&gateway, body).await.ok()["warnings"].as_array().cloned().unwrap_or_default();
    let header = json!({"versions": {"2": 5}, "header": "X-Canary", "strict": true});
    assert!(told(header.clone()).await.is_empty());
    assert!(told(header).await.is_empty(), "all of it is said again");
    let replaced = "the header x-canary chooses no version any more, and it is strict no more: a split replaces the one before it as a whole";
    let missing = "no instance of \"shop\" is of the version \"3\"";
    assert_eq!(told(json!({"versions": {"2": 6, "3": 0}})).await, [missing, replaced]);
    let without = |side: &str, becomes: &str| format!("no instance of {side} can be asked: {becomes}");
    let told_of_3 = told(json!({"versions": {"3": 7.5}})).await;
    assert_eq!(told_of_3, [missing.to_owned(), without("3", "7.5% of callers go to other instances")]);
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/shop/instances/old")).await.ok();
    let strict = json!({"versions": {"2": 5}, "strict": true});
    assert_eq!(told(strict).await, [without("stable", "95% of callers get 503")]);
    assert!(told(json!({"versions": {"2": 100}, "strict": true})).await.is_empty());
    let again = told(json!({"versions": {"2": 5}})).await;
    assert_eq!(again[0], without("stable", "95% of callers go to other instances"));
    assert_eq!(told(json!({"versions": {"2": 0}})).await, [without("stable", "100% of callers get 503")]);
}

#[tokio::test]
async fn every_wrong_field_is_told_at_once_and_nothing_is_set() {
    let (gateway, _origins) = with_shop("").await;
    let bad = json!({"versions": {"a b": 1, "2": 101, "3": 1.001}, "header": "Host", "strict": 1, "shares": {}});
    let expected = ["/header", "/shares", "/strict", "/versions/2", "/versions/3", "/versions/a b"];
    assert_eq!(put(&gateway, bad).await.invalid_fields(), expected);
    for (body, pointer) in [
        (json!({}), "/versions"),
        (json!({"versions": {}}), "/versions"),
        (json!({"versions": {"2": 60, "3": 41}}), "/versions"),
        (json!({"versions": {"stable": 5}}), "/versions/stable"),
        (json!({"versions": {"2": 5}, "header": "X-API-Key"}), "/header"),
        (json!({"versions": {"2": 5}, "header": "Cookie"}), "/header"),
    ] {
        assert_eq!(put(&gateway, body.clone()).await.invalid_fields(), [pointer], "{body}");
    }
    put(&gateway, json!([])).await.problem(422, "invalid-fields");
    Answer::of(gateway.operate(Method::PUT, OF_SHOP)).await.problem(415, "wrong-type");
    let unknown = gateway.operate(Method::PUT, "/internal/services/A%20b/split").json(&json!({"versions": {"2": 5}}));
    Answer::of(unknown).await.problem(404, "not-found");
    assert_eq!(gateway.seen("/internal/splits").await["splits"], json!([]));
    let bad = with(instance("x", "http://127.0.0.1:9", None), json!({"version": "a b"}));
    assert_eq!(gateway.register(&bad).await.invalid_fields(), ["/version"]);
}

#[tokio::test]
async fn only_operators_may() {
    let tail = "[internal]\noperators_from = ['127.0.0.1']\n[gateway]\nallow_registration_from = ['127.0.0.0/8']";
    let (gateway, _origins) = with_shop(tail).await;
    let other = client_from(Some("127.0.0.2".parse().unwrap()));
    for (method, path) in
        [(Method::PUT, OF_SHOP), (Method::DELETE, OF_SHOP), (Method::GET, OF_SHOP), (Method::GET, "/internal/splits")]
    {
        let request = other.request(method.clone(), gateway.internal_url(path));
        Answer::of(request).await.problem(403, "operators-only");
        Answer::of(gateway.anonymous(method, path)).await.problem(404, "route-not-found");
    }
}

#[tokio::test]
async fn the_command_line_sets_shows_and_removes() {
    let (gateway, [_old, new]) = with_shop("").await;
    assert_eq!(said(&gateway, &["split"]).await, "no service has a split\n");
    let text = said(&gateway, &["split", "shop", "2=5%", "3=0.25", "--header", "X-Canary", "--strict"]).await;
    assert_eq!(text, "callers of shop: 5% to 2, 0.25% to 3, 94.75% to stable\n");
    let text = said(&gateway, &["split"]).await;
    let row: Vec<_> = text.lines().nth(1).unwrap().split_whitespace().collect();
    assert_eq!((row[0], &row[2..5]), ("shop", &["127.0.0.1", "x-canary", "yes"][..]), "{text}");
    assert_eq!(said(&gateway, &["split", "shop"]).await, text);
    let shown: Value = serde_json::from_str(&said(&gateway, &["split", "shop", "-o", "json"]).await).unwrap();
    assert_eq!((&shown["versions"], &shown["strict"]), (&json!({"2": 5.0, "3": 0.25}), &json!(true)));
    let text = said(&gateway, &["services", "shop"]).await;
    assert!(text.contains("5% to 2, 0.25% to 3, 94.75% to stable; the header x-canary chooses; strict"), "{text}");
    assert!(text.contains("VERSION"), "{text}");
    let registered = ["register", "--service", "shop", "--upstream", &new.url(), "--version", "2"];
    assert!(said(&gateway, &registered).await.starts_with("registered shop/"));
    assert_eq!(
        said(&gateway, &["split", "shop", "--off"]).await,
        "callers of shop are split no more; instances bring what they say of the service when they register again\n"
    );
    let output = gateway.cli(&["split", "shop", "--off"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"shop\" has no split"), "{output:?}");
    for misused in [
        &["split", "--off"][..],
        &["split", "shop", "2"],
        &["split", "shop", "2=101%"],
        &["split", "shop", "2=5%", "--off"],
        &["split", "shop", "--strict"],
        &["split", "shop", "2=5%", "--header", "Host"],
    ] {
        assert_eq!(gateway.cli(misused).await.status.code(), Some(2), "{misused:?}");
    }
    let mistyped = gateway.cli(&["split", "shpo", "2=5%"]).await;
    assert!(mistyped.status.success(), "{mistyped:?}");
    assert!(String::from_utf8_lossy(&mistyped.stderr).contains("no service \"shpo\" is registered"), "{mistyped:?}");
}

#[tokio::test]
async fn operators_see_it_wherever_they_look() {
    let (gateway, _origins) = with_shop(PROXIED).await;
    assert!(!gateway.metrics().await.contains("furt_split_requests_total"));
    let set = put(&gateway, json!({"versions": {"2": 50, "3": 0}, "header": "X-Canary"})).await.ok();
    assert_eq!(set["warnings"], json!(["no instance of \"shop\" is of the version \"3\""]));
    let shown = gateway.service("shop").await.unwrap();
    assert_eq!(shown["split"]["versions"], json!({"2": 50.0, "3": 0.0}));
    let versions: Vec<_> = shown["instances"].as_array().unwrap().iter().map(|one| &one["version"]).collect();
    assert_eq!(versions, [&json!("2"), &Value::Null]);
    assert_eq!(gateway.seen("/internal/splits").await["splits"][0], shown["split"]);

    let at_new = at_new(&gateway).await.len();
    // Version 3 has nobody: the others are asked, and counted where they are.
    let other = reached(&gateway, 0, &[("x-canary", "3")]).await;
    let (new, old) = if other == "new" { (at_new + 1, CALLERS - at_new) } else { (at_new, CALLERS - at_new + 1) };
    let lines = [("2", new), ("stable", old)].map(|(version, count)| {
        let labels = format!("service=\"shop\",version=\"{version}\"");
        [
            format!("furt_split_requests_total{{{labels},status=\"2xx\"}} {count}\n"),
            format!("furt_split_requests_total{{{labels},status=\"5xx\"}} 0\n"),
            format!("furt_split_request_duration_seconds_count{{{labels}}} {count}\n"),
        ]
    });
    // A request is counted just after its answer is sent.
    let metrics = eventually(&format!("{lines:?}"), SOON, async || {
        let metrics = gateway.metrics().await;
        lines.iter().flatten().all(|line| metrics.contains(line.as_str())).then_some(metrics)
    })
    .await;
    assert!(!metrics.contains("version=\"3\""), "it is not used");
    // What is refused counts where it was to go.
    put(&gateway, json!({"versions": {"2": 0, "3": 100}, "strict": true})).await.ok();
    let shown = gateway.service("shop").await.unwrap()["warnings"].clone();
    assert_eq!(shown, json!(["no instance of 3 can be asked: 100% of callers get 503"]));
    Answer::of(gateway.anonymous(Method::GET, "/shop")).await.problem(503, "no-instance");
    let line = "furt_split_requests_total{service=\"shop\",version=\"3\",status=\"5xx\"} 1\n";
    eventually("it is counted", SOON, async || gateway.metrics().await.contains(line).then_some(())).await;
    let told = gateway.seen("/internal/explain?method=GET&url=/shop&client=10.1.0.1").await["warnings"].to_string();
    assert!(told.contains("goes to 3, of which no instance can be asked: 503"), "{told}");
    put(&gateway, json!({"versions": {"2": 50, "3": 0}, "header": "X-Canary"})).await.ok();

    for caller in 0..5 {
        let at = reached(&gateway, caller, &[]).await;
        let told = gateway.seen(&format!("/internal/explain?method=GET&url=/shop&client={}", address(caller))).await;
        let side = if at == "new" { "2" } else { "stable" };
        let expected = format!("the header x-canary names one of them; client {} goes to {side}", address(caller));
        let warning = told["warnings"][0].as_str().unwrap();
        assert!(
            warning.starts_with("callers of service \"shop\" are split: 50% to 2, 0% to 3, 50% to stable"),
            "{warning}"
        );
        assert!(warning.ends_with(&expected), "{warning}");
    }
    delete(&gateway).await.ok();
    assert!(!gateway.metrics().await.contains("furt_split_requests_total"));
    let events = gateway.seen("/internal/events").await["events"].clone();
    let of = |kind: &str| events.as_array().unwrap().iter().rfind(|one| one["kind"] == kind).unwrap().clone();
    let set = of("split-set");
    assert_eq!((&set["service"], &set["from"]), (&json!("shop"), &json!("127.0.0.1")));
    assert_eq!((&set["versions"], &set["header"]), (&json!(["2=50%", "3=0%"]), &json!("x-canary")));
    assert_eq!((&of("split-removed")["service"], &of("split-removed")["from"]), (&json!("shop"), &json!("127.0.0.1")));
}
