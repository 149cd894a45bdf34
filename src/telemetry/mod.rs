//! What furt tells of itself: metrics for Prometheus, the access log, the last events, the condition of its store.
//!
//! Each consumer has a handle of its own, with a method for each thing that it counts. Handles are made once, at the start;
//! nothing is looked up by name on the request path. No file outside this folder knows the `prometheus` crate. Knows
//! nothing of registry or proxy: they count, this keeps.
//!
//! Reading order: `collector` (all handles), `exporter` (how a metric is made), the handles, `series`, `access_log`.

mod access_log;
mod cluster;
mod collector;
mod compression;
mod connections;
mod decimal;
mod events;
mod exporter;
mod forward_auth;
mod geo;
mod history;
mod http2;
mod issues;
mod process;
mod proxy;
mod registry;
mod reloads;
pub mod request_id;
mod series;
mod shared_store;
mod status_changes;
mod tls;
mod tokens;
mod tracing;
mod vault;

pub use access_log::{AccessLog, AccessLogError, AccessLogMetrics, Entry, OpenedLog, ResponseFlag, TlsOfEntry};
pub use cluster::ClusterMetrics;
pub use collector::{COMMIT, Telemetry, VERSION};
pub use compression::CompressionMetrics;
pub use connections::ConnectionMetrics;
pub use decimal::append_ms;
pub use events::{Event, Events, NewEvents};
pub use exporter::{Exposition, MetricsError};
pub use forward_auth::{ForwardAuthCounters, ForwardAuthMetrics, ForwardAuthOutcome};
pub use geo::DatabaseMetrics;
pub use history::{History, INTERVAL as HISTORY_INTERVAL, POINTS, Point, ServiceTrafficSample};
pub use http2::{Http2End, Http2Metrics, OpenHttp2};
pub use issues::Issues;
pub use process::{ProcessSample, sample};
pub use proxy::{MirrorOutcome, ProxyHeaderOutcome, ProxyMetrics};
pub use registry::RegistryMetrics;
pub use reloads::ReloadMetrics;
pub use series::{CounterUse, RouteKey, ScrapeView, Series, ServiceSample};
pub use shared_store::SharedStoreMetrics;
pub use status_changes::{KEPT_MS as STATUS_KEPT_MS, StatusChange, StatusChanges};
pub use tls::{CertificateSample, ClientAuthSample, HandshakeOutcome, OrderOutcome, TlsMetrics};
pub use tokens::{IssuerMetrics, TokenMetrics, TokenOutcome};
pub use tracing::{
    ClientSpan, Collector, ServerSpan, SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId, Tracer, TracingMetrics,
    traceparent,
};
pub use vault::VaultMetrics;
