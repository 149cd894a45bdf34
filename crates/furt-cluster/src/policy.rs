//! What the core takes from the configuration and from the node itself.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{Fingerprint, Metrics, NodeName, PublicKey, RegistryPoint, Role, Status, VaultSide};

/// Who this node is. It does not change while the process runs.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The fingerprint of the key.
    pub fingerprint: Fingerprint,
    /// The public key.
    pub key: PublicKey,
    /// The node's name.
    pub name: NodeName,
    /// The version of the program.
    pub version: Arc<str>,
}

/// Whether this node's program may be replaced by a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UpdateRule {
    /// It may not. So it is unless the local file has a key for updates.
    #[default]
    Off,
    /// It may, by what that key has signed.
    On,
    /// A package manager, a container or a read-only file owns the binary.
    ManagedElsewhere,
}

/// The part of the configuration that the core needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Between two beats; `[cluster] beat_interval`, 5 s by default. A value outside 1 s to 60 s is taken as the nearest of them.
    pub beat_interval: Duration,
    /// Keys that the local file approves, `[[cluster.peers]]`. On a commander they are approved for all nodes as soon as they
    /// are heard.
    pub peers: BTreeMap<Fingerprint, Role>,
    /// Whether the program may be updated by a command.
    pub updates: UpdateRule,
    /// What the local file lets be set, in its own words; where they change, settings that this node refused are tried again.
    pub settings: Vec<Arc<str>>,
    /// Keys of settings in force that the local file allows no more, so that its own values count.
    pub passed_over: Vec<Arc<str>>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            beat_interval: Duration::from_secs(5),
            peers: BTreeMap::new(),
            updates: UpdateRule::Off,
            settings: Vec::new(),
            passed_over: Vec::new(),
        }
    }
}

impl Policy {
    pub(crate) fn interval(&self) -> Duration {
        self.beat_interval.clamp(Duration::from_secs(1), Duration::from_secs(60))
    }
}

/// How this node is, for its next beat.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Condition {
    /// How it says it is.
    pub status: Status,
    /// What the process costs.
    pub metrics: Metrics,
    /// Where its registry is; `None`: the store is its own.
    pub registry: Option<RegistryPoint>,
    /// Whether it wants a token of a Vault, or makes them.
    pub vault: VaultSide,
}

impl Default for Condition {
    fn default() -> Self {
        Self { status: Status::Healthy, metrics: Metrics::default(), registry: None, vault: VaultSide::Apart }
    }
}

/// Draws nonces; handed in, so that the core is the same for the same numbers. The edge draws them from the system's
/// generator.
pub type Nonces = Box<dyn FnMut() -> crate::model::Nonce + Send>;
