//! The internal listener: every answer to a registration, and what services and operators may do with what is there.

use std::net::IpAddr;
use std::time::Duration;

use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::{
    ADMIN, Answer, Gateway, Origin, READER, SOON, eventually, public_service, sagjan, throughout, wire, with,
};

const REGISTER: &str = "/internal/register-service";
/// A url within `registration.upstreams` where nothing needs to listen.
const SOMEWHERE: &str = "http://127.0.0.1:9";

async fn post(gateway: &Gateway, body: impl Into<reqwest::Body>) -> Answer {
    let request = gateway.operate(Method::POST, REGISTER).header("content-type", "application/json");
    Answer::of(request.body(body)).await
}

fn one_route(service: &str, method: &str, path: &str) -> Value {
    json!({
        "service": service, "url": SOMEWHERE, "health_endpoint": null,
        "routes": [{"method": method, "path": path, "permission": "comments:read"}]
    })
}

/// A request to the internal listener from `source`, one of the many addresses of the loopback interface.
fn from(source: &str, gateway: &Gateway, method: Method, path: &str) -> reqwest::RequestBuilder {
    let source: IpAddr = source.parse().unwrap();
    client_from(Some(source)).request(method, gateway.internal_url(path))
}

async fn generation(gateway: &Gateway) -> u64 {
    gateway.seen("/internal/services").await["generation"].as_u64().unwrap()
}

// Bad input: 400, 413, 415, 422.

#[tokio::test]
async fn what_is_no_json_gets_400_with_line_and_column() {
    let gateway = Gateway::start("").await;
    for body in ["", "{\n  \"service\": sagjan\n}", "{\"service\":", "[1,2", "\u{feff}{}x"] {
        let problem = post(&gateway, body).await.problem(400, "not-json");
        let detail = problem["detail"].as_str().unwrap_or_default();
        assert!(detail.contains("line") && detail.contains("column"), "{body:?}: {problem}");
    }
    let problem = post(&gateway, "{\n  \"service\": sagjan\n}").await.problem(400, "not-json");
    assert!(problem["detail"].as_str().unwrap().contains("line 2"), "{problem}");
}

#[tokio::test]
async fn a_field_that_is_there_twice_gets_400() {
    let gateway = Gateway::start("").await;
    let body = r#"{"service": "a", "url": "http://127.0.0.1:9", "health_endpoint": null,
                   "routes": [{"method": "GET", "path": "/a", "permission": "a:b", "permission": "c:d"}]}"#;
    let detail = post(&gateway, body).await.problem(400, "not-json")["detail"].to_string();
    assert!(detail.contains("permission") && detail.contains("line 2"), "{detail}");
    assert!(gateway.service("a").await.is_none());
}

#[tokio::test]
async fn deeply_nested_json_gets_an_error_and_not_a_crash() {
    let gateway = Gateway::start("").await;
    let answer = post(&gateway, "[".repeat(60_000)).await;
    assert!([400, 422].contains(&answer.status.as_u16()), "{answer:?}");
    assert_eq!(gateway.seen("/internal/services").await["services"], json!([]));
}

#[tokio::test]
async fn a_body_over_64_kib_gets_413_with_and_without_a_length() {
    let gateway = Gateway::start("").await;
    let huge = format!("{{\"service\": \"{}\"}}", "a".repeat(65_536));
    post(&gateway, huge.clone()).await.problem(413, "too-large");
    let pieces = futures_util::stream::iter([Ok::<_, std::io::Error>(huge.into_bytes())]);
    post(&gateway, reqwest::Body::wrap_stream(pieces)).await.problem(413, "too-large");
}

#[tokio::test]
async fn another_type_than_json_gets_415() {
    let gateway = Gateway::start("").await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/jsonp"] {
        let request = gateway.operate(Method::POST, REGISTER).header("content-type", content_type);
        Answer::of(request.body(sagjan(SOMEWHERE).to_string())).await.problem(415, "wrong-type");
    }
    let without = gateway.operate(Method::POST, REGISTER).body(sagjan(SOMEWHERE).to_string());
    Answer::of(without).await.problem(415, "wrong-type");
    let charset = gateway.operate(Method::POST, REGISTER).header("content-type", "application/json; charset=utf-8");
    Answer::of(charset.body(sagjan(SOMEWHERE).to_string())).await.ok();
}

#[tokio::test]
async fn every_bad_field_is_named_at_once() {
    let gateway = Gateway::start("").await;
    let body = json!({
        "service": "Not A Name",
        "url": "ftp://127.0.0.1",
        "health_endpoint": "health",
        "weight": 0,
        "colour": "blue",
        "routes": [
            {"method": "GET", "path": "/ok"},
            {"method": "G E T", "path": "relative"},
            {"method": "GET", "path": "/a*b", "permission": ""}
        ]
    });
    let pointers = gateway.register(&body).await.invalid_fields();
    for pointer in [
        "/service",
        "/url",
        "/health_endpoint",
        "/weight",
        "/colour",
        "/routes/1/method",
        "/routes/1/path",
        "/routes/2/path",
        "/routes/2/permission",
    ] {
        assert!(pointers.iter().any(|found| found == pointer), "{pointer} is not in {pointers:?}");
    }
    assert!(!pointers.iter().any(|found| found.starts_with("/routes/0")), "{pointers:?}");
    assert_eq!(gateway.service("sagjan").await, None, "nothing was taken");
}

