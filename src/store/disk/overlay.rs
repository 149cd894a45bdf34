//! A file as redb sees it, with every write kept in memory: an opening that can be thrown away.
//!
//! redb repairs, rewrites its header and cuts the file while it opens it. On this backend it may do all of that to a
//! damaged file, and the file's bytes stay as they are. What is held grows with what is written, not with the file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use redb::StorageBackend;

/// Bytes of a piece of what was written: a page of redb's.
const PIECE: usize = 4096;

/// What redb asked for at most, in one piece: it takes the memory before it asks. Tests and fuzz targets look at it.
pub(in crate::store) static LONGEST_READ: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// The file below, and what was written over it.
#[derive(Debug)]
pub(super) struct Overlay {
    file: File,
    written: Mutex<Written>,
}

#[derive(Debug)]
struct Written {
    len: u64,
    /// How much of the file still counts: it was cut to that at some time.
    file_len: u64,
    /// By their number.
    pieces: BTreeMap<u64, Box<[u8; PIECE]>>,
}

impl Overlay {
    /// # Errors
    /// The file's length cannot be told.
    pub(super) fn new(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        Ok(Self { file, written: Mutex::new(Written { len, file_len: len, pieces: BTreeMap::new() }) })
    }

    fn piece(&self, written: &Written, number: u64) -> io::Result<Box<[u8; PIECE]>> {
        if let Some(piece) = written.pieces.get(&number) {
            return Ok(piece.clone());
        }
        let mut piece = Box::new([0; PIECE]);
        let start = number * PIECE as u64;
        let in_file = usize::try_from(written.file_len.saturating_sub(start)).unwrap_or(PIECE).min(PIECE);
        self.file.read_exact_at(&mut piece[..in_file], start)?;
        Ok(piece)
    }
}

/// The pieces that a range touches: their numbers, where in them, and where in the range.
fn touched(offset: u64, len: usize) -> impl Iterator<Item = (u64, std::ops::Range<usize>, std::ops::Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done == len {
            return None;
        }
        let at = offset + done as u64;
        // A remainder by PIECE fits.
        let from = (at % PIECE as u64) as usize;
        let count = (PIECE - from).min(len - done);
        let range = done..done + count;
        done += count;
        Some((at / PIECE as u64, from..from + count, range))
    })
}

fn check_range(written: &Written, offset: u64, len: usize) -> io::Result<()> {
    match offset.checked_add(len as u64) {
        Some(end) if end <= written.len => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl StorageBackend for Overlay {
    fn len(&self) -> io::Result<u64> {
        Ok(self.written.lock().unwrap_or_else(PoisonError::into_inner).len)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        LONGEST_READ.fetch_max(out.len(), std::sync::atomic::Ordering::Relaxed);
        let written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        check_range(&written, offset, out.len())?;
        touched(offset, out.len()).try_for_each(|(number, within, range)| {
            out[range].copy_from_slice(&self.piece(&written, number)?[within]);
            Ok(())
        })
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        if len < written.len {
            written.file_len = written.file_len.min(len);
            // What is beyond the new end comes back as zeros if the end moves out again.
            written.pieces.retain(|&number, _| number * (PIECE as u64) < len);
            let rest = (len % PIECE as u64) as usize;
            if let Some(last) = written.pieces.get_mut(&(len / PIECE as u64)) {
                last[rest..].fill(0);
            }
        }
        written.len = len;
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        check_range(&written, offset, data.len())?;
        touched(offset, data.len()).try_for_each(|(number, within, range)| {
            let mut piece = self.piece(&written, number)?;
            piece[within].copy_from_slice(&data[range]);
            written.pieces.insert(number, piece);
            Ok(())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_the_file_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        let bytes: Vec<u8> = (0..10_000_u32).map(|number| number as u8).collect();
        std::fs::write(&path, &bytes).unwrap();
        let overlay = Overlay::new(File::open(&path).unwrap()).unwrap();
        let read = |offset: u64, len: usize| {
            let mut out = vec![0; len];
            overlay.read(offset, &mut out).map(|()| out)
        };
        assert_eq!(read(4_000, 5_000).unwrap(), bytes[4_000..9_000]);
        overlay.write(4_090, &[7; 10]).unwrap();
        assert_eq!(read(4_089, 12).unwrap(), [&bytes[4_089..4_090], &[7; 10], &bytes[4_100..4_101]].concat());
        assert!(read(9_999, 2).is_err() && overlay.write(10_000, &[1]).is_err(), "beyond the end");
        overlay.set_len(4_095).unwrap();
        overlay.set_len(1 << 40).unwrap();
        assert_eq!(read(4_089, 12).unwrap(), [&bytes[4_089..4_090], &[7; 5], &[0; 6]].concat());
        assert_eq!(read((1 << 40) - 3, 3).unwrap(), [0; 3]);
        assert_eq!(std::fs::read(&path).unwrap(), bytes);
    }
}
