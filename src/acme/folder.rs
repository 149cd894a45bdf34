//! What must outlive the process, below `tls.state`: the account's key, certificates with their keys, and the ledger of orders.
//! Folders are 0700 and files 0600; each is written in one step. One process at a time owns it, by a lock that ends with the process.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::plan::Ledger;
use crate::private_files::{self, FileError, write_json};
use furt_core::model::Sha256Digest;

/// The largest file that is read: one is a chain and a key.
const MAX_BYTES: u64 = 1024 * 1024;
/// The longest name of which a file is named.
const LONGEST_NAME: usize = 200;
/// Files of certificates that are read at the start.
const MOST_CERTIFICATES: usize = 10_000;

/// The folder.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    lock: Option<File>,
}

/// A certificate as it is kept.
#[derive(Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) name: String,
    /// The authority that it is from.
    pub(super) directory: String,
    /// The service for whose route it was got.
    pub(super) service: Option<String>,
    /// In PEM.
    pub(super) chain: String,
    /// In PEM.
    pub(super) key: String,
}

impl Folder {
    /// Below `state`; it may be absent.
    pub fn new(state: &Path) -> Self {
        Self { path: state.join("acme"), lock: None }
    }

    /// Makes it where it is absent.
    ///
    /// # Errors
    /// It cannot be made.
    pub fn make(&self) -> Result<(), FileError> {
        private_files::make_folder(&self.certificates())
    }

    /// Whether this process owns it, from now on if it was free.
    ///
    /// # Errors
    /// Nobody can lock it.
    pub(super) fn own(&mut self) -> Result<bool, FileError> {
        if self.lock.is_none() {
            self.make()?;
            self.lock = private_files::lock(&self.path)?;
        }
        Ok(self.lock.is_some())
    }

    /// Lets another process have it.
    pub(super) fn disown(&mut self) {
        self.lock = None;
    }

    /// Whether this process owns it already.
    pub(super) fn is_owned(&self) -> bool {
        self.lock.is_some()
    }

    /// What was ordered; nothing where the file is absent.
    ///
    /// # Errors
    /// It is there and cannot be read: without it there is no budget.
    pub(super) fn ledger(&self) -> Result<Ledger, FileError> {
        Ok(read_json(&self.path.join("orders.json"))?.unwrap_or_default())
    }

    /// # Errors
    /// It cannot be written.
    pub(super) fn keep_ledger(&self, ledger: &Ledger) -> Result<(), FileError> {
        write_json(&self.path.join("orders.json"), ledger)
    }

    /// Every certificate, and what cannot be read.
    pub(super) fn stored(&self) -> (Vec<Stored>, Vec<FileError>) {
        let folder = self.certificates();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(why) if why.kind() == ErrorKind::NotFound => return (Vec::new(), Vec::new()),
            Err(why) => return (Vec::new(), vec![FileError::new(&folder, "cannot be read", why)]),
        };
        let files = entries.flatten().map(|entry| entry.path());
        let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        let (mut stored, mut errors) = (Vec::new(), Vec::new());
        for path in files.take(MOST_CERTIFICATES) {
            match read_json::<Stored>(&path) {
                Ok(one) => stored.extend(one),
                Err(error) => errors.push(error),
            }
        }
        stored.sort_by(|one, other| one.name.cmp(&other.name));
        (stored, errors)
    }

    /// # Errors
    /// It cannot be written.
    pub(super) fn keep(&self, stored: &Stored) -> Result<(), FileError> {
        write_json(&self.certificate(&stored.name), stored)
    }

    /// A certificate that has ended, and that nobody wants.
    pub(super) fn forget(&self, name: &str) {
        // One that stays is forgotten at the next start.
        _ = fs::remove_file(self.certificate(name));
    }

    /// The account at an authority, in the form of the library.
    ///
    /// # Errors
    /// It is there and cannot be read.
    pub(super) fn account<T: DeserializeOwned>(&self, of: &str) -> Result<Option<T>, FileError> {
        read_json(&self.account_file(of))
    }

    /// # Errors
    /// It cannot be written.
    pub(super) fn keep_account(&self, of: &str, account: &impl Serialize) -> Result<(), FileError> {
        write_json(&self.account_file(of), account)
    }

    /// The authority does not know it any more.
    ///
    /// # Errors
    /// It cannot be put aside.
    pub(super) fn put_account_aside(&self, of: &str) -> Result<(), FileError> {
        let file = self.account_file(of);
        let aside = file.with_extension("lost");
        fs::rename(&file, aside).map_err(|why| FileError::new(&file, "cannot be put aside", why))
    }

    fn certificates(&self) -> PathBuf {
        self.path.join("certificates")
    }

    fn certificate(&self, name: &str) -> PathBuf {
        let name = if name.len() > LONGEST_NAME { digest(name) } else { name.to_owned() };
        self.certificates().join(name + ".json")
    }

    fn account_file(&self, of: &str) -> PathBuf {
        self.path.join(format!("account-{}.json", &digest(of)[..16]))
    }
}

