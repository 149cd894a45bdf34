//! Reading the single tables of a file: the visitor that finds each key's value, and reports values that contradict
//! each other.

use std::collections::BTreeMap;

use super::key::{Key, TableVisitor};
use super::section::Section;
use super::types::Config;
use super::value::{Parsed, Value};

/// The single tables of a file, as far as their keys are read.
pub(super) struct FileTables<'t, 'a> {
    top: &'t mut Section<'a>,
    sections: BTreeMap<&'static str, Section<'a>>,
}

impl<'t, 'a> FileTables<'t, 'a> {
    /// The tables below `top`; none is read yet.
    pub(super) fn new(top: &'t mut Section<'a>) -> Self {
        Self { top, sections: BTreeMap::new() }
    }

    /// Whether somebody set the key of this full name, to a valid value or not.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.find(name).is_some_and(|(section, key)| section.is_set(key))
    }

    /// Whether the key is set to an invalid value. Its default value is used instead then.
    pub(super) fn is_invalid(&self, name: &str) -> bool {
        self.find(name).is_some_and(|(section, key)| section.is_invalid(key))
    }

    /// Reports a value that is valid by itself.
    pub(super) fn refuse(&self, name: &str, message: impl Into<String>) {
        if let Some((section, key)) = self.find(name) {
            section.refuse(key, message);
        }
    }

    /// Reports values that contradict each other, at the first of the keys that is set. Reports nothing where one of them
    /// is invalid, because its default value would be compared then.
    pub(super) fn refuse_together(&self, names: &[&str], message: impl Into<String>) {
        if names.iter().any(|name| self.is_invalid(name)) {
            return;
        }
        if let Some(name) = names.iter().find(|name| self.is_set(name)) {
            self.refuse(name, message);
        }
    }

    /// Reports every key that was not read.
    pub(super) fn finish(self) {
        self.sections.values().for_each(Section::finish);
    }

    fn find<'n>(&self, name: &'n str) -> Option<(&Section<'a>, &'n str)> {
        let (table, key) = name.split_once('.')?;
        Some((self.sections.get(table)?, key))
    }
}

impl TableVisitor for FileTables<'_, '_> {
    fn optional<T: Clone + PartialEq>(
        &mut self,
        key: Key,
        parse: impl Fn(&Value<'_>) -> Parsed<T>,
        _: impl Fn(&Config) -> Option<&T>,
    ) -> Option<T> {
        let section = self.sections.entry(key.table()).or_insert_with(|| self.top.section(key.table()));
        section.read(key, parse)
    }
}
