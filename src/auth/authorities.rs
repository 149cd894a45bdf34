//! Files of authorities: whether one is still what was read.

use std::path::Path;

use crate::private_files;
use furt_core::model::Sha256Digest;

/// The most of a file that is looked at, in bytes: the roots of a system have some 250 KiB.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// The digest of a file; `None`: there is none, or it cannot be read.
pub(super) fn digest_of(file: Option<&Path>) -> Option<Sha256Digest> {
    let bytes = private_files::read(file?, MAX_BYTES).ok()??;
    Some(Sha256Digest::of(&bytes))
}
