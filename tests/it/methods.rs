//! An exact method and `*` on one pattern: both stand, and the exact one is taken, within a service, between services and beside
//! static routes.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Gateway, Origin, public_service, with};

/// Whose origin answers.
async fn origin_of(gateway: &Gateway, method: Method, path: &str) -> Value {
    Answer::of(gateway.anonymous(method, path)).await.ok()["origin"].clone()
}

fn one_route(service: &str, origin: &Origin, method: &str, path: &str) -> Value {
    with(public_service(service, &origin.url(), path), json!({ "routes": [{"method": method, "path": path}] }))
}

#[tokio::test]
async fn a_public_preflight_stands_beside_a_route_for_every_method_with_a_permission() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let routes = json!([{"method": "*", "path": "/s/*", "permission": "s:use"}, {"method": "OPTIONS", "path": "/s/*"}]);
    gateway.registered(&with(public_service("s", &origin.url(), "/s/*"), json!({ "routes": routes }))).await;
    let preflight = gateway
        .anonymous(Method::OPTIONS, "/s/a")
        .header("origin", "http://app.example")
        .header("access-control-request-method", "GET")
        .header("access-control-request-headers", "x-api-key");
    assert_eq!(Answer::of(preflight).await.ok()["method"], "OPTIONS");
    for method in [Method::GET, Method::POST, Method::HEAD] {
        assert_eq!(Answer::of(gateway.anonymous(method, "/s/a")).await.status, 401);
    }
    assert_eq!(Answer::of(gateway.request(Method::GET, "/s/a", ADMIN)).await.ok()["method"], "GET");
}

#[tokio::test]
async fn the_exact_method_takes_its_requests_from_another_services_star_and_gives_them_back() {
    let gateway = Gateway::start("").await;
    let (all, only) = (Origin::named("all").await, Origin::named("only").await);
    gateway.registered(&one_route("all", &all, "*", "/s/*")).await;
    assert_eq!(origin_of(&gateway, Method::OPTIONS, "/s/a").await, "all");
    gateway.registered(&one_route("only", &only, "OPTIONS", "/s/*")).await;
    assert_eq!(origin_of(&gateway, Method::OPTIONS, "/s/a").await, "only");
    assert_eq!(origin_of(&gateway, Method::GET, "/s/a").await, "all");
    let explained = gateway.seen("/internal/explain?method=OPTIONS&url=/s/a").await;
    let told: Vec<_> = explained["candidates"].as_array().unwrap().iter().map(|one| &one["reason"]).collect();
    assert_eq!(
        told,
        ["the most specific pattern that takes the method", "names the method less exactly than the winner"]
    );
    // The same method is still taken, whoever has it.
    gateway.register(&one_route("third", &only, "OPTIONS", "/s/*")).await.problem(409, "taken");
    gateway.register(&one_route("third", &only, "*", "/s/*")).await.problem(409, "taken");
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/only")).await.ok();
    assert_eq!(origin_of(&gateway, Method::OPTIONS, "/s/a").await, "all");
}

#[tokio::test]
async fn a_static_route_for_every_method_and_a_registered_one_for_one_stand_on_one_pattern() {
    let (fixed, service) = (Origin::named("fixed").await, Origin::named("service").await);
    let tail = format!("[[routes]]\nmethod = '*'\npath = '/s/*'\nurl = '{}'", fixed.url());
    let gateway = Gateway::start(&tail).await;
    gateway.registered(&one_route("s", &service, "GET", "/s/*")).await;
    assert_eq!(origin_of(&gateway, Method::GET, "/s/a").await, "service");
    assert_eq!(origin_of(&gateway, Method::POST, "/s/a").await, "fixed");
    gateway.register(&one_route("s2", &service, "*", "/s/*")).await.problem(409, "taken");
    // A reload judges by the same rule: the service stays routed.
    gateway.reloaded(&(tail + "\n[[routes]]\nmethod = 'PUT'\npath = '/s/*'\nservice = 's'")).await;
    assert_eq!(origin_of(&gateway, Method::GET, "/s/a").await, "service");
    assert_eq!(origin_of(&gateway, Method::PUT, "/s/a").await, "service");
    assert!(gateway.service("s").await.unwrap()["blocked"].is_null());
}
