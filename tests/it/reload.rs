//! Another configuration while furt runs: each family of keys changed and seen in force, what may not change named, a bad
//! file without effect, and no request that notices.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::client_from;
use crate::support::wire::{self, Wire};
use crate::support::{
    Answer, Gateway, Health, Mode, Origin, READER, SOON, eventually, ports, public_service, sagjan, throughout, with,
};

/// A key of this name for every permission.
fn key(name: &str) -> String {
    let digest = Sha256Digest::of(name.as_bytes());
    format!("[[api_keys]]\nname = '{name}'\nsha256 = '{digest}'\npermissions = ['*']\n")
}

fn static_route(path: &str, url: &str) -> String {
    format!("[[routes]]\nmethod = 'GET'\npath = '{path}'\nurl = '{url}'\n")
}

/// sagjan, never probed: on a busy machine an origin may well miss three probes.
fn unprobed(url: &str) -> Value {
    with(sagjan(url), json!({ "health_endpoint": null }))
}

/// The keys that a reload says it has changed.
fn changed(answer: &Value) -> Vec<&str> {
    answer["changed"].as_array().unwrap().iter().map(|key| key.as_str().unwrap()).collect()
}

async fn status(gateway: &Gateway, path: &str, key: &str) -> u16 {
    Answer::of(gateway.request(Method::GET, path, key)).await.status.as_u16()
}

/// The value of a metric without labels, or with these.
async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let text = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name}")).parse().unwrap()
}

#[tokio::test]
async fn keys_come_and_go_with_the_answer() {
    let (gateway, origin) = (Gateway::start(&key("one")).await, Origin::start().await);
    gateway.registered(&unprobed(&origin.url())).await;
    let path = "/api/comments/a";
    assert_eq!((status(&gateway, path, "one").await, status(&gateway, path, "two").await), (200, 401));
    for _ in 0..10 {
        let answer = gateway.reloaded(&key("two")).await;
        assert_eq!(changed(&answer), ["api_keys"]);
        assert_eq!((status(&gateway, path, "one").await, status(&gateway, path, "two").await), (401, 200));
        gateway.reloaded(&key("one")).await;
        assert_eq!((status(&gateway, path, "one").await, status(&gateway, path, "two").await), (200, 401));
    }
    let narrow = key("one").replace("'*'", "'other:thing'");
    gateway.reloaded(&narrow).await;
    assert_eq!(status(&gateway, path, "one").await, 403);
    let elsewhere = key("one") + "allow_from = ['192.0.2.1']\n";
    gateway.reloaded(&elsewhere).await;
    Answer::of(gateway.request(Method::GET, path, "one")).await.problem(403, "address-not-allowed");
}

#[tokio::test]
async fn a_keys_rate_changes_and_what_was_used_up_stays_used_up() {
    let (gateway, origin) = (Gateway::start(&(key("one") + "rate = '1/m'\n")).await, Origin::start().await);
    gateway.registered(&unprobed(&origin.url())).await;
    let path = "/api/comments/a";
    assert_eq!((status(&gateway, path, "one").await, status(&gateway, path, "one").await), (200, 429));
    gateway.reloaded(&(key("one") + "rate = '1/m'\n" + &key("two"))).await;
    assert_eq!(status(&gateway, path, "one").await, 429);
    gateway.reloaded(&key("one")).await;
    for _ in 0..20 {
        assert_eq!(status(&gateway, path, "one").await, 200);
    }
}

#[tokio::test]
async fn a_static_route_wins_at_once_and_gives_back_at_once() {
    let (gateway, service) = (Gateway::start("").await, Origin::named("service").await);
    let fixed = Origin::named("static").await;
    gateway.registered(&unprobed(&service.url())).await;
    let origin = async |path| gateway.get(path).await.ok()["origin"].clone();
    let port = fixed.address().port();
    for url in [fixed.url(), format!("http://localhost:{port}")] {
        assert_eq!(origin("/api/comments/a").await, "service");
        let answer = gateway.reloaded(&static_route("/api/comments/a", &url)).await;
        assert_eq!(changed(&answer), ["routes"]);
        assert_eq!(answer["blocked"][0]["service"], "sagjan");
        let why = answer["blocked"][0]["why"].as_str().unwrap().to_owned();
        assert!(why.contains("static route GET /api/comments/a"), "{why}");
        // A name leads somewhere from the first request on.
        assert_eq!(origin("/api/comments/a").await, "static", "{url}");
        gateway.get("/api/comments/b").await.problem(404, "route-not-found");
        let shown = gateway.service("sagjan").await.unwrap();
        assert_eq!((&shown["blocked"], shown["routes"][0]["routed"].clone()), (&json!(why), json!(false)));
        assert!(gateway.log().contains("sagjan is kept but not routed"), "{}", gateway.log());
        assert!(gateway.seen("/internal/routes").await.to_string().contains("static"));
        let answer = gateway.reloaded("").await;
        assert_eq!(answer["blocked"], json!([]));
    }
    assert_eq!(origin("/api/comments/b").await, "service");
    assert!(gateway.log().contains("sagjan may stand again"), "{}", gateway.log());
}

