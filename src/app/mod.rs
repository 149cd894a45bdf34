//! The only wiring: from a configuration to a running gateway.
//!
//! `Prepared` → `Bound` → `Running` → stopped. Every socket is bound first, and every failure told at once. What
//! runs in Pingora's one server is in `server`; driver and store outlive it on a runtime of their own.

mod certifying;
mod files;
mod hosting;
mod locating;
mod lookups;
mod opening;
mod reloading;
mod restoring;
mod rotating;
mod server;
mod services;
mod stopping;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Result, anyhow};
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::{Readiness, Reloads};
use crate::config::{Config, ConfigErrors, KeyLocations};
use crate::listener::{self, OwnListeners, Sockets};
use crate::nodes::{Node, Nodes};
use crate::published::Snapshots;
use crate::store::Leaving;
use crate::telemetry::{AccessLog, COMMIT, VERSION};
pub(crate) use certifying::certificate_faults;
use files::Files;
use furt_core::registry::Contents;
use opening::Opened;
use reloading::Reloading;
use restoring::Restored;
use server::{OpenOfEach, Services};
use stopping::{Stop, StopRequest};

/// How long the store may take to close: to end a batch and a sync.
const LAST_SYNC: Duration = Duration::from_secs(2);
/// How long the access log may take to write its last lines.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// Runs the gateway until SIGTERM or SIGINT, and until its clients are gone or the grace is over; reads `path` again at
/// each reload, as `config` and `locations` were read of it.
///
/// # Errors
/// It could not be started: each reason on a line of its own.
pub fn run(path: &Path, config: Config, locations: &KeyLocations) -> Result<()> {
    run_then(path, config, locations, || ())
}

/// The same; once a signal came, `last` runs while everything still answers, for services of this process to leave.
///
/// # Errors
/// As [`run`].
pub fn run_then(path: &Path, config: Config, locations: &KeyLocations, last: impl FnOnce()) -> Result<()> {
    let mut running = Prepared::new(path, config).bind(locations)?.start()?;
    let request = running.until_told_to_stop()?;
    last();
    running.stop(request);
    Ok(())
}

/// Nothing is open yet.
struct Prepared<'a> {
    path: &'a Path,
    config: Arc<Config>,
    files: Files,
}

impl<'a> Prepared<'a> {
    fn new(path: &'a Path, config: Config) -> Self {
        Self { path, config: Arc::new(config), files: files::raise_limit() }
    }

    /// # Errors
    /// Every socket that cannot be bound; then every static route that would lead to one.
    fn bind(self, locations: &KeyLocations) -> Result<Bound> {
        let Self { path, config, files } = self;
        let sockets =
            listener::bind(&config.server.listen, &config.tls.listen, &config.internal.listen, config.server.threads)?;
        let own_listeners = OwnListeners::new(sockets.addresses());
        let faults = services::static_faults(&config, locations, path, &lookups::Found::new(), &own_listeners);
        ConfigErrors::try_new(faults).map_or(Ok(()), Err)?;
        Ok(Bound { path: path.to_owned(), locations: locations.clone(), config, files, sockets, own_listeners })
    }
}

/// Every socket is bound; nobody is answered yet.
struct Bound {
    path: PathBuf,
    locations: KeyLocations,
    config: Arc<Config>,
    files: Files,
    sockets: Sockets,
    own_listeners: OwnListeners,
}

impl Bound {
    /// Opens what is left, the store last, and returns once every service runs.
    ///
    /// # Errors
    /// The first that cannot be opened, or a service that does not start.
    fn start(self) -> Result<Running> {
        let opened = Opened::try_new(&self.config, &self.locations, &self.path)?;
        let listeners: Vec<_> = self.sockets.internal.iter().map(|listener| listener.address).collect();
        let nodes = Nodes::alone(Node::this(&self.config.internal, &listeners));
        let restored = Restored::try_new(&self.config, &self.own_listeners, &nodes, &opened)?;
        let stop = Stop::watch(opened.background.handle())?;
        let readiness = Arc::new(Readiness::default());
        let open = OpenOfEach::new(&opened.telemetry);
        let (reloads, asked) = Reloads::channel();
        opened.background.spawn(self.reloading(&opened, &restored).run(opened.hangups, asked));

        let public = listener::address_list(self.sockets.public.iter().chain(&self.sockets.tls));
        let internal = listener::address_list(&self.sockets.internal);
        let max_connections = self.config.server.max_connections;
        let plain = self.config.plain_internal_listeners();
        let services = Services {
            config: self.config,
            files: self.files,
            telemetry: opened.telemetry,
            access_log: opened.access_log.clone(),
            geo: opened.geo,
            own_listeners: self.own_listeners,
            nodes,
            driver: restored.handle,
            snapshots: Arc::clone(&restored.snapshots),
            readiness: Arc::clone(&readiness),
            reloads,
            exports: restored.exports,
            open: open.clone(),
            monitor: restored.monitor,
            database: opened.database,
            certifying: opened.certifying,
        };
        let server_ended = services.run(self.sockets, &stop)?;
        readiness.set_ready();
        files::tell_lowered(self.files, max_connections);
        if let Some(warning) = plain {
            log::warn!("{warning}");
        }
        log::info!("furt {VERSION} ({COMMIT}) listens on {public}; services register at {internal}");
        notify_supervisor(&[NotifyState::Ready]);
        Ok(Running {
            background: opened.background,
            driver: restored.driver,
            server_ended,
            stop,
            readiness,
            open,
            snapshots: restored.snapshots,
            access_log: opened.access_log,
            store_closed: restored.closed,
            leaving: restored.leaving,
        })
    }

