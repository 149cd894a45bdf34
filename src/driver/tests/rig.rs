//! A driver around a real core, with a store that does as it is told and probes that are written down.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::driver::{Driver, DriverGone, Handle, Snapshots, StoreThread};
use crate::published::Published;
use crate::telemetry::Telemetry;
use furt_core::model::{
    CidrSet, Definition, Epoch, Host, InstanceId, InstanceSpec, MethodRule, Pattern, RouteSpec, ServiceName,
    UpstreamUrl,
};
use furt_core::ports::{Probes, Store, StoreError};
use furt_core::registry::{
    Answer, Change, Contents, Deregistration, DnsSubject, Event, InstanceRef, NameWatch, OnLastInstance, ProbePlan,
    Refusal, Registered, Registration, Source,
};
use furt_core::registry::{
    HealthLimits, ProbeFailure, ProbeToken, ProbedHost, RegistrationKind, RegistrationPolicy, Registry, Settings,
    Sharing, UnlistedRule,
};

/// What the store does with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Works,
    Fails,
    /// Keeps the batch until the mood is another.
    Holds,
    Panics,
}

/// The store's remote control.
pub(super) struct Control {
    state: Mutex<(Mood, Vec<usize>)>,
    changed: Condvar,
}

impl Control {
    pub(super) fn set(&self, mood: Mood) {
        self.state.lock().unwrap().0 = mood;
        self.changed.notify_all();
    }

    /// How many changes each batch that came had.
    pub(super) fn batches(&self) -> Vec<usize> {
        self.state.lock().unwrap().1.clone()
    }
}

struct ToldStore(Arc<Control>);

impl Store for ToldStore {
    fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
        let mut state = self.0.state.lock().unwrap();
        state.1.push(changes.len());
        let mood = self.0.changed.wait_while(state, |state| state.0 == Mood::Holds).unwrap().0;
        match mood {
            Mood::Works | Mood::Holds => Ok(()),
            Mood::Fails => Err(StoreError::Unavailable("disk full".to_owned())),
            Mood::Panics => panic!("as the test told it"),
        }
    }

    fn load(&mut self) -> Result<Contents, StoreError> {
        Ok(Contents::new(furt_core::model::Epoch(uuid::Uuid::nil())))
    }
}

/// The plans that hold.
pub(super) type Plans = Arc<Mutex<BTreeMap<InstanceRef, ProbePlan>>>;

struct WrittenDown(Plans);

impl Probes for WrittenDown {
    fn probe(&mut self, instance: InstanceRef, plan: ProbePlan) {
        self.0.lock().unwrap().insert(instance, plan);
    }

    fn stop(&mut self, instance: &InstanceRef) {
        self.0.lock().unwrap().remove(instance);
    }

    fn watch_name(&mut self, _subject: DnsSubject, _order: NameWatch) {}

    fn unwatch_name(&mut self, _subject: &DnsSubject) {}
}

pub(super) struct Rig {
    pub(super) handle: Handle,
    pub(super) snapshots: Snapshots,
    pub(super) store: Arc<Control>,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) plans: Plans,
    pub(super) running: JoinHandle<()>,
}

impl Rig {
    /// A driver that runs, with the default numbers and a store that works.
    pub(super) fn start() -> Self {
        let store = Arc::new(Control { state: Mutex::new((Mood::Works, Vec::new())), changed: Condvar::new() });
        let telemetry = Telemetry::try_new().unwrap();
        let epoch = Epoch(uuid::Uuid::nil());
        let (registry, effects) = Registry::new(epoch, settings(), Vec::new(), Vec::new(), crate::driver::now());
        let told = Box::new(ToldStore(Arc::clone(&store)));
        let (metrics, events) = (Arc::clone(&telemetry.registry), Arc::clone(&telemetry.events));
        let (driver, handle, snapshots) =
            Driver::new(registry, effects, Default::default(), StoreThread::start(told), metrics, events);
        let plans = Plans::default();
        let running = tokio::spawn(driver.run(WrittenDown(Arc::clone(&plans))));
        Self { handle, snapshots, store, telemetry, plans, running }
    }

