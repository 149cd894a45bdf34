//! What operators ask for about API keys, and what they are answered.

use std::sync::Arc;
use std::time::Duration;

use crate::model::{Generation, KeyName, RuntimeKey, Sha256Digest};

/// What an operator asks for.
#[derive(Debug, Clone)]
pub enum KeyCommand {
    /// A new key.
    Create(Box<RuntimeKey>),
    /// An end of a key, at once.
    Revoke(KeyName),
    /// Another digest instead of a key's.
    Rotate {
        /// The name of the key.
        name: KeyName,
        /// Its new digest.
        sha256: Sha256Digest,
        /// How long the one before stays good; zero: not at all, nor any before it.
        grace: Duration,
    },
}

impl KeyCommand {
    pub(in crate::registry) fn name(&self) -> &KeyName {
        match self {
            Self::Create(key) => key.name(),
            Self::Revoke(name) | Self::Rotate { name, .. } => name,
        }
    }
}

/// The good answer to a [`KeyCommand`].
#[derive(Debug, Clone, PartialEq)]
pub struct KeyAnswer {
    /// The key as it is now; of a revoked one, as it was.
    pub key: Arc<RuntimeKey>,
    /// Whether the configuration has a key of that name, too, which is in force.
    pub is_configured: bool,
    /// The registry's last change.
    pub generation: Generation,
}
