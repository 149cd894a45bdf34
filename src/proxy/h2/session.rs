//! A request over HTTP/2 as Pingora is given it: Pingora's own session of a stream, with the times that it does not keep.
//!
//! Pingora's session reads a body without any timeout, and has no place for the time of a service, which over HTTP/1 the
//! connection keeps. So this one stands around it, and goes by the name of a custom session: the one place where Pingora
//! takes one that is not its own. The answer is Pingora's to write.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::Stream;
use http::{HeaderMap, StatusCode};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::protocols::Digest;
use pingora::protocols::http::HttpTask;
use pingora::protocols::http::custom::CustomMessageWrite;
use pingora::protocols::http::custom::server::Session;
use pingora::protocols::http::v2::server::HttpSession;
use pingora::protocols::l4::socket::SocketAddr;
use pingora::{Error, ErrorType, Result};
use tokio::time::Sleep;

use super::exchange::Exchange;
use super::guard::Guard;
use super::websocket;
use crate::clock;
use crate::proxy::body_watch::{BodyTooSlow, ClientTime, poll_until};
use crate::proxy::framing::is_interim;
use crate::proxy::grpc::DeadlineOver;
use crate::proxy::trailers;

/// The session.
pub(super) struct ClientSession {
    inner: HttpSession,
    exchange: Arc<Exchange>,
    guard: Arc<Guard>,
    client: ClientTime,
    /// The longest pause of the client.
    read_timeout: Option<Duration>,
    /// Since when the client is waited for.
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
    /// For the call's deadline, if it has one.
    deadline_timer: Option<Pin<Box<Sleep>>>,
    is_answered: bool,
    tunnel: Tunnel,
}

/// What becomes of a request for a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tunnel {
    /// It is none.
    None,
    /// Nothing comes of the client before it is answered.
    Asked,
    Open,
    /// The service has closed it.
    Ended,
}

impl ClientSession {
    pub(super) fn new(inner: HttpSession, exchange: Arc<Exchange>, guard: Arc<Guard>) -> Self {
        let tunnel = if exchange.websocket.is_some() { Tunnel::Asked } else { Tunnel::None };
        Self {
            inner,
            exchange,
            guard,
            tunnel,
            client: ClientTime::new(0),
            read_timeout: None,
            waiting_since: None,
            timer: None,
            deadline_timer: None,
            is_answered: false,
        }
    }

    /// Whether nothing more comes of the client.
    fn is_all_there(&self) -> bool {
        match self.tunnel {
            Tunnel::None | Tunnel::Open => self.inner.is_body_done(),
            Tunnel::Asked | Tunnel::Ended => true,
        }
    }

    /// An answer begins: of a WebSocket it is another one over HTTP/2.
    fn begin_answer(&mut self, response: &mut ResponseHeader) -> Result<()> {
        self.is_answered |= !is_interim(response.status);
        if self.tunnel == Tunnel::Asked && response.status == StatusCode::SWITCHING_PROTOCOLS {
            self.tunnel = Tunnel::Open;
            websocket::plain_answer(response)?;
        }
        Ok(())
    }

    /// Reads a part of the body, or waits until the client had its time for one.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let read = pin!(self.inner.read_body_bytes()).poll(context);
        match read {
            Poll::Ready(Ok(Some(part))) => {
                let now = clock::now();
                self.waiting_since = None;
                self.client.note_received(part.len(), now);
                self.exchange.watch.note_heard(now);
                self.pause_service();
                Poll::Ready(Ok(Some(part)))
            }
            Poll::Ready(read) => Poll::Ready(read),
            Poll::Pending => {
                ready!(self.poll_client(context));
                Poll::Ready(Err(failed(io::Error::new(io::ErrorKind::TimedOut, BodyTooSlow))))
            }
        }
    }

    /// Ready once the client sent nothing for as long as it may, or less than it must.
    fn poll_client(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if let Some(timeout) = self.read_timeout {
            let since = *self.waiting_since.get_or_insert_with(clock::now);
            // A time beyond what the clock can tell never comes.
            while let Some(end) = since.checked_add(timeout) {
                if end <= clock::now() {
                    return Poll::Ready(());
                }
                if poll_until(&mut self.timer, end, context).is_pending() {
                    break;
                }
            }
        }
        match self.exchange.watch.limits() {
            Some(limits) if !self.is_answered => self.client.poll_too_slow(limits, context),
            _ => Poll::Pending,
        }
    }

    /// Ready once the time that the client gave the call is over.
    fn poll_deadline(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let Some(deadline) = self.exchange.deadline else { return Poll::Pending };
        if deadline.is_over(clock::now()) {
            return Poll::Ready(());
        }
        poll_until(&mut self.deadline_timer, deadline.at(), context)
    }

    /// Waits for the client to give up the request, whose body is there.
    fn poll_gone(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Bytes>>> {
        let gone = ready!(Pin::new(&mut self.inner.idle()).poll(context));
        let why =
            gone.map_or_else(|_| "the connection is gone".to_owned(), |why| format!("the request was reset: {why}"));
        Poll::Ready(Err(Error::explain(ErrorType::ConnectionClosed, why).into_down()))
    }

    /// Where the service cannot have all it needs, it is not timed.
    fn pause_service(&self) {
        if !self.exchange.watch.is_complete() {
            self.exchange.service.pause();
        }
    }

    /// Something is written by `write`: the service did something, or waits for the client to take it.
    async fn write<'a, T, W: Future<Output = Result<T>> + Send>(
        &'a mut self,
        write: impl FnOnce(&'a mut HttpSession) -> W,
    ) -> Result<T> {
        let Self { inner, exchange, guard, .. } = self;
        let mut writing = pin!(write(inner));
        let written = poll_fn(|context| {
            let written = writing.as_mut().poll(context);
            exchange.service.note_written(written.is_ready());
            written
        })
        .await;
        guard.note_sent();
        if !exchange.watch.is_complete() {
            exchange.service.pause();
        }
        written.map_err(gone)
    }
}

