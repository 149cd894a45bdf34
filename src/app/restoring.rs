//! The registry as the store has it, with its driver: from the store's contents to the first snapshot.

use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use pingora::connectors::ConnectorOptions;
use tokio::task::JoinHandle;

use super::opening::Opened;
use super::server::INTERNAL_THREADS;
use super::{lookups, services};
use crate::affinity_keys::{AffinitySecret, KeySource};
use crate::api::Exports;
use crate::audit::AuditTrail;
use crate::clock;
use crate::config::{Config, EtcdConfig, StoreConfig};
use crate::driver::{self, Backend, Driver, Handle, StoreThread};
use crate::health::{HttpProbe, Monitor, MonitorService};
use crate::listener::OwnListeners;
use crate::nodes::Nodes;
use crate::published::Snapshots;
use crate::store::{self, Custody, DiskStore, LendableStore, RecordingStore};
use crate::telemetry::SharedStoreMetrics;
use crate::tls::UpstreamTls;
use furt_core::ports::{Store, StoreError};
use furt_core::registry::{Change, Contents, InstanceRecord, Registry, Sharing, Suspended};

pub(super) struct Restored {
    /// Ends only with its runtime, unless it panics.
    pub(super) driver: JoinHandle<()>,
    pub(super) handle: Handle,
    pub(super) snapshots: Snapshots,
    /// By the store's secret, until somebody sets another one.
    pub(super) affinity: KeySource,
    pub(super) monitor: MonitorService<HttpProbe>,
    /// The other end is gone once the store is closed.
    pub(super) closed: mpsc::Receiver<()>,
    /// `None`: the store is in memory.
    pub(super) exports: Option<Exports>,
    /// What operators did.
    pub(super) audit: AuditTrail,
    /// Who writes to the store; a reload does not change it.
    pub(super) sharing: Sharing,
    /// Tells a shared store that the gateway goes.
    pub(super) leaving: Option<store::Leaving>,
    /// Says who stores, where the store is a file.
    pub(super) custody: Option<Custody>,
    /// What is counted of a shared store.
    pub(super) shared: Option<Arc<SharedStoreMetrics>>,
}

/// Whose the store is at the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Possession {
    /// This process's.
    Own,
    /// The process's that this one is to replace.
    Borrowed,
}

/// How long a file may be held on to by who has lent it: somebody may still read it.
const RELEASE: Duration = Duration::from_secs(10);
/// Between two tries to open it.
const RELEASE_PAUSE: Duration = Duration::from_millis(20);

impl Restored {
    /// Loads the store and starts the driver.
    ///
    /// # Errors
    /// The store cannot be opened or read.
    pub(super) fn try_new(
        config: &Arc<Config>,
        own_listeners: &OwnListeners,
        nodes: &Nodes,
        opened: &Opened,
        possession: Possession,
    ) -> Result<Self> {
        let gateway = nodes.list().first().map(|this| this.name.clone()).unwrap_or_default();
        match &config.store {
            StoreConfig::Memory => {
                let secret = AffinitySecret::random().context("the system gives no random numbers")?;
                let store = RecordingStore::new(&gateway);
                let audit = store.audit();
                Self::of_one(config, own_listeners, opened, (Box::new(store), secret), (None, audit))
            }
            StoreConfig::Disk(path) => {
                let store = open(path, possession)?.of_gateway(&gateway);
                let (running, secret) = (store.running(), store.affinity_secret().clone());
                let audit = running.audit();
                let readers = (Some(Exports::new(move || running.export())), audit);
                let (store, custody) = LendableStore::new(store);
                let restored = Self::of_one(config, own_listeners, opened, (Box::new(store), secret), readers)?;
                Ok(Self { custody: Some(custody), ..restored })
            }
            StoreConfig::Etcd => Self::of_many(config, own_listeners, nodes, opened),
        }
    }

    /// Over a store of this process alone.
    fn of_one(
        config: &Arc<Config>,
        own_listeners: &OwnListeners,
        opened: &Opened,
        (mut store, affinity): (Box<dyn Store>, AffinitySecret),
        readers: (Option<Exports>, AuditTrail),
    ) -> Result<Self> {
        let contents = store.load()?;
        if let StoreConfig::Disk(path) = &config.store {
            super::tell_contents(path, &contents);
        }
        let suspended = Suspended { instances: services::barred(&contents, own_listeners), ..Suspended::default() };
        let (store, closed) = ClosingStore::new(store);
        let store = StoreThread::start(Box::new(store));
        let from = Stored { contents, suspended, affinity, sharing: Sharing::Exclusive };
        Ok(Self::start(config, own_listeners, opened, from, store, closed, readers))
    }