#[tokio::test]
async fn a_grant_that_is_withdrawn_blocks_and_one_that_is_given_back_unblocks() {
    let grant = "[[grants]]\nservice = 'sagjan'\npermissions = ['comments:*']\npaths = ['/api/comments/*']\n";
    let (gateway, origin) = (Gateway::start(grant).await, Origin::start().await);
    gateway.registered(&unprobed(&origin.url())).await;
    assert_eq!(status(&gateway, "/api/comments/a", READER).await, 200);
    let narrow = grant.replace("comments:*", "comments:read");
    let answer = gateway.reloaded(&narrow).await;
    assert_eq!((changed(&answer), &answer["blocked"][0]["service"]), (vec!["grants"], &json!("sagjan")));
    gateway.get("/api/comments/a").await.problem(404, "route-not-found");
    gateway.register(&unprobed(&origin.url())).await.problem(403, "beyond-grant");
    assert_eq!(gateway.reloaded(grant).await["blocked"], json!([]));
    assert_eq!(status(&gateway, "/api/comments/a", READER).await, 200);
    let answer = gateway.reloaded("[registration]\nunlisted = 'deny'").await;
    assert_eq!(changed(&answer), ["registration.unlisted", "grants"]);
    assert_eq!(status(&gateway, "/api/comments/a", READER).await, 404);
    let answer = gateway.reloaded("[registration]\nupstreams = ['192.0.2.0/24']").await;
    assert!(answer["blocked"][0]["why"].as_str().unwrap().contains("registration.upstreams"), "{answer}");
}

#[tokio::test]
async fn timeouts_towards_clients_hold_for_the_next_request() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let mut idle = Wire::to(gateway.public).await;
    idle.send("GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    idle.read_response().await;
    let answer = gateway
        .reloaded(
            "[client]\nheader_timeout = '300ms'\nbody_timeout = '300ms'\nkeepalive_timeout = 1\nwrite_timeout = 5",
        )
        .await;
    assert_eq!(
        changed(&answer),
        ["client.header_timeout", "client.body_timeout", "client.keepalive_timeout", "client.write_timeout"]
    );
    for address in [gateway.public, gateway.internal] {
        let mut half = Wire::to(address).await;
        half.send("GET /s/a HTTP/1.1\r\nHo").await;
        half.read_to_end(Duration::from_secs(5)).await;
    }
    let slow = "POST /s/a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc";
    let mut body = Wire::to(gateway.public).await;
    body.send(slow).await;
    assert_eq!(wire::status(&body.read_to_end(Duration::from_secs(5)).await), 408);
    // The next request of a connection that was there before goes by the new ones as well.
    idle.send("GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n").await;
    idle.read_response().await;
    let began = Instant::now();
    idle.read_to_end(SOON).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn timeouts_and_retries_towards_instances_hold_for_the_next_request() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    origin.set_mode(Mode::Hangs);
    // What is under way has the time it began with.
    let before = tokio::spawn(Answer::try_of(gateway.anonymous(Method::GET, "/s/before")));
    eventually("it is under way", SOON, async || (origin.requests("/s/before") == 1).then_some(())).await;
    gateway.reloaded("[upstream]\nread_timeout = '300ms'").await;
    let began = Instant::now();
    Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.problem(504, "upstream-timeout");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    assert!(!before.is_finished());
    before.abort();
    // As long as it is in flight the others are chosen before its instance.
    let ended = async || (gateway.instance("service").await["in_flight"] == 0).then_some(());
    eventually("it has ended", SOON, ended).await;

    // Two instances that are not there and one that is.
    origin.set_mode(Mode::Echo);
    let dead = |id: &str| {
        let url = format!("http://{}", ports::free_address());
        with(public_service("service", &url, "/s/*"), json!({ "instance": id }))
    };
    let failures = async |tail: &str| {
        gateway.reloaded(tail).await;
        // Anew, at other ports: what failed five times in a row would be left out.
        gateway.registered(&dead("dead-1")).await;
        gateway.registered(&dead("dead-2")).await;
        let mut failed = 0;
        for _ in 0..12 {
            failed += usize::from(Answer::of(gateway.anonymous(Method::GET, "/s/a")).await.status != 200);
        }
        failed
    };
    assert_eq!(failures("[upstream]\nretries = 0").await, 8, "each in its turn, and no second one");
    assert_eq!(failures("[upstream]\nretries = 2").await, 0);
    assert!(failures("[upstream]\nretries = 1").await > 0);
    assert_eq!(failures("[upstream]\nretries = 10").await, 0);
}

