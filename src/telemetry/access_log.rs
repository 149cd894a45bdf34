//! The access log: JSON lines, written by a thread of its own. A full queue drops lines and counts them.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;

use super::request_id;
use crate::clock;
use crate::config::AccessLogTarget;
use crate::model::{InstanceId, KeyName, Pattern, ServiceName, address_text};

/// Lines that may wait: at 50,000 requests a second, a third of a second for the disk to stall, and some 5 MiB.
const QUEUE: usize = 16_384;
/// Bytes that are written at once, at most some more.
const WRITE_SIZE: usize = 64 * 1024;
/// How long the first line waits for others: to wake the thread for each costs more than to write it.
const GATHERING: Duration = Duration::from_millis(10);

/// The access log's file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log {}", path.display())]
pub struct AccessLogError {
    path: PathBuf,
    source: io::Error,
}

/// One answered request.
#[derive(Debug)]
pub struct Entry {
    /// Unix ms; written as RFC 3339.
    pub time: i64,
    /// The request's id.
    pub request_id: http::HeaderValue,
    /// The client's address.
    pub client_ip: Option<IpAddr>,
    /// The method.
    pub method: http::Method,
    /// The host, as matched.
    pub host: Box<str>,
    /// The path without the query, as sent.
    pub path: Box<str>,
    /// The pattern of the route; `None`: none matched.
    pub route: Option<Pattern>,
    /// The service; `None`: a static route, or none.
    pub service: Option<ServiceName>,
    /// The instance that answered, or was tried last.
    pub instance: Option<InstanceId>,
    /// The answer's status; 0: none was sent.
    pub status: u16,
    /// Why the gateway answered itself; `None`: it did not.
    pub flag: Option<&'static str>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the request's header to the answer's end; written in ms.
    pub duration: Duration,
    /// From the first attempt to the instance's header; written in ms.
    pub upstream: Option<Duration>,
    /// Attempts after the first.
    pub retries: u32,
    /// The key's name, never the key.
    pub key: Option<KeyName>,
}

impl Entry {
    /// Appends the line, a JSON object. By hand: serializing by name and by type costs twice as much for each request.
    fn append_to(&self, text: &mut Vec<u8>, times: &mut Times) -> io::Result<()> {
        let quoted = |text: &mut Vec<u8>, value: &str| serde_json::to_writer(text, value).map_err(io::Error::from);
        let optional = |text: &mut Vec<u8>, value: Option<&str>| match value {
            Some(value) => quoted(text, value),
            None => text.write_all(b"null"),
        };
        text.extend_from_slice(b"{\"time\":\"");
        times.append(self.time, text);
        text.extend_from_slice(b"\",\"request_id\":");
        quoted(text, request_id::text(&self.request_id))?;
        text.extend_from_slice(b",\"client_ip\":");
        match self.client_ip {
            Some(address) => write!(text, "\"{}\"", address_text(address))?,
            None => text.extend_from_slice(b"null"),
        }
        text.extend_from_slice(b",\"method\":");
        quoted(text, self.method.as_str())?;
        text.extend_from_slice(b",\"host\":");
        quoted(text, &self.host)?;
        text.extend_from_slice(b",\"path\":");
        quoted(text, &self.path)?;
        text.extend_from_slice(b",\"route\":");
        optional(text, self.route.as_ref().map(Pattern::as_str))?;
        text.extend_from_slice(b",\"service\":");
        optional(text, self.service.as_ref().map(ServiceName::as_str))?;
        text.extend_from_slice(b",\"instance\":");
        optional(text, self.instance.as_ref().map(InstanceId::as_str))?;
        write!(text, ",\"status\":{},\"flag\":", self.status)?;
        optional(text, self.flag)?;
        write!(text, ",\"bytes_in\":{},\"bytes_out\":{},\"duration_ms\":", self.bytes_in, self.bytes_out)?;
        let ms = |text: &mut Vec<u8>, time: Duration| {
            let us = time.as_micros();
            write!(text, "{}.{:03}", us / 1000, us % 1000)
        };
        ms(text, self.duration)?;
        text.extend_from_slice(b",\"upstream_ms\":");
        match self.upstream {
            Some(time) => ms(text, time)?,
            None => text.extend_from_slice(b"null"),
        }
        write!(text, ",\"retries\":{},\"key\":", self.retries)?;
        optional(text, self.key.as_ref().map(KeyName::as_str))?;
        text.extend_from_slice(b"}\n");
        Ok(())
    }
}

/// Times of day as text; most lines are of the same second as the one before.
#[derive(Default)]
struct Times {
    second: Option<i64>,
    text: String,
}

