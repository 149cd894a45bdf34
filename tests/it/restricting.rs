//! What restricts the requests of a route: limits, addresses, timeouts, retries. It adds up, whoever says it, and what is counted
//! survives whatever is registered and reloaded.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::h2_client::{self, Client};
use crate::support::wire::{self, Wire};
use crate::support::{
    ADMIN, Answer, Gateway, Mode, Origin, READER, SOON, WRITER, eventually, public_service, sagjan, throughout, with,
};

/// A public service at `/s` and below.
fn service(origin: &Origin, more: Value) -> Value {
    let routes = json!([{"method": "*", "path": "/s"}, {"method": "*", "path": "/s/*"}]);
    with(public_service("s", &origin.url(), "/s"), with(json!({"routes": routes}), more))
}

async fn ask(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.anonymous(Method::GET, path)).await
}

/// The statuses of so many requests.
async fn statuses(gateway: &Gateway, path: &str, count: usize) -> Vec<u16> {
    let mut all = Vec::new();
    for _ in 0..count {
        all.push(ask(gateway, path).await.status.as_u16());
    }
    all
}

/// A request from another address of this machine.
async fn ask_from(gateway: &Gateway, source: &str, path: &str) -> Answer {
    let source: IpAddr = source.parse().unwrap();
    Answer::of(client_from(Some(source)).get(gateway.public_url(path))).await
}

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
async fn addresses_are_let_in_and_kept_out_also_on_a_part_of_a_route() {
    let rules = "
        [[rules]]
        path = '/s/admin/*'
        allow_from = ['127.0.0.2', '127.0.0.3']
        [[rules]]
        service = 's'
        deny_from = ['127.0.0.3/32']
        [[rules]]
        path = '/s/admin/root'
        allow_from = ['127.0.0.0/30']
    ";
    let (gateway, origin) = (Gateway::start(rules).await, Origin::start().await);
    let cors = json!({"origins": ["https://a.example"]});
    let registered = gateway.registered(&service(&origin, json!({"cors": cors}))).await;
    assert_eq!(registered.get("warnings"), None, "nothing of a rule that restricts is skipped: {registered}");
    for (source, path, is_let_in) in [
        ("127.0.0.1", "/s", true),
        ("127.0.0.1", "/s/a", true),
        ("127.0.0.1", "/s/admin", true),
        ("127.0.0.1", "/s/admin/a", false),
        ("127.0.0.2", "/s/admin/a", true),
        ("127.0.0.2", "/s/admin/root", true),
        ("127.0.0.1", "/s/admin/root", false),
        ("127.0.0.3", "/s", false),
        ("127.0.0.3", "/s/admin/a", false),
    ] {
        let answer = ask_from(&gateway, source, path).await;
        if is_let_in {
            answer.ok();
        } else {
            let problem = answer.problem(403, "address-not-allowed");
            assert_eq!(problem["detail"], "the route may not be used from this address");
        }
        let explained = gateway.seen(&format!("/internal/explain?method=GET&url={path}&client={source}")).await;
        let expected = if is_let_in { "routed" } else { "address-not-allowed" };
        assert_eq!(explained["verdict"], expected, "{source} {path}: {explained}");
    }
    let page = gateway.anonymous(Method::GET, "/s/admin/a").header("origin", "https://a.example");
    let refused = Answer::of(page).await;
    assert_eq!(refused.header("access-control-allow-origin"), "https://a.example", "a page reads why");
    let explained = gateway.seen("/internal/explain?method=GET&url=/s/admin/a").await;
    let options = explained["options"].as_array().unwrap();
    let told = |name: &str| {
        options.iter().filter(|one| one["name"] == name).map(|one| one["value"].as_str().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(
        told("allow_from"),
        ["127.0.0.2/32, 127.0.0.3/32 (only of * /s/admin/*)", "127.0.0.0/30 (only of * /s/admin/root)"]
    );
    assert_eq!(told("deny_from"), ["127.0.0.3/32"]);

    gateway.reloaded(&format!("[server]\ntrusted_proxies = ['127.0.0.1']\n{rules}")).await;
    let behind =
        |client: &str| gateway.anonymous(Method::GET, "/s/admin/a").header("x-forwarded-for", client.to_owned());
    Answer::of(behind("127.0.0.2")).await.ok();
    Answer::of(behind("::ffff:127.0.0.2")).await.ok();
    Answer::of(behind("192.0.2.1")).await.problem(403, "address-not-allowed");
    Answer::of(behind("nobody")).await.problem(403, "address-not-allowed");
}

#[tokio::test]
async fn a_request_takes_no_longer_than_it_may() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let routes = json!([
        {"method": "*", "path": "/s/short", "timeouts": {"total": 0.4}},
        {"method": "*", "path": "/s/long", "timeouts": {"total": 60, "read": 0.4}},
    ]);
    gateway.registered(&service(&origin, json!({"routes": routes, "timeouts": {"total": 30}}))).await;
    origin.set_mode(Mode::Hangs);
    let began = Instant::now();
    let problem = ask(&gateway, "/s/short").await;
    assert_eq!(problem.problem(504, "upstream-timeout")["detail"], "the request may take 0.4 s");
    assert!((0.4..5.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    let problem = ask(&gateway, "/s/long").await;
    assert_eq!(problem.problem(504, "upstream-timeout").get("detail"), None, "its read timeout came first");
    let client = Client::to(gateway.public).await;
    assert_eq!(client.ask(h2_client::get("/s/short")).await.status, 504, "over HTTP/2");

    origin.set_mode(Mode::StopsWithin);
    let request = "GET /s/short HTTP/1.1\r\nHost: g\r\n\r\n";
    let mut wire = Wire::to(gateway.public).await;
    wire.send(request).await;
    let answer = wire.read_to_end(SOON).await;
    assert!(answer.contains("first") && !answer.ends_with("0\r\n\r\n"), "cut within the answer: {answer}");

    // A client that does not send is the one that was waited for.
    origin.set_mode(Mode::Hangs);
    let mut wire = Wire::to(gateway.public).await;
    wire.send("POST /s/short HTTP/1.1\r\nHost: g\r\nContent-Length: 10\r\n\r\n12345").await;
    let answer = wire.read_to_end(SOON).await;
    assert_eq!(wire::status(&answer), 408, "{answer}");
    assert!(answer.contains("the request may take 0.4 s"), "{answer}");

    // What the client asks for lifts nothing, and a service that takes nothing of a body is not waited for longer.
    for asked in ["Accept: text/event-stream\r\n", "Connection: Upgrade\r\nUpgrade: x\r\n"] {
        let began = Instant::now();
        let request = format!("GET /s/short HTTP/1.1\r\nHost: g\r\n{asked}\r\n");
        let mut wire = Wire::to(gateway.public).await;
        wire.send(request).await;
        let answer = wire.read_to_end(SOON).await;
        assert_eq!(wire::status(&answer), 504, "{asked}: {answer}");
        assert!(began.elapsed() < Duration::from_secs(10), "{asked} {:?}", began.elapsed());
    }
    let began = Instant::now();
    let large = gateway.anonymous(Method::POST, "/s/short").body(vec![b'a'; 64 << 20]);
    let answer = Answer::try_of(large).await;
    assert!(answer.as_ref().map_or(true, |answer| [408, 504].contains(&answer.status.as_u16())), "{answer:?}");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // Ten of them were no fault of the instance.
    for _ in 0..10 {
        ask(&gateway, "/s/short").await.problem(504, "upstream-timeout");
    }
    origin.set_mode(Mode::Echo);
    ask(&gateway, "/s/short").await.ok();
    assert!(gateway.metrics().await.contains("furt_ejections_total 0\n"));

    // Streams have no end.
    origin.set_mode(Mode::Events);
    let mut wire = Wire::to(gateway.public).await;
    wire.send("GET /s/short HTTP/1.1\r\nHost: g\r\n\r\n").await;
    eventually("it listens", SOON, async || origin.emit("one").then_some(())).await;
    wire.read_until("one").await;
    throughout("it is not cut", Duration::from_millis(900), async || {
        gateway.metrics().await.contains("furt_requests_in_flight 1\n")
    })
    .await;
    origin.emit("two");
    wire.read_until("two").await;
    let mut socket = Wire::to(gateway.public).await;
    socket
        .send(
            "GET /s/short HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert_eq!(wire::status(&socket.read_until("\r\n\r\n").await), 101);
    throughout("neither is a tunnel", Duration::from_millis(900), async || {
        gateway.metrics().await.contains("furt_requests_in_flight 2\n")
    })
    .await;

    // The next request of a connection has its own time.
    origin.set_mode(Mode::Works(250));
    let mut wire = Wire::to(gateway.public).await;
    for _ in 0..4 {
        wire.send("GET /s/short HTTP/1.1\r\nHost: g\r\n\r\n").await;
        assert_eq!(wire::status(&wire.read_response().await.0), 200);
    }
}

#[tokio::test]
async fn a_request_is_sent_again_only_as_often_as_everyone_allows() {
    let (gateway, broken, whole) =
        (Gateway::start("").await, Origin::named("broken").await, Origin::named("whole").await);
    broken.set_mode(Mode::Cut);
    let register = async |more: Value| {
        for (id, origin) in [("broken", &broken), ("whole", &whole)] {
            let base = with(service(origin, json!({"instance": id, "policy": "round_robin"})), more.clone());
            gateway.registered(&base).await;
        }
    };
    register(json!({"retries": 0})).await;
    let mut all = statuses(&gateway, "/s", 8).await;
    all.sort_unstable();
    assert!(all.contains(&502), "{all:?}");
    register(json!({"retries": 10, "metadata": {"a": "b"}})).await;
    assert_eq!(statuses(&gateway, "/s", 8).await, [200; 8]);
    gateway.reloaded("[[rules]]\npath = '/s'\nmethod = 'GET'\nretries = 0").await;
    let refused = async || statuses(&gateway, "/s", 4).await.contains(&502).then_some(());
    eventually("a rule takes it away for a part of the route", SOON, refused).await;
    let explained = gateway.seen("/internal/explain?method=GET&url=/s").await;
    let options = explained["options"].as_array().unwrap();
    let retries: Vec<_> =
        options.iter().filter(|one| one["name"] == "retries").map(|one| one["value"].as_str().unwrap()).collect();
    assert_eq!(retries, ["10", "0 (only of GET /s)"]);
}

#[tokio::test]
async fn what_is_wrong_is_told_at_once_and_nothing_changes() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&service(&origin, json!({"limits": {"rate": "5/s"}, "retries": 1}))).await;
    let before = gateway.service("s").await.unwrap();
    assert_eq!((&before["limits"], &before["retries"]), (&json!({"rate": "5/s"}), &json!(1)));
    let routes = json!([
        {"method": "GET", "path": "/s", "limits": null, "timeouts": {"connect": 1, "total": 0}, "retries": -1},
        {"method": "GET", "path": "/s/a", "limits": {}},
        {"method": "GET", "path": "/s/b", "limits": {"by": "route", "max_body": 1}, "timeouts": null},
        {"method": "GET", "path": "/s/c", "limits": {"rate": "5/h", "burst": 0, "concurrency": 1.5, "by": "key", "max_body": "1kb", "x": 1}},
        {"method": "GET", "path": "/s/d", "limits": {"burst": 5}, "allow_from": ["10.0.0.0/8"]},
    ]);
    let wrong = gateway
        .register(&service(&origin, json!({"routes": routes, "limits": 5, "retries": 11, "timeouts": {"total": "1s"}})))
        .await;
    let mut told = wrong.invalid_fields();
    told.sort();
    assert_eq!(
        told,
        [
            "/limits",
            "/retries",
            "/routes/0/limits",
            "/routes/0/retries",
            "/routes/0/timeouts/connect",
            "/routes/0/timeouts/total",
            "/routes/1/limits",
            "/routes/2/limits",
            "/routes/2/timeouts",
            "/routes/3/limits/burst",
            "/routes/3/limits/by",
            "/routes/3/limits/concurrency",
            "/routes/3/limits/max_body",
            "/routes/3/limits/rate",
            "/routes/3/limits/x",
            "/routes/4/allow_from",
            "/routes/4/limits/burst",
            "/timeouts/total",
        ]
    );
    assert_eq!(gateway.service("s").await.unwrap()["limits"], json!({"rate": "5/s"}));
    gateway.configure(
        "[[rules]]\nlimits = false\n[[rules]]\nlimits = { by = 'route' }\n[[rules]]\nlimits = { burst = 3 }\n[[rules]]\nallow_from = []\n\
         [[rules]]\ntimeouts = {}\nretries = 99\n[[rules]]\nheaders = { request = { set = { Host = 'a', X-A = 5 } } }\n\
         [[rules]]\nheaders = { response = { set = { X-A = 'b' }, remove = ['x-a'] } }\n[[rules]]\nheaders = {}\n[[rules]]\nservice = 's'",
    );
    let answer = gateway.reload().await;
    let problem = answer.problem(422, "invalid-config");
    let told: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(
        told,
        [
            "rules.limits",
            "rules.limits",
            "rules.limits",
            "rules.allow_from",
            "rules.retries",
            "rules.headers.request.set",
            "rules.headers.request.set",
            "rules.headers",
            "rules.headers",
            "rules",
        ],
        "{problem}"
    );
}

#[tokio::test]
async fn headers_are_set_and_removed_by_the_operator_alone() {
    let rules = "
        [[rules]]
        headers.request.set = { X-Environment = 'test', X-Who = 'first' }
        headers.request.remove = ['X-Secret']
        headers.response.set = { X-Frame-Options = 'DENY', X-Who = 'first', Cache-Control = 'public, max-age=60' }
        headers.response.remove = ['X-Powered-By', 'Server']
        [[rules]]
        path = '/s/*'
        headers.request.set = { X-Who = 'second' }
        headers.response.set = { X-Who = 'second', Vary = 'Accept-Language' }
        [[rules]]
        path = '/s/off'
        headers = false
    ";
    let (gateway, origin) = (Gateway::start(rules).await, Origin::start().await);
    let routes = json!([
        {"method": "GET", "path": "/s"},
        {"method": "GET", "path": "/s/off"},
        {"method": "GET", "path": "/s/key", "permission": "a:b"},
        {"method": "GET", "path": "/s/*"},
    ]);
    let cors = json!({"origins": ["https://a.example"]});
    gateway.registered(&service(&origin, json!({"routes": routes, "cors": cors}))).await;
    let sent = |path: &str| {
        let request = gateway.anonymous(Method::GET, path).header("x-secret", "a").header("x-who", "client");
        Answer::of(request.header("origin", "https://a.example"))
    };
    for (path, who) in [("/s", "first"), ("/s/a", "second")] {
        let answer = sent(path).await;
        let seen = answer.ok();
        assert_eq!(seen["headers"]["x-environment"], json!(["test"]), "{path}");
        assert_eq!(seen["headers"]["x-who"], json!([who]), "in the place of the client's");
        assert_eq!(seen["headers"].get("x-secret"), None);
        assert_eq!((answer.header("x-frame-options"), answer.header("x-who")), ("DENY", who));
    }
    let vary: Vec<_> = sent("/s/a")
        .await
        .headers
        .get_all("vary")
        .iter()
        .map(|value| value.to_str().unwrap().to_ascii_lowercase())
        .collect();
    assert_eq!(vary.join(", "), "accept-language, origin", "what furt answers for stays its own");
    let off = sent("/s/off").await;
    assert_eq!((off.header("x-frame-options"), off.ok()["headers"]["x-who"].clone()), ("", json!(["client"])));
    let own = sent("/s/key").await;
    own.problem(401, "key-missing");
    assert_eq!(
        (own.header("x-frame-options"), own.header("x-who")),
        ("DENY", "second"),
        "furt's own answers have them too"
    );
    assert_eq!(own.header("cache-control"), "no-store", "nobody is to keep a refusal");
    assert_eq!(sent("/s/a").await.header("cache-control"), "public, max-age=60");
    let client = Client::to(gateway.public).await;
    let answer = client.ask(h2_client::get("/s/a")).await;
    assert_eq!(answer.headers["x-frame-options"], "DENY");
    let explained = gateway.seen("/internal/explain?method=GET&url=/s/a").await;
    let headers = explained["options"].as_array().unwrap().iter().find(|one| one["name"] == "headers").unwrap().clone();
    assert!(headers["value"].as_str().unwrap().contains("of requests sets x-environment"), "{headers}");
    assert!(!headers.to_string().contains("test"), "a value may be a secret");
}

#[tokio::test]
async fn answers_of_the_operator_are_restricted_as_any_route() {
    let tail = "
        [[routes]]
        method = 'GET'
        path = '/old/*'
        redirect = { strip = '/old', add = '/new' }
        [[routes]]
        method = '*'
        path = '/text'
        respond = { body = 'hello' }
        [[rules]]
        path = '/old/admin/*'
        allow_from = ['127.0.0.2']
        [[rules]]
        path = '/old/*'
        limits = { rate = '1/m', burst = 2, by = 'address' }
        headers.response.set = { X-Who = 'rule' }
        [[rules]]
        path = '/text'
        limits = { max_body = 5, concurrency = 1 }
    ";
    let gateway = Gateway::start(tail).await;
    let ask = async |source: &str, path: &str| {
        let client = client_from(Some(source.parse().unwrap()));
        Answer::of(client.get(gateway.public_url(path))).await
    };
    ask("127.0.0.1", "/old/admin/a").await.problem(403, "address-not-allowed");
    let moved = ask("127.0.0.2", "/old/admin/a").await;
    assert_eq!((moved.status.as_u16(), moved.header("x-who")), (307, "rule"), "{moved:?}");
    assert!(moved.header("location").ends_with("/new/admin/a"), "{moved:?}");
    assert_eq!(ask("127.0.0.2", "/old/a").await.status, 307);
    ask("127.0.0.2", "/old/a").await.problem(429, "route-rate-limited");
    assert_eq!(ask("127.0.0.1", "/old/a").await.status, 307);
    for (body, status) in [("12345", 200), ("123456", 413)] {
        let answer = Answer::of(gateway.anonymous(Method::POST, "/text").body(body)).await;
        assert_eq!(answer.status, status, "{answer:?}");
    }
    for _ in 0..50 {
        assert_eq!(ask("127.0.0.1", "/text").await.body, "hello", "each gives its place back");
    }
    Answer::of(gateway.operate(Method::PUT, "/internal/maintenance")).await.ok();
    ask("127.0.0.1", "/text").await.problem(503, "maintenance");
    ask("127.0.0.1", "/old/admin/a").await.problem(503, "maintenance");
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
