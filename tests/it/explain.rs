//! `GET /internal/explain` and `furt explain`: whatever keeps a request from a service, the answer says what it is.

use std::fs;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Health, Mode, Origin, SOON, eventually, public_service, sagjan, with};

async fn explained(gateway: &Gateway, path: &str) -> Value {
    gateway.seen(&format!("/internal/explain?method=GET&url={path}")).await
}

/// The reason given to the candidate of that service, or to the static one.
fn reason_of(explained: &Value, service: &str) -> String {
    let candidates = explained["candidates"].as_array().unwrap();
    let found =
        candidates.iter().find(|one| one["service"] == service || (service == "static" && one["static"] == true));
    found.unwrap_or_else(|| panic!("no {service} in {explained}"))["reason"].as_str().unwrap().to_owned()
}

fn probed(service: &str, origin: &Origin) -> Value {
    let path = format!("/{service}/x");
    with(public_service(service, &origin.url(), &path), json!({ "health_endpoint": "/health" }))
}

#[tokio::test]
async fn a_service_that_is_down_is_explained_by_what_its_probes_say() {
    let origin = Origin::start().await;
    let gateway = Gateway::start(&format!("[[routes]]\nmethod = '*'\npath = '/b/*'\nurl = '{}'", origin.url())).await;
    for service in ["a", "b"] {
        gateway.registered_and_up(&probed(service, &origin)).await;
    }
    assert_eq!(explained(&gateway, "/a/x").await["verdict"], "routed");
    assert_eq!(reason_of(&explained(&gateway, "/b/x").await, "static"), "less specific than /b/x");
    origin.set_health(Health::Status(500));
    for service in ["a", "b"] {
        gateway.status_becomes(service, "DOWN").await;
    }
    let down = explained(&gateway, "/a/x").await;
    assert_eq!(down["verdict"], "service-down");
    for reason in [down["reason"].as_str().unwrap(), &reason_of(&down, "a")] {
        assert!(reason.contains("service \"a\" is DOWN since 2") && reason.contains("500"), "{reason}");
    }
    let replaced = explained(&gateway, "/b/x").await;
    assert_eq!(replaced["verdict"], "routed");
    let reason = reason_of(&replaced, "static");
    assert!(reason.starts_with("a static route that stands in: service \"b\" is DOWN since 2"), "{reason}");
    assert!(reason_of(&replaced, "b").contains("500"), "{replaced}");
}

#[tokio::test]
async fn a_drain_and_full_instances_are_explained() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let one = with(public_service("a", &origin.url(), "/a/*"), json!({ "hard_limit": 1 }));
    gateway.registered(&one).await;
    origin.set_mode(Mode::Gated);
    let request = tokio::spawn(Answer::try_of(gateway.anonymous(Method::GET, "/a/held")));
    eventually("it arrives", SOON, async || (origin.requests("/a/held") == 1).then_some(())).await;
    let full = explained(&gateway, "/a/x").await;
    assert_eq!(full["verdict"], "instances-full");
    Answer::of(gateway.anonymous(Method::GET, "/a/x")).await.problem(503, "instances-full");
    Answer::of(gateway.operate(Method::POST, "/internal/services/a/drain")).await.ok();
    let draining = explained(&gateway, "/a/x").await;
    assert_eq!(draining["verdict"], "draining");
    assert!(draining["reason"].as_str().unwrap().contains("every instance of service \"a\" is draining"), "{draining}");
    assert_eq!((&draining["route"]["service"], &draining["candidates"][0]["won"]), (&json!("a"), &json!(true)));
    let text = gateway.cli(&["explain", "GET", "/a/x"]).await;
    assert!(String::from_utf8_lossy(&text.stdout).starts_with("draining: "), "{text:?}");
    origin.release();
    request.await.unwrap().unwrap().ok();
}

#[tokio::test]
async fn a_service_that_is_held_is_explained() {
    let gateway = Gateway::start("").await;
    let silent = with(public_service("a", "http://127.0.0.1:9", "/a/*"), json!({ "heartbeat_ttl": 1 }));
    gateway.registered(&silent).await;
    eventually("it expires", SOON, async || (gateway.instance("a").await.is_null()).then_some(())).await;
    let held = explained(&gateway, "/a/x").await;
    assert_eq!(held["verdict"], "service-down");
    assert!(held["reason"].as_str().unwrap().contains("its last instance expired"), "{held}");
    let text = gateway.cli(&["services"]).await;
    assert!(String::from_utf8_lossy(&text.stdout).contains("DOWN, held"), "{text:?}");
}

