//! Gateways that share a store: their configuration, and what tests ask of several at once.

use std::time::Duration;

use serde_json::{Value, json};

use crate::foreign::Etcd;
use crate::support::gateway::{furt, output_of};
use crate::support::{Answer, Gateway, SOON, eventually, public_service, with};

/// The prefix of the default namespace.
pub(crate) const PREFIX: &str = "/furt/default/";

/// The configuration of a gateway whose store is at these endpoints.
pub(crate) fn stored_at(endpoints: &[String]) -> String {
    stored_with(endpoints, "")
}

/// The same with more keys of `[store]`.
pub(crate) fn stored_with(endpoints: &[String], more: &str) -> String {
    format!("[registration]\nrate = '1000000/s'\n[store]\nkind = 'etcd'\nendpoints = {endpoints:?}\n{more}\n")
}

/// Two gateways at all members.
pub(crate) async fn pair(etcd: &Etcd) -> [Gateway; 2] {
    pair_with(etcd, "").await
}

/// The same with more of a configuration.
pub(crate) async fn pair_with(etcd: &Etcd, more: &str) -> [Gateway; 2] {
    let tail = format!("{}{more}", stored_at(&etcd.endpoints()));
    [Gateway::start(&tail).await, Gateway::start(&tail).await]
}

/// A service with the one instance `<service>`, never probed, whose path is `/<service>`, at a url that others have as well.
pub(crate) fn shared_service(service: &str, url: &str) -> Value {
    with(public_service(service, url, &format!("/{service}")), json!({"instance": service, "shared": true}))
}

/// The same, which must be heard.
pub(crate) fn beating_service(service: &str, url: &str, ttl: Duration) -> Value {
    with(shared_service(service, url), json!({"heartbeat_ttl": ttl.as_secs()}))
}

/// One of a gateway's metrics.
pub(crate) async fn metric(gateway: &Gateway, name: &str) -> f64 {
    let page = Answer::of(gateway.operate(reqwest::Method::GET, "/metrics")).await.body;
    let found = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
    found.unwrap_or_else(|| panic!("no metric {name}:\n{page}"))
}

/// What `/health` of the internal listener says.
pub(crate) async fn health(gateway: &Gateway) -> Value {
    Answer::of(gateway.operate(reqwest::Method::GET, "/health")).await.json()
}

/// Waits until a gateway reaches its store, or does not.
pub(crate) async fn reach_becomes(gateway: &Gateway, is_reached: bool, within: Duration) {
    let wanted = if is_reached { 1.0 } else { 0.0 };
    let what = format!("furt_store_reachable {wanted}");
    eventually(&what, within, async || (metric(gateway, "furt_store_reachable").await == wanted).then_some(())).await;
}

/// Waits until a gateway gives 200 for a path.
pub(crate) async fn is_routed(gateway: &Gateway, path: &str, within: Duration) {
    let what = format!("{path} is routed at {}", gateway.public);
    eventually(&what, within, async || (status(gateway, path).await == 200).then_some(())).await;
}

/// Waits until a gateway does not give 200 for a path any more.
pub(crate) async fn is_not_routed(gateway: &Gateway, path: &str, within: Duration) {
    let what = format!("{path} is not routed at {}", gateway.public);
    eventually(&what, within, async || (status(gateway, path).await != 200).then_some(())).await;
}

/// The status of a request without a key.
pub(crate) async fn status(gateway: &Gateway, path: &str) -> u16 {
    Answer::of(gateway.anonymous(reqwest::Method::GET, path)).await.status.as_u16()
}

/// `DELETE` of a service's instance of the same name.
pub(crate) async fn leave(gateway: &Gateway, service: &str) -> Answer {
    let path = format!("/internal/services/{service}/instances/{service}");
    Answer::of(gateway.operate(reqwest::Method::DELETE, &path)).await
}

/// Registers until it is taken, as services do; how often it was told 503.
pub(crate) async fn registered_at_last(gateway: &Gateway, body: &Value, within: Duration) -> usize {
    let mut refused = 0;
    eventually("it is registered", within, async || {
        let answer = gateway.register(body).await;
        if answer.status == 200 {
            return Some(());
        }
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(answer.retry_after() > 0, "{answer:?}");
        refused += 1;
        None
    })
    .await;
    refused
}

/// What furt says where it must not start.
pub(crate) async fn refusal_to_start(tail: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let config = folder.path().join("furt.toml");
    let listeners = "[server]\nlisten = ['127.0.0.1:0']\n[internal]\nlisten = '127.0.0.1:0'\n";
    std::fs::write(&config, format!("{listeners}{tail}")).unwrap();
    let mut command = std::process::Command::new("timeout");
    let run = furt(&["run", "--config", config.to_str().unwrap()]);
    // One that starts all the same must not stay.
    command.arg("30").arg(run.get_program()).args(run.get_args()).current_dir(folder.path());
    let output = output_of(command).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

/// Both tables have the same services with the same instances, and as many as etcd.
pub(crate) async fn agree(gateways: &[Gateway], etcd: &Etcd) {
    eventually("gateways and etcd agree", SOON, async || {
        let mut stored = etcd.ctl().names_below(&format!("{PREFIX}v1/instances/")).await;
        stored.iter_mut().for_each(|name| *name = name.replace(&format!("{PREFIX}v1/instances/"), ""));
        for gateway in gateways {
            if names(gateway).await != stored {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// `service/instance` of everything a gateway has, in etcd's order.
pub(crate) async fn names(gateway: &Gateway) -> Vec<String> {
    let listed = gateway.seen("/internal/services").await;
    let services = listed["services"].as_array().unwrap().iter();
    let of = |service: &Value| {
        let name = service["service"].as_str().unwrap().to_owned();
        let instances = service["instances"].as_array().unwrap().iter();
        let named = instances.map(move |one| format!("{name}/{}", one["instance"].as_str().unwrap()));
        named.collect::<Vec<_>>()
    };
    let mut names: Vec<_> = services.flat_map(of).collect();
    names.sort();
    names
}

/// The record under a key, changed by hand.
pub(crate) async fn edited(etcd: &Etcd, key: &str, changes: Value) -> Value {
    let record: Value = serde_json::from_str(&etcd.ctl().get(key).await.expect("a record").value).unwrap();
    let record = with(record, changes);
    etcd.ctl().put(key, &record.to_string()).await;
    record
}
