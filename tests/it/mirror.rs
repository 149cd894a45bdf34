//! Copies of requests for another service: what they are, which requests have one, and that nothing of them is felt by the request.

mod bodies;
mod strain;

use futures_util::{SinkExt as _, StreamExt as _};
use http::HeaderMap;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::authority::Authority;
use crate::support::grpc::{call, message};
use crate::support::h2_client::{self, Client};
use crate::support::recorder::{Recorded, Recorder};
use crate::support::wire::Wire;
use crate::support::{Answer, Gateway, Mode, Origin, READER, SOON, eventually, public_service, with};

/// Whatever is there to be seen of copies for `next`.
const ALL: [&str; 7] = ["answered", "failed", "timed_out", "too_large", "too_many", "no_instance", "cut_off"];

/// A rule that copies all requests of `s` that `more` lets it copy.
fn mirror(more: &str) -> String {
    format!("[registration]\nrate = '1000/s'\n[[rules]]\nservice = 's'\nmirror = {{ service = 'next'{more} }}\n")
}

/// A public service at `/s` and below.
fn service(url: &str) -> Value {
    let routes = json!([{"method": "*", "path": "/s"}, {"method": "*", "path": "/s/*"}]);
    with(public_service("s", url, "/s"), json!({"routes": routes}))
}

/// The service that gets the copies.
fn next(url: &str) -> Value {
    public_service("next", url, "/next/*")
}

/// How many copies came to that.
async fn counted(gateway: &Gateway, outcome: &str) -> usize {
    let line = format!("furt_mirrored_total{{outcome=\"{outcome}\",service=\"next\"}} ");
    let metrics = gateway.metrics().await;
    metrics.lines().find_map(|shown| shown.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
}

/// Waits until just so many copies came to that.
async fn comes_to(gateway: &Gateway, outcome: &str, count: usize) {
    eventually(&format!("{count} copies {outcome}"), SOON, async || {
        let now = counted(gateway, outcome).await;
        assert!(now <= count, "{now} {outcome}, and not {count}");
        (now == count).then_some(())
    })
    .await;
}

/// How many copies there were, whatever they came to.
async fn counted_in_all(gateway: &Gateway) -> usize {
    let mut all = 0;
    for outcome in ALL {
        all += counted(gateway, outcome).await;
    }
    all
}

async fn get(gateway: &Gateway, path: &str) {
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, path)).await.status, 200, "{path}");
}

/// Names that each hop has for itself, or each protocol.
const OF_THE_HOP: [&str; 5] = ["host", "connection", "content-length", "transfer-encoding", "te"];

/// The headers but for these and those of the hop, sorted.
fn without(headers: &HeaderMap, names: &[&str]) -> Vec<(String, String)> {
    let is_left = |name: &str| !names.contains(&name) && !OF_THE_HOP.contains(&name);
    let left = headers.iter().filter(|(name, _)| is_left(name.as_str()));
    let mut left: Vec<_> =
        left.map(|(name, value)| (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())).collect();
    left.sort();
    left
}

#[tokio::test]
async fn a_copy_is_the_request_as_its_service_gets_it_without_credentials_and_with_a_mark() {
    let rules = mirror(", methods = ['GET', 'POST']")
        + "rewrite = { strip = '/s', add = '/v2', host = 'inner.example' }\n\
           headers.request.set = { X-Environment = 'test' }\nheaders.request.remove = ['X-Secret']\n";
    let gateway = Gateway::start(&rules).await;
    let mut copied = 0;
    for (protocol, of_next) in [("http1", "http1"), ("http1", "h2c"), ("h2c", "http1"), ("h2c", "h2c")] {
        let (primary, mirrored) = (Recorder::start().await, Recorder::start().await);
        let guarded = json!([{"method": "*", "path": "/s/*", "permission": "comments:read"}]);
        gateway.registered(&with(service(primary.url()), json!({"protocol": protocol, "routes": guarded}))).await;
        gateway.registered(&with(next(mirrored.url()), json!({"protocol": of_next}))).await;
        for (method, body) in [(Method::GET, None), (Method::POST, Some("hello")), (Method::POST, Some(""))] {
            let mut request = gateway.request(method, "/s/a%20b?c=d", READER).header("cookie", "session=1");
            for (name, value) in [
                ("authorization", "Basic YTpi"),
                ("proxy-authorization", "Basic YTpi"),
                ("x-furt-mirror", "forged"),
                ("x_furt_mirror", "forged"),
                ("x-secret", "a"),
                ("x-other", "b"),
                ("te", "trailers"),
                ("connection", "x-hop"),
                ("x-hop", "c"),
            ] {
                request = request.header(name, value);
            }
            request = match body {
                None => request,
                Some(body) => request.body(body),
            };
            assert_eq!(Answer::of(request).await.status, 200);
        }
        copied += 3;
        comes_to(&gateway, "answered", copied).await;
        let (sent, seen) = (primary.has(3).await, mirrored.has(3).await);
        for sent in &sent {
            let id = &sent.headers["x-request-id"];
            let copy = seen.iter().find(|copy| copy.headers["x-request-id"] == id).unwrap();
            assert_is_copy(copy, sent);
            let version = if of_next == "h2c" { http::Version::HTTP_2 } else { http::Version::HTTP_11 };
            assert_eq!(copy.version, version, "{protocol} {of_next}");
            assert!(of_next != "h2c" || copy.is_header_alone == copy.body.is_empty(), "{protocol}: {copy:?}");
        }
    }
}

