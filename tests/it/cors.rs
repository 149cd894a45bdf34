//! What browsers of other origins are told: preflights before any key, furt's own answers as well as the service's, and who has the
//! say: the service within its grant, its route, the operator.

use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::support::gateway::{furt, output_of};
use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire};
use crate::support::{ADMIN, Answer, Gateway, Mode, Origin, READER, public_service, sagjan, with};

const APP: &str = "https://app.example.org";
const EVIL: &str = "https://evil.example";

/// sagjan, whose routes need a key, with this `cors`.
fn service(origin: &Origin, cors: Value) -> Value {
    with(sagjan(&origin.url()), json!({"cors": cors, "health_endpoint": null}))
}

/// A preflight for a request with this method and these headers.
async fn preflight(gateway: &Gateway, path: &str, origin: &str, method: &str, headers: &str) -> Answer {
    let request = gateway.anonymous(Method::OPTIONS, path).header("origin", origin);
    let request = request.header("access-control-request-method", method);
    Answer::of(if headers.is_empty() { request } else { request.header("access-control-request-headers", headers) })
        .await
}

/// A request of a script, with a key where there is one.
async fn ask(gateway: &Gateway, method: Method, path: &str, origin: &str, key: &str) -> Answer {
    let request = gateway.anonymous(method, path).header("origin", origin);
    Answer::of(if key.is_empty() { request } else { request.header("x-api-key", key) }).await
}

/// Every header of an answer about CORS, by name.
fn told(answer: &Answer) -> Vec<(String, String)> {
    let about = answer.headers.iter().filter(|(name, _)| name.as_str().starts_with("access-control-"));
    let mut all: Vec<_> = about.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    all.sort();
    all
}

/// That scripts of the origin may read the answer.
#[track_caller]
fn is_readable(answer: &Answer, origin: &str) {
    assert_eq!(answer.header("access-control-allow-origin"), origin, "{answer:?}");
    assert_eq!(answer.headers.get_all("access-control-allow-origin").iter().count(), 1, "{answer:?}");
    assert!(answer.header("access-control-expose-headers").contains("x-request-id"), "{answer:?}");
    if origin != "*" {
        assert!(vary(answer).iter().any(|name| name == "origin"), "{answer:?}");
    }
}

/// What the answer differs by.
fn vary(answer: &Answer) -> Vec<String> {
    let all = answer.headers.get_all("vary").iter().filter_map(|value| value.to_str().ok());
    all.flat_map(|value| value.split(',')).map(|name| name.trim().to_ascii_lowercase()).collect()
}

#[tokio::test]
async fn a_preflight_is_answered_before_the_key_by_the_route_of_its_method() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&service(&origin, json!({"origins": [APP], "max_age": 60}))).await;
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        let answer = preflight(&gateway, "/api/comments/a", APP, method, "x-api-key, content-type").await;
        assert_eq!((answer.status.as_u16(), answer.body.as_str()), (204, ""), "{answer:?}");
        is_readable(&answer, APP);
        assert_eq!(answer.header("access-control-allow-methods"), method);
        assert_eq!(answer.header("access-control-allow-headers"), "x-api-key, content-type");
        assert_eq!(answer.header("access-control-max-age"), "60");
        assert_eq!(answer.header("access-control-allow-credentials"), "");
        assert_eq!(
            vary(&answer),
            ["access-control-request-method", "access-control-request-headers", "origin"],
            "{answer:?}"
        );
        assert_eq!(answer.header("content-length"), "", "a 204 has none");
    }
    let plain = preflight(&gateway, "/api/comments/a", APP, "GET", "").await;
    assert_eq!(plain.header("access-control-allow-headers"), "", "{plain:?}");

    for foreign in [EVIL, "null", "https://app.example.org:444", "http://app.example.org", "https://APP.example.org"] {
        let answer = preflight(&gateway, "/api/comments/a", foreign, "GET", "x-api-key").await;
        answer.problem(403, "origin-not-allowed");
        assert_eq!(told(&answer), []);
        assert_eq!(vary(&answer), ["origin"]);
    }
    // No route takes the method: the request itself would find none either.
    preflight(&gateway, "/api/comments/a", APP, "PATCH", "").await.problem(405, "method-not-allowed");
    preflight(&gateway, "/api/other", APP, "GET", "").await.problem(404, "route-not-found");
    assert_eq!(origin.requests("/api/comments/a"), 0, "the service is asked nothing");
}

