//! What a client's stream reads from and writes to: a connection as it is, or one under TLS (`session`).
//!
//! The stream and what belongs to it are made for either kind apart, so that a plain connection pays nothing for the other.

use std::fmt;
use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use pingora::protocols::tls::SslDigest;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::lingering::duplicate;
use crate::tls::Secured;

/// Room that is made for each read of [`Incoming::poll_more`].
pub(super) const PIECE: usize = 1024;

/// The side that is read.
pub(super) trait Incoming: AsyncRead + fmt::Debug + Send + Sync + Unpin + 'static {
    /// The other side of the same connection.
    type Writer: Writer<Incoming = Self>;

    /// Asks the socket below something.
    fn with_socket<T>(&self, ask: impl FnOnce(&TcpStream) -> T) -> T;

    /// Reads what has come, behind `bytes`; 0: the client sends no more. No room is kept while nothing comes.
    fn poll_more(&mut self, context: &mut Context<'_>, bytes: &mut BytesMut) -> Poll<io::Result<usize>>;

    /// What Pingora is told of the TLS that it is under.
    fn tls(&self) -> Option<Arc<SslDigest>> {
        None
    }

    /// What the handshake has settled; `None`: there was none, or nobody asks for that.
    fn secured(&self) -> Option<&Arc<Secured>> {
        None
    }

    /// Whether both sides agreed on HTTP/2 in the handshake.
    fn is_http2(&self) -> bool {
        false
    }
}

/// The side that is written.
pub(super) trait Writer: AsyncWrite + fmt::Debug + Send + Unpin + 'static {
    /// The other side of the same connection.
    type Incoming: Incoming<Writer = Self>;

    /// Sends `unsent` as far as the kernel takes it. The connection closes with its last side.
    fn close(self, unsent: &[u8]);

    /// Both sides of the connection, whose stream has ended before it.
    fn reopen(self) -> io::Result<(Self::Incoming, Self)>
    where
        Self: Sized;
}

impl Incoming for OwnedReadHalf {
    type Writer = OwnedWriteHalf;

    fn with_socket<T>(&self, ask: impl FnOnce(&TcpStream) -> T) -> T {
        ask(self.as_ref())
    }

    fn poll_more(&mut self, context: &mut Context<'_>, bytes: &mut BytesMut) -> Poll<io::Result<usize>> {
        let socket: &TcpStream = self.as_ref();
        loop {
            ready!(socket.poll_read_ready(context))?;
            bytes.reserve(PIECE);
            let read = socket.try_read_buf(bytes);
            if bytes.is_empty() {
                *bytes = BytesMut::new();
            }
            match read {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }
}

impl Writer for OwnedWriteHalf {
    type Incoming = OwnedReadHalf;

    fn close(self, unsent: &[u8]) {
        if !unsent.is_empty() {
            _ = self.try_write(unsent);
        }
        // Closing says that nothing follows; it need not be said before.
        self.forget();
    }

    fn reopen(self) -> io::Result<(OwnedReadHalf, Self)> {
        let socket = duplicate(self.as_ref());
        // Or it would say that nothing follows.
        self.forget();
        Ok(TcpStream::from_std(socket?)?.into_split())
    }
}
