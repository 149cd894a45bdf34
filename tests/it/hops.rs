//! What proxies say to each other by headers: `Via` and loops, `Max-Forwards`, and which headers only proxies may send.

use std::net::SocketAddr;

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};

use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire, exchange};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, ports, public_service, with};

async fn serving(tail: &str, url: &str) -> Gateway {
    let gateway = Gateway::start(tail).await;
    gateway.registered(&public_service("service", url, "/s/*")).await;
    gateway
}

fn request(line: &str, headers: &str) -> String {
    format!("{line}\r\nHost: g\r\n{headers}Connection: close\r\n\r\n")
}

/// The headers of a request as the service saw them.
async fn seen(gateway: &Gateway, request: &str) -> Value {
    let answer = exchange(gateway.public, request).await;
    assert_eq!(wire::status(&answer), 200, "{answer}");
    // The body may be chunked; the echo is one line of JSON within it.
    let echo = answer.lines().find(|line| line.starts_with('{')).unwrap_or_else(|| panic!("{answer}"));
    serde_json::from_str::<Value>(echo).unwrap()["headers"].take()
}

async fn via(gateway: &Gateway, line: &str, headers: &str) -> Value {
    seen(gateway, &request(line, headers)).await["via"].take()
}

/// The url of another way to `to`: of a proxy that says nothing of itself.
async fn way_to(to: SocketAddr) -> String {
    let (listener, url) = ports::service();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let Ok(mut server) = TcpStream::connect(to).await else { return };
                let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
            });
        }
    });
    url
}

// Via.

