//! The axum router as a Pingora app: reads a request whole, within bounds of size and time, and writes the answer as the
//! router makes it.
//!
//! hyper's server would not be less: what is here are the limits, the times, the answers to what never reaches the router,
//! and the end, which both listeners have in common with Pingora's session and would have to be made again around hyper's.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use axum::Router;
use axum::body::Body;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Version, header};
use bytes::{Bytes, BytesMut};
use http_body::Body as _;
use http_body_util::BodyExt as _;
use pingora::ErrorType;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp as _};
use pingora::http::ResponseHeader;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::sync::{Semaphore, watch};
use tower::ServiceExt;

use furt_api::Code;

use super::listing::Streamed;
use super::operators;
use super::problem::Problem;
use crate::config::ClientConfig;
use crate::listener::{
    self, Admitted, ConnectionHandler, ConnectionPermit, OpenConnections, TOO_MANY_INTERNAL, Unanswered,
    header_deadline,
};
use crate::published::{InForce, Published};
use crate::telemetry::request_id;
use crate::vault::Values;
use crate::wire;
use furt_core::model::{Epoch, Role, Sha256Digest};
use furt_core::routing::Snapshot;

/// The largest body. A registration of 256 routes fits; what is larger is a mistake or an attack.
pub(super) const MAX_BODY: usize = 64 * 1024;
/// Where a file is sent whose records may be as many as the registry has, and the largest one: some 10,000 API keys.
const LARGE_BODIES_TO: &str = "/internal/apply";
pub(super) const MAX_LARGE_BODY: usize = 4 * 1024 * 1024;
/// So many bodies of more than [`MAX_BODY`] are read at the same time; others wait.
const LARGE_BODIES: usize = 2;
/// An answer that takes longer is only waited for while the client is there: it is asked for by who waits, and each has
/// a permit among few. Before that a client that has closed its sending side after its request is answered still.
const HANG_UP_WATCH: Duration = Duration::from_secs(1);

/// The caller's address, as the listener saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// The digest of the certificate that the caller showed, in DER, where it showed one.
#[derive(Debug, Clone, Copy)]
pub(super) struct ShownCertificate(pub(super) Sha256Digest);

/// The request came under TLS.
#[derive(Debug, Clone, Copy)]
pub(super) struct UnderTls;

/// An answer that goes on until its body ends, for as long as its client takes what comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Live;

/// The body was larger than [`MAX_BODY`]; what is there of it is not worth reading.
#[derive(Debug, Clone, Copy)]
pub(super) struct BodyTooLarge;

/// Runs a router on the internal listener.
pub struct Listener {
    router: Router,
    snapshots: Arc<ArcSwap<Published>>,
    open: Arc<OpenConnections>,
    most: usize,
    options: HttpServerOptions,
    kind: Kind,
    idle_ends: ShutdownWatch,
    large_bodies: Arc<Semaphore>,
    /// By which operators are known; nobody else may send a large body.
    values: Values,
}

/// Whose answers these are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// furt's own: they say so.
    Internal,
    /// Of another program around a router.
    Alone,
}

impl Listener {
    /// For this router; its clients are timed as those of the public listener are, counted in `open`, and at most `most`.
    pub fn new(
        router: Router,
        snapshots: Arc<ArcSwap<Published>>,
        open: Arc<OpenConnections>,
        most: usize,
        idle_ends: ShutdownWatch,
    ) -> Self {
        let large_bodies = Arc::new(Semaphore::new(LARGE_BODIES));
        let (options, kind, values) = (listener::options(), Kind::Internal, Values::default());
        Self { router, snapshots, open, most, options, kind, idle_ends, large_bodies, values }
    }

    /// The same with what a Vault gave, which operators' tokens may be of.
    pub fn with_values(self, values: Values) -> Self {
        Self { values, ..self }
    }

    /// The same without a registry: its clients have the default times, and those without a request end with the listener.
    pub fn alone(router: Router, open: Arc<OpenConnections>) -> Self {
        let nothing = Published::new(Snapshot::new(Epoch(uuid::Uuid::nil())), InForce::default());
        let snapshots = Arc::new(ArcSwap::from_pointee(nothing));
        let (_, idle_ends) = watch::channel(true);
        Self { kind: Kind::Alone, ..Self::new(router, snapshots, open, usize::MAX, idle_ends) }
    }

