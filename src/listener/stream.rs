//! A client's connection as Pingora is given it, and the one place that knows what Pingora asks of a stream.
//!
//! It has no read buffer: headers and bodies are read into buffers of those who read them. Only what comes while a request is
//! served is kept, in [`Ahead`]. What is written is kept in
//! [`Outgoing`], which the stream shares with the connection's task: [`Unsent`] sends what waits there whenever the task waits
//! for something else.
//!
//! Where Pingora's parser refuses a request, Pingora answers it before any hook is asked. That answer is known by what it lacks,
//! and is not sent; the connection outlives the stream then, and is served once more ([`Unsent::take_refused`]).

use std::fmt;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use bytes::BytesMut;
use pingora::protocols::l4::socket::SocketAddr as PeerAddress;
use pingora::protocols::raw_connect::ProxyDigest;
use pingora::protocols::{
    GetProxyDigest, GetSocketDigest, GetTimingDigest, Peek, Shutdown, SocketDigest, Ssl, Stream, TimingDigest,
    UniqueID, UniqueIDType,
};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::ahead::{Ahead, AnswerState};
use super::outgoing::Outgoing;
use crate::wire;

/// Room for each read of what is dropped.
const PIECE: usize = 16 * 1024;

/// A connection that was accepted.
pub(super) struct ClientStream {
    incoming: OwnedReadHalf,
    ahead: Mutex<Ahead>,
    unsent: Unsent,
    digest: Arc<SocketDigest>,
}

/// What a stream has not sent yet, as the task of its connection sees it.
#[derive(Clone)]
pub(super) struct Unsent(Arc<Mutex<Outgoing<OwnedWriteHalf>>>);

impl Unsent {
    /// Sends what it can; wakes the task where it can send more.
    pub(super) fn poll_send(&self, context: &mut Context<'_>) {
        // Whoever writes next is told of a failure.
        _ = self.lock().poll_flush(context);
    }

    /// The connection, where its stream ended with a request that Pingora's parser refused and that was not answered.
    pub(super) fn take_refused(&self) -> Option<Stream> {
        // The stream takes the writer with it otherwise.
        let (writer, _) = self.lock().close()?;
        let socket = duplicate(writer.as_ref());
        // Or it would say that nothing follows.
        writer.forget();
        let socket = socket.and_then(TcpStream::from_std).ok()?;
        let peer = socket.peer_addr().ok()?;
        Some(Box::new(ClientStream::new(socket, peer)))
    }

    fn lock(&self) -> MutexGuard<'_, Outgoing<OwnedWriteHalf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientStream {
    /// `peer` is its address, so that nobody has to ask the kernel for it.
    pub(super) fn new(socket: TcpStream, peer: SocketAddr) -> Self {
        let digest = SocketDigest::from_raw_fd(socket.as_raw_fd());
        // It is new, so nothing is set.
        _ = digest.peer_addr.set(Some(PeerAddress::Inet(peer)));
        let (incoming, outgoing) = socket.into_split();
        let unsent = Unsent(Arc::new(Mutex::new(Outgoing::new(outgoing))));
        Self { incoming, ahead: Mutex::default(), unsent, digest: Arc::new(digest) }
    }

    pub(super) fn unsent(&self) -> Unsent {
        self.unsent.clone()
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

/// A second handle of the connection.
fn duplicate(socket: &TcpStream) -> io::Result<std::net::TcpStream> {
    socket.as_fd().try_clone_to_owned().map(Into::into)
}

/// A client's connection beyond its stream, for what is still to be read of it.
pub struct Lingering(std::net::TcpStream);

impl Lingering {
    /// Of the connection that a stream is of; `None`: there is no file for it.
    pub fn of(stream: &Stream) -> Option<Self> {
        let stream = stream.as_any().downcast_ref::<ClientStream>()?;
        duplicate(stream.incoming.as_ref()).ok().map(Self)
    }

    /// Says that nothing follows, and drops what the client still sends, so much and so long at most: closed with something
    /// unread, the connection would be reset, and what was sent last might be lost.
    pub async fn end(self, most: usize, longest: Duration) {
        let Ok(mut socket) = TcpStream::from_std(self.0) else { return };
        let read = async {
            _ = socket.shutdown().await;
            let (mut dropped, mut total) = (Vec::with_capacity(PIECE), 0);
            while let Ok(count @ 1..) = socket.read_buf(&mut dropped).await {
                total += count;
                dropped.clear();
                if total > most {
                    return;
                }
            }
        };
        _ = tokio::time::timeout(longest, read).await;
    }
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

/// What came ahead of the request that is awaited now.
pub(super) fn take_ahead(stream: &Stream) -> BytesMut {
    with_ahead(stream, Ahead::take).unwrap_or_default()
}

fn with_ahead<T>(stream: &Stream, act: impl FnOnce(&mut Ahead) -> T) -> Option<T> {
    let stream = stream.as_any().downcast_ref::<ClientStream>()?;
    Some(act(&mut stream.ahead.lock().unwrap_or_else(PoisonError::into_inner)))
}

impl Drop for ClientStream {
    /// Closes the connection, though the task may still share what is unsent; that is sent as far as the kernel takes it. Not
    /// where the client is still to be answered.
    fn drop(&mut self) {
        if self.is_refused() {
            return;
        }
        if let Some((writer, unsent)) = self.unsent.lock().close() {
            if !unsent.is_empty() {
                _ = writer.try_write(&unsent);
            }
            // Closing says that nothing follows; it need not be said before.
            writer.forget();
        }
    }
}

impl fmt::Debug for ClientStream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ClientStream").field("socket", &self.incoming).finish_non_exhaustive()
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { incoming, ahead, .. } = &mut *self;
        let ahead = ahead.get_mut().unwrap_or_else(PoisonError::into_inner);
        match ahead.poll_read(AsRef::as_ref(incoming), context, buffer) {
            Some(read) => read,
            None => Pin::new(incoming).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.is_muted(&[IoSlice::new(bytes)]) {
            return Poll::Ready(Ok(bytes.len()));
        }
        self.unsent.lock().poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.is_muted(parts) {
            return Poll::Ready(Ok(parts.iter().map(|part| part.len()).sum()));
        }
        self.unsent.lock().poll_write_parts(context, parts)
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
impl Shutdown for ClientStream {
    async fn shutdown(&mut self) {
        // A client that is gone needs no goodbye.
        _ = AsyncWriteExt::shutdown(self).await;
    }
}

impl UniqueID for ClientStream {
    fn id(&self) -> UniqueIDType {
        self.incoming.as_ref().as_raw_fd()
    }
}

impl Ssl for ClientStream {}

impl GetTimingDigest for ClientStream {
    fn get_timing_digest(&self) -> Vec<Option<TimingDigest>> {
        Vec::new()
    }
}

impl GetProxyDigest for ClientStream {
    fn get_proxy_digest(&self) -> Option<Arc<ProxyDigest>> {
        None
    }
}

impl GetSocketDigest for ClientStream {
    fn get_socket_digest(&self) -> Option<Arc<SocketDigest>> {
        Some(Arc::clone(&self.digest))
    }
}

impl Peek for ClientStream {}
