//! This node in a cluster of furt's nodes: what the core of `furt-cluster` decides is carried out here.
//!
//! Without `[cluster] url` there is none of it. Nothing of the request path waits for it.

mod arbiter;
mod driver;
mod folder;
mod form;
mod handle;
mod hearing;
mod node;
mod outside;
mod programs;
mod settings;
mod shared;
mod telling;
mod vault;

pub use driver::{Ending, Options, Running, start};
pub use folder::settings_in;
pub use handle::{Failure, Handle, KnownSettings, Link, MadeToken, Order, SettingsChange, Shown};
pub use outside::{ApplyReply, Task, tasks};
pub use programs::{ProgramTask, TakeoverReply, programs};
pub use shared::Shared;
pub use vault::{Made, MakeToken, VaultCalls, VaultDoor};

#[cfg(test)]
mod tests;
