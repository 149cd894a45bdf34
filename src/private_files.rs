//! Folders and files that furt writes for itself and nobody else may read: keys, secrets, and what must outlive the process. A folder
//! is 0700 and a file 0600; a file is written in one step. One process at a time owns a folder, by a lock that ends with the process.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// A file that cannot be used, or a folder.
#[derive(Debug, thiserror::Error)]
#[error("{} {what} ({why})", .path.display())]
pub struct FileError {
    path: PathBuf,
    what: &'static str,
    why: io::Error,
}

impl FileError {
    /// `what` goes on with a sentence that the path begins, such as "cannot be read".
    pub fn new(path: &Path, what: &'static str, why: io::Error) -> Self {
        Self { path: path.to_owned(), what, why }
    }
}

/// Makes a folder, with those that it is in, where it is absent.
///
/// # Errors
/// It cannot be made.
pub fn make_folder(path: &Path) -> Result<(), FileError> {
    let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(|why| FileError::new(path, "cannot be made", why))
}

/// Locks a folder for this process, until the file is dropped; `None`: another process has it.
///
/// # Errors
/// Nobody can lock it.
pub fn lock(folder: &Path) -> Result<Option<File>, FileError> {
    let path = folder.join("lock");
    let failed = |why| FileError::new(&path, "cannot be locked", why);
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(why)) => Err(failed(why)),
    }
}

/// At most the first `most` bytes of a file; `None`: it is absent.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path, most: u64) -> Result<Option<Vec<u8>>, FileError> {
    let failed = |why| FileError::new(path, "cannot be read", why);
    let file = match File::open(path) {
        Ok(file) => file,
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(failed(why)),
    };
    let mut bytes = Vec::new();
    file.take(most).read_to_end(&mut bytes).map_err(failed)?;
    Ok(Some(bytes))
}

/// The same of JSON.
///
/// # Errors
/// It cannot be read, or is damaged. What is in it is not in the error.
pub fn read_json<T: DeserializeOwned>(path: &Path, most: u64) -> Result<Option<T>, FileError> {
    let Some(bytes) = read(path, most)? else { return Ok(None) };
    let damaged = |why: serde_json::Error| {
        let place = format!("line {}, column {}", why.line(), why.column());
        FileError::new(path, "is damaged", io::Error::new(ErrorKind::InvalidData, place))
    };
    serde_json::from_slice(&bytes).map(Some).map_err(damaged)
}

/// Writes a file in one step: after a power failure it is the old one or the new one.
///
/// # Errors
/// What the system says; the old file is as it was.
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    replace(path, bytes).map_err(|why| FileError::new(path, "cannot be written", why))
}

/// The same of JSON.
///
/// # Errors
/// As [`write()`].
pub fn write_json(path: &Path, value: &impl Serialize) -> Result<(), FileError> {
    let json = serde_json::to_vec(value).map_err(|why| FileError::new(path, "cannot be written", why.into()))?;
    write(path, &json)
}

/// Removes a file, where it is there.
///
/// # Errors
/// It is there still.
pub fn remove(path: &Path) -> Result<(), FileError> {
    match fs::remove_file(path) {
        Err(why) if why.kind() != ErrorKind::NotFound => Err(FileError::new(path, "cannot be removed", why)),
        Ok(()) | Err(_) => Ok(()),
    }
}

fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = path.with_extension("new");
    // One that is there may be readable, or somebody else's link.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    opened.write_all(bytes)?;
    opened.sync_all()?;
    fs::rename(&new, path)?;
    // The name is the folder's: without this it may still be the old file's after a power failure.
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
