//! A frame of `furt top`: what happened between two answers of `GET /internal/stats`.
//!
//! Counts of a service that registered again, and all counts of a furt that started again, begin anew: what they show is
//! what happened since, and never a negative rate. Percentiles are those of the interval, from differences of buckets.

use std::collections::BTreeMap;

use furt_api::Status;
use furt_api::stats::{Counts, Stats, Traffic};
use serde::Serialize;

use furt_core::live::quantile_us;

/// The most buckets of latencies that are believed: some times as many as furt has.
const MAX_BUCKETS: usize = 4_096;

/// What happened in an interval.
#[derive(Debug, Clone)]
pub(super) struct Frame {
    pub(super) seconds: f64,
    pub(super) uptime_ms: u64,
    /// The busiest first, then services by name.
    pub(super) rows: Vec<Row>,
    pub(super) total: Row,
}

/// One line of it.
#[derive(Debug, Clone)]
pub(super) struct Row {
    pub(super) kind: Kind,
    pub(super) requests_per_s: f64,
    pub(super) errors_per_s: f64,
    pub(super) refused_per_s: f64,
    pub(super) p50_ms: Option<f64>,
    pub(super) p99_ms: Option<f64>,
    /// Since it registered or started: requests, errors, refused.
    so_far: [u64; 3],
}

/// Whose line it is.
#[derive(Debug, Clone)]
pub(super) enum Kind {
    Service(ServiceFacts),
    /// Routes of the configuration that lead to urls.
    Static,
    /// Requests that found no route.
    Unrouted,
    Total(ServiceFacts),
}

/// What a service is now; of all together, where that can be said.
#[derive(Debug, Clone, Default)]
pub(super) struct ServiceFacts {
    pub(super) name: String,
    pub(super) status: Option<Status>,
    pub(super) up: u64,
    pub(super) instances: u64,
    pub(super) in_flight: u64,
    pub(super) uptime_share: Option<f64>,
}

/// Whether the numbers of an answer can be reckoned with.
pub(super) fn is_sound(stats: &Stats) -> bool {
    let services = stats.services.iter().map(|service| &service.traffic);
    let all = services.chain([&stats.static_routes, &stats.unrouted]).filter_map(|traffic| traffic.counts.as_ref());
    stats.latency_begins_us.len() <= MAX_BUCKETS
        && all.flat_map(|counts| &counts.latency).all(|&(bucket, _)| bucket < stats.latency_begins_us.len())
}

/// Counts of an interval, by bucket where they are of times.
struct Difference {
    requests: u64,
    errors: u64,
    refused: u64,
    latency: Vec<u64>,
    so_far: [u64; 3],
}

impl Difference {
    fn nothing(buckets: usize) -> Self {
        Self { requests: 0, errors: 0, refused: 0, latency: vec![0; buckets], so_far: [0; 3] }
    }

    fn between(before: Option<&Traffic>, now: &Traffic, buckets: usize) -> Self {
        let nothing = Counts::default();
        let before = before.and_then(|traffic| traffic.counts.as_ref()).unwrap_or(&nothing);
        let now = now.counts.as_ref().unwrap_or(&nothing);
        let sum = |counts: &Counts| counts.requests.iter().fold(0, |sum: u64, count| sum.saturating_add(*count));
        let mut latency = vec![0_u64; buckets];
        for &(bucket, count) in &now.latency {
            if let Some(place) = latency.get_mut(bucket) {
                *place = place.saturating_add(count);
            }
        }
        for &(bucket, count) in &before.latency {
            if let Some(place) = latency.get_mut(bucket) {
                *place = place.saturating_sub(count);
            }
        }
        Self {
            requests: sum(now).saturating_sub(sum(before)),
            errors: now.errors.saturating_sub(before.errors),
            refused: now.refused.saturating_sub(before.refused),
            latency,
            so_far: [sum(now), now.errors, now.refused],
        }
    }

    fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.errors += other.errors;
        self.refused += other.refused;
        self.latency.iter_mut().zip(&other.latency).for_each(|(sum, count)| *sum += count);
        self.so_far.iter_mut().zip(other.so_far).for_each(|(sum, count)| *sum += count);
    }

    fn row(&self, kind: Kind, seconds: f64, begins_us: &[u64]) -> Row {
        let ms = |quantile| quantile_us(begins_us, &self.latency, quantile).map(|us| us / 1e3);
        Row {
            kind,
            requests_per_s: self.requests as f64 / seconds,
            errors_per_s: self.errors as f64 / seconds,
            refused_per_s: self.refused as f64 / seconds,
            p50_ms: ms(0.5),
            p99_ms: ms(0.99),
            so_far: self.so_far,
        }
    }
}

