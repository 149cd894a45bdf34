//! Services that speak HTTP/2, for clients of HTTP/1: slow readers, `Expect: 100-continue`, trailers, and requests that a
//! service did not process.

use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Method;
use serde_json::json;
use tokio::net::TcpSocket;

use crate::support::frames::{
    Act, Asked, ENHANCE_YOUR_CALM, Framed, NO_ERROR, Nature, REFUSED_STREAM, data, goaway, headers, ok, reset,
};
use crate::support::wire::{self, Wire, exchange};
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, public_service, with};

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

/// A request with so many chunks of 100 bytes.
fn in_small_chunks(count: usize) -> String {
    let chunk = format!("64\r\n{}\r\n", "c".repeat(100));
    let header = "POST /s/a HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{header}{}0\r\n\r\n", chunk.repeat(count))
}

/// One frame for each chunk, and the service would take them for an attack.
#[tokio::test]
async fn many_small_chunks_reach_their_service() {
    let origin = Origin::h2c().await;
    let gateway = before("", &origin.url()).await;
    let request = in_small_chunks(10_000);
    for number in 0..10 {
        let answer = exchange(gateway.public, request.clone()).await;
        assert_eq!(wire::status(&answer), 200, "{number}");
        assert!(answer.contains("\"body_length\":1000000"), "{number}");
    }
}

