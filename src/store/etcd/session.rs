//! What a gateway says of itself in the store, under a lease: that it is there, and with each batch its number.

use serde::{Deserialize, Serialize};

/// The record of a gateway. Others add fields; who reads it takes those that it knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    /// The number of its last batch.
    pub(super) write: u64,
    pub(super) name: String,
    pub(super) version: String,
    /// Where its internal listener is reached by others; `None`: it does not say.
    #[serde(default)]
    pub(super) internal: Option<String>,
}

impl Session {
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings and numbers always serialize.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