/// Whether `copy` is a copy of what the request's own service was sent, and both are as the rules say.
#[track_caller]
fn assert_is_copy(copy: &Recorded, sent: &Recorded) {
    assert_eq!((copy.target(), copy.host()), (sent.target(), sent.host()));
    assert_eq!((copy.target(), copy.host()), ("/v2/a%20b?c=d", "inner.example"));
    assert_eq!((&copy.method, &copy.body), (&sent.method, &sent.body));
    // The service itself has them, and no mark of a client's.
    assert!(sent.headers.contains_key("authorization") && sent.headers.contains_key("cookie"), "{sent:?}");
    assert!(!sent.headers.keys().any(|name| name.as_str().contains("mirror")), "{sent:?}");
    let in_sent = without(&sent.headers, &["authorization", "cookie"]);
    assert_eq!(without(&copy.headers, &["x-furt-mirror"]), in_sent);
    assert!(in_sent.contains(&("x-environment".to_owned(), "test".to_owned())), "{in_sent:?}");
    assert!(in_sent.contains(&("x-api-key-name".to_owned(), "reader".to_owned())), "{in_sent:?}");
    assert_eq!(copy.headers.get_all("x-furt-mirror").iter().collect::<Vec<_>>(), ["1"]);
}

#[tokio::test]
async fn only_requests_of_the_rules_methods_and_routes_are_copied() {
    let rules =
        mirror("") + "[[rules]]\npath = '/s/off'\nmirror = false\n[[rules]]\npath = '/s/part/*'\nmirror = false\n";
    let gateway = Gateway::start(&rules).await;
    let (primary, mirrored) = (Origin::start().await, Recorder::start().await);
    let routes = json!([{"method": "*", "path": "/s/off"}, {"method": "*", "path": "/s/*"}]);
    gateway.registered(&with(service(&primary.url()), json!({"routes": routes}))).await;
    gateway.registered(&next(mirrored.url())).await;
    for (method, path) in [
        (Method::GET, "/s/get"),
        (Method::HEAD, "/s/head"),
        (Method::POST, "/s/post"),
        (Method::OPTIONS, "/s/options"),
        (Method::DELETE, "/s/delete"),
        (Method::GET, "/s/off"),
        (Method::GET, "/s/part/a"),
        (Method::GET, "/next/own"),
    ] {
        assert_eq!(Answer::of(gateway.anonymous(method, path)).await.status, 200, "{path}");
    }
    comes_to(&gateway, "answered", 3).await;
    let mut targets: Vec<_> =
        mirrored.has(4).await.iter().map(|one| format!("{} {}", one.method, one.target())).collect();
    targets.sort();
    let expected = ["GET /next/own", "GET /s/get", "GET /s/part/a", "HEAD /s/head"];
    assert_eq!(targets, expected, "a rule for a part of a route takes nothing away");
    assert_eq!(counted_in_all(&gateway).await, 3);
    let explained = gateway.seen("/internal/explain?method=GET&url=/s/get").await;
    let shown = explained["options"].as_array().unwrap().iter().find(|one| one["name"] == "mirror").unwrap().clone();
    assert_eq!(shown["value"], "100% of GET, HEAD to next; bodies of at most 65536 bytes");
    assert_eq!(shown["said_by"], "rule");
    let off = gateway.seen("/internal/explain?method=GET&url=/s/off").await;
    assert!(!off["options"].to_string().contains("mirror"), "{off}");
}

