//! What one gateway is told, the other one does.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::json;

use crate::background::Background;
use crate::foreign::Etcd;
use crate::gateways::{
    agree, beating_service, is_not_routed, is_routed, leave, names, pair, shared_service, status, stored_at,
};
use crate::support::gateway::client_from;
use crate::support::{Answer, Gateway, Origin, SOON, eventually, with};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_registered_at_one_gateway_is_routed_at_the_other_at_once() {
    let (etcd, origin) = (Etcd::three().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    let mut delays = Vec::new();
    for number in 0..100 {
        let service = format!("s{number}");
        a.registered(&shared_service(&service, &origin.url())).await;
        let begin = Instant::now();
        while status(&b, &format!("/{service}")).await != 200 {
            assert!(begin.elapsed() < SOON, "{service} is not routed at the other gateway");
        }
        delays.push(begin.elapsed());
    }
    delays.sort();
    // Other tests run beside this one; what it takes alone is measured among the faults.
    assert!(delays[94] < Duration::from_millis(100), "{delays:?}");
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn a_gateway_that_starts_has_what_is_registered_and_one_of_another_namespace_has_nothing() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    for number in 0..20 {
        let gateway = if number % 2 == 0 { &a } else { &b };
        gateway.registered(&shared_service(&format!("s{number}"), &origin.url())).await;
    }
    let mut third = Gateway::start(&stored_at(&etcd.endpoints())).await;
    for number in 0..20 {
        assert_eq!(status(&third, &format!("/s{number}")).await, 200, "from the first moment on");
    }
    third.restart().await;
    assert_eq!(names(&third).await, names(&a).await);
    let other = format!("{}namespace = 'other'\n", stored_at(&etcd.endpoints()));
    let other = Gateway::start(&other).await;
    assert_eq!(names(&other).await, Vec::<String>::new());
    // The same names and routes are free there.
    other.registered(&shared_service("s0", &origin.url())).await;
    leave(&other, "s0").await.ok();
    assert_eq!(status(&a, "/s0").await, 200);
    agree(&[a, b, third], &etcd).await;
}

#[tokio::test]
async fn a_definition_that_changes_or_goes_at_one_gateway_does_so_at_the_other() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    a.registered(&shared_service("one", &origin.url())).await;
    is_routed(&b, "/one", SOON).await;
    let moved = with(shared_service("one", &origin.url()), json!({"routes": [{"method": "*", "path": "/moved"}]}));
    b.registered(&moved).await;
    is_routed(&a, "/moved", SOON).await;
    assert_eq!(status(&a, "/one").await, 404);
    // A second instance, at the other gateway, with no word of the definition.
    let second = json!({"service": "one", "instance": "two", "url": origin.url().replace("127.0.0.1", "127.0.0.2"), "health_endpoint": null});
    a.registered(&second).await;
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn a_service_that_leaves_at_one_gateway_is_gone_at_the_other_and_its_route_is_free() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    for round in 0..10 {
        let (here, there) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        here.registered(&shared_service("one", &origin.url())).await;
        is_routed(there, "/one", SOON).await;
        leave(there, "one").await.ok();
        is_not_routed(here, "/one", SOON).await;
        let heir = with(shared_service("heir", &origin.url()), json!({"routes": [{"method": "*", "path": "/one"}]}));
        here.registered(&heir).await;
        is_routed(there, "/one", SOON).await;
        Answer::of(there.operate(Method::DELETE, "/internal/services/heir")).await.ok();
        is_not_routed(here, "/one", SOON).await;
    }
    agree(&[a, b], &etcd).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_where_the_gateway_of_a_service_is_killed_and_it_is_heard_at_the_other() {
    let ttl = Duration::from_secs(3);
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [mut a, b] = pair(&etcd).await;
    let services: Vec<_> = (0..5).map(|number| format!("s{number}")).collect();
    for service in &services {
        a.registered(&beating_service(service, &origin.url(), ttl)).await;
        is_routed(&b, &format!("/{service}"), SOON).await;
    }
    let paths: Vec<_> = services.iter().map(|service| format!("/{service}")).collect();
    let instances: Vec<_> = services.iter().map(|service| (service.clone(), service.clone())).collect();
    let load = Background::requests(&[&b], &paths);
    let beats = Background::heartbeats(&[&a], &instances, ttl / 3);
    beats.more(10).await;
    beats.stop().await.none_failed("heartbeats at A", 10);
    a.kill();
    let beats = Background::heartbeats(&[&b], &instances, ttl / 3);
    // Longer than every TTL, and the second that an expiry may take.
    tokio::time::sleep(ttl * 2).await;
    load.stop().await.none_failed("requests through B", 500);
    beats.stop().await.none_failed("heartbeats at B", 20);
    // Who is heard nowhere any more is gone.
    for path in &paths {
        is_not_routed(&b, path, ttl + SOON).await;
    }
}

#[tokio::test]
async fn a_service_that_is_heard_at_either_gateway_stays_and_one_that_is_silent_expires_at_both() {
    let ttl = Duration::from_secs(2);
    let (etcd, origin) = (Etcd::three().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    a.registered(&beating_service("heard", &origin.url(), ttl)).await;
    a.registered(&beating_service("silent", &origin.url(), ttl)).await;
    let begin = Instant::now();
    is_routed(&b, "/silent", SOON).await;
    let promised = a.instance("silent").await["heartbeat_ttl"].as_f64().unwrap();
    let beats = Background::heartbeats(&[&b, &a], &[("heard".into(), "heard".into())], ttl / 4);
    is_not_routed(&a, "/silent", SOON).await;
    is_not_routed(&b, "/silent", SOON).await;
    let taken = begin.elapsed().as_secs_f64();
    assert!((promised - 0.2..promised + 3.0).contains(&taken), "{promised} s were promised, and it took {taken} s");
    for gateway in [&a, &b] {
        assert_eq!(status(gateway, "/heard").await, 200);
    }
    beats.stop().await.none_failed("heartbeats", 3);
}

#[tokio::test]
async fn a_ttl_is_what_etcd_grants_and_the_first_heartbeat_sets_it_everywhere() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let tail = stored_at(&etcd.endpoints()).replace("[registration]", "[registration]\nheartbeat_ttl = '3s'");
    let (a, b) = (Gateway::start(&tail).await, Gateway::start(&tail).await);
    let short = a.registered(&beating_service("short", &origin.url(), Duration::from_secs(1))).await;
    let granted = short["heartbeat_ttl"].as_f64().unwrap();
    assert!((1.0..=3.0).contains(&granted), "{short}");
    is_routed(&b, "/short", SOON).await;
    let answer = b.heartbeat("short", "short").await.ok();
    assert_eq!(answer["heartbeat_ttl"], short["heartbeat_ttl"]);
    // One without a TTL stays until it is heard for the first time.
    a.registered(&shared_service("quiet", &origin.url())).await;
    is_routed(&b, "/quiet", SOON).await;
    is_not_routed(&b, "/short", SOON).await;
    assert_eq!(status(&b, "/quiet").await, 200);
    assert_eq!(b.heartbeat("quiet", "quiet").await.ok()["heartbeat_ttl"], 3.0);
    let stored = async || etcd.ctl().get("/furt/default/v1/instances/quiet/quiet").await;
    eventually("it has a lease", SOON, async || stored().await.filter(|one| one.lease != 0)).await;
    for gateway in [&a, &b] {
        is_not_routed(gateway, "/quiet", SOON).await;
    }
    assert_eq!(stored().await, None);
    agree(&[a, b], &etcd).await;
}

#[tokio::test]
async fn of_two_ids_at_one_url_the_last_is_there_at_both_gateways() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [a, b] = pair(&etcd).await;
    for round in 0..20 {
        let body = |id: &str| with(shared_service("one", &origin.url()), json!({"instance": format!("{id}{round}")}));
        let (here, there) = (body("here"), body("there"));
        let (one, other) = tokio::join!(a.register(&here), b.register(&there));
        one.ok();
        other.ok();
        eventually("one is left", SOON, async || {
            let (here, there) = (names(&a).await, names(&b).await);
            (here.len() == 1 && here == there).then_some(())
        })
        .await;
    }
    agree(&[a, b], &etcd).await;
}

