//! Connections for requests that ask for an upgrade, as of WebSockets.
//!
//! Pingora closes a tunnel at once where it reads the service's 101 before it has taken note that the request ends
//! (<https://github.com/cloudflare/pingora/issues/946>). Both are ready when it looks for the first time: the note is in a
//! queue, and the 101 of a fast service is in the socket. So the first look at the socket after each write finds nothing, and
//! asks to look again: the note is taken first.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll};

use async_trait::async_trait;
use pingora::connectors::L4Connect;
use pingora::protocols::l4::ext::connect;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::protocols::l4::stream::Stream;
use pingora::protocols::l4::virt::{VirtualSockOpt, VirtualSocket, VirtualSocketStream};
use pingora::upstreams::peer::HttpPeer;
use pingora::{Error, ErrorType};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

static CONNECT: LazyLock<Arc<dyn L4Connect + Send + Sync>> = LazyLock::new(|| Arc::new(Connector));

/// From now on the connection to this peer is one for a tunnel. It must be a new one, and no other request's.
pub(super) fn make(peer: &mut HttpPeer) {
    peer.options.custom_l4 = Some(Arc::clone(&CONNECT));
}

#[derive(Debug)]
struct Connector;

#[async_trait]
impl L4Connect for Connector {
    async fn connect(&self, address: &SocketAddr) -> pingora::Result<Stream> {
        let SocketAddr::Inet(address) = address else {
            return Error::e_explain(ErrorType::ConnectError, "an instance has an address of the internet");
        };
        let socket = connect(address, None).await?;
        // As Pingora does where it may.
        _ = socket.set_nodelay(true);
        let tunnel = Tunnel { socket, has_written: false };
        Ok(VirtualSocketStream::new(Box::new(tunnel)).into())
    }
}

#[derive(Debug)]
struct Tunnel {
    socket: TcpStream,
    /// Since it was read last.
    has_written: bool,
}

impl VirtualSocket for Tunnel {
    fn set_socket_option(&self, option: VirtualSockOpt) -> io::Result<()> {
        match option {
            VirtualSockOpt::NoDelay => self.socket.set_nodelay(true),
            // Pingora sets none that furt does not ask for.
            _ => Ok(()),
        }
    }
}

impl AsyncRead for Tunnel {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if std::mem::take(&mut self.has_written) {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        Pin::new(&mut self.socket).poll_read(context, buffer)
    }
}

impl AsyncWrite for Tunnel {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.has_written = true;
        Pin::new(&mut self.socket).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(context)
    }
}
