//! What must outlive the process, in `cluster.state`: the node's key, what it knows of its cluster, secrets and join tokens.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use furt_cluster::Stored;
use furt_cluster::model::{Scope, SecretId, SettingsId, TokenId};
use furt_seal::{JoinToken, NodeKey, Secret};

use super::form::Form;
use super::settings::History;
use crate::private_files::{self, FileError, read, remove, write};

/// The largest file that is read: the most records, documents and the rest of a node's state.
const MAX_BYTES: u64 = 256 * 1024 * 1024;
/// A key, a secret or a token.
const MAX_SECRET_BYTES: u64 = 64 * 1024;
/// Rights of everybody's and of the group's: to a file any.
const OF_FILE: u32 = 0o077;
/// To a folder the right to write: who has it can put another key there.
const OF_FOLDER: u32 = 0o022;

/// The folder.
#[derive(Debug)]
pub(super) struct Folder {
    path: PathBuf,
    lock: Option<File>,
}

/// What a node goes on from.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) stored: Stored,
    pub(super) secrets: Vec<Secret>,
    pub(super) tokens: Vec<JoinToken>,
}

impl Folder {
    /// It may be absent.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), lock: None }
    }

    /// Makes it where it is absent, and sees whether what is there can be used by this user.
    ///
    /// # Errors
    /// It cannot be made, or others can read it, or the key in it cannot be used.
    pub(super) fn check(&self) -> Result<(), FileError> {
        for folder in [&self.path, &self.secrets(), &self.tokens()] {
            private_files::make_folder(folder)?;
            refuse_others(folder, OF_FOLDER)?;
        }
        self.key().map(|_| ())
    }

    /// Whether this process owns it, from now on if it was free.
    ///
    /// # Errors
    /// Nobody can lock it.
    pub(super) fn own(&mut self) -> Result<bool, FileError> {
        if self.lock.is_none() {
            self.lock = private_files::lock(&self.path)?;
        }
        Ok(self.lock.is_some())
    }

    /// The node's key; made at the first time.
    ///
    /// # Errors
    /// It cannot be read, made or written.
    pub(super) fn key_or_new(&self) -> Result<NodeKey, FileError> {
        if let Some(key) = self.key()? {
            return Ok(key);
        }
        let path = self.key_file();
        let key = NodeKey::generate().map_err(|why| failed(&path, "cannot be made", io::Error::other(why)))?;
        write(&path, key.to_pem().as_bytes())?;
        Ok(key)
    }

    fn key(&self) -> Result<Option<NodeKey>, FileError> {
        let path = self.key_file();
        let Some(pem) = read_secret(&path)? else { return Ok(None) };
        NodeKey::from_pem(&pem).map(Some).map_err(|why| failed(&path, "cannot be used", io::Error::other(why)))
    }

    /// What the node knew when it ended. What is half there is dropped: the name of a secret without its bytes, and the reverse.
    ///
    /// # Errors
    /// A file is damaged. Nothing is begun anew then: the node would forget whom it has revoked.
    pub(super) fn load(&self) -> Result<Found, FileError> {
        let mut stored = self.stored()?;
        let mut secrets = Vec::new();
        for path in files_of(&self.secrets())? {
            let Some(text) = read_secret(&path)? else { continue };
            let secret = secret_of(&path, &text)?;
            if stored.secrets.contains_key(&secret.id()) {
                secrets.push(secret);
            } else {
                remove(&path)?;
            }
        }
        stored.secrets.retain(|id, _| secrets.iter().any(|secret| secret.id() == *id));
        let is_held = |id: &SecretId, stored: &Stored| stored.secrets.contains_key(id);
        stored.active = stored.active.filter(|id| is_held(id, &stored));
        stored.made = stored.made.filter(|id| is_held(id, &stored));
        let mut tokens = Vec::new();
        for path in files_of(&self.tokens())? {
            let Some(text) = read_secret(&path)? else { continue };
            let token = text.trim().parse().map_err(|why| failed(&path, "is no join token", io::Error::other(why)))?;
            tokens.push(token);
        }
        stored.tokens.retain(|id, _| tokens.iter().any(|token: &JoinToken| token.id() == *id));
        Ok(Found { stored, secrets, tokens })
    }

    fn stored(&self) -> Result<Stored, FileError> {
        let path = self.state();
        let Some(form) = private_files::read_json::<Form>(&path, MAX_BYTES)? else { return Ok(Stored::default()) };
        form.into_stored().map_err(|why| failed(&path, "cannot be used", io::Error::other(why)))
    }

    /// # Errors
    /// It cannot be written; the one before is there still.
    pub(super) fn keep(&self, stored: &Stored) -> Result<(), FileError> {
        private_files::write_json(&self.state(), &Form::of(stored))
    }

    /// What was in force here; nothing where the file is absent.
    ///
    /// # Errors
    /// It is damaged.
    pub(super) fn history(&self) -> Result<History, FileError> {
        Ok(private_files::read_json(&self.history_file(), MAX_BYTES)?.unwrap_or_default())
    }

    /// # Errors
    /// It cannot be written.
    pub(super) fn keep_history(&self, history: &History) -> Result<(), FileError> {
        private_files::write_json(&self.history_file(), history)
    }

    /// # Errors
    /// It cannot be written.
    pub(super) fn keep_secret(&self, secret: &Secret) -> Result<(), FileError> {
        write(&self.secret(&secret.id()), secret.text().as_bytes())
    }

    /// # Errors
    /// It cannot be removed.
    pub(super) fn drop_secret(&self, id: &SecretId) -> Result<(), FileError> {
        remove(&self.secret(id))
    }

    /// # Errors
    /// It cannot be written.
    pub(super) fn keep_token(&self, token: &JoinToken) -> Result<(), FileError> {
        write(&self.token(&token.id()), token.text().as_bytes())
    }

    /// # Errors
    /// It cannot be removed.
    pub(super) fn drop_token(&self, id: &TokenId) -> Result<(), FileError> {
        remove(&self.token(id))
    }

    fn key_file(&self) -> PathBuf {
        self.path.join("node.key")
    }

    fn state(&self) -> PathBuf {
        self.path.join("state.json")
    }

    fn history_file(&self) -> PathBuf {
        self.path.join("settings-history.json")
    }

    fn secrets(&self) -> PathBuf {
        self.path.join("secrets")
    }

    fn tokens(&self) -> PathBuf {
        self.path.join("tokens")
    }

    fn secret(&self, id: &SecretId) -> PathBuf {
        self.secrets().join(format!("{}-{}", id.generation, id.check))
    }

    fn token(&self, id: &TokenId) -> PathBuf {
        self.tokens().join(id.to_string())
    }
}

