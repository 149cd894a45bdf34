//! The end: the instances deregister, the directory goes, whichever signal came and whenever.
//!
//! SIGTERM and SIGINT are the gateway's own once it is up, and [`run`](super::run) does the rest. Before that, and for
//! SIGHUP, which a gateway does not end by, the process is ended here: SIGHUP is the terminal that was closed, and a demo
//! that nobody sees any more must not stay.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::fleet::Fleet;
use super::load::Load;
use super::resources::Directory;

/// Everything that has to be ended.
pub(super) struct Ending {
    pub(super) load: Load,
    pub(super) fleet: Fleet,
    pub(super) directory: Directory,
    is_gateway_up: AtomicBool,
}

/// What ends the demo.
pub(super) struct Signals {
    hangup: Signal,
    interrupt: Signal,
    terminate: Signal,
}

/// From now on they are caught.
///
/// # Errors
/// The system does not let us.
pub(super) fn catch(runtime: &Runtime) -> Result<Signals> {
    let _inside = runtime.enter();
    let caught = |kind| signal(kind).context("signals cannot be caught");
    Ok(Signals {
        hangup: caught(SignalKind::hangup())?,
        interrupt: caught(SignalKind::interrupt())?,
        terminate: caught(SignalKind::terminate())?,
    })
}

impl Ending {
    pub(super) fn new(load: Load, fleet: Fleet, directory: Directory) -> Self {
        Self { load, fleet, directory, is_gateway_up: AtomicBool::new(false) }
    }

    /// From now on the gateway ends by itself when it is told to.
    pub(super) fn gateway_is_up(&self) {
        self.is_gateway_up.store(true, Ordering::Release);
    }

    /// Waits for a signal that the gateway does not take, and ends the process then.
    pub(super) async fn watch(self: Arc<Self>, mut signals: Signals) {
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => break,
                _ = signals.interrupt.recv() => {}
                _ = signals.terminate.recv() => {}
            }
            if !self.is_gateway_up.load(Ordering::Acquire) {
                break;
            }
        }
        self.end(0).await;
    }

    /// Nobody sends or answers requests any more, while the gateway still stands.
    pub(super) async fn leave(&self) {
        self.load.stop();
        self.fleet.leave().await;
    }

    /// Ends the process, and the gateway with it, with this exit code.
    pub(super) async fn end(&self, code: i32) {
        self.leave().await;
        let code = self.directory.remove().map_or_else(
            |error| {
                log::error!("{error:#}");
                1
            },
            |()| code,
        );
        std::process::exit(code);
    }
}