    fn reloading(&self, opened: &Opened, restored: &Restored) -> Reloading {
        Reloading {
            path: self.path.clone(),
            config: Arc::clone(&self.config),
            driver: restored.handle.clone(),
            sharing: restored.sharing,
            own_listeners: self.own_listeners.clone(),
            access_log: opened.access_log.clone(),
            metrics: Arc::clone(&opened.telemetry.reloads),
            files: self.files,
            certifying: opened.certifying.clone(),
        }
    }
}

/// Every service runs, and furt says that it is ready.
struct Running {
    background: Runtime,
    driver: JoinHandle<()>,
    server_ended: oneshot::Receiver<()>,
    stop: Stop,
    readiness: Arc<Readiness>,
    open: OpenOfEach,
    snapshots: Snapshots,
    access_log: AccessLog,
    store_closed: mpsc::Receiver<()>,
    leaving: Option<Leaving>,
}

impl Running {
    /// # Errors
    /// What furt cannot be without has ended by itself.
    fn until_told_to_stop(&mut self) -> Result<StopRequest> {
        self.background.block_on(async {
            tokio::select! {
                request = self.stop.requested() => Ok(request),
                // Without its one writer a gateway would serve an ever older table: a supervisor must start it again.
                ended = &mut self.driver => Err(anyhow!("the registry's task has ended: {ended:?}")),
                // And without its listeners it would serve nobody.
                _ = &mut self.server_ended => Err(anyhow!("the server has ended; what it said before is why")),
            }
        })
    }

    /// Lets clients end what they began, if they may; then closes the store and the access log.
    fn stop(self, request: StopRequest) {
        self.readiness.set_stopping();
        notify_supervisor(&[NotifyState::Stopping]);
        match request {
            StopRequest::Drain => self.drain(),
            StopRequest::AtOnce => {}
        }
        self.close();
    }

    fn drain(&self) {
        let grace = self.snapshots.load().config.server.grace;
        let count = self.open.clients.count();
        log::info!("stopping: waiting for {count} client connections, at most {} s", grace.as_secs_f64());
        self.background.block_on(self.stop.drain(&self.open.clients, &self.open.internal, grace));
    }

    /// The driver goes with its runtime and the store with the driver. A store that was closed in order shows more of its
    /// damage at the next start than one that was cut off.
    fn close(self) {
        if let Some(leaving) = self.leaving {
            // A store that is away finds the end of this gateway's lease.
            _ = self.background.block_on(async { tokio::time::timeout(LAST_SYNC, leaving.leave()).await });
        }
        self.background.shutdown_timeout(LAST_SYNC);
        if self.store_closed.recv_timeout(LAST_SYNC) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the store is not closed in order: it still writes after {} s", LAST_SYNC.as_secs());
        }
        self.access_log.flush(LAST_FLUSH);
        log::info!("stopped with {} client connections open", self.open.clients.count());
    }
}

fn tell_contents(path: &Path, contents: &Contents) {
    log::info!(
        "the store {} has {} services with {} instances, {} of them DOWN, {} draining, {} ids held, and {} API keys",
        path.display(),
        contents.definitions.len(),
        contents.instances.len(),
        contents.observed.down.len(),
        contents.draining.len(),
        contents.holds.len(),
        contents.keys.len()
    );
}

/// Tells systemd, where it started us (`Type=notify`).
fn notify_supervisor(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("the supervisor cannot be told: {error}");
    }
}
