//! What is counted of a store that gateways share: whether it is reached, and what this gateway had to mend.

use std::sync::Arc;

use prometheus::{IntCounter, IntGauge};

use super::exporter::{Exporter, MetricsError};
use super::issues::Issues;

/// A store that gateways share. All of it stays as it is with other stores.
pub struct SharedStoreMetrics {
    reachable: IntGauge,
    revision: IntGauge,
    outdated: IntCounter,
    lapses: IntCounter,
    repairs: IntCounter,
    refused: IntGauge,
    issues: Arc<Issues>,
}

impl SharedStoreMetrics {
    pub(super) fn try_new(exporter: &Exporter, issues: Arc<Issues>) -> Result<Self, MetricsError> {
        let counter = |name, help| exporter.counter(name, help);
        let gauge = |name, help| exporter.gauge(name, help);
        let reachable = gauge("furt_store_reachable", "1 while the store is read and written to")?;
        reachable.set(1);
        Ok(Self {
            reachable,
            revision: gauge("furt_store_revision", "The last revision of a shared store that was followed")?,
            outdated: counter(
                "furt_store_writes_outdated_total",
                "Writes that another gateway came before, and that were judged again",
            )?,
            lapses: counter("furt_store_lapses_total", "Instances whose lease ended in a shared store")?,
            repairs: counter("furt_store_repairs_total", "Records that were missed, and found by comparing")?,
            refused: gauge("furt_store_records_refused", "Records of a shared store that cannot be taken over")?,
            issues,
        })
    }

    /// The store is read and written to, or is not: a sentence.
    pub fn reached(&self, reach: Result<(), String>) {
        self.reachable.set(i64::from(reach.is_ok()));
        self.issues.set_reach(reach.err());
    }

    /// So far it was followed.
    pub fn followed(&self, revision: u64) {
        self.revision.set(i64::try_from(revision).unwrap_or(i64::MAX));
    }

    /// The last revision that was followed.
    pub fn revision(&self) -> u64 {
        u64::try_from(self.revision.get()).unwrap_or_default()
    }

    /// A write was outdated.
    pub fn outdated(&self) {
        self.outdated.inc();
    }

    /// So many leases ended.
    pub fn lapsed(&self, instances: u64) {
        self.lapses.inc_by(instances);
    }

    /// So many records were missed.
    pub fn repaired(&self, records: u64) {
        self.repairs.inc_by(records);
    }

    /// A record that is not routed here, since only a newer furt reads it whole.
    pub fn newer(&self, example: Option<String>) {
        self.issues.set_newer(example);
    }

    /// So many records cannot be taken over, such as this one.
    pub fn refused(&self, records: usize, example: Option<String>) {
        self.refused.set(i64::try_from(records).unwrap_or(i64::MAX));
        self.issues.set_refused(example);
    }
}
