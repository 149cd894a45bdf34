//! What a listener counts of its connections.

use prometheus::{IntCounter, IntGauge};

use super::exporter::{Exporter, MetricsError};

/// The connections of one listener. A clone counts with the same counters.
#[derive(Clone)]
pub struct ConnectionMetrics {
    open: IntGauge,
    refused: IntCounter,
    untold: IntCounter,
    accept_failures: IntCounter,
}

impl ConnectionMetrics {
    pub(super) fn of_clients(exporter: &Exporter) -> Result<Self, MetricsError> {
        Ok(Self {
            open: exporter.gauge("furt_client_connections", "Client connections that are open")?,
            refused: exporter.counter(
                "furt_client_connections_refused_total",
                "Client connections beyond max_connections, turned away with a 503",
            )?,
            untold: exporter.counter(
                "furt_client_connections_untold_total",
                "Client connections that were closed without a word, because many were being turned away",
            )?,
            accept_failures: exporter.counter(
                "furt_client_accept_failures_total",
                "Attempts to accept a client connection that failed, as where no file was free",
            )?,
        })
    }

    pub(super) fn of_internal(exporter: &Exporter) -> Result<Self, MetricsError> {
        Ok(Self {
            open: exporter.gauge("furt_internal_connections", "Connections to the internal listener that are open")?,
            refused: exporter.counter(
                "furt_internal_connections_refused_total",
                "Connections to the internal listener beyond its limit, turned away with a 503",
            )?,
            untold: exporter.counter(
                "furt_internal_connections_untold_total",
                "Connections to the internal listener that were closed without a word",
            )?,
            accept_failures: exporter.counter(
                "furt_internal_accept_failures_total",
                "Attempts to accept a connection to the internal listener that failed",
            )?,
        })
    }

    /// For a listener that is not the gateway's: counted, and shown nowhere.
    ///
    /// # Errors
    /// None in practice: the names are fixed and good.
    pub fn unexposed() -> Result<Self, MetricsError> {
        Self::of_clients(&Exporter::default())
    }

    /// A connection was opened, whether or not there is room for it.
    pub fn opened(&self) {
        self.open.inc();
    }

    /// A connection that was opened is closed.
    pub fn closed(&self) {
        self.open.dec();
    }

    /// A connection was turned away because there are too many.
    pub fn refused(&self) {
        self.refused.inc();
    }

    /// A connection was closed without a word, because many others were being turned away.
    pub fn untold(&self) {
        self.untold.inc();
    }

    /// A connection could not be accepted, for a reason of furt's own or of the machine.
    pub fn accept_failed(&self) {
        self.accept_failures.inc();
    }

    /// How many were closed without a word.
    #[cfg(test)]
    pub fn counted_untold(&self) -> u64 {
        self.untold.get()
    }

    /// How many are open, and how many were refused.
    #[cfg(test)]
    pub fn counted(&self) -> (i64, u64) {
        (self.open.get(), self.refused.get())
    }
}
