//! What operators make at run time as a file: exported, compared, applied, all of it or nothing.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Gateway, Origin, public_service};

const DISK: &str = "[store]\nkind = 'disk'\npath = 'furt.redb'\n";

fn digest(secret: &str) -> String {
    furt_core::model::Sha256Digest::of(secret.as_bytes()).to_string()
}

fn key(name: &str, secret: &str) -> Value {
    json!({"name": name, "sha256": digest(secret), "permissions": ["shop:read"]})
}

fn everything() -> Value {
    json!({
        "grants": [{"service": "shop", "paths": ["/shop"], "permissions": ["shop:*"]}],
        "keys": [key("one", "1"), key("two", "2")],
        "maintenance": [{"service": "late", "message": "back soon", "until": "2099-01-01T00:00:00Z"}],
        "splits": [{"service": "shop", "versions": {"2": 5.5, "1": 0.25}, "header": "X-Version"}],
    })
}

async fn post(gateway: &Gateway, query: &str, body: &Value) -> Answer {
    Answer::of(gateway.operate(Method::POST, &format!("/internal/apply{query}")).json(body)).await
}

async fn apply(gateway: &Gateway, body: &Value) -> Value {
    post(gateway, "", body).await.ok()
}

async fn exported(gateway: &Gateway) -> Value {
    gateway.seen("/internal/export").await
}

/// Each change as `+key one`.
fn changes(applied: &Value) -> Vec<String> {
    let line = |change: &Value| {
        let sign = match (change["before"].is_null(), change["after"].is_null()) {
            (true, _) => '+',
            (false, true) => '-',
            (false, false) => '~',
        };
        format!("{sign}{} {}", change["kind"].as_str().unwrap(), change["name"].as_str().unwrap())
    };
    applied["changes"].as_array().unwrap().iter().map(line).collect()
}

/// The status of a request with a key's secret.
async fn with_key(gateway: &Gateway, secret: &str) -> u16 {
    Answer::of(gateway.request(Method::GET, "/shop", secret)).await.status.as_u16()
}

/// With a service that asks for keys.
async fn with_shop(tail: &str) -> (Gateway, Origin) {
    let (gateway, origin) = (Gateway::start(tail).await, Origin::start().await);
    let mut shop = public_service("shop", &origin.url(), "/shop");
    shop["routes"][0]["permission"] = json!("shop:read");
    gateway.registered(&shop).await;
    (gateway, origin)
}

#[tokio::test]
async fn what_is_applied_is_there_and_applied_again_changes_nothing() {
    for tail in ["", DISK] {
        let (mut gateway, _origin) = with_shop(tail).await;
        let applied = apply(&gateway, &everything()).await;
        assert_eq!(applied["status"], "applied");
        assert_eq!(changes(&applied), ["+grant shop", "+key one", "+key two", "+maintenance late", "+split shop"]);
        assert_eq!((with_key(&gateway, "1").await, with_key(&gateway, "none").await), (200, 401));
        let export = exported(&gateway).await;
        assert_eq!(export["revision"], applied["revision"]);
        let mut state = export.clone();
        state.as_object_mut().unwrap().remove("revision");
        for body in [&everything(), &state, &json!({})] {
            let again = apply(&gateway, body).await;
            assert_eq!(
                (&again["status"], &again["changes"], &again["revision"]),
                (&json!("unchanged"), &json!([]), &export["revision"])
            );
        }
        if tail == DISK {
            gateway.restart().await;
            assert_eq!(exported(&gateway).await, export, "the revision as well");
            let other = Gateway::start("").await;
            apply(&other, &state).await;
            assert_eq!(exported(&other).await, export, "and at another gateway");
        }
    }
}

#[tokio::test]
async fn a_collection_that_is_not_named_is_not_touched_and_a_key_that_is_renamed_is_good() {
    let (gateway, _origin) = with_shop("").await;
    apply(&gateway, &everything()).await;
    let renamed = apply(&gateway, &json!({"keys": [key("first", "1"), key("two", "2")]})).await;
    assert_eq!(changes(&renamed), ["-key one", "+key first"]);
    assert_eq!(with_key(&gateway, "1").await, 200);
    let swapped = apply(&gateway, &json!({"keys": [key("first", "2"), key("two", "1")]})).await;
    assert_eq!(changes(&swapped), ["~key first", "~key two"]);
    let none = apply(&gateway, &json!({"keys": [], "splits": []})).await;
    assert_eq!(changes(&none), ["-key first", "-key two", "-split shop"]);
    assert_eq!(with_key(&gateway, "1").await, 401);
    let left = exported(&gateway).await;
    assert_eq!((left["grants"].as_array().unwrap().len(), left["maintenance"].as_array().unwrap().len()), (1, 1));
}

