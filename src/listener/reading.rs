//! The first bytes of a request, its whole header section, and the time that both may take.
//!
//! Pingora times each read of a header, not the header: a client that sends a byte at a time is cut here. Nothing here
//! parses a header; [`HeadScan`] finds its end. The public listener waits here between two requests of a connection.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::ready;
use std::time::{Duration, Instant};

use bytes::{Buf as _, BytesMut};
use pingora::protocols::Stream;
use tokio::io::AsyncReadExt as _;
use tokio::time::Sleep;

use super::head::{HeadScan, RequestLine};
use super::stream::take_ahead;
use crate::clock;

/// Room for the first bytes of a request, as Pingora has it: most headers are shorter.
const FIRST_BYTES: usize = 4096;
/// The longest header section that is read; beyond it Pingora would not parse one either.
const MAX_HEADER: usize = 1024 * 1024 - 1;

/// A header section that is complete, or of which enough is known to refuse it.
pub struct Head {
    /// It, and what was read after it.
    pub bytes: BytesMut,
    /// Of the header section, with its empty line.
    pub length: usize,
    /// What was found in it.
    pub scan: HeadScan,
    /// Whether it is longer, or has more fields, than any that is read.
    pub is_too_large: bool,
}

impl Head {
    /// Of what was read of it so far.
    fn new(bytes: BytesMut, length: usize, scan: HeadScan) -> Self {
        let is_too_large = length > MAX_HEADER || scan.has_too_many_fields();
        Self { bytes, length, scan, is_too_large }
    }
}

/// Why there is no header section.
pub enum NoHead {
    /// The client is gone or too slow, or furt stops.
    Gone,
    /// Furt stops, and the rest of it did not come in time.
    Stopping,
}

/// Which request of a connection is waited for, and since when.
#[derive(Debug, Clone, Copy)]
pub enum Awaited {
    /// The first one; the time of its header runs from the connection's start on, which is this.
    First(Instant),
    /// A later one; the connection may be idle before it, and is since then.
    Later(Instant),
}

/// How long a connection may wait for its next request. Values: one that is idle must not keep an old configuration.
#[derive(Debug, Clone, Copy)]
pub struct HeaderTimes {
    /// For a whole header section.
    pub header: Duration,
    /// For the first byte of a request after the first one.
    pub idle: Duration,
    /// For the rest of a header section that had begun when furt was told to stop.
    pub stopping: Duration,
}

/// Waits for the header section of the next request. A connection without a request ends with `stops`; one with a request, or
/// a part of one, is served. Not to be called again once `stops` is. `timer` is the connection's own, kept from request to request.
pub async fn next_head(
    stream: &mut Stream,
    timer: &mut Pin<&mut Sleep>,
    stops: &mut Pin<&mut impl Future<Output = ()>>,
    awaited: Awaited,
    times: HeaderTimes,
) -> Result<Head, NoHead> {
    let idle_until = match awaited {
        Awaited::First(accepted) => accepted + times.header,
        Awaited::Later(idle_since) => idle_since + times.idle,
    };
    let mut bytes = take_ahead(stream);
    let mut scan = HeadScan::default();
    loop {
        if let Some(length) = advance(&mut bytes, &mut scan) {
            return Ok(Head::new(bytes, length, scan));
        }
        if !bytes.is_empty() {
            break;
        }
        bytes = tokio::select! {
            biased;
            first = first_bytes(stream) => first.ok_or(NoHead::Gone)?,
            () = wait_until(timer, idle_until) => return Err(NoHead::Gone),
            () = &mut *stops => return Err(NoHead::Gone),
        };
        // An empty line is no request: after it the connection is as idle as before. Of a flood of them the timer is not asked.
        if matches!(bytes.first(), Some(b'\r' | b'\n')) && clock::now() >= idle_until {
            return Err(NoHead::Gone);
        }
    }
    let began = match awaited {
        Awaited::First(accepted) => accepted,
        Awaited::Later(_) => clock::now(),
    };
    // In a box: the connection would keep room for it while it is idle.
    let mut rest = Box::pin(rest_of_head(stream, bytes, scan, began + times.header));
    tokio::select! {
        biased;
        head = &mut rest => return head,
        () = stops => {}
    }
    match tokio::time::timeout(times.stopping, rest).await {
        Ok(Err(NoHead::Gone)) | Err(_) => Err(NoHead::Stopping),
        Ok(head) => head,
    }
}

