//! furt from outside: the real binary, real sockets, real origins.
//!
//! Every test starts a gateway of its own on free ports ([`support::gateway::Gateway`]) and as many origins as it needs
//! ([`support::origin::Origin`]), and polls for what must come true ([`support::wait`]); nothing sleeps for a result.
//! `acceptance` has what a gateway of this kind must do, the other files one listener or edge each.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::disallowed_methods,
    clippy::print_stderr,
    reason = "a test may fail loudly, and is an edge where clocks are read"
)]

mod acceptance;
mod acme;
mod audit;
mod backends;
mod certificates;
mod cli;
mod client_certificates;
mod cluster_verbs;
mod compress;
mod container;
mod cors;
mod credentials;
mod dashboard;
mod demo;
mod docs;
mod draining;
mod durability;
mod etcd_v2;
mod events;
mod explain;
mod fleet;
mod forward_auth;
mod geo;
mod grants;
mod grpc;
mod h2;
mod half_closed;
mod health;
mod hops;
mod hostile;
mod http2;
mod https;
mod identity;
mod imports;
mod internal_tls;
mod joining;
mod keys;
mod limits;
mod listeners;
mod listing;
mod lookup;
mod maintenance;
mod malformed;
mod methods;
mod metrics;
mod mirror;
mod misdirected;
mod monitoring;
mod operators;
mod pages;
mod patterns;
mod pipelining;
mod probes;
mod process;
mod proxy;
mod proxy_protocol;
mod queries;
mod registration;
mod reload;
mod restart;
mod restricting;
mod reuse;
mod rewriting;
mod route_headers;
mod route_limits;
mod slow_bodies;
mod split;
mod state;
mod sticky;
mod streaming;
mod streams;
mod support;
mod targets;
mod tls;
mod tokens;
mod top;
mod tracing;
mod upgrades;
mod upgrades_tls;
mod uploads;
mod upstream_tls;
