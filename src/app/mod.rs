//! The only wiring: from a configuration to a running gateway.
//!
//! Every listener is bound first, and every failure told at once; Pingora adopts the sockets. Pingora's server runs on
//! a thread of its own, because it would sleep out the whole grace at the end: the process ends when the last connection
//! is gone instead, at the latest after the grace.

mod files;
mod locating;
mod lookups;
mod reloading;
mod rotating;
mod services;
mod stopping;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pingora::listeners::ListenerConfig;
use pingora::prelude::Server;
use pingora::protocols::l4::stream::L4BufferSettings;
use pingora::server::configuration::ServerConf;
use pingora::server::{RunArgs, ShutdownWatch};
use pingora::services::listening::Service;
use pingora_proxy::http_proxy;
use prometheus::{IntCounter, IntGauge};
use tokio::sync::oneshot;

use crate::api::{self, Readiness, Reloads};
use crate::config::{Config, ConfigErrors, MAX_RETRIES, Places, StoreConfig};
use crate::driver::{Driver, Handle};
use crate::geo::Geo;
use crate::health::{HttpProbe, Monitor};
use crate::listener::{self, Adopting, OpenConnections, OwnListeners, Sockets};
use crate::proxy::{Edge, Gateway};
use crate::published::Snapshots;
use crate::store::DiskStore;
use crate::telemetry::{AccessLog, COMMIT, Telemetry, VERSION};
use crate::upstream;
use files::Files;
use furt_core::MemoryStore;
use furt_core::ports::{Store, StoreError};
use furt_core::registry::Registry;
use furt_core::registry::{Change, Contents};
use reloading::Reloading;
use stopping::Stop;

/// Worker threads of the internal listener: its requests are short, and the proxy is what cores are for.
const INTERNAL_THREADS: usize = 1;
/// Of a client connection. None: headers and bodies are read into buffers of their own, which are there as long as they
/// are read; Pingora's default of 64 KiB lies idle with every idle client.
const READ_BUFFER: usize = 0;
/// Of a client connection: a header and a small body in one write. The allocator's class below 4 KiB, for the sake of idle clients.
const WRITE_BUFFER: usize = 3584;
/// Pingora services: the public listener and the internal one.
const LISTENERS: usize = 2;
/// Longer than any `server.grace` may be, which is 30 days.
const OUTLASTING: Duration = Duration::from_secs(31 * 24 * 3600);
/// How long the store may take to close: to end a batch and a sync.
const LAST_SYNC: Duration = Duration::from_secs(2);
/// How long the access log may take to write its last lines.
const LAST_FLUSH: Duration = Duration::from_secs(2);

/// Runs the gateway until SIGTERM or SIGINT, and until its clients are gone or the grace is over; reads `path` again at
/// each reload, as `config` and `places` were read of it.
///
/// # Errors
/// It could not be started: each reason on a line of its own.
pub fn run(path: &Path, config: Config, places: &Places) -> Result<()> {
    run_then(path, config, places, || ())
}

