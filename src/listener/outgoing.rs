//! What is on its way to a client: a buffer that exists only while it holds something.
//!
//! What is written in one go is sent in one go: a header waits here for the body that is written right after it. It never
//! waits for what is still to come, since [`Outgoing::poll_flush`] is called whenever the connection's task has nothing more
//! to do at once. Large parts are not copied; they are sent from where they are, together with what waits.

use std::io::{self, ErrorKind, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, BytesMut};
use tokio::io::AsyncWrite;

/// The most that waits: a header with a small body. What is larger costs less when it is not copied.
const MOST_UNSENT: usize = 4096;
/// Parts that are sent at once, with what waits; a chunk has three.
const MOST_PARTS: usize = 8;
/// What every answer begins with, whatever its minor version.
const EVERY_ANSWER: &[u8] = b"HTTP/1.";

/// What was sent of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    /// Nothing, but for probes; whether one was sent now.
    Nothing { probed: bool },
    /// More since the last look.
    Something,
    /// Some, and nothing more since the last look.
    NothingSince,
}

/// A writer, and what it has not been given yet.
#[derive(Debug)]
pub(super) struct Outgoing<W> {
    /// `None`: the connection is closed.
    writer: Option<W>,
    unsent: BytesMut,
    /// Why nothing can be sent any more. Who wrote the bytes that failed may be told only at its next write.
    failure: Option<ErrorKind>,
    answer: Answer,
}

