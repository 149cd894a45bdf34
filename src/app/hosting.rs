//! The host of all services: one Pingora server, on a thread of its own.
//!
//! It would sleep out the whole grace at its end, so nobody waits for its thread: the process ends when the last connection
//! is gone. Whether each service runs, and whether the server has ended, is told.

use std::sync::Arc;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use async_trait::async_trait;
use pingora::prelude::Server;
use pingora::server::configuration::ServerConf;
use pingora::server::{ListenFds, RunArgs, ShutdownSignalWatch, ShutdownWatch};
use pingora::services::{ServiceReadyNotifier, ServiceWithDependents};
use tokio::sync::oneshot;

/// When a service ends.
pub(super) enum Ends {
    /// With Pingora's server, as soon as furt is to stop.
    WithServer,
    /// When this becomes true.
    When(ShutdownWatch),
}

/// A server that does not run yet.
pub(super) struct Host {
    server: Server,
    started: mpsc::Sender<()>,
    starts: mpsc::Receiver<()>,
    count: usize,
}

impl Host {
    pub(super) fn new(conf: ServerConf) -> Self {
        let mut server = Server::new_with_opt_and_conf(None, conf);
        server.bootstrap();
        let (started, starts) = mpsc::channel();
        Self { server, started, starts, count: 0 }
    }

    pub(super) fn configuration(&self) -> &Arc<ServerConf> {
        &self.server.configuration
    }

    pub(super) fn add(&mut self, service: impl ServiceWithDependents + 'static, ends: Ends) {
        self.server.add_service(Hosted { service, started: self.started.clone(), ends });
        self.count += 1;
    }

    /// Returns once every service runs. The receiver's other end is dropped when the server ends.
    ///
    /// # Errors
    /// Some service does not start.
    pub(super) fn run(self, signal: impl ShutdownSignalWatch + Send + 'static) -> Result<oneshot::Receiver<()>> {
        let Self { server, started, starts, count } = self;
        // The services have their own: where all of those are gone, none is waited for.
        drop(started);
        let (running, ended) = oneshot::channel::<()>();
        let run = move || {
            // Dropped however it ends.
            let _running = running;
            server.run(RunArgs { shutdown_signal: Box::new(signal) });
        };
        let thread = thread::Builder::new().name("server".to_owned());
        thread.spawn(run).context("the server's thread cannot be started")?;
        for _ in 0..count {
            starts.recv().context("the server has ended at its start; what it said before is why")?;
        }
        Ok(ended)
    }
}

/// A service as the host runs it.
struct Hosted<S> {
    service: S,
    started: mpsc::Sender<()>,
    ends: Ends,
}

#[async_trait]
impl<S: ServiceWithDependents> ServiceWithDependents for Hosted<S> {
    async fn start_service(
        &mut self,
        fds: Option<ListenFds>,
        shutdown: ShutdownWatch,
        listeners_per_fd: usize,
        ready: ServiceReadyNotifier,
    ) {
        // Nobody may wait for it any more.
        _ = self.started.send(());
        let shutdown = match &self.ends {
            Ends::WithServer => shutdown,
            Ends::When(told) => told.clone(),
        };
        self.service.start_service(fds, shutdown, listeners_per_fd, ready).await;
    }

    fn name(&self) -> &str {
        self.service.name()
    }

    fn threads(&self) -> Option<usize> {
        self.service.threads()
    }

    fn on_startup_delay(&self, time_waited: Duration) {
        self.service.on_startup_delay(time_waited);
    }

    fn listen_addresses(&self) -> Option<Vec<String>> {
        self.service.listen_addresses()
    }
}
