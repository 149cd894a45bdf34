//! Paths that a service does not see as the client wrote them: what is taken off and put before, what the service is told of it, and
//! where its redirects lead.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::h2_client::{self, Client};
use crate::support::scripted::{Scripted, Then};
use crate::support::wire::{self, Wire};
use crate::support::{Answer, Gateway, Origin, public_service, with};

/// A service below `/api` that knows nothing of it.
fn below_api(url: &str, more: Value) -> Value {
    let routes =
        json!([{"method": "*", "path": "/api"}, {"method": "*", "path": "/api/*"}, {"method": "*", "path": "/api/"}]);
    with(public_service("s", url, "/api"), with(json!({"routes": routes, "rewrite": {"strip": "/api"}}), more))
}

/// What the service sees of a request with this target, as it is sent.
async fn seen(gateway: &Gateway, target: &str, more: &str) -> Value {
    let request = format!("GET {target} HTTP/1.1\r\nHost: g.example:80\r\n{more}Connection: close\r\n\r\n");
    let answer = wire::exchange(gateway.public, request).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(wire::status(head), 200, "{target}: {answer}");
    serde_json::from_str(body).unwrap_or_else(|why| panic!("{why}: {answer}"))
}

#[tokio::test]
async fn the_service_sees_what_is_left_of_the_path_and_is_told_the_rest() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&below_api(&origin.url(), json!({}))).await;
    for (target, path, query) in [
        ("/api/a", "/a", Value::Null),
        ("/api", "/", Value::Null),
        ("/api/", "/", Value::Null),
        ("/api?x=/api", "/", json!("x=/api")),
        ("/api/a/b/?x", "/a/b/", json!("x")),
        ("/%61pi/%61;v=1", "/%61;v=1", Value::Null),
        ("http://g.example:80/api/a", "/a", Value::Null),
    ] {
        let seen = seen(&gateway, target, "").await;
        assert_eq!((&seen["path"], &seen["query"]), (&json!(path), &query), "{target}");
        assert_eq!(seen["headers"]["x-forwarded-prefix"], json!(["/api"]));
        assert_eq!(seen["headers"]["host"], json!(["g.example:80"]));
    }
    // A stranger says nothing of prefixes.
    let forged = "X-Forwarded-Prefix: /evil\r\nX_Forwarded_Prefix: /evil\r\n";
    assert_eq!(seen(&gateway, "/api/a", forged).await["headers"]["x-forwarded-prefix"], json!(["/api"]));
    for refused in ["/api/../admin", "/api%2fadmin", "/api/..%2fadmin", "/api//admin"] {
        let answer =
            wire::exchange(gateway.public, format!("GET {refused} HTTP/1.1\r\nHost: g\r\nConnection: close\r\n\r\n"))
                .await;
        assert!([400, 404].contains(&wire::status(&answer)), "{refused}: {answer}");
    }
    gateway.registered(&below_api(&origin.url(), json!({"rewrite": {"strip": "/api", "add": "/v2/x"}}))).await;
    assert_eq!(seen(&gateway, "/api/a?b", "").await["path"], "/v2/x/a");
    assert_eq!(seen(&gateway, "/api", "").await["path"], "/v2/x");

    gateway.reloaded("[server]\ntrusted_proxies = ['127.0.0.1']\n").await;
    let told = seen(&gateway, "/api/a", "X-Forwarded-Prefix: /outer/\r\n").await;
    assert_eq!(
        told["headers"]["x-forwarded-prefix"],
        json!(["/outer/api"]),
        "a proxy before furt took off another one"
    );
}

