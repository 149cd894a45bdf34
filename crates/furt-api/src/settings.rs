//! Settings that commanders of a cluster set: for all nodes, or for some.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cluster::{ScopeSettings, SettingsId};
use crate::open_enum::open_enum;
use crate::{Ordered, Outcome, Timestamp};

open_enum! {
    /// How a node took settings.
    TargetResult {
        /// They are in force there.
        Success = "success",
        /// It could not put them in force.
        Failed = "failed",
        /// Its beat shows them; what it answered was lost.
        Seen = "seen",
        /// It did not agree, and the others went on without it.
        Disagreed = "disagreed",
        /// It was there and did not answer in time. It may put them in force yet.
        NoAnswer = "no-answer",
        /// It agreed and does not restart, since a node before it could not.
        Waiting = "waiting",
        /// It is not there. It takes them once it is.
        Away = "away",
    }
}

/// The body of `POST /internal/cluster/settings`; [`SetSettings`] answers it. At least one key is set or unset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ChangeSettings {
    /// Whose settings.
    pub to: Targets,
    /// Keys such as `limits.max_body` and their values: booleans, numbers, strings and arrays of them.
    #[serde(default, skip_serializing_if = "Ordered::is_empty")]
    pub set: Ordered<Value>,
    /// Keys that are not set any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
    /// The generation that the caller has seen; 0: none. Where another one is in force, the answer is 412. Absent: whichever is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expect: Option<u64>,
    /// Whether the nodes that agree go on without those that do not. Absent: all that are there must agree.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub partial: Option<bool>,
    /// Whether keys that need a restart are taken, too: then nodes restart without their clients' notice, one after the other, and the
    /// node that is asked last. Not together with `partial`, nor with several nodes. Absent: such keys are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restart: Option<bool>,
}

/// Whose settings are changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Targets {
    /// Those of the cluster, which hold at all nodes.
    All(All),
    /// Those of these approved nodes, each by its fingerprint, at least 8 digits that it begins with, or its name.
    Nodes(Vec<String>),
}

/// All nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum All {
    /// `all` in JSON.
    #[serde(rename = "all")]
    All,
}

/// The answer to `POST /internal/cluster/settings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SetSettings {
    /// [`Outcome::Set`].
    pub status: Outcome,
    /// The documents that are in force from now on.
    pub documents: Vec<ScopeSettings>,
    /// How each node took them.
    pub outcomes: Vec<TargetOutcome>,
}

/// How a node took settings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TargetOutcome {
    /// The node's fingerprint.
    pub fingerprint: String,
    /// Its name; `null`: it was not heard.
    pub name: Option<String>,
    /// How it took them.
    pub result: TargetResult,
    /// What is wrong there, with places.
    pub errors: Vec<String>,
    /// What the node told; absent where it told nothing.
    #[serde(flatten)]
    pub told: Option<Told>,
}

/// What a node tells of a command that it carried out, or could not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Told {
    /// What it was told to do, such as `update_settings`.
    pub action: String,
    /// `success` or `failed`.
    pub status: String,
    /// What it was about.
    #[schemars(extend("nullable" = true))]
    pub detail: Option<String>,
    /// Why it failed; `null` where it did not.
    #[schemars(extend("nullable" = true))]
    pub error: Option<String>,
    /// The node's name.
    pub node: String,
    /// When.
    pub timestamp: Timestamp,
    /// The generation of the settings.
    pub generation: u64,
}

/// The answer to `GET /internal/cluster/settings`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Settings {
    /// The fingerprint of the node that answers.
    pub fingerprint: String,
    /// The documents that are in force, and those that were at this node: the cluster's first, of each the latest first.
    pub settings: Vec<SettingsDocument>,
}

/// Settings that are in force, or were.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct SettingsDocument {
    /// The fingerprint of the node that they are for; `null`: for all.
    pub node: Option<String>,
    /// Which.
    #[serde(flatten)]
    pub id: SettingsId,
    /// Whether they are the latest for whom they are.
    pub latest: bool,
    /// Whether they are in force at the node that answers.
    pub applied: bool,
    /// When they were put in force there; `null`: never.
    pub applied_at: Option<Timestamp>,
    /// The document, in TOML; `null`: the node that answers does not have it.
    pub text: Option<String>,
    /// Its keys such as `limits.max_body`, and their values; `null` as `text`.
    pub values: Option<Ordered<Value>>,
}
