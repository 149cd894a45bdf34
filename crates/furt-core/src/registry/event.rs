//! What enters the core, what leaves it: events in the past tense, effects in the imperative.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::draining::DrainCommand;
use super::{Configuration, KeyAnswer, KeyCommand, KeyReport, NameToken, ProbeToken, Refusal};
use crate::model::{
    Definition, Epoch, Generation, InstanceId, InstanceSpec, Invalid, KeyName, RuntimeKey, Scheme, ServiceName,
    Sha256Digest, Status,
};
use crate::routing::{Drained, ServiceIndex};

/// The time of an event, read at the edge: one monotonic, one to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// For deadlines.
    pub at: Instant,
    /// For people: ms since the Unix epoch.
    pub unix_ms: i64,
}

/// Names a caller that waits for an [`Answer`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ReplyId(pub u64);

/// Names a write that waits for the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct WriteId(pub u64);

/// Who asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// From where, unmapped.
    pub address: IpAddr,
    /// Whether it may operate (DESIGN §5.2).
    pub is_operator: bool,
    /// The digest of its bearer token, where it sent one.
    pub token: Option<Sha256Digest>,
}

/// What a registration says of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistrationKind {
    /// What it is: to be installed, or to replace what is.
    #[default]
    Full,
    /// Nothing: the instance joins the service as it is, or makes one of that name where there is none. It comes to
    /// send heartbeats: without a TTL of its own it is held to the configured one from the start.
    InstanceOnly,
}

/// A registration as it was checked by the api: every field valid, the name resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// What the service is.
    pub definition: Definition,
    /// Whether that is said or assumed.
    pub kind: RegistrationKind,
    /// Where it runs.
    pub instance: InstanceSpec,
    /// What the url's host resolved to, at least one.
    pub addresses: Arc<[SocketAddr]>,
    /// Who registers it.
    pub source: Source,
}

/// What the last instance of a service takes along where it leaves by a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnLastInstance {
    /// The service: its routes are free at once.
    RemoveService,
    /// Nothing: a definition with routes stays, and they are held as after an expiry.
    KeepRoutes,
}

/// The command to leave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deregistration {
    /// Whose.
    pub service: ServiceName,
    /// Which; `None`: all, and the service with them.
    pub instance: Option<InstanceId>,
    /// What goes with the last one.
    pub on_last_instance: OnLastInstance,
    /// Who asks.
    pub source: Source,
}

/// What happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// A service asks to be registered.
    RegistrationRequested(Box<Registration>, ReplyId),
    /// An instance says that it lives.
    HeartbeatReceived(InstanceRef, Source, ReplyId),
    /// A service or one of its instances asks to leave.
    DeregistrationRequested(Deregistration, ReplyId),
    /// A drain is to begin or to end.
    DrainRequested(Box<DrainCommand>, ReplyId),
    /// Someone asks for a probe now.
    ProbeRequested(InstanceRef, Source, ReplyId),
    /// A probe ended.
    ProbeFinished {
        /// Of which instance.
        instance: InstanceRef,
        /// The token of the plan that asked for it.
        token: ProbeToken,
        /// `Err`: why it failed.
        outcome: Result<(), String>,
        /// How long it took.
        took: Duration,
    },
    /// A followed name was resolved again.
    NameResolved {
        /// Whose name it is.
        subject: DnsSubject,
        /// The token of the watch.
        token: NameToken,
        /// What it leads to now, at least one.
        addresses: Arc<[SocketAddr]>,
    },
    /// An operator asks for something about an API key.
    KeyRequested {
        /// What.
        command: KeyCommand,
        /// From where.
        from: IpAddr,
        /// Who waits.
        reply: ReplyId,
    },
    /// The store has it.
    WriteDone(WriteId),
    /// The store does not have it.
    WriteFailed(WriteId, String),
    /// Time passed; deadlines may have come.
    DeadlineReached,
    /// The process was held up for so long (paused, swapped out): nobody could be heard meanwhile.
    ClockGap(Duration),
    /// Another configuration is to be in force.
    ConfigurationChanged(Box<Configuration>, ReplyId),
}

/// An instance by its service and id.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InstanceRef {
    /// Its service.
    pub service: ServiceName,
    /// Its id.
    pub id: InstanceId,
}

impl std::fmt::Display for InstanceRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.service, self.id)
    }
}

/// What is to be done, by the driver.
#[derive(Debug, Clone)]
pub enum Effect {
    /// Store these changes, all or none, and say how it went.
    Write(WriteId, Vec<Change>),
    /// Store this when it is convenient: nobody waits, and a later one of the same instance replaces it.
    Keep(Change),
    /// Answer a waiting caller, after the snapshot of this tick is published.
    Answer(ReplyId, Result<Answer, Refusal>),
    /// Probe by this plan from now on; replaces the plan before.
    Probe(InstanceRef, ProbePlan),
    /// Probe no more.
    StopProbing(InstanceRef),
    /// Resolve this name again and again.
    WatchName(DnsSubject, NameWatch),
    /// Resolve it no more.
    UnwatchName(DnsSubject),
    /// Log and count this.
    Report(Report),
}

