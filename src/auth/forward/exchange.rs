//! One exchange with a server: a connection, new or kept from before, the question, and the answer within bounds.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use pingora::connectors::http::v1::Connector;
use pingora::http::RequestHeader;
use pingora::protocols::http::v1::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, RetryType};

use super::answer::{Denied, MAX_BODY, MAX_HEAD, Verdict, Why, for_client, verdict};
use super::asking::Asking;
use super::{ForwardAuth, is_tls};
use crate::clock;

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(30);
/// Interim answers before the answer itself; a server has a use for one or two.
const MAX_INTERIM: usize = 8;
/// How long a body that nobody needs is read, so that its connection can be kept.
const DRAIN: Duration = Duration::from_millis(100);
/// The bit of a group that no other connection has: one of them is always new.
const NEW: u64 = 1 << 63;

/// Which connection a question may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reuse {
    /// Any that is open.
    Usual,
    /// A new one.
    New,
}

/// Why there is no header of an answer.
struct Lost {
    why: Why,
    /// The connection had served before, and ended before anything came: another one may serve.
    was_stale: bool,
}

impl From<Why> for Lost {
    fn from(why: Why) -> Self {
        Self { why, was_stale: false }
    }
}

impl ForwardAuth {
    /// Asks; gives the header of an answer that lets the request in. The caller ends it at `ends_at`.
    pub(super) async fn exchange(
        &self,
        asking: &Asking,
        request: &RequestHeader,
        ends_at: Instant,
    ) -> Result<HeaderMap, Denied> {
        let connector = &asking.connector;
        let sent = match self.send(connector, request, Reuse::Usual, ends_at).await {
            Err(Lost { was_stale: true, .. }) => self.send(connector, request, Reuse::New, ends_at).await,
            sent => sent,
        };
        let (mut session, peer) = sent.map_err(|lost| Denied::Unavailable(lost.why))?;
        let Some(head) = session.resp_header().cloned() else { return Err(Denied::Unavailable(Why::LongHead)) };
        let (outcome, is_read) = match verdict(head.status) {
            Verdict::In => {
                // Who is let in waits for little more, and whatever comes is no reason against it.
                let drained = tokio::time::timeout(drain_time(clock::now(), ends_at), body(&mut session)).await;
                (Ok(head.headers.clone()), matches!(drained, Ok(Ok(_))))
            }
            Verdict::ForClient => {
                let body = body(&mut session).await.map_err(Denied::Unavailable)?;
                let answer = for_client(head.status, &head.headers, body).map_err(Denied::Unavailable)?;
                (Err(Denied::Answer(Box::new(answer))), true)
            }
            Verdict::Nothing => return Err(Denied::Unavailable(Why::Status(head.status))),
        };
        if is_read {
            connector.release_http_session(session, &peer, Some(IDLE)).await;
        }
        outcome
    }

    /// Sends a question, and reads the header of its answer.
    async fn send(
        &self,
        connector: &Connector,
        request: &RequestHeader,
        reuse: Reuse,
        ends_at: Instant,
    ) -> Result<(HttpSession, HttpPeer), Lost> {
        let (mut session, peer, was_used) = self.connect(connector, reuse, ends_at).await?;
        match send_on(&mut session, request).await {
            Ok(()) => Ok((session, peer)),
            Err(mut lost) => {
                lost.was_stale &= was_used;
                Err(lost)
            }
        }
    }

