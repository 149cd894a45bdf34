//! Pages in the place of furt's own answers: who gets one, what stays of the answer, and what never gets one.

use std::fs;
use std::path::Path;

use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;

use crate::support::gateway::{furt, output_of};
use crate::support::grpc::{call, message};
use crate::support::h2_client::{Client, asks, get};
use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, Health, Mode, Origin, READER, public_service, sagjan, with};

const BROWSER: &str = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
const PAGE: &str =
    "<style>p { margin: 0 }</style><p id=\"{request_id}\">{status} {title} ({code})</p><pre>{detail}</pre>";
const HTML: &str = "text/html; charset=utf-8";

/// A folder with a page, and the configuration that names it.
fn page(text: &str) -> (TempDir, String) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("error.html");
    fs::write(&file, text).unwrap();
    let tail = pages(&file);
    (folder, tail)
}

fn pages(error: &Path) -> String {
    format!("[pages]\nerror = '{}'\n", error.display())
}

/// The answer of one who wants that.
async fn asked(request: reqwest::RequestBuilder, accept: &str) -> Answer {
    Answer::of(if accept.is_empty() { request } else { request.header("accept", accept) }).await
}

/// That it is the page of this problem.
#[track_caller]
fn is_page(answer: &Answer, status: u16, code: &str) {
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (status, HTML), "{answer:?}");
    assert!(answer.body.starts_with("<style>p { margin: 0 }</style><p id=\""), "{answer:?}");
    let expected = format!("<p id=\"{}\">{status} ", answer.header("x-request-id"));
    assert!(answer.body.contains(&expected) && answer.body.contains(&format!(" ({code})</p><pre>")), "{answer:?}");
    assert_eq!(answer.header("content-length"), answer.body.len().to_string(), "{answer:?}");
    assert_eq!(answer.header("cache-control"), "no-store", "{answer:?}");
    assert!(answer.header("proxy-status").starts_with("furt; error="), "{answer:?}");
    assert!(vary(answer).contains(&"accept".to_owned()), "{answer:?}");
}

