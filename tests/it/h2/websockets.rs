//! WebSockets of clients that speak HTTP/2 (RFC 8441).

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::json;
use tokio::io::DuplexStream;
use tokio_rustls::rustls;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::before;
use crate::support::h2_client::{Client, answered, as_bytes, asks, get, next};
use crate::support::tls::Edge;
use crate::support::{Gateway, Origin, READER, SOON, eventually, public_service, sagjan, with};

/// One that is open.
async fn open(client: &Client, url: &str, more: &[(&str, &str)]) -> WebSocketStream<DuplexStream> {
    let (answer, body, stream) = client.websocket(url, more).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    for name in ["connection", "upgrade", "sec-websocket-accept", "transfer-encoding", "content-length"] {
        assert!(!answer.headers.contains_key(name), "{answer:?}");
    }
    assert_eq!(answer.headers["x-gateway"], "furt");
    WebSocketStream::from_raw_socket(as_bytes(body, stream), Role::Client, None).await
}

async fn echoes(socket: &mut WebSocketStream<DuplexStream>, message: Message) {
    socket.send(message.clone()).await.unwrap();
    let echo = tokio::time::timeout(SOON, socket.next()).await.expect("an echo");
    assert!(echo.unwrap().unwrap() == message);
}

async fn are_all_over(gateway: &Gateway) {
    eventually("no request is left", SOON, async || {
        gateway.metrics().await.contains("furt_requests_in_flight 0\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_websocket_passes_and_ends_from_either_side() {
    let (gateway, origin) = (Gateway::start("[limits]\nmax_body = 1000").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let client = Client::to(gateway.public).await;
    let key = [("x-api-key", READER), ("sec-websocket-key", "the client's own")];
    let mut socket = open(&client, "http://gateway/api/comments/live", &key).await;
    for message in [Message::text("hello"), Message::binary(vec![0; 300_000]), Message::Text("ä".into())] {
        echoes(&mut socket, message).await;
    }
    // By the rules of WebSockets it is the service that ends the stream.
    socket.close(None).await.unwrap();
    eventually("the socket ends", SOON, async || socket.next().await.is_none().then_some(())).await;
    are_all_over(&gateway).await;

    for is_reset in [true, false] {
        let (answer, mut body, mut stream) = client.websocket("http://gateway/api/comments/live", &key).await;
        assert_eq!(answer.status, 200);
        match is_reset {
            true => stream.send_reset(h2::Reason::CANCEL),
            false => stream.send_data(bytes::Bytes::new(), true).unwrap(),
        }
        are_all_over(&gateway).await;
        let end = tokio::time::timeout(SOON, next(&mut body)).await.expect("an end");
        assert!(is_reset || end.as_ref().is_ok_and(|part| part.as_ref().is_none_or(bytes::Bytes::is_empty)), "{end:?}");
    }
}

#[tokio::test]
async fn many_share_a_connection_with_requests_and_under_tls() {
    let (edge, origin) = (Edge::new(), Origin::start().await);
    let gateway = Gateway::start(&edge.tail(&["a"], "")).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let mut offers = (*edge.client(rustls::ALL_VERSIONS)).clone();
    offers.alpn_protocols = vec![b"h2".to_vec()];
    let client = Client::over(edge.try_connect(&Arc::new(offers), "a.example").await.unwrap()).await;
    let sockets = join_all((0..30).map(|_| open(&client, "https://a.example/s/live", &[]))).await;
    let asked = join_all((0..30).map(|_| client.ask(get("/s/a").uri("https://a.example/s/a"))));
    let echoed = join_all(sockets.into_iter().map(|mut socket| async move {
        for number in 0..20 {
            echoes(&mut socket, Message::text(number.to_string())).await;
        }
        echoes(&mut socket, Message::binary(vec![7; 100_000])).await;
    }));
    let (answers, _) = tokio::join!(asked, echoed);
    assert!(answers.iter().all(|answer| answer.status == 200));
}

#[tokio::test]
async fn what_is_no_websocket_is_refused() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let client = Client::to(gateway.public).await;
    let (answer, ..) = client.websocket("http://gateway/api/comments/live", &[]).await;
    assert_eq!(answer.status, 401);
    let (answer, ..) = client.websocket("http://gateway/nowhere", &[]).await;
    assert_eq!(answer.status, 404);

    // To the client a 200 would be a WebSocket. That it is none is no fault of the instance, of which anybody may ask that.
    let plain = Origin::h2c().await;
    let service = with(public_service("plain", &plain.url(), "/plain/*"), json!({"protocol": "h2c"}));
    gateway.registered(&service).await;
    for _ in 0..40 {
        let (answer, ..) = client.websocket("http://gateway/plain/a", &[]).await;
        assert_eq!(answer.status, 502);
    }
    assert_eq!(client.ask(get("/plain/a")).await.status, 200);

    let mut other = asks(http::Method::CONNECT, "/api/comments/live");
    other = other.extension(h2::ext::Protocol::from_static("connect-udp"));
    let (response, _stream) = client.begin(other).await;
    answered(response).await.unwrap().problem(405, "method-not-allowed");
}

#[tokio::test]
async fn a_silent_one_outlives_the_read_timeout_and_not_that_of_streams() {
    let origin = Origin::start().await;
    let gateway = before("[upstream]\nread_timeout = '200ms'\n[client]\nbody_timeout = '200ms'", &origin).await;
    let client = Client::to(gateway.public).await;
    let mut socket = open(&client, "http://gateway/s/live", &[]).await;
    let silence = tokio::time::timeout(Duration::from_millis(1200), socket.next()).await;
    assert!(silence.is_err(), "{silence:?}");
    echoes(&mut socket, Message::text("still here")).await;

    let gateway = before("[upstream]\nread_timeout = '200ms'\nstream_read_timeout = '500ms'", &origin).await;
    let client = Client::to(gateway.public).await;
    let mut socket = open(&client, "http://gateway/s/live", &[]).await;
    let end = tokio::time::timeout(SOON, socket.next()).await.expect("an end");
    assert!(!matches!(end, Some(Ok(Message::Text(_) | Message::Binary(_)))), "{end:?}");
    are_all_over(&gateway).await;
}

#[tokio::test]
async fn one_lasts_through_a_reload_a_drain_and_within_the_grace() {
    let (mut gateway, origin) = (Gateway::start("[server]\ngrace = '20s'").await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let client = Client::to(gateway.public).await;
    let mut socket = open(&client, "http://gateway/s/live", &[]).await;
    gateway.reloaded("[server]\ngrace = '20s'\n[limits]\nmax_body = 10").await;
    echoes(&mut socket, Message::text("after the reload, and longer than a body may be")).await;
    let path = "/internal/services/service/instances/service?drain=30";
    let drained = tokio::spawn(gateway.operate(http::Method::DELETE, path).send());
    echoes(&mut socket, Message::text("while it drains")).await;
    gateway.terminate();
    echoes(&mut socket, Message::text("while furt stops")).await;
    socket.close(None).await.unwrap();
    assert!(gateway.ended(SOON).await.success());
    drop(drained);
}
