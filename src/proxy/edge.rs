//! The rim of the public listener: how many connections, how long a header may take, who is still there at the end.
//!
//! Between two requests a connection waits here, for its first bytes: Pingora's proxy would wait with everything that it
//! needs for a request, some 40 KiB. Pingora times each read of a header, not the header; a client that drips is cut here.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::ready;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::BytesMut;
use pingora::apps::{HttpPersistentSettings, HttpServerApp as _, ReusedHttpStream, ServerApp};
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::io::AsyncReadExt as _;
use tokio::time::Sleep;

use super::Gateway;
use super::limits::network;
use crate::clock;
use crate::connections::{
    AddressConnections, AddressPlace, OpenConnections, Place, TOO_MANY, TOO_MANY_OF_ONE, turn_away,
};
use crate::published::Published;
use crate::telemetry::Telemetry;

/// Room for the first bytes of a request, as Pingora has it: most headers are shorter.
const FIRST_BYTES: usize = 4096;
/// Keep-alive of a connection until its first request sets it, in s; Pingora's.
const FIRST_KEEPALIVE: u64 = 60;

tokio::task_local! {
    static HEADER: HeaderState;
}

/// Of the request that this task is about to serve.
struct HeaderState {
    is_received: Cell<bool>,
}

/// The request's header is complete: its deadline is met.
pub(super) fn note_header_received() {
    // Outside of an edge, as in tests of the hooks, there is no deadline to meet.
    _ = HEADER.try_with(|state| state.is_received.set(true));
}

/// Pingora's proxy around [`Gateway`], with the rim around it.
pub struct Edge {
    proxy: Arc<HttpProxy<Gateway>>,
    open: Arc<OpenConnections>,
    addresses: AddressConnections,
    telemetry: Arc<Telemetry>,
    snapshots: Arc<ArcSwap<Published>>,
}

impl Edge {
    /// Its connections are counted in `open`.
    pub fn new(
        proxy: HttpProxy<Gateway>,
        open: Arc<OpenConnections>,
        telemetry: Arc<Telemetry>,
        snapshots: Arc<ArcSwap<Published>>,
    ) -> Self {
        let addresses = AddressConnections::default();
        Self { proxy: Arc::new(proxy), open, addresses, telemetry, snapshots }
    }

    /// A place for one more connection, in all and of its address; or what its client is told.
    fn place(&self, stream: &Stream) -> Result<(Place<'_>, Option<AddressPlace<'_>>), &'static [u8]> {
        let snapshot = self.snapshots.load();
        let config = &snapshot.config;
        let place = self.open.place(config.server.max_connections).ok_or(TOO_MANY)?;
        let Some(most) = config.limits.address_connections else { return Ok((place, None)) };
        let digest = stream.get_socket_digest();
        let peer = digest.as_ref().and_then(|digest| Some(digest.peer_addr()?.as_inet()?.ip().to_canonical()));
        // A proxy connects for many.
        let Some(peer) = peer.filter(|peer| !config.server.trusted_proxies.contains(*peer)) else {
            return Ok((place, None));
        };
        let place_of_one = self.addresses.place(network(peer), most).ok_or_else(|| {
            self.telemetry.limited.connections.inc();
            TOO_MANY_OF_ONE
        })?;
        Ok((place, Some(place_of_one)))
    }
}

/// Serves a request whose header may not be whole yet: where it is not by `deadline`, its client is cut.
async fn serve(
    mut request: Pin<Box<dyn Future<Output = Option<ReusedHttpStream>> + Send + '_>>,
    deadline: Instant,
) -> Option<ReusedHttpStream> {
    let state = HeaderState { is_received: Cell::new(false) };
    let serve = HEADER.scope(state, async move {
        tokio::select! {
            biased;
            outcome = &mut request => return outcome,
            () = tokio::time::sleep_until(deadline.into()) => {}
        }
        if HEADER.with(|state| state.is_received.get()) { request.await } else { None }
    });
    serve.await
}

/// Waits until the client sends something; `None`: it is gone. The buffer is made only then, so that none lies idle.
async fn first_bytes(stream: &mut Stream) -> Option<BytesMut> {
    poll_fn(|context| {
        let mut bytes = BytesMut::with_capacity(FIRST_BYTES);
        let read = ready!(pin!(stream.read_buf(&mut bytes)).poll(context));
        std::task::Poll::Ready(read.is_ok_and(|count| count > 0).then_some(bytes))
    })
    .await
}

/// Waits until then. A timer that rings earlier is set again only when it does: so one that is always ahead of its time, as
/// that of a busy connection, is set once in a while and not for each request.
async fn wait_until(timer: &mut Pin<&mut Sleep>, end: Instant) {
    let end = end.into();
    if timer.deadline() > end {
        timer.as_mut().reset(end);
    }
    loop {
        timer.as_mut().await;
        if timer.deadline() >= end {
            return;
        }
        timer.as_mut().reset(end);
    }
}

