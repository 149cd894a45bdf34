//! API keys: those of the configuration, and those that operators make, rotate and revoke while furt runs.
//!
//! A runtime key takes two events, as everything durable: its write, then its entry in the table. Revoked or expired, it
//! leaves the table first and the store after; where the store fails it stays out and its removal is tried again. The key
//! itself never comes here, only its digest. One write of a key is on its way at a time; further commands wait for it.
//! [`Keys`] owns all of that: keys, outbox, deadlines.
//!
//! `handling` has what operators ask for, `applying` what is asked for of keys and more at once, `following` what other gateways do, `expiring` what time does, `publishing` what the
//! configuration and a restart mean.

mod applying;
mod command;
mod expiring;
mod following;
mod handling;
#[cfg(any(test, debug_assertions))]
mod invariants;
mod publishing;
mod refusal;
mod report;
#[cfg(test)]
mod simulation;
mod state;

pub use command::{KeyAnswer, KeyCommand};
pub use refusal::KeyRefusal;
pub(super) use refusal::MAX_KEYS;
pub use report::KeyReport;
pub(super) use state::{KeyParts, KeyStore, Keys};
