//! The monitor under paused time, with a check that takes as long as it is told and counts what runs at once.

use std::collections::BTreeMap;
use std::task::{Context, Poll};
use std::time::Duration;

use async_trait::async_trait;
use pingora::Result;
use tokio::sync::watch;
use tokio::time::timeout;

use super::*;
use crate::driver::Told;
use crate::health::schedule::tests::{instance, plan};
use furt_core::registry::{FirstProbe, NameToken, ProbeTarget};
use furt_core::routing::ServiceIndex;

/// What the check does, by the port that it is asked to probe.
#[derive(Default)]
struct Checked {
    /// How long a probe takes; at once where it is not told.
    durations: BTreeMap<u16, Duration>,
    panics_at: Option<u16>,
    running: BTreeMap<u16, usize>,
    running_in_all: usize,
    most_of_one: usize,
    most_of_all: usize,
    started: BTreeMap<u16, Vec<Instant>>,
}

#[derive(Clone, Default)]
struct FakeCheck(Arc<Mutex<Checked>>);

struct Counted(FakeCheck, u16);

impl Drop for Counted {
    fn drop(&mut self) {
        let mut checked = self.0.lock();
        checked.running_in_all -= 1;
        *checked.running.get_mut(&self.1).unwrap() -= 1;
    }
}

impl FakeCheck {
    fn lock(&self) -> MutexGuard<'_, Checked> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taking(self, port: u16, seconds: u64) -> Self {
        self.lock().durations.insert(port, Duration::from_secs(seconds));
        self
    }

    fn running(&self) -> usize {
        self.lock().running_in_all
    }

    fn most_of_one(&self) -> usize {
        self.lock().most_of_one
    }

    fn begin(&self, port: u16) -> (Counted, Duration) {
        let mut checked = self.lock();
        checked.started.entry(port).or_default().push(clock::now());
        let own = checked.running.entry(port).or_default();
        *own += 1;
        let own = *own;
        checked.most_of_one = checked.most_of_one.max(own);
        checked.running_in_all += 1;
        checked.most_of_all = checked.most_of_all.max(checked.running_in_all);
        (Counted(self.clone(), port), checked.durations.get(&port).copied().unwrap_or_default())
    }
}

#[async_trait]
impl HealthCheck for FakeCheck {
    async fn check(&self, target: &Backend) -> Result<()> {
        let port = target.ext.get::<ProbeTarget>().unwrap().addresses[0].port();
        let (_counted, takes) = self.begin(port);
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let panics = self.lock().panics_at.take_if(|at| *at == port);
        assert!(panics.is_none(), "as the test told it");
        Ok(())
    }

    fn health_threshold(&self, _success: bool) -> usize {
        1
    }
}

struct Rig {
    check: FakeCheck,
    monitor: Monitor,
    told: Told,
    /// Kept, or the monitor would have nobody to tell.
    _driver: crate::driver::Handle,
    /// Ends the service.
    stops: watch::Sender<bool>,
}

/// A monitor, and its service as a task.
fn start(check: FakeCheck, driver: &crate::driver::Handle) -> (Monitor, watch::Sender<bool>) {
    let (monitor, service) = Monitor::new(check, driver.downgrade(), Default::default(), fastrand::Rng::with_seed(3));
    let (stops, shutdown) = watch::channel(false);
    tokio::spawn(async move { service.start(shutdown).await });
    (monitor, stops)
}

impl Rig {
    fn start(check: FakeCheck) -> Self {
        let (driver, told) = Told::with_places(64);
        let (monitor, stops) = start(check.clone(), &driver);
        Self { check, monitor, told, _driver: driver, stops }
    }

    /// An instance by the port that it is at.
    fn probe(&mut self, port: u16, order: u64, first: FirstProbe, period_seconds: u64) {
        let url = format!("http://127.0.0.1:{port}");
        self.monitor.probe(named(port), plan(&url, order, first, period_seconds * 1000));
    }

    /// Lets time pass and takes what is told meanwhile: which instance's probe ended, under which order.
    async fn pass(&mut self, seconds: u64) -> Vec<(InstanceRef, u64)> {
        let end = tokio::time::sleep(Duration::from_secs(seconds));
        tokio::pin!(end);
        let mut all = Vec::new();
        loop {
            tokio::select! {
                biased;
                event = self.told.next() => match event {
                    Some(Event::ProbeFinished { instance, token, .. }) => all.push((instance, token.0)),
                    other => panic!("{other:?}"),
                },
                () = &mut end => return all,
            }
        }
    }

