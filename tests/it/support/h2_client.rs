//! Clients that speak HTTP/2: one that asks as a library does, and one that sends frames as they are.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use http::{HeaderMap, Method, Request, StatusCode};
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::SOON;
use super::frames::frame;

/// A client of one connection.
pub(crate) struct Client {
    requests: SendRequest<Bytes>,
    connection: JoinHandle<Result<(), h2::Error>>,
}

/// A whole answer.
#[derive(Debug)]
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: Option<HeaderMap>,
    /// Whether its header was all of it.
    pub(crate) is_header_alone: bool,
}

impl Answered {
    /// Its body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    /// Checks that it is furt's own of that code.
    pub(crate) fn problem(&self, status: u16, code: &str) {
        assert_eq!((self.status.as_u16(), self.json()["code"].as_str()), (status, Some(code)), "{self:?}");
    }
}

/// A `GET` of `path` at the host `gateway`, to which more can be added.
pub(crate) fn get(path: &str) -> http::request::Builder {
    asks(Method::GET, path)
}

pub(crate) fn asks(method: Method, path: &str) -> http::request::Builder {
    Request::builder().method(method).uri(format!("http://gateway{path}"))
}

impl Client {
    /// By prior knowledge.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap()).await
    }

    /// The same, at the other end of a stream.
    pub(crate) async fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self::with(&Builder::new(), stream).await
    }

    pub(crate) async fn with(builder: &Builder, stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        let (requests, connection) = builder.handshake(stream).await.unwrap();
        Self { requests, connection: tokio::spawn(connection) }
    }

    /// Sends a header; the request goes on with what is returned.
    pub(crate) async fn begin(&self, request: http::request::Builder) -> (ResponseFuture, SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        requests.send_request(request.body(()).unwrap(), false).unwrap()
    }

    /// Asks without a body, and takes the whole answer.
    pub(crate) async fn ask(&self, request: http::request::Builder) -> Answered {
        self.try_ask(request).await.unwrap()
    }

    pub(crate) async fn try_ask(&self, request: http::request::Builder) -> Result<Answered, h2::Error> {
        let mut requests = self.requests.clone().ready().await?;
        let (response, _) = requests.send_request(request.body(()).unwrap(), true)?;
        answered(response).await
    }

    /// Asks with a body.
    pub(crate) async fn send(&self, request: http::request::Builder, body: Bytes) -> Answered {
        let (response, stream) = self.begin(request).await;
        let (sent, answer) = tokio::join!(send_all(stream, body), answered(response));
        sent.unwrap();
        answer.unwrap()
    }

    /// Asks for a WebSocket (RFC 8441), with more in the header.
    pub(crate) async fn websocket(
        &self,
        url: &str,
        more: &[(&str, &str)],
    ) -> (http::response::Parts, RecvStream, SendStream<Bytes>) {
        let mut requests = self.requests.clone().ready().await.unwrap();
        super::eventually("that WebSockets may be asked for", SOON, async || {
            requests.is_extended_connect_protocol_enabled().then_some(())
        })
        .await;
        let mut request = asks(Method::CONNECT, "/").extension(h2::ext::Protocol::from_static("websocket")).uri(url);
        for (name, value) in [("sec-websocket-version", "13")].iter().chain(more) {
            request = request.header(*name, *value);
        }
        let (response, stream) = requests.send_request(request.body(()).unwrap(), false).unwrap();
        let (parts, body) = timeout(SOON, response).await.expect("an answer").unwrap().into_parts();
        (parts, body, stream)
    }

    /// Waits until the connection is closed, and gives the reason of the GOAWAY, if there was one of an error.
    pub(crate) async fn closed(self, within: Duration) -> Option<h2::Reason> {
        // Without a way to ask the client would close it itself.
        let Self { requests: _requests, connection } = self;
        let end = timeout(within, connection).await.expect("the end of the connection").unwrap();
        end.err().and_then(|error| error.reason())
    }

    /// Whether it is closed.
    pub(crate) fn is_closed(&self) -> bool {
        self.connection.is_finished()
    }
}