#[tokio::test]
async fn services_see_where_a_request_passed_in_its_order() {
    let origin = Origin::start().await;
    let gateway = serving("", &origin.url()).await;
    let line = "GET /s/a HTTP/1.1";
    assert_eq!(via(&gateway, line, "").await, json!(["1.1 furt"]));
    assert_eq!(via(&gateway, "GET /s/a HTTP/1.0", "").await, json!(["1.0 furt"]));
    let earlier = "Via: 1.0 one, 1.1 two (a, b)\r\nvia: 1.1 furt\r\n";
    assert_eq!(via(&gateway, line, earlier).await, json!(["1.0 one, 1.1 two (a, b)", "1.1 furt", "1.1 furt"]));
    let named = "Max-Forwards: 3\r\nConnection: via, max-forwards, close\r\n\r\n";
    let sent = format!("OPTIONS /s/a HTTP/1.1\r\nHost: g\r\n{named}");
    let arrived = seen(&gateway, &sent).await;
    assert_eq!(
        (&arrived["via"], &arrived["max-forwards"]),
        (&json!(["1.1 furt"]), &json!(["2"])),
        "no client ends them"
    );
    gateway.reloaded("[server]\nvia = 'edge-1'").await;
    assert_eq!(via(&gateway, line, "").await, json!(["1.1 edge-1"]));
    let loops = "Via: 1.1 furt\r\n".repeat(9);
    assert_eq!(via(&gateway, line, &loops).await.as_array().unwrap().len(), 10, "others of another name are no loop");
    gateway.reloaded("[server]\nvia = ''").await;
    assert_eq!(via(&gateway, line, "").await, Value::Null);
    assert_eq!(via(&gateway, line, &loops).await.as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn services_of_http_2_and_upgrades_see_it_too() {
    let origin = Origin::h2c().await;
    let gateway = Gateway::start("").await;
    gateway.registered(&with(public_service("h2c", &origin.url(), "/s/*"), json!({ "protocol": "h2c" }))).await;
    assert_eq!(via(&gateway, "GET /s/a HTTP/1.1", "").await, json!(["1.1 furt"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    gateway.registered(&public_service("socket", &url, "/ws/*")).await;
    let mut client = Wire::to(gateway.public).await;
    client
        .send("GET /ws/a HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nX-Real-IP: 1\r\n\r\n")
        .await;
    let (stream, _) = listener.accept().await.unwrap();
    let arrived = Wire::of(stream).read_until("\r\n\r\n").await;
    assert_eq!(wire::header(&arrived, "via"), Some("1.1 furt"), "{arrived}");
    assert_eq!(wire::header(&arrived, "upgrade"), Some("websocket"), "{arrived}");
    assert_eq!(wire::header(&arrived, "x-real-ip"), None, "{arrived}");
}

#[tokio::test]
async fn a_request_that_is_tried_again_has_passed_once() {
    let (origin, cut) = (Origin::start().await, Scripted::start("", Then::Close).await);
    let gateway = Gateway::start("").await;
    for (id, url) in [("cut", cut.url()), ("good", origin.url())] {
        gateway.registered(&with(public_service("service", &url, "/s/*"), json!({ "instance": id }))).await;
    }
    for _ in 0..6 {
        assert_eq!(via(&gateway, "GET /s/a HTTP/1.1", "").await, json!(["1.1 furt"]));
    }
    assert!(cut.requests() > 0);
}

#[tokio::test]
async fn a_loop_ends_after_eight_passes_and_takes_no_instance_away() {
    let gateway = Gateway::start("").await;
    // Of two one may be ejected.
    for id in ["one", "two"] {
        let body = public_service("looped", &way_to(gateway.public).await, "/l/*");
        gateway.registered(&with(body, json!({ "instance": id }))).await;
    }
    for round in 1..=7 {
        let answer = Answer::of(gateway.anonymous(Method::POST, "/l/a").body("x")).await;
        let problem = answer.problem(508, "loop-detected");
        assert_eq!(answer.header("proxy-status"), "furt; error=proxy_loop_detected");
        assert!(problem["detail"].as_str().unwrap().contains("8 times"), "{problem}");
        eventually("eight passes, and the one that was refused, are counted", SOON, async || {
            let requests = gateway.service("looped").await?["requests"]["by_status"]["5xx"].as_u64()?;
            (requests == round * 9).then_some(())
        })
        .await;
    }
    for instance in gateway.service("looped").await.unwrap()["instances"].as_array().unwrap() {
        assert!(instance["ejected_until"].is_null(), "{instance}");
    }
}

#[tokio::test]
async fn furts_in_a_row_are_no_loop() {
    let origin = Origin::start().await;
    let mut url = origin.url();
    let mut row = Vec::new();
    for _ in 0..4 {
        let gateway = serving("", &url).await;
        url = format!("http://{}", gateway.public);
        row.push(gateway);
    }
    let passed = json!(["1.1 edge", "1.1 furt", "1.1 furt", "1.1 furt", "1.1 furt"]);
    assert_eq!(via(&row[3], "GET /s/a HTTP/1.1", "Via: 1.1 edge\r\n").await, passed);
    // What a client adds to it ends at the furt that finds it, and takes no furt behind away.
    for _ in 0..7 {
        let forged = "Via: 1.1 furt, 1.1 furt, 1.1 furt, 1.1 furt, 1.1 furt, 1.1 furt, 1.1 furt\r\n";
        let answer = exchange(row[3].public, request("GET /s/a HTTP/1.1", forged)).await;
        assert_eq!(wire::status(&answer), 508, "{answer}");
    }
    assert_eq!(via(&row[3], "GET /s/a HTTP/1.1", "Via: 1.1 edge\r\n").await, passed);
}

// Max-Forwards.

#[tokio::test]
async fn max_forwards_is_counted_down_for_options_and_trace_alone() {
    let origin = Origin::start().await;
    let gateway = serving("", &origin.url()).await;
    for (method, sent, arrives) in [
        ("OPTIONS", "5", "4"),
        ("TRACE", "1", "0"),
        ("OPTIONS", "99999999999999999999", "4294967294"),
        ("GET", "0", "0"),
        ("POST", "many", "many"),
    ] {
        let sent = request(&format!("{method} /s/a HTTP/1.1"), &format!("Max-Forwards: {sent}\r\n"));
        assert_eq!(seen(&gateway, &sent).await["max-forwards"], json!([arrives]), "{method}");
    }
    for wrong in ["Max-Forwards: -1\r\n", "Max-Forwards: 1, 1\r\n", "Max-Forwards: 1\r\nMax-Forwards: 1\r\n"] {
        let answer = exchange(gateway.public, request("OPTIONS /s/a HTTP/1.1", wrong)).await;
        assert_eq!(wire::status(&answer), 400, "{answer}");
        assert!(answer.contains("bad-request") && answer.contains("Max-Forwards"), "{answer}");
    }
}

#[tokio::test]
async fn furt_answers_what_may_go_no_further_and_the_connection_stays_good() {
    let origin = Origin::start().await;
    let log = tempfile::NamedTempFile::new().unwrap();
    let gateway = Gateway::start(&format!("[access_log]\npath = '{}'", log.path().display())).await;
    let routes = json!([{"method": "GET", "path": "/s/*"}, {"method": "OPTIONS", "path": "/s/*"}, {"method": "TRACE", "path": "/s/*"},
        {"method": "OPTIONS", "path": "/secret", "permission": "s:use"}, {"method": "*", "path": "/all"}]);
    gateway.registered(&with(public_service("service", &origin.url(), "/s"), json!({ "routes": routes }))).await;
    let mut client = Wire::to(gateway.public).await;
    let last = |line: &str| format!("{line} HTTP/1.1\r\nHost: g\r\nMax-Forwards: 0\r\nCookie: secret\r\n\r\n");
    client.send(last("OPTIONS /s/a") + &last("OPTIONS /all") + &last("TRACE /s/a?b") + &last("OPTIONS /secret")).await;
    for allow in ["GET, HEAD, OPTIONS, TRACE", "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"] {
        let (head, body) = client.read_response().await;
        assert_eq!((wire::status(&head), wire::header(&head, "allow"), &*body), (200, Some(allow), ""), "{head}");
        assert_eq!(wire::header(&head, "content-type"), None, "{head}");
    }
    let (head, body) = client.read_response().await;
    assert_eq!((wire::status(&head), wire::header(&head, "content-type")), (200, Some("message/http")), "{head}");
    assert_eq!(body, "TRACE /s/a?b HTTP/1.1\r\nHost: g\r\nMax-Forwards: 0\r\n\r\n");
    let (head, _) = client.read_response().await;
    assert_eq!(wire::status(&head), 401, "who may not go on learns nothing: {head}");
    assert_eq!(origin.requests("/s/a"), 0);
    eventually("the log says who answered", SOON, async || {
        let lines = std::fs::read_to_string(log.path()).unwrap();
        (lines.matches(r#""flag":"last-hop""#).count() == 3).then_some(())
    })
    .await;
}

// What only proxies may say.

#[tokio::test]
async fn what_only_proxies_may_say_of_a_client_is_removed_from_strangers_however_it_is_written() {
    let origin = Origin::start().await;
    let gateway = serving("", &origin.url()).await;
    let forged: String = [
        "X-Real-IP",
        "x_real_ip",
        "True-Client-IP",
        "CF-Connecting-IP",
        "cf_connecting_ip",
        "Fastly-Client-IP",
        "X-Client-IP",
        "X-Cluster-Client-IP",
        "Client-IP",
        "X-Original-URL",
        "X.Rewrite.URL",
        "X-Forwarded-Client-Cert",
        "Forwarded",
    ]
    .map(|name| format!("{name}: forged\r\n"))
    .concat();
    let sent = request("GET /s/a HTTP/1.1", &(forged + "X-Remote-User: kept\r\nCookie: kept\r\n"));
    let arrived = seen(&gateway, &sent).await;
    assert!(!arrived.to_string().contains("forged"), "{arrived}");
    assert_eq!((&arrived["x-remote-user"], &arrived["cookie"]), (&json!(["kept"]), &json!(["kept"])));
    gateway.reloaded("[server]\ntrusted_proxies = ['127.0.0.1']").await;
    let arrived = seen(&gateway, &sent).await;
    for name in ["x-real-ip", "x_real_ip", "cf-connecting-ip", "client-ip", "x-original-url"] {
        assert_eq!(arrived[name], json!(["forged"]), "{name}: {arrived}");
    }
    gateway.reloaded("[server]\nproxy_headers = ['X-Remote-User']").await;
    let arrived = seen(&gateway, &sent).await;
    assert_eq!((&arrived["x-real-ip"], &arrived["x-remote-user"]), (&json!(["forged"]), &Value::Null));
}
