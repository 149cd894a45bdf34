//! What a namespace says of itself.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use furt_core::model::Epoch;

#[derive(Debug, Serialize, Deserialize)]
struct Record {
    format: u64,
    epoch: String,
}

/// The format of its keys and values, and the registry's identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) format: u64,
    pub(super) epoch: Epoch,
}

impl Meta {
    /// # Errors
    /// It is none.
    pub(super) fn parse(json: &[u8]) -> Result<Self, serde_json::Error> {
        let Record { format, epoch } = serde_json::from_slice(json)?;
        let epoch = Uuid::try_parse(&epoch).map_err(serde::de::Error::custom)?;
        Ok(Self { format, epoch: Epoch(epoch) })
    }

    pub(super) fn to_json(self) -> Vec<u8> {
        // Numbers and strings always serialize.
        serde_json::to_vec(&Record { format: self.format, epoch: self.epoch.0.to_string() }).unwrap_or_default()
    }
}
