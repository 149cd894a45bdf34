//! Splits: a share of a service's callers goes to instances of a version.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Epoch, Generation, Ordered, Outcome, ServiceName, Timestamp};

/// The body of `PUT /internal/services/{service}/split`; [`SetSplit`] answers it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewSplit {
    /// From 1 to 8 versions with their shares in percent, 0 to 100 with at most two decimals, at most 100 together. In their order.
    pub versions: Ordered<f64>,
    /// The header by which a client says where it goes: a version, or `stable` for all other instances. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub header: Option<String>,
    /// Whether requests get 503 where no instance of their version can be asked. Absent: no, they go to others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strict: Option<bool>,
}

/// A split that is set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Split {
    /// The service that has it, registered or not.
    pub service: ServiceName,
    /// The versions with their shares in percent, in their order.
    pub versions: Ordered<f64>,
    /// What is left for instances of no named version, in percent.
    pub stable: f64,
    /// The header by which a client says where it goes; `null`: none.
    pub header: Option<String>,
    /// Whether requests get 503 where no instance of their version can be asked.
    pub strict: bool,
    /// When it was set.
    pub since: Timestamp,
    /// The address that set it.
    pub from: String,
    /// The operator that set it, where a token or a certificate said who it is; else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
}

/// The answer to a new split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetSplit {
    /// [`Outcome::SplitSet`].
    pub status: Outcome,
    /// The split, in the place of one that was set.
    #[serde(flatten)]
    pub split: Split,
    /// What is probably not meant, such as a name that no service has, or a version of no instance.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The registry's last change.
    pub generation: Generation,
}

/// The answer to the removal of a split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RemovedSplit {
    /// [`Outcome::SplitRemoved`].
    pub status: Outcome,
    /// The service that had it.
    pub service: ServiceName,
    /// The registry's last change.
    pub generation: Generation,
}

/// The answer to `GET /internal/splits`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Splits {
    /// When furt answered, by its own clock, to the millisecond.
    pub time: Timestamp,
    /// All that are set, by the names of services.
    pub splits: Vec<Split>,
    /// The registry's last change.
    pub generation: Generation,
    /// The registry's identity.
    pub epoch: Epoch,
}
