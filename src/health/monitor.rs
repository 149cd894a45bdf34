//! Probes as they come due, and the names that are watched: what the driver orders, and the service that does it.
//!
//! [`Monitor`] takes the driver's orders and never waits. [`MonitorService`] carries them out as a background service of
//! Pingora's server, on a thread of its own.
//!
//! A probe whose plan is replaced or removed is abandoned: its outcome would count for nothing, and the instance that
//! follows must not wait for it. However a probe ends, by an outcome, abandoned or by a panic, the next can be due.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;
use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::failure::classify;
use super::names::Names;
use super::schedule::Schedule;
use crate::clock;
use crate::driver::{DriverGone, WeakHandle};
use crate::listener::{OwnListeners, is_own_host};
use furt_core::ports::Probes;
use furt_core::registry::{DnsSubject, Event, InstanceRef, NameWatch, ProbePlan, ProbeToken, ProbedHost};

/// Probes at once: at 5 s each, enough for 1,500 dead instances every 30 s.
const MAX_PROBES: usize = 256;

/// Takes the driver's orders. The service that carries them out ends when this is dropped.
pub struct Monitor {
    shared: Arc<Shared>,
}

/// Carries out what [`Monitor`] was told.
pub struct MonitorService<C> {
    shared: Arc<Shared>,
    check: Arc<C>,
    driver: WeakHandle,
    own_listeners: OwnListeners,
    names_seed: u64,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
    has_name_orders: Notify,
    is_dropped: Notify,
}

struct State {
    schedule: Schedule,
    /// The probes that run, by the order that they carry; dropping one's sender abandons it.
    running: HashMap<InstanceRef, (ProbeToken, oneshot::Sender<Infallible>)>,
    /// What is to be done about names, the last order for each; `None`: it is watched no more.
    name_orders: HashMap<DnsSubject, Option<NameWatch>>,
    random: fastrand::Rng,
}

/// A probe that is due.
struct Due {
    instance: InstanceRef,
    plan: ProbePlan,
    abandoned: oneshot::Receiver<Infallible>,
}

/// A probe that runs; makes room for the next one when it is dropped.
struct Running {
    shared: Arc<Shared>,
    instance: InstanceRef,
    token: ProbeToken,
    _permit: OwnedSemaphorePermit,
}

impl Monitor {
    /// The service tells `driver` each outcome of `check`; `random` decides the jitter. Names that lead to
    /// `own_listeners` are not followed there.
    pub fn new<C: HealthCheck + Send + Sync + 'static>(
        check: C,
        driver: WeakHandle,
        own_listeners: OwnListeners,
        mut random: fastrand::Rng,
    ) -> (Self, MonitorService<C>) {
        let names_seed = random.u64(..);
        let shared = Shared::new(random);
        let service =
            MonitorService { shared: Arc::clone(&shared), check: Arc::new(check), driver, own_listeners, names_seed };
        (Self { shared }, service)
    }
}

impl Probes for Monitor {
    fn probe(&mut self, instance: InstanceRef, plan: ProbePlan) {
        self.shared.plan(instance, plan);
    }

    fn stop(&mut self, instance: &InstanceRef) {
        self.shared.stop(instance);
    }

    fn watch_name(&mut self, subject: DnsSubject, order: NameWatch) {
        self.shared.order_name(subject, Some(order));
    }

    fn unwatch_name(&mut self, subject: &DnsSubject) {
        self.shared.order_name(subject.clone(), None);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.shared.is_dropped.notify_one();
        self.shared.lock().running.clear();
    }
}

#[async_trait]
impl<C: HealthCheck + Send + Sync + 'static> BackgroundService for MonitorService<C> {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        let random = fastrand::Rng::with_seed(self.names_seed);
        let names = Names::new(self.driver.clone(), self.own_listeners.clone(), random);
        tokio::select! {
            () = run(Arc::clone(&self.shared), Arc::clone(&self.check), self.driver.clone()) => {}
            () = self.shared.watch_names(names) => {}
            () = self.shared.is_dropped.notified() => {}
            // Where the sender is gone, the process is ending.
            _ = shutdown.wait_for(|stops| *stops) => {}
        }
        self.shared.lock().running.clear();
    }
}