fn digest(text: &str) -> String {
    Sha256Digest::of(text.as_bytes()).to_string()
}

/// `None`: it is absent.
fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, FileError> {
    private_files::read_json(path, MAX_BYTES)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;

    fn stored(name: &str) -> Stored {
        let text = |text: &str| text.to_owned();
        Stored {
            name: text(name),
            directory: text("https://a/d"),
            service: None,
            chain: text("chain"),
            key: text("very secret"),
        }
    }

    #[test]
    fn only_its_owner_reads_it_and_one_process_at_a_time_has_it() {
        let state = tempfile::tempdir().unwrap();
        let mut folder = Folder::new(&state.path().join("tls"));
        assert!(folder.stored().0.is_empty() && folder.stored().1.is_empty());
        assert!(folder.own().unwrap() && folder.own().unwrap());
        let mut other = Folder::new(&state.path().join("tls"));
        assert!(!other.own().unwrap());
        for name in ["b.example", "a.example", &format!("{}.example", "long.".repeat(48))] {
            folder.keep(&stored(name)).unwrap();
        }
        folder.keep_ledger(&Ledger::default()).unwrap();
        folder.keep_account("x", &1).unwrap();
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!((mode(&folder.path), mode(&folder.certificates())), (0o700, 0o700));
        for file in [&folder.path, &folder.certificates()].into_iter().flat_map(|path| fs::read_dir(path).unwrap()) {
            let file = file.unwrap().path();
            assert!(file.is_dir() || mode(&file) == 0o600, "{}", file.display());
        }
        let names: Vec<_> = other.stored().0.into_iter().map(|one| one.name).collect();
        assert!(names.len() == 3 && names[..2] == ["a.example", "b.example"], "{names:?}");
        folder.forget("a.example");
        assert_eq!(other.stored().0.len(), 2);
        drop(folder);
        assert!(other.own().unwrap());
    }

    #[test]
    fn a_damaged_file_is_told_without_what_is_in_it_and_the_others_are_read() {
        let state = tempfile::tempdir().unwrap();
        let folder = Folder::new(state.path());
        folder.make().unwrap();
        folder.keep(&stored("a.example")).unwrap();
        folder.keep(&stored("b.example")).unwrap();
        let file = folder.certificate("a.example");
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, &text[..text.len() - 4]).unwrap();
        let (good, bad) = folder.stored();
        assert_eq!((good.len(), bad.len()), (1, 1));
        let said = bad[0].to_string();
        assert!(said.contains("a.example.json is damaged") && !said.contains("secret"), "{said}");
        fs::write(folder.path.join("orders.json"), "{").unwrap();
        assert!(folder.ledger().unwrap_err().to_string().contains("orders.json is damaged"));
        assert!(folder.account::<u8>("none").unwrap().is_none());
        let error = Folder::new(&file).make().unwrap_err().to_string();
        assert!(error.contains("cannot be made"), "{error}");
    }
}
