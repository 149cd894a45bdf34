//! How often a key may be used. The limiter is the key's own, made with its first request: it lives as long as the key,
//! whatever is published or rotated meanwhile, and is found without looking for it.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{Quota, RateLimiter};

use crate::model::Rate;
use crate::routing::ApiKey;

/// Counts a use of the key.
///
/// # Errors
/// It is used too often; in so many whole seconds, at least 1, it may be used again.
pub(super) fn check(key: &ApiKey) -> Result<(), u64> {
    let Some(rate) = key.rate else { return Ok(()) };
    let limiter = key.live.limiter.get_or_init(|| RateLimiter::direct(quota(rate)));
    let checked = limiter.check();
    checked.map_err(|until| until.wait_time_from(limiter.clock().now()).as_secs_f64().ceil().max(1.0) as u64)
}

/// The burst is one second's worth, at least 1.
fn quota(rate: Rate) -> Quota {
    let burst = NonZeroU32::new(rate.count.get() / rate.period_seconds).unwrap_or(NonZeroU32::MIN);
    let interval = Duration::from_secs(u64::from(rate.period_seconds)) / rate.count.get();
    Quota::with_period(interval).unwrap_or(Quota::per_second(rate.count)).allow_burst(burst)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::model::{CidrSet, KeyName, KeySpec, PermissionSet, Sha256Digest};
    use crate::routing::KeyLive;

    fn key(rate: Option<&str>, live: &Arc<KeyLive>) -> ApiKey {
        let spec = KeySpec {
            name: KeyName::try_new("a").unwrap(),
            sha256: Sha256Digest::of(b"a"),
            permissions: PermissionSet::default(),
            allow_from: CidrSet::default(),
            rate: rate.map(|text| Rate::try_new(text).unwrap()),
        };
        ApiKey::new(&spec, None, live)
    }

    #[test]
    fn a_key_is_limited_to_its_rate_and_others_are_not() {
        let slow = key(Some("2/m"), &Arc::default());
        assert_eq!(check(&slow), Ok(()));
        let wait = check(&slow).unwrap_err();
        assert!((29..=30).contains(&wait), "{wait}");
        let (free, other) = (key(None, &Arc::default()), key(Some("2/m"), &Arc::default()));
        (0..1000).for_each(|_| assert_eq!(check(&free), Ok(())));
        assert_eq!(check(&other), Ok(()));
    }

    #[test]
    fn the_burst_is_a_seconds_worth() {
        let key = key(Some("100/s"), &Arc::default());
        let passed = (0..200).filter(|_| check(&key).is_ok()).count();
        assert!((100..120).contains(&passed), "{passed}");
    }

    #[test]
    fn all_digests_of_a_key_share_its_rate() {
        let live = Arc::default();
        assert_eq!(check(&key(Some("2/m"), &live)), Ok(()));
        assert!(check(&key(Some("2/m"), &live)).is_err());
    }
}
