//! Limits for clients: rates of keys and of addresses without one, bodies, connections.

use std::net::IpAddr;

use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::json;

use crate::support::gateway::client_from;
use crate::support::wire::{Wire, header, status};
use crate::support::{ADMIN, Answer, Gateway, Mode, Origin, READER, SOON, eventually, public_service, sagjan, with};

/// Waits until a limit of that name was met so often; a request is counted once its answer is sent.
async fn limited_becomes(gateway: &Gateway, limit: &str, times: u64) {
    let line = format!("furt_limited_total{{limit=\"{limit}\"}} {times}\n");
    eventually(&line, SOON, async || {
        let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
        metrics.contains(&line).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_key_has_its_rate_and_its_burst() {
    let sha256 = Sha256Digest::of(b"slow");
    let tail = format!(
        "[[api_keys]]\nname = 'slow'\nsha256 = '{sha256}'\npermissions = ['*']\nrate = '1/m'\nburst = 3\n[access_log]\npath = '-'"
    );
    let gateway = Gateway::start(&tail).await;
    let origin = Origin::start().await;
    gateway.registered(&sagjan(&origin.url())).await;
    for _ in 0..3 {
        Answer::of(gateway.request(Method::GET, "/api/comments/a", "slow")).await.ok();
    }
    let refused = Answer::of(gateway.request(Method::GET, "/api/comments/a", "slow")).await;
    refused.problem(429, "rate-limited");
    assert!((50..=60).contains(&refused.retry_after()), "{refused:?}");
    gateway.get("/api/comments/a").await.ok();
    limited_becomes(&gateway, "key-rate", 1).await;
    eventually("it is logged", SOON, async || gateway.log().contains("\"flag\":\"rate-limited\"").then_some(())).await;
}

#[tokio::test]
async fn a_runtime_key_has_its_burst_too_also_after_a_rotation() {
    let gateway = Gateway::start("").await;
    let origin = Origin::start().await;
    gateway.registered(&sagjan(&origin.url())).await;
    let made =
        gateway.cli(&["keys", "new", "--name", "shop", "--permission", "*", "--rate", "1/m", "--burst", "2"]).await;
    assert!(made.status.success(), "{made:?}");
    let key = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let shown = gateway.seen("/internal/keys").await;
    let shown = shown["keys"].as_array().unwrap().iter().find(|one| one["name"] == "shop").unwrap().clone();
    assert_eq!((shown["rate"].as_str(), shown["burst"].as_u64()), (Some("1/m"), Some(2)));
    for _ in 0..2 {
        Answer::of(gateway.request(Method::GET, "/api/comments/a", &key)).await.ok();
    }
    let rotated = gateway.cli(&["keys", "rotate", "shop"]).await;
    let rotated = String::from_utf8(rotated.stdout).unwrap().trim().to_owned();
    Answer::of(gateway.request(Method::GET, "/api/comments/a", &rotated)).await.problem(429, "rate-limited");

    let lonely = gateway.cli(&["keys", "new", "--name", "b", "--permission", "*", "--burst", "2"]).await;
    assert_eq!(lonely.status.code(), Some(2), "{lonely:?}");
    let body = json!({"name": "b", "permissions": ["*"], "burst": 2});
    let refused = Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&body)).await;
    assert_eq!(refused.invalid_fields(), ["/burst"]);
}

#[tokio::test]
async fn an_address_without_a_good_key_has_a_rate_and_a_good_key_goes_past_it() {
    let gateway = Gateway::start("[limits]\naddress_rate = '1/m'\naddress_burst = 6").await;
    let origin = Origin::start().await;
    gateway.registered(&sagjan(&origin.url())).await;
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    // Each way of asking without a good key, once: public, no key, wrong keys, no route, no path, wrong method.
    Answer::of(gateway.anonymous(Method::GET, "/shop")).await.ok();
    Answer::of(gateway.anonymous(Method::GET, "/api/comments/a")).await.problem(401, "key-missing");
    Answer::of(gateway.request(Method::GET, "/api/comments/a", "guess")).await.problem(401, "key-unknown");
    Answer::of(gateway.request(Method::GET, "/shop", "guess")).await.ok();
    Answer::of(gateway.request(Method::GET, "/nowhere", "guess")).await.problem(404, "route-not-found");
    Answer::of(gateway.anonymous(Method::PATCH, "/api/comments/a")).await.problem(405, "method-not-allowed");
    for (path, key) in [("/shop", "guess"), ("/api/comments/a", "guess"), ("/nowhere", "")] {
        let refused = Answer::of(gateway.request(Method::GET, path, key)).await;
        refused.problem(429, "address-rate-limited");
        assert!((50..=60).contains(&refused.retry_after()), "{refused:?}");
    }
    let before = origin.requests("/shop");
    Answer::of(gateway.anonymous(Method::GET, "/shop")).await.problem(429, "address-rate-limited");
    assert_eq!(origin.requests("/shop"), before, "it is not forwarded");

    for _ in 0..20 {
        gateway.get("/api/comments/a").await.ok();
        Answer::of(gateway.request(Method::GET, "/shop", READER)).await.ok();
        Answer::of(gateway.request(Method::GET, "/nowhere", READER)).await.problem(404, "route-not-found");
        Answer::of(gateway.request(Method::DELETE, "/api/comments/a", READER)).await.problem(403, "permission-missing");
        Answer::of(gateway.anonymous(Method::GET, "/health")).await.ok();
    }
    let other = client_from(Some(IpAddr::from([127, 0, 0, 9])));
    Answer::of(other.get(gateway.public_url("/shop"))).await.ok();
    limited_becomes(&gateway, "address-rate", 4).await;
}

#[tokio::test]
async fn the_rate_of_an_address_is_that_of_the_client_behind_a_trusted_proxy() {
    let gateway =
        Gateway::start("[limits]\naddress_rate = '1/m'\naddress_burst = 1\n[server]\ntrusted_proxies = ['127.0.0.1']")
            .await;
    let origin = Origin::start().await;
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    let ask = async |client: &str| {
        Answer::of(gateway.anonymous(Method::GET, "/shop").header("x-forwarded-for", client)).await.status.as_u16()
    };
    assert_eq!([ask("192.0.2.1").await, ask("192.0.2.1").await], [200, 429]);
    assert_eq!([ask("192.0.2.2").await, ask("2001:db8::1").await, ask("2001:db8::2").await], [200, 200, 429]);
    gateway
        .reloaded("[limits]\naddress_rate = '1/m'\naddress_burst = 2\n[server]\ntrusted_proxies = ['127.0.0.1']")
        .await;
    assert_eq!([ask("192.0.2.1").await, ask("192.0.2.1").await, ask("192.0.2.1").await], [200, 200, 429]);
    gateway.reloaded("[server]\ntrusted_proxies = ['127.0.0.1']").await;
    assert_eq!(ask("192.0.2.1").await, 200, "a limit that is taken away is gone");
}

#[tokio::test]
async fn a_body_beyond_the_largest_is_refused_with_and_without_a_length() {
    let gateway = Gateway::start("[limits]\nmax_body = 1000").await;
    let origin = Origin::start().await;
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    let post = |size: usize| gateway.anonymous(Method::POST, "/shop").body(vec![b'x'; size]);
    assert_eq!(Answer::of(post(1000)).await.ok()["body_length"], 1000);
    let refused = Answer::of(post(1001)).await;
    refused.problem(413, "body-too-large");
    assert_eq!(origin.requests("/shop"), 1, "it is refused before anybody is asked");

    let mut wire = Wire::to(gateway.public).await;
    let chunk = format!("{:x}\r\n{}\r\n", 400, "x".repeat(400));
    wire.send("POST /shop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    wire.send(format!("{chunk}{chunk}0\r\n\r\n")).await;
    let (head, _) = wire.read_response().await;
    assert_eq!(status(&head), 200, "{head}");
    let mut wire = Wire::to(gateway.public).await;
    wire.send("POST /shop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
    wire.send(format!("{chunk}{chunk}{chunk}0\r\n\r\n")).await;
    let (head, body) = wire.read_response().await;
    assert_eq!((status(&head), header(&head, "content-type")), (413, Some("application/problem+json")), "{head}");
    assert!(body.contains("\"body-too-large\""), "{body}");
    limited_becomes(&gateway, "body", 2).await;
    // The client's fault is not the instance's, which is asked on.
    for _ in 0..10 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("PUT /shop HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").await;
        wire.send(format!("{chunk}{chunk}{chunk}0\r\n\r\n")).await;
        assert_eq!(status(&wire.read_response().await.0), 413);
    }
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    assert!(metrics.contains("furt_ejections_total 0\n"), "{metrics}");
    eventually("all places are given back", SOON, async || {
        (gateway.instance("shop").await["in_flight"] == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_body_that_is_sent_again_is_measured_once() {
    let gateway = Gateway::start("[limits]\nmax_body = 1000").await;
    let (breaks, echoes) = (Origin::named("breaks").await, Origin::named("echoes").await);
    breaks.set_mode(Mode::Cut);
    for (id, origin) in [("breaks", &breaks), ("echoes", &echoes)] {
        gateway.registered(&with(public_service("shop", &origin.url(), "/shop"), json!({"instance": id}))).await;
    }
    // Twice, so that both have their turn.
    for _ in 0..2 {
        let put = gateway.anonymous(Method::PUT, "/shop").body(vec![b'x'; 700]);
        let answer = Answer::of(put).await.ok();
        assert_eq!((&answer["origin"], &answer["body_length"]), (&json!("echoes"), &json!(700)));
    }
    assert!(breaks.requests("/shop") > 0);
}

#[tokio::test]
async fn a_websocket_is_not_limited_as_a_body_is() {
    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio_tungstenite::tungstenite::Message;

    let gateway = Gateway::start("[limits]\nmax_body = 100").await;
    let origin = Origin::start().await;
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    let (mut socket, _) =
        tokio_tungstenite::connect_async(format!("ws://{}/shop", gateway.public)).await.expect("an upgrade");
    let text = "x".repeat(500);
    socket.send(Message::text(text.clone())).await.unwrap();
    assert!(socket.next().await.unwrap().unwrap().into_text().unwrap().contains(&text));
}

#[tokio::test]
async fn an_address_has_so_many_connections_and_a_trusted_proxy_as_many_as_it_likes() {
    let gateway = Gateway::start("[limits]\naddress_connections = 3").await;
    let origin = Origin::start().await;
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("GET /shop HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(status(&wire.read_response().await.0), 200);
        open.push(wire);
    }
    let mut refused = Wire::to(gateway.public).await;
    let (head, body) = refused.read_response().await;
    assert_eq!((status(&head), header(&head, "retry-after")), (429, Some("1")), "{head}");
    assert!(body.contains("\"address-connections\""), "{body}");
    limited_becomes(&gateway, "address-connections", 1).await;
    // Who has a connection keeps it.
    for wire in &mut open {
        wire.send("GET /shop HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(status(&wire.read_response().await.0), 200);
    }
    let other = client_from(Some(IpAddr::from([127, 0, 0, 9])));
    Answer::of(other.get(gateway.public_url("/shop"))).await.ok();
    drop(open.pop());
    eventually("a place is free again", SOON, async || {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("GET /shop HTTP/1.1\r\nHost: a\r\n\r\n").await;
        (status(&wire.read_response().await.0) == 200).then_some(())
    })
    .await;
    gateway.reloaded("[limits]\naddress_connections = 3\n[server]\ntrusted_proxies = ['127.0.0.1']").await;
    for _ in 0..6 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("GET /shop HTTP/1.1\r\nHost: a\r\n\r\n").await;
        assert_eq!(status(&wire.read_response().await.0), 200);
        open.push(wire);
    }
    Answer::of(gateway.request(Method::GET, "/shop", ADMIN)).await.ok();
}