/// Sends a body as the windows allow.
pub(crate) async fn send_all(mut stream: SendStream<Bytes>, mut body: Bytes) -> Result<(), h2::Error> {
    while !body.is_empty() {
        stream.reserve_capacity(body.len());
        let Some(room) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else { break };
        let part = body.split_to(room?.min(body.len()));
        stream.send_data(part, false)?;
    }
    stream.send_data(Bytes::new(), true)
}

/// Takes a whole answer.
pub(crate) async fn answered(response: ResponseFuture) -> Result<Answered, h2::Error> {
    let response = timeout(SOON, response).await.expect("an answer")?;
    let (parts, mut body) = response.into_parts();
    let is_header_alone = body.is_end_stream();
    let (mut taken, mut trailers) = (Vec::new(), None);
    let rest = async {
        while let Some(part) = next(&mut body).await? {
            taken.extend_from_slice(&part);
        }
        trailers = body.trailers().await?;
        Ok::<_, h2::Error>(())
    };
    timeout(SOON, rest).await.expect("the rest of the answer")?;
    Ok(Answered { status: parts.status, headers: parts.headers, body: taken.into(), trailers, is_header_alone })
}

/// The next part of a body.
pub(crate) async fn next(body: &mut RecvStream) -> Result<Option<Bytes>, h2::Error> {
    let Some(part) = body.data().await.transpose()? else { return Ok(None) };
    body.flow_control().release_capacity(part.len())?;
    Ok(Some(part))
}

/// A client that sends frames as they are.
pub(crate) struct FrameClient(TcpStream);

/// A frame that came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl FrameClient {
    /// With the preface and empty SETTINGS sent.
    pub(crate) async fn to(address: SocketAddr) -> Self {
        let mut client = Self(TcpStream::connect(address).await.unwrap());
        client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
        client.send(&frame(4, 0, 0, &[])).await;
        client
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        assert!(self.try_send(bytes).await, "it is closed");
    }

    /// Whether it is still open.
    pub(crate) async fn try_send(&mut self, bytes: &[u8]) -> bool {
        self.0.write_all(bytes).await.is_ok()
    }

    /// The next frame; `None`: the connection is closed.
    pub(crate) async fn next(&mut self) -> Option<Received> {
        let mut head = [0; 9];
        timeout(SOON, self.0.read_exact(&mut head)).await.expect("a frame, or the end").ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.0.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Received { kind: head[3], flags: head[4], stream, payload })
    }

    /// Frames of that kind until the connection is closed.
    pub(crate) async fn all_of(&mut self, kind: u8) -> Vec<Received> {
        let mut found = Vec::new();
        while let Some(frame) = self.next().await {
            found.extend((frame.kind == kind).then_some(frame));
        }
        found
    }

    /// The next frame of that kind.
    pub(crate) async fn next_of(&mut self, kind: u8) -> Received {
        loop {
            let frame = self.next().await.expect("another frame");
            if frame.kind == kind {
                return frame;
            }
        }
    }
}

/// The header section of a `GET` of `path`, which is short.
pub(crate) fn get_fields(path: &str) -> [(&'static str, &str); 4] {
    [(":method", "GET"), (":scheme", "http"), (":authority", "gateway"), (":path", path)]
}

/// Both directions of a stream as bytes. When one of them ends, so does what is returned.
pub(crate) fn as_bytes(mut body: RecvStream, stream: SendStream<Bytes>) -> tokio::io::DuplexStream {
    let (ours, theirs) = tokio::io::duplex(64 * 1024);
    let (mut from_us, mut to_us) = tokio::io::split(theirs);
    tokio::spawn(async move {
        while let Ok(Some(part)) = next(&mut body).await {
            if to_us.write_all(&part).await.is_err() {
                break;
            }
        }
        _ = to_us.shutdown().await;
    });
    tokio::spawn(async move {
        let (mut stream, mut buffer) = (stream, vec![0; 16 * 1024]);
        while let Ok(length @ 1..) = from_us.read(&mut buffer).await {
            let mut part = Bytes::copy_from_slice(&buffer[..length]);
            while !part.is_empty() {
                stream.reserve_capacity(part.len());
                let Some(Ok(room)) = std::future::poll_fn(|context| stream.poll_capacity(context)).await else {
                    return;
                };
                if stream.send_data(part.split_to(room.min(part.len())), false).is_err() {
                    return;
                }
            }
        }
        _ = stream.send_data(Bytes::new(), true);
    });
    ours
}
