//! The task that runs probes as they come due, and the names that are followed.
//!
//! A probe whose plan is replaced or removed is abandoned: its outcome would count for nothing, and the instance that
//! follows must not wait for it. However a probe ends, by an outcome, abandoned or by a panic, the next can be due.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::task::AbortHandle;

use super::failure::describe;
use super::names::Names;
use super::schedule::Schedule;
use crate::clock;
use crate::driver::{DriverGone, WeakHandle};
use crate::listener::OwnListeners;
use furt_core::model::Generation;
use furt_core::ports::Probes;
use furt_core::registry::{DnsSubject, Event, InstanceRef, NameWatch, ProbePlan};

/// Probes at once (DESIGN §5.3): at 5 s each, enough for 1,500 dead instances every 30 s.
const MAX_PROBES: usize = 256;

/// Keeps the plans that the driver gives; a task of its own carries them out until this is dropped.
pub struct Monitor {
    shared: Arc<Shared>,
    names: Names,
    task: AbortHandle,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    schedule: Schedule,
    /// The probes that run, by the order that they carry; dropping one's sender abandons it.
    running: HashMap<InstanceRef, (Generation, oneshot::Sender<Infallible>)>,
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
    generation: Generation,
    _place: OwnedSemaphorePermit,
}

impl Monitor {
    /// Tells `driver` each outcome of `check`; `random` decides the jitter. Spawns its task on the current runtime.
    /// Names that lead to `own_listeners` are not followed there.
    pub fn start(
        check: impl HealthCheck + Send + Sync + 'static,
        driver: WeakHandle,
        own_listeners: OwnListeners,
        mut random: fastrand::Rng,
    ) -> Self {
        let names = Names::new(driver.clone(), own_listeners, random.fork());
        let shared = Shared::new(random);
        let task = tokio::spawn(run(Arc::clone(&shared), Arc::new(check), driver)).abort_handle();
        Self { shared, names, task }
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
        self.names.watch(subject, order);
    }

    fn unwatch_name(&mut self, subject: &DnsSubject) {
        self.names.unwatch(subject);
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.lock().running.clear();
    }
}

impl Shared {
    fn new(random: fastrand::Rng) -> Arc<Self> {
        let state = State { schedule: Schedule::default(), running: HashMap::new(), random };
        Arc::new(Self { state: Mutex::new(state), changed: Notify::new() })
    }

    fn plan(&self, instance: InstanceRef, plan: ProbePlan) {
        let State { schedule, running, random } = &mut *self.lock();
        if running.get(&instance).is_some_and(|(generation, _)| *generation != plan.generation) {
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
                    running.insert(instance.clone(), (plan.generation, abandon));
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
        let outcome = check.check(&backend(plan)).await.map_err(|error| describe(&error));
        let took = clock::now().saturating_duration_since(began);
        let instance = self.instance.clone();
        // Told before the next one can start, so that outcomes arrive in order.
        driver.tell(Event::ProbeFinished { instance, generation: self.generation, outcome, took }).await
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let State { schedule, running, random } = &mut *self.shared.lock();
        running.remove(&self.instance);
        schedule.finish(&self.instance, self.generation, clock::now(), random);
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
        let generation = plan.generation;
        let running = Running { shared: Arc::clone(&shared), instance, generation, _place: place };
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

/// The target as Pingora's trait takes it: the address, and what else a probe needs as an extension.
fn backend(plan: ProbePlan) -> Backend {
    let address: SocketAddr = plan.target.address;
    let mut ext = http::Extensions::new();
    ext.insert(plan.target);
    Backend { addr: pingora::protocols::l4::socket::SocketAddr::Inet(address), weight: 1, ext }
}

#[cfg(test)]
mod tests;
