//! Whether the gateway's own network is out: instances that were UP fail together, at several addresses, and nobody answers.
//!
//! Knows each instance that is UP by its probes and not at the host's own addresses, and each that was when it began to
//! fail. Any success ends what was counted so far, in one step however many fail.

use std::collections::{HashMap, HashSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::super::ids::InstanceRef;

/// The fewest instances that fail together.
const MIN_FAILING: usize = 10;
/// The fewest addresses that they are at.
const MIN_ADDRESSES: usize = 3;
/// The least part of all that were UP, in percent.
const MIN_PERCENT: usize = 80;
/// The time between two looks at the requests that were answered, while verdicts are held.
const LOOK: Duration = Duration::from_secs(1);

/// Who fails, and whether verdicts are held.
#[derive(Debug, Default)]
pub(in crate::registry) struct OutageWatch {
    watched: HashMap<InstanceRef, Watched>,
    /// Those that went DOWN since the last success: they were UP then, and are watched no more after the next one.
    down: Vec<InstanceRef>,
    /// The failing ones by address.
    failing_at: HashMap<IpAddr, usize>,
    /// Changes with each success: those that failed before it fail no more.
    epoch: u64,
    /// The requests that were answered when the first of the failing ones failed.
    answered_before: u64,
    /// The host's own addresses, as probes told them.
    own: HashSet<IpAddr>,
    hold: Hold,
}

#[derive(Debug)]
struct Watched {
    ip: IpAddr,
    /// The epoch in which it failed.
    failed_in: Option<u64>,
}

#[derive(Debug, Default)]
enum Hold {
    #[default]
    None,
    Holds {
        ends: Instant,
        next_look: Instant,
    },
    /// It lasted as long as it may; the next one needs a success before it.
    Exhausted,
}

/// How many instances fail together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OutageScope {
    /// Instances that were UP and fail.
    pub failing: usize,
    /// All that were UP.
    pub watched: usize,
    /// The addresses of the failing ones.
    pub addresses: usize,
}

impl OutageWatch {
    /// Whether verdicts are held.
    pub(in crate::registry) fn is_holding(&self) -> bool {
        matches!(self.hold, Hold::Holds { .. })
    }

    /// When the hold ends at the latest.
    pub(in crate::registry) fn next_deadline(&self) -> Option<Instant> {
        match self.hold {
            Hold::Holds { ends, .. } => Some(ends),
            Hold::None | Hold::Exhausted => None,
        }
    }

    /// Something answered: nobody fails any more, and the network is not out. Says whether a hold ends by it.
    pub(in crate::registry) fn note_answer(&mut self) -> bool {
        self.epoch += 1;
        self.failing_at.clear();
        for instance in std::mem::take(&mut self.down) {
            self.watched.remove(&instance);
        }
        matches!(std::mem::take(&mut self.hold), Hold::Holds { .. })
    }

    /// The instance at `ip` is UP.
    pub(in crate::registry) fn watch(&mut self, instance: &InstanceRef, ip: IpAddr) {
        if self.watched.get(instance).is_some_and(|watched| watched.ip == ip) {
            return;
        }
        self.forget(instance);
        self.watched.insert(instance.clone(), Watched { ip, failed_in: None });
    }

    /// The instance is at `ip`, and that is an address of the host's own.
    pub(in crate::registry) fn note_own(&mut self, instance: &InstanceRef, ip: IpAddr) {
        self.forget(instance);
        self.own.insert(ip);
    }

    /// Whether no network lies between the host and `ip`.
    pub(in crate::registry) fn is_own(&self, ip: IpAddr) -> bool {
        ip.is_loopback() || self.own.contains(&ip)
    }

    /// The instance is gone, or probed elsewhere.
    pub(in crate::registry) fn forget(&mut self, instance: &InstanceRef) {
        let Some(Watched { ip, failed_in }) = self.watched.remove(instance) else { return };
        if failed_in == Some(self.epoch)
            && let Some(count) = self.failing_at.get_mut(&ip)
        {
            *count -= 1;
            if *count == 0 {
                self.failing_at.remove(&ip);
            }
        }
        self.down.retain(|one| one != instance);
    }

    /// Whether the instance is the first to fail.
    pub(in crate::registry) fn is_first_to_fail(&self, instance: &InstanceRef) -> bool {
        self.failing_at.is_empty() && self.watched.contains_key(instance)
    }

    /// So many requests were answered when the first of the failing ones failed.
    pub(in crate::registry) fn note_answered(&mut self, requests: u64) {
        self.answered_before = requests;
    }

    /// A probe of the instance failed.
    pub(in crate::registry) fn note_failure(&mut self, instance: &InstanceRef) {
        let Some(watched) = self.watched.get_mut(instance) else { return };
        if watched.failed_in.replace(self.epoch) != Some(self.epoch) {
            *self.failing_at.entry(watched.ip).or_default() += 1;
        }
    }

    /// The instance, whose failure was noted, is DOWN by it.
    pub(in crate::registry) fn note_down(&mut self, instance: &InstanceRef) {
        if self.watched.contains_key(instance) {
            self.down.push(instance.clone());
        }
    }

    /// How many fail, where that looks like an outage of which nothing is held yet.
    pub(in crate::registry) fn suspected(&self) -> Option<OutageScope> {
        let scope = self.scope();
        let is_wide = scope.failing >= MIN_FAILING
            && scope.addresses >= MIN_ADDRESSES
            && scope.failing * 100 >= scope.watched * MIN_PERCENT;
        (matches!(self.hold, Hold::None) && is_wide).then_some(scope)
    }

    /// Whether requests were answered since the first of the failing ones failed.
    pub(in crate::registry) fn is_refuted_by(&self, answered: u64) -> bool {
        answered > self.answered_before
    }

    /// Verdicts are held from now on.
    pub(in crate::registry) fn begin(&mut self, now: Instant, longest: Duration) {
        self.hold = Hold::Holds { ends: now + longest, next_look: now + LOOK };
    }

    /// Whether it is time to look at the requests that were answered.
    pub(in crate::registry) fn take_look(&mut self, now: Instant) -> bool {
        match &mut self.hold {
            Hold::Holds { next_look, .. } if *next_look <= now => {
                *next_look = now + LOOK;
                true
            }
            Hold::Holds { .. } | Hold::None | Hold::Exhausted => false,
        }
    }

    /// Whether the hold has lasted as long as it may; it is over then.
    pub(in crate::registry) fn expire(&mut self, now: Instant) -> bool {
        let is_over = matches!(self.hold, Hold::Holds { ends, .. } if ends <= now);
        if is_over {
            self.hold = Hold::Exhausted;
        }
        is_over
    }

    fn scope(&self) -> OutageScope {
        let (failing, addresses) = (self.failing_at.values().sum(), self.failing_at.len());
        OutageScope { failing, watched: self.watched.len(), addresses }
    }

    /// Whether the counts are what counting gives, and nobody is watched who is not installed.
    #[cfg(any(test, debug_assertions))]
    pub(in crate::registry) fn is_consistent(&self, is_installed: impl Fn(&InstanceRef) -> bool) -> bool {
        let mut failing_at = HashMap::<IpAddr, usize>::new();
        for watched in self.watched.values().filter(|watched| watched.failed_in == Some(self.epoch)) {
            *failing_at.entry(watched.ip).or_default() += 1;
        }
        let are_watched = self.down.iter().all(|instance| self.watched.contains_key(instance));
        failing_at == self.failing_at && are_watched && self.watched.keys().all(is_installed)
    }
}
