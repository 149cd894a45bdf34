//! What came of a probe, and why it failed: what that says of the instance, and a line for operators.

use std::time::Duration;

/// Why a probe failed; each with a line for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ProbeFailure {
    /// It never left this host: no route, no local port or file. Says nothing of the instance.
    NotSent(String),
    /// Nobody answered: refused, too late, broken off.
    NoAnswer(String),
    /// The instance answered, and not as one that is well.
    BadAnswer(String),
}

impl std::fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(why) => write!(f, "the probe did not leave this host: {why}"),
            Self::NoAnswer(why) | Self::BadAnswer(why) => f.write_str(why),
        }
    }
}

/// Where what was probed is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProbedHost {
    /// At an address of the gateway's own host: no network lies between.
    Own,
    /// Elsewhere.
    Other,
}

/// What came of a probe.
pub(in crate::registry) struct ProbeOutcome {
    pub(in crate::registry) outcome: Result<(), ProbeFailure>,
    pub(in crate::registry) host: ProbedHost,
    pub(in crate::registry) took: Duration,
}
