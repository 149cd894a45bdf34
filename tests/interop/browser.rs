//! Chromium as the judge of CORS: a page on another origin asks, and tells what it could read.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::foreign::Chromium;
use crate::support::scripted::{Scripted, Then};
use crate::support::{Gateway, Health, Origin, READER, WRITER, public_service, with};

/// How long all cases may take, with the start of a browser.
const LONGEST: Duration = Duration::from_secs(60);

/// Serves the page, and gives what it posts back.
async fn results(listener: TcpListener, page: String) -> Value {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut read = Vec::new();
        let head = loop {
            if let Some(end) = read.windows(4).position(|window| window == b"\r\n\r\n") {
                break end + 4;
            }
            if !matches!(stream.read_buf(&mut read).await, Ok(1..)) {
                break 0;
            }
        };
        let text = String::from_utf8_lossy(&read[..head]).to_ascii_lowercase();
        let length = text.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok()).unwrap_or(0);
        while read.len() < head + length && matches!(stream.read_buf(&mut read).await, Ok(1..)) {}
        let body = if text.starts_with("get / ") { page.as_str() } else { "" };
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        );
        let _ = stream.write_all(answer.as_bytes()).await;
        if text.starts_with("post /results ") {
            return serde_json::from_slice(&read[head..]).unwrap();
        }
    }
}

fn case(name: &str, ask: Value, expected: Value) -> (Value, Value) {
    (json!({"name": name, "ask": ask}), expected)
}

fn socket(name: &str, path: &str, opened: bool) -> (Value, Value) {
    (json!({"name": name, "socket": path}), json!({"opened": opened}))
}