    fn starts(&self, port: u16) -> Vec<Instant> {
        self.check.lock().started.get(&port).cloned().unwrap_or_default()
    }
}

fn named(port: u16) -> InstanceRef {
    instance(&format!("i{port}"))
}

#[tokio::test(start_paused = true)]
async fn the_first_probe_is_at_once_and_the_next_ones_after_a_period_give_or_take_a_tenth() {
    let mut rig = Rig::start(FakeCheck::default());
    let began = clock::now();
    rig.probe(1, 1, FirstProbe::Now, 30);
    rig.probe(2, 1, FirstProbe::AfterPeriod, 30);
    rig.pass(3600).await;
    assert!(rig.starts(1)[0] - began <= Duration::from_millis(1));
    assert!((27.0..33.1).contains(&(rig.starts(2)[0] - began).as_secs_f64()));
    let gaps: Vec<_> = rig.starts(1).windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    assert!(gaps.iter().all(|gap| (27.0..33.1).contains(gap)) && (108..=134).contains(&gaps.len()), "{gaps:?}");
    let spread = gaps.iter().copied().fold(0.0, f64::max) - gaps.iter().copied().fold(f64::MAX, f64::min);
    assert!(spread > 3.0, "the jitter is used: {spread}");
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_takes_longer_than_its_period_is_not_run_twice_at_once() {
    let mut rig = Rig::start(FakeCheck::default().taking(1, 5));
    rig.probe(1, 1, FirstProbe::Now, 1);
    let ended = rig.pass(61).await;
    assert_eq!((rig.check.most_of_one(), ended.len()), (1, 12));
}

#[tokio::test(start_paused = true)]
async fn of_a_thousand_due_probes_256_run_at_once_and_all_have_their_turn() {
    let mut check = FakeCheck::default();
    for port in 1..=1000 {
        check = check.taking(port, 5);
    }
    let mut rig = Rig::start(check);
    (1..=1000).for_each(|port| rig.probe(port, 1, FirstProbe::Now, 120));
    let ended = rig.pass(21).await;
    assert_eq!((rig.check.lock().most_of_all, ended.len()), (MAX_PROBES, 1000));
}

#[tokio::test(start_paused = true)]
async fn a_new_plan_abandons_the_probe_of_the_one_before() {
    let mut rig = Rig::start(FakeCheck::default().taking(1, 5));
    rig.probe(1, 1, FirstProbe::Now, 30);
    assert!(rig.pass(2).await.is_empty());
    rig.probe(1, 2, FirstProbe::Now, 30);
    assert_eq!(rig.pass(4).await, []);
    assert_eq!(rig.pass(2).await, [(named(1), 2)]);
    assert_eq!((rig.check.most_of_one(), rig.starts(1).len()), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_same_order_at_another_time_leaves_the_probe_that_runs_alone() {
    let mut rig = Rig::start(FakeCheck::default().taking(1, 5));
    rig.probe(1, 1, FirstProbe::Now, 30);
    rig.pass(2).await;
    rig.probe(1, 1, FirstProbe::Now, 120);
    assert_eq!(rig.pass(100).await, [(named(1), 1)]);
    assert_eq!(rig.starts(1).len(), 1);
}

#[tokio::test(start_paused = true)]
async fn who_is_stopped_is_probed_no_more_and_gives_its_place_back_at_once() {
    let mut rig = Rig::start(FakeCheck::default().taking(1, 50));
    rig.probe(1, 1, FirstProbe::Now, 30);
    rig.probe(2, 1, FirstProbe::Now, 30);
    assert_eq!(rig.pass(2).await, [(named(2), 1)]);
    rig.monitor.stop(&named(1));
    rig.monitor.stop(&named(2));
    assert!(rig.pass(600).await.is_empty());
    assert_eq!((rig.check.running(), rig.starts(1).len(), rig.starts(2).len()), (0, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_while_its_old_probe_runs_is_probed_at_once_and_by_one_probe() {
    let mut rig = Rig::start(FakeCheck::default().taking(1, 5));
    rig.probe(1, 1, FirstProbe::Now, 30);
    rig.pass(2).await;
    rig.monitor.stop(&named(1));
    rig.probe(1, 2, FirstProbe::Now, 30);
    assert_eq!(rig.pass(20).await, [(named(1), 2)]);
    assert_eq!((rig.check.most_of_one(), rig.starts(1).len()), (1, 2));
    assert!(rig.starts(1)[1] - rig.starts(1)[0] < Duration::from_millis(2_100));
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_is_followed_by_the_next_one() {
    let mut rig = Rig::start(FakeCheck::default());
    rig.check.lock().panics_at = Some(1);
    rig.probe(1, 1, FirstProbe::Now, 30);
    assert_eq!(rig.pass(40).await, [(named(1), 1)]);
    assert_eq!((rig.check.running(), rig.starts(1).len()), (0, 2));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_delays_the_next_probe_of_an_instance() {
    let (driver, mut told) = Told::with_places(1);
    let check = FakeCheck::default();
    let (mut monitor, _stops) = start(check.clone(), &driver);
    for port in 1..=300 {
        monitor.probe(named(port), plan(&format!("http://127.0.0.1:{port}"), 1, FirstProbe::Now, 1000));
    }
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before: usize = check.lock().started.values().map(Vec::len).sum();
    assert_eq!(before, MAX_PROBES + 1, "each waits to tell; one has told");
    for _ in 0..300 {
        assert!(told.next().await.is_some());
    }
    assert_eq!(check.lock().started.len(), 300);
}

#[tokio::test(start_paused = true)]
async fn the_monitor_ends_when_it_is_dropped_and_keeps_no_driver_running() {
    let mut rig = Rig::start(FakeCheck::default().taking(1, 5));
    rig.probe(1, 1, FirstProbe::Now, 1);
    rig.pass(1).await;
    let Rig { check, monitor, mut told, _driver, stops: _stops } = rig;
    drop(_driver);
    assert!(timeout(Duration::from_secs(1), told.next()).await.is_ok_and(|event| event.is_none()));
    drop(monitor);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(check.running(), 0);
}

#[tokio::test(start_paused = true)]
async fn the_service_ends_when_it_is_told_to_and_watches_no_name_then() {
    let mut rig = Rig::start(FakeCheck::default().taking(1, 5));
    let subject = DnsSubject::Static(ServiceIndex(1));
    let order = NameWatch { token: NameToken(7), name: "localhost".into(), port: 80 };
    rig.monitor.watch_name(subject, order);
    assert!(matches!(rig.told.next().await, Some(Event::NameResolved { .. })));
    rig.probe(1, 1, FirstProbe::Now, 1);
    assert!(rig.pass(1).await.is_empty());
    rig.stops.send_replace(true);
    assert!(rig.pass(600).await.is_empty());
    assert_eq!((rig.check.running(), rig.starts(1).len()), (0, 1));
}

/// Counts how often a task is woken.
struct Polled<F>(std::pin::Pin<Box<F>>, Arc<Mutex<usize>>);

impl<F: Future> Future for Polled<F> {
    type Output = F::Output;

    fn poll(mut self: std::pin::Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        *self.1.lock().unwrap() += 1;
        self.0.as_mut().poll(context)
    }
}

#[tokio::test(start_paused = true)]
async fn ten_thousand_instances_cost_no_more_than_their_probes() {
    const INSTANCES: u16 = 10_000;
    let (driver, mut told) = Told::with_places(4096);
    let (check, polls) = (FakeCheck::default(), Arc::<Mutex<usize>>::default());
    let shared = Shared::new(fastrand::Rng::with_seed(3));
    let task = run(Arc::clone(&shared), Arc::new(check.clone()), driver.downgrade());
    let task = tokio::spawn(Polled(Box::pin(task), Arc::clone(&polls)));
    for port in 1..=INSTANCES {
        shared.plan(named(port), plan(&format!("http://127.0.0.1:{port}"), 1, FirstProbe::AfterPeriod, 30_000));
    }
    let end = tokio::time::sleep(Duration::from_secs(300));
    tokio::pin!(end);
    let mut probes = 0;
    loop {
        tokio::select! {
            event = told.next() => probes += usize::from(event.is_some()),
            () = &mut end => break,
        }
    }
    task.abort();
    assert!((90_000..=105_000).contains(&probes), "{probes}");
    let of_each = check.lock().started.values().map(Vec::len).collect::<Vec<_>>();
    assert!(of_each.len() == usize::from(INSTANCES) && of_each.iter().all(|count| (8..=11).contains(count)));
    let polls = *polls.lock().unwrap();
    assert!(polls <= 3 * probes, "{polls} wake-ups for {probes} probes");
}
