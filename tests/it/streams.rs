//! Streams, known by what the client asks for or by what the service answers, and how long any service may be silent.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::support::frames::{Act, Framed, Nature, ok};
use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, public_service, with};

/// What a service may take that is no stream.
const READ: &str = "[upstream]\nread_timeout = '400ms'";
/// Longer than that.
const SILENCE: Duration = Duration::from_millis(1000);

async fn before(tail: &str, url: &str, protocol: &str) -> Gateway {
    let gateway = Gateway::start(tail).await;
    gateway.registered(&with(public_service("service", url, "/s/*"), json!({"protocol": protocol}))).await;
    gateway
}

async fn asked(gateway: &Gateway, request: &str) -> Wire {
    let mut wire = Wire::to(gateway.public).await;
    wire.send(request).await;
    wire
}

/// Whether the answer to a `GET` with `fields` from a service that sends `answer` and no more is cut.
async fn is_cut(answer: &'static str, fields: &str) -> bool {
    let service = Scripted::start(answer, Then::Hang).await;
    let gateway = before(READ, &service.url(), "http1").await;
    let mut wire = asked(&gateway, &format!("GET /s/a HTTP/1.1\r\nHost: gateway\r\n{fields}\r\n")).await;
    if !answer.is_empty() {
        wire.read_until("\r\n\r\n").await;
    }
    tokio::time::timeout(SILENCE, wire.read_to_end(SOON)).await.is_ok()
}

#[tokio::test]
async fn a_stream_that_its_answer_alone_tells_may_be_silent() {
    for (origin, protocol) in [(Origin::start().await, "http1"), (Origin::h2c().await, "h2c")] {
        origin.set_mode(Mode::Events);
        let gateway = before(READ, &origin.url(), protocol).await;
        for request in [
            "GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n",
            "GET /s/a HTTP/1.1\r\nHost: gateway\r\nAccept: */*\r\n\r\n",
            "POST /s/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nhello",
            "POST /s/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 0\r\n\r\n",
            "POST /s/a HTTP/1.1\r\nHost: gateway\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ] {
            let mut wire = asked(&gateway, request).await;
            wire.read_until("\r\n\r\n").await;
            tokio::time::sleep(SILENCE).await;
            assert!(origin.emit("late"), "{protocol}: the service has lost {request}");
            wire.read_until("late").await;
        }
    }
}

#[tokio::test]
async fn a_stream_is_known_by_its_media_type_in_any_case() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\nContent-Type: Text/Event-Stream; charset=utf-8\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Type: application/grpc\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Type: Application/gRPC-Web+proto\r\n\r\n", false),
        ("HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n", true),
        ("HTTP/1.1 200 OK\r\n\r\n", true),
    ] {
        assert_eq!(is_cut(answer, "").await, expected, "{answer}");
    }
}

#[tokio::test]
async fn a_stream_is_asked_for_in_any_line_and_any_case_of_accept() {
    for (fields, expected) in [
        ("Accept: text/html\r\nAccept: TEXT/event-stream\r\n", false),
        ("Accept: text/html, Text/Event-Stream;q=0.5\r\n", false),
        ("Accept: text/html\r\nAccept: */*\r\n", true),
    ] {
        // One that has not begun to answer has as long.
        assert_eq!(is_cut("", fields).await, expected, "{fields}");
    }
}

#[tokio::test]
async fn a_stream_that_is_silent_for_the_time_of_streams_is_cut() {
    for (origin, protocol) in [(Origin::start().await, "http1"), (Origin::h2c().await, "h2c")] {
        origin.set_mode(Mode::Events);
        let gateway = before(&format!("{READ}\nstream_read_timeout = '800ms'"), &origin.url(), protocol).await;
        let mut wire = asked(&gateway, "GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
        wire.read_until("\r\n\r\n").await;
        let begin = Instant::now();
        wire.read_to_end(SOON).await;
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(700), "{protocol}: {took:?}");
        eventually("the service is told", SOON, async || (!origin.emit("late")).then_some(())).await;
    }
}

