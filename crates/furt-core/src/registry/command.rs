//! What callers ask of services and instances.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use crate::model::{Definition, InstanceId, InstanceSpec, ServiceName, Sha256Digest};

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

/// What becomes of a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// No new requests from now on.
    Begins,
    /// As before.
    Ends,
}

/// The command to begin a drain or to end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DrainCommand {
    /// Whose.
    pub service: ServiceName,
    /// Which; `None`: all that the service has now.
    pub instance: Option<InstanceId>,
    /// Begin or end.
    pub drain: Drain,
    /// Who asks.
    pub source: Source,
}
