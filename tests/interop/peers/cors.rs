//! Pages of other origins, as a browser judges the answers (Fetch, §4.8 and §4.9), without credentials of its own.

use super::page::Row;
use super::paths::{code, request};
use super::rig::{Exchange, Rig};

const APP: &str = "https://app.example.org";
const FOREIGN: &str = "https://evil.example";
/// Alice's password, which the service never needs.
const PASSWORD: &str = "Authorization: Basic YWxpY2U6c2VjcmV0LW9mLWFsaWNlLTAwMDE=\r\n";

/// Whether a page of that origin may read the answer.
fn is_readable(exchange: &Exchange, origin: &str) -> bool {
    exchange.header("access-control-allow-origin").is_some_and(|allowed| allowed == "*" || allowed == origin)
}

/// Whether a list of a preflight's answer has a name.
fn lists(exchange: &Exchange, name: &str, wanted: &str) -> bool {
    exchange.header(name).is_some_and(|list| list.split(',').any(|one| one.trim().eq_ignore_ascii_case(wanted)))
}

/// Whether the browser sends the request that the preflight announced.
fn is_allowed(exchange: &Exchange, origin: &str, method: &str, header: &str) -> bool {
    let has_method =
        ["GET", "HEAD", "POST"].contains(&method) || lists(exchange, "access-control-allow-methods", method);
    let has_header = lists(exchange, "access-control-allow-headers", header);
    (200..300).contains(&exchange.status()) && is_readable(exchange, origin) && has_method && has_header
}

fn preflight(origin: &str, method: &str, header: &str) -> String {
    let fields = format!(
        "Origin: {origin}\r\nAccess-Control-Request-Method: {method}\r\nAccess-Control-Request-Headers: {header}\r\n"
    );
    request("OPTIONS", "/cors/a", "g.example", &fields)
}

/// Preflights, none of which has a password.
async fn preflights(rig: &Rig) -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, origin, method, header) in [
        ("of the app, `GET` with `authorization`", APP, "GET", "authorization"),
        ("of a foreign page", FOREIGN, "GET", "authorization"),
        ("of `null`", "null", "GET", "authorization"),
        ("of the app, with a header that is not listed", APP, "GET", "x-unlisted"),
        ("of the app, `DELETE`, which no route has", APP, "DELETE", "authorization"),
    ] {
        let seen = rig.ask(&preflight(origin, method, header), None).await;
        let cell = |exchange: Exchange| {
            let verdict = if is_allowed(&exchange, origin, method, header) { "allowed" } else { "refused" };
            format!("{}, {verdict}", exchange.status())
        };
        rows.push((format!("preflight {what}"), seen.map(cell)));
    }
    for name in ["Access-Control-Allow-Methods", "Access-Control-Allow-Headers", "Vary"] {
        let seen = rig.ask(&preflight(APP, "GET", "authorization"), None).await;
        rows.push((format!("`{name}` of the first"), seen.map(|exchange| field(&exchange, name))));
    }
    let seen = rig.ask(&preflight(FOREIGN, "GET", "authorization"), None).await;
    rows.push(("`Vary` of the second".to_owned(), seen.map(|exchange| field(&exchange, "vary"))));
    rows
}

fn field(exchange: &Exchange, name: &str) -> String {
    exchange.header(name).map_or("not sent".to_owned(), |value| code(&value))
}

/// Requests, and who may read the answers.
async fn requests(rig: &Rig) -> Vec<Row> {
    const ANYBODY: &str = "200 OK\r\nAccess-Control-Allow-Origin: *\r\n";
    let mut rows = Vec::new();
    for (what, path, origin, password, answer) in [
        ("`GET` of the app", "/cors/a", APP, PASSWORD, None),
        ("`GET` of a foreign page", "/cors/a", FOREIGN, PASSWORD, None),
        ("`GET` of the app without a password", "/cors/a", APP, "", None),
        ("`GET` of the app, the service is not there", "/cors/away/a", APP, PASSWORD, None),
        ("`GET` of the app, the service allows `*`", "/cors/a", APP, PASSWORD, Some(ANYBODY)),
        ("`GET` of a foreign page, the service allows `*`", "/cors/a", FOREIGN, PASSWORD, Some(ANYBODY)),
    ] {
        let fields = format!("Origin: {origin}\r\n{password}");
        let seen = rig.ask(&request("GET", path, "g.example", &fields), answer).await;
        let cell = |exchange: Exchange| {
            let verdict = if is_readable(&exchange, origin) { "readable" } else { "not readable" };
            format!("{}, {verdict}", exchange.status())
        };
        rows.push((what.to_owned(), seen.map(cell)));
    }
    rows
}

/// What else is in the answers.
async fn fields(rig: &Rig) -> Vec<Row> {
    const CREDENTIALS: &str = "200 OK\r\nAccess-Control-Allow-Credentials: true\r\n";
    let mut rows = Vec::new();
    for (what, origin, answer, name) in [
        ("`Vary` of an answer to the app", APP, None, "vary"),
        ("`Vary` of an answer to a foreign page", FOREIGN, None, "vary"),
        ("`Vary` of an answer to a request without `Origin`", "", None, "vary"),
        (
            "`Access-Control-Allow-Credentials`, if the service sends `true`",
            APP,
            Some(CREDENTIALS),
            "access-control-allow-credentials",
        ),
    ] {
        let origin = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
        let seen = rig.ask(&request("GET", "/cors/a", "g.example", &(origin + PASSWORD)), answer).await;
        rows.push((what.to_owned(), seen.map(|exchange| field(&exchange, name))));
    }
    for (what, origin) in [("WebSocket of the app", APP), ("WebSocket of a foreign page", FOREIGN)] {
        let opening = format!(
            "GET /cors/live HTTP/1.1\r\nHost: g.example\r\nOrigin: {origin}\r\n{PASSWORD}Connection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        let seen = rig.ask(&opening, None).await;
        rows.push((what.to_owned(), seen.map(|exchange| exchange.status().to_string())));
    }
    rows
}

pub(super) async fn pages(rig: &Rig) -> Vec<Row> {
    [preflights(rig).await, requests(rig).await, fields(rig).await].concat()
}
