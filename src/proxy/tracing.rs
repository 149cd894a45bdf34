//! What services are told of the trace of a request, where `tracing.endpoint` is set, and what is recorded at its end.

use std::time::{Duration, Instant, SystemTime};

use http::{Version, header};
use pingora::Result;
use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::context::Context;
use super::traced::Asked;
use super::{Gateway, framing};
use crate::clock;
use crate::telemetry::{ClientSpan, ResponseFlag, ServerSpan, TRACEPARENT, TRACESTATE, request_id};

/// Tells a service of the trace. What the client said of one is not passed on, unless the trace goes on.
pub(super) fn for_service(request: &mut RequestHeader, ctx: &Context) -> Result<()> {
    let Some(traced) = &ctx.traced else { return Ok(()) };
    request.remove_header(&TRACESTATE);
    if let Some(state) = &traced.state {
        request.insert_header(TRACESTATE, state.clone())?;
    }
    request.insert_header(TRACEPARENT, traced.traceparent())
}

/// A copy is no part of the trace: nobody waits for what becomes of it.
pub(super) fn forget(copy: &mut RequestHeader) {
    copy.remove_header(&TRACEPARENT);
    copy.remove_header(&TRACESTATE);
}

impl Gateway {
    /// Hands over what is recorded of a request that is over.
    pub(super) fn export(&self, session: &Session, ctx: &mut Context, status: u16, elapsed: Duration) {
        let (now, end) = (clock::now(), clock::system_time());
        let of_service = if ctx.answer.flag.is_none() && status != 0 { Some(status) } else { None };
        let flag = ctx.answer.flag.map(ResponseFlag::as_str);
        let Some(traced) = &mut ctx.traced else { return };
        traced.end_question(of_service, flag.filter(|_| of_service.is_none()));
        let Some(recorded) = traced.recorded.take() else { return };
        let at = |moment: Instant| end - now.saturating_duration_since(moment);
        let mut attempts = 0;
        let span = |asked: Asked| {
            let resent = attempts;
            attempts += u32::from(asked.is_attempt);
            ClientSpan {
                span: asked.span,
                time: (at(asked.began), asked.ended.map_or(end, at)),
                method: asked.method,
                url: asked.url,
                server: asked.server,
                peer: asked.peer,
                resent: if asked.is_attempt { resent } else { 0 },
                status: asked.status,
                error: asked.error,
            }
        };
        let asked: Vec<_> = recorded.into_iter().map(span).collect();
        let Some(traced) = &ctx.traced else { return };
        let request = session.req_header();
        let host = framing::authority(request.uri.authority(), request.headers.get(header::HOST));
        let entry = ctx.entry(session, status, elapsed);
        self.tracer.export(&ServerSpan {
            trace: traced.trace,
            parent: traced.parent,
            span: traced.span,
            state: traced.state.as_ref().and_then(|state| state.to_str().ok()),
            time: (end - elapsed.min(end.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default()), end),
            method: entry.method,
            scheme: entry.scheme,
            host: &host,
            path: entry.path,
            protocol: protocol_version(request.version),
            client: entry.client_ip,
            user_agent: entry.user_agent.map(|agent| String::from_utf8_lossy(agent.as_bytes())),
            route: entry.route.map(|route| route.as_str()),
            status,
            flag,
            service: entry.service.map(|service| service.as_str()),
            instance: entry.instance.map(|instance| instance.as_str()),
            key: entry.key.map(|key| key.as_str()),
            request_id: request_id::text(entry.request_id),
            asked: &asked,
        });
    }
}

fn protocol_version(version: Version) -> &'static str {
    match version {
        Version::HTTP_2 => "2",
        Version::HTTP_10 => "1.0",
        _ => "1.1",
    }
}
