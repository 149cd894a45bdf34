//! Signals: SIGTERM drains, a second one or SIGINT ends at once, SIGHUP opens the access log again.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::proxy::OpenConnections;

/// Watches the signals and tells Pingora and [`run`](super::run).
pub(super) struct Stop {
    signals: Mutex<Signals>,
    is_stopping: watch::Sender<bool>,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
}

/// Resolves once the process is to stop.
pub(super) struct ToldToStop(watch::Receiver<bool>);

#[async_trait]
impl ShutdownSignalWatch for ToldToStop {
    async fn recv(&self) -> ShutdownSignal {
        // Where the sender is gone, the process is ending anyway.
        _ = self.0.clone().wait_for(|is_stopping| *is_stopping).await;
        ShutdownSignal::GracefulTerminate
    }
}

impl Stop {
    /// From now on signals are caught.
    ///
    /// # Errors
    /// The system does not let us.
    pub(super) fn watch(runtime: &Handle) -> Result<Self> {
        let _inside = runtime.enter();
        let caught = |kind| signal(kind).context("signals cannot be caught");
        let signals = Signals {
            terminate: caught(SignalKind::terminate())?,
            interrupt: caught(SignalKind::interrupt())?,
            hang_up: caught(SignalKind::hangup())?,
        };
        Ok(Self { signals: Mutex::new(signals), is_stopping: watch::Sender::new(false) })
    }

    /// For Pingora: its listeners close when this tells it to.
    pub(super) fn signal(&self) -> ToldToStop {
        ToldToStop(self.is_stopping.subscribe())
    }

    /// Waits for a signal to end; `true`: SIGTERM, so clients may end what they began. `on_hang_up` is called at each
    /// SIGHUP meanwhile.
    pub(super) async fn requested(&self, on_hang_up: impl Fn()) -> bool {
        let mut signals = self.signals.lock().await;
        let Signals { terminate, interrupt, hang_up } = &mut *signals;
        loop {
            tokio::select! {
                _ = terminate.recv() => return true,
                _ = interrupt.recv() => return false,
                _ = hang_up.recv() => on_hang_up(),
            }
        }
    }

    /// Closes the listeners and waits for the clients that are there: until all are gone, the grace is over, or a
    /// second signal comes.
    pub(super) async fn drain(&self, open: &Arc<OpenConnections>, grace: Duration) {
        self.is_stopping.send_replace(true);
        tokio::select! {
            () = open.all_closed() => {}
            () = tokio::time::sleep(grace) => log::warn!("the grace is over"),
            _ = self.requested(|| {}) => log::warn!("a second signal: not waiting any longer"),
        }
    }
}
