//! A client's connection as Pingora is given it, and the one place that knows what Pingora asks of a stream.
//!
//! It has no read buffer: headers and bodies are read into buffers of those who read them. Only what comes while a request is
//! served is kept, in [`Ahead`]. What is written is kept in [`Unsent`], which the stream shares with the connection's task.
//!
//! Where Pingora's parser refuses a request, Pingora answers it before any hook is asked. That answer is known by what it lacks,
//! and is not sent; the connection outlives the stream then, and is served once more ([`take_refused`]).

use std::fmt;
use std::io::{self, ErrorKind, IoSlice};
use std::net::SocketAddr;
use std::os::fd::AsRawFd as _;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::tls::SslDigest;
use pingora::protocols::{
    ALPN, GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedReadHalf;

use super::ahead::{Ahead, AnswerState};
use super::lingering::Lingering;
use super::service_time::ServiceTime;
use super::session::Session;
use super::sides::{Incoming, Writer};
use super::unsent::Unsent;
use crate::tls::Secured;
use crate::wire;

/// A connection that was accepted.
pub(super) struct ClientStream<I: Incoming = OwnedReadHalf> {
    incoming: I,
    ahead: Mutex<Ahead>,
    unsent: Unsent<I::Writer>,
    service: Arc<ServiceTime>,
    digest: Arc<SocketDigest>,
}

/// The connection, where its stream ended with a request that Pingora's parser refused and that was not answered. `peer` says
/// whose it is.
pub(super) fn take_refused<W: Writer>(
    unsent: &Unsent<W>,
    peer: impl FnOnce(&TcpStream) -> Option<SocketAddr>,
) -> Option<Stream> {
    // The stream takes the writer with it otherwise.
    let (writer, _) = unsent.lock().close()?;
    let (incoming, writer) = writer.reopen().ok()?;
    let peer = incoming.with_socket(peer)?;
    Some(Box::new(ClientStream::of_sides(incoming, writer, peer)))
}

impl ClientStream {
    /// `peer` is its address, so that nobody has to ask the kernel for it.
    pub(super) fn new(socket: TcpStream, peer: SocketAddr) -> Self {
        let (incoming, writer) = socket.into_split();
        Self::of_sides(incoming, writer, peer)
    }
}

impl ClientStream<Session> {
    /// The same of a connection under TLS.
    pub(super) fn under_tls(session: Session, peer: SocketAddr) -> Self {
        Self::of_sides(session.clone(), session, peer)
    }
}

impl<I: Incoming> ClientStream<I> {
    fn of_sides(incoming: I, writer: I::Writer, peer: SocketAddr) -> Self {
        let digest = SocketDigest::from_raw_fd(incoming.with_socket(|socket| socket.as_raw_fd()));
        // It is new, so nothing is set.
        _ = digest.peer_addr.set(Some(PeerAddress::Inet(peer)));
        let unsent = Unsent::new(writer);
        Self { incoming, ahead: Mutex::default(), unsent, service: Arc::default(), digest: Arc::new(digest) }
    }

    pub(super) fn unsent(&self) -> Unsent<I::Writer> {
        self.unsent.clone()
    }

    /// What is written came from the service, mostly.
    fn note_written(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.service.note_written(written.is_ready());
        written
    }

    /// Whether what is written is not to be sent.
    fn is_muted(&mut self, parts: &[IoSlice<'_>]) -> bool {
        let answer = &mut self.ahead.get_mut().unwrap_or_else(PoisonError::into_inner).answer;
        if *answer == AnswerState::Due {
            let is_pingoras = parts.first().is_some_and(|part| is_of_the_parser(part));
            *answer = if is_pingoras { AnswerState::Refused } else { AnswerState::Begun };
        }
        *answer == AnswerState::Refused
    }

    fn is_refused(&mut self) -> bool {
        self.ahead.get_mut().unwrap_or_else(PoisonError::into_inner).answer == AnswerState::Refused
    }
}

/// Whether an answer that begins so is the one of Pingora to what its parser refuses: it has not been through the hooks.
fn is_of_the_parser(start: &[u8]) -> bool {
    matches!(start.get(b"HTTP/1.1 ".len()..), Some([b'4', b'0', b'0' | b'5', ..]))
        && memchr::memmem::find(start, wire::GATEWAY.as_bytes()).is_none()
}

/// The request that is served has all it needs: what follows on the connection, of which `bytes` were read, is of later
/// requests. It is kept, up to a bound, and whoever reads the stream is given its end alone.
pub fn hold(stream: &Stream, bytes: BytesMut) {
    with_ahead(stream, |ahead| ahead.hold(bytes));
}

/// The connection is a tunnel: what is held belongs to it, as what follows does.
pub fn release(stream: &Stream) {
    with_ahead(stream, Ahead::release);
}

/// The connection beyond its stream; `None`: there is no file for it.
pub fn lingering(stream: &Stream) -> Option<Lingering> {
    client(stream)?.lingering()
}

/// How long the service of the connection's request may do nothing.
pub fn service_time(stream: &Stream) -> Option<&Arc<ServiceTime>> {
    client(stream).map(Client::service)
}

/// What the connection's handshake has settled; `None`: it is plain.
pub fn secured(stream: &Stream) -> Option<&Arc<Secured>> {
    client(stream)?.secured()
}

/// What came ahead of the request that is awaited now.
pub(super) fn take_ahead(stream: &Stream) -> BytesMut {
    client(stream).map(Client::take_ahead).unwrap_or_default()
}

fn with_ahead(stream: &Stream, act: impl FnOnce(&mut Ahead)) {
    if let Some(client) = client(stream) {
        act(&mut client.ahead());
    }
}

/// A [`ClientStream`], whatever it is under.
trait Client {
    fn ahead(&self) -> MutexGuard<'_, Ahead>;
    fn take_ahead(&self) -> BytesMut;
    fn lingering(&self) -> Option<Lingering>;
    fn service(&self) -> &Arc<ServiceTime>;
    fn secured(&self) -> Option<&Arc<Secured>>;
}

fn client(stream: &Stream) -> Option<&dyn Client> {
    let stream = stream.as_any();
    match stream.downcast_ref::<ClientStream>() {
        Some(plain) => Some(plain),
        None => stream.downcast_ref::<ClientStream<Session>>().map(|stream| stream as &dyn Client),
    }
}

impl<I: Incoming> Client for ClientStream<I> {
    fn ahead(&self) -> MutexGuard<'_, Ahead> {
        self.ahead.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_ahead(&self) -> BytesMut {
        self.unsent.lock().await_answer();
        self.ahead().take()
    }

    fn lingering(&self) -> Option<Lingering> {
        self.incoming.with_socket(Lingering::of)
    }

    fn service(&self) -> &Arc<ServiceTime> {
        &self.service
    }

    fn secured(&self) -> Option<&Arc<Secured>> {
        self.incoming.secured()
    }
}

impl<I: Incoming> Drop for ClientStream<I> {
    /// Closes the connection, though the task may still share what is unsent; that is sent as far as the kernel takes it. Not
    /// where the client is still to be answered.
    fn drop(&mut self) {
        if self.is_refused() {
            return;
        }
        let closed = self.unsent.lock().close();
        if let Some((writer, unsent)) = closed {
            writer.close(&unsent);
        }
    }
}

impl<I: Incoming> fmt::Debug for ClientStream<I> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientStream").field("socket", &self.incoming).finish_non_exhaustive()
    }
}

