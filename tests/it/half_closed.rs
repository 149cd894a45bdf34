//! Clients that have closed their sending side: those that wait for an answer get it (RFC 9112 §9.6), and those that are gone
//! end the service's work soon.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire};
use crate::support::{Gateway, Mode, Origin, SOON, eventually, ports, public_service, throughout, with};

const GET: &str = "GET /s/a HTTP/1.1\r\nHost: g\r\n\r\n";
const OLD: &str = "GET /s/a HTTP/1.0\r\n\r\n";
const SIZED: &str = "POST /s/a HTTP/1.1\r\nHost: g\r\nContent-Length: 5\r\n\r\nhello";
const CHUNKED: &str = "POST /s/a HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";

async fn before(url: &str, protocol: &str) -> Gateway {
    let gateway = Gateway::start("").await;
    gateway.registered(&with(public_service("service", url, "/s/*"), json!({"protocol": protocol}))).await;
    gateway
}

async fn services() -> [(Origin, &'static str); 2] {
    [(Origin::start().await, "http1"), (Origin::h2c().await, "h2c")]
}

async fn in_flight(gateway: &Gateway, count: usize) {
    eventually("so many are in flight", SOON, async || {
        (gateway.instance("service").await["in_flight"] == count).then_some(())
    })
    .await;
}

/// A client that has read the header of its answer.
async fn with_header(gateway: &Gateway) -> Wire {
    let mut wire = Wire::to(gateway.public).await;
    wire.send(GET).await;
    wire.read_until("\r\n\r\n").await;
    wire
}

/// The service is done with a client that is gone, by furt's count.
async fn ends_within(gateway: &Gateway, seconds: u64) {
    let begin = Instant::now();
    in_flight(gateway, 0).await;
    let took = begin.elapsed();
    assert!(took < Duration::from_secs(seconds), "{took:?}");
}

#[tokio::test]
async fn a_client_that_sends_no_more_gets_its_answer_however_late_it_is() {
    for (origin, protocol) in services().await {
        // Long enough for a few probes.
        origin.set_mode(Mode::Works(1500));
        let gateway = before(&origin.url(), protocol).await;
        for request in [GET, OLD, SIZED, CHUNKED] {
            let mut wire = Wire::to(gateway.public).await;
            wire.send(request).await;
            wire.end_sending().await;
            let answer = wire.read_to_end(SOON).await;
            assert_eq!(wire::status(&answer), 200, "{protocol}, {request}: {answer}");
            let body = answer.split_once("\r\n\r\n").unwrap().1;
            assert_eq!(wire::header(&answer, "content-length").unwrap(), body.len().to_string(), "{answer}");
        }
    }
}

#[tokio::test]
async fn requests_that_were_pipelined_are_all_answered_and_then_furt_closes() {
    let origin = Origin::start().await;
    origin.set_mode(Mode::Works(300));
    let gateway = before(&origin.url(), "http1").await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send([GET, SIZED, "GET /nowhere HTTP/1.1\r\nHost: g\r\n\r\n", CHUNKED].concat()).await;
    wire.end_sending().await;
    for status in [200, 200, 404, 200] {
        assert_eq!(wire::status(&wire.read_response().await.0), status);
    }
    assert_eq!(wire.read_to_end(SOON).await, "");
}

#[tokio::test]
async fn a_client_that_is_gone_ends_the_services_work_soon() {
    for (origin, protocol) in services().await {
        origin.set_mode(Mode::Hangs);
        let gateway = before(&origin.url(), protocol).await;
        for request in [GET, OLD, SIZED, CHUNKED] {
            let mut wire = Wire::to(gateway.public).await;
            wire.send(request).await;
            in_flight(&gateway, 1).await;
            drop(wire);
            ends_within(&gateway, 2).await;
            // Of an HTTP/2 service the stream is reset alone, and one with a body to read does not look for the end.
            if protocol == "http1" && request == GET {
                eventually("the service is told", SOON, async || (origin.serving_connections() == 0).then_some(()))
                    .await;
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_waits_for_a_while_and_leaves_then_ends_the_services_work_soon() {
    let origin = Origin::start().await;
    origin.set_mode(Mode::Hangs);
    let gateway = before(&origin.url(), "http1").await;
    for reads_first in [false, true] {
        let mut wire = Wire::to(gateway.public).await;
        wire.send(GET).await;
        in_flight(&gateway, 1).await;
        wire.end_sending().await;
        throughout("it is served", Duration::from_millis(300), async || {
            gateway.instance("service").await["in_flight"] == 1
        })
        .await;
        if reads_first {
            // All that it was sent: then its leaving is told by nothing but what is sent next.
            assert_eq!(wire.read_until("H").await, "H");
        }
        drop(wire);
        ends_within(&gateway, 4).await;
    }
}

#[tokio::test]
async fn after_interim_answers_it_is_the_same() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n";
    let scripted = Scripted::start(hints, Then::Hang).await;
    let gateway = before(&scripted.url(), "http1").await;
    let mut wire = with_header(&gateway).await;
    wire.end_sending().await;
    assert_eq!(wire.read_until("H").await, "H");
    drop(wire);
    ends_within(&gateway, 5).await;
}

#[tokio::test]
async fn an_answer_that_has_begun_goes_on_and_a_client_that_left_it_is_noticed_by_its_next_part() {
    let origin = Origin::start().await;
    origin.set_mode(Mode::Events);
    let gateway = before(&origin.url(), "http1").await;
    let mut wire = with_header(&gateway).await;
    wire.end_sending().await;
    throughout("it goes on", Duration::from_millis(1500), async || gateway.instance("service").await["in_flight"] == 1)
        .await;
    assert!(origin.emit("late"));
    wire.read_until("late").await;
    drop(wire);
    // What was read is no reason to reset: the part that comes next is.
    origin.emit("to nobody");
    ends_within(&gateway, 5).await;
}

#[tokio::test]
async fn a_silent_answer_is_given_up_a_while_after_its_client_sends_no_more() {
    let origin = Origin::start().await;
    origin.set_mode(Mode::Events);
    let gateway = before(&origin.url(), "http1").await;
    let wire = with_header(&gateway).await;
    let begin = Instant::now();
    drop(wire);
    eventually("it is given up", Duration::from_secs(20), async || {
        (gateway.instance("service").await["in_flight"] == 0).then_some(())
    })
    .await;
    assert!(begin.elapsed() > Duration::from_secs(4), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_client_that_waits_in_the_queue_is_served_and_one_that_is_gone_gives_up_its_turn() {
    let origin = Origin::start().await;
    origin.set_mode(Mode::Gated);
    let gateway = Gateway::start("").await;
    gateway.registered(&with(public_service("service", &origin.url(), "/s/*"), json!({"hard_limit": 1}))).await;
    let mut first = Wire::to(gateway.public).await;
    first.send(GET).await;
    in_flight(&gateway, 1).await;
    let waiting = async |count: usize| {
        eventually("so many wait", SOON, async || {
            (gateway.service("service").await.unwrap()["waiting"] == count).then_some(())
        })
        .await;
    };
    let mut gone = Wire::to(gateway.public).await;
    gone.send(GET).await;
    waiting(1).await;
    drop(gone);
    waiting(0).await;
    let mut stays = Wire::to(gateway.public).await;
    stays.send(GET).await;
    stays.end_sending().await;
    waiting(1).await;
    origin.release();
    assert_eq!(wire::status(&first.read_response().await.0), 200);
    in_flight(&gateway, 1).await;
    eventually("it arrives", SOON, async || (origin.requests("/s/a") == 2).then_some(())).await;
    origin.release();
    assert_eq!(wire::status(&stays.read_to_end(SOON).await), 200);
}

const UPGRADE: &str = "GET /s/a HTTP/1.1\r\nHost: g\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
const SWITCH: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";

#[tokio::test]
async fn what_the_service_still_sends_in_a_tunnel_arrives() {
    let (listener, url) = ports::service();
    let service = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        while !read.ends_with(b"\r\n\r\n") {
            assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0);
        }
        stream.write_all(SWITCH).await.unwrap();
        stream.read_exact(&mut [0; 4]).await.unwrap();
        for part in ["one ", "two ", "three"] {
            tokio::time::sleep(Duration::from_millis(500)).await;
            stream.write_all(part.as_bytes()).await.unwrap();
        }
        // And is told that nothing more comes.
        assert_eq!(stream.read(&mut [0]).await.unwrap_or(0), 0);
    });
    let gateway = before(&url, "http1").await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send(UPGRADE).await;
    wire.read_until("\r\n\r\n").await;
    wire.send("last").await;
    wire.end_sending().await;
    assert_eq!(wire.read_to_end(SOON).await, "one two three");
    service.await.unwrap();
}
