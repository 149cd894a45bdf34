//! Leases: how long an instance stays without being heard, how long the routes of a service without instances are held,
//! and when either is looked at. A heartbeat does not move a deadline: what is due is looked at when it comes.
//!
//! Called a lease here alone; a request's slot at an instance is [`routing::Lease`](crate::routing::Lease).

mod deadlines;
mod liveness;

pub(super) use deadlines::{Due, HOLD, Leases, REMOVAL_RETRY};
pub(super) use liveness::Liveness;
