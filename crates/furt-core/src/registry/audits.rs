//! Entries for the audit, and those on their way to the store that belong to no other change.

use std::sync::Arc;

use super::caller::Asker;
use super::change::Change;
use super::now::Now;
use crate::model::{Actor, AuditAction, AuditEntry};

/// An entry on its way to the store that belongs to no other change.
pub(super) struct WaitingEntry {
    pub(super) entry: Arc<AuditEntry>,
    pub(super) asker: Asker,
}

pub(super) fn audit(action: AuditAction, by: &Actor, now: Now) -> Change {
    Change::Audit(Arc::new(AuditEntry { at_ms: now.unix_ms, by: by.clone(), action }))
}
