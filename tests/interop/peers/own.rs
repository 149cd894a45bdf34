//! Answers of the gateways' own: redirects, texts, limits, and what stands in for a service that fails.

use super::page::Row;
use super::paths::{code, request, status_and_place};
use super::rig::{Exchange, Rig};
use crate::support::wire;

/// A path that may be asked for once in a minute.
const LIMITED: &str = "/limited/a";
/// Its column.
const CADDY: usize = 2;

/// Redirects to another host, and texts.
pub(super) async fn redirects(rig: &Rig) -> Vec<Row> {
    let mut rows = Vec::new();
    for (method, target) in [
        ("GET", "/a?b=1"),
        ("HEAD", "/a"),
        ("POST", "/a"),
        ("GET", "/a%2Fb"),
        ("GET", "/%61;x"),
        ("GET", "/a//b"),
        ("GET", "//evil.example/a"),
        ("GET", "/a/../b"),
        ("GET", "/a%0d%0aX:1"),
    ] {
        let seen = rig.ask(&request(method, target, "old.example", ""), None).await;
        rows.push((format!("`{method} {target}` of `old.example`"), seen.map(|exchange| status_and_place(&exchange))));
    }
    for method in ["GET", "HEAD", "POST"] {
        let seen = rig.ask_whole(&request(method, "/robots.txt", "g.example", "")).await;
        rows.push((format!("`{method} /robots.txt`"), seen.map(|exchange| text(&exchange))));
    }
    let seen = rig.ask(&request("GET", "/robots.txt", "g.example", ""), None).await;
    rows.push((
        "its `Content-Type`".to_owned(),
        seen.map(|exchange| code(&exchange.header("content-type").unwrap_or_default())),
    ));
    rows
}

/// The status, and how long a text is and says that it is.
fn text(exchange: &Exchange) -> String {
    let body = exchange.answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    let status = exchange.status();
    let length = wire::header(&exchange.answer, "content-length").unwrap_or("none");
    if status == 200 { format!("200, {} bytes, `Content-Length: {length}`", body.len()) } else { status.to_string() }
}

/// What is over a limit, and services that do not answer.
pub(super) async fn refusals(rig: &Rig) -> Vec<Row> {
    let body = "x".repeat(2048);
    let by_length =
        format!("POST /small/a HTTP/1.1\r\nHost: g.example\r\nContent-Length: 2048\r\nConnection: close\r\n\r\n{body}");
    let chunked = format!(
        "POST /small/a HTTP/1.1\r\nHost: g.example\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n800\r\n{body}\r\n0\r\n\r\n"
    );
    let get = |target: &str| request("GET", target, "g.example", "");
    // The first of two is within the limit.
    rig.ask(&get(LIMITED), None).await;
    let mut rows = Vec::new();
    for (what, asked) in [
        ("2,048 bytes where 1,024 are allowed, by `Content-Length`", by_length),
        ("the same in chunks", chunked),
        ("the second request where one is allowed in a minute", get(LIMITED)),
        ("a service that does not answer in a second", get("/slow/hang")),
        ("a service that closes the connection instead", get("/slow/cut")),
        ("a service that is not there", get("/away/a")),
        ("a path that nothing is configured for", get("/elsewhere")),
    ] {
        let seen = rig.ask(&asked, None).await;
        let mut cells = seen.map(|exchange| refusal(&exchange));
        if asked.contains(LIMITED) {
            // It has no such limit, and so no such path.
            assert_eq!(std::mem::replace(&mut cells[CADDY], "–".to_owned()), "404");
        }
        rows.push((what.to_owned(), cells));
    }
    rows
}

/// The status, and whether it is said when the client should ask again.
fn refusal(exchange: &Exchange) -> String {
    let later = exchange.header("retry-after").map(|_| ", `Retry-After`");
    exchange.status().to_string() + later.unwrap_or_default()
}
