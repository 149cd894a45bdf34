//! `/health` for both listeners: furt's own status, and that of services.
//!
//! Reads the snapshot and the counters; who may see what is decided by the callers, `proxy` and `api`.

use furt_api::Ordered;
use furt_api::health::{Build, GatewayStatus, Health, InstanceHealth, ProbeHealth, ServiceHealth};

use crate::telemetry::{COMMIT, Issues, VERSION};
use crate::wire;
use furt_core::routing::{Instance, Service, Snapshot};

/// What anybody may see: `healthy`, or `degraded` while something is wrong, as the store or, by `of_providers`, those who vouch for
/// callers.
pub fn brief(issues: &Issues, of_providers: &[String]) -> Health {
    Health {
        status: if issues.list().is_empty() && of_providers.is_empty() {
            GatewayStatus::Healthy
        } else {
            GatewayStatus::Degraded
        },
        service: "furt".to_owned(),
        version: VERSION.to_owned(),
        build: None,
        issues: Vec::new(),
        services: None,
        generation: None,
        epoch: None,
        backends: None,
        uptime_secs: None,
    }
}

/// The same with the build, what is wrong and every service: by its first instance, and all of them where there are
/// several.
pub fn detailed(issues: &Issues, of_providers: &[String], snapshot: &Snapshot) -> Health {
    let services = snapshot.registered().map(|service| (service.definition.service.to_string(), describe(service)));
    Health {
        build: Some(Build { commit: COMMIT.to_owned() }),
        issues: issues.list().into_iter().chain(of_providers.iter().cloned()).collect(),
        services: Some(services.collect()),
        ..brief(issues, of_providers)
    }
}

fn describe(service: &Service) -> ServiceHealth {
    let instances = match &*service.instances {
        [_, _, ..] => service.instances.iter().map(|one| (one.spec.id.to_string(), describe_instance(one))).collect(),
        // Without an instance its routes are held, and it is DOWN.
        [] | [_] => Ordered::default(),
    };
    match service.instances.first().map(|first| describe_instance(first)) {
        Some(InstanceHealth { status, probe }) => ServiceHealth { status, first: Some(probe), instances },
        None => ServiceHealth { status: wire::status(service.status), first: None, instances },
    }
}

fn describe_instance(instance: &Instance) -> InstanceHealth {
    let live = &instance.live;
    let probe = ProbeHealth {
        url: instance.spec.url.to_string(),
        last_ping: live.last_ping_ms().map(wire::time),
        response_time_ms: live.response_time_us().map(|us| us.div_ceil(1000)),
        consecutive_failures: live.consecutive_failures(),
        draining: live.is_draining(),
    };
    InstanceHealth { status: wire::status(instance.status), probe }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::telemetry::Telemetry;
    use furt_core::model::{Definition, Epoch, InstanceId, InstanceSpec, ServiceName, Status, UpstreamUrl};
    use furt_core::routing::{InstanceLive, PoolGroup, ServiceIndex, ServiceKind};

    fn instance(id: &str, status: Status) -> Arc<Instance> {
        let url = UpstreamUrl::try_new("http://127.0.0.1:7812").unwrap();
        let live = InstanceLive::default();
        live.note_probe(1_763_152_200_000, Duration::from_micros(4_200), (status == Status::Down).then(|| "x".into()));
        Arc::new(Instance {
            spec: Arc::new(InstanceSpec::new(InstanceId::try_new(id).unwrap(), url)),
            addresses: Arc::new([]),
            status,
            soft_limit: 0,
            hard_limit: 0,
            pool_group: PoolGroup::default(),
            live: Arc::new(live),
        })
    }

    fn snapshot(instances: &[Arc<Instance>]) -> Snapshot {
        let name = ServiceName::try_new("sagjan").unwrap();
        let mut snapshot = Snapshot::new(Epoch(uuid::Uuid::nil()));
        snapshot.names.insert(name.clone(), ServiceIndex(0));
        snapshot.services.push_back(Some(Arc::new(Service::new(
            Arc::new(Definition::new(name)),
            ServiceKind::Registered,
            Status::Up,
            instances.into(),
        ))));
        snapshot
    }

    fn shown(health: &Health) -> Value {
        serde_json::to_value(health).unwrap()
    }

    #[test]
    fn a_service_is_shown_by_its_first_instance_and_all_where_there_are_several() {
        let telemetry = Telemetry::try_new().unwrap();
        let down = json!({ "status": "DOWN", "url": "http://127.0.0.1:7812", "last_ping": "2025-11-14T20:30:00Z",
            "response_time_ms": null, "consecutive_failures": 0 });
        let up = json!({ "status": "UP", "url": "http://127.0.0.1:7812", "last_ping": "2025-11-14T20:30:00Z",
            "response_time_ms": 5, "consecutive_failures": 0 });
        let one = detailed(&telemetry.issues, &[], &snapshot(&[instance("a", Status::Up)]));
        assert_eq!(shown(&one)["services"], json!({ "sagjan": up }));
        let two =
            detailed(&telemetry.issues, &[], &snapshot(&[instance("a", Status::Down), instance("b", Status::Up)]));
        let mut both = down.clone();
        both["instances"] = json!({ "a": down, "b": up });
        assert_eq!(shown(&two)["services"], json!({ "sagjan": both }));
    }

    #[test]
    fn a_draining_instance_says_so_and_keeps_its_status() {
        let one = instance("a", Status::Up);
        one.live.set_draining(true);
        let health = shown(&detailed(&Issues::default(), &[], &snapshot(&[one])));
        let shown = &health["services"]["sagjan"];
        assert_eq!((&shown["status"], &shown["draining"]), (&json!("UP"), &json!(true)));
    }

    #[test]
    fn a_failing_store_makes_furt_degraded_and_says_so() {
        let telemetry = Telemetry::try_new().unwrap();
        telemetry.registry.store_answered(Err("disk full"));
        let health = detailed(&telemetry.issues, &[], &snapshot(&[]));
        assert_eq!(health.status, GatewayStatus::Degraded);
        assert!(health.issues[0].contains("disk full"), "{health:?}");
        assert_eq!(
            shown(&brief(&telemetry.issues, &[])),
            json!({ "status": "degraded", "service": "furt", "version": VERSION })
        );
        telemetry.registry.store_answered(Ok::<(), &str>(()));
        assert_eq!(brief(&telemetry.issues, &[]).status, GatewayStatus::Healthy);
        assert_eq!(brief(&telemetry.issues, &["its keys are old".to_owned()]).status, GatewayStatus::Degraded);
    }
}