/// What was answered with 200 is there, whatever becomes of the gateway that answered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_gateway_answered_before_it_was_killed_is_there() {
    let (etcd, origin) = (Etcd::one().await, Origin::start().await);
    let [mut a, b] = pair(&etcd).await;
    let client = client_from(None);
    for round in 0..3 {
        let (register, url) = (a.internal_url("/internal/register-service"), origin.url());
        let callers: tokio::task::JoinSet<Vec<String>> = (0..8)
            .map(|caller| {
                let (client, register, url) = (client.clone(), register.clone(), url.clone());
                async move {
                    let mut answered = Vec::new();
                    for number in 0..200 {
                        let service = format!("s{round}-{caller}-{number}");
                        match client.post(&register).json(&shared_service(&service, &url)).send().await {
                            Ok(answer) if answer.status() == 200 => answered.push(service),
                            _ => break,
                        }
                    }
                    answered
                }
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..600))).await;
        a.kill();
        let answered = callers.join_all().await.concat();
        println!("{} were answered", answered.len());
        let there = eventually("all that was answered", SOON, async || {
            let there = names(&b).await;
            answered.iter().all(|service| there.contains(&format!("{service}/{service}"))).then_some(there)
        })
        .await;
        // One in flight for each caller may be there without an answer.
        assert!(there.len() <= answered.len() + 8 + round * 2_000);
        a.start_again().await;
        agree(std::slice::from_ref(&b), &etcd).await;
        assert_eq!(names(&a).await, names(&b).await);
    }
}

#[tokio::test]
async fn a_service_of_three_hundred_instances_drains_and_leaves_everywhere_in_one_call() {
    let (etcd, origin) = (Etcd::one().await, Origin::everywhere("origin").await);
    let [a, b] = pair(&etcd).await;
    for number in 0..300 {
        let url = format!("http://127.0.{}.{}:{}", number / 200, 1 + number % 200, origin.address().port());
        let body =
            with(beating_service("wide", &url, Duration::from_secs(600)), json!({"instance": format!("i{number}")}));
        if number % 2 == 0 { &a } else { &b }.registered(&body).await;
    }
    agree(&[a, b], &etcd).await;
    let [a, b] = pair(&etcd).await;
    is_routed(&b, "/wide", SOON).await;
    let drained = Answer::of(a.operate(Method::POST, "/internal/services/wide/drain")).await.ok();
    assert_eq!(drained["instances"], 300);
    eventually("all drain", SOON, async || (status(&b, "/wide").await == 503).then_some(())).await;
    Answer::of(b.operate(Method::DELETE, "/internal/services/wide/drain")).await.ok();
    is_routed(&a, "/wide", SOON).await;
    Answer::of(a.operate(Method::DELETE, "/internal/services/wide")).await.ok();
    is_not_routed(&b, "/wide", SOON).await;
    eventually("nothing is left", SOON, async || {
        let left = etcd.ctl().names_below("/furt/default/v1/").await;
        left.iter().all(|name| name.contains("/gateways/")).then_some(())
    })
    .await;
    agree(&[a, b], &etcd).await;
}
