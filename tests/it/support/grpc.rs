//! A service of gRPC, message by message: what its metadata asks for, it does. And what clients of it send and get.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::{TlsAcceptor, rustls};

use super::ports;

/// A message as it is on the wire: a flag, its length, itself.
pub(crate) fn message(bytes: &[u8]) -> Bytes {
    flagged(0, bytes)
}

/// The same with a flag: 1 says that it is compressed.
pub(crate) fn flagged(flag: u8, bytes: &[u8]) -> Bytes {
    let length = u32::try_from(bytes.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, bytes].concat().into()
}

/// A call of a method below `/s/`.
pub(crate) fn call(method: &str) -> http::request::Builder {
    super::h2_client::asks(Method::POST, &format!("/s/{method}"))
        .header("content-type", "application/grpc")
        .header("te", "trailers")
}

/// How a health service answers of one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Checked {
    /// By this number of its enum.
    Status(u8),
    /// By this status of gRPC alone.
    Fails(u16),
    /// With this body, whatever that is.
    Says(&'static [u8]),
    Hangs,
}

#[derive(Default)]
struct Shared {
    calls: Mutex<Vec<(String, HeaderMap)>>,
    resets: Mutex<Vec<(String, Reason)>>,
    health: Mutex<BTreeMap<String, Checked>>,
    checks: Mutex<Vec<HeaderMap>>,
}

/// How often `Swell` answers.
pub(crate) const SWELLS: usize = 40;

/// The service. Its methods are `Echo`, which sends each part of the call back and then the trailers that the metadata says;
/// `Swell`, which sends each part back forty times before it reads the next; `Refuse`, which answers with a header alone; `Hang`,
/// which takes all and answers nothing; `Start`, which answers with its header and nothing more; `Deaf`, which reads nothing;
/// `Reset`, which resets the call once it had its first part.
pub(crate) struct GrpcService {
    address: SocketAddr,
    scheme: &'static str,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl GrpcService {
    /// By prior knowledge.
    pub(crate) fn start() -> Self {
        Self::over(None, h2::server::Builder::new())
    }

    /// The same, that lets clients send so many bytes ahead.
    pub(crate) fn with_window(window: u32) -> Self {
        let mut builder = h2::server::Builder::new();
        builder.initial_window_size(window).initial_connection_window_size(window);
        Self::over(None, builder)
    }

    /// Under TLS, with what this says of ALPN.
    pub(crate) fn tls(config: Arc<rustls::ServerConfig>) -> Self {
        Self::over(Some(config.into()), h2::server::Builder::new())
    }

