//! A client's connection while a request with a body is on it: looks at the bytes of the body, and stops the service's time
//! while the client is the one that is waited for.
//!
//! A client that pauses would make the service look slow, and thirty of them would get a healthy instance ejected. So the time
//! of the service ([`ServiceTime`]) runs only once it has all it needs. Requests without a body are not on such a stream.
//!
//! It also holds the client to the rate at which a body must come, while the service waits for it ([`ClientTime`]).
//!
//! Pingora would take what follows the body for an error. So the stream gives it the body alone, and has the rest held by the
//! connection.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use pingora::Error;
use pingora::protocols::Stream;
use pingora_proxy::Session;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::around::answers_for_its_connection;
use super::body_watch::{BodyTooSlow, BodyWatch, ClientTime};
use super::chunks::{Chunks, MalformedChunks};
use super::h2::Exchange;
use super::trailers::{self, Trailing};
use crate::clock;
use crate::listener::{self, ServiceTime, TimeOver};
use crate::tls::Secured;

/// A connection with a request that has a body.
#[derive(Debug)]
pub(super) struct Upload {
    stream: Stream,
    left: BodyLeft,
    watch: BodyWatch,
    client: ClientTime,
    is_answer_begun: bool,
}

/// What is still to come of a body, as it is on the wire.
#[derive(Debug)]
pub(super) enum BodyLeft {
    /// So many bytes.
    Sized(u64),
    /// What the chunks say.
    Chunked(Chunks),
    /// Only Pingora knows: the length is not said in plain digits.
    Unknown,
}

impl BodyLeft {
    /// Takes the next bytes of the connection, and returns how many of them are of the body.
    ///
    /// # Errors
    /// Its chunks are none.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<usize, MalformedChunks> {
        match self {
            Self::Sized(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(bytes.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunks) => chunks.feed(bytes),
            Self::Unknown => Ok(bytes.len()),
        }
    }

    /// Whether nothing is.
    pub(super) fn is_nothing(&self) -> bool {
        match self {
            Self::Sized(left) => *left == 0,
            Self::Chunked(chunks) => chunks.is_done(),
            Self::Unknown => false,
        }
    }
}

/// The watch of a request with a body.
pub(super) fn watch(session: &Session) -> Option<&BodyWatch> {
    match session.as_downstream().as_http1() {
        Some(http1) => http1.stream().as_any().downcast_ref::<Upload>().map(|upload| &upload.watch),
        None => Exchange::of(session).filter(|exchange| exchange.has_body).map(|exchange| &exchange.watch),
    }
}

/// How long the service of the request may do nothing.
pub(super) fn service_time(session: &Session) -> Option<&ServiceTime> {
    match below(session) {
        Some(stream) => listener::service_time(trailers::connection(stream)).map(AsRef::as_ref),
        None => Exchange::of(session).map(|exchange| &exchange.service),
    }
}

/// What the handshake of the request's connection has settled; `None`: it is plain.
pub(super) fn secured(session: &Session) -> Option<&Arc<Secured>> {
    match below(session) {
        Some(stream) => listener::secured(trailers::connection(stream)),
        None => Exchange::of(session)?.secured.as_ref(),
    }
}

/// Why a read of the client's connection was failed, by it or by what is on it.
pub(super) fn failed_by(error: &Error) -> Option<&(dyn std::error::Error + Send + Sync + 'static)> {
    error.cause.as_ref().and_then(|cause| cause.downcast_ref::<io::Error>()?.get_ref())
}

/// What took too long, where a read was failed for that.
pub(super) fn time_over(error: &Error) -> Option<TimeOver> {
    failed_by(error)?.downcast_ref().copied()
}

/// The service is sent the last part of the body: from now on it has all it needs.
pub(super) fn note_complete(session: &Session) {
    if let Some(watch) = watch(session) {
        watch.note_complete();
    }
    if let Some(time) = service_time(session) {
        time.start();
    }
}

/// Whether the service was not yet sent the last part of the request's body.
pub(super) fn is_under_way(session: &Session) -> bool {
    watch(session).is_some_and(|watch| !watch.is_complete())
}

/// Whether the whole body of the request has arrived.
pub(super) fn has_arrived(session: &Session) -> bool {
    upload(session).is_some_and(|upload| upload.left.is_nothing())
}

