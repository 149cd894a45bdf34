//! What Prometheus asks of every process, by the names that its own client libraries use: CPU time, memory, open files, threads.
//!
//! Read from /proc when it is scraped, and not before. What the system does not tell is left out.

use procfs::process::{LimitValue, Process};
use procfs::{WithCurrentSystemInfo as _, ticks_per_second};
use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Counter, Gauge};

use super::exporter::{Exporter, MetricsError};

/// A name and its help.
type Named = (&'static str, &'static str);

const CPU: Named = ("process_cpu_seconds_total", "Total user and system CPU time spent in seconds");
const START: Named = ("process_start_time_seconds", "Start time of the process since the Unix epoch in seconds");
const OPEN_FDS: Named = ("process_open_fds", "Number of open file descriptors");
const MAX_FDS: Named = ("process_max_fds", "Maximum number of open file descriptors");
const RESIDENT: Named = ("process_resident_memory_bytes", "Resident memory size in bytes");
const VIRTUAL: Named = ("process_virtual_memory_bytes", "Virtual memory size in bytes");
const THREADS: Named = ("process_threads", "Number of operating system threads");

/// The metrics of this process.
struct ProcessMetrics(Vec<Desc>);

/// What this process costs, for those that are told of it by other ways than a scrape.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct ProcessSample {
    /// Resident memory in bytes.
    pub resident: u64,
    /// CPU time in user mode since the start, in seconds.
    pub user_seconds: f64,
    /// CPU time in the kernel since the start, in seconds.
    pub system_seconds: f64,
    /// Threads.
    pub threads: u32,
}

/// Read from /proc now; `None`: the system does not tell.
#[expect(clippy::cast_precision_loss, reason = "ticks of a process are far below 2^53")]
pub fn sample() -> Option<ProcessSample> {
    let (stat, ticks) = (Process::myself().and_then(|process| process.stat()).ok()?, ticks_per_second() as f64);
    Some(ProcessSample {
        resident: stat.rss_bytes().get(),
        user_seconds: stat.utime as f64 / ticks,
        system_seconds: stat.stime as f64 / ticks,
        threads: u32::try_from(stat.num_threads).unwrap_or_default(),
    })
}

/// Shows them with the others.
pub(super) fn expose(exporter: &Exporter) -> Result<(), MetricsError> {
    let all = [CPU, START, OPEN_FDS, MAX_FDS, RESIDENT, VIRTUAL, THREADS];
    let describe = |(name, help): Named| Desc::new(name.to_owned(), help.to_owned(), Vec::new(), Default::default());
    exporter.add_read(ProcessMetrics(all.map(describe).into_iter().collect::<Result<_, _>>()?))
}

impl Collector for ProcessMetrics {
    fn desc(&self) -> Vec<&Desc> {
        self.0.iter().collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Values are of one reading, so that scrapes at the same time do not add up.
        read().map(|shown| shown.into_iter().flatten().collect()).unwrap_or_default()
    }
}

#[expect(clippy::cast_precision_loss, reason = "Prometheus' values are floats; these are far below 2^53")]
fn read() -> procfs::ProcResult<Vec<Vec<MetricFamily>>> {
    let (process, ticks) = (Process::myself()?, ticks_per_second() as f64);
    let stat = process.stat()?;
    let mut shown = vec![
        counter(CPU, (stat.utime + stat.stime) as f64 / ticks),
        gauge(VIRTUAL, stat.vsize as f64),
        gauge(RESIDENT, stat.rss_bytes().get() as f64),
        gauge(THREADS, stat.num_threads as f64),
    ];
    if let Ok(booted) = procfs::boot_time_secs() {
        shown.push(gauge(START, booted as f64 + stat.starttime as f64 / ticks));
    }
    if let Ok(count) = process.fd_count() {
        shown.push(gauge(OPEN_FDS, count as f64));
    }
    if let Ok(LimitValue::Value(most)) = process.limits().map(|limits| limits.max_open_files.soft_limit) {
        shown.push(gauge(MAX_FDS, most as f64));
    }
    Ok(shown)
}

fn counter((name, help): Named, value: f64) -> Vec<MetricFamily> {
    Counter::new(name, help).map(|counter| (counter.inc_by(value), counter.collect()).1).unwrap_or_default()
}

fn gauge((name, help): Named, value: f64) -> Vec<MetricFamily> {
    Gauge::new(name, help).map(|gauge| (gauge.set(value), gauge.collect()).1).unwrap_or_default()
}