#[tokio::test]
async fn a_service_that_is_kept_but_not_routed_is_explained() {
    let mut gateway = Gateway::start("[store]\nkind = 'disk'\npath = 'furt.redb'").await;
    gateway.registered(&public_service("a", "http://127.0.0.1:9", "/a/*")).await;
    let text = fs::read_to_string(&gateway.config).unwrap();
    fs::write(&gateway.config, text + "\n[registration]\nunlisted = 'deny'\n").unwrap();
    gateway.restart().await;
    let blocked = explained(&gateway, "/a/x").await;
    assert_eq!(blocked["verdict"], "route-not-found");
    let reason = reason_of(&blocked, "a");
    assert!(reason.contains("service \"a\" is kept but not routed") && reason.contains("grant"), "{reason}");
    assert_eq!(explained(&gateway, "/b/x").await["candidates"], json!([]));
    let text = gateway.cli(&["services"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("UP, blocked") && text.contains("not routed: "), "{text}");
}

/// A route of each kind, and keys for them.
async fn with_keys() -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    for (name, permission, fields) in [
        ("visitor", "comments:read", json!({})),
        ("inside", "comments:*", json!({ "allow_from": ["10.0.0.0/8"] })),
        ("other", "orders:read", json!({})),
    ] {
        let body = with(json!({ "name": name, "permissions": [permission] }), fields);
        let made = Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&body)).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    (gateway, origin)
}

#[tokio::test]
async fn a_key_is_judged_by_its_name_as_a_request_with_it_is() {
    let (gateway, _origin) = with_keys().await;
    for (query, verdict, reason) in [
        ("", "routed", "the request goes to this route, with an API key that has \"comments:read\""),
        ("&key=visitor", "routed", "the request goes to this route"),
        ("&key=inside&client=10.1.2.3", "routed", "the request goes to this route"),
        (
            "&key=inside&client=192.0.2.1",
            "address-not-allowed",
            "key \"inside\" may not be used from 192.0.2.1, only from 10.0.0.0/8: 403",
        ),
        ("&key=other", "permission-missing", "key \"other\" lacks \"comments:read\"; it has orders:read: 403"),
        ("&key=nobody", "key-unknown", "no key \"nobody\" is known: 401"),
    ] {
        let explained = explained(&gateway, &format!("/api/comments/a{query}")).await;
        assert_eq!((&explained["verdict"], &explained["reason"]), (&json!(verdict), &json!(reason)), "{query}");
        assert_eq!(explained["route"]["permission"], "comments:read", "{query}");
    }
    let anywhere = explained(&gateway, "/api/comments/a&key=inside").await;
    assert_eq!(anywhere["warnings"], json!(["key \"inside\" may be used from 10.0.0.0/8 only"]));
    Answer::of(gateway.operate(Method::DELETE, "/internal/keys/visitor")).await.ok();
    assert_eq!(explained(&gateway, "/api/comments/a&key=visitor").await["verdict"], "key-unknown");
    let refused = gateway.operate(Method::GET, "/internal/explain?method=GET&url=/a&key=a%20b");
    Answer::of(refused).await.problem(422, "invalid-parameters");
}

#[tokio::test]
async fn a_key_makes_no_difference_on_a_public_route_and_none_to_a_path_without_a_route() {
    let (gateway, origin) = with_keys().await;
    gateway.registered(&public_service("a", &origin.url(), "/a/*")).await;
    assert_eq!(explained(&gateway, "/a/x&key=nobody").await["verdict"], "routed");
    assert_eq!(explained(&gateway, "/b/x&key=nobody").await["verdict"], "route-not-found");
}

#[tokio::test]
async fn near_patterns_are_named_where_no_route_matches() {
    let (gateway, origin) = with_keys().await;
    gateway.registered(&with(public_service("shop", &origin.url(), "/cart"), json!({ "host": "shop.example" }))).await;
    let nearest = async |path: &str| {
        let near = explained(&gateway, path).await["near"].clone();
        let of = |field: &str| near[0][field].as_str().unwrap_or_default().to_owned();
        (of("path"), of("difference"))
    };
    for (path, pattern, difference) in [
        ("/api/comment/a", "/api/comments/*", "\"comment\" is not \"comments\""),
        ("/API/comments/a", "/api/comments/*", "\"API\" is not \"api\""),
        ("/comments/a", "/api/comments/*", "\"api\" is missing"),
        ("/cart", "/cart", "only for the host shop.example"),
        ("/cart/", "/cart", "the pattern does not end in /; only for the host shop.example"),
        ("/nothing/like/it", "", ""),
    ] {
        assert_eq!(nearest(path).await, (pattern.to_owned(), difference.to_owned()), "{path}");
    }
    for path in ["/api/comments/a", "/internal/x", "/a/../b"] {
        assert_eq!(explained(&gateway, path).await["near"], Value::Null, "{path}");
    }
    let text = gateway.cli(&["explain", "GET", "/api/comment/a"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.contains("NEAR") && text.contains("\"comment\" is not \"comments\""), "{text}");
}

#[tokio::test]
async fn the_command_shows_permissions_and_takes_the_name_of_a_key() {
    let (gateway, _origin) = with_keys().await;
    let text = gateway.cli(&["explain", "GET", "/api/comments/a", "--key", "other"]).await;
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    assert!(text.starts_with("permission-missing: key \"other\" lacks \"comments:read\""), "{text}");
    assert!(text.contains("PERMISSION") && text.contains("GET     /api/comments/*  comments:read"), "{text}");
}