    pub(super) async fn register(&self, command: Registration) -> Result<Registered, Refusal> {
        match register(&self.handle, command).await.unwrap()? {
            Answer::Registered(registered) => Ok(registered),
            other => panic!("{other:?} is no answer to a registration"),
        }
    }

    pub(super) async fn heartbeat(&self, whom: &str) -> Result<Answer, Refusal> {
        let instance = instance(whom);
        self.handle.ask(move |reply| Event::HeartbeatReceived(instance, None, local(), reply)).await.unwrap()
    }

    pub(super) fn snapshot(&self) -> Arc<Published> {
        self.snapshots.load_full()
    }

    pub(super) fn knows(&self, service: &str) -> bool {
        self.snapshot().service_named(service).is_some()
    }

    /// Whether requests see an instance of the service.
    pub(super) fn has_instance(&self, service: &str) -> bool {
        self.snapshot().service_named(service).is_some_and(|service| !service.instances.is_empty())
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        // A batch that is held would hold its thread, too.
        self.store.set(Mood::Works);
    }
}

pub(super) async fn register(handle: &Handle, command: Registration) -> Result<Result<Answer, Refusal>, DriverGone> {
    handle.ask(move |reply| Event::RegistrationRequested(Box::new(command), reply)).await
}

pub(super) async fn deregister(handle: &Handle, service: &str) -> Result<Result<Answer, Refusal>, DriverGone> {
    let service = ServiceName::try_new(service).unwrap();
    let command = Deregistration {
        service,
        instance: None,
        incarnation: None,
        on_last_instance: OnLastInstance::RemoveService,
        source: local(),
    };
    let gone = move |reply| Event::DeregistrationRequested(command, reply);
    handle.ask(gone).await
}

pub(super) fn local() -> Source {
    Source { address: [127, 0, 0, 1].into(), operator: None, token: None, certificate: None }
}

/// The instance that has its service's name.
pub(super) fn instance(service: &str) -> InstanceRef {
    let service = ServiceName::try_new(service).unwrap();
    InstanceRef { id: InstanceId::from(&service), service }
}

/// One route under the service's name, one instance of its name, no TTL.
pub(super) fn command(service: &str) -> Registration {
    let InstanceRef { service, id } = instance(service);
    let url = UpstreamUrl::try_new("http://127.0.0.1:9000").unwrap();
    let route = RouteSpec {
        method: MethodRule::try_new("GET").unwrap(),
        pattern: Pattern::try_new(&format!("/{service}")).unwrap(),
        permission: None,
        options: Default::default(),
    };
    Registration {
        kind: RegistrationKind::Full,
        definition: Definition { routes: vec![route], ..Definition::new(service) },
        addresses: Arc::from([url.socket_address().unwrap()]),
        instance: InstanceSpec::new(id, url),
        source: local(),
    }
}

/// The same with a TTL.
pub(super) fn command_with_ttl(service: &str, seconds: u64) -> Registration {
    let mut command = command(service);
    command.instance.heartbeat_ttl = Some(Duration::from_secs(seconds));
    command
}

/// A probe that ended.
pub(super) fn probed(service: &str, token: ProbeToken, outcome: Result<(), ProbeFailure>) -> Event {
    let (host, took) = (ProbedHost::Own, Duration::from_millis(1));
    Event::ProbeFinished { instance: instance(service), token, outcome, host, took }
}

fn settings() -> Settings {
    let seconds = Duration::from_secs;
    Settings {
        policy: RegistrationPolicy {
            grants: BTreeMap::new(),
            unlisted: UnlistedRule::Allow,
            upstreams: CidrSet::try_new(&["127.0.0.0/8"]).unwrap(),
            static_routes: Vec::new(),
            apps_domain: Host::try_new("internal").unwrap(),
        },
        health: HealthLimits {
            interval: seconds(30),
            interval_down: seconds(120),
            failures_to_down: 3,
            failures_to_stop: 10,
            startup_time: Duration::from_secs(60),
            min_interval: Duration::from_secs(1),
        },
        heartbeat_ttl: seconds(60),
        sharing: Sharing::Exclusive,
        outage_hold: Duration::from_secs(300),
        shares_limits: false,
        rules: Arc::default(),
    }
}
