//! How the file is opened: tried first, so that what cannot be read is refused with its bytes as they were.
//!
//! redb changes a file while it opens it, and may panic over a damaged one. So the file is opened over an [`Overlay`],
//! checked and read whole there, and only then opened in earnest. A new file is made beside its place and moved there
//! once it is complete, so that a crash leaves no half of one. All of it goes by the lock that redb takes, too.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Builder, Database, DatabaseError, StorageBackend as _, StorageError};

use super::overlay::Overlay;
use super::{initialize, read};
use furt_core::model::Epoch;
use furt_core::ports::StoreError;
use furt_core::registry::Contents;

/// What redb may keep in memory: a registry of 100,000 routes is some 30 MiB, and it is read once.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// Opens the file; makes it where there is none.
///
/// # Errors
/// A sentence that names the file and what to do.
pub(super) fn open_or_create(path: &Path) -> Result<Database, StoreError> {
    let folder = folder_of(path);
    make_folder(folder).map_err(|error| {
        StoreError::Unavailable(format!("cannot make the folder {} of the store: {error}", folder.display()))
    })?;
    if is_there(path)? {
        return open(path);
    }
    create(path, |database| initialize(database, Epoch(uuid::Uuid::new_v4()), 0))
}

/// Opens a file that is there.
///
/// # Errors
/// A sentence that names the file and what to do.
pub(super) fn open(path: &Path) -> Result<Database, StoreError> {
    let database = open_as_it_is(path)?;
    super::upgrade(&database)
        .map_err(|error| StoreError::Unavailable(format!("the store {} cannot be written: {error}", path.display())))?;
    Ok(database)
}

/// Opens a file that is there, and leaves its format as it is.
///
/// # Errors
/// As [`open`].
pub(super) fn open_as_it_is(path: &Path) -> Result<Database, StoreError> {
    examine(path)?;
    guarded(path, || builder().open(path).map_err(|error| refused(path, &error)))
}

/// Everything that a store holds; its file stays as it is.
///
/// # Errors
/// A sentence that names the file and what to do.
pub fn examine(path: &Path) -> Result<Contents, StoreError> {
    let shown = path.display();
    let unopened = |error: io::Error| StoreError::Unavailable(format!("the store {shown} cannot be opened: {error}"));
    let metadata = fs::metadata(path).map_err(unopened)?;
    if metadata.is_dir() {
        return Err(StoreError::Unavailable(format!("the store {shown} is a directory; name a file in it")));
    }
    let file = File::open(path).map_err(unopened)?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Err(in_use(path)),
        // Where files cannot be locked redb does without, too.
        Ok(()) | Err(TryLockError::Error(_)) => {}
    }
    if metadata.len() == 0 {
        return Err(damaged(path, &"it is empty"));
    }
    guarded(path, || {
        verify(path, &file)?;
        try_out(path, file)
    })
}

/// Has redb check every page of the newest commit before it goes by what the page says.
///
/// Of a file that seems sound redb believes the table of free pages first, and a damaged one leads it to pages of up to
/// 4 GiB, for which it takes the memory. Without the mark that there is such a table it checks all sums, from the header
/// down; and with that commit in both slots there is no other to go back to.
fn verify(path: &Path, file: &File) -> Result<(), StoreError> {
    let unreadable = |error: io::Error| damaged(path, &error);
    let overlay = file.try_clone().and_then(Overlay::new).map_err(unreadable)?;
    if let Some(Header { mut bytes, primary, .. }) = Header::of(file) {
        bytes[Header::FLAGS] &= !Header::TWO_PHASES;
        bytes.copy_within(Header::index(primary), Header::index(1 - primary).start);
        overlay.write(0, &bytes).map_err(unreadable)?;
    }
    builder().create_with_backend(overlay).map(drop).map_err(|error| refused(path, &error))
}