#[tokio::test]
async fn what_is_no_preflight_goes_the_usual_way() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let mut body = with(public_service("s", &origin.url(), "/s"), json!({"cors": {"origins": [APP]}}));
    gateway.registered(&body).await;
    let options = |headers: &[(&'static str, &'static str)]| {
        let mut request = gateway.anonymous(Method::OPTIONS, "/s");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        Answer::of(request)
    };
    for headers in [
        &[][..],
        &[("origin", APP)],
        &[("access-control-request-method", "GET")],
        &[("origin", APP), ("access-control-request-method", "GET"), ("access-control-request-method", "PUT")],
        &[("origin", APP), ("access-control-request-method", "G T")],
    ] {
        assert_eq!(options(headers).await.ok()["method"], "OPTIONS", "{headers:?} goes to the service");
    }
    // Two origins are none.
    let twice = options(&[("origin", APP), ("origin", APP), ("access-control-request-method", "GET")]).await;
    twice.problem(403, "origin-not-allowed");
    let odd = [("origin", APP), ("access-control-request-method", "GET"), ("access-control-request-headers", "x-a; y")];
    let odd = options(&odd).await;
    assert_eq!(
        (odd.status.as_u16(), odd.header("access-control-allow-headers")),
        (204, ""),
        "what is no list is not sent back"
    );

    // Without cors its own OPTIONS route answers, as before.
    body["cors"] = Value::Null;
    body["routes"] = json!([
        {"method": "*", "path": "/s", "permission": "s:use"}, {"method": "OPTIONS", "path": "/s"},
    ]);
    gateway.registered(&body).await;
    assert_eq!(preflight(&gateway, "/s", APP, "GET", "x-api-key").await.ok()["method"], "OPTIONS");
}

#[tokio::test]
async fn furt_s_own_answers_can_be_read() {
    let (gateway, mut origin) = (
        Gateway::start("[limits]\naddress_rate = '1000/s'\nmax_body = 10\n[upstream]\nread_timeout = '300ms'\n").await,
        Origin::start().await,
    );
    gateway.registered(&service(&origin, json!({"origins": [APP], "credentials": true}))).await;
    let get = |key: &'static str| ask(&gateway, Method::GET, "/api/comments/a", APP, key);
    for (key, status, code) in [("", 401, "key-missing"), ("wrong", 401, "key-unknown")] {
        let answer = get(key).await;
        answer.problem(status, code);
        is_readable(&answer, APP);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
        assert!(answer.header("access-control-expose-headers").contains("www-authenticate"), "{answer:?}");
    }
    let denied = ask(&gateway, Method::POST, "/api/comments/a", APP, READER).await;
    denied.problem(403, "permission-missing");
    is_readable(&denied, APP);
    let large = gateway.anonymous(Method::POST, "/api/comments/a").header("origin", APP).header("x-api-key", ADMIN);
    let large = Answer::of(large.body("x".repeat(11))).await;
    large.problem(413, "body-too-large");
    is_readable(&large, APP);
    let answer = get(READER).await;
    answer.ok();
    is_readable(&answer, APP);
    let foreign = ask(&gateway, Method::GET, "/api/comments/a", EVIL, READER).await;
    foreign.ok();
    assert_eq!((told(&foreign), vary(&foreign)), (vec![], vec!["origin".to_owned()]));
    let without = Answer::of(gateway.anonymous(Method::GET, "/api/comments/a").header("x-api-key", READER)).await;
    assert_eq!((told(&without), vary(&without)), (vec![], vec!["origin".to_owned()]), "a cache keeps it for all");

    origin.set_mode(Mode::Hangs);
    let late = get(READER).await;
    late.problem(504, "upstream-timeout");
    is_readable(&late, APP);
    origin.stop().await;
    let gone = get(READER).await;
    gone.problem(502, "connect-failed");
    is_readable(&gone, APP);

    gateway.reloaded("[limits]\naddress_rate = '1/m'\naddress_burst = 1\n").await;
    let limited = {
        get("").await;
        get("").await
    };
    limited.problem(429, "address-rate-limited");
    is_readable(&limited, APP);
    assert!(limited.header("access-control-expose-headers").contains("retry-after"), "{limited:?}");
    let counted = preflight(&gateway, "/api/comments/a", APP, "GET", "").await;
    counted.problem(429, "address-rate-limited");
}

