//! What is shown of the database of addresses, where there is one.

use prometheus::{IntCounterVec, IntGauge, Opts};

use super::Telemetry;

/// Counters of the database.
pub struct DatabaseMetrics {
    built: IntGauge,
    is_current: IntGauge,
    reloads: IntCounterVec,
}

impl Telemetry {
    /// Shows the database from now on. Without one there is nothing to see: a build date of 1970 would only raise alarms.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_database(&self, built_seconds: u64) -> Result<DatabaseMetrics, prometheus::Error> {
        let metrics = DatabaseMetrics {
            built: IntGauge::new(
                "furt_geo_database_build_timestamp_seconds",
                "When the database of addresses that is in force was built, as it says itself",
            )?,
            is_current: IntGauge::new(
                "furt_geo_database_current",
                "1: the database that is in force is the one of the file; 0: the file is gone or cannot be used",
            )?,
            reloads: IntCounterVec::new(
                Opts::new("furt_geo_database_reloads_total", "Changes of the database's file, by what came of them"),
                &["outcome"],
            )?,
        };
        self.metrics.register(Box::new(metrics.built.clone()))?;
        self.metrics.register(Box::new(metrics.is_current.clone()))?;
        self.metrics.register(Box::new(metrics.reloads.clone()))?;
        metrics.note_built(built_seconds);
        Ok(metrics)
    }
}

impl DatabaseMetrics {
    /// Another one is in force.
    pub fn note_replaced(&self, built_seconds: u64) {
        self.reloads.with_label_values(&["replaced"]).inc();
        self.note_built(built_seconds);
    }

    /// The file changed and cannot be used.
    pub fn note_kept(&self) {
        self.reloads.with_label_values(&["kept"]).inc();
        self.is_current.set(0);
    }

    fn note_built(&self, built_seconds: u64) {
        self.built.set(i64::try_from(built_seconds).unwrap_or(i64::MAX));
        self.is_current.set(1);
    }
}
