//! Static routes that furt answers itself: with another place, or with a text of the operator's. Such a request was let in as
//! any other, so keys, rates and origins were looked at before.

use pingora::http::RequestHeader;
use pingora_proxy::Session;

use super::answer::GatewayAnswer;
use super::client::{Client, FORWARDED_PROTO};
use super::context::Context;
use super::{cors, framing, websockets};
use crate::wire::GatewayProblem;
use furt_core::model::{Asked, FixedAnswer, NoPlace, Scheme};

/// The answer to a request that came to such a route.
///
/// # Errors
/// It would lead back to itself, nobody knows where, or the client would take it for something else.
pub(super) fn answer(fixed: &FixedAnswer, session: &Session, ctx: &Context) -> Result<GatewayAnswer, GatewayAnswer> {
    // Neither a call nor a WebSocket over HTTP/2 knows what a redirect is, or what to do with a success of another kind.
    let is_plain = !ctx.received.is_call && !websockets::is_over_http2(session);
    match fixed {
        FixedAnswer::Respond(respond) if is_plain || !respond.status.is_success() => {
            Ok(GatewayAnswer::respond(respond))
        }
        FixedAnswer::Redirect(redirect) if is_plain => {
            let request = session.req_header();
            let authority = cors::authority(request, &ctx.client);
            let no_place =
                |problem: GatewayProblem, why: NoPlace| GatewayAnswer::from(problem).with_detail(why.to_string());
            let target = std::str::from_utf8(request.raw_path()).unwrap_or("/");
            let scheme = asked_scheme(request, &ctx.client);
            // What a trusted proxy says of the host was not looked at before.
            if !framing::is_host(authority.as_bytes()) {
                return Err(no_place(GatewayProblem::BadRequest, NoPlace::NoHost));
            }
            match redirect.place(Asked { scheme, authority, target }) {
                Ok(place) => Ok(GatewayAnswer::moved(redirect.status, place)),
                Err(NoPlace::Same) => Err(no_place(GatewayProblem::LoopDetected, NoPlace::Same)),
                Err(NoPlace::NoHost) => Err(no_place(GatewayProblem::BadRequest, NoPlace::NoHost)),
            }
        }
        FixedAnswer::Respond(_) | FixedAnswer::Redirect(_) => {
            let detail = "the route is answered by the gateway, and takes no gRPC call and no WebSocket".to_owned();
            Err(GatewayAnswer::from(GatewayProblem::RouteNotFound).with_detail(detail))
        }
    }
}

/// By which scheme the client asks: as a trusted proxy says, or as it is connected.
pub(super) fn asked_scheme(request: &RequestHeader, client: &Client) -> Scheme {
    let told = request.headers.get(FORWARDED_PROTO).filter(|_| client.is_peer_trusted);
    let first = told.and_then(|told| told.as_bytes().split(|byte| *byte == b',').next()).unwrap_or_default();
    match first.trim_ascii() {
        first if first.eq_ignore_ascii_case(b"https") => Scheme::Https,
        first if first.eq_ignore_ascii_case(b"http") => Scheme::Http,
        _ => client.scheme,
    }
}
