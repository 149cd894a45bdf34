//! What is registered, who may register what, who is up, what the table of routes holds.
//!
//! [`Registry::handle`] takes an event and the time and gives effects; [`Registry::next_deadline`] says when to come
//! again; [`Registry::take_snapshot`] gives what requests are to see once it changed. No IO, clock, lock, await or log.
//!
//! What is durable takes two events: a command is checked against what is installed *and* pending and gives
//! [`Effect::Write`]; [`Event::WriteDone`] installs it and answers, [`Event::WriteFailed`] drops it. A removal leaves
//! the snapshot at once and is answered after its write. Writes are stored in the order they are given.
//!
//! Where gateways share a store, it is a log that each of them reads in its order. [`Event::StoreChanged`] tells what others
//! did. A [`Write`] names the revision that it was judged by and what it relies on; where that holds no longer,
//! [`Event::WriteOutdated`] comes, and its command is judged again. [`Sharing`] says which of the two a registry is.
//!
//! The registry is made of parts that own their state, each in a file or folder of its own and with private fields:
//! `directory` (services and instances), `claims` (routes), `outbox` (writes in flight, and commands parked behind them),
//! `leases` (TTLs and deadlines), `lapses`, `probes`, `names` (watched names), `eligibility`, `keys` and `maintenances` (each with its own outbox
//! and deadlines), `splits` and `runtime_grants` (each with its own outbox), `static_routes`, `publisher` (the snapshot in the making). A part never asks the registry. `shared` is the one
//! place that writes to counters that requests share.
//!
//! [`Registry`] has the order in which the parts are asked: `dispatch`, and for each way through it a file: `registering`
//! (with `registration_plan`) and `installing`, `removal`, `draining`, `maintaining`, `splitting`, `granting`, `applying` (with `applies`, `desired` and `differences`), `leasing`, `probing`, `outage`, `resolving`, `evaluating`, `auditing`,
//! `reconfigure`, `restore`; over a shared store `following`, `lapsing`, `rejudging`, and `premises` for what writes rely on.
//!
//! Reading order: `event`, `effects`, `dispatch`, `registering`, `installing`, `removal`, then the parts; `invariants`;
//! `write`, `following`.

mod answer;
mod applies;
mod applying;
mod auditing;
mod audits;
mod caller;
mod change;
mod claims;
mod command;
mod desired;
mod differences;
mod directory;
mod dispatch;
mod draining;
mod effects;
mod eligibility;
mod evaluating;
mod event;
mod following;
mod granting;
mod grants;
mod holds;
mod ids;
mod installing;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod keys;
mod lapses;
mod lapsing;
mod leases;
mod leasing;
mod maintaining;
mod maintenances;
mod names;
mod now;
mod outage;
mod outbox;
mod places;
mod plan;
mod premises;
mod probes;
mod probing;
mod publisher;
mod reconfigure;
mod refusal;
mod registering;
mod registration_plan;
mod rejudging;
mod removal;
mod replacing;
mod report;
mod resolving;
mod restore;
mod revision;
mod runtime_grants;
mod service_write;
mod settings;
mod shared;
#[cfg(test)]
mod simulation;
mod splits;
mod splitting;
mod static_route;
mod static_routes;
#[cfg(test)]
mod tests;
mod token;
mod write;

pub use answer::{Answer, Canary, Reconfigured, Registered, Replaced, SkippedRule};
pub use applies::{ApplyAnswer, ApplyCommand};
pub use change::{Change, Contents, DefinitionRecord, InstanceRecord, Observation, Observed};
pub use command::{Deregistration, Drain, DrainCommand, OnLastInstance, Registration, RegistrationKind, Source};
pub use desired::{DesiredKey, DesiredMaintenance, DesiredState};
pub use differences::{Difference, differences};
pub use dispatch::Registry;
pub use effects::Effect;
pub use eligibility::effective;
pub use event::{Event, Incoming, Origin, StoreChanged};
pub use grants::{RegistrationPolicy, StaticClaim, UnlistedRule};
pub use ids::{DnsSubject, InstanceRef, ReplyId, WriteId};
pub use keys::{KeyAnswer, KeyCommand, KeyRefusal, KeyReport};
pub use maintenances::{MaintenanceAnswer, MaintenanceCommand, MaintenanceReport};
pub use now::Now;
pub use plan::{FirstProbe, NameWatch, ProbePlan, ProbeTarget};
pub use probes::{FailureAccrual, Health, HealthLimits, OutageScope, ProbeFailure, ProbedHost, SignOfLife, Verdict};
pub use refusal::Refusal;
pub use report::Report;
pub use restore::Suspended;
pub use revision::Revision;
pub use runtime_grants::{GrantAnswer, GrantCommand, GrantReport};
pub use settings::{Configuration, Settings, Sharing};
pub use splits::{SplitAnswer, SplitCommand, SplitReport};
pub use static_route::{StaticRoute, StaticTarget};
pub use token::{NameToken, ProbeToken};
pub use write::{Claim, Premise, Record, Write};
