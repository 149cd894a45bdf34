//! Sticky cookies beside TLS, HTTP/2, WebSockets, gRPC, what services say themselves, and furt's own answers.

use http::Method;
use serde_json::json;

use super::{DISK, ask, at, first, instance, three, told};
use crate::support::grpc::{GrpcService, call};
use crate::support::h2_client::{Client, get};
use crate::support::scripted::{Scripted, Then};
use crate::support::tls::Edge;
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, Origin, public_service, with};

#[tokio::test]
async fn a_cookie_is_secure_where_the_client_came_under_tls() {
    let (edge, origin) = (Edge::new(), Origin::named("one").await);
    let gateway = Gateway::start(&edge.tail(&["a"], "redirect = false")).await;
    gateway.registered(&instance("one", &origin.url())).await;
    let mut wire = edge.wire().await;
    wire.send("GET /shop HTTP/1.1\r\nHost: a.example\r\n\r\n").await;
    let (head, _) = wire.read_response().await;
    let under_tls = wire::header(&head, "set-cookie").unwrap().to_owned();
    assert!(under_tls.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure"), "{under_tls}");

    let in_the_clear = ask(&gateway, "/shop", "").await.header("set-cookie").to_owned();
    assert_eq!(format!("{in_the_clear}; Secure"), under_tls, "it is the same cookie");
    let by_proxy =
        |gateway: &Gateway| Answer::of(gateway.anonymous(Method::GET, "/shop").header("x-forwarded-proto", "https"));
    assert_eq!(by_proxy(&gateway).await.header("set-cookie"), in_the_clear, "anybody can say so");
    let trusting = "redirect = false\n[server]\ntrusted_proxies = ['127.0.0.1']\n";
    gateway.reloaded(&edge.tail(&["a"], trusting)).await;
    assert_eq!(by_proxy(&gateway).await.header("set-cookie"), under_tls);
}

#[tokio::test]
async fn a_client_of_http_2_stays_whatever_its_service_speaks() {
    let gateway = Gateway::start("").await;
    let _http_1 = three(&gateway).await;
    let both_ways = [Origin::h2c().await, Origin::h2c().await, Origin::h2c().await];
    for (origin, id) in both_ways.iter().zip(["a", "b", "c"]) {
        let by_cookie = json!({"instance": id, "policy": "sticky", "sticky_by": "cookie", "protocol": "h2c"});
        gateway.registered(&with(public_service("both", &origin.url(), "/both"), by_cookie)).await;
    }
    let client = Client::to(gateway.public).await;
    for path in ["/shop", "/both"] {
        let answer = client.ask(get(path)).await;
        let set = answer.headers["set-cookie"].to_str().unwrap().to_owned();
        let (cookie, own) = (set.split(';').next().unwrap(), answer.json()["origin"].clone());
        let counts = || both_ways.each_ref().map(|origin| origin.requests("/both"));
        let before = counts();
        for _ in 0..20 {
            // Browsers send each cookie in a field of its own.
            let asked = get(path).header("cookie", "a=1").header("cookie", cookie).header("cookie", "b=2");
            let answer = client.ask(asked).await;
            assert_eq!((answer.headers.get("set-cookie"), &answer.json()["origin"]), (None, &own), "{path}");
            assert_eq!(answer.json()["headers"]["cookie"], json!(["a=1; b=2"]), "{path}");
        }
        let after = counts();
        let more: Vec<_> = after.iter().zip(before).map(|(after, before)| after - before).filter(|n| *n > 0).collect();
        assert_eq!(more, if path == "/both" { vec![20] } else { vec![] }, "one instance has them all");
    }
}

#[tokio::test]
async fn a_websocket_goes_where_its_client_is_and_tells_it_the_cookie() {
    let gateway = Gateway::start("").await;
    let [one, _two, _three] = three(&gateway).await;
    let upgraded = async |cookie: &str| {
        let mut wire = Wire::to(gateway.public).await;
        let key = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
        wire.send(format!("GET /shop HTTP/1.1\r\nHost: g\r\n{key}{cookie}\r\n")).await;
        let head = wire.read_until("\r\n\r\n").await;
        assert_eq!(wire::status(&head), 101, "{head}");
        head
    };
    // Before there is a tunnel, whose load would count.
    let cookie = at(&gateway, "one").await;
    let head = upgraded("").await;
    let set = wire::header(&head, "set-cookie").expect("a cookie");
    assert!(set.starts_with("furt_affinity=") && wire::header(&head, "cache-control").is_none(), "{head}");
    let before = one.requests("/shop");
    for _ in 0..5 {
        let head = upgraded(&format!("Cookie: {cookie}\r\n")).await;
        assert_eq!(wire::header(&head, "set-cookie"), None, "{head}");
    }
    assert_eq!(one.requests("/shop") - before, 5);
}

#[tokio::test]
async fn a_call_is_told_nothing_unless_it_came_with_a_cookie() {
    let (gateway, service) = (Gateway::start("").await, GrpcService::start());
    gateway
        .registered(&with(
            instance("one", &service.url()),
            json!({"protocol": "h2c", "routes": [{"method": "*", "path": "/s/*"}]}),
        ))
        .await;
    let client = Client::to(gateway.public).await;
    let answer = client.ask(call("Echo")).await;
    assert_eq!((answer.status.as_u16(), answer.headers.get("set-cookie")), (200, None), "{answer:?}");
    let answer = client.ask(call("Echo").header("cookie", "furt_affinity=x")).await;
    let set = answer.headers["set-cookie"].to_str().unwrap();
    assert!(set.starts_with("furt_affinity=") && !answer.headers.contains_key("cache-control"), "{answer:?}");
}

#[tokio::test]
async fn what_a_service_says_of_cookies_and_caches_stays() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nSet-Cookie: session=1\r\nSet-Cookie: furt_affinity=own\r\n\
        Cache-Control: public, max-age=60\r\n\r\n";
    const PRIVATE: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nCache-Control: no-store\r\n\r\n";
    let gateway = Gateway::start("").await;
    for (answer, cookies, control) in [(ANSWER, 3, &["public, max-age=60", "private"][..]), (PRIVATE, 1, &["no-store"])]
    {
        let service = Scripted::start(answer, Then::Hang).await;
        gateway.registered(&instance("one", &service.url())).await;
        let answer = ask(&gateway, "/shop", "").await;
        let set: Vec<_> = answer.headers.get_all("set-cookie").iter().collect();
        assert_eq!(set.len(), cookies, "{answer:?}");
        assert!(set.last().unwrap().to_str().unwrap().ends_with("SameSite=Lax"), "furt's own is the last: {set:?}");
        assert_eq!(answer.headers.get_all("cache-control").iter().collect::<Vec<_>>(), control);
        let posted = Answer::of(gateway.anonymous(Method::POST, "/shop")).await;
        let control: Vec<_> = posted.headers.get_all("cache-control").iter().filter(|one| *one == "private").collect();
        assert!(control.is_empty(), "nobody keeps the answer to a POST: {posted:?}");
    }
}

