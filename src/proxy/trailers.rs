//! A client's connection while a request with `TE` is on it: writes the trailers of a service's answer behind its last chunk.
//!
//! Pingora drops trailers towards clients of HTTP/1. It ends a chunked body with five bytes of their own, written right after a
//! flush; in their place this stream writes the last chunk with the trailers that the hooks gave it. Other requests are not on
//! such a stream. Knows nothing of what trailers mean: `http2` does.

use std::io;
use std::pin::Pin;
use std::sync::OnceLock;
use std::task::{Context, Poll, ready};

use http::{HeaderMap, HeaderName, header};
use pingora::protocols::Stream;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::around::answers_for_its_connection;

/// How Pingora ends a chunked body.
const LAST_CHUNK: &[u8] = b"0\r\n\r\n";

/// Fields that frame a message, or are for one hop: no recipient may take them from trailers (RFC 9110 §6.5.1).
const NEVER_TRAILERS: [HeaderName; 9] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// A connection with a request whose client may take trailers.
#[derive(Debug)]
pub(super) struct Trailing {
    stream: Stream,
    /// The last chunk, the trailers and the empty line.
    end: OnceLock<Vec<u8>>,
    /// Whether nothing was written since the last flush: the next write begins a chunk.
    is_flushed: bool,
    /// How much of `end` is written, once that began.
    written: Option<usize>,
}

impl Trailing {
    /// Around the connection of a request that is about to be served.
    pub(super) fn new(stream: Stream) -> Self {
        Self { stream, end: OnceLock::new(), is_flushed: false, written: None }
    }

    /// The connection alone, once its request is answered.
    pub(super) fn unwrap(stream: Stream) -> Stream {
        if !stream.as_any().is::<Self>() {
            return stream;
        }
        match stream.into_any().downcast::<Self>() {
            Ok(trailing) => trailing.stream,
            Err(_) => unreachable!("its type was looked at"),
        }
    }

    /// Has these trailers written behind the last chunk of the answer; an answer without chunks ends without them.
    pub(super) fn set(&self, trailers: &HeaderMap) {
        let mut end = b"0\r\n".to_vec();
        for (name, value) in trailers.iter().filter(|(name, _)| !NEVER_TRAILERS.contains(name)) {
            for part in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
                end.extend_from_slice(part);
            }
        }
        end.extend_from_slice(b"\r\n");
        // An answer has trailers once.
        _ = self.end.set(end);
    }

    /// Writes `end` on from where it stopped; ready once it is written.
    fn poll_write_end(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let end = self.end.get().map_or(LAST_CHUNK, Vec::as_slice);
        let written = self.written.get_or_insert(0);
        while let Some(rest) = end.get(*written..).filter(|rest| !rest.is_empty()) {
            match ready!(Pin::new(&mut self.stream).poll_write(context, rest))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                more => *written += more,
            }
        }
        self.written = None;
        Poll::Ready(Ok(()))
    }
}

/// Removes what no recipient may take from trailers.
pub(super) fn plain(trailers: &mut HeaderMap) {
    for name in &NEVER_TRAILERS {
        trailers.remove(name);
    }
}

/// The connection itself of a stream that may be one of these.
pub(super) fn connection(stream: &Stream) -> &Stream {
    stream.as_any().downcast_ref::<Trailing>().map_or(stream, |trailing| &trailing.stream)
}

impl AsyncRead for Trailing {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Trailing {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // The bytes of a chunk may look like the last one, but its size was written right before them.
        let is_end = self.is_flushed && bytes == LAST_CHUNK && self.end.get().is_some();
        if is_end || self.written.is_some() {
            ready!(self.poll_write_end(context))?;
            self.is_flushed = false;
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = ready!(Pin::new(&mut self.stream).poll_write(context, bytes));
        self.is_flushed = false;
        Poll::Ready(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(context, parts));
        self.is_flushed = false;
        Poll::Ready(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.stream).poll_flush(context));
        self.is_flushed = flushed.is_ok();
        Poll::Ready(flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

answers_for_its_connection!(Trailing);