#[tokio::test]
async fn the_service_s_own_word_is_replaced_and_what_it_varies_by_stays() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: *\r\n\
        Access-Control-Allow-Origin: https://evil.example\r\nAccess-Control-Allow-Credentials: true\r\n\
        Access-Control-Expose-Headers: X-Secret\r\nAccess-Control-Allow-Private-Network: true\r\nVary: Accept-Encoding\r\n\r\n";
    let (gateway, origin) = (Gateway::start("").await, Scripted::start(ANSWER, Then::Close).await);
    let body = |cors: Value| with(public_service("s", &origin.url(), "/s"), json!({"cors": cors}));
    gateway.registered(&body(Value::Null)).await;
    let own = ask(&gateway, Method::GET, "/s", EVIL, "").await;
    assert_eq!(told(&own).len(), 5, "without cors it is the service's: {own:?}");
    gateway.registered(&body(json!({"origins": [APP], "expose": ["X-Total"]}))).await;
    for origin in [EVIL, APP] {
        let answer = ask(&gateway, Method::GET, "/s", origin, "").await;
        let names: Vec<_> = told(&answer).into_iter().map(|(name, _)| name).collect();
        match origin {
            APP => {
                is_readable(&answer, APP);
                assert_eq!(names, ["access-control-allow-origin", "access-control-expose-headers"]);
                let exposed = answer.header("access-control-expose-headers");
                assert_eq!(exposed, "x-request-id, retry-after, www-authenticate, x-total");
            }
            _ => assert_eq!(names, [""; 0]),
        }
        assert_eq!(vary(&answer), ["accept-encoding", "origin"]);
    }
    gateway.registered(&body(json!({"origins": ["*"]}))).await;
    let any = ask(&gateway, Method::GET, "/s", "null", "").await;
    is_readable(&any, "*");
    assert_eq!(vary(&any), ["accept-encoding"], "it is the same for all");
    let plain = Answer::of(gateway.anonymous(Method::GET, "/s")).await;
    assert_eq!(
        (told(&plain), vary(&plain)),
        (told(&any), vary(&any)),
        "also for a cache that was filled without an origin"
    );
}

#[tokio::test]
async fn the_route_s_word_stands_for_the_service_s_and_the_operator_s_for_both() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let body = with(
        public_service("s", &origin.url(), "/s/*"),
        json!({
            "cors": {"origins": [APP]},
            "routes": [
                {"method": "GET", "path": "/s/*"},
                {"method": "GET", "path": "/s/feed", "cors": {"origins": ["*"]}},
                {"method": "GET", "path": "/s/own", "cors": null},
            ],
        }),
    );
    gateway.registered(&body).await;
    let allowed = async |path: &str| {
        let answer = ask(&gateway, Method::GET, path, APP, "").await;
        answer.ok();
        answer.header("access-control-allow-origin").to_owned()
    };
    assert_eq!([allowed("/s/a").await, allowed("/s/feed").await, allowed("/s/own").await], [APP, "*", ""]);
    let shown = Answer::of(gateway.operate(Method::GET, "/internal/services/s")).await.ok();
    assert_eq!(shown["cors"]["origins"], json!([APP]));
    assert_eq!((&shown["routes"][1]["cors"]["origins"], &shown["routes"][2]["cors"]), (&json!(["*"]), &Value::Null));
    assert!(shown["routes"][0].get("cors").is_none() && shown["routes"][2].get("cors").is_some(), "{shown}");

    let rules = "[[rules]]\nservice = 's'\npath = '/s/*'\ncors = { origins = ['https://*.example.org'], max_age = '1m' }\n\
                 [[rules]]\nhost = 'other.example'\ncors = false\n\
                 [[rules]]\npath = '/s/own'\ncors.origins = ['https://own.example']\n";
    let reloaded = gateway.reloaded(rules).await;
    assert_eq!(reloaded["changed"], json!(["rules"]));
    let skipped_rules: Vec<_> =
        reloaded["skipped_rules"].as_array().unwrap().iter().map(|one| one["route"].as_str().unwrap()).collect();
    assert_eq!(skipped_rules, ["GET /s/*", "GET /s/*", "GET /s/feed", "GET /s/own"]);
    assert_eq!(
        [allowed("/s/a").await, allowed("/s/feed").await],
        [APP, APP],
        "the rule's origins stand for the route's"
    );
    assert_eq!(allowed("/s/own").await, "", "the last rule that is about all of it");

    let explained = async |path: &str, origin: &str| {
        let url = format!("/internal/explain?method=GET&url={path}&origin={origin}");
        Answer::of(gateway.operate(Method::GET, &url)).await.ok()
    };
    let told = explained("/s/a", APP).await;
    let option = &told["options"][0];
    assert_eq!((&option["name"], &option["said_by"]), (&json!("cors"), &json!("rule")));
    let line = option["line"].as_u64().unwrap() as usize;
    let text = std::fs::read_to_string(&gateway.config).unwrap();
    assert_eq!(text.lines().nth(line - 1), Some("[[rules]]"), "{text}");
    assert!(text.lines().skip(line).any(|line| line.contains("*.example.org")));
    assert_eq!(told["origin"]["may_read"], true);
    assert_eq!(explained("/s/a", EVIL).await["origin"]["may_read"], false);
    assert!(told["warnings"].as_array().unwrap().iter().any(|one| one.as_str().unwrap().contains("only some of")));

    gateway.reloaded("").await;
    assert_eq!([allowed("/s/a").await, allowed("/s/feed").await, allowed("/s/own").await], [APP, "*", ""]);
}

