//! What restricts the requests of a route beside its limits: addresses, timeouts, retries; and what is wrong with any of it. It adds
//! up, whoever says it.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::asking::{ask, ask_from, service, statuses};
use crate::support::gateway::client_from;
use crate::support::h2_client::{self, Client};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, Mode, Origin, SOON, eventually, throughout, with};

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
async fn its_time_is_over_also_while_it_waits_for_a_free_instance() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let routes = json!([
        {"method": "GET", "path": "/s"},
        {"method": "GET", "path": "/s/short", "timeouts": {"total": 0.4}},
    ]);
    gateway.registered(&service(&origin, json!({"routes": routes, "hard_limit": 1}))).await;
    origin.set_mode(Mode::Gated);
    let held = tokio::spawn(Answer::of(gateway.anonymous(Method::GET, "/s")));
    eventually("its slot is taken", SOON, async || (origin.requests("/s") == 1).then_some(())).await;
    let client = Client::to(gateway.public).await;
    for _ in 0..3 {
        let began = Instant::now();
        let waited = ask(&gateway, "/s/short").await;
        assert_eq!(waited.problem(504, "upstream-timeout")["detail"], "the request may take 0.4 s");
        assert_eq!(client.ask(h2_client::get("/s/short")).await.status, 504, "over HTTP/2");
        assert!((0.8..4.0).contains(&began.elapsed().as_secs_f64()), "{:?}", began.elapsed());
    }
    assert_eq!(origin.requests("/s/short"), 0, "nobody was asked");
    origin.release();
    held.await.unwrap().ok();
    assert_eq!(gateway.instance("s").await["ejected_until"], Value::Null, "and nobody is at fault");
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
            "rules.timeouts",
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
