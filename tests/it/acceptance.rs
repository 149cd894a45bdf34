//! What a gateway of this kind must do, line by line: registration, keys, permissions, health, with a service of three routes.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{
    ADMIN, Answer, Gateway, Health, Origin, READER, SOON, WRITER, eventually, public_service, sagjan, throughout, with,
};

/// With these, three failures take 0.6 s and ten less than 2 s.
const FAST: &str = "
    [gateway]
    health_check_interval = '200ms'
    health_check_interval_down = '150ms'
    health_check_timeout = '200ms'
";

async fn up() -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start(FAST).await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    (gateway, origin)
}

async fn probing_stops(gateway: &Gateway) {
    eventually("probing stops", SOON, async || (gateway.instance("sagjan").await["probing"] == false).then_some(()))
        .await;
}

#[tokio::test]
async fn a_service_registers_itself_and_is_told_what_was_taken() {
    let (gateway, origin) = (Gateway::start(FAST).await, Origin::start().await);
    let answer = gateway.registered(&sagjan(&origin.url())).await;
    assert_eq!(answer["status"], "registered");
    assert_eq!(answer["service"], "sagjan");
    assert_eq!(answer["instance"], "sagjan");
    assert_eq!(answer["routes"], 4);
    assert!(["UNKNOWN", "UP"].contains(&answer["health"].as_str().unwrap()), "{answer}");
    assert!(answer["generation"].as_u64().is_some_and(|generation| generation > 0), "{answer}");
    assert!(answer["epoch"].as_str().is_some_and(|epoch| epoch.len() == 36), "{answer}");
    assert!(answer.get("heartbeat_ttl").is_some(), "{answer}");
}

#[tokio::test]
async fn its_routes_are_live_when_the_answer_is_there() {
    let (gateway, origin) = (Gateway::start(FAST).await, Origin::start().await);
    gateway.registered(&sagjan(&origin.url())).await;
    let answer = gateway.get("/api/comments/test-post").await;
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn requests_are_forwarded_whole_and_answers_come_back_whole() {
    let (gateway, _origin) = up().await;
    let request = gateway.request(Method::POST, "/api/comments/test-post?draft=1&x=%C3%A4", WRITER);
    let answer = Answer::of(request.header("content-type", "text/plain").body("a comment")).await;
    let arrived = answer.ok();
    assert_eq!(arrived["method"], "POST");
    assert_eq!(arrived["path"], "/api/comments/test-post");
    assert_eq!(arrived["query"], "draft=1&x=%C3%A4");
    assert_eq!(arrived["body"], "a comment");
    assert_eq!(arrived["headers"]["content-type"], json!(["text/plain"]));
    assert_eq!(arrived["headers"]["x-api-key-name"], json!(["writer"]));
    assert_eq!(answer.header("x-origin"), "origin");
    assert_eq!(answer.header("x-gateway"), "furt");
}

#[tokio::test]
async fn the_services_own_errors_reach_the_client_as_they_are() {
    let (gateway, origin) = up().await;
    for status in [201, 404, 418, 500, 503] {
        origin.set_mode(crate::support::Mode::Status(status));
        assert_eq!(gateway.get("/api/comments/a").await.status, status);
    }
}

#[tokio::test]
async fn each_route_asks_for_its_own_permission() {
    let (gateway, origin) = up().await;
    let cases = [
        (Method::GET, READER, 200),
        (Method::POST, READER, 403),
        (Method::POST, WRITER, 200),
        (Method::PUT, WRITER, 403),
        (Method::DELETE, WRITER, 403),
        (Method::PUT, ADMIN, 200),
        (Method::DELETE, ADMIN, 200),
    ];
    for (method, key, status) in cases {
        let answer = Answer::of(gateway.request(method.clone(), "/api/comments/a", key)).await;
        assert_eq!(answer.status, status, "{method} with {key}: {answer:?}");
        if status == 403 {
            answer.problem(403, "permission-missing");
        }
    }
    assert_eq!(origin.requests("/api/comments/a"), 4, "refused requests never reach the service");
}

#[tokio::test]
async fn a_wildcard_in_the_middle_spans_one_segment_and_at_the_end_one_or_more() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let routes = json!([
        {"method": "GET", "path": "/api/comments/*", "permission": "comments:read"},
        {"method": "GET", "path": "/api/comments/*/reply", "permission": "comments:moderate"},
    ]);
    gateway.registered_and_up(&with(sagjan(&origin.url()), json!({"routes": routes}))).await;
    let cases = [
        ("/api/comments/test-post", 200),
        ("/api/comments/a/b", 200),
        ("/api/comments/a/b/reply", 200),
        ("/api/comments", 404),
        ("/api/comments/", 404),
        ("/api/commentsx", 404),
        // The more specific route wins, with its own permission.
        ("/api/comments/abc123/reply", 403),
    ];
    for (path, status) in cases {
        assert_eq!(gateway.get(path).await.status, status, "{path}");
    }
}

