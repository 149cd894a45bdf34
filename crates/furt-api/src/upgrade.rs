//! Replacing a running furt by another program.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Outcome;

/// The answer to `POST /internal/upgrade`, which takes no body: another process has taken over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Upgraded {
    /// [`Outcome::Upgraded`].
    pub status: Outcome,
    /// The process that serves from now on.
    pub pid: u32,
    /// Its version, such as `0.1.0`.
    pub version: String,
    /// The process that answers this. It ends once its clients are gone.
    pub old_pid: u32,
}
