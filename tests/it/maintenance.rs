//! Maintenance from outside: who gets 503 and who passes, what it outlives, how it ends, and where operators see it.

use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::grpc::{GrpcService, call, message};
use crate::support::h2_client::Client;
use crate::support::{
    Answer, Gateway, Mode, Origin, READER, SOON, eventually, public_service, sagjan, throughout, with,
};

const OF_SHOP: &str = "/internal/services/shop/maintenance";
const OF_ALL: &str = "/internal/maintenance";
const DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'";
const APP: &str = "https://app.example.org";

/// A gateway before the service `shop` at `/shop`, which anybody may ask.
async fn with_shop(tail: &str) -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    (gateway, origin)
}

async fn put(gateway: &Gateway, path: &str, body: Value) -> Answer {
    Answer::of(gateway.operate(Method::PUT, path).json(&body)).await
}

async fn delete(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.operate(Method::DELETE, path)).await
}

async fn ask(gateway: &Gateway, path: &str) -> Answer {
    Answer::of(gateway.anonymous(Method::GET, path)).await
}

/// Standard output of a verb that must succeed.
async fn said(gateway: &Gateway, arguments: &[&str]) -> String {
    let output = gateway.cli(arguments).await;
    assert!(output.status.success(), "{arguments:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

async fn explained(gateway: &Gateway, query: &str) -> Value {
    gateway.seen(&format!("/internal/explain?method=GET&url=/shop{query}")).await
}

#[tokio::test]
async fn clients_get_503_with_the_message_and_the_time_until_it_ends() {
    let (gateway, origin) = with_shop("").await;
    let begun = put(&gateway, OF_SHOP, json!({"for": "30m", "message": "back at \"15:00\" é"})).await.ok();
    assert_eq!((&begun["status"], &begun["service"]), (&json!("maintenance-began"), &json!("shop")));
    assert_eq!((&begun["from"], &begun["allow_from"]), (&json!("127.0.0.1"), &json!([])));
    let answer = ask(&gateway, "/shop").await;
    let problem = answer.problem(503, "maintenance");
    assert_eq!(problem["detail"], "back at \"15:00\" é");
    assert!((1_790..=1_800).contains(&answer.retry_after()), "{answer:?}");
    assert_eq!(answer.header("proxy-status"), "furt; error=destination_unavailable");
    assert_eq!(origin.requests("/shop"), 0);
    assert_eq!(ask(&gateway, "/health").await.status, 200);
    ask(&gateway, "/none").await.problem(404, "route-not-found");

    // Without a body, and in the place of the one before.
    Answer::of(gateway.operate(Method::PUT, OF_SHOP)).await.ok();
    let answer = ask(&gateway, "/shop").await;
    assert_eq!((answer.problem(503, "maintenance").get("detail"), answer.retry_after()), (None, 60));
    let ended = delete(&gateway, OF_SHOP).await.ok();
    assert_eq!((&ended["status"], &ended["service"]), (&json!("maintenance-ended"), &json!("shop")));
    assert_eq!(ask(&gateway, "/shop").await.status, 200);
    delete(&gateway, OF_SHOP).await.problem(404, "not-found");
}

#[tokio::test]
async fn it_is_switched_on_and_off_and_listed_by_the_command_line() {
    let (gateway, _origin) = with_shop("").await;
    assert_eq!(said(&gateway, &["maintenance"]).await, "nothing is in maintenance\n");
    let on = ["maintenance", "on", "shop", "--for", "2h", "--allow-from", "10.0.0.0/8", "--allow-from", "::1"];
    let text = said(&gateway, &[&on[..], &["--message", "back soon"]].concat()).await;
    assert!(text.starts_with("shop is in maintenance until 2"), "{text}");
    ask(&gateway, "/shop").await.problem(503, "maintenance");
    let text = said(&gateway, &["maintenance", "on", "--all"]).await;
    assert_eq!(text, "all services are in maintenance until `furt maintenance off`\n");
    let text = said(&gateway, &["maintenance"]).await;
    let rows: Vec<_> = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!((rows.len(), rows[1][0], rows[1][2]), (3, "(all)", "-"), "{text}");
    assert_eq!((rows[2][0], &rows[2][3..]), ("shop", &["127.0.0.1", "10.0.0.0/8", "::1/128", "back", "soon"][..]));
    let listed: Value = serde_json::from_str(&said(&gateway, &["maintenance", "-o", "json"]).await).unwrap();
    assert_eq!(listed["maintenance"][0]["service"], Value::Null);
    assert_eq!(listed["maintenance"][1]["message"], "back soon");
    assert_eq!(said(&gateway, &["maintenance", "off", "--all"]).await, "all services are in maintenance no more\n");
    assert_eq!(said(&gateway, &["maintenance", "off", "shop"]).await, "shop is in maintenance no more\n");
    assert_eq!(ask(&gateway, "/shop").await.status, 200);
    let output = gateway.cli(&["maintenance", "off", "shop"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("\"shop\" is not in maintenance"), "{output:?}");
    for misused in [&["maintenance", "on"][..], &["maintenance", "on", "shop", "--all"]] {
        assert_eq!(gateway.cli(misused).await.status.code(), Some(2), "{misused:?}");
    }
}

#[tokio::test]
async fn every_wrong_field_is_told_at_once_and_nothing_begins() {
    let (gateway, _origin) = with_shop("").await;
    let bad = json!({"for": "soon", "allow_from": ["x", "::1"], "message": "a\nb", "reason": "x"});
    for path in [OF_SHOP, OF_ALL] {
        let answer = put(&gateway, path, bad.clone()).await;
        assert_eq!(answer.invalid_fields(), ["/allow_from/0", "/for", "/message", "/reason"]);
        put(&gateway, path, json!([])).await.problem(422, "invalid-fields");
    }
    let form = gateway.operate(Method::PUT, OF_SHOP).header("content-type", "text/plain").body("{}");
    Answer::of(form).await.problem(415, "wrong-type");
    let broken = gateway.operate(Method::PUT, OF_SHOP).header("content-type", "application/json").body("{");
    Answer::of(broken).await.problem(400, "not-json");
    put(&gateway, "/internal/services/A%20b/maintenance", json!({})).await.problem(404, "not-found");
    delete(&gateway, OF_ALL).await.problem(404, "not-found");
    assert_eq!(gateway.seen(OF_ALL).await["maintenance"], json!([]));
    assert_eq!(ask(&gateway, "/shop").await.status, 200);
}

#[tokio::test]
async fn only_operators_may() {
    let tail = "[internal]\noperators_from = ['127.0.0.1']\n[gateway]\nallow_registration_from = ['127.0.0.0/8']";
    let (gateway, _origin) = with_shop(tail).await;
    let other = client_from(Some("127.0.0.2".parse().unwrap()));
    for (method, path) in [
        (Method::PUT, OF_SHOP),
        (Method::DELETE, OF_SHOP),
        (Method::PUT, OF_ALL),
        (Method::DELETE, OF_ALL),
        (Method::GET, OF_ALL),
    ] {
        let request = other.request(method.clone(), gateway.internal_url(path));
        Answer::of(request).await.problem(403, "operators-only");
        Answer::of(gateway.anonymous(method, path)).await.problem(404, "route-not-found");
    }
    assert_eq!(ask(&gateway, "/shop").await.status, 200);
}

#[tokio::test]
async fn nobody_is_asked_for_a_key_and_a_page_of_another_origin_reads_the_503() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let cors = json!({"cors": {"origins": [APP]}, "health_endpoint": null});
    gateway.registered(&with(sagjan(&origin.url()), cors)).await;
    put(&gateway, "/internal/services/sagjan/maintenance", json!({"message": "back soon"})).await.ok();
    for key in ["", "wrong", READER] {
        let request = gateway.anonymous(Method::GET, "/api/comments/a").header("origin", APP);
        let answer = Answer::of(if key.is_empty() { request } else { request.header("x-api-key", key) }).await;
        assert_eq!(answer.problem(503, "maintenance")["detail"], "back soon");
        assert_eq!(answer.header("access-control-allow-origin"), APP);
        assert!(answer.header("access-control-expose-headers").contains("retry-after"), "{answer:?}");
    }
    let preflight = gateway.anonymous(Method::OPTIONS, "/api/comments/a").header("origin", APP);
    let preflight = preflight.header("access-control-request-method", "GET");
    assert_eq!(Answer::of(preflight.header("access-control-request-headers", "x-api-key")).await.status, 204);
    let socket = gateway.anonymous(Method::GET, "/api/comments/a").header("origin", "https://evil.example");
    let socket = socket.header("connection", "upgrade").header("upgrade", "websocket");
    Answer::of(socket).await.problem(503, "maintenance");
}

#[tokio::test]
async fn static_routes_to_the_service_are_in_it_and_those_elsewhere_only_with_all() {
    let other = Origin::start().await;
    let tail = format!(
        "[[routes]]\nmethod = 'GET'\npath = '/old'\nservice = 'shop'\n[[routes]]\nmethod = 'GET'\npath = '/url'\nurl = '{}'",
        other.url()
    );
    let (gateway, origin) = with_shop(&tail).await;
    put(&gateway, OF_SHOP, json!({})).await.ok();
    for path in ["/shop", "/old"] {
        ask(&gateway, path).await.problem(503, "maintenance");
    }
    assert_eq!(ask(&gateway, "/url").await.status, 200);
    delete(&gateway, "/internal/services/shop").await.ok();
    ask(&gateway, "/old").await.problem(503, "maintenance");
    ask(&gateway, "/shop").await.problem(404, "route-not-found");
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    delete(&gateway, OF_SHOP).await.ok();
    put(&gateway, OF_ALL, json!({"message": "all of it"})).await.ok();
    for path in ["/shop", "/old", "/url"] {
        assert_eq!(ask(&gateway, path).await.problem(503, "maintenance")["detail"], "all of it");
    }
    assert_eq!((origin.requests("/shop"), ask(&gateway, "/health").await.status.as_u16()), (0, 200));
    gateway.reloaded(&tail).await;
    ask(&gateway, "/url").await.problem(503, "maintenance");
    delete(&gateway, OF_ALL).await.ok();
    for path in ["/shop", "/old", "/url"] {
        assert_eq!(ask(&gateway, path).await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn clients_that_it_names_pass_and_must_pass_both() {
    let (gateway, _origin) = with_shop("").await;
    let from = |address: &str| {
        let client = client_from(Some(address.parse().unwrap()));
        Answer::of(client.get(gateway.public_url("/shop")))
    };
    put(&gateway, OF_SHOP, json!({"allow_from": ["127.0.0.8/31", "10.0.0.0/8"]})).await.ok();
    assert_eq!(from("127.0.0.9").await.status, 200);
    from("127.0.0.7").await.problem(503, "maintenance");
    put(&gateway, OF_ALL, json!({"allow_from": ["127.0.0.8"], "message": "all"})).await.ok();
    assert_eq!(from("127.0.0.9").await.problem(503, "maintenance")["detail"], "all");
    assert_eq!(from("127.0.0.8").await.status, 200);
    // An address that the client only says it has.
    let client = client_from(Some("127.0.0.7".parse().unwrap()));
    let lying = client.get(gateway.public_url("/shop")).header("x-forwarded-for", "127.0.0.8");
    Answer::of(lying).await.problem(503, "maintenance");
}

#[tokio::test]
async fn it_outlives_restarts_and_registrations_and_ends_by_itself() {
    let (mut gateway, origin) = with_shop(DISK).await;
    put(&gateway, "/internal/services/later/maintenance", json!({"message": "not yet"})).await.ok();
    put(&gateway, OF_SHOP, json!({"for": "12s", "message": "back soon"})).await.ok();
    let began = Instant::now();
    gateway.restart().await;
    assert_eq!(ask(&gateway, "/shop").await.problem(503, "maintenance")["detail"], "back soon");
    gateway.registered(&with(public_service("shop", &origin.url(), "/shop"), json!({"instance": "another"}))).await;
    delete(&gateway, "/internal/services/shop").await.ok();
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    gateway.registered(&public_service("later", &origin.url(), "/later")).await;
    ask(&gateway, "/shop").await.problem(503, "maintenance");
    assert_eq!(ask(&gateway, "/later").await.problem(503, "maintenance")["detail"], "not yet");
    eventually("its time is over", Duration::from_secs(30), async || {
        (ask(&gateway, "/shop").await.status == 200).then_some(())
    })
    .await;
    assert!(began.elapsed() >= Duration::from_secs(11), "not before its time: {:?}", began.elapsed());
    let names = async || {
        let all = gateway.seen(OF_ALL).await["maintenance"].clone();
        all.as_array().unwrap().iter().map(|one| one["service"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names().await, ["later"]);
    let events = gateway.seen("/internal/events").await["events"].clone();
    let of = |kind: &str| {
        let found = events.as_array().unwrap().iter().find(|one| one["kind"] == kind && one["service"] == "shop");
        found.unwrap_or_else(|| panic!("no {kind}: {events}")).clone()
    };
    assert_eq!(of("maintenance-ended")["why"], "time");
    gateway.restart().await;
    assert_eq!(ask(&gateway, "/shop").await.status, 200);
    ask(&gateway, "/later").await.problem(503, "maintenance");
}

#[tokio::test]
async fn it_goes_before_a_service_that_is_down_and_one_that_drains() {
    let (gateway, _origin) = with_shop("").await;
    Answer::of(gateway.operate(Method::POST, "/internal/services/shop/drain")).await.ok();
    put(&gateway, OF_SHOP, json!({})).await.ok();
    ask(&gateway, "/shop").await.problem(503, "maintenance");
    delete(&gateway, OF_SHOP).await.ok();
    ask(&gateway, "/shop").await.problem(503, "draining");
    let down = json!({"service": "down", "url": "http://127.0.0.1:9", "health_endpoint": "/health",
        "routes": [{"method": "GET", "path": "/down"}]});
    let (gateway, _origin) =
        with_shop("[gateway]\nhealth_check_interval = '200ms'\nhealth_check_timeout = '200ms'").await;
    gateway.registered(&down).await;
    gateway.status_becomes("down", "DOWN").await;
    put(&gateway, "/internal/services/down/maintenance", json!({"allow_from": ["127.0.0.9"]})).await.ok();
    ask(&gateway, "/down").await.problem(503, "maintenance");
    let allowed = client_from(Some("127.0.0.9".parse().unwrap())).get(gateway.public_url("/down"));
    Answer::of(allowed).await.problem(503, "service-down");
}

#[tokio::test]
async fn nothing_stands_in_for_a_service_in_maintenance() {
    let tail = "[gateway]\nhealth_check_interval = '200ms'\nhealth_check_timeout = '200ms'\n[[routes]]\nmethod = 'GET'\npath = '/*'\n\
                exclusive = false\nrespond = { body = 'stands in' }";
    let (gateway, _origin) = with_shop(tail).await;
    let down = json!({"service": "down", "url": "http://127.0.0.1:9", "health_endpoint": "/health",
        "routes": [{"method": "GET", "path": "/down/*"}]});
    gateway.registered(&down).await;
    gateway.status_becomes("down", "DOWN").await;
    assert_eq!(ask(&gateway, "/down/a").await.body, "stands in");
    put(&gateway, "/internal/services/down/maintenance", json!({"allow_from": ["127.0.0.9"]})).await.ok();
    ask(&gateway, "/down/a").await.problem(503, "maintenance");
    let allowed = client_from(Some("127.0.0.9".parse().unwrap())).get(gateway.public_url("/down/a"));
    Answer::of(allowed).await.problem(503, "service-down");
    let explained = gateway.seen("/internal/explain?method=GET&url=/down/a").await;
    assert_eq!(explained["verdict"], "maintenance", "{explained}");
    assert!(explained.to_string().contains("nothing stands in for a service that is in maintenance"), "{explained}");
    delete(&gateway, "/internal/services/down/maintenance").await.ok();
    assert_eq!(ask(&gateway, "/down/a").await.body, "stands in");
    put(&gateway, "/internal/maintenance", json!({})).await.ok();
    ask(&gateway, "/down/a").await.problem(503, "maintenance");
}

#[tokio::test]
async fn a_static_route_by_name_keeps_its_requests_whoever_else_would_take_them() {
    let tail = "[gateway]\nhealth_check_interval = '200ms'\nhealth_check_timeout = '200ms'\n[[routes]]\nmethod = 'GET'\npath = '/*'\n\
                respond = { body = 'stands in' }\n[[routes]]\nmethod = 'GET'\npath = '/old/*'\nservice = 'down'";
    let (gateway, _origin) = with_shop(tail).await;
    let of_down = "/internal/services/down/maintenance";
    assert_eq!(ask(&gateway, "/old/a").await.body, "stands in", "nobody is registered");
    let began = put(&gateway, of_down, json!({"allow_from": ["127.0.0.9"]})).await.ok();
    assert_eq!(began.get("warnings"), None, "a static route leads to it");
    ask(&gateway, "/old/a").await.problem(503, "maintenance");
    let body = json!({"service": "down", "url": "http://127.0.0.1:9", "health_endpoint": "/health", "host": "down.example",
        "routes": [{"method": "GET", "path": "/down/*"}]});
    gateway.registered(&body).await;
    gateway.status_becomes("down", "DOWN").await;
    ask(&gateway, "/old/a").await.problem(503, "maintenance");
    let allowed = client_from(Some("127.0.0.9".parse().unwrap())).get(gateway.public_url("/old/a"));
    Answer::of(allowed).await.problem(503, "service-down");
    let explained = gateway.seen("/internal/explain?method=GET&url=/old/a&client=127.0.0.9").await;
    assert_eq!(explained["verdict"], "service-down", "{explained}");
    delete(&gateway, of_down).await.ok();
    assert_eq!(ask(&gateway, "/old/a").await.body, "stands in");
    let mistyped = put(&gateway, "/internal/services/dwon/maintenance", json!({})).await.ok();
    assert_eq!(mistyped["warnings"], json!(["no service \"dwon\" is registered, and no static route leads to it"]));
    let said = gateway.cli(&["maintenance", "on", "shpo"]).await;
    assert!(said.status.success() && String::from_utf8_lossy(&said.stderr).contains("no service \"shpo\""), "{said:?}");
}

#[tokio::test]
async fn authorities_find_answers_to_challenges_and_nobody_else_comes_that_way() {
    let tail = "[[routes]]\nmethod = '*'\npath = '/.well-known/acme-challenge/*'\nrespond = { body = 'answer' }";
    let (gateway, _origin) = with_shop(tail).await;
    put(&gateway, "/internal/maintenance", json!({})).await.ok();
    assert_eq!(ask(&gateway, "/.well-known/acme-challenge/token").await.body, "answer");
    ask(&gateway, "/.well-known/acme-challenge/a/b").await.problem(503, "maintenance");
    let posted = Answer::of(gateway.anonymous(Method::POST, "/.well-known/acme-challenge/token")).await;
    posted.problem(503, "maintenance");
}

#[tokio::test]
async fn what_is_in_flight_goes_on() {
    let (gateway, origin) = with_shop("").await;
    origin.set_mode(Mode::Gated);
    let request = tokio::spawn(Answer::try_of(gateway.anonymous(Method::GET, "/shop")));
    eventually("it arrives", SOON, async || (origin.requests("/shop") > 0).then_some(())).await;
    put(&gateway, OF_SHOP, json!({})).await.ok();
    ask(&gateway, "/shop").await.problem(503, "maintenance");
    throughout("it is not cut", Duration::from_millis(500), async || !request.is_finished()).await;
    origin.release();
    assert_eq!(request.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn a_grpc_call_ends_as_unavailable_with_the_message() {
    let (gateway, service) = (Gateway::start("").await, GrpcService::start());
    let body = with(public_service("service", &service.url(), "/s/*"), json!({"protocol": "h2c"}));
    gateway.registered(&body).await;
    put(&gateway, "/internal/services/service/maintenance", json!({"message": "back soon"})).await.ok();
    let client = Client::to(gateway.public).await;
    let answer = client.send(call("Echo"), message(b"hello")).await;
    let text = |name: &str| answer.headers.get(name).map_or("", |value| value.to_str().unwrap());
    assert_eq!((answer.status.as_u16(), text("grpc-status"), text("x-furt-code")), (200, "14", "maintenance"));
    assert_eq!(text("grpc-message"), "The service is in maintenance: back soon");
    assert_eq!((text("retry-after"), service.calls("Echo").len()), ("60", 0));
    assert_eq!(answer.body, Bytes::new());
}

#[tokio::test]
async fn operators_see_it_wherever_they_look() {
    let (gateway, _origin) = with_shop("[access_log]\npath = 'access.log'").await;
    let body = json!({"for": "30m", "allow_from": ["127.0.0.9"], "message": "back soon"});
    put(&gateway, OF_SHOP, body).await.ok();
    put(&gateway, OF_ALL, json!({"allow_from": ["127.0.0.9"]})).await.ok();
    let shown = gateway.service("shop").await.unwrap();
    assert_eq!(
        (&shown["maintenance"][0]["service"], &shown["maintenance"][0]["message"]),
        (&json!("shop"), &json!("back soon"))
    );
    assert_eq!((&shown["maintenance"][1]["service"], &shown["status"]), (&Value::Null, &json!("UP")));
    let listed = gateway.seen("/internal/services").await;
    assert_eq!(listed["services"][0]["maintenance"], shown["maintenance"]);
    let text = said(&gateway, &["services"]).await;
    assert!(text.contains("UP, maintenance") && text.contains(": back soon"), "{text}");
    let text = said(&gateway, &["services", "shop"]).await;
    assert!(text.contains("status     UP, maintenance"), "{text}");

    let told = explained(&gateway, "").await;
    assert_eq!(told["verdict"], "maintenance");
    let reason = told["reason"].as_str().unwrap();
    assert!(reason.starts_with("service \"shop\" is in maintenance until 2"), "{reason}");
    assert!(reason.ends_with("(\"back soon\"): 503, except for clients from 127.0.0.9/32"), "{reason}");
    let told = explained(&gateway, "&client=127.0.0.9").await;
    assert_eq!(told["verdict"], "routed");
    assert!(told["warnings"][0].as_str().unwrap().ends_with("the client 127.0.0.9 is let in"), "{told}");
    delete(&gateway, OF_SHOP).await.ok();
    let told = explained(&gateway, "").await;
    assert!(told["reason"].as_str().unwrap().starts_with("all services are in maintenance until `furt"), "{told}");

    assert!(gateway.metrics().await.contains("furt_maintenances 1\n"));
    ask(&gateway, "/shop").await.problem(503, "maintenance");
    delete(&gateway, OF_ALL).await.ok();
    let metrics = gateway.metrics().await;
    assert!(metrics.contains("furt_maintenances 0\n"));
    assert!(gateway.service("shop").await.unwrap().get("maintenance").is_none());
    let instance = gateway.instance("shop").await;
    assert_eq!((&instance["ejected_until"], &instance["status"]), (&Value::Null, &json!("UP")), "nobody failed");
    let events = gateway.seen("/internal/events").await["events"].clone();
    let of = |kind: &str| -> Vec<Value> {
        events.as_array().unwrap().iter().filter(|one| one["kind"] == kind).cloned().collect()
    };
    let (began, ended) = (of("maintenance-began"), of("maintenance-ended"));
    assert_eq!((began.len(), ended.len()), (2, 2), "{events}");
    assert_eq!(
        (&began[0]["service"], &began[0]["from"], &began[0]["message"]),
        (&json!("shop"), &json!("127.0.0.1"), &json!("back soon"))
    );
    assert_eq!((&began[1]["service"], &ended[1]["from"]), (&Value::Null, &json!("127.0.0.1")));
    assert!(gateway.log().contains("all services are in maintenance no more, from 127.0.0.1"));
    let line = eventually("the line of the access log", SOON, async || {
        let log = std::fs::read_to_string(gateway.dir().join("access.log")).ok()?;
        log.lines().find(|line| line.contains("\"status\":503")).map(str::to_owned)
    })
    .await;
    assert!(line.contains("maintenance"), "{line}");
}
