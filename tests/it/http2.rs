//! Services that speak HTTP/2, for clients of HTTP/1: slow readers, `Expect: 100-continue`, trailers, and requests that a
//! service did not process.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpSocket;

use crate::support::frames::{
    Act, Asked, ENHANCE_YOUR_CALM, Framed, NO_ERROR, Nature, REFUSED_STREAM, goaway, ok, reset,
};
use crate::support::wire::{self, exchange};
use crate::support::{Answer, Gateway, Mode, Origin, SOON, public_service, with};

const POST: &str = "POST /s/a HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello";

async fn before(tail: &str, url: &str) -> Gateway {
    let gateway = Gateway::start(tail).await;
    gateway.registered(&with(public_service("service", url, "/s/*"), json!({"protocol": "h2c"}))).await;
    gateway
}

/// A service of whose requests `number` meets `how`; all others get `ok`.
fn meets(number: usize, how: impl Fn(&Asked) -> Vec<Act> + Send + Sync + 'static) -> Framed {
    Framed::start(Nature::default(), move |asked| {
        if asked.number == number { how(asked) } else { vec![Act::Send(ok(asked.stream, "ok"))] }
    })
}

/// The statuses of so many `POST`s, one after the other.
async fn posts(gateway: &Gateway, count: usize) -> Vec<u16> {
    let mut statuses = Vec::new();
    for _ in 0..count {
        statuses.push(wire::status(&exchange(gateway.public, POST).await));
    }
    statuses
}

// Slow readers.

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

// Requests that a service did not process.

#[tokio::test]
async fn a_post_that_a_goaway_leaves_out_is_sent_on_a_new_connection() {
    for reason in [NO_ERROR, ENHANCE_YOUR_CALM] {
        let service =
            meets(1, move |asked| vec![Act::Send(goaway(asked.stream - 2, reason)), Act::Wait(SOON / 50), Act::Close]);
        let gateway = before("", &service.url()).await;
        assert_eq!(posts(&gateway, 4).await, [200; 4], "reason {reason}");
        assert_eq!((service.requests(), service.connections()), (5, 2 + 1), "reason {reason}");
    }
}

#[tokio::test]
async fn a_post_that_a_goaway_does_not_leave_out_is_never_sent_again() {
    for answers in [false, true] {
        let service = meets(1, move |asked| {
            let answer = if answers { Act::Send(ok(asked.stream, "late")) } else { Act::Wait(Duration::ZERO) };
            vec![Act::Send(goaway(asked.stream, NO_ERROR)), Act::Wait(SOON / 50), answer, Act::Close]
        });
        let gateway = before("", &service.url()).await;
        let expected = if answers { 200 } else { 502 };
        assert_eq!(posts(&gateway, 3).await, [200, expected, 200]);
        assert_eq!(service.requests(), 3);
    }
}

#[tokio::test]
async fn a_post_to_a_refused_stream_is_sent_again() {
    let service = meets(1, |asked| vec![Act::Send(reset(asked.stream, REFUSED_STREAM))]);
    let gateway = before("", &service.url()).await;
    assert_eq!(posts(&gateway, 3).await, [200; 3]);
    assert_eq!(service.requests(), 4);
    // Another reason says nothing of what was processed.
    let service = meets(1, |asked| vec![Act::Send(reset(asked.stream, 2))]);
    let gateway = before("", &service.url()).await;
    assert_eq!(posts(&gateway, 3).await, [200, 502, 200]);
    assert_eq!(service.requests(), 3);
}

#[tokio::test]
async fn a_request_that_is_always_refused_is_tried_as_often_as_configured() {
    for (retries, attempts) in [(0, 1), (2, 3)] {
        let service = Framed::start(Nature::default(), |asked| vec![Act::Send(reset(asked.stream, REFUSED_STREAM))]);
        let gateway = before(&format!("[upstream]\nretries = {retries}"), &service.url()).await;
        let answer = Answer::of(gateway.anonymous(Method::POST, "/s/a").body("hello")).await;
        answer.problem(502, "upstream-broken");
        assert_eq!(service.requests(), attempts);
    }
}

#[tokio::test]
async fn a_refused_body_that_is_not_kept_whole_is_not_sent_again() {
    let service = meets(0, |asked| vec![Act::Send(reset(asked.stream, REFUSED_STREAM))]);
    let gateway = before("", &service.url()).await;
    let post = |size| Answer::of(gateway.anonymous(Method::POST, "/s/a").body("x".repeat(size)));
    post(100_000).await.problem(502, "upstream-broken");
    assert_eq!(post(100_000).await.status, 200);
    assert_eq!(service.requests(), 2);
}

#[tokio::test]
async fn a_refused_body_arrives_whole_at_the_second_attempt() {
    let service = Framed::start(Nature::default(), |asked| {
        let echo = String::from_utf8_lossy(&asked.body[..asked.body.len().min(100)]).into_owned();
        let frames = if asked.number == 0 { reset(asked.stream, REFUSED_STREAM) } else { ok(asked.stream, &echo) };
        vec![Act::Send(frames)]
    });
    let gateway = before("", &service.url()).await;
    let answer = exchange(gateway.public, POST).await;
    assert!(wire::status(&answer) == 200 && answer.ends_with("hello"), "{answer}");
}

#[tokio::test]
async fn a_cold_connection_of_few_streams_refuses_no_client() {
    for most in [1, 3] {
        // Its limit arrives late, and many requests are on its first connection by then.
        let nature = Nature { most_streams: Some(most), late: Duration::from_millis(200) };
        let service = Framed::start(nature, |asked| {
            vec![Act::Wait(Duration::from_millis(20)), Act::Send(ok(asked.stream, "ok"))]
        });
        let gateway = before("", &service.url()).await;
        let ask = async |after: u64| {
            tokio::time::sleep(Duration::from_millis(after)).await;
            wire::status(&exchange(gateway.public, POST).await)
        };
        assert_eq!(join_all((0..10).map(|number| ask(number * 5))).await, [200; 10], "{most} streams");
        assert!(service.refused() > 0, "{most} streams: the test shows nothing");
        assert_eq!(service.requests(), 10, "{most} streams");
    }
}