impl Shared {
    fn new(random: fastrand::Rng) -> Arc<Self> {
        let state =
            State { schedule: Schedule::default(), running: HashMap::new(), name_orders: HashMap::new(), random };
        let [changed, has_name_orders, is_dropped] = [(); 3].map(|()| Notify::new());
        Arc::new(Self { state: Mutex::new(state), changed, has_name_orders, is_dropped })
    }

    fn plan(&self, instance: InstanceRef, plan: ProbePlan) {
        let State { schedule, running, random, .. } = &mut *self.lock();
        if running.get(&instance).is_some_and(|(token, _)| *token != plan.token) {
            running.remove(&instance);
        }
        schedule.set(instance, plan, clock::now(), random);
        self.changed.notify_one();
    }

    fn stop(&self, instance: &InstanceRef) {
        let State { schedule, running, .. } = &mut *self.lock();
        running.remove(instance);
        schedule.remove(instance);
    }

    fn order_name(&self, subject: DnsSubject, order: Option<NameWatch>) {
        self.lock().name_orders.insert(subject, order);
        self.has_name_orders.notify_one();
    }

    /// Carries out each order about a name as it comes; the names are forgotten with this.
    async fn watch_names(&self, mut names: Names) {
        loop {
            let orders = std::mem::take(&mut self.lock().name_orders);
            for (subject, order) in orders {
                match order {
                    Some(order) => names.watch(subject, order),
                    None => names.unwatch(&subject),
                }
            }
            self.has_name_orders.notified().await;
        }
    }

    /// Held for a few map operations, never across an await.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next probe, once it is due.
    async fn next(&self) -> Due {
        loop {
            let changed = self.changed.notified();
            let now = clock::now();
            let due = {
                let State { schedule, running, .. } = &mut *self.lock();
                if let Some((instance, plan)) = schedule.start(now) {
                    let (abandon, abandoned) = oneshot::channel();
                    running.insert(instance.clone(), (plan.token, abandon));
                    return Due { instance, plan, abandoned };
                }
                schedule.next_due()
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(due) => {}
            }
        }
    }
}

impl Running {
    async fn probe(
        &self,
        plan: ProbePlan,
        check: &(impl HealthCheck + Send + Sync),
        driver: &WeakHandle,
    ) -> Result<(), DriverGone> {
        let began = clock::now();
        let host = probed_host(&plan);
        let outcome = check.check(&backend(plan)).await.map_err(|error| classify(&error));
        let took = clock::now().saturating_duration_since(began);
        let instance = self.instance.clone();
        // Told before the next one can start, so that outcomes arrive in order.
        driver.tell(Event::ProbeFinished { instance, token: self.token, outcome, host, took }).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let State { schedule, running, random, .. } = &mut *self.shared.lock();
        running.remove(&self.instance);
        schedule.finish(&self.instance, self.token, clock::now(), random);
        self.shared.changed.notify_one();
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

async fn run(shared: Arc<Shared>, check: Arc<impl HealthCheck + Send + Sync + 'static>, driver: WeakHandle) {
    let places = Arc::new(Semaphore::new(MAX_PROBES));
    // The semaphore is never closed; if it were, probing would end with it.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let Due { instance, plan, abandoned } = shared.next().await;
        let token = plan.token;
        let running = Running { shared: Arc::clone(&shared), instance, token, _permit: place };
        let (check, driver) = (Arc::clone(&check), driver.clone());
        tokio::spawn(async move {
            let told = tokio::select! {
                told = running.probe(plan, &*check, &driver) => told,
                _ = abandoned => Ok(()),
            };
            if let Err(DriverGone) = told {
                running.shared.stop(&running.instance);
            }
        });
    }
}

fn probed_host(plan: &ProbePlan) -> ProbedHost {
    let is_own = plan.target.addresses.first().is_some_and(|address| is_own_host(address.ip()));
    if is_own { ProbedHost::Own } else { ProbedHost::Other }
}

/// The target as Pingora's trait takes it: an address, and what a probe needs as an extension.
fn backend(plan: ProbePlan) -> Backend {
    // Never without an address; where it is, the probe says so.
    let address = plan.target.addresses.first().copied().unwrap_or(SocketAddr::from(([0, 0, 0, 0], 0)));
    let mut ext = http::Extensions::new();
    ext.insert(plan.target);
    Backend { addr: pingora::protocols::l4::socket::SocketAddr::Inet(address), weight: 1, ext }
}

#[cfg(test)]
mod tests;
