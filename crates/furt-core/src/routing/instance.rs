//! Instances as requests see them, and the counters of each that outlive a snapshot.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use super::ejection::Ejection;
use super::keep_alive::KeepAlive;
use crate::model::{DrainMark, Incarnation, InstanceSpec, Protocol, Status, UpstreamUrl};

/// An instance as requests see it.
#[derive(Debug)]
pub struct Instance {
    /// What the instance registered.
    pub spec: Arc<InstanceSpec>,
    /// Where it is; more than one where its name resolves to several, none where it does not resolve.
    pub addresses: Arc<[SocketAddr]>,
    /// The verdict of the health machine.
    pub status: Status,
    /// Requests in flight from which on others go before it; 0: none. Where gateways share limits, this one's share.
    pub soft_limit: u32,
    /// The most requests in flight; 0: no limit. Where gateways share limits, this one's share.
    pub hard_limit: u32,
    /// Changes whenever its url, protocol or addresses change: connections of another group are not reused.
    pub pool_group: PoolGroup,
    /// What outlives the snapshot.
    pub live: Arc<InstanceLive>,
}

impl Instance {
    /// What its connections are pooled under: those that share requests also by how often they were abandoned.
    pub fn pool_key(&self) -> PoolGroup {
        match self.spec.protocol {
            Protocol::Http1 => self.pool_group,
            // More registrations than there will be, and more turns.
            Protocol::H2c => {
                PoolGroup(self.pool_group.0 | u64::from(self.live.pool_turn.load(Ordering::Relaxed)) << 40)
            }
        }
    }

    /// A request on a connection of this pool had no answer in time: further ones go to other connections. Those on it stay.
    pub fn abandon_pool(&self, key: PoolGroup) {
        // Many requests may time out on one connection; the first of them ends it.
        if self.pool_key() == key {
            self.live.pool_turn.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// A group of connections to an instance: any of them may be reused for another request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PoolGroup(pub u64);

impl PoolGroup {
    /// Another group than this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// Counters of an instance, carried over from snapshot to snapshot as long as it stays registered.
#[derive(Debug, Default)]
pub struct InstanceLive {
    in_flight: AtomicU32,
    /// How often its connections were left, so that no further request shares one of them.
    pool_turn: AtomicU32,
    pub(super) ejection: Ejection,
    keep_alive: KeepAlive,
    pub(super) is_draining: AtomicBool,
    pub(super) drain: ArcSwapOption<DrainMark>,
    probe: ProbeFacts,
    replaced: ArcSwapOption<Incarnation>,
    contest: ArcSwapOption<Contest>,
    /// Unix time in ms of the last change of status.
    pub since_ms: AtomicI64,
    /// Unix time in ms of the last registration, one that changed nothing among them; of a restored one, of its restoring.
    pub registered_ms: AtomicI64,
    /// Unix time in ms of the last heartbeat or registration.
    pub heard_ms: AtomicI64,
    /// The TTL in force, in ms; 0: none.
    pub ttl_ms: AtomicU64,
    /// What other gateways have in flight at it while it is draining, as far as they said.
    pub in_flight_elsewhere: AtomicU32,
}

/// Two processes register under one id in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contest {
    /// The url of the other one.
    pub other: UpstreamUrl,
    /// When the last of them registered, as Unix time in ms.
    pub at_ms: i64,
}

/// What the last probe showed.
#[derive(Debug, Default)]
struct ProbeFacts {
    at_ms: AtomicI64,
    took_us: AtomicU64,
    failures: AtomicU32,
    error: ArcSwapOption<String>,
    stopped: AtomicBool,
    restored_up: AtomicBool,
}

impl InstanceLive {
    /// The incarnation that the installed one replaced; `None`: none is known.
    pub fn replaced(&self) -> Option<Arc<Incarnation>> {
        self.replaced.load_full()
    }

    /// Who else registered under its id, back and forth; `None`: nobody did.
    pub fn contest(&self) -> Option<Arc<Contest>> {
        self.contest.load_full()
    }

    /// Writes down that its id went back and forth.
    pub fn note_contest(&self, contest: Option<Contest>) {
        self.contest.store(contest.map(Arc::new));
    }

    /// Writes down which incarnation the installed one replaced.
    pub fn note_replaced(&self, incarnation: Option<Incarnation>) {
        self.replaced.store(incarnation.map(Arc::new));
    }

    /// Requests that hold a [`Lease`](super::Lease) on it.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::SeqCst)
    }

    /// How long it keeps a connection that nobody uses.
    pub fn keep_alive(&self) -> &KeepAlive {
        &self.keep_alive
    }

    /// The end of its ejection as Unix time in ms; `None`: it is not ejected.
    pub fn ejected_until_ms(&self, now_ms: i64) -> Option<i64> {
        self.ejection.until_ms(now_ms)
    }

    /// Takes a slot if it is not draining and fewer than `limit` are taken (0: no limit). Reserves first and looks then:
    /// so the limit is never passed, and who has set the mark and counts nothing in flight has missed no request. That
    /// takes one order of both (`SeqCst`), which costs nothing more on x86.
    pub(super) fn reserve(&self, limit: u32) -> bool {
        let before = self.in_flight.fetch_add(1, Ordering::SeqCst);
        if (limit != 0 && before >= limit) || self.is_draining() {
            self.in_flight.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        true
    }

    pub(super) fn release(&self) {
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// Unix time in ms of the last probe's end; `None` before the first.
    pub fn last_ping_ms(&self) -> Option<i64> {
        Some(self.probe.at_ms.load(Ordering::Relaxed)).filter(|&ms| ms != 0)
    }

    /// How long the last probe took, in µs; `None` before the first, and where it failed: that was no response.
    pub fn response_time_us(&self) -> Option<u64> {
        let took_us = || self.probe.took_us.load(Ordering::Relaxed);
        self.last_ping_ms().filter(|_| self.probe.error.load().is_none()).map(|_| took_us())
    }

    /// Failed probes in a row.
    pub fn consecutive_failures(&self) -> u32 {
        self.probe.failures.load(Ordering::Relaxed)
    }

    /// Why the last probe failed; `None` where it did not.
    pub fn last_error(&self) -> Option<Arc<String>> {
        self.probe.error.load_full()
    }

    /// Whether probing has ended after too many failures.
    pub fn is_probing_stopped(&self) -> bool {
        self.probe.stopped.load(Ordering::Relaxed)
    }

    /// Whether it was UP when its registry was restored, and no probe of it failed since.
    pub fn is_restored_up(&self) -> bool {
        self.probe.restored_up.load(Ordering::Relaxed)
    }

    /// Writes down whether [`is_restored_up`](Self::is_restored_up).
    pub fn note_restored_up(&self, is_restored_up: bool) {
        self.probe.restored_up.store(is_restored_up, Ordering::Relaxed);
    }

    /// Writes down a probe: when it ended (Unix ms), how long it took, what failed.
    pub fn note_probe(&self, at_ms: i64, took: std::time::Duration, error: Option<String>) {
        self.probe.took_us.store(took.as_micros().try_into().unwrap_or(u64::MAX), Ordering::Relaxed);
        self.probe.error.store(error.map(Arc::new));
        self.probe.at_ms.store(at_ms, Ordering::Relaxed);
    }

    /// Writes down the state of the health machine.
    pub fn note_health(&self, failures: u32, stopped: bool) {
        self.probe.failures.store(failures, Ordering::Relaxed);
        self.probe.stopped.store(stopped, Ordering::Relaxed);
    }
}
