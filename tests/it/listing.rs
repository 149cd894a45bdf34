//! Long answers of the internal listener: sent in pieces, and never in the way of the end.

use std::fmt::Write as _;
use std::time::Duration;

use reqwest::Method;
use serde_json::json;
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
async fn every_answer_that_grows_with_what_there_is_comes_whole_in_chunks_once_it_is_long() {
    const MANY: usize = 700;
    let few = Gateway::start("").await;
    let keys = (0..MANY).fold(String::new(), |mut text, number| {
        write!(text, "[[api_keys]]\nname = 'key-{number}'\nsha256 = '{number:064}'\npermissions = ['a:read']\n")
            .unwrap();
        text
    });
    let many = Gateway::start(&format!("[registration]\nburst = 10000\nrate = '10000/s'\n{keys}")).await;
    for number in 0..MANY {
        let body = json!({ "id": format!("id-{number}"), "app": format!("app-{number}"), "region": "eu", "ip": "10.0.0.1",
            "port": 80 });
        let registered = many.operate(Method::POST, "/api/v1/register").body(body.to_string());
        Answer::of(registered.header("content-type", "application/json")).await.ok();
    }
    for path in ["/metrics", "/internal/stats", "/internal/keys", "/api/v1/backends"] {
        let short = Answer::of(few.operate(Method::GET, path)).await;
        assert_eq!(short.header("content-length"), short.body.len().to_string(), "{path}");
        let long = Answer::of(many.operate(Method::GET, path)).await;
        assert!(long.body.len() > 64 * 1024, "{path} has {} bytes", long.body.len());
        assert_eq!((long.status.as_u16(), long.header("content-length")), (200, ""), "{path}");
        assert_eq!(long.header("content-type"), short.header("content-type"), "{path}");
        match path {
            "/metrics" => {
                assert_eq!(long.body.matches("\nfurt_service_up{").count(), MANY);
                assert!(
                    long.body.contains("\nfurt_series_left_out{kind=\"service\"} 0\n") && long.body.ends_with('\n')
                );
            }
            "/internal/stats" => assert_eq!(long.json()["services"].as_array().unwrap().len(), MANY),
            "/internal/keys" => assert_eq!(long.json()["keys"].as_array().unwrap().len(), MANY + 3),
            _ => assert_eq!(
                (long.json()["total"].as_u64(), long.json()["backends"].as_array().unwrap().len()),
                (Some(MANY as u64), MANY)
            ),
        }
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
