//! What one registration costs the core: checked, installed, published; the store answers at once.
//!
//! A service with four routes under `/api` registers again with other routes, so that the table's size stays. Figures
//! are in `README.md` beside this file.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use criterion::{BenchmarkId, Criterion};
use furt_core::model::{
    CidrSet, Definition, Epoch, Host, InstanceId, InstanceSpec, MethodRule, Pattern, Permission, RouteSpec,
    ServiceName, UpstreamUrl,
};
use furt_core::registry::{
    Effect, Event, HealthLimits, Now, Registration, RegistrationKind, RegistrationPolicy, Registry, ReplyId, Revision,
    Settings, Sharing, Source, UnlistedRule,
};
use furt_core::routing::Snapshot;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Routes in the table; four a service.
const SIZES: [usize; 2] = [1_000, 100_000];

fn settings() -> Option<Settings> {
    Some(Settings {
        policy: RegistrationPolicy {
            grants: Default::default(),
            unlisted: UnlistedRule::Allow,
            upstreams: CidrSet::try_new(&["127.0.0.0/8"]).ok()?,
            static_routes: Vec::new(),
            apps_domain: Host::try_new("internal").ok()?,
        },
        health: HealthLimits {
            interval: Duration::from_secs(30),
            interval_down: Duration::from_secs(120),
            failures_to_down: 3,
            failures_to_stop: 10,
            startup_time: Duration::from_secs(60),
            min_interval: Duration::from_secs(1),
        },
        heartbeat_ttl: Duration::from_secs(60),
        sharing: Sharing::Exclusive,
        outage_hold: Duration::from_secs(300),
        shares_limits: false,
        rules: Arc::default(),
    })
}

/// Service `number` with routes that differ from one `revision` to the next.
fn registration(number: usize, revision: u64) -> Option<Registration> {
    let service = ServiceName::try_new(&format!("svc{number}")).ok()?;
    let permission = Permission::try_new(&format!("svc{number}:use")).ok();
    let route = |(method, path): (&str, String)| {
        Some(RouteSpec {
            method: MethodRule::try_new(method).ok()?,
            pattern: Pattern::try_new(&path).ok()?,
            permission: permission.clone(),
            options: Default::default(),
        })
    };
    let routes = [
        ("GET", format!("/api/svc{number}/r{revision}/*")),
        ("POST", format!("/api/svc{number}/r{revision}/*")),
        ("GET", format!("/api/svc{number}/*/items{revision}")),
        ("GET", format!("/api/svc{number}/fixed{revision}")),
    ];
    let address: SocketAddr = ([127, 0, 0, 1], 9000).into();
    let [_, a, b, c] = u32::try_from(number).ok()?.to_be_bytes();
    let url = format!("http://127.{a}.{b}.{c}:9000");
    Some(Registration {
        kind: RegistrationKind::Full,
        instance: InstanceSpec::new(InstanceId::from(&service), UpstreamUrl::try_new(&url).ok()?),
        definition: Definition {
            routes: routes.into_iter().map(route).collect::<Option<_>>()?,
            revision,
            ..Definition::new(service)
        },
        addresses: Arc::new([address]),
        source: Source { address: address.ip(), operator: None, token: None, certificate: None },
    })
}

/// Both events of a registration, and the snapshot published.
fn register(registry: &mut Registry, published: &ArcSwap<Snapshot>, command: Registration, now: Now) {
    let effects = registry.handle(Event::RegistrationRequested(Box::new(command), ReplyId(0)), now);
    let write = effects.iter().find_map(|effect| match effect {
        Effect::Write(write, _) => Some(*write),
        _ => None,
    });
    if let Some(write) = write {
        registry.handle(Event::WriteDone(write, Revision::default()), now);
    }
    if let Some(snapshot) = registry.take_snapshot() {
        published.store(Arc::new(snapshot));
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("register a service again and publish");
    let now = furt::driver::now();
    for routes in SIZES {
        let Some(settings) = settings() else { return };
        let services = routes / 4;
        let (mut registry, _) = Registry::new(Epoch(uuid::Uuid::nil()), settings, Vec::new(), Vec::new(), now);
        let published = ArcSwap::from_pointee(Snapshot::new(Epoch(uuid::Uuid::nil())));
        for number in 0..services {
            registration(number, 0).into_iter().for_each(|command| register(&mut registry, &published, command, now));
        }
        assert_eq!(published.load().table.len(), services * 4);
        let (mut number, mut revision) = (0, 1);
        // One service again and again: what the work costs. Services in turn: what memory beyond the caches costs too.
        for (turn, stride) in [("same", 0), ("in turn", 7919)] {
            group.bench_function(BenchmarkId::new(turn, routes), |bencher| {
                bencher.iter_batched(
                    || {
                        number = (number + stride) % services;
                        revision += 1;
                        registration(number, revision)
                    },
                    |command| command.into_iter().for_each(|command| register(&mut registry, &published, command, now)),
                    criterion::BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
