//! The keys of the cookies that clients stay with an instance by. Each is derived from one secret (HKDF-SHA256, RFC 5869), for a
//! period of 12 hours.
//!
//! Cookies are made with the key of the present period. Those of the two periods before are good too, so that a cookie lasts 24 hours
//! at least without a request, and those of the next one, so that gateways may differ in their clocks. The secret is the store's
//! ([`AffinitySecret`]) until a cluster's takes its place ([`KeySource::set`]). The first request of a period derives its keys; no
//! task waits for one. Knows no cookie, no service and no instance: `proxy` does.

use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwap;
use aws_lc_rs::{hkdf, hmac};

use crate::secret;

/// Bytes of a secret.
const SECRET_LEN: usize = 32;
/// How long cookies are made with one key, in ms.
const PERIOD_MS: i64 = 12 * 3600 * 1000;
/// Periods before the present one whose cookies are good.
const PAST: i64 = 2;
/// What the keys are for: no other key that is derived from the same secret is the same.
const LABEL: &[u8] = b"furt affinity cookie v1";

/// What the keys are derived from. Whoever knows it can choose an instance, and nothing else.
#[derive(Clone, PartialEq, Eq)]
pub struct AffinitySecret([u8; SECRET_LEN]);

impl AffinitySecret {
    /// A new one.
    ///
    /// # Errors
    /// The system has no random numbers.
    pub fn random() -> Result<Self, getrandom::Error> {
        secret::random_bytes().map(Self)
    }

    /// From 64 hexadecimal digits; `None`: it is something else.
    pub fn from_hex(text: &[u8]) -> Option<Self> {
        const_hex::decode_to_array(std::str::from_utf8(text).ok()?).ok().map(Self)
    }

    /// As stores keep it.
    pub fn to_hex(&self) -> String {
        const_hex::Buffer::<SECRET_LEN>::new().format(&self.0).to_owned()
    }
}

/// Never shows it.
impl fmt::Debug for AffinitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AffinitySecret(..)")
    }
}

/// The keys of one period.
pub struct AffinityKeys {
    period: i64,
    secret: AffinitySecret,
    /// The secret before it, and the period in which it was replaced.
    before: Option<(AffinitySecret, i64)>,
    own: hmac::Key,
    /// Those of later cookies, by gateways whose clocks are ahead.
    next: hmac::Key,
    past: Vec<hmac::Key>,
}

/// How a cookie compares with those that are made now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Age {
    /// It need not be made anew.
    Present,
    /// It is of an earlier period, or of another secret.
    Past,
}

impl AffinityKeys {
    fn new(secret: AffinitySecret, before: Option<(AffinitySecret, i64)>, period: i64) -> Self {
        // One that is long gone made no cookie that is still good.
        let before = before.filter(|(_, replaced)| (*replaced..=replaced + PAST).contains(&period));
        let mut past: Vec<_> = (1..=PAST).map(|ago| derive(&secret, period - ago)).collect();
        if let Some((before, replaced)) = &before {
            past.extend((period - PAST..=replaced + 1).map(|period| derive(before, period)));
        }
        let (own, next) = (derive(&secret, period), derive(&secret, period + 1));
        Self { period, secret, before, own, next, past }
    }

    /// What a cookie has to say to be about `subject`.
    pub fn sign(&self, subject: &[u8]) -> hmac::Tag {
        hmac::sign(&self.own, subject)
    }

    /// What a cookie about `subject` may say as well.
    pub fn also_good<'a>(&'a self, subject: &'a [u8]) -> impl Iterator<Item = (hmac::Tag, Age)> + 'a {
        let past = self.past.iter().map(|key| (key, Age::Past));
        let keys = std::iter::once((&self.next, Age::Present)).chain(past);
        keys.map(|(key, age)| (hmac::sign(key, subject), age))
    }
}

/// Where requests have the keys from; cheap to clone, and each clone sees what another one sets.
#[derive(Clone)]
pub struct KeySource(Arc<ArcSwap<AffinityKeys>>);

impl KeySource {
    /// From a store's secret, at `now_ms` (Unix ms).
    pub fn new(secret: AffinitySecret, now_ms: i64) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(AffinityKeys::new(secret, None, period(now_ms)))))
    }

    /// The keys at `now_ms` (Unix ms).
    pub fn at(&self, now_ms: i64) -> Arc<AffinityKeys> {
        let period = period(now_ms);
        let keys = self.0.load_full();
        if keys.period == period {
            return keys;
        }
        self.0.rcu(|keys| match keys.period == period {
            true => Arc::clone(keys),
            false => Arc::new(AffinityKeys::new(keys.secret.clone(), keys.before.clone(), period)),
        });
        self.0.load_full()
    }

    /// Derives keys from another secret from now on, such as the one that a cluster shares or its next generation. Cookies by
    /// the secret before it are good for two more periods, so clients stay where they are while gateways take over a secret one
    /// after another. The same secret again changes nothing.
    pub fn set(&self, secret: &[u8; SECRET_LEN], now_ms: i64) {
        let (secret, period) = (AffinitySecret(*secret), period(now_ms));
        self.0.rcu(|keys| match keys.secret == secret {
            true => Arc::clone(keys),
            false => {
                let before = Some((keys.secret.clone(), period));
                Arc::new(AffinityKeys::new(secret.clone(), before, period))
            }
        });
    }
}

fn period(now_ms: i64) -> i64 {
    now_ms.div_euclid(PERIOD_MS)
}

fn derive(secret: &AffinitySecret, period: i64) -> hmac::Key {
    let mut key = [0; SECRET_LEN];
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, &[]).extract(&secret.0);
    let number = period.to_be_bytes();
    let filled = secret.expand(&[LABEL, &number], hkdf::HKDF_SHA256).and_then(|made| made.fill(&mut key));
    // It fails for keys of more than 8,160 bytes alone.
    debug_assert!(filled.is_ok());
    hmac::Key::new(hmac::HMAC_SHA256, &key)
}

#[cfg(test)]
mod tests;
