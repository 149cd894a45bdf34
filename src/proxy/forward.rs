//! Forwarding: which instance comes next, which failures are tried again, what a failure is called.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorSource, ErrorType, Result, RetryType};
use pingora_proxy::Session;

use super::Gateway;
use super::answer::GatewayAnswer;
use super::attempts::Attempts;
use super::body_watch::{BodyTooSlow, BodyWatch};
use super::chunks::{MALFORMED_CHUNKS, MalformedChunks};
use super::context::Context;
use super::framing;
use super::grpc::{self, DeadlineOver};
use super::h2::Exchange;
use super::http2;
use super::pace::BodyLimits;
use super::queue::Unserved;
use super::restricting;
use super::reuse;
use super::splitting;
use super::streams;
use super::upload;
use crate::clock;
use crate::config::Config;
use crate::listener::{ServiceTime, TimeOver};
use crate::upstream::{self, PeerTimeouts};
use crate::wire::GatewayProblem;
use furt_core::model::Protocol;
use furt_core::routing::{Instance, Lease, NoInstance, Outcome, PoolGroup, SelectionInput, Service};

/// What `Retry-After` says where every instance is draining, in seconds: as long as a service takes to start anew.
const DRAINING_RETRY_AFTER: &str = "5";

/// A pooled connection that breaks within this time was closed before the request came (Pingora cannot tell); one that
/// breaks later was broken by what the instance did with it.
const STALE_WITHIN: Duration = Duration::from_secs(1);

/// A client that has sent nothing of its body for so long is what a service waited for.
const CLIENT_PAUSE: Duration = Duration::from_secs(1);

impl Gateway {
    /// The next instance to try, with a slot held at it.
    pub(super) async fn next_peer(&self, session: &mut Session, ctx: &mut Context) -> Result<Box<HttpPeer>> {
        ctx.attempts.lease = None;
        let taken = self.take_slot(session, ctx).await;
        let (Some(service), Some(snapshot)) = (ctx.target.service.clone(), &ctx.snapshot) else {
            return refuse(ctx, GatewayProblem::NoInstance.into());
        };
        let is_stream = is_stream(session);
        let mut timeouts = timeouts(&snapshot.config, session, ctx, &service, is_stream);
        if ctx.restricted.is_some()
            && let Err(answer) = limit_time(session, ctx, &mut timeouts)
        {
            return refuse(ctx, answer);
        }
        if is_stream && session.req_header().version == http::Version::HTTP_2 {
            session.set_read_timeout(Some(snapshot.config.upstream.stream_read_timeout));
        }
        if let Some(watch) = upload::watch(session).filter(|_| !is_stream) {
            watch.limit_body(BodyLimits::new(&snapshot.config.client));
        }
        if let Some(deadline) = ctx.received.deadline {
            let left = deadline.left(clock::now());
            if left.is_zero() {
                return refuse(ctx, GatewayProblem::DeadlineExceeded.into());
            }
            timeouts.connect = timeouts.connect.min(left);
        }
        let lease = match taken {
            Ok(lease) => lease,
            // With no instance left to try, what went wrong with the last one is the answer.
            Err(Unserved::ClientGone) => return Err(Error::new_down(ErrorType::ConnectionClosed)),
            Err(Unserved::NoInstance(none)) => {
                let takes_none = |one: &Instance| !takes_calls(one);
                let needs_h2c = ctx.received.is_call && splitting::all_are(&service, ctx.attempts.side, takes_none);
                let unavailable = || match needs_h2c {
                    true => GatewayProblem::GrpcNeedsH2c.into(),
                    false => self.unavailable(none),
                };
                let answer = restricting::out_of_time(ctx, GatewayProblem::UpstreamTimeout)
                    .or_else(|| ctx.attempts.failure.take())
                    .unwrap_or_else(unavailable);
                return refuse(ctx, answer);
            }
        };
        if ctx.attempts.count == 0 {
            service.live.retries.earn();
        }
        ctx.note_attempt();
        let instance = lease.instance();
        let Some(&address) = instance.addresses.get(ctx.attempts.failures(instance) % instance.addresses.len().max(1))
        else {
            return refuse(ctx, GatewayProblem::NoInstance.into());
        };
        let is_upgrade = is_stream && session.is_upgrade_req();
        let may_retry = retries(ctx) > 0;
        let reuse = reuse::choose(session, (is_upgrade, may_retry), ctx.attempts.was_stale, instance, &mut timeouts);
        let trust = (&*self.upstream, ctx.target.registered().map(|service| &service.definition.service));
        let peer = upstream::peer(&instance.spec, address, instance.pool_key(), timeouts, reuse, trust);
        if let Some(traced) = &mut ctx.traced {
            traced.begin_attempt(session.req_header(), instance, address);
        }
        ctx.attempts.lease = Some(lease);
        match peer {
            Ok(peer) => Ok(Box::new(peer)),
            Err(why) => refuse(ctx, GatewayAnswer::from(GatewayProblem::TlsFailed).with_detail(why.to_owned())),
        }
    }

