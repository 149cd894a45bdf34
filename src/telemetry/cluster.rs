//! What is counted of a cluster of nodes, where this node is in one.

use std::sync::Arc;

use furt_cluster::model::NodeState;
use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

use super::exporter::{Exporter, MetricsError};
use super::issues::Issues;

/// The cluster, as this node knows it.
pub struct ClusterMetrics {
    nodes: IntGaugeVec,
    beats: IntCounter,
    refused: IntCounterVec,
    secret: IntGauge,
    settings: IntGauge,
    connected: IntGauge,
    issues: Arc<Issues>,
}

impl ClusterMetrics {
    pub(super) fn try_new(exporter: &Exporter, issues: Arc<Issues>) -> Result<Self, MetricsError> {
        let gauge = |name, help| exporter.gauge(name, help);
        Ok(Self {
            nodes: exporter.gauge_by("furt_cluster_nodes", "Nodes that were heard, by their state", &["state"])?,
            beats: exporter.counter("furt_cluster_beats_total", "Beats of other nodes that were taken")?,
            refused: exporter.counter_vec(
                "furt_cluster_refused_total",
                "Messages of the bus that were not taken, by the reason",
                "reason",
            )?,
            secret: gauge("furt_cluster_secret_generation", "The cluster secret that this node seals by; 0: none")?,
            settings: gauge("furt_cluster_settings_generation", "The settings of the cluster; 0: none")?,
            connected: gauge("furt_cluster_bus_connected", "1 while the broker is connected")?,
            issues,
        })
    }

    /// A message was not taken.
    pub fn refused(&self, reason: &str) {
        self.refused.with_label_values(&[reason]).inc();
    }

    /// The broker is connected, or is not.
    pub fn connected(&self, is_up: bool) {
        self.connected.set(i64::from(is_up));
    }

    /// What is known: the states of the nodes, generations, and the beats since the start.
    pub fn show(&self, states: impl Iterator<Item = NodeState>, settings: u64, secret: u64, beats: u64) {
        let mut counts = [NodeState::Active, NodeState::Late, NodeState::Silent, NodeState::Leaving].map(|it| (it, 0));
        for state in states {
            counts.iter_mut().filter(|(one, _)| *one == state).for_each(|(_, count)| *count += 1);
        }
        for (state, count) in counts {
            self.nodes.with_label_values(&[&state.to_string()]).set(count);
        }
        self.settings.set(i64::try_from(settings).unwrap_or(i64::MAX));
        self.secret.set(i64::try_from(secret).unwrap_or(i64::MAX));
        self.beats.inc_by(beats.saturating_sub(self.beats.get()));
    }

    /// What is wrong, a sentence each.
    pub fn set_issues(&self, issues: Vec<String>) {
        self.issues.set_cluster(issues);
    }
}
