//! The single tables, `[server]` to `[store]`: a row for each key, then the rules between keys.
//!
//! One file for each table. Its `visit` takes a visitor through the rows and returns the table's values; its `check`
//! reports values that contradict each other.

mod access_log;
mod acme;
mod apps;
mod client;
mod cluster;
mod compression;
mod gateway;
mod geo;
mod internal;
mod keys;
mod limits;
mod log;
mod pages;
mod registration;
mod server;
mod store;
mod tls;
mod tracing;
mod update;
mod upstream;
mod vault;

use std::collections::BTreeSet;
use std::time::Duration;

use super::key::TableVisitor;
use super::reading::FileTables;
use super::types::Config;
use super::value::{Parsed, Value, Zero, duration};

pub use upstream::MAX_RETRIES;

/// More client connections than one process has ports and memory for.
const MAX_CONNECTIONS: u64 = 10_000_000;

/// Takes a visitor through the rows of all single tables, in the order of `conf/furt.toml`. The configuration has no
/// entries of arrays.
pub(super) fn visit(keys: &mut impl TableVisitor) -> Config {
    Config {
        server: server::visit(keys),
        tls: tls::visit(keys),
        acme: acme::visit(keys),
        internal: internal::visit(keys),
        gateway: gateway::visit(keys),
        registration: registration::visit(keys),
        client: client::visit(keys),
        keys: keys::visit(keys),
        limits: limits::visit(keys),
        pages: pages::visit(keys),
        compression: compression::visit(keys),
        upstream: upstream::visit(keys),
        apps_domain: apps::visit(keys),
        geo: geo::visit(keys),
        access_log: access_log::visit(keys),
        log_format: log::visit(keys),
        tracing: tracing::visit(keys),
        store: store::visit(keys),
        etcd: store::visit_etcd(keys),
        cluster: cluster::visit(keys),
        vault: vault::visit(keys),
        update: update::visit(keys),
        certificates: Vec::new(),
        client_auth: Vec::new(),
        operators: Vec::new(),
        api_keys: Vec::new(),
        grants: Vec::new(),
        routes: Vec::new(),
        rules: Vec::new(),
        issuers: Vec::new(),
        forward_auth: Vec::new(),
        passed_over: BTreeSet::new(),
    }
}

/// Reports values that contradict each other.
pub(super) fn check(tables: &FileTables<'_, '_>, config: &Config) {
    server::check(tables, &config.server);
    internal::check(tables, &config.internal, &config.server);
    tls::check(tables, config);
    gateway::check(tables, &config.gateway);
    upstream::check(tables, &config.upstream);
    store::check(tables, config);
    cluster::check(tables, &config.cluster);
}

/// A duration that is not zero.
fn positive(value: &Value<'_>) -> Parsed<Duration> {
    duration(Zero::Refused)(value)
}
