//! furt beside servers and clients of others: the real ones, as they are, on loopback.
//!
//! `make interop` unpacks them below `target/interop`; a missing one fails the tests that need it. Each test starts servers of its
//! own ([`foreign`]), ends them by their ids, and shows their logs where it fails. What takes minutes is in [`faults`].

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test may fail loudly, is an edge where clocks are read, and prints its figures"
)]

mod acl;
mod acme;
mod affinity;
mod audit;
mod background;
mod book;
mod browser;
mod bus;
mod clients;
mod cluster;
mod comers_and_goers;
mod compress;
mod conflicts;
mod dashboard;
mod draining;
mod edge;
mod faults;
mod foreign;
mod forward_auth;
mod gateways;
mod grants;
mod grpc;
mod hostile_h2;
mod http2;
mod joined;
mod joining;
mod keys;
mod limits;
mod maintenance;
mod monitoring;
mod npm;
mod openapi;
mod outage;
mod packages;
mod peers;
mod records;
mod renewal_info;
mod rights;
mod scanners;
mod sharing;
mod split;
mod state;
mod tokens;
mod tracing;
mod updates;
mod upgrading;
mod vault;
mod websockets;

#[path = "../it/support/mod.rs"]
#[allow(dead_code, unused_imports, reason = "the support of the other end-to-end tests, of which these need a part")]
mod support;