#[tokio::test]
async fn the_share_of_the_requests_is_copied() {
    let gateway = Gateway::start(&mirror("")).await;
    let (primary, mirrored) = (Origin::start().await, Recorder::start().await);
    gateway.registered(&service(&primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    let mut before = 0;
    // Of 10 % that is ten standard deviations about the middle; of 0.01 % one in three million runs has more.
    for (share, bounds) in [("100%", 1000..=1000), ("10%", 10..=195), ("0.01%", 0..=4)] {
        gateway.reloaded(&mirror(&format!(", share = '{share}'"))).await;
        for _ in 0..1000 {
            get(&gateway, "/s/a").await;
        }
        // A copy is begun before its request is answered, and is sent at once.
        let now = eventually("so many are copied, and no copy is under way", SOON, async || {
            let (counted, seen) = (counted_in_all(&gateway).await, mirrored.seen().len());
            (counted == seen && bounds.contains(&(seen - before))).then_some(seen)
        })
        .await;
        assert!(bounds.contains(&(now - before)), "{} of 1000 at {share}", now - before);
        before = now;
    }
    assert_eq!(counted(&gateway, "answered").await, before);
}

#[tokio::test]
async fn what_is_a_talk_is_not_copied() {
    let gateway = Gateway::start(&mirror(", methods = ['GET', 'POST', 'PUT']")).await;
    let (primary, h2c, mirrored) = (Origin::start().await, Origin::h2c().await, Recorder::start().await);
    gateway.registered(&next(mirrored.url())).await;
    gateway.registered(&with(service(&h2c.url()), json!({"protocol": "h2c"}))).await;
    let client = Client::to(gateway.public).await;
    assert_eq!(client.send(call("call"), message(b"hello")).await.status, 200);
    assert_eq!(h2c.requests("/s/call"), 1);
    gateway.registered(&with(service(&primary.url()), json!({"protocol": "http1"}))).await;

    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{}/s/live", gateway.public)).await.unwrap();
    socket.send(Message::text("hello")).await.unwrap();
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("hello"));
    let (answer, ..) = client.websocket("http://gateway/s/live2", &[]).await;
    assert_eq!(answer.status, 200);

    let mut waiting = Wire::to(gateway.public).await;
    waiting.send("POST /s/expect HTTP/1.1\r\nHost: g\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n").await;
    waiting.read_until("HTTP/1.1 100").await;
    waiting.send("hello").await;
    waiting.read_until("HTTP/1.1 200").await;

    let called = gateway.anonymous(Method::POST, "/s/a").header("content-type", "application/grpc-web").body("a");
    Answer::of(called).await.ok();
    get(&gateway, "/s/last").await;
    comes_to(&gateway, "answered", 1).await;
    assert_eq!(mirrored.seen().iter().map(|one| one.target().to_owned()).collect::<Vec<_>>(), ["/s/last"]);
    assert_eq!(counted_in_all(&gateway).await, 1);
}

#[tokio::test]
async fn requests_over_http_2_are_copied_as_well() {
    let gateway = Gateway::start(&mirror("")).await;
    let (primary, mirrored) = (Origin::start().await, Recorder::start().await);
    gateway.registered(&service(&primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    let client = Client::to(gateway.public).await;
    assert_eq!(client.ask(h2_client::get("/s/a?b")).await.status, 200);
    let copy = mirrored.has(1).await.remove(0);
    assert_eq!((copy.target(), copy.host(), copy.version), ("/s/a?b", "gateway", http::Version::HTTP_11));
    assert_eq!(copy.headers["x-furt-mirror"], "1");
}

#[tokio::test]
async fn copies_go_to_instances_under_tls_and_only_where_their_certificate_holds() {
    let (authority, stranger) = (Authority::new(), Authority::named("a stranger"));
    let dir = tempfile::TempDir::new().unwrap();
    let ca = dir.path().join("ca.pem");
    std::fs::write(&ca, authority.pem()).unwrap();
    let gateway = Gateway::start(&format!("{}[upstream]\nca = '{}'\n", mirror(""), ca.display())).await;
    let primary = Origin::start().await;
    gateway.registered(&service(&primary.url())).await;
    let good = Origin::tls(authority.server_config("next.test", &["http/1.1"])).await;
    let bad = Origin::tls(stranger.server_config("next.test", &["http/1.1"])).await;
    for (origin, outcome, requests) in [(&good, "answered", 1), (&bad, "failed", 0)] {
        gateway.registered(&with(next(&origin.url()), json!({"tls_name": "next.test"}))).await;
        get(&gateway, "/s/a").await;
        comes_to(&gateway, outcome, 1).await;
        assert_eq!(origin.requests("/s/a"), requests, "{outcome}");
    }
}

#[tokio::test]
async fn a_reload_takes_copies_away_and_their_count_is_shown_once_there_is_one() {
    let gateway = Gateway::start(&mirror("")).await;
    let (primary, mirrored) = (Origin::start().await, Recorder::start().await);
    gateway.registered(&service(&primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    assert!(!gateway.metrics().await.contains("furt_mirrored_total"));
    get(&gateway, "/s/one").await;
    comes_to(&gateway, "answered", 1).await;
    gateway.reloaded("").await;
    for _ in 0..20 {
        get(&gateway, "/s/two").await;
    }
    gateway.reloaded(&mirror("")).await;
    get(&gateway, "/s/three").await;
    comes_to(&gateway, "answered", 2).await;
    let targets: Vec<_> = mirrored.seen().iter().map(|one| one.target().to_owned()).collect();
    assert_eq!(targets, ["/s/one", "/s/three"]);
}

#[tokio::test]
async fn connections_are_used_again_unless_an_answer_is_too_long_to_be_read() {
    let gateway = Gateway::start(&mirror("")).await;
    let primary = Origin::start().await;
    gateway.registered(&service(&primary.url())).await;
    let (short, long) = (Recorder::answering(60_000).await, Recorder::answering(70_000).await);
    let mut copied = 0;
    for mirrored in [&short, &long] {
        gateway.registered(&next(mirrored.url())).await;
        for _ in 0..10 {
            get(&gateway, "/s/a").await;
            copied += 1;
            comes_to(&gateway, "answered", copied).await;
        }
    }
    // It may be late once or twice on a busy machine.
    assert!(short.connections() <= 3, "{}", short.connections());
    assert_eq!(long.connections(), 10);
}

/// Proxies pass on what clients send, so who is trusted does not say who has written it.
#[tokio::test]
async fn whoever_sends_the_mark_of_a_copy_has_it_removed_and_its_request_is_copied() {
    let gateway = Gateway::start(&mirror("")).await;
    let (primary, mirrored) = (Recorder::start().await, Recorder::start().await);
    gateway.registered(&service(primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    let client = Client::to(gateway.public).await;
    let mut copied = 0;
    for trusted in ["[]", "['127.0.0.1']"] {
        gateway.reloaded(&(mirror("") + &format!("[server]\ntrusted_proxies = {trusted}\n"))).await;
        for name in ["x-furt-mirror", "x_furt_mirror"] {
            Answer::of(gateway.anonymous(Method::GET, "/s/a").header(name, "1")).await;
            assert_eq!(client.ask(h2_client::get("/s/a").header(name, "1")).await.status, 200);
            copied += 2;
            comes_to(&gateway, "answered", copied).await;
        }
    }
    let seen = primary.has(8).await;
    assert!(!seen.iter().flat_map(|one| one.headers.keys()).any(|name| name.as_str().contains("mirror")), "{seen:?}");
    assert!(mirrored.seen().iter().all(|copy| copy.headers["x-furt-mirror"] == "1"), "{:?}", mirrored.seen());
}

#[tokio::test]
async fn what_a_trusted_proxy_says_of_the_client_s_certificate_is_in_no_copy() {
    let gateway = Gateway::start(&(mirror("") + "[server]\ntrusted_proxies = ['127.0.0.1']\n")).await;
    let (primary, mirrored) = (Recorder::start().await, Recorder::start().await);
    gateway.registered(&service(primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    let names = ["x-forwarded-client-cert", "client-cert", "client-cert-chain", "x-client-cert-sha256"];
    let asked = names.iter().fold(gateway.anonymous(Method::GET, "/s/a"), |asked, name| asked.header(*name, "a"));
    assert_eq!(Answer::of(asked).await.status, 200);
    let (sent, copy) = (primary.has(1).await.remove(0), mirrored.has(1).await.remove(0));
    for name in names {
        assert_eq!((sent.headers.contains_key(name), copy.headers.contains_key(name)), (true, false), "{name}");
    }
}

#[tokio::test]
async fn a_service_gets_no_copies_of_its_own_requests() {
    let rules = "[registration]\nrate = '1000/s'\n[[rules]]\nmirror = { service = 'next' }\n\
                 [[routes]]\nmethod = 'GET'\npath = '/static'\nservice = 'next'\n";
    let gateway = Gateway::start(rules).await;
    let (primary, mirrored) = (Origin::start().await, Recorder::start().await);
    gateway.registered(&service(&primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    for path in ["/next/own", "/static", "/s/a"] {
        get(&gateway, path).await;
    }
    comes_to(&gateway, "answered", 1).await;
    let mut targets: Vec<_> = mirrored.has(3).await.iter().map(|one| one.target().to_owned()).collect();
    targets.sort();
    assert_eq!(
        (targets, counted_in_all(&gateway).await),
        (["/next/own", "/s/a", "/static"].map(str::to_owned).into(), 1)
    );
}

#[tokio::test]
async fn an_answer_with_an_error_is_of_a_request_that_was_copied() {
    let gateway = Gateway::start(&mirror("")).await;
    let (primary, mirrored) = (Origin::start().await, Recorder::start().await);
    gateway.registered(&service(&primary.url())).await;
    gateway.registered(&next(mirrored.url())).await;
    primary.set_mode(Mode::Status(503));
    assert_eq!(Answer::of(gateway.anonymous(Method::GET, "/s/b")).await.status, 503);
    comes_to(&gateway, "answered", 1).await;
}
