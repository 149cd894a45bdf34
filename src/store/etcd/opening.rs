//! The start on a store that gateways share: what is there is read whole, at one revision.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use log::{info, warn};
use tokio::sync::mpsc;
use uuid::Uuid;

use super::audit;
use super::connection::{Access, Connection, Fault, FaultKind};
use super::follow::{Vet, follow};
use super::layout::{FORMAT, Layout};
use super::link::Link;
use super::meta::Meta;
use super::mirror::Mirror;
use super::session::Session;
use super::settings::Settings;
use super::txn::{Compare, Op, Txn, Under};
use super::{EtcdStore, Options};
use crate::affinity_keys::AffinitySecret;
use crate::audit::{AuditTrail, News};
use crate::clock;
use crate::telemetry::SharedStoreMetrics;
use furt_core::model::{Epoch, GatewayName};
use furt_core::ports::StoreError;
use furt_core::registry::{Change, Contents, Incoming, Revision, Suspended};

/// How long a store that cannot be reached is tried at the start.
const PATIENCE: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(200);

/// A store that was opened, with what it has.
pub struct Opened {
    /// To write to it, and to be told.
    pub store: EtcdStore,
    /// All that it has.
    pub contents: Contents,
    /// What of it is not routed, and why.
    pub suspended: Suspended,
    /// The same for all gateways of the namespace.
    pub affinity: AffinitySecret,
    /// A number that no other gateway has.
    pub salt: u64,
    /// No lease is shorter.
    pub least_ttl: Duration,
    /// What operators did at all of the gateways.
    pub audit: AuditTrail,
}

/// Why an endpoint is of no use at the start.
enum Refused {
    /// It may be later.
    Fault(Fault),
    /// A person has to do something.
    Final(StoreError),
}

