//! Upgrades: another process takes over sockets and store from this one, and no client notices.
//!
//! | the process that runs ([`Upgrading`]) | the new one ([`Handover`]) |
//! |---|---|
//! | opens and judges the program, has it started ([`launcher`]) | |
//! | hands over its listening sockets | reads the configuration, binds what is new, loads certificates |
//! | closes the store's file on request | opens it as it is, restores the registry, accepts clients, says that it is ready |
//! | says that the new one has taken over | raises the store's format, takes registrations |
//! | accepts nobody any more, and ends with its clients | |
//!
//! Until it says so, the first one can go on by itself: it does where the new one ends, fails or is silent.

mod channel;
mod handover;
mod launcher;
mod program;
mod successor;

pub use handover::Handover;
pub(super) use successor::{Possessions, Restart, Takeover, Update, Upgrading};
