//! Reading the audit of all gateways that share the store.

use std::sync::Arc;

use super::connection::Fault;
use super::settings::Settings;
use crate::audit::{AuditTrail, Page, RecordedEntry};
use furt_core::ports::StoreError;

pub(super) fn trail(settings: Arc<Settings>) -> AuditTrail {
    let news = settings.audit_news.clone();
    AuditTrail::new(news, move |after, limit| read(Arc::clone(&settings), after, limit))
}

/// At most `limit` entries, those next after a revision; `None`: the last ones. What was stored at one revision is not parted.
async fn read(settings: Arc<Settings>, after: Option<u64>, limit: usize) -> Result<Page, StoreError> {
    let unavailable = |why: String| StoreError::Unavailable(format!("the audit in etcd cannot be read: {why}"));
    let connection = settings.connection.load_full();
    let connection = connection.ok_or_else(|| unavailable("etcd is away".to_owned()))?;
    let read = connection.by_revision(&settings.layout.audit(), after, limit).await;
    let mut puts = read.map_err(|Fault { text, .. }| unavailable(text))?;
    let (first, last) = (puts.first().map(|put| put.modified), puts.last().map(|put| put.modified));
    if puts.len() == limit && after.is_some() {
        // There may be more of the last revision.
        puts.retain(|put| first == last || Some(put.modified) != last);
    }
    if let Some(one) = first.filter(|_| first == last && puts.len() == limit) {
        // Few: they were one write.
        let all = connection.of_revision(&settings.layout.audit(), one).await;
        puts = all.map_err(|Fault { text, .. }| unavailable(text))?;
    }
    let mut entries: Vec<_> = puts.iter().map(|put| RecordedEntry::of(put.modified, &put.value)).collect();
    let number = |entry: &RecordedEntry| entry.record.as_ref().map_or(0, |record| record.number);
    entries.sort_by_key(|entry| (entry.position, number(entry)));
    Ok(Page::of(entries, after.unwrap_or(0)))
}
