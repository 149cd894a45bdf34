//! Probes of instances that start slowly, move, or come beside others.

use std::time::Duration;

use reqwest::Method;
use serde_json::json;

use crate::support::{Answer, Gateway, Health, Load, Origin, SOON, eventually, public_service, sagjan, with};

#[tokio::test]
async fn a_service_that_listens_long_after_it_registered_is_up_within_seconds() {
    let gateway = Gateway::start("[gateway]\nhealth_check_interval_down = 3600").await;
    let mut origin = Origin::start().await;
    origin.stop().await;
    gateway.registered(&with(sagjan(&origin.url()), json!({"heartbeat_ttl": 30}))).await;
    gateway.status_becomes("sagjan", "DOWN").await;
    gateway.heartbeat("sagjan", "sagjan").await.ok();
    origin.restart().await;
    gateway.status_becomes("sagjan", "UP").await;
    assert_eq!(gateway.get("/api/comments/a").await.status, 200);
}

#[tokio::test]
async fn an_instance_in_its_start_up_time_is_not_given_up() {
    let gateway = Gateway::start("[gateway]\nhealth_check_interval_down = '20ms'").await;
    let mut origin = Origin::start().await;
    origin.stop().await;
    gateway.registered(&sagjan(&origin.url())).await;
    let beyond_ten = async || {
        let instance = gateway.instance("sagjan").await;
        (instance["consecutive_failures"].as_u64() > Some(20)).then(|| instance["probing"].clone())
    };
    assert_eq!(eventually("twenty failures", SOON, beyond_ten).await, true);
    gateway.reloaded("[gateway]\nhealth_check_interval_down = '20ms'\nstartup_time = 0").await;
    eventually("probing stops", SOON, async || (gateway.instance("sagjan").await["probing"] == false).then_some(()))
        .await;
}

/// What `/internal/services/shop` says of its instances.
async fn all_are(gateway: &Gateway, status: &str) {
    eventually(&format!("all are {status}"), SOON, async || {
        let shown = gateway.service("shop").await?["instances"].clone();
        shown.as_array()?.iter().all(|one| one["status"] == status).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_new_instance_that_accepts_and_is_silent_gets_no_request_beside_one_that_is_up() {
    let gateway = Gateway::start("[gateway]\nhealth_check_timeout = 5").await;
    let origin = Origin::start().await;
    gateway.registered(&public_service("shop", &origin.url(), "/shop")).await;
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let new = with(public_service("shop", &url, "/shop"), json!({"instance": "silent", "health_endpoint": "/health"}));
    gateway.registered(&new).await;
    for _ in 0..20 {
        let request = gateway.anonymous(Method::GET, "/shop").timeout(Duration::from_secs(2));
        assert_eq!(Answer::of(request).await.status, 200);
    }
}

#[tokio::test]
async fn another_weight_leaves_an_instance_up() {
    let (gateway, origin) = (Gateway::start("").await, Origin::start().await);
    gateway.registered_and_up(&sagjan(&origin.url())).await;
    let answer = gateway.registered(&with(sagjan(&origin.url()), json!({"weight": 7}))).await;
    assert_eq!(answer["health"], "UP");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_restart_under_load_no_instance_gets_more_than_three_times_its_share() {
    const INSTANCES: usize = 50;
    let disk = "[store]\nkind = 'disk'\npath = 'furt.redb'\n[registration]\nrate = '1000/s'";
    let mut gateway = Gateway::start(disk).await;
    let mut origins = Vec::new();
    for number in 0..INSTANCES {
        let origin = Origin::start().await;
        let body = with(
            public_service("shop", &origin.url(), "/shop"),
            json!({"instance": format!("i{number}"), "health_endpoint": "/health", "policy": "round_robin"}),
        );
        gateway.registered(&body).await;
        origins.push(origin);
    }
    all_are(&gateway, "UP").await;
    let (client, url) = (crate::support::gateway::client_from(None), gateway.public_url("/shop"));
    // While furt restarts nobody answers.
    let mut load = Load::start(8, move |_, _| {
        let request = client.get(&url);
        async move { _ = request.send().await }
    });
    load.more(200).await;
    gateway.restart().await;
    let before: Vec<_> = origins.iter().map(|origin| origin.requests("/shop")).collect();
    load.more(2_000).await;
    let counts: Vec<_> = origins.iter().zip(before).map(|(origin, before)| origin.requests("/shop") - before).collect();
    load.stop().await;
    let share = counts.iter().sum::<usize>() / INSTANCES;
    assert!(share >= 10 && counts.iter().all(|count| *count <= 3 * share), "{counts:?}");
}

#[tokio::test]
async fn a_service_says_how_it_is_probed_and_not_more_often_than_the_gateway_allows() {
    let gateway = Gateway::start("[gateway]\nhealth_check_interval = 3600\nhealth_check_min_interval = '100ms'").await;
    let origin = Origin::start().await;
    origin.set_health(Health::Status(302));
    let own = |interval: f64| {
        let check = json!({"interval": interval, "timeout": 2, "failures": 2, "status": "200-399"});
        with(sagjan(&origin.url()), json!({"health_check": check}))
    };
    let refused = gateway.register(&own(0.05)).await;
    refused.problem(422, "invalid-fields");
    assert_eq!(refused.json()["errors"][0]["pointer"], "/health_check/interval");
    gateway.registered_and_up(&own(0.2)).await;
    let probes = origin.probes();
    eventually("more probes", SOON, async || (origin.probes() > probes + 3).then_some(())).await;
    let shown = gateway.service("sagjan").await.unwrap()["health_check"].clone();
    assert_eq!(shown, json!({"interval": 0.2, "timeout": 2.0, "failures": 2, "status": "200-399"}));
    origin.set_health(Health::Status(404));
    gateway.status_becomes("sagjan", "DOWN").await;
}
