//! The last good keys of an issuer on disk, with which furt starts while the issuer is away.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::key_set::{KeySet, KeySetError};
use crate::private_files::{self, FileError};

/// The largest file: a set of 256 KiB, written another way.
const MAX_BYTES: u64 = 1024 * 1024;
/// A file with the keys in force is written again when it is older, in seconds.
const LONGEST_AGE: i64 = 24 * 3600;

/// What the file says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct KeptSet {
    /// The url that the keys were fetched from.
    source: String,
    /// When, in seconds since the Unix epoch.
    pub(super) fetched_at: i64,
    /// The set as it came.
    pub(super) jwks: Value,
}

/// The file of one issuer.
#[derive(Debug)]
pub(super) struct KeptFile {
    path: PathBuf,
    source: String,
    /// When the keys in it were fetched; `None`: it has none of use.
    fetched_at: Option<i64>,
    /// Whether it was written when it was last to be.
    is_good: bool,
}

/// Why a file is not used.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeptError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} has keys of another url", .0.display())]
    Foreign(PathBuf),
    #[error("{} {why}", .path.display())]
    Unusable { path: PathBuf, why: KeySetError },
}

impl KeptFile {
    /// The file at `path`, for keys from `source`.
    pub(super) fn new(path: PathBuf, source: String) -> Self {
        // A bare name has no folder that could be made sure of on disk.
        let path = std::path::absolute(&path).unwrap_or(path);
        Self { path, source, fetched_at: None, is_good: true }
    }

    /// What is kept; `None`: nothing.
    ///
    /// # Errors
    /// The file cannot be read, is damaged, is of another url, or has no key that can be used.
    pub(super) fn read(&self) -> Result<Option<(KeySet, KeptSet)>, KeptError> {
        let Some(kept) = private_files::read_json::<KeptSet>(&self.path, MAX_BYTES)? else { return Ok(None) };
        if kept.source != self.source {
            return Err(KeptError::Foreign(self.path.clone()));
        }
        let unusable = |why| KeptError::Unusable { path: self.path.clone(), why };
        let set = KeySet::of(&kept.jwks).map_err(unusable)?;
        Ok(Some((set, kept)))
    }

    /// The keys in it are in force.
    pub(super) fn set_used(&mut self, kept: &KeptSet) {
        self.fetched_at = Some(kept.fetched_at);
    }

    /// Whether it could be written when it was last to be, or never was.
    pub(super) fn is_good(&self) -> bool {
        self.is_good
    }

    /// Whether keys that were fetched at `now` are to be written, in seconds since the Unix epoch.
    pub(super) fn is_due(&self, is_new: bool, now: i64) -> bool {
        // A clock that went back is no reason to never write again.
        is_new || self.fetched_at.is_none_or(|at| now.abs_diff(at) >= LONGEST_AGE.unsigned_abs())
    }

    /// Writes keys that were fetched at `now`.
    ///
    /// # Errors
    /// The folder cannot be made, or the file not be written. It is then due again.
    pub(super) fn write(&mut self, jwks: Value, now: i64) -> Result<(), FileError> {
        let kept = KeptSet { source: self.source.clone(), fetched_at: now, jwks };
        let written = self.replace(&kept);
        self.is_good = written.is_ok();
        self.fetched_at = self.is_good.then_some(now);
        written
    }

    fn replace(&self, kept: &KeptSet) -> Result<(), FileError> {
        if let Some(folder) = self.path.parent() {
            private_files::make_folder(folder)?;
        }
        private_files::write_json(&self.path, kept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_folder_is_in_the_one_of_the_process() {
        let file = KeptFile::new("keys.json".into(), "https://login.example.org/keys".to_owned());
        assert_eq!(file.path, std::env::current_dir().unwrap().join("keys.json"));
    }

    #[test]
    fn a_file_is_due_when_it_is_new_or_a_day_away() {
        let mut file = KeptFile::new("keys.json".into(), String::new());
        assert!(file.is_due(false, 0), "it has nothing");
        file.set_used(&KeptSet { source: String::new(), fetched_at: 1_000_000, jwks: Value::Null });
        for (is_new, now, is_due) in [
            (false, 1_000_000, false),
            (true, 1_000_000, true),
            (false, 1_086_399, false),
            (false, 1_086_400, true),
            (false, 913_600, true),
            (false, i64::MIN, true),
        ] {
            assert_eq!(file.is_due(is_new, now), is_due, "{now}");
        }
    }
}
