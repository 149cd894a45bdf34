//! The registry as the store has it, with its driver: from the store's contents to the first snapshot.

use std::sync::Arc;
use std::sync::mpsc;

use anyhow::Result;
use tokio::task::JoinHandle;

use super::opening::Opened;
use super::server::INTERNAL_THREADS;
use super::{lookups, services};
use crate::api::Exports;
use crate::config::{Config, StoreConfig};
use crate::driver::{self, Driver, Handle};
use crate::health::{HttpProbe, Monitor, MonitorService};
use crate::listener::OwnListeners;
use crate::published::Snapshots;
use crate::store::DiskStore;
use crate::upstream;
use furt_core::MemoryStore;
use furt_core::ports::{Store, StoreError};
use furt_core::registry::{Change, Contents, Registry};

pub(super) struct Restored {
    /// Ends only with its runtime, unless it panics.
    pub(super) driver: JoinHandle<()>,
    pub(super) handle: Handle,
    pub(super) snapshots: Snapshots,
    pub(super) monitor: MonitorService<HttpProbe>,
    /// The other end is gone once the store is closed.
    pub(super) closed: mpsc::Receiver<()>,
    /// `None`: the store is in memory.
    pub(super) exports: Option<Exports>,
}

impl Restored {
    /// Loads the store and starts the driver.
    ///
    /// # Errors
    /// The store cannot be opened or read.
    pub(super) fn try_new(config: &Arc<Config>, own_listeners: &OwnListeners, opened: &Opened) -> Result<Self> {
        let (mut store, exports) = open_store(&config.store)?;
        let contents = store.load()?;
        if let StoreConfig::Disk(path) = &config.store {
            super::tell_contents(path, &contents);
        }
        let (mut registry, mut first_effects) = Registry::new(
            contents.epoch,
            services::settings(config),
            services::static_routes(config, &lookups::Found::new()),
            services::keys(config),
            driver::now(),
        );
        let barred = services::barred(&contents, own_listeners);
        first_effects.extend(registry.restore(contents, &barred, driver::now()));
        let (store, closed) = ClosingStore::new(store);
        let (driver, handle, snapshots) = Driver::new(
            registry,
            first_effects,
            Arc::clone(config),
            Box::new(store),
            Arc::clone(&opened.telemetry.registry),
            Arc::clone(&opened.telemetry.events),
        );
        let (monitor, service) = monitor(config, &handle, &snapshots, own_listeners);
        let driver = opened.background.spawn(driver.run(monitor));
        Ok(Self { driver, handle, snapshots, monitor: service, closed, exports })
    }
}

fn monitor(
    config: &Config,
    handle: &Handle,
    snapshots: &Snapshots,
    own_listeners: &OwnListeners,
) -> (Monitor, MonitorService<HttpProbe>) {
    let in_force = Arc::clone(snapshots);
    let timeout = move || in_force.load().config.gateway.health_check_timeout;
    let probe = HttpProbe::new(upstream::connector_options(&config.upstream, INTERNAL_THREADS), timeout);
    Monitor::new(probe, handle.downgrade(), own_listeners.clone(), fastrand::Rng::new())
}

fn open_store(config: &StoreConfig) -> Result<(Box<dyn Store>, Option<Exports>)> {
    Ok(match config {
        StoreConfig::Memory => (Box::new(MemoryStore::default()), None),
        StoreConfig::Disk(path) => {
            let store = DiskStore::open(path)?;
            let running = store.running();
            (Box::new(store), Some(Exports::new(move || running.export())))
        }
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
