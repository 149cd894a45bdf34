//! The keys of an issuer, from a JSON Web Key Set (RFC 7517 §5), and the choice of the one that checks a token.
//!
//! A key of an unknown kind or use is skipped. Keys may share a `kid`: the one that fits the token's algorithm is taken, so keys of
//! different kinds go beside each other. Where two fit, neither is taken: a guess could be the wrong one. The same key twice is one key.

use aws_lc_rs::signature::ParsedPublicKey;
use serde_json::Value;

use super::error::TokenError;
use super::key::Key;
use crate::config::TokenAlgorithm;

/// The largest set, in bytes.
pub(super) const MAX_BYTES: u64 = 256 * 1024;
/// The most keys of one.
const MAX_KEYS: usize = 64;

/// The keys of an issuer; at least one of them can be used.
#[derive(Debug)]
pub(super) struct KeySet {
    keys: Vec<Key>,
}

/// Why a document gives no keys.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum KeySetError {
    #[error("is no JSON")]
    NotJson,
    #[error("is no set of keys; must be a JSON object with an array keys")]
    NoSet,
    #[error("is an empty set; must have a key")]
    Empty,
    #[error("has {0} keys; must be at most {MAX_KEYS}")]
    TooMany(usize),
    #[error(
        "has no key that can be used among {0}; must have an RSA key of 2048 to 8192 bits, or one of P-256, P-384 or Ed25519"
    )]
    NoneUsable(usize),
}

impl KeySet {
    /// From a document as it comes, which is given back to be compared and kept.
    ///
    /// # Errors
    /// It has no key that can be used.
    pub(super) fn read(document: &[u8]) -> Result<(Self, Value), KeySetError> {
        let document = serde_json::from_slice(document).map_err(|_| KeySetError::NotJson)?;
        Self::of(&document).map(|set| (set, document))
    }

    /// From a document.
    ///
    /// # Errors
    /// It has no key that can be used.
    pub(super) fn of(document: &Value) -> Result<Self, KeySetError> {
        let keys = document.get("keys").and_then(Value::as_array).ok_or(KeySetError::NoSet)?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(keys.len()));
        }
        let is_first = |(index, key): &(usize, &Value)| !keys[..*index].contains(key);
        let set = Self { keys: keys.iter().enumerate().filter(is_first).map(|(_, key)| Key::new(key)).collect() };
        match (keys.len(), set.usable()) {
            (0, _) => Err(KeySetError::Empty),
            (count, 0) => Err(KeySetError::NoneUsable(count)),
            _ => Ok(set),
        }
    }

    /// How many can be used.
    pub(super) fn usable(&self) -> usize {
        self.keys.iter().filter(|key| key.is_usable()).count()
    }

    /// How many are skipped.
    pub(super) fn skipped(&self) -> usize {
        self.keys.len() - self.usable()
    }

    /// The key for a token: the one of its `kid`, or else the only one that fits its algorithm.
    ///
    /// # Errors
    /// There is none, or more than one.
    pub(super) fn choose(&self, kid: Option<&str>, algorithm: TokenAlgorithm) -> Result<&ParsedPublicKey, TokenError> {
        let named = self.keys.iter().filter(|key| kid.is_none_or(|kid| key.kid.as_deref() == Some(kid)));
        let (mut found, mut misfit) = (None, None);
        for key in named {
            match key.checking(algorithm) {
                Ok(_) if found.is_some() => return Err(TokenError::AmbiguousKey),
                Ok(key) => found = Some(key),
                Err(why) => misfit = misfit.or(Some(why)),
            }
        }
        let none = match (kid, misfit) {
            (None, _) => TokenError::NoKey,
            (Some(_), None) => TokenError::UnknownKey,
            (Some(_), Some(why)) => TokenError::Key(why),
        };
        found.ok_or(none)
    }
}
