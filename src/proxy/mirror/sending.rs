//! Sending a copy: a connection to one of the instance's addresses, the request, and its answer, which is read and dropped.

use std::time::{Duration, Instant};

use bytes::Bytes;
use pingora::protocols::http::client::HttpSession;
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType, Result};

use super::{Copy, Mirrors, header};
use crate::clock;
use crate::upstream::{PeerTimeouts, Reuse, peer};
use furt_core::model::{Protocol, Scheme};

/// How long a connection is kept that no copy uses. A copy is sent once, so it is to find none that the instance has closed.
const IDLE: Duration = Duration::from_secs(1);
/// The most of an answer that is read so that its connection can be kept, in bytes.
const MAX_ANSWER: usize = 64 * 1024;
/// Interim answers before the answer itself; a server has a use for one or two.
const MAX_INTERIM: usize = 8;

impl Mirrors {
    /// Sends a copy, and reads what is answered. The caller ends it at `ends_at`.
    pub(super) async fn send(&self, copy: Copy, body: Option<Bytes>, ends_at: Instant) -> Result<()> {
        let (mut session, peer) = self.connect(&copy, ends_at).await?;
        let Copy { mut request, instance, service: _ } = copy;
        let is_http2 = matches!(session, HttpSession::H2(_));
        let is_tls = instance.spec.url.scheme == Scheme::Https;
        header::frame(&mut request, body.as_ref().map(Bytes::len), is_http2, is_tls)?;
        let body = body.filter(|body| !body.is_empty());
        match &mut session {
            // The header says already that nothing follows it.
            HttpSession::H2(stream) if body.is_none() => stream.write_request_header(Box::new(request), true)?,
            _ => session.write_request_header(Box::new(request)).await?,
        }
        if let Some(body) = body {
            session.write_request_body(body, true).await?;
        }
        if !is_http2 {
            session.finish_request_body().await?;
        }
        read_header(&mut session).await?;
        // One that is answered and not read to its end is not to be used again.
        if read_body(&mut session).await? {
            self.connector.release_http_session(session, &peer, Some(IDLE)).await;
        }
        Ok(())
    }

    /// Connects to the first address that can be reached. Each has its share of the time that is left.
    async fn connect(&self, copy: &Copy, ends_at: Instant) -> Result<(HttpSession, HttpPeer)> {
        let instance = &copy.instance;
        // A connection that one copy alone uses is gone with it, where it hangs.
        let reuse = match instance.spec.protocol {
            Protocol::Http1 => Reuse::Usual,
            Protocol::H2c => Reuse::Fresh,
        };
        let mut failure = None;
        for (tried, &address) in instance.addresses.iter().enumerate() {
            let left = ends_at.saturating_duration_since(clock::now());
            let connect = left / u32::try_from(instance.addresses.len() - tried).unwrap_or(u32::MAX);
            let timeouts = PeerTimeouts { connect, read: Some(left), write: left, idle: IDLE };
            let trust = (&*self.tls, Some(&copy.service));
            let peer = peer(&instance.spec, address, instance.pool_group, timeouts, reuse, trust)
                .map_err(|why| Error::explain(ErrorType::InternalError, why))?;
            match self.connector.get_http_session(&peer).await {
                Ok((session, _)) => return Ok((session, peer)),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.unwrap_or_else(|| Error::explain(ErrorType::InternalError, "an instance without an address")))
    }
}

/// Reads headers up to that of the answer itself.
async fn read_header(session: &mut HttpSession) -> Result<()> {
    for _ in 0..=MAX_INTERIM {
        session.read_response_header().await?;
        let status = session.response_header().map_or(0, |header| header.status.as_u16());
        // Of HTTP/2 the interim ones are never seen, and its header cannot be read twice.
        if !matches!(status, 100 | 102..=199) || matches!(session, HttpSession::H2(_)) {
            return Ok(());
        }
    }
    Error::e_explain(ErrorType::Custom("interim"), "interim answers without end")
}

/// Reads and drops the body; gives whether that was all of it.
async fn read_body(session: &mut HttpSession) -> Result<bool> {
    let mut read = 0;
    while let Some(part) = session.read_response_body().await? {
        read += part.len();
        if read > MAX_ANSWER {
            return Ok(false);
        }
    }
    Ok(true)
}
