//! Bodies and trailers, and the times that they may take.

use std::time::Duration;

use bytes::Bytes;
use h2::Reason;
use http::Method;
use serde_json::json;
use tokio::net::TcpStream;

use super::before;
use crate::support::frames::{Act, Framed, Nature, data, headers};
use crate::support::h2_client::{Client, answered, asks, get, next, send_all};
use crate::support::{Gateway, Mode, Origin, SOON, eventually, public_service, sagjan, with};

async fn before_h2c(url: &str) -> Gateway {
    let gateway = Gateway::start("").await;
    gateway.registered(&with(public_service("service", url, "/s/*"), json!({"protocol": "h2c"}))).await;
    gateway
}

#[tokio::test]
async fn bodies_pass_whole_both_ways_many_at_once() {
    let body = Bytes::from_iter((0..1024 * 1024_u32).map(|number| (number % 251) as u8));
    for (origin, protocol) in [(Origin::start().await, "http1"), (Origin::h2c().await, "h2c")] {
        let gateway = Gateway::start("").await;
        let service = public_service("service", &origin.url(), "/s/*");
        gateway.registered(&with(service, json!({"protocol": protocol}))).await;
        origin.set_mode(Mode::Mirror);
        let client = Client::to(gateway.public).await;
        let all = (0..8).map(|_| client.send(asks(Method::POST, "/s/a"), body.clone()));
        for answer in futures_util::future::join_all(all).await {
            assert_eq!(answer.status, 200);
            assert!(answer.body == body, "{} bytes", answer.body.len());
        }
    }
}

#[tokio::test]
async fn a_length_is_told_and_answers_without_a_body_end_with_their_header() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    let client = Client::to(gateway.public).await;
    let sized = asks(Method::POST, "/s/a").header("content-length", "5");
    let arrived = client.send(sized, "hello".into()).await.json();
    assert_eq!((&arrived["body"], &arrived["headers"]["content-length"]), (&json!("hello"), &json!(["5"])));
    let head = client.ask(asks(Method::HEAD, "/s/a")).await;
    assert_eq!((head.status.as_u16(), head.body.len()), (200, 0));
    for status in [204, 304, 500] {
        origin.set_mode(Mode::Status(status));
        let answer = client.ask(get("/s/a")).await;
        assert_eq!((answer.status.as_u16(), answer.body.len()), (status, 0));
    }
}

