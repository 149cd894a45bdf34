//! Plain requests beside TLS: what is sent to https, what is refused, what goes on; and what answers under TLS say of it.

use reqwest::Method;
use serde_json::json;

use crate::support::scripted::{Scripted, Then};
use crate::support::tls::Edge;
use crate::support::wire;
use crate::support::{Answer, Gateway, Origin, READER, public_service};

async fn before(edge: &Edge, origin: &Origin, more: &str) -> Gateway {
    let gateway = Gateway::start(&edge.tail(&["a"], more)).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    gateway
}

/// Sends a plain request with these headers.
async fn plain(gateway: &Gateway, target: &str, headers: &str) -> String {
    let request = format!("GET {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
    wire::exchange(gateway.public, request).await
}

#[tokio::test]
async fn a_plain_request_is_sent_to_https_and_one_with_a_key_is_refused() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = before(&edge, &origin, "").await;
    let port = edge.address.port();
    for (target, host, location) in [
        ("/s/a?b=%20c&d", "A.example:80", format!("https://a.example:{port}/s/a?b=%20c&d")),
        ("/nowhere", "[::1]:80", format!("https://[::1]:{port}/nowhere")),
        ("http://x.example/s/a?b", "x.example", format!("https://x.example:{port}/s/a?b")),
    ] {
        let answer = plain(&gateway, target, &format!("Host: {host}\r\n")).await;
        assert_eq!((wire::status(&answer), wire::header(&answer, "location")), (308, Some(&*location)), "{answer}");
        assert_eq!(wire::header(&answer, "content-length"), Some("0"), "{answer}");
        assert_eq!(wire::header(&answer, "strict-transport-security"), None, "{answer}");
    }
    let posted = gateway.anonymous(Method::POST, "/s/a").body(vec![0; 100_000]);
    assert_eq!(Answer::of(posted).await.status, 308);
    let old = wire::exchange(gateway.public, "GET /s/a HTTP/1.0\r\n\r\n").await;
    assert!(old.contains("tls-required"), "nobody knows where to: {old}");

    gateway.get("/s/a").await.problem(403, "tls-required");
    Answer::of(gateway.request(Method::GET, "/s/a", "nobody's")).await.problem(403, "tls-required");
    let log = gateway.log();
    assert_eq!(log.matches("came in the clear").count(), 1, "{log}");
    assert!(log.contains("the API key reader came in the clear from 127.0.0.1") && !log.contains(READER), "{log}");
    assert_eq!(origin.requests("/s/a"), 0);

    let mut wire = edge.wire().await;
    wire.send(format!("GET /s/a HTTP/1.1\r\nHost: a.example\r\nX-API-Key: {READER}\r\n\r\n")).await;
    assert_eq!(wire::status(&wire.read_response().await.0), 200);
}

#[tokio::test]
async fn health_challenges_and_what_came_by_https_before_go_on() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = before(&edge, &origin, "").await;
    gateway.registered(&public_service("acme", &origin.url(), "/.well-known/acme-challenge/*")).await;
    let host = "Host: a.example\r\n";
    assert_eq!(wire::status(&plain(&gateway, "/health", host).await), 200);
    assert_eq!(wire::status(&plain(&gateway, "/.well-known/acme-challenge/token", host).await), 200);
    assert_eq!(wire::status(&plain(&gateway, "/internal/x", host).await), 404);
    let told = format!("{host}X-Forwarded-Proto: https\r\n");
    assert_eq!(wire::status(&plain(&gateway, "/s/a", &told).await), 308, "anybody can say so");

    let trusting = "[server]\ntrusted_proxies = ['127.0.0.1']\n";
    gateway.reloaded(&edge.tail(&["a"], trusting)).await;
    let answer = plain(&gateway, "/s/a", &told).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    let arrived: serde_json::Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(arrived["headers"]["x-forwarded-proto"], json!(["https"]));
    assert_eq!(wire::status(&plain(&gateway, "/s/a", host).await), 308);

    gateway.reloaded(&edge.tail(&["a"], "redirect = false")).await;
    assert_eq!(wire::status(&plain(&gateway, "/s/a", host).await), 200);
}

#[tokio::test]
async fn answers_under_tls_say_that_browsers_are_to_stay_there_unless_the_service_says_how_long() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = before(&edge, &origin, "hsts = '365d'").await;
    let mut wire = edge.wire().await;
    for (target, status) in [("/s/a", 200), ("/health", 200), ("/nowhere", 404)] {
        wire.send(format!("GET {target} HTTP/1.1\r\nHost: a.example\r\n\r\n")).await;
        let (head, _) = wire.read_response().await;
        let hsts = wire::header(&head, "strict-transport-security");
        assert_eq!((wire::status(&head), hsts), (status, Some("max-age=31536000")), "{head}");
    }
    let answer = plain(&gateway, "/health", "Host: a.example\r\n").await;
    assert_eq!(wire::header(&answer, "strict-transport-security"), None, "{answer}");

    let own = "HTTP/1.1 200 OK\r\nStrict-Transport-Security: max-age=7\r\nContent-Length: 0\r\n\r\n";
    let service = Scripted::start(own, Then::Close).await;
    gateway.registered(&public_service("own", &service.url(), "/own")).await;
    wire.send("GET /own HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let (head, _) = wire.read_response().await;
    assert_eq!(head.matches("trict-").count(), 1, "{head}");
    assert_eq!(wire::header(&head, "strict-transport-security"), Some("max-age=7"));
    gateway.reloaded(&edge.tail(&["a"], "")).await;
    wire.send("GET /s/a HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert_eq!(wire::header(&wire.read_response().await.0, "strict-transport-security"), None);
}

#[tokio::test]
async fn without_tls_nothing_is_sent_anywhere() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("").await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    assert_eq!(wire::status(&plain(&gateway, "/s/a", "Host: a.example\r\n").await), 200);
    assert!(!gateway.metrics().await.contains("furt_tls") && !gateway.dir().join("tls").exists());
}
