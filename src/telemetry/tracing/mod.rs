//! Traces: what a request says of the trace that it is part of, and spans of furt's own for a collector.
//!
//! `context` reads and writes the headers, `span` is what is recorded, `otlp` sends it. Which request is recorded is said by the
//! configuration, and decided in `proxy`.

mod context;
mod metrics;
mod otlp;
mod span;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use ureq::tls::Certificate;
use url::Url;

pub use context::{SpanId, TRACEPARENT, TRACESTATE, TraceContext, TraceId, traceparent};
pub use metrics::TracingMetrics;
use otlp::Exporter;
pub use span::{ClientSpan, ServerSpan};

/// How long what waits may take to be sent at the end.
const LAST_EXPORT: Duration = Duration::from_secs(1);

/// Takes spans for the collector of the configuration. Cheap to clone.
#[derive(Clone)]
pub struct Tracer {
    exporter: Arc<ArcSwapOption<Exporter>>,
    node: Arc<str>,
    metrics: TracingMetrics,
}

/// A collector that spans can be sent to, so that switching to it cannot fail. By default there is none.
#[derive(Default)]
pub struct Collector(Option<Arc<Exporter>>);

impl Tracer {
    /// Without a collector. `node` is what this gateway is called in its spans.
    pub fn new(node: &str, metrics: TracingMetrics) -> Self {
        Self { exporter: Arc::default(), node: node.into(), metrics }
    }

    /// The collector at that url, whose certificate is by one of these authorities. Starts its thread, and asks nothing of it yet.
    ///
    /// # Errors
    /// The url is none for a collector.
    pub fn collector(&self, endpoint: &Url, roots: &[Certificate<'static>]) -> Result<Collector, String> {
        let exporter = Exporter::try_new((endpoint, roots), &self.node, self.metrics.clone())?;
        Ok(Collector(Some(Arc::new(exporter))))
    }

    /// Sends further spans there. What waits for the one before is sent first; this blocks until then, a second at most.
    pub fn switch(&self, collector: Collector) {
        if let Some(before) = self.exporter.swap(collector.0) {
            before.close(LAST_EXPORT);
        }
    }

    /// Sends what waits, and no more.
    pub fn close(&self) {
        self.switch(Collector::default());
    }

    /// Hands over the spans of a request. Never waits.
    pub fn export(&self, span: &ServerSpan<'_>) {
        if let Some(exporter) = &*self.exporter.load() {
            exporter.export(span);
        }
    }
}