fn try_out(path: &Path, file: File) -> Result<Contents, StoreError> {
    let header = Header::of(&file);
    let is_repaired = Arc::new(AtomicBool::new(false));
    let noted = Arc::clone(&is_repaired);
    let backend = Overlay::new(file).map_err(|error| damaged(path, &error))?;
    let mut database = builder()
        .set_repair_callback(move |_| noted.store(true, Ordering::Relaxed))
        .create_with_backend(backend)
        .map_err(|error| refused(path, &error))?;
    let is_sound = database.check_integrity().map_err(|error| refused(path, &error))?;
    // redb goes back to the state before the last commit where that cannot be read; furt has answered for it.
    if !is_sound || header.is_some_and(|header| header.is_stale(is_repaired.load(Ordering::Relaxed))) {
        return Err(damaged(path, &"its last changes cannot be read"));
    }
    super::check_format(&database, path)?;
    read(&database).map_err(|why| damaged(path, &why))
}

/// Makes a file where there is none: complete, or not at all.
///
/// # Errors
/// A sentence that names the file.
pub(super) fn create(
    path: &Path,
    fill: impl FnOnce(&Database) -> Result<(), redb::Error>,
) -> Result<Database, StoreError> {
    let unmade = |error: &dyn std::fmt::Display| {
        StoreError::Unavailable(format!("cannot make the store {}: {error}", path.display()))
    };
    let exists =
        || StoreError::Exists(format!("{} exists; a new store is made where there is nothing", path.display()));
    if is_there(path)? {
        return Err(exists());
    }
    let beside = beside(path, ".new");
    let file = File::options().read(true).write(true).create(true).truncate(false).open(&beside);
    let file = file.map_err(|error| unmade(&error))?;
    if matches!(file.try_lock(), Err(TryLockError::WouldBlock)) {
        return Err(in_use(path));
    }
    // Again, under the lock: who had it before may have finished meanwhile.
    if is_there(path)? {
        return Err(exists());
    }
    // What a crash left of an earlier one.
    file.set_len(0).map_err(|error| unmade(&error))?;
    let made = builder().create_file(file).map_err(redb::Error::from).and_then(|database| {
        fill(&database)?;
        fs::rename(&beside, path)?;
        Ok(database)
    });
    let database = made.map_err(|error| {
        // It holds nothing, and would be emptied by the next attempt anyway.
        drop(fs::remove_file(&beside));
        unmade(&error)
    })?;
    sync_folder(path).map_err(|error| unmade(&error))?;
    Ok(database)
}

/// The file's name is on disk as well as its bytes.
fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(folder_of(path))?.sync_all()
}

/// Where a file or folder is named.
fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder, and those above that are not there; the name of each is on disk as well.
fn make_folder(folder: &Path) -> io::Result<()> {
    let made = missing(folder);
    fs::create_dir_all(folder)?;
    made.into_iter().try_for_each(sync_folder)
}

/// Those of a folder and all above it that are not there, the innermost first.
fn missing(folder: &Path) -> Vec<&Path> {
    folder.ancestors().take_while(|one| !one.as_os_str().is_empty() && !one.exists()).collect()
}

/// Whether something has the file's name.
///
/// # Errors
/// That cannot be told, as where a folder may not be entered.
fn is_there(path: &Path) -> Result<bool, StoreError> {
    path.try_exists()
        .map_err(|error| StoreError::Unavailable(format!("the store {} cannot be opened: {error}", path.display())))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

/// redb checks most of what it reads, and panics over some that it does not: a damaged file must not look like a bug.
fn guarded<T>(path: &Path, open: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(open)).unwrap_or_else(|_| Err(damaged(path, &"it makes no sense")))
}

pub(super) fn damaged(path: &Path, why: &dyn std::fmt::Display) -> StoreError {
    StoreError::Damaged(format!(
        "the store {} is damaged or no store of furt's: {why}; nothing was changed; put a copy back in its place, or move it \
         away to start with an empty one",
        path.display()
    ))
}

