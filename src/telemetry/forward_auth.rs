//! What is counted of questions to servers of `[[forward_auth]]`.

use std::time::Duration;

use prometheus::{Histogram, IntCounter, IntCounterVec, IntGauge};

use super::exporter::{Exporter, MetricsError};

/// Upper bounds of `furt_forward_auth_duration_seconds`.
const BOUNDS_SECONDS: [f64; 14] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

/// What came of a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardAuthOutcome {
    /// The request may come in.
    Allowed,
    /// The server says no, or sends the client elsewhere.
    Denied,
    /// Not asked: the client's address has too many in flight.
    TooMany,
    /// Not asked: there are too many in all.
    Busy,
    /// No answer of use.
    Unavailable,
}

/// Questions to all servers.
pub struct ForwardAuthMetrics {
    outcomes: IntCounterVec,
    seconds: Histogram,
    in_flight: IntGauge,
}

/// Questions to one server.
pub struct ForwardAuthCounters {
    allowed: IntCounter,
    denied: IntCounter,
    too_many: IntCounter,
    busy: IntCounter,
    unavailable: IntCounter,
    seconds: Histogram,
}

impl ForwardAuthMetrics {
    pub(super) fn try_new(exporter: &Exporter) -> Result<Self, MetricsError> {
        Ok(Self {
            outcomes: exporter.counter_by(
                "furt_forward_auth_total",
                "Questions to servers of [[forward_auth]], by what came of them",
                &["name", "outcome"],
            )?,
            seconds: exporter.histogram(
                "furt_forward_auth_duration_seconds",
                "How long questions to servers of [[forward_auth]] took, those that were not asked left out",
                &BOUNDS_SECONDS,
            )?,
            in_flight: exporter.gauge("furt_forward_auth_in_flight", "Questions to servers of [[forward_auth]] now")?,
        })
    }

    /// The counters of one server. They go on where a server of that name was counted before.
    pub fn of(&self, name: &str) -> ForwardAuthCounters {
        let counter = |outcome| self.outcomes.with_label_values(&[name, outcome]);
        ForwardAuthCounters {
            allowed: counter("allowed"),
            denied: counter("denied"),
            too_many: counter("too_many"),
            busy: counter("busy"),
            unavailable: counter("unavailable"),
            seconds: self.seconds.clone(),
        }
    }

    /// A question began.
    pub fn began(&self) {
        self.in_flight.inc();
    }

    /// A question that began is over, however it ended.
    pub fn ended(&self) {
        self.in_flight.dec();
    }

    /// Questions that are in flight.
    #[cfg(test)]
    pub fn in_flight(&self) -> i64 {
        self.in_flight.get()
    }
}

impl ForwardAuthCounters {
    /// A question took so long and came to this.
    pub fn asked(&self, outcome: ForwardAuthOutcome, took: Duration) {
        let counter = match outcome {
            ForwardAuthOutcome::Allowed => &self.allowed,
            ForwardAuthOutcome::Denied => &self.denied,
            ForwardAuthOutcome::TooMany => &self.too_many,
            ForwardAuthOutcome::Busy => &self.busy,
            ForwardAuthOutcome::Unavailable => &self.unavailable,
        };
        counter.inc();
        if !matches!(outcome, ForwardAuthOutcome::TooMany | ForwardAuthOutcome::Busy) {
            self.seconds.observe(took.as_secs_f64());
        }
    }
}
