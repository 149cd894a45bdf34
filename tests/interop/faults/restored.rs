//! Another etcd stands where the store was: an older one, an empty one, one of another epoch.

use std::time::Duration;

use serde_json::json;

use crate::background::Background;
use crate::foreign::Etcd;
use crate::gateways::{PREFIX, beating_service, health, is_routed, pair, reach_becomes, shared_service, status};
use crate::support::{Gateway, Origin, SOON, throughout, with};

const TTL: Duration = Duration::from_secs(3);

async fn scene() -> (Etcd, Origin, [Gateway; 2], Background, Background) {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let gateways = pair(&etcd).await;
    gateways[0].registered(&beating_service("beating", &origin.url(), TTL)).await;
    gateways[0].registered(&shared_service("still", &origin.url())).await;
    for path in ["/beating", "/still"] {
        is_routed(&gateways[1], path, SOON).await;
    }
    let both = [&gateways[0], &gateways[1]];
    let load = Background::requests(&both, &["/beating".into(), "/still".into()]);
    let beats = Background::heartbeats(&both, &[("beating".into(), "beating".into())], TTL / 4);
    (etcd, origin, gateways, load, beats)
}

/// Degraded, says why, touches nothing, drops nothing.
async fn stays_apart(etcd: &Etcd, origin: &Origin, gateways: &[Gateway]) {
    let before = etcd.ctl().below(&format!("{PREFIX}v1/")).await;
    for gateway in gateways {
        reach_becomes(gateway, false, SOON).await;
        let said = health(gateway).await;
        assert_eq!(said["status"], "degraded");
        let said = said.to_string();
        let reasons = ["another store has taken its place", "went back in time", "nothing is stored below"];
        assert!(reasons.iter().any(|reason| said.contains(reason)), "says so: {said}");
        assert!(said.contains("restart furt"), "says what to do: {said}");
    }
    throughout("it stays apart", TTL * 2, async || {
        status(&gateways[0], "/still").await == 200 && status(&gateways[1], "/beating").await == 200
    })
    .await;
    gateways[0].register(&shared_service("new", &origin.url())).await.problem(503, "store-unavailable");
    let names = |entries: Vec<crate::foreign::Entry>| {
        // Leases end in it as they would.
        let kept = entries.into_iter().filter(|one| one.lease == 0);
        kept.map(|one| (one.key, one.value)).collect::<Vec<_>>()
    };
    assert_eq!(names(etcd.ctl().below(&format!("{PREFIX}v1/")).await), names(before), "nothing is touched");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_snapshot_drops_nothing_and_is_not_written_to() {
    let (mut etcd, origin, gateways, load, beats) = scene().await;
    let snapshot = etcd.file("snapshot");
    etcd.ctl().save_snapshot(&snapshot).await;
    for number in 0..20 {
        gateways[0].registered(&shared_service(&format!("later{number}"), &origin.url())).await;
    }
    etcd.restore(&snapshot).await;
    stays_apart(&etcd, &origin, &gateways).await;
    assert_eq!(status(&gateways[1], "/later19").await, 200);
    load.stop().await.none_failed("requests", 1_000);
    beats.stop().await.none_failed("heartbeats", 5);
    // A restart takes it as it is.
    let [mut a, _b] = gateways;
    a.restart().await;
    assert_eq!((status(&a, "/still").await, status(&a, "/later19").await), (200, 404));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_emptied_etcd_drops_nothing_and_is_not_written_to() {
    let (mut etcd, origin, gateways, load, beats) = scene().await;
    etcd.empty().await;
    stays_apart(&etcd, &origin, &gateways).await;
    assert_eq!(etcd.ctl().names_below("/").await, Vec::<String>::new());
    load.stop().await.none_failed("requests", 1_000);
    beats.stop().await.none_failed("heartbeats", 5);
}

/// As an operator who deletes the prefix of a gateway that runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_prefix_that_is_deleted_while_gateways_run_costs_no_request_of_who_is_heard() {
    let (etcd, _origin, gateways, load, beats) = scene().await;
    etcd.ctl().delete_below(PREFIX).await;
    throughout("it is routed", TTL * 3, async || status(&gateways[0], "/beating").await == 200).await;
    let beating = beats.stop().await;
    let said = health(&gateways[0]).await;
    println!("after the prefix was deleted: {said}; still: {}", status(&gateways[0], "/still").await);
    beating.none_failed("heartbeats", 5);
    drop(load);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_epoch_drops_nothing_and_is_not_written_to() {
    let (mut etcd, origin, gateways, load, beats) = scene().await;
    let meta = format!("{PREFIX}meta");
    let record: serde_json::Value = serde_json::from_str(&etcd.ctl().get(&meta).await.unwrap().value).unwrap();
    etcd.members[0].kill();
    for gateway in &gateways {
        reach_becomes(gateway, false, SOON).await;
    }
    // The same etcd but for its epoch, and without what was registered: far ahead in revisions.
    std::fs::remove_dir_all(etcd.data_of(0)).unwrap();
    etcd.members[0].start();
    // No wait for a gateway to find it empty: it must not write then either.
    etcd.becomes_healthy().await;
    let other = with(record, json!({"epoch": "00000000-0000-4000-8000-000000000000"}));
    etcd.ctl().put(&meta, &other.to_string()).await;
    for number in 0..200 {
        etcd.ctl().put("/elsewhere", &number.to_string()).await;
    }
    stays_apart(&etcd, &origin, &gateways).await;
    load.stop().await.none_failed("requests", 1_000);
    beats.stop().await.none_failed("heartbeats", 5);
}
