//! `[cluster]`: what is wrong with it beside each key alone, and the thread that speaks to the other nodes.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use furt_bus::{AmqpBus, BusUrl, Password, Topology};
use furt_cluster::model::{Metrics, NodeName, RegistryPoint, Role, Scope, SettingsId, Status as NodeStatus, VaultSide};
use furt_cluster::{Condition, Policy, UpdateRule};
use tokio::sync::mpsc;

use super::acquiring::place;
use super::vaulting;
use crate::affinity_keys::KeySource;
use crate::clock;
use crate::cluster::{self, Handle, Options, ProgramTask, Running, Shared, Task};
use crate::config::{ClusterConfig, Config, ConfigError, KeyLocations, Sourced};
use crate::nodes;
use crate::published::Snapshots;
use crate::telemetry::{self, SharedStoreMetrics, Telemetry};
use crate::tls::Tls;
use crate::vault::{self, Values};
use furt_core::model::Status;
use furt_core::routing::Service;

/// Keys that are of no use without others, and files that cannot be used. Passwords and certificates are read at each connection; here
/// it is seen that they can be.
pub(super) fn faults(config: &Config, locations: &KeyLocations, path: &Path) -> Vec<ConfigError> {
    let cluster = &config.cluster;
    let Some(url) = &cluster.url else { return Vec::new() };
    let fault = |key: &str, message: String| ConfigError {
        location: place(key, locations, path),
        key: key.to_owned(),
        message,
    };
    let files = [
        ("cluster.password_file", &cluster.password_file),
        ("cluster.ca", &cluster.ca),
        ("cluster.cert", &cluster.cert),
        ("cluster.key", &cluster.key),
    ];
    let files = files.into_iter().filter_map(|(key, file)| Some((key, file.as_ref()?)));
    let unreadable = files.filter_map(|(key, file)| {
        let why = std::fs::File::open(file).err()?;
        Some(fault(key, format!("{} cannot be read ({why})", file.display())))
    });
    let mut faults: Vec<_> = unreadable.collect();
    for (key, is_set, other, has_other) in [
        ("cluster.cert", cluster.cert.is_some(), "cluster.key", cluster.key.is_some()),
        ("cluster.key", cluster.key.is_some(), "cluster.cert", cluster.cert.is_some()),
    ] {
        if is_set && !has_other {
            faults.push(fault(key, format!("is of no use alone; {other} must be set as well")));
        }
    }
    if cluster.password.is_some() && cluster.password_file.is_some() {
        let why = "stands beside cluster.password, or its variable FURT_CLUSTER_PASSWORD; must be set alone";
        faults.push(fault("cluster.password_file", why.to_owned()));
    }
    for (key, is_set) in [("cluster.ca", cluster.ca.is_some()), ("cluster.cert", cluster.cert.is_some())] {
        if is_set && !url.is_secure() {
            faults.push(fault(key, "is of no use: cluster.url does not begin with amqps://".to_owned()));
        }
    }
    faults
}

/// What else of furt the cluster has to do with.
pub(super) struct Beside<'a> {
    /// Where a shared store is counted; `None`: the store is this node's own.
    pub(super) shared: Option<Arc<SharedStoreMetrics>>,
    /// Has settings checked and put in force.
    pub(super) tasks: mpsc::Sender<Task>,
    /// Takes what gateways derive from the secret.
    pub(super) share: Box<dyn Fn(&Shared) + Send>,
    /// What a Vault has given.
    pub(super) values: &'a Values,
    pub(super) vault: Option<&'a vault::Running>,
    pub(super) updates: UpdateRule,
    /// Has programs fetched and started; `None`: it is off.
    pub(super) programs: Option<mpsc::Sender<ProgramTask>>,
    /// The settings that this process began with.
    pub(super) in_force: BTreeMap<Scope, SettingsId>,
}

/// The cluster's thread and where it is given orders; `None`: there is no cluster.
///
/// # Errors
/// The folder cannot be used, or it does not start.
pub(super) fn start(
    config: &Config,
    snapshots: &Snapshots,
    telemetry: &Arc<Telemetry>,
    beside: Beside<'_>,
) -> Result<Option<(Handle, Running)>> {
    let Beside { shared, tasks, share, values, vault, updates, programs, in_force: began_with } = beside;
    let Some(url) = config.cluster.url.clone() else { return Ok(None) };
    if let Some(warning) = url.warning() {
        log::warn!("cluster.url: {warning}");
    }
    let metrics = Arc::new(telemetry.show_cluster().context("counters of the cluster cannot be made")?);
    let (handle, orders) = Handle::channel();
    let in_force = Arc::clone(snapshots);
    let options = Options {
        folder: config.cluster.state.clone(),
        name: NodeName::of(&host(&config.cluster), std::process::id()),
        exchange: config.cluster.exchange.clone(),
        token_file: config.cluster.token_file.clone(),
        policy: Box::new(move || policy(&in_force.load().config, updates)),
        condition: condition(snapshots, telemetry, shared, vault.cloned()),
        vault: vault.map(|vault| vaulting::door(vault, snapshots)),
        metrics,
        tasks,
        share,
        programs,
        began_with,
    };
    let (cluster, values) = (config.cluster.clone(), values.clone());
    let running = cluster::start(options, orders, move |topology| connect(url, cluster, values, topology))?;
    Ok(Some((handle, running)))
}

