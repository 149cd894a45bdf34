//! Signed records: what a commander says, so that every node can tell whoever brings it.
//!
//! Approvals, revocations, secrets and settings travel as records, over any approved node, and merge as a set. No node has to
//! believe another one about them.

use serde::{Deserialize, Serialize};

use super::{Fingerprint, PublicKey, Role, Scope, SecretId, SettingsId, Signature};

/// Whether settings with keys that need a restart are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Restart {
    /// They are refused.
    Never,
    /// They are taken, by a restart of one node at a time.
    OneByOne,
}

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(tag = "claim", rename_all = "snake_case", deny_unknown_fields)]
pub enum Claim {
    /// The key belongs to the cluster.
    Approved {
        /// The key.
        subject: Fingerprint,
        /// What it may do.
        role: Role,
    },
    /// The key belongs to the cluster no longer, whatever else is said of it.
    Revoked {
        /// The key.
        subject: Fingerprint,
    },
    /// The secret is the cluster's: nodes get it, and open what is sealed by it.
    Secret(SecretId),
    /// From now on nodes seal by this secret.
    Active(SecretId),
    /// Of several secrets of one generation this one stands.
    Adopted(SecretId),
    /// The document is in force.
    Settings {
        /// Whom it is for.
        scope: Scope,
        /// The document.
        id: SettingsId,
        /// Whether nodes restart for it.
        restart: Restart,
    },
}

impl Claim {
    /// The claim in bytes, as signatures and checksums take it: its kind, then fields whose lengths follow from the kind, numbers
    /// with the highest byte first. No two claims have the same bytes.
    pub fn bytes(&self) -> Vec<u8> {
        let secret =
            |kind: u8, id: &SecretId| [&[kind][..], &id.generation.to_be_bytes(), id.check.as_bytes()].concat();
        match self {
            Self::Approved { subject, role } => {
                [&[1, u8::from(*role == Role::Commander)][..], subject.as_bytes()].concat()
            }
            Self::Revoked { subject } => [&[2][..], subject.as_bytes()].concat(),
            Self::Secret(id) => secret(3, id),
            Self::Active(id) => secret(4, id),
            Self::Adopted(id) => secret(5, id),
            Self::Settings { scope, id, restart } => {
                let kind = [6, u8::from(*restart == Restart::OneByOne)];
                let (scope, node): (u8, &[u8]) = match scope {
                    Scope::Cluster => (0, &[]),
                    Scope::Node(node) => (1, node.as_bytes()),
                };
                [&kind[..], &[scope], node, &id.generation.to_be_bytes(), id.digest.as_bytes()].concat()
            }
        }
    }
}

/// A claim with its signature. The seal gives the core only records whose signature it verified by `key`, over the cluster's id,
/// the claim, `by` and `at_ms`; and `by` is the fingerprint that it computed from `key`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// What is said.
    pub claim: Claim,
    /// The key that says it.
    pub by: Fingerprint,
    /// That key itself, so that a record can be verified by itself.
    pub key: PublicKey,
    /// When it was said, in ms since the Unix epoch by the signer's clock. It is shown; nothing is decided by it but which
    /// nodes a restart waits for.
    pub at_ms: i64,
    /// The signature.
    pub signature: Signature,
}

impl Record {
    /// Names the record: two with the same name say the same.
    pub(crate) fn name(&self) -> (Claim, Fingerprint) {
        (self.claim, self.by)
    }
}
