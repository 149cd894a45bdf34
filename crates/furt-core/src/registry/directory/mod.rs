//! The services that are installed, their instances, and which service owns each instance id.
//!
//! Counts of a service's instances by status change with its instances alone. What is on its way to the store is here only
//! as a claim on an instance id.

mod ids;
mod instances;
mod service;
mod services;

pub(super) use instances::{InstanceEntry, Moves, NewInstance, StatusChange};
pub(super) use service::ServiceEntry;
pub(super) use services::Directory;