    async fn take_slot(&self, session: &mut Session, ctx: &mut Context) -> std::result::Result<Lease, Unserved> {
        let service = ctx.target.service.clone().ok_or(NoInstance::Unavailable)?;
        match self.choose(session, &service, ctx) {
            // Apart, so that the future of every request is not as large as that of those who wait.
            Err(NoInstance::Full) => Box::pin(self.wait_for_slot(session, service, ctx)).await,
            chosen => Ok(chosen?),
        }
    }

    /// The instance that the request should have, by all that is known of it, with a slot held at it.
    pub(super) fn choose(
        &self,
        session: &Session,
        service: &Service,
        ctx: &mut Context,
    ) -> std::result::Result<Lease, NoInstance> {
        let sent = &session.req_header().headers;
        ctx.attempts.side = splitting::side(service, sent, ctx);
        let preferred = self.affinity.instance_of(service, sent, ctx.attempts.side, ctx.client.address);
        let input = SelectionInput { preferred: preferred.as_ref(), ..self.input(session, service, &mut ctx.client) };
        let lease = pick(service, &ctx.attempts, ctx.received.is_call, &input)?;
        // One that is only full for a moment has its client back after it; one of another side has not.
        let part = splitting::part(service, ctx.attempts.side);
        let stays =
            preferred.as_ref().is_some_and(|id| part.takes_requests(id, input.now_ms) && !ctx.attempts.has_failed(id));
        if !stays {
            self.affinity.note(service, ctx.attempts.side, ctx.client.address, lease.instance());
        }
        Ok(lease)
    }

    /// How the instance began to answer. Whether that was good, its end tells; of a stream that is too late.
    pub(super) fn note_header(&self, ctx: &mut Context, status: StatusCode) {
        // A loop is its request's: by what a client writes into Via, no instance is to lose its requests.
        ctx.attempts.is_failed = status.is_server_error() && status != StatusCode::LOOP_DETECTED;
        if ctx.attempts.is_failed {
            self.note_failure(ctx);
        } else if status == StatusCode::SWITCHING_PROTOCOLS {
            note_success(ctx);
        }
    }

    /// How a gRPC call ended, where that is in the header of its answer or in the trailers.
    pub(super) fn note_call_status(&self, ctx: &mut Context, fields: &HeaderMap) {
        let Some(status) = grpc::Status::of(fields) else { return };
        ctx.answer.grpc_status = Some(status);
        if status.is_failure() && !ctx.attempts.is_failed {
            ctx.attempts.is_failed = true;
            self.note_failure(ctx);
        }
    }

    /// The whole answer of the service is there. A body that nobody waits for any more keeps no slot at the instance, and counts for
    /// limits until it ends; without one the next request of the caller may come before this one is logged.
    pub(super) fn note_answered(&self, session: &Session, ctx: &mut Context) {
        if upload::is_under_way(session) {
            self.note_end(ctx, None);
        } else {
            ctx.release_limits();
        }
    }

    /// The request is over, or its answer is whole: releases its slot, now rather than when Pingora is done with the connection.
    pub(super) fn note_end(&self, ctx: &mut Context, error: Option<&Error>) {
        if error.is_none() && !ctx.attempts.is_failed {
            note_success(ctx);
        }
        ctx.attempts.release();
    }

