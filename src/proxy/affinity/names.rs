//! What a cookie calls instances: names that only furt can make, and that tell a client nothing.
//!
//! A name is HMAC-SHA256 of service and instance, cut to 120 bits, behind a mark of the service. All names of a service are made at
//! once, when the first request with a cookie needs them, and are kept while its instances and the keys are the same: a request
//! costs one look into a table, however many instances there are.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use moka::sync::Cache;

use super::cookie::{MARK_LEN, TOKEN_LEN};
use crate::affinity_keys::{AffinityKeys, Age};
use furt_core::model::{InstanceId, ServiceName};
use furt_core::routing::{InstanceSet, Service, hash};

/// Bytes of the mark, before base64.
const MARK_BYTES: usize = MARK_LEN / 4 * 3;
/// Bytes of a token, before base64.
const TOKEN_BYTES: usize = TOKEN_LEN / 4 * 3;
/// The most services whose names are kept; one of 100 instances has 25 KiB of them.
const MOST: u64 = 10_000;
/// How long they are kept without a request.
const IDLE: Duration = Duration::from_secs(600);

/// What a client is told of one service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Token([u8; TOKEN_LEN]);

impl Token {
    pub(super) fn as_str(&self) -> &str {
        // Base64 is ASCII.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// What a token says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Named {
    /// Of the instance among those of its service.
    pub(super) position: usize,
    pub(super) age: Age,
}

/// The names of a service's instances.
pub(super) struct Names {
    /// What they were made of.
    keys: Arc<AffinityKeys>,
    instances: Arc<OnceLock<InstanceSet>>,
    /// Those that are given out, by position.
    present: Box<[Token]>,
    /// By a hash that no client can foresee, so that it cannot feel its way to a name.
    all: HashMap<[u8; TOKEN_LEN], Named>,
}

impl Names {
    fn new(service: &Service, keys: &Arc<AffinityKeys>) -> Self {
        let name = &service.definition.service;
        let mark = mark_bytes(name);
        let mut all = HashMap::with_capacity(service.instances.len() * 4);
        let mut present = Vec::with_capacity(service.instances.len());
        for (position, instance) in service.instances.iter().enumerate() {
            let subject = subject(name, &instance.spec.id);
            let own = token(mark, keys.sign(&subject).as_ref());
            present.push(Token(own));
            all.insert(own, Named { position, age: Age::Present });
            for (tag, age) in keys.also_good(&subject) {
                all.insert(token(mark, tag.as_ref()), Named { position, age });
            }
        }
        Self { keys: Arc::clone(keys), instances: Arc::clone(&service.instance_set), present: present.into(), all }
    }

    fn are_of(&self, service: &Service, keys: &Arc<AffinityKeys>) -> bool {
        Arc::ptr_eq(&self.keys, keys) && Arc::ptr_eq(&self.instances, &service.instance_set)
    }

    /// What is given out for the instance at this position.
    pub(super) fn token(&self, position: usize) -> Token {
        self.present[position]
    }

    /// What a token says, if it is furt's and of this service.
    pub(super) fn find(&self, token: &[u8; TOKEN_LEN]) -> Option<Named> {
        self.all.get(token).copied()
    }
}

/// The names of services that clients came to lately.
pub(super) struct CachedNames(Cache<ServiceName, Arc<Names>>);

impl Default for CachedNames {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_idle(IDLE).build())
    }
}

impl CachedNames {
    /// The names of a service's instances as they are in this view of it.
    pub(super) fn of(&self, service: &Service, keys: &Arc<AffinityKeys>) -> Arc<Names> {
        let name = &service.definition.service;
        if let Some(names) = self.0.get(name).filter(|names| names.are_of(service, keys)) {
            return names;
        }
        let names = Arc::new(Names::new(service, keys));
        self.0.insert(name.clone(), Arc::clone(&names));
        names
    }
}

/// What tokens of a service begin with, whatever their key: so one that is no longer good is known to be its own.
pub(super) fn mark(service: &Service) -> [u8; MARK_LEN] {
    let mut mark = [0; MARK_LEN];
    encode(&mark_bytes(&service.definition.service), &mut mark);
    mark
}

/// Of two services on one host that have the same, by one chance in 16 million, each takes the client's token from the other.
fn mark_bytes(service: &ServiceName) -> [u8; MARK_BYTES] {
    let [first, second, third, ..] = hash(service.as_str().as_bytes()).to_be_bytes();
    [first, second, third]
}

/// Neither text has a 0.
fn subject(service: &ServiceName, id: &InstanceId) -> Vec<u8> {
    [service.as_str().as_bytes(), &[0], id.as_str().as_bytes()].concat()
}

fn token(mark: [u8; MARK_BYTES], tag: &[u8]) -> [u8; TOKEN_LEN] {
    let mut bytes = [0; TOKEN_BYTES];
    let (first, rest) = bytes.split_at_mut(MARK_BYTES);
    first.copy_from_slice(&mark);
    rest.copy_from_slice(&tag[..TOKEN_BYTES - MARK_BYTES]);
    let mut token = [0; TOKEN_LEN];
    encode(&bytes, &mut token);
    token
}

/// Three bytes become four signs, and both have room for just that.
fn encode(bytes: &[u8], into: &mut [u8]) {
    let written = URL_SAFE_NO_PAD.encode_slice(bytes, into);
    debug_assert!(written.is_ok());
}

#[cfg(test)]
mod tests;
