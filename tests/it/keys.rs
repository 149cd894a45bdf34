//! Runtime API keys: made, used, listed, rotated, revoked, expired, over the internal listener and over the CLI.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use furt_core::model::Sha256Digest;
use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::{client_from, furt, output_of};
use crate::support::{Answer, Gateway, Origin, READER, SOON, eventually, sagjan, throughout, with};

const DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'\n";
const PATH: &str = "/api/comments/a";

async fn up(tail: &str) -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    (gateway, origin)
}

fn reader(name: &str) -> Value {
    json!({"name": name, "permissions": ["comments:read"]})
}

async fn post(gateway: &Gateway, path: &str, body: &Value) -> Answer {
    Answer::of(gateway.operate(Method::POST, path).json(body)).await
}

async fn create(gateway: &Gateway, body: &Value) -> Answer {
    post(gateway, "/internal/keys", body).await
}

/// The key itself, of a body that must be taken.
async fn created(gateway: &Gateway, body: &Value) -> String {
    let answer = create(gateway, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.json()["key"].as_str().unwrap().to_owned()
}

async fn rotated(gateway: &Gateway, name: &str, grace: &Value) -> String {
    let answer = post(gateway, &format!("/internal/keys/{name}/rotate"), &json!({"grace": grace})).await;
    answer.ok()["key"].as_str().unwrap().to_owned()
}

async fn revoke(gateway: &Gateway, name: &str) -> Answer {
    Answer::of(gateway.operate(Method::DELETE, &format!("/internal/keys/{name}"))).await
}

async fn shown(gateway: &Gateway, name: &str) -> Answer {
    Answer::of(gateway.operate(Method::GET, &format!("/internal/keys/{name}"))).await
}

async fn with_key(gateway: &Gateway, key: &str) -> Answer {
    Answer::of(gateway.request(Method::GET, PATH, key)).await
}

/// Whether the next request with a key is let in.
async fn is_good(gateway: &Gateway, key: &str) -> bool {
    let answer = with_key(gateway, key).await;
    match answer.status.as_u16() {
        200 => true,
        _ => {
            answer.problem(401, "key-unknown");
            false
        }
    }
}

async fn metric(gateway: &Gateway, change: &str) -> String {
    let text = Answer::of(gateway.operate(Method::GET, "/metrics")).await.body;
    let name = format!("furt_key_changes_total{{change=\"{change}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&name)).unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_new_key_is_shown_once_and_good_at_once_within_its_rules() {
    let (gateway, origin) = up("").await;
    let body = with(reader("web"), json!({"allow_from": ["127.0.0.0/8"], "rate": "1000/s", "expires": "90d"}));
    let answer = create(&gateway, &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("cache-control")), (201, "no-store"));
    let made = answer.json();
    let key = made["key"].as_str().unwrap();
    assert!(key.starts_with("furt_") && key.len() == 69, "{key}");
    assert_eq!(made["sha256"], Sha256Digest::of(key.as_bytes()).to_string());
    let rules = |shown: &Value| [shown["permissions"].clone(), shown["allow_from"].clone(), shown["rate"].clone()];
    assert_eq!(rules(&made), [json!(["comments:read"]), json!(["127.0.0.0/8"]), json!("1000/s")]);
    let arrived = with_key(&gateway, key).await.ok();
    assert_eq!(arrived["headers"]["x-api-key-name"], json!(["web"]));
    Answer::of(gateway.request(Method::POST, PATH, key)).await.problem(403, "permission-missing");
    assert_eq!(origin.requests(PATH), 1);

    let listed = gateway.seen("/internal/keys").await;
    let names: Vec<_> = listed["keys"].as_array().unwrap().iter().map(|one| (&one["name"], &one["source"])).collect();
    let config = |name: &'static str| (json!(name), json!("config"));
    let expected = [config("admin"), config("reader"), config("writer"), (json!("web"), json!("runtime"))];
    assert!(names.into_iter().eq(expected.iter().map(|(name, source)| (name, source))), "{listed}");
    let one = shown(&gateway, "web").await;
    let one_body = one.ok();
    assert_eq!(rules(&one_body), rules(&made));
    assert_eq!((&one_body["created"], &one_body["expires"]), (&made["created"], &made["expires"]));
    assert_eq!((&one_body["blocked"], &one_body["old"]), (&Value::Null, &json!([])));
    assert!(made["sha256"].as_str().unwrap().starts_with(one_body["sha256_prefix"].as_str().unwrap()));
    for text in [one.body, listed.to_string(), gateway.log()] {
        assert!(!text.contains(key) && !text.contains(made["sha256"].as_str().unwrap()), "{text}");
    }
    assert_eq!(metric(&gateway, "created").await, "1");
    assert!(gateway.log().contains("created the API key web"));
}

#[tokio::test]
async fn a_key_is_bound_to_its_addresses_and_its_rate() {
    let (gateway, _origin) = up("").await;
    let bound = created(&gateway, &with(reader("bound"), json!({"allow_from": ["203.0.113.7"]}))).await;
    with_key(&gateway, &bound).await.problem(403, "address-not-allowed");
    let slow = created(&gateway, &with(reader("slow"), json!({"rate": "2/m"}))).await;
    assert!(is_good(&gateway, &slow).await);
    with_key(&gateway, &slow).await.problem(429, "rate-limited");
    // Neither another change nor a rotation fills it up again.
    created(&gateway, &reader("other")).await;
    with_key(&gateway, &slow).await.problem(429, "rate-limited");
    let next = rotated(&gateway, "slow", &json!("1h")).await;
    with_key(&gateway, &next).await.problem(429, "rate-limited");
    with_key(&gateway, &slow).await.problem(429, "rate-limited");
}

#[tokio::test]
async fn a_revoked_key_is_refused_by_the_next_request() {
    let (gateway, _origin) = up("").await;
    for round in 0..20 {
        let key = created(&gateway, &reader("web")).await;
        assert!(is_good(&gateway, &key).await);
        let answer = revoke(&gateway, "web").await.ok();
        assert_eq!((&answer["status"], &answer["configured"]), (&json!("revoked"), &json!(false)));
        assert!(!is_good(&gateway, &key).await, "round {round}");
    }
    revoke(&gateway, "web").await.problem(404, "not-found");
    shown(&gateway, "web").await.problem(404, "not-found");
    assert_eq!(metric(&gateway, "revoked").await, "20");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_request_that_began_after_the_answer_passes() {
    let (gateway, _origin) = up(DISK).await;
    let key = created(&gateway, &reader("web")).await;
    let (is_revoked, passed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load = (0..8).map(|_| {
        let request = client_from(None).get(gateway.public_url(PATH)).header("x-api-key", &key);
        let (is_revoked, passed) = (Arc::clone(&is_revoked), Arc::clone(&passed));
        tokio::spawn(async move {
            let mut refused = 0;
            while refused < 20 {
                let began_after = is_revoked.load(Ordering::SeqCst);
                let status = request.try_clone().unwrap().send().await.unwrap().status().as_u16();
                assert!(status == 401 || (status == 200 && !began_after), "{status}, began after: {began_after}");
                if began_after {
                    refused += 1;
                } else {
                    passed.fetch_add(usize::from(status == 200), Ordering::Relaxed);
                }
            }
        })
    });
    let load: Vec<_> = load.collect();
    eventually("requests pass", SOON, async || (passed.load(Ordering::Relaxed) > 100).then_some(())).await;
    revoke(&gateway, "web").await.ok();
    is_revoked.store(true, Ordering::SeqCst);
    for task in load {
        task.await.unwrap();
    }
}

#[tokio::test]
async fn a_rotated_key_and_the_one_before_are_good_until_the_grace_is_over() {
    let (gateway, _origin) = up("").await;
    let first = created(&gateway, &reader("web")).await;
    let second = rotated(&gateway, "web", &json!("2s")).await;
    assert!(is_good(&gateway, &first).await && is_good(&gateway, &second).await);
    assert_eq!(shown(&gateway, "web").await.ok()["old"].as_array().unwrap().len(), 1);
    eventually("the first one ends", SOON, async || (!is_good(&gateway, &first).await).then_some(())).await;
    assert!(is_good(&gateway, &second).await);
    eventually("it is not shown any more", SOON, async || {
        (shown(&gateway, "web").await.ok()["old"] == json!([])).then_some(())
    })
    .await;
    // Without a body: for a day.
    let third = Answer::of(gateway.operate(Method::POST, "/internal/keys/web/rotate")).await;
    assert_eq!((third.status.as_u16(), third.header("cache-control")), (200, "no-store"));
    let third = third.json()["key"].as_str().unwrap().to_owned();
    assert!(is_good(&gateway, &second).await && is_good(&gateway, &third).await);
    let fourth = rotated(&gateway, "web", &json!(0)).await;
    for (key, expected) in [(&second, false), (&third, false), (&fourth, true)] {
        assert_eq!(is_good(&gateway, key).await, expected);
    }
    for number in 0..4 {
        rotated(&gateway, "web", &json!(3600 + number)).await;
    }
    let refused = post(&gateway, "/internal/keys/web/rotate", &json!({"grace": "1h"})).await;
    refused.problem(409, "too-many-old-keys");
}

#[tokio::test]
async fn an_expired_key_is_refused_then_gone() {
    let (gateway, _origin) = up("").await;
    let key = created(&gateway, &with(reader("web"), json!({"expires": "1500ms"}))).await;
    assert!(is_good(&gateway, &key).await);
    eventually("it expires", SOON, async || (!is_good(&gateway, &key).await).then_some(())).await;
    eventually("it is gone", SOON, async || (shown(&gateway, "web").await.status == 404).then_some(())).await;
    eventually("it is counted", SOON, async || (metric(&gateway, "expired").await == "1").then_some(())).await;
    let line = "the API key web expired";
    eventually("it is logged", SOON, async || gateway.log().contains(line).then_some(())).await;
}

#[tokio::test]
async fn keys_and_their_ends_survive_restarts_and_crashes() {
    let (mut gateway, _origin) = up(DISK).await;
    let rules = json!({"allow_from": ["127.0.0.1"], "rate": "500/s"});
    let first = created(&gateway, &with(reader("web"), rules)).await;
    let second = rotated(&gateway, "web", &json!("1h")).await;
    let gone = created(&gateway, &reader("gone")).await;
    revoke(&gateway, "gone").await.ok();
    let short = created(&gateway, &with(reader("short"), json!({"expires": "4s"}))).await;
    created(&gateway, &reader("rotating")).await;
    let ended = rotated(&gateway, "rotating", &json!("4s")).await;
    let last = rotated(&gateway, "rotating", &json!("4s")).await;
    let before = shown(&gateway, "web").await.ok();
    for is_crash in [true, false] {
        if is_crash {
            gateway.kill();
            gateway.start_again().await;
        } else {
            gateway.restart().await;
        }
        assert_eq!(shown(&gateway, "web").await.ok(), before);
        assert!(is_good(&gateway, &first).await && is_good(&gateway, &second).await && !is_good(&gateway, &gone).await);
    }
    eventually("it expires", SOON, async || (!is_good(&gateway, &short).await).then_some(())).await;
    eventually("what was rotated ends", SOON, async || (!is_good(&gateway, &ended).await).then_some(())).await;
    assert!(is_good(&gateway, &last).await);
    gateway.restart().await;
    eventually("it is gone", SOON, async || (shown(&gateway, "short").await.status == 404).then_some(())).await;
    assert!(!is_good(&gateway, &short).await && !is_good(&gateway, &ended).await && is_good(&gateway, &last).await);
}

#[tokio::test]
async fn what_expires_while_furt_is_down_is_not_good_when_it_is_back() {
    let (mut gateway, _origin) = up(DISK).await;
    let key = created(&gateway, &with(reader("web"), json!({"expires": 1}))).await;
    let over = Instant::now() + Duration::from_secs(1);
    gateway.kill();
    eventually("its time is over", SOON, async || (Instant::now() >= over).then_some(())).await;
    gateway.start_again().await;
    throughout("refused", Duration::from_millis(200), async || !is_good(&gateway, &key).await).await;
    eventually("it is gone", SOON, async || (shown(&gateway, "web").await.status == 404).then_some(())).await;
}

#[tokio::test]
async fn the_configurations_keys_are_its_own_and_win() {
    let (mut gateway, _origin) = up(DISK).await;
    create(&gateway, &reader("reader")).await.problem(409, "taken");
    revoke(&gateway, "reader").await.problem(409, "configured");
    post(&gateway, "/internal/keys/reader/rotate", &json!({})).await.problem(409, "configured");
    assert!(is_good(&gateway, READER).await);
    let key = created(&gateway, &reader("web")).await;
    create(&gateway, &reader("web")).await.problem(409, "taken");

    gateway.stop().await;
    let before = std::fs::read_to_string(&gateway.config).unwrap();
    let sha256 = Sha256Digest::of(b"configured");
    let more = format!("\n[[api_keys]]\nname = 'web'\nsha256 = '{sha256}'\npermissions = ['comments:read']\n");
    std::fs::write(&gateway.config, before.clone() + &more).unwrap();
    gateway.start_again().await;
    assert!(!is_good(&gateway, &key).await && is_good(&gateway, "configured").await);
    let line = "the API key web is kept but not used: the configuration has a key of the same name";
    eventually("it is logged", SOON, async || gateway.log().contains(line).then_some(())).await;
    let both = shown(&gateway, "web").await.ok();
    assert_eq!((&both["source"], &both["kept"]["source"]), (&json!("config"), &json!("runtime")));
    assert_eq!(both["kept"]["blocked"], "the configuration has a key of the same name");
    post(&gateway, "/internal/keys/web/rotate", &json!({})).await.problem(409, "configured");

    gateway.stop().await;
    std::fs::write(&gateway.config, before).unwrap();
    gateway.start_again().await;
    assert!(is_good(&gateway, &key).await && !is_good(&gateway, "configured").await);
}

#[tokio::test]
async fn what_is_wrong_with_a_body_is_told_and_makes_nothing() {
    let gateway = Gateway::start("").await;
    let wrong = json!({"name": "a b", "permissions": ["x", "no good"], "allow_from": ["10.0.0.0/99"], "rate": "1/h",
                       "expires": "yesterday", "key": "my own"});
    let told = create(&gateway, &wrong).await.invalid_fields();
    assert_eq!(told, ["/allow_from/0", "/expires", "/key", "/name", "/permissions/1", "/rate"]);
    assert_eq!(create(&gateway, &json!({})).await.invalid_fields(), ["/name", "/permissions"]);
    for past in [json!("2001-01-01T00:00:00Z"), json!(0), json!("-1s"), json!("40000d")] {
        let told = create(&gateway, &with(reader("a"), json!({"expires": past}))).await.invalid_fields();
        assert_eq!(told, ["/expires"]);
    }
    let raw = |body: &'static str| gateway.operate(Method::POST, "/internal/keys").body(body);
    Answer::of(raw("{}")).await.problem(415, "wrong-type");
    Answer::of(raw("{").header("content-type", "application/json")).await.problem(400, "not-json");
    let twice = "{\"name\":\"a\",\"name\":\"b\",\"permissions\":[\"x\"]}";
    Answer::of(raw(twice).header("content-type", "application/json")).await.problem(400, "not-json");
    let large = with(reader("a"), json!({"more": "x".repeat(70_000)}));
    create(&gateway, &large).await.problem(413, "too-large");
    let rotate = "/internal/keys/a/rotate";
    for bad in [json!({"grace": "31d"}), json!({"grace": -1}), json!({"grace": []})] {
        assert_eq!(post(&gateway, rotate, &bad).await.invalid_fields(), ["/grace"]);
    }
    assert_eq!(post(&gateway, rotate, &json!([])).await.invalid_fields(), [""]);
    let as_text = gateway.operate(Method::POST, rotate).body("grace=1");
    Answer::of(as_text).await.problem(415, "wrong-type");
    post(&gateway, rotate, &json!({})).await.problem(404, "not-found");
    for name in ["a%20b", "%C3%A4", "..%2Fx"] {
        revoke(&gateway, name).await.problem(404, "not-found");
    }
    Answer::of(gateway.operate(Method::PUT, "/internal/keys")).await.problem(405, "method-not-allowed");
    assert_eq!(gateway.seen("/internal/keys").await["keys"].as_array().unwrap().len(), 3, "the configuration's");
}

#[tokio::test]
async fn only_operators_see_and_change_keys() {
    let digest = Sha256Digest::of(b"operator-token");
    let gateway = Gateway::start(&format!("[internal]\noperator_token_sha256 = '{digest}'")).await;
    for (method, path) in [
        (Method::POST, "/internal/keys"),
        (Method::GET, "/internal/keys"),
        (Method::GET, "/internal/keys/reader"),
        (Method::DELETE, "/internal/keys/reader"),
        (Method::POST, "/internal/keys/reader/rotate"),
    ] {
        let request = || gateway.operate(method.clone(), path).json(&reader("a"));
        Answer::of(request()).await.problem(403, "operators-only");
        let answer = Answer::of(request().header("authorization", "Bearer operator-token")).await;
        assert_ne!(answer.status, 403, "{method} {path}");
        Answer::of(gateway.anonymous(method, path)).await.problem(404, "route-not-found");
    }
}

#[tokio::test]
async fn a_full_disk_fails_closed() {
    let mut gateway = Gateway::start_limited(DISK).await;
    let origin = Origin::start().await;
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let (revoked, kept) = (created(&gateway, &reader("a")).await, created(&gateway, &reader("b")).await);
    gateway.limit_files(Some(0));
    let refused = revoke(&gateway, "a").await;
    let said = refused.problem(503, "store-unavailable")["detail"].as_str().unwrap().to_owned();
    assert!(said.contains("refused from now on") && refused.retry_after() > 0, "{said}");
    assert!(!is_good(&gateway, &revoked).await && is_good(&gateway, &kept).await);
    create(&gateway, &reader("c")).await.problem(503, "store-unavailable");
    post(&gateway, "/internal/keys/b/rotate", &json!({"grace": 0})).await.problem(503, "store-unavailable");
    assert!(!is_good(&gateway, &revoked).await && is_good(&gateway, &kept).await);
    assert!(shown(&gateway, "a").await.ok()["blocked"].as_str().unwrap().contains("revoked"));
    gateway.limit_files(None);
    eventually("the end is stored", Duration::from_secs(30), async || {
        (shown(&gateway, "a").await.status == 404).then_some(())
    })
    .await;
    gateway.kill();
    gateway.start_again().await;
    assert!(!is_good(&gateway, &revoked).await && is_good(&gateway, &kept).await);
}

#[tokio::test]
async fn the_verbs_make_list_rotate_and_revoke() {
    let (gateway, _origin) = up("").await;
    let run = async |arguments: &[&str], code: i32| {
        let output = gateway.cli(arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(output.status.code(), Some(code), "{output:?}");
        (text(&output.stdout), text(&output.stderr))
    };
    let new = ["keys", "new", "--name", "web", "--permission", "comments:read", "--expires", "90d", "--rate", "500/s"];
    let (key, said) = run(&new, 0).await;
    assert!(said.is_empty() && is_good(&gateway, key.trim_end()).await, "{key} {said}");
    let (_, said) = run(&new, 1).await;
    assert!(said.contains("409 taken") && said.contains("web"), "{said}");
    let (listed, _) = run(&["keys", "list"], 0).await;
    let line = listed.lines().find(|line| line.starts_with("web ")).unwrap_or_else(|| panic!("{listed}"));
    assert!(line.contains("runtime") && line.contains("comments:read") && line.contains("500/s"), "{line}");
    assert!(listed.lines().any(|line| line.starts_with("reader ") && line.contains("config")), "{listed}");
    let (next, said) = run(&["keys", "rotate", "web", "--grace", "1h"], 0).await;
    assert!(said.contains("is good until 2"), "{said}");
    assert!(is_good(&gateway, key.trim_end()).await && is_good(&gateway, next.trim_end()).await);
    let (last, _) = run(&["keys", "rotate", "web", "--grace", "0", "-o", "json"], 0).await;
    let last = last.parse::<Value>().unwrap();
    assert!(!is_good(&gateway, next.trim_end()).await && is_good(&gateway, last["key"].as_str().unwrap()).await);
    let (said, _) = run(&["keys", "revoke", "web"], 0).await;
    assert_eq!(said, "revoked web\n");
    assert!(!is_good(&gateway, last["key"].as_str().unwrap()).await);
    for (arguments, expected) in [
        (&["keys", "revoke", "web"][..], "no API key \"web\""),
        (&["keys", "revoke", "reader"], "in the configuration"),
        (&["keys", "rotate", "web"], "no API key \"web\""),
        (&["keys", "rotate", "web", "--grace", "1w"], "/grace"),
        (&["keys", "new", "--name", "a", "--permission", "x", "--expires", "soon"], "/expires"),
    ] {
        let (_, said) = run(arguments, 1).await;
        assert!(said.contains(expected), "{said}");
    }
    let (listed, _) = run(&["keys", "list", "-o", "json"], 0).await;
    assert_eq!(listed.parse::<Value>().unwrap()["keys"].as_array().unwrap().len(), 3);
    for misused in [
        &["keys", "new", "--name", "a", "--permission", "x", "--offline", "--expires", "1d"][..],
        &["keys", "new", "--name", "a", "--permission", "x", "--offline", "--add-to", "furt.toml"],
        &["keys", "new", "--name", "..", "--permission", "x"],
        &["keys", "revoke"],
    ] {
        run(misused, 2).await;
    }
}

#[tokio::test]
async fn a_key_for_the_configuration_needs_no_furt() {
    let mut gateway = Gateway::start("").await;
    gateway.stop().await;
    let file = gateway.config.to_str().unwrap().to_owned();
    let new = ["keys", "new", "--name", "web", "--permission", "comments:read", "--add-to", &file];
    let output = output_of(furt(&new)).await;
    let key = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success() && key.starts_with("furt_"), "{key}");
    gateway.start_again().await;
    let origin = Origin::start().await;
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    assert!(is_good(&gateway, key.trim_end()).await);
}
