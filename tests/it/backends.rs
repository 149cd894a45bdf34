//! edgeProxy's Auto-Discovery API: a session of it, and what its clients rely on.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{ADMIN, Answer, Gateway, Origin, SOON, eventually, public_service, throughout, with};

fn backend(id: &str, app: &str, origin: &Origin) -> Value {
    let address = origin.address();
    json!({"id": id, "app": app, "region": "eu", "ip": address.ip().to_string(), "port": address.port()})
}

async fn register(gateway: &Gateway, body: &Value) -> Answer {
    Answer::of(gateway.operate(Method::POST, "/api/v1/register").json(body)).await
}

async fn ask(gateway: &Gateway, method: Method, path: &str) -> Answer {
    Answer::of(gateway.operate(method, path)).await
}

/// A body as edgeProxy's documentation has it.
fn seed() -> Value {
    json!({"id": "backend-eu-1", "app": "myapp", "region": "eu", "country": "DE", "ip": "10.50.1.1", "port": 8080,
        "weight": 2, "soft_limit": 100, "hard_limit": 150})
}

#[tokio::test]
async fn the_seeds_session_works_as_written() {
    let gateway = Gateway::start("").await;
    let registered = register(&gateway, &seed()).await;
    assert_eq!(registered.status, 201, "{registered:?}");
    let body = registered.json();
    assert_eq!((&body["id"], &body["registered"]), (&json!("backend-eu-1"), &json!(true)));
    assert!(body["message"].is_string());

    let heard = ask(&gateway, Method::POST, "/api/v1/heartbeat/backend-eu-1").await.ok();
    assert_eq!((&heard["id"], &heard["status"]), (&json!("backend-eu-1"), &json!("ok")));

    let list = ask(&gateway, Method::GET, "/api/v1/backends").await.ok();
    assert_eq!(list["total"], 1);
    let shown = &list["backends"][0];
    let expected = with(seed(), json!({"healthy": true, "status": "UP", "in_flight": 0, "heartbeat_ttl": 60.0}));
    for (name, value) in expected.as_object().unwrap() {
        assert_eq!(&shown[name], value, "{name} of {shown}");
    }
    assert!(shown["last_heartbeat_secs"].as_u64().unwrap() < 10 && shown["registered_secs"].as_u64().unwrap() < 10);
    assert_eq!(ask(&gateway, Method::GET, "/api/v1/backends/backend-eu-1").await.ok()["app"], "myapp");

    let health = ask(&gateway, Method::GET, "/health").await.ok();
    assert_eq!((&health["status"], &health["backends"]), (&json!("ok"), &json!(1)));
    assert!(health["version"].is_string() && health["uptime_secs"].is_u64());

    let gone = ask(&gateway, Method::DELETE, "/api/v1/backends/backend-eu-1").await.ok();
    assert_eq!((&gone["id"], &gone["deregistered"]), (&json!("backend-eu-1"), &json!(true)));
    assert_eq!(ask(&gateway, Method::GET, "/api/v1/backends").await.ok(), json!({"backends": [], "total": 0}));
    assert_eq!(ask(&gateway, Method::GET, "/health").await.ok()["backends"], 0);
}

#[tokio::test]
async fn a_backend_that_registers_again_just_so_is_never_refused_by_the_rate() {
    let gateway = Gateway::start("[registration]\nrate = '1/m'\nburst = 2").await;
    for _ in 0..5 {
        assert_eq!(register(&gateway, &seed()).await.status, 201);
    }
    assert_eq!(register(&gateway, &with(seed(), json!({ "weight": 3 }))).await.status, 201);
    let problem = register(&gateway, &with(seed(), json!({ "weight": 4 }))).await;
    problem.problem(429, "rate-limited");
    assert_eq!(register(&gateway, &with(seed(), json!({ "weight": 3 }))).await.status, 201);
}

#[tokio::test]
async fn who_is_not_there_is_told_in_edge_proxys_words() {
    let gateway = Gateway::start("").await;
    for (method, path, error) in [
        (Method::POST, "/api/v1/heartbeat/x", "backend not registered"),
        (Method::GET, "/api/v1/backends/x", "backend not found"),
        (Method::DELETE, "/api/v1/backends/x", "backend not found"),
        (Method::DELETE, "/api/v1/backends/%2e%2e%2f", "backend not found"),
    ] {
        let answer = ask(&gateway, method, path).await;
        let problem = answer.problem(404, "not-found");
        assert_eq!(problem["error"], error);
        assert!(problem["id"].is_string());
    }
}

