//! What is counted of reloads of the configuration: how many, how the last one ended, since when the configuration is in
//! force.
//!
//! A reload that failed makes furt degraded: it goes on with the configuration before, but it would not start with the
//! file as it is now, and an operator who sent a signal is told nowhere else. The next good reload ends that.

use std::sync::Arc;

use prometheus::{IntCounter, IntGauge};

use super::exporter::{Exporter, MetricsError};
use super::issues::Issues;
use crate::clock;

/// Reloads of the configuration.
pub struct ReloadMetrics {
    succeeded: IntCounter,
    failed: IntCounter,
    was_last_good: IntGauge,
    in_force_since: IntGauge,
    issues: Arc<Issues>,
}

impl ReloadMetrics {
    /// The configuration of the start is in force since now.
    pub(super) fn try_new(exporter: &Exporter, issues: Arc<Issues>) -> Result<Self, MetricsError> {
        let [succeeded, failed] = exporter.counters(
            "furt_reloads_total",
            "Reloads of the configuration, by how they ended",
            "outcome",
            ["succeeded", "failed"],
        )?;
        let was_last_good = exporter.gauge("furt_last_reload_successful", "1 unless the last reload failed")?;
        let in_force_since = exporter.gauge(
            "furt_last_reload_success_timestamp_seconds",
            "Unix time of the last reload that succeeded, or of the start",
        )?;
        was_last_good.set(1);
        in_force_since.set(clock::unix_ms() / 1000);
        Ok(Self { succeeded, failed, was_last_good, in_force_since, issues })
    }

    /// The configuration was read again and is in force.
    pub fn reload_succeeded(&self) {
        self.succeeded.inc();
        self.in_force_since.set(clock::unix_ms() / 1000);
        self.was_last_good.set(1);
        self.issues.set_reload(None);
    }

    /// The configuration was not reloaded; `why` is a sentence.
    pub fn reload_failed(&self, why: String) {
        self.failed.inc();
        self.was_last_good.set(0);
        self.issues.set_reload(Some(why));
    }
}