    /// Connects to the first address that can be reached; gives whether the connection was used before, and the peer under which it is
    /// kept.
    async fn connect(
        &self,
        connector: &Connector,
        reuse: Reuse,
        ends_at: Instant,
    ) -> Result<(HttpSession, HttpPeer, bool), Why> {
        let addresses = self.addresses.get().await?;
        let mut failure = None;
        for (tried, &address) in addresses.iter().enumerate() {
            let time = connect_time(clock::now(), ends_at, addresses.len() - tried);
            let kept = self.peer(address, time);
            let mut peer = kept.clone();
            if reuse == Reuse::New {
                peer.group_key |= NEW;
            }
            match connector.get_http_session(&peer).await {
                Ok((session, was_used)) => {
                    if addresses.len() > 1 {
                        self.addresses.prefer(address);
                    }
                    return Ok((session, kept, was_used));
                }
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.map_or_else(|| Why::Broken("it has no address".to_owned()), |error| broken(&error)))
    }

    fn peer(&self, address: SocketAddr, connect: Duration) -> HttpPeer {
        let is_tls = is_tls(&self.config.url);
        // An empty name would verify nothing; a url always has a host.
        let name = if is_tls { self.addresses.host().to_owned() } else { String::new() };
        let mut peer = HttpPeer::new(address, is_tls, name);
        peer.group_key = self.group;
        peer.options.connection_timeout = Some(connect);
        peer.options.total_connection_timeout = Some(connect);
        peer.options.idle_timeout = Some(IDLE);
        peer.options.ca.clone_from(&self.ca);
        peer
    }
}

/// How long one of so many addresses has to connect: its share of what is left, so that one that hangs leaves time for the others. The
/// last has more than that, so that there is one way to be too late.
fn connect_time(now: Instant, ends_at: Instant, addresses: usize) -> Duration {
    let left = ends_at.saturating_duration_since(now);
    match u32::try_from(addresses).unwrap_or(u32::MAX) {
        0 | 1 => left * 2,
        addresses => left / addresses,
    }
}

/// How long the body of an answer that lets in may be waited for: never so long that the answer comes too late.
fn drain_time(now: Instant, ends_at: Instant) -> Duration {
    DRAIN.min(ends_at.saturating_duration_since(now) / 2)
}

/// Sends a question on a connection, and reads headers up to that of the answer itself.
async fn send_on(session: &mut HttpSession, request: &RequestHeader) -> Result<(), Lost> {
    if let Err(error) = session.write_request_header(Box::new(request.clone())).await {
        return Err(Lost { why: broken(&error), was_stale: true });
    }
    for interim in 0..=MAX_INTERIM {
        let read = session.read_response().await;
        let length =
            read.map_err(|error| Lost { why: broken(&error), was_stale: interim == 0 && is_untouched(&error) })?;
        if length > MAX_HEAD {
            return Err(Why::LongHead.into());
        }
        let status = session.get_status().map_or(0, |status| status.as_u16());
        if !matches!(status, 100 | 102..=199) {
            return Ok(());
        }
    }
    Err(Why::Broken("interim answers without end".to_owned()).into())
}

/// Whether the connection ended before a byte of the answer. Pingora says so in words alone.
fn is_untouched(error: &Error) -> bool {
    let words = error.context.as_ref().map_or("", |context| context.as_str());
    error.retry == RetryType::ReusedOnly && words.ends_with("bytes already read: 0")
}

/// The whole body, if it is within its bound.
async fn body(session: &mut HttpSession) -> Result<Bytes, Why> {
    let mut body = BytesMut::new();
    while let Some(part) = session.read_body_ref().await.map_err(|error| broken(&error))? {
        if body.len() + part.len() > MAX_BODY {
            return Err(Why::LongBody);
        }
        body.extend_from_slice(part);
    }
    Ok(body.freeze())
}

/// One short line, without what the server sent.
fn broken(error: &Error) -> Why {
    let cause = || match error.root_cause().downcast_ref::<std::io::Error>() {
        Some(cause) => format!(": {cause}"),
        None => String::new(),
    };
    Why::Broken(match error.root_etype() {
        ErrorType::ConnectRefused => "connection refused".to_owned(),
        ErrorType::ConnectNoRoute => "no route to its address".to_owned(),
        ErrorType::ConnectTimedout => "no connection in time".to_owned(),
        ErrorType::TLSHandshakeTimedout => "no TLS handshake in time".to_owned(),
        ErrorType::InvalidCert => "its certificate does not hold".to_owned(),
        ErrorType::TLSHandshakeFailure | ErrorType::HandshakeError => "no TLS handshake".to_owned(),
        ErrorType::InvalidHTTPHeader => "it answers what is not HTTP/1.1, or a header beyond all bounds".to_owned(),
        ErrorType::ConnectionClosed => "it closed the connection before the answer's end".to_owned(),
        ErrorType::ReadError | ErrorType::WriteError => format!("the connection broke off{}", cause()),
        ErrorType::ConnectError | ErrorType::SocketError | ErrorType::BindError => format!("cannot connect{}", cause()),
        other => other.as_str().to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_that_hangs_leaves_time_for_the_others_and_a_body_for_the_answer() {
        let (now, second) = (clock::now(), Duration::from_secs(1));
        assert_eq!(connect_time(now, now + second, 4), second / 4);
        assert_eq!(connect_time(now, now + second, 1), second * 2);
        assert_eq!(connect_time(now + second, now, 2), Duration::ZERO);
        assert_eq!(drain_time(now, now + second), DRAIN);
        assert_eq!(drain_time(now, now + DRAIN), DRAIN / 2);
        assert_eq!(drain_time(now + second, now), Duration::ZERO);
    }
}
