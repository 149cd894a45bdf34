//! The access log: JSON lines, written by a thread of its own. A full queue drops lines and counts them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;
use serde::Serialize;

use crate::clock;
use crate::config::AccessLogTarget;
use crate::model::{InstanceId, KeyName, Pattern, ServiceName};

/// Lines that may wait: at 50,000 requests a second, a third of a second for the disk to stall, and some 5 MiB.
const QUEUE: usize = 16_384;
/// How long a written line may stay in the buffer.
const FLUSH: Duration = Duration::from_millis(200);

/// The access log's file cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log {}", path.display())]
pub struct AccessLogError {
    path: PathBuf,
    source: io::Error,
}

/// One answered request. Durations are in milliseconds.
#[derive(Debug, Serialize)]
pub struct Entry {
    /// Unix ms; written as RFC 3339.
    #[serde(serialize_with = "as_rfc3339")]
    pub time: i64,
    /// The request's id.
    pub request_id: Box<str>,
    /// The client's address.
    pub client_ip: Option<IpAddr>,
    /// The method.
    #[serde(serialize_with = "as_text")]
    pub method: http::Method,
    /// The host, as matched.
    pub host: Box<str>,
    /// The path without the query, as sent.
    pub path: Box<str>,
    /// The pattern of the route; `None`: none matched.
    #[serde(serialize_with = "as_optional_text")]
    pub route: Option<Pattern>,
    /// The service; `None`: a static route, or none.
    #[serde(serialize_with = "as_optional_text")]
    pub service: Option<ServiceName>,
    /// The instance that answered, or was tried last.
    #[serde(serialize_with = "as_optional_text")]
    pub instance: Option<InstanceId>,
    /// The answer's status; 0: none was sent.
    pub status: u16,
    /// Why the gateway answered itself; `None`: it did not.
    pub flag: Option<&'static str>,
    /// Body bytes from the client.
    pub bytes_in: u64,
    /// Body bytes to the client.
    pub bytes_out: u64,
    /// From the request's header to the answer's end.
    pub duration_ms: f64,
    /// From the first attempt to the instance's header.
    pub upstream_ms: Option<f64>,
    /// Attempts after the first.
    pub retries: u32,
    /// The key's name, never the key.
    #[serde(serialize_with = "as_optional_text")]
    pub key: Option<KeyName>,
}

fn as_rfc3339<S: serde::Serializer>(unix_ms: &i64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&clock::rfc3339_ms(*unix_ms))
}

fn as_text<T: fmt::Display, S: serde::Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

fn as_optional_text<T: fmt::Display, S: serde::Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    match value {
        Some(value) => serializer.collect_str(value),
        None => serializer.serialize_none(),
    }
}

enum Line {
    Entry(Box<Entry>),
    Flush(SyncSender<()>),
    Reopen,
}

/// A way into the log; cheap to clone.
#[derive(Clone)]
pub struct AccessLog {
    lines: Option<SyncSender<Line>>,
    dropped: IntCounter,
}

impl AccessLog {
    /// Opens the log and starts its thread; `dropped` counts what a full queue loses.
    ///
    /// # Errors
    /// The file cannot be opened for appending.
    pub fn open(target: &AccessLogTarget, dropped: IntCounter) -> Result<Self, AccessLogError> {
        let sink = match target {
            AccessLogTarget::Off => return Ok(Self { lines: None, dropped }),
            AccessLogTarget::Stdout => Sink::Stdout(buffered(io::stdout())),
            AccessLogTarget::File(path) => Sink::File { file: buffered(append(path)?), path: path.clone() },
        };
        let (lines, queue) = sync_channel(QUEUE);
        thread::spawn(move || write_lines(sink, &queue));
        Ok(Self { lines: Some(lines), dropped })
    }

    /// Whether anything is logged; building an entry is pointless where not.
    pub fn is_on(&self) -> bool {
        self.lines.is_some()
    }

