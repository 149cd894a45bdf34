//! A client's connection as `h2` reads it: gives what was read before, and counts the frames that come.
//!
//! A frame that brings no header of a request and no part of a body costs work alone: PING, SETTINGS, WINDOW_UPDATE,
//! CONTINUATION, RST_STREAM, empty DATA. So much of them without anything else is a flood, and nothing more is read then. What
//! is sent counts as well: who downloads sends little else than WINDOW_UPDATE. Checks no frame; `h2` does.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, BytesMut};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::guard::Guard;
use crate::listener;
use crate::proxy::around::answers_for_its_connection;
use crate::telemetry::Http2End;

/// Bytes of such frames without anything else. A client that sends a PING a second needs hours for them.
const MOST_IDLE_BYTES: usize = 256 * 1024;
/// What every connection begins with (RFC 9113 §3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();
/// Of a frame (§4.1).
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const PADDED: u8 = 8;
/// The most padding of a frame, with its length.
const MOST_PADDING: usize = 256;
/// What is read and dropped of a client that is cut off, and how long at most: so that it sees why.
const MOST_DROPPED: usize = 1024 * 1024;
const DROPPING_TIME: Duration = Duration::from_secs(1);

/// The connection.
#[derive(Debug)]
pub(super) struct Wire {
    stream: Stream,
    /// What was read of it before.
    begun: BytesMut,
    frames: Frames,
    guard: Arc<Guard>,
}

impl Wire {
    pub(super) fn new(stream: Stream, begun: BytesMut, guard: Arc<Guard>) -> Self {
        Self { stream, begun, frames: Frames::new(), guard }
    }

    fn note_received(&mut self, bytes: &[u8]) {
        if self.guard.take_sent() {
            self.frames.idle_bytes = 0;
        }
        self.frames.feed(bytes);
        if self.frames.idle_bytes > MOST_IDLE_BYTES {
            self.guard.accuse(Http2End::Frames);
        }
    }
}

impl Drop for Wire {
    /// A connection that is closed with something unread is reset, and the client might not see why.
    fn drop(&mut self) {
        let is_cut_off = self.guard.fault().is_some();
        if is_cut_off && let Some(lingering) = listener::lingering(&self.stream) {
            tokio::spawn(lingering.end(MOST_DROPPED, DROPPING_TIME));
        }
    }
}

/// Where in its frames a connection is.
#[derive(Debug)]
struct Frames {
    /// Bytes of the preface or of a frame's payload that are still to come.
    left: usize,
    head: [u8; HEAD],
    head_length: usize,
    /// Bytes of frames since the last one that brought something.
    idle_bytes: usize,
}

impl Frames {
    fn new() -> Self {
        Self { left: PREFACE, head: [0; HEAD], head_length: 0, idle_bytes: 0 }
    }

    fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let payload = self.left.min(bytes.len());
            self.left -= payload;
            bytes = &bytes[payload..];
            let missing = (HEAD - self.head_length).min(bytes.len());
            self.head[self.head_length..][..missing].copy_from_slice(&bytes[..missing]);
            self.head_length += missing;
            bytes = &bytes[missing..];
            if self.head_length == HEAD {
                self.head_length = 0;
                self.begin();
            }
        }
    }

    /// A frame begins.
    fn begin(&mut self) {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.left = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let padding = if flags & PADDED == 0 { 0 } else { MOST_PADDING };
        match kind {
            HEADERS => self.idle_bytes = 0,
            DATA if self.left > padding => self.idle_bytes = 0,
            _ => self.idle_bytes += HEAD + self.left,
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // The connection's task was told, and closes.
        if self.guard.fault().is_some() {
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        if self.begun.is_empty() {
            ready!(Pin::new(&mut self.stream).poll_read(context, buffer))?;
        } else {
            let length = self.begun.len().min(buffer.remaining());
            buffer.put_slice(&self.begun[..length]);
            self.begun.advance(length);
            if self.begun.is_empty() {
                self.begun = BytesMut::new();
            }
        }
        self.note_received(buffer.filled().get(before..).unwrap_or_default());
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, parts)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

answers_for_its_connection!(Wire);

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).unwrap().to_be_bytes();
        let mut frame = [&size[1..], &[kind, flags, 0, 0, 0, 1]].concat();
        frame.resize(HEAD + length, 1);
        frame
    }

    /// The idle bytes after these frames, however they are cut into pieces.
    fn idle(frames: &[Vec<u8>]) -> usize {
        let bytes = [&[0; PREFACE][..], &frames.concat()].concat();
        let counts = [1, 2, 7, 24, 33, bytes.len()].map(|piece| {
            let mut frames = Frames::new();
            bytes.chunks(piece).for_each(|piece| frames.feed(piece));
            frames.idle_bytes
        });
        assert_eq!(counts, [counts[0]; 6]);
        counts[0]
    }

    #[test]
    fn frames_that_bring_nothing_are_counted_until_one_brings_something() {
        let (ping, window, settings) = (frame(6, 0, 8), frame(8, 0, 4), frame(4, 0, 6));
        assert_eq!(idle(&[]), 0);
        assert_eq!(idle(&[settings.clone(), ping.clone(), window]), 15 + 17 + 13);
        for (brings, something) in [
            (frame(HEADERS, 4, 30), true),
            (frame(DATA, 0, 1), true),
            (frame(DATA, 0, 20_000), true),
            (frame(DATA, 0, 0), false),
            (frame(DATA, PADDED, 256), false),
            (frame(DATA, PADDED, 257), true),
            (frame(9, 0, 10), false),
            (frame(3, 0, 4), false),
            (frame(200, 0, 70_000), false),
        ] {
            let length = brings.len();
            let expected = if something { 17 } else { 15 + length + 17 };
            assert_eq!(idle(&[settings.clone(), brings, ping.clone()]), expected, "{length}");
        }
    }
}
