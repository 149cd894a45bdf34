//! The series with a service or a route as a label: at most 10,000 lines of `/metrics`, whatever is registered or asked for.
//!
//! Who comes while there is room gets lines of its own; who comes later is summed under `other`. A place is given once and
//! kept as long as the service or route is there, so that no series moves. Who is gone leaves its lines to others and its
//! counts here, and goes on counting from them when it comes back. A request finds its counters once for each route; the
//! lock is taken by first requests and by `/metrics` alone. Knows names and numbers, not what a snapshot is: the internal
//! listener tells what is there.
//!
//! Reading order: `room` (the bound), `family` (who has a place), this file, `exposition` (as Prometheus reads it).

mod exposition;
mod family;
mod room;
#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::proto::MetricFamily;

use family::Family;
pub use family::Held;
use furt_core::live::{PROBE_NUMBERS, ROUTE_NUMBERS, RouteTraffic, ServiceEvents, ServiceTraffic};
use furt_core::model::{Pattern, ServiceName};
use room::{Kind, Room};

/// Routes that are remembered, at least, before those that nothing holds any more are looked for. Where `/metrics` is
/// read that happens with each reading; where it is not, new routes must not fill the memory.
const MIN_SWEEP: usize = 16_384;

/// Whose requests are counted together.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteKey {
    /// The service; `None`: a route of the configuration.
    pub service: Option<ServiceName>,
    /// The pattern; routes of several methods and hosts share it.
    pub pattern: Pattern,
}

/// A service as it is now.
#[derive(Debug, Clone)]
pub struct ServiceSeen {
    /// Its name.
    pub name: ServiceName,
    /// What befell it since it registered.
    pub events: Arc<ServiceEvents>,
    /// Whether it is UP.
    pub is_up: bool,
    /// The share of its time that it was UP, 0 to 1.
    pub uptime_ratio: f64,
    /// Requests that its instances hold.
    pub in_flight: u64,
    /// Instances that are UP, UNKNOWN, DOWN.
    pub instances: [u64; 3],
}

/// What there is now, by the snapshot.
pub struct Seen<L> {
    /// The registered services, in the order of their names.
    pub services: Vec<ServiceSeen>,
    /// Whether a route that was counted is still there.
    pub is_there: L,
}

/// All series with a service or a route as a label, and the requests that no service has.
pub struct Series {
    places: Mutex<Places>,
    registered: AtomicUsize,
    /// Requests that static routes took to their urls.
    pub fixed: ServiceTraffic,
    /// Requests that found no route, `/health` among them.
    pub unrouted: ServiceTraffic,
}

struct Places {
    room: Room,
    services: Family<ServiceName, ServiceEvents, 1>,
    probes: Family<ServiceName, ServiceEvents, { 2 * PROBE_NUMBERS }>,
    routes: Family<RouteKey, RouteTraffic, ROUTE_NUMBERS>,
    sweep_at: usize,
}

impl Default for Series {
    fn default() -> Self {
        let places = Places {
            room: Room::default(),
            services: Family::new(Kind::Service, |events| [events.transitions()]),
            probes: Family::new(Kind::Probe, ServiceEvents::probes),
            routes: Family::new(Kind::Route, RouteTraffic::read),
            sweep_at: MIN_SWEEP,
        };
        Self {
            places: Mutex::new(places),
            registered: AtomicUsize::new(0),
            fixed: ServiceTraffic::default(),
            unrouted: ServiceTraffic::default(),
        }
    }
}

impl Series {
    /// Where a route's requests are counted; to be kept with the route.
    pub fn route(&self, key: &RouteKey) -> Arc<RouteTraffic> {
        let Places { room, routes, sweep_at, .. } = &mut *self.lock();
        if routes.len() >= *sweep_at {
            routes.sweep(room);
            *sweep_at = MIN_SWEEP.max(2 * routes.len());
        }
        routes.place(key, room, Arc::default)
    }

    /// Keeps room for so many registered services; never waits.
    pub(super) fn expect_services(&self, registered: usize) {
        self.registered.store(registered, Ordering::Relaxed);
    }

    /// Everything as Prometheus reads it. `look` is called under the lock, so that what it sees is no older than any route
    /// that is counted: a route that it does not see is gone.
    pub(super) fn gather<L: Fn(&RouteKey, Held) -> bool>(&self, look: impl FnOnce() -> Seen<L>) -> Vec<MetricFamily> {
        let mut places = self.lock();
        let Seen { services: seen, is_there } = look();
        let Places { room, services, probes, routes, .. } = &mut *places;
        let is_seen = |name: &ServiceName| seen.binary_search_by(|service| service.name.cmp(name)).is_ok();
        // Room is made before it is taken.
        services.retain(room, |name, _| is_seen(name));
        probes.retain(room, |name, _| is_seen(name));
        routes.retain(room, is_there);
        for service in &seen {
            services.replace(&service.name, room, &service.events);
            // A service that is never probed needs no place for it.
            if service.events.probes().iter().any(|&number| number > 0) || probes.has(&service.name) {
                probes.replace(&service.name, room, &service.events);
            }
        }
        let (services, probes, routes) = (services.read(), probes.read(), routes.read());
        drop(places);
        exposition::families(&seen, &services, &probes, &routes)
    }

    /// Held for some map operations, or for as long as it takes to read every counter.
    fn lock(&self) -> MutexGuard<'_, Places> {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        places.room.expect_services(self.registered.load(Ordering::Relaxed));
        places
    }
}