/// The settings that were in force when the node of this folder ended; none where there is no folder.
///
/// # Errors
/// It cannot be read, or is damaged.
pub fn settings_in(folder: &Path) -> Result<Vec<(Scope, SettingsId, String)>, FileError> {
    let stored = Folder::new(folder).stored()?;
    Ok(stored.applied.into_iter().map(|(scope, (id, document))| (scope, id, document.text().to_owned())).collect())
}

/// A join token from a file of the operator's.
///
/// # Errors
/// It cannot be read, others can read it, or it is none. The token is not in the error.
pub(super) fn token_of(path: &Path) -> Result<JoinToken, FileError> {
    let absent = || failed(path, "cannot be read", ErrorKind::NotFound.into());
    let text = read_secret(path)?.ok_or_else(absent)?;
    text.trim().parse().map_err(|why| failed(path, "is no join token", io::Error::other(why)))
}

/// The generation is in the file's name, the rest follows from the secret.
fn secret_of(path: &Path, text: &str) -> Result<Secret, FileError> {
    let wrong = || failed(path, "is no cluster secret", ErrorKind::InvalidData.into());
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(wrong)?;
    let generation = name.split_once('-').and_then(|(generation, _)| generation.parse().ok()).ok_or_else(wrong)?;
    let secret = Secret::from_text(generation, text.trim()).map_err(|_| wrong())?;
    let is_named = name == format!("{generation}-{}", secret.id().check);
    if is_named { Ok(secret) } else { Err(wrong()) }
}

fn files_of(folder: &Path) -> Result<Vec<PathBuf>, FileError> {
    let entries = fs::read_dir(folder).map_err(|why| failed(folder, "cannot be read", why))?;
    let files = entries.flatten().map(|entry| entry.path());
    // What was being written when the process ended.
    Ok(files.filter(|path| path.extension().is_none_or(|extension| extension != "new")).collect())
}

/// A text that others must not be able to read; `None`: it is absent.
fn read_secret(path: &Path) -> Result<Option<String>, FileError> {
    let Some(bytes) = read(path, MAX_SECRET_BYTES)? else { return Ok(None) };
    refuse_others(path, OF_FILE)?;
    let text = String::from_utf8(bytes).map_err(|_| failed(path, "cannot be read", ErrorKind::InvalidData.into()))?;
    Ok(Some(text))
}

fn refuse_others(path: &Path, rights: u32) -> Result<(), FileError> {
    let mode = fs::metadata(path).map_err(|why| failed(path, "cannot be read", why))?.mode();
    if mode & rights == 0 {
        return Ok(());
    }
    let why = format!(
        "its mode is {:o}; others than its owner may neither write to it nor, to a file, read it",
        mode & 0o777
    );
    Err(failed(path, "is refused", io::Error::other(why)))
}

fn failed(path: &Path, what: &'static str, why: io::Error) -> FileError {
    FileError::new(path, what, why)
}