impl Times {
    fn append(&mut self, unix_ms: i64, text: &mut Vec<u8>) {
        let second = unix_ms.div_euclid(1000);
        if self.second != Some(second) {
            self.text = clock::rfc3339(second * 1000);
            // The milliseconds go before it.
            self.text.truncate(self.text.trim_end_matches('Z').len());
            self.second = Some(second);
        }
        // A Vec takes all that is written.
        _ = write!(text, "{}.{:03}Z", self.text, unix_ms.rem_euclid(1000));
    }
}

enum Line {
    Entry(Box<Entry>),
    Flush(SyncSender<()>),
    Reopen,
    Switch(OpenedLog),
}

/// Where the log may go from now on: opened, so that it cannot fail any more.
pub struct OpenedLog {
    sink: Box<dyn Write + Send>,
    target: AccessLogTarget,
}

impl OpenedLog {
    /// Opens `target`; nothing is written yet.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn try_new(target: &AccessLogTarget) -> Result<Self, AccessLogError> {
        let sink: Box<dyn Write + Send> = match target {
            AccessLogTarget::Off => Box::new(io::sink()),
            AccessLogTarget::Stdout => Box::new(io::stdout()),
            AccessLogTarget::File(path) => Box::new(append(path)?),
        };
        Ok(Self { sink, target: target.clone() })
    }

    fn is_on(&self) -> bool {
        self.target != AccessLogTarget::Off
    }
}

/// A way into the log; cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    lines: SyncSender<Line>,
    is_on: Arc<AtomicBool>,
    dropped: IntCounter,
}

impl AccessLog {
    /// Opens the log and starts its thread; `dropped` counts what a full queue loses.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn open(target: &AccessLogTarget, dropped: IntCounter) -> Result<Self, AccessLogError> {
        let log = OpenedLog::try_new(target)?;
        let is_on = Arc::new(AtomicBool::new(log.is_on()));
        let (lines, queue) = sync_channel(QUEUE);
        let writer = Writer {
            log,
            text: Vec::new(),
            times: Times::default(),
            count: 0,
            is_failing: false,
            dropped: dropped.clone(),
        };
        thread::spawn(move || writer.run(&queue));
        Ok(Self { lines, is_on, dropped })
    }

    /// Whether anything is logged; building an entry is pointless where not.
    pub fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// Hands a line over, or drops and counts it. Never waits.
    pub fn write(&self, entry: Entry) {
        let sent = self.lines.try_send(Line::Entry(Box::new(entry)));
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = sent {
            self.dropped.inc();
        }
    }

    /// Opens the file again, so that the old one can be moved away first. Waits while the queue is full.
    pub fn reopen(&self) {
        if self.is_on() {
            self.send(Line::Reopen);
        }
    }

    /// Goes on there; what was handed over before still goes where it went. Waits while the queue is full.
    pub fn switch(&self, log: OpenedLog) {
        self.is_on.store(log.is_on(), Ordering::Relaxed);
        self.send(Line::Switch(log));
    }

    fn send(&self, line: Line) {
        if self.lines.send(line).is_err() {
            log::error!("the access log's thread is gone");
        }
    }

    /// Waits until what was handed over is written, at most for `limit`.
    pub fn flush(&self, limit: Duration) {
        let (done, wait) = sync_channel(1);
        if self.lines.send(Line::Flush(done)).is_ok() {
            // A log that cannot be written in time must not hold up the end of the process.
            _ = wait.recv_timeout(limit);
        }
    }
}

fn append(path: &PathBuf) -> Result<File, AccessLogError> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|source| AccessLogError { path: path.clone(), source })
}

/// The log's own thread: gathers lines for a moment, and writes them together.
struct Writer {
    log: OpenedLog,
    text: Vec<u8>,
    times: Times,
    /// Lines in `text`.
    count: u64,
    is_failing: bool,
    dropped: IntCounter,
}

