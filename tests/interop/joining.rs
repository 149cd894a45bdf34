//! `furt join` where gateways share a registry: a service is gone everywhere when its program is, and when `furt join` is.

use std::time::{Duration, Instant};

use crate::background::Background;
use crate::foreign::Etcd;
use crate::gateways::{agree, is_not_routed, is_routed, names, pair};
use crate::joined::{Joined, Language};
use crate::support::SOON;

const TTL: Duration = Duration::from_secs(2);
/// What a lapse may take beyond the TTL: etcd looks twice a second, and counts in whole seconds.
const LAPSE: Duration = Duration::from_millis(1_250);

#[tokio::test]
async fn a_service_is_gone_at_every_gateway_when_its_program_is_killed_or_its_ttl_is_over() {
    let etcd = Etcd::one().await;
    let gateways = pair(&etcd).await;
    for kills_program in [true, false] {
        // The second gateway comes first for one of them.
        let named = if kills_program { [&gateways[0], &gateways[1]] } else { [&gateways[1], &gateways[0]] };
        let mut shop = Joined::start("shop", Language::Rust, &named, "ttl=2");
        for gateway in &gateways {
            is_routed(gateway, &shop.path(), SOON).await;
        }
        let begin = Instant::now();
        let within = if kills_program {
            shop.kill_program();
            Duration::from_secs(1)
        } else {
            shop.kill();
            TTL + LAPSE
        };
        for gateway in &gateways {
            is_not_routed(gateway, &shop.path(), SOON).await;
        }
        println!("gone after {:?}", begin.elapsed());
        if kills_program {
            // Its requests failed before: what counts is that nothing is registered any more.
            agree(&gateways, &etcd).await;
            assert!(names(&gateways[1]).await.is_empty());
        }
        assert!(begin.elapsed() < within, "{:?}", begin.elapsed());
    }
    agree(&gateways, &etcd).await;
}

/// A service that joins through a gateway that dies goes on at another one.
#[tokio::test]
async fn a_service_whose_gateway_dies_goes_on_at_another_one() {
    let etcd = Etcd::one().await;
    let [mut a, b] = pair(&etcd).await;
    let shop = Joined::start("shop", Language::Python, &[&a, &b], "ttl=2");
    is_routed(&b, &shop.path(), SOON).await;
    a.kill();
    let load = Background::requests(&[&b], &[shop.path()]);
    tokio::time::sleep(TTL * 3).await;
    load.stop().await.none_failed("requests", 100);
}
