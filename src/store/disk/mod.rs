//! The disk store: one redb file, owned by one process, one transaction a batch, synced before it is answered.
//!
//! `records` are the stored forms, JSON behind their keys, apart from wire and core types. The file's own format version
//! is checked at each opening. After an I/O error the file is closed and opened again with back-off; until then every
//! batch fails. A file that cannot be read stops the start and is never touched.

mod records;
mod tables;

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use redb::{Database, DatabaseError, ReadableDatabase, ReadableTable, StorageError, WriteTransaction};

use crate::clock;
use crate::driver::{Change, Contents, Store, StoreError};
use tables::{DEFINITIONS, DOWN, FORMAT, INSTANCES, META};

/// The first wait before a failed store is opened again; doubles up to [`MAX_BACKOFF`].
const MIN_BACKOFF: Duration = Duration::from_millis(250);
/// The longest wait.
const MAX_BACKOFF: Duration = Duration::from_secs(30);
/// What redb may keep in memory: a registry of 100,000 routes is some 30 MiB, and it is read once.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// A store in one file.
pub struct DiskStore {
    path: PathBuf,
    state: State,
}

enum State {
    Open(Database),
    Failed { again: Instant, backoff: Duration, why: String },
}

impl DiskStore {
    /// Opens the file, or makes it where there is none.
    ///
    /// # Errors
    /// A sentence that names the file and what to do: another process has it, a newer furt wrote it, it is damaged, it
    /// cannot be read or written.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::create_dir_all(folder).map_err(|error| {
                StoreError(format!("cannot make the folder {} of the store: {error}", folder.display()))
            })?;
        }
        let database = open_database(path)?;
        write_owner(path);
        Ok(Self { path: path.to_owned(), state: State::Open(database) })
    }

    /// The file, opened again after a failure if it is time to.
    fn database(&mut self) -> Result<&Database, StoreError> {
        let due = match &self.state {
            State::Open(_) => None,
            State::Failed { again, why, .. } if clock::now() < *again => return Err(StoreError(why.clone())),
            State::Failed { backoff, .. } => Some(*backoff),
        };
        if let Some(backoff) = due {
            match open_database(&self.path) {
                Ok(database) => {
                    log::info!("the store {} is open again", self.path.display());
                    self.state = State::Open(database);
                }
                Err(error) => return Err(self.fail(error.0, (backoff * 2).min(MAX_BACKOFF))),
            }
        }
        match &self.state {
            State::Open(database) => Ok(database),
            State::Failed { why, .. } => Err(StoreError(why.clone())),
        }
    }

    fn fail(&mut self, why: String, backoff: Duration) -> StoreError {
        self.state = State::Failed { again: clock::now() + backoff, backoff, why: why.clone() };
        StoreError(why)
    }
}

impl Store for DiskStore {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let path = self.path.clone();
        let database = self.database()?;
        match write(database, changes) {
            Ok(()) => Ok(()),
            Err(error) => {
                let why = format!("the store {} cannot be written: {error}", path.display());
                log::error!("{why}");
                Err(self.fail(why, MIN_BACKOFF))
            }
        }
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        let path = self.path.clone();
        let unreadable = |why: String| {
            let path = path.display();
            StoreError(format!("the store {path} cannot be read: {why}; keep a copy of it, and try `furt store check`"))
        };
        let database = self.database()?;
        let starts = note_start(database).map_err(|error| unreadable(error.to_string()))?;
        let mut contents = read(database).map_err(unreadable)?;
        contents.starts = starts;
        Ok(contents)
    }
}

/// Opens the file and checks that this furt can read it.
fn open_database(path: &Path) -> Result<Database, StoreError> {
    let is_new = !path.exists();
    let mut database =
        redb::Builder::new().set_cache_size(CACHE_BYTES).create(path).map_err(|error| refused(path, &error))?;
    if is_new {
        initialize(&database)
            .map_err(|error| StoreError(format!("cannot make the store {}: {error}", path.display())))?;
        return Ok(database);
    }
    check_format(&database, path)?;
    match database.check_integrity() {
        Ok(_) => Ok(database),
        Err(error) => Err(refused(path, &error)),
    }
}

fn refused(path: &Path, error: &DatabaseError) -> StoreError {
    let shown = path.display();
    StoreError(match error {
        DatabaseError::DatabaseAlreadyOpen => {
            format!("the store {shown} is in use{}; each furt needs a store of its own", owner(path))
        }
        DatabaseError::UpgradeRequired(version) => {
            format!(
                "the store {shown} has the file format {version} of another redb; export it with the furt that wrote it"
            )
        }
        DatabaseError::Storage(StorageError::Io(error)) => format!("the store {shown} cannot be opened: {error}"),
        other => format!(
            "the store {shown} is damaged or no store of furt's: {other}; nothing was changed; put a copy back in its place, or \
             move it away to start with an empty one"
        ),
    })
}

fn check_format(database: &Database, path: &Path) -> Result<(), StoreError> {
    let format = || -> Result<Option<u64>, redb::Error> {
        let read = database.begin_read()?;
        let Ok(meta) = read.open_table(META) else { return Ok(None) };
        Ok(meta.get("format")?.and_then(|value| std::str::from_utf8(value.value()).ok()?.parse().ok()))
    };
    let shown = path.display();
    match format() {
        Ok(Some(FORMAT)) => Ok(()),
        Ok(Some(newer)) => Err(StoreError(format!(
            "the store {shown} has format {newer}, and this furt knows {FORMAT}: run the furt that wrote it, or one newer than it"
        ))),
        Ok(None) => Err(StoreError(format!("{shown} is no store of furt's: it names no format; choose another path"))),
        Err(error) => Err(StoreError(format!("the store {shown} cannot be read: {error}"))),
    }
}

