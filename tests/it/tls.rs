//! TLS on the public listener: which certificate a client is shown, what is spoken, and that requests under it go as plain ones do.

use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::rustls;
use tokio_tungstenite::tungstenite::Message;

use crate::support::tls::{Edge, TLS12, TLS13, shown};
use crate::support::wire::{self, Wire};
use crate::support::{Gateway, Mode, Origin, SOON, eventually, public_service};

const GET: &str = "GET /s/a HTTP/1.1\r\nHost: a.example\r\n\r\n";

/// A gateway under TLS before a service.
async fn before(edge: &Edge, origin: &Origin, more: &str) -> Gateway {
    let gateway = Gateway::start(&edge.tail(&["a"], more)).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    gateway
}

async fn handshakes(gateway: &Gateway, labels: &str, count: usize) {
    let line = format!("furt_tls_handshakes_total{{{labels}}} {count}");
    eventually(&line, SOON, async || gateway.metrics().await.contains(&line).then_some(())).await;
}

#[tokio::test]
async fn a_client_is_shown_the_certificate_of_the_name_that_it_asks_for() {
    let edge = Edge::new();
    let certificates = [
        edge.write("a", &["a.example", "127.0.0.1"]),
        edge.write("wild", &["*.b.example"]),
        edge.write("b", &["x.b.example"]),
    ];
    let gateway = Gateway::start(&edge.tail(&["a", "wild", "b"], "")).await;
    for versions in [TLS12, TLS13] {
        let client = edge.client(versions);
        for (name, expected) in
            [("a.example", 0), ("A.Example", 0), ("y.b.example", 1), ("x.b.example", 2), ("127.0.0.1", 0)]
        {
            let stream = edge.try_connect(&client, name).await.unwrap_or_else(|why| panic!("{name}: {why}"));
            assert_eq!(shown(&stream), certificates[expected], "{name}");
            assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        }
        for name in ["b.example", "x.y.b.example", "c.example"] {
            let error = edge.try_connect(&client, name).await.unwrap_err().to_string();
            assert!(error.contains("UnrecognisedName"), "{name}: {error}");
        }
    }
    handshakes(&gateway, r#"outcome="done",resumed="false",version="1.3""#, 5).await;
    handshakes(&gateway, r#"outcome="unknown-name",resumed="false",version="none""#, 6).await;
    gateway.reloaded(&edge.tail(&["a", "wild", "b"], "unknown_name = 'first'")).await;
    let error = edge.try_connect(&edge.client(TLS13), "c.example").await.unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "it is shown the first: {error}");
}

#[tokio::test]
async fn the_oldest_version_is_what_the_configuration_says() {
    let edge = Edge::new();
    let gateway = Gateway::start(&edge.tail(&["a"], "min_version = '1.3'")).await;
    assert!(edge.try_connect(&edge.client(TLS13), "a.example").await.is_ok());
    let error = edge.try_connect(&edge.client(TLS12), "a.example").await.unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    handshakes(&gateway, r#"outcome="failed",resumed="false",version="none""#, 1).await;
    gateway.reloaded(&edge.tail(&["a"], "min_version = '1.2'")).await;
    assert!(edge.try_connect(&edge.client(TLS12), "a.example").await.is_ok());
}

#[tokio::test]
async fn post_quantum_key_exchange_is_what_is_agreed_on() {
    let edge = Edge::new();
    let _gateway = Gateway::start(&edge.tail(&["a"], "")).await;
    let stream = edge.try_connect(&edge.client(TLS13), "a.example").await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap().name();
    assert_eq!(group, rustls::NamedGroup::X25519MLKEM768);
}

#[tokio::test]
async fn requests_of_a_connection_are_answered_in_order_and_services_know_that_it_was_https() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let _gateway = before(&edge, &origin, "").await;
    let mut wire = edge.wire().await;
    wire.send(GET.repeat(3)).await;
    for _ in 0..3 {
        let (head, body) = wire.read_response().await;
        assert_eq!(wire::status(&head), 200, "{head}");
        let arrived: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(arrived["headers"]["x-forwarded-proto"], serde_json::json!(["https"]), "{body}");
    }
    for number in 0..20 {
        wire.send(format!("POST /s/{number} HTTP/1.1\r\nHost: a.example\r\nContent-Length: 5\r\n\r\nhello")).await;
        let (head, body) = wire.read_response().await;
        let arrived: Value = serde_json::from_str(&body).unwrap();
        assert_eq!((wire::status(&head), &arrived["body"]), (200, &"hello".into()), "{head}");
        assert_eq!(arrived["headers"]["x-forwarded-proto"], serde_json::json!(["https"]), "{body}");
    }
    wire.send("GET / HTTP/3.3\r\n\r\n").await;
    assert_eq!(wire::status(&wire.read_to_end(SOON).await), 400);
}

#[tokio::test]
async fn what_the_parser_refuses_is_answered_under_tls_too() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let _gateway = before(&edge, &origin, "").await;
    let mut wire = edge.wire().await;
    wire.send("GET /s/a HTTP/1.1\r\nHost: a.example\r\nBad Header: x\r\n\r\n").await;
    let answer = wire.read_to_end(SOON).await;
    assert_eq!((wire::status(&answer), wire::header(&answer, "x-gateway")), (400, Some("furt")), "{answer}");
}

