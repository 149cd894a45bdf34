//! Limits of routes: how often, how many at once, how large. They add up, whoever says them, and what is counted survives whatever is
//! registered and reloaded.

use reqwest::Method;
use serde_json::json;

use crate::support::asking::{ask, ask_from, service, statuses};
use crate::support::gateway::client_from;
use crate::support::h2_client::{self, Client};
use crate::support::wire::{self, Wire};
use crate::support::{
    ADMIN, Answer, Gateway, Mode, Origin, READER, SOON, WRITER, eventually, public_service, sagjan, with,
};

#[tokio::test]
async fn limits_of_service_route_and_rule_hold_together() {
    let rules = "[[rules]]\npath = '/s/rule'\nlimits = { rate = '1/m', by = 'route' }\n[access_log]\npath = '-'";
    let (gateway, origin) = (Gateway::start(rules).await, Origin::start().await);
    let routes = json!([
        {"method": "GET", "path": "/s/route", "limits": {"rate": "1/m", "burst": 2}},
        {"method": "GET", "path": "/s/*"},
    ]);
    let limits = json!({"rate": "1/m", "burst": 5, "by": "route"});
    gateway.registered(&service(&origin, json!({"routes": routes, "limits": limits}))).await;
    assert_eq!(statuses(&gateway, "/s/route", 2).await, [200, 200]);
    let refused = ask(&gateway, "/s/route").await;
    let problem = refused.problem(429, "route-rate-limited");
    assert_eq!(problem["detail"], "the limit is 1/m for each caller");
    assert!((50..=60).contains(&refused.retry_after()), "{refused:?}");
    assert_eq!(statuses(&gateway, "/s/route", 10).await, [429; 10], "what is refused counts for nobody");
    // The rule is for a part of the route `/s/*`.
    assert_eq!(statuses(&gateway, "/s/rule", 3).await, [200, 429, 429]);
    assert_eq!(statuses(&gateway, "/s/other", 3).await, [200, 200, 429], "two of the five were left");
    assert_eq!(ask(&gateway, "/s/other").await.problem(429, "route-rate-limited")["detail"], "the limit is 1/m");
    let line = "furt_limited_total{limit=\"route-rate\"} 15\n";
    eventually(line, SOON, async || gateway.metrics().await.contains(line).then_some(())).await;
    eventually("it is logged", SOON, async || gateway.log().contains("\"flag\":\"route-rate-limited\"").then_some(()))
        .await;
    let client = Client::to(gateway.public).await;
    assert_eq!(client.ask(h2_client::get("/s/other")).await.status, 429, "over HTTP/2 as well");
}

#[tokio::test]
async fn callers_and_addresses_have_their_own_measure() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let limits = json!({"rate": "1/m", "burst": 2});
    gateway.registered(&with(sagjan(&origin.url()), json!({"limits": limits, "health_endpoint": null}))).await;
    let with_key = async |key: &str| {
        let mut all = Vec::new();
        for _ in 0..3 {
            all.push(Answer::of(gateway.request(Method::GET, "/api/comments/a", key)).await.status.as_u16());
        }
        all
    };
    for key in [READER, WRITER, ADMIN] {
        assert_eq!(with_key(key).await, [200, 200, 429], "{key}");
    }
    let wrong = Answer::of(gateway.request(Method::GET, "/api/comments/a", "wrong")).await;
    wrong.problem(401, "key-unknown");
    for (by, path) in [("caller", "/s/caller"), ("address", "/s/address")] {
        let routes = json!([{"method": "GET", "path": path, "limits": {"rate": "1/m", "by": by}}]);
        gateway.registered(&service(&origin, json!({"routes": routes}))).await;
        for source in ["127.0.0.1", "127.0.0.2", "127.0.0.3"] {
            ask_from(&gateway, source, path).await.ok();
            ask_from(&gateway, source, path).await.problem(429, "route-rate-limited");
        }
    }
    // Of a public route a key is nobody's: who has several has one measure all the same.
    let routes = json!([{"method": "GET", "path": "/s/public", "limits": {"rate": "1/m"}}]);
    gateway.registered(&service(&origin, json!({"routes": routes}))).await;
    Answer::of(gateway.request(Method::GET, "/s/public", READER)).await.ok();
    Answer::of(gateway.request(Method::GET, "/s/public", WRITER)).await.problem(429, "route-rate-limited");
}

