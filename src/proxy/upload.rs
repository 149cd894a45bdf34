//! A client's connection while a request with a body is on it: looks at the bytes of the body, and times the service.
//!
//! Pingora's own read timeout of a service runs while the client still sends. A client that pauses would make the service look
//! slow, and thirty of them would get a healthy instance ejected. So for these requests that timeout is longer than any pause
//! that a client may make, and this stream fails a read when the service had all it needs, and did nothing, for too long.
//! Pingora reads from the client all the while, so nobody else has to wait for the moment. Requests without a body are not on
//! such a stream.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use pingora::protocols::Stream;
use pingora_proxy::Session;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::around::answers_for_its_connection;
use super::chunks::Chunks;
use crate::clock;

/// The service had the whole request and did nothing for as long as it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the service did nothing for too long")]
pub(super) struct ServiceTooSlow;

/// A connection with a request that has a body.
#[derive(Debug)]
pub(super) struct Upload {
    stream: Stream,
    chunks: Option<Chunks>,
    watch: ServiceWatch,
    /// Since when the service could have done something; `None`: from the next look on.
    due_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

/// What the hooks of the request tell its stream, and ask it.
#[derive(Debug)]
pub(super) struct ServiceWatch {
    /// How long the service may do nothing, in ms.
    allowed_ms: AtomicU64,
    /// Whether it is the service that has to do something next.
    is_due: AtomicBool,
    /// Whether its time begins anew.
    restarts: AtomicBool,
    is_body_complete: AtomicBool,
    is_tunnel: AtomicBool,
    /// When the client was heard last, in ms after `began`.
    heard_ms: AtomicU64,
    began: Instant,
}

impl ServiceWatch {
    /// An attempt begins at a service that may do nothing for so long. One that is to say first whether it wants the body
    /// (`Expect: 100-continue`) has to do something from the start.
    pub(super) fn begin_attempt(&self, allowed: Duration, awaits_consent: bool) {
        let allowed_ms = u64::try_from(allowed.as_millis()).unwrap_or(u64::MAX);
        self.allowed_ms.store(allowed_ms, Ordering::Relaxed);
        if !self.is_body_complete.load(Ordering::Relaxed) {
            self.is_due.store(awaits_consent && self.heard_ms.load(Ordering::Relaxed) == 0, Ordering::Relaxed);
        }
        self.restarts.store(true, Ordering::Relaxed);
    }

    /// The service is sent the last part of the body: from now on it has all it needs.
    pub(super) fn note_body_complete(&self) {
        self.is_body_complete.store(true, Ordering::Relaxed);
        self.is_due.store(true, Ordering::Relaxed);
        self.restarts.store(true, Ordering::Relaxed);
    }

    /// The connection is a tunnel from now on: what comes is no body, and either side may be silent.
    pub(super) fn note_tunnel(&self) {
        self.is_tunnel.store(true, Ordering::Relaxed);
        self.is_due.store(false, Ordering::Relaxed);
    }

    /// Whether a part of the body is still missing, and the client has sent nothing for `pause`.
    pub(super) fn client_pauses(&self, pause: Duration) -> bool {
        let heard = Duration::from_millis(self.heard_ms.load(Ordering::Relaxed));
        !self.is_body_complete.load(Ordering::Relaxed)
            && clock::now().saturating_duration_since(self.began).saturating_sub(heard) >= pause
    }
}

/// The watch of a request with a body.
pub(super) fn watch(session: &Session) -> Option<&ServiceWatch> {
    let stream = session.as_downstream().as_http1()?.stream();
    stream.as_any().downcast_ref::<Upload>().map(|upload| &upload.watch)
}

/// Whether the request may have a body: over HTTP/1 it is on such a stream then.
pub(super) fn may_have_body(session: &Session) -> bool {
    session.as_downstream().as_http1().is_none_or(|http1| http1.stream().as_any().is::<Upload>())
}

impl Upload {
    /// Around the connection of a request that is about to be served; `chunks` looks at a chunked body, and was fed what was
    /// read of it with the header.
    pub(super) fn new(stream: Stream, chunks: Option<Chunks>) -> Self {
        let watch = ServiceWatch {
            allowed_ms: AtomicU64::new(u64::MAX),
            is_due: AtomicBool::new(false),
            restarts: AtomicBool::new(false),
            is_body_complete: AtomicBool::new(false),
            is_tunnel: AtomicBool::new(false),
            heard_ms: AtomicU64::new(0),
            began: clock::now(),
        };
        Self { stream, chunks, watch, due_since: None, timer: None }
    }

    /// The connection alone, once its request is answered.
    pub(super) fn unwrap(stream: Stream) -> Stream {
        if !stream.as_any().is::<Self>() {
            return stream;
        }
        match stream.into_any().downcast::<Self>() {
            Ok(upload) => upload.stream,
            Err(_) => unreachable!("its type was looked at"),
        }
    }

    /// What it is around.
    pub(super) fn connection(&self) -> &Stream {
        &self.stream
    }

    /// Takes what the client has sent.
    fn note_received(&mut self, bytes: &[u8]) -> io::Result<()> {
        let since = clock::now().saturating_duration_since(self.watch.began);
        // At least 1: that the client was heard at all is told by it.
        self.watch.heard_ms.store(u64::try_from(since.as_millis()).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        if !self.watch.is_body_complete.load(Ordering::Relaxed) {
            self.watch.is_due.store(false, Ordering::Relaxed);
        }
        match &mut self.chunks {
            Some(chunks) if !self.watch.is_tunnel.load(Ordering::Relaxed) => {
                chunks.feed(bytes).map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))
            }
            _ => Ok(()),
        }
    }

    /// Something was written to the client: the service did something.
    fn note_sent(&mut self) {
        self.watch.restarts.store(true, Ordering::Relaxed);
        if !self.watch.is_body_complete.load(Ordering::Relaxed) {
            self.watch.is_due.store(false, Ordering::Relaxed);
        }
    }

    /// Ready once the service had its time.
    fn poll_too_slow(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if !self.watch.is_due.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        if self.watch.restarts.swap(false, Ordering::Relaxed) {
            self.due_since = None;
        }
        let since = *self.due_since.get_or_insert_with(clock::now);
        let allowed = Duration::from_millis(self.watch.allowed_ms.load(Ordering::Relaxed));
        // A time beyond what the clock can tell never comes.
        let Some(until) = since.checked_add(allowed).map(tokio::time::Instant::from) else { return Poll::Pending };
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(until)));
        if timer.deadline() != until {
            timer.as_mut().reset(until);
        }
        timer.as_mut().poll(context)
    }
}

impl AsyncRead for Upload {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        match Pin::new(&mut self.stream).poll_read(context, buffer) {
            Poll::Ready(Ok(())) => Poll::Ready(self.note_received(buffer.filled().get(before..).unwrap_or_default())),
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                self.poll_too_slow(context).map(|()| Err(io::Error::new(io::ErrorKind::TimedOut, ServiceTooSlow)))
            }
        }
    }
}

impl AsyncWrite for Upload {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.note_sent();
        }
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        if written.is_ready() {
            self.note_sent();
        }
        written
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

answers_for_its_connection!(Upload);
