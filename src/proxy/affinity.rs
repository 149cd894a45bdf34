//! Which instance a client stays with: by the hash of something that it sends, by its address for as long as it comes back, or by
//! a cookie that furt gives it (docs/requests.md).
//!
//! An address is remembered here, a cookie by its client. `cookie` is the cookie as headers have it, `names` what it says of
//! instances.

mod cookie;
mod names;

use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderMap, HeaderValue};
use moka::sync::Cache;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora_proxy::Session;

use super::context::Context;
use super::secure;
use super::splitting;
use crate::affinity_keys::{Age, KeySource};
use crate::clock;
use furt_core::model::{Definition, InstanceId, LoadBalancingPolicy, Scheme, ServiceName, Side, StickyBy};
use furt_core::routing::{Instance, Service, hash};
use names::{CachedNames, Named};

/// How long a client stays with its instance after its last request: edgeProxy's time.
const STAYS: Duration = Duration::from_secs(600);
/// The most clients that are remembered, some 20 MiB; beyond it those that came least and longest ago are forgotten.
const MOST: u64 = 100_000;

/// The instances that clients stay with, of services with the policy `sticky`.
pub(super) struct Affinity {
    by_address: Cache<(ServiceName, Option<Side>, IpAddr), InstanceId>,
    keys: KeySource,
    names: CachedNames,
}

impl Affinity {
    /// With cookies by `keys`.
    pub(super) fn new(keys: KeySource) -> Self {
        let by_address = Cache::builder().max_capacity(MOST).time_to_idle(STAYS).build();
        Self { by_address, keys, names: CachedNames::default() }
    }

    /// The instance that a client stays with. By its address: on each side of a split, since callers of both may share it.
    pub(super) fn instance_of(
        &self,
        service: &Service,
        sent: &HeaderMap,
        side: Option<Side>,
        client: Option<IpAddr>,
    ) -> Option<InstanceId> {
        let definition = &service.definition;
        if definition.policy != LoadBalancingPolicy::Sticky {
            return None;
        }
        match definition.sticky_by {
            StickyBy::Address => self.by_address.get(&(definition.service.clone(), side, client?)),
            StickyBy::Cookie => {
                self.named(service, sent).map(|named| service.instances[named.position].spec.id.clone())
            }
        }
    }

    /// Writes down where a client is sent from now on. By a cookie it is told with the answer.
    pub(super) fn note(&self, service: &Service, side: Option<Side>, client: Option<IpAddr>, now: &Instance) {
        let definition = &service.definition;
        if definition.policy == LoadBalancingPolicy::Sticky
            && definition.sticky_by == StickyBy::Address
            && let Some(client) = client
        {
            self.by_address.insert((definition.service.clone(), side, client), now.spec.id.clone());
        }
    }

    /// Tells the client which instance it stays with, where it does not know, or knows by an old key. To be called while it is
    /// known who failed the request.
    ///
    /// # Errors
    /// A header that cannot be made; none of ours.
    pub(super) fn tell(&self, session: &Session, response: &mut ResponseHeader, ctx: &Context) -> pingora::Result<()> {
        let Some(service) = ctx.target.service.as_deref().filter(|service| is_by_cookie(service)) else {
            return Ok(());
        };
        let request = session.req_header();
        // Clients of gRPC keep no cookies, but for those that were made to.
        if ctx.received.is_call && !cookie::is_sent(&request.headers) {
            return Ok(());
        }
        let Some(token) = self.due(service, &request.headers, ctx) else { return Ok(()) };
        let is_secure = ctx.client.scheme == Scheme::Https || secure::came_by_https(request, &ctx.client);
        let value = cookie::to_set(token.as_str(), names::mark(service), &request.headers, is_secure);
        response.append_header("Set-Cookie", value)?;
        if cookie::is_for_many(&request.method, response) {
            // A cache would give one client's cookie to all of them (RFC 9111 §7.3).
            response.append_header("Cache-Control", HeaderValue::from_static("private"))?;
        }
        Ok(())
    }

    /// What the client is to be told.
    fn due(&self, service: &Service, sent: &HeaderMap, ctx: &Context) -> Option<names::Token> {
        let now_ms = clock::unix_ms();
        let id = &ctx.attempts.instance()?.spec.id;
        let position = service.instances.binary_search_by(|one| one.spec.id.cmp(id)).ok()?;
        if let Some(named) = self.named(service, sent) {
            let own = &service.instances[named.position].spec.id;
            let part = splitting::part(service, ctx.attempts.side);
            let takes_requests = || part.takes_requests(own, now_ms) && !ctx.attempts.has_failed(own);
            if is_settled(named, position, takes_requests) {
                return None;
            }
        }
        Some(self.names.of(service, &self.keys.at(now_ms)).token(position))
    }

    /// What the client's cookie says, if furt made it for this service.
    fn named(&self, service: &Service, sent: &HeaderMap) -> Option<Named> {
        let mut tokens = cookie::tokens(sent).peekable();
        // Who has no cookie costs no key.
        tokens.peek()?;
        let names = self.names.of(service, &self.keys.at(clock::unix_ms()));
        tokens.find_map(|token| names.find(token))
    }
}

/// Whether a client that named an instance need not be told another one, after the one at `position` answered.
fn is_settled(named: Named, position: usize, takes_requests: impl FnOnce() -> bool) -> bool {
    match named.position == position {
        true => named.age == Age::Present,
        // One that is only full for a moment has its client back after it.
        false => takes_requests(),
    }
}

/// Removes the cookie from a request to a service of its own: nobody but furt has a use for it.
///
/// # Errors
/// A header that cannot be made; none of ours.
pub(super) fn hide(request: &mut RequestHeader, ctx: &Context) -> pingora::Result<()> {
    match &ctx.target.service {
        Some(service) if is_by_cookie(service) => cookie::remove(request),
        _ => Ok(()),
    }
}

/// A definition has this with the policy `sticky` alone.
fn is_by_cookie(service: &Service) -> bool {
    service.definition.sticky_by == StickyBy::Cookie
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
    cookie::pairs(headers).find_map(|pair| pair.strip_prefix(name.as_bytes())?.strip_prefix(b"="))
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

    #[test]
    fn a_client_is_told_anew_when_it_was_moved_or_its_key_is_past() {
        for (position, age, takes_requests, expected) in [
            (1, Age::Present, true, true),
            (1, Age::Present, false, true),
            (1, Age::Past, true, false),
            (2, Age::Present, true, true),
            (2, Age::Past, true, true),
            (2, Age::Present, false, false),
            (2, Age::Past, false, false),
        ] {
            let named = Named { position, age };
            assert_eq!(is_settled(named, 1, || takes_requests), expected, "{named:?} {takes_requests}");
        }
    }
}
