//! A client's connection under TLS: both sides of it, of which each locks the session that they share.
//!
//! One task reads and writes a connection, so nobody ever waits for the lock. What is written waits above this, in
//! [`Outgoing`](super::outgoing::Outgoing), so that a header and a short body are one record.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use pingora::protocols::tls::SslDigest;
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

use furt_core::model::Sha256Digest;

use super::sides::{Incoming, PIECE, Writer};
use crate::tls::Secured;

/// One side of the connection; a clone is the other one.
#[derive(Clone)]
pub(super) struct Session(Arc<Shared>);

struct Shared {
    stream: Mutex<TlsStream<TcpStream>>,
    digest: Arc<SslDigest>,
    secured: Option<Arc<Secured>>,
    is_http2: bool,
}

impl Session {
    /// Of a connection whose handshake is done; `secured` is what it has settled, where somebody asks for that.
    pub(super) fn new(stream: TlsStream<TcpStream>, secured: Option<Secured>) -> Self {
        let (_, session) = stream.get_ref();
        let suite = session.negotiated_cipher_suite().and_then(|suite| suite.suite().as_str()).unwrap_or_default();
        let version = version(session.protocol_version());
        let certificate = session.peer_certificates().and_then(<[_]>::first);
        let certificate = certificate.map_or_else(Vec::new, |der| Sha256Digest::of(der).bytes().to_vec());
        let digest = Arc::new(SslDigest::new(suite, version, None, None, certificate));
        let is_http2 = session.alpn_protocol() == Some(b"h2");
        let secured = secured.map(Arc::new);
        Self(Arc::new(Shared { stream: Mutex::new(stream), digest, secured, is_http2 }))
    }

    fn lock(&self) -> MutexGuard<'_, TlsStream<TcpStream>> {
        self.0.stream.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The protocol's version, as metrics name it.
pub(super) fn version(version: Option<ProtocolVersion>) -> &'static str {
    match version {
        Some(ProtocolVersion::TLSv1_2) => "1.2",
        Some(ProtocolVersion::TLSv1_3) => "1.3",
        _ => "none",
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Session").field("digest", &self.0.digest).finish_non_exhaustive()
    }
}

impl AsyncRead for Session {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_read(context, buffer)
    }
}

impl Incoming for Session {
    type Writer = Self;

    fn with_socket<T>(&self, ask: impl FnOnce(&TcpStream) -> T) -> T {
        ask(self.lock().get_ref().0)
    }

    fn poll_more(&mut self, context: &mut Context<'_>, bytes: &mut BytesMut) -> Poll<io::Result<usize>> {
        let mut room = [const { MaybeUninit::uninit() }; PIECE];
        let mut buffer = ReadBuf::uninit(&mut room);
        ready!(Pin::new(&mut *self.lock()).poll_read(context, &mut buffer))?;
        bytes.extend_from_slice(buffer.filled());
        Poll::Ready(Ok(buffer.filled().len()))
    }

    fn tls(&self) -> Option<Arc<SslDigest>> {
        Some(Arc::clone(&self.0.digest))
    }

    fn secured(&self) -> Option<&Arc<Secured>> {
        self.0.secured.as_ref()
    }

    fn is_http2(&self) -> bool {
        self.0.is_http2
    }
}

impl AsyncWrite for Session {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.lock()).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.lock()).poll_shutdown(context)
    }
}

impl Writer for Session {
    type Incoming = Self;

    /// Says as well that nothing follows (RFC 8446 §6.1): without it a client must take the answer for cut off.
    fn close(self, unsent: &[u8]) {
        let mut stream = self.lock();
        let (socket, session) = stream.get_mut();
        _ = session.writer().write_all(unsent);
        session.send_close_notify();
        while session.wants_write() && session.write_tls(&mut AtOnce(socket)).is_ok_and(|sent| sent > 0) {}
    }

    fn reopen(self) -> io::Result<(Self, Self)> {
        Ok((self.clone(), self))
    }
}

/// Writes what the kernel takes without waiting.
struct AtOnce<'a>(&'a TcpStream);

impl Write for AtOnce<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write(bytes)
    }

    fn write_vectored(&mut self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(parts)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
