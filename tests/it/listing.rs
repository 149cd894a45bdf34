//! Long answers of the internal listener: sent in pieces, and never in the way of the end.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::Method;
use tokio::io::AsyncWriteExt as _;

use crate::support::{Answer, Gateway, SOON, wire, wire::exchange};

/// So many static routes, each with a path of some 800 characters.
fn routes(count: usize) -> String {
    let long = "x".repeat(190);
    (0..count).fold(String::new(), |mut text, number| {
        write!(
            text,
            "[[routes]]\nmethod = 'GET'\npath = '/{number}/{long}/{long}/{long}/{long}'\nurl = 'http://127.0.0.1:9'\n"
        )
        .unwrap();
        text
    })
}

fn get(gateway: &Gateway, method: &str, version: &str) -> String {
    let host = gateway.internal;
    format!("{method} /internal/routes {version}\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn a_long_list_is_sent_in_chunks_and_a_short_one_with_its_length() {
    for (count, is_long) in [(3, false), (300, true)] {
        let gateway = Gateway::start(&routes(count)).await;
        let answer = Answer::of(gateway.operate(Method::GET, "/internal/routes")).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.json()["total"].as_u64(), Some(count as u64));
        assert_eq!(answer.json()["routes"].as_array().map(Vec::len), Some(count));
        for method in ["GET", "HEAD"] {
            let raw = exchange(gateway.internal, get(&gateway, method, "HTTP/1.1")).await;
            assert_eq!(wire::header(&raw, "transfer-encoding"), is_long.then_some("chunked"), "{method}");
            assert_eq!(wire::header(&raw, "content-length").is_some(), !is_long, "{method}");
        }
        let old = exchange(gateway.internal, get(&gateway, "GET", "HTTP/1.0")).await;
        assert_eq!(wire::header(&old, "transfer-encoding"), None);
        assert!(old.ends_with("}]}"), "the connection ends with the answer");
    }
}

#[tokio::test]
async fn an_operator_that_does_not_read_holds_up_no_end() {
    let settings = "[server]\ngrace = 60\n[client]\nwrite_timeout = 1\n";
    let mut gateway = Gateway::start(&format!("{settings}{}", routes(800))).await;
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stuck = socket.connect(gateway.internal).await.unwrap();
    stuck.write_all(get(&gateway, "GET", "HTTP/1.1").as_bytes()).await.unwrap();
    stuck.readable().await.unwrap();
    gateway.terminate();
    let status = gateway.ended(SOON.max(Duration::from_secs(5))).await;
    assert_eq!(status.code(), Some(0));
}
