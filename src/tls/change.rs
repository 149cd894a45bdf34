//! What changes by itself while furt runs: files that are replaced.

use std::path::PathBuf;

/// What a look has found new.
#[derive(Debug, PartialEq, Eq)]
pub enum Change {
    /// Another certificate is in force.
    Replaced {
        /// Its file.
        file: PathBuf,
        /// The end of it, in Unix seconds.
        not_after: i64,
    },
    /// Other authorities of clients are in force.
    Authorities {
        /// Their file.
        file: PathBuf,
    },
    /// The files cannot be used, and the certificate before stays in force.
    Kept {
        /// Which file, and why.
        why: String,
    },
}
