//! The audit in the file: one chain, by its number.

use redb::{
    AccessGuard, ReadTransaction, ReadableTable as _, ReadableTableMetadata as _, StorageError, WriteTransaction,
};

use super::present;
use super::tables::AUDIT;
use crate::audit::{Head, MAX_ENTRIES, RecordedEntry};
use furt_core::model::AuditEntry;

/// Adds an entry, and drops the oldest one where there are too many.
pub(super) fn append(transaction: &WriteTransaction, gateway: &str, entry: &AuditEntry) -> Result<(), redb::Error> {
    let mut table = transaction.open_table(AUDIT)?;
    let last = table.last()?.map(|(number, stored)| (number.value(), Head::of(stored.value())));
    let (number, mut head) = last.unwrap_or_default();
    table.insert(number + 1, head.append(gateway, entry).as_slice())?;
    if table.len()? > MAX_ENTRIES {
        table.pop_first()?;
    }
    Ok(())
}

/// At most `limit` entries, those next after a number; `None`: the last ones. A file that an earlier furt made may have none.
pub(super) fn read(
    commit: &ReadTransaction,
    after: Option<u64>,
    limit: usize,
) -> Result<Vec<RecordedEntry>, redb::Error> {
    let Some(table) = present(commit.open_table(AUDIT))? else { return Ok(Vec::new()) };
    let entry = |entry: Result<(AccessGuard<'_, u64>, AccessGuard<'_, &[u8]>), StorageError>| {
        entry.map(|(number, stored)| RecordedEntry::of(number.value(), stored.value()))
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
