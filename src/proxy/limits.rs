//! How often a key may be used, and how often an address may ask without a good one.
//!
//! The limiter of a key is the key's own, made with its first request: it lives as long as the key, whatever is published
//! or rotated meanwhile, and is found without looking for it. Addresses are counted here, in bounded memory. Called by
//! `admission`; the limit of bodies is looked at where bodies pass.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;

use crate::clock;
use furt_core::live::{RateLimiter, RateLimiters};
use furt_core::model::{RateLimit, counted_network};
use furt_core::routing::ApiKey;

/// Counts a use of the key.
///
/// # Errors
/// It is used too often; after so long it may be used again.
pub(super) fn check(key: &ApiKey) -> Result<(), Duration> {
    let Some(limit) = key.rate else { return Ok(()) };
    let now = clock::now();
    let limiter = key.live.limiter.get_or_init(|| RateLimiter::new(limit, now));
    limiter.check(now)
}

/// Addresses share a count where they meet in one of so many. 2 MiB, whatever strangers send; where a thousand addresses are
/// over their limit, one of 262 others is with them.
const COUNTS: usize = 1 << 18;

/// What addresses have asked for without a good key.
#[derive(Default)]
pub(super) struct AddressRates {
    counted: ArcSwapOption<RateLimiters>,
    /// Seeded by chance, so that nobody can aim at another's count.
    hasher: ahash::RandomState,
}

impl AddressRates {
    /// Counts a request of the address.
    ///
    /// # Errors
    /// There were too many; after so long there may be another.
    pub(super) fn take(&self, address: IpAddr, limit: RateLimit) -> Result<(), Duration> {
        let (number, now) = (self.hasher.hash_one(counted_network(address)), clock::now());
        let counted = self.counted.load();
        match &*counted {
            Some(counted) if counted.limit() == limit => counted.check(number, now),
            // By another limit than before what was asked for counts anew.
            _ => {
                let counted = Arc::new(RateLimiters::new(limit, COUNTS, now));
                self.counted.store(Some(Arc::clone(&counted)));
                counted.check(number, now)
            }
        }
    }

    /// Takes a request back that turned out not to count.
    pub(super) fn give_back(&self, address: IpAddr, limit: RateLimit) {
        if let Some(counted) = self.counted.load().as_ref().filter(|counted| counted.limit() == limit) {
            counted.give_back(self.hasher.hash_one(counted_network(address)));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use super::*;
    use furt_core::model::{CidrSet, KeyName, KeySpec, PermissionSet, Rate, Sha256Digest, Share};
    use furt_core::routing::KeyLive;

    fn limit(text: &str, burst: u32) -> RateLimit {
        RateLimit::new(Rate::try_new(text).unwrap(), NonZeroU32::new(burst))
    }

    fn key(rate: Option<RateLimit>, live: &Arc<KeyLive>) -> ApiKey {
        let spec = KeySpec {
            name: KeyName::try_new("a").unwrap(),
            sha256: Sha256Digest::of(b"a"),
            permissions: PermissionSet::default(),
            allow_from: CidrSet::default(),
            rate,
        };
        ApiKey::new(&spec, Share::WHOLE, None, live)
    }

    #[test]
    fn a_key_is_limited_to_its_rate_and_others_are_not() {
        let slow = || Some(limit("2/m", 0));
        let one = key(slow(), &Arc::default());
        assert_eq!(check(&one), Ok(()));
        let wait = check(&one).unwrap_err().as_secs();
        assert!((29..=30).contains(&wait), "{wait}");
        let (free, other) = (key(None, &Arc::default()), key(slow(), &Arc::default()));
        (0..1000).for_each(|_| assert_eq!(check(&free), Ok(())));
        assert_eq!(check(&other), Ok(()));
    }

    #[test]
    fn so_many_may_come_at_once() {
        for (burst, passes) in [(0, 100..120), (10, 10..30), (150, 150..170)] {
            let key = key(Some(limit("100/s", burst)), &Arc::default());
            let passed = (0..200).filter(|_| check(&key).is_ok()).count();
            assert!(passes.contains(&passed), "{burst}: {passed}");
        }
    }

    #[test]
    fn all_digests_of_a_key_share_its_rate() {
        let live = Arc::default();
        assert_eq!(check(&key(Some(limit("2/m", 0)), &live)), Ok(()));
        assert!(check(&key(Some(limit("2/m", 0)), &live)).is_err());
    }

    #[test]
    fn an_address_is_limited_and_others_are_not() {
        let rates = AddressRates::default();
        let take = |address: &str| rates.take(address.parse().unwrap(), limit("1/m", 2));
        assert_eq!([take("192.0.2.1"), take("192.0.2.1")], [Ok(()), Ok(())]);
        assert!((59..=60).contains(&take("192.0.2.1").unwrap_err().as_secs()));
        assert!(take("::ffff:192.0.2.1").is_err(), "an address has one count, however it is written");
        assert_eq!(take("192.0.2.2"), Ok(()));
    }

    #[test]
    fn an_ipv6_network_is_one_client() {
        let rates = AddressRates::default();
        let take = |address: &str| rates.take(address.parse().unwrap(), limit("1/m", 1));
        assert_eq!(take("2001:db8::1"), Ok(()));
        assert!(take("2001:db8::ffff:1").is_err());
        assert_eq!(take("2001:db8:0:1::1"), Ok(()));
    }

    #[test]
    fn another_limit_counts_anew() {
        let rates = AddressRates::default();
        let take = |burst| rates.take([192, 0, 2, 1].into(), limit("1/m", burst));
        assert!(take(1).is_ok() && take(1).is_err());
        assert!(take(2).is_ok() && take(2).is_ok() && take(2).is_err());
    }
}