    fn over(acceptor: Option<TlsAcceptor>, builder: h2::server::Builder) -> Self {
        let listener = ports::listener();
        listener.set_nonblocking(true).unwrap();
        let listener = TcpListener::from_std(listener).unwrap();
        let (address, shared) = (listener.local_addr().unwrap(), Arc::<Shared>::default());
        let scheme = if acceptor.is_some() { "https" } else { "http" };
        let of_calls = shared.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                _ = stream.set_nodelay(true);
                let (shared, acceptor, builder) = (of_calls.clone(), acceptor.clone(), builder.clone());
                connections.spawn(async move {
                    match acceptor {
                        None => serve(stream, &builder, shared).await,
                        Some(acceptor) => {
                            if let Ok(stream) = acceptor.accept(stream).await {
                                serve(stream, &builder, shared).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, scheme, shared, task }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}://{}", self.scheme, self.address)
    }

    /// The metadata of the calls of a method.
    pub(crate) fn calls(&self, method: &str) -> Vec<HeaderMap> {
        let calls = self.shared.calls.lock().unwrap();
        calls.iter().filter(|(called, _)| called == method).map(|(_, headers)| headers.clone()).collect()
    }

    /// Why calls of a method were reset.
    pub(crate) fn resets(&self, method: &str) -> Vec<Reason> {
        let resets = self.shared.resets.lock().unwrap();
        resets.iter().filter(|(called, _)| called == method).map(|(_, reason)| *reason).collect()
    }

    /// From the next check on. A name of which nothing is said is not known.
    pub(crate) fn set_health(&self, name: &str, checked: Checked) {
        self.shared.health.lock().unwrap().insert(name.to_owned(), checked);
    }

    /// The headers of the checks.
    pub(crate) fn checks(&self) -> Vec<HeaderMap> {
        self.shared.checks.lock().unwrap().clone()
    }
}

impl Drop for GrpcService {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    builder: &h2::server::Builder,
    shared: Arc<Shared>,
) {
    let Ok(mut connection) = builder.handshake(stream).await else { return };
    let mut calls = JoinSet::new();
    while let Some(Ok((request, respond))) = connection.accept().await {
        calls.spawn(answer(request, respond, shared.clone()));
    }
}

async fn answer(request: Request<RecvStream>, respond: SendResponse<Bytes>, shared: Arc<Shared>) {
    let (head, body) = request.into_parts();
    let method = head.uri.path().rsplit('/').next().unwrap_or_default().to_owned();
    if head.uri.path() == "/grpc.health.v1.Health/Check" {
        shared.checks.lock().unwrap().push(head.headers);
        _ = check(body, respond, &shared).await;
        return;
    }
    shared.calls.lock().unwrap().push((method.clone(), head.headers.clone()));
    if let Err(reason) = run(&method, &head.headers, body, respond).await {
        shared.resets.lock().unwrap().push((method, reason));
    }
}

/// An error is why the call was reset.
async fn run(
    method: &str,
    asked: &HeaderMap,
    mut body: RecvStream,
    mut respond: SendResponse<Bytes>,
) -> Result<(), Reason> {
    let header = || Response::builder().header("content-type", "application/grpc").header("x-initial", "yes");
    let reset = |error: h2::Error| error.reason().unwrap_or(Reason::INTERNAL_ERROR);
    let value = |name: &str| asked.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    if method == "Refuse" {
        let refused = header().header("grpc-status", value("x-fail")).header("grpc-message", "no %C3%A9");
        respond.send_response(refused.body(()).unwrap(), true).map_err(reset)?;
        return Ok(());
    }
    if method == "Hang" || method == "Deaf" {
        while method == "Hang" && take(&mut body).await.map_err(reset)?.is_some() {}
        return Err(poll_fn(|context| respond.poll_reset(context)).await.map_err(reset)?);
    }
    let mut answer = respond.send_response(header().body(()).unwrap(), false).map_err(reset)?;
    if method == "Start" {
        send(&mut answer, message(b"begun")).await?;
        return Err(poll_fn(|context| answer.poll_reset(context)).await.map_err(reset)?);
    }
    while let Some(part) = take(&mut body).await.map_err(reset)? {
        for _ in 0..if method == "Swell" { SWELLS } else { 1 } {
            send(&mut answer, part.clone()).await?;
        }
        if method == "Reset" {
            // What was sent is to arrive before it.
            tokio::time::sleep(Duration::from_millis(50)).await;
            answer.send_reset(Reason::from(value("x-reset").parse::<u32>().unwrap()));
            return Ok(());
        }
    }
    let mut trailers = HeaderMap::new();
    let status = if asked.contains_key("x-fail") { value("x-fail") } else { "0".to_owned() };
    trailers.insert("grpc-status", status.parse().unwrap());
    trailers.insert("x-sum-bin", HeaderValue::from_static("AQID"));
    answer.send_trailers(trailers).map_err(reset)
}

async fn take(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(part) = body.data().await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(part.len())?;
    Ok(Some(part))
}

async fn send(answer: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), Reason> {
    while !bytes.is_empty() {
        answer.reserve_capacity(bytes.len());
        let room = tokio::select! {
            room = poll_fn(|context| answer.poll_capacity(context)) => room,
        };
        let Some(Ok(room)) = room else { return Err(Reason::CANCEL) };
        answer.send_data(bytes.split_to(room.min(bytes.len())), false).map_err(|_| Reason::CANCEL)?;
    }
    Ok(())
}

async fn check(mut body: RecvStream, mut respond: SendResponse<Bytes>, shared: &Shared) -> Result<(), h2::Error> {
    let mut asked = BytesMut::new();
    while let Some(part) = take(&mut body).await? {
        asked.extend_from_slice(&part);
    }
    // A message with nothing, or with the name as its first field.
    let name = asked.get(7..).map_or(String::new(), |name| String::from_utf8(name.to_vec()).unwrap());
    assert!(asked.len() == 5 || asked[5] == 0x0a && usize::from(asked[6]) == name.len(), "{asked:?}");
    let checked = shared.health.lock().unwrap().get(&name).copied().unwrap_or(Checked::Fails(5));
    let header = Response::builder().header("content-type", "application/grpc");
    let body = match checked {
        Checked::Hangs => std::future::pending().await,
        Checked::Fails(status) => {
            respond.send_response(header.header("grpc-status", status).body(()).unwrap(), true)?;
            return Ok(());
        }
        // A field with its default is not written.
        Checked::Status(0) => message(&[]),
        Checked::Status(status) => message(&[0x08, status]),
        Checked::Says(bytes) => Bytes::from_static(bytes),
    };
    let mut answer = respond.send_response(header.body(()).unwrap(), false)?;
    answer.send_data(body, false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    answer.send_trailers(trailers)
}
