//! The cluster of nodes that speak to each other over a broker: what a node knows of it, and what operators ask of it.
//!
//! [`Cluster`] is a part of the answer to `GET /internal/nodes`. The other types are bodies and answers of
//! `/internal/cluster/…`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{Ordered, Outcome, Seconds, Timestamp};

open_enum! {
    /// Whether messages reach the broker.
    LinkStatus {
        /// They do.
        Up = "up",
        /// They do not: what is shown is what was heard last.
        Down = "down",
    }
}

open_enum! {
    /// How a key stands.
    Standing {
        /// Nobody approved it.
        Pending = "pending",
        /// It is approved.
        Member = "member",
        /// It is approved and may command.
        Commander = "commander",
        /// It was revoked, for ever.
        Revoked = "revoked",
    }
}

open_enum! {
    /// Whether a node is there.
    NodeState {
        /// It beats.
        Active = "active",
        /// Three of its beats are missing.
        Late = "late",
        /// It was not heard for a minute.
        Silent = "silent",
        /// It said that it ends.
        Leaving = "leaving",
    }
}

open_enum! {
    /// How a node says it is.
    NodeStatus {
        /// All is well.
        Healthy = "healthy",
        /// It serves, and its `/health` has issues.
        Degraded = "degraded",
        /// It ends.
        Leaving = "leaving",
    }
}

open_enum! {
    /// What an approval allows.
    Role {
        /// It is told what all nodes are told, and commands nothing.
        Member = "member",
        /// It may also approve, revoke, make tokens, set settings and rotate the secret.
        Commander = "commander",
    }
}

/// What a node knows of its cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Cluster {
    /// The cluster's id; `null`: the node belongs to none.
    pub id: Option<String>,
    /// The fingerprint of the key that made the cluster.
    pub founder: Option<String>,
    /// The fingerprint of the node that answers.
    pub fingerprint: String,
    /// The connection to the broker.
    pub link: Link,
    /// Whether the node looks for the maker of its join token.
    pub joining: bool,
    /// The nodes by their keys: this one, and all that are approved, revoked or pending.
    pub members: Vec<Member>,
    /// The secret that the nodes share, never itself.
    pub secret: Secret,
    /// The settings in force.
    pub settings: Vec<ScopeSettings>,
    /// The join tokens that this node made, never themselves.
    pub tokens: Vec<JoinToken>,
    /// What is wrong, a sentence each.
    pub issues: Vec<String>,
    /// Messages that were not taken since the start, by reason; only reasons that occurred.
    pub refused: Ordered<u64>,
    /// Beats that were taken since the start.
    pub beats: u64,
}

/// The connection to the broker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Link {
    /// Whether it is there.
    pub status: LinkStatus,
    /// Why it is not; `null` where it is, or nothing was tried yet.
    pub why: Option<String>,
}

/// A node by its key. What it says of itself is unchecked where it is pending.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    /// SHA-256 of its public key, 64 hexadecimal digits: its identity.
    pub fingerprint: String,
    /// What it calls itself; `null`: it was not heard.
    pub name: Option<String>,
    /// How its key stands.
    pub standing: Standing,
    /// Whether it is there; `null`: it was not heard within a day, or since the start of the node that answers.
    pub state: Option<NodeState>,
    /// How long ago it was heard.
    pub age: Option<Seconds>,
    /// How far its clock was ahead, in ms.
    pub skew_ms: Option<i64>,
    /// The version of its furt.
    pub version: Option<String>,
    /// How it says it is.
    pub status: Option<NodeStatus>,
    /// Its start; a later one is greater.
    pub boot: Option<u64>,
    /// The cluster's settings that are in force at it.
    pub settings: Option<SettingsId>,
    /// Its own settings that are in force at it.
    pub own_settings: Option<SettingsId>,
    /// The secret that it seals by.
    pub secret: Option<SecretId>,
    /// Its services.
    pub services: Option<ServiceCounts>,
    /// Where its registry is; `null`: its store is its own.
    pub registry: Option<RegistryPoint>,
    /// Whether it is the node that answers.
    pub this: bool,
}

/// How many services a node has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceCounts {
    /// Those that get requests.
    pub routed: u32,
    /// All that are registered.
    pub registered: u32,
}

/// Where a registry that nodes share is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RegistryPoint {
    /// Its identity.
    pub epoch: String,
    /// The last change of the store that the node has.
    pub revision: u64,
}

/// Names a secret, and does not give it away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretId {
    /// 1 is the first, each rotation takes a greater one.
    pub generation: u64,
    /// The check value, 16 hexadecimal digits.
    pub check: String,
}

/// Names a document of settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SettingsId {
    /// 1 is the first.
    pub generation: u64,
    /// SHA-256 of the document, 64 hexadecimal digits.
    pub digest: String,
}

/// The settings of a scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ScopeSettings {
    /// The fingerprint of the node that they are for; `null`: for all.
    pub node: Option<String>,
    /// What is in force.
    #[serde(flatten)]
    pub id: SettingsId,
}

