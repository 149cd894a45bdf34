//! The disk store: one redb file, owned by one process, one transaction a batch, synced before it is answered.
//!
//! What it keeps are `store/records`, JSON behind their keys, apart from wire and core types. The file's own format version
//! is checked at each opening. After an I/O error the file is closed and opened again with back-off; until then every
//! batch fails. What failed is not there: a commit that came to be in the file all the same is taken back (`undo`). A file
//! that cannot be read stops the start and is never touched: see `opening`.

mod audit;
mod contents;
mod faults;
mod lending;
mod opening;
mod overlay;
mod running;
mod tables;
#[cfg(test)]
mod tests;
mod transfer;
mod undo;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use redb::{Database, ReadOnlyTable, ReadTransaction, ReadableDatabase, ReadableTable, TableError, WriteTransaction};

use super::records;
use crate::affinity_keys::AffinitySecret;
use crate::clock;
use contents::read;
use faults::ContentsError;
use furt_core::model::{DrainMark, Epoch, InstanceId, Status};
use furt_core::ports::{Store, StoreError};
use furt_core::registry::{Change, Contents, InstanceRef, Observation};
pub use lending::{Custody, LendableStore};
pub use opening::examine;
pub(super) use overlay::LONGEST_READ;
pub use running::RunningStore;
use tables::{
    AFFINITY_SECRET, AUDIT, AUDIT_HEADS, DEFINITIONS, DOWN, DRAINING, DRAINS, FORMAT, GRANTS, HOLDS, INSTANCES,
    IdTable, KEYS, MAINTENANCE, META, OLDEST_FORMAT, SPLITS, TTLS, UP, WITH_DRAINING,
};
pub use transfer::{Summary, check, export, import};
use undo::Undo;

/// The first wait before a failed store is opened again; doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The longest wait.
const MAX_BACKOFF: Duration = Duration::from_secs(30);

/// The next start is still a number of 32 bits, as generations have room for.
const MAX_STARTS: u64 = u32::MAX as u64 - 1;

/// A store in one file.
pub struct DiskStore {
    path: PathBuf,
    /// Whose registry it is: another file in the place of a failed one is not taken.
    epoch: Epoch,
    /// The file's; of one that has none yet the one that it is given.
    affinity_secret: AffinitySecret,
    state: State,
    running: RunningStore,
    /// Whose entries of the audit these are.
    gateway: String,
    /// What a batch touched whose commit failed and may be in the file all the same.
    undo: Option<Undo>,
    /// The wait after the next failure; the first one again once a batch was stored.
    backoff: Duration,
}

enum State {
    Open(Arc<Database>),
    Failed {
        again: Instant,
        why: StoreError,
    },
    /// Another process may have the file.
    Lent,
    /// Another process still counts on the file: it may be read.
    Borrowed(Arc<Database>),
}

