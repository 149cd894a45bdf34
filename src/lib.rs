//! furt: an API gateway that services register themselves with, on Pingora.
//!
//! What is registered, routed and decided is in [`furt_core`], which everything here stands on. The modules from the
//! bottom up; each imports from those above it in this list alone, and a test holds them to it:
//!
//! - [`clock`], [`config`], [`telemetry`], [`upstream`], [`listener`], [`secret`], [`affinity_keys`], [`geo`], [`header_name`],
//!   [`tls`]: for everyone
//! - [`wire`]: what both listeners write, as `furt_api` has it; [`dashboard`]: pages for operators
//! - [`auth`]: who vouches for callers beside API keys
//! - [`published`]: the core's snapshot beside the configuration; [`status`]: `/health` for both listeners;
//!   [`nodes`]: the gateways that share the registry
//! - [`driver`]: the one writer around the core; [`cluster`]: this node among others;
//!   [`vault`]: values that a Vault has
//! - [`store`], [`health`], [`acme`], [`proxy`], [`api`]: what is kept, who is up, certificates that furt gets, the public listener,
//!   the internal listener
//! - [`app`], [`demo`], [`cli`]: the wiring, a gateway with services to try it with, the command line
//!
//! `ARCHITECTURE.md` has the map and the invariants, `docs/decisions` the decisions.

pub mod acme;
pub mod affinity_keys;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod dashboard;
pub mod demo;
pub mod driver;
pub mod geo;
pub mod header_name;
pub mod health;
pub mod listener;
pub mod nodes;
pub mod private_files;
pub mod proxy;
pub mod published;
pub mod secret;
pub mod status;
pub mod store;
pub mod telemetry;
pub mod tls;
pub mod update;
pub mod upstream;
pub mod vault;
pub mod wire;
