//! What tracing counts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use prometheus::IntCounter;

use super::super::exporter::{Exporter, MetricsError};

/// Spans that were sent, and those that were not. A clone counts with the same counters.
#[derive(Debug, Clone)]
pub struct TracingMetrics {
    exported: IntCounter,
    dropped: IntCounter,
    failed: IntCounter,
    is_failing: Arc<AtomicBool>,
}

impl TracingMetrics {
    pub(in super::super) fn try_new(exporter: &Exporter) -> Result<Self, MetricsError> {
        let [exported, dropped, failed] = exporter.counters(
            "furt_spans_total",
            "Spans that the collector took, that were dropped since too many waited, and that it did not take",
            "outcome",
            ["exported", "dropped", "failed"],
        )?;
        Ok(Self { exported, dropped, failed, is_failing: Arc::default() })
    }

    pub(super) fn exported(&self, count: u64) {
        self.exported.inc_by(count);
        if self.is_failing.swap(false, Ordering::Relaxed) {
            log::info!("tracing: the collector takes spans again");
        }
    }

    pub(super) fn dropped(&self, count: u64) {
        self.dropped.inc_by(count);
    }

    /// The first failure after a success is told.
    pub(super) fn failed(&self, count: u64, why: &str) {
        self.failed.inc_by(count);
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            log::warn!("tracing: the collector takes no spans, they are lost until it does: {why}");
        }
    }
}
