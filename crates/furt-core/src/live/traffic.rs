//! What is counted of requests and probes: plain atomics that only grow, a handful of relaxed increments a request.
//!
//! A service's counts live as long as its registration, behind `routing::ServiceLive`; a route's as long as its line in
//! `/metrics`, which `telemetry` keeps and a `routing::Route` points to. Nothing here knows a name, a clock or a bound on
//! how many there are. Counted by the proxy and the registry, read by the internal listener.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::Latency;

/// Classes of answers by their status: of those that were never sent, then 1xx to 5xx.
pub const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];

/// Which of [`STATUS_CLASSES`] a status is of; 0: no answer was sent.
pub fn status_class(status: u16) -> usize {
    usize::from(status / 100).min(STATUS_CLASSES.len() - 1)
}

/// What a request came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It was answered: by the service, whatever it said below 500, or by furt's `/health`.
    Answered,
    /// furt refused it with a 4xx of its own.
    Refused,
    /// A 5xx of the service's or furt's own, no answer at all, or one that broke off.
    Failed,
}

/// One request, at its end.
#[derive(Debug, Clone, Copy)]
pub struct Outcome {
    /// Of the answer; 0: none was sent.
    pub status: u16,
    /// How it was answered.
    pub verdict: Verdict,
    /// From its header to the answer's end.
    pub took: Duration,
}

impl Outcome {
    /// An upgraded connection lasts as long as its client likes: that is no latency.
    fn is_timed(&self) -> bool {
        self.status != 101
    }
}

/// The requests of one service: by class, and finely by time.
#[derive(Debug, Default)]
pub struct ServiceTraffic {
    classes: [AtomicU64; STATUS_CLASSES.len()],
    refused: AtomicU64,
    failed: AtomicU64,
    latency: Latency,
}

/// What a [`ServiceTraffic`] showed when it was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TrafficCounts {
    /// By [`STATUS_CLASSES`].
    pub classes: [u64; STATUS_CLASSES.len()],
    /// [`Verdict::Refused`].
    pub refused: u64,
    /// [`Verdict::Failed`].
    pub failed: u64,
    /// As [`Latency::counted`] gives them.
    pub latency: Vec<(usize, u64)>,
}

impl ServiceTraffic {
    /// Counts a request.
    pub fn count(&self, outcome: Outcome) {
        add(&self.classes[status_class(outcome.status)], 1);
        match outcome.verdict {
            Verdict::Answered => {}
            Verdict::Refused => add(&self.refused, 1),
            Verdict::Failed => add(&self.failed, 1),
        }
        if outcome.is_timed() {
            self.latency.count(outcome.took);
        }
    }

    /// All requests so far: a few loads, where [`read`](Self::read) is some 170.
    pub fn total(&self) -> u64 {
        read(&self.classes).iter().sum()
    }

    /// Those that were answered and neither refused nor failed; while requests end, it may be too small for a moment.
    pub fn answered(&self) -> u64 {
        let others = self.refused.load(Ordering::Relaxed) + self.failed.load(Ordering::Relaxed);
        self.total().saturating_sub(others)
    }

    /// All counts; requests that end meanwhile may be in some of them.
    pub fn read(&self) -> TrafficCounts {
        TrafficCounts {
            classes: read(&self.classes),
            refused: self.refused.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
            latency: self.latency.counted(),
        }
    }
}

/// Upper bounds of a route's times, in ms. Few: each is a line in `/metrics` for each route.
pub const ROUTE_BOUNDS_MS: [u64; 5] = [5, 25, 100, 500, 2_500];
/// How many numbers a [`RouteTraffic`] is.
pub const ROUTE_NUMBERS: usize = STATUS_CLASSES.len() + ROUTE_BOUNDS_MS.len() + 2;

/// The requests of one pattern of one service.
#[derive(Debug, Default)]
pub struct RouteTraffic {
    classes: [AtomicU64; STATUS_CLASSES.len()],
    times: Times<{ ROUTE_BOUNDS_MS.len() + 2 }>,
}

impl RouteTraffic {
    /// Counts a request.
    pub fn count(&self, outcome: Outcome) {
        add(&self.classes[status_class(outcome.status)], 1);
        if outcome.is_timed() {
            self.times.count(&ROUTE_BOUNDS_MS, outcome.took);
        }
    }

    /// The classes, then the times: by bound, those above all bounds, their sum in µs.
    pub fn read(&self) -> [u64; ROUTE_NUMBERS] {
        let mut numbers = [0; ROUTE_NUMBERS];
        let (classes, times) = numbers.split_at_mut(STATUS_CLASSES.len());
        classes.copy_from_slice(&read(&self.classes));
        times.copy_from_slice(&read(&self.times.0));
        numbers
    }
}

