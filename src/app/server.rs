//! What runs in furt's one Pingora server:
//!
//! | service | what it is | when it ends |
//! |---|---|---|
//! | `public` | `Edge` around a `ProxyHttp` ([`Gateway`]) that reads one `ArcSwap` of snapshots | when furt is to stop, or another process has taken over |
//! | `internal` | the api's router on an `HttpServerApp` | when the last client is gone, or another process has taken over |
//! | `monitor` | probes and watched names | when the last client is gone |
//! | `geo` | looks for a new database of addresses | when furt is to stop |
//! | `tls` | looks for new certificates, authorities and lists | when the last client is gone |
//! | `acme` | gets certificates | when furt is to stop |
//!
//! The driver and the store are not among them: they outlive all of these.

use std::sync::Arc;

use anyhow::{Context as _, Result};
use pingora::server::configuration::ServerConf;
use pingora::services::background::{BackgroundService, GenBackgroundService};
use pingora_proxy::http_proxy;
use tokio::sync::oneshot;

use super::certifying::{Certifying, Watch};
use super::files::Files;
use super::hosting::{Ends, Host};
use super::locating::DatabaseWatcher;
use super::stopping::Stop;
use crate::acme::Keeper;
use crate::affinity_keys::KeySource;
use crate::api::{self, Exports, Readiness, Reloads, Upgrades};
use crate::audit::AuditTrail;
use crate::cluster;
use crate::config::{Config, MAX_RETRIES};
use crate::driver::Handle;
use crate::geo::Geo;
use crate::health::{HttpProbe, MonitorService};
use crate::listener::{BoundListener, Handshakes, ListenService, OpenConnections, OwnListeners, Sockets};
use crate::nodes::Nodes;
use crate::proxy::{Edge, Gateway, Https};
use crate::published::Snapshots;
use crate::telemetry::{AccessLog, Telemetry, Tracer};
use crate::tls::Shown;
use crate::vault::Values;

/// Worker threads of the internal listener: its requests are short, and the proxy is what cores are for.
pub(super) const INTERNAL_THREADS: usize = 1;
/// Longer than any `server.grace` may be, which is 30 days.
const OUTLASTING_SECONDS: u64 = 31 * 24 * 3600;

/// What the services are made of.
pub(super) struct Services {
    pub(super) config: Arc<Config>,
    pub(super) files: Files,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) access_log: AccessLog,
    pub(super) tracer: Tracer,
    pub(super) geo: Arc<Geo>,
    pub(super) own_listeners: OwnListeners,
    pub(super) nodes: Nodes,
    pub(super) cluster: Option<cluster::Handle>,
    pub(super) values: Values,
    pub(super) driver: Handle,
    pub(super) snapshots: Snapshots,
    pub(super) affinity: KeySource,
    pub(super) readiness: Arc<Readiness>,
    pub(super) reloads: Reloads,
    pub(super) upgrades: Upgrades,
    pub(super) exports: Option<Exports>,
    pub(super) audit: AuditTrail,
    pub(super) open: OpenOfEach,
    pub(super) monitor: MonitorService<HttpProbe>,
    pub(super) database: Option<DatabaseWatcher>,
    pub(super) certifying: Certifying,
    pub(super) keeper: Option<Keeper>,
}

/// The connections of either listener.
#[derive(Clone)]
pub(super) struct OpenOfEach {
    pub(super) clients: Arc<OpenConnections>,
    pub(super) internal: Arc<OpenConnections>,
}

impl OpenOfEach {
    pub(super) fn new(telemetry: &Telemetry) -> Self {
        let clients = OpenConnections::new(telemetry.client_connections.clone());
        let internal = OpenConnections::new(telemetry.internal_connections.clone());
        Self { clients: Arc::new(clients), internal: Arc::new(internal) }
    }
}

impl Services {
    /// Starts the server with all services, and returns once they run and listen. The receiver's other end is dropped when the
    /// server ends.
    ///
    /// # Errors
    /// Some service does not start.
    pub(super) fn run(self, sockets: Sockets, stop: &Stop) -> Result<oneshot::Receiver<()>> {
        let mut host = Host::new(self.server_conf());
        let mut public = self.public(host.configuration(), sockets.public, sockets.tls, stop);
        let mut internal = self.internal(sockets.internal, stop);
        let outcomes = [public.outcome(), internal.outcome()];
        host.add(public, Ends::When(stop.public_ends()));
        host.add(internal, Ends::When(stop.internal_ends()));
        host.add(background("monitor", self.monitor), Ends::When(stop.clients_gone()));
        if let Some(database) = self.database {
            host.add(background("geo", database), Ends::WithServer);
        }
        let watch = Watch { certifying: self.certifying, clients_gone: stop.clients_gone() };
        host.add(background("tls", watch), Ends::WithServer);
        if let Some(keeper) = self.keeper {
            host.add(background("acme", keeper), Ends::WithServer);
        }
        let ended = host.run(stop.signal())?;
        for outcome in outcomes {
            outcome.recv().context("a listener has ended at its start; what it said before is why")??;
        }
        Ok(ended)
    }