    fn note_failure(&self, ctx: &Context) {
        let (Some(service), Some(lease)) = (&ctx.target.service, &ctx.attempts.lease) else { return };
        let instance = lease.instance();
        if let Some(time) = service.note_outcome(instance, Outcome::Bad, clock::unix_ms()) {
            self.metrics.instance_ejected();
            let (name, id) = (&service.definition.service, &instance.spec.id);
            log::warn!("instance {name}/{id} failed requests in a row and gets none for {} s", time.as_secs());
        }
    }

    fn unavailable(&self, none: NoInstance) -> GatewayAnswer {
        let (problem, retry_after) = match none {
            NoInstance::Unavailable => (GatewayProblem::NoInstance, "1"),
            NoInstance::Full => (GatewayProblem::InstancesFull, "1"),
            NoInstance::Draining => (GatewayProblem::Draining, DRAINING_RETRY_AFTER),
        };
        GatewayAnswer::from(problem).with_header(header::RETRY_AFTER, retry_after)
    }

    /// Nothing was sent, so another instance may be tried, whatever the method.
    pub(super) fn judge_connect_failure(&self, ctx: &mut Context, mut error: Box<Error>) -> Box<Error> {
        if ctx.received.is_overdue() {
            return overdue(ctx, error);
        }
        if let Some(answer) = restricting::out_of_time(ctx, GatewayProblem::UpstreamTimeout) {
            return ended(ctx, error, answer);
        }
        ctx.attempts.was_stale = http2::is_stale_connection(&error);
        // No socket or no port to be had is furt's own trouble.
        if error.etype() != &ErrorType::InternalError && !ctx.attempts.was_stale {
            self.note_failure(ctx);
        }
        ctx.attempts.note_address_failed();
        ctx.attempts.failure = answer_for(&error);
        ctx.note_attempt_failed();
        error.set_retry(ctx.attempts.count <= retries(ctx));
        error
    }

    /// Something was sent: sent again only if it may be repeated and can be, and the budget pays; where it was lost on a
    /// pooled connection that had gone stale, without the budget and to the same instance if need be. So is one that the
    /// service says it did not process, whatever its method. A service that takes too long is not given the same work twice.
    pub(super) fn judge_broken_exchange(
        &self,
        peer: &HttpPeer,
        session: &Session,
        ctx: &mut Context,
        error: Box<Error>,
        reused: bool,
    ) -> Box<Error> {
        let is_request_over =
            upload::time_over(&error) == Some(TimeOver::Request) || error.etype() == &ErrorType::WriteTimedout;
        let mut error = upload_error(error).more_context(format!("{peer}"));
        if is_request_over && let Some(answer) = restricting::out_of_time(ctx, waited_for(session)) {
            return ended(ctx, error, answer);
        }
        if ctx.received.is_overdue() && answer_for(&error).is_some() {
            return overdue(ctx, error);
        }
        if error.etype() == &ErrorType::ReadTimedout
            && error.esource() == &ErrorSource::Upstream
            && let Some(lease) = &ctx.attempts.lease
        {
            // Pingora does so itself only where it has timed the service.
            lease.instance().abandon_pool(PoolGroup(peer.group_key));
        }
        let is_unprocessed = http2::is_unprocessed(&error);
        let is_last = ctx.attempts.count > retries(ctx);
        // Who refuses a request for the last time has failed it.
        let was_closed = reused
            && matches!(error.retry, RetryType::ReusedOnly | RetryType::Decided(true))
            && ctx.attempts.last_took() < STALE_WITHIN;
        if was_closed && !is_unprocessed {
            reuse::note_stale(session, ctx);
        }
        ctx.attempts.was_stale = is_unprocessed && !is_last || was_closed;
        // A service that gives up on a client that does not send on is not at fault.
        let is_client_late = upload::watch(session).is_some_and(|watch| watch.client_pauses(CLIENT_PAUSE));
        if !ctx.attempts.was_stale
            && !ctx.attempts.is_failed
            && !is_client_late
            && error.esource() == &ErrorSource::Upstream
        {
            ctx.attempts.is_failed = true;
            self.note_failure(ctx);
        }
        ctx.attempts.note_instance_failed();
        ctx.attempts.failure = answer_for(&error);
        ctx.note_attempt_failed();
        // What furt itself said before the answer changes nothing for the next service.
        let has_begun =
            session.response_written().is_some_and(|written| !is_unprocessed || !framing::is_interim(written.status));
        let may_repeat = !is_last
            && (is_unprocessed || session.req_header().method.is_idempotent())
            && !session.as_ref().retry_buffer_truncated()
            && !has_begun
            && error.esource() == &ErrorSource::Upstream
            && !matches!(error.etype(), ErrorType::ReadTimedout | ErrorType::WriteTimedout);
        let is_paid = |ctx: &Context| {
            ctx.target.service.as_ref().is_some_and(|service| service.live.retries.spend(clock::unix_ms()))
        };
        error.set_retry(may_repeat && (ctx.attempts.was_stale || is_paid(ctx)));
        error
    }
}

