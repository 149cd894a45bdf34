//! The table of routes at 1,000 and 100,000 routes under `/api`: lookups, one service's registration, memory.
//!
//! `same` asks for one path again and again, so that everything it needs is in the nearest cache: what the search
//! itself costs. `random` asks for 4,096 paths in turn: what a table costs that is larger than the cache. Figures and
//! budgets are in `README.md` beside this file. Run by `cargo bench -p furt-benches --bench table`.
#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a bench may panic, and speaks to whoever runs it")]

use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion};
use furt_core::model::{MethodRule, Pattern, Permission};
use furt_core::routing::{Found, Owner, Route, ServiceIndex, Table};
use http::Method;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [u32; 2] = [1_000, 100_000];
const ROUTES_PER_SERVICE: u32 = 4;
const PATHS: usize = 4096;

fn route(method: &str, path: &str, service: u32) -> Arc<Route> {
    Arc::new(Route {
        host: None,
        method: MethodRule::try_new(method).unwrap(),
        pattern: Pattern::try_new(path).unwrap(),
        permission: Some(Permission::try_new("svc:read").unwrap()),
        owner: Owner::Service(ServiceIndex(service)),
        rules: None,
        counter: Default::default(),
    })
}

fn service(number: u32) -> [Arc<Route>; ROUTES_PER_SERVICE as usize] {
    let base = format!("/api/svc{number}");
    [
        route("GET", &base, number),
        route("GET", &format!("{base}/res4/*"), number),
        route("POST", &format!("{base}/res4/*"), number),
        route("GET", &format!("{base}/*/items/*"), number),
    ]
}

fn table(routes: u32) -> Table {
    let mut table = Table::default();
    for number in 0..routes / ROUTES_PER_SERVICE {
        service(number).into_iter().for_each(|route| table.insert(route));
    }
    table
}

fn look_up(criterion: &mut Criterion, tables: &[(u32, Table)]) {
    type PathOf = fn(u32) -> String;
    let kinds: [(&str, PathOf); 4] = [
        ("literal", |number| format!("/api/svc{number}")),
        ("last star", |number| format!("/api/svc{number}/res4/abc")),
        ("middle star", |number| format!("/api/svc{number}/foo/items/9")),
        ("miss", |number| format!("/api/svc{number}/foo")),
    ];
    for (kind, path_of) in kinds {
        let mut group = criterion.benchmark_group(format!("find {kind}"));
        for (routes, table) in tables {
            let mut rng = fastrand::Rng::with_seed(1);
            let paths: Vec<String> = (0..PATHS).map(|_| path_of(rng.u32(..routes / ROUTES_PER_SERVICE))).collect();
            for (order, paths) in [("same", &paths[..1]), ("random", &paths[..])] {
                let mut next = paths.iter().cycle();
                group.bench_function(BenchmarkId::new(order, routes), |bencher| {
                    bencher.iter(|| {
                        let path = next.next().map_or("", String::as_str);
                        // The owner is read, as the proxy does, so that a hit has touched its route.
                        match table.find("gateway.example", path, &Method::GET, |_| true) {
                            Found::Route(route) => Some(route.owner),
                            Found::Unusable(_) | Found::WrongMethod(_) | Found::Nothing => None,
                        }
                    });
                });
            }
        }
        group.finish();
    }
}

fn register(criterion: &mut Criterion, tables: &[(u32, Table)]) {
    let mut group = criterion.benchmark_group("register 4 routes");
    for (routes, table) in tables {
        let mut rng = fastrand::Rng::with_seed(2);
        let services = routes / ROUTES_PER_SERVICE;
        let new: Vec<_> = (0..PATHS as u32).map(|number| service(1_000_000 + number)).collect();
        let mut next = new.iter().cycle();
        group.bench_function(BenchmarkId::new("new service, clone dropped", routes), |bencher| {
            bencher.iter(|| {
                let mut changed = table.clone();
                next.next().into_iter().flatten().for_each(|route| changed.insert(Arc::clone(route)));
                black_box(changed)
            });
        });
        let known: Vec<_> = (0..PATHS).map(|_| service(rng.u32(..services))).collect();
        let mut next = known.iter().cycle();
        let mut published = table.clone();
        group.bench_function(BenchmarkId::new("known service, clone published", routes), |bencher| {
            bencher.iter(|| {
                let mut changed = published.clone();
                next.next().into_iter().flatten().for_each(|route| changed.insert(Arc::clone(route)));
                published = changed;
            });
        });
    }
    group.finish();
}

/// The worst that patterns can do: every one of 16 segments with at most four `*` before the last, all matching one
/// path up to a last segment that no request has. It takes eight services to register them.
fn walk_back(criterion: &mut Criterion) {
    let mut table = Table::default();
    for number in (0..1_u32 << 15).filter(|number| number.count_ones() <= 4) {
        let segment = |bit: u32| if number >> bit & 1 == 1 { "/*" } else { "/a" };
        let pattern: String = (0..15).map(segment).chain(["/z"]).collect();
        table.insert(route("GET", &pattern, 0));
    }
    let paths = [
        ("every node visited", "/a".repeat(16)),
        ("a segment of 8 KB halfway", format!("{}/{}/a", "/a".repeat(8), "b".repeat(8192))),
    ];
    for (name, path) in paths {
        criterion.bench_function(&format!("find among 1,941 hostile patterns, {name}"), |bencher| {
            bencher.iter(|| matches!(table.find("gateway.example", &path, &Method::GET, |_| true), Found::Nothing));
        });
    }
}

/// What this process holds in memory, where the system tells.
fn resident_bytes() -> Option<usize> {
    let pages: usize = std::fs::read_to_string("/proc/self/statm").ok()?.split(' ').nth(1)?.parse().ok()?;
    Some(pages * 4096)
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    let tables = SIZES.map(|routes| {
        let before = resident_bytes();
        let table = table(routes);
        if let (Some(before), Some(after)) = (before, resident_bytes()) {
            eprintln!("{routes} routes: {} bytes a route resident", after.saturating_sub(before) / routes as usize);
        }
        (routes, table)
    });
    look_up(&mut criterion, &tables);
    register(&mut criterion, &tables);
    walk_back(&mut criterion);
    criterion.final_summary();
}
