//! The database of addresses: read at the start, and looked at every few seconds after that, so that whatever brings new
//! versions need not tell furt.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use async_trait::async_trait;
use pingora::server::ShutdownWatch;
use pingora::services::background::BackgroundService;

use crate::clock;
use crate::config::Config;
use crate::geo::{Database, Geo, Look};
use crate::telemetry::{DatabaseMetrics, Telemetry};

/// Between two looks at the file: one asks the system for its size and times, no more.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);

/// Where the gateway and its clients are, as far as that is configured.
///
/// # Errors
/// The database cannot be used.
pub(super) fn open(config: &Config) -> Result<Arc<Geo>> {
    let geo = Geo::open(&config.geo).map_err(|error| {
        let path = config.geo.database.clone().unwrap_or_default();
        anyhow!("geo.database: {} {:#}", path.display(), anyhow!(error))
    })?;
    if config.geo.header.is_some() && config.server.trusted_proxies.is_empty() {
        log::warn!("geo.header is never believed: server.trusted_proxies names nobody");
    }
    Ok(Arc::new(geo))
}

/// Puts a new version of the database in force when it comes. Runs in Pingora's server.
pub(super) struct DatabaseWatcher {
    database: Arc<Database>,
    metrics: DatabaseMetrics,
}

impl DatabaseWatcher {
    /// `None`: there is no database.
    ///
    /// # Errors
    /// Two metrics of one name: a bug that the first start shows.
    pub(super) fn try_new(geo: &Geo, telemetry: &Telemetry) -> Result<Option<Self>> {
        let Some(database) = geo.database().map(Arc::clone) else { return Ok(None) };
        let metrics = telemetry.show_database(database.built_seconds()).context("counters cannot be made")?;
        let watcher = Self { database, metrics };
        watcher.tell_in_force();
        Ok(Some(watcher))
    }

    async fn watch(&self) {
        let mut trouble = None;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            self.look(&mut trouble).await;
        }
    }

    /// Looks at the file once. `trouble` is what was told of it last.
    async fn look(&self, trouble: &mut Option<String>) {
        let looking = Arc::clone(&self.database);
        // On a thread of its own: reading that panics must not end the watch.
        match tokio::task::spawn_blocking(move || looking.look()).await {
            Ok(Ok(Look::Same)) => {}
            Ok(Ok(Look::Replaced)) => {
                self.metrics.replaced(self.database.built_seconds());
                self.tell_in_force();
                *trouble = None;
            }
            Ok(Err(error)) => keep(&self.database, &self.metrics, trouble, format!("{:#}", anyhow!(error))),
            Err(error) => keep(&self.database, &self.metrics, trouble, format!("could not be read through: {error}")),
        }
    }

    fn tell_in_force(&self) {
        let path = self.database.path().display();
        log::info!("geo.database: {path} is in force, built at {}", built(&self.database));
    }
}

#[async_trait]
impl BackgroundService for DatabaseWatcher {
    async fn start(&self, mut shutdown: ShutdownWatch) {
        tokio::select! {
            () = self.watch() => {}
            // Where the sender is gone, so is the server.
            _ = shutdown.wait_for(|stops| *stops) => {}
        }
    }
}

/// Tells once what is wrong with the file, however often it is.
fn keep(database: &Database, metrics: &DatabaseMetrics, trouble: &mut Option<String>, why: String) {
    metrics.kept();
    if trouble.as_ref() != Some(&why) {
        log::warn!(
            "geo.database: {} {why}; the one built at {} stays in force",
            database.path().display(),
            built(database)
        );
        *trouble = Some(why);
    }
}

fn built(database: &Database) -> String {
    clock::rfc3339(i64::try_from(database.built_seconds()).unwrap_or(i64::MAX).saturating_mul(1000))
}
