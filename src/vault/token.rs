//! A token, and the file that it is read from.

use std::fmt;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Tokens of the kind *batch* have some hundred characters.
const MAX_BYTES: u64 = 8 * 1024;
/// Rights of the group and of everybody.
const OTHERS: u32 = 0o077;

/// A token of a Vault; never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

/// Why a file gives no token.
#[derive(Debug, thiserror::Error)]
pub enum TokenFileError {
    /// It is not there, or not to be read.
    #[error("{} cannot be read ({why})", .file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system says.
        why: std::io::Error,
    },
    /// Others can read it, or write to it.
    #[error("{} has the mode {mode:o}; must be readable for its owner alone (600)", .file.display())]
    OpenToOthers {
        /// The file.
        file: PathBuf,
        /// Its rights.
        mode: u32,
    },
    /// What it has is no token.
    #[error("{} has no token; must have one, in ASCII without spaces", .0.display())]
    NoToken(PathBuf),
}

impl Token {
    /// A token, where the text can be one.
    pub fn try_new(text: &str) -> Option<Self> {
        let is_token = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        is_token.then(|| Self(text.to_owned()))
    }

    /// Reads one from a file.
    ///
    /// # Errors
    /// There is none, or others can read it. The token is not in the error.
    pub fn read(file: &Path) -> Result<Self, TokenFileError> {
        let unreadable = |why| TokenFileError::Unreadable { file: file.to_owned(), why };
        let opened = File::open(file).map_err(unreadable)?;
        let mode = opened.metadata().map_err(unreadable)?.mode() & 0o777;
        if mode & OTHERS != 0 {
            return Err(TokenFileError::OpenToOthers { file: file.to_owned(), mode });
        }
        let mut bytes = Vec::new();
        opened.take(MAX_BYTES).read_to_end(&mut bytes).map_err(unreadable)?;
        let text = std::str::from_utf8(&bytes).unwrap_or_default().trim();
        Self::try_new(text).ok_or_else(|| TokenFileError::NoToken(file.to_owned()))
    }

    /// The token itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_token_is_read_from_a_file_that_its_owner_alone_reads() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("token");
        assert!(Token::read(&file).unwrap_err().to_string().contains("cannot be read"));
        assert!(Token::read(folder.path()).is_err());
        for (text, mode, expected) in [
            ("hvs.hunter2\n", 0o600, ""),
            ("  hvs.hunter2", 0o400, ""),
            ("hvs.hunter2", 0o640, "has the mode 640"),
            ("hvs.hunter2", 0o604, "has the mode 604"),
            ("", 0o600, "has no token"),
            ("hunter2 and more", 0o600, "has no token"),
            ("hünter2", 0o600, "has no token"),
        ] {
            fs::write(&file, text).unwrap();
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            match Token::read(&file) {
                Ok(token) => assert_eq!((token.reveal(), expected), ("hvs.hunter2", "")),
                Err(why) => {
                    let why = why.to_string();
                    assert!(
                        !expected.is_empty() && why.contains(expected) && !why.contains("hunter2"),
                        "{text}: {why}"
                    );
                }
            }
            fs::remove_file(&file).unwrap();
        }
        assert_eq!(format!("{:?}", Token::try_new("hvs.hunter2")), "Some(Token(…))");
    }
}
