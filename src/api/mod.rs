//! The internal listener: services register, heartbeat and leave here; operators look and act here.
//!
//! Axum is the router; `listener` runs it as a Pingora app. Wire types live here alone. What a caller may do is decided
//! in `guard`, what a body says in `fields` and `registration`; everything that changes something is asked of the driver,
//! everything that only looks reads the snapshot.

mod backends;
mod distances;
mod explain;
mod fields;
mod guard;
mod json;
mod listener;
mod looking;
mod problem;
mod rate;
mod registration;
#[cfg(test)]
mod tests;
mod views;
mod writing;

pub use listener::{Listener, MAX_CONNECTIONS};

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use arc_swap::ArcSwap;
use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post};

use crate::config::{InternalConfig, RegistrationConfig};
use crate::driver::Handle;
use crate::geo::Geo;
use crate::model::CidrSet;
use crate::routing::Snapshot;
use crate::telemetry::Telemetry;
use crate::upstream::OwnListeners;
use rate::SourceRates;

/// What the internal listener is told.
pub struct Settings {
    /// `[internal]`
    pub internal: InternalConfig,
    /// `[registration]`
    pub registration: RegistrationConfig,
    /// Who may register.
    pub allow_registration_from: CidrSet,
    /// `false`: nobody may.
    pub is_registration_on: bool,
    /// Where furt itself listens, with the real ports: no instance may be there.
    pub own_listeners: OwnListeners,
}

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
    settings: Settings,
    driver: Handle,
    snapshots: Arc<ArcSwap<Snapshot>>,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    geo: Arc<Geo>,
    rates: SourceRates,
    started: Instant,
}

/// The router of the internal listener.
pub fn router(
    settings: Settings,
    driver: Handle,
    snapshots: Arc<ArcSwap<Snapshot>>,
    telemetry: Arc<Telemetry>,
    readiness: Arc<Readiness>,
    geo: Arc<Geo>,
) -> Router {
    let rates = SourceRates::new(settings.registration.rate, settings.registration.burst);
    let started = crate::clock::now();
    let api = Arc::new(Api { settings, driver, snapshots, telemetry, readiness, geo, rates, started });
    let operating = Router::new()
        .route("/internal/services", get(looking::services))
        .route("/internal/services/{service}", get(looking::service))
        .route("/internal/routes", get(looking::routes))
        .route("/internal/explain", get(explain::explain))
        .route("/internal/services/{service}/instances/{id}/probe", post(writing::probe))
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
    let backends = api.settings.internal.backends_api.then(|| {
        let joining = Router::new()
            .route("/api/v1/register", post(backends::register))
            .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::registrants_only));
        Router::new()
            .route("/api/v1/heartbeat/{id}", post(backends::heartbeat))
            .route("/api/v1/backends", get(backends::list))
            .route("/api/v1/backends/{id}", get(backends::one).delete(backends::deregister))
            .layer(middleware::from_fn_with_state(Arc::clone(&api), guard::registrants_and_operators))
            .merge(joining)
    });
    operating
        .merge(registering)
        .merge(leaving)
        .merge(backends.unwrap_or_default())
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
