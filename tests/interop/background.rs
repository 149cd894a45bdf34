//! Clients and services that go on while a test breaks something: each failure is counted, none ends the test.
//!
//! They have a thread and a runtime of their own, so that nothing the test waits for holds them up.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use reqwest::{Client, Method};

use crate::support::gateway::client_from;
use crate::support::{Gateway, SOON, eventually};

/// A client that has waited so long has been failed.
const PATIENCE: Duration = Duration::from_secs(3);
/// Between two requests of a client: enough requests to see a gap of some ms, and a core for etcd.
const PAUSE: Duration = Duration::from_millis(2);
/// Instances that one client beats for.
const BEATS_OF_A_CLIENT: usize = 1_000;
/// Failures that are kept word for word.
const FAILURES_SHOWN: usize = 10;

#[derive(Default)]
struct Tally {
    done: AtomicUsize,
    failed: AtomicUsize,
    elsewhere: AtomicUsize,
    slowest: Mutex<Duration>,
    failures: Mutex<Vec<String>>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) done: usize,
    pub(crate) failed: usize,
    /// Asked again at another gateway, since the one before gave no answer.
    pub(crate) elsewhere: usize,
    pub(crate) slowest: Duration,
    /// The first ones.
    pub(crate) failures: Vec<String>,
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { done, failed, elsewhere, slowest, .. } = self;
        write!(f, "{done} done, {failed} failed, slowest {slowest:?}")?;
        if *elsewhere > 0 { write!(f, ", {elsewhere} asked again at another gateway") } else { Ok(()) }
    }
}

impl Outcome {
    /// None failed, of so many at least.
    #[track_caller]
    pub(crate) fn none_failed(&self, what: &str, least: usize) {
        let Self { done, failed, slowest, failures, .. } = self;
        let shown = failures.join("\n");
        assert!(*failed == 0 && *done >= least, "{what}: {failed} of {done} failed, slowest {slowest:?}\n{shown}");
    }
}

/// Something that goes on until it is stopped.
pub(crate) struct Background {
    is_over: Arc<AtomicBool>,
    tally: Arc<Tally>,
    thread: Option<JoinHandle<()>>,
}

/// What is asked, and where: at the second url where the first one gives no answer, and so on.
#[derive(Clone)]
struct Call {
    what: String,
    method: Method,
    urls: Vec<String>,
}

impl Background {
    /// Requests for these paths, through each gateway in turn, from two clients. Each must be 200.
    pub(crate) fn requests(gateways: &[&Gateway], paths: &[String]) -> Self {
        let calls = paths.iter().flat_map(|path| gateways.iter().map(move |gateway| (gateway, path)));
        let calls: Vec<Call> = calls
            .enumerate()
            .map(|(at, (gateway, path))| Call {
                what: format!("GET {path} at gateway {}", at % gateways.len()),
                method: Method::GET,
                urls: vec![gateway.public_url(path)],
            })
            .collect();
        Self::by_two_clients(calls)
    }

    /// The same as clients that know all gateways: where one gives no answer, the next one is asked.
    pub(crate) fn requests_somewhere(gateways: &[&Gateway], paths: &[String]) -> Self {
        let calls = paths.iter().flat_map(|path| (0..gateways.len()).map(move |first| (path, first)));
        let call = |(path, first): (&String, usize)| {
            let mut urls: Vec<_> = gateways.iter().map(|gateway| gateway.public_url(path)).collect();
            urls.rotate_left(first);
            Call { what: format!("GET {path} at gateway {first} first"), method: Method::GET, urls }
        };
        Self::by_two_clients(calls.map(call).collect())
    }

    /// Each begins with another half.
    fn by_two_clients(calls: Vec<Call>) -> Self {
        let second = [&calls[calls.len() / 2..], &calls[..calls.len() / 2]].concat();
        Self::start(vec![calls, second], PAUSE)
    }

