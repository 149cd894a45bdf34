//! Spans to a collector, by OTLP over HTTP with protobuf. The one file that knows the crates of OpenTelemetry.
//!
//! Batches are made and sent on a thread of the SDK's own; a request hands its spans over and never waits.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use opentelemetry::trace::{SpanContext, SpanKind, Status, TraceFlags, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::error::OTelSdkResult;
use opentelemetry_sdk::trace::{
    BatchConfigBuilder, BatchSpanProcessor, SpanData, SpanEvents, SpanExporter, SpanLinks, SpanProcessor as _,
};

use ureq::tls::{Certificate, RootCerts, TlsConfig};
use url::Url;

use super::context::{SpanId, TraceId};
use super::metrics::TracingMetrics;
use super::span::{ClientSpan, ServerSpan};
use crate::telemetry::{COMMIT, VERSION};

/// Spans that wait for the collector; further ones are dropped and counted.
const MAX_QUEUED: usize = 2_048;
/// Spans of one message.
const BATCH: usize = 512;
/// How long the first span of a batch waits for more.
const DELAY: Duration = Duration::from_secs(1);
/// For a whole message, and its answer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// The most of an answer that is read.
const MAX_ANSWER: u64 = 64 * 1024;

/// Sends spans to one collector.
pub(super) struct Exporter {
    processor: BatchSpanProcessor,
    scope: InstrumentationScope,
    waiting: Arc<AtomicUsize>,
    metrics: TracingMetrics,
}

