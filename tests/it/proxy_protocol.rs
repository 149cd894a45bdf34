//! PROXY headers of balancers before furt: whose connection it is then, and what comes of a peer that sends none.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::support::h2_client::Client;
use crate::support::tls::Edge;
use crate::support::wire::{self, Wire};
use crate::support::{Gateway, Origin, SOON, eventually, public_service};

const FROM: &str = "[server]\nproxy_protocol_from = ['127.0.0.0/8']\n";
const GET: &str = "GET /s/a HTTP/1.1\r\nHost: a.example\r\n\r\n";
const V1: &[u8] = b"PROXY TCP4 192.0.2.7 198.51.100.2 12345 443\r\n";
/// The balancer itself, as when it looks whether furt is there.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\x00\x00\x00";

/// Version 2 for a client of that address.
fn v2(client: [u8; 4]) -> Vec<u8> {
    let addresses = [&client[..], &[127, 0, 0, 1], &12345_u16.to_be_bytes(), &443_u16.to_be_bytes()].concat();
    [&b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x00\x0c"[..], &addresses].concat()
}

async fn before(origin: &Origin, tail: &str) -> Gateway {
    let gateway = Gateway::start(tail).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    gateway
}

/// A connection that begins with these bytes.
async fn begun(address: SocketAddr, header: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(header).await.unwrap();
    stream
}

/// Whom a service is told that the request is from.
fn forwarded_for(body: &str) -> Value {
    serde_json::from_str::<Value>(body).unwrap()["headers"]["x-forwarded-for"].clone()
}

async fn outcome(gateway: &Gateway, outcome: &str, count: usize) {
    let line = format!("furt_proxy_headers_total{{outcome=\"{outcome}\"}} {count}");
    eventually(&line, SOON, async || gateway.metrics().await.contains(&line).then_some(())).await;
}

#[tokio::test]
async fn the_client_is_who_the_header_names_for_every_request_of_the_connection() {
    let origin = Origin::start().await;
    let gateway = before(&origin, FROM).await;
    for (header, client) in
        [(V1.to_vec(), "192.0.2.7"), (v2([192, 0, 2, 8]), "192.0.2.8"), (LOCAL.to_vec(), "127.0.0.1")]
    {
        let mut wire = Wire::of(begun(gateway.public, &header).await);
        wire.send(GET.repeat(2)).await;
        for _ in 0..2 {
            let (head, body) = wire.read_response().await;
            assert_eq!((wire::status(&head), forwarded_for(&body)), (200, json!([client])), "{head}");
        }
        // What the parser refuses is furt's answer on the same connection.
        wire.send("GET /s/a HTTP/1.1\r\nHost: a.example\r\nBad Header: x\r\n\r\n").await;
        let answer = wire.read_to_end(SOON).await;
        assert_eq!((wire::status(&answer), wire::header(&answer, "x-gateway")), (400, Some("furt")), "{answer}");
    }
    outcome(&gateway, "client", 2).await;
    outcome(&gateway, "own", 1).await;
}

#[tokio::test]
async fn a_header_may_come_in_pieces_and_with_the_request_behind_it() {
    let origin = Origin::start().await;
    let gateway = before(&origin, FROM).await;
    for header in [V1.to_vec(), v2([192, 0, 2, 7])] {
        let bytes = [&header[..], GET.as_bytes()].concat();
        for cut in [1, 5, 6, 12, 13, 15, 16, 17, header.len() - 1, header.len(), header.len() + 3] {
            let mut stream = begun(gateway.public, &bytes[..cut]).await;
            stream.set_nodelay(true).unwrap();
            tokio::time::sleep(Duration::from_millis(2)).await;
            stream.write_all(&bytes[cut..]).await.unwrap();
            let (head, body) = Wire::of(stream).read_response().await;
            assert_eq!((wire::status(&head), forwarded_for(&body)), (200, json!(["192.0.2.7"])), "{cut}: {head}");
        }
    }
}

#[tokio::test]
async fn tls_and_http_2_come_behind_it() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let _gateway = before(&origin, &edge.tail(&["a"], FROM)).await;
    for alpn in [&b"http/1.1"[..], b"h2"] {
        let mut client = (*edge.client(rustls::ALL_VERSIONS)).clone();
        client.alpn_protocols = vec![alpn.to_vec()];
        // By address: the one of the header is what the certificate must have.
        client.enable_sni = false;
        let socket = begun(edge.address, &v2([192, 0, 2, 9])).await;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(std::sync::Arc::new(client)).connect(name, socket).await.unwrap();
        let body = if alpn == b"h2" {
            let answer = Client::over(stream).await.ask(http::Request::builder().uri("https://a.example/s/a")).await;
            String::from_utf8(answer.body.to_vec()).unwrap()
        } else {
            let mut wire = Wire::of(stream);
            wire.send(GET).await;
            wire.read_response().await.1
        };
        assert_eq!(forwarded_for(&body), json!(["192.0.2.9"]), "{body}");
        let seen: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(seen["headers"]["x-forwarded-proto"], json!(["https"]), "{body}");
    }
    let plain = client_without_header(&edge).await;
    assert!(plain.is_err(), "under TLS the header is asked for as well");
}

