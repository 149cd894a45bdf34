//! The last five minutes of requests, of the whole gateway and of each service that has some: rates and percentiles at every
//! five seconds, for the dashboard.
//!
//! A difference between two readings of the counters that there are, so no request pays for it. Who reads them calls
//! [`History::sample`]; nothing here reads a clock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use furt_core::live::{LATENCY_BUCKETS, TrafficCounts, latency_bound_us, quantile_us};
use furt_core::model::ServiceName;

/// Between two points.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Points that are kept: five minutes.
pub const POINTS: usize = 60;
/// Services with requests that are looked at, at some 5 KB each; the whole is without those beyond.
const MAX_SERVICES: usize = 1_000;

/// What happened in one interval.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Point {
    /// Requests that ended, a second.
    pub requests: f64,
    /// Those of them that failed, a second: 5xx, no answer, an answer that broke off.
    pub errors: f64,
    /// The time that half of them did not exceed, in ms; `None`: there were none.
    pub p50_ms: Option<f64>,
    /// The same of 99 in 100.
    pub p99_ms: Option<f64>,
}

/// What a sample is of.
pub struct ServiceTrafficSample<'a> {
    /// The service.
    pub service: &'a ServiceName,
    /// When it registered, in Unix ms: the counts of another registration began anew.
    pub registered_ms: i64,
    /// Its requests since then.
    pub counts: TrafficCounts,
}

/// The points of the last minutes.
#[derive(Default)]
pub struct History(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    sampled: Option<Instant>,
    /// Whether a service with requests had no line after the last sample.
    is_short: bool,
    whole: Points,
    others: Vec<TrafficCounts>,
    services: HashMap<ServiceName, Line>,
}

#[derive(Default)]
struct Line {
    registered_ms: i64,
    sampled: Option<Instant>,
    counts: TrafficCounts,
    points: Points,
}

#[derive(Default)]
struct Points(VecDeque<Point>);

impl Points {
    fn push(&mut self, point: Point) {
        if self.0.len() == POINTS {
            self.0.pop_front();
        }
        self.0.push_back(point);
    }

    fn all(&self) -> Vec<Point> {
        self.0.iter().copied().collect()
    }
}

/// What came in an interval.
struct Difference {
    requests: u64,
    errors: u64,
    latency: [u64; LATENCY_BUCKETS],
}

impl Difference {
    fn nothing() -> Self {
        Self { requests: 0, errors: 0, latency: [0; LATENCY_BUCKETS] }
    }

    fn between(before: &TrafficCounts, now: &TrafficCounts) -> Self {
        let sum = |counts: &TrafficCounts| counts.classes.iter().sum::<u64>();
        let mut latency = [0; LATENCY_BUCKETS];
        let mut count = |counts: &TrafficCounts, apply: fn(u64, u64) -> u64| {
            for &(bucket, count) in &counts.latency {
                if let Some(place) = latency.get_mut(bucket) {
                    *place = apply(*place, count);
                }
            }
        };
        count(now, u64::saturating_add);
        count(before, u64::saturating_sub);
        let requests = sum(now).saturating_sub(sum(before));
        Self { requests, errors: now.failed.saturating_sub(before.failed), latency }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.latency.iter_mut().zip(other.latency).for_each(|(sum, count)| *sum += count);
    }

    fn point(&self, seconds: f64, bounds_us: &[u64]) -> Point {
        let ms = |quantile| quantile_us(bounds_us, &self.latency, quantile).map(|us| us / 1e3);
        Point {
            requests: self.requests as f64 / seconds,
            errors: self.errors as f64 / seconds,
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
        }
    }
}

