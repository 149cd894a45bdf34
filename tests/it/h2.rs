//! Clients that speak HTTP/2: what their requests and answers are, how they are limited, and how their connections end.

mod abuse;
mod bodies;
mod ends;
mod websockets;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{Method, header};
use serde_json::json;
use tokio_rustls::rustls;

use crate::support::h2_client::{Client, asks, get};
use crate::support::tls::Edge;
use crate::support::wire::{self, exchange};
use crate::support::{ADMIN, Answer, Gateway, Mode, Origin, READER, SOON, eventually, public_service, sagjan};

/// A gateway before a service at `/s/*`.
async fn before(tail: &str, origin: &Origin) -> Gateway {
    let gateway = Gateway::start(tail).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    gateway
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    let client = Client::to(gateway.public).await;
    let answers = join_all((0..80).map(|number| client.ask(get(&format!("/s/{number}"))))).await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.json()["path"], format!("/s/{number}"));
    }
    let metrics = gateway.metrics().await;
    assert!(
        metrics.contains("furt_client_connections 1\n") && metrics.contains("furt_h2_connections 1\n"),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_service_sees_the_request_as_one_of_http_1() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    let client = Client::to(gateway.public).await;
    let request = get("/s/a?b=c").header("cookie", "a=1").header("cookie", "b=2; c=3").header("cookie", "d=4");
    let answer = client.ask(request.header("x-forwarded-host", "other").header("expect", "100-continue")).await;
    let (arrived, headers) = (answer.json(), answer.json()["headers"].clone());
    assert_eq!(
        (&arrived["version"], &arrived["path"], &arrived["query"]),
        (&json!("HTTP/1.1"), &json!("/s/a"), &json!("b=c"))
    );
    for (name, value) in [
        ("host", json!(["gateway"])),
        ("cookie", json!(["a=1; b=2; c=3; d=4"])),
        ("x-forwarded-host", json!(["gateway"])),
        ("x-forwarded-proto", json!(["http"])),
        ("x-forwarded-for", json!(["127.0.0.1"])),
        ("via", json!(["2.0 furt"])),
        ("expect", json!(null)),
        ("transfer-encoding", json!(null)),
        ("content-length", json!(null)),
    ] {
        assert_eq!(headers[name], value, "{name}: {headers}");
    }
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::UPGRADE] {
        assert!(!answer.headers.contains_key(&name), "{name}");
    }
    assert!(!answer.headers.contains_key("keep-alive"));
    assert!(answer.headers.contains_key("x-request-id") && answer.headers.contains_key("server-timing"));
}

#[tokio::test]
async fn a_request_is_routed_by_its_authority() {
    let (one, other) = (Origin::named("one").await, Origin::named("other").await);
    let route = |name: &str, url: String| {
        format!("[[routes]]\nmethod = '*'\nhost = '{name}.example'\npath = '/*'\nurl = '{url}'\n")
    };
    let gateway = Gateway::start(&(route("one", one.url()) + &route("other", other.url()))).await;
    let client = Client::to(gateway.public).await;
    for name in ["one", "other"] {
        for authority in [format!("{name}.example"), format!("{name}.EXAMPLE:81")] {
            let answer = client.ask(http::Request::builder().uri(format!("http://{authority}/a"))).await;
            assert_eq!(answer.json()["origin"], name, "{authority}");
        }
    }
}

#[tokio::test]
async fn keys_and_rates_hold_and_furts_own_answers_are_problems() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("[limits]\naddress_rate = '1/m'\naddress_burst = 4").await;
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let client = Client::to(gateway.public).await;
    let comments = |key: &str| get("/api/comments/1").header("x-api-key", key);
    assert_eq!(client.ask(comments(READER)).await.json()["headers"]["x-api-key-name"], json!(["reader"]));
    client.ask(get("/api/comments/1")).await.problem(401, "key-missing");
    client
        .ask(asks(Method::DELETE, "/api/comments/1").header("x-api-key", READER))
        .await
        .problem(403, "permission-missing");
    client.ask(get("/nothing")).await.problem(404, "route-not-found");
    let head = client.ask(asks(Method::HEAD, "/nothing")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (404, 0));
    client.ask(get("/nothing")).await.problem(404, "route-not-found");
    let limited = client.ask(get("/nothing")).await;
    limited.problem(429, "address-rate-limited");
    assert!(limited.headers.contains_key("retry-after"));
    assert_eq!(client.ask(comments(ADMIN)).await.status, 200);
}