#[tokio::test]
async fn furts_own_answers_and_other_services_have_no_cookie() {
    let gateway = Gateway::start("").await;
    let mut origin = Origin::named("one").await;
    gateway.registered(&instance("one", &origin.url())).await;
    gateway.registered(&with(public_service("plain", &origin.url(), "/plain"), json!({"shared": true}))).await;
    gateway.registered(&with(instance("one", &origin.url()), json!({"shared": true}))).await;
    let (_, cookie) = first(&gateway).await;
    let answer = ask(&gateway, "/plain", &cookie).await;
    assert_eq!(answer.ok()["headers"]["cookie"], json!([cookie]), "of it furt takes no notice");
    assert_eq!(told(&answer), None);
    origin.stop().await;
    for path in ["/nowhere", "/shop", "/health", "/internal"] {
        for cookies in ["", "furt_affinity=x"] {
            let answer = ask(&gateway, path, cookies).await;
            assert_eq!(told(&answer), None, "{path}: {answer:?}");
        }
    }
}

#[tokio::test]
async fn what_a_sticky_service_knows_clients_by_is_checked_shown_and_kept() {
    let (mut gateway, origin) = (Gateway::start(DISK).await, Origin::named("one").await);
    for (changes, pointers) in [
        (json!({"policy": "edge", "sticky_by": "cookie"}), &["/sticky_by"][..]),
        (json!({"sticky_by": "address"}), &["/sticky_by"]),
        (json!({"policy": "sticky", "sticky_by": "header"}), &["/sticky_by"]),
        (json!({"policy": "sticky", "sticky_by": 1}), &["/sticky_by"]),
        (json!({"policy": "stick", "sticky_by": "cookie"}), &["/policy"]),
    ] {
        let answer = gateway.register(&with(public_service("shop", &origin.url(), "/shop"), changes)).await;
        assert_eq!(answer.invalid_fields(), pointers);
    }
    let shown = async |gateway: &Gateway| gateway.service("shop").await.unwrap()["sticky_by"].clone();
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    assert_eq!(shown(&gateway).await, json!(null));
    gateway.registered(&with(public_service("shop", &origin.url(), "/shop"), json!({"policy": "sticky"}))).await;
    assert_eq!(shown(&gateway).await, "address");
    assert_eq!(told(&ask(&gateway, "/shop", "").await), None, "by its address a client is told nothing");
    let exported =
        async |gateway: &Gateway| Answer::of(gateway.operate(Method::GET, "/internal/store/export")).await.ok();
    let stored = exported(&gateway).await["definitions"][0].clone();
    assert_eq!((&stored["policy"], stored.get("sticky_by")), (&json!("sticky"), None), "as an earlier furt has it");
    gateway.registered(&instance("shop", &origin.url())).await;
    gateway.restart().await;
    assert_eq!(shown(&gateway).await, "cookie");
    let text = String::from_utf8(gateway.cli(&["services", "shop"]).await.stdout).unwrap();
    assert!(text.contains("policy     sticky\n") && text.contains("sticky_by  cookie\n"), "{text}");
    let (own, cookie) = first(&gateway).await;
    assert_eq!((own.as_str(), super::origin(&ask(&gateway, "/shop", &cookie).await)), ("one", "one".to_owned()));

    let exported = exported(&gateway).await;
    assert_eq!(exported["definitions"][0]["sticky_by"], "cookie");
    assert!(!exported.to_string().contains("affinity"), "no export has the secret");
    let log = gateway.log();
    assert!(!log.contains("affinity"), "{log}");
}
