//! Where what is durable lives. Each kind implements the core's [`Store`](furt_core::ports::Store) and passes one conformance suite.
//!
//! `disk` is one file of one process; the core's memory store is gone with the process. A store is called from its own thread alone, and may block there.

mod disk;
mod stored;

#[cfg(test)]
mod conformance;

pub use disk::{
    DiskStore, RecordError, RecordFault, RecordKind, RunningStore, Summary, check, examine, export, import,
};
pub use stored::{longest_read, stored};
