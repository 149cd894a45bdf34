//! The store of a running furt, read beside its own thread: redb gives each reader the state of one commit, and no
//! write waits for it.
//!
//! Never keeps the file open: after a failure the store closes it, and then there is nothing to read.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use redb::{Database, ReadableDatabase as _};
use serde_json::Value;

use super::contents::read_commit;
use super::transfer;
use furt_core::ports::StoreError;

/// A way to a store that may be open; cheap to clone.
#[derive(Clone, Default)]
pub struct RunningStore(Arc<Mutex<Weak<Database>>>);

impl RunningStore {
    /// The file is open from now on, until `database` is dropped.
    pub(super) fn opened(&self, database: &Arc<Database>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(database);
    }

    /// Everything that the store holds, as [`export`](super::export) gives it. Blocks while it reads.
    ///
    /// # Errors
    /// It is not open now, as after a failure, or it cannot be read.
    pub fn export(&self) -> Result<Value, StoreError> {
        let unavailable = |why: &dyn std::fmt::Display| StoreError::Unavailable(format!("the store {why}"));
        let database = self.0.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let database = database.ok_or_else(|| unavailable(&"is not open now"))?;
        let commit = database.begin_read();
        // The store may have to close it meanwhile.
        drop(database);
        let commit = commit.map_err(|error| unavailable(&format_args!("cannot be read: {error}")))?;
        let contents = read_commit(&commit).map_err(|why| unavailable(&format_args!("cannot be read: {why}")))?;
        transfer::exported(&contents)
    }
}
