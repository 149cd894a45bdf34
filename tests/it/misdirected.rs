//! Requests for a host on a connection that is not one for it: 421, over HTTP/1.1 and HTTP/2 alike.

use std::sync::Arc;

use tokio_rustls::rustls;

use crate::support::h2_client::Client;
use crate::support::tls::Edge;
use crate::support::wire::{self, Wire};
use crate::support::{Gateway, Origin, public_service};

/// A gateway with two certificates before a service of every host.
async fn before(edge: &Edge, origin: &Origin, more: &str) -> Gateway {
    edge.write("a", &["a.example", "*.b.example", "127.0.0.1"]);
    edge.write("c", &["c.example"]);
    let gateway = Gateway::start(&edge.tail(&["a", "c"], more)).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    gateway
}

/// What a request for `host` is answered on a connection that asked for `name`: with that version of HTTP.
async fn status(edge: &Edge, alpn: &[u8], name: &str, host: &str) -> (u16, String) {
    let mut client = (*edge.client(rustls::ALL_VERSIONS)).clone();
    client.alpn_protocols = vec![alpn.to_vec()];
    client.enable_sni = !name.is_empty();
    let name = if name.is_empty() { "127.0.0.1" } else { name };
    let stream = edge.try_connect(&Arc::new(client), name).await.unwrap_or_else(|why| panic!("{name}: {why}"));
    if alpn == b"h2" {
        let client = Client::over(stream).await;
        let answer = client.ask(http::Request::builder().uri(format!("https://{host}/s/a"))).await;
        // The connection goes on.
        let own = client.ask(http::Request::builder().uri(format!("https://{name}/s/a"))).await;
        assert_eq!(own.status, 200, "{own:?}");
        return (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap());
    }
    let mut wire = Wire::of(stream);
    wire.send(format!("GET /s/a HTTP/1.1\r\nHost: {host}\r\n\r\nGET /s/a HTTP/1.1\r\nHost: {name}\r\n\r\n")).await;
    let (head, body) = wire.read_response().await;
    let (own, _) = wire.read_response().await;
    assert_eq!(wire::status(&own), 200, "{own}");
    (wire::status(&head), body)
}

#[tokio::test]
async fn a_connection_takes_requests_for_the_hosts_of_its_certificate_and_no_others() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let _gateway = before(&edge, &origin, "").await;
    for alpn in [&b"http/1.1"[..], b"h2"] {
        for (name, host, expected) in [
            ("a.example", "a.example", 200),
            ("a.example", "A.Example", 200),
            ("a.example", "a.example:8443", 200),
            ("a.example", "a.example.", 200),
            ("a.example", "x.b.example", 200),
            ("a.example", "127.0.0.1", 200),
            ("a.example", "b.example", 421),
            ("a.example", "y.x.b.example", 421),
            ("a.example", "c.example", 421),
            ("a.example", "c.example:443", 421),
            ("a.example", "other.example", 421),
            ("a.example", "[::1]", 421),
            ("c.example", "c.example", 200),
            ("c.example", "a.example", 421),
            // Without a name: whoever connects by address knows where it goes.
            ("", "a.example", 200),
            ("", "other.example", 200),
        ] {
            let (status, body) = status(&edge, alpn, name, host).await;
            assert_eq!(status, expected, "{name} {host}: {body}");
            assert!(status == 200 || body.contains("\"code\":\"misdirected-request\""), "{name} {host}: {body}");
        }
    }
}

#[tokio::test]
async fn furts_own_health_and_the_hosts_of_trusted_proxies_are_never_misdirected() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = before(&edge, &origin, "").await;
    let mut wire = edge.wire().await;
    wire.send("GET /health HTTP/1.1\r\nHost: c.example\r\n\r\n").await;
    assert_eq!(wire::status(&wire.read_response().await.0), 200);
    wire.send("GET /s/a HTTP/1.0\r\n\r\n").await;
    assert_eq!(wire::status(&wire.read_response().await.0), 200, "no host is no other host");
    gateway.reloaded(&edge.tail(&["a", "c"], "[server]\ntrusted_proxies = ['127.0.0.1']")).await;
    assert_eq!(status(&edge, b"http/1.1", "a.example", "other.example").await.0, 200);
}
