//! The program that an upgrade starts: the file at the path that this one was started from.
//!
//! It is opened once and judged by what was opened, so that nobody can put another in its place between the two.

use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, Metadata};
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Write permission of the group and of all others.
const OTHERS_MAY_WRITE: u32 = 0o022;
const MAY_EXECUTE: u32 = 0o111;

/// A program that may be started in this one's place.
pub(super) struct Program {
    file: File,
}

/// Where this program is: noted at the start, since the system forgets it when the file is replaced.
///
/// # Errors
/// The system does not tell, as without `/proc`.
pub(super) fn own_path() -> std::io::Result<PathBuf> {
    std::env::current_exe()
}

impl Program {
    /// # Errors
    /// A sentence: it cannot be opened, or others could have written it.
    pub(super) fn open(path: &Path) -> Result<Self, String> {
        let unopened = |error| format!("the program {} cannot be opened: {error}", path.display());
        let file = File::open(path).map_err(unopened)?;
        let metadata = file.metadata().map_err(unopened)?;
        judge(&metadata).map_err(|why| format!("the program {} {why}", path.display()))?;
        Ok(Self { file })
    }

    pub(super) fn file(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A command that runs a program as this process was run.
pub(super) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_else(|| OsString::from("furt"));
    let mut command = Command::new(program);
    command.arg0(name).args(arguments);
    command
}

/// The path of an open file: the file itself, whatever is at its name.
pub(super) fn path_of(file: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()))
}

/// Names this process after a program, by which `pgrep` and `top` know it. Of one that was started from an open file the system
/// makes a number.
pub(super) fn name_this_process(program: &Path) {
    let name = program.file_name().and_then(|name| CString::new(name.as_encoded_bytes()).ok());
    // It serves as well without.
    _ = name.map(|name| rustix::thread::set_name(&name));
}

fn judge(metadata: &Metadata) -> Result<(), String> {
    let own = rustix::process::geteuid().as_raw();
    let (owner, mode) = (metadata.uid(), metadata.mode());
    if !metadata.is_file() || mode & MAY_EXECUTE == 0 {
        return Err("is no file that can be run".to_owned());
    }
    if owner != 0 && owner != own {
        return Err(format!("belongs to the user {owner}; it must belong to root or to furt's own user, {own}"));
    }
    if mode & OTHERS_MAY_WRITE != 0 {
        return Err(format!("can be written by others (mode {:03o}); chmod go-w lets it be started", mode & 0o777));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs::{self, Permissions};
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_program_that_others_may_write_is_not_started() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("furt");
        fs::write(&path, "").unwrap();
        let of_mode = |mode| {
            fs::set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            Program::open(&path).map(|_| ()).map_err(|why| why.replace(&*path.to_string_lossy(), "furt"))
        };
        assert_eq!(of_mode(0o755), Ok(()));
        assert_eq!(of_mode(0o500), Ok(()));
        let others =
            |mode| format!("the program furt can be written by others (mode {mode}); chmod go-w lets it be started");
        assert_eq!(of_mode(0o775), Err(others("775")));
        assert_eq!(of_mode(0o757), Err(others("757")));
        assert_eq!(of_mode(0o600), Err("the program furt is no file that can be run".to_owned()));
        assert!(Program::open(folder.path()).is_err(), "a folder");
        fs::remove_file(&path).unwrap();
        assert!(Program::open(&path).err().unwrap().contains("cannot be opened: No such file"));
    }
}