#[tokio::test]
async fn large_bodies_pass_both_ways_whole() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let _gateway = before(&edge, &origin, "").await;
    origin.set_mode(Mode::Zeros(20_000_000));
    let mut wire = edge.wire().await;
    wire.send(GET.replace("\r\n\r\n", "\r\nConnection: close\r\n\r\n")).await;
    let answer = wire.read_to_end(SOON).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let zeros = body.bytes().filter(|byte| *byte == 0).count();
    assert_eq!(zeros, 20_000_000, "{head}");

    origin.set_mode(Mode::Mirror);
    let body: String = (0..1_000_000).map(|number| format!("{number:07}")).collect();
    let stream = edge.try_connect(&edge.client(TLS13), "a.example").await.unwrap();
    let (mut reading, mut writing) = tokio::io::split(stream);
    let head = format!("POST /s/a HTTP/1.1\r\nHost: a.example\r\nConnection: close\r\nContent-Length: {}", body.len());
    let request = format!("{head}\r\n\r\n{body}");
    let sending = async {
        writing.write_all(request.as_bytes()).await.unwrap();
        writing.flush().await.unwrap();
    };
    let mut answer = Vec::new();
    // Without the word that nothing follows its end would be an error.
    let reading = async { reading.read_to_end(&mut answer).await.unwrap() };
    tokio::join!(sending, reading);
    let answer = String::from_utf8(answer).unwrap();
    let (head, mirrored) = answer.split_once("\r\n\r\n").unwrap();
    assert!(mirrored == body, "{head}");
}

#[tokio::test]
async fn a_stream_arrives_event_by_event_and_a_websocket_is_a_tunnel() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let _gateway = before(&edge, &origin, "").await;
    origin.set_mode(Mode::Events);
    let mut wire = edge.wire().await;
    wire.send(GET).await;
    wire.read_until("\r\n\r\n").await;
    for number in 0..3 {
        origin.emit(&format!("event {number}"));
        wire.read_until(&format!("event {number}")).await;
    }
    let stream = edge.try_connect(&edge.client(TLS12), "a.example").await.unwrap();
    let (mut socket, _) = tokio_tungstenite::client_async("wss://a.example/s/live", stream).await.unwrap();
    for text in ["one", "two"] {
        socket.send(Message::text(text)).await.unwrap();
        assert_eq!(socket.next().await.unwrap().unwrap().into_text().unwrap(), text);
    }
    socket.close(None).await.unwrap();
}

#[tokio::test]
async fn a_client_that_sends_no_more_gets_its_answer_and_the_word_that_nothing_follows() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let _gateway = before(&edge, &origin, "").await;
    // Long enough for a few probes.
    origin.set_mode(Mode::Works(1500));
    for versions in [TLS12, TLS13] {
        let mut stream = edge.try_connect(&edge.client(versions), "a.example").await.unwrap();
        stream.write_all(GET.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        let body = answer.split_once("\r\n\r\n").unwrap().1;
        assert_eq!(wire::status(&answer), 200, "{answer}");
        assert_eq!(wire::header(&answer, "content-length").unwrap(), body.len().to_string(), "{answer}");
    }
}

