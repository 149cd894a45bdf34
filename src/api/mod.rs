//! The internal listener: services register, heartbeat and leave here; operators look and act here.
//!
//! Axum is the router; `listener` runs it as a Pingora app. Wire types live here alone. What a caller may do is decided
//! in `guard`, what a body says in `fields` and `registration`; everything that changes something is asked of the driver,
//! everything that only looks reads the snapshot.

mod explain;
mod fields;
mod guard;
mod json;
mod listener;
mod looking;
mod problem;
mod rate;
mod registration;
mod reloading;
#[cfg(test)]
mod tests;
mod views;
mod writing;

pub use listener::Listener;
pub use reloading::{ReloadError, ReloadOutcome, ReloadWaiting, Reloaded, Reloads};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post};

use crate::config::Config;
use crate::driver::Handle;
use crate::routing::Snapshot;
use crate::telemetry::Telemetry;
use crate::upstream::OwnListeners;
use rate::SourceRates;

/// Whether furt takes traffic; `/readyz` answers by it.
#[derive(Debug, Default)]
pub struct Readiness(AtomicBool);

impl Readiness {
    /// From now on, or no more.
    pub fn set(&self, is_ready: bool) {
        self.0.store(is_ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What every endpoint may use.
struct Api {
    /// Where furt itself listens, with the real ports: no instance may be there.
    own_listeners: OwnListeners,
    driver: Handle,
    snapshots: Arc<ArcSwap<Snapshot>>,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    reloads: Reloads,
    rates: SourceRates,
    started: Instant,
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
    snapshots: Arc<ArcSwap<Snapshot>>,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    reloads: Reloads,
) -> Router {
    let rates = SourceRates::default();
    let started = crate::clock::now();
    let api = Arc::new(Api { own_listeners, driver, snapshots, telemetry, readiness, reloads, rates, started });
    let operating = Router::new()
        .route("/internal/services", get(looking::services))
        .route("/internal/services/{service}", get(looking::service))
        .route("/internal/routes", get(looking::routes))
        .route("/internal/explain", get(explain::explain))
        .route("/internal/services/{service}/instances/{id}/probe", post(writing::probe))
        .route("/internal/reload", post(reloading::reload))
        .route("/metrics", get(looking::metrics))
        .layer(middleware::from_fn(guard::operators_only));
    let registering = Router::new()
        .route("/internal/register-service", post(writing::register))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::registrants_only));
    let leaving = Router::new()
        .route("/internal/services/{service}/instances/{id}/heartbeat", post(writing::heartbeat))
        .route("/internal/services/{service}/instances/{id}", delete(writing::deregister_instance))
        .route("/internal/services/{service}", delete(writing::deregister_service))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::registrants_and_operators));
    operating
        .merge(registering)
        .merge(leaving)
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