#[tokio::test]
async fn the_rim_of_the_public_listener_changes() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let forwarded = async || {
        let request = gateway.anonymous(Method::GET, "/s/a").header("x-forwarded-for", "192.0.2.7");
        Answer::of(request).await.ok()["headers"]["x-forwarded-for"][0].clone()
    };
    assert_eq!(forwarded().await, "127.0.0.1");
    let answer = gateway.reloaded("[server]\ntrusted_proxies = ['127.0.0.1']\nmax_connections = 3").await;
    assert_eq!(changed(&answer), ["server.trusted_proxies", "server.max_connections"]);
    assert_eq!(forwarded().await, "192.0.2.7, 127.0.0.1");
    let mut kept = Vec::new();
    for _ in 0..3 {
        let mut wire = Wire::to(gateway.public).await;
        wire.send("GET /s/a HTTP/1.1\r\nHost: h\r\n\r\n").await;
        // The test's own client may have kept a connection too: then the last of these is refused already.
        wire.read_response().await;
        kept.push(wire);
    }
    let refused = wire::exchange(gateway.public, "GET /s/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire::status(&refused), 503, "{refused}");
    gateway.reloaded("").await;
    let taken = wire::exchange(gateway.public, "GET /s/a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n").await;
    assert_eq!(wire::status(&taken), 200, "{taken}");
}

#[tokio::test]
async fn who_operates_and_who_registers_changes() {
    let gateway = Gateway::start("").await;
    let digest = Sha256Digest::of(b"secret");
    let tail = format!("[internal]\noperator_token_sha256 = '{digest}'\nhosts = ['furt']\n");
    let host = |name: &str| gateway.operate(Method::GET, "/internal/services").header("host", name.to_owned());
    assert_eq!(Answer::of(host("furt")).await.status, 403);
    gateway.reloaded(&tail).await;
    gateway.reload().await.problem(403, "operators-only");
    let authorized = |request: reqwest::RequestBuilder| request.bearer_auth("secret");
    assert_eq!(Answer::of(authorized(host("furt"))).await.status, 200);
    gateway.configure("[internal]\noperators_from = ['127.0.0.2']\n[gateway]\nallow_registration_from = ['127.0.0.2']");
    Answer::of(authorized(gateway.operate(Method::POST, "/internal/reload"))).await.ok();
    gateway.reload().await.problem(403, "operators-only");
    gateway.register(&public_service("a", "http://127.0.0.1:9", "/a")).await.problem(403, "address-not-allowed");
    let other = client_from(Some([127, 0, 0, 2].into()));
    gateway.configure("[registration]\nrate = '1/m'\nburst = 2");
    Answer::of(other.post(gateway.internal_url("/internal/reload"))).await.ok();
    for (service, expected) in [("a", 200), ("b", 200), ("c", 429)] {
        let body = public_service(service, "http://127.0.0.1:9", &format!("/{service}"));
        assert_eq!(gateway.register(&body).await.status.as_u16(), expected, "{service}");
    }
    gateway.reloaded("").await;
    gateway.registered(&public_service("c", "http://127.0.0.1:9", "/c")).await;
}

