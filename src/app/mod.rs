//! The only wiring: from a configuration to a running gateway.
//!
//! `Prepared` → `Bound` → `Running` → stopped. Every socket is bound first, and every failure told at once. What
//! runs in Pingora's one server is in `server`; driver and store outlive it on a runtime of their own.

mod acquiring;
mod answer_files;
mod applying;
mod certifying;
mod clustering;
mod files;
mod hosting;
mod locating;
mod lookups;
mod opening;
mod providing;
mod reloading;
mod restoring;
mod rotating;
mod server;
mod services;
mod settings;
mod stopping;
mod tracing;
mod updating;
mod upgrading;
mod vaulting;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use sd_notify::NotifyState;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::api::{self, Readiness, Reloads, Upgrades};
use crate::cluster::{self, Ending};
use crate::config::{Config, ConfigErrors, KeyLocations};
use crate::driver;
use crate::listener::{self, OwnListeners, Sockets};
use crate::nodes::{Node, Nodes};
use crate::published::Snapshots;
use crate::store::Leaving;
use crate::telemetry::{AccessLog, COMMIT, Tracer, VERSION};
use crate::vault;
pub(crate) use certifying::certificate_faults;
use files::Files;
use furt_core::registry::Contents;
use opening::Opened;
use reloading::{Reloading, Restarts};
use restoring::{Possession, Restored};
use server::{OpenOfEach, Services};
pub use settings::Loaded;
use settings::Settings;
use stopping::{Stop, StopRequest};
use updating::Updating;
pub use upgrading::Handover;
use upgrading::{Possessions, Upgrading};

/// How long the store may take to close: to end a batch and a sync.
const LAST_SYNC: Duration = Duration::from_secs(2);
/// How long the access log may take to write its last lines.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// Runs the gateway until SIGTERM or SIGINT, or until another process takes over, and then until its clients are gone or the
/// grace is over. Reads `path` again at each reload, as `loaded` was read of it. Takes over what there is in `handover`.
///
/// # Errors
/// It could not be started: each reason on a line of its own.
pub fn run(path: &Path, loaded: Loaded, handover: &mut Handover) -> Result<()> {
    run_then(path, loaded, handover, || ())
}

/// The same; once a signal came, `last` runs while everything still answers, for services of this process to leave.
///
/// # Errors
/// As [`run`].
pub fn run_then(path: &Path, loaded: Loaded, handover: &mut Handover, last: impl FnOnce()) -> Result<()> {
    let mut running = Prepared::new(path, loaded).bind(handover)?.start(handover)?;
    let request = running.until_told_to_stop()?;
    last();
    running.stop(request);
    Ok(())
}

/// Nothing is open yet.
struct Prepared<'a> {
    path: &'a Path,
    config: Arc<Config>,
    locations: KeyLocations,
    settings: Settings,
    files: Files,
}

impl<'a> Prepared<'a> {
    fn new(path: &'a Path, Loaded { config, locations, settings }: Loaded) -> Self {
        Self { path, config: Arc::new(config), locations, settings, files: files::raise_limit() }
    }

    /// # Errors
    /// Every socket that cannot be bound; then every static route that would lead to one.
    fn bind(self, handover: &mut Handover) -> Result<Bound> {
        let Self { path, config, locations, settings, files } = self;
        let mut given = handover.listeners()?;
        let sockets = listener::bind(
            &config.server.listen,
            &config.tls.listen,
            &config.internal.listen,
            config.server.threads,
            &mut given,
        )?;
        handover.judge_left(&given)?;
        let own_listeners = OwnListeners::new(sockets.addresses());
        let faults = services::static_faults(&config, &locations, path, &lookups::Found::new(), &own_listeners);
        ConfigErrors::try_new(faults).map_or(Ok(()), Err)?;
        Ok(Bound { path: path.to_owned(), locations, config, settings, files, sockets, own_listeners })
    }
}

