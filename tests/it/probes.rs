//! Probes of instances that start slowly, move, or come beside others.

use serde_json::json;

use crate::support::{Gateway, Origin, SOON, eventually, sagjan, with};

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
