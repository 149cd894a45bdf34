//! Services in five languages by `furt join` at three gateways, of which one dies each ten seconds.

use std::time::{Duration, Instant};

use crate::background::Background;
use crate::foreign::Etcd;
use crate::gateways::{agree, is_routed, stored_at};
use crate::joined::{Joined, Language};
use crate::support::{Gateway, SOON};

const SERVICES: usize = 10;
const KILLS: usize = 6;
/// From one kill to the next; for half of it the gateway is away.
const BETWEEN: Duration = Duration::from_secs(10);
/// Java compiles its source first.
const START: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ten_services_in_five_languages_fail_no_request_while_gateways_die() {
    let etcd = Etcd::three().await;
    let tail = stored_at(&etcd.endpoints());
    let mut gateways = [Gateway::start(&tail).await, Gateway::start(&tail).await, Gateway::start(&tail).await];
    let all = gateways.each_ref();
    let services: Vec<_> = (0..SERVICES)
        .map(|at| {
            let language = Language::ALL[at % Language::ALL.len()];
            Joined::start(&format!("{language:?}{at}").to_lowercase(), language, &all, "ttl=10")
        })
        .collect();
    let paths: Vec<_> = services.iter().map(Joined::path).collect();
    for gateway in all {
        for path in &paths {
            is_routed(gateway, path, START).await;
        }
    }
    let load = Background::requests_somewhere(&all, &paths);
    for round in 0..KILLS {
        let next = Instant::now() + BETWEEN;
        let killed = &mut gateways[round % 3];
        killed.kill();
        tokio::time::sleep(BETWEEN / 2).await;
        killed.start_again().await;
        for path in &paths {
            is_routed(killed, path, SOON).await;
        }
        tokio::time::sleep_until(next.into()).await;
    }
    let requests = load.stop().await;
    println!("requests: {requests}");
    requests.none_failed("requests", 2_000);
    agree(&gateways, &etcd).await;
}