impl Frame {
    /// What happened from `before` to `now`.
    pub(super) fn between(before: &Stats, now: &Stats) -> Self {
        let before = Some(before).filter(|before| before.started_ms == now.started_ms);
        let interval_ms = now.uptime_ms.saturating_sub(before.map_or(0, |before| before.uptime_ms));
        let seconds = interval_ms.max(1) as f64 / 1e3;
        let (begins_us, buckets) = (&now.latency_begins_us, now.latency_begins_us.len());
        let known: BTreeMap<_, _> = before
            .iter()
            .flat_map(|before| &before.services)
            .map(|service| ((service.service.as_str(), service.registered_ms), &service.traffic))
            .collect();
        let mut sum = Difference::nothing(buckets);
        let mut all = ServiceFacts::default();
        let mut rows = Vec::with_capacity(now.services.len() + 2);
        for service in &now.services {
            let earlier = known.get(&(service.service.as_str(), service.registered_ms)).copied();
            let difference = Difference::between(earlier, &service.traffic, buckets);
            sum.add(&difference);
            let facts = ServiceFacts {
                name: service.service.to_string(),
                status: Some(service.status.clone()),
                up: service.instances[0],
                instances: service.instances[1],
                in_flight: service.in_flight,
                uptime_share: Some(service.uptime_share),
            };
            all.up += facts.up;
            all.instances += facts.instances;
            all.in_flight += facts.in_flight;
            rows.push(difference.row(Kind::Service(facts), seconds, begins_us));
        }
        for (kind, earlier, traffic) in [
            (Kind::Static, before.map(|before| &before.static_routes), &now.static_routes),
            (Kind::Unrouted, before.map(|before| &before.unrouted), &now.unrouted),
        ] {
            let difference = Difference::between(earlier, traffic, buckets);
            sum.add(&difference);
            rows.push(difference.row(kind, seconds, begins_us));
        }
        rows.sort_by(|one, other| {
            let (busier, by_name) = (other.requests_per_s.total_cmp(&one.requests_per_s), one.name().cmp(other.name()));
            busier.then(one.facts().is_none().cmp(&other.facts().is_none())).then(by_name)
        });
        Self { seconds, uptime_ms: now.uptime_ms, rows, total: sum.row(Kind::Total(all), seconds, begins_us) }
    }

    /// For programs.
    pub(super) fn shown(&self) -> FrameShown {
        let of = |wanted: fn(&Kind) -> bool| self.rows.iter().filter(move |row| wanted(&row.kind)).map(Row::shown);
        FrameShown {
            seconds: self.seconds,
            uptime_s: self.uptime_ms as f64 / 1e3,
            services: of(|kind| matches!(kind, Kind::Service(_))).collect(),
            static_routes: of(|kind| matches!(kind, Kind::Static)).next(),
            unrouted: of(|kind| matches!(kind, Kind::Unrouted)).next(),
            total: self.total.shown(),
        }
    }
}

/// A frame as JSON.
#[derive(Serialize)]
pub(super) struct FrameShown {
    seconds: f64,
    uptime_s: f64,
    services: Vec<RowShown>,
    #[serde(rename = "static")]
    static_routes: Option<RowShown>,
    unrouted: Option<RowShown>,
    total: RowShown,
}

/// A line of it.
#[derive(Serialize)]
struct RowShown {
    #[serde(flatten)]
    service: Option<ServiceShown>,
    #[serde(flatten)]
    instances: Option<InstancesShown>,
    requests_per_s: f64,
    errors_per_s: f64,
    refused_per_s: f64,
    p50_ms: Option<f64>,
    p99_ms: Option<f64>,
    so_far: SoFar,
}

#[derive(Serialize)]
struct ServiceShown {
    service: String,
    status: Option<Status>,
    uptime_share: Option<f64>,
}

#[derive(Serialize)]
struct InstancesShown {
    instances_up: u64,
    instances: u64,
    in_flight: u64,
}

#[derive(Serialize)]
struct SoFar {
    requests: u64,
    errors: u64,
    refused: u64,
}

impl Row {
    pub(super) fn name(&self) -> &str {
        match &self.kind {
            Kind::Service(facts) => &facts.name,
            Kind::Static => "(static)",
            Kind::Unrouted => "(no route)",
            Kind::Total(_) => "TOTAL",
        }
    }

    pub(super) fn facts(&self) -> Option<&ServiceFacts> {
        match &self.kind {
            Kind::Service(facts) | Kind::Total(facts) => Some(facts),
            Kind::Static | Kind::Unrouted => None,
        }
    }

    /// Whether there ever was a request, or there is a service.
    pub(super) fn is_worth_a_line(&self) -> bool {
        self.facts().is_some() || self.so_far[0] > 0
    }

