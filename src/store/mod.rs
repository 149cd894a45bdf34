//! Where what is durable lives. Each kind implements [`Store`](crate::driver::Store) and passes one conformance suite.
//!
//! `disk` is one file of one process; `memory` is gone with the process. A store is called from its own thread alone, and may block there.

mod disk;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
mod memory;

#[cfg(test)]
mod conformance;

pub use disk::{DiskStore, Summary, check, export, import};
pub use memory::MemoryStore;
