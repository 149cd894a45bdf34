//! The words of furt as types: names, addresses, permissions, patterns, definitions and instances.
//!
//! Each type holds its own rule and nothing else: private fields, a fallible constructor, no behaviour that needs
//! another module. A value of one of these types is valid; nobody checks it again. Everything above builds on them:
//! `routing`, `registry`, `config`, `api`.

mod address;
mod api_key;
mod definition;
mod duration;
pub mod host;
mod method;
mod names;
pub mod path;
mod pattern;
mod permission;
mod rate;
mod status;

pub use address::{CidrSet, Scheme, UpstreamHost, UpstreamUrl, address_text, is_never_upstream};
pub use api_key::{KeySpec, MAX_KEY_NETWORKS, MAX_KEY_PERMISSIONS, MAX_OLD_DIGESTS, OldDigest, RuntimeKey};
pub use definition::{
    Definition, InstanceSpec, LoadBalancingPolicy, MAX_METADATA_BYTES, MAX_ROUTES, MAX_TIME, MIN_TIMEOUT, MIN_TTL,
    Protocol, RouteSpec, Timeouts,
};
pub use duration::{MAX_DURATION, duration};
pub use host::Host;
pub use method::MethodRule;
pub use names::{Country, InstanceId, KeyName, Region, ServiceName};
pub use pattern::{MAX_SEGMENTS, Pattern, Segment};
pub use permission::{Permission, PermissionRule, PermissionSet};
pub use rate::{MAX_BURST, Rate, RateLimit};
pub use status::Status;

use std::borrow::Cow;

/// Why a text is not a value of the type it was meant for; its `Display` is a sentence without the text itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub Cow<'static, str>);

impl Invalid {
    /// From a fixed sentence or a formatted one.
    pub fn new(why: impl Into<Cow<'static, str>>) -> Self {
        Self(why.into())
    }
}

/// The SHA-256 of a secret (API key or grant token); secrets themselves are never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest of `secret`.
    pub fn of(secret: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(secret).into())
    }

    /// From 64 hexadecimal digits.
    ///
    /// # Errors
    /// Any other length or character.
    pub fn try_from_hex(hex: &str) -> Result<Self, Invalid> {
        let refused = || Invalid::new("must be 64 hexadecimal digits, the SHA-256 of the secret");
        let digits = hex.as_bytes();
        if digits.len() != 64 {
            return Err(refused());
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let high = char::from(pair[0]).to_digit(16).ok_or_else(refused)?;
            let low = char::from(pair[1]).to_digit(16).ok_or_else(refused)?;
            *byte = (high * 16 + low) as u8;
        }
        Ok(Self(bytes))
    }
}

impl std::fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Sha256Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sha256Digest({self})")
    }
}

/// The number of a change of the registry; grows by one a change, starts at 0, never repeats within an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Generation(pub u64);

impl Generation {
    /// The next number.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// The identity of a registry: a service that sees another epoch than before knows that its registration is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Epoch(pub uuid::Uuid);

impl std::fmt::Display for Epoch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}
