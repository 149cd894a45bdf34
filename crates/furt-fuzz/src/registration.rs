//! The target `registration`: the body of `POST /internal/register-service`, from bytes to what is stored.
//!
//! An input is a body. What is refused is refused with places that are in it, in answers that stay small; what is taken
//! says no more and no less than the body, and is the same after it was stored, or shown and registered again.

use std::net::SocketAddr;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::naive;
use furt::api::{read_json, read_registration};
use furt::store::stored;
use furt_core::model::{Definition, InstanceSpec, LoadBalancingPolicy, RouteOptions, Said};
use furt_core::registry::{Change, DefinitionRecord, InstanceRecord};

/// The fields that an error may name although the body has them not.
const MAY_BE_MISSING: &[&str] = &["service", "url", "hash_key", "tls_name", "method", "path", "origins"];

/// Asserts that a body is refused with good reasons, or taken for what it says.
pub fn registration(data: &[u8]) {
    // The listener takes no more, and tells it before the body is read.
    if data.len() > 64 * 1024 {
        return;
    }
    let Some(body) = read_strictly(data) else { return };
    match read_registration(body.clone()) {
        Err(errors) => check_errors(data, &body, &errors),
        Ok((definition, instance)) => {
            check_said(&body, &definition, &instance);
            check_stored(&definition, &instance);
            let again = read_registration(shown(&definition, &instance));
            assert_eq!(again, Ok((definition, instance)), "shown and registered again, it is the same");
        }
    }
}

/// As serde_json reads it, except that a name may stand once in an object only.
fn read_strictly(data: &[u8]) -> Option<Value> {
    let lenient = serde_json::from_slice::<Value>(data);
    match read_json(data) {
        Ok(strict) => {
            assert_eq!(lenient.ok().as_ref(), Some(&strict));
            assert_eq!(members(&strict), colons(data), "each name counts once");
            Some(strict)
        }
        Err(error) => {
            let why = error.to_string();
            assert!(lenient.is_err() || why.contains("is there twice"), "{why}");
            assert!(error.line() <= data.len() + 1 && error.column() <= data.len() + 1, "{why}");
            // A name that is there twice is shown, in full and with escapes.
            assert!(why.len() <= 10 * data.len() + 200, "{why}");
            None
        }
    }
}

