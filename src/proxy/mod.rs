//! The public listener: every request's way from its header to its answer, as Pingora's hooks.
//!
//! client address → path check → route → origin → authentication → permission → limits → instance → forward. Reads the snapshot,
//! the configuration and nothing else; never asks registry, driver, store or api. Hooks here stay thin. What is known of one request
//! is its `context`, grouped by whom it is about.
//!
//! - Who may: `admission` decides, with `credentials`, `identifying` and `vouching` for callers, and `restricting` and `limits`.
//!   `framing` refuses what could be read in two ways, `secure` what must come under TLS. `cors` tells browsers of other origins what
//!   they may.
//! - Where to: `forward` picks and judges failures, with `affinity`, with `splitting` by what `caller` says, and with `queue` where
//!   all are full. `fixed` has the answers of static routes without a service. `hops` is about what goes round or no further,
//!   `client_location` about where the client is.
//! - What passes: `headers` edits, `rewriting` the path, `joining` joins small chunks, `compressing` has answers compressed, `mirror`
//!   copies requests for another service.
//! - Traces: `traced` is what is kept of one, `tracing` tells services of it and hands spans over.
//! - What furt says itself: `answer`, `accept` by whom a page is wanted, `grpc` to calls. `counting` counts.
//! - Connections: `edge` takes them as `listener` has them and makes sessions of them, `h2` of those that speak HTTP/2. `duplex`
//!   passes their bodies to services that speak it too, `websockets` are those that they ask for.

mod accept;
mod admission;
mod affinity;
mod answer;
mod around;
mod attempts;
mod body_watch;
mod caller;
mod challenges;
mod chunks;
mod client;
mod client_location;
mod compressing;
mod context;
mod cors;
mod counting;
mod credentials;
mod duplex;
mod edge;
mod fixed;
mod forward;
mod framing;
mod grpc;
mod h2;
mod headers;
mod hops;
mod http2;
mod identifying;
mod joining;
mod limits;
mod maintenance;
mod malformed;
mod message_headers;
mod mirror;
mod pace;
mod preflight;
mod queue;
mod responding;
mod restricted;
mod restricting;
mod reuse;
mod rewriting;
mod secure;
mod splitting;
mod stand_in;
mod streams;
mod traced;
mod tracing;
mod trailers;
mod unauthorized;
mod upload;
mod vary;
mod vouching;
mod websockets;

pub use client::address as client_address;
pub use edge::Edge;
pub use secure::Https;

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use http::HeaderMap;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::modules::http::HttpModules;
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, Result};
use pingora_proxy::{FailToProxy, ProxyHttp, Session};

use crate::affinity_keys::KeySource;
use crate::clock;
use crate::geo::Geo;
use crate::listener;
use crate::published::Published;
use crate::telemetry::{AccessLog, Issues, ProxyMetrics, ResponseFlag, Tracer};
use crate::tls::{Tls, UpstreamTls};
use crate::wire::{GatewayProblem, Pages};
use admission::Admitted;
use affinity::Affinity;
use answer::GatewayAnswer;
use compressing::{Candidate, Compressor};
use context::Context;
use duplex::Duplex;
use furt_core::model::Scheme;
use limits::AddressRates;
use mirror::Mirrors;
use restricting::RouteLimits;
use secure::Secure;
use streams::Grpc;

/// The longest wait for the rest of a request's body once it is answered.
const DRAIN_TIME: Duration = Duration::from_secs(1);

/// The gateway as Pingora runs it.
pub struct Gateway {
    snapshots: Arc<ArcSwap<Published>>,
    geo: Arc<Geo>,
    affinity: Affinity,
    address_rates: AddressRates,
    route_limits: RouteLimits,
    metrics: Arc<ProxyMetrics>,
    issues: Arc<Issues>,
    access_log: AccessLog,
    tracer: Tracer,
    secure: Secure,
    upstream: Arc<UpstreamTls>,
    duplex: Duplex,
    mirrors: Arc<Mirrors>,
    compressor: Compressor,
}

