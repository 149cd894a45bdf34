//! What operators did is kept with what it changed, also over a kill, and shown to who may see it.

use std::process::Stdio;
use std::time::Duration;

use furt_core::model::Sha256Digest;
use redb::ReadableTable as _;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

use crate::support::gateway::{client_from, furt, output_of};
use crate::support::{Answer, Gateway, SOON, public_service};

/// An admin whose token is `boss`, beside one who operates alone.
fn operators() -> String {
    let entry = |name: &str, role: &str| {
        let digest = Sha256Digest::of(name.as_bytes());
        format!("[[operators]]\nname = '{name}'\nrole = '{role}'\ntoken_sha256 = '{digest}'\n")
    };
    entry("boss", "admin") + &entry("ops", "operate")
}

async fn ask(gateway: &Gateway, method: Method, path: &str, token: &str, body: Value) -> Value {
    Answer::of(gateway.operate(method, path).bearer_auth(token).json(&body)).await.json()
}

async fn entries(gateway: &Gateway, query: &str) -> Value {
    ask(gateway, Method::GET, &format!("/internal/audit{query}"), "boss", json!(null)).await
}

fn actions(audit: &Value) -> Vec<&str> {
    audit["entries"].as_array().unwrap().iter().map(|entry| entry["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn what_operators_do_is_kept_with_who_what_and_when_and_a_restart_keeps_it() {
    for store in ["disk", "memory"] {
        let path = if store == "disk" { "path = 'furt.redb'\n" } else { "" };
        let mut gateway = Gateway::start(&format!("{}[store]\nkind = '{store}'\n{path}", operators())).await;
        gateway.registered(&public_service("a", "http://127.0.0.1:9", "/a/*")).await;
        gateway.registered(&public_service("b", "http://127.0.0.1:9", "/b/*")).await;
        // A service's own.
        let own = gateway.operate(Method::DELETE, "/internal/services/b");
        assert_eq!(Answer::of(own).await.status, 200);
        ask(&gateway, Method::PUT, "/internal/services/a/maintenance", "ops", json!({"for": "30m"})).await;
        ask(&gateway, Method::PUT, "/internal/services/a/split", "ops", json!({"versions": {"2": 10}})).await;
        ask(&gateway, Method::POST, "/internal/keys", "boss", json!({"name": "k", "permissions": ["a:b"]})).await;
        ask(&gateway, Method::POST, "/internal/services/a/drain?until=restart", "ops", json!(null)).await;
        ask(&gateway, Method::DELETE, "/internal/services/a", "ops", json!(null)).await;
        let reload = gateway.operate(Method::POST, "/internal/reload").bearer_auth("boss");
        Answer::of(reload).await.ok();
        // What is refused changes nothing.
        ask(&gateway, Method::DELETE, "/internal/keys/none", "boss", json!(null)).await;
        let all = entries(&gateway, "").await;
        let expected = ["maintenance-begin", "split-set", "key-create", "drain-begin", "deregister", "reload"];
        assert_eq!(actions(&all), expected, "{all}");
        let [began, set, made, drained, gone, reload] = [0, 1, 2, 3, 4, 5].map(|at| &all["entries"][at]);
        assert_eq!(
            (&began["by"], &began["from"], &began["service"]),
            (&json!("ops"), &json!("127.0.0.1"), &json!("a"))
        );
        assert!(began["details"]["after"]["ends_ms"].is_i64() && began["gateway"].as_str().unwrap().contains(':'));
        assert_eq!(set["details"]["after"]["versions"], json!({"2": "10%"}));
        assert_eq!((&made["key"], &made["details"]), (&json!("k"), &json!({"permissions": ["a:b"], "allow_from": []})));
        assert_eq!(drained["details"], json!({"instances": ["a"], "until": "restart"}));
        assert_eq!(gone["details"], json!({"instances": ["a"], "whole": true}));
        assert_eq!((&reload["by"], &reload["number"]), (&json!("boss"), &json!(6)));
        for at in 1..expected.len() {
            assert_eq!(all["entries"][at]["previous"], all["entries"][at - 1]["sha256"]);
        }
        let page = entries(&gateway, &format!("?after={}&limit=2", began["seq"])).await;
        assert_eq!((actions(&page), &page["next"]), (vec!["split-set", "key-create"], &made["seq"]));
        if store == "disk" {
            gateway.kill();
            gateway.start_again().await;
            assert_eq!(entries(&gateway, "").await, all);
        }
    }
}

#[tokio::test]
async fn the_audit_is_for_admins_and_bad_questions_are_told() {
    let gateway = Gateway::start(&operators()).await;
    let problem = Answer::of(gateway.operate(Method::GET, "/internal/audit").bearer_auth("ops")).await;
    problem.problem(403, "operators-only");
    for query in ["?after=x", "?limit=1001", "?wait=61", "?whom=boss"] {
        let asked = gateway.operate(Method::GET, &format!("/internal/audit{query}")).bearer_auth("boss");
        assert_eq!(Answer::of(asked).await.status, 422, "{query}");
    }
    assert_eq!(
        entries(&gateway, "?after=9007199254740992").await,
        json!({"entries": [], "next": 9007199254740992_u64})
    );
}

#[tokio::test]
async fn who_follows_is_told_at_once() {
    let gateway = Gateway::start(&operators()).await;
    let waiting = entries(&gateway, "?after=0&wait=30");
    let done = async {
        tokio::time::sleep(Duration::from_millis(300)).await;
        ask(&gateway, Method::PUT, "/internal/maintenance", "ops", json!({})).await;
    };
    let begin = std::time::Instant::now();
    let (told, ()) = tokio::join!(waiting, done);
    assert_eq!(actions(&told), ["maintenance-begin"]);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

/// `furt audit` as the admin.
fn verb(gateway: &Gateway, arguments: &[&str]) -> std::process::Command {
    let mut command = furt(&[&["audit"], arguments].concat());
    command.env("FURT_URL", gateway.internal_url("")).env("FURT_TOKEN", "boss");
    command
}

#[tokio::test]
async fn the_verb_shows_follows_and_checks_it() {
    let mut gateway = Gateway::start(&format!("{}[store]\nkind = 'disk'\npath = 'furt.redb'\n", operators())).await;
    ask(&gateway, Method::PUT, "/internal/services/a/maintenance", "ops", json!({})).await;
    ask(&gateway, Method::DELETE, "/internal/services/a/maintenance", "boss", json!(null)).await;
    let shown = output_of(verb(&gateway, &[])).await;
    let text = String::from_utf8(shown.stdout).unwrap();
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].contains("  ops at 127.0.0.1  maintenance-begin  a  after={"), "{text}");
    assert!(lines[1].contains("  boss at 127.0.0.1  maintenance-end    a  before={"), "{text}");
    let json = output_of(verb(&gateway, &["-o", "json", "--limit", "1"])).await;
    assert_eq!(serde_json::from_slice::<Value>(&json.stdout).unwrap()["number"], 2);
    let checked = output_of(verb(&gateway, &["--check"])).await;
    let text = String::from_utf8(checked.stdout).unwrap();
    assert!(
        checked.status.success() && text.ends_with("2 entries are there, and none is missing between them\n"),
        "{text}"
    );

    let mut following = Command::from(verb(&gateway, &["--follow", "--limit", "1"]));
    let mut child = following.stdout(Stdio::piped()).kill_on_drop(true).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut next = async || tokio::time::timeout(SOON, lines.next_line()).await.unwrap().unwrap().unwrap();
    assert!(next().await.contains("maintenance-end"));
    ask(&gateway, Method::PUT, "/internal/services/b/maintenance", "ops", json!({})).await;
    assert!(next().await.contains("maintenance-begin  b"));
    gateway.restart().await;
    ask(&gateway, Method::PUT, "/internal/services/c/maintenance", "ops", json!({})).await;
    assert!(next().await.contains("maintenance-begin  c"), "over a restart");
    child.kill().await.unwrap();
}

#[tokio::test]
async fn an_entry_that_is_missing_or_changed_in_the_file_is_found() {
    for tamper in ["removed", "changed", "overwritten"] {
        let mut gateway = Gateway::start(&format!("{}[store]\nkind = 'disk'\npath = 'furt.redb'\n", operators())).await;
        for service in ["a", "b", "c"] {
            ask(&gateway, Method::PUT, &format!("/internal/services/{service}/maintenance"), "ops", json!({})).await;
        }
        gateway.stop().await;
        {
            let database = redb::Database::open(gateway.dir().join("furt.redb")).unwrap();
            let mut transaction = database.begin_write().unwrap();
            transaction.set_two_phase_commit(true);
            let table = redb::TableDefinition::<u64, &[u8]>::new("audit");
            let mut entries = transaction.open_table(table).unwrap();
            let text = String::from_utf8(entries.get(2).unwrap().unwrap().value().to_vec()).unwrap();
            let changed = text.replace("\"ops\"", "\"boss\"");
            match tamper {
                "removed" => drop(entries.remove(2).unwrap()),
                "changed" => drop(entries.insert(2, changed.as_bytes()).unwrap()),
                _ => drop(entries.insert(2, &b"nonsense"[..]).unwrap()),
            }
            drop(entries);
            transaction.commit().unwrap();
        }
        gateway.start_again().await;
        let checked = output_of(verb(&gateway, &["--check"])).await;
        let said = String::from_utf8(checked.stderr).unwrap();
        assert_eq!(checked.status.code(), Some(1), "{said}");
        assert!(said.contains("entry 3 of ") && said.contains("does not follow entry"), "{said}");
    }
}

#[tokio::test]
async fn a_kill_leaves_a_change_and_its_entry_together() {
    let mut gateway = Gateway::start(&format!("{}[store]\nkind = 'disk'\npath = 'furt.redb'\n", operators())).await;
    let mut known = 0;
    for round in 0..10 {
        let url = gateway.internal_url("");
        let client = client_from(None);
        let changing = tokio::spawn(async move {
            for number in 0.. {
                let url = format!("{url}/internal/services/s{round}-{number}/maintenance");
                let asked = client.put(url).bearer_auth("ops").json(&json!({}));
                if asked.send().await.is_err() {
                    return number;
                }
            }
            unreachable!()
        });
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..120))).await;
        gateway.kill();
        let answered: usize = changing.await.unwrap();
        gateway.start_again().await;
        let all = ask(&gateway, Method::GET, "/internal/maintenance", "boss", json!(null)).await;
        let on = all["maintenance"].as_array().unwrap().len();
        let audit = entries(&gateway, "?after=0&limit=1000").await;
        assert_eq!(actions(&audit).len(), on, "as many entries as changes, whenever it was killed");
        assert!(on >= known + answered, "nothing that was answered is lost");
        known = on;
        if known > 800 {
            break;
        }
    }
    let checked = output_of(verb(&gateway, &["--check"])).await;
    assert!(checked.status.success(), "{checked:?}");
}