#[tokio::test]
async fn a_rule_is_about_static_routes_too_and_about_whom_they_lead_to() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("s", &origin.url(), "/s")).await;
    let url = origin.url();
    let routes = format!(
        "[[routes]]\nmethod = 'GET'\npath = '/old'\nservice = 's'\n[[routes]]\nmethod = 'GET'\npath = '/url'\nurl = '{url}'\n"
    );
    let allowed = async |path: &str| {
        let answer = ask(&gateway, Method::GET, path, APP, "").await;
        answer.ok();
        !answer.header("access-control-allow-origin").is_empty()
    };
    for (rule, expected) in [
        ("service = 's'", [true, true, false]),
        ("path = '/url'", [false, false, true]),
        ("method = 'GET'", [false, true, true]),
        ("", [true, true, true]),
    ] {
        gateway.reloaded(&format!("{routes}[[rules]]\n{rule}\ncors.origins = ['{APP}']\n")).await;
        let found = [allowed("/s").await, allowed("/old").await, allowed("/url").await];
        assert_eq!(found, expected, "{rule}");
    }
    gateway.reloaded(&routes).await;
    assert!(!allowed("/url").await);
}

#[tokio::test]
async fn a_websocket_of_a_foreign_page_is_refused() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let body = |cors: Value| with(public_service("s", &origin.url(), "/s"), json!({"cors": cors}));
    let opened = async |origin: &str, host: &str| {
        let mut wire = Wire::to(gateway.public).await;
        let origin = if origin.is_empty() { String::new() } else { format!("Origin: {origin}\r\n") };
        wire.send(format!(
            "GET /s HTTP/1.1\r\nHost: {host}\r\n{origin}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        ))
        .await;
        wire::status(&wire.read_until("\r\n\r\n").await)
    };
    gateway.registered(&body(Value::Null)).await;
    assert_eq!(opened(EVIL, "g").await, 101, "without cors the service is to look");
    gateway.registered(&body(json!({"origins": [APP]}))).await;
    for (origin, host, status) in [
        (APP, "g", 101),
        ("", "g", 101),
        (EVIL, "g", 403),
        ("null", "g", 403),
        ("https://g", "g", 101),
        ("https://*.example.org", "g", 403),
        ("http://g:8080", "g:8080", 101),
        ("http://g:8081", "g:8080", 403),
    ] {
        assert_eq!(opened(origin, host).await, status, "{origin} {host}");
    }
}

#[tokio::test]
async fn a_websocket_brings_cookies_of_foreign_pages_only_with_credentials() {
    let (gateway, listener) = (Gateway::start("").await, TcpListener::bind("127.0.0.1:0").await.unwrap());
    let url = format!("http://{}", listener.local_addr().unwrap());
    for (cors, from, has_cookie) in [
        (json!({"origins": ["*"]}), EVIL, false),
        (json!({"origins": [APP]}), APP, false),
        (json!({"origins": [APP], "credentials": true}), APP, true),
        (json!({"origins": [APP]}), "http://g", true),
    ] {
        gateway.registered(&with(public_service("s", &url, "/s"), json!({"cors": cors}))).await;
        let request = format!(
            "GET /s HTTP/1.1\r\nHost: g\r\nOrigin: {from}\r\nCookie: session=1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
        );
        let mut wire = Wire::to(gateway.public).await;
        wire.send(request).await;
        let (stream, _) = listener.accept().await.unwrap();
        let seen = Wire::of(stream).read_until("\r\n\r\n").await;
        assert_eq!(seen.to_ascii_lowercase().contains("cookie: session=1"), has_cookie, "{from}: {seen}");
    }
}

#[tokio::test]
async fn a_preflight_for_a_route_without_cors_is_the_service_s_alone() {
    const ANSWER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nAccess-Control-Allow-Origin: https://own.example\r\n\
        Access-Control-Allow-Headers: x-own\r\n\r\n";
    let (gateway, origin) = (Gateway::start("").await, Scripted::start(ANSWER, Then::Close).await);
    let routes = json!([{"method": "*", "path": "/s"}, {"method": "GET", "path": "/s", "cors": null}]);
    let body = with(public_service("s", &origin.url(), "/s"), json!({"cors": {"origins": [APP]}, "routes": routes}));
    gateway.registered(&body).await;
    let own = preflight(&gateway, "/s", APP, "GET", "x-own").await;
    assert_eq!(
        (own.status.as_u16(), own.header("access-control-allow-origin")),
        (200, "https://own.example"),
        "{own:?}"
    );
    assert_eq!((own.header("access-control-allow-headers"), vary(&own)), ("x-own", vec![]));
    assert_eq!(preflight(&gateway, "/s", APP, "PUT", "x-own").await.status, 204);
}

#[tokio::test]
async fn the_grant_says_how_far_a_service_may_open_itself() {
    let origin = Origin::start().await;
    let grant = |origins: &str| format!("[[grants]]\nservice = 's'\npublic = true\npaths = ['/s', '/t']\n{origins}\n");
    let gateway = Gateway::start(&grant("")).await;
    let body = |of_all: Value, of_route: Value| {
        let routes = json!([{"method": "GET", "path": "/s"}, with(json!({"method": "GET", "path": "/t"}), of_route)]);
        with(public_service("s", &origin.url(), "/s"), json!({"cors": of_all, "routes": routes}))
    };
    let cors = |origins: &[&str]| json!({"origins": origins});
    let refused = gateway.register(&body(cors(&[APP, EVIL]), json!({}))).await;
    let told = refused.problem(403, "beyond-grant");
    let detail = told["detail"].as_str().unwrap();
    assert!(detail.contains(APP) && detail.contains(EVIL) && detail.contains("cors"), "{detail}");
    gateway.reloaded(&grant("origins = ['https://*.example.org']")).await;
    for (of_all, of_route, is_within) in [
        (cors(&[APP]), json!({}), true),
        (cors(&["https://*.a.example.org"]), json!({"cors": cors(&[APP])}), true),
        (cors(&[APP]), json!({"cors": cors(&["*"])}), false),
        (cors(&[APP, EVIL]), json!({}), false),
        (Value::Null, json!({"cors": null}), true),
    ] {
        let answer = gateway.register(&body(of_all, of_route)).await;
        match is_within {
            true => drop(answer.ok()),
            false => drop(answer.problem(403, "beyond-grant")),
        }
    }
    // A narrower grant blocks the service, as it does for paths.
    gateway.registered(&body(cors(&[APP]), json!({}))).await;
    let reloaded = gateway.reloaded(&grant("")).await;
    assert_eq!(reloaded["blocked"][0]["service"], "s", "{reloaded}");
    assert_eq!(ask(&gateway, Method::GET, "/s", APP, "").await.status, 404);
}

#[tokio::test]
async fn what_is_wrong_is_told_all_at_once_and_changes_nothing() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let body = |cors: Value, route: Value| {
        let routes = json!([with(json!({"method": "GET", "path": "/s"}), route)]);
        with(public_service("s", &origin.url(), "/s"), json!({"cors": cors, "routes": routes}))
    };
    let many = vec![APP; 65];
    for (cors, route, pointers) in [
        (json!({}), json!({}), vec!["/cors/origins"]),
        (json!({"origins": []}), json!({}), vec!["/cors/origins"]),
        (json!({"origins": many}), json!({}), vec!["/cors/origins"]),
        (json!({"origins": APP}), json!({}), vec!["/cors/origins"]),
        (json!({"origins": ["*", APP]}), json!({}), vec!["/cors/origins"]),
        (
            json!({"origins": [APP, "null", "https://a/b", 7, "a.example"], "headers": ["*", "x a"], "expose": "x",
                   "credentials": 1, "max_age": 86401, "methods": ["GET"]}),
            json!({}),
            vec![
                "/cors/credentials",
                "/cors/expose",
                "/cors/headers/0",
                "/cors/headers/1",
                "/cors/max_age",
                "/cors/methods",
                "/cors/origins/1",
                "/cors/origins/2",
                "/cors/origins/3",
                "/cors/origins/4",
            ],
        ),
        (json!({"origins": ["*"], "credentials": true}), json!({}), vec!["/cors/credentials"]),
        (json!(true), json!({"cors": 7}), vec!["/cors", "/routes/0/cors"]),
        (Value::Null, json!({"cors": {"origins": ["x"]}}), vec!["/routes/0/cors/origins/0"]),
    ] {
        let answer = gateway.register(&body(cors.clone(), route)).await;
        assert_eq!(answer.invalid_fields(), pointers, "{cors}");
    }
    assert_eq!(Answer::of(gateway.operate(Method::GET, "/internal/services/s")).await.status, 404);

    gateway.configure(
        "[[rules]]\n[[rules]]\ncors = true\n[[rules]]\ncors = { credentials = true }\n[[rules]]\n\
         cors = { origins = ['https://a/b', '*'], origns = [] }\n[[rules]]\ncors = { origins = ['*'], credentials = true }\n\
         [[rules]]\nservce = 's'\ncors = false\n",
    );
    let told = gateway.reload().await.problem(422, "invalid-config");
    let keys: Vec<_> = told["errors"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap()).collect();
    assert_eq!(
        keys,
        [
            "rules",
            "rules.cors",
            "rules.cors.origins",
            "rules.cors.origins",
            "rules.cors.origns",
            "rules.cors",
            "rules.servce"
        ],
        "{told}"
    );
}

