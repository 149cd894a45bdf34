//! What is wrong with a configuration: every error at once, each with its location, its key and what would be right.
//!
//! Locations are kept as byte offsets while the file is read and become lines and columns here, once, at the end. Nothing
//! here prints; `cli` and `app` show [`ConfigErrors`] as it displays itself, one line an error.

use std::fmt;

/// Where an error lies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum SourceLocation {
    /// The file as a whole: it could not be read.
    File {
        /// The file's name, as it was given.
        file: String,
    },
    /// A line of the file.
    Position {
        /// The file's name, as it was given.
        file: String,
        /// From 1.
        line: usize,
        /// From 1, in characters.
        column: usize,
    },
    /// An environment variable.
    Variable {
        /// Its name.
        name: String,
    },
}

impl fmt::Display for SourceLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file } => f.write_str(file),
            Self::Position { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::Variable { name } => f.write_str(name),
        }
    }
}

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

    /// A file whose bytes are no text; the location is that of the first byte that is none.
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

    /// `faults` against the lines they were found in; `None` where there are none.
    pub(super) fn collect(file: &str, lines: &Lines<'_>, faults: Vec<(RawLocation, Fault)>) -> Option<Self> {
        let mut errors: Vec<_> = faults
            .into_iter()
            .map(|(at, Fault { key, message })| ConfigError { location: lines.location(file, at), key, message })
            .collect();
        errors.sort();
        errors.dedup();
        Self::try_new(errors)
    }

    /// These; `None` where there are none.
    pub fn try_new(errors: Vec<ConfigError>) -> Option<Self> {
        (!errors.is_empty()).then_some(Self(errors))
    }

    /// How many there are.
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

/// A text as it may stand in an error: in one line, and short whatever was given.
pub(super) fn printable(text: &str) -> String {
    const MAX_CHARS: usize = 80;
    let mut short: String = text.chars().take(MAX_CHARS).collect();
    if short.len() < text.len() {
        short.push('…');
    }
    short.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

/// Where something was given, before lines are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RawLocation {
    /// Bytes from the file's start.
    Offset(usize),
    /// The variable of this name.
    Variable(String),
}

/// What is wrong, without its location.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    /// The key's full name.
    pub key: String,
    /// Wrong; right.
    pub message: String,
}

/// The lines of a text.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
    /// The characters before each [`Self::STEP`] bytes.
    chars: Vec<usize>,
}

impl<'a> Lines<'a> {
    /// Bytes that are counted for a column at most: a file may be one long line, full of errors.
    const STEP: usize = 256;

    /// Counts them once, so that many errors in a large file stay cheap.
    pub(super) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        let mut chars = vec![0];
        for bytes in text.as_bytes().chunks(Self::STEP) {
            chars.push(chars.last().copied().unwrap_or_default() + count(bytes));
        }
        Self { text, starts, chars }
    }

    /// What `at` means to a person.
    pub(super) fn location(&self, file: &str, at: RawLocation) -> SourceLocation {
        match at {
            RawLocation::Offset(offset) => {
                let (line, column) = self.position(offset);
                SourceLocation::Position { file: printable(file), line, column }
            }
            RawLocation::Variable(name) => SourceLocation::Variable { name },
        }
    }

    /// Line and column of a byte, both from 1; past the end counts as the end.
    pub(super) fn position(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|&start| start <= offset).max(1);
        let start = self.starts.get(line - 1).copied().unwrap_or_default();
        (line, 1 + self.chars_before(offset) - self.chars_before(start))
    }

    fn chars_before(&self, offset: usize) -> usize {
        let offset = offset.min(self.text.len());
        let step = offset / Self::STEP;
        let rest = self.text.as_bytes().get(step * Self::STEP..offset).unwrap_or_default();
        self.chars.get(step).copied().unwrap_or_default() + count(rest)
    }
}

/// The characters that begin in a piece of UTF-8.
fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0xc0 != 0x80).count()
}
