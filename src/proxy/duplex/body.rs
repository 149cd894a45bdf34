//! The body of a request on its way to a service of HTTP/2: a part at a time, as the service has room.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::SendStream;
use pingora::{Error, ErrorType, Result};
use tokio::time::Sleep;

use crate::clock;
use crate::proxy::body_watch::poll_until;

/// The body, and the part of it that is to be sent.
pub(super) struct Body {
    stream: SendStream<Bytes>,
    state: State,
    /// How long the service may neither take anything nor answer anything.
    timeout: Option<Duration>,
    waiting_since: Option<Instant>,
    timer: Option<Pin<Box<Sleep>>>,
}

enum State {
    /// Another part can be given.
    Open,
    /// This part waits for room; it may be the last one.
    Waiting(Bytes, bool),
    /// All is sent, or the service takes no more.
    Done,
}

impl Body {
    /// One of which nothing was sent; `is_whole`: there is none.
    pub(super) const fn new(stream: SendStream<Bytes>, is_whole: bool, timeout: Option<Duration>) -> Self {
        let state = if is_whole { State::Done } else { State::Open };
        Self { stream, state, timeout, waiting_since: None, timer: None }
    }

    pub(super) const fn takes_more(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub(super) const fn is_waiting(&self) -> bool {
        matches!(self.state, State::Waiting(..))
    }

    pub(super) const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The next part, where one is taken.
    pub(super) fn give(&mut self, part: Bytes, is_last: bool) {
        if is_last || !part.is_empty() {
            self.state = State::Waiting(part, is_last);
        }
    }

    /// A service that answers is not stuck.
    pub(super) const fn note_answer(&mut self) {
        self.waiting_since = None;
    }

    /// Sends the part that waits. Nothing is lost where it is dropped before.
    ///
    /// # Errors
    /// The service does nothing. One that has given up the request takes no more, and its answer says why.
    pub(super) async fn send(&mut self) -> Result<()> {
        poll_fn(|context| self.poll_send(context)).await
    }

    fn poll_send(&mut self, context: &mut Context<'_>) -> Poll<Result<()>> {
        while let State::Waiting(part, is_last) = &mut self.state {
            let room = if part.is_empty() {
                0
            } else {
                self.stream.reserve_capacity(part.len());
                match self.stream.poll_capacity(context) {
                    Poll::Ready(Some(Ok(room))) => room,
                    Poll::Ready(Some(Err(_)) | None) => {
                        self.state = State::Done;
                        break;
                    }
                    Poll::Pending => {
                        ready!(self.poll_stuck(context));
                        let why = "the service neither reads the request nor answers it";
                        return Poll::Ready(Err(Error::explain(ErrorType::WriteTimedout, why).into_up()));
                    }
                }
            };
            self.waiting_since = None;
            let piece = part.split_to(room.min(part.len()));
            let is_end = part.is_empty() && *is_last;
            if self.stream.send_data(piece, is_end).is_err() || is_end {
                self.state = State::Done;
            } else if part.is_empty() {
                self.state = State::Open;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn poll_stuck(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let since = *self.waiting_since.get_or_insert_with(clock::now);
        // A time beyond what the clock can tell never comes.
        while let Some(end) = self.timeout.and_then(|timeout| since.checked_add(timeout)) {
            if end <= clock::now() {
                return Poll::Ready(());
            }
            ready!(poll_until(&mut self.timer, end, context));
        }
        Poll::Pending
    }
}
