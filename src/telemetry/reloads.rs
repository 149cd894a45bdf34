//! How reloads of the configuration went: how many, how the last one ended, since when the configuration is in force.
//!
//! A reload that failed makes furt degraded: it does its work by the configuration before, but would not start with the one
//! that its file holds, and nobody else tells an operator who sent a signal. The next good reload ends that.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use prometheus::{IntCounter, IntCounterVec, IntGauge, Opts};

use crate::clock;

/// Counters of reloads.
pub struct ReloadCounters {
    succeeded: IntCounter,
    failed: IntCounter,
    was_last_good: IntGauge,
    in_force_since: IntGauge,
    error: ArcSwapOption<String>,
}

impl ReloadCounters {
    /// None so far; the configuration of the start is in force since now.
    ///
    /// # Errors
    /// Two metrics of one name.
    pub(super) fn try_new(metrics: &prometheus::Registry) -> Result<Self, prometheus::Error> {
        let total = Opts::new("furt_reloads_total", "Reloads of the configuration, by how they ended");
        let total = IntCounterVec::new(total, &["outcome"])?;
        let was_last_good = IntGauge::new("furt_last_reload_successful", "1 unless the last reload failed")?;
        let in_force_since = IntGauge::new(
            "furt_last_reload_success_timestamp_seconds",
            "Unix time of the last reload that succeeded, or of the start",
        )?;
        metrics.register(Box::new(total.clone()))?;
        metrics.register(Box::new(was_last_good.clone()))?;
        metrics.register(Box::new(in_force_since.clone()))?;
        was_last_good.set(1);
        in_force_since.set(clock::unix_ms() / 1000);
        let [succeeded, failed] = ["succeeded", "failed"].map(|outcome| total.with_label_values(&[outcome]));
        Ok(Self { succeeded, failed, was_last_good, in_force_since, error: ArcSwapOption::empty() })
    }

    /// Writes down how a reload ended; `Err`: why it failed, in a sentence.
    pub fn note(&self, outcome: Result<(), String>) {
        match &outcome {
            Ok(()) => {
                self.succeeded.inc();
                self.in_force_since.set(clock::unix_ms() / 1000);
            }
            Err(_) => self.failed.inc(),
        }
        self.was_last_good.set(outcome.is_ok().into());
        self.error.store(outcome.err().map(Arc::new));
    }

    /// What an operator must know of the last reload; `None` where it was good.
    pub(super) fn issue(&self) -> Option<String> {
        self.error
            .load()
            .as_ref()
            .map(|error| format!("the configuration was not reloaded, nor would furt start: {error}"))
    }
}
