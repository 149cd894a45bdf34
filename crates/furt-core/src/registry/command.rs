//! What callers ask of services and instances.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::model::{
    Actor, Definition, DrainUntil, Incarnation, InstanceId, InstanceSpec, Operator, Role, ServiceName, Sha256Digest,
};

/// The caller of a command, and what it may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The address of the caller; an IPv4 address is written as one.
    pub address: IpAddr,
    /// Who it is among the operators. `None`: it is none.
    pub operator: Option<Operator>,
    /// The digest of its bearer token, where it sent one.
    pub token: Option<Sha256Digest>,
    /// The digest of the certificate that it showed, in DER, and whose key it has. `None`: it showed none.
    pub certificate: Option<Sha256Digest>,
}

impl Source {
    /// Whether it is an operator who may do what `least` may.
    pub fn may(&self, least: Role) -> bool {
        self.operator.as_ref().is_some_and(|operator| operator.role.includes(least))
    }

    /// Who it is, without what it may do.
    pub fn actor(&self) -> Actor {
        Actor { address: self.address, operator: self.operator.as_ref().and_then(|operator| operator.name.clone()) }
    }
}

/// What a registration says of its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RegistrationKind {
    /// What it is: to be installed, or to replace what is.
    #[default]
    Full,
    /// The same, without a word about routes: refused where the installed definition has some.
    WithoutRoutes,
    /// Nothing: the instance joins the service as it is, or makes one of that name where there is none.
    Joining,
    /// As [`Joining`](Self::Joining). It comes to send heartbeats: without a TTL of its own it is held to the configured
    /// one from the start.
    InstanceOnly,
}

impl RegistrationKind {
    /// Whether the instance takes over the definition that is installed.
    pub fn joins(self) -> bool {
        match self {
            Self::Full | Self::WithoutRoutes => false,
            Self::Joining | Self::InstanceOnly => true,
        }
    }
}

/// A registration as it was checked by the api: every field valid, the name resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// The definition of the service.
    pub definition: Definition,
    /// Whether the caller sent the definition, or the instance joins the one that is installed.
    pub kind: RegistrationKind,
    /// The instance that is registered.
    pub instance: InstanceSpec,
    /// What the url's host resolved to, at least one.
    pub addresses: Arc<[SocketAddr]>,
    /// The caller.
    pub source: Source,
}

/// What else is removed with the last instance of a service by a command.
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
    /// The service.
    pub service: ServiceName,
    /// The instance; `None`: all of the service's, and the service itself.
    pub instance: Option<InstanceId>,
    /// The instance's incarnation: no other one is meant; `None`: whichever it is.
    pub incarnation: Option<Incarnation>,
    /// What happens where it is the last instance.
    pub on_last_instance: OnLastInstance,
    /// The caller.
    pub source: Source,
}

/// What becomes of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// No new requests from now on until this.
    Begins(DrainUntil),
    /// As before.
    Ends,
}

/// The command to begin a drain or to end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainCommand {
    /// The service.
    pub service: ServiceName,
    /// The instance; `None`: all that the service has now.
    pub instance: Option<InstanceId>,
    /// The instance's incarnation: no other one is meant; `None`: whichever it is.
    pub incarnation: Option<Incarnation>,
    /// Whether the drain begins or ends.
    pub drain: Drain,
    /// The caller.
    pub source: Source,
}
