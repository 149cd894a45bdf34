//! Services that speak HTTP/2, for clients of HTTP/1.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use tokio::net::TcpSocket;

use crate::support::{Answer, Gateway, Mode, Origin, SOON, public_service, with};

async fn before(tail: &str, url: &str) -> Gateway {
    let gateway = Gateway::start(tail).await;
    gateway.registered(&with(public_service("service", url, "/s/*"), json!({"protocol": "h2c"}))).await;
    gateway
}

/// Asks and reads no more than the header of the answer; the system's buffers for it are small.
async fn slow_reader(gateway: &Gateway) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let stream = socket.connect(gateway.public).await.unwrap();
    stream.writable().await.unwrap();
    stream.try_write(b"GET /s/large HTTP/1.1\r\nHost: gateway\r\n\r\n").unwrap();
    stream.readable().await.unwrap();
    stream
}

#[tokio::test]
async fn clients_that_read_slowly_keep_no_other_answer_from_coming() {
    const LENGTH: u64 = 200_000;
    let origin = Origin::h2c().await;
    let gateway = before("", &origin.url()).await;
    origin.set_mode(Mode::Zeros(100_000_000));
    let mut slow = Vec::new();
    for _ in 0..40 {
        slow.push(slow_reader(&gateway).await);
    }
    assert_eq!(origin.serving_connections(), 1, "they share a connection");
    // Long enough for the service to have sent what it may.
    tokio::time::sleep(Duration::from_millis(500)).await;
    origin.set_mode(Mode::Zeros(LENGTH));
    for _ in 0..5 {
        let answer = Answer::of(gateway.anonymous(Method::GET, "/s/a").timeout(SOON)).await;
        assert_eq!((answer.status.as_u16(), answer.body.len() as u64), (200, LENGTH));
    }
    assert_eq!(origin.serving_connections(), 1, "and the others share it with them");
}
