//! The words of the cluster as types: identities, names, generations, signed records, beats, documents.
//!
//! They hold their own rules and look at nothing else. What needs cryptography to be true (a fingerprint, a digest, a check
//! value, a signature) is opaque here: the seal computes it, the core compares it.

mod beat;
mod document;
mod fnv;
mod ids;
mod name;
mod now;
mod program;
mod record;
mod result;
mod standing;
mod state;
mod vault;

pub use beat::{Beat, MAX_HELD, Metrics, RegistryPoint, Status};
pub use document::{Document, MAX_DOCUMENT_BYTES, Scope, SettingsId};
pub use fnv::Fnv;
pub use ids::{Boot, CheckValue, ClusterId, Digest, Fingerprint, Nonce, PublicKey, SecretId, Signature, TokenId};
pub use name::NodeName;
pub use now::Now;
pub use program::{Program, Version};
pub use record::{Claim, Record, Restart};
pub use result::{RequestId, UpdateResult};
pub use standing::{Role, Standing};
pub use state::NodeState;
pub use vault::VaultSide;

/// Says in words why a value cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub(crate) &'static str);