#[tokio::test]
async fn it_is_looked_at_first_and_what_has_changed_since_is_not_overwritten() {
    let (gateway, _origin) = with_shop("").await;
    let compared = post(&gateway, "?dry_run=true", &everything()).await.ok();
    assert_eq!((compared["status"].as_str().unwrap(), changes(&compared).len()), ("compared", 5));
    assert_eq!(with_key(&gateway, "1").await, 401, "nothing was changed");
    let revision = compared["revision"].as_str().unwrap().to_owned();
    let made = json!({"name": "between", "permissions": ["a:b"]});
    assert_eq!(Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&made)).await.status, 201);
    post(&gateway, &format!("?revision={revision}"), &everything()).await.problem(412, "changed-since");
    post(&gateway, &format!("?revision={revision}&dry_run=true"), &everything()).await.problem(412, "changed-since");
    let now = exported(&gateway).await["revision"].as_str().unwrap().to_owned();
    let applied = post(&gateway, &format!("?revision={now}"), &everything()).await.ok();
    assert!(changes(&applied).contains(&"-key between".to_owned()));
    // What services do is no part of it.
    gateway.registered(&public_service("other", "http://127.0.0.1:9", "/other")).await;
    assert_eq!(exported(&gateway).await["revision"], applied["revision"]);
}

#[tokio::test]
async fn bad_input_is_told_whole_and_changes_nothing() {
    let (gateway, _origin) = with_shop(
        "[[api_keys]]\nname = 'fixed'\nsha256 = 'aa'\npermissions = ['*']\n"
            .replace("'aa'", &format!("'{}'", digest("9")))
            .as_str(),
    )
    .await;
    apply(&gateway, &everything()).await;
    let before = exported(&gateway).await;
    let body = json!({"keys": [key("a", "1"), {"name": "b", "colour": 1}], "services": [], "grants": [{"service": "s", "auth": ["none"]}]});
    let pointers = post(&gateway, "", &body).await.invalid_fields();
    for pointer in ["/keys/1/colour", "/keys/1/permissions", "/keys/1/sha256", "/services", "/grants/0/auth"] {
        assert!(pointers.iter().any(|one| one == pointer), "{pointer}: {pointers:?}");
    }
    post(&gateway, "", &json!({"keys": [key("fixed", "5")]})).await.problem(409, "configured");
    post(&gateway, "", &json!({"keys": [key("c", "9")]})).await.problem(409, "taken");
    post(&gateway, "", &json!({"keys": [key("c", "7"), key("d", "7")]})).await.problem(409, "taken");
    post(&gateway, "?dry_run=1", &json!({})).await.problem(422, "invalid-parameters");
    post(&gateway, "?colour=1", &json!({})).await.problem(422, "invalid-parameters");
    let large = vec![b' '; 5 * 1024 * 1024];
    let sent = gateway.operate(Method::POST, "/internal/apply").header("content-type", "application/json").body(large);
    Answer::of(sent).await.problem(413, "too-large");
    let not_json =
        gateway.operate(Method::POST, "/internal/apply").header("content-type", "application/json").body("{");
    Answer::of(not_json).await.problem(400, "not-json");
    assert_eq!(exported(&gateway).await, before);
}

#[tokio::test]
async fn ten_thousand_keys_go_at_once() {
    let gateway = Gateway::start(DISK).await;
    let keys: Vec<_> = (0..10_000).map(|number| key(&format!("k{number}"), &format!("s{number}"))).collect();
    let applied = apply(&gateway, &json!({ "keys": keys })).await;
    assert_eq!((applied["changes"].as_array().unwrap().len(), &applied["left"]), (10_000, &json!(0)));
    assert_eq!(exported(&gateway).await["keys"].as_array().unwrap().len(), 10_000);
    // Some of more than 2 MiB.
    let padded = |number: u32| {
        let rules: Vec<_> = (0..8).map(|rule| format!("{number}-{rule}:{}", "x".repeat(100))).collect();
        json!({"name": format!("k{number}"), "sha256": digest(&format!("s{number}")), "permissions": rules})
    };
    let keys: Vec<_> = (0..2_500).map(padded).collect();
    assert!(serde_json::to_vec(&keys).unwrap().len() > 2 << 20);
    let applied = apply(&gateway, &json!({ "keys": keys })).await;
    assert_eq!(applied["changes"].as_array().unwrap().len(), 10_000);
    // Other bodies are as small as ever.
    let large = json!({"name": "x".repeat(70_000), "permissions": ["*"]});
    Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&large)).await.problem(413, "too-large");
}

