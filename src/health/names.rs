//! Names in urls: resolved again every 30 s, so that a service that moves is followed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

use super::schedule::jittered;
use crate::driver::WeakHandle;
use crate::listener::{ForbiddenAddress, OwnListeners};
use crate::upstream::{self, ResolveError};
use furt_core::registry::{DnsSubject, Event, NameWatch};

/// From one resolution to the next, ± 10 %.
const PERIOD: Duration = Duration::from_secs(30);
/// Lookups at once. Each takes a thread of the runtime's blocking pool, and one that is given up after a second keeps
/// its thread until the system gives up too (up to 30 s): 16 new ones a second stay below the pool's 512 threads.
const MAX_LOOKUPS: usize = 16;

/// Why a name leads nowhere now.
#[derive(Debug, thiserror::Error)]
enum LookupError {
    #[error(transparent)]
    Unresolved(#[from] ResolveError),
    #[error(transparent)]
    Forbidden(#[from] ForbiddenAddress),
}

/// One task a watched name; each waits nearly always.
pub(super) struct Names {
    driver: WeakHandle,
    random: fastrand::Rng,
    slots: Arc<Semaphore>,
    own_listeners: OwnListeners,
    tasks: HashMap<DnsSubject, AbortHandle>,
}

impl Names {
    pub(super) fn new(driver: WeakHandle, own_listeners: OwnListeners, random: fastrand::Rng) -> Self {
        Self { driver, random, slots: Arc::new(Semaphore::new(MAX_LOOKUPS)), own_listeners, tasks: HashMap::new() }
    }

    pub(super) fn watch(&mut self, subject: DnsSubject, order: NameWatch) {
        let watcher = NameWatcher {
            driver: self.driver.clone(),
            subject: subject.clone(),
            order,
            slots: Arc::clone(&self.slots),
            random: self.random.fork(),
        };
        let own_listeners = self.own_listeners.clone();
        let resolve = move |name: Box<str>, port| {
            let own_listeners = own_listeners.clone();
            async move {
                let addresses = upstream::resolve(&name, port).await?;
                // A name may come to lead to furt itself: static ones were never looked at before.
                own_listeners.vet(&addresses)?;
                Ok(addresses)
            }
        };
        let task = tokio::spawn(watcher.run(resolve)).abort_handle();
        if let Some(before) = self.tasks.insert(subject, task) {
            before.abort();
        }
    }

    pub(super) fn unwatch(&mut self, subject: &DnsSubject) {
        if let Some(task) = self.tasks.remove(subject) {
            task.abort();
        }
    }
}

impl Drop for Names {
    fn drop(&mut self) {
        self.tasks.values().for_each(AbortHandle::abort);
    }
}

struct NameWatcher {
    driver: WeakHandle,
    subject: DnsSubject,
    order: NameWatch,
    slots: Arc<Semaphore>,
    random: fastrand::Rng,
}

impl NameWatcher {
    async fn run<R, F>(mut self, resolve: R)
    where
        R: Fn(Box<str>, u16) -> F,
        F: Future<Output = Result<Arc<[SocketAddr]>, LookupError>>,
    {
        let Self { driver, subject, order: NameWatch { token, name, port }, slots, random } = &mut self;
        let mut is_failing = false;
        // A static route's name was never resolved before, an instance's just was; once more does no harm.
        loop {
            let found = {
                // The semaphore is never closed; if it were, following would end with it.
                let Ok(_place) = slots.acquire().await else { return };
                resolve(name.clone(), *port).await
            };
            match found {
                Ok(addresses) => {
                    is_failing = false;
                    let event = Event::NameResolved { subject: subject.clone(), token: *token, addresses };
                    if driver.tell(event).await.is_err() {
                        return;
                    }
                }
                Err(why) if !is_failing => {
                    is_failing = true;
                    log::warn!("{subject}: {why}; what it led to before stays");
                }
                Err(_) => {}
            }
            tokio::time::sleep(jittered(PERIOD, random)).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::clock;
    use crate::driver::Told;
    use furt_core::registry::NameToken;
    use furt_core::routing::ServiceIndex;

    fn order() -> NameWatch {
        NameWatch { token: NameToken(7), name: "shop.example".into(), port: 80 }
    }

    #[tokio::test(start_paused = true)]
    async fn many_names_take_few_lookups_at_once_and_come_again_every_half_minute() {
        const NAMES: u32 = 500;
        let (driver, mut told) = Told::with_places(NAMES as usize);
        let mut names = Names::new(driver.downgrade(), OwnListeners::default(), fastrand::Rng::with_seed(1));
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        for number in 0..NAMES {
            let watcher = NameWatcher {
                driver: driver.downgrade(),
                subject: DnsSubject::Static(ServiceIndex(number)),
                order: order(),
                slots: Arc::clone(&names.slots),
                random: names.random.fork(),
            };
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            tokio::spawn(watcher.run(move |_, _| {
                let (running, most) = (Arc::clone(&running), Arc::clone(&most));
                async move {
                    most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    running.fetch_sub(1, Ordering::Relaxed);
                    Ok(Arc::from(["10.0.0.1:80".parse().unwrap()]))
                }
            }));
        }
        let began = clock::now();
        let mut times = HashMap::<DnsSubject, Vec<Duration>>::new();
        while clock::now() - began < Duration::from_secs(300) {
            let Some(Event::NameResolved { subject, token: NameToken(7), .. }) = told.next().await else {
                panic!("something else was told");
            };
            times.entry(subject).or_default().push(clock::now() - began);
        }
        assert_eq!((times.len(), most.load(Ordering::Relaxed)), (NAMES as usize, MAX_LOOKUPS));
        for gap in times.values().flat_map(|times| times.windows(2).map(|pair| pair[1] - pair[0])) {
            assert!((26.9..34.0).contains(&gap.as_secs_f64()), "{gap:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_name_is_followed_until_it_is_forgotten_or_the_names_are_dropped() {
        let (driver, mut told) = Told::with_places(8);
        let mut names = Names::new(driver.downgrade(), OwnListeners::default(), fastrand::Rng::with_seed(1));
        let local = NameWatch { name: "localhost".into(), ..order() };
        for number in [1, 2] {
            names.watch(DnsSubject::Static(ServiceIndex(number)), local.clone());
        }
        for _ in 0..2 {
            assert!(matches!(told.next().await, Some(Event::NameResolved { .. })));
        }
        names.unwatch(&DnsSubject::Static(ServiceIndex(1)));
        match told.next().await {
            Some(Event::NameResolved { subject, .. }) => assert_eq!(subject, DnsSubject::Static(ServiceIndex(2))),
            other => panic!("{other:?}"),
        }
        drop(names);
        assert!(tokio::time::timeout(Duration::from_secs(300), told.next()).await.is_err());
    }
}
