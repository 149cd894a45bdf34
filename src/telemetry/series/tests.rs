//! The bound on lines, that nothing moves, and what of a service and a route is left when it is gone.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use prometheus::TextEncoder;

use super::budget::MAX_SERIES;
use super::*;
use furt_core::live::{Outcome, Verdict};

fn name(text: &str) -> ServiceName {
    ServiceName::try_new(text).unwrap()
}

fn key(service: &str, path: &str) -> RouteKey {
    let service = (service != "static").then(|| name(service));
    RouteKey { service, pattern: Pattern::try_new(path).unwrap() }
}

fn sample(service: &str, events: &Arc<ServiceEvents>) -> ServiceSample {
    ServiceSample {
        name: name(service),
        events: Arc::clone(events),
        is_up: true,
        uptime_ratio: 0.5,
        in_flight: 2,
        instances: [1, 0, 3],
        sides: Vec::new(),
    }
}

fn count(traffic: &RouteTraffic, status: u16) {
    traffic.count(Outcome { status, verdict: Verdict::Answered, took: Duration::from_millis(3) });
}

/// Lines with a service or a route, by their name and labels.
fn lines(
    series: &Series,
    services: Vec<ServiceSample>,
    has_route: impl Fn(&RouteKey, CounterUse) -> bool,
) -> BTreeMap<String, f64> {
    let text = TextEncoder::new().encode_to_string(&series.gather(|| ScrapeView { services, has_route })).unwrap();
    let mut lines = BTreeMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#') && line.contains("service=\"")) {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(lines.insert(series.to_owned(), value.parse().unwrap()).is_none(), "twice: {line}");
    }
    lines
}

fn all(_: &RouteKey, _: CounterUse) -> bool {
    true
}

#[test]
fn sides_of_splits_keep_the_bound_and_lose_no_count() {
    let series = Series::default();
    let events = Arc::new(ServiceEvents::default());
    let traffic = Arc::new(RouteTraffic::default());
    count(&traffic, 200);
    let names = ["1", "2", "3", "4", "5", "6", "7", "8", "stable"];
    let sides: Vec<_> = names.map(|version| (Arc::from(version), Arc::clone(&traffic))).into();
    let with_sides = |number| ServiceSample { sides: sides.clone(), ..sample(&format!("s{number:04}"), &events) };
    let now = lines(&series, (0..500).map(with_sides).collect(), all);
    // What is guaranteed to routes and probes stays free for them.
    assert!((MAX_SERIES * 2 / 3..=MAX_SERIES).contains(&now.len()), "{}", now.len());
    let counted = now.iter().filter(|(line, _)| line.starts_with("furt_split_requests_total"));
    assert_eq!(counted.map(|(_, count)| count).sum::<f64>(), f64::from(500 * 9));
}

#[test]
fn a_hundred_thousand_routes_of_ten_thousand_services_keep_the_bound_and_lose_no_count() {
    let series = Series::default();
    let events: Vec<_> = (0..10_000).map(|_| Arc::new(ServiceEvents::default())).collect();
    let services = || -> Vec<_> {
        let services = events.iter().enumerate();
        services
            .map(|(number, events)| {
                events.count_transition();
                events.count_probe::<(), ()>(&Ok(()), Duration::from_millis(1));
                sample(&format!("s{number:05}"), events)
            })
            .collect()
    };
    let mut before: BTreeMap<String, f64> = BTreeMap::new();
    for round in 1..=3_u32 {
        for number in 0..100_000 / 3 * round {
            count(&series.route(&key(&format!("s{:05}", number % 10_000), &format!("/r{number}/*"))), 200);
        }
        let now = lines(&series, services(), all);
        // What is guaranteed to routes and probes stays free for them.
        assert!((MAX_SERIES * 2 / 3..=MAX_SERIES).contains(&now.len()), "{}", now.len());
        let sum =
            |start: &str| now.iter().filter(|(line, _)| line.starts_with(start)).map(|(_, value)| value).sum::<f64>();
        assert_eq!(sum("furt_route_requests_total"), f64::from(100_000 / 3 * round * (round + 1) / 2));
        assert_eq!(sum("furt_route_request_duration_seconds_count"), f64::from(100_000 / 3 * round * (round + 1) / 2));
        assert_eq!(sum("furt_service_transitions_total"), f64::from(10_000 * round));
        assert_eq!(sum("furt_probe_duration_seconds_count"), f64::from(10_000 * round));
        assert_eq!(sum("furt_service_instances"), 40_000.0);
        assert_eq!(
            sum("furt_service_up{"),
            now.keys().filter(|line| line.starts_with("furt_service_up{")).count() as f64
        );
        // The lines are those of before, and no counter fell.
        assert!(round == 1 || before.keys().eq(now.keys()), "a series moved");
        for (line, value) in before.iter().filter(|(line, _)| line.contains("_total") || line.contains("_count")) {
            assert!(now[line] >= *value, "{line} fell");
        }
        before = now;
    }
}