#[tokio::test]
async fn other_protocols_and_repeated_requests_are_rewritten_once() {
    let gateway = Gateway::start("").await;
    let (h2c, mut gone, whole) = (Origin::h2c().await, Origin::named("gone").await, Origin::named("whole").await);
    gateway.registered(&below_api(&h2c.url(), json!({"protocol": "h2c"}))).await;
    assert_eq!(seen(&gateway, "/api/a?b", "").await["path"], "/a", "a service of HTTP/2");
    let client = Client::to(gateway.public).await;
    let answer = client.ask(h2_client::get("/api/h2?x")).await;
    let seen_by_h2: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&seen_by_h2["path"], &seen_by_h2["query"]), (&json!("/h2"), &json!("x")), "and a client of it");

    // Bodies between two sides of HTTP/2 have a way of their own, as have keys and pages there.
    let page = json!({"rewrite": {"strip": "/api"}, "cors": {"origins": ["https://a.example"]}, "protocol": "h2c"});
    gateway.registered(&below_api(&h2c.url(), page)).await;
    gateway.reloaded("[[rules]]\nrewrite.host = 'named.example'\n").await;
    let request = h2_client::asks(Method::POST, "/api/h2?x").header("origin", "https://a.example");
    let answer = client.send(request, "body".into()).await;
    let seen_by_h2: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!((&seen_by_h2["path"], &seen_by_h2["body"]), (&json!("/h2"), &json!("body")));
    assert_eq!(seen_by_h2["authority"], "named.example");
    assert_eq!(answer.headers["access-control-allow-origin"], "https://a.example");
    let foreign = client.websocket("http://gateway/api/live", &[("origin", "https://evil.example")]).await;
    assert_eq!(foreign.0.status, 403, "a WebSocket over HTTP/2 of a foreign page");
    gateway.reloaded("").await;

    // One instance refuses connections, the other one is asked for the same.
    gone.stop().await;
    for (id, url) in [("gone", gone.url()), ("whole", whole.url())] {
        let body =
            below_api(&url, json!({"service": "t", "instance": id, "routes": [{"method": "*", "path": "/api/t/*"}]}));
        gateway.registered(&body).await;
    }
    for _ in 0..20 {
        assert_eq!(seen(&gateway, "/api/t/a", "").await["path"], "/t/a");
    }

    let origin = Origin::start().await;
    gateway
        .registered(&with(
            below_api(&origin.url(), json!({})),
            json!({"service": "w", "routes": [{"method": "GET", "path": "/api/w/*"}]}),
        ))
        .await;
    let mut socket = Wire::to(gateway.public).await;
    socket
        .send(
            "GET /api/w/live HTTP/1.1\r\nHost: g\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert_eq!(wire::status(&socket.read_until("\r\n\r\n").await), 101);
    assert_eq!(origin.requests("/w/live"), 1);
}

#[tokio::test]
async fn redirects_lead_back_to_where_the_client_is() {
    const LOGIN: &str =
        "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /login?next=/a\r\nSet-Cookie: a=1; Path=/x\r\n\r\n";
    const CREATED: &str = "HTTP/1.1 201 Created\r\nContent-Length: 0\r\nLocation: http://g.example/things/1\r\n\r\n";
    const KNOWS: &str = "HTTP/1.1 301 Moved Permanently\r\nContent-Length: 0\r\nLocation: /api/login\r\n\r\n";
    const ELSEWHERE: &str = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: https://login.example/\r\n\r\n";
    const NO_PLACE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nLocation: /login\r\n\r\n";
    let gateway = Gateway::start("").await;
    let place = async |gateway: &Gateway| {
        let answer = Answer::of(gateway.anonymous(Method::GET, "/api/a").header("host", "g.example")).await;
        answer.header("location").to_owned()
    };
    for (answer, expected) in [
        (LOGIN, "/api/login?next=/a"),
        (CREATED, "http://g.example/api/things/1"),
        (KNOWS, "/api/login"),
        (ELSEWHERE, "https://login.example/"),
        (NO_PLACE, "/login"),
    ] {
        let origin = Scripted::start(answer, Then::Close).await;
        gateway.registered(&below_api(&origin.url(), json!({"incarnation": expected.replace('/', "-")}))).await;
        assert_eq!(place(&gateway).await, expected, "{answer}");
    }
    let origin = Scripted::start(LOGIN, Then::Close).await;
    gateway.registered(&below_api(&origin.url(), json!({"rewrite": {"strip": "/api", "redirects": false}}))).await;
    assert_eq!(place(&gateway).await, "/login?next=/a");
}

