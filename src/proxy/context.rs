//! What furt keeps of one request. Dropped with it, however it ends: so its slot is released even on a panic.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, header};
use pingora_proxy::Session;

use super::admission;
use super::answer::GatewayAnswer;
use super::edge::Malformed;
use crate::clock;
use crate::geo::ClientLocation;
use crate::published::Published;
use crate::telemetry::{self, Entry, ProxyMetrics, ResponseFlag};
use furt_core::model::Scheme;
use furt_core::routing::{ApiKey, Instance, Lease, Route, Service, ServiceKind};

/// One request.
pub struct Context {
    began: Instant,
    metrics: Arc<ProxyMetrics>,
    /// The view it is answered from; let go once the service's header is there.
    pub(super) snapshot: Option<Arc<Published>>,
    /// The route it took.
    pub(super) route: Option<Arc<Route>>,
    /// The service behind the route.
    pub(super) service: Option<Arc<Service>>,
    /// The key it came with, where it may take the route with it.
    pub(super) key: Option<Arc<ApiKey>>,
    /// Whether it came with a key that is good here, whatever for; `None`: that was not asked yet.
    pub(super) has_good_key: Option<bool>,
    /// Of the client's connection.
    pub(super) scheme: Scheme,
    /// Who is connected, unmapped.
    pub(super) peer: Option<IpAddr>,
    /// Whose request it is, by trusted proxies' word.
    pub(super) client: Option<IpAddr>,
    /// Whether the peer is a trusted proxy.
    pub(super) is_peer_trusted: bool,
    /// Where the client is, once somebody wanted to know.
    pub(super) client_location: Option<ClientLocation>,
    /// Its id.
    pub(super) request_id: HeaderValue,
    /// The slot at an instance that it holds.
    pub(super) lease: Option<Lease>,
    /// The instance that answered, once the slot at it is released.
    pub(super) instance: Option<Arc<Instance>>,
    /// Whether the instance that answers is known to have failed the request.
    pub(super) is_failed: bool,
    /// Instances that failed it, once for each of their addresses that did.
    pub(super) tried: Vec<Arc<Instance>>,
    /// Attempts to reach an instance so far.
    pub(super) attempts: usize,
    /// Whether the last failure was that of a pooled connection, which says nothing of the instance.
    pub(super) was_stale: bool,
    first_attempt_began: Option<Instant>,
    attempt_began: Option<Instant>,
    /// When the service's header was there, and how long it took from the first attempt on.
    answered: Option<(Instant, Duration)>,
    /// What the edge found wrong with the request's bytes.
    pub(super) malformed: Option<Malformed>,
    /// What the last failed attempt would be answered with.
    pub(super) failure: Option<GatewayAnswer>,
    /// What furt is to answer itself.
    pub(super) refusal: Option<GatewayAnswer>,
    /// How it ended; `None`: with the service's answer.
    pub(super) flag: Option<ResponseFlag>,
    /// Body bytes from the client.
    pub(super) bytes_in: u64,
    /// The most of them that it may send.
    pub(super) max_body: Option<u64>,
    /// Interim answers (1xx) so far.
    pub(super) interim_count: u32,
}

impl Context {
    pub(super) fn new(began: Instant, metrics: Arc<ProxyMetrics>) -> Self {
        metrics.request_began();
        Self {
            began,
            metrics,
            snapshot: None,
            route: None,
            service: None,
            key: None,
            has_good_key: None,
            scheme: Scheme::Http,
            peer: None,
            client: None,
            is_peer_trusted: false,
            client_location: None,
            request_id: HeaderValue::from_static(""),
            lease: None,
            instance: None,
            is_failed: false,
            tried: Vec::new(),
            attempts: 0,
            was_stale: false,
            first_attempt_began: None,
            attempt_began: None,
            answered: None,
            malformed: None,
            failure: None,
            refusal: None,
            flag: None,
            bytes_in: 0,
            max_body: None,
            interim_count: 0,
        }
    }

    /// Takes the route and what it leads to.
    pub(super) fn take_route(&mut self, route: &Arc<Route>, service: Option<&Arc<Service>>) {
        self.route = Some(Arc::clone(route));
        self.service = service.cloned();
    }

    /// The service behind the route, unless the route is static.
    pub(super) fn registered(&self) -> Option<&Service> {
        self.service.as_deref().filter(|service| service.kind == ServiceKind::Registered)
    }

    /// Since the request's header was read.
    pub(super) fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    /// An attempt begins; the first one starts the service's time.
    pub(super) fn note_attempt(&mut self) {
        self.attempts += 1;
        if self.attempts > 1 {
            self.metrics.attempt_retried();
        }
        let now = clock::now();
        self.attempt_began = Some(now);
        self.first_attempt_began.get_or_insert(now);
        // What is sent again is sent from its start.
        self.bytes_in = 0;
        self.is_failed = false;
    }

    /// How long the attempt that is under way has taken.
    pub(super) fn attempt_took(&self) -> Duration {
        self.attempt_began.map_or(Duration::ZERO, |began| clock::now().saturating_duration_since(began))
    }

    /// The service's header is there. From now on only the route and its service are kept, so that a day-long WebSocket
    /// pins no old table.
    pub(super) fn note_response(&mut self) {
        let now = clock::now();
        self.answered = self.first_attempt_began.map(|began| (now, now.saturating_duration_since(began)));
        self.snapshot = None;
        self.tried = Vec::new();
    }

    /// `Server-Timing`: the gateway's own time so far, and the service's, in ms.
    pub(super) fn server_timing(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(48);
        let mut add = |what: &[u8], time: Duration| {
            text.extend_from_slice(what);
            telemetry::append_ms(&mut text, time);
        };
        match self.answered {
            Some((at, upstream)) => {
                add(b"gw;dur=", at.saturating_duration_since(self.began).saturating_sub(upstream));
                add(b", upstream;dur=", upstream);
            }
            None => add(b"gw;dur=", self.elapsed()),
        }
        text
    }

    /// The line of the access log.
    pub(super) fn entry<'a>(&'a self, session: &'a Session, status: u16, elapsed: Duration) -> Entry<'a> {
        let request = session.req_header();
        let instance = self.lease.as_ref().map(Lease::instance).or(self.instance.as_ref()).or(self.tried.last());
        Entry {
            time: clock::unix_ms() - i64::try_from(elapsed.as_millis()).unwrap_or(0),
            request_id: &self.request_id,
            client_ip: self.client,
            method: &request.method,
            host: admission::authority(request.uri.authority(), request.headers.get(header::HOST)),
            path: request.uri.path(),
            route: self.route.as_ref().map(|route| &route.pattern),
            service: self.registered().map(|service| &service.definition.service),
            instance: instance.map(|instance| &instance.spec.id),
            status,
            flag: self.flag,
            bytes_in: self.bytes_in.max(session.body_bytes_read() as u64),
            bytes_out: session.body_bytes_sent() as u64,
            duration: elapsed,
            upstream: self.answered.map(|(_, took)| took),
            retries: u32::try_from(self.attempts.saturating_sub(1)).unwrap_or(u32::MAX),
            key: self.key.as_ref().map(|key| &key.name),
        }
    }
}

impl Drop for Context {
    fn drop(&mut self) {
        self.metrics.request_ended();
        if std::thread::panicking() {
            self.metrics.request_panicked();
        }
    }
}

#[cfg(test)]
mod tests;
