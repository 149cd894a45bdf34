//! Files of certificates: read with a bound, through symlinks, and told from the ones that were there before.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::os::unix::fs::MetadataExt as _;
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