#[tokio::test]
async fn probes_and_ttls_go_by_the_new_numbers() {
    let slow = "[gateway]\nhealth_check_interval = 3600\nhealth_check_interval_down = 3600";
    let (gateway, origin) = (Gateway::start(slow).await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let probes = origin.probes();
    throughout("an hour is not over", Duration::from_millis(500), async || origin.probes() == probes).await;
    let answer = gateway.reloaded("").await;
    assert_eq!(changed(&answer), ["gateway.health_check_interval", "gateway.health_check_interval_down"]);
    eventually("it is probed again and again", SOON, async || (origin.probes() > probes + 3).then_some(())).await;
    // One failure is enough now, and a probe that hangs is one after 100 ms.
    gateway.reloaded("[gateway]\nmax_consecutive_failures = 1\nhealth_check_timeout = '100ms'").await;
    origin.set_health(Health::Hangs);
    gateway.status_becomes("sagjan", "DOWN").await;
    let seen = gateway.instance("sagjan").await;
    assert_eq!(seen["last_error"], "no answer within 100 ms", "{seen}");
    origin.set_health(Health::Healthy);
    gateway.status_becomes("sagjan", "UP").await;
    gateway.heartbeat("sagjan", "sagjan").await.ok();
    gateway.reloaded("[registration]\nheartbeat_ttl = 1").await;
    assert_eq!(gateway.heartbeat("sagjan", "sagjan").await.ok()["heartbeat_ttl"], 1.0);
    eventually("it expires", SOON, async || {
        let gone = gateway.service("sagjan").await?;
        (gone["instances"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_access_log_goes_elsewhere_and_the_grace_is_the_new_one() {
    let (mut gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let get = async |path: &str| Answer::of(gateway.anonymous(Method::GET, path)).await.ok();
    get("/s/none").await;
    for name in ["one.log", "two.log"] {
        let path = gateway.dir().join(name);
        let tail = format!("[access_log]\npath = '{}'\n[server]\ngrace = '300ms'", path.display());
        assert!(changed(&gateway.reloaded(&tail).await).contains(&"access_log.path"));
        get(&format!("/s/{name}")).await;
        eventually("the line is there", SOON, async || {
            fs::read_to_string(&path).unwrap().contains(&format!("/s/{name}")).then_some(())
        })
        .await;
    }
    gateway.configure("[access_log]\npath = '/nonexistent/access.log'\n[client]\nbody_timeout = 1");
    let problem = gateway.reload().await.problem(422, "invalid-config");
    let error = &problem["errors"][0];
    assert_eq!((&error["key"], error["line"].is_u64()), (&json!("access_log.path"), true), "{problem}");
    assert!(error["detail"].as_str().unwrap().contains("/nonexistent/access.log"), "{problem}");
    get("/s/still").await;
    let two = gateway.dir().join("two.log");
    eventually("it goes on where it went", SOON, async || {
        fs::read_to_string(&two).unwrap().contains("/s/still").then_some(())
    })
    .await;
    origin.set_mode(Mode::Hangs);
    let hanging = tokio::spawn(Answer::try_of(gateway.anonymous(Method::GET, "/s/hangs")));
    eventually("it is under way", SOON, async || (origin.requests("/s/hangs") == 1).then_some(())).await;
    let began = Instant::now();
    gateway.stop().await;
    assert!(began.elapsed() < Duration::from_millis(1800), "the grace was 2 s: {:?}", began.elapsed());
    hanging.abort();
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_everything_else_is_done() {
    let gateway = Gateway::start("").await;
    let tail = "
        [server]
        listen = ['127.0.0.1:1']
        threads = 1
        grace = 7
        [internal]
        listen = '127.0.0.1:2'
        [gateway]
        enabled = false
        [store]
        kind = 'disk'
        [tls]
        state = '/nonexistent'
        [apps]
        domain = 'apps.example'";
    for _ in 0..2 {
        let answer = gateway.reloaded(tail).await;
        let named = answer["needs_restart"].as_array().unwrap();
        let keys: Vec<_> = named.iter().map(|one| one["key"].as_str().unwrap()).collect();
        let expected = [
            "apps.domain",
            "gateway.enabled",
            "internal.listen",
            "server.listen",
            "server.threads",
            "store.kind",
            "tls.state",
        ];
        assert_eq!(keys, expected);
        let text = fs::read_to_string(&gateway.config).unwrap();
        for one in named {
            let line = text.lines().nth(one["line"].as_u64().unwrap() as usize - 1).unwrap();
            let key = one["key"].as_str().unwrap().split_once('.').unwrap().1;
            assert!(line.starts_with(&format!("{key} =")), "{one}: {line}");
            let told = format!("furt.toml:{}:{}: {}", one["line"], one["column"], one["key"].as_str().unwrap());
            assert!(gateway.log().contains(&told), "{told} in\n{}", gateway.log());
        }
    }
    // It is as before: registration, the domain, the listeners.
    let origin = Origin::start().await;
    gateway.registered(&json!({ "service": "shop", "url": origin.url(), "health_endpoint": null, "routes": [] })).await;
    let request = gateway.request(Method::GET, "/a", "admin-c90d5e83f1a6").header("host", "shop.internal");
    assert_eq!(Answer::of(request).await.status, 200);
    let answer = gateway.reloaded("").await;
    assert_eq!((changed(&answer), &answer["needs_restart"]), (vec!["server.grace"], &json!([])));
}

#[tokio::test]
async fn a_bad_file_changes_nothing_and_says_what_is_wrong() {
    let (gateway, origin) = (Gateway::start(&key("one")).await, Origin::start().await);
    gateway.registered(&unprobed(&origin.url())).await;
    let before = gateway.seen("/internal/services").await["generation"].clone();
    let good = fs::read_to_string(&gateway.config).unwrap();
    let as_before = async |what: &str| {
        assert_eq!(status(&gateway, "/api/comments/a", "one").await, 200, "{what}");
        assert_eq!(gateway.seen("/internal/services").await["generation"], before, "{what}");
        let health = gateway.seen("/health").await;
        assert_eq!(health["status"], "degraded", "{what}");
        assert!(health["issues"][0].as_str().unwrap().contains("furt.toml"), "{health}");
        assert_eq!(metric(&gateway, "furt_last_reload_successful").await, 0.0);
    };
    gateway.write_config(
        good.replace("grace = \"2s\"", "grace = 'soon'\ncolour = 'blue'") + "\n[client]\nbody_timeout = 0\n",
    );
    let problem = gateway.reload().await.problem(422, "invalid-config");
    let errors = problem["errors"].as_array().unwrap();
    let keys: Vec<_> = errors.iter().map(|error| error["key"].as_str().unwrap()).collect();
    assert_eq!(keys.len(), 3, "{problem}");
    for key in ["server.grace", "server.colour", "client.body_timeout"] {
        assert!(keys.contains(&key), "{problem}");
    }
    for error in errors {
        let (file, line, column) = (error["file"].as_str().unwrap(), &error["line"], &error["column"]);
        assert!(file.ends_with("furt.toml") && line.is_u64() && column.is_u64(), "{error}");
        let told = format!(
            "{file}:{line}:{column}: {}: {}",
            error["key"].as_str().unwrap(),
            error["detail"].as_str().unwrap()
        );
        assert!(gateway.log().contains(&told), "{told} in\n{}", gateway.log());
    }
    as_before("errors").await;

    let huge = (["abc "; 64].concat() + "\n").repeat(8_000);
    let own = good.clone() + &static_route("/own", &format!("http://{}", gateway.internal));
    let own_name = good.clone() + &static_route("/own", &format!("http://localhost:{}", gateway.internal.port()));
    for (what, text) in [
        ("no TOML", "[[[".as_bytes()),
        ("no text", b"\xff\xfe"),
        ("2 MB of something else", huge.as_bytes()),
        ("an own listener", own.as_bytes()),
        ("an own listener by name", own_name.as_bytes()),
    ] {
        gateway.write_config(text);
        let problem = gateway.reload().await.problem(422, "invalid-config");
        let told = problem["errors"].as_array().unwrap();
        assert!((1..=100).contains(&told.len()) && told[0]["line"].is_u64(), "{what}: {problem}");
        as_before(what).await;
    }
    fs::remove_file(&gateway.config).unwrap();
    let problem = gateway.reload().await.problem(422, "invalid-config");
    assert!(problem["detail"].as_str().unwrap().contains("No such file"), "{problem}");
    as_before("gone").await;
    fs::create_dir(&gateway.config).unwrap();
    let problem = gateway.reload().await.problem(422, "invalid-config");
    assert!(problem["detail"].as_str().unwrap().contains("directory"), "{problem}");
    as_before("a directory").await;
    fs::remove_dir(&gateway.config).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&gateway.config).status().unwrap().success());
    let problem = gateway.reload().await.problem(422, "invalid-config");
    assert!(problem["detail"].as_str().unwrap().contains("no regular file"), "{problem}");
    as_before("a pipe").await;

    gateway.write_config(&good);
    assert_eq!(gateway.reload().await.ok()["changed"], json!([]));
    assert_eq!(gateway.seen("/health").await["status"], "ok");
    assert_eq!(metric(&gateway, "furt_last_reload_successful").await, 1.0);
    assert_eq!(metric(&gateway, "furt_reloads_total{outcome=\"failed\"}").await, 9.0);
    assert_eq!(metric(&gateway, "furt_reloads_total{outcome=\"succeeded\"}").await, 1.0);
    assert!(gateway.log().lines().count() < 400, "10 MB of errors are no 10 MB of log");
}

#[tokio::test]
async fn only_operators_reload_and_nobody_sends_a_configuration() {
    let gateway = Gateway::start("[internal]\noperators_from = ['127.0.0.1']").await;
    let other = client_from(Some([127, 0, 0, 2].into()));
    Answer::of(other.post(gateway.internal_url("/internal/reload"))).await.problem(403, "operators-only");
    let sent = gateway.operate(Method::POST, "/internal/reload").body("[server]\ngrace = 1");
    Answer::of(sent).await.problem(400, "unexpected-body");
    Answer::of(gateway.operate(Method::GET, "/internal/reload")).await.problem(405, "method-not-allowed");
    let foreign = gateway.operate(Method::POST, "/internal/reload").header("origin", "http://evil.example");
    Answer::of(foreign).await.problem(403, "foreign-origin");
    gateway.anonymous(Method::POST, "/internal/reload").send().await.unwrap();
    assert_eq!(metric(&gateway, "furt_reloads_total{outcome=\"succeeded\"}").await, 0.0);
}

#[tokio::test]
async fn sighup_reloads_and_opens_the_access_log_again_whatever_the_file_is_like() {
    let tail = "[access_log]\npath = 'access.log'\n";
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s/*")).await;
    let log = gateway.dir().join("access.log");
    let get = async |path: &str| Answer::of(gateway.anonymous(Method::GET, path)).await.status.as_u16();
    gateway.configure(&(tail.to_owned() + &static_route("/fixed", &origin.url())));
    gateway.signal("HUP");
    eventually("the route is there", SOON, async || (get("/fixed").await == 200).then_some(())).await;
    gateway.write_config("[server]\ngrace = 'soon'\n");
    fs::rename(&log, log.with_extension("old")).unwrap();
    gateway.signal("HUP");
    eventually("the log is opened again", SOON, async || {
        get("/s/after").await;
        fs::read_to_string(&log).ok().filter(|text| text.contains("/s/after"))
    })
    .await;
    eventually("what is wrong is logged", SOON, async || {
        gateway.log().contains("furt.toml:2:9: server.grace: \"soon\"").then_some(())
    })
    .await;
    assert_eq!(get("/fixed").await, 200, "it is as before");
}

#[tokio::test]
async fn the_command_line_tells_what_came_of_it() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered(&public_service("service", &origin.url(), "/s")).await;
    let said = async |arguments: &[&str]| {
        let output = gateway.cli(arguments).await;
        let text = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), text)
    };
    let (code, text) = said(&["reload"]).await;
    assert!(code == Some(0) && text.ends_with("nothing changed\n"), "{code:?} {text}");
    gateway.configure(&("[server]\nthreads = 1\ngrace = 1\n".to_owned() + &static_route("/s", &origin.url())));
    let (code, text) = said(&["reload"]).await;
    assert_eq!(code, Some(0), "{text}");
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].ends_with(": server.grace, routes"), "{text}");
    assert!(lines[1].starts_with("needs a restart: ") && lines[1].ends_with(": server.threads"), "{text}");
    assert!(lines[2].starts_with("kept but not routed: service: "), "{text}");
    let (code, text) = said(&["reload", "-o", "json"]).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((code, &answer["status"]), (Some(0), &json!("reloaded")));
    gateway.write_config("[server]\ngrace = 'soon'\nq = 1\n");
    let (code, text) = said(&["reload"]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("furt.toml:2:9: server.grace: ") && text.contains("furt.toml:3:1: server.q: "), "{text}");
    assert_eq!(said(&["reload", "now"]).await.0, Some(2));
}

/// What requests got that came while it was reloaded.
struct Load {
    stopped: Arc<AtomicBool>,
    good: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<Vec<String>>>,
}

impl Load {
    /// `kept` clients over connections that they keep, and as many that connect anew for each request.
    fn start(gateway: &Gateway, kept: usize) -> Self {
        let (stopped, good) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let tasks = (0..kept * 2).map(|number| {
            let (stopped, good) = (Arc::clone(&stopped), Arc::clone(&good));
            let paths = ["/api/comments/a", "/fixed", "/name"].map(|path| gateway.public_url(path));
            let one = client_from(None);
            tokio::spawn(async move {
                let mut failures = Vec::new();
                for turn in number.. {
                    if stopped.load(Ordering::Relaxed) {
                        break;
                    }
                    let client = if number < kept { one.clone() } else { client_from(None) };
                    let method = if turn % 5 == 0 { Method::POST } else { Method::GET };
                    let path = if method == Method::POST { &paths[0] } else { &paths[turn % 3] };
                    let request =
                        client.request(method, path).header("x-api-key", "load").body("x".repeat(turn % 3000));
                    match Answer::try_of(request).await {
                        Ok(answer) if answer.status == 200 => _ = good.fetch_add(1, Ordering::Relaxed),
                        failed => failures.push(format!("{failed:?}")),
                    }
                }
                failures
            })
        });
        Self { tasks: tasks.collect(), stopped, good }
    }

    /// How many were answered; fails where one was not.
    async fn stop(self) -> usize {
        self.stopped.store(true, Ordering::Relaxed);
        for task in self.tasks {
            let failures = task.await.unwrap();
            assert!(failures.is_empty(), "{} requests failed, such as {}", failures.len(), failures[0]);
        }
        self.good.load(Ordering::Relaxed)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_reloads_under_load_fail_no_request() {
    let origin = Origin::start().await;
    let port = origin.address().port();
    // What the load uses stands in every one of them, at another place each time.
    let tail = |turn: usize| {
        let mut parts = [
            key("load"),
            key(&format!("key-{turn}")),
            static_route("/fixed", &origin.url()),
            static_route("/name", &format!("http://localhost:{port}")),
            static_route(&format!("/turn/{turn}"), &origin.url()),
            "[[grants]]\nservice = 'sagjan'\npermissions = ['*']\npaths = ['/*']\n".to_owned(),
            format!("[[grants]]\nservice = 'other-{}'\npublic = true\npaths = ['/o/*']\n", turn % 2),
        ];
        parts.rotate_left(turn % 7);
        let seconds = 20 + turn % 5;
        format!(
            "[server]\ntrusted_proxies = ['192.0.2.{turn}']\nmax_connections = {}\n\
             [client]\nheader_timeout = {seconds}\nbody_timeout = {seconds}\nkeepalive_timeout = {seconds}\n\
             [upstream]\nread_timeout = {seconds}\nidle_timeout = {}\nretries = {}\n\
             [gateway]\nhealth_check_timeout = 20\nhealth_check_interval = '{}ms'\nmax_consecutive_failures = {}\n\
             [registration]\nunlisted = 'deny'\nrate = '{}/s'\n",
            1000 + turn,
            1 + turn % 4,
            1 + turn % 3,
            150 + turn,
            3 + turn % 3,
            20 + turn
        ) + &parts.concat()
    };
    let gateway = Gateway::start(&tail(0)).await;
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    gateway.registered(&public_service("other-0", &origin.url(), "/o/*")).await;
    let load = Load::start(&gateway, 4);
    for turn in 1..=100 {
        gateway.configure(&tail(turn));
        if turn % 4 == 0 {
            gateway.signal("HUP");
        } else {
            let answer = gateway.reload().await.ok();
            let blocked = answer["blocked"].as_array().unwrap().len();
            assert_eq!(blocked, turn % 2, "{answer}");
            assert_eq!(status(&gateway, &format!("/turn/{turn}"), "none").await, 200);
            assert_eq!(status(&gateway, &format!("/turn/{}", turn - 1), "none").await, 404);
        }
    }
    let good = load.stop().await;
    assert!(good > 200, "only {good} requests");
    let failed = metric(&gateway, "furt_reloads_total{outcome=\"failed\"}").await;
    assert_eq!(failed, 0.0, "{}", gateway.log());
}
