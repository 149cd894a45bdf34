//! How calls end before they are over: at their deadline, by their client, and by their service.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::Reason;
use http::Method;
use serde_json::{Value, json};

use super::{before, refused, status, taking_calls};
use crate::support::frames::{Act, Framed, Nature, data, goaway, headers, reset};
use crate::support::grpc::{GrpcService, call, message};
use crate::support::h2_client::{Client, answered, asks, next};
use crate::support::{Gateway, SOON, eventually, with};

async fn is_reset(service: &GrpcService, method: &str, count: usize) {
    let resets = eventually("the resets", SOON, async || {
        let resets = service.resets(method);
        (resets.len() >= count).then_some(resets)
    })
    .await;
    assert_eq!(resets, vec![Reason::CANCEL; count], "{method}");
}

#[tokio::test]
async fn a_deadline_that_is_shorter_than_furts_times_ends_the_call_and_reaches_the_service() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    for _ in 0..6 {
        let answer = client.send(call("Hang").header("grpc-timeout", "150m"), message(b"a")).await;
        assert_eq!(refused(&answer), ("4", "deadline-exceeded"));
    }
    is_reset(&service, "Hang", 6).await;
    // While the call is still being sent.
    let (response, mut stream) = client.begin(call("Hang").header("grpc-timeout", "150m")).await;
    stream.send_data(message(b"a"), false).unwrap();
    assert_eq!(refused(&answered(response).await.unwrap()), ("4", "deadline-exceeded"));
    is_reset(&service, "Hang", 7).await;
    // Once it is answered.
    let answer = client.send(call("Start").header("grpc-timeout", "150m"), message(b"a")).await;
    let trailers = answer.trailers.as_ref();
    assert_eq!((status(trailers), &answer.body), ("4", &message(b"begun")));
    assert_eq!(trailers.unwrap()["x-furt-code"], "deadline-exceeded");
    is_reset(&service, "Start", 1).await;
    // The instance is not at fault, and a long deadline changes nothing.
    let answer = client.send(call("Echo").header("grpc-timeout", "99999999H"), message(b"a")).await;
    assert_eq!(status(answer.trailers.as_ref()), "0");
    assert_eq!(gateway.service("service").await.unwrap()["instances"][0]["ejected_until"], Value::Null);
}

#[tokio::test]
async fn a_deadline_that_has_passed_asks_no_service() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    let answer = client.send(call("Echo").header("grpc-timeout", "0n"), message(b"a")).await;
    assert_eq!((refused(&answer), service.calls("Echo").len()), (("4", "deadline-exceeded"), 0));
    // One that cannot be read is the service's to refuse.
    let answer = client.send(call("Echo").header("grpc-timeout", "soon"), message(b"a")).await;
    assert_eq!((status(answer.trailers.as_ref()), service.calls("Echo").len()), ("0", 1));
}

#[tokio::test]
async fn a_deadline_ends_the_wait_for_a_place_and_for_a_connection() {
    let service = GrpcService::start();
    let gateway = Gateway::start("[upstream]\nconnect_timeout = '20s'").await;
    gateway.registered(&with(taking_calls(&service.url()), json!({"hard_limit": 1}))).await;
    let client = Client::to(gateway.public).await;
    let _held = client.begin(call("Hang")).await;
    eventually("it is full", SOON, async || (service.calls("Hang").len() == 1).then_some(())).await;
    let answer = client.send(call("Echo").header("grpc-timeout", "200m"), message(b"a")).await;
    assert_eq!(refused(&answer), ("4", "deadline-exceeded"));

    // It accepts no connection: its backlog is full.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(([127, 0, 0, 1], 0).into()).unwrap();
    let (address, _listener) = (socket.local_addr().unwrap(), socket.listen(0).unwrap());
    let mut waiting = Vec::new();
    for _ in 0..3 {
        let connecting = tokio::net::TcpStream::connect(address);
        waiting.push(tokio::time::timeout(Duration::from_millis(200), connecting).await);
    }
    let deaf = with(
        taking_calls(&format!("http://{address}")),
        json!({"service": "deaf", "routes": [{"method": "*", "path": "/d/*"}]}),
    );
    gateway.registered(&deaf).await;
    let asked = call("x").uri("http://gateway/d/a").header("grpc-timeout", "300m");
    assert_eq!(refused(&client.send(asked, message(b"a")).await), ("4", "deadline-exceeded"));
}