/// Upper bounds of a probe's times, in ms.
pub const PROBE_BOUNDS_MS: [u64; 3] = [10, 100, 1_000];
/// How many numbers the probes of one outcome are.
pub const PROBE_NUMBERS: usize = PROBE_BOUNDS_MS.len() + 2;

/// What befell a service.
#[derive(Debug, Default)]
pub struct ServiceEvents {
    transitions: AtomicU64,
    succeeded: Times<PROBE_NUMBERS>,
    failed: Times<PROBE_NUMBERS>,
}

impl ServiceEvents {
    /// Its status changed.
    pub fn count_transition(&self) {
        add(&self.transitions, 1);
    }

    /// One of its instances was probed.
    pub fn count_probe<T, E>(&self, outcome: &Result<T, E>, took: Duration) {
        let times = if outcome.is_ok() { &self.succeeded } else { &self.failed };
        times.count(&PROBE_BOUNDS_MS, took);
    }

    /// Changes of status.
    pub fn transitions(&self) -> u64 {
        self.transitions.load(Ordering::Relaxed)
    }

    /// The times of good probes, then those of failed ones: by bound, those above all bounds, their sum in µs.
    pub fn probes(&self) -> [u64; 2 * PROBE_NUMBERS] {
        let mut numbers = [0; 2 * PROBE_NUMBERS];
        let (succeeded, failed) = numbers.split_at_mut(PROBE_NUMBERS);
        succeeded.copy_from_slice(&read(&self.succeeded.0));
        failed.copy_from_slice(&read(&self.failed.0));
        numbers
    }
}

/// A histogram of few buckets: counts by bound, those above all bounds, and last the sum in µs.
///
/// By hand: a time costs two increments, whereas the histogram of the crate `prometheus` adds to a sum of `f64` in a loop.
#[derive(Debug)]
struct Times<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Times<N> {
    fn default() -> Self {
        Self(std::array::from_fn(|_| AtomicU64::new(0)))
    }
}

impl<const N: usize> Times<N> {
    /// `bounds_ms` are `N - 2`, ascending; a time of just a bound counts below it, as Prometheus has it.
    fn count(&self, bounds_ms: &[u64], took: Duration) {
        let us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let bucket = bounds_ms.iter().position(|bound| us <= bound * 1_000).unwrap_or(bounds_ms.len());
        if let (Some(bucket), Some(sum)) = (self.0.get(bucket), self.0.last()) {
            add(bucket, 1);
            add(sum, us);
        }
    }
}

fn add(number: &AtomicU64, more: u64) {
    number.fetch_add(more, Ordering::Relaxed);
}

fn read<const N: usize>(numbers: &[AtomicU64; N]) -> [u64; N] {
    std::array::from_fn(|at| numbers[at].load(Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(status: u16, verdict: Verdict, ms: u64) -> Outcome {
        Outcome { status, verdict, took: Duration::from_millis(ms) }
    }

    #[test]
    fn a_service_counts_classes_verdicts_and_times() {
        let traffic = ServiceTraffic::default();
        for (status, verdict) in [
            (200, Verdict::Answered),
            (404, Verdict::Answered),
            (401, Verdict::Refused),
            (503, Verdict::Failed),
            (0, Verdict::Failed),
            (999, Verdict::Answered),
        ] {
            traffic.count(outcome(status, verdict, 10));
        }
        let counts = traffic.read();
        assert_eq!(counts.classes, [1, 0, 1, 0, 2, 2]);
        assert_eq!((counts.refused, counts.failed), (1, 2));
        assert_eq!(counts.latency.iter().map(|(_, count)| count).sum::<u64>(), 6);
    }

    #[test]
    fn an_upgraded_connection_is_counted_and_has_no_latency() {
        let (service, route) = (ServiceTraffic::default(), RouteTraffic::default());
        service.count(outcome(101, Verdict::Answered, 86_400_000));
        route.count(outcome(101, Verdict::Answered, 86_400_000));
        assert_eq!(service.read(), TrafficCounts { classes: [0, 1, 0, 0, 0, 0], ..TrafficCounts::default() });
        assert_eq!(route.read(), [0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn a_routes_times_count_up_to_and_with_their_bound() {
        let route = RouteTraffic::default();
        for ms in [0, 5, 6, 2_500, 2_501] {
            route.count(outcome(200, Verdict::Answered, ms));
        }
        assert_eq!(route.read(), [0, 0, 5, 0, 0, 0, 2, 1, 0, 0, 1, 1, 5_012_000]);
    }

    #[test]
    fn probes_are_counted_by_outcome() {
        let events = ServiceEvents::default();
        events.count_probe::<(), ()>(&Ok(()), Duration::from_millis(3));
        events.count_probe::<(), ()>(&Err(()), Duration::from_secs(5));
        events.count_transition();
        assert_eq!(events.transitions(), 1);
        assert_eq!(events.probes(), [1, 0, 0, 0, 3_000, 0, 0, 0, 1, 5_000_000]);
    }
}
