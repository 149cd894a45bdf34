//! The public listener: which route a request takes, what service and client are told, streams, protocols, timeouts,
//! and what becomes of a request when an instance misbehaves.

use std::collections::BTreeMap;
use std::fs;
use std::time::{Duration, Instant};

use futures_util::{SinkExt as _, StreamExt as _};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use crate::support::authority::Authority;
use crate::support::gateway::client_from;
use crate::support::load::Load;
use crate::support::scripted::{Blackhole, Scripted, Then};
use crate::support::wire::{self, Wire, exchange};
use crate::support::{
    ADMIN, Answer, Gateway, Mode, Origin, READER, SOON, eventually, public_service, sagjan, throughout, with,
};

/// A gateway with one public service at `/s/*`, UP at once.
async fn serving(tail: &str, url: &str) -> Gateway {
    let gateway = Gateway::start(tail).await;
    gateway.registered(&public_service("service", url, "/s/*")).await;
    gateway
}

async fn gateway_and_origin(tail: &str) -> (Gateway, Origin) {
    let origin = Origin::start().await;
    (serving(tail, &origin.url()).await, origin)
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: gateway\r\n{headers}Connection: close\r\n\r\n")
}

// Routes.

#[tokio::test]
async fn a_path_that_two_readers_could_understand_differently_gets_400() {
    let (gateway, origin) = gateway_and_origin("").await;
    for path in [
        "/s/%",
        "/s/%4",
        "/s/%zz",
        "/s//a",
        "//s/a",
        "/s/./a",
        "/s/../a",
        "/s/%2e%2e/a",
        "/s/.%2E/a",
        "/s/..;/a",
        "/s/;v=1/a",
        "/s/a\\b",
        "/s/a%5cb",
        "/s/a%2Fb",
        "/s/a%00",
        "/s/a%1f",
        "/s/a%7F",
    ] {
        let answer = exchange(gateway.public, get(path, "")).await;
        assert_eq!(wire::status(&answer), 400, "{path}: {answer}");
        assert!(answer.contains("bad-path"), "{path}: {answer}");
    }
    assert_eq!(origin.serving_connections(), 0, "none of them reaches the service");
}

#[tokio::test]
async fn an_encoded_path_is_matched_decoded_and_forwarded_as_it_came() {
    let (gateway, _origin) = gateway_and_origin("").await;
    for path in ["/%73/a", "/s/a%20b", "/s/%C3%A4", "/s/a%25b", "/s/a/"] {
        let answer = exchange(gateway.public, get(path, "")).await;
        assert_eq!(wire::status(&answer), 200, "{path}: {answer}");
        assert!(answer.contains(&format!("\"path\":\"{path}\"")), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_method_that_no_matching_route_has_gets_405_with_the_union_of_the_methods() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let answer = Answer::of(gateway.request(Method::PATCH, "/api/comments/a", ADMIN)).await;
    answer.problem(405, "method-not-allowed");
    let allowed: Vec<_> = answer.header("allow").split(',').map(str::trim).collect();
    for method in ["GET", "POST", "PUT", "DELETE"] {
        assert!(allowed.contains(&method), "{allowed:?}");
    }
}

#[tokio::test]
async fn head_takes_the_route_of_get_and_gets_no_body() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let answer = Answer::of(gateway.request(Method::HEAD, "/api/comments/a", READER)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.body, "");
    assert_eq!(origin.requests("/api/comments/a"), 1);
}

#[tokio::test]
async fn host_bound_routes_win_over_host_less_ones() {
    let gateway = Gateway::start("").await;
    let (any, bound) = (Origin::named("any").await, Origin::named("bound").await);
    gateway.registered(&public_service("any", &any.url(), "/s/*")).await;
    let on_host = with(public_service("bound", &bound.url(), "/s/*"), json!({"host": "Shop.Example"}));
    gateway.registered(&on_host).await;
    for (host, origin) in
        [("shop.example", "bound"), ("SHOP.EXAMPLE:7811", "bound"), ("shop.example.", "bound"), ("other", "any")]
    {
        let answer = Answer::of(gateway.anonymous(Method::GET, "/s/a").header("host", host)).await;
        assert_eq!(answer.ok()["origin"], origin, "{host}");
    }
}

#[tokio::test]
async fn a_service_without_routes_is_reached_by_its_host_with_its_own_permission() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&with(sagjan(&origin.url()), json!({"routes": []}))).await;
    let request = |key: &str| gateway.request(Method::POST, "/any/path", key).header("host", "sagjan.internal");
    assert_eq!(Answer::of(request(ADMIN)).await.ok()["path"], "/any/path");
    Answer::of(request(READER)).await.problem(403, "permission-missing");
    Answer::of(gateway.request(Method::POST, "/any/path", ADMIN)).await.problem(404, "route-not-found");
}