/// The same; once a signal came, `last` runs while everything still answers, for services of this process to leave.
///
/// # Errors
/// As [`run`].
pub fn run_then(path: &Path, config: Config, places: &Places, last: impl FnOnce()) -> Result<()> {
    let config = Arc::new(config);
    let files = files::raise_limit();
    let bound = listener::bind(&config.server.listen, &[config.internal.listen])?;
    let own_listeners = OwnListeners::new(bound.addresses());
    let found = lookups::Found::new();
    let faults = services::static_faults(&config, places, path, &found, &own_listeners);
    ConfigErrors::try_new(faults).map_or(Ok(()), Err)?;
    let telemetry = Telemetry::try_new().context("counters cannot be made")?;
    let access_log = AccessLog::open(&config.access_log, telemetry.access_log_dropped.clone())?;
    check_roots(config.upstream.ca.as_ref())?;
    let geo = locating::open(&config)?;
    let background = background_runtime()?;
    locating::watch(&background, &geo, &telemetry)?;
    rotating::on_hangup(&background, access_log.clone())?;
    let hangups = rotating::hangups(&background)?;
    let readiness = Arc::new(Readiness::default());

    let mut store = open_store(&config.store)?;
    let contents = store.load()?;
    if let StoreConfig::Disk(path) = &config.store {
        log::info!(
            "the store {} has {} services with {} instances, {} of them DOWN, {} draining, and {} API keys",
            path.display(),
            contents.definitions.len(),
            contents.instances.len(),
            contents.down.len(),
            contents.draining.len(),
            contents.keys.len()
        );
    }
    let (mut registry, mut first_effects) = Registry::new(
        contents.epoch,
        services::settings(&config),
        services::static_routes(&config, &found),
        services::keys(&config),
        crate::driver::now(),
    );
    let barred = services::barred(&contents, &own_listeners);
    first_effects.extend(registry.restore(contents, &barred, crate::driver::now()));
    let (store, closed) = ClosingStore::new(store);
    let (driver, handle, snapshots) =
        Driver::new(registry, first_effects, Arc::clone(&config), Box::new(store), Arc::clone(&telemetry));
    let probe_options = upstream::connector_options(&config.upstream, INTERNAL_THREADS);
    let in_force = Arc::clone(&snapshots);
    let timeout = move || in_force.load().config.gateway.health_check_timeout;
    let (for_monitor, not_followed) = (handle.downgrade(), own_listeners.clone());
    let driver = background.spawn(async move {
        let probe = HttpProbe::new(probe_options, timeout);
        let monitor = Monitor::start(probe, for_monitor, not_followed, fastrand::Rng::new());
        driver.run(monitor).await;
    });

    let stop = Stop::watch(background.handle())?;
    let counted =
        |shown: &IntGauge, refused: &IntCounter| Arc::new(OpenConnections::new(shown.clone(), refused.clone()));
    let open = Open {
        clients: counted(&telemetry.connections, &telemetry.connections_refused),
        internal: counted(&telemetry.internal_connections, &telemetry.internal_connections_refused),
    };
    let (reloads, asked) = Reloads::channel();
    let reloading = Reloading {
        path: path.to_owned(),
        config: Arc::clone(&config),
        driver: handle.clone(),
        own_listeners: own_listeners.clone(),
        access_log: access_log.clone(),
        telemetry: Arc::clone(&telemetry),
        files,
    };
    background.spawn(reloading.run(hangups, asked));
    let listeners = Listeners {
        config: &config,
        reloads,
        telemetry,
        access_log: access_log.clone(),
        handle,
        snapshots: Arc::clone(&snapshots),
        readiness: Arc::clone(&readiness),
        own_listeners,
        geo,
        files,
    };
    let (public, internal) = (listener::address_list(&bound.public), listener::address_list(&bound.internal));
    let (started, starts) = mpsc::channel();
    let server = server(&listeners, bound, &open, stop.internal(), &started);
    drop(started);
    let signal = stop.signal();
    let (running, server_ended) = oneshot::channel::<()>();
    thread::Builder::new()
        .name("server".to_owned())
        .spawn(move || {
            // Dropped however it ends.
            let _running = running;
            server.run(RunArgs { shutdown_signal: Box::new(signal) });
        })
        .context("the server's thread cannot be started")?;
    for _ in 0..LISTENERS {
        starts.recv().context("the server has ended at its start; what it said before is why")?;
    }
    readiness.set(true);
    files::tell_lowered(files, config.server.max_connections);
    log::info!("furt {VERSION} ({COMMIT}) listens on {public}; services register at {internal}");
    notify_supervisor(&[sd_notify::NotifyState::Ready]);

    let is_graceful = background.block_on(async {
        tokio::select! {
            is_graceful = stop.requested() => Ok(is_graceful),
            // Without its one writer a gateway would serve an ever older table: a supervisor must start it again.
            ended = driver => Err(anyhow::anyhow!("the registry's task has ended: {ended:?}")),
            // And without its listeners it would serve nobody.
            _ = server_ended => Err(anyhow::anyhow!("the server has ended; what it said before is why")),
        }
    })?;
    last();
    readiness.set(false);
    notify_supervisor(&[sd_notify::NotifyState::Stopping]);
    if is_graceful {
        let grace = snapshots.load().config.server.grace;
        let count = open.clients.count();
        log::info!("stopping: waiting for {count} client connections, at most {} s", grace.as_secs_f64());
        background.block_on(stop.drain(&open.clients, &open.internal, grace));
    }
    // The driver goes with its runtime and the store with the driver. A store that was closed in order shows more of
    // its damage at the next start than one that was cut off.
    background.shutdown_timeout(LAST_SYNC);
    if closed.recv_timeout(LAST_SYNC) == Err(RecvTimeoutError::Timeout) {
        log::warn!("the store is not closed in order: it still writes after {} s", LAST_SYNC.as_secs());
    }
    access_log.flush(LAST_FLUSH);
    log::info!("stopped with {} client connections open", open.clients.count());
    Ok(())
}

/// What the listeners are made of.
struct Listeners<'a> {
    config: &'a Config,
    reloads: Reloads,
    telemetry: Arc<Telemetry>,
    access_log: AccessLog,
    handle: Handle,
    snapshots: Snapshots,
    readiness: Arc<Readiness>,
    own_listeners: OwnListeners,
    geo: Arc<Geo>,
    files: Files,
}

