//! The task that runs probes as they come due, and the names that are followed.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pingora_load_balancing::Backend;
use pingora_load_balancing::health_check::HealthCheck;
use tokio::sync::{Notify, Semaphore};

use super::names::Names;
use super::schedule::Schedule;
use crate::clock;
use crate::driver::{Event, Followed, Handle, InstanceRef, NameOrder, ProbePlan, Probes};

/// Probes at once (DESIGN §5.3): at 5 s each, enough for 1,500 dead instances every 30 s.
const MAX_PROBES: usize = 256;

/// Keeps the plans that the driver gives; its task carries them out.
pub struct Monitor {
    shared: Arc<Shared>,
    names: Names,
}

struct Shared {
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    schedule: Schedule,
    dice: fastrand::Rng,
}

impl Monitor {
    /// Tells `driver` each outcome of `check`; `dice` decide the jitter. Spawns its task on the current runtime.
    pub fn start(check: impl HealthCheck + Send + Sync + 'static, driver: Handle, dice: fastrand::Rng) -> Self {
        let state = Mutex::new(State { schedule: Schedule::default(), dice });
        let shared = Arc::new(Shared { state, changed: Notify::new() });
        tokio::spawn(run(Arc::clone(&shared), Arc::new(check), driver.clone()));
        Self { shared, names: Names::new(driver) }
    }
}

impl Probes for Monitor {
    fn probe(&mut self, instance: InstanceRef, plan: ProbePlan) {
        let State { schedule, dice } = &mut *self.shared.lock();
        schedule.set(instance, plan, clock::now(), dice);
        self.shared.changed.notify_one();
    }

    fn stop(&mut self, instance: &InstanceRef) {
        self.shared.lock().schedule.remove(instance);
    }

    fn follow(&mut self, subject: Followed, order: NameOrder) {
        self.names.follow(subject, order);
    }

    fn forget(&mut self, subject: &Followed) {
        self.names.forget(subject);
    }
}

impl Shared {
    /// Held for a few map operations, never across an await.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next probe, once it is due.
    async fn next(&self) -> (InstanceRef, ProbePlan) {
        loop {
            let changed = self.changed.notified();
            let now = clock::now();
            let due = {
                let mut state = self.lock();
                if let Some(probe) = state.schedule.start(now) {
                    return probe;
                }
                state.schedule.next_due()
            };
            tokio::select! {
                () = changed => {}
                () = sleep_until(due) => {}
            }
        }
    }
}

async fn sleep_until(due: Option<Instant>) {
    match due {
        Some(due) => tokio::time::sleep_until(due.into()).await,
        None => std::future::pending().await,
    }
}

async fn run(shared: Arc<Shared>, check: Arc<impl HealthCheck + Send + Sync + 'static>, driver: Handle) {
    let places = Arc::new(Semaphore::new(MAX_PROBES));
    // The semaphore is never closed; if it were, probing would end with it.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (instance, plan) = shared.next().await;
        let (shared, check, driver) = (Arc::clone(&shared), Arc::clone(&check), driver.clone());
        tokio::spawn(async move {
            let generation = plan.generation;
            let began = clock::now();
            let outcome = check.check(&backend(plan)).await.map_err(|error| describe(&error));
            let now = clock::now();
            let took = now.saturating_duration_since(began);
            let finished = Event::ProbeFinished { instance: instance.clone(), generation, outcome, took };
            // Told before the next one can start, so that outcomes arrive in order.
            let told = driver.tell(finished).await;
            let State { schedule, dice } = &mut *shared.lock();
            match told {
                Ok(()) => schedule.finish(&instance, generation, now, dice),
                Err(_gone) => schedule.remove(&instance),
            }
            shared.changed.notify_one();
            drop(place);
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

/// The error in one line, without Pingora's frames.
fn describe(error: &pingora::Error) -> String {
    let cause = error.root_cause().to_string();
    match &error.context {
        Some(context) => context.as_str().to_owned(),
        None => cause.trim().to_owned(),
    }
}
