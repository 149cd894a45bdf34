//! Probes by gRPC's own health protocol.

use serde_json::{Value, json};

use super::taking_calls;
use crate::support::grpc::{Checked, GrpcService};
use crate::support::{Gateway, Origin, SOON, eventually, with};

const OFTEN: &str = "[gateway]\nhealth_check_interval = '50ms'\nhealth_check_interval_down = '50ms'\nhealth_check_timeout = '500ms'\n\
    health_check_min_interval = '10ms'\nstop_ping_after_failures = 100000";

/// A registration that is probed by gRPC for that name.
fn probed(url: &str, name: &str) -> Value {
    with(taking_calls(url), json!({"health_endpoint": "/health", "health_check": {"grpc": name}}))
}

/// Waits until the instance's last failure is told so.
async fn is_told(gateway: &Gateway, expected: &str) {
    let shown = eventually(expected, SOON, async || {
        let instance = gateway.instance("service").await;
        (instance["last_error"].as_str()?.contains(expected) && instance["status"] == "DOWN").then_some(instance)
    })
    .await;
    assert_eq!(shown["status"], "DOWN");
}

#[tokio::test]
async fn an_instance_is_up_while_it_says_that_it_serves() {
    let service = GrpcService::start();
    service.set_health("a.B", Checked::Status(1));
    let gateway = Gateway::start(OFTEN).await;
    gateway.registered(&probed(&service.url(), "a.B")).await;
    gateway.status_becomes("service", "UP").await;
    let asked = service.checks();
    assert_eq!((&asked[0]["te"], &asked[0]["grpc-timeout"]), (&"trailers".parse().unwrap(), &"500m".parse().unwrap()));
    assert_eq!(gateway.service("service").await.unwrap()["health_check"], json!({"grpc": "a.B"}));
    for (checked, told) in [
        (Checked::Status(2), "its health service says NOT_SERVING of \"a.B\""),
        (Checked::Status(0), "its health service says UNKNOWN of \"a.B\""),
        (Checked::Status(3), "its health service says SERVICE_UNKNOWN of \"a.B\""),
        (Checked::Fails(5), "its health service does not know \"a.B\" (NOT_FOUND)"),
        (Checked::Fails(12), "it has no grpc.health.v1.Health (UNIMPLEMENTED)"),
        (Checked::Fails(16), "its health service failed: grpc-status 16 (UNAUTHENTICATED)"),
        (Checked::Says(b"<html></html>"), "its health service answers what is no HealthCheckResponse"),
        (Checked::Says(&[0; 5000]), "its health service answers what is no HealthCheckResponse"),
        (Checked::Hangs, "no answer within 500 ms"),
    ] {
        service.set_health("a.B", checked);
        if checked == Checked::Says(&[0; 5000]) {
            // Nobody reads on to its trailers.
            is_told(&gateway, "without a grpc-status").await;
        } else {
            is_told(&gateway, told).await;
        }
    }
    service.set_health("a.B", Checked::Status(1));
    gateway.status_becomes("service", "UP").await;
}

#[tokio::test]
async fn the_whole_server_is_asked_for_with_an_empty_name_and_a_new_name_counts_at_once() {
    let service = GrpcService::start();
    service.set_health("", Checked::Status(1));
    let gateway = Gateway::start(OFTEN).await;
    gateway.registered(&probed(&service.url(), "")).await;
    gateway.status_becomes("service", "UP").await;
    gateway.registered(&probed(&service.url(), "other")).await;
    is_told(&gateway, "does not know \"other\"").await;
    gateway.registered(&probed(&service.url(), "")).await;
    gateway.status_becomes("service", "UP").await;
}

#[tokio::test]
async fn what_speaks_no_grpc_is_down_with_a_reason() {
    let gateway = Gateway::start(OFTEN).await;
    let (old, h2c) = (Origin::start().await, Origin::h2c().await);
    gateway.registered(&probed(&h2c.url(), "a")).await;
    is_told(&gateway, "without a grpc-status").await;
    // It joins a service that is probed by gRPC, and speaks HTTP/1.1.
    gateway.registered(&json!({"service": "service", "instance": "service", "url": old.url()})).await;
    is_told(&gateway, "a probe by gRPC needs an instance of \"protocol\": \"h2c\"").await;
}

#[tokio::test]
async fn a_probe_by_grpc_outlives_a_restart_and_one_that_cannot_be_is_refused() {
    let service = GrpcService::start();
    service.set_health("a.B", Checked::Status(1));
    let tail = format!("{OFTEN}\n[store]\nkind = 'disk'\npath = 'furt.redb'");
    let mut gateway = Gateway::start(&tail).await;
    gateway.registered(&probed(&service.url(), "a.B")).await;
    gateway.status_becomes("service", "UP").await;
    gateway.restart().await;
    assert_eq!(gateway.service("service").await.unwrap()["health_check"], json!({"grpc": "a.B"}));
    service.set_health("a.B", Checked::Status(2));
    is_told(&gateway, "NOT_SERVING").await;

    let refused = async |changes: Value| {
        let answer = gateway.register(&with(probed(&service.url(), "a"), changes)).await;
        assert_eq!(answer.status, 422, "{}", answer.body);
        let errors: Value = serde_json::from_str(&answer.body).unwrap();
        errors["errors"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["pointer"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    assert_eq!(refused(json!({"protocol": "http1"})).await, ["/protocol"]);
    assert_eq!(refused(json!({"health_check": {"grpc": "a", "status": "200"}})).await, ["/health_check/status"]);
    assert_eq!(refused(json!({"health_check": {"grpc": "a b"}})).await, ["/health_check/grpc"]);
    // Without a probe it makes no difference.
    gateway.registered(&with(probed(&service.url(), "a"), json!({"protocol": "http1", "health_endpoint": null}))).await;
}