/// The connections of either listener.
struct Open {
    clients: Arc<OpenConnections>,
    internal: Arc<OpenConnections>,
}

fn server(
    listeners: &Listeners<'_>,
    bound: Sockets,
    open: &Open,
    internal_stops: ShutdownWatch,
    started: &mpsc::Sender<()>,
) -> Server {
    let config = listeners.config;
    let conf = ServerConf {
        threads: config.server.threads,
        // A thread that has nobody to steal from needs no queues that others may take from.
        work_stealing: config.server.threads > 1,
        // One attempt and the most retries that there can be: how many there are is judged for each request.
        max_retries: MAX_RETRIES as usize + 1,
        // Pingora takes it times the threads, for one pool.
        upstream_keepalive_pool_size: (listeners.files.idle / config.server.threads).max(1),
        ca_file: config.upstream.ca.as_ref().map(|path| path.to_string_lossy().into_owned()),
        // The process ends by itself (see `stopping`); Pingora must only outlast it, and the grace may be another by then.
        grace_period_seconds: Some(OUTLASTING.as_secs()),
        graceful_shutdown_timeout_seconds: Some(1),
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();

    let gateway = Gateway::new(
        Arc::clone(&listeners.snapshots),
        Arc::clone(&listeners.geo),
        Arc::clone(&listeners.telemetry),
        listeners.access_log.clone(),
    );
    let proxy = http_proxy(&server.configuration, gateway);
    let edge = Edge::new(
        proxy,
        Arc::clone(&open.clients),
        listeners.files.clients,
        Arc::clone(&listeners.telemetry),
        Arc::clone(&listeners.snapshots),
    );
    let mut public = Service::new("public".to_owned(), edge);
    for listener in &bound.public {
        let buffers = L4BufferSettings::new(READ_BUFFER, WRITE_BUFFER);
        public.add_listener(ListenerConfig::tcp(listener.address.to_string()).l4_buffer(buffers));
    }
    server.add_service(Adopting::new(public, bound.public, started.clone()));

    let router = api::router(
        listeners.own_listeners.clone(),
        listeners.handle.clone(),
        Arc::clone(&listeners.snapshots),
        Arc::clone(&listeners.telemetry),
        Arc::clone(&listeners.readiness),
        listeners.reloads.clone(),
        Arc::clone(&listeners.geo),
    );
    let listener = api::Listener::new(
        router,
        Arc::clone(&listeners.snapshots),
        Arc::clone(&open.internal),
        listeners.files.internal,
    );
    let mut internal = Service::new("internal".to_owned(), listener);
    internal.threads = Some(INTERNAL_THREADS);
    for listener in &bound.internal {
        internal.add_tcp(&listener.address.to_string());
    }
    server.add_service(Adopting::new(internal, bound.internal, started.clone()).until(internal_stops));
    server
}

/// The driver and the monitor live here, apart from the request path.
fn background_runtime() -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    let runtime = builder.worker_threads(1).thread_name("background").enable_all().build();
    runtime.context("the background runtime cannot be started")
}

fn open_store(config: &StoreConfig) -> Result<Box<dyn Store>> {
    Ok(match config {
        StoreConfig::Memory => Box::new(MemoryStore::default()),
        StoreConfig::Disk(path) => Box::new(DiskStore::open(path)?),
    })
}

/// A store that tells when it is closed: it is, on its own thread, when the driver is gone.
struct ClosingStore {
    // Before what tells: fields go in this order.
    store: Box<dyn Store>,
    _closed: mpsc::Sender<()>,
}

impl ClosingStore {
    /// The receiver's other end is gone once the store is.
    fn new(store: Box<dyn Store>) -> (Self, mpsc::Receiver<()>) {
        let (closed, receiver) = mpsc::channel();
        (Self { store, _closed: closed }, receiver)
    }
}

impl Store for ClosingStore {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        self.store.apply(changes)
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        self.store.load()
    }
}

/// Pingora panics over roots that it cannot read.
fn check_roots(path: Option<&PathBuf>) -> Result<()> {
    let Some(path) = path else { return Ok(()) };
    let pem = std::fs::read_to_string(path).with_context(|| format!("upstream.ca: cannot read {}", path.display()))?;
    anyhow::ensure!(
        pem.contains("-----BEGIN CERTIFICATE-----"),
        "upstream.ca: {} has no certificate in PEM",
        path.display()
    );
    Ok(())
}

/// Tells systemd, where it started us (`Type=notify`).
fn notify_supervisor(states: &[sd_notify::NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        log::warn!("the supervisor cannot be told: {error}");
    }
}