impl DiskStore {
    /// Opens the file, or makes it where there is none.
    ///
    /// # Errors
    /// A sentence that names the file and what to do: another process has it, a newer furt wrote it, it is damaged, it
    /// cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let database = opening::open_or_create(path)?;
        opening::write_owner(path);
        let store = Self::try_new(path, database, State::Open)?;
        if let State::Open(database) = &store.state {
            keep_secret(database, &store.affinity_secret).map_err(|error| {
                StoreError::Unavailable(format!("the store {} cannot be written: {error}", path.display()))
            })?;
        }
        Ok(store)
    }

    /// Opens the file of a furt that this one is to replace. Nothing is stored, and its format stays as it is, before
    /// [`Custody::take_over`].
    ///
    /// # Errors
    /// As [`Self::open`]; also where there is no file.
    pub fn borrow(path: &Path) -> Result<Self, StoreError> {
        Self::try_new(path, opening::open_as_it_is(path)?, State::Borrowed)
    }

    fn try_new(
        path: &Path,
        database: Database,
        state: impl FnOnce(Arc<Database>) -> State,
    ) -> Result<Self, StoreError> {
        let epoch = read(&database).map_err(|why| opening::damaged(path, &why))?.epoch;
        let affinity_secret = match stored_secret(&database).map_err(|why| opening::damaged(path, &why))? {
            Some(secret) => secret,
            None => AffinitySecret::random()
                .map_err(|why| StoreError::Unavailable(format!("the system gives no random numbers: {why}")))?,
        };
        let database = Arc::new(database);
        let running = RunningStore::default();
        running.opened(&database);
        let path = path.to_owned();
        Ok(Self {
            path,
            epoch,
            affinity_secret,
            state: state(database),
            running,
            gateway: String::new(),
            undo: None,
            backoff: MIN_BACKOFF,
        })
    }

    /// What sticky cookies are made with: made once, and kept in the file. No export has it.
    pub fn affinity_secret(&self) -> &AffinitySecret {
        &self.affinity_secret
    }

    /// The same, of the gateway of this name: entries of the audit have it.
    pub fn of_gateway(self, name: &str) -> Self {
        Self { gateway: name.to_owned(), ..self }
    }

    /// A way to read it while it is in use.
    pub fn running(&self) -> RunningStore {
        self.running.clone()
    }

    fn put_in_use(&mut self, database: Database) {
        let database = Arc::new(database);
        self.running.opened(&database);
        self.state = State::Open(database);
    }

    /// The file, opened again after a failure if it is time to.
    fn database(&mut self) -> Result<&Database, StoreError> {
        let is_due = match &self.state {
            State::Open(_) => false,
            State::Lent | State::Borrowed(_) => return Err(lending::elsewhere()),
            State::Failed { again, why } if clock::now() < *again => return Err(why.clone()),
            State::Failed { .. } => true,
        };
        if is_due {
            match self.reopen() {
                Ok(database) => {
                    self.undo = None;
                    log::info!("the store {} is open again", self.path.display());
                    self.put_in_use(database);
                }
                Err(error) => return Err(self.fail(error)),
            }
        }
        match &self.state {
            State::Open(database) => Ok(database.as_ref()),
            State::Failed { why, .. } => Err(why.clone()),
            State::Lent | State::Borrowed(_) => Err(lending::elsewhere()),
        }
    }

    /// Never makes a file: what is registered would be missing from it. What was answered as failed is not in it.
    fn reopen(&self) -> Result<Database, StoreError> {
        let database = opening::open(&self.path)?;
        let epoch = read(&database).map_err(|why| opening::damaged(&self.path, &why))?.epoch;
        if epoch != self.epoch {
            let path = self.path.display();
            return Err(StoreError::OtherStore(format!(
                "another store has taken the place of {path}; restart furt to take it over"
            )));
        }
        if let Some(undo) = &self.undo {
            let path = self.path.display();
            let undone = undo.apply(&database);
            undone.map_err(|error| StoreError::Unavailable(format!("the store {path} cannot be written: {error}")))?;
        }
        Ok(database)
    }

    fn fail(&mut self, why: StoreError) -> StoreError {
        log::error!("{why}; trying again in {} ms", self.backoff.as_millis());
        self.state = State::Failed { again: clock::now() + self.backoff, why: why.clone() };
        self.backoff = (self.backoff * 2).min(MAX_BACKOFF);
        why
    }
}

impl Store for DiskStore {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let (path, gateway) = (self.path.clone(), self.gateway.clone());
        let database = self.database()?;
        let mut undo = Undo::default();
        match write(database, changes, &gateway, &mut undo) {
            Ok(()) => {
                self.backoff = MIN_BACKOFF;
                if changes.iter().any(|change| matches!(change, Change::Audit(_))) {
                    self.running.news().tell();
                }
                Ok(())
            }
            Err(error) => {
                self.undo = Some(undo);
                let why = format!("the store {} cannot be written: {error}", path.display());
                Err(self.fail(StoreError::Unavailable(why)))
            }
        }
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        let path = self.path.clone();
        let database = match &self.state {
            State::Borrowed(database) => database,
            State::Open(_) | State::Failed { .. } | State::Lent => self.database()?,
        };
        let mut contents = read(database).map_err(|why| opening::damaged(&path, &why))?;
        let noted = note_start(database, contents.starts + 1);
        noted.map_err(|error| {
            StoreError::Unavailable(format!("the store {} cannot be written: {error}", path.display()))
        })?;
        contents.starts += 1;
        Ok(contents)
    }
}

