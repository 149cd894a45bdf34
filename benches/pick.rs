//! Choosing among 10, 100 and 1,000 instances by each policy, and what a set of instances costs when it is looked at first.
//!
//! The instances differ in weight and load and lie in four regions; the client is in one of them. Each pick has other random
//! bits and another key, and gives its place back. That none of them allocates is checked before it is measured. Figures and
//! budgets are in `README.md` beside this file. Run by `cargo bench -p furt-benches --bench pick`.
#![allow(clippy::unwrap_used, reason = "a bench may panic")]

use std::alloc::System;
use std::sync::Arc;

use criterion::{BatchSize, BenchmarkId, Criterion};
use furt_core::model::{
    Country, Definition, InstanceId, InstanceSpec, LoadBalancingPolicy, Region, ServiceName, Status, UpstreamUrl,
};
use furt_core::routing::{
    Instance, InstanceLive, Lease, Outcome, PoolGroup, SelectionInput, Service, ServiceKind, hash,
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region as Counting, StatsAlloc};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const SIZES: [usize; 3] = [10, 100, 1_000];
const PLACES: [(&str, &str); 4] = [("eu", "DE"), ("eu", "FR"), ("us", "US"), ("ap", "JP")];
const POLICIES: [(&str, LoadBalancingPolicy); 5] = [
    ("edge", LoadBalancingPolicy::Edge),
    ("round_robin", LoadBalancingPolicy::RoundRobin),
    ("least_conn", LoadBalancingPolicy::LeastConn),
    ("hash", LoadBalancingPolicy::Hash),
    ("sticky", LoadBalancingPolicy::Sticky),
];

/// A service of so many instances, and the places that are taken at them.
struct Fleet {
    service: Service,
    held: Vec<Lease>,
}

fn instance(number: usize) -> Arc<Instance> {
    let url = UpstreamUrl::try_new("http://127.0.0.1:9000").unwrap();
    let (region, country) = PLACES[number % PLACES.len()];
    let spec = InstanceSpec {
        weight: (number % 3 + 1) as u8,
        soft_limit: 100,
        hard_limit: 150,
        region: Region::try_new(region).ok(),
        country: Country::try_new(country).ok(),
        ..InstanceSpec::new(InstanceId::numbered("i", number), url.clone())
    };
    Arc::new(Instance {
        addresses: Arc::from([url.socket_address().unwrap()]),
        soft_limit: spec.soft_limit,
        hard_limit: spec.hard_limit,
        spec: Arc::new(spec),
        status: Status::Up,
        pool_group: PoolGroup::default(),
        live: Arc::new(InstanceLive::default()),
    })
}

fn service(policy: LoadBalancingPolicy, instances: &[Arc<Instance>]) -> Service {
    Service::new(
        Arc::new(Definition { policy, ..Definition::new(ServiceName::try_new("shop").unwrap()) }),
        ServiceKind::Registered,
        Status::Up,
        instances.into(),
    )
}

fn instances(count: usize) -> Vec<Arc<Instance>> {
    let mut all: Vec<_> = (0..count).map(instance).collect();
    all.sort_by(|one, other| one.spec.id.cmp(&other.spec.id));
    all
}

impl Fleet {
    /// Each instance has up to `most` requests in flight.
    fn new(policy: LoadBalancingPolicy, count: usize, most: u32) -> Self {
        let service = service(policy, &instances(count));
        let mut rng = fastrand::Rng::with_seed(1);
        let places = service.instances.iter().flat_map(|one| (0..rng.u32(..=most)).map(|_| one.spec.id.clone()));
        // A place at one of them is had by preferring it.
        let taken = |id: InstanceId| {
            service.pick(&SelectionInput { preferred: Some(&id), ..SelectionInput::default() }, |_| false)
        };
        let held = places.collect::<Vec<_>>().into_iter().map(|id| taken(id).unwrap()).collect();
        Self { service, held }
    }