#[test]
fn what_left_other_stays_in_its_sum() {
    let series = Series::default();
    let path = |number: usize| format!("/r{number}");
    for number in 0..1_000 {
        count(&series.route(&key("a", &path(number))), 200);
    }
    let other = "furt_route_requests_total{service=\"other\",route=\"other\",status=\"2xx\"}";
    let before = lines(&series, Vec::new(), all)[other];
    assert!(before > 0.0);
    let left = lines(&series, Vec::new(), |_, _| false);
    assert_eq!(left[other], before);
    assert!(left.keys().all(|line| line.contains("\"other\"")), "{left:?}");
}

#[test]
fn a_route_that_is_gone_loses_its_lines_and_counts_on_when_it_comes_back() {
    let series = Series::default();
    let line = "furt_route_requests_total{service=\"a\",route=\"/x\",status=\"2xx\"}";
    let old = series.route(&key("a", "/x"));
    count(&old, 200);
    assert_eq!(lines(&series, Vec::new(), all)[line], 1.0);
    assert_eq!(lines(&series, Vec::new(), |_, _| false).get(line), None);
    // A request that took the route before and ends after is counted too.
    count(&old, 200);
    count(&series.route(&key("a", "/x")), 200);
    assert_eq!(lines(&series, Vec::new(), all)[line], 3.0);
}

#[test]
fn a_service_that_registers_again_counts_on() {
    let series = Series::default();
    let line = "furt_service_transitions_total{service=\"a\"}";
    let (first, second, third) =
        (Arc::<ServiceEvents>::default(), Arc::<ServiceEvents>::default(), Arc::<ServiceEvents>::default());
    first.count_transition();
    assert_eq!(lines(&series, vec![sample("a", &first)], all)[line], 1.0);
    first.count_transition();
    // Between two readings.
    second.count_transition();
    assert_eq!(lines(&series, vec![sample("a", &second)], all)[line], 3.0);
    // Away in a reading.
    assert_eq!(lines(&series, Vec::new(), all).get(line), None);
    assert_eq!(lines(&series, vec![sample("a", &third)], all)[line], 3.0);
    third.count_transition();
    assert_eq!(lines(&series, vec![sample("a", &third)], all)[line], 4.0);
}

#[test]
fn services_named_like_furts_own_words_keep_their_own_lines() {
    let series = Series::default();
    for (service, status) in [(None, 200), (Some("static"), 500), (Some("other"), 200)] {
        count(&series.route(&RouteKey { service: service.map(name), ..key("a", "/x") }), status);
    }
    let events = Arc::default();
    let now = lines(&series, vec![sample("other", &events), sample("static", &events)], all);
    let services: BTreeSet<_> =
        now.keys().filter_map(|line| line.split("service=\"").nth(1)?.split('"').next()).collect();
    assert_eq!(services, BTreeSet::from(["other_", "static", "static_"]));
    assert_eq!(now["furt_route_requests_total{service=\"static_\",route=\"/x\",status=\"5xx\"}"], 1.0);
    assert_eq!(now["furt_route_requests_total{service=\"static\",route=\"/x\",status=\"2xx\"}"], 1.0);
}

#[test]
fn a_pattern_cannot_break_out_of_its_label() {
    let series = Series::default();
    // A pattern may hold what a url's path may; nothing of it ends a label or a line.
    let sharp = "/a\"b{c}=,d";
    count(&series.route(&key("static", sharp)), 200);
    let now = lines(&series, Vec::new(), all);
    let line = "furt_route_requests_total{service=\"static\",route=\"/a\\\"b{c}=,d\",status=\"2xx\"}";
    assert_eq!(now.get(line), Some(&1.0), "{now:?}");
}

#[test]
fn without_readings_routes_that_nothing_holds_are_forgotten() {
    let series = Series::default();
    // With lines of their own taken, what follows is under `other`.
    (0..1_000).for_each(|number| _ = series.route(&key("a", &format!("/first{number}"))));
    let held = series.route(&key("a", "/held"));
    for number in 0..3 * MIN_SWEEP {
        series.route(&key("a", &format!("/r{number}")));
    }
    let state = series.lock();
    assert!(state.routes.len() <= MIN_SWEEP, "{}", state.routes.len());
    drop(state);
    count(&held, 200);
    assert_eq!(
        lines(&series, Vec::new(), all)["furt_route_requests_total{service=\"other\",route=\"other\",status=\"2xx\"}"],
        1.0
    );
}

#[test]
fn histograms_are_cumulative_and_in_seconds() {
    let series = Series::default();
    let route = series.route(&key("a", "/x"));
    count(&route, 200);
    route.count(Outcome { status: 200, verdict: Verdict::Answered, took: Duration::from_secs(3) });
    let now = lines(&series, Vec::new(), all);
    let of = |rest: &str| now[&format!("furt_route_request_duration_seconds{rest}")];
    for (bound, count) in [("0.005", 1.0), ("0.025", 1.0), ("2.5", 1.0), ("+Inf", 2.0)] {
        assert_eq!(of(&format!("_bucket{{service=\"a\",route=\"/x\",le=\"{bound}\"}}")), count, "{bound}");
    }
    assert_eq!(of("_count{service=\"a\",route=\"/x\"}"), 2.0);
    assert!((of("_sum{service=\"a\",route=\"/x\"}") - 3.003).abs() < 1e-9);
}
