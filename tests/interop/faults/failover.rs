//! Members of etcd that die or freeze under load: no request of a service that lives fails.

use std::time::{Duration, Instant};

use crate::background::Background;
use crate::foreign::Etcd;
use crate::gateways::{
    agree, beating_service, is_not_routed, is_routed, metric, pair, reach_becomes, registered_at_last, shared_service,
};
use crate::support::{Gateway, Origin, SOON};

const TTL: Duration = Duration::from_secs(3);
const SERVICES: usize = 60;

/// Two gateways, sixty services that beat, and requests for all of them.
struct Scene {
    etcd: Etcd,
    gateways: [Gateway; 2],
    origin: Origin,
    load: Background,
    beats: Background,
}

impl Scene {
    async fn of(etcd: Etcd) -> Self {
        let (origin, gateways) = (Origin::start().await, pair(&etcd).await);
        let names: Vec<_> = (0..SERVICES).map(|number| format!("s{number}")).collect();
        for (number, name) in names.iter().enumerate() {
            gateways[number % 2].registered(&beating_service(name, &origin.url(), TTL)).await;
        }
        for gateway in &gateways {
            is_routed(gateway, &format!("/s{}", SERVICES - 1), SOON).await;
        }
        let both = [&gateways[0], &gateways[1]];
        let paths: Vec<_> = names.iter().map(|name| format!("/{name}")).collect();
        let instances: Vec<_> = names.iter().map(|name| (name.clone(), name.clone())).collect();
        let load = Background::requests(&both, &paths);
        let beats = Background::heartbeats(&both, &instances, TTL / 3);
        Self { etcd, gateways, origin, load, beats }
    }

    /// Waits until a new service is registered and routed everywhere; how long it took and how often it was refused.
    async fn registers(&self, name: &str) -> (Duration, usize) {
        let begin = Instant::now();
        let refused = registered_at_last(&self.gateways[0], &shared_service(name, &self.origin.url()), SOON).await;
        let taken = begin.elapsed();
        is_routed(&self.gateways[1], &format!("/{name}"), SOON).await;
        (taken, refused)
    }

    async fn restored(&self) -> f64 {
        metric(&self.gateways[0], "furt_store_restored_total").await
            + metric(&self.gateways[1], "furt_store_restored_total").await
    }

    /// Nothing failed; all agree in the end.
    async fn ends(self) {
        let (requests, beats) = (self.load.stop().await, self.beats.stop().await);
        println!("requests: {requests}; heartbeats: {beats}");
        requests.none_failed("requests", 1_000);
        beats.none_failed("heartbeats", SERVICES);
        // Nobody beats any more, so all of it goes, at both gateways and in etcd.
        for number in 0..SERVICES {
            for gateway in &self.gateways {
                is_not_routed(gateway, &format!("/s{number}"), TTL + SOON).await;
            }
        }
        agree(&self.gateways, &self.etcd).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_is_killed_costs_no_request_and_seconds_of_registrations() {
    let mut scene = Scene::of(Etcd::three().await).await;
    for round in 0..3 {
        let leader = scene.etcd.leader().await;
        scene.etcd.members[leader].kill();
        let (taken, refused) = scene.registers(&format!("after-{round}")).await;
        println!("round {round}: registered after {taken:?}, refused {refused} times");
        assert!(taken < Duration::from_secs(8), "{taken:?}");
        scene.etcd.start_all().await;
        scene.load.more(500).await;
    }
    scene.ends().await;
}

/// A leader that freezes renews nothing, and one that wakes may revoke what others renewed: etcd issue 15247.
async fn leader_freezes(rounds: usize, during: Duration) {
    let scene = Scene::of(Etcd::three().await).await;
    let mut in_rounds = Vec::new();
    for round in 0..rounds {
        let (leader, before) = (scene.etcd.leader().await, scene.restored().await);
        scene.etcd.members[leader].freeze();
        let (taken, refused) = scene.registers(&format!("frozen-{round}")).await;
        tokio::time::sleep(during).await;
        scene.etcd.members[leader].thaw();
        scene.etcd.becomes_healthy().await;
        // What the old leader revokes it revokes now.
        tokio::time::sleep(Duration::from_secs(2)).await;
        in_rounds.push(scene.restored().await - before);
        println!("round {round}: registered after {taken:?}, refused {refused} times; restored {:?}", in_rounds.last());
    }
    println!("leader frozen for {during:?}, {rounds} rounds: restored {in_rounds:?}");
    scene.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_freezes_for_six_seconds_costs_no_request_in_ten_rounds() {
    leader_freezes(10, Duration::from_secs(6)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_freezes_for_fifteen_seconds_costs_no_request() {
    leader_freezes(2, Duration::from_secs(15)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_member_that_freezes_longer_than_each_ttl_costs_no_request() {
    let scene = Scene::of(Etcd::one().await).await;
    for round in 0..3 {
        scene.etcd.members[0].freeze();
        tokio::time::sleep(TTL * 3).await;
        scene.etcd.members[0].thaw();
        let (taken, refused) = scene.registers(&format!("frozen-{round}")).await;
        tokio::time::sleep(Duration::from_secs(2)).await;
        println!(
            "round {round}: registered after {taken:?}, refused {refused} times; restored so far {}",
            scene.restored().await
        );
    }
    assert!(scene.restored().await > 0.0, "what etcd revoked is stored again");
    scene.ends().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_etcd_killed_for_longer_than_each_ttl_costs_no_request() {
    let mut scene = Scene::of(Etcd::three().await).await;
    scene.gateways[0].registered(&beating_service("silent", &scene.origin.url(), TTL)).await;
    is_routed(&scene.gateways[1], "/silent", SOON).await;
    scene.etcd.kill_all();
    for gateway in &scene.gateways {
        reach_becomes(gateway, false, SOON).await;
    }
    tokio::time::sleep(TTL * 4).await;
    scene.gateways[1].register(&shared_service("new", &scene.origin.url())).await.problem(503, "store-unavailable");
    scene.etcd.start_all().await;
    let begin = Instant::now();
    for gateway in &scene.gateways {
        reach_becomes(gateway, true, Duration::from_secs(5)).await;
    }
    let (taken, _) = scene.registers("new").await;
    println!("back after {:?}, registered after {taken:?} more", begin.elapsed() - taken);
    for gateway in &scene.gateways {
        is_not_routed(gateway, "/silent", TTL + Duration::from_secs(5)).await;
    }
    println!("the silent one is gone {:?} after etcd is back", begin.elapsed());
    scene.ends().await;
}
