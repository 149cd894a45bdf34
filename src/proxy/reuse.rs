//! Which connection to an instance a request may have: one that was used before is cheaper, and may be closed by the service
//! while the request is sent.
//!
//! Requests that may be repeated, and others, have connections of their own where the others need younger ones.

use http::HeaderValue;
use pingora_proxy::Session;

use super::context::Context;
use super::upload;
use crate::upstream::{PeerTimeouts, Reuse};
use furt_core::model::Protocol;
use furt_core::routing::Instance;

/// What the next attempt at `instance` may use; writes into `timeouts` how long it is kept afterwards. One that may not be sent again
/// (`may_retry`) goes on no connection that may be closed meanwhile.
pub(super) fn choose(
    session: &Session,
    (is_upgrade, may_retry): (bool, bool),
    was_stale: bool,
    instance: &Instance,
    timeouts: &mut PeerTimeouts,
) -> Reuse {
    if is_upgrade {
        return Reuse::Tunnel;
    }
    if was_stale {
        return Reuse::Fresh;
    }
    // A service of HTTP/2 says which requests it did not process.
    if instance.spec.protocol == Protocol::H2c {
        return Reuse::Usual;
    }
    let keep_alive = instance.live.keep_alive();
    let (usual, careful) = (keep_alive.usual(timeouts.idle), keep_alive.careful(timeouts.idle));
    let is_usual = usual == careful || may_retry && is_repeatable(session);
    timeouts.idle = if is_usual { usual } else { careful };
    if is_usual { Reuse::Usual } else { Reuse::Careful }
}

/// A connection that was used before had been closed when the request was sent.
pub(super) fn note_stale(session: &Session, ctx: &Context) {
    let (Some(snapshot), Some(lease)) = (&ctx.snapshot, &ctx.attempts.lease) else { return };
    let keep_alive = lease.instance().live.keep_alive();
    let most = snapshot.config.upstream.idle_timeout;
    // That a service closes what is kept for long is nothing new, where only requests that may be repeated are sent on it.
    if !is_repeatable(session) || keep_alive.usual(most) == keep_alive.careful(most) {
        keep_alive.note_closed(most);
    }
}

/// The service said with its answer how long it keeps an unused connection.
pub(super) fn note_said(ctx: &Context, keep_alive: &HeaderValue) {
    // The slot may be free already, where the answer is whole before the request is.
    if let (Some(instance), Some(seconds)) = (ctx.attempts.instance(), timeout(keep_alive)) {
        instance.live.keep_alive().note_said(seconds);
    }
}

/// Whether it may be sent again if it is lost: its method allows it, and nothing of it has to be kept for that.
fn is_repeatable(session: &Session) -> bool {
    session.req_header().method.is_idempotent() && !upload::may_have_body(session)
}

/// The seconds of `timeout=5, max=100` (RFC 2068 §19.7.1.1; it is not in later ones, and in wide use).
fn timeout(value: &HeaderValue) -> Option<u32> {
    value.to_str().ok()?.split(',').find_map(|parameter| {
        let (name, seconds) = parameter.split_once('=')?;
        name.trim().eq_ignore_ascii_case("timeout").then(|| seconds.trim().parse().ok())?
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_timeout_is_read_wherever_it_stands() {
        for (value, expected) in [
            ("timeout=5", Some(5)),
            ("timeout=5, max=1000", Some(5)),
            ("max=5,Timeout = 72", Some(72)),
            ("timeout=0", Some(0)),
            ("timeout=", None),
            ("timeout=-1", None),
            ("timeout=5s", None),
            ("timeouts=5", None),
            ("5", None),
            ("", None),
        ] {
            assert_eq!(timeout(&HeaderValue::from_static(value)), expected, "{value}");
        }
    }
}
