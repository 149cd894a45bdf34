//! How the cluster's thread has tokens of a Vault made and kept, without knowing the Vault.

use std::fmt;

use furt_cluster::model::{Fingerprint, NodeName};
use furt_seal::WrappedToken;
use tokio::sync::mpsc;

/// Whom a token was made for, and the token, or why there is none.
pub type Made = (Fingerprint, Result<WrappedToken, String>);

/// Has a token made for a node of that name.
pub type MakeToken = dyn Fn(Fingerprint, &NodeName) + Send;

/// What is asked of the Vault's thread. Neither waits.
pub struct VaultCalls {
    /// Has a token made for a node, and answers over [`VaultDoor::made`].
    pub make: Box<MakeToken>,
    /// Unwraps this node's own, and keeps it.
    pub keep: Box<dyn Fn(WrappedToken) + Send>,
}

/// The ways to the Vault's thread and back.
pub struct VaultDoor {
    /// There.
    pub calls: VaultCalls,
    /// Back.
    pub made: mpsc::Receiver<Made>,
}

impl fmt::Debug for VaultDoor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("VaultDoor(…)")
    }
}

/// The next token that was made; never, where there is no Vault.
pub(super) async fn next(made: Option<&mut mpsc::Receiver<Made>>) -> Made {
    if let Some(made) = made
        && let Some(made) = made.recv().await
    {
        return made;
    }
    std::future::pending().await
}
