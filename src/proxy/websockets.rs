//! What the hooks do for WebSockets, most of it for clients that speak HTTP/2; those of HTTP/1 are Pingora's to know.

use http::Version;
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::answer::GatewayAnswer;
use super::context::Context;
use super::h2::{Exchange, WebSocketKey};
use crate::wire::GatewayProblem;

/// Whether a client asks for a WebSocket, by either protocol.
pub(super) fn is_asked_for(session: &Session) -> bool {
    key(session).is_some() || session.is_upgrade_req()
}

/// Whether a client of HTTP/2 asks for one, to whom any success is one.
pub(super) fn is_over_http2(session: &Session) -> bool {
    key(session).is_some()
}

/// Asks a service of HTTP/1 for the WebSocket that a client of HTTP/2 asks for, if it does.
///
/// # Errors
/// A header that cannot be made; none of these.
pub(super) fn for_service(session: &Session, request: &mut RequestHeader) -> Result<()> {
    match key(session) {
        // In HTTP/2 there is no upgrade.
        Some(key) if request.version == Version::HTTP_11 => key.ask(request),
        _ => Ok(()),
    }
}

/// Checks how such a request is answered.
///
/// # Errors
/// By a success that is no WebSocket. Anybody can bring that about at an instance, so it is no fault of it.
pub(super) fn check_answer(session: &Session, response: &ResponseHeader, ctx: &mut Context) -> Result<()> {
    let Some(Err(why)) = key(session).map(|key| key.check(response)) else { return Ok(()) };
    ctx.answer.refusal = Some(GatewayAnswer::from(GatewayProblem::UpstreamBroken).with_detail(why.to_owned()));
    Err(Error::explain(ErrorType::HTTPStatus(502), why).into_in())
}

fn key(session: &Session) -> Option<&WebSocketKey> {
    Exchange::of(session)?.websocket.as_ref()
}
