//! Clients that send what only costs: they are cut off, and others are served.

use super::before;
use crate::support::frames::{data, frame, headers, reset};
use crate::support::h2_client::{Client, FrameClient, get, get_fields};
use crate::support::{Gateway, Mode, Origin, SOON, eventually};

const GOAWAY: u8 = 7;
const ENHANCE_YOUR_CALM: [u8; 4] = [0, 0, 0, 11];

/// Sends `flood` again and again until the connection is closed, and checks why it was.
async fn is_cut_off(gateway: &Gateway, before: &[u8], flood: impl Fn(u32) -> Vec<u8>, why: &str) {
    let good = Client::to(gateway.public).await;
    let mut client = FrameClient::to(gateway.public).await;
    client.send(before).await;
    let mut number = 0;
    while number < 200_000 && client.try_send(&flood(number)).await {
        number += 1;
        // The answers are not read: this is a flood.
        tokio::task::yield_now().await;
    }
    assert!(number < 200_000, "{why}: it was never cut off");
    assert_eq!(good.ask(get("/s/a")).await.status, 200, "another client is served");
    let line = format!("furt_h2_closed_total{{why=\"{why}\"}} 1\n");
    eventually(&line, SOON, async || gateway.metrics().await.contains(&line).then_some(())).await;
}

/// 100 frames at once.
fn many(frame: &[u8]) -> Vec<u8> {
    frame.repeat(100)
}

#[tokio::test]
async fn a_flood_of_frames_that_bring_nothing_is_cut_off() {
    let origin = Origin::start().await;
    let window = frame(8, 0, 0, &[0, 0, 0, 1]);
    let settings = frame(4, 0, 0, &[0, 3, 0, 0, 0, 100]);
    for flood in [window, settings, frame(200, 0, 0, &[0; 100]), frame(2, 0, 1, &[0, 0, 0, 0, 16])] {
        let gateway = before("", &origin).await;
        is_cut_off(&gateway, &[], |_| many(&flood), "frames").await;
    }
}

#[tokio::test]
async fn a_flood_of_pings_is_cut_off_and_told_why() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    let mut client = FrameClient::to(gateway.public).await;
    // Just more than is allowed, so that all is read and the answer arrives.
    for _ in 0..156 {
        client.send(&many(&frame(6, 0, 0, &[0; 8]))).await;
    }
    let told = client.all_of(GOAWAY).await;
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].payload[4..8], ENHANCE_YOUR_CALM);
}

#[tokio::test]
async fn empty_parts_of_a_body_are_a_flood() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    let mut client = FrameClient::to(gateway.public).await;
    let fields = [(":method", "POST"), (":scheme", "http"), (":authority", "gateway"), (":path", "/s/a")];
    client.send(&headers(1, &fields, false)).await;
    let mut number = 0;
    while number < 10_000 && client.try_send(&many(&data(1, &[], false))).await {
        number += 1;
    }
    assert!(number < 10_000);
    assert_eq!(Client::to(gateway.public).await.ask(get("/s/a")).await.status, 200);
}

#[tokio::test]
async fn a_client_that_takes_its_requests_back_is_cut_off_before_they_are_many() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    origin.set_mode(Mode::Hangs);
    let mut client = FrameClient::to(gateway.public).await;
    let (mut stream, mut is_open) = (1, true);
    while stream < 2000 && is_open {
        // Each is at the service before it is taken back.
        let before = origin.requests("/s/a");
        is_open = client.try_send(&headers(stream, &get_fields("/s/a"), true)).await;
        eventually("the request, or the end", SOON, async || {
            let is_counted = gateway.metrics().await.contains("furt_h2_closed_total{why=\"resets\"} 1\n");
            is_open &= !is_counted;
            (is_counted || origin.requests("/s/a") > before).then_some(())
        })
        .await;
        is_open &= client.try_send(&reset(stream, 8)).await;
        stream += 2;
    }
    assert!((200..260).contains(&stream), "{stream}");
    let told = client.all_of(GOAWAY).await;
    assert_eq!(told.last().map(|frame| &frame.payload[4..8]), Some(&ENHANCE_YOUR_CALM[..]));
    origin.set_mode(Mode::Echo);
    assert_eq!(Client::to(gateway.public).await.ask(get("/s/a")).await.status, 200);
    eventually("no request is left", SOON, async || {
        gateway.metrics().await.contains("furt_requests_in_flight 0\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_that_are_taken_back_at_once_are_cut_off_and_cost_no_more_than_others() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    origin.set_mode(Mode::Hangs);
    let good = Client::to(gateway.public).await;
    let mut client = FrameClient::to(gateway.public).await;
    let mut number = 0;
    let pair = |number: u32| [headers(2 * number + 1, &get_fields("/s/a"), true), reset(2 * number + 1, 8)].concat();
    while number < 100_000 && client.try_send(&pair(number)).await {
        number += 1;
    }
    assert!(number < 100_000 && origin.requests("/s/a") < 300, "{number}, {}", origin.requests("/s/a"));
    origin.set_mode(Mode::Echo);
    assert_eq!(good.ask(get("/s/b")).await.status, 200);
    eventually("no request is left", SOON, async || {
        gateway.metrics().await.contains("furt_requests_in_flight 0\n").then_some(())
    })
    .await;
}

#[tokio::test]
async fn requests_that_belong_to_a_connection_are_malformed_and_many_of_them_end_it() {
    let origin = Origin::start().await;
    let gateway = before("", &origin).await;
    for field in [("connection", "close"), ("transfer-encoding", "chunked"), ("keep-alive", "1"), ("te", "gzip")] {
        let mut client = FrameClient::to(gateway.public).await;
        let fields = [&get_fields("/s/a")[..], &[field]].concat();
        client.send(&headers(1, &fields, true)).await;
        let reset = client.next_of(3).await;
        assert_eq!((reset.stream, &reset.payload[..]), (1, &[0, 0, 0, 1][..]), "{field:?}");
    }
    assert_eq!(origin.requests("/s/a"), 0);
    let hostless = [(":method", "GET"), (":scheme", "http"), (":path", "/s/a")];
    let mut client = FrameClient::to(gateway.public).await;
    for number in 0..32 {
        client.send(&headers(2 * number + 1, &hostless, true)).await;
    }
    let told = client.all_of(GOAWAY).await;
    assert_eq!(told.last().map(|frame| &frame.payload[4..8]), Some(&ENHANCE_YOUR_CALM[..]));
    assert!(gateway.metrics().await.contains("furt_h2_closed_total{why=\"malformed\"} 1\n"));
    let unknown = [&get_fields("/s/a")[..], &[("connection", "close")]].concat();
    is_cut_off(&gateway, &[], |number| headers(2 * number + 1, &unknown, true), "protocol").await;
}
