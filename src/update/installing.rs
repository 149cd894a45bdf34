//! The place of the program that runs: the new one is put beside it first, takes its name once it serves, and gives it back where it does
//! not take over after all. The one before stays beside it as `NAME.previous`.
//!
//! So a supervisor that starts the program by its path starts the one that ran last.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

/// Rights that the new file takes over of the old one: all but those of others to write.
const RIGHTS: u32 = 0o755;

/// A program beside the one that it is to replace. Dropped before [`Self::confirm`], everything is as it was.
#[derive(Debug)]
pub struct Candidate {
    path: PathBuf,
    installed: PathBuf,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Beside,
    InPlace,
    Confirmed,
}

impl Candidate {
    /// Copies the staged program beside the one that is installed.
    ///
    /// # Errors
    /// A sentence: it cannot be written there.
    pub fn place(staged: &Path, installed: &Path) -> Result<Self, String> {
        let path = beside(installed, ".new");
        let candidate = Self { path, installed: installed.to_owned(), state: State::Beside };
        candidate.copy(staged).map_err(|why| format!("{} cannot be written: {why}", candidate.path.display()))?;
        Ok(candidate)
    }

    /// The file to be started.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it the name of the program that is installed, in one step, which is kept as `NAME.previous`.
    ///
    /// # Errors
    /// A sentence; everything is as it was.
    pub fn install(&mut self) -> Result<(), String> {
        let previous = beside(&self.installed, ".previous");
        let link = beside(&self.installed, ".previous.new");
        let installed = || -> io::Result<()> {
            remove(&link)?;
            fs::hard_link(&self.installed, &link)?;
            fs::rename(&link, &previous)?;
            fs::rename(&self.path, &self.installed)
        };
        let untaken = |why| format!("the new program cannot take the place of {}: {why}", self.installed.display());
        installed().map_err(untaken)?;
        // From here on it is to be put back, also where the folder cannot be synced.
        self.state = State::InPlace;
        sync_folder(&self.installed).map_err(untaken)
    }

    /// It runs, and stays.
    pub fn confirm(&mut self) {
        self.state = State::Confirmed;
    }

    fn copy(&self, staged: &Path) -> io::Result<()> {
        // One of an update that was cut off.
        remove(&self.path)?;
        let mode = fs::metadata(&self.installed)?.mode() & RIGHTS;
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&self.path)?;
        io::copy(&mut File::open(staged)?, &mut file)?;
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()
    }

    fn undo(&self) -> io::Result<()> {
        match self.state {
            State::Beside => remove(&self.path),
            State::InPlace => {
                fs::rename(beside(&self.installed, ".previous"), &self.installed)?;
                sync_folder(&self.installed)
            }
            State::Confirmed => Ok(()),
        }
    }
}

impl Drop for Candidate {
    fn drop(&mut self) {
        if let Err(why) = self.undo() {
            log::error!("update: {} cannot be put back: {why}", self.installed.display());
        }
    }
}

fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = OsString::from(path.as_os_str());
    name.push(end);
    name.into()
}

fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()
}
