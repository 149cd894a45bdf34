//! Reading the audit of a running furt, wherever it is stored, and waiting for what is added.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;

use super::record::RecordedEntry;
use furt_core::ports::StoreError;

/// Entries one after the other.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Page {
    /// In the order in which they were stored.
    pub entries: Vec<RecordedEntry>,
    /// The position to read on after.
    pub next: u64,
}

impl Page {
    /// Entries after a position.
    pub fn of(entries: Vec<RecordedEntry>, after: u64) -> Self {
        let next = entries.last().map_or(after, |entry| entry.position);
        Self { entries, next }
    }
}

type Reading = Pin<Box<dyn Future<Output = Result<Page, StoreError>> + Send>>;
type Read = dyn Fn(Option<u64>, usize) -> Reading + Send + Sync;

/// A way to read the audit; cheap to clone.
#[derive(Clone)]
pub struct AuditTrail {
    read: Arc<Read>,
    news: News,
}

impl AuditTrail {
    /// `read` gives at most so many entries, those next after a position or, without one, the last ones; `news` are told when there
    /// are more.
    pub fn new<F>(news: News, read: impl Fn(Option<u64>, usize) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = Result<Page, StoreError>> + Send + 'static,
    {
        Self { read: Arc::new(move |after, limit| Box::pin(read(after, limit))), news }
    }

    /// At most `limit` entries, those next after a position; `None`: the last ones.
    ///
    /// # Errors
    /// The store cannot be read now.
    pub async fn read(&self, after: Option<u64>, limit: usize) -> Result<Page, StoreError> {
        (self.read)(after, limit).await
    }

    /// Changes when entries were added.
    pub fn news(&self) -> watch::Receiver<u64> {
        self.news.0.subscribe()
    }
}

/// Wakes who waits for entries.
#[derive(Debug, Clone, Default)]
pub struct News(Arc<watch::Sender<u64>>);

impl News {
    /// There are more entries.
    pub fn tell(&self) {
        self.0.send_modify(|count| *count += 1);
    }
}
