//! API keys as requests are checked against them.

use crate::model::{CidrSet, KeyName, PermissionSet, Sha256Digest};
use std::sync::Arc;

/// One API key; the key itself is nowhere, only its digest.
#[derive(Debug, PartialEq)]
pub struct ApiKey {
    /// What services are told in `X-API-Key-Name`.
    pub name: KeyName,
    /// What it may do.
    pub permissions: PermissionSet,
    /// From where it may be used; empty: from anywhere.
    pub allow_from: CidrSet,
}

/// All keys by the SHA-256 of the key; a persistent map, so that one more key costs one more key.
pub type KeyTable = imbl::HashMap<Sha256Digest, Arc<ApiKey>>;
