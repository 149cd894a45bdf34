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

/// A writer, and what it has not been given yet.
#[derive(Debug)]
pub(super) struct Outgoing<W> {
    /// `None`: the connection is closed.
    writer: Option<W>,
    unsent: BytesMut,
    /// Why nothing can be sent any more. Who wrote the bytes that failed may be told only at its next write.
    failure: Option<ErrorKind>,
}

impl<W: AsyncWrite + Unpin> Outgoing<W> {
    pub(super) fn new(writer: W) -> Self {
        Self { writer: Some(writer), unsent: BytesMut::new(), failure: None }
    }

    /// Takes the writer, and what it was not given; what is written from now on fails.
    pub(super) fn close(&mut self) -> Option<(W, BytesMut)> {
        Some((self.writer.take()?, std::mem::take(&mut self.unsent)))
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
        if self.unsent.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.unsent.is_empty() {
            let sent = ready!(self.poll_send(context, &[]))?;
            self.unsent.advance(sent);
        }
        self.unsent = BytesMut::new();
        Poll::Ready(Ok(()))
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

    #[test]
    fn nothing_can_be_written_to_a_closed_connection() {
        let mut out = outgoing(&[]);
        assert!(write(&mut out, b"unsent").is_ready());
        assert_eq!(out.close().unwrap().1, "unsent");
        assert!(matches!(out.poll_write(&mut Context::from_waker(Waker::noop()), b"more"), Poll::Ready(Err(_))));
    }
}
