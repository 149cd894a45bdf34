//! `/health` as the seed shows it, for both listeners: furt's own status, and that of services.
//!
//! Reads the snapshot and the counters; who may see what is decided by the callers, `proxy` and `api`.

use serde_json::{Map, Value, json};

use crate::clock;
use crate::routing::{Instance, Service, Snapshot};
use crate::telemetry::{COMMIT, Telemetry, VERSION};

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
    let mut shown = service.instances.first().map(|first| describe_instance(first)).unwrap_or_default();
    shown.insert("status".to_owned(), service.status.as_str().into());
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
    members.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}
