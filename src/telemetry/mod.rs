//! What furt tells of itself: counters for Prometheus, the access log, the condition of its store.
//!
//! Counters are made once and held by handle; nothing is looked up by name on the request path. Knows nothing of
//! registry or proxy: they count, this keeps.

mod access_log;
mod geo;
pub mod request_id;

pub use access_log::{AccessLog, AccessLogError, Entry};
pub use geo::DatabaseMetrics;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, TextEncoder};

use crate::model::Generation;

/// The version in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that the binary was built from.
pub const COMMIT: &str = env!("FURT_COMMIT");

/// Status classes 1xx to 5xx, and answers that were never sent.
const CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Everything that is counted.
pub struct Telemetry {
    metrics: prometheus::Registry,
    /// What the registry reports.
    pub registry: RegistryCounters,
    requests: [IntCounter; 6],
    request_seconds: Histogram,
    /// Requests that are being answered.
    pub in_flight: IntGauge,
    /// Client connections that are open.
    pub connections: IntGauge,
    /// Client connections that were turned away with a 503 since there were too many.
    pub connections_refused: IntCounter,
    /// The same of the internal listener.
    pub internal_connections: IntGauge,
    /// The same of the internal listener.
    pub internal_connections_refused: IntCounter,
    /// Requests that panicked.
    pub panics: IntCounter,
    /// Attempts after the first.
    pub retries: IntCounter,
    services: IntGauge,
    routes: IntGauge,
    generation: IntGauge,
    store_failures: IntCounter,
    store_error: ArcSwapOption<String>,
    /// Lines that the access log dropped since its queue was full.
    pub access_log_dropped: IntCounter,
}

/// One counter for each thing that the registry reports (DESIGN §5.6).
pub struct RegistryCounters {
    /// Installed registrations.
    pub registrations: IntCounter,
    /// Wishes that were refused, by the registry or before it saw them.
    pub refusals: IntCounter,
    /// Instances that left by a wish.
    pub deregistrations: IntCounter,
    /// Instances that were not heard in time.
    pub expirations: IntCounter,
    /// Changes of status of instances.
    pub status_changes: IntCounter,
    /// Changes of status of services.
    pub service_status_changes: IntCounter,
    /// Failed probes.
    pub probe_failures: IntCounter,
    /// Instances whose probing ended.
    pub probes_stopped: IntCounter,
}

impl Telemetry {
    /// All counters at zero.
    ///
    /// # Errors
    /// Two metrics of one name: a bug that the first start shows.
    pub fn try_new() -> Result<Arc<Self>, prometheus::Error> {
        let metrics = prometheus::Registry::new();
        let counter = |name: &str, help: &str| {
            let counter = IntCounter::new(name, help)?;
            metrics.register(Box::new(counter.clone()))?;
            Ok::<_, prometheus::Error>(counter)
        };
        let gauge = |name: &str, help: &str| {
            let gauge = IntGauge::new(name, help)?;
            metrics.register(Box::new(gauge.clone()))?;
            Ok::<_, prometheus::Error>(gauge)
        };
        let by_class = IntCounterVec::new(
            Opts::new("furt_requests_total", "Requests on the public listener, by class of the answer's status"),
            &["status"],
        )?;
        metrics.register(Box::new(by_class.clone()))?;
        let request_seconds = Histogram::with_opts(
            HistogramOpts::new("furt_request_duration_seconds", "From the request's header to the answer's end")
                .buckets(vec![0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0]),
        )?;
        metrics.register(Box::new(request_seconds.clone()))?;
        let build = IntGauge::with_opts(
            Opts::new("furt_build_info", "Always 1; the labels say what runs")
                .const_label("version", VERSION)
                .const_label("commit", COMMIT),
        )?;
        build.set(1);
        metrics.register(Box::new(build))?;
        Ok(Arc::new(Self {
            registry: RegistryCounters {
                registrations: counter("furt_registrations_total", "Registrations that were installed")?,
                refusals: counter("furt_refusals_total", "Registrations, heartbeats and removals that were refused")?,
                deregistrations: counter("furt_deregistrations_total", "Instances that left by a wish")?,
                expirations: counter("furt_expirations_total", "Instances that were not heard within their TTL")?,
                status_changes: counter("furt_instance_status_changes_total", "Changes of status of instances")?,
                service_status_changes: counter("furt_service_status_changes_total", "Changes of status of services")?,
                probe_failures: counter("furt_probe_failures_total", "Probes that failed")?,
                probes_stopped: counter("furt_probes_stopped_total", "Instances whose probing ended")?,
            },
            requests: CLASSES.map(|class| by_class.with_label_values(&[class])),
            request_seconds,
            in_flight: gauge("furt_requests_in_flight", "Requests that are being answered")?,
            connections: gauge("furt_client_connections", "Client connections that are open")?,
            connections_refused: counter(
                "furt_client_connections_refused_total",
                "Client connections beyond max_connections, turned away with a 503",
            )?,
            internal_connections: gauge(
                "furt_internal_connections",
                "Connections to the internal listener that are open",
            )?,
            internal_connections_refused: counter(
                "furt_internal_connections_refused_total",
                "Connections to the internal listener beyond its limit, turned away with a 503",
            )?,
            panics: counter("furt_request_panics_total", "Requests that ended in a panic")?,
            retries: counter("furt_upstream_retries_total", "Attempts to reach an instance after the first")?,
            services: gauge("furt_services", "Registered services")?,
            routes: gauge("furt_routes", "Routes in the table, those of DOWN services among them")?,
            generation: gauge("furt_generation", "The registry's last change that is published")?,
            store_failures: counter("furt_store_failures_total", "Batches that the store could not take")?,
            store_error: ArcSwapOption::empty(),
            access_log_dropped: counter("furt_access_log_dropped_total", "Access log lines dropped on a full queue")?,
            metrics,
        }))
    }

    /// Counts an answered request; `status` 0: no answer was sent.
    pub fn count_request(&self, status: u16, took: Duration) {
        self.requests[usize::from(status / 100).min(5)].inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Writes down what is published.
    pub fn note_snapshot(&self, generation: Generation, services: usize, routes: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.generation.set(i64::try_from(generation.0).unwrap_or(i64::MAX));
        self.services.set(number(services));
        self.routes.set(number(routes));
    }

    /// Writes down how the store took its last batch.
    pub fn note_store<E: std::fmt::Display>(&self, outcome: Result<(), E>) {
        match outcome {
            Ok(()) => self.store_error.store(None),
            Err(error) => {
                self.store_failures.inc();
                self.store_error.store(Some(Arc::new(error.to_string())));
            }
        }
    }

    /// Why furt is degraded: one sentence each; none while all is well.
    pub fn issues(&self) -> Vec<String> {
        self.store_error.load().iter().map(|error| format!("the store cannot take changes: {error}")).collect()
    }

    /// All metrics in Prometheus' text format (version 0.0.4).
    pub fn render(&self) -> Vec<u8> {
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&self.metrics.gather(), &mut text) {
            log::error!("metrics cannot be rendered: {error}");
        }
        text
    }
}
