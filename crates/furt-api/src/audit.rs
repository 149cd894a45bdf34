//! What operators did.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Timestamp;

/// The answer to `GET /internal/audit[?after=N&limit=N&wait=S]`: what operators did, the last 100,000 times.
///
/// `E` is [`AuditEntry`] for readers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Audit<E = AuditEntry> {
    /// In the order in which they were stored; empty where none came within the wait. Without `after` these are the last ones.
    pub entries: Vec<E>,
    /// The number to ask after next.
    pub next: u64,
}

/// Something that an operator did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct AuditEntry {
    /// Grows in the order in which entries of all gateways were stored, and stays below 2^53. What was stored at once has the same
    /// one.
    pub seq: u64,
    /// When it was asked for.
    pub time: Timestamp,
    /// The gateway that took the command.
    pub gateway: String,
    /// The entry's number among those of that gateway, from 1.
    pub number: u64,
    /// What was done, such as `key-create`, `drain-begin` or `reload`; `unreadable` where what is stored is no entry. There may be
    /// new ones.
    pub action: String,
    /// The operator whose token or certificate came with it; `null`: the operator is one by an address alone.
    pub by: Option<String>,
    /// The address that the command came from.
    pub from: String,
    /// The service that it is about; `null`: none, or all.
    pub service: Option<String>,
    /// The instance that it is about; `null`: none, or several.
    pub instance: Option<String>,
    /// The API key that it is about; `null`: none.
    pub key: Option<String>,
    /// What else there is to say, by the action: such as `before` and `after`. Never a secret.
    pub details: Map<String, Value>,
    /// The SHA-256 of the entry as it is stored, in hexadecimal digits.
    pub sha256: String,
    /// That of the gateway's entry before; `null`: it is the first one.
    pub previous: Option<String>,
}