#[tokio::test]
async fn one_bad_field_is_named_by_its_pointer() {
    let gateway = Gateway::start("").await;
    let cases = [
        (json!({"service": ""}), "/service"),
        (json!({"service": "a".repeat(64)}), "/service"),
        (json!({"service": 7}), "/service"),
        (json!({"routes": "GET /a"}), "/routes"),
        (json!({"routes": [{"method": "GET"}]}), "/routes/0/path"),
        (json!({"routes": [{"method": "GET", "path": "/a", "verb": "x"}]}), "/routes/0/verb"),
        (json!({"routes": [{"method": "GET", "path": "/a//b"}]}), "/routes/0/path"),
        (json!({"routes": [{"method": "GET", "path": "/a/../b"}]}), "/routes/0/path"),
        (json!({"routes": [{"method": "GET", "path": "/a"}, {"method": "GET", "path": "/a"}]}), "/routes/1"),
        (json!({"url": "http://127.0.0.1:9/base"}), "/url"),
        (json!({"url": "http://user:secret@127.0.0.1:9"}), "/url"),
        (json!({"url": "http://no-such-host.invalid:9"}), "/url"),
        (json!({"url": "http://169.254.169.254"}), "/url"),
        (json!({"url": "http://[::ffff:169.254.169.254]"}), "/url"),
        (json!({"url": "https://127.0.0.1:9"}), "/tls_name"),
        (json!({"instance": "a b"}), "/instance"),
        (json!({"protocol": "http3"}), "/protocol"),
        (json!({"heartbeat_ttl": 0}), "/heartbeat_ttl"),
        (json!({"heartbeat_ttl": -1}), "/heartbeat_ttl"),
        (json!({"weight": 256}), "/weight"),
        (json!({"country": "Germany"}), "/country"),
        (json!({"metadata": {"text": "x".repeat(5000)}}), "/metadata"),
        (json!({"revision": "one"}), "/revision"),
        (json!({"policy": "fastest"}), "/policy"),
    ];
    for (change, pointer) in cases {
        let body = with(sagjan(SOMEWHERE), change.clone());
        let pointers = gateway.register(&body).await.invalid_fields();
        let found = pointers.iter().any(|found| found == pointer || found.starts_with(&format!("{pointer}/")));
        assert!(found && pointers.len() == 1, "{change}: {pointers:?}");
    }
}

#[tokio::test]
async fn an_address_outside_of_the_upstreams_is_beyond_any_grant() {
    let gateway = Gateway::start("").await;
    let refused =
        gateway.register(&with(sagjan(SOMEWHERE), json!({"url": "http://8.8.8.8"}))).await.problem(403, "beyond-grant");
    assert!(refused["detail"].as_str().unwrap().contains("8.8.8.8"), "{refused}");
}

#[tokio::test]
async fn a_missing_field_is_named() {
    let gateway = Gateway::start("").await;
    assert_eq!(gateway.register(&json!({})).await.invalid_fields(), ["/service", "/url"]);
    for body in [json!([]), json!("sagjan"), json!(null)] {
        gateway.register(&body).await.problem(422, "invalid-fields");
    }
}

#[tokio::test]
async fn more_than_256_routes_are_refused_and_256_are_taken() {
    let gateway = Gateway::start("").await;
    let routes = |count: usize| -> Value {
        (0..count).map(|number| json!({"method": "GET", "path": format!("/r/{number}")})).collect()
    };
    let pointers = gateway.register(&with(sagjan(SOMEWHERE), json!({"routes": routes(257)}))).await.invalid_fields();
    assert_eq!(pointers, ["/routes"]);
    let answer = gateway.registered(&with(sagjan(SOMEWHERE), json!({"routes": routes(256)}))).await;
    assert_eq!(answer["routes"], 256);
}

#[tokio::test]
async fn furt_itself_cannot_be_registered() {
    let gateway = Gateway::start("").await;
    for address in [gateway.public, gateway.internal] {
        let body = sagjan(&format!("http://{address}"));
        assert_eq!(gateway.register(&body).await.invalid_fields(), ["/url"]);
        let by_name = sagjan(&format!("http://localhost:{}", address.port()));
        assert_eq!(gateway.register(&by_name).await.invalid_fields(), ["/url"]);
    }
}

// Conflicts: 409.

#[tokio::test]
async fn another_services_route_is_taken_and_the_answer_names_the_rival() {
    let gateway = Gateway::start("").await;
    gateway.registered(&one_route("first", "GET", "/a/*/c")).await;
    let problem = gateway.register(&one_route("second", "GET", "/a/*/c")).await.problem(409, "taken");
    assert_eq!(problem["rival"], json!({"service": "first", "status": "UP"}));
    assert_eq!(gateway.service("second").await, None, "what is refused changes nothing");
    for (method, path) in [("POST", "/a/*/c"), ("*", "/a/*/c"), ("GET", "/a/b/c"), ("GET", "/a/*/*")] {
        gateway.registered(&one_route("second", method, path)).await;
    }
}

