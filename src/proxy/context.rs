//! What furt keeps of one request. Dropped with it, however it ends: so its slot is released even on a panic.
//!
//! Grouped by whom it is about: the client, what it sent, its key, where the request goes, the attempts, the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Version, header};
use pingora_proxy::Session;

use super::answer::GatewayAnswer;
use super::attempts::Attempts;
use super::client::Client;
use super::compressing::running::Compressing;
use super::framing;
use super::grpc::{self, Deadline};
use super::joining::held::HeldBody;
use super::malformed::Malformed;
use super::mirror::body::Mirroring;
use super::restricted::Restricted;
use super::traced::Traced;
use super::upload;
use crate::auth::Identity;
use crate::clock;
use crate::published::Published;
use crate::telemetry::{self, Entry, ProxyMetrics, ResponseFlag, TlsOfEntry};
use crate::tls::Handshake;
use furt_core::model::{FixedAnswer, Scheme};
use furt_core::routing::{ApiKey, CorsPolicy, Restriction, Route, RouteRules, Service, ServiceKind};

/// One request.
pub struct Context {
    began: Instant,
    metrics: Arc<ProxyMetrics>,
    /// The view it is answered from; let go once the service's header is there.
    pub(super) snapshot: Option<Arc<Published>>,
    /// Who sent it.
    pub(super) client: Client,
    /// What was sent.
    pub(super) received: Received,
    /// With which key.
    pub(super) credentials: Credentials,
    /// Where it goes.
    pub(super) target: ForwardTarget,
    /// What restricts it, where anything does.
    pub(super) restricted: Option<Box<Restricted>>,
    /// How often that was tried.
    pub(super) attempts: Attempts,
    /// What is done about a copy for another service.
    pub(super) mirroring: Mirroring,
    /// The service's answer, where it is being compressed.
    pub(super) compressing: Option<Box<Compressing>>,
    /// The trace that it is part of, where there are traces.
    pub(super) traced: Option<Box<Traced>>,
    /// What the client is told.
    pub(super) answer: AnswerState,
}

/// What the client sent, beside what Pingora keeps.
pub(super) struct Received {
    /// The request's id, as the client named it or furt did.
    pub(super) request_id: HeaderValue,
    /// What the edge found wrong with the request's bytes.
    pub(super) malformed: Option<Malformed>,
    /// Bytes of the body, in this attempt.
    pub(super) body_bytes: u64,
    /// The most of them that it may send.
    pub(super) max_body_bytes: Option<u64>,
    /// What of the body waits for more of it.
    pub(super) held_body: HeldBody,
    /// Whether it is a gRPC call, of a client that speaks HTTP/2.
    pub(super) is_call: bool,
    /// When the call's time is over.
    pub(super) deadline: Option<Deadline>,
}

impl Received {
    /// Whether it is a call whose time is over.
    pub(super) fn is_overdue(&self) -> bool {
        self.deadline.is_some_and(|deadline| deadline.is_over(clock::now()))
    }
}

/// Who sends a request.
#[derive(Default)]
pub(super) struct Credentials {
    /// The key it came with, where it may take the route with it.
    pub(super) key: Option<Arc<ApiKey>>,
    /// The caller that a provider vouches for.
    pub(super) identity: Option<Arc<Identity>>,
    /// Whether the route asks who sends it.
    pub(super) is_asked_for: bool,
    /// Whether `Authorization` has what is furt's alone, which the service is not to see then: a key, good or not, or the token that
    /// let the request in.
    pub(super) is_in_authorization: bool,
    /// Whether it came with a key that is good here, whatever for, or a provider vouches for it; `None`: that was not asked yet.
    pub(super) has_good_key: Option<bool>,
    /// What the client is to keep, by the word of the server that let it in.
    pub(super) set_cookies: Vec<HeaderValue>,
}

/// Where a request goes.
#[derive(Default)]
pub(super) struct ForwardTarget {
    /// The route it took.
    pub(super) route: Option<Arc<Route>>,
    /// The service behind the route.
    pub(super) service: Option<Arc<Service>>,
    /// The route of a request that was refused before it took one: what its answer says to pages.
    pub(super) refused: Option<Arc<Route>>,
    /// Whether it is a preflight for a route without `cors`, so that the service alone answers it.
    pub(super) is_preflight_of_service: bool,
}

impl ForwardTarget {
    /// Takes the route and what it leads to.
    pub(super) fn take(&mut self, route: &Arc<Route>, service: Option<&Arc<Service>>) {
        self.route = Some(Arc::clone(route));
        self.service = service.cloned();
    }

    /// The options in force for the route.
    pub(super) fn rules(&self) -> Option<&RouteRules> {
        self.route.as_ref()?.rules.as_deref()
    }

    /// The options that an answer has, also one that was given before the route was taken.
    pub(super) fn rules_of_answer(&self) -> Option<&RouteRules> {
        self.route.as_ref().or(self.refused.as_ref())?.rules.as_deref()
    }

    /// What browsers may do from other origins.
    pub(super) fn cors(&self) -> Option<&CorsPolicy> {
        self.rules_of_answer()?.cors.as_ref().filter(|_| !self.is_preflight_of_service)
    }

    /// Whether its service's answer is compressed, if it can be.
    pub(super) fn compresses(&self) -> bool {
        self.rules().is_some_and(|rules| rules.compresses)
    }

    /// Whether not everybody may have what the route answers.
    pub(super) fn is_guarded(&self) -> bool {
        let is_bound = |one: &Restriction| {
            one.said.auth.is_some() || one.said.allow_from.is_some() || one.said.deny_from.is_some()
        };
        self.route.as_ref().is_some_and(|route| route.permission.is_some())
            || self.rules().is_some_and(|rules| rules.restrictions.iter().any(is_bound))
    }

