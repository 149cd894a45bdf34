//! What all servers share: the connections, and how many questions may be in flight.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use pingora::connectors::ConnectorOptions;
use pingora::connectors::http::v1::Connector;

use super::answer::Denied;
use crate::telemetry::ForwardAuthMetrics;
use furt_core::live::CallerCounts;

/// The most questions in flight in all.
const MOST: usize = 256;
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
            metrics,
        }
    }

    pub(super) fn metrics(&self) -> &ForwardAuthMetrics {
        &self.metrics
    }

    /// Counts a question until the place is dropped.
    pub(super) fn enter(&self, address: Option<IpAddr>) -> Result<Place<'_>, Denied> {
        let of_address = match address {
            Some(address) => {
                let who = self.hasher.hash_one(network(address));
                self.of_addresses.enter(who, MOST_OF_ADDRESS).map_err(|_| Denied::TooMany)?
            }
            None => None,
        };
        let in_all = self.in_all.fetch_add(1, Ordering::Relaxed);
        self.metrics.began();
        // Dropped at once where it is one too many.
        let place = Place { asking: self, of_address };
        if in_all < MOST { Ok(place) } else { Err(Denied::Busy) }
    }
}

/// A question in flight.
pub(super) struct Place<'a> {
    asking: &'a Asking,
    of_address: Option<usize>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.asking.in_all.fetch_sub(1, Ordering::Relaxed);
        self.asking.metrics.ended();
        if let Some(place) = self.of_address {
            self.asking.of_addresses.leave(place);
        }
    }
}

/// Whose questions are counted together: a client over IPv6 has a whole network.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
        address => address,
    }
}