#[tokio::test]
async fn no_registration_and_no_reload_gives_a_full_measure_again() {
    let rule = "[[rules]]\nservice = 's'\npath = '/s'\nlimits = { rate = '1/m', burst = 2, by = 'route' }\n";
    let rule = &format!("[registration]\nrate = '1000/s'\n{rule}");
    let (gateway, origin) = (Gateway::start(rule).await, Origin::start().await);
    let routes = json!([
        {"method": "GET", "path": "/s"},
        {"method": "GET", "path": "/s/route", "limits": {"rate": "2/m", "burst": 2, "by": "route"}},
        {"method": "GET", "path": "/s/caller", "limits": {"rate": "3/m", "burst": 2}},
    ]);
    let body = |revision: u64| service(&origin, json!({"routes": routes, "revision": revision}));
    gateway.registered(&body(0)).await;
    let paths = ["/s", "/s/route", "/s/caller"];
    for path in paths {
        assert_eq!(statuses(&gateway, path, 3).await, [200, 200, 429], "{path}");
    }
    let mut times = 0;
    let mut still = async |why: &str| {
        times += 1;
        for path in paths {
            ask(&gateway, path).await.problem(429, "route-rate-limited");
        }
        assert!(times < 100, "{why}");
    };
    for revision in 1..=1000 {
        gateway.registered(&body(revision)).await;
        if revision % 250 == 0 {
            still("after registrations").await;
        }
    }
    gateway.reloaded(&format!("{rule}[[rules]]\npath = '/other/*'\nretries = 0")).await;
    still("after a reload").await;
    let (before, own) = rule.split_at(rule.find("[[rules]]").unwrap());
    gateway.reloaded(&format!("{before}[[rules]]\npath = '/other/*'\nretries = 0\n{own}")).await;
    still("after a reload that moves the rule").await;
    let left = Answer::of(gateway.operate(Method::DELETE, "/internal/services/s")).await;
    assert!(left.status.is_success(), "{left:?}");
    gateway.registered(&body(0)).await;
    still("after it was gone").await;
    let changed = rule.replace("burst = 2", "burst = 3");
    gateway.reloaded(&changed).await;
    assert_eq!(statuses(&gateway, "/s", 4).await, [200, 200, 200, 429], "another limit counts anew");
}