    /// What furt answers itself, where that is what the route leads to.
    pub(super) fn fixed(&self) -> Option<&FixedAnswer> {
        match &self.service.as_ref()?.kind {
            ServiceKind::Answers(fixed) => Some(fixed),
            ServiceKind::Registered | ServiceKind::Static => None,
        }
    }

    /// The service behind the route, unless the route is static.
    pub(super) fn registered(&self) -> Option<&Service> {
        self.service.as_deref().filter(|service| matches!(service.kind, ServiceKind::Registered))
    }
}

/// How a request is answered, where that is not all in the service's answer.
#[derive(Default)]
pub(super) struct AnswerState {
    /// Interim answers (1xx) so far.
    pub(super) interim_count: u32,
    /// The keep-alive in s that the connection had before the first of them: Pingora ends it where one comes before the
    /// body's end, as `100 Continue` does.
    pub(super) kept_alive: Option<u64>,
    /// The age of `Strict-Transport-Security`; 0: it is not sent.
    pub(super) hsts_seconds: u64,
    /// What furt is to answer itself.
    pub(super) refusal: Option<GatewayAnswer>,
    /// How it ended; `None`: with the service's answer.
    pub(super) flag: Option<ResponseFlag>,
    /// How a gRPC call ended, as its client is told.
    pub(super) grpc_status: Option<grpc::Status>,
}

impl Context {
    pub(super) fn new(began: Instant, metrics: Arc<ProxyMetrics>) -> Self {
        metrics.request_began();
        let request_id = HeaderValue::from_static("");
        Self {
            began,
            metrics,
            snapshot: None,
            client: Client::default(),
            received: Received {
                request_id,
                malformed: None,
                body_bytes: 0,
                max_body_bytes: None,
                held_body: HeldBody::default(),
                is_call: false,
                deadline: None,
            },
            credentials: Credentials::default(),
            target: ForwardTarget::default(),
            restricted: None,
            attempts: Attempts::default(),
            mirroring: Mirroring::default(),
            compressing: None,
            traced: None,
            answer: AnswerState::default(),
        }
    }

    /// When it has taken as long as it may; `None`: it may take as long as it likes.
    pub(super) fn total_end(&self) -> Option<Instant> {
        self.began.checked_add(self.restricted.as_ref()?.total?)
    }

    /// It is over for the limits that count it.
    pub(super) fn release_limits(&mut self) {
        if let Some(restricted) = &mut self.restricted {
            restricted.release();
        }
    }

    /// It may take as long as it likes.
    pub(super) fn lift_total(&mut self) {
        if let Some(restricted) = &mut self.restricted {
            restricted.total = None;
        }
    }

    /// Since the request's header was read.
    pub(super) fn elapsed(&self) -> Duration {
        clock::now().saturating_duration_since(self.began)
    }

    /// An attempt begins.
    pub(super) fn note_attempt(&mut self) {
        self.attempts.begin();
        if self.attempts.count > 1 {
            self.metrics.attempt_retried();
        }
        // What is sent again is sent from its start.
        self.received.body_bytes = 0;
        self.received.held_body.clear();
    }

    /// The attempt failed, and would be answered by its failure.
    pub(super) fn note_attempt_failed(&mut self) {
        if let Some(traced) = &mut self.traced {
            traced.fail_attempt(self.attempts.failure.as_ref());
        }
    }

    /// The service's header is there. From now on only the route and its service are kept, so that a day-long WebSocket
    /// pins no old table.
    pub(super) fn note_response(&mut self) {
        self.attempts.note_answered();
        self.snapshot = None;
    }

    /// `Server-Timing`: the gateway's own time so far, and the service's, in ms.
    pub(super) fn server_timing(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(48);
        let mut add = |what: &[u8], time: Duration| {
            text.extend_from_slice(what);
            telemetry::append_ms(&mut text, time);
        };
        match self.attempts.answered() {
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
        Entry {
            time: clock::unix_ms() - i64::try_from(elapsed.as_millis()).unwrap_or(0),
            request_id: &self.received.request_id,
            client_ip: self.client.address,
            method: &request.method,
            protocol: if request.version == Version::HTTP_2 { "h2" } else { "h1" },
            scheme: self.client.scheme.as_str(),
            user_agent: request.headers.get(header::USER_AGENT),
            trace: self.traced.as_ref().map(|traced| traced.id()),
            tls: if self.client.scheme == Scheme::Https { tls(session) } else { None },
            host: framing::authority(request.uri.authority(), request.headers.get(header::HOST)),
            path: request.uri.path(),
            route: self.target.route.as_ref().map(|route| &route.pattern),
            service: self.target.registered().map(|service| &service.definition.service),
            instance: self.attempts.instance().map(|instance| &instance.spec.id),
            version: self
                .attempts
                .instance()
                .and_then(|instance| instance.spec.version.as_ref())
                .map(|version| version.as_str()),
            status,
            flag: self.answer.flag,
            grpc_status: self.answer.grpc_status.map(grpc::Status::number),
            bytes_in: self.received.body_bytes.max(session.body_bytes_read() as u64),
            bytes_out: session.body_bytes_sent() as u64,
            duration: elapsed,
            upstream: self.attempts.answered().map(|(_, took)| took),
            retries: self.attempts.retries(),
            key: self.credentials.key.as_ref().map(|key| &key.name),
            vouched: self.credentials.identity.as_ref().map(|one| (&one.provider, one.subject.as_ref())),
        }
    }
}

fn tls(session: &Session) -> Option<TlsOfEntry<'_>> {
    let secured = upload::secured(session)?;
    let Handshake { version, resumed } = secured.handshake();
    Some(TlsOfEntry { version, sni: secured.asked_for(), resumed })
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
