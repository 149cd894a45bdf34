//! The connections of a listener: how many there may be, how many there are, when the last one is gone, and how long a
//! header may take on each.
//!
//! Both listeners count theirs here, turn away what is beyond in the same words, and are waited for at the end. Never
//! reads a request, never closes a connection that has a place.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use pingora::apps::HttpServerOptions;
use pingora::protocols::http::ServerSession;
use prometheus::{IntCounter, IntGauge};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::config::ClientConfig;

/// What clients are told that are one too many.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\
    Cache-Control: no-store\r\nProxy-Status: furt; error=connection_limit_reached\r\nX-Gateway: furt\r\n\
    Connection: close\r\n\r\n";
/// How long telling them may take: they are beyond what there is room for.
const TURN_AWAY_TIME: Duration = Duration::from_millis(100);

/// What both listeners ask of Pingora. No limit to requests on a connection in practice: the count tells a new connection
/// from one that is used again, which its keep-alive does not.
pub fn options() -> HttpServerOptions {
    let mut options = HttpServerOptions::default();
    options.keepalive_request_limit = Some(u32::MAX);
    options
}

/// How long the next request's header may take in all. On a connection that is used again the time it may lie idle comes
/// on top, since nothing tells from outside when the next header begins.
pub fn header_deadline(session: &ServerSession, client: &ClientConfig) -> Duration {
    let is_new = session.get_keepalive_reuses_remaining() == Some(u32::MAX);
    let idle = if is_new { Duration::ZERO } else { client.keepalive_timeout };
    idle + client.header_timeout
}

/// Connections of one listener that are open: those with a request, and idle ones.
pub struct OpenConnections {
    count: AtomicUsize,
    ended: Notify,
    shown: IntGauge,
    refused: IntCounter,
}

impl OpenConnections {
    /// None so far; shown and counted by these.
    pub fn new(shown: IntGauge, refused: IntCounter) -> Self {
        Self { count: AtomicUsize::new(0), ended: Notify::new(), shown, refused }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Acquire)
    }

    /// Waits until there is none.
    pub async fn all_closed(&self) {
        loop {
            let ended = self.ended.notified();
            if self.count() == 0 {
                return;
            }
            ended.await;
        }
    }

    /// A place for one more of `most`; `None`, and counted as refused, where there are too many. Where `most` has become
    /// less, those that have a place keep it.
    pub fn place(&self, most: usize) -> Option<Place<'_>> {
        let before = self.count.fetch_add(1, Ordering::AcqRel);
        self.shown.inc();
        let place = Place(self);
        if before < most {
            return Some(place);
        }
        self.refused.inc();
        None
    }
}

/// One open connection, counted until it is dropped.
pub struct Place<'a>(&'a OpenConnections);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.shown.dec();
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

/// Tells a client that there are too many, before its request is read: reading is what there is no room for.
pub async fn turn_away(session: ServerSession) {
    let ServerSession::H1(session) = session else { return };
    let mut stream = session.into_inner();
    let told = async {
        stream.write_all(TOO_MANY).await?;
        stream.shutdown().await?;
        // What the client sent must be read, or the system throws the answer away and resets the connection.
        stream.read(&mut [0; 4096]).await
    };
    _ = tokio::time::timeout(TURN_AWAY_TIME, told).await;
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn none() -> OpenConnections {
        let refused = IntCounter::new("refused", "of the test").unwrap();
        OpenConnections::new(IntGauge::new("open", "of the test").unwrap(), refused)
    }

    #[test]
    fn one_too_many_is_refused_and_counted_and_a_place_that_is_left_is_free() {
        let open = none();
        let places = [open.place(2), open.place(2)];
        assert!(places.iter().all(Option::is_some) && open.place(2).is_none());
        assert_eq!((open.count(), open.shown.get(), open.refused.get()), (2, 2, 1));
        drop(places);
        assert!(open.place(2).is_some());
        assert_eq!((open.count(), open.shown.get(), open.refused.get()), (0, 0, 1));
    }

    #[tokio::test]
    async fn the_end_is_waited_for_until_the_last_one_is_gone() {
        let open = Arc::new(none());
        open.all_closed().await;
        let place = open.place(2);
        let waiting = Arc::clone(&open);
        let waiting = tokio::spawn(async move { waiting.all_closed().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(place);
        waiting.await.unwrap();
    }
}