/// What the answer differs by.
fn vary(answer: &Answer) -> Vec<String> {
    let all = answer.headers.get_all("vary").iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn who_wants_html_gets_the_page_and_everybody_else_json() {
    let (_folder, tail) = page(PAGE);
    let gateway = Gateway::start(&tail).await;
    for accept in [BROWSER, "text/html", "application/json, TEXT/HTML", "text/html;q=0.5, application/json;q=0.5"] {
        is_page(&asked(gateway.anonymous(Method::GET, "/none"), accept).await, 404, "route-not-found");
    }
    for accept in ["", "*/*", "application/json", "text/html;q=0.4, application/problem+json;q=0.5", "text/html;q=0"] {
        let answer = asked(gateway.anonymous(Method::GET, "/none"), accept).await;
        answer.problem(404, "route-not-found");
        assert_eq!(vary(&answer), ["accept"], "{accept}: a cache must not give it to who wants the page");
    }
    let head = asked(gateway.anonymous(Method::HEAD, "/none"), BROWSER).await;
    let got = asked(gateway.anonymous(Method::GET, "/none"), BROWSER).await;
    assert_eq!((head.status.as_u16(), head.header("content-type"), head.body.as_str()), (404, HTML, ""));
    assert_eq!(head.header("content-length"), got.header("content-length"));

    // Without pages nothing is as it was not.
    gateway.reloaded("").await;
    let answer = asked(gateway.anonymous(Method::GET, "/none"), BROWSER).await;
    answer.problem(404, "route-not-found");
    assert_eq!(vary(&answer), [""; 0]);
}

#[tokio::test]
async fn every_header_of_the_answer_stays() {
    const APP: &str = "https://app.example.org";
    let (_folder, tail) = page(PAGE);
    let origin = Origin::start().await;
    let limits = "[limits]\nmax_body = 10\n[keys]\naccept = ['header', 'basic']\n[upstream]\nread_timeout = '300ms'\n";
    let gateway = Gateway::start(&format!("{tail}{limits}")).await;
    let service = with(sagjan(&origin.url()), json!({"cors": {"origins": [APP]}}));
    gateway.registered_and_up(&service).await;
    let from_page = |method, key: &str| {
        let request = gateway.anonymous(method, "/api/comments/a").header("origin", APP);
        if key.is_empty() { request } else { request.header("x-api-key", key) }
    };
    let readable = |answer: &Answer| {
        assert_eq!(answer.header("access-control-allow-origin"), APP, "{answer:?}");
        assert_eq!(vary(answer), ["accept", "origin"], "{answer:?}");
    };
    let missing = asked(from_page(Method::GET, ""), BROWSER).await;
    is_page(&missing, 401, "key-missing");
    readable(&missing);
    let challenges: Vec<_> = missing.headers.get_all("www-authenticate").iter().collect();
    assert_eq!(challenges.len(), 2, "{missing:?}");
    let forbidden = asked(from_page(Method::DELETE, READER), BROWSER).await;
    is_page(&forbidden, 403, "permission-missing");
    assert!(forbidden.body.ends_with("<pre>needs &quot;comments:delete&quot;</pre>"), "{forbidden:?}");
    let large = from_page(Method::POST, "admin-c90d5e83f1a6").body("more than ten bytes");
    is_page(&asked(large, BROWSER).await, 413, "body-too-large");
    let wrong = asked(gateway.anonymous(Method::PATCH, "/api/comments/a"), BROWSER).await;
    is_page(&wrong, 405, "method-not-allowed");
    assert!(wrong.header("allow").contains("DELETE"), "{wrong:?}");
    is_page(&asked(gateway.anonymous(Method::GET, "/a//b"), BROWSER).await, 400, "bad-path");
    origin.set_mode(Mode::Gated);
    let late = asked(from_page(Method::GET, READER), BROWSER).await;
    is_page(&late, 504, "upstream-timeout");
    readable(&late);
    origin.release();
    origin.set_health(Health::Status(500));
    gateway.status_becomes("sagjan", "DOWN").await;
    let down = asked(from_page(Method::GET, READER), BROWSER).await;
    is_page(&down, 503, "service-down");
    assert!(down.retry_after() >= 1);
    asked(from_page(Method::GET, READER), "").await.problem(503, "service-down");

    gateway.reloaded(&format!("{tail}[limits]\naddress_rate = '1/m'\naddress_burst = 1\n")).await;
    asked(gateway.anonymous(Method::GET, "/none"), "").await.problem(404, "route-not-found");
    let limited = asked(gateway.anonymous(Method::GET, "/none"), BROWSER).await;
    is_page(&limited, 429, "address-rate-limited");
    assert!(limited.retry_after() > 1);
}

#[tokio::test]
async fn a_page_is_sent_over_http_2_too_and_never_to_a_call() {
    let (_folder, tail) = page(PAGE);
    let gateway = Gateway::start(&tail).await;
    let client = Client::to(gateway.public).await;
    let answer = client.ask(get("/none").header("accept", BROWSER)).await;
    assert_eq!((answer.status.as_u16(), answer.headers["content-type"].to_str().unwrap()), (404, HTML));
    assert!(String::from_utf8_lossy(&answer.body).contains("(route-not-found)"), "{answer:?}");
    client.ask(get("/none").header("accept", "*/*")).await.problem(404, "route-not-found");
    client.ask(get("/none")).await.problem(404, "route-not-found");
    let head = client.ask(asks(Method::HEAD, "/none").header("accept", BROWSER)).await;
    assert_eq!((head.body.len(), &head.headers["content-length"]), (0, &answer.headers["content-length"]));
    let called = client.send(call("none").header("accept", BROWSER), message(b"x")).await;
    assert_eq!((called.status.as_u16(), called.headers["grpc-status"].to_str().unwrap()), (200, "12"));
    assert!(called.is_header_alone && !called.headers.contains_key("vary"), "{called:?}");
}

#[tokio::test]
async fn what_a_service_or_an_operator_says_is_left_alone() {
    let (_folder, tail) = page(PAGE);
    let route = "[[routes]]\nmethod = 'GET'\npath = '/gone'\nrespond = { status = 410, body = 'gone' }\n";
    let gateway = Gateway::start(&format!("{tail}{route}")).await;
    let says = "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nContent-Type: text/plain\r\n\r\nmine";
    let service = Scripted::start(says, Then::Close).await;
    gateway.registered(&public_service("s", &service.url(), "/s")).await;
    let answer = asked(gateway.anonymous(Method::GET, "/s"), BROWSER).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str(), vary(&answer).len()), (404, "mine", 0), "{answer:?}");
    let answer = asked(gateway.anonymous(Method::GET, "/gone"), BROWSER).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str(), vary(&answer).len()), (410, "gone", 0), "{answer:?}");
    let health = asked(gateway.anonymous(Method::GET, "/health"), BROWSER).await;
    assert_eq!(health.header("content-type"), "application/json");

    // Nor does a body that is to be dropped cost the connection.
    let mut wire = Wire::to(gateway.public).await;
    for _ in 0..3 {
        let request = "POST /none HTTP/1.1\r\nHost: g\r\nAccept: text/html\r\nContent-Length: 5\r\n\r\nhello";
        wire.send(request).await;
        let (head, body) = wire.read_response().await;
        assert_eq!((wire::status(&head), body.contains("(route-not-found)")), (404, true), "{head}{body}");
    }
}

