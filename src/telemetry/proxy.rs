//! What the public listener counts of its requests.

use std::sync::Arc;
use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::compression::CompressionMetrics;
use super::exporter::{Exporter, MetricsError};
use super::http2::Http2Metrics;
use super::series::Series;
use furt_core::live::{STATUS_CLASSES, status_class};
use furt_core::model::ServiceName;

/// Upper bounds of `furt_request_duration_seconds`.
const BOUNDS_SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What came of a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyHeaderOutcome {
    /// It names the client.
    Client,
    /// The peer connects for itself, or does not know for whom.
    Own,
    /// What came was none.
    Malformed,
    /// It took too long.
    TimedOut,
    /// The peer left before it.
    Closed,
}

/// What came of the copy of a request for another service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MirrorOutcome {
    /// It was answered, whatever with.
    Answered,
    /// It could not be sent, or was not answered.
    Failed,
    /// It took too long.
    TimedOut,
    /// Not sent: the request's body is too large.
    TooLarge,
    /// Not sent: too many copies are under way.
    TooMany,
    /// Not sent: no instance of the service can be had.
    NoInstance,
    /// Not sent: the request ended before its body was whole.
    CutOff,
}

impl MirrorOutcome {
    const fn label(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Failed => "failed",
            Self::TimedOut => "timed_out",
            Self::TooLarge => "too_large",
            Self::TooMany => "too_many",
            Self::NoInstance => "no_instance",
            Self::CutOff => "cut_off",
        }
    }
}

/// Requests on the public listener. Each method is one atomic operation, or a few.
pub struct ProxyMetrics {
    requests: [IntCounter; STATUS_CLASSES.len()],
    request_seconds: Histogram,
    in_flight: IntGauge,
    waiting: IntGauge,
    key_rate: IntCounter,
    route_rate: IntCounter,
    concurrency: IntCounter,
    address_rate: IntCounter,
    body: IntCounter,
    requests_at_once: IntCounter,
    address_connections: IntCounter,
    panics: IntCounter,
    retries: IntCounter,
    ejections: IntCounter,
    proxy_headers: IntCounterVec,
    mirrored: IntCounterVec,
    /// Answers that are compressed.
    pub compression: CompressionMetrics,
    /// Connections over HTTP/2.
    pub http2: Http2Metrics,
    /// Requests by service and route.
    pub series: Arc<Series>,
}

impl ProxyMetrics {
    pub(super) fn try_new(exporter: &Exporter, series: Arc<Series>) -> Result<Self, MetricsError> {
        let [key_rate, route_rate, concurrency, address_rate, body, requests_at_once, address_connections] = exporter
            .counters(
            "furt_limited_total",
            "Requests that a limit refused, by the limit; connections of an address too",
            "limit",
            ["key-rate", "route-rate", "concurrency", "address-rate", "body", "requests", "address-connections"],
        )?;
        Ok(Self {
            requests: exporter.counters(
                "furt_requests_total",
                "Requests on the public listener, by class of the answer's status",
                "status",
                STATUS_CLASSES,
            )?,
            request_seconds: exporter.histogram(
                "furt_request_duration_seconds",
                "From the request's header to the answer's end",
                &BOUNDS_SECONDS,
            )?,
            in_flight: exporter.gauge("furt_requests_in_flight", "Requests that are being answered")?,
            waiting: exporter
                .gauge("furt_requests_waiting", "Requests that wait since every instance of their service is full")?,
            key_rate,
            route_rate,
            concurrency,
            address_rate,
            body,
            requests_at_once,
            address_connections,
            panics: exporter.counter("furt_request_panics_total", "Requests that ended in a panic")?,
            retries: exporter
                .counter("furt_upstream_retries_total", "Attempts to reach an instance after the first")?,
            ejections: exporter
                .counter("furt_ejections_total", "Instances left out for a while since they failed requests")?,
            proxy_headers: exporter.counter_by(
                "furt_proxy_headers_total",
                "Connections of peers that send a PROXY header, by what came of it",
                &["outcome"],
            )?,
            mirrored: exporter.counter_by(
                "furt_mirrored_total",
                "Copies of requests for another service, by that service and by what came of them",
                &["service", "outcome"],
            )?,
            compression: CompressionMetrics::try_new(exporter)?,
            http2: Http2Metrics::try_new(exporter)?,
            series,
        })
    }

    /// The header of a request was read.
    pub fn request_began(&self) {
        self.in_flight.inc();
    }

    /// A request that began is over, however it ended.
    pub fn request_ended(&self) {
        self.in_flight.dec();
    }

    /// A request was answered with `status`, or without any (0), in `took`.
    pub fn request_answered(&self, status: u16, took: Duration) {
        self.requests[status_class(status)].inc();
        self.request_seconds.observe(took.as_secs_f64());
    }

    /// A request ended in a panic.
    pub fn request_panicked(&self) {
        self.panics.inc();
    }

    /// A request begins to wait because every instance of its service is full.
    pub fn wait_began(&self) {
        self.waiting.inc();
    }

    /// A request that waited has an instance, or gives up.
    pub fn wait_ended(&self) {
        self.waiting.dec();
    }

    /// An instance is tried after another one failed the request.
    pub fn attempt_retried(&self) {
        self.retries.inc();
    }

    /// An instance failed requests and is left out for a while.
    pub fn instance_ejected(&self) {
        self.ejections.inc();
    }

    /// A request was refused because its key has used up its rate.
    pub fn key_rate_exceeded(&self) {
        self.key_rate.inc();
    }

    /// A request was refused because a rate of its route is used up.
    pub fn route_rate_exceeded(&self) {
        self.route_rate.inc();
    }

    /// A request was refused because as many of its route are in flight as may be.
    pub fn concurrency_exceeded(&self) {
        self.concurrency.inc();
    }

    /// A request without a good key was refused because its address has used up its rate.
    pub fn address_rate_exceeded(&self) {
        self.address_rate.inc();
    }

    /// A request was refused because its body is too long.
    pub fn body_too_large(&self) {
        self.body.inc();
    }

    /// A request was refused because too many are being answered.
    pub fn overloaded(&self) {
        self.requests_at_once.inc();
    }

    /// A connection was refused because its address has too many.
    pub fn address_connections_exceeded(&self) {
        self.address_connections.inc();
    }

    /// A PROXY header was read, or was not.
    pub fn proxy_header(&self, outcome: ProxyHeaderOutcome) {
        let outcome = match outcome {
            ProxyHeaderOutcome::Client => "client",
            ProxyHeaderOutcome::Own => "own",
            ProxyHeaderOutcome::Malformed => "malformed",
            ProxyHeaderOutcome::TimedOut => "timeout",
            ProxyHeaderOutcome::Closed => "closed",
        };
        self.proxy_headers.with_label_values(&[outcome]).inc();
    }

    /// A request was to be copied for that service, and this came of it.
    pub fn mirrored(&self, service: &ServiceName, outcome: MirrorOutcome) {
        self.mirrored.with_label_values(&[service.as_str(), outcome.label()]).inc();
    }

    /// Requests that are being answered.
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }

    /// Requests that wait.
    #[cfg(test)]
    pub fn waiting(&self) -> i64 {
        self.waiting.get()
    }

    /// Requests that ended in a panic.
    #[cfg(test)]
    pub fn panics(&self) -> u64 {
        self.panics.get()
    }
}