#[tokio::test]
async fn at_the_end_what_was_asked_is_answered_and_idle_connections_end_in_order() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let mut gateway = before(&edge, &origin, "").await;
    origin.set_mode(Mode::Gated);
    let mut asking = edge.wire().await;
    asking.send(GET).await;
    eventually("it arrives", SOON, async || (origin.requests("/s/a") > 0).then_some(())).await;
    let mut idle = edge.try_connect(&edge.client(TLS13), "a.example").await.unwrap();
    let half_open = TcpStream::connect(edge.address).await.unwrap();
    gateway.terminate();
    assert_eq!(idle.read(&mut [0; 9]).await.expect("an end that furt said"), 0);
    assert_eq!(Wire::of(half_open).read_to_end(SOON).await, "");
    origin.release();
    let answer = asking.read_to_end(SOON).await;
    assert_eq!((wire::status(&answer), wire::header(&answer, "connection")), (200, Some("close")), "{answer}");
    assert!(gateway.ended(SOON).await.success());
}

#[tokio::test]
async fn a_handshake_has_its_place_and_its_time() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = before(&edge, &origin, "handshake_timeout = '4s'\n[server]\nmax_connections = 2\n").await;
    let mut silent = [Wire::to(edge.address).await, Wire::to(edge.address).await];
    // The first bytes of a ClientHello, and no more.
    silent[0].send([22, 3, 1, 2, 0, 1]).await;
    // A client that came before them would be let in, and the later one of them be turned away.
    let both = "\nfurt_client_connections 2\n";
    eventually("both have a place", SOON, async || gateway.metrics().await.contains(both).then_some(())).await;
    let told = eventually("there is no place", SOON, async || {
        let answer =
            wire::exchange(gateway.public, "GET /health HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n").await;
        (wire::status(&answer) == 503).then_some(answer)
    });
    assert!(told.await.contains("connection_limit_reached"));
    assert!(edge.try_connect(&edge.client(TLS13), "a.example").await.is_err(), "under TLS nothing can be told");
    for wire in &mut silent {
        wire.read_to_end(SOON).await;
    }
    handshakes(&gateway, r#"outcome="timeout",resumed="false",version="none""#, 2).await;
    assert!(edge.try_connect(&edge.client(TLS13), "a.example").await.is_ok());
}

#[tokio::test]
async fn limits_and_times_of_clients_hold_under_tls() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let more = "[limits]\naddress_connections = 1\n[client]\nheader_timeout = '500ms'\n";
    let gateway = before(&edge, &origin, more).await;
    let mut slow = edge.wire().await;
    slow.send("GET /s/a HTTP/1.1\r\nHost: a").await;
    assert!(edge.try_connect(&edge.client(TLS13), "a.example").await.is_err());
    assert_eq!(slow.read_to_end(Duration::from_secs(5)).await, "");
    drop(slow);
    let mut next = eventually("its place is free", SOON, async || {
        edge.try_connect(&edge.client(TLS13), "a.example").await.ok().map(Wire::of)
    })
    .await;
    next.send(GET).await;
    assert_eq!(wire::status(&next.read_response().await.0), 200);
    assert!(gateway.metrics().await.contains("furt_limited_total{limit=\"address-connections\"}"));
}

