//! What is no HTTP/1.1 request: it is refused in furt's own words, and counted, logged and limited as any other.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::Value;

use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire, exchange};
use crate::support::{Answer, Gateway, Mode, Origin, READER, SOON, eventually, public_service};

async fn running(tail: &str) -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    (gateway, origin)
}

/// `text` as one of furt's own answers of that status and code.
#[track_caller]
fn assert_refused(answer: &str, status: u16, code: &str, request: &str) {
    assert_eq!(wire::status(answer), status, "{request:.200}: {answer}");
    assert_eq!(wire::header(answer, "x-gateway"), Some("furt"), "{request:.200}: {answer}");
    assert_eq!(wire::header(answer, "connection"), Some("close"), "{request:.200}: {answer}");
    assert!(wire::header(answer, "server").is_none(), "{request:.200}: {answer}");
    let (_, body) = answer.split_once("\r\n\r\n").unwrap();
    if !request.starts_with("HEAD ") {
        let problem: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{request:.200}: {answer}"));
        assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some(code), Some(status.into())), "{body}");
    }
}

/// The lines of the access log once there are so many.
async fn lines(gateway: &Gateway, count: usize) -> Vec<Value> {
    eventually("the lines", SOON, async || {
        let text = std::fs::read_to_string(gateway.dir().join("access.log")).ok()?;
        let lines: Vec<Value> = text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
        (lines.len() >= count).then_some(lines)
    })
    .await
}

const LOGGED: &str = "[access_log]\npath = 'access.log'\n";

