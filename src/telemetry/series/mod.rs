//! The series with a service or a route as a label: at most 10,000 lines of `/metrics`, whatever is registered or asked for
//! (docs/metrics.md).
//!
//! While the cardinality budget lasts, a service or a route gets series with labels of its own; later ones are summed under
//! `other`. A service or route keeps its slot while it is registered, so that no series changes its labels. When it is
//! gone its series end and its counts are retained; when it comes back it counts on from them. A request finds its counters
//! once for each route; only first requests and `/metrics` take the lock. Knows names and numbers, not what a snapshot is:
//! the internal listener hands in a [`ScrapeView`].
//!
//! Reading order: `budget` (the bound), `slots` (which keys have their own labels), this file, `exposition` (as Prometheus
//! reads it).

mod budget;
mod exposition;
mod slots;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::proto::MetricFamily;

use budget::{CardinalityBudget, SeriesKind};
use furt_core::live::{PROBE_NUMBERS, ROUTE_NUMBERS, RouteTraffic, ServiceEvents, ServiceTraffic};
use furt_core::model::{Pattern, ServiceName};
pub use slots::CounterUse;
use slots::Slots;

/// The least number of routes with slots at which unreferenced ones are swept. Where `/metrics` is scraped, each scrape
/// frees them; where it is not, new routes must not fill the memory.
const MIN_SWEEP: usize = 16_384;

/// The label set that requests are counted under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// The service; `None`: a route of the configuration.
    pub service: Option<ServiceName>,
    /// The pattern; routes of several methods and hosts share it.
    pub pattern: Pattern,
}

/// What `/metrics` shows of a service.
#[derive(Debug, Clone)]
pub struct ServiceSample {
    /// The `service` label, but for the words of furt's own (see `exposition`).
    pub name: ServiceName,
    /// Its transitions and probes since it registered.
    pub events: Arc<ServiceEvents>,
    /// Whether it is UP.
    pub is_up: bool,
    /// The share of its time that it was UP, 0 to 1.
    pub uptime_ratio: f64,
    /// Requests that its instances hold.
    pub in_flight: u64,
    /// Instances that are UP, UNKNOWN, DOWN.
    pub instances: [u64; 3],
    /// The requests of each side of its split, by the side's name; empty: it has none.
    pub sides: Vec<(Arc<str>, Arc<RouteTraffic>)>,
}

/// The label set that the requests of a side of a split are counted under.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct SideKey {
    service: ServiceName,
    version: Arc<str>,
}

/// What is registered at the time of a scrape.
pub struct ScrapeView<L> {
    /// The registered services, in the order of their names.
    pub services: Vec<ServiceSample>,
    /// Whether a route that has a slot is still registered.
    pub has_route: L,
}

/// All series with a service or a route as a label, and the requests that belong to no registered service.
pub struct Series {
    state: Mutex<State>,
    registered: AtomicUsize,
    /// Requests that static routes took to their urls.
    pub static_routes: ServiceTraffic,
    /// Requests that found no route, `/health` among them.
    pub unrouted: ServiceTraffic,
}

struct State {
    budget: CardinalityBudget,
    services: Slots<ServiceName, ServiceEvents, 1>,
    probes: Slots<ServiceName, ServiceEvents, { 2 * PROBE_NUMBERS }>,
    routes: Slots<RouteKey, RouteTraffic, ROUTE_NUMBERS>,
    sides: Slots<SideKey, RouteTraffic, ROUTE_NUMBERS>,
    sweep_at: usize,
}

impl Default for Series {
    fn default() -> Self {
        let state = State {
            budget: CardinalityBudget::default(),
            services: Slots::new(SeriesKind::Service, |events| [events.transitions()]),
            probes: Slots::new(SeriesKind::Probe, ServiceEvents::probes),
            routes: Slots::new(SeriesKind::Route, RouteTraffic::read),
            sides: Slots::new(SeriesKind::Side, RouteTraffic::read),
            sweep_at: MIN_SWEEP,
        };
        Self {
            state: Mutex::new(state),
            registered: AtomicUsize::new(0),
            static_routes: ServiceTraffic::default(),
            unrouted: ServiceTraffic::default(),
        }
    }
}

impl Series {
    /// Where a route's requests are counted; to be kept with the route.
    pub fn route(&self, key: &RouteKey) -> Arc<RouteTraffic> {
        let State { budget, routes, sweep_at, .. } = &mut *self.lock();
        if routes.len() >= *sweep_at {
            routes.sweep(budget);
            *sweep_at = MIN_SWEEP.max(2 * routes.len());
        }
        routes.counters(key, budget, Arc::default)
    }

    /// Reserves series for so many registered services from the next look at the budget on; never waits.
    pub(super) fn expect_services(&self, registered: usize) {
        self.registered.store(registered, Ordering::Relaxed);
    }

    /// All families. `view` is called under the lock, so that what it sees is no older than any slot: a route that it does
    /// not have is gone.
    pub(super) fn gather<L: Fn(&RouteKey, CounterUse) -> bool>(
        &self,
        view: impl FnOnce() -> ScrapeView<L>,
    ) -> Vec<MetricFamily> {
        let mut state = self.lock();
        let ScrapeView { services: registered, has_route } = view();
        let State { budget, services, probes, routes, sides, .. } = &mut *state;
        let find = |name: &ServiceName| registered.binary_search_by(|service| service.name.cmp(name));
        let is_registered = |name: &ServiceName| find(name).is_ok();
        let is_side = |SideKey { service, version }: &SideKey| {
            find(service).is_ok_and(|at| registered[at].sides.iter().any(|(name, _)| name == version))
        };
        // Freed before anything is reserved.
        services.retain(budget, |name, _| is_registered(name));
        probes.retain(budget, |name, _| is_registered(name));
        routes.retain(budget, has_route);
        sides.retain(budget, |key, _| is_side(key));
        for service in &registered {
            services.replace(&service.name, budget, &service.events);
            // A service that is never probed needs no slot for it.
            if service.events.probes().iter().any(|&number| number > 0) || probes.has(&service.name) {
                probes.replace(&service.name, budget, &service.events);
            }
            for (version, traffic) in &service.sides {
                let key = SideKey { service: service.name.clone(), version: Arc::clone(version) };
                // Shown once there is a request.
                if traffic.read().iter().any(|&number| number > 0) || sides.has(&key) {
                    sides.replace(&key, budget, traffic);
                }
            }
        }
        let (services, probes, routes, sides) = (services.read(), probes.read(), routes.read(), sides.read());
        drop(state);
        exposition::families(&registered, (&services, &probes, &routes, &sides))
    }

    /// Held for some map operations, or for as long as it takes to read every counter.
    fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.budget.expect_services(self.registered.load(Ordering::Relaxed));
        state
    }
}