#[tokio::test]
async fn a_kill_leaves_all_of_it_or_nothing_and_as_many_entries_of_the_audit() {
    let mut gateway = Gateway::start(DISK).await;
    for round in 0..6_u64 {
        let keys: Vec<_> = (0..40).map(|number| key(&format!("k{number}"), &format!("s{round}-{number}"))).collect();
        let body = json!({ "keys": keys, "splits": [{"service": format!("s{round}"), "versions": {"2": 1}}] });
        let before = exported(&gateway).await;
        let sent = gateway.operate(Method::POST, "/internal/apply").json(&body);
        let asked = tokio::spawn(sent.send());
        tokio::time::sleep(std::time::Duration::from_millis(fastrand::u64(0..40))).await;
        gateway.kill();
        let is_answered = asked.await.unwrap().is_ok_and(|answer| answer.status() == 200);
        gateway.start_again().await;
        let now = exported(&gateway).await;
        let is_whole = now["splits"][0]["service"] == format!("s{round}")
            && now["keys"]
                .as_array()
                .unwrap()
                .iter()
                .all(|key| body["keys"].as_array().unwrap().iter().any(|one| one["sha256"] == key["sha256"]))
            && now["keys"].as_array().unwrap().len() == 40;
        assert!(is_whole || now == before, "{now}");
        assert!(is_whole || !is_answered, "what was answered is there");
        let again = post(&gateway, "?dry_run=true", &body).await.ok();
        assert_eq!(again["changes"].as_array().unwrap().is_empty(), is_whole);
    }
    let check = gateway.cli(&["audit", "--check"]).await;
    assert!(check.status.success(), "{check:?}");
    apply(&gateway, &json!({"keys": [], "splits": []})).await;
    let audit = gateway.seen("/internal/audit?after=0&limit=1000").await;
    let entries = audit["entries"].as_array().unwrap();
    let count = |action: &str| entries.iter().filter(|entry| entry["action"] == action).count();
    assert_eq!(
        (count("key-create"), count("split-set")),
        (count("key-revoke"), count("split-remove")),
        "what came is gone"
    );
}