impl History {
    /// Adds a point of what came since the last sample. The first one adds none: it says where counting begins. `others` are
    /// requests to no service, in the same order each time.
    pub fn sample<'a>(
        &self,
        now: Instant,
        services: impl Iterator<Item = ServiceTrafficSample<'a>>,
        others: Vec<TrafficCounts>,
    ) {
        let mut kept = self.lock();
        let Kept { sampled, is_short, whole, others: others_before, services: lines } = &mut *kept;
        let elapsed = sampled.replace(now).map(|before| now.saturating_duration_since(before));
        let seconds = elapsed.map(|elapsed| elapsed.as_secs_f64().max(0.001));
        let (was_short, nothing) = (std::mem::take(is_short), TrafficCounts::default());
        let bounds_us: Vec<_> = (0..LATENCY_BUCKETS).map(latency_bound_us).collect();
        let mut sum = Difference::nothing();
        for ServiceTrafficSample { service, registered_ms, counts } in services {
            let is_known = lines.contains_key(service);
            if !is_known && counts == nothing {
                continue;
            }
            if !is_known && lines.len() == MAX_SERVICES {
                *is_short = true;
                continue;
            }
            let has_begun = is_known || !was_short;
            let line = lines.entry(service.clone()).or_default();
            let is_same = line.registered_ms == registered_ms;
            let before = std::mem::replace(&mut line.counts, counts);
            (line.registered_ms, line.sampled) = (registered_ms, Some(now));
            // What it had before it was looked at is of no interval.
            let Some(seconds) = seconds.filter(|_| has_begun) else { continue };
            let difference = Difference::between(if is_same { &before } else { &nothing }, &line.counts);
            sum.add(&difference);
            line.points.push(difference.point(seconds, &bounds_us));
        }
        lines.retain(|_, line| line.sampled == Some(now));
        for (at, counts) in others.iter().enumerate() {
            sum.add(&Difference::between(others_before.get(at).unwrap_or(&nothing), counts));
        }
        *others_before = others;
        if let Some(seconds) = seconds {
            whole.push(sum.point(seconds, &bounds_us));
        }
    }

    /// Forgets all, where nobody is to see it.
    pub fn clear(&self) {
        *self.lock() = Kept::default();
    }

    /// The points of the whole gateway, the oldest first: at most [`POINTS`].
    pub fn whole(&self) -> Vec<Point> {
        self.lock().whole.all()
    }

    /// The same of one service; empty where it had no requests.
    pub fn of(&self, service: &str) -> Vec<Point> {
        self.lock()
            .services
            .iter()
            .find(|(name, _)| name.as_str() == service)
            .map(|(_, line)| line.points.all())
            .unwrap_or_default()
    }

    /// The last point of each service that had requests since it registered.
    pub fn latest(&self) -> HashMap<ServiceName, Point> {
        let kept = self.lock();
        kept.services.iter().filter_map(|(name, line)| Some((name.clone(), *line.points.0.back()?))).collect()
    }

    /// Held for a sample at most, never across an await.
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(requests: u64, failed: u64) -> TrafficCounts {
        TrafficCounts {
            classes: [0, 0, requests, 0, 0, 0],
            refused: 0,
            failed,
            latency: (requests > 0).then_some((1, requests)).into_iter().collect(),
        }
    }

    fn name(text: &str) -> ServiceName {
        ServiceName::try_new(text).unwrap()
    }

    struct Watched {
        history: History,
        now: Instant,
    }

    impl Watched {
        fn new() -> Self {
            Self { history: History::default(), now: crate::clock::now() }
        }

        fn sample(&mut self, services: &[(&ServiceName, i64, TrafficCounts)], others: u64) {
            self.now += INTERVAL;
            let samples = services.iter().map(|(service, registered_ms, counts)| ServiceTrafficSample {
                service,
                registered_ms: *registered_ms,
                counts: counts.clone(),
            });
            self.history.sample(self.now, samples, vec![counts(others, 0)]);
        }

        fn rates(&self, service: &str) -> Vec<f64> {
            self.history.of(service).iter().map(|point| point.requests).collect()
        }

        fn all(&self) -> Vec<f64> {
            self.history.whole().iter().map(|point| point.requests).collect()
        }
    }

    #[test]
    fn a_point_is_what_came_in_its_interval() {
        let mut watched = Watched::new();
        let shop = name("shop");
        watched.sample(&[(&shop, 1, counts(100, 0))], 50);
        assert_eq!(
            (watched.rates("shop"), watched.all()),
            (vec![], vec![]),
            "the first one says where counting begins"
        );
        watched.sample(&[(&shop, 1, counts(110, 5))], 60);
        watched.sample(&[(&shop, 1, counts(110, 5))], 60);
        assert_eq!((watched.rates("shop"), watched.all()), (vec![2.0, 0.0], vec![4.0, 0.0]));
        let point = watched.history.of("shop")[0];
        assert_eq!((point.errors, point.p50_ms, point.p99_ms), (1.0, Some(0.068), Some(0.068)));
        assert_eq!(watched.history.latest()[&shop].requests, 0.0);
        watched.history.clear();
        assert_eq!((watched.rates("shop"), watched.all()), (vec![], vec![]));
    }

    #[test]
    fn counts_of_another_registration_begin_anew() {
        let mut watched = Watched::new();
        let shop = name("shop");
        watched.sample(&[(&shop, 1, counts(100, 0))], 0);
        watched.sample(&[(&shop, 2, counts(5, 0))], 0);
        assert_eq!(watched.rates("shop"), [1.0]);
        watched.sample(&[], 0);
        assert_eq!((watched.rates("shop"), watched.all()), (vec![], vec![1.0, 0.0]), "who left has no line");
    }

    #[test]
    fn a_service_without_requests_has_no_line_until_it_has_one() {
        let mut watched = Watched::new();
        let shop = name("shop");
        watched.sample(&[(&shop, 1, counts(0, 0))], 0);
        watched.sample(&[(&shop, 1, TrafficCounts::default())], 0);
        assert_eq!(watched.rates("shop"), [0.0; 0]);
        watched.sample(&[(&shop, 1, counts(10, 0))], 0);
        assert_eq!(watched.rates("shop"), [2.0], "all of it came in the interval");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut watched = Watched::new();
        let names: Vec<_> = (0..=MAX_SERVICES).map(|number| name(&format!("s{number}"))).collect();
        for round in 0..POINTS as u64 + 3 {
            let samples: Vec<_> = names.iter().map(|name| (name, 1, counts(1 + round * 5, 0))).collect();
            watched.sample(&samples, 0);
        }
        assert_eq!(watched.history.latest().len(), MAX_SERVICES);
        assert_eq!((watched.rates("s0"), watched.rates("s1000")), (vec![1.0; POINTS], vec![]));
        let left: Vec<_> = names[1..].iter().map(|name| (name, 1, counts(1_000, 0))).collect();
        watched.sample(&left, 0);
        assert_eq!(watched.rates("s1000"), [0.0; 0], "there is no room before the others are known to be gone");
        watched.sample(&left, 0);
        assert_eq!(watched.rates("s1000"), [0.0; 0], "what it had before is of no interval");
        watched.sample(&left, 0);
        assert_eq!(watched.rates("s1000"), [0.0]);
    }
}
