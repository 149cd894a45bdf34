//! What restricts one request, and the counts that have it until it is over.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use furt_core::live::{CallerCounts, CallerRates};
use furt_core::routing::LimitLive;

/// What restricts a request that was let in.
#[derive(Debug, Default)]
pub(super) struct Restricted {
    /// What it is counted in until it is over.
    pub(super) in_flight: Vec<InFlight>,
    /// How long it may take to the end of its answer, unless it is a stream.
    pub(super) total: Option<Duration>,
    /// How often it may be sent again.
    pub(super) retries: Option<u8>,
}

impl Restricted {
    /// It is over for all who count it.
    pub(super) fn release(&mut self) {
        self.in_flight.clear();
    }
}

/// One count that has a request.
#[derive(Debug)]
pub(super) enum InFlight {
    OfLimit(Arc<LimitLive>),
    OfCaller(Arc<Callers>, usize),
}

impl Drop for InFlight {
    fn drop(&mut self) {
        match self {
            Self::OfLimit(live) => _ = live.in_flight.fetch_sub(1, Ordering::Relaxed),
            Self::OfCaller(callers, place) => callers.counts.leave(*place),
        }
    }
}

/// What callers did lately.
#[derive(Debug)]
pub(super) struct Callers {
    pub(super) started: Instant,
    pub(super) rates: CallerRates,
    pub(super) counts: CallerCounts,
}