#[tokio::test]
async fn health_checks_keep_their_interval() {
    let (_gateway, origin) = up().await;
    let (first, begin) = (origin.probes(), Instant::now());
    eventually("five more probes", SOON, async || (origin.probes() >= first + 5).then_some(())).await;
    let took = begin.elapsed();
    // Five intervals of 200 ms, each up to 10 % shorter, the first already under way when the clock was read.
    assert!(took >= Duration::from_millis(4 * 180), "five probes in {took:?}");
}

#[tokio::test]
async fn a_crashed_service_is_down_after_three_failures_and_its_routes_are_gone() {
    let (gateway, mut origin) = up().await;
    origin.stop().await;
    gateway.status_becomes("sagjan", "DOWN").await;
    assert!(gateway.instance("sagjan").await["consecutive_failures"].as_u64().unwrap() >= 3);

    let answer = gateway.get("/api/comments/test-post").await;
    answer.problem(503, "service-down");
    assert!(answer.retry_after() > 0);
    // What the caller may not know, it is not told: the key and the permission come first.
    let path = "/api/comments/test-post";
    Answer::of(gateway.anonymous(Method::GET, path)).await.problem(401, "key-missing");
    Answer::of(gateway.request(Method::DELETE, path, READER)).await.problem(403, "permission-missing");

    let routes = gateway.seen("/internal/routes").await;
    let of_sagjan: Vec<&Value> =
        routes["routes"].as_array().unwrap().iter().filter(|route| route["service"] == "sagjan").collect();
    assert_eq!(of_sagjan.len(), 4);
    assert!(of_sagjan.iter().all(|route| route["routed"] == false && route["status"] == "DOWN"), "{routes}");
}

#[tokio::test]
async fn a_down_service_gives_its_path_back_to_the_static_route() {
    let (old, mut origin) = (Origin::named("old").await, Origin::named("sagjan").await);
    let static_route = format!("[[routes]]\nmethod = 'GET'\npath = '/api/*'\nurl = '{}'\n{FAST}", old.url());
    let gateway = Gateway::start(&static_route).await;
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    assert_eq!(gateway.get("/api/comments/a").await.ok()["origin"], "sagjan");
    origin.stop().await;
    gateway.status_becomes("sagjan", "DOWN").await;
    assert_eq!(gateway.get("/api/comments/a").await.ok()["origin"], "old");
    origin.restart().await;
    gateway.status_becomes("sagjan", "UP").await;
    assert_eq!(gateway.get("/api/comments/a").await.ok()["origin"], "sagjan");
}

#[tokio::test]
async fn a_service_that_answers_again_is_up_and_routed_again() {
    let (gateway, mut origin) = up().await;
    origin.stop().await;
    gateway.status_becomes("sagjan", "DOWN").await;
    origin.restart().await;
    gateway.status_becomes("sagjan", "UP").await;
    assert_eq!(gateway.get("/api/comments/test-post").await.status, 200);
    assert_eq!(gateway.instance("sagjan").await["consecutive_failures"], 0);
}