/// What failed failed as the time of its call was over: no fault of the instance, which may not have had time enough.
fn overdue(ctx: &mut Context, error: Box<Error>) -> Box<Error> {
    ended(ctx, error, GatewayProblem::DeadlineExceeded.into())
}

/// The time of the request is over: no fault of the instance, and nothing is sent again.
fn ended(ctx: &mut Context, mut error: Box<Error>, answer: GatewayAnswer) -> Box<Error> {
    ctx.answer.refusal = Some(answer);
    error.set_retry(false);
    error
}

/// Who is waited for where the request took too long: the service, unless the client's body is still to come.
fn waited_for(session: &Session) -> GatewayProblem {
    let is_service_due = upload::service_time(session).is_some_and(ServiceTime::is_due);
    if is_service_due || !upload::is_under_way(session) {
        GatewayProblem::UpstreamTimeout
    } else {
        GatewayProblem::BodyTimeout
    }
}

/// Holds an attempt to what is left of the time that the request may take. What the client asks for does not lift that: only an
/// answer that is a stream does.
///
/// # Errors
/// Nothing is left.
fn limit_time(session: &Session, ctx: &Context, timeouts: &mut PeerTimeouts) -> std::result::Result<(), GatewayAnswer> {
    if let Some(answer) = restricting::out_of_time(ctx, GatewayProblem::UpstreamTimeout) {
        return Err(answer);
    }
    let Some(left) = ctx.total_end().map(|end| end.saturating_duration_since(clock::now())) else { return Ok(()) };
    timeouts.connect = timeouts.connect.min(left);
    timeouts.write = timeouts.write.min(left);
    if let Some(time) = upload::service_time(session) {
        time.limit_request(Some(left));
    }
    Ok(())
}

/// Whether gRPC calls can be sent to the instance.
fn takes_calls(instance: &Instance) -> bool {
    instance.spec.protocol == Protocol::H2c
}

fn note_success(ctx: &Context) {
    if let (Some(service), Some(lease)) = (&ctx.target.service, &ctx.attempts.lease) {
        // What ends a row of failures needs no time of day.
        service.note_outcome(lease.instance(), Outcome::Good, 0);
    }
}

/// Whether the exchange may be silent for long, as far as the request tells: an upgrade, server-sent events, gRPC.
fn is_stream(session: &Session) -> bool {
    let headers = &session.req_header().headers;
    let is_grpc = match Exchange::of(session) {
        Some(exchange) => exchange.grpc.is_some(),
        None => upload::may_have_body(session) && streams::is_grpc_message(headers),
    };
    is_grpc || session.is_upgrade_req() || streams::is_asked_for(headers)
}

/// The timeouts of an attempt; the client's connection is told how long to wait for the service.
fn timeouts(config: &Config, session: &Session, ctx: &Context, service: &Service, is_stream: bool) -> PeerTimeouts {
    let (upstream, own) = (&config.upstream, &service.definition.timeouts);
    let read = read_timeout(config, ctx, service);
    let is_upgrade = session.is_upgrade_req();
    let silence = if is_stream { read.max(upstream.stream_read_timeout) } else { read };
    let time = upload::service_time(session);
    if let Some(time) = time {
        time.prepare(silence);
    }
    PeerTimeouts {
        connect: own.connect.unwrap_or(upstream.connect_timeout),
        read: match time {
            // Of a service that takes nothing of a body Pingora waits for an answer, without end unless it is told one.
            Some(_) if !is_upgrade && upload::may_have_body(session) => {
                Some(silence.max(upstream.stream_read_timeout).saturating_add(config.client.body_timeout))
            }
            Some(_) if !is_upgrade => None,
            // Of a tunnel nobody knows who is waited for; before it is one, its client may pause.
            Some(_) if upload::may_have_body(session) => Some(silence.saturating_add(config.client.body_timeout)),
            Some(_) | None => Some(silence),
        },
        write: silence,
        idle: upstream.idle_timeout,
    }
}