fn format(database: &Database) -> Result<Option<u64>, redb::Error> {
    format_of(&database.begin_read()?)
}

fn format_of(read: &ReadTransaction) -> Result<Option<u64>, redb::Error> {
    let Ok(meta) = read.open_table(META) else { return Ok(None) };
    Ok(meta.get("format")?.and_then(|value| std::str::from_utf8(value.value()).ok()?.parse().ok()))
}

fn check_format(database: &Database, path: &Path) -> Result<(), StoreError> {
    let shown = path.display();
    match format(database) {
        Ok(Some(OLDEST_FORMAT..=FORMAT)) => Ok(()),
        Ok(Some(newer)) => Err(StoreError::OtherFormat(format!(
            "the store {shown} has format {newer}, and this furt knows {FORMAT}: run the furt that wrote it, or one newer than it"
        ))),
        Ok(None) => Err(StoreError::OtherStore(format!(
            "{shown} is no store of furt's: it names no format; choose another path"
        ))),
        Err(error) => Err(StoreError::Unavailable(format!("the store {shown} cannot be read: {error}"))),
    }
}

/// Makes a file of an earlier format one of this furt's: from then on the earlier furt refuses it. The first files of
/// format 2 had no TTLs.
fn upgrade(database: &Database) -> Result<(), redb::Error> {
    let before = format(database)?;
    if before == Some(FORMAT) {
        return Ok(());
    }
    let transaction = begin(database)?;
    transaction.open_table(META)?.insert("format", FORMAT.to_string().as_bytes())?;
    if before.is_some_and(|before| before <= WITH_DRAINING) {
        let mut drains = transaction.open_table(DRAINS)?;
        for entry in transaction.open_table(DRAINING)?.iter()? {
            let (id, ()) = entry.map(|(id, _)| (id, ()))?;
            // Each was read when the file was looked at.
            if let Ok(id) = InstanceId::try_new(id.value()) {
                let record = records::Drain::of_instance(&id, &DrainMark::unknown());
                drains.insert(id.as_str(), record.to_json().as_slice())?;
            }
        }
    }
    transaction.delete_table(DRAINING)?;
    for table in [DRAINS, HOLDS, KEYS, MAINTENANCE, SPLITS, GRANTS] {
        transaction.open_table(table)?;
    }
    transaction.open_table(TTLS)?;
    transaction.open_table(AUDIT)?;
    transaction.open_table(AUDIT_HEADS)?;
    Ok(transaction.commit()?)
}