#[tokio::test]
async fn an_id_that_reads_like_html_is_replaced_before_it_is_in_a_page() {
    let (_folder, tail) = page("<i title='{request_id}'>{detail}|{code}|{nothing}</i>");
    let gateway = Gateway::start(&tail).await;
    for id in ["<script>", "{detail}", "a'b", "\"><b>"] {
        let request = gateway.anonymous(Method::GET, "/none").header("x-request-id", id);
        let answer = asked(request, BROWSER).await;
        let given = answer.header("x-request-id");
        assert_eq!(answer.body, format!("<i title='{given}'>|route-not-found|{{nothing}}</i>"), "{id}");
        assert!(given.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{given}");
    }
}

#[tokio::test]
async fn pages_are_read_at_the_start_and_at_each_reload_and_told_where_they_are_missing() {
    let (folder, tail) = page("one {code}");
    let mut gateway = Gateway::start(&tail).await;
    let file = folder.path().join("error.html");
    let seen = async |gateway: &Gateway| asked(gateway.anonymous(Method::GET, "/none"), BROWSER).await.body;
    assert_eq!(seen(&gateway).await, "one route-not-found");
    fs::write(&file, "two {code}").unwrap();
    assert_eq!(seen(&gateway).await, "one route-not-found", "until a reload");
    assert_eq!(gateway.reload().await.ok()["changed"], json!(["pages.error"]));
    assert_eq!(seen(&gateway).await, "two route-not-found");
    let other = folder.path().join("other.html");
    fs::write(&other, "three").unwrap();
    assert_eq!(gateway.reloaded(&pages(&other)).await["changed"], json!(["pages.error"]));
    assert_eq!(seen(&gateway).await, "three");

    let down = folder.path().join("down.html");
    fs::write(&other, b"\xff").unwrap();
    let tail = format!("{}maintenance = '{}'\n", pages(&other), down.display());
    gateway.configure(&tail);
    let refused = gateway.reload().await.problem(422, "invalid-config");
    let said: Vec<_> = refused["errors"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(said, ["pages.error", "pages.maintenance"], "{refused}");
    assert!(refused["errors"][0]["detail"].as_str().unwrap().contains("is no text in UTF-8"), "{refused}");
    assert!(refused["errors"][1]["detail"].as_str().unwrap().contains("cannot be read"), "{refused}");
    assert_eq!(seen(&gateway).await, "three", "what was in force stays");
    let path = gateway.config.to_str().unwrap().to_owned();
    let line = |error: &serde_json::Value| format!("furt.toml:{}:{}: ", error["line"], error["column"]);
    for verb in [&["check", path.as_str()][..], &["run", "--config", path.as_str()]] {
        if verb[0] == "run" {
            gateway.stop().await;
        }
        let output = output_of(furt(verb)).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        for (error, key) in [(&refused["errors"][0], "pages.error: "), (&refused["errors"][1], "pages.maintenance: ")] {
            assert!(said.contains(&(line(error) + key)), "{verb:?}: {said}");
        }
    }
    fs::write(&other, "{code}".repeat(65)).unwrap();
    fs::write(&down, "down").unwrap();
    let output = output_of(furt(&["check", &path])).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("pages.error: ") && said.contains("has more than 64 placeholders"), "{said}");
    fs::write(&other, "four").unwrap();
    gateway.start_again().await;
    assert_eq!(seen(&gateway).await, "four");
    // Where there is a page of maintenance alone, no other answer differs by what a client wants.
    gateway.reloaded(&format!("[pages]\nmaintenance = '{}'\n", down.display())).await;
    let answer = asked(gateway.anonymous(Method::GET, "/none"), BROWSER).await;
    answer.problem(404, "route-not-found");
    assert_eq!(vary(&answer), [""; 0]);
}

#[tokio::test]
async fn maintenance_and_limits_have_their_pages_with_all_that_the_answer_says() {
    let (folder, tail) = page(PAGE);
    let down = folder.path().join("down.html");
    fs::write(&down, "<h1>{detail}</h1>").unwrap();
    let rules = "[[rules]]\nlimits = { rate = '1/m' }\nheaders.response.set = { X-Frame-Options = 'DENY' }\n";
    let gateway = Gateway::start(&format!("{tail}maintenance = '{}'\n{rules}", down.display())).await;
    let origin = Origin::start().await;
    let cors = json!({"origins": ["https://a.example"]});
    gateway.registered(&with(public_service("s", &origin.url(), "/s"), json!({"cors": cors}))).await;
    let browser = async || {
        let request = gateway.anonymous(Method::GET, "/s").header("origin", "https://a.example");
        asked(request, BROWSER).await
    };
    assert_eq!(browser().await.status, 200);
    let limited = browser().await;
    is_page(&limited, 429, "route-rate-limited");
    assert!((1..=60).contains(&limited.retry_after()), "{limited:?}");
    let on = json!({"message": "back at <noon>", "for": "30m"});
    Answer::of(gateway.operate(Method::PUT, "/internal/services/s/maintenance").json(&on)).await.ok();
    let kept_out = browser().await;
    assert_eq!((kept_out.status.as_u16(), kept_out.header("content-type")), (503, HTML));
    assert_eq!(kept_out.body, "<h1>back at &lt;noon&gt;</h1>");
    assert!((1790..=1800).contains(&kept_out.retry_after()), "{kept_out:?}");
    for answer in [&limited, &kept_out] {
        assert_eq!(answer.header("x-frame-options"), "DENY");
        assert_eq!(answer.header("access-control-allow-origin"), "https://a.example");
        assert_eq!(vary(answer), ["accept", "origin"], "{answer:?}");
    }
    asked(gateway.anonymous(Method::GET, "/s"), "application/json").await.problem(503, "maintenance");
}
