//! What enters the core: events, in the past tense.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use super::command::{Deregistration, DrainCommand, Registration, Source};
use super::ids::{DnsSubject, InstanceRef, ReplyId, WriteId};
use super::keys::KeyCommand;
use super::probes::{ProbeFailure, ProbedHost};
use super::settings::Configuration;
use super::token::{NameToken, ProbeToken};
use crate::model::Incarnation;

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
        /// The address of the operator.
        from: IpAddr,
        /// Names the caller that waits for the answer.
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
