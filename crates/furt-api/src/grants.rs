//! Grants: what a service may register.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::keys::KeySource;
use crate::{Epoch, Generation, Outcome, ServiceName, Timestamp};

/// The body of `PUT /internal/services/{service}/grant`; [`SetGrant`] answers it. What is left out is not granted, unless said
/// otherwise. Names, patterns and networks have at most 4,096 bytes together.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GrantRules {
    /// The permissions that its routes may ask for, such as `comments:read`, `comments:*` or `*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub permissions: Vec<String>,
    /// The patterns that its routes must lie within, such as `/api/comments/*`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub paths: Vec<String>,
    /// The hosts that its routes may be bound to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hosts: Vec<String>,
    /// The networks where its instances may be, never beyond `registration.upstreams`. Absent: wherever any may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upstreams: Option<Vec<String>>,
    /// Whether its routes may be public: need no key. Absent: `false`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub public: bool,
    /// The most that its `cors` may name, or `["*"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub origins: Vec<String>,
    /// What its routes may take: `key` and names of `[[issuers]]` and `[[forward_auth]]`. Absent: `["key"]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Vec<String>>,
    /// The SHA-256 of a token that it must send, 64 hexadecimal digits; without one, and without `certificate_sha256`, its address
    /// alone decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token_sha256: Option<String>,
    /// The SHA-256 of a certificate in DER that it must show, 64 hexadecimal digits. Beside `token_sha256` either will do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_sha256: Option<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn is_false(value: &bool) -> bool {
    !value
}

/// A grant as operators are shown it, without digests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grant {
    /// The service that has it, registered or not.
    pub service: ServiceName,
    /// Where it is from.
    pub source: KeySource,
    /// The permissions that its routes may ask for.
    pub permissions: Vec<String>,
    /// The patterns that its routes must lie within.
    pub paths: Vec<String>,
    /// The hosts that its routes may be bound to.
    pub hosts: Vec<String>,
    /// The networks where its instances may be; `null`: wherever any may.
    pub upstreams: Option<Vec<String>>,
    /// Whether its routes may be public.
    pub public: bool,
    /// The most that its `cors` may name.
    pub origins: Vec<String>,
    /// What its routes may take.
    pub auth: Vec<String>,
    /// Whether it must send a token.
    pub token: bool,
    /// Whether it must show a certificate; beside a token either will do.
    pub certificate: bool,
    /// When it was made as it is; `null` for one of the configuration.
    pub since: Option<Timestamp>,
    /// The address that made it so; `null` for one of the configuration.
    pub from: Option<String>,
    /// The operator that made it so, where a token or a certificate said who it is; else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// Why one that was made at runtime is kept but not in force; `null` where it is.
    pub blocked: Option<String>,
}

/// The answer to a new grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SetGrant {
    /// [`Outcome::GrantSet`].
    pub status: Outcome,
    /// The grant, in the place of one that was made before.
    #[serde(flatten)]
    pub grant: Grant,
    /// Why what is registered under the name is not routed from now on, and the like.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The registry's last change.
    pub generation: Generation,
}

/// The answer to the removal of a grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemovedGrant {
    /// [`Outcome::GrantRemoved`].
    pub status: Outcome,
    /// The service that had it.
    pub service: ServiceName,
    /// Why what is registered under the name is not routed from now on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The registry's last change.
    pub generation: Generation,
}

/// The answer to `GET /internal/grants`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Grants {
    /// When furt answered, by its own clock, to the millisecond.
    pub time: Timestamp,
    /// Those of the configuration, then those made at runtime, each by the names of services.
    pub grants: Vec<Grant>,
    /// The registry's last change.
    pub generation: Generation,
    /// The registry's identity.
    pub epoch: Epoch,
}
