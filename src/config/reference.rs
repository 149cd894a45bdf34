//! The reference: every table and key there is, in the file's order.
//!
//! A test writes `conf/furt.toml` and the tables of `docs/configuration.md` from it.

use super::key::{EntryVisitor, Key, TableVisitor};
use super::types::Config;
use super::value::{Parsed, Value};
use super::{arrays, key, tables};

/// A table of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// The name, without brackets.
    pub name: &'static str,
    /// How often the table may stand in a file.
    pub kind: TableKind,
    /// What it is about, in Markdown.
    pub text: &'static str,
    /// Its keys, in the file's order.
    pub keys: Vec<Key>,
}

/// How often a table may stand in a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TableKind {
    /// Once: `[server]`. The environment can set its keys too.
    Single,
    /// Any number of times: `[[routes]]`. The environment cannot set its keys.
    Array,
}

/// Every table with its keys, in the file's order.
pub fn reference() -> Vec<Table> {
    let mut listing = Listing(Vec::new());
    tables::visit(&mut listing);
    arrays::visit(&mut listing);
    listing.0
}

struct Listing(Vec<Table>);

impl Listing {
    fn open(&mut self, name: &'static str, kind: TableKind, text: &'static str) {
        self.0.push(Table { name, kind, text, keys: Vec::new() });
    }

    fn add(&mut self, key: Key) {
        if let Some(table) = self.0.last_mut() {
            table.keys.push(key);
        }
    }
}

impl TableVisitor for Listing {
    fn table(&mut self, name: &'static str, text: &'static str) {
        self.open(name, TableKind::Single, text);
    }

    fn optional<T: Clone + PartialEq>(
        &mut self,
        key: Key,
        _: impl Fn(&Value<'_>) -> Parsed<T>,
        _: impl Fn(&Config) -> Option<&T>,
    ) -> Option<T> {
        self.add(key);
        None
    }
}

impl EntryVisitor for Listing {
    fn array(&mut self, name: &'static str, text: &'static str) {
        self.open(name, TableKind::Array, text);
    }

    fn optional<T>(&mut self, key: Key, _: impl Fn(&Value<'_>) -> Parsed<T>) -> Option<T> {
        self.add(key);
        None
    }

    fn table<T>(&mut self, _: &'static str, read: impl FnOnce(&mut Self) -> T) -> key::Nested<T> {
        key::Nested::Is(read(self))
    }

    fn target<T>(&mut self, _: &'static str, read: impl FnOnce(&mut Self) -> T) -> Option<T> {
        Some(read(self))
    }
}