#[tokio::test]
async fn refused_chunks_arrive_whole_at_the_second_attempt() {
    let service = Framed::start(Nature::default(), |asked| match asked.number {
        0 => vec![Act::Send(reset(asked.stream, REFUSED_STREAM))],
        _ => vec![Act::Send(ok(asked.stream, &asked.body.len().to_string()))],
    });
    let gateway = before("", &service.url()).await;
    let answer = exchange(gateway.public, in_small_chunks(500)).await;
    assert!(wire::status(&answer) == 200 && answer.contains("50000"), "{answer}");
    assert_eq!(service.requests(), 2);
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

// Expectations.

#[tokio::test]
async fn a_client_that_waits_to_be_told_is_told_to_send_its_body() {
    let origin = Origin::h2c().await;
    let gateway = before("", &origin.url()).await;
    for (framing, body) in [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")] {
        let mut wire = Wire::to(gateway.public).await;
        wire.send(format!("POST /s/a HTTP/1.1\r\nHost: gateway\r\nExpect: 100-Continue\r\n{framing}\r\n\r\n")).await;
        assert_eq!(wire.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
        wire.send(body).await;
        let (head, body) = wire.read_response().await;
        let arrived: serde_json::Value = serde_json::from_str(&body).unwrap();
        assert_eq!((wire::status(&head), &arrived["body"]), (200, &json!("hello")), "{head}");
        assert_eq!(arrived["headers"]["expect"], json!(null));
        // The connection is as good as before.
        wire.send("GET /s/b HTTP/1.1\r\nHost: gateway\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n").await;
        let answer = wire.read_to_end(SOON).await;
        assert_eq!(wire::status(&answer), 200, "there is no body to wait for: {answer} after {head}");
    }
}

#[tokio::test]
async fn a_client_that_cannot_be_served_is_not_told_to_send_its_body() {
    let mut origin = Origin::h2c().await;
    let gateway = before("", &origin.url()).await;
    let request = "POST /s/a HTTP/1.1\r\nHost: gateway\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
    origin.stop().await;
    let answer = exchange(gateway.public, request).await;
    assert!(wire::status(&answer) == 502 && !answer.contains("100 Continue"), "{answer}");
    origin.restart().await;
    let old = request.replace("HTTP/1.1", "HTTP/1.0") + "hello";
    assert_eq!(wire::status(&exchange(gateway.public, old).await), 200, "HTTP/1.0 knows no interim answers");
}

#[tokio::test]
async fn a_client_that_was_told_to_send_is_told_once_also_where_the_service_refuses() {
    let service = meets(0, |asked| vec![Act::Send(reset(asked.stream, REFUSED_STREAM))]);
    let gateway = before("", &service.url()).await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("POST /s/a HTTP/1.1\r\nHost: gateway\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(wire.read_until("\r\n\r\n").await, "HTTP/1.1 100 Continue\r\n\r\n");
    wire.send("hello").await;
    let (head, body) = wire.read_response().await;
    assert_eq!((wire::status(&head), body.as_str(), service.requests()), (200, "ok", 2));
}

// Trailers.

const GET: &str = "GET /s/a HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n";

/// A service that answers with a body and trailers; `pause` is between its header, its body and its trailers.
fn trailing(fields: &[(&'static str, &'static str)], trailers: &[(&'static str, &'static str)], pause: u64) -> Framed {
    let fields = [&[(":status", "200")], fields].concat();
    let trailers = trailers.to_vec();
    Framed::start(Nature::default(), move |asked| {
        let stream = asked.stream;
        let wait = || Act::Wait(Duration::from_millis(pause));
        let body = Act::Send([data(stream, b"0\r\n\r\n", false), data(stream, b"end", false)].concat());
        let trailers = Act::Send(headers(stream, &trailers, true));
        vec![Act::Send(headers(stream, &fields, false)), wait(), body, wait(), trailers]
    })
}

#[tokio::test]
async fn trailers_pass_to_a_client_that_takes_them() {
    for (pause, request) in [
        (0, format!("{GET}TE: trailers\r\n\r\n")),
        (50, format!("{GET}te: gzip;q=0.5, Trailers\r\n\r\n")),
        (50, POST.replace("Host", "TE: trailers\r\nHost")),
    ] {
        // What frames or routes a message is no trailer.
        let trailers = [("x-sum", "12"), ("host", "x"), ("content-length", "9"), ("grpc-status", "5")];
        let service = trailing(&[("trailer", "x-sum"), ("content-length", "8")], &trailers, pause);
        let gateway = before("", &service.url()).await;
        let answer = exchange(gateway.public, &request).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert_eq!(wire::header(&answer, "trailer"), Some("x-sum"), "{head}");
        assert_eq!(wire::header(&answer, "transfer-encoding"), Some("chunked"), "{head}");
        assert_eq!(wire::header(&answer, "content-length"), None, "{head}");
        assert!(body.ends_with("end\r\n0\r\nx-sum: 12\r\ngrpc-status: 5\r\n\r\n"), "{body:?}");
        assert!(body.contains("0\r\n\r\nend") || body.contains("5\r\n0\r\n\r\n\r\n3\r\nend"), "{body:?}");
    }
}

#[tokio::test]
async fn a_connection_serves_on_after_trailers() {
    let service = trailing(&[], &[("x-sum", "12")], 0);
    let gateway = before("", &service.url()).await;
    let mut wire = Wire::to(gateway.public).await;
    for _ in 0..3 {
        wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\nTE: trailers\r\n\r\n").await;
        assert_eq!(wire::status(&wire.read_until("\r\n\r\n").await), 200);
        wire.read_until("\r\n0\r\nx-sum: 12\r\n\r\n").await;
        wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
        assert_eq!(wire::status(&wire.read_until("\r\n\r\n").await), 200);
        wire.read_until("end\r\n0\r\n\r\n").await;
    }
}

#[tokio::test]
async fn a_service_is_told_that_trailers_are_taken_only_where_they_are() {
    let origin = Origin::h2c().await;
    let gateway = before("", &origin.url()).await;
    for (te, expected) in [("TE: trailers\r\n", json!(["trailers"])), ("TE: gzip\r\n", json!(null)), ("", json!(null))]
    {
        let answer = exchange(gateway.public, format!("{GET}{te}\r\n")).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let arrived: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(arrived["headers"]["te"], expected, "{te}");
    }
}

#[tokio::test]
async fn trailers_that_are_dropped_are_not_announced() {
    let service = trailing(&[("trailer", "x-sum")], &[("x-sum", "12"), ("grpc-status", "0")], 20);
    let gateway = before("", &service.url()).await;
    for te in ["", "TE: gzip\r\n"] {
        let answer = exchange(gateway.public, format!("{GET}{te}\r\n")).await;
        assert_eq!(wire::status(&answer), 200, "{answer}");
        assert_eq!(wire::header(&answer, "trailer"), None, "{answer}");
        assert!(answer.ends_with("end\r\n0\r\n\r\n"), "{answer}");
    }
}

#[tokio::test]
async fn a_grpc_call_that_failed_is_never_read_as_success() {
    let failed = [("grpc-status", "13"), ("grpc-message", "broken")];
    for (pause, length) in [(0, None), (50, None), (50, Some(("content-length", "8")))] {
        let fields: Vec<_> = [("content-type", "application/grpc")].into_iter().chain(length).collect();
        let service = trailing(&fields, &failed, pause);
        let gateway = before("", &service.url()).await;
        let answer = exchange(gateway.public, format!("{GET}\r\n")).await;
        // By what was sent before the trailers came.
        match wire::status(&answer) {
            502 => {
                assert!(
                    answer.contains("\"code\":\"grpc-failed\"") && answer.contains("status 13: broken"),
                    "{answer}"
                );
                assert_eq!(wire::header(&answer, "grpc-status"), Some("13"), "{answer}");
            }
            200 => {
                assert_eq!(wire::header(&answer, "transfer-encoding"), Some("chunked"), "{answer}");
                assert!(!answer.ends_with("0\r\n\r\n"), "the answer is complete: {answer}");
            }
            other => panic!("{other}: {answer}"),
        }
        // The instance is not at fault.
        assert_eq!(posts(&gateway, 6).await.len(), 6);
        let instance = &gateway.service("service").await.unwrap()["instances"][0];
        assert_eq!(instance["ejected_until"], json!(null), "{instance}");
    }
}

#[tokio::test]
async fn a_grpc_call_that_failed_within_its_body_shows_as_a_break() {
    let service = trailing(&[("content-type", "application/grpc")], &[("grpc-status", "4")], 100);
    let gateway = before("", &service.url()).await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s/a HTTP/1.1\r\nHost: gateway\r\n\r\n").await;
    let head = wire.read_until("\r\n\r\n").await;
    assert_eq!(wire::status(&head), 200);
    let rest = wire.read_to_end(SOON).await;
    assert!(rest.contains("end\r\n") && !rest.ends_with("\r\n0\r\n\r\n"), "{rest:?}");
    // What gRPC itself says in the header is seen by all.
    let service = Framed::start(Nature::default(), |asked| {
        let fields = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-status", "7")];
        vec![Act::Send(headers(asked.stream, &fields, true))]
    });
    let gateway = before("", &service.url()).await;
    let answer = exchange(gateway.public, POST).await;
    assert_eq!((wire::status(&answer), wire::header(&answer, "grpc-status")), (200, Some("7")), "{answer}");
}

#[tokio::test]
async fn a_grpc_answer_to_a_client_of_http_1_0_is_refused() {
    let service =
        trailing(&[("content-type", "application/grpc"), ("content-length", "8")], &[("grpc-status", "0")], 0);
    let gateway = before("", &service.url()).await;
    let answer = exchange(gateway.public, "GET /s/a HTTP/1.0\r\nHost: gateway\r\nTE: trailers\r\n\r\n").await;
    assert_eq!(wire::status(&answer), 502, "{answer}");
}

#[tokio::test]
async fn a_failed_grpc_call_is_counted_as_failed() {
    let service = trailing(&[("content-type", "application/grpc")], &[("grpc-status", "4")], 50);
    let gateway = before("", &service.url()).await;
    exchange(gateway.public, format!("{GET}\r\n")).await;
    eventually("it is counted", SOON, async || {
        let service = gateway.service("service").await.unwrap();
        (service["requests"]["errors"] == 1).then_some(())
    })
    .await;
}
