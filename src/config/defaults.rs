//! The configuration of an empty file: every key at the default value of its row.

use super::key::{Key, TableVisitor};
use super::tables;
use super::types::Config;
use super::value::{Parsed, Value};

struct Defaults;

impl TableVisitor for Defaults {
    fn optional<T: Clone + PartialEq>(
        &mut self,
        _: Key,
        _: impl Fn(&Value<'_>) -> Parsed<T>,
        _: impl Fn(&Config) -> Option<&T>,
    ) -> Option<T> {
        None
    }
}

impl Default for Config {
    fn default() -> Self {
        tables::visit(&mut Defaults)
    }
}
