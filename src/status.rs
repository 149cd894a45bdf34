//! `/health` as the seed shows it, for both listeners: furt's own status, and that of services.
//!
//! Reads the snapshot and the counters; who may see what is decided by the callers, `proxy` and `api`.

use serde_json::{Map, Value, json};

use crate::clock;
use crate::telemetry::{COMMIT, Telemetry, VERSION};
use furt_core::routing::{Instance, Service, Snapshot};

/// What anybody may see: `healthy`, or `degraded` while the store fails.
pub fn brief(telemetry: &Telemetry) -> Value {
    let status = if telemetry.issues().is_empty() { "healthy" } else { "degraded" };
    json!({ "status": status, "service": "furt", "version": VERSION })
}

/// The same with the build, the issues and every service: by its first instance, and all of them where there are
/// several.
pub fn detailed(telemetry: &Telemetry, snapshot: &Snapshot) -> Value {
    let mut body = brief(telemetry);
    body["build"] = json!({ "commit": COMMIT });
    let issues = telemetry.issues();
    if !issues.is_empty() {
        body["issues"] = json!(issues);
    }
    let services = snapshot.registered().map(|service| (service.definition.service.to_string(), describe(service)));
    body["services"] = Value::Object(services.collect());
    body
}

fn describe(service: &Service) -> Value {
    // Without an instance its routes are held, and it is DOWN.
    let held = || Map::from_iter([("status".to_owned(), service.status.as_str().into())]);
    let mut shown = service.instances.first().map_or_else(held, |first| describe_instance(first));
    if service.instances.len() > 1 {
        let instances =
            service.instances.iter().map(|one| (one.spec.id.to_string(), Value::Object(describe_instance(one))));
        shown.insert("instances".to_owned(), Value::Object(instances.collect()));
    }
    Value::Object(shown)
}

fn describe_instance(instance: &Instance) -> Map<String, Value> {
    let live = &instance.live;
    let members = [
        ("status", instance.status.as_str().into()),
        ("url", instance.spec.url.to_string().into()),
        ("last_ping", live.last_ping_ms().map(clock::rfc3339).into()),
        ("response_time_ms", live.response_time_us().map(|us| us.div_ceil(1000)).into()),
        ("consecutive_failures", live.consecutive_failures().into()),
    ];
    // As the seed shows it, unless there is more to say.
    let draining = live.is_draining().then_some(("draining", true.into()));
    members.into_iter().chain(draining).map(|(name, value)| (name.to_owned(), value)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use super::*;
    use furt_core::model::{Definition, Epoch, InstanceId, InstanceSpec, ServiceName, Status, UpstreamUrl};
    use furt_core::routing::{InstanceLive, PoolGroup, ServiceIndex, ServiceKind, ServiceLive};

    fn instance(id: &str, status: Status) -> Arc<Instance> {
        let url = UpstreamUrl::try_new("http://127.0.0.1:7812").unwrap();
        let live = InstanceLive::default();
        live.note_probe(1_763_152_200_000, Duration::from_micros(4_200), (status == Status::Down).then(|| "x".into()));
        Arc::new(Instance {
            spec: Arc::new(InstanceSpec::new(InstanceId::try_new(id).unwrap(), url)),
            addresses: Arc::new([]),
            status,
            pool_group: PoolGroup::default(),
            live: Arc::new(live),
        })
    }

    fn snapshot(instances: &[Arc<Instance>]) -> Snapshot {
        let name = ServiceName::try_new("sagjan").unwrap();
        let mut snapshot = Snapshot::new(Epoch(uuid::Uuid::nil()));
        snapshot.names.insert(name.clone(), ServiceIndex(0));
        snapshot.services.push_back(Some(Arc::new(Service {
            definition: Arc::new(Definition::new(name)),
            kind: ServiceKind::Registered,
            status: Status::Up,
            suspended: None,
            instances: instances.into(),
            instance_set: Arc::default(),
            live: Arc::new(ServiceLive::new(0)),
        })));
        snapshot
    }

    #[test]
    fn a_service_is_shown_by_its_first_instance_and_all_where_there_are_several() {
        let telemetry = Telemetry::try_new().unwrap();
        let down = json!({ "status": "DOWN", "url": "http://127.0.0.1:7812", "last_ping": "2025-11-14T20:30:00Z",
            "response_time_ms": null, "consecutive_failures": 0 });
        let up = json!({ "status": "UP", "url": "http://127.0.0.1:7812", "last_ping": "2025-11-14T20:30:00Z",
            "response_time_ms": 5, "consecutive_failures": 0 });
        let shown = detailed(&telemetry, &snapshot(&[instance("a", Status::Up)]));
        assert_eq!(shown["services"], json!({ "sagjan": up }));
        let shown = detailed(&telemetry, &snapshot(&[instance("a", Status::Down), instance("b", Status::Up)]));
        let mut both = down.clone();
        both["instances"] = json!({ "a": down, "b": up });
        assert_eq!(shown["services"], json!({ "sagjan": both }));
    }

    #[test]
    fn a_draining_instance_says_so_and_keeps_its_status() {
        let one = instance("a", Status::Up);
        one.live.set_draining(true);
        let shown = detailed(&Telemetry::try_new().unwrap(), &snapshot(&[one]));
        let shown = &shown["services"]["sagjan"];
        assert_eq!((&shown["status"], &shown["draining"]), (&json!("UP"), &json!(true)));
    }

    #[test]
    fn a_failing_store_makes_furt_degraded_and_says_so() {
        let telemetry = Telemetry::try_new().unwrap();
        telemetry.note_store(Err("disk full"));
        let shown = detailed(&telemetry, &snapshot(&[]));
        assert_eq!(shown["status"], "degraded");
        assert!(shown["issues"][0].as_str().unwrap().contains("disk full"), "{shown}");
        assert_eq!(brief(&telemetry), json!({ "status": "degraded", "service": "furt", "version": VERSION }));
        telemetry.note_store(Ok::<(), &str>(()));
        assert_eq!(brief(&telemetry)["status"], "healthy");
    }
}
