//! Beats: lex-node's 0.3.x, with what else furt tells in a field of its own.

use std::time::Duration;

use furt_cluster::model::{Beat, MAX_HELD, Metrics, NodeName, RegistryPoint, SecretId, SettingsId, Status, VaultSide};
use serde::{Deserialize, Serialize};

use super::forms::{is_word, present};
use crate::date;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct BeatForm {
    name: NodeName,
    pid: u32,
    timestamp: String,
    status: StatusForm,
    version: String,
    metrics: MetricsForm,
    /// furt hosts no workers.
    hosted_worker_ids: [u8; 0],
    furt: Further,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum StatusForm {
    Healthy,
    Degraded,
    Leaving,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum VaultForm {
    Apart,
    Wants,
    Makes,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MetricsForm {
    memory_rss_mb: f64,
    cpu_user_seconds: f64,
    cpu_system_seconds: f64,
    thread_count: u32,
    /// furt has no extensions: always 0.
    loaded_extensions: u32,
    uptime_seconds: u64,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Further {
    interval_ms: u64,
    services_routed: u32,
    services: u32,
    #[serde(deserialize_with = "present")]
    registry: Option<RegistryForm>,
    vault: VaultForm,
    records: u64,
    #[serde(deserialize_with = "present")]
    secret: Option<SecretId>,
    held: Vec<SecretId>,
    #[serde(deserialize_with = "present")]
    settings: Option<SettingsId>,
    #[serde(deserialize_with = "present")]
    node_settings: Option<SettingsId>,
    #[serde(deserialize_with = "present")]
    skew_ms: Option<i64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegistryForm {
    epoch: uuid::Uuid,
    revision: u64,
}

impl BeatForm {
    pub(super) fn of(beat: &Beat, at_ms: i64) -> Self {
        let Beat { name, status, version, interval, metrics, registry, .. } = beat;
        // JSON has no number that is infinite or none.
        let number = |number: f64| if number.is_finite() { number } else { 0.0 };
        Self {
            name: name.clone(),
            pid: pid(name),
            timestamp: date::ruby(at_ms),
            status: match status {
                Status::Healthy => StatusForm::Healthy,
                Status::Degraded => StatusForm::Degraded,
                Status::Leaving => StatusForm::Leaving,
            },
            version: (**version).to_owned(),
            metrics: MetricsForm {
                memory_rss_mb: number(metrics.memory_rss_mb),
                cpu_user_seconds: number(metrics.cpu_user_seconds),
                cpu_system_seconds: number(metrics.cpu_system_seconds),
                thread_count: metrics.thread_count,
                loaded_extensions: 0,
                uptime_seconds: metrics.uptime_seconds,
            },
            hosted_worker_ids: [],
            furt: Further {
                interval_ms: interval.as_millis().try_into().unwrap_or(u64::MAX),
                services_routed: metrics.services_routed,
                services: metrics.services,
                registry: registry.map(|RegistryPoint { epoch, revision }| RegistryForm { epoch, revision }),
                vault: match beat.vault {
                    VaultSide::Apart => VaultForm::Apart,
                    VaultSide::Wants => VaultForm::Wants,
                    VaultSide::Makes => VaultForm::Makes,
                },
                records: beat.records,
                secret: beat.secret,
                held: beat.held.clone(),
                settings: beat.settings,
                node_settings: beat.node_settings,
                skew_ms: beat.skew_ms,
            },
        }
    }

    /// `None`: what stands in it twice differs, or it is longer than a beat is.
    pub(super) fn beat(self, at_ms: i64) -> Option<Beat> {
        let Self { name, pid: own, timestamp, status, version, metrics, hosted_worker_ids: [], furt } = self;
        let fits = own == pid(&name) && timestamp == date::ruby(at_ms) && metrics.loaded_extensions == 0;
        if !fits || furt.held.len() > MAX_HELD || !is_word(&version) {
            return None;
        }
        Some(Beat {
            name,
            status: match status {
                StatusForm::Healthy => Status::Healthy,
                StatusForm::Degraded => Status::Degraded,
                StatusForm::Leaving => Status::Leaving,
            },
            version: version.into(),
            interval: Duration::from_millis(furt.interval_ms),
            metrics: Metrics {
                memory_rss_mb: metrics.memory_rss_mb,
                cpu_user_seconds: metrics.cpu_user_seconds,
                cpu_system_seconds: metrics.cpu_system_seconds,
                thread_count: metrics.thread_count,
                uptime_seconds: metrics.uptime_seconds,
                services_routed: furt.services_routed,
                services: furt.services,
            },
            registry: furt.registry.map(|RegistryForm { epoch, revision }| RegistryPoint { epoch, revision }),
            vault: match furt.vault {
                VaultForm::Apart => VaultSide::Apart,
                VaultForm::Wants => VaultSide::Wants,
                VaultForm::Makes => VaultSide::Makes,
            },
            records: furt.records,
            secret: furt.secret,
            held: furt.held,
            settings: furt.settings,
            node_settings: furt.node_settings,
            skew_ms: furt.skew_ms,
        })
    }
}

/// The process id at the end of a name, which every name has.
fn pid(name: &NodeName) -> u32 {
    name.as_str().rsplit('.').next().and_then(|pid| pid.parse().ok()).unwrap_or_default()
}
