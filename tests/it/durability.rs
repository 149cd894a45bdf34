//! Nothing answered is lost: kills, restarts, files that others hold, bad files, full disks, and the verbs for stores.

mod keys;

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::gateway::{client_from, furt, output_of};
use crate::support::{Answer, Gateway, Health, Origin, SOON, eventually, ports, public_service, throughout, with};

const DISK: &str = "
    [store]
    kind = 'disk'
    path = 'furt.redb'
    [registration]
    rate = '100000/s'
";
/// More are for a desk: `DURABILITY_KILLS=200`.
const KILLS: usize = 25;
/// Tasks that register and deregister at once, each with services of its own.
const TASKS: usize = 6;
const SERVICES_A_TASK: usize = 8;
/// The same of keys.
const KEY_TASKS: usize = 2;
const KEYS_A_TASK: usize = 4;

fn store_of(gateway: &Gateway) -> PathBuf {
    gateway.dir().join("furt.redb")
}

async fn crash(gateway: &mut Gateway) {
    gateway.kill();
    gateway.start_again().await;
}

/// What a task was answered of its services; `None`: the kill came between.
type Known = BTreeMap<String, Option<bool>>;

/// Registers and deregisters until furt is gone.
async fn change_until_killed(internal: String, mut known: Known, answered: Arc<AtomicUsize>) -> Known {
    let client = client_from(None);
    let names: Vec<_> = known.keys().cloned().collect();
    loop {
        let name = &names[fastrand::usize(..names.len())];
        // One in eight must be refused: the route is another's.
        let path = if fastrand::u8(..8) == 0 { "/rock".to_owned() } else { format!("/{name}") };
        let registers = path == "/rock" || fastrand::bool();
        let request = if registers {
            let body = with(public_service(name, "http://127.0.0.1:9", &path), json!({"revision": 0}));
            client.post(format!("{internal}/internal/register-service")).json(&body)
        } else {
            client.delete(format!("{internal}/internal/services/{name}"))
        };
        let before = known.insert(name.clone(), None).unwrap();
        // The status alone is the answer, whether the body arrived or not.
        let Ok(answer) = request.send().await else {
            // What is refused changes nothing, heard or not.
            if path == "/rock" {
                known.insert(name.clone(), before);
            }
            return known;
        };
        let status = answer.status().as_u16();
        let after = match (registers, status) {
            (true, 200) => {
                assert_ne!(path, "/rock");
                Some(true)
            }
            (false, 200 | 404) => Some(false),
            (true, 409) => {
                assert_eq!(path, "/rock");
                before
            }
            _ => panic!("{status} to {path}, {registers}"),
        };
        known.insert(name.clone(), after);
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

async fn services(gateway: &Gateway) -> BTreeMap<String, Value> {
    let listed = gateway.seen("/internal/services").await["services"].as_array().unwrap().clone();
    listed.into_iter().map(|service| (service["service"].as_str().unwrap().to_owned(), service)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_answered_survives_kills_and_what_was_refused_does_not_appear() {
    let kills = std::env::var("DURABILITY_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut gateway = Gateway::start(DISK).await;
    gateway.registered(&public_service("rock", "http://127.0.0.1:9", "/rock")).await;
    let route = json!([{"method": "*", "path": keys::GUARDED, "permission": "kept"}]);
    let guarded = with(public_service("guarded", "http://127.0.0.1:9", "/"), json!({"routes": route}));
    gateway.registered(&guarded).await;
    let mut api_keys: Vec<keys::Keys> = (0..KEY_TASKS)
        .map(|task| (0..KEYS_A_TASK).map(|number| (format!("k{task}-{number}"), Default::default())).collect())
        .collect();
    let epoch = gateway.seen("/internal/services").await["epoch"].clone();
    let name = |task: usize, number: usize| format!("s{task}-{number}");
    let mut known: Vec<Known> =
        (0..TASKS).map(|task| (0..SERVICES_A_TASK).map(|number| (name(task, number), Some(false))).collect()).collect();
    let mut answers = 0;
    for kill in 0..kills {
        let answered = Arc::new(AtomicUsize::new(0));
        let start =
            |known: Known| tokio::spawn(change_until_killed(gateway.internal_url(""), known, Arc::clone(&answered)));
        let tasks: Vec<_> = known.drain(..).map(start).collect();
        let start = |known: keys::Keys| {
            tokio::spawn(keys::change_until_killed(gateway.internal_url(""), known, Arc::clone(&answered)))
        };
        let key_tasks: Vec<_> = api_keys.drain(..).map(start).collect();
        let enough = fastrand::usize(1..80);
        eventually("answers", SOON, async || (answered.load(Ordering::Relaxed) >= enough).then_some(())).await;
        gateway.kill();
        for task in tasks {
            known.push(task.await.unwrap());
        }
        for task in key_tasks {
            api_keys.push(task.await.unwrap());
        }
        answers += answered.load(Ordering::Relaxed);
        gateway.start_again().await;
        let there = services(&gateway).await;
        assert!(there.contains_key("rock"));
        assert_eq!(gateway.seen("/internal/services").await["epoch"], epoch);
        for (name, state) in known.iter_mut().flatten() {
            let is_there = there.contains_key(name);
            assert_eq!(state.unwrap_or(is_there), is_there, "{name} after kill {kill}");
            *state = Some(is_there);
        }
        for known in &mut api_keys {
            keys::check(&gateway, known).await;
        }
        assert!(there.values().all(|service| service["routes"].as_array().unwrap().len() == 1));
    }
    eprintln!("{kills} kills, {answers} answers");
}

#[tokio::test]
async fn after_a_kill_the_dead_is_503_and_the_living_is_routed_at_once() {
    let (mut gateway, mut dead, living) = (Gateway::start(DISK).await, Origin::start().await, Origin::start().await);
    let service = |name: &str, origin: &Origin| {
        with(public_service(name, &origin.url(), &format!("/{name}")), json!({"health_endpoint": "/health"}))
    };
    gateway.registered_and_up(&service("living", &living)).await;
    gateway.registered_and_up(&service("dead", &dead)).await;
    dead.set_health(Health::Status(500));
    gateway.status_becomes("dead", "DOWN").await;
    // Written behind the change of status, which nobody waits for.
    gateway.registered(&public_service("later", &living.url(), "/later")).await;
    dead.stop().await;
    for _ in 0..3 {
        crash(&mut gateway).await;
        gateway.get("/dead").await.problem(503, "service-down");
        assert_eq!(gateway.get("/living").await.status, 200);
        assert_eq!(gateway.get("/later").await.status, 200);
        assert_eq!(gateway.service("dead").await.unwrap()["status"], "DOWN");
        throughout("never 502", Duration::from_millis(500), async || gateway.get("/dead").await.status == 503).await;
        gateway.status_becomes("living", "UP").await;
    }
    dead.set_health(Health::Healthy);
    dead.restart().await;
    gateway.status_becomes("dead", "UP").await;
    assert_eq!(gateway.get("/dead").await.status, 200);
}

async fn is_there(gateway: &Gateway, name: &str) -> bool {
    let service = gateway.service(name).await;
    service.is_some_and(|service| service["instances"].as_array().is_some_and(|instances| !instances.is_empty()))
}

#[tokio::test]
async fn a_ttl_begins_anew_with_a_start() {
    let mut gateway = Gateway::start(DISK).await;
    let wish = with(public_service("a", "http://127.0.0.1:9", "/a"), json!({"heartbeat_ttl": 2}));
    gateway.registered(&wish).await;
    throughout("registered", Duration::from_millis(1_200), async || is_there(&gateway, "a").await).await;
    crash(&mut gateway).await;
    throughout("still registered", Duration::from_millis(1_300), async || is_there(&gateway, "a").await).await;
    eventually("it expires", SOON, async || (!is_there(&gateway, "a").await).then_some(())).await;
}

#[tokio::test]
async fn who_heartbeats_without_naming_a_ttl_is_held_to_it_after_a_start() {
    let config = DISK.replace("[registration]", "[registration]\nheartbeat_ttl = 2");
    let mut gateway = Gateway::start(&config).await;
    for name in ["a", "silent"] {
        let wish = public_service(name, "http://127.0.0.1:9", &format!("/{name}"));
        assert!(wish["health_endpoint"].is_null() && wish["heartbeat_ttl"].is_null());
        gateway.registered(&wish).await;
    }
    gateway.heartbeat("a", "a").await.ok();
    // Written behind the note, which nobody waits for.
    gateway.registered(&public_service("later", "http://127.0.0.1:9", "/later")).await;
    crash(&mut gateway).await;
    assert_eq!(gateway.instance("a").await["heartbeat_ttl"], 2.0);
    throughout("in full", Duration::from_millis(1_300), async || is_there(&gateway, "a").await).await;
    eventually("it expires", SOON, async || (!is_there(&gateway, "a").await).then_some(())).await;
    assert!(is_there(&gateway, "silent").await);
}

#[tokio::test]
async fn an_instance_where_furt_listens_by_now_is_kept_and_not_routed() {
    let (mut gateway, origin) = (Gateway::start(DISK).await, Origin::start().await);
    let later = ports::free_address();
    gateway.registered(&public_service("a", &format!("http://{later}"), "/a")).await;
    gateway.stop().await;
    gateway.public = later;
    gateway.configure(DISK);
    gateway.start_again().await;
    let shown = gateway.service("a").await.unwrap();
    assert!(shown["blocked"].as_str().unwrap().contains("a listener of furt itself"), "{shown}");
    assert_eq!(gateway.get("/a").await.status, 404);
    gateway.registered(&public_service("a", &origin.url(), "/a")).await;
    assert_eq!(gateway.get("/a").await.status, 200);
}

#[tokio::test]
async fn with_the_memory_store_a_start_forgets() {
    let mut gateway = Gateway::start("").await;
    gateway.registered(&public_service("a", "http://127.0.0.1:9", "/a")).await;
    crash(&mut gateway).await;
    assert_eq!(gateway.heartbeat("a", "a").await.status, 404);
}

#[tokio::test]
async fn a_second_furt_on_the_same_store_ends_and_says_who_has_it() {
    let gateway = Gateway::start(DISK).await;
    gateway.registered(&public_service("a", "http://127.0.0.1:9", "/a")).await;
    let path = store_of(&gateway);
    let config = gateway.dir().join("second.toml");
    let text = format!(
        "[server]\nlisten = ['{}']\n[internal]\nlisten = '{}'\n[store]\npath = '{}'\n",
        ports::free_address(),
        ports::free_address(),
        path.display()
    );
    fs::write(&config, text).unwrap();
    for arguments in [
        &["run", "--config", config.to_str().unwrap()][..],
        &["store", "check", path.to_str().unwrap()],
        &["store", "export", "--config", config.to_str().unwrap()],
    ] {
        let output = output_of(furt(arguments)).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains(&format!("in use by process {}", gateway.id())), "{said}");
        assert!(said.contains(path.to_str().unwrap()), "{said}");
        assert_eq!(said.contains("--running"), arguments.contains(&"export"), "{said}");
    }
    assert!(gateway.service("a").await.is_some());
    gateway.registered(&public_service("b", "http://127.0.0.1:9", "/b")).await;
}

#[tokio::test]
async fn a_bad_store_stops_the_start_and_stays_as_it_is() {
    let mut gateway = Gateway::start(DISK).await;
    gateway.registered(&public_service("a", "http://127.0.0.1:9", "/a")).await;
    gateway.stop().await;
    let path = store_of(&gateway);
    let bytes = fs::read(&path).unwrap();
    // Which of the two commits is the newest: the one before is sound, too, and may not come back. Where else a bit may
    // flip is looked at beside the store.
    let mut bent = bytes.clone();
    bent[9] ^= 1;
    for bad in [bytes[..bytes.len() / 2].to_vec(), Vec::new(), b"something else".repeat(500), bent] {
        fs::write(&path, &bad).unwrap();
        let mut command = furt(&["run", "--config", gateway.config.to_str().unwrap()]);
        command.current_dir(gateway.dir());
        let output = output_of(command).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert!(said.contains("furt.redb") && said.contains("put a copy back in its place"), "{said}");
        assert!(fs::read(&path).unwrap() == bad, "it was changed");
    }
    fs::write(&path, &bytes).unwrap();
    gateway.start_again().await;
    assert!(gateway.service("a").await.is_some());
}

#[tokio::test]
async fn a_full_disk_refuses_registrations_and_recovers_without_a_restart() {
    let mut gateway = Gateway::start_limited(DISK).await;
    let origin = Origin::start().await;
    gateway.registered(&public_service("before", &origin.url(), "/before")).await;
    let size = fs::metadata(store_of(&gateway)).unwrap().len();
    gateway.limit_files(Some(size));
    let ballast = "x".repeat(200);
    let large = |number: usize| {
        let metadata: BTreeMap<_, _> = (0..15).map(|key| (format!("k{key}"), ballast.as_str())).collect();
        let wish = public_service(&format!("s{number}"), &origin.url(), &format!("/s{number}"));
        with(wish, json!({"metadata": metadata}))
    };
    let mut taken = Vec::new();
    let refused = loop {
        let answer = gateway.register(&large(taken.len())).await;
        if answer.status != 200 {
            break answer;
        }
        taken.push(taken.len());
        assert!(taken.len() < 5_000, "the disk is never full");
    };
    refused.problem(503, "store-unavailable");
    let health = async || Answer::of(gateway.anonymous(Method::GET, "/health")).await;
    assert_eq!(health().await.json()["status"], "degraded");
    assert_eq!(gateway.get("/before").await.status, 200, "traffic flows");
    assert!(gateway.service(&format!("s{}", taken.len())).await.is_none(), "what was refused is not there");

    gateway.limit_files(None);
    // By itself: nobody asks for a change meanwhile.
    eventually("it is well again", Duration::from_secs(30), async || {
        (health().await.json()["status"] == "healthy").then_some(())
    })
    .await;
    gateway.registered(&large(taken.len())).await;
    crash(&mut gateway).await;
    let there = services(&gateway).await;
    assert_eq!(there.len(), taken.len() + 2);
}

#[tokio::test]
async fn a_store_is_checked_exported_and_imported() {
    let mut gateway = Gateway::start(DISK).await;
    for name in ["a", "b"] {
        gateway.registered(&public_service(name, "http://127.0.0.1:9", &format!("/{name}"))).await;
    }
    let key =
        json!({"name": "web", "permissions": ["x"], "rate": "5/s", "allow_from": ["10.0.0.0/8"], "expires": "1h"});
    Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&key)).await.ok();
    let key = gateway.seen("/internal/keys/web").await;
    let message = json!({"message": "back soon"});
    Answer::of(gateway.operate(Method::PUT, "/internal/services/b/maintenance").json(&message)).await.ok();
    let maintenance = gateway.seen("/internal/maintenance").await["maintenance"].clone();
    gateway.stop().await;
    let path = store_of(&gateway);
    let run = async |arguments: &[&str]| {
        let mut command = furt(arguments);
        command.current_dir(gateway.dir());
        let output = output_of(command).await;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
    };
    let before = fs::read(&path).unwrap();
    let (code, said, _) = run(&["store", "check", "furt.redb"]).await;
    assert_eq!(
        (code, said.as_str()),
        (
            0,
            "furt.redb: ok: 2 services, 2 instances, 0 of them DOWN, 0 draining, 0 ids held, 1 API keys, 1 in maintenance, 0 splits, 0 grants\n"
        )
    );
    let (code, said, _) = run(&["store", "check", "--config", "furt.toml", "-o", "json"]).await;
    assert_eq!(code, 0);
    assert_eq!(
        said.parse::<Value>().unwrap(),
        json!({"services": 2, "instances": 2, "down": 0, "draining": 0, "held": 0, "keys": 1, "maintenance": 1, "splits": 0, "grants": 0})
    );
    let (code, exported, _) = run(&["store", "export", "furt.redb"]).await;
    assert_eq!(code, 0);
    assert!(fs::read(&path).unwrap() == before, "looking changes nothing");

    fs::write(gateway.dir().join("copy.json"), &exported).unwrap();
    let (code, _, said) = run(&["store", "import", "copy.json", "--into", "furt.redb"]).await;
    assert!(code == 1 && said.contains("furt.redb exists"), "{said}");
    assert!(fs::read(&path).unwrap() == before);
    fs::remove_file(&path).unwrap();
    let (code, said, _) = run(&["store", "import", "copy.json", "--into", "furt.redb"]).await;
    assert_eq!(
        (code, said.as_str()),
        (
            0,
            "furt.redb: ok: 2 services, 2 instances, 0 of them DOWN, 0 draining, 0 ids held, 1 API keys, 1 in maintenance, 0 splits, 0 grants\n"
        )
    );
    let (_, again, _) = run(&["store", "export", "furt.redb"]).await;
    assert_eq!(again, exported);
    gateway.start_again().await;
    assert_eq!(services(&gateway).await.len(), 2);
    assert_eq!(gateway.seen("/internal/keys/web").await, key);
    assert_eq!(gateway.seen("/internal/maintenance").await["maintenance"], maintenance);

    let bad = exported.replace("\"policy\": \"", "\"policy\": \"un");
    fs::write(gateway.dir().join("bad.json"), bad).unwrap();
    let mut command = furt(&["store", "import", "bad.json", "--into", "new.redb"]);
    command.current_dir(gateway.dir());
    let output = output_of(command).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("the record of service \"a\""), "{said}");
    assert!(!gateway.dir().join("new.redb").exists());
}

#[tokio::test]
async fn the_store_of_a_running_furt_is_exported_by_it() {
    let mut gateway = Gateway::start(DISK).await;
    for name in ["a", "b"] {
        gateway.registered(&public_service(name, "http://127.0.0.1:9", &format!("/{name}"))).await;
    }
    let key = json!({"name": "web", "permissions": ["x"]});
    Answer::of(gateway.operate(Method::POST, "/internal/keys").json(&key)).await.ok();
    assert!(gateway.cli(&["drain", "b"]).await.status.success());
    let of = async |arguments: &[&str]| {
        let output = gateway.cli(arguments).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    let exported = of(&["store", "export", "--running"]).await;
    fs::write(gateway.dir().join("copy.json"), &exported).unwrap();
    gateway.registered(&public_service("c", "http://127.0.0.1:9", "/c")).await;
    let said = of(&["store", "import", "copy.json", "--into", "fresh.redb"]).await;
    assert!(said.contains("2 services, 2 instances") && said.contains("1 draining, 0 ids held, 1 API keys"), "{said}");
    assert_eq!(of(&["store", "export", "fresh.redb"]).await, exported, "not a byte differs");
    let later = of(&["store", "export", "--running"]).await;
    gateway.stop().await;
    let closed = gateway.cli(&["store", "export", "furt.redb"]).await.stdout;
    let (mut later, mut closed): (Value, Value) = (later.parse().unwrap(), serde_json::from_slice(&closed).unwrap());
    // Who is DOWN is noted whenever probes find it.
    later["down"] = Value::Null;
    closed["down"] = Value::Null;
    assert_eq!(later, closed);
    assert_eq!(closed["definitions"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn only_operators_export_the_store_and_only_one_of_a_file() {
    let digest = furt_core::model::Sha256Digest::of(b"operator-token");
    let gateway = Gateway::start(&format!("{DISK}[internal]\noperator_token_sha256 = '{digest}'")).await;
    let output = gateway.cli(&["store", "export", "--running"]).await;
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stderr).contains("operators-only"), "{output:?}");
    let gateway = Gateway::start("").await;
    let output = gateway.cli(&["store", "export", "--running"]).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("no-store-file"), "{output:?}");
}
