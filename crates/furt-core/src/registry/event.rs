//! What enters the core: events, in the past tense.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::applies::ApplyCommand;
use super::change::Change;
use super::command::{Deregistration, DrainCommand, Registration, Source};
use super::ids::{DnsSubject, InstanceRef, ReplyId, WriteId};
use super::keys::KeyCommand;
use super::maintenances::MaintenanceCommand;
use super::probes::{ProbeFailure, ProbedHost};
use super::revision::Revision;
use super::runtime_grants::GrantCommand;
use super::settings::Configuration;
use super::splits::SplitCommand;
use super::token::{NameToken, ProbeToken};
use crate::model::{Actor, AuditAction, GatewayName, Incarnation};

/// What changed in a shared store, at one revision or, where it was missed, by one.
#[derive(Debug, Clone)]
pub struct StoreChanged {
    /// The revision. What is not later than what was told before is ignored, but for a comparison.
    pub revision: Revision,
    /// The changes, each of another record, in any order.
    pub changes: Vec<Incoming>,
    /// Who made them.
    pub by: Origin,
}

/// A change that came from the store.
#[derive(Debug, Clone)]
pub struct Incoming {
    /// What changed.
    pub change: Change,
    /// Of a definition or an instance that is put: why it is not routed, whatever the rules say. Such as that it is where this
    /// gateway listens, or that only a newer gateway can read all of it.
    pub suspended: Option<Arc<str>>,
    /// Of a definition that is put: the revision at which the service was put first. `None`: it is as it is known here, and this
    /// event's for a service that is not.
    pub added: Option<Revision>,
}

impl From<Change> for Incoming {
    fn from(change: Change) -> Self {
        Self { change, suspended: None, added: None }
    }
}

/// Who changed a shared store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// A gateway: by a command that it took, or since a hold, a key or a maintenance came to its end.
    Gateway(GatewayName),
    /// Nobody: leases ended.
    Lapse,
    /// Unknown: it was missed, and found by comparing.
    Comparison,
    /// A stranger: in the place of what is named as removed there is something that cannot be read.
    Unreadable,
}

/// What happened; [`Registry::handle`](super::Registry::handle) takes it.
#[derive(Debug, Clone)]
pub enum Event {
    /// A service asks to be registered.
    RegistrationRequested(Box<Registration>, ReplyId),
    /// An instance says that it lives; where it names its incarnation, no other one is meant.
    HeartbeatReceived(InstanceRef, Option<Incarnation>, Source, ReplyId),
    /// A service or one of its instances asks to leave.
    DeregistrationRequested(Deregistration, ReplyId),
    /// A drain is to begin or to end.
    DrainRequested(Box<DrainCommand>, ReplyId),
    /// Someone asks for a probe now.
    ProbeRequested(InstanceRef, Source, ReplyId),
    /// A probe ended.
    ProbeFinished {
        /// The instance that was probed.
        instance: InstanceRef,
        /// The token of the plan that asked for it.
        token: ProbeToken,
        /// `Err`: why it failed.
        outcome: Result<(), ProbeFailure>,
        /// Where the instance is.
        host: ProbedHost,
        /// How long the probe took.
        took: Duration,
    },
    /// A watched name was resolved again.
    NameResolved {
        /// The instance or static route that has the name.
        subject: DnsSubject,
        /// The token of the watch.
        token: NameToken,
        /// What it leads to now, at least one.
        addresses: Arc<[SocketAddr]>,
    },
    /// An operator asks for something about an API key.
    KeyRequested {
        /// The command.
        command: KeyCommand,
        /// The operator.
        by: Actor,
        /// Names the caller that waits for the answer.
        reply: ReplyId,
    },
    /// An operator begins or ends maintenance.
    MaintenanceRequested {
        /// The command.
        command: MaintenanceCommand,
        /// The operator.
        by: Actor,
        /// Names the caller that waits for the answer.
        reply: ReplyId,
    },
    /// An operator sets or removes the split of a service.
    SplitRequested {
        /// The command.
        command: SplitCommand,
        /// The operator.
        by: Actor,
        /// Names the caller that waits for the answer.
        reply: ReplyId,
    },
    /// An operator grants a service something, or takes it back.
    GrantRequested {
        /// The command.
        command: GrantCommand,
        /// The operator.
        by: Actor,
        /// Names the caller that waits for the answer.
        reply: ReplyId,
    },
    /// An operator says what is to be there.
    ApplyRequested {
        /// The command.
        command: ApplyCommand,
        /// The operator.
        by: Actor,
        /// Names the caller that waits for the answer.
        reply: ReplyId,
    },
    /// An operator does something that changes nothing that is registered.
    AuditRequested {
        /// What it is.
        action: Box<AuditAction>,
        /// The operator.
        by: Actor,
        /// Names the caller that waits for the answer.
        reply: ReplyId,
    },
    /// The store has it, since this revision.
    WriteDone(WriteId, Revision),
    /// The store does not have it.
    WriteFailed(WriteId, String),
    /// The store does not have it, since what it relied on held no longer at this revision. All that made it so was told
    /// before.
    WriteOutdated(WriteId, Revision),
    /// A shared store changed, not by a write of this core.
    StoreChanged(Box<StoreChanged>),
    /// A shared store can be followed and written to, and all that was missed is told; `Err`: it cannot, and why. A connection that
    /// takes the place of another one is told as `Err` and `Ok` as well: what was renewed on the old one may be lost.
    StoreReach(Result<(), Arc<str>>),
    /// So many gateways share the registry, this one among them; 1 until it is told.
    GatewaysCounted(usize),
    /// Time passed; deadlines may have come.
    DeadlineReached,
    /// The process was held up for so long (paused, swapped out): nobody could be heard meanwhile.
    ClockGap(Duration),
    /// Another configuration is to be in force.
    ConfigurationChanged(Box<Configuration>, ReplyId),
}