impl Exporter {
    /// To the collector at that url; `node` is what this gateway is called. Nothing is asked of it yet.
    ///
    /// # Errors
    /// The url is none for a collector.
    pub(super) fn try_new(
        (endpoint, roots): (&Url, &[Certificate<'static>]),
        node: &str,
        metrics: TracingMetrics,
    ) -> Result<Self, String> {
        let exporter = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(Client::new(roots))
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", endpoint.as_str().trim_end_matches('/')))
            .with_timeout(TIMEOUT)
            .build()
            .map_err(|error| error.to_string())?;
        let waiting = Arc::<AtomicUsize>::default();
        let counted = Counted { exporter, waiting: Arc::clone(&waiting), metrics: metrics.clone() };
        let batches = BatchConfigBuilder::default()
            .with_max_queue_size(MAX_QUEUED)
            .with_max_export_batch_size(BATCH)
            .with_scheduled_delay(DELAY)
            .build();
        let mut processor = BatchSpanProcessor::builder(counted).with_batch_config(batches).build();
        let resource = Resource::builder_empty().with_attributes([
            KeyValue::new("service.name", "furt"),
            KeyValue::new("service.version", VERSION),
            KeyValue::new("service.instance.id", node.to_owned()),
            KeyValue::new("furt.commit", COMMIT),
        ]);
        processor.set_resource(&resource.build());
        let scope = InstrumentationScope::builder("furt").with_version(VERSION).build();
        Ok(Self { processor, scope, waiting, metrics })
    }

    /// Hands over the spans of a request, or drops and counts them.
    pub(super) fn export(&self, span: &ServerSpan<'_>) {
        let count = 1 + span.asked.len();
        let before = self.waiting.fetch_add(count, Ordering::Relaxed);
        if before + count > MAX_QUEUED {
            self.waiting.fetch_sub(count, Ordering::Relaxed);
            self.metrics.dropped(count as u64);
            return;
        }
        for asked in span.asked {
            self.processor.on_end(self.client(span, asked));
        }
        self.processor.on_end(self.server(span));
    }

    /// Sends what waits, and ends.
    pub(super) fn close(&self, within: Duration) {
        // What could not be sent is counted by then.
        _ = self.processor.shutdown_with_timeout(within);
    }

    fn server(&self, span: &ServerSpan<'_>) -> SpanData {
        let (method, original) = method(span.method.as_str());
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.clone()),
            KeyValue::new("url.scheme", span.scheme),
            KeyValue::new("url.path", span.path.to_owned()),
            KeyValue::new("network.protocol.version", span.protocol),
            KeyValue::new("furt.request_id", span.request_id.to_owned()),
        ];
        let mut text = |name: &'static str, value: Option<&str>| {
            attributes.extend(value.map(|value| KeyValue::new(name, value.to_owned())));
        };
        text("http.request.method_original", original.as_deref());
        text("server.address", Some(span.host).filter(|host| !host.is_empty()));
        text("client.address", span.client.map(|client| client.to_string()).as_deref());
        text("user_agent.original", span.user_agent.as_deref());
        text("http.route", span.route);
        text("furt.service", span.service);
        text("furt.instance", span.instance);
        text("furt.key", span.key);
        let is_failed = span.status == 0 || span.status >= 500;
        let error = span.flag.map(str::to_owned).or_else(|| is_failed.then(|| span.status.to_string()));
        text("error.type", error.as_deref().filter(|_| is_failed || span.flag.is_some() && span.status >= 400));
        if span.status != 0 {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(span.status)));
        }
        let name = match span.route {
            Some(route) => format!("{method} {route}"),
            None => method,
        };
        SpanData {
            parent_span_id: span.parent.map_or(opentelemetry::trace::SpanId::INVALID, id),
            parent_span_is_remote: span.parent.is_some(),
            // Of a 4xx the client is at fault, and the span of the server says nothing.
            status: if is_failed { Status::error("") } else { Status::Unset },
            ..self.span(span, (span.span, SpanKind::Server), name, span.time, attributes)
        }
    }

    fn client(&self, of: &ServerSpan<'_>, span: &ClientSpan) -> SpanData {
        let (method, original) = method(span.method.as_str());
        let mut attributes = vec![
            KeyValue::new("http.request.method", method.clone()),
            KeyValue::new("url.full", span.url.clone()),
            KeyValue::new("server.address", span.server.0.clone()),
            KeyValue::new("server.port", i64::from(span.server.1)),
        ];
        attributes.extend(original.map(|original| KeyValue::new("http.request.method_original", original)));
        if let Some(peer) = span.peer {
            attributes.push(KeyValue::new("network.peer.address", peer.ip().to_string()));
            attributes.push(KeyValue::new("network.peer.port", i64::from(peer.port())));
        }
        if span.resent > 0 {
            attributes.push(KeyValue::new("http.request.resend_count", i64::from(span.resent)));
        }
        if let Some(status) = span.status {
            attributes.push(KeyValue::new("http.response.status_code", i64::from(status)));
        }
        // Of a client a 4xx is a failure as well.
        let failed = span.status.filter(|status| *status >= 400).map(|status| status.to_string());
        let error = span.error.map(str::to_owned).or(failed);
        attributes.extend(error.clone().map(|error| KeyValue::new("error.type", error)));
        SpanData {
            parent_span_id: id(of.span),
            status: if error.is_some() { Status::error("") } else { Status::Unset },
            ..self.span(of, (span.span, SpanKind::Client), method, span.time, attributes)
        }
    }

    fn span(
        &self,
        of: &ServerSpan<'_>,
        (span, span_kind): (SpanId, SpanKind),
        name: String,
        (start_time, end_time): (std::time::SystemTime, std::time::SystemTime),
        attributes: Vec<KeyValue>,
    ) -> SpanData {
        let state = of.state.and_then(|state| state.parse::<TraceState>().ok()).unwrap_or_default();
        SpanData {
            span_context: SpanContext::new(trace_id(of.trace), id(span), TraceFlags::SAMPLED, false, state),
            parent_span_id: opentelemetry::trace::SpanId::INVALID,
            parent_span_is_remote: false,
            span_kind,
            name: name.into(),
            start_time,
            end_time,
            attributes,
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

fn trace_id(trace: TraceId) -> opentelemetry::trace::TraceId {
    opentelemetry::trace::TraceId::from_bytes(trace.bytes())
}

fn id(span: SpanId) -> opentelemetry::trace::SpanId {
    opentelemetry::trace::SpanId::from_bytes(span.bytes())
}

/// A method as the conventions know it, and as it was sent where that is another word: what a client may write is to make no new
/// names.
fn method(sent: &str) -> (String, Option<String>) {
    const KNOWN: [&str; 10] = ["CONNECT", "DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT", "QUERY", "TRACE"];
    match KNOWN.contains(&sent) {
        true => (sent.to_owned(), None),
        false => ("_OTHER".to_owned(), Some(sent.to_owned())),
    }
}

/// Counts what the collector was sent.
#[derive(Debug)]
struct Counted<E> {
    exporter: E,
    waiting: Arc<AtomicUsize>,
    metrics: TracingMetrics,
}

impl<E: SpanExporter> SpanExporter for Counted<E> {
    async fn export(&self, batch: Vec<SpanData>) -> OTelSdkResult {
        let count = batch.len();
        let outcome = self.exporter.export(batch).await;
        self.waiting.fetch_sub(count, Ordering::Relaxed);
        match &outcome {
            Ok(()) => self.metrics.exported(count as u64),
            Err(why) => self.metrics.failed(count as u64, &why.to_string()),
        }
        outcome
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.exporter.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.exporter.set_resource(resource);
    }
}

/// Sends by `ureq`, as all that furt asks others for itself. It blocks, on a thread that does nothing else.
struct Client(ureq::Agent);

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Client")
    }
}

impl Client {
    fn new(roots: &[Certificate<'static>]) -> Self {
        let config = ureq::Agent::config_builder()
            .timeout_global(Some(TIMEOUT))
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .tls_config(TlsConfig::builder().root_certs(RootCerts::new_with_certs(roots)).build())
            .build();
        Self(config.into())
    }
}

#[async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let (parts, body) = request.into_parts();
        let mut asked = self.0.post(parts.uri.to_string());
        for (name, value) in &parts.headers {
            asked = asked.header(name, value);
        }
        let mut answer = asked.send(&body[..])?;
        let text = answer.body_mut().with_config().limit(MAX_ANSWER).read_to_vec()?;
        let status = answer.status();
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() = status;
        Ok(response)
    }
}
