//! SIGHUP: the access log is opened again, so that it can be rotated, whatever becomes of the reload that the signal asks
//! for as well. Never ends the process, as the signal would by itself.

use anyhow::{Context as _, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::telemetry::AccessLog;

/// SIGUSR2, caught from now on: it asks for an upgrade.
///
/// # Errors
/// The system does not let us catch signals.
pub(super) fn upgrade_signals(runtime: &Runtime) -> Result<Signal> {
    let _inside = runtime.enter();
    signal(SignalKind::user_defined2()).context("signals cannot be caught")
}

/// SIGHUP, caught from now on.
///
/// # Errors
/// The system does not let us catch signals.
pub(super) fn hangups(runtime: &Runtime) -> Result<Signal> {
    let _inside = runtime.enter();
    signal(SignalKind::hangup()).context("signals cannot be caught")
}

/// From now on SIGHUP opens the log again.
///
/// # Errors
/// The system does not let us catch signals.
pub(super) fn on_hangup(runtime: &Runtime, access_log: AccessLog) -> Result<()> {
    let mut hangups = hangups(runtime)?;
    runtime.spawn(async move {
        while hangups.recv().await.is_some() {
            if !access_log.is_on() {
                continue;
            }
            log::info!("SIGHUP: opening the access log again");
            let access_log = access_log.clone();
            // A full queue makes it wait, and the driver runs on this thread.
            tokio::task::spawn_blocking(move || access_log.reopen());
        }
    });
    Ok(())
}
