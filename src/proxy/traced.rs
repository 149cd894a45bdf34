//! The trace of one request: which one it is, whether it is recorded, and what was asked for it so far.

use std::net::SocketAddr;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method};
use pingora::http::RequestHeader;

use super::answer::GatewayAnswer;
use super::client::Client;
use crate::clock;
use crate::config::{IncomingTraces, TracingConfig};
use crate::telemetry::{SpanId, TraceContext, TraceId, traceparent};
use furt_core::model::{Percentage, UpstreamHost};
use furt_core::routing::Instance;

/// What furt keeps of the trace of one request.
pub(super) struct Traced {
    pub(super) trace: TraceId,
    /// The span of who sent it; `None`: the trace begins here.
    pub(super) parent: Option<SpanId>,
    /// Its own.
    pub(super) span: SpanId,
    /// What tracing systems say beside that.
    pub(super) state: Option<HeaderValue>,
    /// What is recorded; `None`: nothing is.
    pub(super) recorded: Option<Vec<Asked>>,
}

/// A question that was asked for a request, or is being asked.
pub(super) struct Asked {
    pub(super) span: SpanId,
    pub(super) began: Instant,
    pub(super) ended: Option<Instant>,
    pub(super) method: Method,
    pub(super) url: String,
    pub(super) server: (String, u16),
    pub(super) peer: Option<SocketAddr>,
    /// Whether it is an attempt at an instance.
    pub(super) is_attempt: bool,
    pub(super) status: Option<u16>,
    pub(super) error: Option<&'static str>,
}

impl Traced {
    /// That of a request with these headers. Trusted proxies are part of the same system, so their traces always go on.
    pub(super) fn begin(tracing: &TracingConfig, headers: &HeaderMap, client: &Client) -> Box<Self> {
        let goes_on = client.is_peer_trusted || tracing.incoming == IncomingTraces::Continue;
        let sent = if goes_on { TraceContext::of(headers) } else { None };
        let is_sampled = match &sent {
            Some(sent) => sent.is_sampled,
            None => tracing.share.has(fastrand::u16(0..Percentage::POINTS)),
        };
        let (trace, parent, state) = match sent {
            Some(TraceContext { trace, parent, state, .. }) => (trace, Some(parent), state),
            None => (TraceId::random(), None, None),
        };
        Box::new(Self { trace, parent, span: SpanId::random(), state, recorded: is_sampled.then(Vec::new) })
    }

    /// The id of the trace.
    pub(super) fn id(&self) -> TraceId {
        self.trace
    }

    /// What whoever is asked now is told of the trace: the span that asks, else furt's own.
    pub(super) fn traceparent(&self) -> HeaderValue {
        let asking = self.recorded.as_ref().and_then(|asked| asked.last()).filter(|asked| asked.ended.is_none());
        let span = asking.map_or(self.span, |asked| asked.span);
        traceparent(self.trace, span, self.recorded.is_some())
    }

    /// A server is asked whether the request may come.
    pub(super) fn begin_question(&mut self, url: &url::Url) {
        let Some(recorded) = &mut self.recorded else { return };
        let server = (url.host_str().unwrap_or_default().to_owned(), url.port_or_known_default().unwrap_or_default());
        recorded.push(Asked {
            method: Method::GET,
            url: url[..url::Position::AfterPath].to_owned(),
            server,
            is_attempt: false,
            ..Asked::now()
        });
    }

    /// An attempt at an instance begins.
    pub(super) fn begin_attempt(&mut self, request: &RequestHeader, instance: &Instance, address: SocketAddr) {
        let Some(recorded) = &mut self.recorded else { return };
        let url = &instance.spec.url;
        let host = match &url.host {
            UpstreamHost::Address(address) => address.to_string(),
            UpstreamHost::Name(name) => name.to_string(),
        };
        recorded.push(Asked {
            method: request.method.clone(),
            url: format!("{}://{}{}", url.scheme.as_str(), url.authority(), request.uri.path()),
            server: (host, url.port),
            peer: Some(address),
            is_attempt: true,
            ..Asked::now()
        });
    }

    /// Whoever was asked last has answered, with that status where it is known, or not, for that reason.
    pub(super) fn end_question(&mut self, status: Option<u16>, error: Option<&'static str>) {
        let last = self.recorded.as_mut().and_then(|asked| asked.last_mut());
        if let Some(asked) = last.filter(|asked| asked.ended.is_none()) {
            asked.ended = Some(clock::now());
            (asked.status, asked.error) = (status, error);
        }
    }

    /// The attempt failed, and would be answered so.
    pub(super) fn fail_attempt(&mut self, answer: Option<&GatewayAnswer>) {
        let code = answer.and_then(GatewayAnswer::problem).map_or("client-gone", |problem| problem.code());
        self.end_question(None, Some(code));
    }
}

impl Asked {
    fn now() -> Self {
        Self {
            span: SpanId::random(),
            began: clock::now(),
            ended: None,
            method: Method::GET,
            url: String::new(),
            server: (String::new(), 0),
            peer: None,
            is_attempt: false,
            status: None,
            error: None,
        }
    }
}
