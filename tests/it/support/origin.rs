//! A service behind the gateway: an HTTP server in the test's own process whose health and answers the test switches.
//!
//! By default it is healthy and answers every request with JSON that says what arrived ([`Mode::Echo`]). It speaks
//! HTTP/1.1, HTTP/2 with prior knowledge, or TLS, and WebSocket on every path. It can be stopped like a crashed process
//! (port closed, connections cut) and started again on the same port.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _, stream};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, header};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, broadcast};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::ports;

type Body = BoxBody<Bytes, io::Error>;

/// How probes are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    /// 200.
    Healthy,
    /// This status.
    Status(u16),
    /// So many probes more get 500, then 200.
    FailsNext(usize),
    /// Never.
    Hangs,
    /// 200, with a body that never ends.
    Endless,
}

/// How everything else is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// 200, with JSON of what arrived: `origin`, `connection`, `method`, `path`, `query`, `version`, `authority`, `headers` (a list
    /// each), `body` and `body_length`.
    Echo,
    /// This status, and nothing else.
    Status(u16),
    /// 200, the request's body as it arrives, chunk by chunk.
    Mirror,
    /// 200, an event stream of what [`Origin::emit`] is given.
    Events,
    /// 200, so many bytes of zeros.
    Zeros(u64),
    /// Reads the request and answers as [`Mode::Echo`] after [`Origin::release`].
    Gated,
    /// As [`Mode::Echo`], after so many ms of work.
    Works(u64),
    /// Reads the request and never answers.
    Hangs,
    /// 200, a first chunk, and nothing more.
    StopsWithin,
    /// 200, a first chunk, and the connection is cut.
    BreaksOff,
    /// Reads the request and cuts the connection.
    Cut,
}

struct Shared {
    name: String,
    health: Mutex<Health>,
    mode: Mutex<Mode>,
    /// The `Keep-Alive` of echoes.
    keep_alive: Mutex<Option<&'static str>>,
    counts: Mutex<BTreeMap<String, usize>>,
    /// The `x-request-id` of each request, probes left out.
    ids: Mutex<Vec<String>>,
    events: broadcast::Sender<String>,
    gate: Notify,
    connections: AtomicUsize,
    /// Open connections that served something else than probes.
    serving: AtomicUsize,
}

#[derive(Clone)]
enum Transport {
    Http1,
    H2c,
    Tls(TlsAcceptor),
}

/// The server.
pub(crate) struct Origin {
    address: SocketAddr,
    transport: Transport,
    shared: Arc<Shared>,
    task: Option<JoinHandle<()>>,
}

impl Origin {
    /// HTTP/1.1.
    pub(crate) async fn start() -> Self {
        Self::named("origin").await
    }

    /// HTTP/1.1, with a name that its echoes carry as `origin`.
    pub(crate) async fn named(name: &str) -> Self {
        Self::over(Transport::Http1, name)
    }

    /// HTTP/2 with prior knowledge, and nothing else.
    pub(crate) async fn h2c() -> Self {
        Self::over(Transport::H2c, "origin")
    }