/// Every socket is bound; nobody is answered yet.
struct Bound {
    path: PathBuf,
    locations: KeyLocations,
    config: Arc<Config>,
    settings: Settings,
    files: Files,
    sockets: Sockets,
    own_listeners: OwnListeners,
}

impl Bound {
    /// Opens what is left, the store last, and returns once every service runs.
    ///
    /// # Errors
    /// The first that cannot be opened, or a service that does not start.
    fn start(self, handover: &mut Handover) -> Result<Running> {
        let listeners: Vec<_> = self.sockets.internal.iter().map(|listener| listener.address).collect();
        let this = Node::this(&self.config.internal, &listeners);
        let opened = Opened::try_new(&self.config, &self.locations, &self.path, &this.name)?;
        let config = &self.config;
        let again = self.sockets.try_clone(&config.server.listen, &config.tls.listen, &config.internal.listen);
        let again = again.context("the listening sockets cannot be kept for an upgrade")?;
        handover.await_store(&config.store)?;
        let possession = if handover.is_due() { Possession::Borrowed } else { Possession::Own };
        let nodes = Nodes::alone(this);
        let restored = Restored::try_new(&self.config, &self.own_listeners, &nodes, &opened, possession)?;
        let (tasks, tasks_asked) = cluster::tasks();
        let values = handover.values();
        let vault = vaulting::start(&self.config, &restored.snapshots, &opened.telemetry, &values)?;
        let updates = updating::rule(&self.config, handover.program());
        let (programs, programs_asked) = updating::channel(updates).unzip();
        let beside = clustering::Beside {
            shared: restored.shared.clone(),
            tasks,
            share: clustering::share(restored.affinity.clone(), opened.certifying.public.clone()),
            values: &values,
            vault: vault.as_ref(),
            updates,
            programs,
            in_force: self.settings.in_force(),
        };
        let cluster = clustering::start(&self.config, &restored.snapshots, &opened.telemetry, beside)?;
        let (cluster_handle, cluster) = cluster.unzip();
        let keeper = acquiring::keeper(&self.config, opened.certifying.public(), &restored.snapshots)?;
        let stop = Stop::watch(opened.background.handle())?;
        let readiness = Arc::new(Readiness::default());
        let open = OpenOfEach::new(&opened.telemetry);
        let (reloads, asked) = Reloads::channel();
        let (upgrades, upgrades_asked) = Upgrades::channel();
        let (takeovers, takeovers_asked) = tokio::sync::mpsc::channel(1);
        let restarts =
            handover.check_replaceable(&self.config.store).map(|()| takeovers.clone()).map_err(|why| why.into());
        if let (Some(asked), Some(program)) = (programs_asked, handover.program()) {
            let staging = Arc::new(updating::staging(&self.config, &self.path, restored.custody.clone()));
            opened.background.spawn(Updating { staging, program: program.to_owned(), takeovers }.run(asked));
        }
        let store = self.config.store.clone();
        let asked_to_upgrade = rotating::upgrade_signals(&opened.background)?;
        opened.background.spawn(self.reloading(&opened, &restored, vault.clone(), restarts).run(
            opened.hangups,
            asked,
            tasks_asked,
        ));

        let public = listener::address_list(self.sockets.public.iter().chain(&self.sockets.tls));
        let internal = listener::address_list(&self.sockets.internal);
        let max_connections = self.config.server.max_connections;
        let plain = self.config.plain_internal_listeners();
        opened.background.spawn(api::sample_traffic(Arc::clone(&restored.snapshots), Arc::clone(&opened.telemetry)));
        let services = Services {
            config: self.config,
            files: self.files,
            telemetry: opened.telemetry,
            access_log: opened.access_log.clone(),
            tracer: opened.tracer.clone(),
            geo: opened.geo,
            own_listeners: self.own_listeners,
            nodes,
            cluster: cluster_handle,
            values: values.clone(),
            driver: restored.handle.clone(),
            snapshots: Arc::clone(&restored.snapshots),
            affinity: restored.affinity.clone(),
            readiness: Arc::clone(&readiness),
            reloads,
            upgrades,
            exports: restored.exports,
            audit: restored.audit,
            open: open.clone(),
            monitor: restored.monitor,
            database: opened.database,
            certifying: opened.certifying,
            keeper,
        };
        let server_ended = services.run(self.sockets, &stop)?;
        readiness.set_ready();
        let is_replacing = handover.is_due();
        handover.ready()?;
        if let Some(custody) = &restored.custody {
            custody.take_over();
        }
        files::tell_lowered(self.files, max_connections);
        if let Some(warning) = plain {
            log::warn!("{warning}");
        }
        log::info!("furt {VERSION} ({COMMIT}) listens on {public}; services register at {internal}");
        if !is_replacing {
            // It listens to the process that it watches alone, which tells it of this one.
            notify_supervisor(&[NotifyState::Ready]);
        }
        let possessions = Possessions::new(again, &store, restored.custody, values);
        let upgrading = Upgrading::new(handover, possessions, upgrades_asked, takeovers_asked, asked_to_upgrade);
        Ok(Running {
            background: opened.background,
            driver: restored.driver,
            handle: restored.handle,
            upgrading,
            server_ended,
            stop,
            readiness,
            open,
            snapshots: restored.snapshots,
            access_log: opened.access_log,
            tracer: opened.tracer,
            store_closed: restored.closed,
            cluster,
            vault,
            leaving: restored.leaving,
        })
    }

