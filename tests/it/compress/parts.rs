//! Answers that come part by part, that break off, that end with trailers, and that are counted and timed.

use std::time::Duration;

use futures_util::stream;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::*;
use crate::support::frames::{Act, Framed, Nature, data, headers};
use crate::support::h2_client::{asks, next};
use crate::support::throughout;
use crate::support::wire::Wire;

/// Reads until what came can be decoded to `expected`.
async fn read_as_far_as(
    expected: &[u8],
    coding: &str,
    encoded: &mut Vec<u8>,
    mut more: impl AsyncFnMut() -> Option<Bytes>,
) {
    while encoded.is_empty() || decode(coding, encoded).0 != expected {
        let part = timeout(SOON, more()).await;
        let part =
            part.unwrap_or_else(|_| panic!("{coding}: only {} bytes came for {}", encoded.len(), expected.len()));
        encoded.extend_from_slice(&part.expect("the answer goes on"));
    }
}

fn parts() -> [Vec<u8>; 4] {
    [b"first".to_vec(), b"second".to_vec(), text(300_000).into_bytes(), b"last".to_vec()]
}

async fn mirror(protocol: &str) -> (Gateway, Origin) {
    let origin = if protocol == "h2c" { Origin::h2c().await } else { Origin::start().await };
    origin.set_mode(Mode::Mirror);
    let gateway = Gateway::start(PLAIN).await;
    gateway.registered(&compressed(&origin.url(), json!({"protocol": protocol}))).await;
    (gateway, origin)
}

#[tokio::test]
async fn a_client_of_http_1_reads_each_part_before_the_next_one_is_sent() {
    for protocol in ["http1", "h2c"] {
        let (gateway, _origin) = mirror(protocol).await;
        for coding in CODINGS {
            let (sender, receiver) = mpsc::channel::<Vec<u8>>(1);
            let body = stream::unfold(receiver, |mut receiver| async {
                receiver.recv().await.map(|part| (Ok::<_, io::Error>(part), receiver))
            });
            let asked = gateway.anonymous(Method::POST, "/s/a").header("accept-encoding", coding);
            let answering = tokio::spawn(asked.body(reqwest::Body::wrap_stream(body)).send());
            let (mut plain, mut encoded) = (Vec::new(), Vec::new());
            let mut response = None;
            let mut answering = Some(answering);
            for part in parts() {
                plain.extend_from_slice(&part);
                sender.send(part).await.unwrap();
                if let Some(answering) = answering.take() {
                    response = Some(timeout(SOON, answering).await.expect("the header").unwrap().unwrap());
                }
                let response = response.as_mut().unwrap();
                assert_eq!(response.headers()["content-encoding"], coding);
                read_as_far_as(&plain, coding, &mut encoded, async || response.chunk().await.unwrap()).await;
            }
            drop(sender);
            let mut response = response.unwrap();
            while let Some(part) = timeout(SOON, response.chunk()).await.expect("the end").unwrap() {
                encoded.extend_from_slice(&part);
            }
            assert!(decoded(coding, &encoded) == plain, "{protocol} {coding}");
        }
    }
}