    fn timeouts(&self) -> ClientConfig {
        self.snapshots.load().config.client.clone()
    }

    /// Resolves once a connection without a request is to end.
    async fn is_to_end_idle(&self, shutdown: &mut ShutdownWatch) {
        _ = shutdown.wait_for(|stops| *stops).await;
        _ = self.idle_ends.clone().wait_for(|ends| *ends).await;
    }

    async fn serve(
        &self,
        session: &mut ServerSession,
        timeouts: &ClientConfig,
        shutdown: &ShutdownWatch,
    ) -> pingora::Result<()> {
        let header = session.req_header();
        if header.version >= Version::HTTP_11 && !header.headers.contains_key(header::HOST) {
            session.set_keepalive(None);
            let problem = Problem::new(StatusCode::BAD_REQUEST, Code::HostMissing, "the request has no Host");
            return self.refuse(session, problem).await;
        }
        let request = match self.read(session, timeouts.body_timeout).await {
            Ok(request) => request,
            Err(error) => {
                session.set_keepalive(None);
                let problem = if *error.etype() == ErrorType::ReadTimedout {
                    Problem::new(StatusCode::REQUEST_TIMEOUT, Code::BodyTimeout, "the body did not arrive in time")
                } else {
                    Problem::new(StatusCode::BAD_REQUEST, Code::BadBody, "the body cannot be read")
                };
                // A client that is gone cannot be told.
                _ = self.refuse(session, problem).await;
                return Err(error);
            }
        };
        // A router has no errors of its own; what goes wrong is an answer.
        let mut answering = self.router.clone().oneshot(request);
        let answered = match tokio::time::timeout(HANG_UP_WATCH, &mut answering).await {
            Ok(answered) => answered,
            Err(_) => tokio::select! {
                answered = answering => answered,
                gone = hangs_up(session) => return Err(gone),
            },
        };
        let response = match answered {
            Ok(response) => response,
            Err(never) => match never {},
        };
        // It may have been told so meanwhile, as by this very request.
        if *shutdown.borrow() {
            session.set_keepalive(None);
        }
        if response.extensions().get::<Live>().is_some() {
            return self.write_live(session, response, timeouts.write_timeout).await;
        }
        match tokio::time::timeout(timeouts.write_timeout, self.write(session, response)).await {
            Ok(written) => written,
            // Pingora does not time the header.
            Err(_) => pingora::Error::e_explain(ErrorType::WriteTimedout, "the client does not read"),
        }
    }

    /// Reads a request whole.
    async fn read(&self, session: &mut ServerSession, limit: Duration) -> pingora::Result<Request<Body>> {
        let large_bodies = Some(&self.large_bodies).filter(|_| self.may_send_much(session));
        match tokio::time::timeout(limit, read_body(session, large_bodies)).await {
            Ok(read) => Ok(request(session, read?)),
            Err(_) => pingora::Error::e_explain(ErrorType::ReadTimedout, "the body did not arrive in time"),
        }
    }

    /// Whether a request has a body of as much as an admin may send: it is read before the router asks who sends it.
    fn may_send_much(&self, session: &ServerSession) -> bool {
        let header = session.req_header();
        if header.uri.path() != LARGE_BODIES_TO || self.kind == Kind::Alone {
            return false;
        }
        let config = Arc::clone(&self.snapshots.load().config);
        let certificate = certificate(session);
        let source = |address| operators::source(&config, &self.values, address, certificate, &header.headers);
        peer(session).is_some_and(|address| source(address).may(Role::Admin))
    }

    /// Answers a request that does not reach the router.
    async fn refuse(&self, session: &mut ServerSession, problem: Problem) -> pingora::Result<()> {
        let id = request_id::of(&HeaderMap::new());
        self.write(session, problem.render(request_id::text(&id))).await
    }