    fn reloading(
        &self,
        opened: &Opened,
        restored: &Restored,
        vault: Option<vault::Running>,
        restarts: Restarts,
    ) -> Reloading {
        Reloading {
            path: self.path.clone(),
            config: Arc::clone(&self.config),
            driver: restored.handle.clone(),
            sharing: restored.sharing,
            own_listeners: self.own_listeners.clone(),
            access_log: opened.access_log.clone(),
            tracer: opened.tracer.clone(),
            metrics: Arc::clone(&opened.telemetry.reloads),
            files: self.files,
            certifying: opened.certifying.clone(),
            answer_files: opened.answer_files.clone(),
            providing: opened.providing.clone(),
            providers: opened.providers.clone(),
            snapshots: Arc::clone(&restored.snapshots),
            settings: self.settings.clone(),
            vault,
            restarts,
        }
    }
}

/// Every service runs, and furt says that it is ready.
struct Running {
    background: Runtime,
    driver: JoinHandle<()>,
    handle: driver::Handle,
    upgrading: Upgrading,
    server_ended: oneshot::Receiver<()>,
    stop: Stop,
    readiness: Arc<Readiness>,
    open: OpenOfEach,
    snapshots: Snapshots,
    access_log: AccessLog,
    tracer: Tracer,
    store_closed: mpsc::Receiver<()>,
    cluster: Option<cluster::Running>,
    vault: Option<vault::Running>,
    leaving: Option<Leaving>,
}

impl Running {
    /// # Errors
    /// What furt cannot be without has ended by itself.
    fn until_told_to_stop(&mut self) -> Result<StopRequest> {
        self.background.block_on(async {
            loop {
                tokio::select! {
                    request = self.stop.requested() => return Ok(request),
                    // Without its one writer a gateway would serve an ever older table: a supervisor must start it again.
                    ended = &mut self.driver => return Err(anyhow!("the registry's task has ended: {ended:?}")),
                    // And without its listeners it would serve nobody.
                    _ = &mut self.server_ended => return Err(anyhow!("the server has ended; what it said before is why")),
                    is_replaced = self.upgrading.serve_next() => if is_replaced { return Ok(StopRequest::Replaced) }
                }
            }
        })
    }