#[tokio::test]
async fn what_a_service_says_outlives_a_restart() {
    let (mut gateway, origin) =
        (Gateway::start("[store]\nkind = 'disk'\npath = 'furt.redb'\n").await, Origin::start().await);
    let cors = json!({"origins": [APP], "headers": ["x-a"], "expose": ["x-b"], "credentials": true, "max_age": 5});
    let routes = json!([{"method": "GET", "path": "/s", "cors": null}, {"method": "GET", "path": "/t"}]);
    gateway.registered(&with(public_service("s", &origin.url(), "/s"), json!({"cors": cors, "routes": routes}))).await;
    let shown = async |gateway: &Gateway| {
        let shown = Answer::of(gateway.operate(Method::GET, "/internal/services/s")).await.ok();
        (shown["cors"].clone(), shown["routes"].clone())
    };
    let before = shown(&gateway).await;
    assert_eq!(before.0, cors);
    gateway.restart().await;
    assert_eq!(shown(&gateway).await, before);
    let answer = preflight(&gateway, "/t", APP, "GET", "x-c").await;
    assert_eq!((answer.status.as_u16(), answer.header("access-control-allow-headers")), (204, "x-a"));
    assert_eq!(answer.header("access-control-allow-credentials"), "true");
}

#[tokio::test]
async fn check_warns_of_rules_that_are_skipped_for_static_routes() {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("furt.toml");
    let rules = "[[rules]]\npath = '/old/a'\ncors = false\n[[rules]]\nrewrite.strip = '/new'\n[[rules]]\nservice = 't'\ncors = false\n";
    let text = format!("[[routes]]\nmethod = 'GET'\npath = '/old/*'\nservice = 's'\n{rules}");
    std::fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let output = output_of(furt(&["check", file])).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    let told: Vec<_> = said.lines().collect();
    assert_eq!(told.len(), 2, "{said}");
    assert!(
        told[0].contains("3:8: routes.path: the rule in line 5 is skipped for GET /old/*: it matches only some"),
        "{said}"
    );
    assert!(
        told[1].contains("the rule in line 8 is skipped for GET /old/*: the route's path does not begin"),
        "{said}"
    );
}
