//! What the driver logs and counts.

use std::sync::Arc;

use crate::model::{ClusterId, Fingerprint, NodeName, NodeState, Role, Scope, SecretId, SettingsId, UpdateResult};
use crate::refused::Refused;

/// What is logged and counted: each report is one line of the log and one count.
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// A message was not taken.
    Refused {
        /// The sender; `None`: the seal could not tell.
        from: Option<Fingerprint>,
        /// Why.
        why: Refused,
    },
    /// A key was heard that nobody has approved.
    PendingHeard(Fingerprint, NodeName),
    /// The state of an approved node changed.
    NodeStateChanged {
        /// The node.
        node: Fingerprint,
        /// Its state before; `None`: it was not known.
        from: Option<NodeState>,
        /// Its state from now on.
        to: NodeState,
    },
    /// This node belongs to a cluster.
    Joined(ClusterId),
    /// A key is approved.
    Approved(Fingerprint, Role),
    /// A key is revoked.
    Revoked(Fingerprint),
    /// The secret left for an approved key.
    SecretGiven(SecretId, Fingerprint),
    /// This node has a secret that it did not have.
    SecretTaken(SecretId),
    /// This node seals by this secret from now on.
    SecretActivated(SecretId),
    /// A token of a Vault was made for a node, and left for its key.
    VaultTokenGiven(Fingerprint),
    /// No token could be made for a node, and why.
    VaultTokenFailed(Fingerprint, Arc<str>),
    /// A token came that this node has asked for.
    VaultTokenTaken(Fingerprint),
    /// Two secrets have one generation.
    SecretSplit(u64),
    /// Settings are in force at this node.
    SettingsApplied(Scope, SettingsId),
    /// Settings could not be put in force at this node.
    SettingsFailed(Scope, SettingsId),
    /// A node carried out a command, or did not.
    Result(UpdateResult),
}
