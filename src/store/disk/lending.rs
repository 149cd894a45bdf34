//! The store's file on its way from one process to the next, in an upgrade.
//!
//! The process that runs lends the file: it closes it, and stores nothing until the next one has taken over or has failed. The
//! next one reads it as it is and stores nothing either, until the first says that the store is its own. So at every moment at
//! most one of them writes what it was told, and a file that comes back is one that the first can still read.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::{DiskStore, State, keep_secret, opening, upgrade};
use crate::clock;
use furt_core::ports::{Store, StoreError};
use furt_core::registry::{Change, Contents};

/// A disk store that can be lent and taken over.
pub struct LendableStore(Arc<Mutex<DiskStore>>);

/// Says who stores; cheap to clone. Does not keep the file open.
#[derive(Clone)]
pub struct Custody(Weak<Mutex<DiskStore>>);

impl LendableStore {
    /// A store from now on that [`Custody`] is told of.
    pub fn new(store: DiskStore) -> (Self, Custody) {
        let shared = Arc::new(Mutex::new(store));
        let custody = Custody(Arc::downgrade(&shared));
        (Self(shared), custody)
    }
}

impl Store for LendableStore {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        lock(&self.0).apply(changes)
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        lock(&self.0).load()
    }
}

impl Custody {
    /// Closes the file, after the batch that is being stored. Until [`Self::take_back`] every batch fails.
    ///
    /// # Errors
    /// The store is not well: what is in the file is not known.
    pub fn lend(&self) -> Result<(), StoreError> {
        let Some(store) = self.0.upgrade() else { return Ok(()) };
        lock(&store).lend()
    }

    /// Opens the file again: nobody else has it any more. Where that fails it is tried again, as after any failure.
    pub fn take_back(&self) {
        if let Some(store) = self.0.upgrade() {
            lock(&store).take_back();
        }
    }

    /// Copies the file as it is between two batches: as after a crash, from which it recovers when it is opened. Batches wait meanwhile.
    ///
    /// # Errors
    /// It cannot be read, or the copy cannot be written.
    pub fn copy(&self, to: &Path) -> io::Result<()> {
        let gone = || io::Error::other("the store is closed");
        let store = self.0.upgrade().ok_or_else(gone)?;
        let store = lock(&store);
        fs::copy(&store.path, to).map(|_| ())
    }

    /// From now on the store of another process is this one's. Its file becomes one of this furt's format.
    pub fn take_over(&self) {
        if let Some(store) = self.0.upgrade() {
            lock(&store).take_over();
        }
    }
}

fn lock(store: &Mutex<DiskStore>) -> MutexGuard<'_, DiskStore> {
    store.lock().unwrap_or_else(PoisonError::into_inner)
}

impl DiskStore {
    fn lend(&mut self) -> Result<(), StoreError> {
        match &self.state {
            State::Open(_) => {
                self.state = State::Lent;
                Ok(())
            }
            State::Failed { why, .. } => Err(why.clone()),
            State::Lent | State::Borrowed(_) => Err(elsewhere()),
        }
    }

    fn take_back(&mut self) {
        if matches!(self.state, State::Lent) {
            self.state = State::Failed { again: clock::now(), why: elsewhere() };
            // What it says is told by the next batch.
            if self.database().is_ok() {
                opening::write_owner(&self.path);
            }
        }
    }

    fn take_over(&mut self) {
        let State::Borrowed(database) = &self.state else { return };
        match upgrade(database).and_then(|()| keep_secret(database, &self.affinity_secret)) {
            Ok(()) => {
                opening::write_owner(&self.path);
                self.state = State::Open(Arc::clone(database));
            }
            Err(error) => {
                let why = format!("the store {} cannot be written: {error}", self.path.display());
                // Opening it again tries that again.
                self.fail(StoreError::Unavailable(why));
            }
        }
    }
}

/// Why nothing is stored meanwhile.
pub(super) fn elsewhere() -> StoreError {
    StoreError::Unavailable("another process takes over from this one; its store goes with it".to_owned())
}
