//! A fleet of 10,000 instances with a TTL: heartbeats through the driver, what their expiry costs the core, and what it
//! costs the core that they come, are found UP, and fall silent.
//!
//! All are of one service, which is the worst case for everything that looks at a service's instances. Figures and budgets
//! are in `README.md` beside this file. Run by `cargo bench -p furt-benches --bench heartbeats`.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a bench may panic, and speaks to whoever runs it")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion, Throughput};
use furt::clock;
use furt::driver::{Driver, StoreThread};
use furt::telemetry::Telemetry;
use furt_core::MemoryStore;
use furt_core::model::{CidrSet, Definition, Epoch, Host, InstanceId, InstanceSpec, ServiceName, UpstreamUrl};
use furt_core::ports::Probes;
use furt_core::registry::{DnsSubject, FirstProbe, NameWatch, ProbePlan, ProbeToken, ProbedHost};
use furt_core::registry::{
    Effect, Event, HealthLimits, InstanceRef, Now, Registration, RegistrationKind, RegistrationPolicy, Registry,
    ReplyId, Revision, Settings, Sharing, Source, UnlistedRule,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const FLEET: usize = 10_000;
/// Instances that speak at the same time: as many as have a heartbeat on its way.
const CALLERS: [u64; 2] = [16, 256];
const TTL: Duration = Duration::from_secs(10);
const BEAT: Duration = Duration::from_secs(5);

struct Unprobed;

impl Probes for Unprobed {
    fn probe(&mut self, _instance: InstanceRef, _plan: ProbePlan) {}
    fn stop(&mut self, _instance: &InstanceRef) {}
    fn watch_name(&mut self, _subject: DnsSubject, _order: NameWatch) {}
    fn unwatch_name(&mut self, _subject: &DnsSubject) {}
}

fn settings() -> Settings {
    Settings {
        policy: RegistrationPolicy {
            grants: Default::default(),
            unlisted: UnlistedRule::Allow,
            upstreams: CidrSet::try_new(&["127.0.0.0/8"]).unwrap(),
            static_routes: Vec::new(),
            apps_domain: Host::try_new("internal").unwrap(),
        },
        health: HealthLimits {
            interval: Duration::from_secs(30),
            interval_down: Duration::from_secs(120),
            failures_to_down: 3,
            failures_to_stop: 10,
            startup_time: Duration::from_secs(60),
            min_interval: Duration::from_secs(1),
        },
        heartbeat_ttl: TTL,
        sharing: Sharing::Exclusive,
        outage_hold: Duration::from_secs(300),
        shares_limits: false,
        rules: Arc::default(),
    }
}

fn local() -> Source {
    Source { address: [127, 0, 0, 1].into(), operator: None, token: None, certificate: None }
}

fn member(number: usize) -> InstanceRef {
    InstanceRef { service: ServiceName::try_new("fleet").unwrap(), id: InstanceId::numbered("i", number) }
}

fn registration(number: usize) -> Registration {
    let InstanceRef { service, id } = member(number);
    let url = UpstreamUrl::try_new(&format!("http://127.0.{}.{}:9000", number / 250, number % 250 + 1)).unwrap();
    Registration {
        kind: RegistrationKind::Full,
        addresses: Arc::new([url.socket_address().unwrap()]),
        instance: InstanceSpec { heartbeat_ttl: Some(TTL), ..InstanceSpec::new(id, url) },
        definition: Definition::new(service),
        source: local(),
    }
}

/// A core whose store answers at once, and the orders to probe that hold.
struct Core {
    registry: Registry,
    orders: Vec<(InstanceRef, ProbeToken)>,
    now: Now,
}

impl Core {
    fn new() -> Self {
        let now = furt::driver::now();
        let (registry, _) = Registry::new(Epoch(uuid::Uuid::nil()), settings(), Vec::new(), Vec::new(), now);
        Self { registry, orders: Vec::new(), now }
    }

    fn with_fleet(count: usize) -> Self {
        let mut core = Self::new();
        core.join(0..count);
        core
    }

    fn handle(&mut self, event: Event) {
        let mut writes = Vec::new();
        for effect in self.registry.handle(event, self.now) {
            match effect {
                Effect::Write(write, _) => writes.push(write),
                Effect::Probe(instance, plan) if plan.first == FirstProbe::Now => {
                    self.orders.push((instance, plan.token));
                }
                _ => {}
            }
        }
        writes.into_iter().for_each(|write| self.handle(Event::WriteDone(write, Revision::default())));
    }

    fn join(&mut self, numbers: std::ops::Range<usize>) {
        for number in numbers {
            self.handle(Event::RegistrationRequested(Box::new(registration(number)), ReplyId(0)));
        }
    }

    fn found_up(&mut self) {
        for (instance, token) in std::mem::take(&mut self.orders) {
            let (host, took) = (ProbedHost::Own, Duration::from_millis(1));
            self.handle(Event::ProbeFinished { instance, token, outcome: Ok(()), host, took });
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.at += time;
        self.now.unix_ms += time.as_millis() as i64;
    }
}

/// What a fleet's coming and going costs altogether, without what is published meanwhile.
fn come_and_go(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one service's instances, without publishing");
    group.sample_size(10);
    for count in [1_000, FLEET] {
        group.throughput(Throughput::Elements(count as u64));
        group.bench_function(BenchmarkId::new("register", count), |bencher| {
            bencher.iter_batched_ref(Core::new, |core| core.join(0..count), BatchSize::PerIteration);
        });
        group.bench_function(BenchmarkId::new("are found UP", count), |bencher| {
            bencher.iter_batched_ref(|| Core::with_fleet(count), Core::found_up, BatchSize::PerIteration);
        });
        let silent = || {
            let mut core = Core::with_fleet(count);
            core.pass(TTL);
            core
        };
        group.bench_function(BenchmarkId::new("expire", count), |bencher| {
            bencher.iter_batched_ref(silent, |core| core.handle(Event::DeadlineReached), BatchSize::PerIteration);
        });
    }
    group.finish();
}

/// What a change of one instance costs until requests see it.
fn publish(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one instance registers anew, published");
    for count in [10, 1_000, FLEET] {
        let mut core = Core::with_fleet(count);
        let mut weight = 0_u8;
        group.bench_function(BenchmarkId::new("of", count), |bencher| {
            bencher.iter(|| {
                weight = weight % 250 + 1;
                let mut command = registration(count / 2);
                command.instance.weight = weight;
                core.handle(Event::RegistrationRequested(Box::new(command), ReplyId(0)));
                core.orders.clear();
                core.registry.take_snapshot()
            });
        });
    }
    group.finish();
}

/// A second of 10,000 that beat every 5 s: what the beats cost the core, and what looking after their TTLs does.
fn expiry(criterion: &mut Criterion) {
    let mut core = Core::with_fleet(FLEET);
    core.registry.take_snapshot();
    let (mut next, mut looked, mut seconds) = (0, Duration::ZERO, 0_u32);
    // Each beats at its own time; whatever is due is looked at as soon as it is, as the driver does.
    let step = BEAT / FLEET as u32;
    let mut group = criterion.benchmark_group("a second of 10,000 that beat every 5 s");
    group.bench_function("beats and deadlines", |bencher| {
        bencher.iter(|| {
            for _ in 0..FLEET / 5 {
                core.pass(step);
                core.handle(Event::HeartbeatReceived(member(next), None, local(), ReplyId(0)));
                next = (next + 1) % FLEET;
                if core.registry.next_deadline().is_some_and(|due| due <= core.now.at) {
                    let began = clock::now();
                    core.handle(Event::DeadlineReached);
                    looked += began.elapsed();
                }
            }
            seconds += 1;
        });
    });
    group.finish();
    assert!(core.registry.take_snapshot().is_none(), "nothing changes, and nothing is to be published");
    eprintln!("deadlines of a second: {:?} of it", looked / seconds.max(1));
}

/// Through the queue, the turn, and back to who asked.
fn through_the_driver(criterion: &mut Criterion) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let epoch = Epoch(uuid::Uuid::nil());
    let (registry, effects) = Registry::new(epoch, settings(), Vec::new(), Vec::new(), furt::driver::now());
    let telemetry = Telemetry::try_new().unwrap();
    let (metrics, events) = (Arc::clone(&telemetry.registry), Arc::clone(&telemetry.events));
    let (driver, handle, snapshots) = Driver::new(
        registry,
        effects,
        Default::default(),
        StoreThread::start(Box::new(MemoryStore::default())),
        metrics,
        events,
    );
    runtime.spawn(driver.run(Unprobed));
    runtime.block_on(async {
        let all = (0..FLEET).map(|number| {
            let handle = handle.clone();
            tokio::spawn(async move {
                handle.ask(move |reply| Event::RegistrationRequested(Box::new(registration(number)), reply)).await
            })
        });
        for registered in all.collect::<Vec<_>>() {
            assert!(registered.await.unwrap().unwrap().is_ok());
        }
    });
    let before = snapshots.load().generation;
    let all: Arc<[InstanceRef]> = (0..FLEET).map(member).collect();
    let mut group = criterion.benchmark_group("heartbeats through the driver");
    group.throughput(Throughput::Elements(1));
    for callers in CALLERS {
        group.bench_function(BenchmarkId::new("callers at once", callers), |bencher| {
            bencher.iter_custom(|beats| {
                let next = Arc::new(AtomicU64::new(0));
                let began = clock::now();
                runtime.block_on(async {
                    let calls = (0..callers).map(|_| {
                        let (handle, next, all) = (handle.clone(), Arc::clone(&next), Arc::clone(&all));
                        tokio::spawn(async move {
                            loop {
                                let number = next.fetch_add(1, Ordering::Relaxed);
                                if number >= beats {
                                    return;
                                }
                                let whom = all[number as usize % FLEET].clone();
                                let heard =
                                    handle.ask(move |reply| Event::HeartbeatReceived(whom, None, local(), reply));
                                assert!(heard.await.unwrap().is_ok());
                            }
                        })
                    });
                    for asked in calls.collect::<Vec<_>>() {
                        asked.await.unwrap();
                    }
                });
                began.elapsed()
            });
        });
    }
    group.finish();
    assert_eq!(snapshots.load().generation, before, "heartbeats publish nothing");
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    through_the_driver(&mut criterion);
    expiry(&mut criterion);
    publish(&mut criterion);
    come_and_go(&mut criterion);
    criterion.final_summary();
}
