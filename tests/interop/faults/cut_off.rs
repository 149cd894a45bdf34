//! A gateway that alone does not reach etcd: what it missed, what it heard, and what became of its writes.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::background::Background;
use crate::foreign::fault_proxy::Network;
use crate::foreign::{Etcd, FaultProxy};
use crate::gateways::{
    agree, beating_service, is_not_routed, is_routed, leave, metric, reach_becomes, registered_at_last, shared_service,
    status, stored_at,
};
use crate::support::{Answer, Gateway, Origin, SOON, eventually, throughout, with};

const TTL: Duration = Duration::from_secs(3);
const BACK: Duration = Duration::from_secs(8);

/// A behind a proxy, B beside it.
struct Scene {
    etcd: Etcd,
    proxy: FaultProxy,
    a: Gateway,
    b: Gateway,
    origin: Origin,
}

impl Scene {
    async fn new() -> Self {
        let (etcd, origin) = (Etcd::one().await, Origin::start().await);
        let proxy = FaultProxy::to(etcd.members[0].client);
        let a = Gateway::start(&stored_at(&[proxy.url()])).await;
        let b = Gateway::start(&stored_at(&etcd.endpoints())).await;
        Self { etcd, proxy, a, b, origin }
    }

    async fn both_have(&self, service: &str) {
        for gateway in [&self.a, &self.b] {
            is_routed(gateway, &format!("/{service}"), SOON).await;
        }
    }
}

