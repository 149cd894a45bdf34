//! The internal listener: services register, heartbeat and leave here; operators look and act here.
//!
//! Axum is the router; `listener` runs it as a Pingora app. Wire types live here alone. What a caller may do is decided
//! in `guard`, what a body says in `fields` and `registration`; everything that changes something is asked of the driver,
//! everything that only looks reads the snapshot.

mod backends;
mod distances;
mod events;
mod explain;
mod fields;
mod guard;
mod json;
mod keys;
mod leaving;
mod listener;
mod listing;
mod looking;
mod metrics;
mod problem;
mod query;
mod rate;
mod reasons;
mod registration;
mod reloading;
#[cfg(test)]
mod tests;
mod views;
mod waiting;
mod writing;

pub use json::parse as read_json;
pub use listener::Listener;
pub use registration::read_registration;
pub use reloading::{ReloadError, ReloadOutcome, ReloadWaiting, Reloaded, Reloads};

use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post};
use tokio::sync::watch;

use crate::config::Config;
use crate::driver::Handle;
use crate::geo::Geo;
use crate::listener::OwnListeners;
use crate::published::Published;
use crate::telemetry::Telemetry;
use rate::SourceRates;
use waiting::Places;

/// Whether furt takes traffic; `/readyz` answers by it.
#[derive(Debug, Default)]
pub struct Readiness(watch::Sender<bool>);

impl Readiness {
    /// From now on, or no more.
    pub fn set(&self, is_ready: bool) {
        self.0.send_replace(is_ready);
    }

    fn get(&self) -> bool {
        *self.0.borrow()
    }

    /// Resolves once furt takes none, as when it stops.
    async fn ends(&self) {
        // The sender lives as long as this does.
        _ = self.0.subscribe().wait_for(|is_ready| !is_ready).await;
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
    geo: Arc<Geo>,
    rates: SourceRates,
    drain_waits: Places,
    event_waits: Places,
    started: Instant,
    started_ms: i64,
}

impl Api {
    /// The configuration in force.
    fn config(&self) -> Arc<Config> {
        Arc::clone(&self.snapshots.load().config)
    }
}

/// The router of the internal listener; no instance may be at `own_listeners`.
pub fn router(
    own_listeners: OwnListeners,
    driver: Handle,
    snapshots: Arc<ArcSwap<Published>>,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    reloads: Reloads,
    geo: Arc<Geo>,
) -> Router {
    let rates = SourceRates::default();
    let started = crate::clock::now();
    let (drain_waits, event_waits) = (Places::new(waiting::MAX_DRAIN_WAITS), Places::new(events::MAX_WAITS));
    let api = Arc::new(Api {
        own_listeners,
        driver,
        snapshots,
        telemetry,
        readiness,
        reloads,
        geo,
        rates,
        drain_waits,
        event_waits,
        started,
        started_ms: crate::clock::unix_ms(),
    });
    let operating = Router::new()
        .route("/internal/services", get(looking::services))
        .route("/internal/services/{service}", get(looking::service))
        .route("/internal/routes", get(looking::routes))
        .route("/internal/explain", get(explain::explain))
        .route("/internal/events", get(events::events))
        .route("/internal/services/{service}/instances/{id}/probe", post(writing::probe))
        .route("/internal/keys", get(keys::list).post(keys::create))
        .route("/internal/keys/{name}", get(keys::one).delete(keys::revoke))
        .route("/internal/keys/{name}/rotate", post(keys::rotate))
        .route("/internal/reload", post(reloading::reload))
        .route("/internal/stats", get(metrics::stats))
        .route("/metrics", get(metrics::metrics))
        .layer(middleware::from_fn(guard::operators_only));
    let registering = Router::new()
        .route("/internal/register-service", post(writing::register))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::registrants_only));
    let leaving = Router::new()
        .route("/internal/services/{service}/instances/{id}/heartbeat", post(writing::heartbeat))
        .route("/internal/services/{service}/instances/{id}", delete(leaving::deregister_instance))
        .route("/internal/services/{service}", delete(leaving::deregister_service))
        .route(
            "/internal/services/{service}/instances/{id}/drain",
            post(leaving::drain_instance).delete(leaving::undo_drain_of_instance),
        )
        .route(
            "/internal/services/{service}/drain",
            post(leaving::drain_service).delete(leaving::undo_drain_of_service),
        )
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::registrants_and_operators));
    let joining = Router::new()
        .route("/api/v1/register", post(backends::register))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::registrants_only));
    let backends = Router::new()
        .route("/api/v1/heartbeat/{id}", post(backends::heartbeat))
        .route("/api/v1/backends", get(backends::list))
        .route("/api/v1/backends/{id}", get(backends::one).delete(backends::deregister))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::registrants_and_operators))
        .merge(joining)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), backends::where_switched_on));
    operating
        .merge(registering)
        .merge(leaving)
        .merge(backends)
        .route("/health", get(looking::health))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::identify))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::report_refusals))
        .layer(middleware::from_fn(problem::with_request_id))
        .route("/livez", get(looking::livez))
        .route("/readyz", get(looking::readyz))
        .with_state(api)
}
