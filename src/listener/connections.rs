//! The connections of a listener: how many there may be, in all and of one address, how many there are, when the last one
//! is gone, and how long a header may take on each.
//!
//! Both listeners count theirs here, before anything is read, turn away what is beyond in the same words, and are waited for
//! at the end. Never reads a request, never closes a connection that has a permit.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dashmap::DashMap;
use pingora::apps::HttpServerOptions;
use pingora::protocols::Stream;
use pingora::protocols::http::ServerSession;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use crate::config::ClientConfig;
use crate::telemetry::ConnectionMetrics;

/// What clients are told that are one too many in all.
pub const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\
    Cache-Control: no-store\r\nProxy-Status: furt; error=connection_limit_reached\r\nX-Gateway: furt\r\n\
    Connection: close\r\n\r\n";
/// The same on the internal listener.
pub const TOO_MANY_INTERNAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\
    Cache-Control: no-store\r\nProxy-Status: furt; error=connection_limit_reached\r\nX-Furt-Listener: internal\r\n\
    Connection: close\r\n\r\n";
/// What a client is told that has too many itself.
pub const TOO_MANY_OF_ONE: &[u8] = b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\n\
    Content-Length: 143\r\nRetry-After: 1\r\nCache-Control: no-store\r\n\
    Proxy-Status: furt; error=connection_limit_reached\r\nX-Gateway: furt\r\nConnection: close\r\n\r\n\
    {\"type\":\"urn:furt:problem:address-connections\",\"title\":\"Too many connections come from this address\",\
    \"status\":429,\"code\":\"address-connections\"}";
/// What a client is told whose request had begun when furt was told to stop, and did not come whole in time.
pub const STOPPING: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n\
    Cache-Control: no-store\r\nProxy-Status: furt; error=http_request_error\r\nX-Gateway: furt\r\nConnection: close\r\n\r\n";
/// How long telling them may take: they are beyond what there is room for.
const TURN_AWAY_TIME: Duration = Duration::from_millis(100);

/// What is asked of Pingora for a listener. No limit to requests on a connection in practice: the count tells a new connection
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

/// Clients beyond the limit that are told so at once; one more is cut without a word, since each holds a file until it is told.
const TURNED_AWAY_AT_ONCE: usize = 32;

/// Connections of one listener that are open: those with a request, and idle ones.
pub struct OpenConnections {
    count: AtomicUsize,
    turned_away: AtomicUsize,
    ended: Notify,
    metrics: ConnectionMetrics,
}

impl OpenConnections {
    /// None so far; shown and counted by `metrics`.
    pub fn new(metrics: ConnectionMetrics) -> Self {
        Self { count: AtomicUsize::new(0), turned_away: AtomicUsize::new(0), ended: Notify::new(), metrics }
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

    /// Counted while a client is told why it has no permit; `None`, and counted as untold: there is no file to spare for telling
    /// one more.
    pub(super) fn try_turn_away(self: &Arc<Self>) -> Option<TurnedAway> {
        let before = self.turned_away.fetch_add(1, Ordering::Relaxed);
        let one = TurnedAway(Arc::clone(self));
        if before < TURNED_AWAY_AT_ONCE {
            return Some(one);
        }
        self.metrics.untold();
        None
    }

    /// A connection could not be accepted.
    pub(super) fn note_accept_failed(&self) {
        self.metrics.accept_failed();
    }

    /// A permit for one more of `most`; `None`, and counted as refused, where there are too many. Where `most` has become
    /// less, those that have a permit keep it.
    pub fn try_acquire(self: &Arc<Self>, most: usize) -> Option<ConnectionPermit> {
        let before = self.count.fetch_add(1, Ordering::AcqRel);
        self.metrics.opened();
        let permit = ConnectionPermit(Arc::clone(self));
        if before < most {
            return Some(permit);
        }
        self.metrics.refused();
        None
    }
}

/// One client that is being turned away, counted until it is dropped.
pub(super) struct TurnedAway(Arc<OpenConnections>);

impl Drop for TurnedAway {
    fn drop(&mut self) {
        self.0.turned_away.fetch_sub(1, Ordering::Relaxed);
    }
}

/// One open connection, counted until it is dropped.
pub struct ConnectionPermit(Arc<OpenConnections>);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.metrics.closed();
        if self.0.count.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.ended.notify_waiters();
        }
    }
}