impl Gateway {
    /// Brings together what requests need; `affinity` has the keys of cookies; `https` is what the public listener has under TLS, if
    /// anything, and `tls` what is in force there; `upstream` is what is towards services; `conf` is Pingora's.
    pub fn new(
        snapshots: Arc<ArcSwap<Published>>,
        (geo, affinity): (Arc<Geo>, KeySource),
        metrics: Arc<ProxyMetrics>,
        issues: Arc<Issues>,
        (access_log, tracer): (AccessLog, Tracer),
        (https, tls): (Option<Https>, Option<Arc<Tls>>),
        (upstream, conf): (Arc<UpstreamTls>, &ServerConf),
    ) -> Self {
        let (affinity, address_rates) = (Affinity::new(affinity), AddressRates::default());
        let route_limits = RouteLimits::default();
        let secure = Secure::new(https, tls);
        let duplex = Duplex::new(conf);
        let mirrors = Mirrors::new(conf, Arc::clone(&upstream), Arc::clone(&metrics));
        let compressor = Compressor::new(Arc::clone(&metrics));
        Self {
            snapshots,
            geo,
            affinity,
            address_rates,
            route_limits,
            metrics,
            issues,
            access_log,
            tracer,
            secure,
            upstream,
            duplex,
            mirrors,
            compressor,
        }
    }

    /// Sends furt's own answer, then reads and drops what the client still sends.
    async fn answer(
        &self,
        session: &mut Session,
        ctx: &mut Context,
        answer: &GatewayAnswer,
        pages: Option<&Pages>,
    ) -> Result<()> {
        ctx.answer.flag = Some(answer.flag());
        // Whoever has the answer may come again, and what is read after it is nobody's request.
        ctx.release_limits();
        if ctx.received.is_call
            && let Some(problem) = answer.problem()
        {
            ctx.answer.grpc_status.get_or_insert(grpc::Status::of_problem(problem));
        }
        // Pingora closes the connection of a request whose body was not read when it is answered.
        if upload::has_arrived(session) {
            responding::drain(session, DRAIN_TIME).await;
        }
        responding::send(answer, session, ctx, pages).await?;
        responding::drain(session, DRAIN_TIME).await;
        Ok(())
    }
}

#[async_trait]
impl ProxyHttp for Gateway {
    // In a box: Pingora has room for it in each of the futures that it nests, and copies them all for each request.
    type CTX = Box<Context>;

    fn new_ctx(&self) -> Self::CTX {
        Box::new(Context::new(clock::now(), Arc::clone(&self.metrics)))
    }

    /// The edge's word on the request, where it has one: Pingora carries it as if it came from the connection's last request.
    fn on_connection_reuse(&self, _: &mut Session, ctx: &mut Self::CTX, told: Box<dyn Any + Send + Sync>) {
        ctx.received.malformed = told.downcast().ok().map(|malformed| *malformed);
    }

    /// No modules: Pingora's default brings one for compression, which would cost every request.
    fn init_downstream_modules(&self, _modules: &mut HttpModules) {}

    async fn early_request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<()> {
        // One for the whole request, so that it sees one configuration with the routes and keys that came with it.
        let snapshot = ctx.snapshot.insert(self.snapshots.load_full());
        ctx.client.scheme = listener::scheme(session.as_downstream());
        if ctx.client.scheme == Scheme::Https {
            ctx.answer.hsts_seconds = snapshot.config.tls.hsts.as_secs();
        }
        ctx.received.max_body_bytes = snapshot.config.limits.max_body;
        if let Some(exchange) = h2::Exchange::of(session) {
            ctx.received.malformed = exchange.malformed;
            ctx.received.is_call = exchange.grpc == Some(Grpc::Call);
            ctx.received.deadline = exchange.deadline;
        }
        let client = &snapshot.config.client;
        session.set_read_timeout(Some(client.body_timeout));
        session.set_write_timeout(Some(client.write_timeout));
        session.set_total_drain_timeout(Some(DRAIN_TIME));
        // An HTTP/1.0 client takes an interim answer for the answer (RFC 9110 §15.2).
        let is_old = session.req_header().version == http::Version::HTTP_10;
        session.set_ignore_info_resp(is_old);
        // `Some(0)` is Pingora's endless keep-alive; where the client closes, or furt stops, it is `None` and stays so.
        if session.get_keepalive() == Some(0) {
            session.set_keepalive(Some(client.keepalive_timeout.as_secs().max(1)));
        }
        Ok(())
    }