impl<I: Incoming> AsyncRead for ClientStream<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { incoming, ahead, unsent, .. } = &mut *self;
        let ahead = ahead.get_mut().unwrap_or_else(PoisonError::into_inner);
        let read = match ahead.poll_read(incoming, unsent, context, buffer) {
            Some(read) => read,
            None if ahead.is_tunnel() => poll_tunnel(incoming, ahead, unsent, context, buffer),
            None => Pin::new(incoming).poll_read(context, buffer),
        };
        if let Some(over) = self.service.take_over(read.is_pending()) {
            return Poll::Ready(Err(io::Error::new(ErrorKind::TimedOut, over)));
        }
        read
    }
}

/// Reads on in a tunnel, whose client may have closed its sending side and wait for more.
fn poll_tunnel<I: Incoming>(
    incoming: &mut I,
    ahead: &mut Ahead,
    unsent: &Unsent<I::Writer>,
    context: &mut Context<'_>,
    buffer: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    let before = buffer.remaining();
    ready!(Pin::new(&mut *incoming).poll_read(context, buffer))?;
    let is_end = before > 0 && buffer.remaining() == before;
    if is_end { ahead.poll_half_closed(incoming, unsent, context) } else { Poll::Ready(Ok(())) }
}

impl<I: Incoming> AsyncWrite for ClientStream<I> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_muted(&[IoSlice::new(bytes)]) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = self.unsent.lock().poll_write(context, bytes);
        self.note_written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_muted(parts) {
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        let written = self.unsent.lock().poll_write_parts(context, parts);
        self.note_written(written)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.unsent.lock().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.is_refused() {
            return Poll::Ready(Ok(()));
        }
        self.unsent.lock().poll_shutdown(context)
    }
}

#[async_trait]
impl<I: Incoming> Shutdown for ClientStream<I> {
    async fn shutdown(&mut self) {
        // A client that is gone needs no goodbye.
        _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl<I: Incoming> UniqueID for ClientStream<I> {
    fn id(&self) -> UniqueIDType {
        self.incoming.with_socket(|socket| socket.as_raw_fd())
    }
}

impl<I: Incoming> Ssl for ClientStream<I> {
    fn get_ssl_digest(&self) -> Option<Arc<SslDigest>> {
        self.incoming.tls()
    }

    fn selected_alpn_proto(&self) -> Option<ALPN> {
        self.incoming.is_http2().then_some(ALPN::H2)
    }
}

impl<I: Incoming> GetTimingDigest for ClientStream<I> {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl<I: Incoming> GetProxyDigest for ClientStream<I> {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl<I: Incoming> GetSocketDigest for ClientStream<I> {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl<I: Incoming> Peek for ClientStream<I> {}
