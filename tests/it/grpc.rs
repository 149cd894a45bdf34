//! gRPC calls over HTTP/2: what passes, when they end, and how furt itself answers them.

mod ends;
mod health;
mod refused;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::future::join_all;
use http::{HeaderMap, Method};
use serde_json::{Value, json};
use tokio_rustls::rustls;

use crate::support::authority::Authority;
use crate::support::grpc::{GrpcService, SWELLS, call, flagged, message};
use crate::support::h2_client::{Answered, Client, asks, next, send_all};
use crate::support::tls::Edge;
use crate::support::{Gateway, SOON, eventually, public_service, with};

/// A registration of a service at `/s/*` that takes calls.
fn taking_calls(url: &str) -> Value {
    with(public_service("service", url, "/s/*"), json!({"protocol": "h2c"}))
}

/// A gateway before such a service.
async fn before(tail: &str, service: &GrpcService) -> Gateway {
    let gateway = Gateway::start(tail).await;
    gateway.registered(&taking_calls(&service.url())).await;
    gateway
}

/// The status of a call that ended with its header alone.
#[track_caller]
fn refused(answer: &Answered) -> (&str, &str) {
    let text = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
    assert!(answer.status == 200 && answer.is_header_alone, "{answer:?}");
    assert_eq!((text("content-type"), &answer.trailers), ("application/grpc", &None), "{answer:?}");
    (text("grpc-status"), text("x-furt-code"))
}

#[track_caller]
fn status(fields: Option<&HeaderMap>) -> &str {
    fields.expect("trailers")["grpc-status"].to_str().unwrap()
}

/// Checks that an echo came whole, with its metadata.
fn is_echo(answer: &Answered, body: &[u8]) {
    assert_eq!((answer.status.as_u16(), &answer.headers["x-initial"]), (200, &"yes".parse().unwrap()), "{answer:?}");
    assert!(answer.body == body, "{} bytes of {}", answer.body.len(), body.len());
    let trailers = answer.trailers.as_ref();
    assert_eq!((status(trailers), &trailers.unwrap()["x-sum-bin"]), ("0", &"AQID".parse().unwrap()));
}

#[tokio::test]
async fn a_call_passes_with_its_metadata_and_trailers() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    // A message that is compressed is nothing else to furt.
    for body in [message(b"hello"), flagged(1, b"\x1f\x8b"), message(&[])] {
        let asked =
            call("Echo").header("x-key-bin", "AAEC").header("grpc-encoding", "gzip").header("grpc-timeout", "9S");
        let asked = asked.header("proxy-authorization", "for furt").header("trailer", "x-none");
        is_echo(&client.send(asked, body.clone()).await, &body);
    }
    let calls = service.calls("Echo");
    assert_eq!(calls.len(), 3);
    for (name, value) in [("x-key-bin", "AAEC"), ("grpc-encoding", "gzip"), ("grpc-timeout", "9S"), ("te", "trailers")]
    {
        assert_eq!(calls[0][name], value);
    }
    for name in ["host", "proxy-authorization", "trailer"] {
        assert!(!calls[0].contains_key(name), "{name}");
    }
}

#[tokio::test]
async fn calls_pass_under_tls_on_both_sides() {
    let (edge, authority, folder) = (Edge::new(), Authority::new(), tempfile::TempDir::new().unwrap());
    let ca = folder.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let service = GrpcService::tls(authority.server_config("service.test", &["h2"]));
    let upstream = format!("[upstream]\nca = '{}'", ca.display());
    let gateway = Gateway::start(&edge.tail(&["a"], &upstream)).await;
    gateway.registered(&with(taking_calls(&service.url()), json!({"tls_name": "service.test"}))).await;
    let mut offers = (*edge.client(rustls::ALL_VERSIONS)).clone();
    offers.alpn_protocols = vec![b"h2".to_vec()];
    let client = Client::over(edge.try_connect(&Arc::new(offers), "a.example").await.unwrap()).await;
    let asked = || call("Echo").uri("https://a.example/s/Echo");
    is_echo(&client.send(asked(), message(b"hello")).await, &message(b"hello"));
    assert_eq!(service.calls("Echo")[0]["x-forwarded-proto"], "https");

    // Nobody asks for it in plain text by a redirect, which clients of gRPC do not follow.
    let plain = Client::to(gateway.public).await;
    let answer = plain.send(call("Echo"), message(b"hello")).await;
    assert_eq!(refused(&answer), ("7", "tls-required"));
}

