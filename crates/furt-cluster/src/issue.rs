//! What is wrong with the cluster, as `/health` and `furt nodes` tell it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::model::{ClusterId, Fingerprint, NodeName, Scope, SecretId, SettingsId};

/// Something that an operator should know. Each is there as long as it is so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Issue {
    /// The broker cannot be reached: the view is the last one.
    #[error("the broker cannot be reached; nodes are shown as they were heard last")]
    BusDown,
    /// This node belongs to no cluster.
    #[error("this node belongs to no cluster yet")]
    Unjoined,
    /// This node belongs to a cluster in which nobody approves it.
    #[error("this node is not approved")]
    Unapproved,
    /// This node's key was revoked.
    #[error("this node's key was revoked; it needs a new one")]
    SelfRevoked,
    /// This node is to have a secret and waits for it.
    #[error("this node waits for generation {} of the cluster's secret", .0.generation)]
    SecretMissing(SecretId),
    /// Two secrets have one generation.
    #[error("the secrets {} have one generation; see `furt secret adopt`", checks(.0))]
    SecretSplit(BTreeSet<SecretId>),
    /// A rotation waits for nodes.
    #[error("generation {} of the secret is not active yet: {} nodes do not have it", .0.generation, .1.len())]
    RotationWaits(SecretId, BTreeSet<Fingerprint>),
    /// A key that was revoked may know the active secret.
    #[error("a revoked key may know the active secret; rotate it")]
    RotationDue,
    /// A node seals by another secret than the one that is active.
    #[error("{} seals by generation {}, not {}", .node.short(), shown(*.has), .active.generation)]
    SecretBehind {
        /// The node.
        node: Fingerprint,
        /// What it has.
        has: Option<SecretId>,
        /// What is active.
        active: SecretId,
    },
    /// A node has other settings than those that the records say. It is behind, or has what a commander set that was revoked since:
    /// then the next settings bring it back.
    #[error("{}: generation {} of the settings of {scope:?} is in force there, not {}", .node.short(), .has.map_or(0, |id| id.generation), .head.generation)]
    SettingsDiffer {
        /// The node.
        node: Fingerprint,
        /// Whose settings.
        scope: Scope,
        /// What it has.
        has: Option<SettingsId>,
        /// What is in force.
        head: SettingsId,
    },
    /// This node cannot put settings in force.
    #[error("generation {} of the settings of {scope:?} is wrong for this node", .id.generation)]
    SettingsRefused {
        /// Whose settings.
        scope: Scope,
        /// Which ones.
        id: SettingsId,
    },
    /// The local file allows keys no more that are set.
    #[error("this node's cluster.settings does not allow {}, so its own values count, whatever is set", .0.join(", "))]
    SettingsPassedOver(Vec<Arc<str>>),
    /// Two documents have one generation: there were two arbiters.
    #[error("two documents of {0:?} have generation {1}; the one in force is the same everywhere, set it anew")]
    SettingsSplit(Scope, u64),
    /// A clock is far from this node's.
    #[error("the clock of {} is {skew_ms} ms from this node's", .node.short())]
    Skew {
        /// The node.
        node: Fingerprint,
        /// How far it is ahead, in ms.
        skew_ms: i64,
    },
    /// Nodes of one cluster use different stores.
    #[error("{} has another registry than this node", .0.short())]
    RegistryEpoch(Fingerprint),
    /// A node does not follow the shared store.
    #[error("{} has not seen revision {revision} of the registry for {} s", .node.short(), .since.as_secs())]
    RegistryBehind {
        /// The node.
        node: Fingerprint,
        /// What another node had.
        revision: u64,
        /// For how long.
        since: Duration,
    },
    /// Two living keys have one name.
    #[error("{} and {} have one name, {name}", .keys.0.short(), .keys.1.short())]
    NameTaken {
        /// The name.
        name: NodeName,
        /// Two of the keys.
        keys: (Fingerprint, Fingerprint),
    },
    /// Another process has this node's key.
    #[error("another process uses this node's key; was the machine cloned?")]
    OwnKey,
    /// Another cluster uses the same exchange.
    #[error("cluster {0} uses the same exchange")]
    ForeignCluster(ClusterId),
}

fn checks(secrets: &BTreeSet<SecretId>) -> String {
    secrets.iter().map(|id| id.check.to_string()).collect::<Vec<_>>().join(" and ")
}

fn shown(id: Option<SecretId>) -> String {
    id.map_or_else(|| "none".to_owned(), |id| id.generation.to_string())
}