/// Gives what gateways share to those that use it.
pub(super) fn share(affinity: KeySource, public: Option<Arc<Tls>>) -> Box<dyn Fn(&Shared) + Send> {
    Box::new(move |shared| {
        let now_ms = clock::unix_ms();
        affinity.set(&shared.affinity, now_ms);
        if let Some(tls) = &public {
            tls.share_tickets(shared.tickets.iter().map(|root| **root).collect(), now_ms.div_euclid(1000));
        }
    })
}

fn connect(url: BusUrl, config: ClusterConfig, values: Values, topology: Topology) -> Result<AmqpBus> {
    let password = match (config.password, config.password_file) {
        (Some(Sourced::Here(password)), _) => Password::text(password.reveal()),
        (Some(Sourced::Vault(place)), _) => Password::from_fn(move || {
            let value = values.get(&place).ok_or("Vault has not given cluster.password yet")?;
            Ok(value.as_ref().to_owned())
        }),
        (None, Some(file)) => Password::file(file),
        (None, None) => Password::from_fn(|| {
            Err("the user of cluster.url needs cluster.password_file, cluster.password or FURT_CLUSTER_PASSWORD"
                .to_owned())
        }),
    };
    let name = format!("furt {}", topology.queue);
    let identity = config.cert.zip(config.key);
    let options =
        furt_bus::Options { url, password, ca: config.ca, identity, name, heartbeat: config.heartbeat, topology };
    AmqpBus::start(options).context("the broker cannot be connected to")
}

fn host(config: &ClusterConfig) -> String {
    config.name.clone().unwrap_or_else(nodes::machine)
}

fn policy(config: &Config, updates: UpdateRule) -> Policy {
    let ClusterConfig { members, commanders, settings, beat_interval, .. } = &config.cluster;
    let members = members.iter().map(|key| (*key, Role::Member));
    let commanders = commanders.iter().map(|key| (*key, Role::Commander));
    Policy {
        beat_interval: *beat_interval,
        peers: members.chain(commanders).collect(),
        updates,
        settings: settings.iter().map(|one| one.to_string().into()).collect(),
        passed_over: config.passed_over.iter().copied().map(Into::into).collect(),
    }
}

/// How this node is, for its beats.
fn condition(
    snapshots: &Snapshots,
    telemetry: &Arc<Telemetry>,
    shared: Option<Arc<SharedStoreMetrics>>,
    vault: Option<vault::Running>,
) -> Box<dyn Fn() -> Condition + Send> {
    let (snapshots, telemetry, started) = (Arc::clone(snapshots), Arc::clone(telemetry), clock::now());
    Box::new(move || {
        let published = snapshots.load();
        let snapshot = &published.snapshot;
        let is_routed = |service: &&Arc<Service>| service.suspended.is_none() && service.status != Status::Down;
        let sample = telemetry::sample().unwrap_or_default();
        let metrics = Metrics {
            memory_rss_mb: mebibytes(sample.resident),
            cpu_user_seconds: sample.user_seconds,
            cpu_system_seconds: sample.system_seconds,
            thread_count: sample.threads,
            uptime_seconds: clock::now().saturating_duration_since(started).as_secs(),
            services_routed: count(snapshot.registered().filter(is_routed).count()),
            services: count(snapshot.registered().count()),
        };
        let is_well = telemetry.issues.list().is_empty() && published.provider_faults().is_empty();
        let registry =
            shared.as_ref().map(|shared| RegistryPoint { epoch: snapshot.epoch.0, revision: shared.revision() });
        let status = if is_well { NodeStatus::Healthy } else { NodeStatus::Degraded };
        let vault = vault.as_ref().map_or(VaultSide::Apart, vault::Running::side);
        Condition { status, metrics, registry, vault }
    })
}

#[expect(clippy::cast_precision_loss, reason = "lex-node's figure is a float; memory is far below 2^53")]
fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