    /// Writes an answer that goes on: each piece within `limit`, and none to a client that is gone. Nothing follows it on the
    /// connection.
    async fn write_live(
        &self,
        session: &mut ServerSession,
        response: Response<Body>,
        limit: Duration,
    ) -> pingora::Result<()> {
        session.set_keepalive(None);
        let (parts, mut body) = response.into_parts();
        let not_read = |_| pingora::Error::explain(ErrorType::WriteTimedout, "the client does not read");
        let head = Response::from_parts(parts, ());
        tokio::time::timeout(limit, self.write_head(session, head)).await.map_err(not_read)??;
        loop {
            let frame = tokio::select! {
                frame = body.frame() => frame,
                gone = hangs_up(session) => return Err(gone),
            };
            // It cannot fail, and has no trailers.
            let Some(piece) = frame.and_then(|frame| frame.ok()?.into_data().ok()) else { break };
            tokio::time::timeout(limit, session.write_response_body(piece, false)).await.map_err(not_read)??;
        }
        session.write_response_body(Bytes::new(), true).await
    }

    async fn write_head(&self, session: &mut ServerSession, mut head: Response<()>) -> pingora::Result<()> {
        head.headers_mut().insert(wire::LISTENER, wire::INTERNAL);
        // To an HTTP/1.0 client until the connection's end.
        if session.req_header().version >= Version::HTTP_11 {
            head.headers_mut().insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        let header: ResponseHeader = head.into_parts().0.into();
        session.write_response_header(Box::new(header)).await
    }

    async fn write(&self, session: &mut ServerSession, mut response: Response<Body>) -> pingora::Result<()> {
        if self.kind == Kind::Internal {
            response.headers_mut().insert(wire::LISTENER, wire::INTERNAL);
        }
        write(session, response).await
    }
}

impl ConnectionHandler for Listener {
    type Permit = ConnectionPermit;

    fn open(&self) -> &Arc<OpenConnections> {
        &self.open
    }

    fn idle_ends(&self) -> &ShutdownWatch {
        &self.idle_ends
    }

    fn admit(&self, _: SocketAddr) -> Result<Admitted<ConnectionPermit>, &'static [u8]> {
        self.open.try_acquire(self.most).map(Admitted::Peer).ok_or(TOO_MANY_INTERNAL)
    }

    async fn handle(
        self: Arc<Self>,
        stream: Stream,
        _permit: ConnectionPermit,
        shutdown: ShutdownWatch,
    ) -> Option<Unanswered<Self>> {
        self.process_new(stream, &shutdown).await;
        None
    }
}

#[async_trait]
impl HttpServerApp for Listener {
    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }

    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        let timeouts = self.timeouts();
        let mut shutdown = shutdown.clone();
        let deadline = header_deadline(&session, &timeouts);
        let read = tokio::select! {
            read = tokio::time::timeout(deadline, session.read_request()) => read.ok(),
            // An idle connection must not hold up the end; one with a request is served.
            () = self.is_to_end_idle(&mut shutdown) => None,
        };
        match read {
            Some(Ok(true)) => {}
            Some(Err(error)) if *error.etype() == ErrorType::InvalidHTTPHeader => {
                session.set_keepalive(None);
                let what = "the header of the request is too large, or not one of HTTP/1.1";
                // A client that is gone cannot be told.
                _ = self.refuse(&mut session, Problem::new(StatusCode::BAD_REQUEST, Code::BadRequest, what)).await;
                return None;
            }
            _ => return None,
        }
        // It may have lain idle while the configuration changed.
        let timeouts = self.timeouts();
        session.set_read_timeout(Some(timeouts.body_timeout));
        session.set_write_timeout(Some(timeouts.write_timeout));
        if session.get_keepalive() == Some(0) {
            session.set_keepalive(Some(timeouts.keepalive_timeout.as_secs().max(1)));
        }
        if let Err(error) = self.serve(&mut session, &timeouts, &shutdown).await {
            log::debug!("a request on the internal listener failed: {error}");
            return None;
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok().flatten()?;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}

/// Resolves once the client is gone. One that sends more meanwhile is there, and gets no second answer.
async fn hangs_up(session: &mut ServerSession) -> Box<pingora::Error> {
    match session.read_body_or_idle(true).await {
        Err(error) if matches!(error.etype(), ErrorType::ConnectionClosed | ErrorType::ReadError) => error,
        _ => {
            session.set_keepalive(None);
            std::future::pending().await
        }
    }
}

