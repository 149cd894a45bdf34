//! What `/metrics` and `/internal/stats` tell by service and route: counts of real requests, and the bound that no client
//! passes.

use std::collections::BTreeMap;

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{
    ADMIN, Answer, Gateway, Mode, Origin, READER, SOON, WRITER, eventually, ports, public_service, sagjan, throughout,
    wire, with,
};

/// Every line of `/metrics`, by its name and labels.
async fn metrics(gateway: &Gateway) -> BTreeMap<String, f64> {
    let answer = Answer::of(gateway.operate(Method::GET, "/metrics")).await;
    assert_eq!(answer.status, 200);
    let mut lines = BTreeMap::new();
    for line in answer.body.lines().filter(|line| !line.starts_with('#')) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(lines.insert(series.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
    }
    lines
}

/// Waits for a value: a request is counted just after its answer is sent.
async fn becomes(gateway: &Gateway, series: &str, value: f64) {
    let what = format!("{series} becomes {value}");
    eventually(&what, SOON, async || (metrics(gateway).await.get(series) == Some(&value)).then_some(())).await;
}

fn requests(service: &str, route: &str, status: &str) -> String {
    format!("furt_route_requests_total{{service=\"{service}\",route=\"{route}\",status=\"{status}\"}}")
}

async fn up() -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    (gateway, origin)
}

#[tokio::test]
async fn requests_are_counted_by_service_and_pattern_and_never_by_path() {
    let (gateway, origin) = up().await;
    for path in ["/api/comments/secret-path", "/api/comments/a/b?q=1"] {
        gateway.get(path).await.ok();
    }
    Answer::of(gateway.request(Method::POST, "/api/comments/c", WRITER)).await.ok();
    origin.set_mode(Mode::Status(500));
    assert_eq!(gateway.get("/api/comments/d").await.status, 500);
    becomes(&gateway, &requests("sagjan", "/api/comments/*", "2xx"), 3.0).await;
    becomes(&gateway, &requests("sagjan", "/api/comments/*", "5xx"), 1.0).await;
    let now = metrics(&gateway).await;
    let of = |rest: &str| now[&format!("furt_route_request_duration_seconds{rest}")];
    assert_eq!(of("_count{service=\"sagjan\",route=\"/api/comments/*\"}"), 4.0);
    assert_eq!(of("_bucket{service=\"sagjan\",route=\"/api/comments/*\",le=\"+Inf\"}"), 4.0);
    assert!(of("_sum{service=\"sagjan\",route=\"/api/comments/*\"}") > 0.0);
    assert!(now.keys().all(|line| !line.contains("secret-path")), "{now:?}");
    assert!(now["furt_probe_duration_seconds_count{service=\"sagjan\",outcome=\"success\"}"] >= 1.0);
}

#[tokio::test]
async fn a_request_that_furt_refused_counts_for_its_route_and_one_without_a_route_for_none() {
    let (gateway, mut origin) = up().await;
    Answer::of(gateway.anonymous(Method::GET, "/api/comments/a")).await.problem(401, "key-missing");
    Answer::of(gateway.request(Method::DELETE, "/api/comments/a", READER)).await.problem(403, "permission-missing");
    gateway.get("/nowhere").await.problem(404, "route-not-found");
    Answer::of(gateway.request(Method::PATCH, "/api/comments/a", READER)).await.problem(405, "method-not-allowed");
    becomes(&gateway, &requests("sagjan", "/api/comments/*", "4xx"), 2.0).await;
    let service = gateway.service("sagjan").await.unwrap();
    assert_eq!(service["requests"]["refused"], 2);
    assert_eq!(service["requests"]["errors"], 0);
    assert_eq!(service["requests"]["by_status"]["4xx"], 2);
    let unrouted = async || (gateway.seen("/internal/stats").await["unrouted"]["refused"] == 2).then_some(());
    eventually("two had no route", SOON, unrouted).await;
    origin.stop().await;
    gateway.status_becomes("sagjan", "DOWN").await;
    gateway.get("/api/comments/a").await.problem(503, "service-down");
    becomes(&gateway, &requests("sagjan", "/api/comments/*", "5xx"), 1.0).await;
    assert_eq!(gateway.service("sagjan").await.unwrap()["requests"]["errors"], 1);
}

