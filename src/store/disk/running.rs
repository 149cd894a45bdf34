//! The store of a running furt, read beside its own thread: redb gives each reader the state of one commit, and no
//! write waits for it.
//!
//! Never keeps the file open: after a failure the store closes it, and then there is nothing to read.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use redb::{Database, ReadTransaction, ReadableDatabase as _};
use serde_json::Value;

use super::contents::read_commit;
use super::{audit, transfer};
use crate::audit::{AuditTrail, News, Page};
use furt_core::ports::StoreError;

/// A way to a store that may be open; cheap to clone.
#[derive(Clone, Default)]
pub struct RunningStore {
    database: Arc<Mutex<Weak<Database>>>,
    news: News,
}

impl RunningStore {
    /// The file is open from now on, until `database` is dropped.
    pub(super) fn opened(&self, database: &Arc<Database>) {
        *self.database.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(database);
    }

    /// Everything that the store holds, as [`export`](super::export) gives it. Blocks while it reads.
    ///
    /// # Errors
    /// It is not open now, as after a failure, or it cannot be read.
    pub fn export(&self) -> Result<Value, StoreError> {
        transfer::exported(&read_commit(&self.commit()?).map_err(unreadable)?)
    }

    /// A way to read its audit.
    pub fn audit(&self) -> AuditTrail {
        let store = self.clone();
        AuditTrail::new(self.news.clone(), move |after, limit| {
            let store = store.clone();
            let reading = tokio::task::spawn_blocking(move || store.entries(after, limit));
            async {
                reading.await.unwrap_or_else(|_| Err(StoreError::Unavailable("reading the audit broke off".into())))
            }
        })
    }

    /// At most `limit` entries of the audit, those next after a number; `None`: the last ones. Blocks while it reads.
    ///
    /// # Errors
    /// As [`Self::export`].
    pub(super) fn entries(&self, after: Option<u64>, limit: usize) -> Result<Page, StoreError> {
        let entries = audit::read(&self.commit()?, after, limit).map_err(unreadable)?;
        Ok(Page::of(entries, after.unwrap_or(0)))
    }

    pub(super) fn news(&self) -> &News {
        &self.news
    }

    /// What is stored now.
    fn commit(&self) -> Result<ReadTransaction, StoreError> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner).upgrade();
        let database = database.ok_or_else(|| StoreError::Unavailable("the store is not open now".to_owned()))?;
        let commit = database.begin_read();
        // The store may have to close it meanwhile.
        drop(database);
        commit.map_err(unreadable)
    }
}

fn unreadable(why: impl std::fmt::Display) -> StoreError {
    StoreError::Unavailable(format!("the store cannot be read: {why}"))
}