/// How many connections are open of each address; nothing is kept of one that has none.
#[derive(Default)]
pub struct AddressConnections(DashMap<IpAddr, usize>);

impl AddressConnections {
    /// A permit for one more of `most`, counted until it is dropped; `None`: the address has so many.
    pub fn try_acquire(self: &Arc<Self>, address: IpAddr, most: usize) -> Option<AddressPermit> {
        let mut count = self.0.entry(address).or_default();
        if *count >= most {
            return None;
        }
        *count += 1;
        // The entry holds a lock of the map.
        drop(count);
        Some(AddressPermit { all: Arc::clone(self), address })
    }
}

/// One open connection of an address.
pub struct AddressPermit {
    all: Arc<AddressConnections>,
    address: IpAddr,
}

impl Drop for AddressPermit {
    fn drop(&mut self) {
        self.all.0.remove_if_mut(&self.address, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

/// Tells a client why it is turned away, before its request is read: reading is what there is no room for.
pub async fn turn_away(mut stream: Stream, why: &'static [u8]) {
    let told = async {
        stream.write_all(why).await?;
        stream.shutdown().await?;
        // What the client sent must be read, or the system throws the answer away and resets the connection. Not into an
        // array: a connection's future has room for all that it ever waits for, and keeps it while the client is idle.
        stream.read_buf(&mut Vec::with_capacity(4096)).await
    };
    _ = tokio::time::timeout(TURN_AWAY_TIME, told).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none() -> Arc<OpenConnections> {
        Arc::new(OpenConnections::new(ConnectionMetrics::unexposed().unwrap()))
    }

    #[test]
    fn one_too_many_is_refused_and_counted_and_a_permit_that_is_released_is_free() {
        let open = none();
        let permits = [open.try_acquire(2), open.try_acquire(2)];
        assert!(permits.iter().all(Option::is_some) && open.try_acquire(2).is_none());
        assert_eq!((open.count(), open.metrics.counted()), (2, (2, 1)));
        drop(permits);
        assert!(open.try_acquire(2).is_some());
        assert_eq!((open.count(), open.metrics.counted()), (0, (0, 1)));
    }

    #[test]
    fn an_address_has_so_many_connections_and_others_have_theirs() {
        let open = Arc::new(AddressConnections::default());
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let permits = [open.try_acquire(one, 2), open.try_acquire(one, 2), open.try_acquire(other, 2)];
        assert!(permits.iter().all(Option::is_some) && open.try_acquire(one, 2).is_none());
        let [first, ..] = permits;
        drop(first);
        assert!(open.try_acquire(one, 2).is_some());
    }

    #[test]
    fn nothing_is_kept_of_an_address_that_is_gone() {
        let open = Arc::new(AddressConnections::default());
        drop([open.try_acquire([192, 0, 2, 1].into(), 2), open.try_acquire([192, 0, 2, 1].into(), 2)]);
        assert!(open.0.is_empty());
    }

    #[test]
    fn so_many_are_told_at_once_why_they_are_turned_away() {
        let open = none();
        let told: Vec<_> = (0..TURNED_AWAY_AT_ONCE).map(|_| open.try_turn_away()).collect();
        assert!(told.iter().all(Option::is_some) && open.try_turn_away().is_none());
        drop(told);
        assert!(open.try_turn_away().is_some());
        assert_eq!(open.metrics.counted_untold(), 1);
    }

    #[test]
    fn what_is_said_is_as_long_as_it_says() {
        let text = std::str::from_utf8(TOO_MANY_OF_ONE).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        assert_eq!(serde_json::from_str::<serde_json::Value>(body).unwrap()["status"], 429);
    }

    #[tokio::test]
    async fn the_end_is_waited_for_until_the_last_one_is_gone() {
        let open = none();
        open.all_closed().await;
        let permit = open.try_acquire(2);
        let waiting = Arc::clone(&open);
        let waiting = tokio::spawn(async move { waiting.all_closed().await });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(permit);
        waiting.await.unwrap();
    }
}