#[tokio::test]
async fn whoever_speaks_no_tls_is_told_in_its_own_way_and_the_log_stays_quiet() {
    let edge = Edge::new();
    let gateway = Gateway::start(&edge.tail(&["a"], "")).await;
    for garbage in [
        "SSH-2.0-OpenSSH_9.2\r\n".as_bytes(),
        b"GET\r\n\r\n",
        b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
        &[22, 3, 1, 0, 5, 1, 0, 0, 1, 0],
        &[0; 64],
    ] {
        let mut wire = Wire::to(edge.address).await;
        wire.send(garbage).await;
        // A fatal alert.
        let answer = wire.read_to_end(SOON).await;
        assert_eq!(answer.as_bytes().first(), Some(&21), "{answer:?}");
    }
    drop(TcpStream::connect(edge.address).await.unwrap());
    handshakes(&gateway, r#"outcome="failed",resumed="false",version="none""#, 5).await;
    handshakes(&gateway, r#"outcome="closed",resumed="false",version="none""#, 1).await;
    let log = gateway.log();
    let told: Vec<_> = log.lines().filter(|line| line.contains("ERROR") || line.contains("WARN")).collect();
    // Of the test's machine, that it has few files.
    assert!(told.iter().all(|line| line.contains("app::files")), "{told:?}");
}

/// Checks that it is what a client is told that speaks HTTP without TLS.
fn says_to_use_https(answer: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!((wire::status(answer), wire::header(head, "connection")), (400, Some("close")), "{answer}");
    assert_eq!(wire::header(head, "x-gateway"), Some("furt"), "{answer}");
    let problem: Value = serde_json::from_str(body).unwrap();
    assert_eq!((&problem["code"], &problem["status"]), (&"https-expected".into(), &400.into()), "{body}");
    assert!(problem["detail"].as_str().unwrap().contains("https://"), "{body}");
    assert_eq!(wire::header(head, "x-request-id"), problem["request_id"].as_str(), "{answer}");
    assert_eq!(wire::header(head, "content-length"), Some(&*body.len().to_string()), "{answer}");
}

#[tokio::test]
async fn http_without_tls_is_told_to_use_https_however_its_bytes_come() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = before(&edge, &origin, "").await;
    let get = GET.as_bytes();
    let large = format!("POST /s/a HTTP/1.1\r\nHost: a.example\r\nContent-Length: 60000\r\n\r\n{}", "a".repeat(60_000));
    let pieces: [&[&[u8]]; 5] = [
        &[get],
        &[large.as_bytes()],
        &[b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
        &[b"G", b"E", b"T", b" "],
        &[b"GE", &get[2..]],
    ];
    for pieces in pieces {
        let mut wire = Wire::to(edge.address).await;
        for piece in pieces {
            wire.send(piece).await;
            // So that they come one by one; how many at once changes nothing.
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        says_to_use_https(&wire.read_to_end(SOON).await);
    }
    let head = wire::exchange(edge.address, "HEAD / HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    assert!(wire::status(&head) == 400 && head.ends_with("\r\n\r\n"), "{head}");
    handshakes(&gateway, r#"outcome="plain-http",resumed="false",version="none""#, 6).await;
    let mut wire = edge.wire().await;
    wire.send(GET).await;
    assert_eq!(wire::status(&wire.read_response().await.0), 200);
    assert_eq!(origin.requests("/s/a"), 1);
}

#[tokio::test]
async fn what_may_become_http_has_the_time_of_a_handshake() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = before(&edge, &origin, "handshake_timeout = '700ms'").await;
    let mut silent = Wire::to(edge.address).await;
    silent.send("GET").await;
    let mut slow = Wire::to(edge.address).await;
    // A letter at a time, and never a space.
    for letter in ["P", "R", "O", "P", "F", "I", "N", "D"] {
        if !slow.try_send(letter).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert_eq!((silent.read_to_end(SOON).await, slow.read_to_end(SOON).await), (String::new(), String::new()));
    handshakes(&gateway, r#"outcome="timeout",resumed="false",version="none""#, 2).await;
    let mut half = Wire::to(edge.address).await;
    half.send("GE").await;
    half.end_sending().await;
    assert_eq!(half.read_to_end(SOON).await, "");
    handshakes(&gateway, r#"outcome="closed",resumed="false",version="none""#, 1).await;
    let both = "\nfurt_client_connections 0\n";
    eventually("no place is kept", SOON, async || gateway.metrics().await.contains(both).then_some(())).await;
}

#[tokio::test]
async fn http_behind_a_proxy_header_is_told_to_use_https_too() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let from = "redirect = false\n[server]\nproxy_protocol_from = ['127.0.0.1']";
    let gateway = before(&edge, &origin, from).await;
    let header = "PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n";
    says_to_use_https(&wire::exchange(edge.address, header.to_owned() + GET).await);
    assert_eq!(wire::exchange(edge.address, GET).await, "", "without a header nobody is answered");
    handshakes(&gateway, r#"outcome="plain-http",resumed="false",version="none""#, 1).await;
}

#[tokio::test]
async fn a_client_that_offers_http_1_0_alone_is_served() {
    let edge = Edge::new();
    let _gateway = Gateway::start(&edge.tail(&["a"], "")).await;
    for (offered, is_served) in [(&b"http/1.0"[..], true), (b"http/1.1", true), (b"acme-tls/1", false)] {
        let mut client = (*edge.client(TLS13)).clone();
        client.alpn_protocols = vec![offered.to_vec()];
        let connected = edge.try_connect(&Arc::new(client), "a.example").await;
        assert_eq!(connected.is_ok(), is_served, "{}", String::from_utf8_lossy(offered));
    }
}
