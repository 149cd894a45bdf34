//! The last five minutes of requests, of the whole gateway and of each service that has some: rates and percentiles at every
//! five seconds, for the dashboard.
//!
//! A difference between two readings of the counters that there are, so no request pays for it. Who reads them calls
//! [`History::sample`]; nothing here reads a clock.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use furt_core::live::{LATENCY_BUCKETS, ServiceTraffic, TrafficCounts, latency_bound_us, quantile_us};
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
    /// Its requests since then; `None`: there were none.
    pub traffic: Option<&'a ServiceTraffic>,
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

impl Line {
    /// All requests that are counted so far.
    fn total(&self) -> u64 {
        self.counts.classes.iter().sum()
    }
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
        for ServiceTrafficSample { service, registered_ms, traffic } in services {
            let (is_full, known) = (lines.len() == MAX_SERVICES, lines.get_mut(service));
            let is_known = known.is_some();
            let line = match (known, traffic) {
                (Some(line), _) => line,
                (None, None) => continue,
                (None, Some(_)) if is_full => {
                    *is_short = true;
                    continue;
                }
                (None, Some(_)) => lines.entry(service.clone()).or_default(),
            };
            // Of most services nothing came: their times are not read.
            if is_known
                && line.registered_ms == registered_ms
                && line.total() == traffic.map_or(0, ServiceTraffic::total)
            {
                line.sampled = Some(now);
                if seconds.is_some() {
                    line.points.push(Point::default());
                }
                continue;
            }
            let counts = traffic.map(ServiceTraffic::read).unwrap_or_default();
            let has_begun = is_known || !was_short;
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
        self.lock().services.get(service).map(|line| line.points.all()).unwrap_or_default()
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
    use furt_core::live::{Outcome, Verdict};

    use super::*;

    fn name(text: &str) -> ServiceName {
        ServiceName::try_new(text).unwrap()
    }

    fn add(traffic: &ServiceTraffic, requests: u64, failed: u64) {
        for number in 0..requests {
            let (status, verdict) = if number < failed { (503, Verdict::Failed) } else { (200, Verdict::Answered) };
            traffic.count(Outcome { status, verdict, took: Duration::from_micros(70) });
        }
    }

    struct Watched {
        history: History,
        now: Instant,
        others: ServiceTraffic,
    }

    impl Watched {
        fn new() -> Self {
            Self { history: History::default(), now: crate::clock::now(), others: ServiceTraffic::default() }
        }

        fn sample<'a>(&mut self, services: impl IntoIterator<Item = (&'a ServiceName, i64, &'a ServiceTraffic)>) {
            self.now += INTERVAL;
            let samples = services.into_iter().map(|(service, registered_ms, traffic)| ServiceTrafficSample {
                service,
                registered_ms,
                traffic: Some(traffic).filter(|traffic| traffic.total() > 0),
            });
            self.history.sample(self.now, samples, vec![self.others.read()]);
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
        let (mut watched, shop, traffic) = (Watched::new(), name("shop"), ServiceTraffic::default());
        add(&traffic, 100, 0);
        add(&watched.others, 50, 0);
        watched.sample([(&shop, 1, &traffic)]);
        assert_eq!(
            (watched.rates("shop"), watched.all()),
            (vec![], vec![]),
            "the first one says where counting begins"
        );
        add(&traffic, 10, 5);
        add(&watched.others, 10, 0);
        watched.sample([(&shop, 1, &traffic)]);
        watched.sample([(&shop, 1, &traffic)]);
        assert_eq!((watched.rates("shop"), watched.all()), (vec![2.0, 0.0], vec![4.0, 0.0]));
        let [point, quiet] = watched.history.of("shop")[..] else { panic!("two intervals") };
        assert_eq!((point.errors, point.p50_ms, point.p99_ms), (1.0, Some(0.068), Some(0.068)));
        assert_eq!((quiet.p50_ms, watched.history.latest()[&shop].requests), (None, 0.0));
        watched.history.clear();
        assert_eq!((watched.rates("shop"), watched.all()), (vec![], vec![]));
    }

    #[test]
    fn counts_of_another_registration_begin_anew() {
        let (mut watched, shop) = (Watched::new(), name("shop"));
        let [one, other] = [100, 5].map(|requests| {
            let traffic = ServiceTraffic::default();
            add(&traffic, requests, 0);
            traffic
        });
        watched.sample([(&shop, 1, &one)]);
        watched.sample([(&shop, 2, &other)]);
        assert_eq!(watched.rates("shop"), [1.0]);
        watched.sample([(&shop, 3, &other)]);
        assert_eq!(watched.rates("shop"), [1.0, 1.0], "also where both had as many");
        watched.sample([]);
        assert_eq!((watched.rates("shop"), watched.all()), (vec![], vec![1.0, 1.0, 0.0]), "who left has no line");
    }

    #[test]
    fn a_service_without_requests_has_no_line_until_it_has_one() {
        let (mut watched, shop, traffic) = (Watched::new(), name("shop"), ServiceTraffic::default());
        watched.sample([(&shop, 1, &traffic)]);
        watched.sample([(&shop, 1, &traffic)]);
        assert_eq!(watched.rates("shop"), [0.0; 0]);
        add(&traffic, 10, 0);
        watched.sample([(&shop, 1, &traffic)]);
        assert_eq!(watched.rates("shop"), [2.0], "all of it came in the interval");
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let mut watched = Watched::new();
        let all: Vec<_> = (0..=MAX_SERVICES).map(|at| (name(&format!("s{at}")), ServiceTraffic::default())).collect();
        let of = |(name, traffic)| (name, 1, traffic);
        for _ in 0..POINTS + 3 {
            all.iter().for_each(|(_, traffic)| add(traffic, 5, 0));
            watched.sample(all.iter().map(|(name, traffic)| of((name, traffic))));
        }
        assert_eq!(watched.history.latest().len(), MAX_SERVICES);
        assert_eq!((watched.rates("s0"), watched.rates("s1000")), (vec![1.0; POINTS], vec![]));
        let mut of_others = || watched.sample(all[1..].iter().map(|(name, traffic)| of((name, traffic))));
        of_others();
        of_others();
        assert_eq!(watched.rates("s1000"), [0.0; 0], "what it had before is of no interval");
        watched.sample(all[1..].iter().map(|(name, traffic)| of((name, traffic))));
        assert_eq!(watched.rates("s1000"), [0.0]);
    }
}
