//! Ten thousand instances: the start, memory, and what heartbeats cost.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinSet;

use crate::background::Background;
use crate::foreign::Etcd;
use crate::gateways::{metric, pair, shared_service, stored_at};
use crate::support::gateway::client_from;
use crate::support::{Gateway, Origin, eventually, with};

/// `INTEROP_INSTANCES=2000` is enough for a look.
const INSTANCES: usize = 10_000;
const EACH: usize = 5;
/// Longer than all of them take to register, one beat a sixth of it: 500 a second.
const TTL: Duration = Duration::from_secs(120);
const BEAT: Duration = Duration::from_secs(20);
/// How long they beat; `INTEROP_SECONDS=600` shows whether memory grows.
const MEASURED: Duration = Duration::from_secs(60);

fn instances_wanted() -> usize {
    std::env::var("INTEROP_INSTANCES").map_or(INSTANCES, |count| count.parse().unwrap())
}

fn measured() -> Duration {
    std::env::var("INTEROP_SECONDS").map_or(MEASURED, |seconds| Duration::from_secs(seconds.parse().unwrap()))
}

fn body(number: usize, url: &str) -> serde_json::Value {
    let (service, instance) = names(number);
    // A url of its own for each: ten loopback addresses times a port for each service would be too many sockets to listen at.
    let url = url.replace("127.0.0.1", &format!("127.0.{}.{}", number % EACH, 1 + number / EACH % 250));
    with(shared_service(&service, &url), json!({"instance": instance, "heartbeat_ttl": TTL.as_secs()}))
}

fn names(number: usize) -> (String, String) {
    (format!("s{}", number / EACH), format!("i{number}"))
}

/// Seconds of CPU that a process has used.
fn cpu(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    // Fields 14 and 15 of proc_pid_stat(5), in hundredths of a second.
    (fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap()) / 100.0
}

fn resident_mib(id: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

async fn instances(gateway: &Gateway) -> usize {
    let listed = gateway.seen("/internal/services").await;
    listed["services"].as_array().unwrap().iter().map(|one| one["instances"].as_array().unwrap().len()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_thousand_instances_start_beat_and_lapse() {
    let (mut etcd, origin) = (Etcd::three().await, Origin::everywhere("origin").await);
    let [a, b] = pair(&etcd).await;
    let url = origin.url().replace("0.0.0.0", "127.0.0.1");
    let wanted = instances_wanted();
    let begin = Instant::now();
    let mut callers = JoinSet::new();
    for caller in 0..32 {
        let (client, url) = (client_from(None), url.clone());
        let register = if caller % 2 == 0 { &a } else { &b }.internal_url("/internal/register-service");
        callers.spawn(async move {
            // Of one service all at one caller: its instances come one after the other.
            for number in (0..wanted).filter(|number| number / EACH % 32 == caller) {
                loop {
                    let answer = client.post(&register).json(&body(number, &url)).send().await.unwrap();
                    let status = answer.status();
                    assert!(status == 200 || status == 503, "{status}: {}", answer.text().await.unwrap());
                    if status == 200 {
                        break;
                    }
                }
            }
        });
    }
    callers.join_all().await;
    let outdated =
        metric(&a, "furt_store_writes_outdated_total").await + metric(&b, "furt_store_writes_outdated_total").await;
    println!("{wanted} instances registered in {:?}, {outdated} writes were outdated", begin.elapsed());
    let all: Vec<_> = (0..wanted).map(names).collect();
    let beats = Background::heartbeats(&[&a, &b], &all, BEAT);
    for gateway in [&a, &b] {
        eventually("all are there", TTL, async || (instances(gateway).await == wanted).then_some(())).await;
    }

    let begin = Instant::now();
    let mut third = Gateway::start(&stored_at(&etcd.endpoints())).await;
    println!("a third gateway is ready after {:?}", begin.elapsed());
    let first_start = begin.elapsed();
    assert_eq!(instances(&third).await, wanted);
    third.stop().await;
    drop(third);

    let revision = etcd.ctl().revision().await;
    let leader = etcd.leader().await;
    let programs = [("A", a.id()), ("B", b.id()), ("etcd's leader", etcd.members[leader].id())];
    let before = programs.map(|(_, id)| (cpu(id), resident_mib(id)));
    let (begin, done) = (Instant::now(), beats.outcome().done);
    tokio::time::sleep(measured()).await;
    let taken = begin.elapsed().as_secs_f64();
    let beaten = beats.outcome().done - done;
    println!("{:.0} heartbeats a second", beaten as f64 / taken);
    for ((name, id), (cpu_before, mib_before)) in programs.into_iter().zip(before) {
        let (share, mib) = ((cpu(id) - cpu_before) / taken * 100.0, resident_mib(id));
        println!("{name}: {share:.1} % of a core, {mib_before:.0} MiB, then {mib:.0} MiB");
    }
    let grown = etcd.ctl().revision().await - revision;
    println!("etcd's revision grew by {grown} in {taken:.0} s");
    // Two gateways look after themselves now and then; ten thousand beats write nothing.
    assert!(grown < 50 * (1 + measured().as_secs() / 60), "{grown}");
    for gateway in [&a, &b] {
        assert_eq!(instances(gateway).await, wanted);
        assert_eq!(metric(gateway, "furt_store_records_refused").await, 0.0);
    }
    let beaten = beats.stop().await;
    println!("heartbeats: {beaten}");
    assert_eq!(beaten.failed, 0, "{beaten:?}");

    // All lapse at once. etcd ends a thousand a second.
    let begin = Instant::now();
    for gateway in [&a, &b] {
        eventually("all are gone", TTL * 3, async || (instances(gateway).await == 0).then_some(())).await;
    }
    println!("all are gone {:?} after the last heartbeat of a round", begin.elapsed());
    // In a debug build; a release build is several times as fast.
    assert!(first_start < Duration::from_secs(6), "{first_start:?}");
    etcd.kill_all();
}
