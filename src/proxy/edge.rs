//! The public listener's connections: from one that was accepted to a session with a whole header for Pingora's proxy.
//!
//! Between two requests a connection waits here ([`next_head`]), until the header of the next one is complete: Pingora's
//! proxy would wait with everything that it needs for a request, some 40 KiB. What the future below keeps over an await
//! counts for each idle client. Pingora repairs what it reads, and answers what it cannot read; both is found here, and the
//! hooks refuse it ([`Malformed`]).

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::BytesMut;
use pingora::apps::{HttpPersistentSettings, HttpServerApp as _};
use pingora::protocols::http::ServerSession;
use pingora::protocols::{ALPN, Stream};
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;

use super::chunks::Chunks;
use super::h2;
use super::malformed::Malformed;
use super::stand_in::stand_in;
use super::trailers::Trailing;
use super::upload::{BodyLeft, Upload};
use super::{DRAIN_TIME, Gateway};
use crate::clock;
use crate::config::Config;
use crate::listener;
use crate::listener::{
    AddressConnections, AddressPermit, Admitted, Awaited, Body, ConnectionHandler, ConnectionPermit, Head, HeaderTimes,
    NoHead, OpenConnections, RequestLine, STOPPING, TOO_MANY, TOO_MANY_OF_ONE, Unanswered, next_head, turn_away,
};
use crate::published::Published;
use crate::telemetry::{ProxyHeaderOutcome, ProxyMetrics};
use furt_core::model::counted_network;

/// Keep-alive of a connection until its first request sets it, in s; Pingora's.
const FIRST_KEEPALIVE: u64 = 60;

/// What is read and dropped of a client whose request is refused here, and how long at most.
const MAX_DROPPED: usize = 1024 * 1024;

/// Pingora's proxy around [`Gateway`], as an app that takes connections.
pub struct Edge {
    proxy: Arc<HttpProxy<Gateway>>,
    open: Arc<OpenConnections>,
    most: usize,
    addresses: Arc<AddressConnections>,
    metrics: Arc<ProxyMetrics>,
    snapshots: Arc<ArcSwap<Published>>,
    idle_ends: ShutdownWatch,
}

impl Edge {
    /// Its connections are counted in `open`; there are files for `most` of them, whatever the configuration allows. Those
    /// without a request end with `idle_ends`.
    pub fn new(
        proxy: HttpProxy<Gateway>,
        open: Arc<OpenConnections>,
        most: usize,
        metrics: Arc<ProxyMetrics>,
        snapshots: Arc<ArcSwap<Published>>,
        idle_ends: ShutdownWatch,
    ) -> Self {
        let addresses = Arc::default();
        Self { proxy: Arc::new(proxy), open, most, addresses, metrics, snapshots, idle_ends }
    }

    fn header_times(&self) -> HeaderTimes {
        let snapshot = self.snapshots.load();
        let client = &snapshot.config.client;
        // Half of the grace, so that there is time to answer.
        let stopping = snapshot.config.server.grace / 2;
        HeaderTimes { header: client.header_timeout, idle: client.keepalive_timeout, stopping }
    }

    /// Adds the permit of the client's address, where those are limited.
    fn admit_address(
        &self,
        (permit, _): <Self as ConnectionHandler>::Permit,
        client: SocketAddr,
        config: &Config,
    ) -> Result<<Self as ConnectionHandler>::Permit, &'static [u8]> {
        let Some(most) = config.limits.address_connections else { return Ok((permit, None)) };
        let client = client.ip().to_canonical();
        // A proxy connects for many.
        if config.server.trusted_proxies.contains(client) {
            return Ok((permit, None));
        }
        let permit_of_one = self.addresses.try_acquire(counted_network(client), most).ok_or_else(|| {
            self.metrics.address_connections_exceeded();
            TOO_MANY_OF_ONE
        })?;
        Ok((permit, Some(permit_of_one)))
    }

    /// Whether a connection that begins so is one of HTTP/2 by prior knowledge.
    fn takes_http2(&self, stream: &Stream, awaited: Awaited, head: &Head) -> bool {
        matches!(awaited, Awaited::First(_))
            && h2::begins_as_http2(&head.bytes)
            // Under TLS it is agreed on in the handshake (RFC 9113 §3.2).
            && stream.get_ssl_digest().is_none()
            && self.snapshots.load().config.server.http2
    }

    async fn serve_http2(
        &self,
        stream: Stream,
        begun: BytesMut,
        permit: <Self as ConnectionHandler>::Permit,
        shutdown: ShutdownWatch,
    ) {
        let settings = h2::Settings::new(&self.snapshots.load().config);
        let (proxy, metrics) = (Arc::clone(&self.proxy), Arc::clone(&self.metrics));
        let idle_ends = self.idle_ends.clone();
        h2::serve(h2::Served { proxy, metrics, permit, shutdown, idle_ends }, settings, stream, begun).await;
    }

    /// Has the hooks answer a request that is not one, of which `sent` was read, and closes the connection.
    async fn refuse_malformed(&self, stream: Stream, sent: BytesMut, malformed: Malformed, shutdown: &ShutdownWatch) {
        // Where the request ends nobody knows, so what follows is not looked at.
        let lingering = listener::lingering(&stream);
        let mut session = ServerSession::new_http1(stream);
        session.set_pipelined_prefix(stand_in(&sent));
        drop(sent);
        session.set_connection_user_context(Some(Box::new(malformed)));
        self.proxy.process_new_http(session, shutdown).await;
        if let Some(lingering) = lingering {
            lingering.end(MAX_DROPPED, DRAIN_TIME).await;
        }
    }
}

