//! What furt tells of itself: counters for Prometheus, the access log, the last events, the condition of its store.
//!
//! Counters are made once and held by handle; nothing is looked up by name on the request path. Knows nothing of
//! registry or proxy: they count, this keeps.

mod access_log;
mod decimal;
mod events;
mod geo;
mod reloads;
pub mod request_id;
mod series;

pub use access_log::{AccessLog, AccessLogError, Entry, OpenedLog};
pub use decimal::append_ms;
pub use events::{Event, Events, Following};
pub use geo::DatabaseMetrics;
pub use reloads::ReloadCounters;
pub use series::{Held, RouteKey, Seen, Series, ServiceSeen};

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use prometheus::{Encoder, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, Opts, TextEncoder};

use furt_core::live::{STATUS_CLASSES, status_class};
use furt_core::model::Generation;

/// The version in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that the binary was built from.
pub const COMMIT: &str = env!("FURT_COMMIT");

/// Everything that is counted.
pub struct Telemetry {
    metrics: prometheus::Registry,
    /// What the registry reports.
    pub registry: RegistryCounters,
    /// The same as data, the last of it.
    pub events: Events,
    /// How reloads went.
    pub reloads: ReloadCounters,
    requests: [IntCounter; STATUS_CLASSES.len()],
    request_seconds: Histogram,
    /// Requests that are being answered.
    pub in_flight: IntGauge,
    /// Requests that wait for a place at an instance.
    pub waiting: IntGauge,
    /// Client connections that are open.
    pub connections: IntGauge,
    /// Client connections that were turned away with a 503 since there were too many.
    pub connections_refused: IntCounter,
    /// The same of the internal listener.
    pub internal_connections: IntGauge,
    /// The same of the internal listener.
    pub internal_connections_refused: IntCounter,
    /// What limits for clients turned away.
    pub limited: LimitCounters,
    /// Requests that panicked.
    pub panics: IntCounter,
    /// Attempts after the first.
    pub retries: IntCounter,
    /// Instances that were left out for a while since they failed requests.
    pub ejections: IntCounter,
    services: IntGauge,
    routes: IntGauge,
    generation: IntGauge,
    store_failures: IntCounter,
    store_error: ArcSwapOption<String>,
    /// Lines that the access log dropped since its queue was full.
    pub access_log_dropped: IntCounter,
    /// What is counted by service and route.
    pub series: Series,
}

/// One counter for each thing that the registry reports (DESIGN §5.6).
pub struct RegistryCounters {
    /// Installed registrations.
    pub registrations: IntCounter,
    /// Wishes that were refused, by the registry or before it saw them.
    pub refusals: IntCounter,
    /// Instances that left by a wish.
    pub deregistrations: IntCounter,
    /// Drains of instances that began.
    pub drains: IntCounter,
    /// Drains of instances that ended otherwise than by leaving.
    pub drains_ended: IntCounter,
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
    /// Changes of API keys.
    pub keys: KeyCounters,
}

/// One counter for each way an API key changes.
pub struct KeyCounters {
    /// Keys that were made.
    pub created: IntCounter,
    /// Keys that got another digest.
    pub rotated: IntCounter,
    /// Keys that were revoked.
    pub revoked: IntCounter,
    /// Keys that came to their end.
    pub expired: IntCounter,
}

