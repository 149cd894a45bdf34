//! Entries for the audit, and those on their way to the store that belong to no other change.

use std::sync::Arc;

use super::caller::Asker;
use super::change::Change;
use crate::model::{Actor, AuditAction, AuditEntry};

/// An entry on its way to the store that belongs to no other change.
pub(super) struct WaitingEntry {
    pub(super) entry: Arc<AuditEntry>,
    pub(super) asker: Asker,
}

/// `at_ms`: when it was asked for.
pub(super) fn audit(action: AuditAction, by: &Actor, at_ms: i64) -> Change {
    Change::Audit(Arc::new(AuditEntry { at_ms, by: by.clone(), action }))
}
