//! What a client sends while a request of its connection is served: bytes of its next requests (RFC 9112 §9.3.2).
//!
//! Whoever serves the request must not see them, and that the client is gone must be seen. So they are read into here, up to a
//! bound; what is beyond stays with the kernel, and then the client is not seen to go. Never parses them.

use std::io::{self, ErrorKind};
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::ReadBuf;
use tokio::net::TcpStream;

/// The most that is read of later requests: several whole ones of most clients.
const MOST: usize = 16 * 1024;
/// Room that is made for each read.
const PIECE: usize = 1024;

/// How far the answer to a connection's request is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum AnswerState {
    /// Of no interest any more, or of none yet.
    #[default]
    Begun,
    /// The next bytes are its beginning.
    Due,
    /// Pingora's parser refused the request. What Pingora says itself is not sent.
    Refused,
}

/// Bytes of a connection's later requests, and how far the answer to its present one is.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    bytes: BytesMut,
    is_held: bool,
    pub(super) answer: AnswerState,
}

impl Ahead {
    /// From now on nothing is given; `bytes` go before those that are here.
    pub(super) fn hold(&mut self, mut bytes: BytesMut) {
        self.is_held = true;
        if !bytes.is_empty() {
            bytes.unsplit(std::mem::take(&mut self.bytes));
            self.bytes = bytes;
        }
    }

    /// From now on the bytes are given before what comes after them.
    pub(super) fn release(&mut self) {
        self.is_held = false;
    }

    /// The same, and gives what is here: a request follows.
    pub(super) fn take(&mut self) -> BytesMut {
        self.is_held = false;
        self.answer = AnswerState::Due;
        std::mem::take(&mut self.bytes)
    }

    /// Reads of the connection for somebody who may see what is here; `None`: there is nothing, and `socket` is to be asked.
    /// While it is held, that somebody is given the end of the connection alone.
    pub(super) fn poll_read(
        &mut self,
        socket: &TcpStream,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Option<Poll<io::Result<()>>> {
        if self.is_held {
            return Some(self.poll_end(socket, context));
        }
        if self.bytes.is_empty() {
            return None;
        }
        let count = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[..count]);
        self.bytes.advance(count);
        Some(Poll::Ready(Ok(())))
    }

    /// Ready once the client sends no more; reads what it sends until then.
    fn poll_end(&mut self, socket: &TcpStream, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.bytes.len() < MOST {
            ready!(socket.poll_read_ready(context))?;
            self.bytes.reserve(PIECE);
            match socket.try_read_buf(&mut self.bytes) {
                Ok(0) => return Poll::Ready(Ok(())),
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
            if self.bytes.is_empty() {
                self.bytes = BytesMut::new();
            }
        }
        Poll::Pending
    }
}
