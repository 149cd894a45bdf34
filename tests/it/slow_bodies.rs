//! Bodies that come slowly, or that nobody waits for any more.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire};
use crate::support::{Gateway, Mode, Origin, SOON, eventually, ports, public_service, throughout, with};

/// Less than the default, for the sake of the tests' time.
const WINDOW: &str = "[client]\nbody_min_rate_window = 1";
const LONG: Duration = Duration::from_millis(2500);

async fn before(settings: &str, url: &str, fields: serde_json::Value) -> Gateway {
    let gateway = Gateway::start(settings).await;
    gateway.registered(&with(public_service("service", url, "/s/*"), fields)).await;
    gateway
}

/// Sends a header and then `piece` again and again, until furt answers or `most` is over; gives the time and the answer so far.
async fn drip(gateway: &Gateway, header: &str, piece: &str, most: Duration) -> (Duration, String) {
    let mut stream = TcpStream::connect(gateway.public).await.unwrap();
    stream.write_all(format!("POST /s/a HTTP/1.1\r\nHost: g\r\n{header}\r\n\r\n").as_bytes()).await.unwrap();
    let (begin, mut answer) = (Instant::now(), Vec::new());
    while begin.elapsed() < most {
        let read = tokio::time::timeout(Duration::from_millis(200), stream.read_buf(&mut answer)).await;
        if read.is_ok() {
            break;
        }
        stream.write_all(piece.as_bytes()).await.unwrap();
    }
    let took = begin.elapsed();
    _ = tokio::time::timeout(Duration::from_millis(200), stream.read_to_end(&mut answer)).await;
    (took, String::from_utf8_lossy(&answer).into_owned())
}

const SIZED: &str = "Content-Length: 100000";
const CHUNKED: &str = "Transfer-Encoding: chunked";

#[tokio::test]
async fn a_body_that_drips_is_refused_and_one_at_the_least_rate_is_not() {
    for (origin, protocol) in [(Origin::start().await, "http1"), (Origin::h2c().await, "h2c")] {
        let gateway = before(WINDOW, &origin.url(), json!({"protocol": protocol})).await;
        for (header, piece) in [(SIZED, "a"), (CHUNKED, "1\r\na\r\n")] {
            let (took, answer) = drip(&gateway, header, piece, SOON).await;
            assert!(wire::status(&answer) == 408 && answer.contains("body-timeout"), "{protocol}: {answer}");
            assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&took), "{protocol}: {took:?}");
        }
        let (_, answer) = drip(&gateway, SIZED, &"a".repeat(60), LONG).await;
        assert_eq!(answer, "", "{protocol}: 300 bytes a second");
        eventually("nobody is blamed", SOON, async || {
            gateway.instance("service").await["ejected_until"].is_null().then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_client_that_sent_much_may_pause() {
    let origin = Origin::start().await;
    let gateway = before(WINDOW, &origin.url(), json!({})).await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send(format!("POST /s/a HTTP/1.1\r\nHost: g\r\nContent-Length: 5005\r\n\r\n{}", "a".repeat(5000))).await;
    tokio::time::sleep(LONG).await;
    wire.send("hello").await;
    assert_eq!(wire::status(&wire.read_response().await.0), 200);
}

#[tokio::test]
async fn streams_and_bodies_whose_answer_has_begun_may_drip() {
    let origin = Origin::start().await;
    for (mode, header) in [
        (Mode::Echo, "Accept: text/event-stream\r\nContent-Length: 100000"),
        (Mode::Echo, "Content-Type: application/grpc+proto\r\nContent-Length: 100000"),
        (Mode::Mirror, SIZED),
    ] {
        origin.set_mode(mode);
        let gateway = before(WINDOW, &origin.url(), json!({})).await;
        let mut wire = Wire::to(gateway.public).await;
        wire.send(format!("POST /s/a HTTP/1.1\r\nHost: g\r\n{header}\r\n\r\na")).await;
        let end = Instant::now() + LONG;
        while Instant::now() < end {
            tokio::time::sleep(Duration::from_millis(200)).await;
            wire.send("a").await;
            if mode == Mode::Mirror {
                wire.read_until("a").await;
            }
        }
        assert!(!wire.is_closed().await, "{header}");
        assert_eq!(gateway.instance("service").await["in_flight"], 1, "{header}");
    }
}

/// Runs `serve` for each connection to a listener, and gives its url.
fn service<F: Future<Output = ()> + Send + 'static>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> String {
    let (listener, url) = ports::service();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream));
        }
    });
    url
}