#[tokio::test]
async fn static_routes_lead_to_urls_and_to_services() {
    let (direct, origin) = (Origin::named("direct").await, Origin::named("registered").await);
    let tail = format!(
        "[[routes]]\nmethod = 'GET'\npath = '/direct'\nurl = '{}'\n\
         [[routes]]\nmethod = 'GET'\npath = '/through'\nservice = 'service'\npermission = 'comments:read'\n",
        direct.url()
    );
    let gateway = serving(&tail, &origin.url()).await;
    assert_eq!(gateway.get("/direct").await.ok()["origin"], "direct");
    assert_eq!(gateway.get("/through").await.ok()["origin"], "registered");
    Answer::of(gateway.anonymous(Method::GET, "/through")).await.problem(401, "key-missing");
}

// Keys.

#[tokio::test]
async fn requests_without_a_known_key_get_401_with_a_challenge() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let path = "/api/comments/a";
    let cases = [
        (gateway.anonymous(Method::GET, path), "key-missing"),
        (gateway.request(Method::GET, path, "not-a-key"), "key-unknown"),
    ];
    for (request, code) in cases {
        let answer = Answer::of(request).await;
        answer.problem(401, code);
        let challenge = answer.header("www-authenticate");
        assert_eq!(challenge, "ApiKey realm=\"furt\", header=\"X-API-Key\"", "{answer:?}");
    }
    assert_eq!(origin.requests(path), 0);
}

#[tokio::test]
async fn two_keys_in_one_request_are_not_let_through() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let headers = format!("X-API-Key: not-a-key\r\nX-API-Key: {READER}\r\n");
    let answer = exchange(gateway.public, get("/api/comments/a", &headers)).await;
    assert_eq!(wire::status(&answer), 401, "{answer}");
}