#[tokio::test]
async fn two_failures_in_a_row_are_not_three() {
    let (gateway, origin) = up().await;
    origin.set_health(Health::FailsNext(2));
    let after = origin.probes() + 4;
    eventually("the failures pass", SOON, async || {
        assert_eq!(gateway.instance("sagjan").await["status"], "UP");
        (origin.probes() >= after).then_some(())
    })
    .await;
    eventually("the count is back at 0", SOON, async || {
        (gateway.instance("sagjan").await["consecutive_failures"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn every_answer_but_2xx_is_a_failed_probe() {
    for status in [302, 404, 500, 503] {
        let (gateway, origin) = up().await;
        origin.set_health(Health::Status(status));
        gateway.status_becomes("sagjan", "DOWN").await;
    }
}

#[tokio::test]
async fn a_probe_that_hangs_is_a_failed_probe() {
    let (gateway, origin) = up().await;
    origin.set_health(Health::Hangs);
    gateway.status_becomes("sagjan", "DOWN").await;
}

#[tokio::test]
async fn a_probe_answered_with_an_endless_body_is_done_at_its_header() {
    let (gateway, origin) = (Gateway::start(FAST).await, Origin::start().await);
    origin.set_health(Health::Endless);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let probes = origin.probes();
    eventually("more probes", SOON, async || (origin.probes() > probes + 2).then_some(())).await;
    assert_eq!(gateway.instance("sagjan").await["status"], "UP");
}

#[tokio::test]
async fn pinging_stops_after_ten_failures_and_a_registration_starts_it_again() {
    let (gateway, origin) = up().await;
    let before = origin.probes();
    origin.set_health(Health::Status(500));
    probing_stops(&gateway).await;
    let instance = gateway.instance("sagjan").await;
    assert_eq!(instance["status"], "DOWN");
    assert_eq!(instance["consecutive_failures"], 10);
    let stopped = origin.probes();
    // One probe may have been answered 200 between the count and the switch.
    assert!((10..=11).contains(&(stopped - before)), "{} probes", stopped - before);
    throughout("no probe", Duration::from_secs(1), async || origin.probes() == stopped).await;

    origin.set_health(Health::Healthy);
    throughout("no probe, healthy or not", Duration::from_millis(500), async || origin.probes() == stopped).await;
    gateway.registered(&sagjan(&origin.url())).await;
    gateway.status_becomes("sagjan", "UP").await;
    assert!(origin.probes() > stopped);
    assert_eq!(gateway.get("/api/comments/test-post").await.status, 200);
}

#[tokio::test]
async fn a_heartbeat_starts_stopped_pinging_again() {
    let (gateway, origin) = up().await;
    origin.set_health(Health::Status(500));
    probing_stops(&gateway).await;
    origin.set_health(Health::Healthy);
    gateway.heartbeat("sagjan", "sagjan").await.ok();
    gateway.status_becomes("sagjan", "UP").await;
}

#[tokio::test]
async fn an_operator_starts_stopped_pinging_again() {
    let (gateway, origin) = up().await;
    origin.set_health(Health::Status(500));
    probing_stops(&gateway).await;
    origin.set_health(Health::Healthy);
    let path = "/internal/services/sagjan/instances/sagjan/probe";
    Answer::of(gateway.operate(Method::POST, path)).await.ok();
    gateway.status_becomes("sagjan", "UP").await;
}

#[tokio::test]
async fn a_restart_of_furt_makes_services_register_again() {
    let (mut gateway, origin) = up().await;
    let before = gateway.registered(&sagjan(&origin.url())).await;
    gateway.restart().await;
    gateway.get("/api/comments/test-post").await.problem(404, "route-not-found");
    gateway.heartbeat("sagjan", "sagjan").await.problem(404, "not-found");
    let after = gateway.registered(&sagjan(&origin.url())).await;
    assert_ne!(before["epoch"], after["epoch"], "a service sees that the registry is another one");
    assert_eq!(gateway.get("/api/comments/test-post").await.status, 200);
}

#[tokio::test]
async fn a_crash_of_furt_makes_services_register_again() {
    let (mut gateway, origin) = up().await;
    gateway.kill();
    gateway.start_again().await;
    gateway.heartbeat("sagjan", "sagjan").await.problem(404, "not-found");
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    assert_eq!(gateway.get("/api/comments/test-post").await.status, 200);
}

#[tokio::test]
async fn many_services_register_at_once_and_each_is_routed() {
    const SERVICES: usize = 60;
    let gateway = Gateway::start(FAST).await;
    let mut origins = Vec::new();
    for number in 0..SERVICES {
        origins.push(Origin::named(&format!("service-{number}")).await);
    }
    let registrations = origins.iter().enumerate().map(|(number, origin)| {
        let routes = json!([{"method": "GET", "path": format!("/api/s{number}/*"), "permission": "comments:read"}]);
        let body = json!({"service": format!("service-{number}"), "url": origin.url(), "routes": routes});
        let gateway = &gateway;
        async move { gateway.registered(&body).await }
    });
    let answers = futures_util::future::join_all(registrations).await;
    let mut generations: Vec<u64> = answers.iter().map(|answer| answer["generation"].as_u64().unwrap()).collect();
    generations.sort_unstable();
    generations.dedup();
    assert_eq!(generations.len(), SERVICES, "each registration is a change of its own");
    for number in 0..SERVICES {
        let arrived = gateway.get(&format!("/api/s{number}/x")).await.ok();
        assert_eq!(arrived["origin"], format!("service-{number}"));
    }
    eventually("all are UP", SOON, async || {
        let listed = gateway.seen("/internal/services").await;
        let services = listed["services"].as_array().unwrap();
        (services.len() == SERVICES && services.iter().all(|service| service["status"] == "UP")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_service_down_leaves_the_others_alone() {
    let (gateway, mut origin) = up().await;
    let other = Origin::named("other").await;
    gateway.registered(&public_service("other", &other.url(), "/other/*")).await;
    origin.stop().await;
    gateway.status_becomes("sagjan", "DOWN").await;
    assert_eq!(gateway.get("/other/a").await.ok()["origin"], "other");
}

#[tokio::test]
async fn health_shows_every_service_with_its_status() {
    let (gateway, _origin) = up().await;
    let mut obr = Origin::start().await;
    let routes = json!([{"method": "GET", "path": "/api/obr", "permission": "obr:read"}]);
    gateway.registered_and_up(&json!({"service": "obr", "url": obr.url(), "routes": routes})).await;
    obr.stop().await;
    gateway.status_becomes("obr", "DOWN").await;
    let health = Answer::of(gateway.anonymous(Method::GET, "/health")).await.ok();
    assert_eq!(health["status"], "healthy");
    assert_eq!(health["services"]["sagjan"]["status"], "UP");
    assert_eq!(health["services"]["obr"]["status"], "DOWN");
    assert!(health["services"]["obr"]["consecutive_failures"].as_u64().unwrap() >= 3);
}

#[tokio::test]
async fn registrations_departures_changes_of_status_and_failed_probes_are_logged_and_counted() {
    let (gateway, mut origin) = up().await;
    let brief = with(public_service("brief", &origin.url(), "/brief/*"), json!({"heartbeat_ttl": 1}));
    gateway.registered(&brief).await;
    eventually("brief expires", SOON, async || gateway.log().contains("expired brief/brief").then_some(())).await;
    origin.stop().await;
    gateway.status_becomes("sagjan", "DOWN").await;
    let path = "/internal/services/sagjan";
    assert!(Answer::of(gateway.operate(Method::DELETE, path)).await.status.is_success());
    let log = gateway.log();
    for line in [
        "registered sagjan/sagjan at http://127.0.0.1:",
        "instance sagjan/sagjan is UP, was UNKNOWN",
        "service sagjan is UP, was UNKNOWN",
        "probe of sagjan/sagjan failed, 1 in a row: ",
        "probe of sagjan/sagjan failed, 3 in a row: ",
        "instance sagjan/sagjan is DOWN, was UP",
        "service sagjan is DOWN, was UP: its routes left the table",
        "deregistered sagjan/sagjan, from 127.0.0.1",
        "registered brief/brief at http://127.0.0.1:",
        "expired brief/brief: not heard within its TTL",
    ] {
        assert!(log.lines().any(|logged| logged.contains(line)), "no line with {line:?}");
    }
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await;
    assert_eq!(metrics.status, 200);
    for (name, least) in [
        ("furt_registrations_total", 2),
        ("furt_deregistrations_total", 1),
        ("furt_expirations_total", 1),
        ("furt_instance_status_changes_total", 2),
        ("furt_service_status_changes_total", 2),
        ("furt_probe_failures_total", 3),
    ] {
        let value =
            metrics.body.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse::<u64>().ok());
        assert!(value.is_some_and(|value| value >= least), "{name} is {value:?}, not at least {least}");
    }
}
