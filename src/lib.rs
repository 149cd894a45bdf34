//! furt: an API gateway that services register themselves with, on Pingora.
//!
//! The modules from the bottom up; each imports from those above it in this list alone, and a test holds them to it:
//!
//! - [`model`]: names, addresses, permissions, patterns, paths as types that hold their own rules
//! - [`clock`], [`config`], [`telemetry`], [`upstream`], [`connections`], [`secret`], [`geo`]: beside it, for everyone
//! - [`routing`]: the table of routes, the snapshot that requests are answered from, the choice of an instance
//! - [`registry`]: the pure core: events in, effects out; [`published`]: its snapshot beside the configuration;
//!   [`status`]: `/health` for both listeners
//! - [`driver`]: the one writer around the core; owns the traits that `store` and `health` implement
//! - [`store`], [`health`], [`proxy`], [`api`]: what is kept, who is up, the public listener, the internal listener
//! - [`app`], [`demo`], [`cli`]: the wiring, a gateway with services to try it with, the command line
//!
//! `ARCHITECTURE.md` has the map, the invariants and the decisions.

pub mod api;
pub mod app;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connections;
pub mod demo;
pub mod driver;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
pub mod geo;
pub mod health;
pub mod model;
pub mod proxy;
pub mod published;
pub mod registry;
pub mod routing;
pub mod secret;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod upstream;
