//! What a node says of itself, every few seconds.

use std::sync::Arc;
use std::time::Duration;

use super::{NodeName, SecretId, SettingsId, VaultSide};

/// The most secrets that a node has at a time: the active one, the one before it, the next one, and one that was made and not
/// announced yet.
pub const MAX_HELD: usize = 4;

/// How a node says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// All is well.
    Healthy,
    /// It serves, and something is wrong: `/health` lists issues.
    Degraded,
    /// It ends. The last beat of a boot.
    Leaving,
}

/// What lex-node tells of a process.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Metrics {
    /// Resident memory, in MiB.
    pub memory_rss_mb: f64,
    /// CPU time in user mode since the start, in seconds.
    pub cpu_user_seconds: f64,
    /// CPU time in the kernel since the start, in seconds.
    pub cpu_system_seconds: f64,
    /// Threads.
    pub thread_count: u32,
    /// Time since the start, in seconds.
    pub uptime_seconds: u64,
    /// Services that are routed.
    pub services_routed: u32,
    /// Services that are registered.
    pub services: u32,
}

/// Where a node's registry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RegistryPoint {
    /// Drawn with the store: nodes that share one have the same.
    pub epoch: uuid::Uuid,
    /// The last change of the store that the node has.
    pub revision: u64,
}

/// A beat. The key, the boot, the time and the cluster stand on the envelope, which is signed.
#[derive(Debug, Clone, PartialEq)]
pub struct Beat {
    /// The node's name.
    pub name: NodeName,
    /// How it is.
    pub status: Status,
    /// The version of its program.
    pub version: Arc<str>,
    /// Until its next beat.
    pub interval: Duration,
    /// What it costs.
    pub metrics: Metrics,
    /// Where its registry is; `None`: the store is its own.
    pub registry: Option<RegistryPoint>,
    /// Whether it wants a token of a Vault, or makes them.
    pub vault: VaultSide,
    /// The checksum of its records. Where two nodes differ, they ask each other for what they miss.
    pub records: u64,
    /// The secret that it seals by.
    pub secret: Option<SecretId>,
    /// The secrets that it has, at most [`MAX_HELD`].
    pub held: Vec<SecretId>,
    /// The cluster's document that is in force at it.
    pub settings: Option<SettingsId>,
    /// Its own document that is in force at it.
    pub node_settings: Option<SettingsId>,
    /// The median of what other nodes' clocks are ahead of its own, in ms.
    pub skew_ms: Option<i64>,
}
