//! The access log: JSON lines, written by a thread of its own.
//!
//! A request appends its line to a buffer that all share, under a short lock. The thread takes the buffer every
//! [`BATCH_DELAY`] and writes it. When the disk is too slow, lines beyond [`MAX_QUEUED_BYTES`] are dropped and counted.

mod flag;
mod line;
mod metrics;

use std::cell::RefCell;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::config::{AccessLogConfig, AccessLogTarget};
pub use flag::ResponseFlag;
use furt_core::model::Percentage;
use line::Times;
pub use line::{Entry, TlsOfEntry};
pub use metrics::AccessLogMetrics;

/// The most bytes of lines that wait. At 50,000 requests a second the disk may stall for a third of a second.
const MAX_QUEUED_BYTES: usize = 5 << 20;
/// How long the first line waits for more: waking the thread for each line costs more than writing it.
const BATCH_DELAY: Duration = Duration::from_millis(10);

thread_local! {
    /// The buffer in which this thread makes its lines.
    static LINE: RefCell<(Vec<u8>, Times)> = RefCell::default();
}

/// The access log's file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log {}", path.display())]
pub struct AccessLogError {
    path: PathBuf,
    source: io::Error,
}

/// A target of the log that is open already, so that switching to it cannot fail.
pub struct OpenedLog {
    sink: Box<dyn Write + Send>,
    config: AccessLogConfig,
}

impl OpenedLog {
    /// Opens the target of `config`; nothing is written yet.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn try_new(config: &AccessLogConfig) -> Result<Self, AccessLogError> {
        let sink: Box<dyn Write + Send> = match &config.path {
            AccessLogTarget::Off => Box::new(io::sink()),
            AccessLogTarget::Stdout => Box::new(io::stdout()),
            AccessLogTarget::File(path) => Box::new(append(path)?),
        };
        Ok(Self { sink, config: config.clone() })
    }

    fn is_on(&self) -> bool {
        self.config.path != AccessLogTarget::Off
    }
}

/// A handle to the log; cheap to clone. The thread ends with the last of them.
#[derive(Clone)]
pub struct AccessLog {
    producer: Arc<Producer>,
}

/// What all handles share. Closes the queue when the last of them is dropped.
struct Producer {
    queue: Arc<Queue>,
    is_on: AtomicBool,
    /// Of [`AccessLogConfig::share`], in points.
    share: AtomicU16,
    metrics: AccessLogMetrics,
}

impl Drop for Producer {
    fn drop(&mut self) {
        self.queue.state().is_closed = true;
        self.queue.changed.notify_one();
    }
}

impl AccessLog {
    /// Opens the log and starts its thread; `metrics` counts the lines that are lost.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn open(config: &AccessLogConfig, metrics: AccessLogMetrics) -> Result<Self, AccessLogError> {
        let log = OpenedLog::try_new(config)?;
        let opened = Self::without_thread(log.is_on(), config.share, metrics.clone());
        let queue = Arc::clone(&opened.producer.queue);
        thread::spawn(move || Writer { log, is_failing: false, metrics }.run(&queue));
        Ok(opened)
    }

    fn without_thread(is_on: bool, share: Percentage, metrics: AccessLogMetrics) -> Self {
        let queue = Arc::new(Queue::default());
        let (is_on, share) = (is_on.into(), share.points().into());
        Self { producer: Arc::new(Producer { queue, is_on, share, metrics }) }
    }

    /// Whether anything is logged; building an entry is pointless where not.
    pub fn is_on(&self) -> bool {
        self.producer.is_on.load(Ordering::Relaxed)
    }

    /// Whether a request has a line, where anything is logged. `is_good`: its client has an answer of 2xx that nothing is wrong with.
    pub fn takes(&self, is_good: bool) -> bool {
        let share = self.producer.share.load(Ordering::Relaxed);
        share >= Percentage::POINTS || !is_good || fastrand::u16(0..Percentage::POINTS) < share
    }

    /// Hands a line over, or drops and counts it. Never waits for the disk.
    pub fn write(&self, entry: &Entry<'_>) {
        let is_queued = LINE.with_borrow_mut(|(line, times)| {
            line.clear();
            entry.append_to(line, times);
            self.producer.queue.try_push(line)
        });
        if !is_queued {
            self.producer.metrics.lines_dropped(1);
        }
    }

    /// Opens the file again, so that the old one can be moved away first.
    pub fn reopen(&self) {
        if self.is_on() {
            self.producer.queue.send(Command::Reopen);
        }
    }

    /// Writes to another target from now on. Lines that were handed over before still go to the old one.
    pub fn switch(&self, log: OpenedLog) {
        self.producer.share.store(log.config.share.points(), Ordering::Relaxed);
        self.producer.is_on.store(log.is_on(), Ordering::Relaxed);
        self.producer.queue.send(Command::Switch(log));
    }

    /// Waits until all lines that were handed over are written, at most for `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, wait) = sync_channel(1);
        self.producer.queue.send(Command::Flush(done));
        // A log that cannot be written in time must not hold up the end of the process.
        _ = wait.recv_timeout(limit);
    }
}

