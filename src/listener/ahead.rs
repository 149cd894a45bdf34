//! What a client sends while a request of its connection is served: bytes of its next requests (RFC 9112 §9.3.2).
//!
//! Whoever serves the request must not see them, and that the client is gone must be seen. So they are read into here, up to a
//! bound; what is beyond stays with the kernel, and then the client is not seen to go. Never parses them. That the client sends
//! no more is not its end yet: [`HalfClosed`] tells.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::ReadBuf;

use super::half_closed::{HalfClosed, Serving};
use super::sides::Incoming;
use super::unsent::Unsent;

/// The most that is read of later requests: several whole ones of most clients.
const MOST: usize = 16 * 1024;

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
    mode: Mode,
    /// The client sends no more.
    half_closed: Option<HalfClosed>,
    pub(super) answer: AnswerState,
}

/// Who may see the bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Mode {
    /// Whoever reads: a request is awaited, or its body is.
    #[default]
    Open,
    /// Nobody: a request is served.
    Held,
    /// The tunnel that the connection is.
    Tunnel,
}

impl Ahead {
    /// From now on nothing is given; `bytes` go before those that are here.
    pub(super) fn hold(&mut self, mut bytes: BytesMut) {
        self.mode = Mode::Held;
        if !bytes.is_empty() {
            bytes.unsplit(std::mem::take(&mut self.bytes));
            self.bytes = bytes;
        }
    }

    /// From now on the bytes are given before what comes after them: the connection is a tunnel.
    pub(super) fn release(&mut self) {
        self.mode = Mode::Tunnel;
    }

    /// A request is awaited: gives what is here of it.
    pub(super) fn take(&mut self) -> BytesMut {
        self.mode = Mode::Open;
        self.half_closed = None;
        self.answer = AnswerState::Due;
        std::mem::take(&mut self.bytes)
    }

    /// Whether the end of what the client sends is yet no end to whoever reads.
    pub(super) fn is_tunnel(&self) -> bool {
        self.mode == Mode::Tunnel
    }

    /// Reads of the connection for somebody who may see what is here; `None`: there is nothing, and `incoming` is to be asked.
    /// While it is held, that somebody is given the end of the connection alone.
    pub(super) fn poll_read<I: Incoming>(
        &mut self,
        incoming: &mut I,
        unsent: &Unsent<I::Writer>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Option<Poll<io::Result<()>>> {
        if self.mode == Mode::Held {
            return Some(self.poll_end(incoming, unsent, context));
        }
        if self.bytes.is_empty() {
            let is_ended = self.half_closed.is_some();
            return is_ended.then(|| self.poll_half_closed(incoming, unsent, context));
        }
        let count = self.bytes.len().min(buffer.remaining());
        buffer.put_slice(&self.bytes[..count]);
        self.bytes.advance(count);
        Some(Poll::Ready(Ok(())))
    }

    /// Ready once the client is gone; reads what it sends until then.
    fn poll_end<I: Incoming>(
        &mut self,
        incoming: &mut I,
        unsent: &Unsent<I::Writer>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        while self.half_closed.is_none() {
            if self.bytes.len() >= MOST {
                return Poll::Pending;
            }
            if ready!(incoming.poll_more(context, &mut self.bytes))? == 0 {
                self.half_closed = Some(HalfClosed::new(incoming));
            }
        }
        self.poll_half_closed(incoming, unsent, context)
    }

    /// The client sends no more, as a read said: ready once it is gone, or there is nothing more for it.
    pub(super) fn poll_half_closed<I: Incoming>(
        &mut self,
        incoming: &I,
        unsent: &Unsent<I::Writer>,
        context: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let serving = if self.is_tunnel() { Serving::Tunnel } else { Serving::Request };
        let half_closed = self.half_closed.get_or_insert_with(|| HalfClosed::new(incoming));
        half_closed.poll_gone(serving, incoming, unsent, context)
    }
}
