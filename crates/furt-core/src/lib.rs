//! The core of furt: what is registered, who may register what, which route a request takes, who is asked.
//!
//! It takes events and the time and gives effects. It reads no clock and performs no IO; it never waits and never logs.
//! From the bottom up; each module imports from those above it in this list alone:
//!
//! - [`model`]: names, addresses, permissions, patterns, paths as types that hold their own rules
//! - [`live`]: counters that requests write and everyone reads
//! - [`routing`]: the table of routes, the snapshot that requests are answered from, the choice of an instance
//! - [`registry`]: events in, effects out
//! - [`ports`]: what the core's user needs of a store and of a prober; [`MemoryStore`] is the plainest store
#![forbid(unsafe_code)]

// The naive model of `routing` is read by the fuzz targets as well, under this name.
#[cfg(test)]
extern crate self as furt_core;

pub mod live;
mod memory;
pub mod model;
pub mod ports;
pub mod registry;
pub mod routing;

pub use memory::MemoryStore;
