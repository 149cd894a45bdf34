//! The time as the core gets it.

use std::time::Instant;

/// The time of an event, read at the edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// Monotonic, for deadlines.
    pub at: Instant,
    /// The wall clock, in ms since the Unix epoch: for people, for `at_ms` of messages and for what outlives a restart.
    pub unix_ms: i64,
}