/// Has an answer that its content would end, ended by its trailers.
fn append_trailers(tasks: &mut Vec<HttpTask>, trailers: HeaderMap) {
    let last = tasks.iter().position(|task| matches!(task, HttpTask::Body(_, true)));
    if let Some(at) = last
        && let Some(HttpTask::Body(_, is_last)) = tasks.get_mut(at)
    {
        *is_last = false;
        tasks.insert(at + 1, HttpTask::Trailer(Some(Box::new(trailers))));
    }
}

/// A failed read, as over HTTP/1 the client's connection fails it.
fn failed(cause: io::Error) -> Box<Error> {
    Error::because(ErrorType::ReadTimedout, "while reading a request over HTTP/2", cause).into_down()
}

/// What cannot be written is not the request's fault: the client, or its request, is gone.
fn gone(mut error: Box<Error>) -> Box<Error> {
    if error.etype == ErrorType::H2Error {
        error.etype = ErrorType::WriteError;
    }
    error.into_down()
}

impl Drop for ClientSession {
    /// An answer that is not whole must not look so. A request that was reset before it was answered counts.
    fn drop(&mut self) {
        if !self.is_answered {
            let mut context = Context::from_waker(Waker::noop());
            let now = clock::now();
            // At its deadline a client resets a call as it should.
            let is_due = self.exchange.deadline.is_some_and(|deadline| deadline.is_near(now));
            if !is_due && let Poll::Ready(Ok(_)) = Pin::new(&mut self.inner.idle()).poll(&mut context) {
                self.guard.note_reset(now);
            }
        }
        self.inner.shutdown();
    }
}

#[async_trait]
impl Session for ClientSession {
    fn req_header(&self) -> &RequestHeader {
        self.inner.req_header()
    }

    fn req_header_mut(&mut self) -> &mut RequestHeader {
        self.inner.req_header_mut()
    }

    async fn read_body_bytes(&mut self) -> Result<Option<Bytes>> {
        if matches!(self.tunnel, Tunnel::Asked | Tunnel::Ended) {
            return Ok(None);
        }
        poll_fn(|context| self.poll_body(context)).await
    }

    async fn drain_request_body(&mut self) -> Result<()> {
        self.inner.drain_request_body().await
    }

    async fn write_response_header(&mut self, mut response: Box<ResponseHeader>, end: bool) -> Result<()> {
        self.begin_answer(&mut response)?;
        self.write(|inner| std::future::ready(inner.write_response_header(response, end))).await
    }

    async fn write_response_header_ref(&mut self, response: &ResponseHeader, end: bool) -> Result<()> {
        self.write_response_header(Box::new(response.clone()), end).await
    }

    async fn write_body(&mut self, data: Bytes, end: bool) -> Result<()> {
        self.write(|inner| inner.write_body(data, end)).await
    }

    async fn write_trailers(&mut self, mut trailers: HeaderMap) -> Result<()> {
        trailers::plain(&mut trailers);
        self.write(|inner| std::future::ready(inner.write_trailers(trailers))).await
    }