fn append(path: &PathBuf) -> Result<File, AccessLogError> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|source| AccessLogError { path: path.clone(), source })
}

/// What the thread does between two lines.
enum Command {
    Flush(SyncSender<()>),
    Reopen,
    Switch(OpenedLog),
}

/// Lines as text, each of them whole.
#[derive(Default)]
struct Lines {
    text: Vec<u8>,
    count: u64,
}

#[derive(Default)]
struct State {
    /// Commands, each with the lines that go before it.
    commands: Vec<(Lines, Command)>,
    /// The lines after the last command.
    lines: Lines,
    is_closed: bool,
}

impl State {
    fn is_empty(&self) -> bool {
        self.commands.is_empty() && self.lines.count == 0
    }
}

/// What the thread is woken for.
#[derive(PartialEq, Eq)]
enum Waiting {
    Lines,
    /// And lines, perhaps.
    Commands,
}

/// Lines and commands that wait for the thread.
#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

impl Queue {
    /// Nothing panics while the lock is held, so the state of a poisoned lock is consistent.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line; `false`: too many bytes wait.
    fn try_push(&self, line: &[u8]) -> bool {
        let mut state = self.state();
        if state.lines.text.len() + line.len() > MAX_QUEUED_BYTES {
            return false;
        }
        let was_empty = state.is_empty();
        state.lines.text.extend_from_slice(line);
        state.lines.count += 1;
        drop(state);
        if was_empty {
            self.changed.notify_one();
        }
        true
    }

    fn send(&self, command: Command) {
        let mut state = self.state();
        let lines = std::mem::take(&mut state.lines);
        state.commands.push((lines, command));
        drop(state);
        self.changed.notify_one();
    }