/// How far the answer to the request that is served is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    /// It has not begun, but for so many bytes of [`EVERY_ANSWER`].
    Awaited(usize),
    /// It has begun.
    Begun,
    /// The same, and nothing was written since it was looked at.
    Quiet,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer: Some(writer), unsent: BytesMut::new(), failure: None, answer: Answer::Awaited(0) }
    }

    /// Takes the writer, and what it was not given; what is written from now on fails.
    pub(super) fn close(&mut self) -> Option<(W, BytesMut)> {
        Some((self.writer.take()?, std::mem::take(&mut self.unsent)))
    }

    /// What is written from now on answers another request.
    pub(super) fn await_answer(&mut self) {
        self.answer = Answer::Awaited(0);
    }

    /// What was sent of the answer; where it has not begun and `may_probe`, its next byte is sent ahead of it.
    pub(super) fn look(&mut self, may_probe: bool, context: &mut Context<'_>) -> Sent {
        match self.answer {
            Answer::Awaited(ahead) => {
                let probe = EVERY_ANSWER.get(ahead..=ahead).filter(|_| may_probe && self.unsent.is_empty());
                if let Some(probe) = probe {
                    self.unsent.extend_from_slice(probe);
                    self.answer = Answer::Awaited(ahead + 1);
                    // Whoever writes next is told of a failure.
                    _ = self.poll_flush(context);
                }
                Sent::Nothing { probed: probe.is_some() }
            }
            Answer::Begun => {
                self.answer = Answer::Quiet;
                Sent::Something
            }
            Answer::Quiet => Sent::NothingSince,
        }
    }

    /// The answer begins or goes on with `parts`, unless they are an interim one. `Some`: they were taken, since the first of
    /// their bytes were sent ahead.
    fn begin(&mut self, parts: &[IoSlice<'_>]) -> io::Result<Option<usize>> {
        let Answer::Awaited(ahead) = self.answer else {
            self.answer = Answer::Begun;
            return Ok(None);
        };
        let Some(first) = parts.iter().find(|part| !part.is_empty()) else { return Ok(None) };
        if !is_interim(first) {
            self.answer = Answer::Begun;
        }
        if ahead == 0 {
            return Ok(None);
        }
        if self.answer != Answer::Begun {
            self.answer = Answer::Awaited(0);
        }
        if !first.starts_with(&EVERY_ANSWER[..ahead]) {
            self.failure = Some(ErrorKind::InvalidData);
            return Err(ErrorKind::InvalidData.into());
        }
        self.unsent.extend_from_slice(&first[ahead..]);
        Ok(Some(first.len()))
    }

    /// As [`AsyncWrite::poll_write`].
    pub(super) fn poll_write(&mut self, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_parts(context, &[IoSlice::new(bytes)])
    }

    /// As [`AsyncWrite::poll_write_vectored`].
    pub(super) fn poll_write_parts(
        &mut self,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.answer != Answer::Begun {
            self.check()?;
            if let Some(taken) = self.begin(parts)? {
                return Poll::Ready(Ok(taken));
            }
        }
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        loop {
            self.check()?;
            let waiting = self.unsent.len();
            if waiting + length <= MOST_UNSENT {
                self.keep(parts);
                return Poll::Ready(Ok(length));
            }
            let sent = ready!(self.poll_send(context, parts))?;
            if sent > waiting {
                self.unsent = BytesMut::new();
                return Poll::Ready(Ok(sent - waiting));
            }
            self.unsent.advance(sent);
        }
    }

    /// Sends what waits; ready once nothing does.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.check()?;
        if !self.unsent.is_empty() {
            while !self.unsent.is_empty() {
                let sent = ready!(self.poll_send(context, &[]))?;
                self.unsent.advance(sent);
            }
            self.unsent = BytesMut::new();
        }
        // Under TLS the writer may have taken more than it could send.
        self.writer.as_mut().map_or(Poll::Ready(Ok(())), |writer| Pin::new(writer).poll_flush(context))
    }

    /// As [`AsyncWrite::poll_shutdown`], after what waits.
    pub(super) fn poll_shutdown(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(context))?;
        self.writer.as_mut().map_or(Poll::Ready(Ok(())), |writer| Pin::new(writer).poll_shutdown(context))
    }

    fn check(&self) -> io::Result<()> {
        match self.failure {
            Some(kind) => Err(kind.into()),
            None if self.writer.is_none() => Err(ErrorKind::NotConnected.into()),
            None => Ok(()),
        }
    }

    fn keep(&mut self, parts: &[IoSlice<'_>]) {
        if self.unsent.capacity() == 0 && parts.iter().any(|part| !part.is_empty()) {
            // At once as large as it may become: most headers are followed by something.
            self.unsent = BytesMut::with_capacity(MOST_UNSENT);
        }
        parts.iter().for_each(|part| self.unsent.extend_from_slice(part));
    }

    /// Gives the writer what waits and `parts`, as many as it takes of them; at least a byte.
    fn poll_send(&mut self, context: &mut Context<'_>, parts: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        let Some(writer) = &mut self.writer else { return Poll::Ready(Err(ErrorKind::NotConnected.into())) };
        let sent = match (&self.unsent[..], parts) {
            (waiting, []) => Pin::new(writer).poll_write(context, waiting),
            ([], [part]) => Pin::new(writer).poll_write(context, part),
            ([], parts) => Pin::new(writer).poll_write_vectored(context, parts),
            (waiting, parts) => {
                let mut all = [IoSlice::new(&[]); MOST_PARTS];
                let count = parts.len().min(MOST_PARTS - 1);
                all[0] = IoSlice::new(waiting);
                all[1..=count].copy_from_slice(&parts[..count]);
                Pin::new(writer).poll_write_vectored(context, &all[..=count])
            }
        };
        let failure = match ready!(sent) {
            Ok(0) => ErrorKind::WriteZero.into(),
            Ok(sent) => return Poll::Ready(Ok(sent)),
            Err(error) => error,
        };
        self.failure = Some(failure.kind());
        self.unsent = BytesMut::new();
        Poll::Ready(Err(failure))
    }
}

