//! The time as the core gets it.

use std::time::Instant;

/// The time of an event, read at the edge: one monotonic, one to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub at: Instant,
    /// For people: ms since the Unix epoch.
    pub unix_ms: i64,
}
