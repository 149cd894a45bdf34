//! The audit in the file: a chain of each name that its gateway had, by their places.

use redb::{
    AccessGuard, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, StorageError, WriteTransaction,
};

use super::present;
use super::tables::{AUDIT, AUDIT_HEADS};
use crate::audit::{Head, MAX_ENTRIES, RecordedEntry};
use furt_core::model::AuditEntry;

/// Adds an entry, and drops the oldest one where there are too many.
pub(super) fn append(transaction: &WriteTransaction, gateway: &str, entry: &AuditEntry) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(AUDIT)?;
    let mut heads = transaction.open_table(AUDIT_HEADS)?;
    let place = table.last()?.map_or(0, |(place, _)| place.value());
    let mut head = heads.get(gateway)?.and_then(|head| Head::parse(head.value())).unwrap_or_default();
    table.insert(place + 1, head.append(gateway, entry).as_slice())?;
    heads.insert(gateway, head.to_json().as_slice())?;
    if table.len()? > MAX_ENTRIES {
        table.pop_first()?;
    }
    Ok(())
}

/// At most `limit` entries, those next after a place; `None`: the last ones. A file that an earlier furt made may have none.
pub(super) fn read(
    commit: &ReadTransaction,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<RecordedEntry>, redb::Error> {
    let Some(table) = present(commit.open_table(AUDIT))? else { return Ok(Vec::new()) };
    let entry = |entry: Result<(AccessGuard<'_, u64>, AccessGuard<'_, &[u8]>), StorageError>| {
        entry.map(|(place, stored)| RecordedEntry::of(place.value(), stored.value()))
    };
    let entries: Result<Vec<_>, _> = match after {
        Some(after) => table.range(after.saturating_add(1)..)?.take(limit).map(entry).collect(),
        None => table.iter()?.rev().take(limit).map(entry).collect(),
    };
    let mut entries = entries?;
    if after.is_none() {
        entries.reverse();
    }
    Ok(entries)
}
