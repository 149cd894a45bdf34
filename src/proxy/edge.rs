//! The rim of the public listener: how many connections, how long a header may take, who is still there at the end.
//!
//! Pingora times each read of a header, not the header; a client that drips is cut here. On a connection that is used
//! again the time it may lie idle comes on top, since nothing tells from outside when the next header begins.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream};
use pingora::protocols::http::ServerSession;
use pingora::protocols::http::v2::server::H2Options;
use pingora::server::ShutdownWatch;
use pingora_proxy::HttpProxy;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::Gateway;
use crate::telemetry::Telemetry;

/// What clients beyond `max_connections` are told.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\
    Cache-Control: no-store\r\nProxy-Status: furt; error=connection_limit_reached\r\nX-Gateway: furt\r\n\
    Connection: close\r\n\r\n";
/// How long telling them may take: they are beyond what there is room for.
const TURN_AWAY_TIME: Duration = Duration::from_millis(100);

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

/// Client connections that are open: those with a request, and idle ones.
#[derive(Default)]
pub struct OpenConnections {
    count: AtomicUsize,
    ended: Notify,
}

impl OpenConnections {
    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    pub async fn all_closed(&self) {
        loop {
            let ended = self.ended.notified();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }
}

/// Pingora's proxy around [`Gateway`], with the rim around it.
pub struct Edge {
    proxy: Arc<HttpProxy<Gateway>>,
    open: Arc<OpenConnections>,
    telemetry: Arc<Telemetry>,
    max_connections: usize,
    header_timeout: Duration,
    keepalive_timeout: Duration,
    options: HttpServerOptions,
}

impl Edge {
    /// `max_connections` at once at the most, counted in `open`.
    pub fn new(
        proxy: HttpProxy<Gateway>,
        open: Arc<OpenConnections>,
        telemetry: Arc<Telemetry>,
        max_connections: usize,
        client: &crate::config::ClientConfig,
    ) -> Self {
        let mut options = HttpServerOptions::default();
        options.keepalive_request_limit = Some(u32::MAX);
        Self {
            options,
            proxy: Arc::new(proxy),
            open,
            telemetry,
            max_connections,
            header_timeout: client.header_timeout,
            keepalive_timeout: client.keepalive_timeout,
        }
    }
}

/// One open connection, counted until it is dropped.
struct Place<'a>(&'a Edge);

impl<'a> Place<'a> {
    fn take(edge: &'a Edge) -> Option<Self> {
        let before = edge.open.count.fetch_add(1, Ordering::AcqRel);
        edge.telemetry.connections.inc();
        let place = Self(edge);
        (before < edge.max_connections).then_some(place)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.telemetry.connections.dec();
        if self.0.open.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.open.ended.notify_waiters();
        }
    }
}

/// Tells a client that there are too many, before its request is read: reading is what there is no room for.
async fn turn_away(session: ServerSession) {
    let ServerSession::H1(session) = session else { return };
    let mut stream = session.into_inner();
    let told = async {
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await?;
        // What the client sent must be read, or the system throws the answer away and resets the connection.
        stream.read(&mut [0; 4096]).await
    };
    _ = tokio::time::timeout(TURN_AWAY_TIME, told).await;
}

#[async_trait]
impl HttpServerApp for Edge {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let Some(_place) = Place::take(self) else {
            self.telemetry.connections_refused.inc();
            turn_away(session).await;
            return None;
        };
        let is_reused = session.get_keepalive_reuses_remaining() != Some(u32::MAX);
        let idle = if is_reused { self.keepalive_timeout } else { Duration::ZERO };
        session.set_read_timeout(Some(self.header_timeout));
        let state = HeaderState { is_received: Cell::new(false) };
        let serve = HEADER.scope(state, async {
            let request = self.proxy.process_new_http(session, shutdown);
            tokio::pin!(request);
            tokio::select! {
                biased;
                outcome = &mut request => return outcome,
                () = tokio::time::sleep(idle + self.header_timeout) => {}
            }
            if HEADER.with(|state| state.is_received.get()) { request.await } else { None }
        });
        serve.await
    }

    /// No limit to requests on a connection in practice: the count tells a new connection from one that is used again.
    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    fn h2_options(&self) -> Option<H2Options> {
        self.proxy.h2_options()
    }

    async fn http_cleanup(&self) {
        self.proxy.http_cleanup().await;
    }
}
