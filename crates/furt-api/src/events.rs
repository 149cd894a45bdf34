//! What happened in the registry.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::Timestamp;

/// The answer to `GET /internal/events[?after=N&wait=S]`: the events after a number, of the last 1,000 that furt keeps.
///
/// `E` is [`Event`] for readers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Events<E = Event> {
    /// In the order in which they happened; empty where none came within the wait.
    pub events: Vec<E>,
    /// The number to ask after next.
    pub next: u64,
    /// Whether events between the asked number and the first of these are gone: furt started again, or has more than it
    /// keeps.
    pub lost: bool,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Event {
    /// Its number; numbers grow, also over restarts of furt, and stay below 2^53.
    pub seq: u64,
    /// When it happened, to the millisecond.
    pub time: Timestamp,
    /// What happened, such as `registered`, `drain-began`, `service-status` or `key-created`. There may be new kinds.
    pub kind: String,
    /// The service that it is about; `null`: it is about none, or about several.
    pub service: Option<String>,
    /// The instance that it is about; `null`: it is about none, or about several.
    pub instance: Option<String>,
    /// What else there is to say, by the kind: such as `from`, `why`, `status` and `was`. Long texts and lists are cut.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}
