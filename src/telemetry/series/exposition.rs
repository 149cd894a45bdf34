//! The series as Prometheus' families; the `prometheus` crate writes them down and escapes their labels.
//!
//! Labels cannot be confused: the words `static` and `other` are furt's, a service of that name is shown with a `_` after
//! it, which no service's name ends in. Histograms are shown in seconds.

use std::borrow::Cow;

use prometheus::proto::{Bucket, Counter, Gauge, Histogram, LabelPair, Metric, MetricFamily, MetricType};

use super::slots::Samples;
use super::{RouteKey, ServiceSample, SideKey};
use furt_core::live::{PROBE_BOUNDS_MS, PROBE_NUMBERS, ROUTE_BOUNDS_MS, ROUTE_NUMBERS, STATUS_CLASSES};
use furt_core::model::ServiceName;

/// The service and the route of what has no labels of its own.
const OTHER: &str = "other";
/// The service of static routes.
const STATIC: &str = "static";

type Labels<'a> = [(&'a str, &'a str)];

/// What was counted of services, of their probes, of routes, and of the sides of splits.
type AllSamples<'a> = (
    &'a Samples<ServiceName, 1>,
    &'a Samples<ServiceName, { 2 * PROBE_NUMBERS }>,
    &'a Samples<RouteKey, ROUTE_NUMBERS>,
    &'a Samples<SideKey, ROUTE_NUMBERS>,
);

pub(super) fn families(
    registered: &[ServiceSample],
    (services, probes, routes, sides): AllSamples<'_>,
) -> Vec<MetricFamily> {
    let mut all = of_services(registered, services);
    all.push(of_probes(probes));
    all.extend(of_routes(routes));
    all.extend(of_sides(sides));
    let left_out = [
        ("service", services.other_count),
        ("probe", probes.other_count),
        ("route", routes.other_count),
        ("version", sides.other_count),
    ];
    let left_out = left_out.map(|(kind, count)| gauge(&[("kind", kind)], count as f64));
    let help =
        "Services, services' probes, routes and versions of splits without lines of their own, summed under \"other\"";
    all.push(family("furt_series_left_out", help, MetricType::GAUGE, left_out.into()));
    // A family without lines cannot be written down.
    all.retain(|family| !family.get_metric().is_empty());
    all
}

fn of_services(registered: &[ServiceSample], services: &Samples<ServiceName, 1>) -> Vec<MetricFamily> {
    let (own, others): (Vec<_>, Vec<_>) =
        registered.iter().partition(|service| services.own.contains_key(&service.name));
    let mut transitions: Vec<_> =
        services.own.iter().map(|(name, [count])| counter(&[("service", &label(name))], *count as f64)).collect();
    let each = |value: fn(&ServiceSample) -> f64| -> Vec<Metric> {
        own.iter().map(|service| gauge(&[("service", &label(&service.name))], value(service))).collect()
    };
    let (up, uptime) = (each(|service| f64::from(u8::from(service.is_up))), each(|service| service.uptime_ratio));
    let mut in_flight = each(|service| service.in_flight as f64);
    let of = |name: &str, counts: [u64; 3]| {
        ["UP", "UNKNOWN", "DOWN"]
            .into_iter()
            .zip(counts)
            .map(|(status, count)| gauge(&[("service", name), ("status", status)], count as f64))
            .collect::<Vec<_>>()
    };
    let mut instances: Vec<_> = own.iter().flat_map(|service| of(&label(&service.name), service.instances)).collect();
    // Shares and verdicts cannot be summed: those of the others are left out.
    let [gone] = services.other;
    if !others.is_empty() || gone > 0 {
        transitions.push(counter(&[("service", OTHER)], gone as f64));
        let sum = others.iter().map(|service| service.in_flight).sum::<u64>();
        in_flight.push(gauge(&[("service", OTHER)], sum as f64));
        let sums = std::array::from_fn(|status| others.iter().map(|service| service.instances[status]).sum());
        instances.extend(of(OTHER, sums));
    }
    vec![
        family("furt_service_up", "1 while the service is UP, 0 otherwise", MetricType::GAUGE, up),
        family(
            "furt_service_uptime_ratio",
            "The share of its time since it registered, or furt started, that the service was UP",
            MetricType::GAUGE,
            uptime,
        ),
        family("furt_service_transitions_total", "Changes of the service's status", MetricType::COUNTER, transitions),
        family("furt_service_requests_in_flight", "Requests at the service's instances", MetricType::GAUGE, in_flight),
        family("furt_service_instances", "The service's instances by status", MetricType::GAUGE, instances),
    ]
}

fn of_probes(probes: &Samples<ServiceName, { 2 * PROBE_NUMBERS }>) -> MetricFamily {
    let of = |name: &str, numbers: &[u64; 2 * PROBE_NUMBERS]| {
        let (succeeded, failed) = numbers.split_at(PROBE_NUMBERS);
        [("success", succeeded), ("failure", failed)]
            .map(|(outcome, times)| histogram(&[("service", name), ("outcome", outcome)], &PROBE_BOUNDS_MS, times))
    };
    let mut metrics: Vec<_> = probes.own.iter().flat_map(|(name, numbers)| of(&label(name), numbers)).collect();
    if probes.other.iter().any(|&number| number > 0) {
        metrics.extend(of(OTHER, &probes.other));
    }
    family("furt_probe_duration_seconds", "How long probes took", MetricType::HISTOGRAM, metrics)
}