#[tokio::test]
async fn what_no_service_is_asked_for_is_refused_and_logged() {
    let origin = Origin::start().await;
    let gateway = before("[access_log]\npath = 'access.log'", &origin).await;
    let client = Client::to(gateway.public).await;
    let many = (0..257).fold(get("/s/many"), |request, _| request.header("a", "b"));
    client.ask(many).await.problem(431, "header-too-large");
    client.ask(get("/s/%2e%2e/a")).await.problem(400, "bad-path");
    let tunnel = http::Request::builder().method(Method::CONNECT).uri("gateway:443");
    assert_eq!(client.ask(tunnel).await.status, 405);
    let large = client.ask(get("/s/large").header("a", "b".repeat(70_000))).await;
    assert_eq!((large.status.as_u16(), large.body.len()), (431, 0));
    assert_eq!((client.ask(get("/s/a")).await.status.as_u16(), origin.requests("/s/a")), (200, 1));
    let log = eventually("four lines", SOON, async || {
        let log = std::fs::read_to_string(gateway.dir().join("access.log")).ok()?;
        (log.lines().count() == 4).then_some(log)
    })
    .await;
    let entries: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    // A line is written once its answer is sent, and a client goes on at once: their order is not that of the requests.
    for (status, method) in [(431, "GET"), (400, "GET"), (405, "-"), (200, "GET")] {
        let entry = entries.iter().find(|entry| entry["status"] == status);
        let entry = entry.unwrap_or_else(|| panic!("no line of {status}: {log}"));
        assert_eq!((&entry["protocol"], &entry["method"]), (&json!("h2"), &json!(method)));
        assert_eq!(entry["host"], "gateway", "{entry}");
    }
}

#[tokio::test]
async fn http_1_is_spoken_on_the_same_port_and_alone_where_the_other_is_off() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    let request = "GET /s/a HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n";
    assert_eq!(wire::status(&exchange(gateway.public, request).await), 200);
    assert_eq!(Client::to(gateway.public).await.ask(get("/s/a")).await.status, 200);
    gateway.reloaded("[server]\nhttp2 = false").await;
    let refused = exchange(gateway.public, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(wire::status(&refused) == 400 && refused.contains("does not speak HTTP/2"), "{refused}");
    assert_eq!(wire::status(&exchange(gateway.public, request).await), 200);
}

#[tokio::test]
async fn more_requests_than_allowed_are_told_to_come_again_over_both_versions() {
    let origin = Origin::start().await;
    let gateway = before("[server]\nmax_requests = 3", &origin).await;
    origin.set_mode(Mode::Gated);
    let client = Client::to(gateway.public).await;
    let held: Vec<_> = join_all((0..3).map(|_| client.begin(asks(Method::POST, "/s/held")))).await;
    eventually("three requests", SOON, async || {
        gateway.metrics().await.contains("furt_requests_in_flight 3\n").then_some(())
    })
    .await;
    let refused = client.ask(get("/s/a")).await;
    refused.problem(503, "overloaded");
    assert!(refused.headers.contains_key("retry-after"));
    Answer::of(gateway.anonymous(reqwest::Method::GET, "/s/a")).await.problem(503, "overloaded");
    assert_eq!(client.ask(get("/health")).await.status, 200);
    drop(held);
    origin.set_mode(Mode::Echo);
    eventually("room", SOON, async || (client.ask(get("/s/a")).await.status == 200).then_some(())).await;
}

#[tokio::test]
async fn under_tls_it_is_agreed_on_in_the_handshake() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = before(&edge.tail(&["a"], ""), &origin).await;
    let mut offers = (*edge.client(rustls::ALL_VERSIONS)).clone();
    offers.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let offers = Arc::new(offers);
    let agreed = async || edge.try_connect(&offers, "a.example").await.unwrap();
    let stream = agreed().await;
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let client = Client::over(stream).await;
    let request = |path: &str| http::Request::builder().uri(format!("https://a.example{path}"));
    let answers = join_all((0..20).map(|number| client.ask(request(&format!("/s/{number}"))))).await;
    for answer in answers {
        assert_eq!(answer.json()["headers"]["x-forwarded-proto"], json!(["https"]));
        assert_eq!(answer.json()["headers"]["host"], json!(["a.example"]));
    }
    let body = Bytes::from(vec![7; 1_000_000]);
    origin.set_mode(Mode::Mirror);
    assert_eq!(client.send(request("/s/a").method(Method::POST), body.clone()).await.body, body);
    gateway.reloaded(&edge.tail(&["a"], "[server]\nhttp2 = false")).await;
    assert_eq!(agreed().await.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
}