#[tokio::test]
async fn a_down_rival_keeps_its_routes() {
    let (gateway, mut origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    origin.stop().await;
    gateway.status_becomes("sagjan", "DOWN").await;
    let problem = gateway.register(&one_route("second", "GET", "/api/comments/*")).await.problem(409, "taken");
    assert_eq!(problem["rival"], json!({"service": "sagjan", "status": "DOWN"}));
}

#[tokio::test]
async fn of_two_registrations_of_a_route_at_once_exactly_one_is_taken() {
    let gateway = Gateway::start("").await;
    for round in 0..10 {
        let path = format!("/race/{round}");
        let (one, other) =
            (one_route(&format!("one-{round}"), "GET", &path), one_route(&format!("two-{round}"), "GET", &path));
        let (one, other) = tokio::join!(gateway.register(&one), gateway.register(&other));
        let mut statuses = [one.status.as_u16(), other.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409]);
    }
}

#[tokio::test]
async fn an_instance_id_belongs_to_one_service() {
    let gateway = Gateway::start("").await;
    gateway.registered(&with(one_route("first", "GET", "/a"), json!({"instance": "i-1"}))).await;
    let problem = gateway
        .register(&with(one_route("second", "GET", "/b"), json!({"instance": "i-1"})))
        .await
        .problem(409, "taken");
    assert_eq!(problem["rival"]["service"], "first");
}

#[tokio::test]
async fn reserved_paths_cannot_be_registered() {
    let gateway = Gateway::start("").await;
    for path in ["/health", "/internal", "/internal/*", "/internal/services"] {
        gateway.register(&one_route("taker", "GET", path)).await.problem(409, "taken");
    }
}

#[tokio::test]
async fn an_exclusive_static_route_cannot_be_overlapped_and_an_open_one_can() {
    let tail = "
        [[routes]]
        method = 'POST'
        path = '/v1/mail/send'
        url = 'http://127.0.0.1:9'
        permission = 'mail:send'
        [[routes]]
        method = '*'
        path = '/open/*'
        url = 'http://127.0.0.1:9'
    ";
    let gateway = Gateway::start(tail).await;
    for path in ["/v1/mail/send", "/v1/*/send", "/v1/*"] {
        let problem = gateway.register(&one_route("taker", "POST", path)).await.problem(409, "taken");
        let detail = problem["detail"].as_str().unwrap();
        let overlaps =
            "overlaps the static route POST /v1/mail/send, which is exclusive; `exclusive = false` in its [[routes]]";
        let told = if path == "/v1/mail/send" { "the static route POST /v1/mail/send holds it" } else { overlaps };
        assert!(detail.contains(told), "{detail}");
        let on_a_host = with(one_route("taker", "POST", path), json!({"host": "mail.example"}));
        gateway.register(&on_a_host).await.problem(409, "taken");
    }
    gateway.registered(&one_route("other-method", "GET", "/v1/mail/send")).await;
    gateway.registered(&one_route("below", "GET", "/open/a")).await;
}

// Who may: 401, 403, 429.

#[tokio::test]
async fn only_listed_addresses_may_register() {
    let gateway = Gateway::start("[gateway]\nallow_registration_from = ['127.0.0.1']").await;
    let body = sagjan(SOMEWHERE);
    let answer = Answer::of(from("127.0.0.2", &gateway, Method::POST, REGISTER).json(&body)).await;
    answer.problem(403, "address-not-allowed");
    // The address is checked before everything that the body could tell.
    let garbage = from("127.0.0.2", &gateway, Method::POST, REGISTER).body("garbage");
    Answer::of(garbage).await.problem(403, "address-not-allowed");
    gateway.registered(&body).await;
}

#[tokio::test]
async fn a_client_cannot_lend_itself_another_address() {
    let gateway = Gateway::start("[gateway]\nallow_registration_from = ['127.0.0.1']").await;
    let request = from("127.0.0.2", &gateway, Method::POST, REGISTER)
        .header("x-forwarded-for", "127.0.0.1")
        .header("forwarded", "for=127.0.0.1")
        .json(&sagjan(SOMEWHERE));
    Answer::of(request).await.problem(403, "address-not-allowed");
}

#[tokio::test]
async fn services_may_register_but_not_operate() {
    let tail = "
        [internal]
        operators_from = ['127.0.0.1']
        [gateway]
        allow_registration_from = ['127.0.0.1', '127.0.0.2']
    ";
    let gateway = Gateway::start(tail).await;
    let service = "127.0.0.2";
    Answer::of(from(service, &gateway, Method::POST, REGISTER).json(&sagjan(SOMEWHERE))).await.ok();
    let beat = "/internal/services/sagjan/instances/sagjan/heartbeat";
    Answer::of(from(service, &gateway, Method::POST, beat)).await.ok();
    for path in [
        "/internal/services",
        "/internal/services/sagjan",
        "/internal/routes",
        "/internal/explain?method=GET&url=/api/comments/a",
        "/internal/stats",
        "/metrics",
    ] {
        Answer::of(from(service, &gateway, Method::GET, path)).await.problem(403, "operators-only");
        assert_eq!(Answer::of(gateway.operate(Method::GET, path)).await.status, 200, "{path}");
    }
    let probe = "/internal/services/sagjan/instances/sagjan/probe";
    Answer::of(from(service, &gateway, Method::POST, probe)).await.problem(403, "operators-only");
    for path in ["/livez", "/readyz"] {
        assert_eq!(Answer::of(from("127.0.0.3", &gateway, Method::GET, path)).await.status, 200, "{path}");
    }
    let own = from(service, &gateway, Method::DELETE, "/internal/services/sagjan");
    assert!(Answer::of(own).await.status.is_success(), "its own service it may remove");
}

