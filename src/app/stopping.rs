//! The end: SIGTERM drains, a second signal or SIGINT ends at once.
//!
//! The public listener closes first. The internal one stays until the last client is gone, so that `/readyz` can say 503
//! meanwhile; then it closes as well, and what it was asked is still answered.
//!
//! Where another process has taken over, both stop accepting at once, and connections without a request may ask once more: a
//! request may be on its way, and there is no reason to lose it.

use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use pingora::server::{ShutdownSignal, ShutdownSignalWatch, ShutdownWatch};
use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{Mutex, watch};

use crate::listener::OpenConnections;

/// Watches the signals, and tells Pingora's server and [`Running`](super::Running).
pub(super) struct Stop {
    signals: Mutex<Signals>,
    is_stopping: watch::Sender<bool>,
    /// Whether connections without a request end.
    idle_ends: watch::Sender<bool>,
    internal_ends: watch::Sender<bool>,
    are_clients_gone: watch::Sender<bool>,
}

/// How furt is to stop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StopRequest {
    /// SIGTERM: clients may end what they began.
    Drain,
    /// SIGINT.
    AtOnce,
    /// Another process has taken over.
    Replaced,
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
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
        let signals =
            Signals { terminate: caught(SignalKind::terminate())?, interrupt: caught(SignalKind::interrupt())? };
        let [is_stopping, idle_ends, internal_ends, are_clients_gone] = [(); 4].map(|()| watch::Sender::new(false));
        Ok(Self { signals: Mutex::new(signals), is_stopping, idle_ends, internal_ends, are_clients_gone })
    }

    /// For Pingora: its listeners close when this tells it to, but for the internal one.
    pub(super) fn signal(&self) -> ToldToStop {
        ToldToStop(self.is_stopping.subscribe())
    }

    /// Becomes true when connections without a request are to end.
    pub(super) fn idle_ends(&self) -> ShutdownWatch {
        self.idle_ends.subscribe()
    }

    /// Becomes true when the public listener is to end. Pingora's own signal comes a moment later.
    pub(super) fn public_ends(&self) -> ShutdownWatch {
        self.is_stopping.subscribe()
    }

    /// Becomes true when the internal listener is to end.
    pub(super) fn internal_ends(&self) -> ShutdownWatch {
        self.internal_ends.subscribe()
    }

    /// Becomes true when the last client is gone. The monitor ends then.
    pub(super) fn clients_gone(&self) -> ShutdownWatch {
        self.are_clients_gone.subscribe()
    }

    /// Waits for a signal.
    pub(super) async fn requested(&self) -> StopRequest {
        let mut signals = self.signals.lock().await;
        let Signals { terminate, interrupt } = &mut *signals;
        tokio::select! {
            _ = terminate.recv() => StopRequest::Drain,
            _ = interrupt.recv() => StopRequest::AtOnce,
        }
    }

    /// Closes the listeners and waits for those that are there, clients before services: until all are gone, the grace
    /// is over, or a second signal comes.
    pub(super) async fn drain(&self, clients: &OpenConnections, internal: &OpenConnections, grace: Duration) {
        self.idle_ends.send_replace(true);
        self.is_stopping.send_replace(true);
        tokio::select! {
            () = self.all_closed(clients, internal) => {}
            () = tokio::time::sleep(grace) => log::warn!("the grace is over"),
            _ = self.requested() => log::warn!("a second signal: not waiting any longer"),
        }
    }

    /// Another process has taken over: from now on nobody is accepted here, and every answer is the last of its connection.
    pub(super) fn stop_accepting(&self) {
        self.is_stopping.send_replace(true);
        self.internal_ends.send_replace(true);
    }

    /// After [`Self::stop_accepting`]: waits for those that are there. SIGTERM makes it a [`drain`](Self::drain) with that `grace`.
    pub(super) async fn drain_replaced(
        &self,
        clients: &OpenConnections,
        internal: &OpenConnections,
        upgrade_grace: Duration,
        grace: Duration,
    ) {
        let request = tokio::select! {
            () = self.all_closed(clients, internal) => return,
            () = tokio::time::sleep(upgrade_grace) => return log::warn!("the grace of the upgrade is over"),
            request = self.requested() => request,
        };
        match request {
            StopRequest::Drain => self.drain(clients, internal, grace).await,
            StopRequest::AtOnce | StopRequest::Replaced => {}
        }
    }

    async fn all_closed(&self, clients: &OpenConnections, internal: &OpenConnections) {
        clients.all_closed().await;
        self.are_clients_gone.send_replace(true);
        self.internal_ends.send_replace(true);
        internal.all_closed().await;
    }
}
