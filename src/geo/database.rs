//! A database of addresses in MaxMind's format (GeoLite2, GeoIP2, and what others make in its likeness): the country of an
//! address, and the file that it comes from.
//!
//! The file is read into memory, not mapped: one that is cut short while it is mapped would kill the process. A file is good
//! when every network in it can be found, every country in it be read, and there is one at least; it takes the place
//! of the one before in one step, and what is not good, or gone, changes nothing. Never logs, never waits for a request.
//! Callers: `Geo`, and a task of `app` that looks for new versions.

use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read as _};
use std::net::IpAddr;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use arc_swap::ArcSwap;
use maxminddb::{MaxMindDbError, PathElement, Reader, WithinOptions};

use super::regions;
use furt_core::model::Country;

/// The largest file that is read. City databases have about a quarter of it, and while one is replaced both are in
/// memory: what is larger is more likely another file, and would take the memory that requests need.
pub const MAX_DATABASE_BYTES: u64 = 256 * 1024 * 1024;
/// Where a record has its country, in country and city databases alike.
const COUNTRY: [PathElement<'static>; 2] = [PathElement::Key("country"), PathElement::Key("iso_code")];

/// The database that is in force.
#[derive(Debug)]
pub struct Database {
    path: PathBuf,
    reader: ArcSwap<Reader<Vec<u8>>>,
    seen: Mutex<Seen>,
}

/// What the last look has found.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    /// The file, good or not; why there was none.
    file: Result<Stamp, ErrorKind>,
    /// Why it could not be read though it was there: that may pass while the file stays as it is.
    unread: Option<ErrorKind>,
}

/// What a look at the file has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// It is the one that was looked at before.
    Same,
    /// It is another one, and in force from now on.
    Replaced,
}

/// Why a file cannot be used; what follows the file's name in a sentence.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// It is not there, or not to be read.
    #[error("cannot be read")]
    Unreadable(#[source] io::Error),
    /// A folder, a device, a pipe.
    #[error("is no regular file")]
    NotRegular,
    /// It has more than [`MAX_DATABASE_BYTES`].
    #[error("has more than {} MiB, the most that is read", MAX_DATABASE_BYTES / 1024 / 1024)]
    TooLarge,
    /// Its structure is broken, or it has none.
    #[error("is damaged or no database in MaxMind's format")]
    Damaged(#[source] MaxMindDbError),
    /// It says something else of addresses.
    #[error("(of type {database_type:?}) names no country; must be a country or city database")]
    NoCountries {
        /// What it says that it is.
        database_type: String,
    },
}

/// What tells a file from the one that was there before. The time of its last change of any kind is among it: the others
/// can be set to what they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    file: (u64, u64),
    size_bytes: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    fn of(found: &Metadata) -> Self {
        Self {
            file: (found.dev(), found.ino()),
            size_bytes: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        }
    }
}

impl Database {
    /// Reads the file.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn open(path: &Path) -> Result<Self, DatabaseError> {
        let found = path.metadata().map_err(DatabaseError::Unreadable)?;
        let reader = load(path, &found)?;
        Ok(Self {
            path: path.to_owned(),
            reader: ArcSwap::from_pointee(reader),
            seen: Mutex::new(Seen { file: Ok(Stamp::of(&found)), unread: None }),
        })
    }

    /// Where its file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// When the one that is in force was built, in seconds since the Unix epoch, as it says itself.
    pub fn built_seconds(&self) -> u64 {
        self.reader.load().metadata().build_epoch
    }

    /// The country of an address; `None` where the database does not know it.
    pub fn country(&self, address: IpAddr) -> Option<Country> {
        let reader = self.reader.load();
        let address = address.to_canonical();
        // It would be an error, and errors are made of text.
        if address.is_ipv6() && reader.metadata().ip_version == 4 {
            return None;
        }
        let code: &str = reader.lookup(address).ok()?.decode_path(&COUNTRY).ok()??;
        Country::try_new(code).ok()
    }

    /// Looks whether the file is another one than at the last look, or could not be read then, and puts it in force if it is
    /// good.
    ///
    /// # Errors
    /// It is another one, or gone, and cannot be used: what was in force stays so. Told once for each file, and once more
    /// where it comes to be unreadable for another reason.
    pub fn look(&self) -> Result<Look, DatabaseError> {
        let found = self.path.metadata();
        let file = found.as_ref().map(Stamp::of).map_err(io::Error::kind);
        let before = {
            let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
            if seen.file == file && seen.unread.is_none() {
                return Ok(Look::Same);
            }
            // Noted first: a file that is still being written is another one at the next look.
            std::mem::replace(&mut *seen, Seen { file, unread: None })
        };
        match load(&self.path, &found.map_err(DatabaseError::Unreadable)?) {
            Ok(reader) => {
                self.reader.store(reader.into());
                Ok(Look::Replaced)
            }
            Err(DatabaseError::Unreadable(error)) => {
                let seen = Seen { file, unread: Some(error.kind()) };
                let is_told = before == seen;
                *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = seen;
                if is_told { Ok(Look::Same) } else { Err(DatabaseError::Unreadable(error)) }
            }
            Err(error) => Err(error),
        }
    }
}

fn load(path: &Path, found: &Metadata) -> Result<Reader<Vec<u8>>, DatabaseError> {
    // Before it is opened: opening a pipe waits for somebody to write.
    if !found.is_file() {
        return Err(DatabaseError::NotRegular);
    }
    if found.len() > MAX_DATABASE_BYTES {
        return Err(DatabaseError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(found.len()).unwrap_or_default());
    let file = File::open(path).map_err(DatabaseError::Unreadable)?;
    file.take(MAX_DATABASE_BYTES + 1).read_to_end(&mut bytes).map_err(DatabaseError::Unreadable)?;
    if bytes.len() as u64 > MAX_DATABASE_BYTES {
        return Err(DatabaseError::TooLarge);
    }
    let reader = Reader::from_source(bytes).map_err(DatabaseError::Damaged)?;
    if names_countries(&reader).map_err(DatabaseError::Damaged)? {
        Ok(reader)
    } else {
        let database_type = reader.metadata().database_type.chars().take(64).collect();
        Err(DatabaseError::NoCountries { database_type })
    }
}

/// Whether any network has a country, having looked at every network.
fn names_countries(reader: &Reader<Vec<u8>>) -> Result<bool, MaxMindDbError> {
    // A tree of n nodes ends in n + 1 places and in a few aliases; a broken one may end in 2^128.
    let most = (reader.metadata().node_count as usize).saturating_mul(3);
    let mut checked = Bits::default();
    let mut is_any_named = false;
    let everywhere = WithinOptions::default().include_networks_without_data();
    for (count, network) in reader.networks(everywhere)?.enumerate() {
        if count > most {
            return Err(MaxMindDbError::invalid_database("its search tree is no tree"));
        }
        let network = network?;
        if network.offset().is_some_and(|offset| checked.insert(offset)) {
            let code: Option<&str> = network.decode_path(&COUNTRY)?;
            is_any_named |= code.and_then(|code| regions::region_of(Country::try_new(code).ok()?)).is_some();
        }
    }
    Ok(is_any_named)
}

/// A set of places in a file: a bit each, so at most an eighth of the file's size.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    /// Whether it was not there before.
    fn insert(&mut self, place: usize) -> bool {
        let (word, bit) = (place / 64, 1 << (place % 64));
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        let is_new = self.0[word] & bit == 0;
        self.0[word] |= bit;
        is_new
    }
}