#[tokio::test]
async fn down_and_up_move_what_is_told_of_a_service() {
    let (gateway, mut origin) = up().await;
    let up = "furt_service_up{service=\"sagjan\"}";
    let of = |status: &str| format!("furt_service_instances{{service=\"sagjan\",status=\"{status}\"}}");
    becomes(&gateway, up, 1.0).await;
    // It was UNKNOWN until its first probe.
    let transitions = "furt_service_transitions_total{service=\"sagjan\"}";
    becomes(&gateway, transitions, 1.0).await;
    origin.stop().await;
    becomes(&gateway, up, 0.0).await;
    becomes(&gateway, transitions, 2.0).await;
    becomes(&gateway, &of("DOWN"), 1.0).await;
    let ratio = async || metrics(&gateway).await["furt_service_uptime_ratio{service=\"sagjan\"}"];
    let before = ratio().await;
    assert!(before > 0.0 && before < 1.0, "{before}");
    eventually("the share of its time UP falls", SOON, async || (ratio().await < before).then_some(())).await;
    origin.restart().await;
    becomes(&gateway, up, 1.0).await;
    becomes(&gateway, transitions, 3.0).await;
    becomes(&gateway, &of("UP"), 1.0).await;
    let now = metrics(&gateway).await;
    assert!(now["furt_probe_duration_seconds_count{service=\"sagjan\",outcome=\"failure\"}"] >= 3.0);
    let (low, seen) = (ratio().await, gateway.service("sagjan").await.unwrap());
    assert!(seen["uptime_share"].as_f64().unwrap() >= low, "it shows what /internal/services shows");
    assert_eq!(seen["transitions"], 3);
}

#[tokio::test]
async fn a_client_with_ever_new_paths_makes_no_new_series() {
    let (gateway, _origin) = up().await;
    gateway.get("/api/comments/a").await.ok();
    gateway.get("/nowhere").await.problem(404, "route-not-found");
    becomes(&gateway, &requests("sagjan", "/api/comments/*", "2xx"), 1.0).await;
    let before: Vec<_> = metrics(&gateway).await.into_keys().collect();
    const PATHS: usize = 2_000;
    for turn in ["/api/comments", "/nowhere", "/api/comments/x\"}", "/%41"] {
        let mut connection = wire::Wire::to(gateway.public).await;
        for number in 0..PATHS / 4 {
            let path = format!("{turn}/{number}");
            connection.send(format!("GET {path} HTTP/1.1\r\nHost: a{number}\r\nX-API-Key: {READER}\r\n\r\n")).await;
            let (head, _) = connection.read_response().await;
            assert!(matches!(wire::status(&head), 200 | 404), "{head}");
        }
    }
    let answered = async || {
        let now = metrics(&gateway).await;
        (now["furt_requests_total{status=\"2xx\"}"] + now["furt_requests_total{status=\"4xx\"}"] >= PATHS as f64 + 2.0)
            .then_some(now)
    };
    let after: Vec<_> = eventually("all are counted", SOON, answered).await.into_keys().collect();
    assert_eq!(before, after);
}

#[tokio::test]
async fn a_request_that_is_tried_again_is_counted_once() {
    let (gateway, good) = (Gateway::start("[registration]\nrate = '1000/s'").await, Origin::start().await);
    let refusing = format!("http://{}", ports::free_address());
    for (instance, url) in [("a", refusing.as_str()), ("b", &good.url())] {
        gateway.registered(&with(public_service("s", url, "/s/*"), json!({"instance": instance}))).await;
    }
    const REQUESTS: usize = 10;
    for _ in 0..REQUESTS {
        assert_eq!(gateway.get("/s/x").await.status, 200);
    }
    becomes(&gateway, &requests("s", "/s/*", "2xx"), REQUESTS as f64).await;
    assert!(metrics(&gateway).await["furt_upstream_retries_total"] >= 1.0);
    assert_eq!(gateway.service("s").await.unwrap()["requests"]["total"], REQUESTS);
}

#[tokio::test]
async fn a_websocket_is_in_flight_until_it_ends_and_counted_then() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("s", &origin.url(), "/s/*")).await;
    let url = format!("ws://{}/s/live", gateway.public);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    becomes(&gateway, "furt_service_requests_in_flight{service=\"s\"}", 1.0).await;
    assert_eq!(metrics(&gateway).await.get(&requests("s", "/s/*", "1xx")), None, "nothing has ended yet");
    socket.close(None).await.unwrap();
    eventually("the socket ends", SOON, async || socket.next().await.is_none().then_some(())).await;
    drop(socket);
    becomes(&gateway, &requests("s", "/s/*", "1xx"), 1.0).await;
    let now = metrics(&gateway).await;
    assert_eq!(now["furt_service_requests_in_flight{service=\"s\"}"], 0.0);
    assert_eq!(now["furt_route_request_duration_seconds_count{service=\"s\",route=\"/s/*\"}"], 0.0, "no latency");
}