/// Whether a header ends with these bytes, the first of a request. Never true where more of it is to come; may be false
/// where a body follows. Empty lines before a request are no end (RFC 9112 §2.2).
fn is_whole_header(first: &[u8]) -> bool {
    first.ends_with(b"\r\n\r\n") && !first.starts_with(b"\r") && !first.starts_with(b"\n")
}

/// Of a connection's next request, which begins with `first`; `kept` is what its last one left, if there was one. A part of
/// the header that does not come within `header_timeout` ends it.
fn session(
    stream: Stream,
    first: BytesMut,
    kept: Option<HttpPersistentSettings>,
    header_timeout: Duration,
) -> ServerSession {
    let mut session = ServerSession::new_http1(stream);
    if let Some(mut kept) = kept {
        kept.set_pipelined_prefix(first);
        kept.apply_to_session(&mut session);
    } else {
        session.set_keepalive(Some(FIRST_KEEPALIVE));
        session.set_pipelined_prefix(first);
    }
    session.set_read_timeout(Some(header_timeout));
    session
}

#[async_trait]
impl ServerApp for Edge {
    async fn process_new(self: &Arc<Self>, mut stream: Stream, shutdown: &ShutdownWatch) -> Option<Stream> {
        let _places = match self.place(&stream) {
            Ok(places) => places,
            Err(why) => {
                turn_away(stream, why).await;
                return None;
            }
        };
        let accepted = clock::now();
        // Both live as long as the connection, so that no request has to enter a list and leave it again.
        let mut stopping = shutdown.clone();
        let mut stops = pin!(async { _ = stopping.wait_for(|stops| *stops).await });
        let mut timer = pin!(tokio::time::sleep_until(accepted.into()));
        let mut kept = None;
        let mut is_new = true;
        loop {
            // Values: an idle connection must not keep an old configuration.
            let (header_timeout, keepalive_timeout) = {
                let client = &self.snapshots.load().config.client;
                (client.header_timeout, client.keepalive_timeout)
            };
            let idle_since = if is_new { accepted } else { clock::now() };
            let idle_until = idle_since + if is_new { header_timeout } else { keepalive_timeout };
            let first = tokio::select! {
                biased;
                first = first_bytes(&mut stream) => first?,
                () = wait_until(&mut timer, idle_until) => return None,
                // An idle connection must not hold up the end; one with a request is served.
                () = &mut stops => return None,
            };
            let is_whole = is_whole_header(&first);
            let began = if is_new || is_whole { idle_since } else { clock::now() };
            // In its box at once: a session is large, and the connection would keep room for it while it is idle.
            let request = self.proxy.process_new_http(session(stream, first, kept, header_timeout), shutdown);
            let reused = if is_whole { request.await } else { serve(request, began + header_timeout).await }?;
            (stream, kept) = reused.consume();
            is_new = false;
        }
    }

    async fn cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_rings_early_is_set_again_and_one_that_would_ring_late_rings_earlier() {
        let begin = clock::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let elapsed = || clock::now().duration_since(begin).as_secs();
        let mut timer = pin!(tokio::time::sleep_until(begin.into()));
        for end in [5, 5, 20, 21] {
            wait_until(&mut timer, after(end)).await;
            assert_eq!(elapsed(), end);
        }
        timer.as_mut().reset(after(100).into());
        wait_until(&mut timer, after(30)).await;
        assert_eq!(elapsed(), 30);
    }

    /// A header that is taken for whole would have no deadline, so a parser must never want more of it.
    #[test]
    fn a_header_that_is_taken_for_whole_is_whole() {
        let words: [&[u8]; 10] = [b"GET", b" ", b"/", b"HTTP/1.1", b"\r\n", b"\n", b"\r", b"a", b": ", b"\r\n\r\n"];
        let mut random = fastrand::Rng::with_seed(7);
        let mut whole = 0;
        for _ in 0..200_000 {
            let first = (0..random.usize(1..12)).flat_map(|_| words[random.usize(..words.len())]).copied();
            let first: Vec<u8> = first.collect();
            if is_whole_header(&first) {
                whole += 1;
                let mut headers = [httparse::EMPTY_HEADER; 16];
                let parsed = httparse::Request::new(&mut headers).parse(&first);
                assert!(!matches!(parsed, Ok(httparse::Status::Partial)), "{:?}", String::from_utf8_lossy(&first));
            }
        }
        assert!(whole > 1000, "{whole}");
        assert!(is_whole_header(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert!(!is_whole_header(b"\r\n\r\n") && !is_whole_header(b"GET / HTTP/1.1\r\n\r\nbody"));
    }
}
