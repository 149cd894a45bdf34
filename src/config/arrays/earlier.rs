//! What earlier entries of an array claim, to find a later entry that claims the same.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

use crate::config::location::{Lines, RawLocation};

/// The locations of earlier entries by their keys.
pub(super) struct EarlierEntries<'l, K> {
    lines: &'l Lines<'l>,
    entries: HashMap<K, RawLocation>,
}

impl<'l, K: Hash + Eq> EarlierEntries<'l, K> {
    /// No entries yet.
    pub(super) fn new(lines: &'l Lines<'l>) -> Self {
        Self { lines, entries: HashMap::new() }
    }

    /// The line of the first entry with the same key. Where there is none, this one is kept for later entries.
    pub(super) fn duplicate(&mut self, key: K, at: RawLocation) -> Option<usize> {
        match self.entries.entry(key) {
            Entry::Occupied(earlier) => Some(match earlier.get() {
                RawLocation::Offset(offset) => self.lines.position(*offset).0,
                RawLocation::Variable(_) | RawLocation::Layer(..) => 0,
            }),
            Entry::Vacant(free) => {
                free.insert(at);
                None
            }
        }
    }
}
