//! The connection of a client that speaks HTTP/2: accepts its requests, gives each a task, and ends it when it is idle, old, or
//! not worth its cost, or furt stops.
//!
//! Pingora's own loop has no end for old connections and no eye for floods, so this is furt's. It drives the connection: what
//! streams write is sent here. Never reads a request beyond its header.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use h2::server::Connection;
use pingora::apps::HttpServerApp as _;
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::{self, H2Accept, H2Options, HttpSession};
use pingora::protocols::{Digest, Stream};
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::time::Sleep;

use super::exchange::Exchange;
use super::guard::{Active, Guard, reason};
use super::request;
use super::session::ClientSession;
use super::websocket::WebSocketKey;
use super::wire::Wire;
use crate::clock;
use crate::config::Config;
use crate::listener;
use crate::proxy::Gateway;
use crate::telemetry::{Http2End, ProxyMetrics};
use crate::tls::Secured;

/// The first line of the preface (RFC 9113 §3.4).
const FIRST_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// Of a body that nobody reads yet: as much as one request's.
const STREAM_WINDOW: u32 = 64 * 1024;
/// Of all bodies of a connection: at 50 ms to the client and back, 20 MB a second.
const CONNECTION_WINDOW: u32 = 1024 * 1024;
/// Of an answer that the client does not take yet.
const MAX_SEND_BUFFER: usize = 64 * 1024;
/// A header section as a list.
const MAX_HEADER_LIST: u32 = 64 * 1024;
/// Requests that `h2` itself finds malformed, over a connection's life.
const MOST_LOCAL_RESETS: usize = 32;
/// For the client to see that a connection ends, and for requests that were on the way then.
const FAREWELL: Duration = Duration::from_secs(1);

/// What holds for a connection. Values: one that is idle must not keep an old configuration.
#[derive(Debug, Clone, Copy)]
pub(in crate::proxy) struct Settings {
    max_streams: u32,
    /// For what a connection begins with.
    begin: Duration,
    idle: Duration,
    age: Duration,
}

impl Settings {
    /// With an age of its own, so that clients that came together do not all come again together.
    pub(in crate::proxy) fn new(config: &Config) -> Self {
        let (server, client) = (&config.server, &config.client);
        let age = server.max_connection_age.mul_f64(fastrand::f64().mul_add(0.2, 0.9));
        let max_streams = u32::try_from(server.max_streams).unwrap_or(u32::MAX);
        Self { max_streams, begin: client.header_timeout, idle: client.keepalive_timeout, age }
    }

    fn options(&self) -> H2Options {
        let mut options = H2Options::new();
        options
            .max_concurrent_streams(self.max_streams)
            .initial_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_send_buffer_size(MAX_SEND_BUFFER)
            .max_header_list_size(MAX_HEADER_LIST)
            .max_local_error_reset_streams(Some(MOST_LOCAL_RESETS))
            .enable_connect_protocol();
        options
    }
}

/// Whether a client that begins so speaks HTTP/2.
pub(in crate::proxy) fn begins_as_http2(bytes: &[u8]) -> bool {
    bytes.starts_with(FIRST_LINE)
}

/// What serves a connection.
pub(in crate::proxy) struct Served<P> {
    /// Answers requests.
    pub(in crate::proxy) proxy: Arc<HttpProxy<Gateway>>,
    pub(in crate::proxy) metrics: Arc<ProxyMetrics>,
    /// Kept until the last request is over.
    #[expect(dead_code, reason = "what counts is when it is dropped")]
    pub(in crate::proxy) permit: P,
    /// Says when no further request is wanted.
    pub(in crate::proxy) shutdown: ShutdownWatch,
    /// Says when a connection that has not begun ends.
    pub(in crate::proxy) idle_ends: ShutdownWatch,
}

/// Serves a connection, of which `begun` was read, until it ends.
pub(in crate::proxy) async fn serve<P: Send + Sync + 'static>(
    served: Served<P>,
    settings: Settings,
    stream: Stream,
    begun: BytesMut,
) {
    let served = Arc::new(served);
    let digest = Arc::new(Digest {
        ssl_digest: stream.get_ssl_digest(),
        timing_digest: Vec::new(),
        proxy_digest: None,
        socket_digest: stream.get_socket_digest(),
    });
    let guard = Arc::<Guard>::default();
    let secured = listener::secured(&stream).cloned();
    let wire = Box::new(Wire::new(stream, begun, Arc::clone(&guard)));
    let mut stopping = served.idle_ends.clone();
    let handshake = tokio::time::timeout(settings.begin, server::handshake(wire, Some(settings.options())));
    let begun = tokio::select! {
        biased;
        begun = handshake => begun,
        // Nothing was asked for yet.
        _ = stopping.wait_for(|stops| *stops) => return,
    };
    let Ok(Ok(connection)) = begun else { return };
    let _open = served.metrics.http2.open();
    let mut own = Own { connection, digest, secured, guard, served, settings };
    if let Some(why) = own.accept_all().await {
        own.served.metrics.http2.closed(why);
        own.end(why).await;
    }
}

/// A connection, whose task this is.
struct Own<P> {
    connection: Connection<Stream, Bytes>,
    digest: Arc<Digest>,
    secured: Option<Arc<Secured>>,
    guard: Arc<Guard>,
    served: Arc<Served<P>>,
    settings: Settings,
}

/// What comes next on a connection.
#[expect(clippy::large_enum_variant, reason = "it is taken apart where it arrives")]
enum Next {
    /// A request.
    Request(HttpSession),
    /// What was none, and is answered.
    Malformed,
    /// Nothing: the connection is closed. `Some`: `h2` did so, because of the client.
    End(Option<Http2End>),
}