async fn read_head(stream: &mut TcpStream) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn the_time_of_a_service_that_does_not_take_the_body_is_not_the_clients() {
    const LENGTH: usize = 30_000_000;
    let url = service(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        tokio::time::sleep(LONG).await;
        let mut left = LENGTH;
        let mut buffer = vec![0; 65_536];
        while left > 0 {
            left -= stream.read(&mut buffer).await.unwrap();
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    });
    let settings = format!("{WINDOW}\nbody_total_timeout = 2");
    let gateway = before(&settings, &url, json!({"health_endpoint": null})).await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send(format!("POST /s/a HTTP/1.1\r\nHost: g\r\nContent-Length: {LENGTH}\r\n\r\n")).await;
    wire.send(vec![b'a'; LENGTH]).await;
    assert_eq!(wire::status(&wire.read_response().await.0), 200);
}

#[tokio::test]
async fn a_client_that_waits_to_be_told_to_send_is_not_waited_for() {
    let url = service(async |mut stream: TcpStream| {
        read_head(&mut stream).await;
        tokio::time::sleep(LONG).await;
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.unwrap();
        stream.read_exact(&mut [0; 5]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await.unwrap();
    });
    let gateway = before(WINDOW, &url, json!({"health_endpoint": null})).await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("POST /s/a HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    assert_eq!(wire::status(&wire.read_until("\r\n\r\n").await), 100);
    // Now it is, and an interim answer is no answer.
    let begin = Instant::now();
    assert_eq!(wire::status(&wire.read_to_end(SOON).await), 408);
    assert!(begin.elapsed() >= Duration::from_millis(900), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_body_may_have_a_time_in_all() {
    let origin = Origin::start().await;
    let gateway = before("[client]\nbody_total_timeout = '1s'", &origin.url(), json!({})).await;
    let (took, answer) = drip(&gateway, SIZED, &"a".repeat(1000), SOON).await;
    assert!(wire::status(&answer) == 408 && answer.contains("body-timeout"), "{answer}");
    assert!((Duration::from_millis(900)..Duration::from_secs(3)).contains(&took), "{took:?}");
    let gateway = before("[client]\nbody_min_rate = 0", &origin.url(), json!({})).await;
    let (_, answer) = drip(&gateway, SIZED, "a", Duration::from_secs(6)).await;
    assert_eq!(answer, "", "without limits");
}

#[tokio::test]
async fn an_early_answer_gives_the_slot_back_while_the_client_still_sends() {
    for answer in [
        "HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 Unauthorized\r\nContent-Length: 4\r\n\r\nkey?",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndone\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
    ] {
        let scripted = Scripted::start(answer, Then::Hang).await;
        let gateway = before("", &scripted.url(), json!({"hard_limit": 1})).await;
        let mut clients = Vec::new();
        for turn in 1..=3 {
            let mut wire = Wire::to(gateway.public).await;
            wire.send("POST /s/a HTTP/1.1\r\nHost: g\r\nContent-Length: 100\r\n\r\na").await;
            let head = wire.read_until("\r\n\r\n").await;
            assert_eq!(wire::status(&head), wire::status(answer), "{turn}: {head}");
            clients.push(wire);
        }
        eventually("all slots are free", SOON, async || {
            (gateway.instance("service").await["in_flight"] == 0).then_some(())
        })
        .await;
        for client in &mut clients {
            assert!(client.try_send("b").await);
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_not_whole_keeps_its_slot() {
    let origin = Origin::start().await;
    origin.set_mode(Mode::Mirror);
    let gateway = before("", &origin.url(), json!({})).await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("POST /s/a HTTP/1.1\r\nHost: g\r\nContent-Length: 2\r\n\r\na").await;
    wire.read_until("a").await;
    throughout("it is in flight", Duration::from_millis(300), async || {
        gateway.instance("service").await["in_flight"] == 1
    })
    .await;
    wire.send("b").await;
    wire.read_until("b").await;
    eventually("it is over", SOON, async || (gateway.instance("service").await["in_flight"] == 0).then_some(())).await;
}
