//! What earlier entries of an array claim, to find a later entry that conflicts with one.

use std::collections::HashMap;
use std::hash::Hash;

use crate::config::location::{Lines, RawLocation};

/// The claims of earlier entries and their locations, by key. Claims on the same key may stand side by side.
pub(super) struct EarlierEntries<'l, K, C = ()> {
    lines: &'l Lines<'l>,
    claims: HashMap<K, Vec<(C, RawLocation)>>,
}

impl<'l, K: Hash + Eq, C> EarlierEntries<'l, K, C> {
    /// No entries yet.
    pub(super) fn new(lines: &'l Lines<'l>) -> Self {
        Self { lines, claims: HashMap::new() }
    }

    /// The line of an earlier claim on `key` that conflicts with this one. This one is kept for later entries.
    pub(super) fn conflict(
        &mut self,
        key: K,
        claim: C,
        at: RawLocation,
        conflicts: impl Fn(&C, &C) -> bool,
    ) -> Option<usize> {
        let earlier = self.claims.entry(key).or_default();
        let found = earlier.iter().find(|(other, _)| conflicts(&claim, other)).map(|(_, at)| match at {
            RawLocation::Offset(offset) => self.lines.position(*offset).0,
            RawLocation::Variable(_) => 0,
        });
        earlier.push((claim, at));
        found
    }
}

impl<K: Hash + Eq> EarlierEntries<'_, K> {
    /// The line of an earlier entry with the same key.
    pub(super) fn duplicate(&mut self, key: K, at: RawLocation) -> Option<usize> {
        self.conflict(key, (), at, |(), ()| true)
    }
}
