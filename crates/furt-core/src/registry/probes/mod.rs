//! Probes: which plan holds for an instance, what the outcomes make of it, and whether they say anything.

mod failure;
mod health;
mod outage;
mod plans;

pub(super) use failure::ProbeOutcome;
pub use failure::{ProbeFailure, ProbedHost};
pub use health::{FailureAccrual, Health, HealthLimits, SignOfLife, Verdict};
pub use outage::OutageScope;
pub(super) use outage::OutageWatch;
pub(super) use plans::Probes;
