//! What a request sees: the table of routes, the services and instances behind them, the keys; all one snapshot.
//!
//! Everything here is immutable once published, apart from the counters behind an `Arc` that outlive a snapshot
//! ([`InstanceLive`], [`ServiceLive`]). No clock, lock, await or log. `registry` builds snapshots, `proxy` and `api` read them.
//!
//! Reading order: [`Route`], [`Table`], [`Service`] and [`Instance`], [`Snapshot`].

mod instance;
mod key;
mod route;
mod select;
mod snapshot;
mod table;

pub use instance::{Instance, InstanceLive, Service, ServiceKind, ServiceLive};
pub use key::{ApiKey, KeyTable};
pub use route::{Owner, Route, Slot};
pub use select::{Lease, NoInstance};
pub use snapshot::Snapshot;
pub use table::{Found, Table};
