//! What counting a request costs: for its service, for its route, and the whole of it as the proxy does it.
//!
//! `alone` is one thread; `two at once` shares the counters with another one that does nothing else, which no real load
//! does: what two cores that meet at each request would pay. Then what a hundred thousand routes cost that all had requests:
//! memory, and a reading of `/metrics`. Figures are in `README.md` beside this file.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a bench may panic, and speaks to whoever runs it")]

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use criterion::Criterion;
use furt::telemetry::{CounterUse, RouteKey, ScrapeView, ServiceSample, Telemetry};
use furt_core::live::{Outcome, RouteTraffic, ServiceTraffic, Verdict};
use furt_core::model::{Pattern, ServiceName};
use furt_core::routing::RouteCounter;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const ROUTES: usize = 100_000;
const SERVICES: usize = 1_000;

#[derive(Default)]
struct Counters {
    service: OnceLock<Box<ServiceTraffic>>,
    route: RouteCounter,
}

impl Counters {
    /// As at the end of a request: both are found already.
    fn count(&self, outcome: Outcome) {
        self.service.get_or_init(Box::default).count(outcome);
        self.route.get_or_find(Arc::default).count(outcome);
    }
}

/// A request that took between 1 and 2 ms, each another time.
fn outcome(number: u64) -> Outcome {
    Outcome { status: 200, verdict: Verdict::Answered, took: Duration::from_micros(1_000 + number % 1_000) }
}

fn read(criterion: &mut Criterion) {
    let name = |number: usize| ServiceName::try_new(&format!("s{number:04}")).unwrap();
    let keys: Vec<_> = (0..ROUTES)
        .map(|number| RouteKey {
            service: Some(name(number % SERVICES)),
            pattern: Pattern::try_new(&format!("/api/r{number}/*")).unwrap(),
        })
        .collect();
    let services: Vec<_> = (0..SERVICES)
        .map(|number| ServiceSample {
            name: name(number),
            events: Arc::default(),
            is_up: true,
            uptime_ratio: 1.0,
            in_flight: 0,
            instances: [1, 0, 0],
            sides: Vec::new(),
        })
        .collect();
    let telemetry = Telemetry::try_new().unwrap();
    let before = resident_bytes();
    let held: Vec<_> = keys.iter().map(|key| telemetry.series.route(key)).collect();
    if let (Some(before), Some(after)) = (before, resident_bytes()) {
        eprintln!("{ROUTES} routes: {} bytes a route that had requests", after.saturating_sub(before) / ROUTES);
    }
    let view = || ScrapeView {
        services: services.clone(),
        has_route: |_: &RouteKey, counters| counters == CounterUse::Referenced,
    };
    let mut group = criterion.benchmark_group("read /metrics");
    group.sample_size(20);
    group.bench_function(format!("{SERVICES} services, {ROUTES} routes"), |bencher| {
        bencher.iter(|| telemetry.gather(view).map(|part| part.len()).sum::<usize>());
    });
    group.finish();
    eprintln!(
        "/metrics: {} bytes of {} routes",
        telemetry.gather(view).map(|part| part.len()).sum::<usize>(),
        held.len()
    );
}

/// What this process holds in memory, where the system tells.
fn resident_bytes() -> Option<usize> {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("count a request");
    let mut number = 0;
    let mut next = move || {
        number += 1;
        black_box(outcome(number))
    };
    let (service, route) = (ServiceTraffic::default(), RouteTraffic::default());
    group.bench_function("service", |bencher| bencher.iter(|| service.count(next())));
    group.bench_function("route", |bencher| bencher.iter(|| route.count(next())));
    let counters = Counters::default();
    group.bench_function("both, alone", |bencher| bencher.iter(|| counters.count(next())));
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut number = 0;
            while !is_over.load(Ordering::Relaxed) {
                number += 1;
                counters.count(outcome(number));
            }
        });
        group.bench_function("both, two at once", |bencher| bencher.iter(|| counters.count(next())));
        is_over.store(true, Ordering::Relaxed);
    });
    group.finish();
    read(&mut criterion);
    criterion.final_summary();
}
