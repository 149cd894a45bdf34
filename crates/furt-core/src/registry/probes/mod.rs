//! Probes: which plan holds for an instance, and what the outcomes make of it.

mod health;
mod plans;

pub use health::{Health, HealthLimits, SignOfLife, Verdict};
pub(super) use plans::Probes;