    /// Waits for lines or commands and says which there are; `None`: the queue is closed and empty.
    fn wait(&self) -> Option<Waiting> {
        let mut state = self.state();
        while state.is_empty() {
            if state.is_closed {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Some(if state.commands.is_empty() { Waiting::Lines } else { Waiting::Commands })
    }

    /// Takes everything that waits. `spare`, which is empty, is the buffer for the next lines.
    fn take(&self, spare: Lines) -> (Vec<(Lines, Command)>, Lines) {
        let mut state = self.state();
        (std::mem::take(&mut state.commands), std::mem::replace(&mut state.lines, spare))
    }
}

/// The log's thread: waits a moment for more lines, and writes them together.
struct Writer {
    log: OpenedLog,
    is_failing: bool,
    metrics: AccessLogMetrics,
}

impl Writer {
    fn run(mut self, queue: &Queue) {
        let mut spare = Lines::default();
        while let Some(waiting) = queue.wait() {
            // A command is carried out at once.
            if waiting == Waiting::Lines {
                thread::sleep(BATCH_DELAY);
            }
            let (commands, mut lines) = queue.take(spare);
            for (lines, command) in commands {
                self.write(&lines);
                self.execute(command);
            }
            self.write(&lines);
            lines.text.clear();
            lines.count = 0;
            spare = lines;
        }
    }

    fn execute(&mut self, command: Command) {
        match command {
            // The caller of `flush` may have stopped waiting.
            Command::Flush(done) => _ = done.send(()),
            Command::Switch(log) => self.log = log,
            // The file may have been moved away: opens one of the same name, or goes on with the old one if that fails.
            Command::Reopen => match OpenedLog::try_new(&self.log.config) {
                Ok(log) => self.log = log,
                Err(error) => log::error!("{error}: {}; going on with the old file", error.source),
            },
        }
    }

    /// Lines that cannot be written are dropped and counted: a full disk must not fill the memory too.
    fn write(&mut self, lines: &Lines) {
        if lines.count == 0 {
            return;
        }
        let outcome = self.log.sink.write_all(&lines.text).and_then(|()| self.log.sink.flush());
        if let Err(error) = &outcome {
            self.metrics.lines_dropped(lines.count);
            if !self.is_failing {
                log::error!("the access log cannot be written, lines are dropped: {error}");
            }
        }
        self.is_failing = outcome.is_err();
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::clock;
    use crate::telemetry::TraceId;
    use crate::wire::GatewayProblem;

    static REQUEST_ID: http::HeaderValue = http::HeaderValue::from_static("r1");

    /// Every line, to that target.
    fn all(path: AccessLogTarget) -> AccessLogConfig {
        AccessLogConfig { path, share: Percentage::ALL }
    }

    fn file(path: &Path) -> AccessLogConfig {
        all(AccessLogTarget::File(path.to_owned()))
    }

    fn entry(path: &str) -> Entry<'_> {
        Entry {
            time: 1_763_152_200_123,
            request_id: &REQUEST_ID,
            client_ip: Some([127, 0, 0, 1].into()),
            method: &http::Method::GET,
            protocol: "h1",
            scheme: "http",
            user_agent: None,
            trace: None,
            tls: None,
            host: "shop.example".into(),
            path,
            route: None,
            service: None,
            instance: None,
            version: None,
            status: 404,
            flag: Some(ResponseFlag::Problem(GatewayProblem::RouteNotFound)),
            grpc_status: None,
            bytes_in: 0,
            bytes_out: 7,
            duration: Duration::from_micros(1_500),
            upstream: None,
            retries: 0,
            key: None,
            vouched: None,
        }
    }

    /// As docs/operating.md lists them.
    const MEMBERS: &str = "time request_id client_ip method protocol scheme host path route service instance status flag bytes_in bytes_out \
                           duration_ms upstream_ms retries key";

    #[test]
    fn each_request_is_one_json_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let metrics = AccessLogMetrics::unexposed();
        let log = AccessLog::open(&file(&path), metrics.clone()).unwrap();
        log.write(&entry("/a\"\n"));
        log.write(&entry("/b"));
        log.flush(Duration::from_secs(5));
        let text = std::fs::read_to_string(&path).unwrap();
        let lines: Vec<serde_json::Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["path"], "/a\"\n");
        assert_eq!(lines[0]["time"], "2025-11-14T20:30:00.123Z");
        assert_eq!(lines[1]["client_ip"], "127.0.0.1");
        assert_eq!((&lines[1]["duration_ms"], &lines[1]["upstream_ms"]), (&1.5.into(), &serde_json::Value::Null));
        let members: Vec<_> = lines[0].as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(members.join(" "), MEMBERS);
        let page = include_str!("../../../docs/operating.md");
        assert!(members.iter().all(|member| page.contains(&format!("`{member}`"))), "{members:?}");
        assert_eq!(metrics.dropped(), 0);
    }

