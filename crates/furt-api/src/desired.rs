//! What operators make at run time, as a file: grants, API keys, maintenance, splits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::grants::GrantRules;
use crate::open_enum::open_enum;
use crate::{Generation, KeyName, Ordered, Outcome, ServiceName, Timestamp};

/// The body of `POST /internal/apply`, which [`Applied`] answers: what is to be there. A collection that is absent is not touched; one
/// that is empty is to be empty. At most 4 MiB.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredState {
    /// Grants that are made at run time, one for each service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grants: Option<Vec<DesiredGrant>>,
    /// API keys that are made at run time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<Vec<DesiredKey>>,
    /// What is in maintenance.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub maintenance: Option<Vec<DesiredMaintenance>>,
    /// Services whose callers are split by versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub splits: Option<Vec<DesiredSplit>>,
}

/// The answer to `GET /internal/export`: all that is there. Without `revision` it is a body of `POST /internal/apply` that changes nothing.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Exported {
    /// What it is told by whether anything of it has changed.
    pub revision: String,
    /// All collections, each in the order of its names.
    #[serde(flatten)]
    pub state: DesiredState,
}

/// A grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct DesiredGrant {
    /// The service; unique.
    pub service: ServiceName,
    /// What it may register.
    #[serde(flatten)]
    pub rules: GrantRules,
}

/// An API key, by its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredKey {
    /// What services are told in `X-API-Key-Name`; unique.
    pub name: KeyName,
    /// The SHA-256 of the key, 64 hexadecimal digits; unique.
    pub sha256: String,
    /// What it may do, such as `comments:read`, `comments:*` or `*`; at least one.
    pub permissions: Vec<String>,
    /// The networks from where it may be used. Empty: from anywhere.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,
    /// How often it may be used, such as `100/s`. Absent: without limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// How many requests may come at once; only with `rate`. Absent: one second's worth of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burst: Option<u32>,
    /// When it ends; one that has ended counts as absent. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Timestamp>,
    /// Digests before it that are good for a while, at most four. Absent: those that are good now stay so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old: Option<Vec<OldDigest>>,
}

/// A digest that is good for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OldDigest {
    /// The SHA-256 of the key as it was.
    pub sha256: String,
    /// Until when it is good.
    pub until: Timestamp,
}

/// A maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredMaintenance {
    /// The service that is in it, or `*`: all services and static routes; unique.
    pub service: String,
    /// The networks of the clients that are let in all the same. Empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,
    /// What the other clients are told. Absent: nothing more than the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When it ends by itself; one that has ended counts as absent. Absent: it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<Timestamp>,
}

/// A split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DesiredSplit {
    /// The service; unique.
    pub service: ServiceName,
    /// From 1 to 8 versions with their shares in percent, in their order.
    pub versions: Ordered<f64>,
    /// The header by which a client says where it goes. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Whether requests get 503 where no instance of their version can be asked. Absent: `false`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// The answer to what is to be there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Applied {
    /// [`Outcome::Applied`], [`Outcome::Unchanged`] where nothing differs, or [`Outcome::Compared`] where it was only looked at.
    pub status: Outcome,
    /// What was changed, or would be, in its order.
    pub changes: Vec<DesiredChange>,
    /// How many records are to be changed still, by asking again.
    pub left: usize,
    /// What is there now is told by: [`Exported::revision`]; `changed` where something else has changed already.
    pub revision: String,
    /// The registry's last change.
    pub generation: Generation,
}

/// One record that is another one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DesiredChange {
    /// What it is of.
    pub kind: DesiredKind,
    /// The name of the key, or of the service; `*`: all services.
    pub name: String,
    /// As it was; absent: it is new.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<serde_json::Value>,
    /// As it is now; absent: it is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<serde_json::Value>,
}

open_enum! {
    /// What a record is of.
    DesiredKind {
        /// A grant.
        Grant = "grant",
        /// An API key.
        Key = "key",
        /// Maintenance.
        Maintenance = "maintenance",
        /// A split.
        Split = "split",
    }
}
