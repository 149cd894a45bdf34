//! What the public listener counts of its connections over HTTP/2.

use prometheus::{IntCounter, IntGauge};

use super::exporter::{Exporter, MetricsError};

/// Why furt ends a connection over HTTP/2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Http2End {
    /// It had no request for long.
    Idle,
    /// It is as old as a connection may become.
    Age,
    /// Furt stops.
    Stopping,
    /// The client resets its requests before they are answered.
    Resets,
    /// The client sends requests that are none.
    Malformed,
    /// The client sends frames that bring neither a request nor a part of one.
    Frames,
    /// The client breaks the protocol, or floods in a way that `h2` knows.
    Protocol,
    /// What its client has shown in the handshake is not enough any more.
    ClientAuth,
}

/// As the metric says it, in the order of the variants.
const WHY: [&str; 8] = ["idle", "age", "stopping", "resets", "malformed", "frames", "protocol", "client-auth"];

/// Connections of clients over HTTP/2.
pub struct Http2Metrics {
    open: IntGauge,
    closed: [IntCounter; WHY.len()],
}

/// A connection, counted as open until it is dropped.
pub struct OpenHttp2(IntGauge);

impl Drop for OpenHttp2 {
    fn drop(&mut self) {
        self.0.dec();
    }
}

impl Http2Metrics {
    pub(super) fn try_new(exporter: &Exporter) -> Result<Self, MetricsError> {
        Ok(Self {
            open: exporter.gauge("furt_h2_connections", "Client connections over HTTP/2 that are open")?,
            closed: exporter.counters(
                "furt_h2_closed_total",
                "Client connections over HTTP/2 that furt has ended, by the reason",
                "why",
                WHY,
            )?,
        })
    }

    /// One is open until what is returned is dropped.
    pub fn open(&self) -> OpenHttp2 {
        self.open.inc();
        OpenHttp2(self.open.clone())
    }

    /// furt has ended one.
    pub fn closed(&self, why: Http2End) {
        self.closed[why as usize].inc();
    }
}
