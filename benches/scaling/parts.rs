//! The measurements: each makes a core, fills it with so many of its subject, reads what that took in memory, and times
//! what requests ask of it and what one more costs.
//!
//! What is timed is applied and published; making the wish is not in it. Where one more is timed, it leaves again, so
//! that all samples meet the same size.

use std::hint::black_box;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::ValueEnum;
use furt_core::routing::{Found, SelectionInput, Snapshot};
use http::Method;

use super::super::figure::{Figure, Spread, Unit};
use super::registrar::{Registrar, Service, create_key, digest, four_routes, leave, registration, revoke_key};
use super::timing::{Effort, Memory, timed};

/// Paths or keys that are looked up in turn: more than the nearest caches hold.
const LOOKED_UP: u32 = 4_096;
/// From one service to the next in turn, so that neighbours in memory are not neighbours in time.
const STRIDE: u32 = 7_919;

/// What there are many of, in one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Routes, four a service.
    Routes,
    /// Routes, many a service: what a route costs without its share of a service.
    ManyRoutes,
    /// Instances of one service.
    Instances,
    /// Services of one instance.
    Services,
    /// API keys.
    Keys,
}

/// How a part is measured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    /// How many there are.
    pub(super) size: u32,
    /// Routes of a service that has many.
    pub(super) many: u32,
    /// How long.
    pub(super) effort: Effort,
}

/// The figures of one part.
struct Figures {
    subject: &'static str,
    plan: Plan,
    all: Vec<Figure>,
}

impl Part {
    /// What its tables call it.
    pub(super) fn subject(self) -> &'static str {
        match self {
            Self::Routes | Self::ManyRoutes => "routes",
            Self::Instances => "instances of one service",
            Self::Services => "services of one instance",
            Self::Keys => "API keys",
        }
    }

    /// Measures it.
    ///
    /// # Errors
    /// The core refuses something, or the system does not tell what memory is used.
    pub(super) fn measure(self, plan: Plan) -> Result<Vec<Figure>> {
        let mut figures = Figures { subject: self.subject(), plan, all: Vec::new() };
        match self {
            Self::Routes => routes(plan, &mut figures)?,
            Self::ManyRoutes => many_routes(plan, &mut figures)?,
            Self::Instances => instances(plan, &mut figures)?,
            Self::Services => services(plan, &mut figures)?,
            Self::Keys => keys(plan, &mut figures)?,
        }
        Ok(figures.all)
    }
}

impl Figures {
    fn add(&mut self, what: impl Into<String>, unit: Unit, spread: Spread) {
        let (subject, size) = (self.subject.to_owned(), self.plan.size);
        self.all.push(Figure { subject, size, what: what.into(), unit, spread });
    }

    fn add_memory(&mut self, what: impl Into<String>, memory: &Memory) -> Result<()> {
        if let Some(bytes) = memory.of_each(self.plan.size, self.plan.effort)? {
            self.add(what, Unit::Bytes, Spread { median: bytes, min: bytes, max: bytes });
        }
        Ok(())
    }

    /// What requests do: some 100 ns.
    fn add_short(&mut self, what: impl Into<String>, mut operation: impl FnMut(u32) -> Result<()>) -> Result<()> {
        let mut at = 0;
        let spread = self.plan.effort.sample(self.plan.effort.short, |count| {
            let began = Instant::now();
            for _ in 0..count {
                at += 1;
                operation(at)?;
            }
            Ok(began.elapsed())
        })?;
        self.add(what, Unit::Ns, spread);
        Ok(())
    }

    /// What the one writer does: each time a wish of `command`, then untimed one of `undo`.
    fn add_long(
        &mut self,
        what: impl Into<String>,
        registrar: &mut Registrar,
        mut command: impl FnMut() -> Result<furt_core::registry::Event>,
        mut undo: impl FnMut() -> Result<Option<furt_core::registry::Event>>,
    ) -> Result<()> {
        let spread = self.plan.effort.sample(self.plan.effort.long, |count| {
            let mut took = std::time::Duration::ZERO;
            for _ in 0..count {
                let command = command()?;
                took += timed(|| registrar.apply(command))?;
                if let Some(undo) = undo()? {
                    registrar.apply(undo)?;
                }
            }
            Ok(took)
        })?;
        self.add(what, Unit::Ns, spread);
        Ok(())
    }

    /// One more, and one less.
    fn add_more_and_less(
        &mut self,
        one: &str,
        registrar: &mut Registrar,
        more: impl Fn() -> Result<furt_core::registry::Event>,
        less: impl Fn() -> Result<furt_core::registry::Event>,
    ) -> Result<()> {
        self.add_long(format!("{one} more"), registrar, &more, || less().map(Some))?;
        registrar.apply(more()?)?;
        self.add_long(format!("{one} less"), registrar, &less, || more().map(Some))
    }
}

fn routes(plan: Plan, figures: &mut Figures) -> Result<()> {
    let services = plan.size / 4;
    let memory = Memory::now()?;
    let mut registrar = Registrar::try_new()?;
    let command = |number, revision, routes| registration(Service { number, instance: 0, revision, routes });
    for number in 0..services {
        registrar.apply(command(number, 0, four_routes(number, 0))?)?;
    }
    figures.add_memory("memory a route, four a service", &memory)?;
    let seen = registrar.seen();
    ensure!(seen.table.len() == plan.size as usize, "{} of {} routes are there", seen.table.len(), plan.size);
    lookups(services, &seen, figures)?;
    drop(seen);
    let (mut number, mut revision) = (0, 0);
    // One service again and again: what the work costs. Services in turn: what memory beyond the caches costs too.
    for (turn, stride) in [("one service again", 0), ("services in turn", STRIDE)] {
        let next = || {
            (number, revision) = ((number + stride) % services, revision + 1);
            command(number, revision, four_routes(number, revision))
        };
        figures.add_long(format!("registration, {turn}"), &mut registrar, next, || Ok(None))?;
    }
    let (number, revision) = (services / 2, std::cell::Cell::new(revision));
    let with = |more: Option<String>| {
        revision.set(revision.get() + 1);
        let routes = four_routes(number, 0).into_iter().chain(more.map(|path| ("GET", path)));
        command(number, revision.get(), routes.collect())
    };
    registrar.apply(with(None)?)?;
    let more = || with(Some(format!("/api/svc{number}/more")));
    figures.add_long("one route more", &mut registrar, more, || with(None).map(Some))
}