/// Whether a header is that of an interim answer, which another follows.
fn is_interim(header: &[u8]) -> bool {
    header.get(EVERY_ANSWER.len() + 1..).is_some_and(|status| status.starts_with(b" 1") && !status.starts_with(b" 101"))
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes so many bytes at each call, by a script; says what it was given.
    #[derive(Debug, Default)]
    struct Scripted {
        takes: Vec<Poll<usize>>,
        calls: Vec<Vec<u8>>,
        is_shut: bool,
    }

    impl AsyncWrite for Scripted {
        fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
            let take = if self.takes.is_empty() { Poll::Ready(usize::MAX) } else { self.takes.remove(0) };
            take.map(|most| {
                let taken = &bytes[..most.min(bytes.len())];
                self.calls.push(taken.to_vec());
                Ok(taken.len())
            })
        }

        fn poll_write_vectored(
            self: Pin<&mut Self>,
            context: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            let all: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.poll_write(context, &all)
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            self.is_shut = true;
            Poll::Ready(Ok(()))
        }
    }

    fn outgoing(takes: &[Poll<usize>]) -> Outgoing<Scripted> {
        Outgoing::new(Scripted { takes: takes.to_vec(), ..Scripted::default() })
    }

    fn write(to: &mut Outgoing<Scripted>, bytes: &[u8]) -> Poll<usize> {
        to.poll_write(&mut Context::from_waker(Waker::noop()), bytes).map(Result::unwrap)
    }

    fn flush(to: &mut Outgoing<Scripted>) -> Poll<()> {
        to.poll_flush(&mut Context::from_waker(Waker::noop())).map(Result::unwrap)
    }

    fn calls(of: &Outgoing<Scripted>) -> Vec<usize> {
        of.writer.as_ref().unwrap().calls.iter().map(Vec::len).collect()
    }

    fn sent(of: &Outgoing<Scripted>) -> Vec<u8> {
        of.writer.as_ref().unwrap().calls.concat()
    }

    #[test]
    fn what_is_written_in_one_go_is_sent_in_one_go_and_nothing_is_kept_of_it() {
        let mut out = outgoing(&[]);
        assert!(write(&mut out, b"header").is_ready() && write(&mut out, b"body").is_ready());
        assert!(calls(&out).is_empty());
        assert!(flush(&mut out).is_ready() && flush(&mut out).is_ready());
        assert_eq!((sent(&out), calls(&out)), (b"headerbody".to_vec(), vec![10]));
        assert_eq!(out.unsent.capacity(), 0);
    }

    #[test]
    fn a_large_body_goes_out_with_its_header_in_one_send_and_is_not_copied() {
        let (mut out, body) = (outgoing(&[]), vec![b'b'; 1 << 20]);
        assert!(write(&mut out, b"header").is_ready());
        assert_eq!(write(&mut out, &body), Poll::Ready(body.len()));
        assert_eq!((calls(&out), out.unsent.capacity()), (vec![6 + body.len()], 0));
        assert_eq!(write(&mut out, &body), Poll::Ready(body.len()));
        assert_eq!(calls(&out), [6 + body.len(), body.len()]);
    }

    #[test]
    fn parts_are_sent_in_order_however_few_bytes_are_taken() {
        for take in [1, 2, 3, 1000, 4095, 4096, 4097] {
            let mut out = outgoing(&vec![Poll::Ready(take); 20_000]);
            let (header, chunk) = (vec![b'h'; 300], vec![b'c'; 5000]);
            assert!(write(&mut out, &header).is_ready());
            let parts = [&b"1388\r\n"[..], &chunk, b"\r\n"].concat();
            let mut rest = &parts[..];
            while !rest.is_empty() {
                let (first, second) = rest.split_at(rest.len() / 2);
                let both = [IoSlice::new(first), IoSlice::new(second)];
                let Poll::Ready(taken) = out.poll_write_parts(&mut Context::from_waker(Waker::noop()), &both) else {
                    panic!("it takes {take} bytes each time")
                };
                rest = &rest[taken.unwrap()..];
            }
            assert!(flush(&mut out).is_ready());
            assert!(sent(&out) == [header, parts].concat(), "{take} at a time");
        }
    }

    #[test]
    fn while_a_client_does_not_read_no_more_is_kept_than_a_buffer() {
        let mut out = outgoing(&[Poll::Pending, Poll::Ready(96), Poll::Pending, Poll::Ready(4000)]);
        assert!(write(&mut out, &[1; 4096]).is_ready());
        assert!(write(&mut out, &[2; 100]).is_pending());
        assert_eq!(out.unsent.len(), 4096);
        assert!(write(&mut out, &[2; 100]).is_pending());
        assert_eq!(out.unsent.len(), 4000);
        assert_eq!(write(&mut out, &[2; 100]), Poll::Ready(100));
        assert!(flush(&mut out).is_ready());
        assert_eq!(sent(&out), [[1; 4096].to_vec(), [2; 100].to_vec()].concat());
    }

    #[test]
    fn a_flush_goes_on_where_it_was() {
        let mut out = outgoing(&[Poll::Ready(2), Poll::Pending, Poll::Ready(1)]);
        assert!(write(&mut out, b"abcdef").is_ready());
        assert!(flush(&mut out).is_pending());
        assert!(flush(&mut out).is_ready());
        assert_eq!((sent(&out), calls(&out)), (b"abcdef".to_vec(), vec![2, 1, 3]));
    }

    #[test]
    fn shutting_down_sends_what_waits_first() {
        let mut out = outgoing(&[Poll::Pending]);
        assert!(write(&mut out, b"last words").is_ready());
        let mut context = Context::from_waker(Waker::noop());
        assert!(out.poll_shutdown(&mut context).is_pending() && !out.writer.as_ref().unwrap().is_shut);
        assert!(matches!(out.poll_shutdown(&mut context), Poll::Ready(Ok(()))));
        assert!(out.writer.as_ref().unwrap().is_shut);
        assert_eq!(sent(&out), b"last words");
    }

    #[test]
    fn what_could_not_be_sent_fails_whoever_writes_next() {
        let mut out = outgoing(&[Poll::Ready(0)]);
        assert!(write(&mut out, b"lost").is_ready());
        let mut context = Context::from_waker(Waker::noop());
        assert!(matches!(out.poll_flush(&mut context), Poll::Ready(Err(_))));
        assert!(matches!(out.poll_write(&mut context, b"more"), Poll::Ready(Err(_))));
        assert!(matches!(out.poll_flush(&mut context), Poll::Ready(Err(_))));
        assert_eq!(out.unsent.capacity(), 0);
    }

    fn look(of: &mut Outgoing<Scripted>) -> Sent {
        of.look(true, &mut Context::from_waker(Waker::noop()))
    }

    const PROBED: Sent = Sent::Nothing { probed: true };

    #[test]
    fn what_was_sent_ahead_of_an_answer_is_not_sent_again() {
        let large = [b"HTTP/1.1 200 OK\r\n".to_vec(), vec![b'h'; 6000]].concat();
        for answer in [b"HTTP/1.0 404 Not Found\r\n\r\n".as_slice(), &large] {
            for probes in 0..=EVERY_ANSWER.len() {
                let mut out = outgoing(&[]);
                for number in 1..=probes {
                    assert_eq!((look(&mut out), sent(&out).len()), (PROBED, number));
                }
                assert_eq!(write(&mut out, answer), Poll::Ready(answer.len()));
                assert_eq!(write(&mut out, b"body"), Poll::Ready(4));
                assert!(flush(&mut out).is_ready());
                assert!(sent(&out) == [answer, b"body"].concat(), "{probes}");
            }
        }
    }

    #[test]
    fn an_answer_is_probed_before_it_begins_also_after_interim_ones_and_again_for_the_next_request() {
        let mut out = outgoing(&[]);
        let all = |out: &mut Outgoing<Scripted>, bytes: &[u8]| {
            assert_eq!(write(out, bytes), Poll::Ready(bytes.len()));
            assert!(flush(out).is_ready());
        };
        for _ in 0..2 {
            assert_eq!(look(&mut out), PROBED);
            all(&mut out, b"HTTP/1.1 103 Early Hints\r\n\r\n");
            assert_eq!(look(&mut out), PROBED);
            all(&mut out, b"HTTP/1.1 100 Continue\r\n\r\n");
            all(&mut out, b"HTTP/1.1 200 OK\r\n\r\n");
            assert_eq!([look(&mut out), look(&mut out)], [Sent::Something, Sent::NothingSince]);
            all(&mut out, b"body");
            assert_eq!(look(&mut out), Sent::Something);
            out.await_answer();
        }
        let one = "HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nbody";
        assert_eq!(String::from_utf8(sent(&out)).unwrap(), one.repeat(2));
        for _ in EVERY_ANSWER {
            assert_eq!(look(&mut out), PROBED);
        }
        assert_eq!(look(&mut out), Sent::Nothing { probed: false }, "all is sent that every answer has");
    }

    #[test]
    fn a_tunnel_is_no_interim_answer() {
        let mut out = outgoing(&[]);
        assert!(write(&mut out, b"HTTP/1.1 101 Switching Protocols\r\n\r\n").is_ready());
        assert_eq!(look(&mut out), Sent::Something);
    }

    #[test]
    fn nothing_can_be_written_to_a_closed_connection() {
        let mut out = outgoing(&[]);
        assert!(write(&mut out, b"unsent").is_ready());
        assert_eq!(out.close().unwrap().1, "unsent");
        assert!(matches!(out.poll_write(&mut Context::from_waker(Waker::noop()), b"more"), Poll::Ready(Err(_))));
    }
}
