//! Watching instances: when to probe each, the probe itself, and names that may come to lead elsewhere.
//!
//! [`Monitor`] implements the driver's [`Probes`](furt_core::ports::Probes). [`MonitorService`] carries out what it was
//! told and tells the driver each outcome; it never judges one: verdicts are the registry's. Probes of one instance never
//! overlap, at most 256 run at once, and each may take 5 s over all.

mod failure;
mod grpc;
mod monitor;
mod names;
mod probe;
mod schedule;

pub use monitor::{Monitor, MonitorService};
pub use probe::HttpProbe;
