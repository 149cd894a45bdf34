//! API keys as requests are checked against them, and as operators are shown them; both in persistent maps, so that one
//! more key costs one more key. `registry` fills them, `proxy` looks keys up, `api` lists them.

use std::sync::{Arc, OnceLock};

use http::HeaderValue;

use crate::live::RateLimiter;
use crate::model::{CidrSet, KeyName, KeySpec, PermissionSet, RateLimit, RuntimeKey, Sha256Digest, Share};

/// One API key behind one of its digests; the key itself is nowhere.
#[derive(Debug)]
pub struct ApiKey {
    /// The name of the key.
    pub name: KeyName,
    /// The same, as services get it in `X-API-Key-Name`.
    pub name_header: HeaderValue,
    /// The permissions that it grants.
    pub permissions: PermissionSet,
    /// From where it may be used; empty: from anywhere.
    pub allow_from: CidrSet,
    /// How often it may be used at this gateway; `None`: without limit.
    pub rate: Option<RateLimit>,
    /// From when on it is no more, in ms since the Unix epoch; `None`: never. Looked at with each request, since the
    /// registry takes a key out only once it has noticed.
    pub ends_ms: Option<i64>,
    /// What outlives a snapshot.
    pub live: Arc<KeyLive>,
}

/// What is shared by all digests of a key, and by all snapshots with the key.
#[derive(Debug, Default)]
pub struct KeyLive {
    /// How often it was used lately: of a key with a rate, from its first use on. Filled by the proxy, which has the clock.
    pub limiter: OnceLock<RateLimiter>,
}

impl ApiKey {
    /// A key behind one of its digests, until `ends_ms`; `share`: this gateway's part of its rate.
    pub fn new(spec: &KeySpec, share: Share, ends_ms: Option<i64>, live: &Arc<KeyLive>) -> Self {
        Self {
            name: spec.name.clone(),
            // A name is always a value.
            name_header: HeaderValue::from_str(spec.name.as_str()).unwrap_or(HeaderValue::from_static("")),
            permissions: spec.permissions.clone(),
            allow_from: spec.allow_from.clone(),
            rate: spec.rate.map(|rate| share.of_rate(rate)),
            ends_ms,
            live: Arc::clone(live),
        }
    }
}

/// All keys: by the SHA-256 of the key, and by name.
#[derive(Clone, Default)]
pub struct KeyTable {
    usable: imbl::HashMap<Sha256Digest, Arc<ApiKey>>,
    /// Those of the configuration.
    pub configured: imbl::OrdMap<KeyName, Arc<KeySpec>>,
    /// Those that were made at runtime, usable or not.
    pub runtime: imbl::OrdMap<KeyName, ListedKey>,
}

/// A runtime key as operators are shown it.
#[derive(Debug, Clone, PartialEq)]
pub struct ListedKey {
    /// The key as it is stored.
    pub key: Arc<RuntimeKey>,
    /// Why requests may not use it, where they may not.
    pub suspended: Option<Arc<str>>,
    /// Whether it was neither revoked nor is over: one that was is here until the store has forgotten it.
    pub stays: bool,
}

impl KeyTable {
    /// The key of that digest.
    pub fn get(&self, sha256: &Sha256Digest) -> Option<&Arc<ApiKey>> {
        self.usable.get(sha256)
    }

    /// Lets requests use a key.
    pub fn insert(&mut self, sha256: Sha256Digest, key: ApiKey) {
        self.usable.insert(sha256, Arc::new(key));
    }

    /// Lets them use it no more.
    pub fn remove(&mut self, sha256: &Sha256Digest) {
        self.usable.remove(sha256);
    }

    /// The keys that requests may use, in any order.
    pub fn usable(&self) -> impl Iterator<Item = (&Sha256Digest, &Arc<ApiKey>)> {
        self.usable.iter()
    }
}