impl Writer {
    fn run(mut self, queue: &Receiver<Line>) {
        while let Ok(first) = queue.recv() {
            self.take(first);
            if self.count > 0 {
                thread::sleep(GATHERING);
            }
            while let Ok(line) = queue.try_recv() {
                self.take(line);
            }
            self.write();
        }
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Entry(entry) => {
                self.gather(&entry);
                if self.text.len() >= WRITE_SIZE {
                    self.write();
                }
            }
            Line::Flush(done) => {
                self.write();
                // Who asked may have stopped waiting.
                _ = done.send(());
            }
            Line::Reopen => self.reopen(),
            Line::Switch(log) => {
                self.write();
                self.log = log;
            }
        }
    }

    fn gather(&mut self, entry: &Entry) {
        let before = self.text.len();
        match entry.append_to(&mut self.text, &mut self.times) {
            Ok(()) => self.count += 1,
            Err(_) => {
                self.text.truncate(before);
                self.dropped.inc();
            }
        }
    }

    /// What cannot be written is dropped and counted: a full disk must not fill the memory too.
    fn write(&mut self) {
        if self.count == 0 {
            return;
        }
        let outcome = self.log.sink.write_all(&self.text).and_then(|()| self.log.sink.flush());
        if let Err(error) = &outcome {
            self.dropped.inc_by(self.count);
            if !self.is_failing {
                log::error!("the access log cannot be written, lines are dropped: {error}");
            }
        }
        self.is_failing = outcome.is_err();
        self.text.clear();
        self.count = 0;
    }

    /// Ends the file and begins one of the same name; goes on with the old one where that fails.
    fn reopen(&mut self) {
        self.write();
        match OpenedLog::try_new(&self.log.target) {
            Ok(log) => self.log = log,
            Err(error) => log::error!("{error}: {}; going on with the old file", error.source),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            time: 1_763_152_200_123,
            request_id: http::HeaderValue::from_static("r1"),
            client_ip: Some([127, 0, 0, 1].into()),
            method: http::Method::GET,
            host: "shop.example".into(),
            path: path.into(),
            route: None,
            service: None,
            instance: None,
            status: 404,
            flag: Some("route-not-found"),
            bytes_in: 0,
            bytes_out: 7,
            duration: Duration::from_micros(1_500),
            upstream: None,
            retries: 0,
            key: None,
        }
    }

    /// As README lists them.
    const MEMBERS: &str = "time request_id client_ip method host path route service instance status flag bytes_in bytes_out \
                           duration_ms upstream_ms retries key";

    #[test]
    fn each_request_is_one_json_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let dropped = IntCounter::new("dropped", "x").unwrap();
        let log = AccessLog::open(&AccessLogTarget::File(path.clone()), dropped.clone()).unwrap();
        log.write(entry("/a\"\n"));
        log.write(entry("/b"));
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
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn a_steady_trickle_does_not_keep_lines_from_being_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("access.log");
        let log =
            AccessLog::open(&AccessLogTarget::File(path.clone()), IntCounter::new("dropped", "x").unwrap()).unwrap();
        let end = clock::now() + Duration::from_secs(10);
        while std::fs::metadata(&path).unwrap().len() == 0 {
            assert!(clock::now() < end, "nothing is written");
            log.write(entry("/a"));
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
        let dropped = IntCounter::new("dropped", "x").unwrap();
        let log = AccessLog::open(&AccessLogTarget::Off, dropped.clone()).unwrap();
        assert!(!log.is_on());
        for (target, is_on) in [(target("one"), true), (target("two"), true), (AccessLogTarget::Off, false)] {
            log.switch(OpenedLog::try_new(&target).unwrap());
            assert_eq!(log.is_on(), is_on);
            log.write(entry(&format!("{target:?}")));
            log.reopen();
        }
        log.flush(Duration::from_secs(5));
        assert_eq!(paths("one"), [format!("{:?}", target("one"))]);
        assert_eq!(paths("two"), [format!("{:?}", target("two"))]);
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn lines_that_a_full_disk_refuses_are_counted() {
        let dropped = IntCounter::new("dropped", "x").unwrap();
        let log = AccessLog::open(&AccessLogTarget::File("/dev/full".into()), dropped.clone()).unwrap();
        (0..3).for_each(|_| log.write(entry("/a")));
        log.flush(Duration::from_secs(5));
        assert_eq!(dropped.get(), 3);
    }

    #[test]
    fn a_full_queue_drops_lines_and_counts_them() {
        let (lines, queue) = sync_channel(1);
        let dropped = IntCounter::new("dropped", "x").unwrap();
        let log = AccessLog { lines, is_on: Arc::new(AtomicBool::new(true)), dropped: dropped.clone() };
        (0..5).for_each(|_| log.write(entry("/a")));
        assert_eq!(dropped.get(), 4);
        drop(queue);
        log.write(entry("/a"));
        assert_eq!(dropped.get(), 5);
    }

    #[test]
    fn a_log_that_cannot_be_opened_says_which() {
        let target = AccessLogTarget::File("/nonexistent/access.log".into());
        let error = AccessLog::open(&target, IntCounter::new("dropped", "x").unwrap()).err().unwrap();
        assert_eq!(error.to_string(), "cannot open the access log /nonexistent/access.log");
    }
}