#[tokio::test]
async fn where_an_operator_token_is_set_an_address_is_not_enough() {
    let digest = Sha256Digest::of(b"operator-token");
    let gateway = Gateway::start(&format!("[internal]\noperator_token_sha256 = '{digest}'")).await;
    let list = || gateway.operate(Method::GET, "/internal/services");
    Answer::of(list()).await.problem(403, "operators-only");
    Answer::of(list().bearer_auth("wrong")).await.problem(403, "operators-only");
    Answer::of(list().bearer_auth("operator-token")).await.ok();
    gateway.registered(&sagjan(SOMEWHERE)).await;
}

#[tokio::test]
async fn a_service_registers_only_within_its_grant() {
    let tail = "
        [[grants]]
        service = 'sagjan'
        permissions = ['comments:*']
        paths = ['/api/comments/*']
        upstreams = ['127.0.0.1/32']
    ";
    let gateway = Gateway::start(tail).await;
    gateway.registered(&sagjan(SOMEWHERE)).await;
    let route =
        |path: &str, permission: Value| json!({"routes": [{"method": "GET", "path": path, "permission": permission}]});
    let cases = [
        (route("/api/comments/a", json!("mail:send")), "mail:send"),
        (route("/api/*", json!("comments:read")), "/api/*"),
        (route("/api/users/a", json!("comments:read")), "/api/users/a"),
        (json!({"host": "shop.example"}), "shop.example"),
        (json!({"url": "http://127.0.0.9:9"}), "127.0.0.9"),
        (json!({"routes": [{"method": "GET", "path": "/api/comments/a"}]}), "/api/comments/a"),
    ];
    for (change, named) in cases {
        let problem = gateway.register(&with(sagjan(SOMEWHERE), change.clone())).await.problem(403, "beyond-grant");
        assert!(problem["detail"].as_str().unwrap_or_default().contains(named), "{change}: {problem}");
    }
    assert_eq!(gateway.service("sagjan").await.unwrap()["routes"].as_array().unwrap().len(), 4, "nothing changed");
}

#[tokio::test]
async fn a_grant_with_a_token_wants_the_token() {
    let digest = Sha256Digest::of(b"sagjan-token");
    let tail =
        format!("[[grants]]\nservice = 'sagjan'\npermissions = ['*']\npaths = ['/*']\ntoken_sha256 = '{digest}'");
    let gateway = Gateway::start(&tail).await;
    let body = sagjan(SOMEWHERE);
    let register = || gateway.operate(Method::POST, REGISTER).json(&body);
    for request in [register(), register().bearer_auth("wrong")] {
        let answer = Answer::of(request).await;
        answer.problem(401, "token-missing");
        assert!(!answer.header("www-authenticate").is_empty());
    }
    Answer::of(register().bearer_auth("sagjan-token")).await.ok();
}

#[tokio::test]
async fn services_without_a_grant_may_do_what_the_configuration_says() {
    let deny = Gateway::start("[registration]\nunlisted = 'deny'").await;
    deny.register(&sagjan(SOMEWHERE)).await.problem(403, "beyond-grant");
    for unlisted in ["allow", "loopback"] {
        let gateway = Gateway::start(&format!("[registration]\nunlisted = '{unlisted}'")).await;
        gateway.registered(&sagjan(SOMEWHERE)).await;
    }
}

#[tokio::test]
async fn registrations_are_limited_by_address_and_identical_ones_and_heartbeats_are_not_counted() {
    let gateway = Gateway::start("[registration]\nrate = '1/m'\nburst = 2").await;
    gateway.registered(&one_route("one", "GET", "/one")).await;
    gateway.registered(&one_route("two", "GET", "/two")).await;
    let refused = gateway.register(&one_route("three", "GET", "/three")).await;
    refused.problem(429, "rate-limited");
    assert!((1..=60).contains(&refused.retry_after()));
    for _ in 0..5 {
        gateway.heartbeat("one", "one").await.ok();
    }
    let other = from("127.0.0.2", &gateway, Method::POST, REGISTER).json(&one_route("four", "GET", "/four"));
    Answer::of(other).await.ok();
}

#[tokio::test]
async fn identical_registrations_do_not_spend_the_rate() {
    let gateway = Gateway::start("[registration]\nrate = '1/m'\nburst = 3").await;
    for _ in 0..20 {
        gateway.registered(&one_route("one", "GET", "/one")).await;
    }
    gateway.registered(&one_route("two", "GET", "/two")).await;
}