#[tokio::test]
async fn what_is_gone_loses_its_series_and_counts_on_when_it_registers_again() {
    let (gateway, origin) = up().await;
    gateway.get("/api/comments/a").await.ok();
    let line = requests("sagjan", "/api/comments/*", "2xx");
    becomes(&gateway, &line, 1.0).await;
    // A new version of the service: its other routes are new ones, and this one goes on.
    let newer = with(sagjan(&origin.url()), json!({"revision": 2, "metadata": {"version": "2"}}));
    gateway.registered_and_up(&newer).await;
    throughout("the line stays", std::time::Duration::from_millis(200), async || {
        metrics(&gateway).await.get(&line) == Some(&1.0)
    })
    .await;
    gateway.get("/api/comments/a").await.ok();
    becomes(&gateway, &line, 2.0).await;
    let transitions = "furt_service_transitions_total{service=\"sagjan\"}";
    let before = metrics(&gateway).await[transitions];
    Answer::of(gateway.operate(Method::DELETE, "/internal/services/sagjan")).await.ok();
    let now = metrics(&gateway).await;
    assert!(now.keys().all(|line| !line.contains("sagjan")), "{now:?}");
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    gateway.get("/api/comments/a").await.ok();
    becomes(&gateway, &line, 3.0).await;
    assert_eq!(metrics(&gateway).await[transitions], before + 1.0, "it went from UNKNOWN to UP again");
}

#[tokio::test]
async fn a_service_without_routes_is_counted_by_the_routes_that_its_host_has() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&json!({"service": "app", "url": origin.url(), "health_endpoint": null})).await;
    let request = || gateway.request(Method::GET, "/any/where", ADMIN).header("host", "app.internal");
    Answer::of(request()).await.ok();
    let line = requests("app", "/*", "2xx");
    becomes(&gateway, &line, 1.0).await;
    assert!(metrics(&gateway).await.contains_key(&line), "a reading does not take it for gone");
    Answer::of(request()).await.ok();
    becomes(&gateway, &line, 2.0).await;
}

#[tokio::test]
async fn routes_of_the_configuration_are_counted_as_static() {
    let origin = Origin::start().await;
    let tail = format!("[[routes]]\nmethod = 'GET'\npath = '/fixed/*'\nurl = '{}'", origin.url());
    let gateway = Gateway::start(&tail).await;
    // A service that took the word for its name does not meet it.
    gateway.registered(&public_service("static", &origin.url(), "/own/*")).await;
    gateway.get("/fixed/a").await.ok();
    gateway.get("/own/a").await.ok();
    becomes(&gateway, &requests("static", "/fixed/*", "2xx"), 1.0).await;
    becomes(&gateway, &requests("static_", "/own/*", "2xx"), 1.0).await;
    let stats = gateway.seen("/internal/stats").await;
    assert_eq!(stats["static"]["requests"], json!([0, 0, 1, 0, 0, 0]));
}

#[tokio::test]
async fn the_process_tells_what_every_process_of_prometheus_tells() {
    let gateway = Gateway::start("").await;
    let before = metrics(&gateway).await;
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs_f64();
    for (name, range) in [
        ("process_cpu_seconds_total", 0.0..60.0),
        ("process_open_fds", 10.0..1000.0),
        ("process_max_fds", 100.0..1e9),
        ("process_resident_memory_bytes", 1e6..1e9),
        ("process_virtual_memory_bytes", 1e7..1e13),
        ("process_threads", 3.0..200.0),
        ("process_start_time_seconds", now - 120.0..now + 2.0),
    ] {
        let value = before.get(name).unwrap_or_else(|| panic!("no {name}"));
        assert!(range.contains(value), "{name} {value}");
    }
    let answer = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    assert!(answer.contains("# TYPE process_cpu_seconds_total counter"), "{answer}");
    // Open connections are open files.
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(wire::Wire::to(gateway.public).await);
    }
    eventually("the files are counted", SOON, async || {
        (metrics(&gateway).await["process_open_fds"] >= before["process_open_fds"] + 15.0).then_some(())
    })
    .await;
    let spends = async || {
        let found = metrics(&gateway).await["process_cpu_seconds_total"];
        (found > before["process_cpu_seconds_total"]).then_some(())
    };
    eventually("scrapes cost time", SOON, spends).await;
}