fn lookups(services: u32, seen: &Snapshot, figures: &mut Figures) -> Result<()> {
    type PathOf = fn(u32) -> String;
    let kinds: [(&str, PathOf); 4] = [
        ("literal", |number| format!("/api/svc{number}/fixed0")),
        ("last `*`", |number| format!("/api/svc{number}/r0/abc")),
        ("middle `*`", |number| format!("/api/svc{number}/foo/items0")),
        ("miss", |number| format!("/api/svc{number}/foo")),
    ];
    for (kind, path_of) in kinds {
        let mut random = fastrand::Rng::with_seed(1);
        let paths: Vec<String> = (0..LOOKED_UP).map(|_| path_of(random.u32(..services))).collect();
        let is_hit = |path: &str| match seen.find("gateway.example", path, &Method::GET) {
            Found::Route(route) => black_box(route.owner.index().0 < u32::MAX),
            Found::Unusable(_) | Found::WrongMethod(_) | Found::Nothing => false,
        };
        let path = paths.first().context("there are no paths")?;
        ensure!(is_hit(path) == (kind != "miss"), "{path} is not found as it should be");
        for (order, paths) in [("one path", &paths[..1]), ("random paths", &paths[..])] {
            figures.add_short(format!("lookup, {kind}, {order}"), |at| {
                black_box(is_hit(&paths[at as usize % paths.len()]));
                Ok(())
            })?;
        }
    }
    Ok(())
}

fn many_routes(plan: Plan, figures: &mut Figures) -> Result<()> {
    let services = (plan.size / plan.many).max(1);
    let each = plan.size / services;
    let command = |number: u32, revision: u64| {
        let path = |route: u32| ("GET", format!("/api/svc{number}/r{revision}/route{route}/*"));
        registration(Service { number, instance: 0, revision, routes: (0..each).map(path).collect() })
    };
    let memory = Memory::now()?;
    let mut registrar = Registrar::try_new()?;
    for number in 0..services {
        registrar.apply(command(number, 0)?)?;
    }
    figures.add_memory(format!("memory a route, {} a service", plan.many), &memory)?;
    let (mut number, mut revision) = (0, 0);
    let next = || {
        (number, revision) = ((number + STRIDE) % services, revision + 1);
        command(number, revision)
    };
    figures.add_long(format!("registration of {} routes", plan.many), &mut registrar, next, || Ok(None))
}

fn instances(plan: Plan, figures: &mut Figures) -> Result<()> {
    let command = |instance| registration(Service { number: 0, instance, revision: 0, routes: four_routes(0, 0) });
    let memory = Memory::now()?;
    let mut registrar = Registrar::try_new()?;
    for instance in 0..plan.size {
        registrar.apply(command(instance)?)?;
    }
    figures.add_memory("memory an instance", &memory)?;
    let seen = registrar.seen();
    let service = seen.service_named("svc0").context("the service is not there")?;
    let mut random = fastrand::Rng::with_seed(1);
    figures.add_short("choosing one for a request", |_| {
        let input = SelectionInput { random: random.u64(..), ..SelectionInput::default() };
        black_box(service.pick(&input, |_| false).ok().context("no instance can be had")?);
        Ok(())
    })?;
    drop(seen);
    let last = plan.size;
    figures.add_more_and_less("one instance", &mut registrar, || command(last), || leave(0, Some(last)))
}

fn services(plan: Plan, figures: &mut Figures) -> Result<()> {
    let command = |number| {
        let routes = vec![("GET", format!("/api/svc{number}/*"))];
        registration(Service { number, instance: 0, revision: 0, routes })
    };
    let memory = Memory::now()?;
    let mut registrar = Registrar::try_new()?;
    for number in 0..plan.size {
        registrar.apply(command(number)?)?;
    }
    figures.add_memory("memory a service with its instance and a route", &memory)?;
    let last = plan.size;
    figures.add_more_and_less("one service", &mut registrar, || command(last), || leave(last, None))
}

fn keys(plan: Plan, figures: &mut Figures) -> Result<()> {
    let memory = Memory::now()?;
    let mut registrar = Registrar::try_new()?;
    // The last place is for the one more: the core refuses more than 100,000.
    for number in 1..plan.size {
        registrar.apply(create_key(number)?)?;
    }
    figures.add_memory("memory a key", &memory)?;
    let seen = registrar.seen();
    let mut random = fastrand::Rng::with_seed(1);
    let digests: Vec<_> = (0..LOOKED_UP).map(|_| digest(random.u32(1..plan.size))).collect();
    for (order, digests) in [("one key", &digests[..1]), ("random keys", &digests[..])] {
        figures.add_short(format!("lookup by digest, {order}"), |at| {
            let key = seen.keys.get(&digests[at as usize % digests.len()]).context("a key is not there")?;
            black_box(key.ends_ms);
            Ok(())
        })?;
    }
    drop(seen);
    figures.add_more_and_less("one key", &mut registrar, || create_key(0), || revoke_key(0))
}
