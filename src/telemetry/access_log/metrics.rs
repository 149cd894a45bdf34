//! What the access log counts.

use prometheus::IntCounter;

use super::super::exporter::{Exporter, MetricsError};

/// The lines that the access log lost. A clone counts with the same counter.
#[derive(Clone)]
pub struct AccessLogMetrics {
    dropped: IntCounter,
}

impl AccessLogMetrics {
    pub(in super::super) fn try_new(exporter: &Exporter) -> Result<Self, MetricsError> {
        let dropped = exporter.counter("furt_access_log_dropped_total", "Access log lines that were lost")?;
        Ok(Self { dropped })
    }

    /// Lines were lost: too many waited, or they could not be written.
    pub fn lines_dropped(&self, count: u64) {
        self.dropped.inc_by(count);
    }

    #[cfg(test)]
    pub(super) fn unexposed() -> Self {
        Self::try_new(&Exporter::default()).unwrap()
    }

    #[cfg(test)]
    pub(super) fn dropped(&self) -> u64 {
        self.dropped.get()
    }
}
