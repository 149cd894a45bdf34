//! Everything at once: callers come and go while members and gateways freeze and die; in the end all agree.

use std::time::{Duration, Instant};

use crate::background::Background;
use crate::comers_and_goers::ComersAndGoers;
use crate::foreign::Etcd;
use crate::gateways::{agree, beating_service, is_routed, pair, reach_becomes, shared_service};
use crate::support::{Origin, SOON};

const TTL: Duration = Duration::from_secs(3);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_come_and_go_while_leaders_die_and_freeze_leave_both_gateways_and_etcd_agreed() {
    let (mut etcd, origin) = (Etcd::three().await, Origin::start().await);
    let gateways = pair(&etcd).await;
    let end = Instant::now() + Duration::from_secs(40);
    let callers = ComersAndGoers::start(&gateways, &origin.url(), end);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_secs(3)).await;
        let leader = etcd.leader().await;
        etcd.members[leader].kill();
        tokio::time::sleep(Duration::from_secs(5)).await;
        etcd.start_all().await;
        let leader = etcd.leader().await;
        etcd.members[leader].freeze();
        tokio::time::sleep(Duration::from_secs(6)).await;
        etcd.members[leader].thaw();
        etcd.becomes_healthy().await;
    }
    let all = callers.ended().await;
    println!("answers: {all:?}");
    assert!(all.keys().all(|status| [200, 404, 409, 503].contains(status)), "{all:?}");
    assert!(all[&200] > 500, "{all:?}");
    for gateway in &gateways {
        reach_becomes(gateway, true, SOON).await;
    }
    agree(&gateways, &etcd).await;
    let services = etcd.ctl().names_below("/furt/default/v1/services/").await;
    let instances = etcd.ctl().names_below("/furt/default/v1/instances/").await;
    println!("left by who was told 503: {services:?}");
    assert_eq!(services.len(), instances.len());
}

/// A gateway that freezes, not etcd: its services go on at the other one, and when it wakes it catches up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_freezes_for_longer_than_each_ttl_catches_up() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    for service in ["at-b", "at-a", "leaves"] {
        a.registered(&beating_service(service, &origin.url(), TTL)).await;
        is_routed(&b, &format!("/{service}"), SOON).await;
    }
    let load = Background::requests(&[&b], &["/at-b".into()]);
    let beats = Background::heartbeats(&[&b], &[("at-b".into(), "at-b".into())], TTL / 4);
    a.signal("STOP");
    crate::gateways::leave(&b, "leaves").await.ok();
    for round in 0..5 {
        b.registered(&shared_service(&format!("new{round}"), &origin.url())).await;
        etcd.ctl().compact(etcd.ctl().revision().await).await;
    }
    // Past the session's lease as well.
    tokio::time::sleep(Duration::from_secs(15)).await;
    a.signal("CONT");
    is_routed(&a, "/new4", SOON).await;
    crate::gateways::is_not_routed(&a, "/leaves", TTL + SOON).await;
    crate::gateways::is_not_routed(&a, "/at-a", TTL + SOON).await;
    reach_becomes(&a, true, SOON).await;
    load.stop().await.none_failed("requests at B", 1_000);
    beats.stop().await.none_failed("heartbeats at B", 10);
    a.registered(&shared_service("again", &origin.url())).await;
    is_routed(&b, "/again", SOON).await;
    agree(&[a, b], &etcd).await;
}

/// An operator who compacts and defragments all the time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn compaction_and_defragmentation_under_load_cost_no_request() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let gateways = pair(&etcd).await;
    gateways[0].registered(&beating_service("one", &origin.url(), TTL)).await;
    is_routed(&gateways[1], "/one", SOON).await;
    let both = [&gateways[0], &gateways[1]];
    let load = Background::requests(&both, &["/one".into()]);
    let beats = Background::heartbeats(&both, &[("one".into(), "one".into())], TTL / 4);
    let mut refused = 0;
    for round in 0..100 {
        let service = shared_service(&format!("s{round}"), &origin.url());
        refused += usize::from(gateways[round % 2].register(&service).await.status != 200);
        let revision = etcd.ctl().revision().await;
        // Another one may have compacted as far.
        etcd.ctl().call(&["compact", &revision.to_string()]).await;
        if round % 10 == 0 {
            etcd.ctl().ok(&["defrag"]).await;
        }
    }
    println!("registrations refused: {refused} of 100");
    assert!(refused <= 5, "{refused}");
    load.stop().await.none_failed("requests", 500);
    beats.stop().await.none_failed("heartbeats", 5);
    agree(&gateways, &etcd).await;
}
