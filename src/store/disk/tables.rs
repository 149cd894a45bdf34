//! The tables of the file and their keys.

use redb::TableDefinition;

/// The format that this furt writes. A change of any record that an older furt could misread makes it grow. 2 has
/// `draining`, `ttls` and `keys`. 3 has `drains` and `holds` instead of `draining`, and incarnations. 4 has `maintenance`.
/// 5 has `auth` in what restricts. 6 has `splits`, and versions of instances. 7 has operators' names and `audit`. 8 has `grants`.
pub(super) const FORMAT: u64 = 8;
/// The last one without `grants`.
pub(super) const WITHOUT_GRANTS: u64 = 7;
/// The last one without `splits`.
pub(super) const WITHOUT_SPLITS: u64 = 5;
/// The last one without `maintenance`.
pub(super) const WITHOUT_MAINTENANCE: u64 = 3;
/// The last one with `draining`.
pub(super) const WITH_DRAINING: u64 = 2;
/// The oldest one that it reads, without any of these. Opening such a file makes it one of [`FORMAT`].
pub(super) const OLDEST_FORMAT: u64 = 1;

/// `format`, `epoch`, `starts`, as text, and [`AFFINITY_SECRET`].
pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
/// 64 hexadecimal digits in [`META`]. A file of an earlier furt has none, and that furt takes no notice of it.
pub(super) const AFFINITY_SECRET: &str = "affinity_secret";
/// JSON by the service's name.
pub(super) const DEFINITIONS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("definitions");
/// JSON by the instance's id.
pub(super) const INSTANCES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("instances");
/// Instances of which something is noted.
pub(super) type IdTable = TableDefinition<'static, &'static str, ()>;
/// Ids of instances that are DOWN.
pub(super) const DOWN: IdTable = TableDefinition::new("down");
/// Ids of instances that are UP by their probes. A file that was never written with it has none, and an older furt leaves
/// it as it is: what it says of an instance that is gone says nothing.
pub(super) const UP: IdTable = TableDefinition::new("up");
/// TTLs of instances that named none and heartbeat, or came by `/api/v1`, in ms.
pub(super) const TTLS: TableDefinition<'_, &str, u64> = TableDefinition::new("ttls");
/// JSON by the id of the instance that is draining.
pub(super) const DRAINS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("drains");
/// JSON by `service/id` of the id that is held.
pub(super) const HOLDS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("holds");
/// Ids of instances that are draining, in a file of format 2.
pub(super) const DRAINING: IdTable = TableDefinition::new("draining");
/// JSON by the name of the service that is in maintenance; `*` for all of them.
pub(super) const MAINTENANCE: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("maintenance");
/// JSON by the name of the service that has the split.
pub(super) const SPLITS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("splits");
/// JSON by the name of the service that has the grant.
pub(super) const GRANTS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("grants");
/// JSON by the place of the entry, from 1.
pub(super) const AUDIT: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("audit");
/// By the name of a gateway its last entry of the audit: JSON.
pub(super) const AUDIT_HEADS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("audit_heads");
/// JSON by the key's name.
pub(super) const KEYS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("keys");