fn read_timeout(config: &Config, ctx: &Context, service: &Service) -> Duration {
    let of_route = ctx.target.rules().and_then(|rules| rules.read_timeout);
    of_route.or(service.definition.timeouts.read).unwrap_or(config.upstream.read_timeout)
}

/// The service is connected, and is sent the request next.
pub(super) fn begin_exchange(session: &mut Session) {
    if !upload::may_have_body(session) || session.as_downstream_mut().is_body_empty() {
        upload::note_complete(session);
    } else if awaits_consent(session)
        && upload::watch(session).is_some_and(BodyWatch::is_unheard)
        && let Some(time) = upload::service_time(session)
    {
        // It is to say first whether it wants the body.
        time.start();
    }
}

/// The answer is a stream: from its header on the service may do nothing for as long as in any.
pub(super) fn allow_stream(session: &Session, ctx: &mut Context) {
    lift_total(session, ctx);
    let (Some(service), Some(snapshot)) = (&ctx.target.service, &ctx.snapshot) else { return };
    if let Some(time) = upload::service_time(session) {
        let read = read_timeout(&snapshot.config, ctx, service);
        time.allow(read.max(snapshot.config.upstream.stream_read_timeout));
    }
}

/// The answer is a stream or a tunnel, which may take as long as it likes.
pub(super) fn lift_total(session: &Session, ctx: &mut Context) {
    if ctx.total_end().is_some() {
        ctx.lift_total();
        if let Some(time) = upload::service_time(session) {
            time.limit_request(None);
        }
    }
}

/// Attempts after the first; once an answer has begun there are none.
pub(super) fn retries(ctx: &Context) -> usize {
    let most = ctx.snapshot.as_ref().map_or(0, |snapshot| snapshot.config.upstream.retries);
    let allowed = ctx.restricted.as_ref().and_then(|restricted| restricted.retries);
    allowed.map_or(most, |allowed| most.min(allowed.into()))
}

/// An instance of the request's side of a split before any other; for a gRPC call only one that takes calls.
fn pick(
    service: &Service,
    attempts: &Attempts,
    is_call: bool,
    input: &SelectionInput<'_>,
) -> std::result::Result<Lease, NoInstance> {
    let (Some(split), Some(side)) = (&service.split, attempts.side) else {
        return pick_among(service, attempts, is_call, input);
    };
    if splitting::is_strict(service) {
        let picked = pick_among(split.side(side), attempts, is_call, input);
        return picked.map_err(|none| if none == NoInstance::Draining { NoInstance::Unavailable } else { none });
    }
    let is_unfit = |instance: &Instance| is_call && !takes_calls(instance);
    let untried = |instance: &Instance| attempts.failures(instance) > 0 || is_unfit(instance);
    let picked = splitting::pick_of_side(split, side, input, untried)
        // Where a pooled connection had gone stale, the instance itself is as good as before.
        .or_else(|| attempts.was_stale.then(|| splitting::pick_of_side(split, side, input, is_unfit)).flatten());
    if let Some(picked) = picked {
        return picked;
    }
    let others = || splitting::others(split, side);
    let sound = others().filter_map(|other| splitting::pick_of_side(split, other, input, untried));
    if let Some(picked) = splitting::first(sound) {
        return picked;
    }
    let sides = std::iter::once(side).chain(others());
    splitting::first(sides.map(|one| pick_among(split.side(one), attempts, is_call, input)))
        .unwrap_or(Err(NoInstance::Unavailable))
}