#[tokio::test]
async fn the_verbs_export_compare_and_apply() {
    let (gateway, _origin) = with_shop("").await;
    std::fs::write(gateway.dir().join("state.json"), everything().to_string()).unwrap();
    let of = async |arguments: &[&str]| {
        let output = gateway.cli(arguments).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let (code, told, _) = of(&["diff", "-f", "state.json"]).await;
    assert_eq!(code, 3, "something differs");
    assert!(told.contains("+ key one\n") && told.ends_with("5 records to add\n"), "{told}");
    assert_eq!(of(&["apply", "-f", "state.json", "--dry-run"]).await.0, 0);
    assert_eq!(with_key(&gateway, "1").await, 401);
    let (code, told, noted) = of(&["apply", "-f", "state.json"]).await;
    assert!(code == 0 && told.ends_with("5 records added\n") && noted.contains("revision "), "{told}{noted}");
    assert_eq!(with_key(&gateway, "1").await, 200);
    let (code, toml, _) = of(&["export"]).await;
    assert!(code == 0 && toml.starts_with("# revision ") && toml.contains("[[keys]]\nname = \"one\"\n"), "{toml}");
    std::fs::write(gateway.dir().join("state.toml"), &toml).unwrap();
    for file in ["state.toml", "state.json"] {
        assert_eq!(of(&["diff", "-f", file]).await.1, "nothing differs\n", "{file}");
        assert_eq!(of(&["apply", "-f", file]).await.1, "nothing differs\n", "{file}");
    }
    let changed = toml.replace("shop:read", "shop:write");
    std::fs::write(gateway.dir().join("state.toml"), changed).unwrap();
    let (_, told, _) = of(&["apply", "-f", "state.toml"]).await;
    assert!(told.contains("~ key one\n    permissions: [\"shop:read\"] -> [\"shop:write\"]\n"), "{told}");
    assert!(told.ends_with("2 records changed\n"), "{told}");
    assert_eq!(with_key(&gateway, "1").await, 403);
    let (code, json, _) = of(&["export", "-o", "json"]).await;
    assert!(code == 0 && serde_json::from_str::<Value>(&json).unwrap()["revision"].is_null());
    for (text, why) in
        [("", "it is empty"), ("{", "no JSON"), ("[keys", "no TOML"), ("colour = 1", "is not a known field")]
    {
        std::fs::write(gateway.dir().join("bad"), text).unwrap();
        for verb in ["diff", "apply"] {
            let (code, _, noted) = of(&[verb, "-f", "bad"]).await;
            assert!(code == 1 && noted.contains(why), "{verb} {text}: {noted}");
        }
    }
    assert_eq!(of(&["apply", "-f", "none"]).await.0, 1);
    let (code, _, noted) = of(&["apply", "-f", "state.json", "--revision", "0123456789abcdef"]).await;
    assert!(code == 1 && noted.contains("has changed since"), "{noted}");
}

#[tokio::test]
async fn times_are_exported_as_exactly_as_they_are_kept() {
    let gateway = Gateway::start(DISK).await;
    let create = async |path: &str, body: Value| {
        Answer::of(gateway.operate(Method::POST, path).json(&body)).await.ok();
    };
    create("/internal/keys", json!({"name": "a", "permissions": ["*"], "expires": "90d"})).await;
    create("/internal/keys", json!({"name": "b", "permissions": ["*"]})).await;
    create("/internal/keys/b/rotate", json!({"grace": "1h"})).await;
    Answer::of(gateway.operate(Method::PUT, "/internal/services/shop/maintenance").json(&json!({"for": "1h"})))
        .await
        .ok();
    let mut all = exported(&gateway).await;
    all.as_object_mut().unwrap().remove("revision");
    assert_eq!(changes(&apply(&gateway, &all).await), [""; 0]);
}

#[tokio::test]
async fn an_admin_alone_may() {
    let ops = digest("ops-token");
    let boss = digest("boss-token");
    let tail = format!(
        "[[operators]]\nname = 'ops'\nrole = 'operate'\ntoken_sha256 = '{ops}'\n[[operators]]\nname = 'boss'\nrole = 'admin'\ntoken_sha256 = '{boss}'\n"
    );
    let gateway = Gateway::start(&tail).await;
    let ask = async |method: Method, path: &str, token: &str| {
        Answer::of(gateway.operate(method, path).bearer_auth(token).json(&json!({"splits": []}))).await
    };
    for (method, path) in [
        (Method::GET, "/internal/export"),
        (Method::POST, "/internal/apply"),
        (Method::PUT, "/internal/services/a/grant"),
    ] {
        ask(method.clone(), path, "ops-token").await.problem(403, "operators-only");
        assert_ne!(ask(method, path, "boss-token").await.status, 403, "{path}");
    }
    assert_eq!(ask(Method::GET, "/internal/grants", "ops-token").await.status, 200);
    // Nobody else sends more than other commands take.
    let large = json!({"splits": [], "x": "x".repeat(100_000)});
    let send = async |token: &str| {
        Answer::of(gateway.operate(Method::POST, "/internal/apply").bearer_auth(token).json(&large)).await
    };
    send("ops-token").await.problem(403, "operators-only");
    assert_eq!(send("boss-token").await.invalid_fields(), ["/x"]);
    let body = json!({"splits": [{"service": "a", "versions": {"2": 1}}]});
    Answer::of(gateway.operate(Method::POST, "/internal/apply").bearer_auth("boss-token").json(&body)).await.ok();
    let events = Answer::of(gateway.operate(Method::GET, "/internal/events").bearer_auth("boss-token")).await.ok();
    let set = events["events"].as_array().unwrap().iter().find(|event| event["kind"] == "split-set").unwrap();
    assert_eq!(set["by"], "boss");
    let audit = Answer::of(gateway.operate(Method::GET, "/internal/audit").bearer_auth("boss-token")).await.ok();
    let last = audit["entries"].as_array().unwrap().last().unwrap().clone();
    assert_eq!((&last["action"], &last["by"]), (&json!("split-set"), &json!("boss")));
}