#[tokio::test]
async fn each_request_of_a_connection_has_its_own_time() {
    let origin = Origin::start().await;
    let gateway = before(READ, &origin.url(), "http1").await;
    let mut wire = Wire::to(gateway.public).await;
    for pause in [0, 100, 500] {
        for request in [
            "GET /s/a HTTP/1.1\r\nHost: gateway\r\nAccept: text/event-stream\r\n\r\n",
            "GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n",
            "POST /s/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nhello",
        ] {
            wire.send(request).await;
            assert_eq!(wire::status(&wire.read_response().await.0), 200);
            tokio::time::sleep(Duration::from_millis(pause)).await;
        }
    }
    origin.set_mode(Mode::Hangs);
    let begin = Instant::now();
    wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    let answer = wire.read_to_end(SOON).await;
    let took = begin.elapsed();
    assert_eq!(wire::status(&answer), 504, "{answer}");
    assert!((Duration::from_millis(390)..Duration::from_secs(2)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_service_that_sends_a_little_now_and_then_is_never_cut() {
    for (origin, protocol) in [(Origin::start().await, "http1"), (Origin::h2c().await, "h2c")] {
        origin.set_mode(Mode::Events);
        let tail = format!("{READ}\nstream_read_timeout = '400ms'");
        let gateway = before(&tail, &origin.url(), protocol).await;
        let mut wire = asked(&gateway, "GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
        wire.read_until("\r\n\r\n").await;
        for event in ["one", "two", "three", "four", "five", "six"] {
            tokio::time::sleep(Duration::from_millis(200)).await;
            assert!(origin.emit(event), "{protocol}: cut before {event}");
            wire.read_until(event).await;
        }
    }
}

#[tokio::test]
async fn a_client_that_reads_late_is_no_fault_of_the_service() {
    let origin = Origin::start().await;
    origin.set_mode(Mode::Zeros(30_000_000));
    let gateway = before(READ, &origin.url(), "http1").await;
    let mut wire = asked(&gateway, "GET /s/a HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n\r\n").await;
    tokio::time::sleep(SILENCE).await;
    let answer = wire.read_to_end(SOON * 3).await;
    assert!(answer.len() > 30_000_000, "{}", answer.len());
}

#[tokio::test]
async fn a_client_that_was_queued_longer_than_a_service_may_take_is_answered() {
    let origin = Origin::start().await;
    let gateway = Gateway::start(READ).await;
    gateway.registered(&with(public_service("service", &origin.url(), "/s/*"), json!({"hard_limit": 1}))).await;
    origin.set_mode(Mode::Events);
    let mut first = asked(&gateway, "GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    first.read_until("\r\n\r\n").await;
    origin.set_mode(Mode::Echo);
    let mut second = asked(&gateway, "GET /s/b HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    tokio::time::sleep(SILENCE).await;
    assert_eq!(origin.requests("/s/b"), 0);
    drop(first);
    // That the client is gone is found out by what is sent to it.
    assert!(origin.emit("late"));
    let (head, body) = second.read_response().await;
    assert_eq!(wire::status(&head), 200, "{head}{body}");
}

#[tokio::test]
async fn a_connection_of_http_2_on_which_nothing_is_answered_is_not_used_again() {
    for request in [Method::GET, Method::POST] {
        // Of each connection only the first request is answered.
        let service = Framed::start(Nature::default(), |asked| {
            if asked.stream == 1 { vec![Act::Send(ok(asked.stream, "ok"))] } else { Vec::new() }
        });
        let gateway = before(READ, &service.url(), "h2c").await;
        let ask = async || Answer::of(gateway.anonymous(request.clone(), "/s/a").body("hello")).await;
        for expected in [200, 504, 200] {
            assert_eq!(ask().await.status, expected, "{request}");
        }
        assert_eq!(service.requests(), 3);
    }
}