/// The session of a connection's next request, which begins with `head`; `kept` is what its last one left, if there was one.
fn session(stream: Stream, head: Head, kept: Option<HttpPersistentSettings>) -> ServerSession {
    let Head { mut bytes, length, scan, .. } = head;
    let mut malformed = None;
    let mut left = match scan.body {
        Body::None => BodyLeft::Sized(0),
        Body::Sized => scan.content_length(&bytes).map_or(BodyLeft::Unknown, BodyLeft::Sized),
        Body::Chunked => BodyLeft::Chunked(Chunks::new()),
    };
    let taken = left.take(bytes.get(length..).unwrap_or_default());
    let received = taken.as_ref().map_or(0, |taken| *taken);
    match taken {
        Ok(taken) if left.is_nothing() => {
            let end = length + taken;
            listener::hold(&stream, if end < bytes.len() { bytes.split_off(end) } else { BytesMut::new() });
        }
        Ok(_) => {}
        Err(_) => malformed = Some(Malformed::Chunks),
    }
    let stream: Stream = if scan.has_te { Box::new(Trailing::new(stream)) } else { stream };
    let stream: Stream = match scan.body {
        Body::None => stream,
        Body::Sized | Body::Chunked => Box::new(Upload::new(stream, left, received)),
    };
    let mut session = ServerSession::new_http1(stream);
    if let Some(mut kept) = kept {
        kept.set_pipelined_prefix(bytes);
        kept.apply_to_session(&mut session);
    } else {
        session.set_keepalive(Some(FIRST_KEEPALIVE));
        session.set_pipelined_prefix(bytes);
    }
    if let Some(malformed) = malformed {
        session.set_connection_user_context(Some(Box::new(malformed)));
    }
    session
}

impl ConnectionHandler for Edge {
    /// In all, and of its address where those are limited.
    type Permit = (ConnectionPermit, Option<AddressPermit>);

    fn open(&self) -> &Arc<OpenConnections> {
        &self.open
    }

    fn idle_ends(&self) -> &ShutdownWatch {
        &self.idle_ends
    }

    fn admit(&self, peer: SocketAddr) -> Result<Admitted<Self::Permit>, &'static [u8]> {
        let snapshot = self.snapshots.load();
        let config = &snapshot.config;
        let permit = self.open.try_acquire(config.server.max_connections.min(self.most)).ok_or(TOO_MANY)?;
        if config.server.proxy_protocol_from.contains(peer.ip().to_canonical()) {
            return Ok(Admitted::Proxied((permit, None), config.client.header_timeout));
        }
        self.admit_address((permit, None), peer, config).map(Admitted::Peer)
    }

    fn admit_proxied(&self, permit: Self::Permit, client: SocketAddr) -> Result<Self::Permit, &'static [u8]> {
        self.admit_address(permit, client, &self.snapshots.load().config)
    }

    fn note_proxy_header(&self, outcome: ProxyHeaderOutcome) {
        self.metrics.proxy_header(outcome);
    }

    async fn handle(
        self: Arc<Self>,
        mut stream: Stream,
        permit: Self::Permit,
        shutdown: ShutdownWatch,
    ) -> Option<Unanswered<Self>> {
        let accepted = clock::now();
        if stream.selected_alpn_proto() == Some(ALPN::H2) {
            // In a box, here and below: a connection of HTTP/1 would keep room for it.
            Box::pin(self.serve_http2(stream, BytesMut::new(), permit, shutdown)).await;
            return None;
        }
        // Both live as long as the connection, so that no request has to enter a list and leave it again.
        let mut stopping = self.idle_ends.clone();
        let mut stops = pin!(async { _ = stopping.wait_for(|stops| *stops).await });
        let mut timer = pin!(tokio::time::sleep_until(accepted.into()));
        let mut awaited = Awaited::First(accepted);
        let service_time = listener::service_time(&stream).cloned();
        let mut kept = None;
        loop {
            let times = self.header_times();
            let mut head = match next_head(&mut stream, &mut timer, &mut stops, awaited, times).await {
                Ok(head) => head,
                Err(NoHead::Stopping) => {
                    Box::pin(turn_away(stream, STOPPING)).await;
                    return None;
                }
                Err(NoHead::Gone) => return None,
            };
            let is_suspect = head.is_too_large || head.scan.line != RequestLine::Plain;
            if is_suspect && self.takes_http2(&stream, awaited, &head) {
                Box::pin(self.serve_http2(stream, head.bytes, permit, shutdown)).await;
                return None;
            }
            if is_suspect && let Some(malformed) = Malformed::of(&mut head) {
                // In a box, and given the bytes: the connection would keep room for both while it is idle.
                Box::pin(self.refuse_malformed(stream, head.bytes, malformed, &shutdown)).await;
                return None;
            }
            let has_te = head.scan.has_te;
            // In its box at once: a session is large, and the connection would keep room for it while it is idle.
            let answering = self.proxy.process_new_http(session(stream, head, kept), &shutdown);
            let answered = listener::serve(answering, service_time.as_deref(), &mut timer).await;
            let Some(reused) = answered.flatten() else { break };
            (stream, kept) = reused.consume();
            stream = Upload::unwrap(stream);
            if has_te {
                stream = Trailing::unwrap(stream);
            }
            awaited = Awaited::Later(clock::now());
        }
        Some(Unanswered { handler: self, permit, shutdown })
    }

    async fn refuse(unanswered: Unanswered<Self>, stream: Stream) {
        let Unanswered { handler, permit: _permit, shutdown } = unanswered;
        handler.refuse_malformed(stream, BytesMut::new(), Malformed::Header, &shutdown).await;
    }

    async fn stop_accepting(&self) {
        self.proxy.http_cleanup().await;
    }
}