/// The deleted revision itself is the compacted one: etcd tells nothing of it and no error.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_deleted_meanwhile_is_gone_after_the_return_however_it_was_compacted() {
    for network in [Network::Cut, Network::Frozen] {
        for beyond in [0, 5] {
            let scene = Scene::new().await;
            for service in ["gone", "stays"] {
                scene.b.registered(&shared_service(service, &scene.origin.url())).await;
                scene.both_have(service).await;
            }
            scene.proxy.set(network);
            reach_becomes(&scene.a, false, SOON).await;
            leave(&scene.b, "gone").await.ok();
            let deleted = scene.etcd.ctl().revision().await;
            for number in 0..beyond {
                scene.b.registered(&shared_service(&format!("more{number}"), &scene.origin.url())).await;
            }
            scene.etcd.ctl().compact(deleted + if beyond > 0 { 1 } else { 0 }).await;
            assert_eq!(status(&scene.a, "/gone").await, 200, "it cannot know");
            scene.proxy.set(Network::Open);
            reach_becomes(&scene.a, true, BACK).await;
            is_not_routed(&scene.a, "/gone", SOON).await;
            assert_eq!(status(&scene.a, "/stays").await, 200);
            let repairs = metric(&scene.a, "furt_store_repairs_total").await;
            println!("{network:?}, {beyond} revisions more: repaired {repairs}");
            throughout("it does not come back", TTL * 2, async || status(&scene.b, "/gone").await != 200).await;
            agree(&[scene.a, scene.b], &scene.etcd).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_gateway_that_is_cut_off_keeps_who_it_hears_and_gives_them_back() {
    for network in [Network::Cut, Network::Frozen, Network::LosesAnswers] {
        let scene = Scene::new().await;
        // Nobody beats for the one that leaves: it must outlast the time in which A is found to be cut off.
        for (service, ttl) in [("heard", TTL), ("left", TTL * 10)] {
            scene.a.registered(&beating_service(service, &scene.origin.url(), ttl)).await;
            scene.both_have(service).await;
        }
        let load = Background::requests(&[&scene.a], &["/heard".into()]);
        let beats = Background::heartbeats(&[&scene.a], &[("heard".into(), "heard".into())], TTL / 4);
        scene.proxy.set(network);
        reach_becomes(&scene.a, false, SOON).await;
        leave(&scene.b, "left").await.ok();
        // B is told nothing of it, and takes it out as it promised.
        is_not_routed(&scene.b, "/heard", TTL + SOON).await;
        throughout("A keeps it", TTL, async || status(&scene.a, "/heard").await == 200).await;
        // Its route is taken by nobody.
        scene.proxy.set(Network::Open);
        reach_becomes(&scene.a, true, BACK).await;
        is_routed(&scene.b, "/heard", Duration::from_secs(3)).await;
        is_not_routed(&scene.a, "/left", TTL + SOON).await;
        is_not_routed(&scene.b, "/left", TTL + SOON).await;
        load.stop().await.none_failed("requests through A", 1_000);
        beats.stop().await.none_failed("heartbeats at A", 8);
        assert!(metric(&scene.a, "furt_store_restored_total").await > 0.0);
        for gateway in [&scene.a, &scene.b] {
            is_not_routed(gateway, "/heard", TTL + SOON).await;
        }
        agree(&[scene.a, scene.b], &scene.etcd).await;
    }
}

/// What was given to another one while a gateway was cut off stays there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_route_that_was_given_away_meanwhile_moves_at_the_gateway_that_comes_back() {
    let scene = Scene::new().await;
    let heir_origin = Origin::named("heir").await;
    scene.a.registered(&beating_service("old", &scene.origin.url(), TTL)).await;
    scene.both_have("old").await;
    let beats = Background::heartbeats(&[&scene.a], &[("old".into(), "old".into())], TTL / 4);
    scene.proxy.set(Network::Cut);
    reach_becomes(&scene.a, false, SOON).await;
    is_not_routed(&scene.b, "/old", TTL + SOON).await;
    Answer::of(scene.b.operate(Method::DELETE, "/internal/services/old")).await;
    let heir = with(shared_service("heir", &heir_origin.url()), json!({"routes": [{"method": "*", "path": "/old"}]}));
    // The routes are held for a minute, unless somebody frees them.
    registered_or_held(&scene.b, &heir).await;
    scene.proxy.set(Network::Open);
    reach_becomes(&scene.a, true, BACK).await;
    for gateway in [&scene.a, &scene.b] {
        eventually("the heir answers", SOON, async || {
            let answer = Answer::of(gateway.anonymous(Method::GET, "/old")).await;
            (answer.status == 200 && answer.header("x-origin") == "heir").then_some(())
        })
        .await;
    }
    drop(beats);
    agree(&[scene.a, scene.b], &scene.etcd).await;
}

async fn registered_or_held(gateway: &Gateway, body: &serde_json::Value) {
    eventually("the route is free", Duration::from_secs(80), async || {
        let answer = gateway.register(body).await;
        assert!([200, 409].contains(&answer.status.as_u16()), "{answer:?}");
        (answer.status == 200).then_some(())
    })
    .await;
}

/// A write whose answer is lost has one outcome, whether it was stored or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_whose_answer_is_lost_is_stored_once_or_not_at_all() {
    for network in [Network::LosesAnswers, Network::LosesRequests, Network::Frozen] {
        let scene = Scene::new().await;
        scene.a.registered(&shared_service("first", &scene.origin.url())).await;
        scene.proxy.set(network);
        let service = scene.a.operate(Method::POST, "/internal/register-service");
        let service = tokio::spawn(Answer::of(service.json(&shared_service("one", &scene.origin.url()))));
        let answer = service.await.unwrap();
        println!("{network:?}: registration {}", answer.status);
        answer.problem(503, "store-unavailable");
        // Its retry while the network is as it is.
        assert_eq!(scene.a.register(&shared_service("one", &scene.origin.url())).await.status, 503);
        scene.proxy.set(Network::Open);
        registered_at_last(&scene.a, &shared_service("one", &scene.origin.url()), BACK).await;
        scene.both_have("one").await;
        let versions = scene.etcd.ctl().names_below("/furt/default/v1/instances/one/").await;
        assert_eq!(versions.len(), 1);
        agree(&[scene.a, scene.b], &scene.etcd).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_answered_with_503_is_not_there() {
    for network in [Network::LosesAnswers, Network::LosesRequests, Network::Frozen] {
        let scene = Scene::new().await;
        let body = json!({"name": "web", "permissions": ["*"]});
        scene.proxy.set(network);
        let answer = Answer::of(scene.a.operate(Method::POST, "/internal/keys").json(&body)).await;
        answer.problem(503, "store-unavailable");
        scene.proxy.set(Network::Open);
        reach_becomes(&scene.a, true, BACK).await;
        for gateway in [&scene.a, &scene.b] {
            eventually("nobody has it", SOON, async || {
                let answer = Answer::of(gateway.operate(Method::GET, "/internal/keys/web")).await;
                (answer.status == 404).then_some(())
            })
            .await;
        }
        assert_eq!(scene.etcd.ctl().names_below("/furt/default/v1/keys/").await, Vec::<String>::new());
        // A revocation that is not answered is none, or it is one everywhere.
        let made = Answer::of(scene.a.operate(Method::POST, "/internal/keys").json(&body)).await;
        assert_eq!(made.status, 201, "{made:?}");
        scene.proxy.set(network);
        let revoked = Answer::of(scene.a.operate(Method::DELETE, "/internal/keys/web")).await;
        scene.proxy.set(Network::Open);
        reach_becomes(&scene.a, true, BACK).await;
        println!("{network:?}: revocation {}", revoked.status);
        eventually("both say the same", SOON, async || {
            let of =
                async |gateway: &Gateway| Answer::of(gateway.operate(Method::GET, "/internal/keys/web")).await.status;
            (of(&scene.a).await == of(&scene.b).await).then_some(())
        })
        .await;
        agree(&[scene.a, scene.b], &scene.etcd).await;
    }
}

/// A network that comes and goes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_network_that_flaps_for_half_a_minute_costs_no_request_and_ends_in_agreement() {
    let scene = Scene::new().await;
    let names: Vec<_> = (0..10).map(|number| format!("s{number}")).collect();
    for name in &names {
        scene.a.registered(&beating_service(name, &scene.origin.url(), TTL)).await;
    }
    let paths: Vec<_> = names.iter().map(|name| format!("/{name}")).collect();
    let instances: Vec<_> = names.iter().map(|name| (name.clone(), name.clone())).collect();
    let load = Background::requests(&[&scene.a], &paths);
    let beats = Background::heartbeats(&[&scene.a], &instances, TTL / 4);
    let faults = [Network::Cut, Network::Frozen, Network::LosesAnswers, Network::LosesRequests];
    let (mut answers, mut stored) = (std::collections::BTreeMap::<u16, usize>::new(), Vec::new());
    for round in 0..24 {
        let is_open = round % 2 == 1;
        scene.proxy.set(if is_open { Network::Open } else { faults[round / 2 % 4] });
        if is_open {
            // Long enough for another connection, most of the time.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(500..2_500))).await;
        }
        let service = format!("new-{round}");
        let status = scene.a.register(&shared_service(&service, &scene.origin.url())).await.status.as_u16();
        *answers.entry(status).or_default() += 1;
        stored.extend((status == 200).then_some(service));
        tokio::time::sleep(Duration::from_millis(fastrand::u64(50..800))).await;
    }
    scene.proxy.set(Network::Open);
    println!("registrations: {answers:?}");
    assert!(answers.keys().eq(&[200, 503]), "some are stored, and some are refused: {answers:?}");
    reach_becomes(&scene.a, true, BACK).await;
    for service in stored {
        scene.both_have(&service).await;
    }
    load.stop().await.none_failed("requests through A", 1_000);
    beats.stop().await.none_failed("heartbeats at A", 100);
    agree(&[scene.a, scene.b], &scene.etcd).await;
}
