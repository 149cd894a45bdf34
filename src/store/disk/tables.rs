//! The tables of the file and their keys.

use redb::TableDefinition;

/// The format that this furt reads and writes. A change of any record that an older furt could misread makes it grow.
/// 2 has keys; a file of format 1 becomes one of format 2 when it is opened.
pub(super) const FORMAT: u64 = 2;
/// The format without keys.
pub(super) const FORMAT_WITHOUT_KEYS: u64 = 1;

/// `format`, `epoch`, `starts`, as text.
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// JSON by the service's name.
pub(super) const DEFINITIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("definitions");
/// JSON by the instance's id.
pub(super) const INSTANCES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("instances");
/// Ids of instances that are DOWN.
pub(super) const DOWN: TableDefinition<'_, &str, ()> = TableDefinition::new("down");
/// JSON by the key's name.
pub(super) const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