/// Requests that Pingora's parser would answer itself or repair; the status and code, and method and path as they are logged.
fn refused() -> Vec<(Vec<u8>, u16, &'static str, &'static str, &'static str)> {
    let get = |line: &str, fields: &str| format!("{line}\r\nHost: g\r\n{fields}\r\n").into_bytes();
    let bad = |request, method, path| (request, 400, "bad-request", method, path);
    let plain = "GET /s/a HTTP/1.1";
    let mut all = vec![
        bad(get("GET /s/a?q=caf\u{e9} HTTP/1.1", ""), "GET", "/s/a"),
        bad(b"GET /s/a?q=caf\xe9 HTTP/1.1\r\nHost: g\r\n\r\n".to_vec(), "GET", "/s/a"),
        bad(b"GET /s/caf\xe9 HTTP/1.1\r\nHost: g\r\n\r\n".to_vec(), "GET", "/s/caf"),
        bad(get("GET /s/a HTTP/1.2", ""), "GET", "/s/a"),
        bad(get("GET /s/a HTTP/2.0", ""), "GET", "/s/a"),
        bad(get("GET /s/a HTTP/9", ""), "GET", "/s/a"),
        bad(get("GET /s/a", ""), "GET", "/s/a"),
        bad(b"GET /s/a\r\n".to_vec(), "GET", "/s/a"),
        bad(b"nonsense\r\n".to_vec(), "nonsense", "*"),
        bad(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\x51".to_vec(), "-", "*"),
        bad(b"\x16\x03\x01\x0a\x00\x01\n\n\x01\xfc\x03\x03\x51".to_vec(), "-", "*"),
        bad(get("G(T /s/a HTTP/1.1", ""), "-", "*"),
        (get("CONNECT example.org:443 HTTP/1.1", ""), 405, "method-not-allowed", "-", "*"),
        (get("GET /s/<a> HTTP/1.1", ""), 400, "bad-path", "GET", "/s/"),
        (get(&format!("GET /s/{} HTTP/1.1", "a".repeat(70_000)), ""), 414, "target-too-long", "GET", "/s/"),
        (get(&format!("GET /s/a?{} HTTP/1.1", "\"".repeat(30_000)), ""), 414, "target-too-long", "GET", "/s/a"),
        (get(plain, &"a: b\r\n".repeat(300)), 431, "header-too-large", "GET", "/s/a"),
        (get("HEAD /s/a HTTP/1.1", &"a: b\r\n".repeat(300)), 431, "header-too-large", "HEAD", "/s/a"),
        (get(plain, &format!("a: {}\r\n", "b".repeat(2_000_000))), 431, "header-too-large", "GET", "/s/a"),
    ];
    // Of these nothing but Pingora's word is known.
    for fields in [
        "a b: c\r\n",
        "a : c\r\n",
        ": c\r\n",
        "no colon\r\n",
        "a: b\r\n folded\r\n",
        "a: b\rc\r\n",
        "a: b\0c\r\n",
        "a: \x7f\r\n",
        "a\u{e9}: c\r\n",
        "Host: g\r\n",
        "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: -1\r\n",
        "TE: trailers\r\nContent-Length: x\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
    ] {
        all.push(bad(get(plain, fields), "-", "*"));
    }
    for request in [
        "GET / HTTP/1.1\r\nHost: a@b\r\n\r\n",
        "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n",
        "GET /s/` HTTP/1.1\r\nHost: g\r\n\r\n",
        "POST /s/a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /s/a HTTP/1.1\r\nHost: g\r\na b: c\r\nContent-Length: 5\r\n\r\nhello",
        "POST /s/a HTTP/1.1\r\nHost: g\r\na b: c\r\nTE: trailers\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ] {
        all.push(bad(request.as_bytes().to_vec(), "-", "*"));
    }
    all
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_furts_own_words_with_a_line_and_a_count() {
    let (gateway, origin) = running(LOGGED).await;
    let refused = refused();
    for (request, status, code, ..) in &refused {
        let answer = exchange(gateway.public, request).await;
        assert_refused(&answer, *status, code, &String::from_utf8_lossy(request));
    }
    assert_eq!(origin.serving_connections(), 0);
    let lines = lines(&gateway, refused.len()).await;
    assert_eq!(lines.len(), refused.len());
    // A line is written once its answer is sent, and a client goes on at once.
    for (request, status, code, method, path) in &refused {
        let is_it = |line: &&Value| {
            let logged = line["path"].as_str().unwrap();
            let has_path =
                if *status == 414 { logged.starts_with(path) && logged.len() <= 1024 } else { logged == *path };
            line["status"] == *status && line["flag"] == *code && line["method"] == *method && has_path
        };
        let line = lines.iter().find(is_it);
        let line = line.unwrap_or_else(|| panic!("{:.200}: {lines:?}", String::from_utf8_lossy(request)));
        assert_eq!(line["client_ip"], "127.0.0.1");
    }
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    let counted = format!("furt_requests_total{{status=\"4xx\"}} {}\n", refused.len());
    assert!(metrics.contains(&counted), "{counted} is not in {metrics}");
}

#[tokio::test]
async fn it_is_refused_at_once_however_it_comes_and_does_not_wait_for_the_rest_of_a_header() {
    let (gateway, _origin) = running("[client]\nheader_timeout = '20s'").await;
    for (first, rest) in [
        ("GET /s/a HTTP/1.2\r\n", ""),
        ("GET /s/a\r\n", ""),
        ("\x16\x03\x01", "\x02\x00\x01\x00"),
        ("GET /s/a HTTP/1.1\r\nHost: g\r\na", " b: c\r\n\r\n"),
        ("G", "ET /s/a\r\n"),
        ("\r", "\nGET /s/a\r\n"),
    ] {
        let began = Instant::now();
        let mut wire = Wire::to(gateway.public).await;
        wire.send(first).await;
        // The pieces must be read apart.
        tokio::time::sleep(Duration::from_millis(20)).await;
        wire.try_send(rest).await;
        assert_refused(&wire.read_to_end(SOON).await, 400, "bad-request", first);
        assert!(began.elapsed() < Duration::from_secs(10), "{first:?}");
    }
}

#[tokio::test]
async fn it_is_answered_in_its_turn_and_ends_the_connection() {
    for bad in ["a b: c", "X: \0"] {
        let (gateway, origin) = running("").await;
        origin.set_mode(Mode::Gated);
        let mut wire = Wire::to(gateway.public).await;
        wire.send("GET /s/1 HTTP/1.1\r\nHost: g\r\n\r\n").await;
        eventually("it arrives", SOON, async || (origin.requests("/s/1") == 1).then_some(())).await;
        wire.send(format!("GET /s/2 HTTP/1.1\r\nHost: g\r\n{bad}\r\n\r\nGET /s/3 HTTP/1.1\r\nHost: g\r\n\r\n")).await;
        origin.release();
        let (head, _) = wire.read_response().await;
        assert_eq!(wire::status(&head), 200);
        assert_refused(&wire.read_to_end(SOON).await, 400, "bad-request", bad);
        assert_eq!((origin.requests("/s/2"), origin.requests("/s/3")), (0, 0));
        eventually("it is closed", SOON, async || {
            let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
            metrics.contains("furt_client_connections 0\n").then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn its_address_has_its_rate_and_a_good_key_goes_past_it() {
    let limit = "[limits]\naddress_rate = '1/m'\naddress_burst = 2\n";
    for (request, knows_key) in
        [("GET /s/a HTTP/1.2\r\nHost: g\r\n", true), ("GET /s/a HTTP/1.1\r\nHost: g\r\na b: c\r\n", false)]
    {
        let (gateway, _origin) = running(limit).await;
        let ask = async |fields: &str| exchange(gateway.public, format!("{request}{fields}\r\n")).await;
        for _ in 0..2 {
            assert_refused(&ask("").await, 400, "bad-request", request);
        }
        assert_refused(&ask("").await, 429, "address-rate-limited", request);
        Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(429, "address-rate-limited");
        let with_key = ask(&format!("X-API-Key: {READER}\r\n")).await;
        let (status, code) = if knows_key { (400, "bad-request") } else { (429, "address-rate-limited") };
        assert_refused(&with_key, status, code, request);
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_it_is_its_clients() {
    let tail = format!("{LOGGED}[server]\ntrusted_proxies = ['127.0.0.1']");
    let (gateway, _origin) = running(&tail).await;
    let request =
        "GET /s/a HTTP/1.2\r\nHost: shop.example:80\r\nX-Forwarded-For: 192.0.2.7\r\nX-Request-Id: mine\r\n\r\n";
    let answer = exchange(gateway.public, request).await;
    assert_eq!(wire::header(&answer, "x-request-id"), Some("mine"), "{answer}");
    let line = lines(&gateway, 1).await.remove(0);
    assert_eq!(
        (line["client_ip"].as_str(), line["host"].as_str(), line["request_id"].as_str()),
        (Some("192.0.2.7"), Some("shop.example"), Some("mine"))
    );
}

#[tokio::test]
async fn a_client_that_still_sends_reads_its_answer() {
    let (gateway, _origin) = running("").await;
    for fields in ["a b: c\r\n".to_owned(), "a: b\r\n".repeat(300)] {
        let head = format!("POST /s/a HTTP/1.1\r\nHost: g\r\n{fields}Content-Length: 600000\r\n\r\n");
        let mut wire = Wire::to(gateway.public).await;
        wire.send(&head).await;
        wire.send("x".repeat(600_000)).await;
        let status = wire::status(&wire.read_to_end(SOON).await);
        assert_eq!(status, if fields.len() > 100 { 431 } else { 400 }, "{fields:.20}");
    }
}

#[tokio::test]
async fn quotes_in_a_query_reach_the_service_encoded_as_browsers_do_it() {
    let (gateway, origin) = running("").await;
    for (target, path, query) in [
        ("/s/a?filter={\"a\":1}", "/s/a", "filter={%22a%22:1}"),
        ("/s/a?mail=<a@b.example>", "/s/a", "mail=%3Ca@b.example%3E"),
        ("/s/a?{a}|[b]^`\\", "/s/a", "{a}|[b]^`\\"),
        ("/s/a\"b?\"", "/s/a\"b", "%22"),
        ("http://g/s/a?\"", "/s/a", "%22"),
    ] {
        for body in ["", "hello"] {
            let fields = if body.is_empty() { "" } else { "Content-Length: 5\r\n" };
            let head = format!("GET {target} HTTP/1.1\r\nHost: g\r\n{fields}Connection: close\r\n\r\n");
            let answer = exchange(gateway.public, format!("{head}{body}")).await;
            assert_eq!(wire::status(&answer), 200, "{target}: {answer}");
            let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
            let seen: Value = serde_json::from_str(seen).unwrap();
            assert_eq!((seen["path"].as_str(), seen["query"].as_str()), (Some(path), Some(query)), "{target}");
            assert_eq!(seen["body"].as_str().unwrap_or_default(), body, "{target}");
        }
    }
    assert!(origin.requests("/s/a") > 0);
}

#[tokio::test]
async fn a_400_of_a_service_passes_whatever_it_says() {
    let bytes = "HTTP/1.1 400 Bad Request\r\nServer: Pingora\r\nContent-Length: 2\r\n\r\nno";
    let scripted = Scripted::start(bytes, Then::Close).await;
    let gateway = Gateway::start("").await;
    gateway.registered(&public_service("service", &scripted.url(), "/s/*")).await;
    let answer = exchange(gateway.public, "GET /s/a HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n").await;
    assert_eq!((wire::status(&answer), wire::header(&answer, "server")), (400, Some("Pingora")), "{answer}");
    assert!(answer.ends_with("\r\n\r\nno"), "{answer}");
}
