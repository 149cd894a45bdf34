//! How connections end: idle ones, old ones, and all once furt stops.

use std::time::Duration;

use futures_util::future::join_all;
use http::Method;

use super::before;
use crate::support::frames::headers;
use crate::support::h2_client::{Client, FrameClient, answered, asks, get, get_fields};
use crate::support::wire::exchange;
use crate::support::{Gateway, Mode, Origin, SOON, eventually, throughout};

const GOAWAY: u8 = 7;
const PING: u8 = 6;
const ACK: u8 = 1;

async fn ended(gateway: &Gateway, why: &str, count: usize) {
    let line = format!("furt_h2_closed_total{{why=\"{why}\"}} {count}\n");
    // On a connection of its own: an idle one may end as it is asked on.
    let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    eventually(&line, SOON, async || exchange(gateway.internal, request).await.contains(&line).then_some(())).await;
}

#[tokio::test]
async fn a_connection_without_a_request_ends_and_one_with_a_request_does_not() {
    let origin = Origin::start().await;
    let gateway = before("[client]\nkeepalive_timeout = '1s'", &origin).await;
    origin.set_mode(Mode::Gated);
    let (idle, busy) = (Client::to(gateway.public).await, Client::to(gateway.public).await);
    let (response, mut body) = busy.begin(asks(Method::POST, "/s/a")).await;
    body.send_data("a".into(), true).unwrap();
    eventually("the request", SOON, async || (origin.requests("/s/a") == 1).then_some(())).await;
    assert_eq!(idle.closed(SOON).await, None);
    ended(&gateway, "idle", 1).await;
    throughout("the other one is open", Duration::from_millis(1500), async || !busy.is_closed()).await;
    origin.release();
    assert_eq!(answered(response).await.unwrap().status, 200);
    assert_eq!(busy.closed(SOON).await, None);
    ended(&gateway, "idle", 2).await;
}

#[tokio::test]
async fn an_old_connection_is_told_twice_to_end_and_loses_no_request() {
    let origin = Origin::start().await;
    let gateway = before("[server]\nmax_connection_age = '1s'", &origin).await;
    origin.set_mode(Mode::Works(1500));
    let mut client = FrameClient::to(gateway.public).await;
    client.send(&headers(1, &get_fields("/s/a"), true)).await;
    let first = client.next_of(GOAWAY).await;
    assert_eq!(first.payload[..8], [0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);
    // One that was on its way then.
    client.send(&headers(3, &get_fields("/s/b"), true)).await;
    let ping = client.next_of(PING).await;
    client.send(&crate::support::frames::frame(PING, ACK, 0, &ping.payload)).await;
    let (mut last, mut answers) = (None, Vec::new());
    while let Some(frame) = client.next().await {
        match frame.kind {
            GOAWAY => last = Some(frame.payload[..8].to_vec()),
            1 => answers.push(frame.stream),
            _ => {}
        }
    }
    assert_eq!(last, Some(vec![0, 0, 0, 3, 0, 0, 0, 0]));
    assert_eq!(answers, [1, 3]);
    ended(&gateway, "age", 1).await;
}

#[tokio::test]
async fn clients_that_heed_it_lose_nothing_however_often_their_connection_ends() {
    let origin = Origin::start().await;
    let gateway = before("[server]\nmax_connection_age = '200ms'", &origin).await;
    let client = reqwest::Client::builder().http2_prior_knowledge().no_proxy().build().unwrap();
    let (url, end) = (gateway.public_url("/s/a"), std::time::Instant::now() + Duration::from_secs(2));
    let each = (0..4).map(async |_| {
        let mut count = 0;
        while std::time::Instant::now() < end {
            assert_eq!(client.get(&url).send().await.unwrap().status(), 200);
            count += 1;
        }
        count
    });
    let count: usize = join_all(each).await.iter().sum();
    assert!(count > 20, "{count}");
    eventually("several ends", SOON, async || {
        let metrics = gateway.metrics().await;
        (2..100).any(|ends| metrics.contains(&format!("furt_h2_closed_total{{why=\"age\"}} {ends}\n"))).then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_are_answered_when_furt_stops_and_idle_connections_end() {
    let origin = Origin::start().await;
    let mut gateway = before("[server]\ngrace = '8s'", &origin).await;
    origin.set_mode(Mode::Works(700));
    let (idle, busy) = (Client::to(gateway.public).await, Client::to(gateway.public).await);
    let mut under_way = Vec::new();
    for _ in 0..20 {
        let (response, mut body) = busy.begin(asks(Method::POST, "/s/a")).await;
        body.send_data("a".into(), true).unwrap();
        under_way.push(response);
    }
    eventually("all are under way", SOON, async || (origin.requests("/s/a") == 20).then_some(())).await;
    gateway.terminate();
    for response in under_way {
        assert_eq!(answered(response).await.unwrap().status, 200);
    }
    assert_eq!((idle.closed(SOON).await, busy.closed(SOON).await), (None, None));
    assert!(gateway.ended(Duration::from_secs(6)).await.success());
}

#[tokio::test]
async fn as_many_requests_as_a_connection_may_have_are_told_and_no_more_are_taken() {
    let origin = Origin::start().await;
    let gateway = before("[server]\nmax_streams = 2", &origin).await;
    origin.set_mode(Mode::Gated);
    let mut client = FrameClient::to(gateway.public).await;
    let settings = client.next_of(4).await;
    assert!(settings.payload.chunks(6).any(|setting| setting == [0, 3, 0, 0, 0, 2]), "{settings:?}");
    for stream in [1, 3, 5] {
        client.send(&headers(stream, &get_fields("/s/a"), true)).await;
    }
    let reset = client.next_of(3).await;
    assert_eq!((reset.stream, &reset.payload[..]), (5, &[0, 0, 0, 7][..]), "REFUSED_STREAM");
    let client = Client::to(gateway.public).await;
    origin.set_mode(Mode::Echo);
    // From then on it knows how many it may have.
    assert_eq!(client.ask(get("/s/b")).await.status, 200);
    let answers = join_all((0..10).map(|_| client.ask(get("/s/b")))).await;
    assert!(answers.iter().all(|answer| answer.status == 200), "a library waits for its turn");
}
