//! Settings from elsewhere: texts of the cluster that lie over the file, and below the environment. `permitted` says which of their
//! keys are taken.

use toml::de::{DeTable, DeValue};

use super::key::Key;

/// A text of settings, as TOML with tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer {
    /// What errors call it, in place of a file's name.
    pub name: String,
    /// The text.
    pub text: String,
    /// What becomes of keys that the local file does not allow.
    pub disallowed: Disallowed,
}

/// What becomes of keys that the local file does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Disallowed {
    /// They are errors: the settings are new, and may be refused.
    Refused,
    /// They are passed over: the settings were in force before, and the file is newer.
    PassedOver,
}

/// A layer as it was parsed, and the keys of it that are taken.
pub(super) struct ParsedLayer<'a> {
    pub(super) table: &'a DeTable<'a>,
    pub(super) taken: Vec<&'static str>,
    pub(super) passed_over: Vec<&'static str>,
}

impl<'a> ParsedLayer<'a> {
    /// The value of a key and its place, where it is set and taken.
    pub(super) fn get(&self, key: &Key) -> Option<(usize, &'a DeValue<'a>)> {
        if !self.taken.contains(&key.name) {
            return None;
        }
        let DeValue::Table(table) = self.table.get(key.table())?.get_ref() else { return None };
        let value = table.get(key.key())?;
        Some((value.span().start, value.get_ref()))
    }
}