#[tokio::test]
async fn a_key_works_only_from_its_addresses() {
    let sha256 = furt_core::model::Sha256Digest::of(b"bound-key");
    let tail = format!(
        "[server]\ntrusted_proxies = ['127.0.0.1']\n[[api_keys]]\nname = 'bound'\nsha256 = '{sha256}'\n\
         permissions = ['comments:read']\nallow_from = ['203.0.113.0/24']\n"
    );
    let (gateway, origin) = (Gateway::start(&tail).await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let request = || gateway.request(Method::GET, "/api/comments/a", "bound-key");
    Answer::of(request()).await.problem(403, "address-not-allowed");
    Answer::of(request().header("x-forwarded-for", "203.0.113.9, 198.51.100.1"))
        .await
        .problem(403, "address-not-allowed");
    let arrived = Answer::of(request().header("x-forwarded-for", "203.0.113.9")).await.ok();
    assert!(arrived["headers"]["x-forwarded-for"][0].as_str().unwrap().starts_with("203.0.113.9"), "{arrived}");
}

#[tokio::test]
async fn a_key_has_its_own_rate() {
    let sha256 = furt_core::model::Sha256Digest::of(b"slow-key");
    let tail =
        format!("[[api_keys]]\nname = 'slow'\nsha256 = '{sha256}'\npermissions = ['comments:read']\nrate = '2/m'\n");
    let (gateway, origin) = (Gateway::start(&tail).await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let path = "/api/comments/a";
    assert_eq!(Answer::of(gateway.request(Method::GET, path, "slow-key")).await.status, 200);
    let refused = eventually("the rate is spent", SOON, async || {
        let answer = Answer::of(gateway.request(Method::GET, path, "slow-key")).await;
        (answer.status != 200).then_some(answer)
    })
    .await;
    refused.problem(429, "rate-limited");
    assert!(refused.retry_after() > 0);
    assert_eq!(gateway.get(path).await.status, 200, "other keys are not concerned");
}

// Headers.

#[tokio::test]
async fn a_service_learns_who_asks_from_furt_alone() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let mut request = gateway.request(Method::GET, "/api/comments/a", READER).header("host", "shop.example");
    for name in [
        "x-api-key-name",
        "x_api_key_name",
        "X-Api_Key-Name",
        "x-forwarded-for",
        "x_forwarded_for",
        "x-forwarded-proto",
        "x-forwarded-host",
        "x_forwarded_host",
        "x_request_id",
        "x_api_key",
    ] {
        request = request.header(name, "forged");
    }
    let arrived = Answer::of(request).await.ok();
    let headers = arrived["headers"].as_object().unwrap();
    assert_eq!(headers["x-api-key-name"], json!(["reader"]));
    assert_eq!(headers["x-forwarded-for"], json!(["127.0.0.1"]));
    assert_eq!(headers["x-forwarded-proto"], json!(["http"]));
    assert_eq!(headers["x-forwarded-host"], json!(["shop.example"]));
    assert_eq!(headers["x-request-id"].as_array().unwrap().len(), 1);
    assert!(!arrived.to_string().contains("forged"), "{arrived}");
    assert!(!headers.contains_key("x-api-key"), "{arrived}");
    assert!(!arrived.to_string().contains(READER), "the key itself stays with furt: {arrived}");
}

#[tokio::test]
async fn on_a_public_route_nobody_has_a_key_name() {
    let (gateway, _origin) = gateway_and_origin("").await;
    let request =
        gateway.anonymous(Method::GET, "/s/a").header("x-api-key-name", "admin").header("x_api_key_name", "admin");
    let arrived = Answer::of(request).await.ok();
    assert!(!arrived.to_string().contains("admin"), "{arrived}");
    let with_key = Answer::of(gateway.request(Method::GET, "/s/a", READER)).await.ok();
    assert!(!with_key.to_string().contains(READER), "{with_key}");
}

#[tokio::test]
async fn a_client_learns_the_gateway_its_times_and_the_requests_id() {
    let (gateway, _origin) = gateway_and_origin("").await;
    let answer = Answer::of(gateway.anonymous(Method::GET, "/s/a")).await;
    let arrived = answer.ok();
    assert_eq!(answer.header("x-gateway"), "furt");
    assert_eq!(arrived["headers"]["x-request-id"][0], answer.header("x-request-id"));
    let timing = answer.header("server-timing");
    assert!(timing.contains("gw;dur=") && timing.contains("upstream;dur="), "{timing}");
    assert!(!answer.headers.contains_key("server"), "furt does not say what it is built on");
    let other = Answer::of(gateway.anonymous(Method::GET, "/s/a")).await;
    assert_ne!(answer.header("x-request-id"), other.header("x-request-id"));
}

#[tokio::test]
async fn answers_of_furts_own_carry_the_gateway_and_the_id_too() {
    let gateway = Gateway::start("").await;
    let answer = gateway.get("/nowhere").await;
    let problem = answer.problem(404, "route-not-found");
    assert_eq!(answer.header("x-gateway"), "furt");
    assert_eq!(problem["request_id"], answer.header("x-request-id"));
}

#[tokio::test]
async fn headers_for_one_connection_only_are_not_forwarded() {
    let (gateway, _origin) = gateway_and_origin("").await;
    let request = "GET /s/a HTTP/1.1\r\nHost: gateway\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nTE: gzip\r\n\
                   Proxy-Authorization: secret\r\nKeep-Alive: timeout=5\r\n\r\n";
    let answer = exchange(gateway.public, request).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    // The body may be chunked; the echo is one line of JSON within it.
    let echo = answer.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{answer}"));
    let arrived: Value = serde_json::from_str(echo).unwrap();
    for name in ["x-hop", "proxy-authorization", "keep-alive"] {
        assert!(arrived["headers"][name].is_null(), "{name}: {arrived}");
    }
    let hop = Scripted::start(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Authenticate: Basic\r\nX-Kept: 1\r\n\r\nok",
        Then::Close,
    )
    .await;
    let gateway = serving("", &hop.url()).await;
    let answer = exchange(gateway.public, get("/s/a", "")).await;
    assert_eq!(wire::header(&answer, "x-kept"), Some("1"), "{answer}");
    for name in ["x-hop", "keep-alive", "proxy-authenticate"] {
        assert_eq!(wire::header(&answer, name), None, "{answer}");
    }
}

// Streams and bodies.

#[tokio::test]
async fn bodies_are_streamed_both_ways_at_once() {
    let (gateway, origin) = gateway_and_origin("").await;
    origin.set_mode(Mode::Mirror);
    let mut wire = Wire::to(gateway.public).await;
    wire.send("POST /s/mirror HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n").await;
    wire.read_until("one").await;
    wire.send("3\r\ntwo\r\n").await;
    wire.read_until("two").await;
    wire.send("0\r\n\r\n").await;
    wire.read_until("0\r\n\r\n").await;
}

#[tokio::test]
async fn an_event_stream_arrives_event_by_event() {
    let (gateway, origin) = gateway_and_origin("").await;
    origin.set_mode(Mode::Events);
    let mut response = gateway.anonymous(Method::GET, "/s/events").send().await.unwrap();
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    for event in ["first", "second", "third"] {
        eventually("the service has a listener", SOON, async || origin.emit(event).then_some(())).await;
        let chunk = response.chunk().await.unwrap().unwrap();
        assert_eq!(chunk, format!("data: {event}\n\n"));
    }
}

#[tokio::test]
async fn a_client_that_leaves_ends_the_stream_at_the_service() {
    let (gateway, origin) = gateway_and_origin("").await;
    origin.set_mode(Mode::Events);
    let response = gateway.anonymous(Method::GET, "/s/events").send().await.unwrap();
    eventually("the stream is open", SOON, async || (origin.serving_connections() == 1).then_some(())).await;
    drop(response);
    eventually("the stream is closed", SOON, async || (origin.serving_connections() == 0).then_some(())).await;
}

#[tokio::test]
async fn large_bodies_pass_in_both_directions() {
    const LARGE: usize = 32 << 20;
    let (gateway, origin) = gateway_and_origin("").await;
    let body: Vec<u8> = (0..LARGE).map(|at| (at % 251) as u8).collect();
    let digest = furt_core::model::Sha256Digest::of(&body).to_string();
    let arrived = Answer::of(gateway.anonymous(Method::PUT, "/s/large").body(body)).await.ok();
    assert_eq!(arrived["body_length"], LARGE);
    assert_eq!(arrived["body_sha256"], digest);

    origin.set_mode(Mode::Zeros(LARGE as u64));
    let mut response = gateway.anonymous(Method::GET, "/s/large").send().await.unwrap();
    let mut length = 0;
    while let Some(chunk) = response.chunk().await.unwrap() {
        length += chunk.len();
    }
    assert_eq!(length, LARGE);
}

#[tokio::test]
async fn a_chunked_body_arrives_whole_and_the_connection_stays_good() {
    let (gateway, _origin) = gateway_and_origin("").await;
    let mut wire = Wire::to(gateway.public).await;
    for _ in 0..3 {
        wire.send("POST /s/a HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        wire.send("4\r\nabcd\r\n1\r\ne\r\n0\r\n\r\n").await;
        let (head, body) = wire.read_response().await;
        assert_eq!(wire::status(&head), 200);
        let arrived: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(arrived["body"], "abcde");
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_before_it_sends() {
    let (gateway, _origin) = gateway_and_origin("").await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("POST /s/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").await;
    let interim = wire.read_until("\r\n\r\n").await;
    assert_eq!(wire::status(&interim), 100);
    wire.send("hello").await;
    let (head, body) = wire.read_response().await;
    assert_eq!(wire::status(&head), 200);
    assert!(body.contains("\"body\":\"hello\""), "{body}");
    // The connection is as good as before.
    wire.send("GET /s/b HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    assert_eq!(wire::status(&wire.read_response().await.0), 200);
}

#[tokio::test]
async fn a_refused_request_with_a_body_gets_its_answer() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    // Up to what is read and dropped; a client that sends more is cut off.
    for length in [10, 500_000, 1 << 20] {
        let request = gateway.anonymous(Method::POST, "/api/comments/a").body(vec![b'x'; length]);
        Answer::of(request).await.problem(401, "key-missing");
    }
}

#[tokio::test]
async fn connections_are_kept_alive_on_both_sides() {
    let (gateway, _origin) = gateway_and_origin("").await;
    let mut wire = Wire::to(gateway.public).await;
    let mut connections = Vec::new();
    for _ in 0..5 {
        wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
        let (_, body) = wire.read_response().await;
        let arrived: Value = serde_json::from_str(&body).unwrap();
        connections.push(arrived["connection"].clone());
    }
    connections.dedup();
    assert_eq!(connections.len(), 1, "{connections:?}");
}

#[tokio::test]
async fn ambiguous_lengths_are_refused() {
    let (gateway, origin) = gateway_and_origin("").await;
    for headers in [
        "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: -5\r\n",
        "Content-Length: 5x\r\n",
        "Transfer-Encoding: xchunked\r\n",
    ] {
        let request = format!("POST /s/a HTTP/1.1\r\nHost: gateway\r\n{headers}Connection: close\r\n\r\nhello");
        let answer = exchange(gateway.public, request).await;
        assert!(answer.is_empty() || [400, 501].contains(&wire::status(&answer)), "{headers}: {answer}");
    }
    assert_eq!(origin.requests("/s/a"), 0);
}

// Protocols.

#[tokio::test]
async fn a_websocket_passes_through() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let mut request = format!("ws://{}/api/comments/live", gateway.public).into_client_request().unwrap();
    request.headers_mut().insert("x-api-key", READER.parse().unwrap());
    let (mut socket, response) = tokio_tungstenite::connect_async(request).await.unwrap();
    assert_eq!(response.headers()["x-gateway"], "furt");
    for message in [Message::text("hello"), Message::binary(vec![0; 300_000])] {
        socket.send(message.clone()).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), message);
    }
    socket.close(None).await.unwrap();
    eventually("the socket ends", SOON, async || socket.next().await.is_none().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_stays_open_however_soon_the_service_switches() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop/*")).await;
    let (kept, beside) = (client_from(None), gateway.public_url("/shop/beside"));
    let mut load = Load::start(2, move |_, _| {
        let asked = kept.get(&beside).send();
        async move { assert_eq!(asked.await.unwrap().status(), 200) }
    });
    for _ in 0..200 {
        let url = gateway.public_url("/shop/socket").replace("http://", "ws://");
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        socket.send(Message::text("hello")).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
        load.more(1).await;
    }
    load.stop().await;
}

#[tokio::test]
async fn a_websocket_without_a_key_is_refused_before_it_is_one() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let refused = tokio_tungstenite::connect_async(format!("ws://{}/api/comments/live", gateway.public)).await;
    let Err(tokio_tungstenite::tungstenite::Error::Http(response)) = refused else { panic!("{refused:?}") };
    assert_eq!(response.status(), 401);
}

#[tokio::test]
async fn a_silent_websocket_outlives_the_read_timeout() {
    let (gateway, _origin) = gateway_and_origin("[upstream]\nread_timeout = '300ms'").await;
    let url = format!("ws://{}/s/live", gateway.public);
    let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
    let silence = tokio::time::timeout(Duration::from_millis(1200), socket.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    socket.send(Message::text("still here")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("still here"));
}

#[tokio::test]
async fn a_websocket_that_is_silent_for_the_stream_timeout_is_closed() {
    let tail = "[upstream]\nread_timeout = '200ms'\nstream_read_timeout = '500ms'";
    let (gateway, _origin) = gateway_and_origin(tail).await;
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/s/live", gateway.public)).await.unwrap();
    let end = tokio::time::timeout(SOON, socket.next()).await.expect("an end");
    assert!(!matches!(end, Some(Ok(Message::Text(_) | Message::Binary(_)))), "{end:?}");
}

#[tokio::test]
async fn a_service_can_ask_for_http_2_without_tls() {
    let (gateway, origin) = (Gateway::start("").await, Origin::h2c().await);
    gateway.registered_and_up(&with(sagjan(&origin.url()), json!({"protocol": "h2c"}))).await;
    let body = "x".repeat(100_000);
    let request = gateway.request(Method::POST, "/api/comments/a?q=1", ADMIN).body(body.clone());
    let arrived = Answer::of(request).await.ok();
    assert_eq!(arrived["version"], "HTTP/2.0");
    assert_eq!(arrived["query"], "q=1");
    assert_eq!(arrived["body_length"], body.len());
}

#[tokio::test]
async fn a_connection_over_http_2_carries_at_most_100_requests_at_once() {
    const AT_ONCE: usize = 150;
    let (gateway, origin) = (Gateway::start("").await, Origin::h2c().await);
    gateway.registered_and_up(&with(sagjan(&origin.url()), json!({"protocol": "h2c"}))).await;
    origin.set_mode(Mode::Gated);
    let requests = futures_util::future::join_all((0..AT_ONCE).map(|_| gateway.get("/api/comments/a")));
    let released = async {
        let arrived = async || (origin.requests("/api/comments/a") == AT_ONCE).then_some(());
        eventually("all are with the service at once", SOON, arrived).await;
        origin.release();
    };
    let (answers, ()) = futures_util::future::join(requests, released).await;
    let mut streams: BTreeMap<u64, usize> = BTreeMap::new();
    for answer in answers {
        *streams.entry(answer.ok()["connection"].as_u64().unwrap()).or_default() += 1;
    }
    assert!(streams.len() > 1 && streams.values().all(|streams| *streams <= 100), "by connection: {streams:?}");
}

/// A gateway that trusts `trusted`, and an https origin whose certificate is for `sagjan.test`.
async fn over_tls(signed_by: &Authority, trusted: &Authority) -> (Gateway, Origin, tempfile::TempDir) {
    let dir = tempfile::TempDir::new().unwrap();
    let ca = dir.path().join("ca.pem");
    fs::write(&ca, trusted.pem()).unwrap();
    let gateway = Gateway::start(&format!("[upstream]\nca = '{}'", ca.display())).await;
    let origin = Origin::tls(signed_by.server_config("sagjan.test", &["http/1.1"])).await;
    (gateway, origin, dir)
}

#[tokio::test]
async fn an_https_service_is_reached_when_its_certificate_holds() {
    let authority = Authority::new();
    let (gateway, origin, _dir) = over_tls(&authority, &authority).await;
    gateway.registered_and_up(&with(sagjan(&origin.url()), json!({"tls_name": "sagjan.test"}))).await;
    assert_eq!(gateway.get("/api/comments/a").await.status, 200);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_accepted() {
    let (gateway, origin, _dir) = over_tls(&Authority::new(), &Authority::new()).await;
    let body = with(public_service("service", &origin.url(), "/s/*"), json!({"tls_name": "sagjan.test"}));
    gateway.registered(&body).await;
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(502, "tls-failed");
    assert_eq!(origin.requests("/s/a"), 0);
    gateway.registered(&with(body, json!({"health_endpoint": "/health"}))).await;
    gateway.status_becomes("service", "DOWN").await;
    assert_eq!(origin.probes(), 0, "a probe verifies too");
}

#[tokio::test]
async fn a_certificate_for_another_name_is_not_accepted() {
    let authority = Authority::new();
    let (gateway, origin, _dir) = over_tls(&authority, &authority).await;
    let body = with(public_service("service", &origin.url(), "/s/*"), json!({"tls_name": "other.test"}));
    gateway.registered(&body).await;
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(502, "tls-failed");
    assert_eq!(origin.requests("/s/a"), 0);
}

// Timeouts.

#[tokio::test]
async fn half_a_header_is_cut_at_the_header_timeout_even_when_it_drips() {
    let (gateway, _origin) = gateway_and_origin("[client]\nheader_timeout = '600ms'").await;
    for address in [gateway.public, gateway.internal] {
        let mut wire = Wire::to(address).await;
        let begin = Instant::now();
        wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\nX-Slow: ").await;
        eventually("the connection is cut", SOON, async || {
            (!wire.try_send("a").await || wire.is_closed().await).then_some(())
        })
        .await;
        let took = begin.elapsed();
        assert!((Duration::from_millis(500)..Duration::from_secs(5)).contains(&took), "{address}: {took:?}");
    }
}

#[tokio::test]
async fn a_header_that_drips_is_cut_on_a_connection_that_is_used_again_and_behind_empty_lines() {
    let (gateway, _origin) = gateway_and_origin("[client]\nheader_timeout = '600ms'\nkeepalive_timeout = 75").await;
    let mut used = Wire::to(gateway.public).await;
    used.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    used.read_response().await;
    // It may lie idle for longer than a header may take.
    tokio::time::sleep(Duration::from_millis(800)).await;
    used.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    used.read_response().await;
    is_cut_in_time(used, "GET /s/a HTTP/1.1\r\nX-Slow: ").await;
    is_cut_in_time(Wire::to(gateway.public).await, "\r\n\r\n").await;
}

/// A header that begins so and drips on is cut after 600 ms.
async fn is_cut_in_time(mut wire: Wire, begins: &str) {
    let begin = Instant::now();
    wire.send(begins).await;
    eventually("the connection is cut", SOON, async || {
        (!wire.try_send("a").await || wire.is_closed().await).then_some(())
    })
    .await;
    let took = begin.elapsed();
    assert!((Duration::from_millis(400)..Duration::from_secs(5)).contains(&took), "{begins:?}: {took:?}");
}

#[tokio::test]
async fn a_header_may_come_in_any_pieces() {
    let (gateway, origin) = gateway_and_origin("").await;
    let mut wire = Wire::to(gateway.public).await;
    let request = "\r\nGET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n";
    for at in 1..request.len() {
        wire.send(&request[..at]).await;
        // The pieces must be read apart.
        tokio::time::sleep(Duration::from_millis(2)).await;
        wire.send(&request[at..]).await;
        assert_eq!(wire::status(&wire.read_response().await.0), 200, "{at}");
    }
    assert_eq!(origin.requests("/s/a"), request.len() - 1);
}

#[tokio::test]
async fn a_client_that_stops_within_its_body_is_cut_at_the_body_timeout() {
    let (gateway, _origin) = gateway_and_origin("[client]\nbody_timeout = '400ms'").await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("POST /s/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 10\r\n\r\nabc").await;
    let begin = Instant::now();
    let answer = wire.read_to_end(Duration::from_secs(5)).await;
    assert_eq!(wire::status(&answer), 408, "{answer}");
    assert!(begin.elapsed() >= Duration::from_millis(350), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn an_idle_client_connection_is_closed_at_the_keepalive_timeout() {
    let (gateway, _origin) = gateway_and_origin("[client]\nkeepalive_timeout = 1").await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    wire.read_response().await;
    let begin = Instant::now();
    wire.read_to_end(Duration::from_secs(5)).await;
    assert!(begin.elapsed() >= Duration::from_millis(700), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_cut_at_the_write_timeout() {
    let (gateway, origin) = gateway_and_origin("[client]\nwrite_timeout = '500ms'").await;
    origin.set_mode(Mode::Zeros(u64::MAX));
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    eventually("the stream begins", SOON, async || (origin.serving_connections() == 1).then_some(())).await;
    eventually("the stream ends", SOON, async || (origin.serving_connections() == 0).then_some(())).await;
}

#[tokio::test]
async fn a_service_that_never_answers_is_given_up_at_the_read_timeout() {
    let (gateway, origin) = gateway_and_origin("[upstream]\nread_timeout = '400ms'").await;
    origin.set_mode(Mode::Hangs);
    let begin = Instant::now();
    let answer = Answer::of(gateway.anonymous(Method::POST, "/s/a")).await;
    answer.problem(504, "upstream-timeout");
    assert!(answer.header("proxy-status").contains("furt"), "{answer:?}");
    let took = begin.elapsed();
    assert!((Duration::from_millis(350)..Duration::from_secs(5)).contains(&took), "{took:?}");
    assert_eq!(origin.requests("/s/a"), 1, "what was sent is not sent again");
}

#[tokio::test]
async fn a_service_that_stops_within_its_body_is_given_up_at_the_read_timeout() {
    let (gateway, origin) =
        gateway_and_origin("[upstream]\nread_timeout = '400ms'\nstream_read_timeout = '400ms'").await;
    origin.set_mode(Mode::StopsWithin);
    let mut response = gateway.anonymous(Method::GET, "/s/a").send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "first");
    let end = tokio::time::timeout(Duration::from_secs(5), response.chunk()).await.expect("an end");
    assert!(end.is_err(), "a cut body must not look whole: {end:?}");
}

#[tokio::test]
async fn a_service_may_set_its_own_read_timeout() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let body = with(public_service("service", &origin.url(), "/s/*"), json!({"timeouts": {"read": 0.3}}));
    gateway.registered(&body).await;
    origin.set_mode(Mode::Hangs);
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(504, "upstream-timeout");
}

#[tokio::test]
async fn an_address_where_connecting_hangs_is_given_up_at_the_connect_timeout() {
    let nowhere = Blackhole::start().await;
    let gateway = serving("[upstream]\nconnect_timeout = '300ms'\nretries = 0", &nowhere.url()).await;
    let begin = Instant::now();
    let answer = Answer::of(gateway.anonymous(Method::GET, "/s/a")).await;
    assert!([502, 504].contains(&answer.status.as_u16()), "{answer:?}");
    let took = begin.elapsed();
    assert!((Duration::from_millis(250)..Duration::from_secs(5)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn an_unused_connection_to_a_service_is_closed_at_the_idle_timeout() {
    let (gateway, origin) = gateway_and_origin("[upstream]\nidle_timeout = 1").await;
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.ok();
    assert_eq!(origin.serving_connections(), 1, "kept at first");
    eventually("closed", Duration::from_secs(5), async || (origin.serving_connections() == 0).then_some(())).await;
}

// Instances that misbehave.

#[tokio::test]
async fn an_instance_that_refuses_the_connection_gets_the_client_a_502() {
    let mut origin = Origin::start().await;
    let gateway = serving("", &origin.url()).await;
    origin.stop().await;
    for method in [Method::GET, Method::POST] {
        let answer = Answer::of(gateway.anonymous(method, "/s/a")).await;
        answer.problem(502, "connect-failed");
        assert!(answer.header("proxy-status").contains("furt"), "{answer:?}");
    }
}

#[tokio::test]
async fn an_instance_that_closes_early_or_answers_garbage_gets_the_client_a_502() {
    for bytes in ["", "HTTP/1.1 200", "\0\u{1}garbage\r\n\r\n", "HTTP/1.1 abc OK\r\n\r\n", "SSH-2.0-OpenSSH_9.2\r\n"] {
        let scripted = Scripted::start(bytes, Then::Close).await;
        let gateway = serving("", &scripted.url()).await;
        let answer = Answer::of(gateway.anonymous(Method::POST, "/s/a").body("once")).await;
        answer.problem(502, "upstream-broken");
        assert!(answer.header("proxy-status").contains("furt"), "{answer:?}");
        assert_eq!(scripted.requests(), 1, "a POST that was sent is never sent twice");
    }
}

#[tokio::test]
async fn an_instance_that_hangs_within_its_header_gets_the_client_a_504() {
    let scripted = Scripted::start("HTTP/1.1 200 OK\r\nContent-", Then::Hang).await;
    let gateway = serving("[upstream]\nread_timeout = '400ms'", &scripted.url()).await;
    Answer::of(gateway.anonymous(Method::POST, "/s/a")).await.problem(504, "upstream-timeout");
}

#[tokio::test]
async fn a_body_that_ends_too_early_does_not_look_whole() {
    let scripted = Scripted::start("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this", Then::Close).await;
    let gateway = serving("", &scripted.url()).await;
    let answer = Answer::try_of(gateway.anonymous(Method::GET, "/s/a")).await;
    assert!(answer.as_ref().is_err() || answer.as_ref().is_ok_and(|answer| answer.status == 502), "{answer:?}");
}

/// A service of two instances, the first of which is at `broken`.
async fn pair(gateway: &Gateway, broken: &str, good: &str) {
    for (instance, url) in [("broken", broken), ("good", good)] {
        let body = with(public_service("service", url, "/s/*"), json!({"instance": instance, "policy": "round_robin"}));
        gateway.registered(&body).await;
    }
}

#[tokio::test]
async fn a_failed_connection_is_tried_on_another_instance_also_for_post() {
    let (gateway, good) = (Gateway::start("").await, Origin::named("good").await);
    let mut broken = Origin::start().await;
    broken.stop().await;
    pair(&gateway, &broken.url(), &good.url()).await;
    for number in 0..20 {
        let method = if number % 2 == 0 { Method::POST } else { Method::GET };
        let arrived = Answer::of(gateway.anonymous(method, "/s/a").body("body")).await.ok();
        assert_eq!(arrived["origin"], "good");
        assert_eq!(arrived["body"], "body");
    }
}

#[tokio::test]
async fn a_get_that_was_sent_in_vain_is_tried_on_another_instance_and_a_post_is_not() {
    let (gateway, good) = (Gateway::start("").await, Origin::named("good").await);
    let broken = Scripted::start("", Then::Close).await;
    pair(&gateway, &broken.url(), &good.url()).await;
    // Three repetitions a second are in every budget.
    for _ in 0..3 {
        assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.ok()["origin"], "good");
    }
    let before = (broken.requests(), good.requests("/s/post"));
    let mut refused = 0;
    for _ in 0..4 {
        refused += usize::from(Answer::of(gateway.anonymous(Method::POST, "/s/post")).await.status == 502);
    }
    let after = (broken.requests(), good.requests("/s/post"));
    assert_eq!(after.0 - before.0, refused, "each POST that broke was sent once");
    assert_eq!(after.1 - before.1, 4 - refused);
}

#[tokio::test]
async fn one_broken_request_leaves_the_next_one_alone() {
    let (gateway, mut origin) = gateway_and_origin("").await;
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.ok();
    // A pooled connection that the service cut is no failure of the next request.
    origin.restart().await;
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.ok();
    throughout("answered", Duration::from_millis(300), async || {
        Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.status == 200
    })
    .await;
}

#[tokio::test]
async fn changes_of_routes_fail_no_request() {
    let (gateway, _origin) = gateway_and_origin("[registration]\nrate = '1000/s'\nburst = 1000").await;
    let changes = async {
        for number in 0..100 {
            let routes = json!([{"method": "GET", "path": format!("/other/{number}")}]);
            let body =
                json!({"service": "other", "url": "http://127.0.0.1:9", "health_endpoint": null, "routes": routes});
            gateway.registered(&body).await;
        }
    };
    let requests = async {
        for _ in 0..300 {
            Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.ok();
        }
    };
    tokio::join!(changes, requests);
}

#[tokio::test]
async fn the_access_log_has_a_line_of_json_for_each_request() {
    let dir = tempfile::TempDir::new().unwrap();
    let path = dir.path().join("access.log");
    let (gateway, origin) = gateway_and_origin(&format!("[access_log]\npath = '{}'", path.display())).await;
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let answer = gateway.get("/api/comments/a?secret=1").await;
    gateway.get("/nowhere").await;
    let lines = eventually("two lines", SOON, async || {
        let text = fs::read_to_string(&path).ok()?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() >= 2).then_some(lines)
    })
    .await;
    let line = lines.iter().find(|line| line.to_string().contains(answer.header("x-request-id"))).expect("the request");
    let text = line.to_string();
    for part in ["GET", "/api/comments/a", "sagjan", "reader", "200"] {
        assert!(text.contains(part), "no {part} in {text}");
    }
    assert!(!text.contains(READER), "{text}");
    assert!(lines.iter().any(|line| line.to_string().contains("404")), "{lines:?}");
}
