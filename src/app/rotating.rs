//! SIGHUP: the access log is opened again, so that it can be rotated. Never ends the process, as the signal would by itself.

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::telemetry::AccessLog;

/// From now on SIGHUP opens the log again.
///
/// # Errors
/// The system does not let us catch signals.
pub(super) fn on_hangup(runtime: &Runtime, access_log: AccessLog) -> Result<()> {
    let _inside = runtime.enter();
    let mut hangups = signal(SignalKind::hangup()).context("signals cannot be caught")?;
    runtime.spawn(async move {
        while hangups.recv().await.is_some() {
            log::info!("SIGHUP: opening the access log again; the configuration is read at the start only");
            let access_log = access_log.clone();
            // A full queue makes it wait, and the driver runs on this thread.
            tokio::task::spawn_blocking(move || access_log.reopen());
        }
    });
    Ok(())
}