/// What is known of the secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Secret {
    /// What the node seals by; `null`: it has none yet.
    pub active: Option<SecretId>,
    /// What it can open.
    pub held: Vec<SecretId>,
    /// What is announced and not active yet.
    pub next: Option<SecretId>,
    /// The fingerprints of the nodes that do not have it yet.
    pub waits_for: Vec<String>,
}

/// A join token, by its id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinToken {
    /// Names it, 16 hexadecimal digits.
    pub id: String,
    /// How many nodes may join by it still.
    pub uses: u32,
    /// Its end.
    pub until: Timestamp,
    /// What they may.
    pub role: Role,
}

/// The answer to `POST /internal/cluster/init`, which takes no body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Founded {
    /// [`Outcome::Founded`].
    pub status: Outcome,
    /// The new cluster's id.
    pub cluster: String,
    /// Its first secret.
    pub secret: SecretId,
}

/// The body of `POST /internal/cluster/join`; [`Joining`] answers it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Join {
    /// The token that another node made, `furtc1.…`.
    pub token: String,
}

impl std::fmt::Debug for Join {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Join { .. }")
    }
}

/// The answer to `POST /internal/cluster/join`: with 202 where the node looks for the maker of the token from now on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Joining {
    /// [`Outcome::Joining`], or [`Outcome::Joined`] where the node belonged to that cluster already.
    pub status: Outcome,
}

/// The body of `POST /internal/cluster/tokens`, which may be left out; [`IssuedToken`] answers it with 201.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// How many nodes may join by it, 1 to 256. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 256))]
    pub uses: Option<u32>,
    /// For how long, in seconds, 1 to 604,800. Absent: an hour.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 604_800))]
    pub ttl_s: Option<u64>,
    /// What they may. Absent: [`Role::Member`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// A join token itself: in the one answer to whom it was made for, which must not be cached.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct IssuedToken {
    /// The token, which the node that made it keeps with mode 0600.
    pub token: String,
    /// Names it.
    pub id: String,
    /// Its end.
    pub until: Timestamp,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("id", &self.id).field("until", &self.until).finish_non_exhaustive()
    }
}

/// The answer to `DELETE /internal/cluster/tokens/{token}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DroppedToken {
    /// [`Outcome::Dropped`].
    pub status: Outcome,
    /// The token's id.
    pub id: String,
}

/// The body of `POST /internal/cluster/nodes/{key}/approve`, which may be left out; [`ApprovedNode`] answers it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Approve {
    /// What the node may. Absent: [`Role::Member`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
}

/// The answer to `POST /internal/cluster/nodes/{key}/approve`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ApprovedNode {
    /// [`Outcome::Approved`]; [`Outcome::Trusted`] where this node belongs to no cluster: then that key may welcome it.
    pub status: Outcome,
    /// The whole fingerprint.
    pub fingerprint: String,
    /// The least that the node may from now on.
    pub role: Role,
}

/// The answer to `POST /internal/cluster/nodes/{key}/revoke`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RevokedNode {
    /// [`Outcome::Revoked`].
    pub status: Outcome,
    /// The whole fingerprint.
    pub fingerprint: String,
    /// The keys that this key had approved. The node that answers approves them from now on.
    pub approved_again: Vec<String>,
}

/// The answer to `DELETE /internal/cluster/nodes/{key}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ForgottenNode {
    /// [`Outcome::Forgotten`].
    pub status: Outcome,
    /// The whole fingerprint.
    pub fingerprint: String,
}

/// The answer to `POST /internal/cluster/beats`, which takes no body: all nodes are asked to beat now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BeatsAsked {
    /// [`Outcome::Asked`].
    pub status: Outcome,
}

/// The answer to `POST /internal/cluster/secret/rotate`, which takes no body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Rotating {
    /// [`Outcome::Rotating`]: the secret becomes active as soon as every approved node that is there has it.
    pub status: Outcome,
    /// The next secret.
    pub secret: SecretId,
}

/// The body of `POST /internal/cluster/secret/adopt`; [`AdoptedSecret`] answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Adopt {
    /// The check value of the secret that is to stand, 16 hexadecimal digits.
    pub check: String,
}

/// The answer to `POST /internal/cluster/secret/adopt`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AdoptedSecret {
    /// [`Outcome::Adopted`].
    pub status: Outcome,
    /// The secret that stands.
    pub secret: SecretId,
}

/// The body of `POST /internal/cluster/nodes/{key}/update`; [`UpdatedProgram`] answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpdateProgram {
    /// The version that the node is to run, such as `1.4.0`.
    pub version: String,
    /// SHA-256 of its artefact, 64 hexadecimal digits.
    pub sha256: String,
}

/// The answer to `POST /internal/cluster/nodes/{key}/update`, once the node told or had its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct UpdatedProgram {
    /// [`Outcome::Updated`], [`Outcome::NotUpdated`] or [`Outcome::NoAnswer`].
    pub status: Outcome,
    /// The node's whole fingerprint.
    pub fingerprint: String,
    /// The version that was asked for.
    pub version: String,
    /// What the node calls itself; `null`: it told nothing.
    pub node: Option<String>,
    /// Why it runs what it ran; `null`: it runs that version, or told nothing.
    pub error: Option<String>,
    /// When it told; `null`: it told nothing.
    pub at: Option<Timestamp>,
}
