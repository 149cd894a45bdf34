//! Which instance a client stays with: by the hash of something that it sends, or by its address for as long as it comes back
//! (docs/requests.md).

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, header};
use moka::sync::Cache;

use furt_core::model::{Definition, InstanceId, LoadBalancingPolicy, ServiceName};
use furt_core::routing::{Instance, Service, hash};

/// How long a client stays with its instance after its last request: edgeProxy's time.
const STAYS: Duration = Duration::from_secs(600);
/// The most clients that are remembered, some 20 MiB; beyond it those that came least and longest ago are forgotten.
const MOST: u64 = 100_000;

/// The instances that clients stay with, of services with the policy `sticky`.
pub(super) struct Affinity(Cache<(ServiceName, IpAddr), InstanceId>);

impl Default for Affinity {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MOST).time_to_idle(STAYS).build())
    }
}

impl Affinity {
    /// Where a client was sent before.
    pub(super) fn instance_of(&self, service: &Service, client: Option<IpAddr>) -> Option<InstanceId> {
        self.0.get(&key(service, client)?)
    }

    /// Writes down where it is sent from now on.
    pub(super) fn note(&self, service: &Service, client: Option<IpAddr>, now: &Instance) {
        if let Some(key) = key(service, client) {
            self.0.insert(key, now.spec.id.clone());
        }
    }
}

fn key(service: &Service, client: Option<IpAddr>) -> Option<(ServiceName, IpAddr)> {
    let definition = &service.definition;
    (definition.policy == LoadBalancingPolicy::Sticky).then(|| Some((definition.service.clone(), client?)))?
}

/// The hash of what the service's `hash_key` names; `None` where the request has no such thing, or the service no such key.
pub(super) fn hashed(definition: &Definition, headers: &HeaderMap, client: Option<IpAddr>) -> Option<u64> {
    if definition.policy != LoadBalancingPolicy::Hash {
        return None;
    }
    match definition.hash_key.as_deref()?.split_once(':') {
        Some(("header", name)) => headers.get(name).map(|value| hash(value.as_bytes())),
        Some((_, name)) => cookie(headers, name).map(hash),
        None => client.map(|client| match client {
            IpAddr::V4(address) => hash(&address.octets()),
            IpAddr::V6(address) => hash(&address.octets()),
        }),
    }
}

/// A cookie's value (RFC 6265 §4.2.1).
fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a [u8]> {
    let pairs =
        headers.get_all(header::COOKIE).into_iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    pairs.map(<[u8]>::trim_ascii).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(hash_key: &str) -> Definition {
        let service = ServiceName::try_new("a").unwrap();
        Definition { policy: LoadBalancingPolicy::Hash, hash_key: Some(hash_key.into()), ..Definition::new(service) }
    }

    #[test]
    fn the_hash_is_of_what_the_service_names() {
        let mut headers = HeaderMap::new();
        headers.insert("x-user", "7".parse().unwrap());
        headers.append("cookie", "a=1; session=x=y".parse().unwrap());
        headers.append("cookie", "sessions=no".parse().unwrap());
        let client = "192.0.2.1".parse().ok();
        let of = |hash_key: &str| hashed(&definition(hash_key), &headers, client);
        assert_eq!(of("header:X-User"), Some(hash(b"7")));
        assert_eq!(of("cookie:session"), Some(hash(b"x=y")));
        assert_eq!(of("address"), Some(hash(&[192, 0, 2, 1])));
        assert_eq!((of("header:x-none"), of("cookie:ession"), of("cookie:none")), (None, None, None));
        let plain = Definition { policy: LoadBalancingPolicy::Edge, ..definition("address") };
        assert_eq!(hashed(&plain, &headers, client), None);
    }
}
