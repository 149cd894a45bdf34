//! The audit: what operators did, each entry with the SHA-256 of the one before it of the same gateway.
//!
//! An entry is stored with the change that it tells of, all or nothing, and never changed. The newest [`MAX_ENTRIES`] are kept. Who
//! changes or removes one in between breaks the chain after it; who can write all of them can write another chain, so the hash of
//! the newest entry is of use where it is kept elsewhere as well.

mod record;
mod trail;

pub use record::{Head, Record, RecordedEntry};
pub use trail::{AuditTrail, News, Page};

/// Entries that are kept: of a registry with ten changes a day those of 27 years, some 60 MB of usual ones. The largest have some 20 KB.
pub const MAX_ENTRIES: u64 = 100_000;