/// Waits until the client sends something; `None`: it is gone. The buffer is made only then, so that none lies idle.
async fn first_bytes(stream: &mut Stream) -> Option<BytesMut> {
    poll_fn(|context| {
        let mut bytes = BytesMut::with_capacity(FIRST_BYTES);
        let read = ready!(pin!(stream.read_buf(&mut bytes)).poll(context));
        std::task::Poll::Ready(read.is_ok_and(|count| count > 0).then_some(bytes))
    })
    .await
}

/// Waits until then. A timer that rings earlier is set again only when it does: so one that is always ahead of its time, as
/// that of a busy connection, is set once in a while and not for each request.
async fn wait_until(timer: &mut Pin<&mut Sleep>, end: Instant) {
    let end = end.into();
    if timer.deadline() > end {
        timer.as_mut().reset(end);
    }
    loop {
        timer.as_mut().await;
        if timer.deadline() >= end {
            return;
        }
        timer.as_mut().reset(end);
    }
}

/// Looks whether the header section is complete, without the empty lines that may stand before a request (RFC 9112 §2.2).
fn advance(bytes: &mut BytesMut, scan: &mut HeadScan) -> Option<usize> {
    while bytes.starts_with(b"\r\n") || bytes.starts_with(b"\n") {
        bytes.advance(if bytes.starts_with(b"\n") { 1 } else { 2 });
    }
    // The other half of an empty line may be yet to come.
    if bytes.as_ref() == b"\r" { None } else { scan.advance(bytes) }
}

/// Reads on until the header section is complete, or cannot become one.
async fn rest_of_head(
    stream: &mut Stream,
    mut bytes: BytesMut,
    mut scan: HeadScan,
    deadline: Instant,
) -> Result<Head, NoHead> {
    let read = async {
        loop {
            if bytes.len() > MAX_HEADER || is_hopeless(&bytes, &mut scan) {
                return Ok(bytes.len());
            }
            bytes.reserve(FIRST_BYTES);
            if stream.read_buf(&mut bytes).await.map_or(true, |count| count == 0) {
                return Err(NoHead::Gone);
            }
            if let Some(length) = advance(&mut bytes, &mut scan) {
                return Ok(length);
            }
        }
    };
    let length = tokio::time::timeout_at(deadline.into(), read).await.map_err(|_| NoHead::Gone)??;
    Ok(Head::new(bytes, length, scan))
}

/// Whether what has come can be the beginning of no request. Who does not speak HTTP may wait for an answer before it sends more.
fn is_hopeless(bytes: &[u8], scan: &mut HeadScan) -> bool {
    // No method begins so; a handshake of TLS does.
    if bytes.first().is_some_and(|first| !first.is_ascii_graphic() && *first != b'\r') {
        scan.line = RequestLine::Malformed;
    }
    matches!(scan.line, RequestLine::Malformed | RequestLine::TooLong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_timer_that_rings_early_is_set_again_and_one_that_would_ring_late_rings_earlier() {
        let begin = clock::now();
        let after = |seconds| begin + Duration::from_secs(seconds);
        let elapsed = || clock::now().duration_since(begin).as_secs();
        let mut timer = pin!(tokio::time::sleep_until(begin.into()));
        for end in [5, 5, 20, 21] {
            wait_until(&mut timer, after(end)).await;
            assert_eq!(elapsed(), end);
        }
        timer.as_mut().reset(after(100).into());
        wait_until(&mut timer, after(30)).await;
        assert_eq!(elapsed(), 30);
    }
}
