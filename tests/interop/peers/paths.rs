//! Services below a prefix that they do not know: which path they are asked for, and what becomes of their answers.

use super::page::Row;
use super::rig::{Exchange, GATEWAYS, Rig};
use crate::support::wire;

/// Paths that a client could mean well with, and paths that lead elsewhere if gateway and service read them differently.
const TARGETS: [&str; 26] = [
    "/api/a",
    "/api",
    "/api/",
    "/api?x=1",
    "/api/a?x=%2F..",
    "/api/%61",
    "/%61pi/a",
    "/api/a%20b%C3%A9",
    "/api/;x/a",
    "/api/a;x",
    "/api/a%2Fb",
    "/api%2fadmin",
    "/api/..%2fadmin",
    "/api/../admin",
    "/api/..;x/admin",
    "/api/%2e%2e/admin",
    "/api//a",
    "/api/./a",
    "//api/a",
    "/api/a\\b",
    "/api/a%00",
    "/api/a%",
    "/api/a#f",
    "/API/a",
    "/apix",
    "http://g.example/api/a",
];

/// A request of a client that sends nothing after it.
pub(super) fn request(method: &str, target: &str, host: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: {host}\r\n{fields}Connection: close\r\n\r\n")
}

/// A text as code.
pub(super) fn code(text: &str) -> String {
    format!("`{text}`")
}

/// The status, and where it leads.
pub(super) fn status_and_place(exchange: &Exchange) -> String {
    let place = exchange.header("location").map(|place| format!(" → `{place}`"));
    exchange.status().to_string() + &place.unwrap_or_default()
}

/// What the service is asked for, or how the gateway answers itself.
fn asked_for(exchange: &Exchange) -> String {
    exchange.target().map_or_else(|| status_and_place(exchange), code)
}

/// What the service is asked for.
pub(super) async fn taken_off(rig: &Rig) -> Vec<Row> {
    let mut rows = Vec::new();
    for target in TARGETS {
        let seen = rig.ask(&request("GET", target, "g.example", ""), None).await;
        rows.push((code(target), seen.map(|exchange| asked_for(&exchange))));
    }
    rows
}

/// What the service is told of the prefix, and of the client.
pub(super) async fn told(rig: &Rig) -> Vec<Row> {
    let mut rows = Vec::new();
    for (what, fields, name) in [
        ("`X-Forwarded-Prefix`", "", "x-forwarded-prefix"),
        ("`X-Forwarded-Prefix`, if the client sends `/evil`", "X-Forwarded-Prefix: /evil\r\n", "x-forwarded-prefix"),
        ("`X_Forwarded_Prefix`, if the client sends `/evil`", "X_Forwarded_Prefix: /evil\r\n", "x_forwarded_prefix"),
        (
            "`X-Forwarded-Host`, if the client sends `evil.example`",
            "X-Forwarded-Host: evil.example\r\n",
            "x-forwarded-host",
        ),
        ("`X-Forwarded-For`, if the client sends `192.0.2.1`", "X-Forwarded-For: 192.0.2.1\r\n", "x-forwarded-for"),
        ("`Host`", "", "host"),
    ] {
        let seen = rig.ask(&request("GET", "/api/a", "g.example", fields), None).await;
        let cell = |exchange: Exchange| match &exchange.seen {
            // For a client on loopback Envoy names another address of the machine.
            Some(head) if name == "x-forwarded-for" => {
                let list = wire::header(head, name).unwrap_or_default();
                let known = |one: &str| if one == "192.0.2.1" { one.to_owned() } else { "ADDRESS".to_owned() };
                code(&list.split(',').map(|one| known(one.trim())).collect::<Vec<_>>().join(", "))
            }
            Some(head) => wire::header(head, name).map_or("not sent".to_owned(), code),
            None => exchange.status().to_string(),
        };
        rows.push((what.to_owned(), seen.map(cell)));
    }
    let seen = rig.ask_whole(&request("HEAD", "/api/a", "g.example", "")).await;
    let method = |exchange: Exchange| {
        let body = exchange.answer.split_once("\r\n\r\n").map_or(0, |(_, body)| body.len());
        let method =
            exchange.seen.as_deref().and_then(|head| head.split(' ').next()).map_or("nothing".to_owned(), code);
        format!("{method}, {body} bytes to the client")
    };
    rows.push(("the method, if the client sends `HEAD`".to_owned(), seen.map(method)));
    rows
}

/// What becomes of paths in a service's answers.
pub(super) async fn put_back(rig: &Rig) -> Vec<Row> {
    let mut rows = Vec::new();
    for (status, name, value) in [
        ("302 Found", "Location", "/login"),
        ("302 Found", "Location", "/api/login"),
        ("302 Found", "Location", "login"),
        ("302 Found", "Location", "http://g.example/login"),
        ("302 Found", "Location", "http://SERVICE/login"),
        ("302 Found", "Location", "https://login.example/"),
        ("201 Created", "Location", "/things/1"),
        ("200 OK", "Set-Cookie", "a=1; Path=/"),
    ] {
        let answer = format!("{status}\r\n{name}: {value}\r\n");
        let seen = rig.ask(&request("GET", "/api/a", "g.example", ""), Some(&answer)).await;
        let asked = format!("{}: `{name}: {value}`", &status[..3]);
        rows.push((asked, cells(seen, name)));
    }
    rows
}

fn cells(seen: [Exchange; GATEWAYS], name: &str) -> [String; GATEWAYS] {
    seen.map(|exchange| exchange.header(name).map_or("not sent".to_owned(), |value| code(&value)))
}
