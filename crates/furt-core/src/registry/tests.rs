//! What the core does, as short scripts: each test says one sentence and plays it through the [`harness`].
//!
//! No sleeping and no runtime: time passes when a script says so, and writes are done when the harness says so.

mod applying;
mod auditing;
mod command;
mod deregistering;
mod draining;
mod expiring;
mod granting;
mod harness;
mod holding;
mod keys;
mod maintaining;
mod outage;
mod probing;
mod reconfiguring;
mod registering;
mod replacing;
mod restoring;
mod routing;
mod runtime_granting;
mod sharing;
mod splitting;
mod starting;
mod waiting;

pub(super) use command::{Command, address, definition_of, instance, operator, policy, settings, source};
pub(super) use harness::apply_command::desired;
pub(super) use harness::grant_command::{grant, grant_of, ungrant};
pub(super) use harness::key_command::{configured, digest, key, name};
pub(super) use harness::maintenance_command::{begin, end};
pub(super) use harness::split_command::{split, split_of, unsplit, version};
pub(super) use harness::{Harness, Store, refused};
