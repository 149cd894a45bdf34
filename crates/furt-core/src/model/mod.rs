//! The words of furt as types: names, addresses, permissions, patterns, definitions and instances.
//!
//! Each type holds its own rule and nothing else: private fields, a fallible constructor, no behaviour that needs
//! another module. A value of one of these types is valid; nobody checks it again. Everything above builds on them:
//! `routing`, `registry`, `config`, `api`.

mod address;
mod api_key;
mod audit;
mod auth;
mod compress;
mod cors;
mod definition;
mod document;
mod drain;
mod duration;
mod fixed_answer;
mod grant;
mod header_edits;
mod health_check;
pub mod host;
mod maintenance;
mod method;
mod mirror;
mod names;
mod operator;
mod origin;
pub mod path;
mod pattern;
mod percentage;
mod permission;
mod rate;
mod redirect;
mod respond;
mod restrictions;
mod rewrite;
mod route_options;
mod rule;
mod share;
mod size;
mod split;
mod status;

pub use address::{CidrSet, Scheme, UpstreamHost, UpstreamUrl, address_text, counted_network, is_never_upstream};
pub use api_key::{KeySpec, MAX_KEY_NETWORKS, MAX_KEY_PERMISSIONS, MAX_OLD_DIGESTS, OldDigest, RuntimeKey};
pub use audit::{AuditAction, AuditEntry, Order};
pub use auth::{AuthMethod, AuthMethods, MAX_AUTH_METHODS};
pub use compress::Compress;
pub use cors::{CORS_MAX_AGE, Cors, LONGEST_CORS_MAX_AGE, MAX_CORS_HEADERS};
pub use definition::{
    Definition, InstanceSpec, LoadBalancingPolicy, MAX_METADATA_BYTES, MAX_ROUTES, Place, Protocol, RouteSpec,
    StickyBy, Timeouts,
};
pub use document::{Document, MAX_DOCUMENT_BYTES, MAX_DOCUMENT_DEPTH};
pub use drain::{DrainMark, DrainUntil};
pub use duration::{MAX_DURATION, MAX_TIME, MIN_TIMEOUT, MIN_TTL, duration};
pub use fixed_answer::FixedAnswer;
pub use grant::{Grant, MAX_GRANT_TEXT, RuntimeGrant};
pub use header_edits::{HeaderEdit, HeaderEdits, MAX_HEADER_EDITS, Message, MessageHeaders};
pub use health_check::{HealthCheck, StatusRange};
pub use host::Host;
pub use maintenance::{MAX_MAINTENANCE_NETWORKS, MIN_MAINTENANCE, Maintenance, MaintenanceMessage, MaintenanceScope};
pub use method::MethodRule;
pub use mirror::{MAX_MIRROR_BODY, MAX_MIRROR_METHODS, MIRROR_BODY, Mirror};
pub use names::{
    Country, GatewayName, Incarnation, InstanceId, KeyName, OperatorName, ProviderName, Region, ServiceName, Version,
};
pub use operator::{Actor, Operator, Role};
pub use origin::{MAX_ORIGINS, OriginPattern, Origins, is_of_host};
pub use pattern::{MAX_SEGMENTS, Pattern, Segment};
pub use percentage::Percentage;
pub use permission::{Permission, PermissionRule, PermissionSet};
pub use rate::{MAX_BURST, Rate, RateLimit};
pub use redirect::{Asked, NoPlace, Redirect};
pub use respond::Respond;
pub use restrictions::{LimitBy, Limits, MAX_RETRIES, MAX_RULE_NETWORKS, Restrictions};
pub use rewrite::{AskedHost, PathPrefix, Rewrite};
pub use route_options::{RouteOptions, Said};
pub use rule::{Applying, Match, Misfit, Rule, Scope, Subject};
pub use share::Share;
pub use size::size;
pub use split::{MAX_SPLIT_VERSIONS, STABLE, Side, Split, SplitSpec, SplitVersion};
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

/// The SHA-256 of a secret (API key or grant token) or of a certificate in DER; secrets themselves are never stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Sha256Digest([u8; 32]);

impl Sha256Digest {
    /// The digest of `secret`.
    pub fn of(secret: &[u8]) -> Self {
        use sha2::Digest as _;
        Self(sha2::Sha256::digest(secret).into())
    }

    /// A digest that was made elsewhere.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// From 64 hexadecimal digits.
    ///
    /// # Errors
    /// Any other length or character.
    pub fn try_from_hex(hex: &str) -> Result<Self, Invalid> {
        // The decoder takes `0x` before the digits as well.
        let digits = Some(hex.as_bytes()).filter(|digits| digits.len() == 64);
        let bytes = digits.and_then(|digits| const_hex::decode_to_array(digits).ok());
        bytes.map(Self).ok_or_else(|| Invalid::new("must be 64 hexadecimal digits, the SHA-256 of the secret"))
    }
}

impl std::fmt::Display for Sha256Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(const_hex::Buffer::<32>::new().format(&self.0))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_64_hexadecimal_digits_and_shown_in_lower_case() {
        let digest = Sha256Digest::of(b"secret");
        let text = digest.to_string();
        assert_eq!(text, "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b");
        for good in [text.clone(), text.to_uppercase()] {
            assert_eq!(Sha256Digest::try_from_hex(&good), Ok(digest));
        }
        let with_prefix = format!("0x{text}");
        for bad in [
            "",
            &text[1..],
            &format!("{text}0"),
            &with_prefix,
            &with_prefix[..64],
            &text.replace('2', "g"),
            &"ä".repeat(32),
        ] {
            assert!(Sha256Digest::try_from_hex(bad).is_err(), "{bad}");
        }
    }
}
