//! Requests with a body: a service is judged by the time in which it had everything it needs, and by nothing that a client does.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use crate::support::h2_client::{Client, asks};
use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, ports, public_service, with};

/// What the service may take, and less than clients pause.
const READ: &str = "[upstream]\nread_timeout = '400ms'";
const PAUSE: Duration = Duration::from_millis(900);

async fn ejected(gateway: &Gateway) -> bool {
    let service = gateway.service("service").await.unwrap();
    service["instances"].as_array().unwrap().iter().any(|instance| !instance["ejected_until"].is_null())
}

async fn pair(url: &str, protocol: &str) -> Gateway {
    let gateway = Gateway::start(READ).await;
    // One url is one instance; a name that leads there is another one.
    for (instance, url) in [("one", url.to_owned()), ("two", url.replace("127.0.0.1", "localhost"))] {
        let fields = json!({"instance": instance, "protocol": protocol});
        gateway.registered(&with(public_service("service", &url, "/s/*"), fields)).await;
    }
    gateway
}

#[tokio::test]
async fn a_client_may_pause_in_its_body_for_longer_than_a_service_may_take() {
    for (origin, protocol) in [(Origin::start().await, "http1"), (Origin::h2c().await, "h2c")] {
        let gateway = pair(&origin.url(), protocol).await;
        for (framing, first, last) in [
            ("Content-Length: 10", "hello", "world"),
            ("Transfer-Encoding: chunked", "5\r\nhello\r\n", "5\r\nworld\r\n0\r\n\r\n"),
        ] {
            let mut wire = Wire::to(gateway.public).await;
            wire.send(format!("POST /s/a HTTP/1.1\r\nHost: gateway\r\n{framing}\r\n\r\n{first}")).await;
            tokio::time::sleep(PAUSE).await;
            wire.send(last).await;
            let (head, body) = wire.read_response().await;
            assert_eq!(wire::status(&head), 200, "{protocol}, {framing}: {head}{body}");
            assert!(body.contains("helloworld"), "{protocol}, {framing}: {body}");
        }
    }
}

#[tokio::test]
async fn clients_that_begin_a_body_and_stop_get_nobody_ejected() {
    let origin = Origin::start().await;
    let gateway = pair(&origin.url(), "http1").await;
    let mut stopped = Vec::new();
    for _ in 0..30 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("POST /s/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100\r\n\r\na").await;
        stopped.push(wire);
    }
    tokio::time::sleep(PAUSE).await;
    assert!(!ejected(&gateway).await);
    drop(stopped);
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.ok();
}

#[tokio::test]
async fn a_service_that_gives_up_on_a_client_that_stopped_is_not_at_fault() {
    // It answers nothing and closes a while after the header, as a service with a timeout of its own does.
    let scripted = Scripted::start_slow("", Then::Close, Duration::from_millis(1300)).await;
    let gateway = pair(&scripted.url(), "http1").await;
    let mut stopped = Vec::new();
    for _ in 0..12 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("POST /s/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 100\r\n\r\na").await;
        stopped.push(wire);
    }
    for wire in &mut stopped {
        assert_eq!(wire::status(&wire.read_to_end(SOON).await), 502);
    }
    assert!(!ejected(&gateway).await);
}