/// Another instance before another address of one that failed; for a gRPC call only one that takes calls.
fn pick_among(
    service: &Service,
    attempts: &Attempts,
    is_call: bool,
    input: &SelectionInput<'_>,
) -> std::result::Result<Lease, NoInstance> {
    let is_unfit = |instance: &Instance| is_call && !takes_calls(instance);
    match service.pick(input, |instance| attempts.failures(instance) > 0 || is_unfit(instance)) {
        Err(NoInstance::Unavailable | NoInstance::Draining) if attempts.any_failed() => {}
        picked => return picked,
    }
    let has_failed = |instance: &Instance| attempts.failures(instance) >= instance.addresses.len();
    match service.pick(input, |instance| has_failed(instance) || is_unfit(instance)) {
        // Where a pooled connection had gone stale, the instance itself is as good as before.
        Err(NoInstance::Unavailable | NoInstance::Draining) if attempts.was_stale => service.pick(input, is_unfit),
        picked => picked,
    }
}

/// The service may say first whether it wants the body (RFC 9110 §10.1.1), unless that was said at an attempt before.
fn awaits_consent(session: &Session) -> bool {
    http2::expects_continue(&session.req_header().headers) && session.response_written().is_none()
}

/// What a failed read of the client's connection stands for, where its [`upload::Upload`] failed it.
fn upload_error(error: Box<Error>) -> Box<Error> {
    match upload::failed_by(&error) {
        Some(cause) if let Some(over) = cause.downcast_ref::<TimeOver>() => {
            Error::explain(ErrorType::ReadTimedout, over.to_string()).into_up()
        }
        Some(cause) if cause.is::<DeadlineOver>() => {
            Error::explain(ErrorType::ReadTimedout, DeadlineOver.to_string()).into_down()
        }
        Some(cause) if cause.is::<BodyTooSlow>() => {
            Error::explain(ErrorType::ReadTimedout, BodyTooSlow.to_string()).into_down()
        }
        Some(cause) if cause.is::<MalformedChunks>() => {
            Error::explain(ErrorType::InvalidHTTPHeader, MALFORMED_CHUNKS).into_down()
        }
        _ => error,
    }
}

fn refuse<T>(ctx: &mut Context, answer: GatewayAnswer) -> Result<T> {
    let status = answer.status().as_u16();
    ctx.answer.refusal = Some(answer);
    Error::e_explain(ErrorType::HTTPStatus(status), "no instance")
}

/// A body that says its length was looked at before; this one may have come in chunks.
///
/// # Errors
/// It is larger than the gateway takes: the client's fault, and no sign of the instance.
pub(super) fn check_body(session: &Session, ctx: &mut Context) -> Result<()> {
    let is_beyond = ctx.received.max_body_bytes.is_some_and(|most| ctx.received.body_bytes > most);
    if !is_beyond || session.was_upgraded() {
        return Ok(());
    }
    ctx.answer.refusal = Some(GatewayProblem::BodyTooLarge.into());
    Err(Error::explain(ErrorType::HTTPStatus(413), "the body is too large").into_down())
}

/// What a failure is answered with; `None`: the client is gone, there is nobody to answer.
pub(super) fn answer_for(error: &Error) -> Option<GatewayAnswer> {
    let problem = match (error.esource(), error.etype()) {
        (ErrorSource::Downstream, ErrorType::ReadTimedout) => GatewayProblem::BodyTimeout,
        (
            ErrorSource::Downstream,
            ErrorType::ReadError | ErrorType::WriteError | ErrorType::ConnectionClosed | ErrorType::WriteTimedout,
        ) => return None,
        (ErrorSource::Downstream, _) => GatewayProblem::BadRequest,
        (_, ErrorType::InternalError) => GatewayProblem::Internal,
        (_, ErrorType::ConnectTimedout | ErrorType::TLSHandshakeTimedout) => GatewayProblem::ConnectTimeout,
        (_, ErrorType::InvalidCert | ErrorType::TLSHandshakeFailure) => GatewayProblem::TlsFailed,
        (
            _,
            ErrorType::ConnectRefused
            | ErrorType::ConnectNoRoute
            | ErrorType::ConnectError
            | ErrorType::ConnectProxyFailure
            | ErrorType::BindError
            | ErrorType::SocketError,
        ) => GatewayProblem::ConnectFailed,
        (ErrorSource::Upstream, ErrorType::ReadTimedout | ErrorType::WriteTimedout) => GatewayProblem::UpstreamTimeout,
        (ErrorSource::Upstream, _) => GatewayProblem::UpstreamBroken,
        (ErrorSource::Internal | ErrorSource::Unset, _) => GatewayProblem::Internal,
    };
    Some(problem.into())
}
