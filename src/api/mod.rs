//! The internal listener: services register, heartbeat and leave here; operators look and act here.
//!
//! Axum is the router; `listener` runs it as a Pingora app. `endpoints` is the table of what can be asked. Answers are types
//! of `furt_api`. What a caller may do is decided in `guard`, what a body says in `fields` and `registration`. `commands` ask
//! the driver, `queries` read the snapshot.

mod applying;
mod audit;
mod backends;
mod certificates;
mod cluster;
mod commands;
mod dashboard;
mod deregistration;
mod distances;
mod endpoints;
mod etcd_v2;
mod events;
mod explain;
mod exporting;
mod fields;
mod grants;
mod guard;
mod json;
mod key_check;
mod keys;
mod listener;
mod listing;
mod lookup;
mod maintenance;
mod metrics;
mod near;
mod openapi;
mod operators;
mod probe;
mod problem;
mod queries;
mod query;
mod rate;
mod reasons;
mod registration;
mod reloading;
mod right;
mod route_options;
mod splits;
#[cfg(test)]
mod tests;
mod upgrading;
mod views;
mod waiting;
mod warnings;

pub use certificates::ShownTls;
pub use dashboard::sample_traffic;
pub use etcd_v2::read_etcd_v2;
pub use exporting::Exports;
pub use json::parse as read_json;
pub use listener::Listener;
pub use registration::read_registration;
pub use reloading::{ReloadError, ReloadOutcome, ReloadWaiting, Reloaded, Reloads};
pub use upgrading::{UpgradeError, UpgradeWaiting, Upgraded, Upgrades};

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::middleware;
use tokio::sync::watch;
use tower::util::MapRequest;

use crate::audit::AuditTrail;
use crate::cluster::Handle as Cluster;
use crate::config::Config;
use crate::driver::Handle;
use crate::geo::Geo;
use crate::listener::OwnListeners;
use crate::nodes::Nodes;
use crate::published::Published;
use crate::telemetry::Telemetry;
use crate::vault::Values;
use dashboard::Dashboard;
use endpoints::Routers;
use rate::SourceRates;
use waiting::WaitPermits;

/// Whether furt takes traffic; `/readyz` answers by it.
#[derive(Debug, Default)]
pub struct Readiness(watch::Sender<Phase>);

/// What furt is about to do. While it starts it takes what is registered: the registry runs before anybody can ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    #[default]
    Starting,
    Ready,
    Stopping,
    /// Another process has taken over: there is nothing to be told here any more, and nothing is amiss.
    Replaced,
}

impl Phase {
    /// Whether what furt were told would be lost with it.
    fn is_last(self) -> bool {
        matches!(self, Self::Stopping | Self::Replaced)
    }
}

impl Readiness {
    /// From now on furt takes traffic.
    pub fn set_ready(&self) {
        self.0.send_replace(Phase::Ready);
    }

    /// From now on it takes none: what it were told would be lost with it.
    pub fn set_stopping(&self) {
        self.0.send_replace(Phase::Stopping);
    }

    /// From now on another process takes all that changes something; clients that are still here are told that furt is well.
    pub fn set_replaced(&self) {
        self.0.send_replace(Phase::Replaced);
    }

    fn is_ready(&self) -> bool {
        matches!(*self.0.borrow(), Phase::Ready | Phase::Replaced)
    }

    fn is_stopping(&self) -> bool {
        self.0.borrow().is_last()
    }

    /// Resolves once furt stops.
    async fn stops(&self) {
        // The sender lives as long as this does.
        _ = self.0.subscribe().wait_for(|phase| phase.is_last()).await;
    }
}

/// What every endpoint may use.
struct Api {
    /// Where furt itself listens, with the real ports: no instance may be there.
    own_listeners: OwnListeners,
    driver: Handle,
    snapshots: Arc<ArcSwap<Published>>,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    reloads: Reloads,
    upgrades: Upgrades,
    geo: Arc<Geo>,
    nodes: Nodes,
    cluster: Option<Cluster>,
    values: Values,
    tls: ShownTls,
    audit: AuditTrail,
    rates: SourceRates,
    drain_waits: WaitPermits,
    event_waits: WaitPermits,
    lookup_waits: WaitPermits,
    dashboard: Dashboard,
    started: Instant,
    started_ms: i64,
}

impl Api {
    /// The configuration in force.
    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.snapshots.load().config)
    }
}

/// The same router, with a store that can be exported.
pub fn with_exports(router: Router, exports: Option<Exports>) -> Router {
    match exports {
        Some(exports) => router.layer(axum::Extension(exports)),
        None => router,
    }
}

/// What the router is made of.
pub struct Parts {
    /// No instance may be at one of them.
    pub own_listeners: OwnListeners,
    /// The registry.
    pub driver: Handle,
    /// What it publishes.
    pub snapshots: Arc<ArcSwap<Published>>,
    /// Metrics, events, issues.
    pub telemetry: Arc<Telemetry>,
    /// Whether furt takes traffic.
    pub readiness: Arc<Readiness>,
    /// Where reloads are asked for.
    pub reloads: Reloads,
    /// Where upgrades are.
    pub upgrades: Upgrades,
    /// Where clients are.
    pub geo: Arc<Geo>,
    /// The gateways that share the registry.
    pub nodes: Nodes,
    /// The nodes that speak to each other; `None`: `cluster.url` is not set.
    pub cluster: Option<Cluster>,
    /// What a Vault gave.
    pub values: Values,
    /// Certificates that are shown.
    pub tls: ShownTls,
    /// What operators did.
    pub audit: AuditTrail,
    /// How many connections the listener takes.
    pub connections: usize,
}

/// The router of the internal listener.
pub fn router(parts: Parts) -> Router {
    let Parts {
        own_listeners,
        driver,
        snapshots,
        telemetry,
        readiness,
        reloads,
        upgrades,
        geo,
        nodes,
        cluster,
        values,
        tls,
        audit,
        connections,
    } = parts;
    let rates = SourceRates::default();
    let started = crate::clock::now();
    let drain_waits = WaitPermits::new(waiting::MAX_DRAIN_WAITS);
    let event_waits = WaitPermits::new(events::MAX_WAITS);
    let lookup_waits = WaitPermits::new(lookup::most_waits(connections));
    let api = Arc::new(Api {
        own_listeners,
        driver,
        snapshots,
        telemetry,
        readiness,
        reloads,
        upgrades,
        geo,
        nodes,
        cluster,
        values,
        tls,
        audit,
        rates,
        drain_waits,
        event_waits,
        lookup_waits,
        dashboard: Dashboard::default(),
        started,
        started_ms: crate::clock::unix_ms(),
    });
    let Routers { identified, unknown } = Routers::new(&api);
    let router = identified
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::identify))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::report_refusals))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), etcd_v2::in_its_form))
        .layer(middleware::from_fn(problem::with_request_id))
        .merge(unknown)
        .with_state(api);
    // Around the router, since a request is routed by the path that it has then.
    let router = Router::new().fallback_service(MapRequest::new(router, etcd_v2::misplaced::replaced));
    // The listener has read the body, within its own bounds.
    router.layer(DefaultBodyLimit::disable())
}
