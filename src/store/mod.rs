//! Where what is durable lives. Each kind implements the core's [`Store`](furt_core::ports::Store) and passes one conformance suite.
//!
//! `disk` is one file of one process; the core's memory store is gone with the process. Such a store is called from its own
//! thread alone, and may block there. `etcd` is shared by gateways, and is a [`Backend`](crate::driver::Backend) itself.

mod disk;
mod etcd;
mod recording;
mod records;
mod stored;

#[cfg(test)]
pub(crate) mod conformance;

pub use disk::{Custody, DiskStore, LendableStore, RunningStore, Summary, check, examine, export, import};
pub use etcd::{Access, EtcdStore, Leaving, Opened, Options, Stored, open, taken_over};
pub use recording::RecordingStore;
pub use records::{RecordError, RecordFault, RecordKind};
pub use stored::{longest_read, stored};