#[tokio::test]
async fn an_identical_registration_is_never_refused_by_the_rate() {
    let gateway = Gateway::start("[registration]\nrate = '1/m'\nburst = 3").await;
    let joining = json!({"service": "one", "instance": "one-2", "url": "http://127.0.0.1:10", "health_endpoint": null});
    let bodies =
        [with(one_route("one", "GET", "/one"), json!({ "revision": 2 })), one_route("two", "GET", "/two"), joining];
    for body in &bodies {
        gateway.registered(body).await;
    }
    gateway.register(&one_route("three", "GET", "/three")).await.problem(429, "rate-limited");
    let again = bodies.iter().cycle().take(60).map(|body| gateway.register(body));
    for answer in futures_util::future::join_all(again).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    // An older revision adds its instance and leaves the definition, so it changes nothing either.
    gateway.registered(&with(one_route("one", "GET", "/older"), json!({ "revision": 1 }))).await;
    for changed in [
        with(bodies[1].clone(), json!({ "weight": 2 })),
        with(bodies[1].clone(), json!({ "routes": [{"method": "GET", "path": "/else"}] })),
        with(bodies[2].clone(), json!({ "url": "http://127.0.0.1:11" })),
        json!({ "service": "Two" }),
    ] {
        gateway.register(&changed).await.problem(429, "rate-limited");
    }
}

#[tokio::test]
async fn a_foreign_host_is_refused_on_the_internal_listener() {
    let gateway = Gateway::start("[internal]\nhosts = ['furt.corp.example']").await;
    let port = gateway.internal.port();
    let listed = |host: String| gateway.operate(Method::GET, "/internal/services").header("host", host);
    for host in ["evil.example".to_owned(), format!("evil.example:{port}"), "localhost.evil.example".to_owned()] {
        Answer::of(listed(host)).await.problem(403, "foreign-host");
    }
    for host in
        [format!("127.0.0.1:{port}"), "localhost".to_owned(), format!("furt.corp.example:{port}"), "[::1]".to_owned()]
    {
        Answer::of(listed(host)).await.ok();
    }
}

#[tokio::test]
async fn a_writing_request_with_a_foreign_origin_is_refused() {
    let gateway = Gateway::start("").await;
    let register =
        |origin: &str| gateway.operate(Method::POST, REGISTER).header("origin", origin).json(&sagjan(SOMEWHERE));
    for origin in ["http://evil.example", "null"] {
        Answer::of(register(origin)).await.problem(403, "foreign-origin");
    }
    Answer::of(register(&format!("http://{}", gateway.internal))).await.ok();
    Answer::of(gateway.operate(Method::GET, "/internal/services").header("origin", "http://evil.example")).await.ok();
    let remove = gateway.operate(Method::DELETE, "/internal/services/sagjan").header("origin", "http://evil.example");
    Answer::of(remove).await.problem(403, "foreign-origin");
}

#[tokio::test]
async fn a_gateway_that_is_not_enabled_takes_no_registrations_and_serves_static_routes() {
    let origin = Origin::start().await;
    let tail =
        format!("[gateway]\nenabled = false\n[[routes]]\nmethod = 'GET'\npath = '/static'\nurl = '{}'\n", origin.url());
    let gateway = Gateway::start(&tail).await;
    gateway.register(&sagjan(SOMEWHERE)).await.problem(403, "registration-off");
    assert_eq!(gateway.get("/static").await.status, 200);
}

// What a registration does.

#[tokio::test]
async fn an_identical_registration_changes_nothing_and_keeps_the_status() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let before = generation(&gateway).await;
    let again = gateway.registered(&sagjan(&origin.url())).await;
    assert_eq!(again["health"], "UP");
    assert_eq!(again["generation"], before);
    assert_eq!(generation(&gateway).await, before);
}

#[tokio::test]
async fn a_changed_registration_replaces_the_routes_at_once() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("sagjan", &origin.url(), "/old/*")).await;
    assert_eq!(gateway.get("/old/a").await.status, 200);
    gateway.registered(&public_service("sagjan", &origin.url(), "/new/*")).await;
    gateway.get("/old/a").await.problem(404, "route-not-found");
    assert_eq!(gateway.get("/new/a").await.status, 200);
}

#[tokio::test]
async fn a_lower_revision_adds_the_instance_and_keeps_the_definition() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let new = with(public_service("sagjan", &origin.url(), "/new/*"), json!({"instance": "a", "revision": 2}));
    let old = with(public_service("sagjan", SOMEWHERE, "/old/*"), json!({"instance": "b", "revision": 1}));
    gateway.registered(&new).await;
    gateway.registered(&old).await;
    let service = gateway.service("sagjan").await.unwrap();
    assert_eq!(service["instances"].as_array().unwrap().len(), 2);
    assert_eq!(service["routes"][0]["path"], "/new/*");
    gateway.get("/old/a").await.problem(404, "route-not-found");
}

#[tokio::test]
async fn a_service_without_a_health_endpoint_is_up_at_once() {
    let gateway = Gateway::start("").await;
    let answer = gateway.registered(&one_route("quiet", "GET", "/quiet")).await;
    assert_eq!(answer["health"], "UP");
}