    /// HTTP/1.1 or HTTP/2 over TLS, whichever is negotiated.
    pub(crate) async fn tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::over(Transport::Tls(config.into()), "origin")
    }

    /// HTTP/1.1 at every address of the loopback interface: one origin for many instances.
    pub(crate) async fn everywhere(name: &str) -> Self {
        Self::on(ports::listener_everywhere(), Transport::Http1, name)
    }

    fn over(transport: Transport, name: &str) -> Self {
        Self::on(ports::listener(), transport, name)
    }

    fn on(listener: std::net::TcpListener, transport: Transport, name: &str) -> Self {
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            health: Mutex::new(Health::Healthy),
            mode: Mutex::new(Mode::Echo),
            keep_alive: Mutex::default(),
            counts: Mutex::default(),
            ids: Mutex::default(),
            // More events than any test emits before its client reads.
            events: broadcast::channel(64).0,
            gate: Notify::new(),
            connections: AtomicUsize::new(0),
            serving: AtomicUsize::new(0),
        });
        let address = listener.local_addr().unwrap();
        let mut origin = Self { address, transport, shared, task: None };
        origin.listen(listener);
        origin
    }

    fn listen(&mut self, listener: std::net::TcpListener) {
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        self.task = Some(tokio::spawn(accept(listener, self.transport.clone(), self.shared.clone())));
    }

    /// As a crash: the port is closed and every connection cut when this returns.
    pub(crate) async fn stop(&mut self) {
        if let Some(task) = self.task.take() {
            task.abort();
            let _ = task.await;
        }
    }

    /// Starts it again on the same port.
    pub(crate) async fn restart(&mut self) {
        self.stop().await;
        self.listen(std::net::TcpListener::bind(self.address).unwrap());
    }

    /// Where it listens.
    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its url.
    pub(crate) fn url(&self) -> String {
        let scheme = if matches!(self.transport, Transport::Tls(_)) { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// From the next probe on.
    pub(crate) fn set_health(&self, health: Health) {
        *self.shared.health.lock().unwrap() = health;
    }

    /// From the next request on.
    pub(crate) fn set_mode(&self, mode: Mode) {
        *self.shared.mode.lock().unwrap() = mode;
    }

    /// What echoes say of their connection, from the next one on.
    pub(crate) fn set_keep_alive(&self, value: &'static str) {
        *self.shared.keep_alive.lock().unwrap() = Some(value);
    }

    /// How many requests came for `path`, query left out.
    pub(crate) fn requests(&self, path: &str) -> usize {
        self.shared.counts.lock().unwrap().get(path).copied().unwrap_or(0)
    }

    /// The `x-request-id` of each request whose header came, in their order; probes are none.
    pub(crate) fn ids(&self) -> Vec<String> {
        self.shared.ids.lock().unwrap().clone()
    }

    /// How many probes came.
    pub(crate) fn probes(&self) -> usize {
        self.requests("/health")
    }

    /// How many connections are open that have served something else than probes.
    pub(crate) fn serving_connections(&self) -> usize {
        self.shared.serving.load(Ordering::SeqCst)
    }

    /// One more event for every client of [`Mode::Events`]; `false` where there is none.
    pub(crate) fn emit(&self, event: &str) -> bool {
        self.shared.events.send(format!("data: {event}\n\n")).is_ok()
    }

    /// Answers the requests that [`Mode::Gated`] holds.
    pub(crate) fn release(&self) {
        self.shared.gate.notify_waiters();
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

async fn accept(listener: TcpListener, transport: Transport, shared: Arc<Shared>) {
    // Dropped with this task, which cuts every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(connection(stream, transport.clone(), shared.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, transport: Transport, shared: Arc<Shared>) {
    let _ = stream.set_nodelay(true);
    match transport {
        Transport::Http1 => serve(auto::Builder::new(TokioExecutor::new()).http1_only(), stream, shared).await,
        Transport::H2c => serve(auto::Builder::new(TokioExecutor::new()).http2_only(), stream, shared).await,
        Transport::Tls(acceptor) => {
            if let Ok(stream) = acceptor.accept(stream).await {
                serve(auto::Builder::new(TokioExecutor::new()), stream, shared).await;
            }
        }
    }
}

/// Counts a connection as serving from its first request that is no probe to its end.
struct Connection {
    id: usize,
    served: Mutex<bool>,
    shared: Arc<Shared>,
}

impl Connection {
    fn note_request(&self) {
        let mut served = self.served.lock().unwrap();
        if !std::mem::replace(&mut *served, true) {
            self.shared.serving.fetch_add(1, Ordering::SeqCst);
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if *self.served.lock().unwrap() {
            self.shared.serving.fetch_sub(1, Ordering::SeqCst);
        }
    }
}

async fn serve<S>(builder: auto::Builder<TokioExecutor>, stream: S, shared: Arc<Shared>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let id = shared.connections.fetch_add(1, Ordering::SeqCst);
    let connection = Arc::new(Connection { id, served: Mutex::new(false), shared: shared.clone() });
    let service = service_fn(move |request| {
        let (shared, connection) = (shared.clone(), connection.clone());
        async move { answer(request, &shared, &connection).await }
    });
    let _ = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).await;
}

/// An error cuts the connection.
async fn answer(
    request: Request<Incoming>,
    shared: &Arc<Shared>,
    connection: &Connection,
) -> io::Result<Response<Body>> {
    let path = request.uri().path().to_owned();
    *shared.counts.lock().unwrap().entry(path.clone()).or_default() += 1;
    if path == "/health" {
        return Ok(health(shared).await);
    }
    connection.note_request();
    if let Some(id) = request.headers().get("x-request-id") {
        shared.ids.lock().unwrap().push(String::from_utf8_lossy(id.as_bytes()).into_owned());
    }
    if request.headers().get(header::UPGRADE).is_some_and(|protocol| protocol == "websocket") {
        return Ok(websocket(request));
    }
    let mode = *shared.mode.lock().unwrap();
    Ok(match mode {
        Mode::Echo => echo(request, shared, connection).await,
        Mode::Status(status) => empty(status),
        Mode::Mirror => Response::new(request.into_body().map_err(io::Error::other).boxed()),
        Mode::Events => events(shared),
        Mode::Zeros(length) => zeros(length),
        Mode::Gated => {
            let released = shared.gate.notified();
            released.await;
            echo(request, shared, connection).await
        }
        Mode::Works(ms) => {
            tokio::time::sleep(std::time::Duration::from_millis(ms)).await;
            echo(request, shared, connection).await
        }
        Mode::Hangs => std::future::pending().await,
        Mode::StopsWithin => {
            let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"first")))]);
            Response::new(BodyExt::boxed(StreamBody::new(first.chain(stream::pending()))))
        }
        Mode::BreaksOff => {
            let first = stream::iter([Ok(Frame::data(Bytes::from_static(b"first")))]);
            let end = stream::once(async {
                // The server sends what it has when it is told to wait for more.
                tokio::task::yield_now().await;
                Err(io::ErrorKind::BrokenPipe.into())
            });
            Response::new(BodyExt::boxed(StreamBody::new(first.chain(end))))
        }
        Mode::Cut => {
            _ = request.into_body().collect().await;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
    })
}

