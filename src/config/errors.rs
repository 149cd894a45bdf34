//! What is wrong with a configuration: every error at once, each with its location, its key and what would be right.
//!
//! Nothing here prints. `cli` and `app` show [`ConfigErrors`] as it displays itself, one line an error.

use std::fmt;

use super::location::{Lines, RawLocation, SourceLocation};
use super::printable::printable;

/// One thing that is wrong; displayed as `location: key: what is wrong; what would be right`, in one line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[error("{location}: {key}: {message}")]
pub struct ConfigError {
    /// Where: at the value, at the key where it is unknown, at the table where a key is missing.
    pub location: SourceLocation,
    /// Which key, such as `server.grace`; `file` where it cannot be read, `TOML` where it is no TOML.
    pub key: String,
    /// What is wrong, and after a semicolon what would be right. Never holds a secret.
    pub message: String,
}

/// Every error of a configuration, at least one: those of the file in its order, then those of the environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors(Vec<ConfigError>);

impl ConfigErrors {
    /// The errors, in order.
    pub fn iter(&self) -> impl Iterator<Item = &ConfigError> {
        self.0.iter()
    }

    /// A file that could not be read at all.
    pub fn unreadable(file: &str, why: &dyn fmt::Display) -> Self {
        Self(vec![ConfigError {
            location: SourceLocation::File { file: printable(file) },
            key: "file".to_owned(),
            message: format!("cannot be read ({why}); must be a readable TOML file"),
        }])
    }

    /// A file that is not UTF-8. The location is that of the first byte that is wrong.
    pub(super) fn not_utf8(file: &str, error: &std::string::FromUtf8Error) -> Self {
        let end = error.utf8_error().valid_up_to();
        let text = String::from_utf8_lossy(error.as_bytes().get(..end).unwrap_or_default());
        let (line, column) = Lines::new(&text).position(end);
        Self(vec![ConfigError {
            location: SourceLocation::Position { file: printable(file), line, column },
            key: "TOML".to_owned(),
            message: "is not UTF-8; must be text in UTF-8".to_owned(),
        }])
    }

    /// Faults with the lines they are in, sorted, each once; `None` where there are none.
    pub(super) fn collect(
        faults: Vec<(RawLocation, Fault)>,
        place: impl Fn(RawLocation) -> SourceLocation,
    ) -> Option<Self> {
        let mut errors: Vec<_> = faults
            .into_iter()
            .map(|(at, Fault { key, message })| ConfigError { location: place(at), key, message })
            .collect();
        errors.sort();
        errors.dedup();
        Self::try_new(errors)
    }

    /// All of these errors; `None` where there are none.
    pub fn try_new(errors: Vec<ConfigError>) -> Option<Self> {
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// The number of errors.
    pub fn count(&self) -> usize {
        self.0.len()
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, error) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{error}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// What is wrong, before its location is a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The key's full name.
    pub key: String,
    /// What is wrong, and after a semicolon what would be right.
    pub message: String,
}