    fn shown(&self) -> RowShown {
        let service = match &self.kind {
            Kind::Service(ServiceFacts { name, status, uptime_share, .. }) => {
                Some(ServiceShown { service: name.clone(), status: status.clone(), uptime_share: *uptime_share })
            }
            Kind::Static | Kind::Unrouted | Kind::Total(_) => None,
        };
        let instances = self.facts().map(|facts| InstancesShown {
            instances_up: facts.up,
            instances: facts.instances,
            in_flight: facts.in_flight,
        });
        let [requests, errors, refused] = self.so_far;
        RowShown {
            service,
            instances,
            requests_per_s: self.requests_per_s,
            errors_per_s: self.errors_per_s,
            refused_per_s: self.refused_per_s,
            p50_ms: self.p50_ms,
            p99_ms: self.p99_ms,
            so_far: SoFar { requests, errors, refused },
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// Bucket 0 is 0 to 1 ms, 1 is 1 to 3 ms, 2 is 3 ms and more.
    fn stats(started_ms: i64, uptime_ms: u64, services: &[Value]) -> Stats {
        let stats = json!({
            "epoch": "e", "generation": 1, "status_classes": [], "started_ms": started_ms, "uptime_ms": uptime_ms, "latency_begins_us": [0, 1_000, 3_000],
            "services": services, "static": {}, "unrouted": {"requests": [0, 0, 0, 0, 3, 0], "refused": 3, "latency": [[0, 3]]},
        });
        serde_json::from_value(stats).unwrap()
    }

    fn service(name: &str, registered_ms: i64, ok: u64, errors: u64, slow: u64) -> Value {
        json!({
            "service": name, "status": "UP", "registered_ms": registered_ms, "instances": [1, 2], "in_flight": 4,
            "uptime_share": 0.5, "requests": [0, 0, ok, 0, 0, errors], "errors": errors, "refused": 0,
            "latency": [[1, ok + errors - slow], [2, slow]],
        })
    }

    fn row<'a>(frame: &'a Frame, name: &str) -> &'a Row {
        frame.rows.iter().find(|row| row.name() == name).unwrap()
    }

    #[test]
    fn rates_and_percentiles_are_those_of_the_interval() {
        let before = stats(1, 10_000, &[service("a", 5, 1_000, 0, 1_000), service("b", 5, 0, 0, 0)]);
        let now = stats(1, 12_000, &[service("a", 5, 1_100, 100, 1_002), service("b", 5, 400, 0, 0)]);
        let frame = Frame::between(&before, &now);
        let a = row(&frame, "a");
        assert_eq!((a.requests_per_s, a.errors_per_s), (100.0, 50.0));
        assert_eq!((a.p50_ms, a.p99_ms), (Some(2.0), Some(2.0)), "the slow ones were before");
        assert_eq!(frame.rows.iter().map(Row::name).collect::<Vec<_>>(), ["b", "a", "(no route)", "(static)"]);
        assert_eq!((frame.total.requests_per_s, frame.total.errors_per_s), (300.0, 50.0));
        let Kind::Total(all) = &frame.total.kind else { panic!("{:?}", frame.total.kind) };
        assert_eq!((all.up, all.instances, all.in_flight), (2, 4, 8));
        assert_eq!(row(&frame, "(no route)").requests_per_s, 0.0, "nothing new");
        assert_eq!(
            serde_json::to_value(frame.shown()).unwrap()["services"][1]["so_far"],
            json!({"requests": 1_200, "errors": 100, "refused": 0})
        );
    }

    #[test]
    fn counts_that_begin_anew_are_no_negative_rate() {
        let before = stats(1, 10_000, &[service("a", 5, 1_000, 0, 0), service("b", 5, 50, 0, 0)]);
        // One registered again, and has already more than the other one had.
        let now = stats(1, 11_000, &[service("a", 10_500, 30, 0, 0), service("b", 10_500, 60, 0, 0)]);
        let frame = Frame::between(&before, &now);
        assert_eq!((row(&frame, "a").requests_per_s, row(&frame, "b").requests_per_s), (30.0, 60.0));
        // furt started again: what it shows is of the 4 s since.
        let now = stats(2, 4_000, &[service("a", 5, 40, 0, 0)]);
        let frame = Frame::between(&before, &now);
        assert_eq!((frame.seconds, row(&frame, "a").requests_per_s), (4.0, 10.0));
        // What never should be: a count that fell, and a time that stood.
        let less = stats(1, 10_000, &[service("b", 5, 10, 0, 0)]);
        let frame = Frame::between(&before, &less);
        assert_eq!(row(&frame, "b").requests_per_s, 0.0);
    }

    #[test]
    fn what_another_program_answers_is_not_believed() {
        let mut wrong = stats(1, 1, &[service("a", 5, 1, 0, 0)]);
        assert!(is_sound(&wrong));
        wrong.services[0].traffic.counts.as_mut().unwrap().latency.push((usize::MAX, 1));
        assert!(!is_sound(&wrong));
        assert!(serde_json::from_value::<Stats>(json!({"services": []})).is_err());
        let many = Stats { latency_begins_us: vec![0; MAX_BUCKETS + 1], ..stats(1, 1, &[]) };
        assert!(!is_sound(&many));
    }

    #[test]
    fn an_idle_service_is_a_line_without_times() {
        let idle = json!({
            "service": "a", "status": "DOWN", "registered_ms": 1, "instances": [0, 1], "in_flight": 0, "uptime_share": 0.0,
        });
        let (before, now) = (stats(1, 1_000, std::slice::from_ref(&idle)), stats(1, 2_000, &[idle]));
        let frame = Frame::between(&before, &now);
        let a = row(&frame, "a");
        assert_eq!((a.requests_per_s, a.p50_ms, a.p99_ms), (0.0, None, None));
        assert!(a.is_worth_a_line() && !row(&frame, "(static)").is_worth_a_line());
    }
}
