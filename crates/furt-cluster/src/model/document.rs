//! Documents of settings.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Digest, Fingerprint, Invalid};

/// The longest document: as much as furt takes of any body on its internal listener.
pub const MAX_DOCUMENT_BYTES: usize = 64 * 1024;

/// Whom a document is for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All nodes.
    Cluster,
    /// One node; there it goes before the cluster's.
    Node(Fingerprint),
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster => f.write_str("cluster"),
            Self::Node(node) => write!(f, "node {}", node.short()),
        }
    }
}

/// Names a document of a scope. A greater one replaces a lesser one; with one arbiter no two have the same generation, and with
/// two (a broker cut in half) the digest says which of them all nodes take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SettingsId {
    /// The first document of a scope is 1.
    pub generation: u64,
    /// The digest of the text.
    pub digest: Digest,
}

/// A document of settings, always whole. The core does not read the text: the driver does, by the parser of `furt check`.
#[derive(Clone, PartialEq, Eq)]
pub struct Document {
    text: Arc<str>,
    digest: Digest,
}

impl Document {
    /// Takes the text and the digest that the seal computed from it.
    ///
    /// # Errors
    /// A text longer than [`MAX_DOCUMENT_BYTES`].
    pub fn try_new(text: &str, digest: Digest) -> Result<Self, Invalid> {
        if text.len() > MAX_DOCUMENT_BYTES {
            return Err(Invalid("a document of settings has at most 64 KiB"));
        }
        Ok(Self { text: text.into(), digest })
    }

    /// The text.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The digest of the text.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl fmt::Debug for Document {
    /// Without the text, which may hold addresses and digests of keys.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} bytes, {})", self.text.len(), self.digest)
    }
}
