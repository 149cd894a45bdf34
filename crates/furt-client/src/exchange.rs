//! One request to one host and its answer, each on a connection of its own: a heartbeat is seldom, and a connection that is
//! kept would often be found dead just when it is needed.
//!
//! A host is silent for a bounded time only: to connect (TLS included) and answer, and between two pieces of its answer.

use std::future::Future;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, HeaderValue, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;

use crate::host::Host;

/// What every answer of furt's internal listener has, and no other program's.
const LISTENER: (&str, &str) = ("x-furt-listener", "internal");
/// A list of 100,000 instances is about 50 MiB.
const MAX_ANSWER_BYTES: usize = 256 * 1024 * 1024;
/// An answer that trickles in ends as well.
const LONGEST_BODY: Duration = Duration::from_secs(60);

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    /// JSON.
    pub(crate) body: Option<Bytes>,
    /// How long furt may wait on purpose before it answers.
    pub(crate) wait: Duration,
}

impl Call {
    pub(crate) fn new(method: Method, path: String) -> Self {
        Self { method, path, body: None, wait: Duration::ZERO }
    }
}

/// What came back: from furt's internal listener, whatever its status.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Bytes,
}

/// How a host is spoken to.
pub(crate) struct Way<'a> {
    /// Absent: in plain text.
    pub(crate) tls: Option<&'a TlsConnector>,
    /// `Bearer …`, where it may go there.
    pub(crate) authorization: Option<&'a HeaderValue>,
    pub(crate) silence: Duration,
}

/// Asks one host.
///
/// # Errors
/// Why there is no answer of furt's internal listener, in words.
pub(crate) async fn exchange(host: &Host, call: &Call, way: &Way<'_>) -> Result<Answer, String> {
    #[expect(clippy::disallowed_methods, reason = "the edge where a connection's time begins")]
    let begin = Instant::now();
    let silent = |_| format!("no answer within {} s", way.silence.as_secs_f64());
    let connected = timeout_at(begin + way.silence, connect(host, way)).await.map_err(silent)??;
    let request = request(host, call, way)?;
    // TLS and TCP differ in type, and a box costs nothing beside a connection.
    let (answer, _driver) =
        timeout_at(begin + way.silence + call.wait, send(connected, request)).await.map_err(silent)??;
    let status = answer.status().as_u16();
    if answer.headers().get(LISTENER.0).is_none_or(|value| value != LISTENER.1) {
        return Err(format!(
            "it is not furt's internal listener: it answered {status} without X-Furt-Listener: internal"
        ));
    }
    let body = timeout(LONGEST_BODY, read(answer.into_body(), way.silence));
    let body = body.await.map_err(|_| format!("the answer took longer than {} s", LONGEST_BODY.as_secs()))??;
    Ok(Answer { status, body })
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn connect(host: &Host, way: &Way<'_>) -> Result<Box<dyn Stream>, String> {
    let stream = connect_tcp(host, way.silence).await?;
    let Some(tls) = way.tls else { return Ok(Box::new(stream)) };
    let name = ServerName::try_from(host.name.clone()).map_err(|_| "TLS needs a name or an address".to_owned())?;
    let stream = tls.connect(name, stream).await.map_err(|why| format!("TLS failed: {why}"))?;
    Ok(Box::new(stream))
}

/// Tries each address of the name: one that swallows packets leaves time for the others.
async fn connect_tcp(host: &Host, within: Duration) -> Result<TcpStream, String> {
    let found = lookup_host((host.name.as_str(), host.port)).await;
    let addresses: Vec<_> = found.map_err(|why| format!("its name does not resolve: {why}"))?.collect();
    let mut failed = "its name has no address".to_owned();
    // Something is left of the time for TLS and for the answer.
    let each = within / (u32::try_from(addresses.len()).unwrap_or(u32::MAX).saturating_add(1));
    for address in &addresses {
        let each = if addresses.len() == 1 { within } else { each };
        match timeout(each, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                // A request is one piece, and so is nothing to wait for.
                _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(why)) => failed = format!("no connection: {why}"),
            Err(_) => failed = format!("no connection within {} s", each.as_secs_f64()),
        }
    }
    Err(failed)
}

fn request(host: &Host, call: &Call, way: &Way<'_>) -> Result<Request<Full<Bytes>>, String> {
    let mut request = Request::builder()
        .method(&call.method)
        .uri(&call.path)
        .header(HOST, host.to_string())
        .header(USER_AGENT, concat!("furt-client/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close");
    if let Some(authorization) = way.authorization {
        request = request.header(AUTHORIZATION, authorization);
    }
    if call.body.is_some() {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    let body = Full::new(call.body.clone().unwrap_or_default());
    request.body(body).map_err(|why| format!("the request cannot be sent: {why}"))
}

/// Ends the task with its owner.
struct Driver(tokio::task::JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn send(stream: Box<dyn Stream>, request: Request<Full<Bytes>>) -> Result<(Response<Incoming>, Driver), String> {
    let failed = |why: hyper::Error| format!("the connection broke off: {}", cause(&why));
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(failed)?;
    let driver = Driver(tokio::spawn(ended(connection)));
    Ok((sender.send_request(request).await.map_err(failed)?, driver))
}

/// What fails is told by the request.
async fn ended(connection: impl Future<Output = hyper::Result<()>>) {
    _ = connection.await;
}

/// hyper says what it did, its source why that failed.
fn cause(error: &hyper::Error) -> String {
    std::error::Error::source(error).map_or_else(|| error.to_string(), ToString::to_string)
}

async fn read(mut body: Incoming, silence: Duration) -> Result<Bytes, String> {
    let mut read = Vec::new();
    loop {
        let piece = timeout(silence, body.frame()).await;
        let Some(piece) = piece.map_err(|_| format!("the answer stopped for {} s", silence.as_secs_f64()))? else {
            return Ok(read.into());
        };
        let piece = piece.map_err(|why| format!("the answer broke off: {}", cause(&why)))?;
        if let Ok(data) = piece.into_data() {
            if read.len() + data.len() > MAX_ANSWER_BYTES {
                return Err(format!("the answer is larger than {} MiB", MAX_ANSWER_BYTES >> 20));
            }
            read.extend_from_slice(&data);
        }
    }
}