    #[test]
    fn a_steady_trickle_does_not_keep_lines_from_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::open(&file(&path), AccessLogMetrics::unexposed()).unwrap();
        let end = clock::now() + Duration::from_secs(10);
        while std::fs::metadata(&path).unwrap().len() == 0 {
            assert!(clock::now() < end, "nothing is written");
            log.write(&entry("/a"));
            thread::park_timeout(Duration::from_millis(20));
        }
    }

    #[test]
    fn a_log_that_is_switched_loses_no_line_and_goes_on_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let target = |name: &str| AccessLogTarget::File(folder.path().join(name));
        let paths = |name: &str| -> Vec<String> {
            let text = std::fs::read_to_string(folder.path().join(name)).unwrap();
            let path =
                |line| serde_json::from_str::<serde_json::Value>(line).unwrap()["path"].as_str().map(str::to_owned);
            text.lines().filter_map(path).collect()
        };
        let metrics = AccessLogMetrics::unexposed();
        let log = AccessLog::open(&all(AccessLogTarget::Off), metrics.clone()).unwrap();
        assert!(!log.is_on());
        for (target, is_on) in [(target("one"), true), (target("two"), true), (AccessLogTarget::Off, false)] {
            log.switch(OpenedLog::try_new(&all(target.clone())).unwrap());
            assert_eq!(log.is_on(), is_on);
            log.write(&entry(&format!("{target:?}")));
            log.reopen();
        }
        log.flush(Duration::from_secs(5));
        assert_eq!(paths("one"), [format!("{:?}", target("one"))]);
        assert_eq!(paths("two"), [format!("{:?}", target("two"))]);
        assert_eq!(metrics.dropped(), 0);
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted() {
        let metrics = AccessLogMetrics::unexposed();
        let log = AccessLog::open(&file(Path::new("/dev/full")), metrics.clone()).unwrap();
        (0..3).for_each(|_| log.write(&entry("/a")));
        log.flush(Duration::from_secs(5));
        assert_eq!(metrics.dropped(), 3);
    }

    #[test]
    fn lines_beyond_the_limit_of_the_queue_are_dropped_and_counted() {
        let metrics = AccessLogMetrics::unexposed();
        let log = AccessLog::without_thread(true, Percentage::ALL, metrics.clone());
        let path = format!("/{}", "a".repeat(MAX_QUEUED_BYTES / 4));
        (0..5).for_each(|_| log.write(&entry(&path)));
        assert_eq!(metrics.dropped(), 2);
        // A short one still finds room.
        log.write(&entry("/a"));
        assert_eq!((metrics.dropped(), log.producer.queue.state().lines.count), (2, 4));
    }

    #[test]
    fn the_thread_writes_what_is_left_and_ends_with_the_last_handle() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log = AccessLog::open(&file(&path), AccessLogMetrics::unexposed()).unwrap();
        let queue = Arc::downgrade(&log.producer.queue);
        log.clone().write(&entry("/a"));
        drop(log);
        let end = clock::now() + Duration::from_secs(10);
        while queue.strong_count() > 0 {
            assert!(clock::now() < end, "the thread goes on");
            thread::park_timeout(Duration::from_millis(5));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap().lines().count(), 1);
    }

    #[test]
    fn of_good_answers_a_share_has_lines_and_of_others_each() {
        let takes = |points: u16, is_good: bool| {
            let share = Percentage::try_new(points).unwrap();
            let log = AccessLog::without_thread(true, share, AccessLogMetrics::unexposed());
            (0..1_000).filter(|_| log.takes(is_good)).count()
        };
        assert_eq!((takes(0, false), takes(0, true), takes(Percentage::POINTS, true)), (1_000, 0, 1_000));
        assert!((350..650).contains(&takes(5_000, true)));
    }

    #[test]
    fn what_is_known_of_a_request_beside_that_is_written_where_it_is() {
        let agent = http::HeaderValue::from_static("curl \"8\"");
        let trace = TraceId::random();
        let entry = Entry { user_agent: Some(&agent), trace: Some(trace), version: Some("1.4"), ..entry("/a") };
        let mut line = Vec::new();
        entry.append_to(&mut line, &mut Times::default());
        let line: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!((&line["user_agent"], &line["version"]), (&"curl \"8\"".into(), &"1.4".into()));
        assert_eq!(line["trace_id"], trace.to_string());
    }

    #[test]
    fn a_log_that_cannot_be_opened_says_which() {
        let target = file(Path::new("/nonexistent/access.log"));
        let error = AccessLog::open(&target, AccessLogMetrics::unexposed()).err().unwrap();
        assert_eq!(error.to_string(), "cannot open the access log /nonexistent/access.log");
    }
}