impl From<Fault> for Refused {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

/// What one endpoint gave.
struct Found {
    connection: Arc<Connection>,
    epoch: Epoch,
    starts: u64,
    affinity: AffinitySecret,
    least_ttl: Duration,
    all: super::follow::Group,
}

/// Opens the store; its task runs on the runtime that this is called on.
///
/// # Errors
/// No endpoint can be reached within 10 s, or what is there is not furt's, or of a newer furt.
pub async fn open(options: Options, vet: Box<Vet>, metrics: Arc<SharedStoreMetrics>) -> Result<Opened, StoreError> {
    let Options { endpoints, namespace, access, nodes } = options;
    let Some(this) = nodes.list().first().cloned() else {
        return Err(StoreError::Invalid("this gateway is not among the nodes".to_owned()));
    };
    warn_of_plain(&endpoints);
    let layout = Layout::new(&namespace);
    let deadline = clock::now() + PATIENCE;
    let mut first_endpoint = 0;
    let found = loop {
        match look(&endpoints[first_endpoint], &access, &layout).await {
            Ok(found) => break found,
            Err(Refused::Final(error)) => return Err(error),
            Err(Refused::Fault(fault)) if clock::now() >= deadline => {
                return Err(StoreError::Unavailable(format!(
                    "the store etcd at {} cannot be used: {}: {}; furt tried for {} s",
                    endpoints.join(", "),
                    endpoints[first_endpoint],
                    fault.text,
                    PATIENCE.as_secs()
                )));
            }
            Err(Refused::Fault(fault)) => warn!("etcd at {}: {}", endpoints[first_endpoint], fault.text),
        }
        first_endpoint = (first_endpoint + 1) % endpoints.len();
        tokio::time::sleep(PAUSE).await;
    };
    let Found { connection, epoch, starts, affinity, least_ttl, all } = found;
    let id = this.id;
    let name = GatewayName::try_new(&this.name).map_err(|error| StoreError::Invalid(error.to_string()))?;
    let settings = Arc::new(Settings {
        endpoints,
        first_endpoint,
        access,
        layout,
        id: id.to_string(),
        name: name.clone(),
        epoch,
        vet,
        nodes,
        metrics,
        audit_news: News::default(),
        connection: arc_swap::ArcSwapOption::empty(),
    });
    let mut mirror = Mirror::default();
    let followed = follow(&all, &mut mirror, &settings.layout, &*settings.vet, true);
    let (contents, suspended) = contents(&mirror, epoch, starts, &followed.changes);
    info!(
        "the store etcd below {} has {} services with {} instances, {} draining, {} ids held, {} API keys, {} in maintenance, {} splits, and {} grants, at revision {}",
        settings.layout.root(),
        contents.definitions.len(),
        contents.instances.len(),
        contents.draining.len(),
        contents.holds.len(),
        contents.keys.len(),
        contents.maintenance.len(),
        contents.splits.len(),
        contents.grants.len(),
        mirror.revision
    );
    let (commands, taken) = mpsc::unbounded_channel();
    let (told, events) = mpsc::unbounded_channel();
    let session = Session {
        write: 0,
        name: name.to_string(),
        version: this.version,
        internal: this.internal.map(|url| url.to_string()),
    };
    let mut link = Link::new(Arc::clone(&settings), mirror, session, taken, told);
    link.tell_refused(&followed);
    link.follow_nodes(&followed);
    tokio::spawn(link.run(connection));
    let (high, low) = id.as_u64_pair();
    let store = EtcdStore::new(commands, events);
    Ok(Opened { store, contents, suspended, affinity, salt: high ^ low, least_ttl, audit: audit::trail(settings) })
}

async fn look(endpoint: &str, access: &Access, layout: &Layout) -> Result<Found, Refused> {
    let connection = Arc::new(Connection::open(endpoint, access).await?);
    let epoch = epoch(&connection, layout).await?;
    let affinity = affinity_secret(&connection, layout).await?;
    let starts = connection.count_up(&layout.starts()).await?;
    let (lease, seconds) = connection.grant(1).await?;
    connection.revoke(lease).await?;
    let all = connection.range(layout.records(), 0, true).await?;
    Ok(Found { connection, epoch, starts, affinity, least_ttl: Duration::from_secs(seconds), all })
}

/// The registry's identity; a namespace that is empty is given one.
async fn epoch(connection: &Connection, layout: &Layout) -> Result<Epoch, Refused> {
    loop {
        let key = layout.meta();
        if let (_, Some(meta)) = connection.get(&key).await? {
            let meta = Meta::parse(&meta.value).map_err(|error| {
                Refused::Final(StoreError::Damaged(format!(
                    "etcd has no registry of furt's below {}: {key} cannot be read: {error}; choose another store.namespace",
                    layout.root()
                )))
            })?;
            if meta.format > FORMAT {
                return Err(Refused::Final(StoreError::OtherFormat(format!(
                    "the registry below {} in etcd has format {}, and this furt knows {FORMAT}; start a newer furt",
                    layout.root(),
                    meta.format
                ))));
            }
            return Ok(meta.epoch);
        }
        if connection.has_any(layout.records()).await? {
            return Err(Refused::Final(StoreError::OtherStore(format!(
                "etcd has records below {} and no {key}, so nobody knows whose they are; restore that key from a backup, or \
                 delete all below {} to begin anew, or choose another store.namespace",
                layout.root(),
                layout.root()
            ))));
        }
        let meta = Meta { format: FORMAT, epoch: Epoch(Uuid::new_v4()) };
        put_if_absent(connection, key, meta.to_json()).await?;
    }
}

/// What sticky cookies are made with; where there is none, one that is made now.
async fn affinity_secret(connection: &Connection, layout: &Layout) -> Result<AffinitySecret, Refused> {
    let key = layout.affinity_secret();
    loop {
        if let (_, Some(stored)) = connection.get(&key).await? {
            return AffinitySecret::from_hex(&stored.value).ok_or_else(|| {
                Refused::Final(StoreError::Damaged(format!(
                    "{key} in etcd is not 64 hexadecimal digits; delete it, and the next gateway that starts makes another"
                )))
            });
        }
        let made = AffinitySecret::random().map_err(|why| {
            Refused::Final(StoreError::Unavailable(format!("the system gives no random numbers: {why}")))
        })?;
        put_if_absent(connection, key.clone(), made.to_hex().into_bytes()).await?;
    }
}

/// Of gateways that start at once one puts it, and all read it.
async fn put_if_absent(connection: &Connection, key: String, value: Vec<u8>) -> Result<(), Fault> {
    let put = connection.txn(Txn {
        compares: vec![Compare::Absent(key.clone())],
        ops: vec![Op::Put { key, value, under: Under::None }],
        writes: Vec::new(),
    });
    put.await.map(drop).map_err(|fault| match fault.kind {
        FaultKind::Rejected => Fault { text: format!("etcd refuses to store anything: {}", fault.text), ..fault },
        FaultKind::NoLease | FaultKind::Compacted | FaultKind::Lost => fault,
    })
}

/// All that was read, as the core takes it.
fn contents(mirror: &Mirror, epoch: Epoch, starts: u64, changes: &[Incoming]) -> (Contents, Suspended) {
    let mut contents = Contents { revision: Revision(mirror.revision), starts, ..Contents::new(epoch) };
    let mut suspended = Suspended::default();
    for Incoming { change, suspended: why, added } in changes {
        match change {
            Change::PutDefinition(record) => {
                suspended.services.extend(why.clone().map(|why| (record.definition.service.clone(), why)));
                contents.added.extend(added.map(|added| (record.definition.service.clone(), added)));
                contents.definitions.insert(record.definition.service.clone(), record.clone());
            }
            Change::PutInstance(record) => {
                contents.instances.insert(record.spec.id.clone(), record.clone());
                suspended.instances.extend(why.clone().map(|why| (record.spec.id.clone(), why)));
            }
            Change::NoteTtl { instance, ttl } => {
                contents.ttls.insert(instance.id.clone(), *ttl);
            }
            Change::PutDraining(instance, mark) => {
                contents.draining.insert(instance.id.clone(), Arc::clone(mark));
            }
            Change::PutHold(instance, mark) => {
                contents.holds.insert(instance.clone(), Arc::clone(mark));
            }
            Change::PutKey(api_key) => {
                contents.keys.insert(api_key.name().clone(), Arc::clone(api_key));
            }
            Change::PutMaintenance(scope, maintenance) => {
                contents.maintenance.insert(scope.clone(), Arc::clone(maintenance));
            }
            Change::PutSplit(service, split) => {
                contents.splits.insert(service.clone(), Arc::clone(split));
            }
            Change::PutGrant(service, grant) => {
                contents.grants.insert(service.clone(), Arc::clone(grant));
            }
            Change::RemoveInstance(_)
            | Change::RemoveService { .. }
            | Change::Observe(..)
            | Change::RemoveDraining(_)
            | Change::RemoveHold(_)
            | Change::RemoveKey(_)
            | Change::RemoveMaintenance(_)
            | Change::RemoveSplit(_)
            | Change::RemoveGrant(_)
            | Change::Audit(_) => {}
        }
    }
    (contents, suspended)
}

/// Whoever can read along or write in between holds the registry.
fn warn_of_plain(endpoints: &[String]) {
    let is_plain_and_away = |endpoint: &&String| {
        let url = url::Url::parse(endpoint).ok();
        url.is_some_and(|url| {
            let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
            let is_loopback = host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback());
            url.scheme() == "http" && !is_loopback
        })
    };
    for endpoint in endpoints.iter().filter(is_plain_and_away) {
        warn!(
            "etcd at {endpoint} is beyond this host and without TLS: who is on the way can mint API keys and take routes"
        );
    }
}
