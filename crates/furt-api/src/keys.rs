//! API keys.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{Epoch, Generation, KeyName, Outcome, Timestamp};

/// The body of `POST /internal/keys`; [`IssuedKey`] answers it with 201.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// What services are told in `X-API-Key-Name`.
    pub name: KeyName,
    /// What it may do, such as `comments:read`, `comments:*` or `*`; at least one.
    pub permissions: Vec<String>,
    /// The networks from where it may be used, such as `10.0.0.0/8`. Empty: from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,
    /// How often it may be used, such as `100/s`. Absent: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// How many requests may come at once, 1 to 1,000,000; only with `rate`. Absent: one second's worth of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// When it ends: RFC 3339, or from now on such as `12h` or `90d`; within a hundred years. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
}

/// The body of `POST /internal/keys/{name}/rotate`, which may be left out; [`IssuedKey`] answers it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateKey {
    /// How long the key before stays good, such as `90s`, `1h` or `7d`, at most 30 days; `0` ends it at once, and all before
    /// it. Absent: 24 hours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace: Option<String>,
}

/// A key with its secret: in the one answer to whom it was made for, which must not be cached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuedKey {
    /// The key's name.
    pub name: KeyName,
    /// The key itself, which furt does not keep.
    pub key: String,
    /// The SHA-256 of the key, 64 hexadecimal digits.
    pub sha256: String,
    /// What it may do and how often.
    #[serde(flatten)]
    pub rules: KeyRules,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends; `null`: never.
    pub expires: Option<Timestamp>,
    /// The keys before it that are still good, the last one last.
    pub old: Vec<OldKey>,
}

/// What a key may do, from where, and how often.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KeyRules {
    /// What it may do.
    pub permissions: Vec<String>,
    /// The networks from where it may be used; empty: from anywhere.
    pub allow_from: Vec<String>,
    /// How often it may be used, such as `100/s`; `null`: without limit.
    pub rate: Option<String>,
    /// How many requests may come at once; `null`: without limit.
    pub burst: Option<u32>,
}

/// A key before the present one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OldKey {
    /// The first 12 hexadecimal digits of its SHA-256.
    pub sha256_prefix: String,
    /// Until when it is good.
    pub until: Timestamp,
}

/// The answer to `GET /internal/keys`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Keys {
    /// Those of the configuration, then those made at runtime.
    pub keys: Vec<Key>,
    /// Gateways that share the registry, at least 1. Each of them counts by itself how often a key is used.
    #[serde(default = "alone")]
    pub gateways: usize,
    /// Whether each of them lets through one part of a rate (`limits.share`). Otherwise a rate of `10/s` lets 10 a second through each one.
    #[serde(default)]
    pub limits_shared: bool,
    /// The registry's last change.
    pub generation: Generation,
    /// The registry's identity.
    pub epoch: Epoch,
}

/// A furt that tells nothing of it shares with nobody.
fn alone() -> usize {
    1
}

open_enum! {
    /// Where a key is from.
    KeySource {
        /// It is of the configuration.
        Config = "config",
        /// It was made at runtime, over the API.
        Runtime = "runtime",
    }
}

/// A key, without its secret; alone the answer to `GET /internal/keys/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Key {
    /// The key's name.
    pub name: KeyName,
    /// Where it is from.
    pub source: KeySource,
    /// The first 12 hexadecimal digits of its SHA-256.
    pub sha256_prefix: String,
    /// What it may do and how often.
    #[serde(flatten)]
    pub rules: KeyRules,
    /// When it was made; `null` for a key of the configuration.
    pub created: Option<Timestamp>,
    /// When it ends; `null`: never.
    pub expires: Option<Timestamp>,
    /// The keys before it that are still good, the last one last.
    pub old: Vec<OldKey>,
    /// Why a runtime key is kept but not good; `null` where it is good.
    pub blocked: Option<String>,
    /// The runtime key of the same name that this key of the configuration stands before; absent where there is none, and
    /// in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Box<Key>>,
}

/// The answer to `DELETE /internal/keys/{name}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevokedKey {
    /// [`Outcome::Revoked`].
    pub status: Outcome,
    /// The key's name.
    pub name: KeyName,
    /// Whether the configuration has a key of that name, which is still good.
    pub configured: bool,
    /// The registry's last change.
    pub generation: Generation,
}