    /// Every one has as many requests in flight as that.
    fn filled(policy: LoadBalancingPolicy, count: usize, each: u32) -> Self {
        let mut fleet = Self::new(policy, count, 0);
        for _ in 0..each {
            for one in &fleet.service.instances {
                let input = SelectionInput { preferred: Some(&one.spec.id), ..SelectionInput::default() };
                fleet.held.push(fleet.service.pick(&input, |_| false).unwrap());
            }
        }
        fleet
    }

    /// Every other one is ejected.
    fn half_ejected(self) -> Self {
        for one in self.service.instances.iter().step_by(2) {
            (0..5).for_each(|_| _ = self.service.note_outcome(one, Outcome::Bad, 0));
        }
        self
    }
}

/// Requests of one client, one after the other: as many different ones as that.
const REQUESTS: usize = 4096;

struct Requests {
    /// Keys and random bits; made before, so that they are not in the figures.
    bits: Vec<(u64, u64)>,
    next: usize,
    region: Region,
    preferred: Option<InstanceId>,
}

impl Requests {
    fn to(fleet: &Fleet) -> Self {
        let mut rng = fastrand::Rng::with_seed(2);
        let is_sticky = fleet.service.definition.policy == LoadBalancingPolicy::Sticky;
        Self {
            bits: (0..REQUESTS).map(|_| (hash(&rng.u32(..).to_le_bytes()), rng.u64(..))).collect(),
            next: 0,
            region: Region::try_new("eu").unwrap(),
            preferred: is_sticky.then(|| fleet.service.instances[0].spec.id.clone()),
        }
    }

    fn next(&mut self) -> SelectionInput<'_> {
        self.next = (self.next + 1) % REQUESTS;
        let (key, random) = self.bits[self.next];
        SelectionInput {
            country: Country::try_new("DE").ok(),
            region: Some(&self.region),
            gateway_region: Some(&self.region),
            preferred: self.preferred.as_ref(),
            key,
            random,
            now_ms: 1,
        }
    }
}

fn pick(criterion: &mut Criterion, name: &str, size: usize, fleet: &Fleet) {
    let mut requests = Requests::to(fleet);
    let mut once = || fleet.service.pick(&requests.next(), |_| false).is_ok();
    // The first one makes what is kept for the set of instances.
    once();
    let counting = Counting::new(&INSTRUMENTED_SYSTEM);
    (0..1_000).for_each(|_| _ = once());
    let counted = counting.change();
    assert_eq!((counted.allocations, counted.reallocations), (0, 0), "{name} of {size} allocates");
    let mut group = criterion.benchmark_group("pick");
    group.bench_function(BenchmarkId::new(name, size), |bencher| bencher.iter(&mut once));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    for (name, policy) in POLICIES {
        for size in SIZES {
            pick(&mut criterion, name, size, &Fleet::new(policy, size, 40));
        }
    }
    for size in SIZES {
        pick(
            &mut criterion,
            "edge, half ejected",
            size,
            &Fleet::new(LoadBalancingPolicy::Edge, size, 40).half_ejected(),
        );
        pick(&mut criterion, "edge, all at the soft limit", size, &Fleet::filled(LoadBalancingPolicy::Edge, size, 100));
        pick(&mut criterion, "edge, all at the hard limit", size, &Fleet::filled(LoadBalancingPolicy::Edge, size, 150));
    }
    let mut group = criterion.benchmark_group("first pick of a new set");
    for (name, policy) in [("edge", LoadBalancingPolicy::Edge), ("hash", LoadBalancingPolicy::Hash)] {
        for size in SIZES {
            let all = instances(size);
            group.bench_function(BenchmarkId::new(name, size), |bencher| {
                bencher.iter_batched(
                    || service(policy, &all),
                    |service| {
                        let is_picked = service.pick(&SelectionInput::default(), |_| false).is_ok();
                        // Taking it apart is not what a request pays.
                        (is_picked, service)
                    },
                    BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