#[tokio::test]
async fn a_service_that_reads_nothing_is_left_at_the_deadline() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    let (response, mut stream) = client.begin(call("Deaf").header("grpc-timeout", "300m")).await;
    // More than the windows of the service and of furt take.
    stream.reserve_capacity(1_000_000);
    stream.send_data(vec![0; 1_000_000].into(), true).unwrap();
    // A client that does not look at the time itself sees furt's status, or a reset.
    match answered(response).await {
        Ok(answer) => assert_eq!(refused(&answer), ("4", "deadline-exceeded")),
        Err(error) => assert!(error.is_reset(), "{error}"),
    }
    is_reset(&service, "Deaf", 1).await;
    eventually("no request is left", SOON, async || {
        gateway.metrics().await.contains("furt_requests_in_flight 0\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_service_that_reads_nothing_is_left_at_its_time_and_when_the_client_cancels() {
    let service = GrpcService::start();
    let gateway = before("[upstream]\nread_timeout = '1s'\nretries = 0", &service).await;
    let client = Client::to(gateway.public).await;
    let large = Bytes::from(vec![0; 1_000_000]);
    let (response, mut stream) = client.begin(asks(Method::POST, "/s/Deaf")).await;
    stream.reserve_capacity(large.len());
    stream.send_data(large.clone(), true).unwrap();
    answered(response).await.unwrap().problem(504, "upstream-timeout");
    is_reset(&service, "Deaf", 1).await;

    // A call may wait for an hour, but not for a client that is gone.
    let (_response, mut stream) = client.begin(call("Deaf")).await;
    stream.reserve_capacity(large.len());
    stream.send_data(large, false).unwrap();
    eventually("the call", SOON, async || (service.calls("Deaf").len() == 2).then_some(())).await;
    stream.send_reset(Reason::CANCEL);
    is_reset(&service, "Deaf", 2).await;
}

#[tokio::test]
async fn a_client_that_cancels_cancels_at_the_service() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    for is_last in [true, false] {
        let (_response, mut stream) = client.begin(call("Hang")).await;
        stream.send_data(message(b"a"), is_last).unwrap();
        let arrived = 1 + usize::from(!is_last);
        eventually("the call", SOON, async || (service.calls("Hang").len() == arrived).then_some(())).await;
        stream.send_reset(Reason::CANCEL);
        is_reset(&service, "Hang", arrived).await;
    }
    let (response, mut stream) = client.begin(call("Start")).await;
    let mut body = tokio::time::timeout(SOON, response).await.unwrap().unwrap().into_body();
    let mut taken = BytesMut::new();
    while taken != message(b"begun") {
        taken.extend_from_slice(&next(&mut body).await.unwrap().unwrap());
    }
    stream.send_reset(Reason::CANCEL);
    is_reset(&service, "Start", 1).await;
    eventually("no request is left", SOON, async || {
        gateway.metrics().await.contains("furt_requests_in_flight 0\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn calls_that_clients_give_up_at_their_deadline_are_no_flood() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    for round in 1..=5 {
        let mut calls = Vec::new();
        for _ in 0..30 {
            let (response, mut stream) = client.begin(call("Hang").header("grpc-timeout", "5S")).await;
            stream.send_data(message(b"a"), true).unwrap();
            calls.push((response, stream));
        }
        // A little before furt's own clock says so.
        tokio::time::sleep(Duration::from_millis(2600)).await;
        for (_, stream) in &mut calls {
            stream.send_reset(Reason::CANCEL);
        }
        is_reset(&service, "Hang", round * 30).await;
    }
    assert_eq!(status(client.send(call("Echo"), message(b"a")).await.trailers.as_ref()), "0");
}

#[tokio::test]
async fn a_reset_of_the_service_is_the_status_that_its_client_would_have_seen() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    for (reason, expected) in [("8", "1"), ("11", "8"), ("2", "13"), ("7", "14")] {
        let answer = client.send(call("Reset").header("x-reset", reason), message(b"a")).await;
        assert_eq!((status(answer.trailers.as_ref()), &answer.body), (expected, &message(b"a")), "{reason}");
        assert_eq!(answer.trailers.unwrap()["x-furt-code"], "upstream-broken");
    }
    for (reason, expected) in [(8, "1"), (11, "8"), (1, "13")] {
        let service = Framed::start(Nature::default(), move |asked| vec![Act::Send(reset(asked.stream, reason))]);
        let gateway = Gateway::start("").await;
        gateway.registered(&taking_calls(&service.url())).await;
        let client = Client::to(gateway.public).await;
        let answer = client.send(call("x"), message(b"a")).await;
        assert_eq!((refused(&answer), service.requests()), ((expected, "upstream-broken"), 1), "{reason}");
    }
}

#[tokio::test]
async fn a_call_that_a_goaway_leaves_out_is_sent_again_and_one_under_way_ends() {
    let service = Framed::start(Nature::default(), |asked| {
        let stream = asked.stream;
        if asked.number == 1 {
            return vec![Act::Send(goaway(stream - 2, 0)), Act::Wait(SOON / 50), Act::Close];
        }
        let header = headers(stream, &[(":status", "200"), ("content-type", "application/grpc")], false);
        let trailers = headers(stream, &[("grpc-status", "0")], true);
        vec![Act::Send([header, data(stream, &asked.body, false), trailers].concat())]
    });
    let gateway = Gateway::start("").await;
    gateway.registered(&taking_calls(&service.url())).await;
    let client = Client::to(gateway.public).await;
    for _ in 0..4 {
        let answer = client.send(call("x"), message(b"a")).await;
        assert_eq!((status(answer.trailers.as_ref()), &answer.body), ("0", &message(b"a")));
    }
    assert_eq!((service.requests(), service.connections()), (5, 2 + 1));
}
