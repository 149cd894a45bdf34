//! API keys as operators are shown them: by the start of their digest, never the key, but for the one answer that has it.

use serde_json::{Value, json};

use crate::clock;
use furt_core::model::{KeySpec, RuntimeKey, Sha256Digest};
use furt_core::routing::ListedKey;

/// Digits of a digest that are shown: enough to tell keys apart.
const PREFIX: usize = 12;

pub(super) fn configured(spec: &KeySpec) -> Value {
    let mut shown = with_prefix("config", spec);
    shown["created"] = Value::Null;
    shown["expires"] = Value::Null;
    shown["old"] = json!([]);
    shown["blocked"] = Value::Null;
    shown
}

pub(super) fn runtime(listed: &ListedKey) -> Value {
    let key = &listed.key;
    let mut shown = with_prefix("runtime", &key.spec);
    add_times(&mut shown, key);
    shown["blocked"] = listed.suspended.as_deref().into();
    shown
}

/// With the key itself: for the one answer to whom it was made for.
pub(super) fn with_key(key: &RuntimeKey, text: &str) -> Value {
    let mut shown = json!({
        "name": key.name().as_str(),
        "key": text,
        "sha256": key.spec.sha256.to_string(),
    });
    add_rules(&mut shown, &key.spec);
    add_times(&mut shown, key);
    shown
}

fn with_prefix(source: &str, spec: &KeySpec) -> Value {
    let mut shown = json!({ "name": spec.name.as_str(), "source": source, "sha256_prefix": prefix(&spec.sha256) });
    add_rules(&mut shown, spec);
    shown
}

fn add_rules(shown: &mut Value, spec: &KeySpec) {
    shown["permissions"] = spec.permissions.rules().iter().map(ToString::to_string).collect();
    shown["allow_from"] = spec.allow_from.networks().iter().map(ToString::to_string).collect();
    shown["rate"] = spec.rate.map(|limit| limit.rate.to_string()).into();
    shown["burst"] = spec.rate.map(|limit| limit.burst.get()).into();
}

fn add_times(shown: &mut Value, key: &RuntimeKey) {
    let old = key
        .old
        .iter()
        .map(|old| json!({ "sha256_prefix": prefix(&old.sha256), "until": clock::rfc3339(old.until_ms) }));
    shown["created"] = clock::rfc3339(key.created_ms).into();
    shown["expires"] = key.expires_ms.map(clock::rfc3339).into();
    shown["old"] = old.collect();
}

fn prefix(sha256: &Sha256Digest) -> String {
    sha256.to_string().chars().take(PREFIX).collect()
}