async fn client_without_header(edge: &Edge) -> std::io::Result<()> {
    edge.try_connect(&edge.client(rustls::ALL_VERSIONS), "a.example").await.map(drop)
}

#[tokio::test]
async fn a_peer_that_must_send_one_and_does_not_is_closed_without_a_word() {
    let origin = Origin::start().await;
    let gateway = before(&origin, &format!("{FROM}[client]\nheader_timeout = '1s'")).await;
    for bytes in
        [GET.as_bytes(), b"PROXY TCP4 192.0.2.7 198.51.100.2 12345\r\n", b"\r\n\r\n\0\r\nQUIT\n\x31", b"\x16\x03\x01"]
    {
        assert_eq!(Wire::of(begun(gateway.public, bytes).await).read_to_end(SOON).await, "");
    }
    outcome(&gateway, "malformed", 4).await;
    for bytes in [&b""[..], b"PROXY", &v2([192, 0, 2, 7])[..27]] {
        assert_eq!(Wire::of(begun(gateway.public, bytes).await).read_to_end(SOON).await, "");
    }
    outcome(&gateway, "timeout", 3).await;
    drop(begun(gateway.public, b"").await);
    outcome(&gateway, "closed", 1).await;
    assert_eq!(origin.requests("/s/a"), 0);
}

#[tokio::test]
async fn from_others_a_header_is_no_request_and_a_reload_says_who_the_others_are() {
    let origin = Origin::start().await;
    let gateway = before(&origin, "[server]\nproxy_protocol_from = ['192.0.2.0/24']").await;
    let answer = wire::exchange(gateway.public, [V1, GET.as_bytes()].concat()).await;
    assert_eq!(wire::status(&answer), 400, "{answer}");
    let mut open = Wire::to(gateway.public).await;
    open.send(GET).await;
    assert_eq!(wire::status(&open.read_response().await.0), 200);
    gateway.reloaded(FROM).await;
    open.send(GET).await;
    assert_eq!(wire::status(&open.read_response().await.0), 200, "an open connection has begun already");
    assert_eq!(Wire::of(begun(gateway.public, GET.as_bytes()).await).read_to_end(SOON).await, "");
    let mut wire = Wire::of(begun(gateway.public, &[V1, GET.as_bytes()].concat()).await);
    assert_eq!(forwarded_for(&wire.read_response().await.1), json!(["192.0.2.7"]));
}

#[tokio::test]
async fn limits_count_the_clients_and_not_the_balancer() {
    let origin = Origin::start().await;
    let gateway = before(&origin, &format!("{FROM}[limits]\naddress_connections = 1")).await;
    let mut first = Wire::of(begun(gateway.public, &v2([192, 0, 2, 1])).await);
    first.send(GET).await;
    assert_eq!(wire::status(&first.read_response().await.0), 200);
    let mut second = Wire::of(begun(gateway.public, &v2([192, 0, 2, 1])).await);
    let answer = second.read_to_end(SOON).await;
    assert_eq!((wire::status(&answer), answer.contains("address-connections")), (429, true), "{answer}");
    let mut other = Wire::of(begun(gateway.public, &v2([192, 0, 2, 2])).await);
    other.send(GET).await;
    assert_eq!(wire::status(&other.read_response().await.0), 200);
    drop(first);
    eventually("its place is free again", SOON, async || {
        let mut again = Wire::of(begun(gateway.public, &v2([192, 0, 2, 1])).await);
        again.try_send(GET).await;
        (wire::status(&again.read_until("\r\n\r\n").await) == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_connection_has_its_place_before_the_header_and_none_after_the_end() {
    let origin = Origin::start().await;
    let mut gateway = before(&origin, FROM.trim()).await;
    let tail = format!("{FROM}max_connections = 1");
    gateway.reloaded(&tail).await;
    let silent = begun(gateway.public, b"PRO").await;
    let open = async || gateway.metrics().await.contains("\nfurt_client_connections 1\n").then_some(());
    eventually("it has the only place", SOON, open).await;
    let answer = Wire::of(begun(gateway.public, b"").await).read_to_end(SOON).await;
    assert_eq!(wire::status(&answer), 503, "{answer}");
    gateway.terminate();
    assert_eq!(Wire::of(silent).read_to_end(SOON).await, "");
    assert!(gateway.ended(SOON).await.success());
}

#[tokio::test]
async fn trusted_proxies_are_looked_for_among_the_clients_of_the_header() {
    let origin = Origin::start().await;
    let gateway = before(&origin, &format!("{FROM}trusted_proxies = ['192.0.2.7']")).await;
    let request = GET.replace("\r\n\r\n", "\r\nX-Forwarded-For: 203.0.113.5\r\n\r\n");
    for (client, expected) in
        [([192, 0, 2, 7], json!(["203.0.113.5, 192.0.2.7"])), ([192, 0, 2, 8], json!(["192.0.2.8"]))]
    {
        let mut wire = Wire::of(begun(gateway.public, &v2(client)).await);
        wire.send(&request).await;
        assert_eq!(forwarded_for(&wire.read_response().await.1), expected);
    }
}