    /// Over a store that gateways share.
    fn of_many(config: &Arc<Config>, own_listeners: &OwnListeners, nodes: &Nodes, opened: &Opened) -> Result<Self> {
        let EtcdConfig { endpoints, namespace, user, password_file, ca, cert, key } = config.etcd.clone();
        let options = store::Options {
            endpoints,
            namespace,
            access: store::Access { user: user.zip(password_file), ca, identity: cert.zip(key) },
            nodes: nodes.clone(),
        };
        let listeners = own_listeners.clone();
        let vet = Box::new(move |record: &InstanceRecord| services::barred_instance(record, &listeners));
        let metrics = Arc::new(opened.telemetry.show_shared_store()?);
        let found = opened.background.block_on(store::open(options, vet, Arc::clone(&metrics)))?;
        let store::Opened { store, contents, suspended, affinity, salt, least_ttl, audit } = found;
        let leaving = store.leaving();
        let from = Stored { contents, suspended, affinity, sharing: Sharing::Shared { salt, least_ttl } };
        // Nothing is to be closed: what was answered is stored.
        let (_, closed) = mpsc::channel();
        let restored = Self::start(config, own_listeners, opened, from, store, closed, (None, audit));
        Ok(Self { leaving: Some(leaving), shared: Some(metrics), ..restored })
    }

    fn start(
        config: &Arc<Config>,
        own_listeners: &OwnListeners,
        opened: &Opened,
        from: Stored,
        store: impl Backend + 'static,
        closed: mpsc::Receiver<()>,
        (exports, audit): (Option<Exports>, AuditTrail),
    ) -> Self {
        let Stored { contents, suspended, affinity, sharing } = from;
        let (mut registry, mut first_effects) = Registry::new(
            contents.epoch,
            services::settings(config, sharing),
            services::static_routes(config, &lookups::Found::new(), &opened.answer_files),
            services::keys(config),
            driver::now(),
        );
        first_effects.extend(registry.restore(contents, &suspended, driver::now()));
        let (driver, handle, snapshots) = Driver::new(
            registry,
            first_effects,
            opened.answer_files.with(config, opened.providers.clone()),
            store,
            Arc::clone(&opened.telemetry.registry),
            Arc::clone(&opened.telemetry.events),
        );
        let upstream = Arc::clone(&opened.certifying.upstream);
        let (monitor, service) = monitor(upstream, &handle, &snapshots, own_listeners);
        let driver = opened.background.spawn(driver.run(monitor));
        Self {
            driver,
            handle,
            snapshots,
            affinity: KeySource::new(affinity, clock::unix_ms()),
            monitor: service,
            closed,
            exports,
            audit,
            sharing,
            leaving: None,
            custody: None,
            shared: None,
        }
    }
}

fn open(path: &Path, possession: Possession) -> Result<DiskStore, StoreError> {
    match possession {
        Possession::Own => DiskStore::open(path),
        Possession::Borrowed => {
            let end = clock::now() + RELEASE;
            loop {
                match DiskStore::borrow(path) {
                    Err(StoreError::InUse(_)) if clock::now() < end => std::thread::sleep(RELEASE_PAUSE),
                    opened => return opened,
                }
            }
        }
    }
}

/// What a store has at the start.
struct Stored {
    contents: Contents,
    suspended: Suspended,
    affinity: AffinitySecret,
    sharing: Sharing,
}

fn monitor(
    tls: Arc<UpstreamTls>,
    handle: &Handle,
    snapshots: &Snapshots,
    own_listeners: &OwnListeners,
) -> (Monitor, MonitorService<HttpProbe>) {
    let in_force = Arc::clone(snapshots);
    let timeout = move || in_force.load().config.gateway.health_check_timeout;
    let probe = HttpProbe::new(ConnectorOptions::new(INTERNAL_THREADS), tls, timeout);
    Monitor::new(probe, handle.downgrade(), own_listeners.clone(), fastrand::Rng::new())
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