impl<P: Send + Sync + 'static> Own<P> {
    /// Accepts requests until the connection is closed; `Some`: until it is to be closed for that reason.
    async fn accept_all(&mut self) -> Option<Http2End> {
        // Lives as long as the connection, so that no request has to enter a list and leave it again.
        let mut stopping = self.served.shutdown.clone();
        let mut stops = pin!(async { _ = stopping.wait_for(|stops| *stops).await });
        let begin = clock::now();
        let age_end = begin.checked_add(self.settings.age);
        // Why no further request is wanted.
        let mut farewell = None;
        let mut idle_since = Some(begin);
        let mut timer = pin!(tokio::time::sleep_until(begin.into()));
        loop {
            if let Some(fault) = self.guard.fault() {
                return Some(fault);
            }
            if self.guard.is_retired() && farewell.is_none() {
                farewell = Some(Http2End::ClientAuth);
                self.connection.graceful_shutdown();
            }
            let now = clock::now();
            let active = self.guard.active();
            idle_since = if active > 0 { None } else { idle_since.or(Some(now)) };
            let idle = if farewell.is_some() { FAREWELL } else { self.settings.idle };
            let idle_end = idle_since.and_then(|since| since.checked_add(idle));
            if idle_end.is_some_and(|end| end <= now) {
                return Some(farewell.unwrap_or(Http2End::Idle));
            }
            let old_at = age_end.filter(|_| farewell.is_none());
            if old_at.is_some_and(|end| end <= now) {
                farewell = Some(Http2End::Age);
                // Says first that it ends, and what was the last request once the client has heard of that.
                self.connection.graceful_shutdown();
                continue;
            }
            // A request that its client has reset lasts until that is seen, and the client may send others meanwhile.
            let has_room = active < self.settings.max_streams as usize;
            let next = tokio::select! {
                biased;
                () = self.guard.changed() => continue,
                () = &mut stops, if farewell != Some(Http2End::Stopping) => {
                    if farewell.replace(Http2End::Stopping).is_none() {
                        self.connection.graceful_shutdown();
                    }
                    continue;
                }
                () = ring(&mut timer, [idle_end, old_at]) => continue,
                next = next(&mut self.connection, &self.digest, has_room) => next,
            };
            match next {
                Next::Request(session) => {
                    idle_since = None;
                    self.start(session);
                }
                Next::Malformed => self.guard.note_malformed(),
                Next::End(Some(why)) => {
                    self.served.metrics.http2.closed(why);
                    return None;
                }
                Next::End(None) => {
                    if let Some(why) = farewell {
                        self.served.metrics.http2.closed(why);
                    }
                    return None;
                }
            }
        }
    }

    fn start(&self, mut session: HttpSession) {
        let websocket = WebSocketKey::take(session.req_header_mut());
        let malformed = request::plain(session.req_header_mut());
        let has_body = websocket.is_none() && !session.is_body_done();
        let (secured, guard) = (self.secured.clone(), Arc::clone(&self.guard));
        let exchange = Arc::new(Exchange::new(session.req_header(), has_body, malformed, websocket, secured, guard));
        session.req_header_mut().extensions_mut().insert(Arc::clone(&exchange));
        let (served, guard) = (Arc::clone(&self.served), Arc::clone(&self.guard));
        let active = self.guard.begin();
        tokio::spawn(answer(served, active, ClientSession::new(session, Arc::clone(&exchange), guard), exchange));
    }

    /// Ends the connection with its requests.
    async fn end(mut self, why: Http2End) {
        self.connection.abrupt_shutdown(reason(why));
        _ = tokio::time::timeout(FAREWELL, poll_fn(|context| self.connection.poll_closed(context))).await;
    }
}

/// The task of a request.
async fn answer<P>(served: Arc<Served<P>>, active: Active, session: ClientSession, exchange: Arc<Exchange>) {
    let mut timer = pin!(tokio::time::sleep_until(clock::now().into()));
    let answering = served.proxy.process_new_http(ServerSession::new_custom(Box::new(session)), &served.shutdown);
    let answering = listener::serve(answering, Some(&exchange.service), &mut timer);
    match exchange.deadline {
        None => _ = answering.await,
        // Nothing else is looked at while the client does not take a part of the answer.
        Some(deadline) => _ = tokio::time::timeout_at((deadline.at() + FAREWELL).into(), answering).await,
    }
    drop(active);
}

/// What comes next; where `has_room` is missing no request is taken, and the others go on.
async fn next(connection: &mut Connection<Stream, Bytes>, digest: &Arc<Digest>, has_room: bool) -> Next {
    if !has_room {
        return match poll_fn(|context| connection.poll_closed(context)).await {
            Ok(()) => Next::End(None),
            Err(error) => Next::End(fault(&error)),
        };
    }
    match HttpSession::from_h2_conn(connection, Arc::clone(digest)).await {
        Ok(Some(H2Accept::Session(session))) => Next::Request(session),
        Ok(Some(H2Accept::Rejected)) => Next::Malformed,
        Ok(None) => Next::End(None),
        Err(error) => Next::End(error.root_cause().downcast_ref().and_then(fault)),
    }
}

/// What the client did, where `h2` has closed the connection for it.
fn fault(error: &h2::Error) -> Option<Http2End> {
    (error.is_go_away() && error.is_library()).then_some(Http2End::Protocol)
}

/// Waits for the first of these times.
async fn ring(timer: &mut Pin<&mut Sleep>, ends: [Option<Instant>; 2]) {
    let Some(end) = ends.into_iter().flatten().min() else { return std::future::pending().await };
    let end = tokio::time::Instant::from(end);
    if timer.deadline() != end {
        timer.as_mut().reset(end);
    }
    timer.as_mut().await;
}
