//! What a node tells of a command that it carried out.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Fingerprint, NodeName};

/// Names a command of a node, so that answers find it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestId {
    /// The node that commands.
    pub by: Fingerprint,
    /// Never used twice by that node: its boot is in the upper bits.
    #[serde(with = "number")]
    pub number: u128,
}

/// As text: what reads JSON may have no numbers of 128 bits.
mod number {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// The `UpdateResult` of lex-node, with furt's generation and request. The first six fields are lex-node's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateResult {
    /// What was asked for, such as `update_settings`.
    pub action: Arc<str>,
    /// `Ok`: `success`; `Err`: `failed`, and the error in words.
    pub status: Result<(), Arc<str>>,
    /// What it was about.
    pub detail: Option<Arc<str>>,
    /// The node that tells.
    pub node: NodeName,
    /// When, in ms since the Unix epoch.
    pub at_ms: i64,
    /// The generation of the settings that the command was about.
    pub generation: u64,
    /// The command; `None`: the node took by itself what it had missed.
    pub request: Option<RequestId>,
}