    /// Lets clients end what they began, if they may; then closes the store and the access log.
    fn stop(mut self, request: StopRequest) {
        self.upgrading.close_listeners();
        match request {
            StopRequest::Drain => {
                self.say_that_it_stops();
                self.drain();
            }
            StopRequest::AtOnce => self.say_that_it_stops(),
            StopRequest::Replaced => self.drain_replaced(),
        }
        self.close();
    }

    fn say_that_it_stops(&mut self) {
        self.readiness.set_stopping();
        self.end_cluster(Ending::Leaving);
        notify_supervisor(&[NotifyState::Stopping]);
    }

    fn end_cluster(&mut self, ending: Ending) {
        if let Some(cluster) = &mut self.cluster {
            cluster.end(ending);
        }
    }

    fn drain(&self) {
        let grace = self.snapshots.load().config.server.grace;
        let count = self.open.clients.count();
        log::info!("stopping: waiting for {count} client connections, at most {} s", grace.as_secs_f64());
        self.background.block_on(self.stop.drain(&self.open.clients, &self.open.internal, grace));
    }

    /// Another process serves. Only clients that are here already are of interest.
    fn drain_replaced(&mut self) {
        if let Some(pid) = self.upgrading.successor() {
            // Of the process that it watches a supervisor believes that another one is the one to watch.
            notify_supervisor(&[NotifyState::MainPid(pid)]);
        }
        self.end_cluster(Ending::Replaced);
        if let Some(vault) = &self.vault {
            vault.end();
        }
        self.readiness.set_replaced();
        self.stop.stop_accepting();
        self.upgrading.tell_success();
        let leaving = self.leaving.take();
        let (grace, upgrade_grace) = {
            let server = &self.snapshots.load().config.server;
            (server.grace, server.upgrade_grace)
        };
        let count = self.open.clients.count();
        log::info!("replaced: waiting for {count} client connections, at most {} s", upgrade_grace.as_secs_f64());
        self.background.block_on(async {
            // It has ended only where the process does.
            _ = self.handle.replaced().await;
            if let Some(leaving) = leaving {
                // Limits that gateways divide are divided by those that serve.
                _ = tokio::time::timeout(LAST_SYNC, leaving.leave()).await;
            }
            self.stop.drain_replaced(&self.open.clients, &self.open.internal, upgrade_grace, grace).await;
        });
    }

    /// The driver goes with its runtime and the store with the driver. A store that was closed in order shows more of its
    /// damage at the next start than one that was cut off.
    fn close(self) {
        if let Some(leaving) = self.leaving {
            // A store that is away finds the end of this gateway's lease.
            _ = self.background.block_on(async { tokio::time::timeout(LAST_SYNC, leaving.leave()).await });
        }
        if let Some(cluster) = self.cluster {
            cluster.join();
        }
        self.background.shutdown_timeout(LAST_SYNC);
        if self.store_closed.recv_timeout(LAST_SYNC) == Err(RecvTimeoutError::Timeout) {
            log::warn!("the store is not closed in order: it still writes after {} s", LAST_SYNC.as_secs());
        }
        self.access_log.flush(LAST_FLUSH);
        self.tracer.close();
        log::info!("stopped with {} client connections open", self.open.clients.count());
    }
}

fn tell_contents(path: &Path, contents: &Contents) {
    log::info!(
        "the store {} has {} services with {} instances, {} of them DOWN, {} draining, {} ids held, {} API keys, {} in maintenance, {} splits, and {} grants",
        path.display(),
        contents.definitions.len(),
        contents.instances.len(),
        contents.observed.down.len(),
        contents.draining.len(),
        contents.holds.len(),
        contents.keys.len(),
        contents.maintenance.len(),
        contents.splits.len(),
        contents.grants.len()
    );
}

/// Tells systemd, where it started us (`Type=notify`).
fn notify_supervisor(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("the supervisor cannot be told: {error}");
    }
}