/// A request with its body, and what the connection says of its client.
fn request(session: &ServerSession, read: ReadBody) -> Request<Body> {
    let ReadBody { body, is_too_large } = read;
    let header = session.req_header();
    let mut request = Request::new(Body::from(body));
    *request.method_mut() = header.method.clone();
    *request.uri_mut() = header.uri.clone();
    *request.headers_mut() = header.headers.clone();
    if let Some(peer) = peer(session) {
        request.extensions_mut().insert(Peer(peer));
    }
    if let Some(certificate) = certificate(session) {
        request.extensions_mut().insert(ShownCertificate(certificate));
    }
    if session.digest().is_some_and(|digest| digest.ssl_digest.is_some()) {
        request.extensions_mut().insert(UnderTls);
    }
    if is_too_large {
        request.extensions_mut().insert(BodyTooLarge);
    }
    request
}

fn peer(session: &ServerSession) -> Option<IpAddr> {
    let address = session.client_addr().and_then(|address| address.as_inet());
    address.map(|address| address.ip().to_canonical())
}

fn certificate(session: &ServerSession) -> Option<Sha256Digest> {
    let shown = session.digest().and_then(|digest| digest.ssl_digest.as_ref())?;
    <[u8; 32]>::try_from(shown.cert_digest.as_slice()).ok().map(Sha256Digest::from_bytes)
}

/// A body, and whether there was more of it than is read.
#[derive(Default)]
struct ReadBody {
    body: Bytes,
    is_too_large: bool,
}

/// `large_bodies`: it may be as large as those.
async fn read_body(session: &mut ServerSession, large_bodies: Option<&Arc<Semaphore>>) -> pingora::Result<ReadBody> {
    let most = if large_bodies.is_some() { MAX_LARGE_BODY } else { MAX_BODY };
    let too_large = || ReadBody { is_too_large: true, ..ReadBody::default() };
    let length =
        session.get_header(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let is_asking =
        session.get_header(header::EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"));
    if length.is_some_and(|length| length > most) {
        if !is_asking {
            drop_rest(session, most).await?;
        }
        return Ok(too_large());
    }
    // Without a length it may be as large as any.
    let _permit = match large_bodies {
        // It is never closed.
        Some(permits) if length.is_none_or(|length| length > MAX_BODY) => permits.acquire().await.ok(),
        Some(_) | None => None,
    };
    if is_asking {
        session.write_continue_response().await?;
    }
    let mut body = BytesMut::new();
    while let Some(part) = session.read_request_body().await? {
        if body.len() + part.len() > most {
            drop(body);
            drop_rest(session, most).await?;
            return Ok(too_large());
        }
        body.extend_from_slice(&part);
    }
    Ok(ReadBody { body: body.freeze(), is_too_large: false })
}

/// Reads what is left of a body that is too large, up to four times as much as may come: a client that is cut while it sends may never
/// see the answer.
async fn drop_rest(session: &mut ServerSession, most: usize) -> pingora::Result<()> {
    let mut left = 4 * most;
    while let Some(part) = session.read_request_body().await? {
        match left.checked_sub(part.len()) {
            Some(less) => left = less,
            None => break,
        }
    }
    Ok(())
}

/// Writes each piece of the body as the router gives it. What has no length beforehand is sent in chunks, and to an
/// HTTP/1.0 client until the connection's end.
async fn write(session: &mut ServerSession, response: Response<Body>) -> pingora::Result<()> {
    let (mut parts, mut body) = response.into_parts();
    match body.size_hint().exact() {
        Some(length) if parts.extensions.get::<Streamed>().is_none() => {
            parts.headers.entry(header::CONTENT_LENGTH).or_insert_with(|| length.into());
        }
        _ if session.req_header().version >= Version::HTTP_11 => {
            parts.headers.insert(header::TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
        }
        _ => session.set_keepalive(None),
    }
    let header: ResponseHeader = parts.into();
    session.write_response_header(Box::new(header)).await?;
    while let Some(frame) = body.frame().await {
        let frame =
            frame.map_err(|error| pingora::Error::because(ErrorType::InternalError, "making the answer", error))?;
        // What is no data is a trailer, which the router never gives.
        if let Ok(piece) = frame.into_data() {
            session.write_response_body(piece, false).await?;
        }
    }
    session.write_response_body(Bytes::new(), true).await
}