/// When and what to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbePlan {
    /// To be sent back with each outcome.
    pub token: ProbeToken,
    /// Where.
    pub target: ProbeTarget,
    /// When the first one is due.
    pub first: FirstProbe,
    /// From one to the next.
    pub period: Duration,
}

/// When the first probe of a plan is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FirstProbe {
    /// At once.
    Now,
    /// At some time within the first second, with all others that were restored.
    Spread,
    /// After one period.
    AfterPeriod,
    /// At some time within one period, or when it was due before where that is sooner: for a plan that is re-timed.
    WithinPeriod,
}

/// Where to probe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProbeTarget {
    /// The instance: url, protocol, names.
    pub spec: Arc<InstanceSpec>,
    /// The address to connect to.
    pub address: SocketAddr,
}

impl ProbeTarget {
    /// Whether TLS is spoken.
    pub fn is_tls(&self) -> bool {
        self.spec.url.scheme == Scheme::Https
    }
}

/// Whose name is followed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DnsSubject {
    /// A registered instance's.
    Instance(InstanceRef),
    /// A static route's url's.
    Static(ServiceIndex),
}

impl std::fmt::Display for DnsSubject {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Instance(instance) => instance.fmt(f),
            Self::Static(index) => write!(f, "static route {}", index.0),
        }
    }
}

/// A name to be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameWatch {
    /// To be sent back with each answer.
    pub token: NameToken,
    /// The name.
    pub name: Box<str>,
    /// The port to put beside each address.
    pub port: u16,
}

/// A change of what is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// The definition of a service, new or replaced.
    PutDefinition {
        /// What it is.
        definition: Arc<Definition>,
        /// Who registered it.
        registered_from: IpAddr,
    },
    /// An instance, new or replaced.
    PutInstance {
        /// Of which service.
        service: ServiceName,
        /// What it is.
        spec: Arc<InstanceSpec>,
        /// Where it was found.
        addresses: Arc<[SocketAddr]>,
        /// Who registered it.
        registered_from: IpAddr,
    },
    /// One instance is gone.
    RemoveInstance(InstanceId),
    /// A service is gone with all its instances.
    RemoveService {
        /// Which.
        service: ServiceName,
        /// The instances that it had.
        instances: Vec<InstanceId>,
    },
    /// An instance went DOWN, or is DOWN no more; says nothing of one that is not stored.
    NoteDown {
        /// Which.
        instance: InstanceId,
        /// How it is.
        is_down: bool,
    },
    /// An instance that named no TTL is held to this one; says nothing of one that is not stored.
    NoteTtl {
        /// Which.
        instance: InstanceId,
        /// What the answer to its heartbeat promised.
        ttl: Duration,
    },
    /// The name of an instance leads elsewhere; says nothing of one that is not stored.
    NoteAddresses {
        /// Whose.
        instance: InstanceId,
        /// Where it is found now.
        addresses: Arc<[SocketAddr]>,
    },
    /// A stored instance is draining; ends with whatever puts it anew or removes it.
    PutDraining(InstanceId),
    /// It is draining no more.
    RemoveDraining(InstanceId),
    /// A runtime key, new or replaced.
    PutKey(Arc<RuntimeKey>),
    /// A runtime key is gone.
    RemoveKey(KeyName),
}

impl Change {
    /// Whether a record of it could be read again.
    ///
    /// # Errors
    /// What is wrong with what it puts.
    pub fn check(&self) -> Result<(), Invalid> {
        match self {
            Self::PutDefinition { definition, .. } => definition.check(),
            Self::PutInstance { spec, .. } => spec.check(),
            Self::RemoveInstance(_)
            | Self::RemoveService { .. }
            | Self::NoteDown { .. }
            | Self::NoteTtl { .. }
            | Self::NoteAddresses { .. }
            | Self::PutDraining(_)
            | Self::RemoveDraining(_)
            | Self::PutKey(_)
            | Self::RemoveKey(_) => Ok(()),
        }
    }
}

/// Everything that a store holds: the changes that would make it again, by what they put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contents {
    /// The registry's identity.
    pub epoch: Epoch,
    /// How often the store was loaded, this time included: generations of different starts must not meet.
    pub starts: u64,
    /// [`Change::PutDefinition`] by service.
    pub definitions: BTreeMap<ServiceName, Change>,
    /// [`Change::PutInstance`] by id.
    pub instances: BTreeMap<InstanceId, Change>,
    /// Instances that are DOWN.
    pub down: BTreeSet<InstanceId>,
    /// TTLs of instances that named none and are held to one.
    pub ttls: BTreeMap<InstanceId, Duration>,
    /// Instances that are draining.
    pub draining: BTreeSet<InstanceId>,
    /// Runtime keys.
    pub keys: BTreeMap<KeyName, Arc<RuntimeKey>>,
}