fn in_use(path: &Path) -> StoreError {
    StoreError::InUse(format!(
        "the store {} is in use{}; each furt needs a store of its own",
        path.display(),
        owner(path)
    ))
}

fn refused(path: &Path, error: &DatabaseError) -> StoreError {
    let shown = path.display();
    match error {
        DatabaseError::DatabaseAlreadyOpen => in_use(path),
        DatabaseError::UpgradeRequired(version) => StoreError::OtherFormat(format!(
            "the store {shown} has the file format {version} of another redb; export it with the furt that wrote it"
        )),
        // Those of the system: redb tells by the same kind that a file makes no sense.
        DatabaseError::Storage(StorageError::Io(error)) if error.raw_os_error().is_some() => {
            StoreError::Unavailable(format!("the store {shown} cannot be opened: {error}"))
        }
        other => damaged(path, other),
    }
}

/// What redb's header says of its two commit slots. Its layout is part of redb's documented file format.
struct Header {
    bytes: [u8; Self::BYTES],
    /// The slot that is to be read.
    primary: usize,
    is_closed: bool,
    is_primary_newer: bool,
}

impl Header {
    const BYTES: usize = 320;
    const FLAGS: usize = 9;
    const SECOND_IS_PRIMARY: u8 = 1;
    const NOT_CLOSED: u8 = 2;
    const TWO_PHASES: u8 = 4;
    /// In a slot.
    const TRANSACTION: usize = 104;

    /// `None`: there is not that much of the file.
    fn of(file: &File) -> Option<Self> {
        let mut bytes = [0; Self::BYTES];
        file.read_exact_at(&mut bytes, 0).ok()?;
        let transaction = |index: usize| {
            let at = Self::index(index).start + Self::TRANSACTION;
            bytes[at..at + 8].iter().rev().fold(0_u64, |number, &byte| (number << 8) | u64::from(byte))
        };
        let primary = usize::from(bytes[Self::FLAGS] & Self::SECOND_IS_PRIMARY != 0);
        Some(Self {
            bytes,
            primary,
            is_closed: bytes[Self::FLAGS] & Self::NOT_CLOSED == 0,
            is_primary_newer: transaction(primary) > transaction(1 - primary),
        })
    }

    fn index(number: usize) -> std::ops::Range<usize> {
        let start = 64 + 128 * number;
        start..start + 128
    }

    /// Of a file that was closed in order, the newest commit is the one to be read, and there is nothing to repair.
    fn is_stale(&self, is_repaired: bool) -> bool {
        self.is_closed && (is_repaired || !self.is_primary_newer)
    }
}

/// The store's name with another end: `.new` while it is made, `.owner` for the process that has it.
fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(end);
    path.with_file_name(name)
}

/// Notes that this process has the store: only to be shown to a second one; the lock is redb's.
pub(super) fn write_owner(path: &Path) {
    let text = format!("{}\n", std::process::id());
    let written = File::create(beside(path, ".owner")).and_then(|mut file| file.write_all(text.as_bytes()));
    if let Err(error) = written {
        log::warn!("cannot note who has the store: {error}");
    }
}

fn owner(path: &Path) -> String {
    match fs::read_to_string(beside(path, ".owner")) {
        Ok(pid) if !pid.trim().is_empty() => format!(" by process {}", pid.trim()),
        _ => " by another process".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_folder_that_is_made_is_named_in_one_that_is_synced() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("a/b/c");
        assert_eq!(missing(&inner), ["a/b/c", "a/b", "a"].map(|name| folder.path().join(name)));
        make_folder(&inner).unwrap();
        assert_eq!(missing(&inner), [""; 0].map(Path::new));
        make_folder(&inner).unwrap();
        assert_eq!(missing(Path::new("no such folder")), [Path::new("no such folder")]);
        assert_eq!(folder_of(Path::new("no such folder")), Path::new("."));
    }
}