    fn server_conf(&self) -> ServerConf {
        let config = &self.config;
        ServerConf {
            threads: config.server.threads,
            // A thread that has nobody to steal from needs no queues that others may take from.
            work_stealing: config.server.threads > 1,
            // One attempt and the most retries that there can be: how many there are is judged for each request.
            max_retries: MAX_RETRIES as usize + 1,
            // Pingora takes it times the threads, for one pool.
            upstream_keepalive_pool_size: (self.files.idle / config.server.threads).max(1),
            // The process ends by itself (see `stopping`); Pingora must only outlast it, and the grace may be another by then.
            grace_period_seconds: Some(OUTLASTING_SECONDS),
            graceful_shutdown_timeout_seconds: Some(1),
            // From a second on tokio's timers: the thread of Pingora's own wakes 100 times a second for as long as furt lives.
            fast_timeout_to_tokio_threshold_seconds: Some(0),
            ..ServerConf::default()
        }
    }

    fn public(
        &self,
        conf: &Arc<ServerConf>,
        plain: Vec<BoundListener>,
        under_tls: Vec<BoundListener>,
        stop: &Stop,
    ) -> ListenService<Edge> {
        let tls = self.certifying.public.as_ref();
        let https = under_tls
            .first()
            .zip(tls)
            .map(|(listener, tls)| Https { port: listener.address.port(), challenges: Arc::clone(tls.challenges()) });
        let gateway = Gateway::new(
            Arc::clone(&self.snapshots),
            (Arc::clone(&self.geo), self.affinity.clone()),
            Arc::clone(&self.telemetry.proxy),
            Arc::clone(&self.telemetry.issues),
            (self.access_log.clone(), self.tracer.clone()),
            (https, self.certifying.public.clone()),
            (Arc::clone(&self.certifying.upstream), conf),
        );
        let edge = Edge::new(
            http_proxy(conf, gateway),
            Arc::clone(&self.open.clients),
            self.files.clients,
            Arc::clone(&self.telemetry.proxy),
            Arc::clone(&self.snapshots),
            stop.idle_ends(),
        );
        let service = ListenService::new("public", None, plain, edge);
        let Certifying { public: Some(tls), metrics, .. } = self.certifying.clone() else { return service };
        service.with_tls(under_tls, Handshakes::new(Shown::Public(tls), metrics, self.config.server.threads))
    }

    fn internal(&self, sockets: Vec<BoundListener>, stop: &Stop) -> ListenService<api::Listener> {
        let router = api::router(api::Parts {
            own_listeners: self.own_listeners.clone(),
            driver: self.driver.clone(),
            snapshots: Arc::clone(&self.snapshots),
            telemetry: Arc::clone(&self.telemetry),
            readiness: Arc::clone(&self.readiness),
            reloads: self.reloads.clone(),
            upgrades: self.upgrades.clone(),
            geo: Arc::clone(&self.geo),
            nodes: self.nodes.clone(),
            cluster: self.cluster.clone(),
            values: self.values.clone(),
            tls: self.certifying.shown(),
            audit: self.audit.clone(),
            connections: self.files.internal,
        });
        let listener = api::Listener::new(
            api::with_exports(router, self.exports.clone()),
            Arc::clone(&self.snapshots),
            Arc::clone(&self.open.internal),
            self.files.internal,
            stop.idle_ends(),
        )
        .with_values(self.values.clone());
        let Certifying { internal: Some(tls), metrics, .. } = self.certifying.clone() else {
            return ListenService::new("internal", Some(INTERNAL_THREADS), sockets, listener);
        };
        let is_plain = |listener: &BoundListener| listener.address.ip().to_canonical().is_loopback();
        let (plain, under_tls) = sockets.into_iter().partition(is_plain);
        ListenService::new("internal", Some(INTERNAL_THREADS), plain, listener)
            .with_tls(under_tls, Handshakes::new(Shown::Internal(tls), metrics, INTERNAL_THREADS))
    }
}

fn background<T: BackgroundService>(name: &str, task: T) -> GenBackgroundService<T> {
    GenBackgroundService::new(name.to_owned(), Arc::new(task))
}
