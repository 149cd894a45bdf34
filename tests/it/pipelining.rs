//! Bytes behind a request: the next requests of the client, or an empty line. They harm nothing, and wait for their turn.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::wire::{self, Wire};
use crate::support::{Gateway, Mode, Origin, SOON, eventually, ports, public_service, throughout};

async fn running() -> (Gateway, Origin, Wire) {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let wire = Wire::to(gateway.public).await;
    (gateway, origin, wire)
}

async fn arrives(origin: &Origin, path: &str) {
    eventually("the request arrives", SOON, async || (origin.requests(path) == 1).then_some(())).await;
}

/// Status and the path that the service saw, if it was asked.
async fn answered(wire: &mut Wire) -> (u16, String) {
    let (head, body) = wire.read_response().await;
    let seen: serde_json::Value = serde_json::from_str(&body).unwrap_or_default();
    let path = seen["path"].as_str().unwrap_or_default().to_owned();
    (wire::status(&head), path)
}

#[tokio::test]
async fn requests_that_come_at_once_are_answered_in_order_whatever_their_bodies_and_whoever_answers() {
    let (_gateway, _origin, mut wire) = running().await;
    wire.send(
        "GET /s/1 HTTP/1.1\r\nHost: g\r\n\r\n\
         POST /s/2 HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\nhello\r\n\
         GET /nowhere HTTP/1.1\r\nHost: g\r\n\r\n\n\
         POST /s/4 HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nx-t: 1\r\n\r\n\
         POST /nowhere HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\nhello\
         GET /health HTTP/1.1\r\nHost: g\r\n\r\n\r\n\r\n\
         POST /s/7 HTTP/1.1\r\nHost: g\r\nTE: trailers\r\nContent-Length: 0\r\n\r\n\
         GET /s/8 HTTP/1.1\r\nHost: g\r\nTE: trailers\r\n\r\n\
         GET /s/9 HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n\
         GET /s/10 HTTP/1.1\r\nHost: g\r\n\r\n",
    )
    .await;
    for (status, path) in [
        (200, "/s/1"),
        (200, "/s/2"),
        (404, ""),
        (200, "/s/4"),
        (404, ""),
        (200, ""),
        (200, "/s/7"),
        (200, "/s/8"),
        (200, "/s/9"),
    ] {
        assert_eq!(answered(&mut wire).await, (status, path.to_owned()));
    }
    assert_eq!(wire.read_to_end(SOON).await, "", "the last one was said to be the last");
}

#[tokio::test]
async fn what_comes_while_a_request_is_served_does_not_harm_it_and_waits_for_its_end() {
    for first in
        ["GET /s/1 HTTP/1.1\r\nHost: g\r\n\r\n", "POST /s/1 HTTP/1.1\r\nHost: g\r\nContent-Length: 3\r\n\r\nabc"]
    {
        let (_gateway, origin, mut wire) = running().await;
        origin.set_mode(Mode::Gated);
        wire.send(first).await;
        arrives(&origin, "/s/1").await;
        wire.send("\r\nGET /s/2 HTTP/1.1\r\nHo").await;
        throughout("it waits", Duration::from_millis(300), async || origin.requests("/s/2") == 0).await;
        wire.send("st: g\r\n\r\n").await;
        throughout("it waits", Duration::from_millis(100), async || origin.requests("/s/2") == 0).await;
        origin.release();
        assert_eq!(answered(&mut wire).await, (200, "/s/1".to_owned()));
        arrives(&origin, "/s/2").await;
        origin.release();
        assert_eq!(answered(&mut wire).await, (200, "/s/2".to_owned()));
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_noticed_though_it_sent_a_next_request() {
    let (gateway, origin, mut wire) = running().await;
    origin.set_mode(Mode::Hangs);
    wire.send("GET /s/1 HTTP/1.1\r\nHost: g\r\n\r\n").await;
    arrives(&origin, "/s/1").await;
    wire.send("GET /s/2 HTTP/1.1\r\nHost: g\r\n\r\n").await;
    drop(wire);
    eventually("the request ends", SOON, async || (gateway.instance("service").await["in_flight"] == 0).then_some(()))
        .await;
    assert_eq!(origin.requests("/s/2"), 0);
}

#[tokio::test]
async fn what_is_kept_of_later_requests_is_bounded() {
    let (gateway, origin, _) = running().await;
    origin.set_mode(Mode::Hangs);
    let mut stream = TcpStream::connect(gateway.public).await.unwrap();
    let request = "GET /s/1 HTTP/1.1\r\nHost: g\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    arrives(&origin, "/s/1").await;
    // More than the kernel takes on both sides.
    let flood = request.repeat(1_000_000);
    let sent = timeout(Duration::from_secs(1), stream.write_all(flood.as_bytes())).await;
    assert!(sent.is_err(), "all of {} bytes were taken: {sent:?}", flood.len());
}

/// Answers 101 after a while, and sends back what comes then.
async fn echo_after_101(mut stream: TcpStream) {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
    }
    tokio::time::sleep(Duration::from_millis(200)).await;
    let switch = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(switch).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    _ = tokio::io::copy(&mut reader, &mut writer).await;
}

#[tokio::test]
async fn what_a_client_sends_ahead_of_its_tunnel_arrives_in_it() {
    let (listener, url) = ports::service();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(echo_after_101(stream));
        }
    });
    let gateway = Gateway::start("").await;
    gateway.registered(&public_service("service", &url, "/s/*")).await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s/a HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\none ").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    wire.send("two ").await;
    assert_eq!(wire::status(&wire.read_until("\r\n\r\n").await), 101);
    wire.send("three.").await;
    assert_eq!(wire.read_until("three.").await, "one two three.");
}
