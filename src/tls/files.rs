//! Files of certificates: read with a bound, through symlinks, and told from the ones that were there before; files that furt
//! writes for itself: in one step, and for nobody else to read.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::Path;

/// The largest file that is read. A chain has some 10 KiB.
pub(super) const MAX_BYTES: u64 = 1024 * 1024;

/// What was found where a file should be; why nothing was.
pub(super) type Found = Result<Stamp, ErrorKind>;

/// What tells a file from another one. The time of its last change of any kind is among it: the others can be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stamp {
    file: (u64, u64),
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Looks at a file without reading it.
pub(super) fn look(path: &Path) -> Found {
    let found = path.metadata().map_err(|error| error.kind())?;
    Ok(Stamp {
        file: (found.dev(), found.ino()),
        size_bytes: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// Why a file cannot be read.
#[derive(Debug)]
pub(super) enum ReadError {
    Unreadable(io::Error),
    NotRegular,
    TooLarge,
}

/// The whole file, and who may read it.
pub(super) fn read(path: &Path) -> Result<(Vec<u8>, Metadata), ReadError> {
    // Before it is opened: opening a pipe waits for somebody to write.
    if !path.metadata().map_err(ReadError::Unreadable)?.is_file() {
        return Err(ReadError::NotRegular);
    }
    let file = File::open(path).map_err(ReadError::Unreadable)?;
    let found = file.metadata().map_err(ReadError::Unreadable)?;
    let mut bytes = Vec::new();
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes).map_err(ReadError::Unreadable)?;
    if bytes.len() as u64 > MAX_BYTES { Err(ReadError::TooLarge) } else { Ok((bytes, found)) }
}

/// Writes a file in one step: after a power failure it is the old one or the new one, and only its owner reads it.
///
/// # Errors
/// What the system says; the old file is as it was.
pub fn write_private(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let new = file.with_extension("new");
    // One that is there may be readable, or somebody else's link.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    opened.write_all(bytes)?;
    opened.sync_all()?;
    fs::rename(&new, file)?;
    // The name is the folder's: without this it may still be the old file's after a power failure.
    file.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}