impl Contents {
    /// Nothing yet.
    pub fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            starts: 0,
            definitions: BTreeMap::new(),
            instances: BTreeMap::new(),
            down: BTreeSet::new(),
            ttls: BTreeMap::new(),
            draining: BTreeSet::new(),
            keys: BTreeMap::new(),
        }
    }
}

/// The good answer to a caller.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// To a registration.
    Registered(Registered),
    /// To a heartbeat.
    Heard {
        /// The instance's status.
        status: Status,
        /// Whose registry it is.
        epoch: Epoch,
        /// By when the next one must come.
        heartbeat_ttl: Duration,
    },
    /// To a deregistration: how many instances left.
    Deregistered {
        /// How many.
        instances: usize,
        /// What they still have in flight.
        drained: Drained,
        /// The change.
        generation: Generation,
    },
    /// To a drain: of those whose drain began or had begun, or of those whose drain ended.
    Drained {
        /// Which.
        instances: Drained,
        /// The registry's last change.
        generation: Generation,
    },
    /// To the request for a probe: it is under way.
    Probing {
        /// The status before it.
        status: Status,
    },
    /// To a command about an API key.
    Key(KeyAnswer),
    /// To another configuration: it is in force.
    Reconfigured(Reconfigured),
}

/// The good answer to another configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Reconfigured {
    /// The change.
    pub generation: Generation,
    /// Every service that is kept and not routed, and why.
    pub blocked: Vec<(ServiceName, Arc<str>)>,
}

/// The good answer to a registration.
#[derive(Debug, Clone, PartialEq)]
pub struct Registered {
    /// Which instance.
    pub instance: InstanceRef,
    /// Routes of the installed definition.
    pub routes: usize,
    /// The instance's status.
    pub status: Status,
    /// The registry's last change.
    pub generation: Generation,
    /// Whose registry it is.
    pub epoch: Epoch,
    /// The TTL that holds, or would hold once the instance heartbeats.
    pub heartbeat_ttl: Duration,
    /// Whether anything was written; `false`: it was registered just so, and this counts as a heartbeat.
    pub is_change: bool,
}

/// What is logged and counted: one line, one counter each (DESIGN §5.6).
#[derive(Debug, Clone, PartialEq)]
pub enum Report {
    /// A registration was installed.
    Registered {
        /// Which.
        instance: InstanceRef,
        /// Where.
        url: String,
        /// Routes of the installed definition.
        routes: usize,
        /// From where.
        from: IpAddr,
    },
    /// A registration, heartbeat or deregistration was refused.
    Refused {
        /// Which.
        service: ServiceName,
        /// From where.
        from: IpAddr,
        /// Why.
        refusal: Refusal,
    },
    /// An instance left by its own command or an operator's.
    Deregistered {
        /// Which.
        instance: InstanceRef,
        /// From where.
        from: IpAddr,
    },
    /// An instance gets no new requests from now on.
    DrainBegan {
        /// Which.
        instance: InstanceRef,
        /// From where.
        from: IpAddr,
    },
    /// An instance gets requests again: it registered again, or the drain was undone.
    DrainEnded {
        /// Which.
        instance: InstanceRef,
        /// From where.
        from: IpAddr,
    },
    /// An instance was not heard in time.
    Expired(InstanceRef),
    /// The routes of a service without instances are free again.
    Freed(ServiceName),
    /// A verdict changed.
    InstanceStatusChanged {
        /// Whose.
        instance: InstanceRef,
        /// From.
        from: Status,
        /// To.
        to: Status,
    },
    /// A service's status changed: with DOWN its routes left the table, with anything else they are back.
    ServiceStatusChanged {
        /// Whose.
        service: ServiceName,
        /// From.
        from: Status,
        /// To.
        to: Status,
    },
    /// A probe failed.
    ProbeFailed {
        /// Of which instance.
        instance: InstanceRef,
        /// Which one in a row.
        failures: u32,
        /// Why.
        error: String,
    },
    /// Too many probes failed; there will be no more.
    ProbingStopped(InstanceRef),
    /// A name leads elsewhere.
    AddressesChanged {
        /// Whose.
        subject: DnsSubject,
        /// Where to.
        addresses: Arc<[SocketAddr]>,
    },
    /// A name leads where the instance may not be; the old addresses stay.
    AddressesRefused {
        /// Whose.
        subject: DnsSubject,
        /// Why.
        why: String,
    },
    /// A service may not stand by the configuration in force: kept, not routed.
    Blocked {
        /// Which.
        service: ServiceName,
        /// Why.
        why: Arc<str>,
    },
    /// A service that was kept and not routed may stand again.
    Unblocked(ServiceName),
    /// A removal could not be stored and will be tried again.
    RemovalFailed {
        /// Of what.
        service: ServiceName,
        /// Why.
        why: String,
    },
    /// Of an API key.
    Key(KeyReport),
}