async fn health(shared: &Shared) -> Response<Body> {
    let health = {
        let mut health = shared.health.lock().unwrap();
        let now = *health;
        if let Health::FailsNext(left) = now {
            *health = if left > 1 { Health::FailsNext(left - 1) } else { Health::Healthy };
        }
        now
    };
    match health {
        Health::Healthy | Health::FailsNext(0) => empty(200),
        Health::FailsNext(_) => empty(500),
        Health::Status(status) => empty(status),
        Health::Hangs => std::future::pending().await,
        Health::Endless => zeros(u64::MAX),
    }
}

async fn echo(request: Request<Incoming>, shared: &Shared, connection: &Connection) -> Response<Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else { return empty(400) };
    let body = body.to_bytes();
    let mut headers: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for (name, value) in &head.headers {
        headers.entry(name.as_str()).or_default().push(String::from_utf8_lossy(value.as_bytes()).into_owned());
    }
    let arrived = json!({
        "origin": shared.name,
        "connection": connection.id,
        "method": head.method.as_str(),
        "path": head.uri.path(),
        "query": head.uri.query(),
        "version": format!("{:?}", head.version),
        "authority": head.uri.authority().map(|authority| authority.as_str()),
        "headers": headers,
        // A large body is known by its length and digest.
        "body": if body.len() > 65_536 { "".into() } else { String::from_utf8_lossy(&body) },
        "body_length": body.len(),
        "body_sha256": furt_core::model::Sha256Digest::of(&body).to_string(),
    });
    let keep_alive = *shared.keep_alive.lock().unwrap();
    let mut response = Response::builder();
    if let Some(value) = keep_alive {
        response = response.header("connection", "keep-alive").header("keep-alive", value);
    }
    response
        .header(header::CONTENT_TYPE, "application/json")
        .header("x-origin", &shared.name)
        .body(Full::new(Bytes::from(arrived.to_string())).map_err(io::Error::other).boxed())
        .unwrap()
}

fn empty(status: u16) -> Response<Body> {
    let mut response = Response::new(Empty::new().map_err(io::Error::other).boxed());
    *response.status_mut() = StatusCode::from_u16(status).unwrap();
    response
}

fn events(shared: &Shared) -> Response<Body> {
    let events = stream::unfold(shared.events.subscribe(), |mut events| async {
        let event = events.recv().await.ok()?;
        Some((Ok(Frame::data(Bytes::from(event))), events))
    });
    Response::builder()
        .header(header::CONTENT_TYPE, "text/event-stream")
        .body(BodyExt::boxed(StreamBody::new(events)))
        .unwrap()
}

fn zeros(length: u64) -> Response<Body> {
    static PIECE: [u8; 65_536] = [0; 65_536];
    let pieces = stream::unfold(length, |left| async move {
        let size = left.min(PIECE.len() as u64);
        (size > 0).then(|| (Ok(Frame::data(Bytes::from_static(&PIECE[..size as usize]))), left - size))
    });
    Response::new(BodyExt::boxed(StreamBody::new(pieces)))
}

/// Takes the upgrade and echoes every message.
fn websocket(mut request: Request<Incoming>) -> Response<Body> {
    let Some(key) = request.headers().get("sec-websocket-key").cloned() else { return empty(400) };
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let mut socket = WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, None).await;
        while let Some(Ok(message)) = socket.next().await {
            if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
                return;
            }
        }
    });
    Response::builder()
        .status(StatusCode::SWITCHING_PROTOCOLS)
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header("sec-websocket-accept", derive_accept_key(key.as_bytes()))
        .body(Empty::new().map_err(io::Error::other).boxed())
        .unwrap()
}