/// `None`: the file has no such table.
fn present<T>(table: Result<T, TableError>) -> Result<Option<T>, redb::Error> {
    match table {
        Ok(table) => Ok(Some(table)),
        Err(TableError::TableDoesNotExist(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn initialize(database: &Database, epoch: Epoch, starts: u64) -> Result<(), redb::Error> {
    let transaction = begin(database)?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT.to_string().as_bytes())?;
        meta.insert("epoch", epoch.0.to_string().as_bytes())?;
        meta.insert("starts", starts.to_string().as_bytes())?;
        transaction.open_table(DEFINITIONS)?;
        transaction.open_table(INSTANCES)?;
        transaction.open_table(DOWN)?;
        transaction.open_table(UP)?;
        transaction.open_table(DRAINS)?;
        transaction.open_table(HOLDS)?;
        transaction.open_table(TTLS)?;
        transaction.open_table(KEYS)?;
        transaction.open_table(MAINTENANCE)?;
        transaction.open_table(SPLITS)?;
        transaction.open_table(GRANTS)?;
        transaction.open_table(AUDIT)?;
        transaction.open_table(AUDIT_HEADS)?;
    }
    Ok(transaction.commit()?)
}

/// The secret of the file; `None`: an earlier furt made it, and it has none yet.
fn stored_secret(database: &Database) -> Result<Option<AffinitySecret>, ContentsError> {
    let read = database.begin_read().map_err(redb::Error::from)?;
    secret_of(&read.open_table(META).map_err(redb::Error::from)?)
}

fn secret_of(meta: &ReadOnlyTable<&'static str, &'static [u8]>) -> Result<Option<AffinitySecret>, ContentsError> {
    let Some(text) = meta.get(AFFINITY_SECRET)? else { return Ok(None) };
    AffinitySecret::from_hex(text.value()).map(Some).ok_or(ContentsError::AffinitySecret)
}

/// Puts the secret where there is none. An earlier furt leaves it as it is.
fn keep_secret(database: &Database, secret: &AffinitySecret) -> Result<(), redb::Error> {
    if database.begin_read()?.open_table(META)?.get(AFFINITY_SECRET)?.is_some() {
        return Ok(());
    }
    let transaction = begin(database)?;
    transaction.open_table(META)?.insert(AFFINITY_SECRET, secret.to_hex().as_bytes())?;
    Ok(transaction.commit()?)
}

/// Counts this start, so that no generation of an earlier one comes again.
fn note_start(database: &Database, starts: u64) -> Result<(), redb::Error> {
    let transaction = begin(database)?;
    transaction.open_table(META)?.insert("starts", starts.to_string().as_bytes())?;
    Ok(transaction.commit()?)
}

/// Every commit takes two syncs: after one, redb could not tell a commit that a crash tore from one that was answered
/// and damaged later, and would go back to the state before it without a word.
fn begin(database: &Database) -> Result<WriteTransaction, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_two_phase_commit(true);
    Ok(transaction)
}

/// `undo` is given what was there before, also where it fails.
fn write(database: &Database, changes: &[Change], gateway: &str, undo: &mut Undo) -> Result<(), redb::Error> {
    debug_assert_eq!(changes.iter().try_for_each(Change::check), Ok(()), "what is stored can be read again");
    let transaction = begin(database)?;
    for change in changes {
        undo.keep(&transaction, change)?;
        match change {
            Change::Audit(entry) => audit::append(&transaction, gateway, entry)?,
            change => write_one(&transaction, change)?,
        }
    }
    Ok(transaction.commit()?)
}

fn write_one(transaction: &WriteTransaction, change: &Change) -> Result<(), redb::Error> {
    match change {
        Change::PutDefinition(put) => {
            let record = records::Definition::from_core(put);
            transaction
                .open_table(DEFINITIONS)?
                .insert(put.definition.service.as_str(), record.to_json().as_slice())?;
        }
        Change::PutInstance(put) => {
            let record = records::Instance::from_core(put);
            transaction.open_table(INSTANCES)?.insert(put.spec.id.as_str(), record.to_json().as_slice())?;
            forget_state(transaction, &put.spec.id)?;
        }
        Change::Observe(InstanceRef { id: instance, .. }, Observation::Status(status)) => {
            note(transaction, DOWN, instance, *status == Status::Down)?;
            note(transaction, UP, instance, *status == Status::Up)?;
        }
        Change::NoteTtl { instance: InstanceRef { id: instance, .. }, ttl } => {
            if transaction.open_table(INSTANCES)?.get(instance.as_str())?.is_some() {
                let ms = ttl.as_millis().try_into().unwrap_or(u64::MAX);
                transaction.open_table(TTLS)?.insert(instance.as_str(), ms)?;
            }
        }
        Change::Observe(InstanceRef { id: instance, .. }, Observation::Addresses(addresses)) => {
            let mut stored = transaction.open_table(INSTANCES)?;
            // Each record was read when the file was opened, so none is left as it is here.
            let moved =
                stored.get(instance.as_str())?.and_then(|record| records::Instance::moved(record.value(), addresses));
            if let Some(record) = moved {
                stored.insert(instance.as_str(), record.as_slice())?;
            }
        }
        Change::PutDraining(InstanceRef { id, .. }, mark) => {
            if transaction.open_table(INSTANCES)?.get(id.as_str())?.is_some() {
                let record = records::Drain::of_instance(id, mark);
                transaction.open_table(DRAINS)?.insert(id.as_str(), record.to_json().as_slice())?;
            }
        }
        Change::RemoveDraining(InstanceRef { id, .. }) => {
            transaction.open_table(DRAINS)?.remove(id.as_str())?;
        }
        Change::PutHold(held, mark) => {
            let record = records::Drain::of_id(held, mark);
            transaction.open_table(HOLDS)?.insert(held.to_string().as_str(), record.to_json().as_slice())?;
        }
        Change::RemoveHold(held) => {
            transaction.open_table(HOLDS)?.remove(held.to_string().as_str())?;
        }
        Change::PutKey(key) => {
            let record = records::Key::from_core(key).to_json();
            transaction.open_table(KEYS)?.insert(key.name().as_str(), record.as_slice())?;
        }
        Change::RemoveKey(name) => {
            transaction.open_table(KEYS)?.remove(name.as_str())?;
        }
        Change::PutMaintenance(scope, maintenance) => {
            let record = records::Maintenance::from_core(scope, maintenance).to_json();
            transaction.open_table(MAINTENANCE)?.insert(scope.to_string().as_str(), record.as_slice())?;
        }
        Change::RemoveMaintenance(scope) => {
            transaction.open_table(MAINTENANCE)?.remove(scope.to_string().as_str())?;
        }
        Change::PutSplit(service, split) => {
            let record = records::Split::from_core(service, split).to_json();
            transaction.open_table(SPLITS)?.insert(service.as_str(), record.as_slice())?;
        }
        Change::RemoveSplit(service) => {
            transaction.open_table(SPLITS)?.remove(service.as_str())?;
        }
        Change::PutGrant(service, grant) => {
            let record = records::Grant::from_core(service, grant).to_json();
            transaction.open_table(GRANTS)?.insert(service.as_str(), record.as_slice())?;
        }
        Change::RemoveGrant(service) => {
            transaction.open_table(GRANTS)?.remove(service.as_str())?;
        }
        // Its place is said by the one before it.
        Change::Audit(_) => {}
        Change::RemoveInstance(InstanceRef { id, .. }) => {
            transaction.open_table(INSTANCES)?.remove(id.as_str())?;
            forget_state(transaction, id)?;
        }
        Change::RemoveService { service, instances } => {
            transaction.open_table(DEFINITIONS)?.remove(service.as_str())?;
            let mut stored = transaction.open_table(INSTANCES)?;
            for id in instances {
                stored.remove(id.as_str())?;
                forget_state(transaction, id)?;
            }
        }
    }
    Ok(())
}

/// What is noted of an instance ends with what puts it anew or removes it.
fn forget_state(transaction: &WriteTransaction, id: &InstanceId) -> Result<(), redb::Error> {
    for table in [DOWN, UP] {
        transaction.open_table(table)?.remove(id.as_str())?;
    }
    transaction.open_table(DRAINS)?.remove(id.as_str())?;
    transaction.open_table(TTLS)?.remove(id.as_str())?;
    Ok(())
}

/// Says nothing of an instance that is not stored.
fn note(transaction: &WriteTransaction, table: IdTable, id: &InstanceId, holds: bool) -> Result<(), redb::Error> {
    let is_known = transaction.open_table(INSTANCES)?.get(id.as_str())?.is_some();
    let mut noted = transaction.open_table(table)?;
    if holds && is_known {
        noted.insert(id.as_str(), ())?;
    } else {
        noted.remove(id.as_str())?;
    }
    Ok(())
}
