//! Small chunks of a request's body on its way to a service of HTTP/2: those that arrived together are sent together.
//!
//! Pingora hands on each chunk by itself, and each would become a frame. A server of HTTP/2 may take many small frames for an attack
//! and close the connection: `h2` does so from 0.4.16 on, and then all requests on it fail. Nothing is held back for which nothing
//! else is at hand, so a client that sends a chunk and waits for the answer to it gets that answer.

pub(super) mod held;

use bytes::Bytes;
use pingora_proxy::Session;

use super::context::Context;
use super::upload;
use furt_core::model::Protocol;

/// Replaces a part of the body by all that is to be sent now, which may be nothing. The part is counted already.
pub(super) fn join(session: &Session, part: &mut Option<Bytes>, is_last: bool, ctx: &mut Context) {
    let is_http2 = ctx.attempts.lease.as_ref().is_some_and(|lease| lease.instance().spec.protocol == Protocol::H2c);
    if is_http2 {
        let is_more = !is_last && upload::is_more_at_hand(session, ctx.received.body_bytes);
        ctx.received.held_body.join(part, is_more);
    }
}