#[tokio::test]
async fn defaults_are_edge_proxys_and_the_country_follows_from_the_region() {
    let gateway = Gateway::start("").await;
    let regions = [("sa", "BR"), ("us", "US"), ("eu", "DE"), ("ap", "JP"), ("moon-1", "")];
    for (port, (region, country)) in (80..).zip(regions) {
        let body = json!({"id": region, "app": "a", "region": region, "ip": "10.0.0.1", "port": port});
        assert_eq!(register(&gateway, &body).await.status, 201);
        let shown = ask(&gateway, Method::GET, &format!("/api/v1/backends/{region}")).await.ok();
        assert_eq!(shown["country"].as_str().unwrap_or_default(), country);
        assert_eq!(
            (&shown["weight"], &shown["soft_limit"], &shown["hard_limit"]),
            (&json!(2), &json!(100), &json!(150))
        );
    }
    let six = json!({"id": "six", "app": "b", "region": "eu", "ip": "::1", "port": 81});
    assert_eq!(register(&gateway, &six).await.status, 201);
    let of = async |query: &str| {
        ask(&gateway, Method::GET, &format!("/api/v1/backends?{query}")).await.ok()["total"].clone()
    };
    assert_eq!((of("app=a").await, of("app=b").await, of("app=c").await), (json!(5), json!(1), json!(0)));
    assert_eq!((of("region=eu").await, of("app=a&region=eu").await), (json!(2), json!(1)));
    let problem = ask(&gateway, Method::GET, "/api/v1/backends?ap=a").await.problem(422, "invalid-parameters");
    assert_eq!(problem["errors"][0]["parameter"], "ap");
}

#[tokio::test]
async fn every_bad_field_is_named_and_nothing_is_registered() {
    let gateway = Gateway::start("").await;
    let bad = json!({"id": "a b", "app": "-", "region": "EU", "country": "DEU", "ip": "localhost", "port": 0, "weight": 256,
        "soft_limit": 5, "hard_limit": 4, "color": "red"});
    let problem = register(&gateway, &bad).await.problem(422, "invalid-fields");
    let mut pointers: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    pointers.sort_unstable();
    assert_eq!(pointers, ["/app", "/color", "/country", "/id", "/ip", "/port", "/region", "/soft_limit", "/weight"]);
    let problem = register(&gateway, &json!({})).await.problem(422, "invalid-fields");
    assert_eq!(problem["errors"].as_array().unwrap().len(), 5, "{problem}");
    let beyond = with(seed(), json!({"ip": "8.8.8.8"}));
    assert!(matches!(register(&gateway, &beyond).await.status.as_u16(), 403 | 422));
    let own = with(seed(), json!({"ip": gateway.public.ip().to_string(), "port": gateway.public.port()}));
    register(&gateway, &own).await.problem(422, "invalid-fields");
    assert_eq!(ask(&gateway, Method::GET, "/api/v1/backends").await.ok()["total"], 0);
}

#[tokio::test]
async fn a_backend_is_routed_by_its_apps_host_and_joins_a_service_with_routes() {
    let (gateway, one, two) = (Gateway::start("").await, Origin::named("one").await, Origin::named("two").await);
    assert_eq!(register(&gateway, &backend("one", "myapp", &one)).await.status, 201);
    let request = || gateway.request(Method::GET, "/any/path", ADMIN).header("host", "myapp.internal");
    assert_eq!(Answer::of(request()).await.ok()["origin"], "one");

    gateway.registered(&public_service("shop", &one.url(), "/shop")).await;
    assert_eq!(register(&gateway, &backend("two", "shop", &two)).await.status, 201);
    let service = gateway.service("shop").await.unwrap();
    assert_eq!((service["routes"].as_array().unwrap().len(), service["instances"].as_array().unwrap().len()), (1, 2));
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..10 {
        seen.insert(gateway.get("/shop").await.ok()["origin"].to_string());
    }
    assert_eq!(seen.len(), 2, "{seen:?}");
}