/// One counter for each limit that clients may meet.
pub struct LimitCounters {
    /// A key's rate.
    pub key: IntCounter,
    /// The rate of an address without a good key.
    pub address: IntCounter,
    /// The size of a body.
    pub body: IntCounter,
    /// Connections of one address.
    pub connections: IntCounter,
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
        let key_changes = IntCounterVec::new(
            Opts::new("furt_key_changes_total", "Runtime API keys that were created, rotated, revoked, or expired"),
            &["change"],
        )?;
        metrics.register(Box::new(key_changes.clone()))?;
        let limited = IntCounterVec::new(
            Opts::new(
                "furt_limited_total",
                "Requests that a limit refused, by the limit; connections of an address too",
            ),
            &["limit"],
        )?;
        metrics.register(Box::new(limited.clone()))?;
        let build = IntGauge::with_opts(
            Opts::new("furt_build_info", "Always 1; the labels say what runs")
                .const_label("version", VERSION)
                .const_label("commit", COMMIT),
        )?;
        build.set(1);
        metrics.register(Box::new(build))?;
        Ok(Arc::new(Self {
            events: Events::default(),
            reloads: ReloadCounters::try_new(&metrics)?,
            registry: RegistryCounters {
                registrations: counter("furt_registrations_total", "Registrations that were installed")?,
                refusals: counter("furt_refusals_total", "Registrations, heartbeats and removals that were refused")?,
                deregistrations: counter("furt_deregistrations_total", "Instances that left by a wish")?,
                drains: counter("furt_drains_total", "Drains of instances that began")?,
                drains_ended: counter("furt_drains_ended_total", "Drains that a registration or a wish ended")?,
                expirations: counter("furt_expirations_total", "Instances that were not heard within their TTL")?,
                status_changes: counter("furt_instance_status_changes_total", "Changes of status of instances")?,
                service_status_changes: counter("furt_service_status_changes_total", "Changes of status of services")?,
                probe_failures: counter("furt_probe_failures_total", "Probes that failed")?,
                probes_stopped: counter("furt_probes_stopped_total", "Instances whose probing ended")?,
                keys: KeyCounters {
                    created: key_changes.with_label_values(&["created"]),
                    rotated: key_changes.with_label_values(&["rotated"]),
                    revoked: key_changes.with_label_values(&["revoked"]),
                    expired: key_changes.with_label_values(&["expired"]),
                },
            },
            requests: STATUS_CLASSES.map(|class| by_class.with_label_values(&[class])),
            request_seconds,
            in_flight: gauge("furt_requests_in_flight", "Requests that are being answered")?,
            waiting: gauge(
                "furt_requests_waiting",
                "Requests that wait since every instance of their service is full",
            )?,
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
            limited: LimitCounters {
                key: limited.with_label_values(&["key-rate"]),
                address: limited.with_label_values(&["address-rate"]),
                body: limited.with_label_values(&["body"]),
                connections: limited.with_label_values(&["address-connections"]),
            },
            panics: counter("furt_request_panics_total", "Requests that ended in a panic")?,
            ejections: counter("furt_ejections_total", "Instances left out for a while since they failed requests")?,
            retries: counter("furt_upstream_retries_total", "Attempts to reach an instance after the first")?,
            services: gauge("furt_services", "Registered services")?,
            routes: gauge("furt_routes", "Routes in the table, those of DOWN services among them")?,
            generation: gauge("furt_generation", "The registry's last change that is published")?,
            store_failures: counter("furt_store_failures_total", "Batches that the store could not take")?,
            store_error: ArcSwapOption::empty(),
            access_log_dropped: counter("furt_access_log_dropped_total", "Access log lines that were lost")?,
            series: Series::default(),
            metrics,
        }))
    }

    /// Counts an answered request; `status` 0: no answer was sent.
    pub fn count_request(&self, status: u16, took: Duration) {
        self.requests[status_class(status)].inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// Writes down what is published.
    pub fn note_snapshot(&self, generation: Generation, services: usize, routes: usize) {
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        self.generation.set(i64::try_from(generation.0).unwrap_or(i64::MAX));
        self.services.set(number(services));
        self.series.expect_services(services);
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
        let store = self.store_error.load();
        let store = store.iter().map(|error| format!("the store cannot take changes: {error}"));
        store.chain(self.reloads.issue()).collect()
    }

    /// All metrics in Prometheus' text format (version 0.0.4); `look` says which services and routes there are.
    pub fn render<L: Fn(&RouteKey, Held) -> bool>(&self, look: impl FnOnce() -> Seen<L>) -> Vec<u8> {
        let mut families = self.metrics.gather();
        families.extend(self.series.gather(look));
        let mut text = Vec::new();
        if let Err(error) = TextEncoder::new().encode(&families, &mut text) {
            log::error!("metrics cannot be rendered: {error}");
        }
        text
    }
}
