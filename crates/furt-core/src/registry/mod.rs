//! What is registered, who may register what, who is up, what the table of routes holds.
//!
//! [`Registry::handle`] takes an event and the time and gives effects; [`Registry::next_deadline`] says when to come
//! again; [`Registry::take_snapshot`] gives what requests are to see once it changed. No IO, clock, lock, await or log.
//!
//! What is durable takes two events: a command is checked against what is installed *and* pending and gives
//! [`Effect::Write`]; [`Event::WriteDone`] installs it and answers, [`Event::WriteFailed`] drops it. A removal leaves
//! the snapshot at once and is answered after its write. Writes are stored in the order they are given.
//!
//! The registry is made of parts that own their state, each in a file or folder of its own and with private fields:
//! `directory` (services and instances), `claims` (routes), `outbox` (writes in flight, and commands parked behind them),
//! `leases` (TTLs and deadlines), `probes`, `names` (watched names), `eligibility`, `keys` (with their own outbox and
//! deadlines), `static_routes`, `publisher` (the snapshot in the making). A part never asks the registry. `shared` is the one
//! place that writes to counters that requests share.
//!
//! [`Registry`] has the order in which the parts are asked: `dispatch`, and for each way through it a file: `registering`
//! (with `registration_plan`) and `installing`, `removal`, `draining`, `leasing`, `probing`, `outage`, `resolving`, `evaluating`,
//! `reconfigure`, `restore`.
//!
//! Reading order: `event`, `effects`, `dispatch`, `registering`, `installing`, `removal`, then the parts; `invariants`.

mod answer;
mod change;
mod claims;
mod command;
mod directory;
mod dispatch;
mod draining;
mod effects;
mod eligibility;
mod evaluating;
mod event;
mod grants;
mod holds;
mod ids;
mod installing;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod keys;
mod leases;
mod leasing;
mod names;
mod now;
mod outage;
mod outbox;
mod places;
mod plan;
mod probes;
mod probing;
mod publisher;
mod reconfigure;
mod refusal;
mod registering;
mod registration_plan;
mod removal;
mod replacing;
mod report;
mod resolving;
mod restore;
mod service_write;
mod settings;
mod shared;
#[cfg(test)]
mod simulation;
mod static_route;
mod static_routes;
#[cfg(test)]
mod tests;
mod token;

pub use answer::{Answer, Reconfigured, Registered, Replaced};
pub use change::{Change, Contents, DefinitionRecord, InstanceRecord, Observation, Observed};
pub use command::{Deregistration, Drain, DrainCommand, OnLastInstance, Registration, RegistrationKind, Source};
pub use dispatch::Registry;
pub use effects::Effect;
pub use event::Event;
pub use grants::{Grant, RegistrationPolicy, StaticClaim, UnlistedRule};
pub use ids::{DnsSubject, InstanceRef, ReplyId, WriteId};
pub use keys::{KeyAnswer, KeyCommand, KeyRefusal, KeyReport};
pub use now::Now;
pub use plan::{FirstProbe, NameWatch, ProbePlan, ProbeTarget};
pub use probes::{FailureAccrual, Health, HealthLimits, OutageScope, ProbeFailure, ProbedHost, SignOfLife, Verdict};
pub use refusal::Refusal;
pub use report::Report;
pub use settings::{Configuration, Settings};
pub use static_route::{StaticRoute, StaticTarget};
pub use token::{NameToken, ProbeToken};
