//! What is counted of the database of addresses, where there is one.

use prometheus::{IntCounterVec, IntGauge};

use super::exporter::{Exporter, MetricsError};

/// The database of addresses.
pub struct DatabaseMetrics {
    built: IntGauge,
    is_current: IntGauge,
    reloads: IntCounterVec,
}

impl DatabaseMetrics {
    pub(super) fn try_new(exporter: &Exporter, built_seconds: u64) -> Result<Self, MetricsError> {
        let metrics = Self {
            built: exporter.gauge(
                "furt_geo_database_build_timestamp_seconds",
                "When the database of addresses that is in force was built, as it says itself",
            )?,
            is_current: exporter.gauge(
                "furt_geo_database_current",
                "1: the database that is in force is the one of the file; 0: the file is gone or cannot be used",
            )?,
            reloads: exporter.counter_vec(
                "furt_geo_database_reloads_total",
                "Changes of the database's file, by what came of them",
                "outcome",
            )?,
        };
        metrics.set_built(built_seconds);
        Ok(metrics)
    }

    /// Another database is in force; it was built at `built_seconds`, in Unix time.
    pub fn replaced(&self, built_seconds: u64) {
        self.reloads.with_label_values(&["replaced"]).inc();
        self.set_built(built_seconds);
    }

    /// The file changed and cannot be used: the database before stays in force.
    pub fn kept(&self) {
        self.reloads.with_label_values(&["kept"]).inc();
        self.is_current.set(0);
    }

    fn set_built(&self, built_seconds: u64) {
        self.built.set(i64::try_from(built_seconds).unwrap_or(i64::MAX));
        self.is_current.set(1);
    }
}