#[tokio::test]
async fn the_operator_says_which_host_a_service_is_asked_for_and_strips_static_routes() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let (url, own) = (origin.url(), origin.url().replace("http://", ""));
    let routes = format!("[[routes]]\nmethod = '*'\npath = '/old/*'\nurl = '{url}'\n");
    gateway.registered(&public_service("s", &origin.url(), "/s/*")).await;
    for (rule, host, path) in [
        ("rewrite = { strip = '/old', host = 'instance' }", own.as_str(), "/a"),
        ("rewrite = { host = 'Named.example' }", "named.example", "/old/a"),
        ("rewrite = { strip = '/old', host = 'client' }", "g.example:80", "/a"),
    ] {
        let reloaded = gateway.reloaded(&format!("{routes}[[rules]]\n{rule}\n")).await;
        let seen_there = seen(&gateway, "/old/a", "").await;
        assert_eq!((&seen_there["headers"]["host"], &seen_there["path"]), (&json!([host]), &json!(path)), "{rule}");
        assert_eq!(seen_there["headers"]["x-forwarded-host"], json!(["g.example:80"]));
        // A rule that strips holds for no route that begins otherwise, and says so.
        let skipped_rules = reloaded["skipped_rules"].as_array().unwrap();
        assert_eq!(skipped_rules.len(), usize::from(rule.contains("strip")), "{reloaded}");
        let expected = host;
        assert_eq!(seen(&gateway, "/s/a", "").await["headers"]["host"], json!([expected]));
    }
    let explained = gateway.operate(Method::GET, "/internal/explain?method=GET&url=/s/a");
    let explained = Answer::of(explained).await.ok();
    let warnings = explained["warnings"].as_array().unwrap();
    assert!(
        warnings.iter().any(|one| one.as_str().unwrap().contains("does not begin with what it strips")),
        "{explained}"
    );
    let explained = Answer::of(gateway.operate(Method::GET, "/internal/explain?method=GET&url=/old/a")).await.ok();
    assert_eq!(explained["options"][0]["value"], "strips /old");
    // What a rule says beside a strip that does not fit applies all the same.
    gateway.reloaded("[[rules]]\nservice = 's'\nrewrite = { strip = '/old', host = 'instance' }\n").await;
    let seen_there = seen(&gateway, "/s/a", "").await;
    assert_eq!((&seen_there["headers"]["host"], &seen_there["path"]), (&json!([own]), &json!("/s/a")));
    // A host alone leaves what the service says of paths.
    gateway.registered(&with(public_service("s", &origin.url(), "/s/*"), json!({"rewrite": {"strip": "/s"}}))).await;
    gateway.reloaded("[[rules]]\nrewrite.host = 'instance'\n").await;
    let seen_there = seen(&gateway, "/s/a", "").await;
    assert_eq!((&seen_there["headers"]["host"], &seen_there["path"]), (&json!([own]), &json!("/a")));
}

#[tokio::test]
async fn what_cannot_be_stripped_is_refused_with_the_route_that_it_is_about() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let route = |path: &str, more: Value| with(json!({"method": "GET", "path": path}), more);
    for (rewrite, routes, pointers) in [
        (
            json!({"strip": "/api"}),
            json!([route("/api/*", json!({})), route("/apix", json!({}))]),
            vec!["/routes/1/path"],
        ),
        (
            json!({"strip": "/api"}),
            json!([route("/*", json!({})), route("/x", json!({"rewrite": null}))]),
            vec!["/routes/0/path"],
        ),
        (json!({"add": "/x"}), json!([route("/a/*", json!({"rewrite": {"strip": "/b"}}))]), vec!["/routes/0/path"]),
        (json!({"strip": "/api"}), json!([]), vec!["/rewrite/strip"]),
        (
            json!({}),
            json!([route("/a", json!({"rewrite": {"redirects": false}}))]),
            vec!["/rewrite", "/routes/0/rewrite"],
        ),
        (json!({"add": "/a<b"}), json!([route("/a", json!({}))]), vec!["/rewrite/add"]),
        (
            json!({"strip": "/", "add": "x", "redirects": 1, "host": "a.example", "regex": "."}),
            json!([route("/a", json!({"rewrite": 1}))]),
            vec![
                "/rewrite/add",
                "/rewrite/host",
                "/rewrite/redirects",
                "/rewrite/regex",
                "/rewrite/strip",
                "/routes/0/rewrite",
            ],
        ),
    ] {
        let body = with(public_service("s", &origin.url(), "/s"), json!({"rewrite": rewrite, "routes": routes}));
        assert_eq!(gateway.register(&body).await.invalid_fields(), pointers, "{body}");
    }
    gateway.configure("[[rules]]\nrewrite = { strip = '/a/', add = '/*', redirects = 1, host = 'a b', regex = 1 }\n");
    let told = gateway.reload().await.problem(422, "invalid-config");
    assert_eq!(told["errors"].as_array().unwrap().len(), 5, "{told}");
}
