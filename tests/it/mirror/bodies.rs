//! Bodies of requests that are copied: whole, once, or not at all.

use bytes::Bytes;
use reqwest::Method;
use serde_json::json;

use super::{comes_to, counted, counted_in_all, mirror, next, service};
use crate::support::h2_client::{Client, asks};
use crate::support::recorder::Recorder;
use crate::support::scripted::{Scripted, Then};
use crate::support::wire::Wire;
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, ports, with};

/// A chunked request with a body of so many bytes, in chunks of at most 100.
fn chunked(path: &str, length: usize) -> String {
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: g\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n");
    for at in (0..length).step_by(100) {
        let part = (length - at).min(100);
        request += &format!("{part:x}\r\n{}\r\n", "b".repeat(part));
    }
    request + "0\r\n\r\n"
}

#[tokio::test]
async fn bodies_of_both_protocols_are_copied_whole_with_their_length() {
    let gateway = Gateway::start(&mirror(", methods = ['POST'], max_body = '1MiB'")).await;
    let client = Client::to(gateway.public).await;
    let body = Bytes::from_iter((0..1024 * 1024_u32).map(|number| (number % 251) as u8));
    let mut copied = 0;
    for protocol in ["http1", "h2c"] {
        let (primary, mirrored) = (Recorder::start().await, Recorder::start().await);
        gateway.registered(&with(service(primary.url()), json!({"protocol": protocol}))).await;
        gateway.registered(&with(next(mirrored.url()), json!({"protocol": protocol}))).await;
        for length in [1, 5, 100_000, 1024 * 1024] {
            let body = body.slice(..length);
            assert_eq!(client.send(asks(Method::POST, "/s/h2"), body.clone()).await.status, 200);
            assert_eq!(Answer::of(gateway.anonymous(Method::POST, "/s/h1").body(body.clone())).await.status, 200);
            let mut wire = Wire::to(gateway.public).await;
            wire.send(chunked("/s/chunked", length)).await;
            wire.read_until("HTTP/1.1 200").await;
            copied += 3;
            comes_to(&gateway, "answered", copied).await;
            let seen = mirrored.seen();
            for (path, expected) in [("/s/h2", &body), ("/s/h1", &body), ("/s/chunked", &"b".repeat(length).into())] {
                let copy = seen.iter().rfind(|one| one.target() == path).unwrap();
                assert!(copy.body == *expected, "{path}: {} bytes of {length}", copy.body.len());
                assert_eq!(copy.headers["content-length"], length.to_string().as_str(), "{path}");
                assert!(!copy.headers.contains_key("transfer-encoding"), "{path}");
            }
        }
    }
    assert_eq!(counted_in_all(&gateway).await, copied);
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_not_copied_and_reaches_its_service() {
    let gateway = Gateway::start(&mirror(", methods = ['POST'], max_body = 1000")).await;
    let (primary, mirrored) = (Recorder::start().await, Recorder::start().await);
    gateway.registered(&service(primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    let mut too_large = 0;
    for length in [1000, 1001] {
        let body = "a".repeat(length);
        assert_eq!(Answer::of(gateway.anonymous(Method::POST, "/s/a").body(body)).await.status, 200);
        let mut wire = Wire::to(gateway.public).await;
        wire.send(chunked("/s/b", length)).await;
        wire.read_until("HTTP/1.1 200").await;
        too_large += if length > 1000 { 2 } else { 0 };
        comes_to(&gateway, "too_large", too_large).await;
    }
    comes_to(&gateway, "answered", 2).await;
    assert!(mirrored.seen().iter().all(|copy| copy.body.len() == 1000), "{:?}", mirrored.seen());
    assert_eq!(primary.has(4).await.len(), 4);
}

#[tokio::test]
async fn a_request_that_ends_within_its_body_has_no_copy() {
    let gateway = Gateway::start(&mirror(", methods = ['POST']")).await;
    let (primary, mirrored) = (Origin::start().await, Recorder::start().await);
    gateway.registered(&service(&primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    let begun = "POST /s/a HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nhello";
    let mut leaves = Wire::to(gateway.public).await;
    leaves.send(begun).await;
    eventually("it is at its service", SOON, async || (primary.requests("/s/a") == 1).then_some(())).await;
    drop(leaves);
    comes_to(&gateway, "cut_off", 1).await;

    primary.set_mode(Mode::Status(403));
    let mut refused = Wire::to(gateway.public).await;
    refused.send(begun).await;
    refused.read_until("HTTP/1.1 403").await;
    drop(refused);
    comes_to(&gateway, "cut_off", 2).await;

    let mut slow = Wire::to(gateway.public).await;
    slow.send(begun).await;
    comes_to(&gateway, "timed_out", 1).await;
    slow.send("world").await;
    drop(slow);
    primary.set_mode(Mode::Echo);
    Answer::of(gateway.anonymous(Method::POST, "/s/last").body("whole")).await.ok();
    comes_to(&gateway, "answered", 1).await;
    assert_eq!(mirrored.seen().iter().map(|one| one.target().to_owned()).collect::<Vec<_>>(), ["/s/last"]);
    assert_eq!(counted_in_all(&gateway).await, 4);
}

#[tokio::test]
async fn clients_that_send_slowly_keep_nobody_else_s_request_from_being_copied() {
    let gateway = Gateway::start(&mirror(", methods = ['GET', 'POST']")).await;
    let (primary, mirrored) = (Origin::start().await, Recorder::start().await);
    gateway.registered(&service(&primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    let mut slow = Vec::new();
    for _ in 0..64 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("POST /s/slow HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\nhello").await;
        slow.push(wire);
    }
    let all_begun = async || (primary.requests("/s/slow") == 64).then_some(());
    eventually("all of them are at their service", SOON, all_begun).await;
    Answer::of(gateway.anonymous(Method::POST, "/s/quick").body("whole")).await.ok();
    comes_to(&gateway, "too_many", 1).await;
    Answer::of(gateway.anonymous(Method::GET, "/s/get")).await.ok();
    comes_to(&gateway, "answered", 2).await;
    let mut targets: Vec<_> = mirrored.seen().iter().map(|one| one.target().to_owned()).collect();
    targets.sort();
    assert_eq!(targets, ["/s/get", "/s/quick"]);
    eventually("each other one is given up", SOON, async || (counted_in_all(&gateway).await == 66).then_some(())).await;
    assert_eq!((counted(&gateway, "too_many").await, counted(&gateway, "timed_out").await), (1, 63));
}

#[tokio::test]
async fn what_is_sent_to_its_service_again_is_copied_once() {
    let gateway = Gateway::start(&mirror(", methods = ['GET', 'PUT']")).await;
    let (primary, mirrored) = (Recorder::start().await, Recorder::start().await);
    gateway.registered(&with(service(primary.url()), json!({"instance": "a"}))).await;
    // A fifth of the requests may be sent twice: so many pay for all that follows.
    for _ in 0..100 {
        assert_eq!(Answer::of(gateway.anonymous(Method::POST, "/s/before")).await.status, 200);
    }
    let breaks = Scripted::start("", Then::Close).await;
    for (id, url) in [("b", breaks.url()), ("c", format!("http://{}", ports::free_address()))] {
        gateway.registered(&with(service(&url), json!({"instance": id}))).await;
    }
    gateway.registered(&next(mirrored.url())).await;
    let client = Client::to(gateway.public).await;
    for number in 0..8 {
        let target = format!("/s/{number}");
        assert_eq!(Answer::of(gateway.anonymous(Method::GET, &target)).await.status, 200);
        assert_eq!(Answer::of(gateway.anonymous(Method::PUT, &target).body("hello")).await.status, 200);
        assert_eq!(client.send(asks(Method::PUT, &target), "hello".into()).await.status, 200);
    }
    comes_to(&gateway, "answered", 24).await;
    let retried = gateway.metrics().await;
    assert!(!retried.contains("furt_upstream_retries_total 0\n") && breaks.requests() > 0, "something was sent again");
    for copy in mirrored.seen() {
        let expected = if copy.method == Method::PUT { "hello" } else { "" };
        assert_eq!(copy.body, expected, "{copy:?}");
    }
    let ids = |recorder: &Recorder| {
        let mut seen = recorder.seen();
        seen.retain(|one| one.method != Method::POST);
        let mut ids: Vec<_> = seen.iter().map(|one| one.headers["x-request-id"].clone()).collect();
        ids.sort();
        ids
    };
    assert_eq!((ids(&mirrored).len(), ids(&mirrored)), (24, ids(&primary)));
    assert_eq!(counted(&gateway, "cut_off").await, 0);
}
