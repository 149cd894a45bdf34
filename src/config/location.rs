//! Where a value or an error is: a line of the file, or an environment variable.
//!
//! Locations are byte offsets while the file is read, and become lines and columns once, at the end.

use std::collections::BTreeMap;
use std::fmt;

use super::printable::printable;

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

/// The locations of values: of every key of the single tables that somebody set, by its full name, and of urls, paths
/// and files of static routes, as `routes[0].url`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyLocations(pub(super) BTreeMap<String, SourceLocation>);

impl KeyLocations {
    /// Where the key was set; `None`: nowhere, it has its default value.
    pub fn get(&self, key: &str) -> Option<&SourceLocation> {
        self.0.get(key)
    }
}

/// Where something was given, before lines are counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum RawLocation {
    /// Bytes from the file's start.
    Offset(usize),
    /// The variable of this name.
    Variable(String),
    /// Bytes from the start of the layer of this number.
    Layer(usize, usize),
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

    /// The same location, with line and column.
    pub(super) fn location(&self, file: &str, at: RawLocation) -> SourceLocation {
        match at {
            RawLocation::Offset(offset) => {
                let (line, column) = self.position(offset);
                SourceLocation::Position { file: printable(file), line, column }
            }
            RawLocation::Variable(name) => SourceLocation::Variable { name },
            // Its own lines are asked where there are layers.
            RawLocation::Layer(..) => SourceLocation::File { file: printable(file) },
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
