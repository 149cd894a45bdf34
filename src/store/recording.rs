//! The store that is gone with the process, and with it what operators did.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use crate::audit::{AuditTrail, Head, MAX_ENTRIES, News, Page, RecordedEntry};
use furt_core::MemoryStore;
use furt_core::ports::{Store, StoreError};
use furt_core::registry::{Change, Contents};

type Entries = Arc<Mutex<VecDeque<RecordedEntry>>>;

/// The store in memory, with the audit beside it.
pub struct RecordingStore {
    store: MemoryStore,
    gateway: String,
    head: Head,
    entries: Entries,
    news: News,
}

impl RecordingStore {
    /// An empty one, of the gateway of this name.
    pub fn new(gateway: &str) -> Self {
        let store = MemoryStore::default();
        Self {
            store,
            gateway: gateway.to_owned(),
            head: Head::default(),
            entries: Entries::default(),
            news: News::default(),
        }
    }

    /// A way to read its audit.
    pub fn audit(&self) -> AuditTrail {
        let entries = Arc::clone(&self.entries);
        AuditTrail::new(self.news.clone(), move |after, limit| std::future::ready(Ok(read(&entries, after, limit))))
    }
}

fn read(entries: &Entries, after: Option<u64>, limit: usize) -> Page {
    let entries = entries.lock().unwrap_or_else(PoisonError::into_inner);
    let from = match after {
        Some(after) => entries.partition_point(|entry| entry.position <= after),
        None => entries.len().saturating_sub(limit),
    };
    Page::of(entries.iter().skip(from).take(limit).cloned().collect(), after.unwrap_or(0))
}

impl Store for RecordingStore {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.store.apply(changes)?;
        let mut entries = self.entries.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.head.number();
        for change in changes {
            if let Change::Audit(entry) = change {
                let json = self.head.append(&self.gateway, entry);
                entries.push_back(RecordedEntry::of(self.head.number(), &json));
            }
        }
        while entries.len() as u64 > MAX_ENTRIES {
            entries.pop_front();
        }
        drop(entries);
        if self.head.number() > before {
            self.news.tell();
        }
        Ok(())
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        self.store.load()
    }
}
