//! What furt tells of itself and of requests: logs and traces.

use std::path::PathBuf;

use url::Url;

use furt_core::model::Percentage;

/// `[access_log]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLogConfig {
    /// Where its lines go.
    pub path: AccessLogTarget,
    /// The share of requests with a good answer of 2xx that have a line; all others have one.
    pub share: Percentage,
}

/// `[log] format`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// A line of text.
    Text,
    /// An object of JSON a line.
    Json,
}

/// `[tracing]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TracingConfig {
    /// The collector; `None`: there are no traces.
    pub endpoint: Option<Url>,
    /// The share of traces that are recorded, of those that begin here.
    pub share: Percentage,
    /// What becomes of traces that strangers name.
    pub incoming: IncomingTraces,
    /// Authorities of the collector's certificate; `None`: the system's.
    pub ca: Option<PathBuf>,
}

/// What becomes of the trace that a stranger's request names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IncomingTraces {
    /// Another one begins.
    Restart,
    /// It goes on.
    Continue,
}

/// `[access_log] path`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// `""`
    Off,
    /// `"-"`
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}