#[tokio::test]
async fn large_messages_pass_many_at_once() {
    let body = message(&Vec::from_iter((0..3_000_000_u32).map(|number| (number % 251) as u8)));
    for window in [64 * 1024, 1024 * 1024] {
        let service = GrpcService::with_window(window);
        let gateway = before("", &service).await;
        let client = Client::to(gateway.public).await;
        for answer in join_all((0..6).map(|_| client.send(call("Echo"), body.clone()))).await {
            is_echo(&answer, &body);
        }
    }
}

#[tokio::test]
async fn a_service_that_answers_more_than_it_reads_is_waited_for_by_nobody() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    // More than the windows of service and furt take, of the call and of its answer.
    let body = Bytes::from(vec![b'x'; 300_000]);
    let answer = client.send(call("Swell"), body.clone()).await;
    assert_eq!((answer.body.len(), status(answer.trailers.as_ref())), (SWELLS * body.len(), "0"));
}

#[tokio::test]
async fn messages_pass_as_they_come_in_both_directions() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    let (response, mut stream) = client.begin(call("Echo")).await;
    let mut body = tokio::time::timeout(SOON, response).await.unwrap().unwrap().into_body();
    for part in ["one", "two", "three"] {
        let sent = message(part.as_bytes());
        stream.send_data(sent.clone(), false).unwrap();
        let mut taken = BytesMut::new();
        while taken.len() < sent.len() {
            taken.extend_from_slice(&next(&mut body).await.unwrap().unwrap());
        }
        assert_eq!(taken, sent);
    }
    stream.send_data(Bytes::new(), true).unwrap();
    while let Some(part) = next(&mut body).await.unwrap() {
        assert!(part.is_empty());
    }
    assert_eq!(status(body.trailers().await.unwrap().as_ref()), "0");
}

#[tokio::test]
async fn a_call_survives_a_reload_and_a_stop_and_a_drain_waits_for_it() {
    let service = GrpcService::start();
    let mut gateway = before("[server]\ngrace = '20s'", &service).await;
    let client = Client::to(gateway.public).await;
    let (response, mut stream) = client.begin(call("Echo")).await;
    stream.send_data(message(b"a"), false).unwrap();
    let mut body = tokio::time::timeout(SOON, response).await.unwrap().unwrap().into_body();
    let mut echoed = async |part: &[u8]| {
        stream.send_data(message(part), false).unwrap();
        let mut taken = BytesMut::new();
        while !taken.ends_with(part) {
            taken.extend_from_slice(&next(&mut body).await.unwrap().unwrap());
        }
    };
    gateway.reloaded("[server]\ngrace = '20s'\n[limits]\nmax_body = '1MiB'").await;
    echoed(b"after the reload").await;
    let path = "/internal/services/service/instances/service?drain=30";
    let drained = tokio::spawn(gateway.operate(Method::DELETE, path).send());
    eventually("it is gone", SOON, async || gateway.service("service").await.is_none().then_some(())).await;
    echoed(b"within the drain").await;
    assert!(!drained.is_finished(), "it waits for the call");
    gateway.terminate();
    echoed(b"within the stop").await;
    stream.send_data(Bytes::new(), true).unwrap();
    while next(&mut body).await.unwrap().is_some() {}
    assert_eq!(status(body.trailers().await.unwrap().as_ref()), "0");
    assert!(gateway.ended(SOON).await.success());
    drop(drained);
}

#[tokio::test]
async fn a_body_that_is_sent_after_the_end_of_the_call_breaks_nothing() {
    let service = GrpcService::start();
    let gateway = before("", &service).await;
    let client = Client::to(gateway.public).await;
    let (response, stream) = client.begin(call("Refuse").header("x-fail", "5")).await;
    let (_, answer) =
        tokio::join!(send_all(stream, vec![0; 300_000].into()), crate::support::h2_client::answered(response));
    let answer = answer.unwrap();
    assert!(answer.headers["grpc-status"] == "5" && answer.headers["grpc-message"] == "no %C3%A9", "{answer:?}");
    is_echo(&client.send(call("Echo"), message(b"x")).await, &message(b"x"));
    assert_eq!(client.ask(asks(Method::GET, "/health")).await.status, 200);
}
