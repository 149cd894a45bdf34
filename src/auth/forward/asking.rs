//! What all servers share: the connections, and how many questions may be in flight.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;
use tokio::sync::Notify;

use super::answer::Denied;
use crate::telemetry::ForwardAuthMetrics;
use furt_core::live::CallerCounts;
use furt_core::model::counted_network;

/// The most questions in flight in all.
const MOST: usize = 256;
/// The most of one server: one that hangs leaves places for the others.
const MOST_OF_SERVER: usize = 192;
/// The most of one address; of IPv6, of one network of 64 bits.
const MOST_OF_ADDRESS: u32 = 16;
/// Room to count addresses: so much that all that can be in flight find a place.
const ADDRESSES: usize = 8 * MOST;

/// What all servers of `[[forward_auth]]` share. One for each process.
pub struct Asking {
    pub(super) connector: Connector,
    hasher: ahash::RandomState,
    of_addresses: CallerCounts,
    in_all: AtomicUsize,
    /// Told when a place is free again.
    freed: Notify,
    metrics: Arc<ForwardAuthMetrics>,
}

impl Asking {
    /// Without connections and questions.
    pub fn new(metrics: Arc<ForwardAuthMetrics>) -> Self {
        Self {
            connector: Connector::new(Some(ConnectorOptions::new(MOST))),
            hasher: ahash::RandomState::new(),
            of_addresses: CallerCounts::new(ADDRESSES),
            in_all: AtomicUsize::new(0),
            freed: Notify::new(),
            metrics,
        }
    }

    pub(super) fn metrics(&self) -> &ForwardAuthMetrics {
        &self.metrics
    }

    /// Counts a question until the place is dropped; waits until `ends_at` for a place. `of_server`: those to its server.
    ///
    /// # Errors
    /// By then there was none.
    pub(super) async fn enter_until<'a>(
        &'a self,
        ends_at: Instant,
        address: Option<IpAddr>,
        of_server: &'a AtomicUsize,
    ) -> Result<Place<'a>, Denied> {
        loop {
            let freed = self.freed.notified();
            let full = match self.enter(address, of_server) {
                Ok(place) => return Ok(place),
                Err(full) => full,
            };
            if tokio::time::timeout_at(ends_at.into(), freed).await.is_err() {
                return Err(full);
            }
        }
    }

    /// The same without waiting.
    pub(super) fn enter<'a>(
        &'a self,
        address: Option<IpAddr>,
        of_server: &'a AtomicUsize,
    ) -> Result<Place<'a>, Denied> {
        let of_address = match address {
            Some(address) => {
                let who = self.hasher.hash_one(counted_network(address));
                self.of_addresses.enter(who, MOST_OF_ADDRESS).map_err(|_| Denied::TooMany)?
            }
            None => None,
        };
        let in_all = self.in_all.fetch_add(1, Ordering::Relaxed);
        let of_this = of_server.fetch_add(1, Ordering::Relaxed);
        self.metrics.began();
        // Dropped at once where it is one too many.
        let mut place = Place { asking: self, of_address, of_server, was_free: true };
        if in_all < MOST && of_this < MOST_OF_SERVER {
            return Ok(place);
        }
        place.was_free = false;
        Err(Denied::Busy)
    }
}

/// A question in flight.
pub(super) struct Place<'a> {
    asking: &'a Asking,
    of_address: Option<usize>,
    of_server: &'a AtomicUsize,
    /// Whether it was one that others may have after it.
    was_free: bool,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.asking.in_all.fetch_sub(1, Ordering::Relaxed);
        self.asking.metrics.ended();
        self.of_server.fetch_sub(1, Ordering::Relaxed);
        if let Some(place) = self.of_address {
            self.asking.of_addresses.leave(place);
        }
        if self.was_free {
            self.asking.freed.notify_waiters();
        }
    }
}