#[tokio::test]
async fn a_service_that_has_the_whole_body_and_hangs_is_given_up_in_its_own_time() {
    for (origin, protocol) in [(Origin::start().await, "http1"), (Origin::h2c().await, "h2c")] {
        origin.set_mode(Mode::Hangs);
        let gateway = pair(&origin.url(), protocol).await;
        for framing in ["Content-Length: 5\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"] {
            let begin = Instant::now();
            let mut wire = Wire::to(gateway.public).await;
            wire.send(format!("POST /s/a HTTP/1.1\r\nHost: gateway\r\n{framing}")).await;
            let (head, body) = wire.read_response().await;
            assert!(wire::status(&head) == 504 && body.contains("upstream-timeout"), "{protocol}: {head}{body}");
            let took = begin.elapsed();
            assert!((Duration::from_millis(350)..Duration::from_secs(5)).contains(&took), "{protocol}: {took:?}");
        }
        // And is judged for it: five in a row eject it.
        eventually("it is ejected", SOON, async || {
            Answer::of(gateway.anonymous(Method::POST, "/s/a").body("hello")).await.problem(504, "upstream-timeout");
            ejected(&gateway).await.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_service_that_stops_within_its_answer_to_a_body_is_given_up_in_its_own_time() {
    let origin = Origin::start().await;
    origin.set_mode(Mode::StopsWithin);
    let gateway = pair(&origin.url(), "http1").await;
    let mut wire = Wire::to(gateway.public).await;
    let begin = Instant::now();
    wire.send("POST /s/a HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nhello").await;
    let answer = wire.read_to_end(Duration::from_secs(5)).await;
    assert_eq!(wire::status(&answer), 200);
    assert!(begin.elapsed() >= Duration::from_millis(350), "{:?}", begin.elapsed());
}

#[tokio::test]
async fn a_service_that_does_not_say_whether_it_wants_a_body_is_given_up_in_its_own_time() {
    let scripted = Scripted::start("", Then::Hang).await;
    let gateway = pair(&scripted.url(), "http1").await;
    let mut wire = Wire::to(gateway.public).await;
    wire.send("POST /s/a HTTP/1.1\r\nHost: gateway\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    let answer = wire.read_to_end(Duration::from_secs(5)).await;
    assert_eq!(wire::status(&answer), 504, "{answer}");
}

#[tokio::test]
async fn a_stream_that_answers_a_body_may_be_silent() {
    let origin = Origin::start().await;
    origin.set_mode(Mode::Events);
    let gateway = pair(&origin.url(), "http1").await;
    let mut wire = Wire::to(gateway.public).await;
    let accept = "Accept: text/event-stream\r\nContent-Length: 5\r\n\r\nhello";
    wire.send(format!("POST /s/a HTTP/1.1\r\nHost: gateway\r\n{accept}")).await;
    wire.read_until("\r\n\r\n").await;
    tokio::time::sleep(PAUSE).await;
    assert!(origin.emit("late"));
    wire.read_until("late").await;
}

#[tokio::test]
async fn an_upload_waits_for_an_instance_that_another_upload_keeps_full() {
    let origin = Origin::start().await;
    let gateway = Gateway::start(READ).await;
    gateway.registered(&with(public_service("service", &origin.url(), "/s/*"), json!({"hard_limit": 1}))).await;
    let mut first = Wire::to(gateway.public).await;
    first.send("POST /s/first HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nhe").await;
    eventually("it is under way", SOON, async || (gateway.instance("service").await["in_flight"] == 1).then_some(()))
        .await;
    let mut second = Wire::to(gateway.public).await;
    second.send("POST /s/second HTTP/1.1\r\nHost: gateway\r\nContent-Length: 5\r\n\r\nwo").await;
    // Longer than the service may take: neither the client that pauses nor the one that waits is judged by that.
    tokio::time::sleep(PAUSE).await;
    second.send("rld").await;
    assert_eq!(origin.requests("/s/second"), 0);
    first.send("llo").await;
    for (mut wire, body) in [(first, "hello"), (second, "world")] {
        let (head, answer) = wire.read_response().await;
        assert!(wire::status(&head) == 200 && answer.contains(body), "{body}: {head}{answer}");
    }
    assert!(!ejected(&gateway).await);
}

#[tokio::test]
async fn an_upload_under_way_ends_well_through_a_drain_and_a_reload() {
    for framing in ["Content-Length: 10\r\n\r\nhello", "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"] {
        let origin = Origin::start().await;
        let gateway = pair(&origin.url(), "http1").await;
        let mut wire = Wire::to(gateway.public).await;
        wire.send(format!("POST /s/a HTTP/1.1\r\nHost: gateway\r\n{framing}")).await;
        let in_flight = async || {
            let service = gateway.service("service").await.unwrap();
            service["instances"].as_array().unwrap().iter().filter_map(|one| one["in_flight"].as_u64()).sum::<u64>()
        };
        eventually("it is under way", SOON, async || (in_flight().await == 1).then_some(())).await;
        Answer::of(gateway.operate(Method::POST, "/internal/services/service/drain")).await.ok();
        gateway.reloaded("[upstream]\nread_timeout = '300ms'").await;
        tokio::time::sleep(PAUSE).await;
        Answer::of(gateway.anonymous(Method::GET, "/s/b")).await.problem(503, "draining");
        wire.send(if framing.starts_with('C') { "world" } else { "5\r\nworld\r\n0\r\n\r\n" }).await;
        let (head, body) = wire.read_response().await;
        assert!(wire::status(&head) == 200 && body.contains("helloworld"), "{framing}: {head}{body}");
        eventually("it has ended", SOON, async || (in_flight().await == 0).then_some(())).await;
    }
}

/// What a service is sent, which answers each body that ends. It takes one connection after the other: furt does
/// not always get to keep one.
async fn service_that_keeps_all() -> (String, Arc<Mutex<Vec<u8>>>, JoinHandle<()>) {
    let (listener, url) = ports::service();
    let sent = Arc::<Mutex<Vec<u8>>>::default();
    let kept = Arc::clone(&sent);
    let task = tokio::spawn(async move {
        let (mut answered, mut buffer) = (0, [0; 4096]);
        while let Ok((mut stream, _)) = listener.accept().await {
            while let Ok(count @ 1..) = stream.read(&mut buffer).await {
                kept.lock().unwrap().extend_from_slice(&buffer[..count]);
                let ended = ends(&kept.lock().unwrap());
                if ended > answered {
                    answered = ended;
                    _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
                }
            }
        }
    });
    (url, sent, task)
}

/// How many bodies have ended, which consist of letters.
fn ends(sent: &[u8]) -> usize {
    sent.windows(7).filter(|window| *window == b"\r\n0\r\n\r\n").count()
}

/// A second end is what the service takes for its next request, and answers the next client with.
#[tokio::test]
async fn a_body_of_unknown_length_ends_once() {
    let (url, sent, task) = service_that_keeps_all().await;
    let gateway = Gateway::start("").await;
    gateway.registered(&public_service("service", &url, "/s/*")).await;
    let client = Client::to(gateway.public).await;
    for (number, parts) in
        [&["aaa", "bbb", ""][..], &["aaa"], &["", "a", ""], &[""], &["a", ""]].into_iter().enumerate()
    {
        let (answer, mut body) = client.begin(asks(Method::POST, "/s/a")).await;
        for part in parts {
            body.send_data(Bytes::from_static(part.as_bytes()), false).unwrap();
        }
        body.send_data(Bytes::new(), true).unwrap();
        let answer = tokio::time::timeout(SOON, answer).await.expect("an answer").unwrap();
        assert_eq!(answer.status(), 200, "{number}");
    }
    let sent = String::from_utf8(sent.lock().unwrap().clone()).unwrap();
    assert!(!sent.contains("0\r\n\r\n0\r\n"), "{sent}");
    assert_eq!((ends(sent.as_bytes()), sent.matches("POST /s/a HTTP/1.1\r\n").count()), (5, 5), "{sent}");
    task.abort();
}