#[tokio::test]
async fn a_client_of_http_2_reads_each_part_before_the_next_one_is_sent() {
    for protocol in ["http1", "h2c"] {
        let (gateway, _origin) = mirror(protocol).await;
        let client = Client::to(gateway.public).await;
        for coding in CODINGS {
            let asked = asks(Method::POST, "/s/a").header("accept-encoding", coding);
            let (answering, mut sending) = client.begin(asked).await;
            let (mut plain, mut encoded, mut answering) = (Vec::new(), Vec::new(), Some(answering));
            let mut body = None;
            for part in parts() {
                plain.extend_from_slice(&part);
                // As much as the windows take: the rest is sent while the answer is read.
                sending.send_data(part.into(), false).unwrap();
                if let Some(answering) = answering.take() {
                    let (head, answer) = timeout(SOON, answering).await.expect("the header").unwrap().into_parts();
                    assert_eq!(head.headers["content-encoding"], coding);
                    body = Some(answer);
                }
                let body = body.as_mut().unwrap();
                read_as_far_as(&plain, coding, &mut encoded, async || next(body).await.unwrap()).await;
            }
            sending.send_data(Bytes::new(), true).unwrap();
            let mut body = body.unwrap();
            while let Some(part) = timeout(SOON, next(&mut body)).await.expect("the end").unwrap() {
                encoded.extend_from_slice(&part);
            }
            assert!(decoded(coding, &encoded) == plain, "{protocol} {coding}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_has_no_end() {
    for protocol in ["http1", "h2c"] {
        let (gateway, origin) = mirror(protocol).await;
        origin.set_mode(Mode::BreaksOff);
        let client = Client::to(gateway.public).await;
        for coding in CODINGS {
            let asked = gateway.anonymous(Method::GET, "/s/a").header("accept-encoding", coding);
            let mut response = asked.send().await.unwrap();
            assert_eq!(response.headers()["content-encoding"], coding);
            let mut encoded = Vec::new();
            let end = loop {
                match timeout(SOON, response.chunk()).await.expect("the end") {
                    Ok(Some(part)) => encoded.extend_from_slice(&part),
                    end => break end,
                }
            };
            assert!(end.is_err(), "{protocol} {coding}: its client is told");
            assert_eq!(decode(coding, &encoded), (b"first".to_vec(), false), "{protocol} {coding}");

            let reset = client.try_ask(h2_client::get("/s/a").header("accept-encoding", coding)).await.unwrap_err();
            assert!(reset.is_reset(), "{protocol} {coding}: {reset}");
        }
    }
}

#[tokio::test]
async fn an_answer_that_is_shorter_than_its_length_has_no_end() {
    use crate::support::scripted::{Scripted, Then};
    let bytes = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5000\r\n\r\nonly this";
    let service = Scripted::start(bytes, Then::Close).await;
    let gateway = Gateway::start("").await;
    gateway.registered(&compressed(&service.url(), json!({}))).await;
    let request = "GET /s/a HTTP/1.1\r\nHost: g\r\nAccept-Encoding: gzip\r\nConnection: close\r\n\r\n";
    let answer = wire::exchange(gateway.public, request).await;
    assert_eq!(wire::header(&answer, "content-encoding"), Some("gzip"));
    assert!(!answer.ends_with("0\r\n\r\n"), "{answer:?}");
}

/// A service of HTTP/2 that answers with a text and trailers, or with a header alone.
fn framed(is_empty: bool) -> Framed {
    Framed::start(Nature::default(), move |asked| {
        let (stream, fields) = (asked.stream, [(":status", "200"), ("content-type", "text/plain")]);
        let header = headers(stream, &fields, is_empty);
        if is_empty {
            return vec![Act::Send(header)];
        }
        let content = [data(stream, b"some ", false), data(stream, b"text", false)].concat();
        let trailers = [("x-sum", "12"), ("repr-digest", "sha-256=:x:"), ("etag", "\"x\"")];
        vec![Act::Send(header), Act::Send(content), Act::Send(headers(stream, &trailers, true))]
    })
}

#[tokio::test]
async fn trailers_follow_the_end_of_the_content_and_say_nothing_of_the_service_s_bytes() {
    let said = http::HeaderValue::from_static;
    let service = framed(false);
    let gateway = Gateway::start("").await;
    gateway.registered(&compressed(&service.url(), json!({"protocol": "h2c"}))).await;
    let client = Client::to(gateway.public).await;
    for coding in CODINGS {
        let asked = |method| asks(method, "/s/a").header("accept-encoding", coding).header("te", "trailers");
        let answers =
            [client.ask(asked(Method::GET)).await, client.send(asked(Method::POST), Bytes::from_static(b"x")).await];
        for answer in answers {
            assert_eq!(answer.headers["content-encoding"], coding);
            assert_eq!(decoded(coding, &answer.body), b"some text", "{coding}");
            let trailers = answer.trailers.expect("trailers");
            assert_eq!((&trailers["x-sum"], &trailers["etag"], trailers.len()), (&said("12"), &said("W/\"x\""), 2));
        }
        let trailers = "\r\n0\r\nx-sum: 12\r\netag: W/\"x\"\r\n\r\n";
        for (te, end) in [("TE: trailers\r\n", trailers), ("", "\r\n0\r\n\r\n")] {
            let mut wire = Wire::to(gateway.public).await;
            for _ in 0..2 {
                wire.send(format!("GET /s/a HTTP/1.1\r\nHost: g\r\nAccept-Encoding: {coding}\r\n{te}\r\n")).await;
                assert_eq!(wire::header(&wire.read_until("\r\n\r\n").await, "content-encoding"), Some(coding));
                wire.read_until(end).await;
            }
        }
        let got = ask(&gateway, Method::GET, "/s/a", &[("accept-encoding", coding)]).await;
        assert_eq!(decoded(coding, &got.body), b"some text", "{coding}");
    }
    let plain = client.ask(asks(Method::GET, "/s/a").header("te", "trailers")).await.trailers.expect("trailers");
    assert_eq!((&plain["etag"], plain.len()), (&said("\"x\""), 3), "an answer as it is has its own");
}

#[tokio::test]
async fn an_empty_answer_of_unknown_length_is_in_no_coding() {
    let service = framed(true);
    let gateway = Gateway::start("").await;
    gateway.registered(&compressed(&service.url(), json!({"protocol": "h2c"}))).await;
    let client = Client::to(gateway.public).await;
    let accepts = [("accept-encoding", "gzip")];
    let by_h2 = ask_h2(&client, "/s/a", &accepts).await;
    let by_body =
        client.send(asks(Method::POST, "/s/a").header("accept-encoding", "gzip"), Bytes::from_static(b"x")).await;
    assert!(!by_body.headers.contains_key("content-encoding") && by_body.body.is_empty());
    for got in [by_h2, ask(&gateway, Method::GET, "/s/a", &accepts).await] {
        assert_eq!((got.status.as_u16(), got.header("content-encoding"), got.body.len()), (200, "", 0));
        assert_eq!(got.all("vary"), ["Accept-Encoding"]);
    }
}

#[tokio::test]
async fn answers_beyond_the_memory_for_encoders_are_sent_as_they_are() {
    let (gateway, origin) = mirror("http1").await;
    gateway.reloaded(&format!("{PLAIN}[compression]\nmax_memory = '2MiB'\n")).await;
    let skipped = async || {
        let metrics = gateway.metrics().await;
        let line =
            metrics.lines().find_map(|line| line.strip_prefix("furt_compression_skipped_total{reason=\"memory\"} "));
        line.map(str::to_owned)
    };
    origin.set_mode(Mode::StopsWithin);
    let first = gateway.anonymous(Method::GET, "/s/a").header("accept-encoding", "br").send().await.unwrap();
    assert_eq!((&first.headers()["content-encoding"], skipped().await), (&http::HeaderValue::from_static("br"), None));
    origin.set_mode(Mode::Zeros(100_000));
    let coded = async |coding: &str| ask(&gateway, Method::GET, "/s/a", &[("accept-encoding", coding)]).await;
    for coding in ["br", "zstd"] {
        let got = coded(coding).await;
        assert_eq!((got.header("content-encoding"), got.all("vary")), ("", vec!["Accept-Encoding"]), "{coding}");
        assert_eq!(got.body.len(), 100_000);
    }
    assert_eq!(skipped().await.as_deref(), Some("2"));
    assert_eq!(coded("gzip").await.header("content-encoding"), "gzip", "for that there is room");
    drop(first);
    eventually("that the first one is over", SOON, async || {
        (coded("br").await.header("content-encoding") == "br").then_some(())
    })
    .await;
    throughout("that each one gives its memory back", Duration::from_millis(200), async || {
        let got = coded("zstd").await;
        got.header("content-encoding") == "zstd" && decoded("zstd", &got.body).len() == 100_000
    })
    .await;
}

#[tokio::test]
async fn a_compressed_answer_counts_until_its_end_and_is_cut_off_in_time() {
    let (gateway, origin) = mirror("http1").await;
    gateway.registered(&compressed(&origin.url(), json!({"limits": {"concurrency": 1, "by": "route"}}))).await;
    origin.set_mode(Mode::StopsWithin);
    let asked = gateway.anonymous(Method::GET, "/s/a").header("accept-encoding", "gzip");
    let first = asked.send().await.unwrap();
    assert_eq!(first.headers()["content-encoding"], "gzip");
    let accepts = [("accept-encoding", "gzip")];
    assert_eq!(ask(&gateway, Method::GET, "/s/a", &accepts).await.status, 429);
    drop(first);
    origin.set_mode(Mode::Zeros(100_000));
    eventually("that the first one is over", SOON, async || {
        (ask(&gateway, Method::GET, "/s/a", &accepts).await.status == 200).then_some(())
    })
    .await;
    throughout("that each one is over with its end", Duration::from_millis(300), async || {
        let got = ask(&gateway, Method::GET, "/s/a", &accepts).await;
        got.status == 200 && decoded("gzip", &got.body).len() == 100_000
    })
    .await;

    gateway.registered(&compressed(&origin.url(), json!({"timeouts": {"total": 0.3}}))).await;
    origin.set_mode(Mode::StopsWithin);
    let asked = gateway.anonymous(Method::GET, "/s/a").header("accept-encoding", "br");
    let cut = timeout(SOON, asked.send().await.unwrap().bytes()).await.expect("the end");
    assert!(cut.is_err(), "{cut:?}");
}