/// Each case, and what a browser makes of it.
fn cases() -> Vec<(Value, Value)> {
    let cors = |status: u16| json!({"status": status, "type": "cors"});
    let seen = |status: u16, more: Value| with(cors(status), more);
    let refused = json!({"error": "TypeError"});
    let key = json!({"x-api-key": READER});
    let include = |path: &str| json!({"path": path, "credentials": "include"});
    let get = |path: &str| json!({"path": path});
    let method = |method: &str, path: &str| json!({"path": path, "method": method});
    let headers = |path: &str, headers: Value| json!({"path": path, "headers": headers});
    let large = json!({"path": "/any", "method": "POST", "body": "x".repeat(3000)});
    let exposed = json!({"path": "/keyed", "headers": key, "read": ["x-request-id", "x-gateway"]});
    let no_key = json!({"path": "/keyed", "read": ["www-authenticate", "x-request-id"]});
    vec![
        case("any: GET", get("/any"), seen(200, json!({"path": "/any"}))),
        case("any: with a header", headers("/any", json!({"x-a": "1"})), seen(200, json!({"path": "/any"}))),
        case(
            "any: POST of text",
            with(method("POST", "/any"), json!({"body": "x"})),
            seen(200, json!({"path": "/any"})),
        ),
        case(
            "any: POST of JSON",
            json!({"path": "/any", "method": "POST", "body": "{}", "headers": {"content-type": "application/json"}}),
            seen(200, json!({"path": "/any"})),
        ),
        case("any: PUT", method("PUT", "/any"), seen(200, json!({"path": "/any"}))),
        case("any: DELETE", method("DELETE", "/any"), seen(200, json!({"path": "/any"}))),
        case("any: PATCH", method("PATCH", "/any"), seen(200, json!({"path": "/any"}))),
        case("any: HEAD", method("HEAD", "/any"), cors(200)),
        case("any: with cookies", include("/any"), refused.clone()),
        case("any: too large", large, seen(413, json!({"code": "body-too-large"}))),
        case("any: opaque", json!({"path": "/any", "mode": "no-cors"}), json!({"status": 0, "type": "opaque"})),
        case("keyed: without a key", no_key, {
            seen(401, json!({"code": "key-missing", "www-authenticate": true, "x-request-id": true}))
        }),
        case("keyed: with a key", headers("/keyed", key.clone()), seen(200, json!({"path": "/keyed"}))),
        case(
            "keyed: with a wrong key",
            headers("/keyed", json!({"x-api-key": "wrong"})),
            seen(401, json!({"code": "key-unknown"})),
        ),
        case(
            "keyed: with a bearer's key",
            headers("/keyed", json!({"authorization": format!("Bearer {READER}")})),
            seen(200, json!({"path": "/keyed"})),
        ),
        case("keyed: HEAD", json!({"path": "/keyed", "method": "HEAD", "headers": key}), cors(200)),
        case(
            "keyed: without the permission",
            json!({"path": "/keyed", "method": "POST", "headers": key}),
            seen(403, json!({"code": "permission-missing"})),
        ),
        case(
            "keyed: another key",
            json!({"path": "/keyed", "method": "POST", "headers": {"x-api-key": WRITER}}),
            seen(200, json!({"path": "/keyed"})),
        ),
        case("keyed: with cookies", with(include("/keyed"), json!({"headers": key})), refused.clone()),
        case("keyed: what is exposed", exposed, {
            seen(200, json!({"path": "/keyed", "x-request-id": true, "x-gateway": false}))
        }),
        case("keyed: no such method", method("DELETE", "/keyed"), refused.clone()),
        case(
            "keyed: over its rate",
            json!({"path": "/keyed", "headers": {"x-api-key": "slow"}, "times": 2, "read": ["retry-after"]}),
            seen(429, json!({"code": "rate-limited", "retry-after": true})),
        ),
        case("cookies: sent", include("/cookies"), seen(200, json!({"path": "/cookies"}))),
        case(
            "cookies: sent with a header",
            with(include("/cookies"), json!({"headers": {"x-a": "1"}})),
            seen(200, json!({"path": "/cookies"})),
        ),
        case("cookies: omitted", get("/cookies"), seen(200, json!({"path": "/cookies"}))),
        case("foreign: GET", get("/foreign"), refused.clone()),
        case("foreign: with a header", headers("/foreign", json!({"x-a": "1"})), refused.clone()),
        case("none: GET", get("/none"), refused.clone()),
        case("none: with a header", headers("/none", json!({"x-a": "1"})), refused.clone()),
        case("wild: GET", get("/wild"), seen(200, json!({"path": "/wild"}))),
        case("narrow: a header that is named", headers("/narrow", json!({"x-named": "1"})), {
            seen(200, json!({"path": "/narrow"}))
        }),
        case("narrow: a header that is not", headers("/narrow", json!({"x-other": "1"})), refused.clone()),
        case("narrow: exposes", json!({"path": "/narrow", "read": ["x-gateway"]}), {
            seen(200, json!({"path": "/narrow", "x-gateway": true}))
        }),
        case("down: GET", json!({"path": "/down", "read": ["retry-after"]}), {
            seen(503, json!({"code": "service-down", "retry-after": true}))
        }),
        case("down: with a header", headers("/down", json!({"x-a": "1"})), seen(503, json!({"code": "service-down"}))),
        case("nowhere", get("/nowhere"), refused.clone()),
        case("own headers are replaced", get("/own"), cors(200)),
        case("a redirect is followed", get("/redirect"), seen(200, json!({"path": "/any"}))),
        case("stripped", get("/api/stripped/a"), seen(200, json!({"path": "/stripped/a"}))),
        case("kept: twice", json!({"path": "/kept", "headers": {"x-a": "1"}, "times": 3}), {
            seen(200, json!({"path": "/kept"}))
        }),
        case("not kept: twice", json!({"path": "/unkept", "headers": {"x-a": "1"}, "times": 3}), {
            seen(200, json!({"path": "/unkept"}))
        }),
        socket("a socket of an origin that is named", "/cookies", true),
        socket("a socket of one that is not", "/foreign", false),
        socket("a socket where nothing is said", "/none", true),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chromium_reads_what_cors_allows_and_nothing_else() {
    const OWN: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nAccess-Control-Allow-Origin: https://a.example\r\n\
        Access-Control-Allow-Origin: *\r\n\r\n{}";
    const REDIRECT: &str = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /any\r\n\r\n";
    let digest = furt_core::model::Sha256Digest::of(b"slow");
    let gateway = Gateway::start(&format!(
        "keys.accept = ['header', 'bearer']\n[access_log]\npath = 'access.log'\n[limits]\nmax_body = 2000\n\
         [[api_keys]]\nname = 'slow'\nsha256 = '{digest}'\npermissions = ['*']\nrate = '1/m'\n"
    ))
    .await;
    let (origin, down) = (Origin::start().await, Origin::start().await);
    let (own, redirect) = (Scripted::start(OWN, Then::Close).await, Scripted::start(REDIRECT, Then::Close).await);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let page = format!("http://app.localhost:{port}");
    let register = async |name: &str, url: &str, more: Value| {
        gateway.registered(&with(public_service(name, url, &format!("/{name}")), more)).await;
    };
    let (url, named) = (origin.url(), json!([page]));
    register("any", &url, json!({"cors": {"origins": ["*"]}})).await;
    let routes = json!([
        {"method": "GET", "path": "/keyed", "permission": "comments:read"},
        {"method": "POST", "path": "/keyed", "permission": "comments:write"},
    ]);
    register("keyed", &url, json!({"cors": {"origins": named}, "routes": routes})).await;
    register("cookies", &url, json!({"cors": {"origins": named, "credentials": true}})).await;
    register("foreign", &url, json!({"cors": {"origins": ["https://other.example"]}})).await;
    register("none", &url, json!({})).await;
    register("wild", &url, json!({"cors": {"origins": [format!("http://*.localhost:{port}")]}})).await;
    let narrow = json!({"origins": named, "headers": ["x-named"], "expose": ["x-gateway"]});
    register("narrow", &url, json!({"cors": narrow})).await;
    register("own", &own.url(), json!({"cors": {"origins": named}})).await;
    register("redirect", &redirect.url(), json!({"cors": {"origins": named}})).await;
    let stripped = json!({"cors": {"origins": named}, "rewrite": {"strip": "/api"}, "routes": [{"method": "GET", "path": "/api/stripped/*"}]});
    register("stripped", &url, stripped).await;
    register("kept", &url, json!({"cors": {"origins": named, "max_age": 600}})).await;
    register("unkept", &url, json!({"cors": {"origins": named, "max_age": 0}})).await;
    down.set_health(Health::Status(500));
    register("down", &down.url(), json!({"cors": {"origins": named}, "health_endpoint": "/health"})).await;
    gateway.status_becomes("down", "DOWN").await;

    let cases = cases();
    let asked: Vec<_> = cases.iter().map(|(case, _)| case).collect();
    let html = include_str!("programs/cors.html");
    let html = html.replace("GATEWAY", &format!("http://{}", gateway.public));
    let html = html.replace("CASES", &serde_json::to_string(&asked).unwrap());
    let browser = Chromium::open(&format!("{page}/"));
    let results = tokio::time::timeout(LONGEST, results(listener, html)).await.expect("the page is done in time");
    drop(browser);
    let wrong: Vec<_> = cases
        .iter()
        .map(|(case, expected)| (&case["name"], expected, &results[case["name"].as_str().unwrap()]))
        .filter(|(_, expected, seen)| expected != seen)
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    println!("{} cases", cases.len());
    assert!(cases.len() >= 40);
    let log = std::fs::read_to_string(gateway.dir().join("access.log")).unwrap();
    let preflights = |path: &str| {
        let is_one = |line: &&str| line.contains(&format!("\"{path}\"")) && line.contains("\"preflight\"");
        log.lines().filter(is_one).count()
    };
    assert_eq!((preflights("/kept"), preflights("/unkept")), (1, 3), "as long as max_age says");
}