#[tokio::test]
async fn a_service_may_name_another_health_endpoint() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&with(sagjan(&origin.url()), json!({"health_endpoint": "/ready?deep=1"}))).await;
    assert!(origin.requests("/ready") > 0);
    assert_eq!(origin.probes(), 0);
}

#[tokio::test]
async fn a_service_is_up_while_one_of_its_instances_is() {
    let gateway = Gateway::start("").await;
    let (mut one, mut two) = (Origin::named("one").await, Origin::named("two").await);
    for origin in [&one, &two] {
        let instance = if origin.address() == one.address() { "one" } else { "two" };
        gateway.registered(&with(sagjan(&origin.url()), json!({"instance": instance}))).await;
    }
    let statuses = async || -> Vec<String> {
        let service = gateway.service("sagjan").await.unwrap();
        let instances = service["instances"].as_array().unwrap().clone();
        instances.iter().map(|instance| instance["status"].as_str().unwrap().to_owned()).collect()
    };
    eventually("both UP", SOON, async || (statuses().await == ["UP", "UP"]).then_some(())).await;
    one.stop().await;
    eventually("one DOWN", SOON, async || (statuses().await == ["DOWN", "UP"]).then_some(())).await;
    assert_eq!(gateway.service("sagjan").await.unwrap()["status"], "UP");
    for _ in 0..5 {
        assert_eq!(gateway.get("/api/comments/a").await.ok()["origin"], "two");
    }
    two.stop().await;
    gateway.status_becomes("sagjan", "DOWN").await;
    gateway.get("/api/comments/a").await.problem(503, "service-down");
    one.restart().await;
    gateway.status_becomes("sagjan", "UP").await;
    assert_eq!(gateway.get("/api/comments/a").await.ok()["origin"], "one");
}

// Heartbeats and leaving.

#[tokio::test]
async fn an_instance_that_is_not_heard_in_time_is_deregistered_and_its_routes_are_held() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&with(sagjan(&origin.url()), json!({"heartbeat_ttl": 1}))).await;
    eventually("it expires", Duration::from_secs(4), async || {
        let service = gateway.service("sagjan").await;
        service.is_none_or(|service| service["instances"] == json!([])).then_some(())
    })
    .await;
    gateway.get("/api/comments/a").await.problem(503, "service-down");
    gateway.heartbeat("sagjan", "sagjan").await.problem(404, "not-found");
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    assert_eq!(gateway.get("/api/comments/a").await.status, 200);
}

#[tokio::test]
async fn heartbeats_keep_an_instance_and_carry_the_epoch() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let registered = gateway.registered(&with(sagjan(&origin.url()), json!({"heartbeat_ttl": 1}))).await;
    throughout("registered", Duration::from_secs(3), async || {
        let beat = gateway.heartbeat("sagjan", "sagjan").await;
        beat.status == 200 && beat.json()["epoch"] == registered["epoch"]
    })
    .await;
}

