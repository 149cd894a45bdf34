//! What is counted of a Vault, where one has values of the configuration.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{IntCounter, IntGauge};

use super::exporter::{Exporter, MetricsError};
use super::issues::Issues;

/// The Vault, as the last question found it.
pub struct VaultMetrics {
    failures: IntCounter,
    ttl: IntGauge,
    fetched: IntGauge,
    issues: Arc<Issues>,
}

impl VaultMetrics {
    pub(super) fn try_new(exporter: &Exporter, issues: Arc<Issues>) -> Result<Self, MetricsError> {
        Ok(Self {
            failures: exporter
                .counter("furt_vault_failures_total", "Questions to Vault that were refused or not answered")?,
            ttl: exporter.gauge(
                "furt_vault_token_ttl_seconds",
                "For how long the token lived when Vault was asked last; 0: without an end",
            )?,
            fetched: exporter.gauge(
                "furt_vault_values_timestamp_seconds",
                "When all values of the configuration were read from Vault last, in seconds since the Unix epoch; 0: never",
            )?,
            issues,
        })
    }

    /// The token lives so long from now on.
    pub fn leased(&self, ttl: Option<Duration>) {
        self.ttl.set(ttl.map_or(0, |ttl| i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX)));
    }

    /// Values were read: all of them, or not.
    pub fn fetched(&self, unix_ms: i64, is_whole: bool) {
        if is_whole {
            self.fetched.set(unix_ms.div_euclid(1000));
        } else {
            self.failed();
        }
    }

    /// A question was refused, or not answered.
    pub fn failed(&self) {
        self.failures.inc();
    }

    /// What is wrong, a sentence each.
    pub fn set_issues(&self, issues: Vec<String>) {
        self.issues.set_vault(issues);
    }
}