fn initialize(database: &Database) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    {
        let mut meta = transaction.open_table(META)?;
        meta.insert("format", FORMAT.to_string().as_bytes())?;
        meta.insert("epoch", uuid::Uuid::new_v4().to_string().as_bytes())?;
        meta.insert("starts", "0".as_bytes())?;
        transaction.open_table(DEFINITIONS)?;
        transaction.open_table(INSTANCES)?;
        transaction.open_table(DOWN)?;
    }
    Ok(transaction.commit()?)
}

/// Counts this start, so that no generation of an earlier one comes again.
fn note_start(database: &Database) -> Result<u64, redb::Error> {
    let transaction = database.begin_write()?;
    let starts = {
        let mut meta = transaction.open_table(META)?;
        let before = meta.get("starts")?.and_then(|value| std::str::from_utf8(value.value()).ok()?.parse::<u64>().ok());
        let starts = before.unwrap_or(0) + 1;
        meta.insert("starts", starts.to_string().as_bytes())?;
        starts
    };
    transaction.commit()?;
    Ok(starts)
}

fn write(database: &Database, changes: &[Change]) -> Result<(), redb::Error> {
    let transaction = database.begin_write()?;
    changes.iter().try_for_each(|change| write_one(&transaction, change))?;
    Ok(transaction.commit()?)
}

fn write_one(transaction: &WriteTransaction, change: &Change) -> Result<(), redb::Error> {
    match change {
        Change::PutDefinition { definition, registered_from } => {
            let record = records::Definition::from_core(definition, *registered_from);
            transaction.open_table(DEFINITIONS)?.insert(definition.service.as_str(), record.to_json().as_slice())?;
        }
        Change::PutInstance { service, spec, addresses, registered_from } => {
            let record = records::Instance::from_core(service, spec, addresses, *registered_from);
            transaction.open_table(INSTANCES)?.insert(spec.id.as_str(), record.to_json().as_slice())?;
            transaction.open_table(DOWN)?.remove(spec.id.as_str())?;
        }
        Change::NoteDown { instance, is_down } => {
            let is_known = transaction.open_table(INSTANCES)?.get(instance.as_str())?.is_some();
            let mut down = transaction.open_table(DOWN)?;
            if *is_down && is_known {
                down.insert(instance.as_str(), ())?;
            } else {
                down.remove(instance.as_str())?;
            }
        }
        Change::RemoveInstance(id) => {
            transaction.open_table(INSTANCES)?.remove(id.as_str())?;
            transaction.open_table(DOWN)?.remove(id.as_str())?;
        }
        Change::RemoveService { service, instances } => {
            transaction.open_table(DEFINITIONS)?.remove(service.as_str())?;
            let mut stored = transaction.open_table(INSTANCES)?;
            let mut down = transaction.open_table(DOWN)?;
            for id in instances {
                stored.remove(id.as_str())?;
                down.remove(id.as_str())?;
            }
        }
    }
    Ok(())
}

fn read(database: &Database) -> Result<Contents, String> {
    let tables = || -> Result<_, redb::Error> {
        let read = database.begin_read()?;
        Ok((read.open_table(META)?, read.open_table(DEFINITIONS)?, read.open_table(INSTANCES)?, read.open_table(DOWN)?))
    };
    let (meta, definitions, instances, down) = tables().map_err(|error| error.to_string())?;
    let failed = |error: redb::StorageError| error.to_string();
    let epoch = meta.get("epoch").map_err(failed)?;
    let epoch = epoch.and_then(|value| std::str::from_utf8(value.value()).ok()?.parse().ok());
    let mut contents = Contents::new(crate::model::Epoch(epoch.ok_or("it names no epoch")?));
    for entry in definitions.iter().map_err(failed)? {
        let (name, record) = entry.map_err(failed)?;
        let change = records::Definition::parse(name.value(), record.value())?;
        if let Change::PutDefinition { definition, .. } = &change {
            contents.definitions.insert(definition.service.clone(), change);
        }
    }
    for entry in instances.iter().map_err(failed)? {
        let (id, record) = entry.map_err(failed)?;
        let change = records::Instance::parse(id.value(), record.value())?;
        if let Change::PutInstance { spec, .. } = &change {
            contents.instances.insert(spec.id.clone(), change);
        }
    }
    for entry in down.iter().map_err(failed)? {
        let (id, _) = entry.map_err(failed)?;
        contents.down.extend(crate::model::InstanceId::try_new(id.value()));
    }
    Ok(contents)
}

/// Beside the store, the process that has it: only to be shown to a second one; the lock is redb's.
fn owner_path(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".owner");
    path.with_file_name(name)
}

fn write_owner(path: &Path) {
    let text = format!("{}\n", std::process::id());
    let written = fs::File::create(owner_path(path)).and_then(|mut file| file.write_all(text.as_bytes()));
    if let Err(error) = written {
        log::warn!("cannot note who has the store: {error}");
    }
}

fn owner(path: &Path) -> String {
    match fs::read_to_string(owner_path(path)) {
        Ok(pid) => format!(" by process {}", pid.trim()),
        Err(_) => " by another process".to_owned(),
    }
}