#[tokio::test]
async fn an_identical_registration_is_a_heartbeat() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    let body = with(sagjan(&origin.url()), json!({"heartbeat_ttl": 1}));
    gateway.registered_and_up(&body).await;
    // Any change, an expiry among them, would be a generation of its own.
    let generation = gateway.registered(&body).await["generation"].clone();
    assert!(generation.is_u64(), "{generation}");
    let since = gateway.instance("sagjan").await["since"].clone();
    throughout("registered and unchanged", Duration::from_secs(3), async || {
        let answer = gateway.registered(&body).await;
        let instance = gateway.instance("sagjan").await;
        answer["generation"] == generation && answer["health"] == "UP" && instance["since"] == since
    })
    .await;
    assert_eq!(gateway.seen("/internal/services").await["generation"], generation);
    eventually("it expires once it is silent", SOON, async || {
        gateway.service("sagjan").await.is_none_or(|service| service["instances"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_instance_that_never_heartbeats_and_names_no_ttl_stays() {
    let (gateway, origin) = (Gateway::start("[registration]\nheartbeat_ttl = 1").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    throughout("registered", Duration::from_secs(3), async || gateway.service("sagjan").await.is_some()).await;
    gateway.heartbeat("sagjan", "sagjan").await.ok();
    eventually("it expires once it has begun to heartbeat", Duration::from_secs(4), async || {
        gateway.service("sagjan").await.is_none_or(|service| service["instances"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn heartbeats_of_what_is_not_there_get_404() {
    let gateway = Gateway::start("").await;
    gateway.heartbeat("sagjan", "sagjan").await.problem(404, "not-found");
    gateway.registered(&sagjan(SOMEWHERE)).await;
    gateway.heartbeat("sagjan", "other").await.problem(404, "not-found");
    gateway.heartbeat("other", "sagjan").await.problem(404, "not-found");
    gateway.heartbeat("sagjan", "sagjan").await.ok();
}

#[tokio::test]
async fn a_deregistered_service_is_gone_at_once_and_its_routes_are_free() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let remove = || gateway.operate(Method::DELETE, "/internal/services/sagjan");
    assert!(Answer::of(remove()).await.status.is_success());
    gateway.get("/api/comments/a").await.problem(404, "route-not-found");
    assert_eq!(gateway.service("sagjan").await, None);
    let probes = origin.probes();
    throughout("no probe any more", Duration::from_millis(600), async || origin.probes() <= probes + 1).await;
    gateway.registered(&one_route("heir", "GET", "/api/comments/*")).await;
    Answer::of(remove()).await.problem(404, "not-found");
}

#[tokio::test]
async fn deregistering_one_instance_leaves_the_others() {
    let gateway = Gateway::start("").await;
    let (one, two) = (Origin::named("one").await, Origin::named("two").await);
    for (origin, instance) in [(&one, "one"), (&two, "two")] {
        let body = with(public_service("pair", &origin.url(), "/pair"), json!({"instance": instance}));
        gateway.registered(&body).await;
    }
    let remove =
        |instance: &str| gateway.operate(Method::DELETE, &format!("/internal/services/pair/instances/{instance}"));
    assert!(Answer::of(remove("one")).await.status.is_success());
    for _ in 0..5 {
        assert_eq!(gateway.get("/pair").await.ok()["origin"], "two");
    }
    Answer::of(remove("one")).await.problem(404, "not-found");
    assert!(Answer::of(remove("two")).await.status.is_success());
    gateway.get("/pair").await.problem(404, "route-not-found");
}

#[tokio::test]
async fn a_deregistration_cuts_no_request() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("slow", &origin.url(), "/slow")).await;
    origin.set_mode(crate::support::Mode::Gated);
    let request = tokio::spawn(Answer::of(gateway.anonymous(Method::GET, "/slow")));
    eventually("the request arrives", SOON, async || (origin.requests("/slow") == 1).then_some(())).await;
    let removed = Answer::of(gateway.operate(Method::DELETE, "/internal/services/slow")).await;
    assert!(removed.status.is_success());
    gateway.get("/slow").await.problem(404, "route-not-found");
    origin.release();
    request.await.unwrap().ok();
}

// What operators see.

#[tokio::test]
async fn the_listing_shows_services_routes_and_instances() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let listed = gateway.seen("/internal/services").await;
    assert!(listed["generation"].is_u64() && listed["epoch"].is_string(), "{listed}");
    let service = &listed["services"][0];
    assert_eq!(service["service"], "sagjan");
    assert_eq!(service["status"], "UP");
    assert!(service["since"].as_str().is_some_and(|since| since.ends_with('Z')), "{service}");
    let route = service["routes"].as_array().unwrap().iter().find(|route| route["method"] == "POST").unwrap();
    assert_eq!(route["path"], "/api/comments/*");
    assert_eq!(route["permission"], "comments:write");
    assert_eq!(route["routed"], true);
    let instance = &service["instances"][0];
    assert_eq!(instance["instance"], "sagjan");
    assert_eq!(instance["url"].as_str().unwrap().trim_end_matches('/'), origin.url());
    assert_eq!(instance["status"], "UP");
    assert_eq!(instance["consecutive_failures"], 0);
    assert_eq!(instance["probing"], true);
    assert!(instance["last_ping"].as_str().is_some_and(|at| at.ends_with('Z')), "{instance}");
    assert_eq!(gateway.service("sagjan").await.unwrap()["instances"][0]["instance"], "sagjan");
    let missing = Answer::of(gateway.operate(Method::GET, "/internal/services/nobody")).await;
    missing.problem(404, "not-found");
}

#[tokio::test]
async fn the_routes_show_where_each_leads() {
    let gateway = Gateway::start("[[routes]]\nmethod = 'GET'\npath = '/static'\nurl = 'http://127.0.0.1:9'").await;
    gateway.registered(&with(one_route("hosted", "PUT", "/a/*"), json!({"host": "shop.example"}))).await;
    let listed = gateway.seen("/internal/routes").await;
    assert_eq!(listed["total"], 2);
    let routes = listed["routes"].as_array().unwrap();
    let find = |path: &str| routes.iter().find(|route| route["path"] == path).unwrap_or_else(|| panic!("{listed}"));
    assert_eq!(find("/a/*")["method"], "PUT");
    assert_eq!(find("/a/*")["host"], "shop.example");
    assert_eq!(find("/a/*")["service"], "hosted");
    assert_eq!(find("/a/*")["permission"], "comments:read");
    assert_eq!(find("/a/*")["routed"], true);
    assert_eq!(find("/static")["static"], true);
    assert_eq!(find("/static")["url"], "http://127.0.0.1:9");
}

#[tokio::test]
async fn explain_says_which_route_wins_and_why_the_others_lost() {
    let gateway = Gateway::start("").await;
    gateway.registered(&one_route("wide", "*", "/api/*")).await;
    gateway.registered(&one_route("narrow", "GET", "/api/comments/*")).await;
    let explained = gateway.seen("/internal/explain?method=GET&url=/api/comments/a").await;
    assert_eq!(explained["path"], "/api/comments/a");
    assert!(explained["verdict"].is_string() && !explained["route"].is_null(), "{explained}");
    let candidates = explained["candidates"].as_array().unwrap();
    let of = |service: &str| candidates.iter().find(|candidate| candidate["service"] == service).unwrap();
    assert_eq!(of("narrow")["won"], true);
    assert_eq!(of("wide")["won"], false);
    assert!(of("wide")["reason"].as_str().is_some_and(|reason| !reason.is_empty()), "{explained}");

    let whole_url =
        gateway.seen("/internal/explain?method=POST&url=http%3A%2F%2Fshop.example%2Fapi%2Fcomments%2Fa").await;
    let winner = whole_url["candidates"].as_array().unwrap().iter().find(|candidate| candidate["won"] == true).unwrap();
    assert_eq!(winner["service"], "wide", "the narrow one has no POST");
    let nothing = gateway.seen("/internal/explain?method=GET&url=/nowhere").await;
    assert!(nothing["route"].is_null(), "{nothing}");
}

#[tokio::test]
async fn what_the_internal_listener_does_not_know_is_a_404() {
    let gateway = Gateway::start("").await;
    for path in ["/nothing", "/internal", "/internal/nothing"] {
        Answer::of(gateway.operate(Method::GET, path)).await.problem(404, "not-found");
    }
    let wrong_method = Answer::of(gateway.operate(Method::PUT, REGISTER)).await;
    assert_eq!(wrong_method.status, 405, "{wrong_method:?}");
}

#[tokio::test]
async fn the_internal_listener_is_not_reached_through_the_public_one() {
    let gateway = Gateway::start("").await;
    gateway.registered(&public_service("wide", SOMEWHERE, "/*")).await;
    for path in ["/internal", "/internal/services", "/internal/register-service", "/%69nternal/services"] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\nX-API-Key: {ADMIN}\r\nConnection: close\r\n\r\n");
        let answer = wire::exchange(gateway.public, request).await;
        assert_eq!(wire::status(&answer), 404, "{path}: {answer}");
    }
    let post = Answer::of(gateway.request(Method::POST, REGISTER, READER).json(&sagjan(SOMEWHERE))).await;
    post.problem(404, "route-not-found");
}

#[tokio::test]
async fn clients_that_send_nothing_or_half_a_body_do_not_hold_up_registrations() {
    let gateway = Gateway::start("").await;
    let _silent = wire::Wire::to(gateway.internal).await;
    let mut half = wire::Wire::to(gateway.internal).await;
    half.send(format!("POST {REGISTER} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{")).await;
    gateway.registered(&sagjan(SOMEWHERE)).await;
}

#[tokio::test]
async fn every_refusal_is_logged_and_counted_once() {
    let tail = "
        [internal]
        operators_from = ['127.0.0.1']
        [gateway]
        allow_registration_from = ['127.0.0.1']
        [[grants]]
        service = 'granted'
        paths = ['/granted/*']
    ";
    let gateway = Gateway::start(tail).await;
    let register = || gateway.operate(Method::POST, "/internal/register-service");
    let stranger = client_from(Some([127, 0, 0, 9].into())).post(gateway.internal_url("/internal/register-service"));
    let json = |body: String| register().header("content-type", "application/json").body(body);
    let heartbeat = gateway.operate(Method::POST, "/internal/services/a/instances/a/heartbeat");
    let probe =
        client_from(Some([127, 0, 0, 9].into())).post(gateway.internal_url("/internal/services/a/instances/a/probe"));
    let cases = [
        (stranger.json(&sagjan(SOMEWHERE)), 403, "POST /internal/register-service from 127.0.0.9: address-not-allowed"),
        (register().header("host", "evil.example"), 403, "register-service from 127.0.0.1: foreign-host"),
        (register().header("origin", "http://evil.example"), 403, "register-service from 127.0.0.1: foreign-origin"),
        (json("{".to_owned()), 400, "register-service from 127.0.0.1: not-json"),
        (json("x".repeat(70_000)), 413, "register-service from 127.0.0.1: too-large"),
        (register().body("{}"), 415, "register-service from 127.0.0.1: wrong-type"),
        (json("{}".to_owned()), 422, "register-service from 127.0.0.1: invalid-fields"),
        (json(one_route("granted", "GET", "/other").to_string()), 403, "refused granted from 127.0.0.1: "),
        (heartbeat, 404, "refused a from 127.0.0.1: "),
        (probe, 403, "/probe from 127.0.0.9: operators-only"),
    ];
    for (at, (request, status, line)) in cases.into_iter().enumerate() {
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{line}: {answer:?}");
        let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
        let counted = metrics.lines().find_map(|line| line.strip_prefix("furt_refusals_total ")).unwrap();
        assert_eq!(counted, (at + 1).to_string(), "after {line}");
        let log = gateway.log();
        assert_eq!(log.lines().filter(|logged| logged.contains("refused ")).count(), at + 1, "after {line}");
        assert_eq!(log.lines().filter(|logged| logged.contains(line)).count(), 1, "{line}");
    }
    // Who only looks, or asks for what is not there, was refused nothing of the registry's.
    Answer::of(gateway.operate(Method::POST, "/internal/nothing")).await.problem(404, "not-found");
    Answer::of(gateway.operate(Method::GET, "/internal/register-service")).await.problem(405, "method-not-allowed");
    let metrics = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    assert!(metrics.contains("\nfurt_refusals_total 10\n"), "{metrics}");
}