    /// Hands a line over, or drops and counts it. Never waits.
    pub fn write(&self, entry: Entry) {
        let Some(lines) = &self.lines else { return };
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = lines.try_send(Line::Entry(Box::new(entry)))
        {
            self.dropped.inc();
        }
    }

    /// Opens the file again under its name, so that a rotated one can be let go. Stdout stays as it is.
    pub fn reopen(&self) {
        if let Some(lines) = &self.lines
            && lines.send(Line::Reopen).is_err()
        {
            log::error!("the access log has no writer any more");
        }
    }

    /// Waits until what was handed over is written, at most for `limit`.
    pub fn flush(&self, limit: Duration) {
        let Some(lines) = &self.lines else { return };
        let (done, wait) = sync_channel(1);
        if lines.send(Line::Flush(done)).is_ok() {
            // A log that cannot be written in time must not hold up the end of the process.
            _ = wait.recv_timeout(limit);
        }
    }
}

/// Where lines go.
enum Sink {
    Stdout(BufWriter<io::Stdout>),
    File { file: BufWriter<File>, path: PathBuf },
}

fn buffered<W: Write>(sink: W) -> BufWriter<W> {
    BufWriter::with_capacity(64 * 1024, sink)
}

impl Sink {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Stdout(out) => out,
            Self::File { file, .. } => file,
        }
    }

    /// The old file stays where the new one cannot be opened: lines in a rotated file are better than none.
    fn reopen(&mut self) -> io::Result<()> {
        self.writer().flush()?;
        if let Self::File { file, path } = self {
            *file = buffered(append(path).map_err(|error| error.source)?);
        }
        Ok(())
    }
}

fn append(path: &PathBuf) -> Result<File, AccessLogError> {
    let opened = OpenOptions::new().create(true).append(true).open(path);
    opened.map_err(|source| AccessLogError { path: path.clone(), source })
}

fn write_lines(mut sink: Sink, queue: &Receiver<Line>) {
    let mut is_failing = false;
    loop {
        let outcome = match queue.recv_timeout(FLUSH) {
            Ok(Line::Entry(entry)) => serde_json::to_writer(sink.writer(), &entry)
                .map_err(io::Error::from)
                .and_then(|()| sink.writer().write_all(b"\n")),
            Ok(Line::Flush(done)) => {
                let outcome = sink.writer().flush();
                _ = done.send(());
                outcome
            }
            Ok(Line::Reopen) => sink.reopen(),
            Err(RecvTimeoutError::Timeout) => sink.writer().flush(),
            Err(RecvTimeoutError::Disconnected) => return drop(sink.writer().flush()),
        };
        if let Err(error) = &outcome
            && !is_failing
        {
            log::error!("the access log cannot be written: {error}");
        }
        is_failing = outcome.is_err();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str) -> Entry {
        Entry {
            time: 1_763_152_200_123,
            request_id: "r1".into(),
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
            duration_ms: 1.5,
            upstream_ms: None,
            retries: 0,
            key: None,
        }
    }

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
        assert_eq!(dropped.get(), 0);
    }

    #[test]
    fn a_rotated_file_is_let_go_and_its_name_opened_again() {
        let folder = tempfile::tempdir().unwrap();
        let [path, rotated] = ["access.log", "access.log.1"].map(|name| folder.path().join(name));
        let dropped = IntCounter::new("dropped", "x").unwrap();
        let log = AccessLog::open(&AccessLogTarget::File(path.clone()), dropped).unwrap();
        log.write(entry("/before"));
        log.flush(Duration::from_secs(5));
        std::fs::rename(&path, &rotated).unwrap();
        log.reopen();
        log.write(entry("/after"));
        log.flush(Duration::from_secs(5));
        assert!(std::fs::read_to_string(rotated).unwrap().contains("/before"));
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains("/after") && !text.contains("/before"), "{text}");
    }

    #[test]
    fn a_full_queue_drops_lines_and_counts_them() {
        let (lines, queue) = sync_channel(1);
        let dropped = IntCounter::new("dropped", "x").unwrap();
        let log = AccessLog { lines: Some(lines), dropped: dropped.clone() };
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
