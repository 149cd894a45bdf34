//! The database of addresses: read at the start, and looked at every few seconds after that, so that whatever brings new
//! versions need not tell furt.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use tokio::runtime::Runtime;

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

/// From now on a new version of the database is put in force when it comes.
///
/// # Errors
/// Two metrics of one name: a bug that the first start shows.
pub(super) fn watch(runtime: &Runtime, geo: &Geo, telemetry: &Telemetry) -> Result<()> {
    let Some(database) = geo.database().map(Arc::clone) else { return Ok(()) };
    let metrics = telemetry.show_database(database.built_seconds()).context("counters cannot be made")?;
    log::info!("geo.database: {} is in force, built at {}", database.path().display(), built(&database));
    runtime.spawn(async move {
        let mut trouble = None;
        loop {
            tokio::time::sleep(LOOK_INTERVAL).await;
            let looking = Arc::clone(&database);
            // Reading a large file takes a second, and the driver runs on this thread.
            match tokio::task::spawn_blocking(move || looking.look()).await {
                Ok(Ok(Look::Same)) => {}
                Ok(Ok(Look::Replaced)) => {
                    metrics.replaced(database.built_seconds());
                    log::info!(
                        "geo.database: {} is in force, built at {}",
                        database.path().display(),
                        built(&database)
                    );
                    trouble = None;
                }
                Ok(Err(error)) => keep(&database, &metrics, &mut trouble, format!("{:#}", anyhow!(error))),
                Err(error) => keep(&database, &metrics, &mut trouble, format!("could not be read through: {error}")),
            }
        }
    });
    Ok(())
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