/// Whether more of a body in chunks has arrived, which Pingora hands on without waiting for its client. `handed_on`: the bytes that it
/// has handed on so far.
pub(super) fn is_more_at_hand(session: &Session, handed_on: u64) -> bool {
    match upload(session).map(|upload| &upload.left) {
        Some(BodyLeft::Chunked(chunks)) => chunks.data() > handed_on,
        Some(BodyLeft::Sized(_) | BodyLeft::Unknown) | None => false,
    }
}

/// The request's connection is a tunnel from now on: what comes is no body, and either side may be silent.
pub(super) fn release(session: &Session) {
    if let Some(watch) = watch(session) {
        watch.become_tunnel();
    }
    if let Some(time) = service_time(session) {
        time.pause();
    }
    if let Some(stream) = below(session) {
        listener::release(trailers::connection(stream));
    }
}

/// The stream that takes trailers for the client of the request, if it is on one.
pub(super) fn trailing(session: &Session) -> Option<&Trailing> {
    below(session)?.as_any().downcast_ref()
}

fn upload(session: &Session) -> Option<&Upload> {
    session.as_downstream().as_http1()?.stream().as_any().downcast_ref()
}

/// What the request's connection is without its [`Upload`], if it is on one.
fn below(session: &Session) -> Option<&Stream> {
    let stream = session.as_downstream().as_http1()?.stream();
    Some(stream.as_any().downcast_ref::<Upload>().map_or(stream, |upload| &upload.stream))
}

/// Whether the request may have a body: over HTTP/1 it is on such a stream then.
pub(super) fn may_have_body(session: &Session) -> bool {
    match session.as_downstream().as_http1() {
        Some(http1) => http1.stream().as_any().is::<Upload>(),
        None => Exchange::of(session).is_none_or(|exchange| exchange.has_body),
    }
}

impl Upload {
    /// Around the connection of a request that is about to be served; `left` was given what was read of its body with the
    /// header, so many bytes.
    pub(super) fn new(stream: Stream, left: BodyLeft, received: usize) -> Self {
        let (watch, client) = (BodyWatch::new(), ClientTime::new(received));
        Self { stream, left, watch, client, is_answer_begun: false }
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

    /// Takes what the client has sent, and returns how much of it is of the request.
    fn note_received(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let now = clock::now();
        self.client.note_received(bytes.len(), now);
        self.watch.note_heard(now);
        self.pause_service();
        if self.watch.is_tunnel() {
            return Ok(bytes.len());
        }
        let taken = self.left.take(bytes).map_err(|malformed| io::Error::new(io::ErrorKind::InvalidData, malformed))?;
        if self.left.is_nothing() {
            listener::hold(trailers::connection(&self.stream), BytesMut::from(bytes.get(taken..).unwrap_or_default()));
        }
        Ok(taken)
    }

    /// Something was written to the client: the service did something.
    fn note_sent(&mut self, bytes: &[u8]) {
        // An interim answer (1xx) is none yet; a tunnel is none either.
        self.is_answer_begun |= !bytes.starts_with(b"HTTP/1.1 1");
        self.pause_service();
    }

    /// Where the service cannot have all it needs, it is not timed.
    fn pause_service(&self) {
        if !self.watch.is_complete()
            && let Some(time) = listener::service_time(trailers::connection(&self.stream))
        {
            time.pause();
        }
    }

    /// Ready once the client had its time to send more of the body; never where the answer has begun, or no service waits.
    fn poll_client(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        let Some(limits) = self.watch.limits() else { return Poll::Pending };
        let is_service_due =
            listener::service_time(trailers::connection(&self.stream)).is_some_and(|time| time.is_due());
        if is_service_due || self.is_answer_begun || self.watch.is_tunnel() || self.left.is_nothing() {
            return Poll::Pending;
        }
        ready!(self.client.poll_too_slow(limits, context));
        Poll::Ready(io::Error::new(io::ErrorKind::TimedOut, BodyTooSlow))
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
            Poll::Ready(Ok(())) => {
                let taken = self.note_received(buffer.filled().get(before..).unwrap_or_default())?;
                buffer.set_filled(before + taken);
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => self.poll_client(context).map(Err),
        }
    }
}

impl AsyncWrite for Upload {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        if written.is_ready() {
            self.note_sent(bytes);
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
            self.note_sent(parts.first().map_or(&[], |part| part));
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