fn members(value: &Value) -> usize {
    match value {
        Value::Array(list) => list.iter().map(members).sum(),
        Value::Object(object) => object.values().map(|value| 1 + members(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => 0,
    }
}

/// Those outside of texts: one for each member that was written.
fn colons(json: &[u8]) -> usize {
    let (mut count, mut is_text, mut is_escaped) = (0, false, false);
    for byte in json {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = is_text,
            b'"' => is_text = !is_text,
            b':' if !is_text => count += 1,
            _ => {}
        }
    }
    count
}

fn check_errors(data: &[u8], body: &Value, errors: &[(String, String)]) {
    assert!(!errors.is_empty(), "refused without a reason");
    let mut told = std::collections::BTreeSet::new();
    for (pointer, detail) in errors {
        let (parent, last) = pointer.rsplit_once('/').unwrap_or(("", ""));
        let may_miss = body.pointer(parent).is_some_and(Value::is_object) && MAY_BE_MISSING.contains(&last);
        assert!(body.pointer(pointer).is_some() || may_miss, "{pointer:?} is not there: {detail}");
        assert!(told.insert(pointer), "{pointer:?} is told twice");
        // The pointer holds a name of the body, where `~` takes two characters; the detail never repeats a text.
        assert!(pointer.len() <= 2 * data.len() + 64 && (1..=300).contains(&detail.len()), "{pointer:?}: {detail}");
    }
    // The shortest field of a body takes seven bytes, the shortest route two, and there are 256 at most.
    let total: usize = errors.iter().map(|(pointer, detail)| pointer.len() + detail.len()).sum();
    assert!(total <= 64 * data.len() + 64 * 1024, "{total} bytes of errors for {}", data.len());
}

/// Nothing of what a body says is lost on the way, least of all a permission.
fn check_said(body: &Value, definition: &Definition, instance: &InstanceSpec) {
    let text = |name: &str| body[name].as_str();
    assert_eq!(text("service"), Some(definition.service.as_str()));
    assert_eq!(text("instance").or(text("service")), Some(instance.id.as_str()));
    assert_eq!(text("policy").unwrap_or("edge"), definition.policy.as_str());
    assert_eq!(text("protocol").unwrap_or("http1"), instance.protocol.as_str());
    assert_eq!(text("hash_key"), definition.hash_key.as_deref());
    assert_eq!(text("sticky_by").unwrap_or("address"), definition.sticky_by.as_str());
    assert_eq!(body["revision"].as_u64().unwrap_or(0), definition.revision);
    assert_eq!(body["weight"].as_u64().unwrap_or(1), u64::from(instance.weight));
    assert_eq!(body["hard_limit"].as_u64().unwrap_or(0), u64::from(instance.hard_limit));
    let health = body.get("health_endpoint").map_or(Some("/health"), Value::as_str);
    assert_eq!(health, instance.health_endpoint.as_deref());
    let document = instance.document.as_ref().map(|document| Value::Object(document.fields()).to_string());
    let said = body.get("document").filter(|document| !document.is_null()).map(Value::to_string);
    assert_eq!(said, document, "each field of it, in its order");
    assert_eq!(body["metadata"].as_object().map_or(0, Map::len), definition.metadata.len());
    let none = Vec::new();
    let said = body["routes"].as_array().unwrap_or(&none);
    assert_eq!(said.len(), definition.routes.len());
    for (said, route) in said.iter().zip(&definition.routes) {
        assert_eq!(said["method"].as_str(), Some(route.method.as_str()));
        assert_eq!(said["path"].as_str().and_then(naive::pattern).as_deref(), Some(route.pattern.as_str()));
        let permission = route.permission.as_ref().map(|permission| permission.as_str());
        assert_eq!(said.get("permission"), permission.map(Value::from).as_ref(), "a route is as public as it says");
    }
}

fn check_stored(definition: &Definition, instance: &InstanceSpec) {
    let registered_from = [127, 0, 0, 1].into();
    let address = instance.url.socket_address().unwrap_or(SocketAddr::from(([127, 0, 0, 1], instance.url.port)));
    let definition = Arc::new(definition.clone());
    let put = Change::PutInstance(InstanceRecord {
        service: definition.service.clone(),
        spec: Arc::new(instance.clone()),
        addresses: Arc::new([address]),
        registered_from,
        replaced: None,
    });
    for change in [Change::PutDefinition(DefinitionRecord { definition, registered_from }), put] {
        let read = stored(&change).map(|read| read.unwrap_or_else(|why| panic!("{why}")));
        assert_eq!(read, Some(change), "stored and read, it is the same");
    }
}

/// A body that says the same, every field of it, in the form that furt keeps.
fn shown(definition: &Definition, instance: &InstanceSpec) -> Value {
    let route = |route: &furt_core::model::RouteSpec| {
        let mut shown = json!({ "method": route.method.as_str(), "path": route.pattern.as_str() });
        if let Some(permission) = &route.permission {
            shown["permission"] = permission.as_str().into();
        }
        for (name, said) in options(&route.options) {
            shown[name] = said;
        }
        shown
    };
    let seconds = |time: Option<std::time::Duration>| time.map(|time| time.as_secs_f64());
    let mut all = json!({
        "service": definition.service.as_str(),
        "host": definition.host.as_ref().map(|host| host.as_str()),
        "routes": definition.routes.iter().map(route).collect::<Vec<_>>(),
        "policy": definition.policy.as_str(),
        "hash_key": definition.hash_key.as_deref(),
        "sticky_by": (definition.policy == LoadBalancingPolicy::Sticky).then(|| definition.sticky_by.as_str()),
        "slow_start": seconds(definition.slow_start),
        "timeouts": { "connect": seconds(definition.timeouts.connect), "read": seconds(definition.timeouts.read) },
        "health_check": {
            "interval": seconds(definition.health_check.interval),
            "timeout": seconds(definition.health_check.timeout),
            "failures": definition.health_check.failures,
            "status": definition.health_check.status.map(|status| status.to_string()),
            "host": definition.health_check.host.as_ref().map(|host| host.as_str()),
            "grpc": definition.health_check.grpc.as_deref(),
        },
        "metadata": definition.metadata,
        "revision": definition.revision,
        "instance": instance.id.as_str(),
        "url": instance.url.to_string(),
        "incarnation": instance.incarnation.as_ref().map(|incarnation| incarnation.as_str()),
        "version": instance.version.as_ref().map(|version| version.as_str()),
        "protocol": instance.protocol.as_str(),
        "tls_name": instance.tls_name.as_deref(),
        "health_endpoint": instance.health_endpoint.as_deref(),
        "heartbeat_ttl": seconds(instance.heartbeat_ttl),
        "weight": instance.weight,
        "soft_limit": instance.soft_limit,
        "hard_limit": instance.hard_limit,
        "region": instance.region.as_ref().map(|region| region.as_str()),
        "shared": instance.shared,
        "document": instance.document.as_ref().map(|document| document.fields()),
        "country": instance.country.as_ref().map(|country| country.as_str()),
    });
    for (name, said) in options(&definition.options) {
        all[name] = said;
    }
    all
}

/// The fields that say what becomes of requests; `null` where a route takes one away.
fn options(options: &RouteOptions) -> Vec<(&'static str, Value)> {
    let names = |names: &[http::HeaderName]| names.iter().map(|name| name.as_str().to_owned()).collect::<Vec<_>>();
    let cors = said(&options.cors, |cors| {
        json!({
            "origins": cors.origins.texts(),
            "headers": cors.headers.as_deref().map(names),
            "expose": names(&cors.expose),
            "credentials": cors.credentials,
            "max_age": cors.max_age.as_secs(),
        })
    });
    let rewrite = said(&options.rewrite, |rewrite| {
        json!({
            "strip": rewrite.strip.as_ref().map(|prefix| prefix.as_str()),
            "add": rewrite.add.as_ref().map(|prefix| prefix.as_str()),
            "redirects": rewrite.redirects,
        })
    });
    let compress = match options.compress {
        Said::Nothing => None,
        Said::Off => Some(Value::Null),
        Said::Is(_) => Some(Value::Bool(true)),
    };
    let all = [("cors", cors), ("rewrite", rewrite), ("compress", compress)];
    all.into_iter().filter_map(|(name, said)| Some((name, said?))).collect()
}

fn said<T>(said: &Said<Arc<T>>, shown: impl Fn(&T) -> Value) -> Option<Value> {
    match said {
        Said::Nothing => None,
        Said::Off => Some(Value::Null),
        Said::Is(value) => Some(shown(value)),
    }
}