#[tokio::test]
async fn an_answer_before_the_body_ends_the_request_and_not_the_connection() {
    let origin = Origin::start().await;
    let gateway = Gateway::start("[limits]\nmax_body = 1000").await;
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let client = Client::to(gateway.public).await;
    let unkeyed = asks(Method::POST, "/api/comments/1");
    let large = asks(Method::POST, "/s/a").header("content-length", "5000");
    for (request, status, code) in [(unkeyed, 401, "key-missing"), (large, 413, "body-too-large")] {
        let (response, mut stream) = client.begin(request).await;
        answered(response).await.unwrap().problem(status, code);
        let reason = std::future::poll_fn(|context| stream.poll_reset(context));
        assert_eq!(tokio::time::timeout(SOON, reason).await.unwrap().unwrap(), Reason::NO_ERROR, "{code}");
    }
    let (response, stream) = client.begin(asks(Method::POST, "/s/a")).await;
    let (_, answer) = tokio::join!(send_all(stream, vec![0; 100_000].into()), answered(response));
    answer.unwrap().problem(413, "body-too-large");
    assert_eq!(client.ask(get("/s/a")).await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_come_is_answered_408_and_others_go_on() {
    let origin = Origin::start().await;
    for client_times in ["body_timeout = '400ms'", "body_min_rate = 1000\nbody_min_rate_window = '400ms'"] {
        let gateway = before(&format!("[client]\n{client_times}"), &origin).await;
        let client = Client::to(gateway.public).await;
        let (response, mut stream) = client.begin(asks(Method::POST, "/s/a")).await;
        stream.send_data("a".into(), false).unwrap();
        answered(response).await.unwrap().problem(408, "body-timeout");
        assert_eq!(client.ask(get("/s/a")).await.status, 200);
    }
}

#[tokio::test]
async fn a_service_that_does_nothing_is_too_slow_and_one_whose_client_pauses_is_not() {
    let origin = Origin::start().await;
    let gateway = before("[upstream]\nread_timeout = '400ms'", &origin).await;
    let client = Client::to(gateway.public).await;
    let (response, mut stream) = client.begin(asks(Method::POST, "/s/a")).await;
    stream.send_data("a".into(), false).unwrap();
    eventually("the request", SOON, async || (origin.requests("/s/a") == 1).then_some(())).await;
    origin.set_mode(Mode::Hangs);
    client.ask(get("/s/a")).await.problem(504, "upstream-timeout");
    origin.set_mode(Mode::Echo);
    stream.send_data("b".into(), true).unwrap();
    let answer = answered(response).await.unwrap().json();
    assert_eq!(answer["body"], "ab", "{answer}");
}

#[tokio::test]
async fn trailers_of_a_service_of_http_2_reach_the_client() {
    let service = Framed::start(Nature::default(), |asked| {
        let header = headers(asked.stream, &[(":status", "200"), ("content-type", "application/grpc")], false);
        let trailer = headers(asked.stream, &[("grpc-status", "7"), ("grpc-message", "no")], true);
        vec![Act::Send([header, data(asked.stream, &asked.body, false), trailer].concat())]
    });
    let gateway = before_h2c(&service.url()).await;
    let client = Client::to(gateway.public).await;
    let call = asks(Method::POST, "/s/a").header("te", "trailers").header("content-type", "application/grpc");
    let answer = client.send(call, "hello".into()).await;
    assert_eq!((answer.status.as_u16(), &answer.body[..]), (200, &b"hello"[..]));
    let trailers = answer.trailers.expect("trailers");
    assert_eq!(trailers["grpc-status"], "7");
    assert_eq!(trailers["grpc-message"], "no");
}

#[tokio::test]
async fn a_call_streams_both_ways_for_longer_than_a_body_may_take() {
    let origin = Origin::h2c().await;
    let gateway = Gateway::start("[client]\nbody_timeout = '300ms'\n[upstream]\nread_timeout = '300ms'").await;
    gateway.registered(&with(public_service("service", &origin.url(), "/s/*"), json!({"protocol": "h2c"}))).await;
    origin.set_mode(Mode::Mirror);
    let client = Client::to(gateway.public).await;
    let call = asks(Method::POST, "/s/a").header("content-type", "application/grpc").header("te", "trailers");
    let (response, mut stream) = client.begin(call).await;
    stream.send_data("a".into(), false).unwrap();
    let mut body = tokio::time::timeout(SOON, response).await.unwrap().unwrap().into_body();
    assert_eq!(next(&mut body).await.unwrap().unwrap(), "a");
    for part in ["b", "c"] {
        // Longer than either timeout.
        tokio::time::sleep(Duration::from_millis(700)).await;
        stream.send_data(part.into(), false).unwrap();
        assert_eq!(next(&mut body).await.unwrap().unwrap(), part);
    }
    stream.send_data(Bytes::new(), true).unwrap();
    while let Some(part) = next(&mut body).await.unwrap() {
        assert!(part.is_empty());
    }
}

#[tokio::test]
async fn a_broken_answer_does_not_look_whole() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    origin.set_mode(Mode::BreaksOff);
    let client = Client::to(gateway.public).await;
    let error = client.try_ask(get("/s/a")).await.unwrap_err();
    assert!(error.is_reset() && error.reason() == Some(Reason::INTERNAL_ERROR), "{error}");
    origin.set_mode(Mode::Echo);
    assert_eq!(client.ask(get("/s/a")).await.status, 200);
}

#[tokio::test]
async fn a_client_that_takes_nothing_holds_little_and_gives_its_request_up_in_time() {
    let origin = Origin::start().await;
    let gateway = before("[client]\nwrite_timeout = '500ms'", &origin).await;
    origin.set_mode(Mode::Zeros(50_000_000));
    let stream = TcpStream::connect(gateway.public).await.unwrap();
    let client = Client::with(h2::client::Builder::new().initial_window_size(1000), stream).await;
    let (response, _stream) = client.begin(get("/s/a")).await;
    let response = tokio::time::timeout(SOON, response).await.unwrap().unwrap();
    let mut body = response.into_body();
    eventually("the end of the request", SOON, async || {
        gateway.metrics().await.contains("furt_requests_in_flight 0\n").then_some(())
    })
    .await;
    let mut taken = 0;
    let end = loop {
        match next(&mut body).await {
            Ok(Some(part)) => taken += part.len(),
            end => break end,
        }
    };
    assert!(end.is_err() && taken <= 1000, "{taken}: {end:?}");
    origin.set_mode(Mode::Zeros(50_000));
    assert_eq!(client.ask(get("/s/a")).await.body.len(), 50_000);
}
