//! What the outbox holds of services: writes on their way to the store, and commands that wait for them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use super::answer::Canary;
use super::caller::Caller;
use super::command::{Deregistration, DrainCommand, Registration};
use super::ids::InstanceRef;
use crate::model::{DrainMark, DrainUntil, InstanceId, ServiceName};
use crate::routing::InstanceLive;

/// A write about a service.
pub(super) enum ServiceWrite {
    Register(Registering),
    Remove {
        service: ServiceName,
        /// `None`: all of them, and the service.
        instance: Option<InstanceId>,
        /// Whether the service goes, with all its instances.
        is_whole: bool,
        cause: RemovalCause,
        /// The counters of those that leave.
        leaving: Vec<Arc<InstanceLive>>,
    },
    Drain {
        command: Box<DrainCommand>,
        drains: Vec<DrainChange>,
        caller: Caller,
    },
    /// A draining instance registered again without any change: its drain ends.
    Return {
        command: Box<Registration>,
        caller: Caller,
    },
    /// The store lost an instance that lives: it is stored again.
    Restore {
        instance: InstanceRef,
        /// Whether the store lost its definition as well.
        with_definition: bool,
    },
}

/// What a command changes of the drain of an id.
pub(super) struct DrainChange {
    pub(super) id: InstanceId,
    /// What ended the drain before; `None`: there was none.
    pub(super) before: Option<DrainUntil>,
    /// The drain from now on; `None`: it ends.
    pub(super) mark: Option<Arc<DrainMark>>,
}

/// A registration on its way to the store.
pub(super) struct Registering {
    pub(super) command: Box<Registration>,
    /// The address recorded as the owner of the definition that is written; `None`: the installed definition stays.
    pub(super) definition_owner: Option<IpAddr>,
    /// Other instances of the service at its url, which it replaces.
    pub(super) replaces: Vec<InstanceId>,
    /// Where it joins as a canary.
    pub(super) canary: Option<Canary>,
    /// The TTL that holds from the start though the instance names none; stored with it.
    pub(super) ttl: Option<Duration>,
    pub(super) caller: Caller,
}

impl Registering {
    /// The ids that it is about: its own, and those that it replaces.
    pub(super) fn ids(&self) -> impl Iterator<Item = &InstanceId> {
        std::iter::once(&self.command.instance.id).chain(&self.replaces)
    }
}

/// Why an instance or a service is removed.
pub(super) enum RemovalCause {
    Requested {
        command: Box<Deregistration>,
        caller: Caller,
    },
    /// The instance was not heard within its TTL.
    Expired,
    /// The routes of a service without instances were held long enough.
    HoldEnded,
}

/// A command about a service that can wait for its writes.
pub(super) enum ServiceCommand {
    Register(Box<Registration>),
    Deregister(Box<Deregistration>),
    Drain(Box<DrainCommand>),
}

/// A command that waits, and who waits for its answer.
pub(super) struct ParkedCommand {
    pub(super) command: ServiceCommand,
    pub(super) caller: Caller,
}

impl ServiceCommand {
    pub(super) fn service(&self) -> &ServiceName {
        match self {
            Self::Register(command) => &command.definition.service,
            Self::Deregister(command) => &command.service,
            Self::Drain(command) => &command.service,
        }
    }
}
