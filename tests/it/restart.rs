//! A gateway that has much to remember: restarted under load, and changed for as long as a day would.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::support::gateway::client_from;
use crate::support::{Gateway, Health, Origin, SOON, eventually, public_service, with};

const DISK: &str = "
    [gateway]
    health_check_interval = '2s'
    health_check_interval_down = '2s'
    health_check_timeout = '2s'
    [store]
    kind = 'disk'
    path = 'furt.redb'
    [registration]
    rate = '1000000/s'
";
const SERVICES: usize = 1_000;
/// One service in so many is dead, and known to be.
const DEAD_ONE_IN: usize = 20;
/// Clients that never stop asking.
const CLIENTS: usize = 6;
/// Tasks that change something at once: enough for batches.
const WRITERS: usize = 32;
/// More are for a desk: `DURABILITY_CHANGES=1000000` is a day of eleven a second.
const CHANGES: usize = 10_000;

fn is_dead(number: usize) -> bool {
    number.is_multiple_of(DEAD_ONE_IN)
}

/// What clients were answered: how often each status, by whether the service lives; 0: no answer.
#[derive(Debug, Default)]
struct Seen {
    of_living: BTreeMap<u16, usize>,
    of_dead: BTreeMap<u16, usize>,
}

/// Asks for services in turn until told to stop.
async fn ask_until(stop: Arc<AtomicBool>, answered: Arc<AtomicUsize>, public: String, client_number: usize) -> Seen {
    let client = client_from(None);
    let mut seen = Seen::default();
    let mut number = client_number * SERVICES / CLIENTS;
    while !stop.load(Ordering::Relaxed) {
        number = (number + 1) % SERVICES;
        let status = match client.get(format!("{public}/s{number}")).send().await {
            Ok(answer) => {
                answered.fetch_add(1, Ordering::Relaxed);
                answer.status().as_u16()
            }
            Err(_) => {
                tokio::time::sleep(Duration::from_millis(2)).await;
                0
            }
        };
        let of = if is_dead(number) { &mut seen.of_dead } else { &mut seen.of_living };
        *of.entry(status).or_default() += 1;
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_services_are_restarted_under_load_without_a_502() {
    let (mut gateway, living, mut dead) = (Gateway::start(DISK).await, Origin::start().await, Origin::start().await);
    dead.set_health(Health::Status(500));
    let mut wishes = JoinSet::new();
    let client = client_from(None);
    for number in 0..SERVICES {
        let origin = if is_dead(number) { &dead } else { &living };
        let wish = public_service(&format!("s{number}"), &origin.url(), &format!("/s{number}"));
        let wish = with(wish, json!({"health_endpoint": "/health"}));
        let request = client.post(gateway.internal_url("/internal/register-service")).json(&wish);
        wishes.spawn(async move { request.send().await.unwrap().status().as_u16() });
    }
    assert!(wishes.join_all().await.iter().all(|status| *status == 200));
    let statuses = async |gateway: &Gateway| {
        let listed = gateway.seen("/internal/services").await["services"].clone();
        let of = |status: &str| listed.as_array().unwrap().iter().filter(|one| one["status"] == status).count();
        (of("UP"), of("DOWN"))
    };
    let dead_count = SERVICES / DEAD_ONE_IN;
    let are_known =
        async |gateway: &Gateway| (statuses(gateway).await == (SERVICES - dead_count, dead_count)).then_some(());
    eventually("every verdict", Duration::from_secs(60), async || are_known(&gateway).await).await;
    // Notes of DOWN are written behind: one more answered change has them on disk.
    gateway.registered(&public_service("last", &living.url(), "/last")).await;
    gateway.operate(reqwest::Method::DELETE, "/internal/services/last").send().await.unwrap();
    dead.stop().await;

    let (stop, answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let mut clients = JoinSet::new();
    for number in 0..CLIENTS {
        clients.spawn(ask_until(Arc::clone(&stop), Arc::clone(&answered), gateway.public_url(""), number));
    }
    // As many answers as there are services: each is asked for between two starts.
    let all_were_asked = async || {
        let before = answered.load(Ordering::Relaxed);
        let are_enough = async || (answered.load(Ordering::Relaxed) >= before + SERVICES).then_some(());
        eventually("answers", Duration::from_secs(60), are_enough).await;
    };
    all_were_asked().await;
    for round in 0..4 {
        if round % 2 == 0 {
            gateway.kill();
            gateway.start_again().await;
        } else {
            gateway.restart().await;
        }
        let (_, down) = statuses(&gateway).await;
        assert_eq!(down, dead_count, "what was DOWN is DOWN from the first moment on");
        all_were_asked().await;
        eventually("every verdict again", Duration::from_secs(60), async || are_known(&gateway).await).await;
    }
    stop.store(true, Ordering::Relaxed);
    for seen in clients.join_all().await {
        assert!(seen.of_living.keys().all(|status| matches!(status, 0 | 200)), "{seen:?}");
        assert!(seen.of_dead.keys().all(|status| matches!(status, 0 | 503)), "{seen:?}");
        assert!(seen.of_living[&200] > 0 && seen.of_dead[&503] > 0, "{seen:?}");
    }
}

/// Resident memory of the gateway's process, in bytes.
fn memory_of(gateway: &Gateway) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", gateway.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<u64>().unwrap() * 1024
}

/// Each task's services.
const SERVICES_A_TASK: usize = 16;
/// The most that a service may take of the file, freed pages among it; redb doubles a file that grows.
const FILE_A_SERVICE: u64 = 16 * 1024;

/// Registers, changes and removes services of its own, once in each of these turns.
async fn change(internal: String, task: usize, turns: Range<usize>) {
    let client = client_from(None);
    let mut registered = [false; SERVICES_A_TASK];
    for turn in turns {
        let number = turn % SERVICES_A_TASK;
        let name = format!("s{task}-{number}");
        // Two changed definitions for each removal.
        let removes = registered[number] && turn / SERVICES_A_TASK % 3 == 2;
        let request = if removes {
            client.delete(format!("{internal}/internal/services/{name}"))
        } else {
            let changes = json!({"metadata": {"turn": turn.to_string()}, "revision": turn});
            let wish: Value = with(public_service(&name, "http://127.0.0.1:9", &format!("/{name}/{turn}")), changes);
            client.post(format!("{internal}/internal/register-service")).json(&wish)
        };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
        registered[number] = !removes;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn file_and_memory_stay_bounded_however_often_something_changes() {
    let changes = std::env::var("DURABILITY_CHANGES").map_or(CHANGES, |text| text.parse().unwrap());
    // Of each task, between two looks.
    let turns = changes / 5 / WRITERS;
    let mut gateway = Gateway::start(DISK).await;
    let mut sizes = Vec::new();
    // The first fifth fills the allocator's free lists; what it comes to must do for the rest.
    for part in 0..5 {
        let mut writers = JoinSet::new();
        for task in 0..WRITERS {
            writers.spawn(change(gateway.internal_url(""), task, part * turns..(part + 1) * turns));
        }
        writers.join_all().await;
        let file = fs::metadata(gateway.dir().join("furt.redb")).unwrap().len();
        sizes.push((file, memory_of(&gateway)));
        eprintln!(
            "{} of {changes} changes: file {file} bytes, memory {} bytes",
            (part + 1) * changes / 5,
            sizes[part].1
        );
    }
    assert!(sizes.iter().all(|(file, _)| *file <= (WRITERS * SERVICES_A_TASK) as u64 * FILE_A_SERVICE), "{sizes:?}");
    let ((_, first_memory), (_, last_memory)) = (sizes[0], sizes[4]);
    assert!(last_memory <= first_memory + first_memory / 2, "{sizes:?}");
    let generation = gateway.seen("/internal/services").await["generation"].as_u64().unwrap();
    assert!(generation & 0xffff_ffff >= (turns * 5 * WRITERS) as u64, "each changed something");
    let before = gateway.seen("/internal/services").await["services"].as_array().unwrap().len();
    gateway.kill();
    gateway.start_again().await;
    eventually("all is back", SOON, async || {
        let services = gateway.seen("/internal/services").await;
        (services["services"].as_array().unwrap().len() == before).then_some(())
    })
    .await;
}
