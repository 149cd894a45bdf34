//! All of furt's telemetry, made at the start: `app` hands each consumer its part, the internal listener shows the whole.

use std::sync::Arc;

use super::access_log::AccessLogMetrics;
use super::cluster::ClusterMetrics;
use super::connections::ConnectionMetrics;
use super::events::Events;
use super::exporter::{Exporter, Exposition, MetricsError};
use super::forward_auth::ForwardAuthMetrics;
use super::geo::DatabaseMetrics;
use super::history::History;
use super::issues::Issues;
use super::process;
use super::proxy::ProxyMetrics;
use super::registry::RegistryMetrics;
use super::reloads::ReloadMetrics;
use super::series::{CounterUse, RouteKey, ScrapeView, Series};
use super::shared_store::SharedStoreMetrics;
use super::status_changes::StatusChanges;
use super::tls::TlsMetrics;
use super::tokens::TokenMetrics;
use super::tracing::TracingMetrics;
use super::vault::VaultMetrics;

/// The version in Cargo.toml.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit that the binary was built from.
pub const COMMIT: &str = env!("FURT_COMMIT");

/// The handles of all consumers, and what they share.
pub struct Telemetry {
    exporter: Exporter,
    /// For the public listener.
    pub proxy: Arc<ProxyMetrics>,
    /// For the driver, and for the internal listener where it refuses a change itself.
    pub registry: Arc<RegistryMetrics>,
    /// For the connections of clients.
    pub client_connections: ConnectionMetrics,
    /// For the connections to the internal listener.
    pub internal_connections: ConnectionMetrics,
    /// For the access log.
    pub access_log: AccessLogMetrics,
    /// For spans that are sent to a collector.
    pub tracing: TracingMetrics,
    /// For reloads of the configuration.
    pub reloads: Arc<ReloadMetrics>,
    /// What the registry reported last, as data.
    pub events: Arc<Events>,
    /// Why furt is degraded.
    pub issues: Arc<Issues>,
    /// What is counted by service and route.
    pub series: Arc<Series>,
    /// The last minutes of requests.
    pub history: History,
    /// When services changed their status.
    pub status_changes: Arc<StatusChanges>,
}

impl Telemetry {
    /// All counters at zero.
    ///
    /// # Errors
    /// Two metrics of one name: a bug that the first start shows.
    pub fn try_new() -> Result<Arc<Self>, MetricsError> {
        let exporter = Exporter::default();
        let (series, issues) = (Arc::<Series>::default(), Arc::<Issues>::default());
        let status_changes = Arc::<StatusChanges>::default();
        exporter.info(
            "furt_build_info",
            "Always 1; the labels say what runs",
            &[("version", VERSION), ("commit", COMMIT)],
        )?;
        process::expose(&exporter)?;
        Ok(Arc::new(Self {
            proxy: Arc::new(ProxyMetrics::try_new(&exporter, Arc::clone(&series))?),
            registry: Arc::new(RegistryMetrics::try_new(
                &exporter,
                Arc::clone(&series),
                Arc::clone(&issues),
                Arc::clone(&status_changes),
            )?),
            client_connections: ConnectionMetrics::of_clients(&exporter)?,
            internal_connections: ConnectionMetrics::of_internal(&exporter)?,
            access_log: AccessLogMetrics::try_new(&exporter)?,
            tracing: TracingMetrics::try_new(&exporter)?,
            reloads: Arc::new(ReloadMetrics::try_new(&exporter, Arc::clone(&issues))?),
            events: Arc::default(),
            issues,
            series,
            history: History::default(),
            status_changes,
            exporter,
        }))
    }

    /// Shows the database of addresses from now on. Without one there is nothing to see: a build date of 1970 would only
    /// raise alarms.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_database(&self, built_seconds: u64) -> Result<DatabaseMetrics, MetricsError> {
        DatabaseMetrics::try_new(&self.exporter, built_seconds)
    }

    /// Shows TLS of the public listener from now on.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_tls(&self) -> Result<TlsMetrics, MetricsError> {
        TlsMetrics::try_new(&self.exporter, Arc::clone(&self.issues))
    }

    /// Shows a store that gateways share from now on.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_shared_store(&self) -> Result<SharedStoreMetrics, MetricsError> {
        SharedStoreMetrics::try_new(&self.exporter, Arc::clone(&self.issues))
    }

    /// The same of a cluster of nodes.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_cluster(&self) -> Result<ClusterMetrics, MetricsError> {
        ClusterMetrics::try_new(&self.exporter, Arc::clone(&self.issues))
    }

    /// The counters of a Vault, from now on.
    ///
    /// # Errors
    /// They are shown already.
    pub fn show_vault(&self) -> Result<VaultMetrics, MetricsError> {
        VaultMetrics::try_new(&self.exporter, Arc::clone(&self.issues))
    }

    /// Shows questions to servers of `[[forward_auth]]` from now on.
    ///
    /// # Errors
    /// They are shown already.
    pub fn show_forward_auth(&self) -> Result<ForwardAuthMetrics, MetricsError> {
        ForwardAuthMetrics::try_new(&self.exporter)
    }

    /// Shows what is counted of tokens from now on.
    ///
    /// # Errors
    /// It is shown already.
    pub fn show_tokens(&self) -> Result<TokenMetrics, MetricsError> {
        TokenMetrics::try_new(&self.exporter)
    }

    /// All metrics, read now, to be written down in parts; `view` says which services and routes are registered.
    pub fn gather<L: Fn(&RouteKey, CounterUse) -> bool>(&self, view: impl FnOnce() -> ScrapeView<L>) -> Exposition {
        self.exporter.gather(self.series.gather(view))
    }
}