fn of_routes(routes: &Samples<RouteKey, ROUTE_NUMBERS>) -> [MetricFamily; 2] {
    let mut families = TrafficFamilies::default();
    for (key, numbers) in &routes.own {
        let service = key.service.as_ref().map_or(Cow::Borrowed(STATIC), label);
        families.add([("service", &service), ("route", key.pattern.as_str())], numbers);
    }
    if routes.other_count > 0 || routes.other.iter().any(|&number| number > 0) {
        families.add([("service", OTHER), ("route", OTHER)], &routes.other);
    }
    let (by_class, by_time) = (
        "Requests by service and route, by class of the answer's status",
        "From the request's header to the answer's end, by service and route; without upgraded connections",
    );
    [
        family("furt_route_requests_total", by_class, MetricType::COUNTER, families.requests),
        family("furt_route_request_duration_seconds", by_time, MetricType::HISTOGRAM, families.times),
    ]
}

fn of_sides(sides: &Samples<SideKey, ROUTE_NUMBERS>) -> [MetricFamily; 2] {
    let mut families = TrafficFamilies::default();
    for (key, numbers) in &sides.own {
        families.add([("service", &label(&key.service)), ("version", &key.version)], numbers);
    }
    if sides.other.iter().any(|&number| number > 0) {
        families.add([("service", OTHER), ("version", OTHER)], &sides.other);
    }
    let (by_class, by_time) = (
        "Requests of services with a split by version, by class of the answer's status",
        "From the request's header to the answer's end, of services with a split by version; without upgraded connections",
    );
    [
        family("furt_split_requests_total", by_class, MetricType::COUNTER, families.requests),
        family("furt_split_request_duration_seconds", by_time, MetricType::HISTOGRAM, families.times),
    ]
}

/// Requests by class of status, and their times.
#[derive(Default)]
struct TrafficFamilies {
    requests: Vec<Metric>,
    times: Vec<Metric>,
}

impl TrafficFamilies {
    fn add(&mut self, labels: [(&str, &str); 2], numbers: &[u64; ROUTE_NUMBERS]) {
        let (classes, durations) = numbers.split_at(STATUS_CLASSES.len());
        let [one, two] = labels;
        for (class, &count) in STATUS_CLASSES.iter().zip(classes) {
            self.requests.push(counter(&[one, two, ("status", class)], count as f64));
        }
        self.times.push(histogram(&labels, &ROUTE_BOUNDS_MS, durations));
    }
}

/// A service's name, unless it is a word of furt's.
fn label(name: &ServiceName) -> Cow<'_, str> {
    match name.as_str() {
        word @ (OTHER | STATIC) => Cow::Owned(format!("{word}_")),
        name => Cow::Borrowed(name),
    }
}

fn family(name: &str, help: &str, kind: MetricType, metrics: Vec<Metric>) -> MetricFamily {
    let mut family = MetricFamily::default();
    family.set_name(name.to_owned());
    family.set_help(help.to_owned());
    family.set_field_type(kind);
    family.set_metric(metrics);
    family
}

fn metric(labels: &Labels<'_>) -> Metric {
    let pair = |&(name, value): &(&str, &str)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.to_owned());
        pair
    };
    Metric::from_label(labels.iter().map(pair).collect())
}

fn counter(labels: &Labels<'_>, value: f64) -> Metric {
    let (mut metric, mut counter) = (metric(labels), Counter::default());
    counter.set_value(value);
    metric.set_counter(counter);
    metric
}

fn gauge(labels: &Labels<'_>, value: f64) -> Metric {
    let (mut metric, mut gauge) = (metric(labels), Gauge::default());
    gauge.set_value(value);
    metric.set_gauge(gauge);
    metric
}

/// `times` are counts by bound, those above all bounds, and the sum in µs.
fn histogram(labels: &Labels<'_>, bounds_ms: &[u64], times: &[u64]) -> Metric {
    let (mut metric, mut histogram) = (metric(labels), Histogram::default());
    let (&sum_us, counts) = times.split_last().unwrap_or((&0, &[]));
    let mut so_far = 0;
    let bucket = |(&bound_ms, &count): (&u64, &u64)| {
        so_far += count;
        let mut bucket = Bucket::default();
        bucket.set_upper_bound(bound_ms as f64 / 1e3);
        bucket.set_cumulative_count(so_far);
        bucket
    };
    histogram.set_bucket(bounds_ms.iter().zip(counts).map(bucket).collect());
    histogram.set_sample_count(counts.iter().sum());
    histogram.set_sample_sum(sum_us as f64 / 1e6);
    metric.set_histogram(histogram);
    metric
}
