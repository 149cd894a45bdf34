//! A client's connection beyond its stream: what is still to be read of one that is refused, so that the answer is not lost.

use std::io;
use std::os::fd::AsFd as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Room for each read of what is dropped.
const PIECE: usize = 16 * 1024;

/// A second handle of the connection.
pub(super) fn duplicate(socket: &TcpStream) -> io::Result<std::net::TcpStream> {
    socket.as_fd().try_clone_to_owned().map(Into::into)
}

/// A client's connection beyond its stream, for what is still to be read of it.
pub struct Lingering(std::net::TcpStream);

impl Lingering {
    /// Of a connection; `None`: there is no file for it.
    pub(super) fn of(socket: &TcpStream) -> Option<Self> {
        duplicate(socket).ok().map(Self)
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