    /// Heartbeats of these instances (`service`, `instance`), each once `every` that time, at each gateway in turn. Each must
    /// be 200.
    pub(crate) fn heartbeats(gateways: &[&Gateway], instances: &[(String, String)], every: Duration) -> Self {
        let calls: Vec<Call> = instances
            .iter()
            .enumerate()
            .map(|(at, (service, instance))| {
                let gateway = gateways[at % gateways.len()];
                let path = format!("/internal/services/{service}/instances/{instance}/heartbeat");
                Call {
                    what: format!("heartbeat of {instance} at gateway {}", at % gateways.len()),
                    method: Method::POST,
                    urls: vec![gateway.internal_url(&path)],
                }
            })
            .collect();
        // One after the other is too slow for many.
        let clients: Vec<_> = calls.chunks(BEATS_OF_A_CLIENT).map(<[Call]>::to_vec).collect();
        let pause = every / u32::try_from(clients[0].len()).unwrap();
        Self::start(clients, pause)
    }

    fn start(clients: Vec<Vec<Call>>, pause: Duration) -> Self {
        let (is_over, tally) = (Arc::new(AtomicBool::new(false)), Arc::new(Tally::default()));
        let (stop, counted) = (is_over.clone(), tally.clone());
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let client = client_from(None);
            let clients =
                clients.into_iter().map(|calls| repeat(client.clone(), calls, pause, stop.clone(), counted.clone()));
            runtime.block_on(async { clients.collect::<tokio::task::JoinSet<()>>().join_all().await });
        };
        Self { is_over, tally, thread: Some(std::thread::spawn(run)) }
    }

    /// So far.
    pub(crate) fn outcome(&self) -> Outcome {
        Outcome {
            done: self.tally.done.load(Ordering::Relaxed),
            failed: self.tally.failed.load(Ordering::Relaxed),
            elsewhere: self.tally.elsewhere.load(Ordering::Relaxed),
            slowest: *self.tally.slowest.lock().unwrap(),
            failures: self.tally.failures.lock().unwrap().clone(),
        }
    }

    /// Waits until so many more are done.
    pub(crate) async fn more(&self, count: usize) {
        let before = self.outcome().done;
        eventually("more requests", SOON, async || (self.outcome().done >= before + count).then_some(())).await;
    }

    /// Lets each client finish what it does.
    pub(crate) async fn stop(mut self) -> Outcome {
        self.is_over.store(true, Ordering::Relaxed);
        let thread = self.thread.take().unwrap();
        tokio::task::spawn_blocking(|| thread.join().unwrap()).await.unwrap();
        self.outcome()
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}

/// Each call in turn, and a pause after it, so that each is made once in calls × pause where answers are quick.
async fn repeat(client: Client, calls: Vec<Call>, pause: Duration, is_over: Arc<AtomicBool>, tally: Arc<Tally>) {
    let mut ticks = tokio::time::interval(pause);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    for Call { what, method, urls } in calls.iter().cycle() {
        ticks.tick().await;
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        let begin = Instant::now();
        let mut failure = None;
        for (at, url) in urls.iter().enumerate() {
            tally.elsewhere.fetch_add(usize::from(at > 0), Ordering::Relaxed);
            match asked(&client, method, url).await {
                Ok(answered) => {
                    failure = answered;
                    break;
                }
                Err(why) => failure = Some(format!("{why:?}")),
            }
        }
        tally.done.fetch_add(1, Ordering::Relaxed);
        let mut slowest = tally.slowest.lock().unwrap();
        *slowest = begin.elapsed().max(*slowest);
        if let Some(why) = failure {
            tally.failed.fetch_add(1, Ordering::Relaxed);
            let mut failures = tally.failures.lock().unwrap();
            if failures.len() < FAILURES_SHOWN {
                failures.push(format!("{what}: {why}"));
            }
        }
    }
}

/// What is wrong with the answer, if anything is; an `Err` where there is none.
async fn asked(client: &Client, method: &Method, url: &str) -> reqwest::Result<Option<String>> {
    let answer = client.request(method.clone(), url).timeout(PATIENCE).send().await?;
    let status = answer.status();
    let body = answer.text().await?;
    Ok((status != 200).then(|| format!("{status}: {body}")))
}
