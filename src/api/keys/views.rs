//! API keys as operators are shown them: by the start of their digest, never the key, but for the one answer that has it.

use furt_api::keys::{IssuedKey, Key, KeyRules, KeySource, OldKey};

use crate::wire;
use furt_core::model::{KeySpec, RuntimeKey, Sha256Digest};
use furt_core::routing::ListedKey;

/// Digits of a digest that are shown: enough to tell keys apart.
const PREFIX: usize = 12;

pub(super) fn configured(spec: &KeySpec) -> Key {
    Key {
        name: spec.name.as_str().into(),
        source: KeySource::Config,
        sha256_prefix: prefix(&spec.sha256),
        rules: rules(spec),
        created: None,
        expires: None,
        old: Vec::new(),
        blocked: None,
        kept: None,
    }
}

pub(super) fn runtime(listed: &ListedKey) -> Key {
    let key = &listed.key;
    Key {
        source: KeySource::Runtime,
        created: Some(wire::time(key.created_ms)),
        expires: key.expires_ms.map(wire::time),
        old: old(key),
        blocked: listed.suspended.as_deref().map(str::to_owned),
        ..configured(&key.spec)
    }
}

/// With the key itself: for the one answer to whom it was made for.
pub(super) fn with_key(key: &RuntimeKey, text: &str) -> IssuedKey {
    IssuedKey {
        name: key.name().as_str().into(),
        key: text.to_owned(),
        sha256: key.spec.sha256.to_string(),
        rules: rules(&key.spec),
        created: wire::time(key.created_ms),
        expires: key.expires_ms.map(wire::time),
        old: old(key),
    }
}

fn rules(spec: &KeySpec) -> KeyRules {
    KeyRules {
        permissions: spec.permissions.rules().iter().map(ToString::to_string).collect(),
        allow_from: spec.allow_from.networks().iter().map(ToString::to_string).collect(),
        rate: spec.rate.map(|limit| limit.rate.to_string()),
        burst: spec.rate.map(|limit| limit.burst.get()),
    }
}

fn old(key: &RuntimeKey) -> Vec<OldKey> {
    let old = key.old.iter();
    old.map(|old| OldKey { sha256_prefix: prefix(&old.sha256), until: wire::time(old.until_ms) }).collect()
}

fn prefix(sha256: &Sha256Digest) -> String {
    sha256.to_string().chars().take(PREFIX).collect()
}