    async fn request_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        let snapshot = ctx.snapshot.take().unwrap_or_else(|| self.snapshots.load_full());
        let mut decision = self.admit(session, ctx, &snapshot);
        if let Ok(Admitted::Ask(voucher, usability)) = decision {
            // Apart, so that other requests pay nothing for its size.
            decision = Box::pin(self.ask_and_admit(session, ctx, &snapshot, (voucher, usability))).await;
        }
        let answer = match decision {
            Ok(Admitted::Forward) => {
                ctx.snapshot = Some(snapshot);
                return Ok(false);
            }
            Ok(Admitted::Preflight(answer) | Admitted::Fixed(answer) | Admitted::LastHop(answer)) => answer,
            // It was asked above.
            Ok(Admitted::Ask(..)) => GatewayProblem::AuthUnavailable.into(),
            Ok(Admitted::Challenge(text)) => GatewayAnswer::challenge(text),
            Ok(Admitted::Health) => GatewayAnswer::health(self.health(ctx, session, &snapshot)),
            Err(answer) => {
                // Where the next request begins nobody can tell after a fault of framing.
                if answer.is_framing_fault() || answer.is_last() {
                    session.set_keepalive(None);
                }
                if answer.is_last()
                    && let Some(exchange) = h2::Exchange::of(session)
                {
                    exchange.retire_connection();
                }
                answer
            }
        };
        self.answer(session, ctx, &answer, snapshot.pages.as_deref()).await?;
        Ok(true)
    }

    async fn proxy_upstream_filter(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<bool> {
        if !duplex::may_take(session) {
            return Ok(true);
        }
        // Apart, so that other requests pay nothing for its size.
        Box::pin(self.pass_both_ways(session, ctx)).await
    }

    async fn upstream_peer(&self, session: &mut Session, ctx: &mut Self::CTX) -> Result<Box<HttpPeer>> {
        if let Some(peer) = ctx.attempts.chosen.take() {
            return Ok(peer);
        }
        self.next_peer(session, ctx).await
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        self.remove_forged_country(request, &ctx.client);
        forward::begin_exchange(session);
        if request.version == http::Version::HTTP_2 {
            http2::for_service(session, request, ctx).await?;
        }
        headers::for_service(session, request, ctx)?;
        rewriting::for_service(request, ctx)?;
        cors::for_service(session, request, ctx);
        if ctx.traced.is_some() {
            tracing::for_service(request, ctx)?;
        }
        if let Some(rules) = ctx.target.rules() {
            message_headers::for_service(request, rules)?;
            // What is edited afterwards, no copy has.
            if let Some(mirror) = rules.mirror.clone() {
                self.begin_mirror(session, request, ctx, &mirror);
            }
        }
        affinity::hide(request, ctx)?;
        websockets::for_service(session, request)
    }

    async fn request_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if is_last {
            upload::note_complete(session);
        }
        ctx.received.body_bytes += body.as_ref().map_or(0, |part| part.len() as u64);
        mirror::take_body(ctx, body.as_ref(), is_last);
        forward::check_body(session, ctx)?;
        joining::join(session, body, is_last, ctx);
        // An empty last part would end the body in chunks a second time, and the service would take that for its next request.
        if is_last && body.as_ref().is_some_and(Bytes::is_empty) {
            *body = None;
        }
        Ok(())
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        if framing::is_interim(response.status) {
            ctx.answer.kept_alive = ctx.answer.kept_alive.or(session.get_keepalive());
            headers::for_interim(response);
            return framing::count_interim(&mut ctx.answer.interim_count);
        }
        framing::check_response(response, session.req_header(), session.is_upgrade_req())?;
        if response.status == http::StatusCode::SWITCHING_PROTOCOLS {
            // From now on it is a stream, and no longer a request's body.
            session.set_read_timeout(ctx.snapshot.as_ref().map(|view| view.config.upstream.stream_read_timeout));
            upload::release(session);
            forward::lift_total(session, ctx);
        } else if streams::is_answer(&response.headers) {
            forward::allow_stream(session, ctx);
        }
        if session.req_header().version == http::Version::HTTP_2 {
            websockets::check_answer(session, response, ctx)?;
            // The answer has begun: from now on both sides may be silent for as long as in a stream.
            session.set_read_timeout(ctx.snapshot.as_ref().map(|view| view.config.upstream.stream_read_timeout));
        }
        self.affinity.tell(session, response, ctx)?;
        self.note_header(ctx, response.status);
        if ctx.received.is_call {
            self.note_call_status(ctx, &response.headers);
        }
        if (upload::is_under_way(session) || ctx.restricted.is_some())
            && framing::is_whole_answer(response, session.req_header())
        {
            self.note_answered(session, ctx);
        }
        let candidate = Candidate::look(response, ctx);
        ctx.note_response();
        headers::for_client(session, response, ctx)?;
        match candidate {
            Some(candidate) => self.compressor.begin(session, response, ctx, &candidate),
            None => Ok(()),
        }
    }

    fn response_body_filter(
        &self,
        session: &mut Session,
        body: &mut Option<Bytes>,
        is_last: bool,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Duration>> {
        if is_last {
            self.note_answered(session, ctx);
        }
        if ctx.compressing.is_some() {
            compressing::encode(body, is_last, ctx)?;
        }
        Ok(None)
    }

    async fn response_trailer_filter(
        &self,
        session: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut Self::CTX,
    ) -> Result<Option<Bytes>> {
        compressing::end_before(trailers, session, ctx)
    }

    /// Trailers come from services of HTTP/2 alone: Pingora drops those of HTTP/1.
    fn upstream_response_trailer_filter(
        &self,
        session: &mut Session,
        trailers: &mut HeaderMap,
        ctx: &mut Self::CTX,
    ) -> Result<()> {
        framing::check_trailers(trailers)?;
        if ctx.received.is_call {
            self.note_call_status(ctx, trailers);
        }
        self.note_answered(session, ctx);
        compressing::edit_trailers(trailers, ctx);
        http2::take_trailers(session, trailers, ctx)
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        ctx: &mut Self::CTX,
        error: Box<Error>,
    ) -> Box<Error> {
        self.judge_connect_failure(ctx, error)
    }

    fn error_while_proxy(
        &self,
        peer: &HttpPeer,
        session: &mut Session,
        error: Box<Error>,
        ctx: &mut Self::CTX,
        reused: bool,
    ) -> Box<Error> {
        self.judge_broken_exchange(peer, session, ctx, error, reused)
    }

    async fn fail_to_proxy(&self, session: &mut Session, error: &Error, ctx: &mut Self::CTX) -> FailToProxy {
        let Some(answer) = ctx.answer.refusal.take().or_else(|| forward::answer_for(error)) else {
            ctx.answer.flag = Some(ResponseFlag::ClientGone);
            return FailToProxy { error_code: 0, can_reuse_downstream: false };
        };
        ctx.answer.flag = Some(answer.flag());
        // Pingora closes after a failure; the client is to know.
        session.set_keepalive(None);
        let is_answered = session.response_written().is_some_and(|response| !framing::is_interim(response.status));
        if ctx.received.is_call && answer.problem() == Some(GatewayProblem::UpstreamBroken) {
            ctx.answer.grpc_status = ctx.answer.grpc_status.or(grpc::Status::of_reset(error));
        }
        let told = match is_answered {
            false => {
                let published = ctx.snapshot.clone().unwrap_or_else(|| self.snapshots.load_full());
                self.answer(session, ctx, &answer, published.pages.as_deref()).await
            }
            true if ctx.received.is_call => responding::end_call(&answer, session, ctx).await,
            true => Ok(()),
        };
        if let Err(error) = told {
            log::debug!("the answer could not be sent: {error}");
        }
        FailToProxy { error_code: answer.status().as_u16(), can_reuse_downstream: false }
    }

    /// What goes wrong with a service or a client is in the access log and the counters; a line each would be a way
    /// to fill the disk.
    fn suppress_error_log(&self, _session: &Session, _ctx: &Self::CTX, _error: &Error) -> bool {
        !log::log_enabled!(log::Level::Debug)
    }

    async fn logging(&self, session: &mut Session, error: Option<&Error>, ctx: &mut Self::CTX) {
        self.note_end(ctx, error);
        ctx.release_limits();
        let status = session.response_written().map_or(0, |response| response.status.as_u16());
        let elapsed = ctx.elapsed();
        self.count(ctx, counting::stands_for(ctx, status), elapsed);
        if ctx.traced.is_some() {
            self.export(session, ctx, status, elapsed);
        }
        if self.access_log.is_on() && self.access_log.takes(counting::is_good(ctx, status)) {
            self.access_log.write(&ctx.entry(session, status, elapsed));
        }
    }
}