    async fn response_duplex_vec(&mut self, mut tasks: Vec<HttpTask>) -> Result<bool> {
        // What the service failed at is no failure to write.
        let failed_at = tasks.iter().position(|task| matches!(task, HttpTask::Failed(_)));
        let failed = failed_at.and_then(|at| tasks.drain(at..).next());
        if let Some(trailers) = self.exchange.held_trailers() {
            append_trailers(&mut tasks, trailers);
        }
        for task in &mut tasks {
            match task {
                HttpTask::Header(response, _) => self.begin_answer(response)?,
                HttpTask::UpgradedBody(part, is_last) => {
                    if *is_last {
                        self.tunnel = Tunnel::Ended;
                    }
                    *task = HttpTask::Body(part.take(), *is_last);
                }
                HttpTask::Trailer(Some(trailers)) => trailers::plain(trailers),
                _ => {}
            }
        }
        let is_whole = self.write(|inner| inner.response_duplex_vec(tasks)).await?;
        match failed {
            Some(HttpTask::Failed(error)) => Err(error),
            _ => Ok(is_whole),
        }
    }

    fn set_read_timeout(&mut self, timeout: Option<Duration>) {
        self.read_timeout = timeout;
    }

    fn get_read_timeout(&self) -> Option<Duration> {
        self.read_timeout
    }

    fn set_write_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_write_timeout(timeout);
    }

    fn get_write_timeout(&self) -> Option<Duration> {
        self.inner.get_write_timeout()
    }

    fn set_total_drain_timeout(&mut self, timeout: Option<Duration>) {
        self.inner.set_total_drain_timeout(timeout);
    }

    fn get_total_drain_timeout(&self) -> Option<Duration> {
        self.inner.get_total_drain_timeout()
    }

    fn request_summary(&self) -> String {
        self.inner.request_summary()
    }

    fn response_written(&self) -> Option<&ResponseHeader> {
        self.inner.response_written()
    }

    async fn shutdown(&mut self, _code: u32, _context: &str) {
        self.inner.shutdown();
    }

    fn is_body_done(&mut self) -> bool {
        self.is_all_there()
    }

    async fn finish(&mut self) -> Result<()> {
        self.inner.finish()
    }

    fn is_body_empty(&mut self) -> bool {
        self.tunnel != Tunnel::None || self.inner.is_body_empty()
    }

    fn is_upgrade_req(&self) -> bool {
        self.tunnel != Tunnel::None
    }

    fn was_upgraded(&self) -> bool {
        matches!(self.tunnel, Tunnel::Open | Tunnel::Ended)
    }

    async fn read_body_or_idle(&mut self, no_body_expected: bool) -> Result<Option<Bytes>> {
        let is_body_there = no_body_expected || self.is_all_there();
        poll_fn(|context| {
            let read = if is_body_there { self.poll_gone(context) } else { self.poll_body(context) };
            if let Some(over) = self.exchange.service.take_over(read.is_pending()) {
                return Poll::Ready(Err(failed(io::Error::new(io::ErrorKind::TimedOut, over))));
            }
            if read.is_ready() {
                return read;
            }
            ready!(self.poll_deadline(context));
            Poll::Ready(Err(failed(io::Error::new(io::ErrorKind::TimedOut, DeadlineOver))))
        })
        .await
    }

    fn body_bytes_sent(&self) -> usize {
        self.inner.body_bytes_sent()
    }

    fn body_bytes_read(&self) -> usize {
        self.inner.body_bytes_read()
    }

    fn digest(&self) -> Option<&Digest> {
        self.inner.digest()
    }

    fn digest_mut(&mut self) -> Option<&mut Digest> {
        self.inner.digest_mut()
    }

    fn client_addr(&self) -> Option<&SocketAddr> {
        self.inner.client_addr()
    }

    fn server_addr(&self) -> Option<&SocketAddr> {
        self.inner.server_addr()
    }

    fn pseudo_raw_h1_request_header(&self) -> Bytes {
        self.inner.pseudo_raw_h1_request_header()
    }

    fn enable_retry_buffering(&mut self) {
        self.inner.enable_retry_buffering();
    }

    fn retry_buffer_truncated(&self) -> bool {
        self.inner.retry_buffer_truncated()
    }

    fn get_retry_buffer(&self) -> Option<Bytes> {
        self.inner.get_retry_buffer()
    }

    async fn finish_custom(&mut self) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_reader(
        &mut self,
    ) -> Option<Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>> {
        None
    }

    fn restore_custom_message_reader(
        &mut self,
        _reader: Box<dyn Stream<Item = Result<Bytes>> + Unpin + Send + Sync + 'static>,
    ) -> Result<()> {
        Ok(())
    }

    fn take_custom_message_writer(&mut self) -> Option<Box<dyn CustomMessageWrite>> {
        None
    }

    fn restore_custom_message_writer(&mut self, _writer: Box<dyn CustomMessageWrite>) -> Result<()> {
        Ok(())
    }
}