#[tokio::test]
async fn the_last_backend_of_a_service_with_routes_leaves_them_held() {
    let (gateway, one, two) = (Gateway::start("").await, Origin::named("one").await, Origin::named("two").await);
    gateway.registered(&with(public_service("shop", &one.url(), "/shop"), json!({"instance": "one"}))).await;
    assert_eq!(register(&gateway, &backend("two", "shop", &two)).await.status, 201);
    for id in ["one", "two"] {
        ask(&gateway, Method::DELETE, &format!("/api/v1/backends/{id}")).await.ok();
    }
    gateway.get("/shop").await.problem(503, "service-down");
    assert_eq!(gateway.service("shop").await.unwrap()["routes"].as_array().unwrap().len(), 1);
    assert_eq!(register(&gateway, &backend("two", "shop", &two)).await.status, 201);
    assert_eq!(gateway.get("/shop").await.ok()["origin"], "two");
}

#[tokio::test]
async fn a_backend_that_is_not_heard_is_gone_a_second_after_its_ttl() {
    let gateway = Gateway::start("[registration]\nheartbeat_ttl = '1s'").await;
    for (id, port) in [("silent", 8080), ("heard", 8081)] {
        assert_eq!(register(&gateway, &with(seed(), json!({"id": id, "port": port}))).await.status, 201);
    }
    let beat = async || ask(&gateway, Method::POST, "/api/v1/heartbeat/heard").await.status == 200;
    let began = std::time::Instant::now();
    eventually("the silent one is gone", SOON, async || {
        assert!(beat().await);
        (ask(&gateway, Method::GET, "/api/v1/backends/silent").await.status == 404).then_some(())
    })
    .await;
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    throughout("who is heard stays", Duration::from_millis(2_500), beat).await;
}

// What this API knows nothing of: drains that hold, and incarnations.

#[tokio::test]
async fn a_backend_whose_id_is_held_gets_no_request_however_often_it_leaves_and_registers() {
    let (gateway, one, two) = (Gateway::start("").await, Origin::named("one").await, Origin::named("two").await);
    for (id, origin) in [("one", &one), ("two", &two)] {
        assert_eq!(register(&gateway, &backend(id, "myapp", origin)).await.status, 201);
    }
    assert!(gateway.cli(&["drain", "myapp", "--instance", "one", "--keep"]).await.status.success());
    let asked = || Answer::of(gateway.request(Method::GET, "/any/path", ADMIN).header("host", "myapp.internal"));
    for _ in 0..3 {
        ask(&gateway, Method::DELETE, "/api/v1/backends/one").await.ok();
        assert_eq!(register(&gateway, &backend("one", "myapp", &one)).await.status, 201);
        ask(&gateway, Method::POST, "/api/v1/heartbeat/one").await.ok();
        for _ in 0..6 {
            assert_eq!(asked().await.ok()["origin"], "two");
        }
    }
    assert!(gateway.cli(&["drain", "myapp", "--instance", "one", "--undo"]).await.status.success());
    eventually("one is asked", SOON, async || (asked().await.ok()["origin"] == "one").then_some(())).await;
}

#[tokio::test]
async fn a_backend_replaces_an_instance_with_an_incarnation_whose_goodbye_is_not_about_it() {
    let (gateway, one) = (Gateway::start("").await, Origin::named("one").await);
    let native = with(public_service("shop", &one.url(), "/shop"), json!({"instance": "one", "incarnation": "p"}));
    gateway.registered(&native).await;
    assert_eq!(register(&gateway, &backend("one", "shop", &one)).await.status, 201);
    let shown = gateway.instance("shop").await;
    assert_eq!((&shown["incarnation"], &shown["replaced"]), (&Value::Null, &json!("p")), "{shown}");
    let late = "/internal/services/shop/instances/one?incarnation=p";
    ask(&gateway, Method::DELETE, late).await.problem(412, "another-incarnation");
    ask(&gateway, Method::POST, "/api/v1/heartbeat/one").await.ok();
    assert_eq!(gateway.get("/shop").await.ok()["origin"], "one");
}

#[tokio::test]
async fn switched_off_there_is_no_such_api() {
    let gateway = Gateway::start("[internal]\nbackends_api = false").await;
    register(&gateway, &seed()).await.problem(404, "not-found");
    assert_eq!(ask(&gateway, Method::GET, "/api/v1/backends").await.status, 404);
}
