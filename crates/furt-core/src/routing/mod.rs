//! What a request sees: the table of routes, the services and instances behind them, the keys; all one snapshot.
//!
//! Everything here is immutable once published, apart from the counters behind an `Arc` that outlive a snapshot
//! ([`InstanceLive`], [`ServiceLive`]). The table is persistent: the registry changes a clone and publishes it, requests
//! read the old one meanwhile, and the two share all that the change did not touch. No clock, lock, await or log.
//! `registry` builds snapshots, `proxy` and `api` read them.
//!
//! Reading order: `route` (what is found), `table` (the searches), `node` (the trie they walk), `children` and `leaf`
//! (what a node consists of); `rules` (what else holds for a route); `instance` (with `keep_alive`), `service`, `draining`, `candidate`, `select` (with `instance_set`, `ring`), `split` (whose callers are told apart by `caller_id`), `outcome` (with `ejection`), `key`, `maintenance`;
//! `snapshot`; `unguarded` looks at routes before they are in force.

mod budget;
mod caller_id;
mod candidate;
mod children;
mod draining;
mod ejection;
mod instance;
mod instance_set;
mod keep_alive;
mod key;
mod leaf;
mod maintenance;
#[cfg(test)]
pub mod naive;
mod node;
mod outcome;
mod part;
mod ring;
mod route;
mod rules;
mod select;
mod service;
mod snapshot;
mod split;
mod table;
#[cfg(test)]
mod tests;
mod unguarded;

pub use budget::RetryBudget;
pub use caller_id::CallerId;
pub use candidate::{Exclusion, NoInstance};
pub use draining::Drained;
pub use instance::{Contest, Instance, InstanceLive, PoolGroup};
pub use instance_set::InstanceSet;
pub use keep_alive::KeepAlive;
pub use key::{ApiKey, KeyLive, KeyTable, ListedKey};
pub use maintenance::{InMaintenance, MaintenanceTable};
pub use outcome::Outcome;
pub use part::{Part, PartLive};
pub use ring::hash;
pub use route::{Owner, Route, RouteCounter, ServiceIndex};
pub(crate) use rules::Rules;
pub use rules::{CorsPolicy, LimitLive, Merged, Restricted, Restriction, RouteRules, SaidBy};
pub use select::{Lease, SelectionInput};
pub use service::{Service, ServiceKind, ServiceLive, ServiceSplit};
pub use snapshot::{HeldId, SharedUrl, SharedUrls, Snapshot};
pub use table::{Found, Methods, Table};
pub use unguarded::{Unguarded, unguarded};