#[tokio::test]
async fn so_many_are_under_way_and_no_more() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let routes = json!([
        {"method": "*", "path": "/s/caller", "limits": {"concurrency": 1}},
        {"method": "*", "path": "/s/route", "limits": {"concurrency": 2, "by": "route"}},
    ]);
    gateway.registered(&service(&origin, json!({"routes": routes}))).await;
    origin.set_mode(Mode::Gated);
    for (path, sources) in [("/s/caller", ["127.0.0.2"].as_slice()), ("/s/route", &["127.0.0.2", "127.0.0.3"])] {
        let mut held: Vec<_> = Vec::new();
        for source in sources {
            let request = client_from(Some(source.parse().unwrap())).get(gateway.public_url(path));
            held.push(tokio::spawn(Answer::of(request)));
        }
        eventually("they wait", SOON, async || (origin.requests(path) == sources.len()).then_some(())).await;
        let refused = ask_from(&gateway, sources[0], path).await;
        let problem = refused.problem(429, "concurrency-limited");
        let detail = if path == "/s/route" {
            "the limit is 2 at the same time"
        } else {
            "the limit is 1 of each caller at the same time"
        };
        assert_eq!((problem["detail"].as_str(), refused.retry_after()), (Some(detail), 1));
        // Who leaves gives the place back.
        let gone = held.pop().unwrap();
        gone.abort();
        eventually("the place is free", SOON, async || {
            let request = client_from(Some(sources[0].parse().unwrap())).get(gateway.public_url(path));
            let asks = tokio::spawn(Answer::of(request));
            let before = origin.requests(path);
            let came = async || (origin.requests(path) > before || asks.is_finished()).then_some(());
            eventually("it is let in or refused", SOON, came).await;
            if asks.is_finished() {
                return None;
            }
            held.push(asks);
            Some(())
        })
        .await;
        eventually("they are answered", SOON, async || {
            origin.release();
            held.iter().all(tokio::task::JoinHandle::is_finished).then_some(())
        })
        .await;
    }
    origin.set_mode(Mode::Echo);
    // One after the other, on connections of their own and on one: none is in the way of the next.
    for _ in 0..100 {
        let request = "GET /s/caller HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n";
        assert_eq!(wire::status(&wire::exchange(gateway.public, request).await), 200);
        ask(&gateway, "/s/caller").await.ok();
    }
    // Answers without a body, over both protocols and with trailers, and furt's own.
    let client = Client::to(gateway.public).await;
    for status in [204, 304, 404] {
        origin.set_mode(Mode::Status(status));
        for _ in 0..30 {
            assert_eq!(client.ask(h2_client::get("/s/caller")).await.status, status);
            let head = Answer::of(gateway.anonymous(Method::HEAD, "/s/caller")).await;
            assert_eq!(head.status, status);
        }
    }
    origin.set_mode(Mode::Cut);
    for _ in 0..10 {
        let request = "POST /s/caller HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\n1234567890";
        let mut wire = Wire::to(gateway.public).await;
        wire.send(request).await;
        assert_eq!(wire::status(&wire.read_response().await.0), 502);
    }
    origin.set_mode(Mode::Echo);
    let mut socket = Wire::to(gateway.public).await;
    let upgrade = "GET /s/caller HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                   Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    socket.send(upgrade).await;
    assert_eq!(wire::status(&socket.read_until("\r\n\r\n").await), 101);
    ask(&gateway, "/s/caller").await.problem(429, "concurrency-limited");
    drop(socket);
    eventually("a tunnel has its place until it ends", SOON, async || {
        (ask(&gateway, "/s/caller").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_smallest_body_limit_holds() {
    let tail = "[limits]\nmax_body = 100\n[[rules]]\nmethod = 'PUT'\npath = '/s/rule'\nlimits = { max_body = 20 }";
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    let routes = json!([
        {"method": "POST", "path": "/s/route", "limits": {"max_body": 40}},
        {"method": "POST", "path": "/s/large", "limits": {"max_body": "1MiB"}},
        {"method": "*", "path": "/s/*"},
    ]);
    gateway.registered(&service(&origin, json!({"routes": routes, "limits": {"max_body": 80}}))).await;
    for (method, path, most) in [
        (Method::POST, "/s/route", 40),
        (Method::POST, "/s/other", 80),
        (Method::POST, "/s/rule", 80),
        (Method::PUT, "/s/rule", 20),
        (Method::POST, "/s/large", 80),
    ] {
        for (length, status) in [(most, 200), (most + 1, 413)] {
            let body = "a".repeat(length);
            let whole = Answer::of(gateway.anonymous(method.clone(), path).body(body.clone())).await;
            assert_eq!(whole.status, status, "{method} {path} {length}: {whole:?}");
            let chunks: String = body
                .as_bytes()
                .chunks(7)
                .map(|part| format!("{:x}\r\n{}\r\n", part.len(), "a".repeat(part.len())))
                .collect();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nHost: g\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\n\r\n"
            );
            let chunked = wire::exchange(gateway.public, request).await;
            assert_eq!(wire::status(&chunked), status, "{method} {path} {length} in chunks: {chunked}");
        }
    }
    let routes = json!([{"method": "POST", "path": "/s", "limits": {"rate": "1/m", "max_body": 5}}]);
    gateway.registered(&service(&origin, json!({"routes": routes}))).await;
    let send =
        async |body: &'static str| Answer::of(gateway.anonymous(Method::POST, "/s").body(body)).await.status.as_u16();
    assert_eq!(
        [send("123456").await, send("12345").await, send("12345").await],
        [413, 200, 429],
        "refused for its size, it counts for no rate"
    );
}

#[tokio::test]
async fn grpc_calls_are_limited_too() {
    use crate::support::grpc::{GrpcService, call, message};
    let (gateway, service) = (Gateway::start("").await, GrpcService::start());
    let once = json!({"limits": {"concurrency": 1}, "protocol": "h2c"});
    gateway.registered(&with(public_service("g", &service.url(), "/s/*"), once)).await;
    let client = Client::to(gateway.public).await;
    for _ in 0..50 {
        let answer = client.send(call("Echo"), message(b"hello")).await;
        assert_eq!(answer.headers.get("x-furt-code"), None, "one after the other");
    }
    let limits = json!({"limits": {"rate": "1/m"}, "timeouts": {"total": 0.5}, "protocol": "h2c"});
    gateway.registered(&with(public_service("g", &service.url(), "/s/*"), limits)).await;
    let status = async || {
        let answer = client.send(call("Echo"), message(b"hello")).await;
        let text = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap()).to_owned();
        (text("grpc-status"), text("x-furt-code"))
    };
    assert_eq!(status().await.1, "");
    assert_eq!(status().await, ("14".to_owned(), "route-rate-limited".to_owned()));
}
