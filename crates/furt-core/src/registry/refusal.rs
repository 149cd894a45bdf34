//! Why the registry says no.

use std::net::IpAddr;

use super::ids::InstanceRef;
use super::keys::KeyRefusal;
use crate::model::{Incarnation, InstanceId, Invalid, MaintenanceScope, ServiceName, Status};

/// Why a command was not granted; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401: the grant asks for a token or a certificate.
    #[error("the grant asks for a bearer token or a certificate, which is missing or wrong")]
    TokenWrong,
    /// 403: the grant does not allow it; names what.
    #[error("{0}")]
    BeyondGrant(String),
    /// 403: someone else registered it.
    #[error(
        "it was registered from {registered_from}; only from there, from loopback or as an operator may it be changed"
    )]
    NotOwner {
        /// The address recorded as the owner.
        registered_from: IpAddr,
    },
    /// 403: an operator's drain, which an operator alone begins or undoes.
    #[error("a drain until \"restart\" or \"undo\" is begun and undone by operators alone")]
    OperatorsOnly,
    /// 412: the instance is another incarnation than the command is about.
    #[error("{instance} is {} now, not incarnation \"{named}\"", shown(.installed.as_ref()))]
    AnotherIncarnation {
        /// The instance.
        instance: InstanceRef,
        /// The incarnation that is installed; `None`: it names none.
        installed: Option<Incarnation>,
        /// The one that the command names.
        named: Incarnation,
    },
    /// 412: an incarnation registers that was replaced by one that is UP.
    #[error(
        "two processes register as id \"{id}\": {} replaced this one, and it is UP or starts; set `instance`",
        shown(.installed.as_ref())
    )]
    Replaced {
        /// The id.
        id: InstanceId,
        /// The incarnation that replaced the caller's.
        installed: Option<Incarnation>,
    },
    /// 409: someone else holds it.
    #[error("{what} is taken: {detail}")]
    Taken {
        /// The route or id.
        what: String,
        /// The service that holds it, and its status; `None`: the configuration or furt itself.
        conflict: Option<(ServiceName, Status)>,
        /// The conflict, in words.
        detail: String,
    },
    /// 422: it could not be stored and read again; says what is wrong with it.
    #[error("it cannot be registered so: {0}")]
    Invalid(Invalid),
    /// 422: it says something of the service and nothing of the routes that the installed definition has.
    #[error(
        "routes is missing, and the service has some: say [] for none, or nothing of the service to add an instance"
    )]
    RoutesMissing,
    /// 409: there are no probes to start.
    #[error("the instance has no health_endpoint, so it is never probed")]
    NoProbes,
    /// 404: no such service or instance; a service registers again.
    #[error("{0} is not registered")]
    NotFound(String),
    /// 404: there is no maintenance to end.
    #[error("{} not in maintenance", named(.0))]
    NotInMaintenance(MaintenanceScope),
    /// 409: no more names can be in maintenance.
    #[error("too many names are in maintenance: end others first, or begin one of all services")]
    TooManyMaintenances,
    /// 404: there is no split to remove.
    #[error("\"{0}\" has no split")]
    NoSplit(ServiceName),
    /// 409: no more names can have a split.
    #[error("too many services have a split: remove others first")]
    TooManySplits,
    /// 404: there is no grant of run time to remove.
    #[error("\"{0}\" has no grant")]
    NoGrant(ServiceName),
    /// 409: its grant is the configuration's.
    #[error("the grant of \"{0}\" is in the configuration: change it there, and let furt read it again")]
    ConfiguredGrant(ServiceName),
    /// 409: no more services can have a grant of run time.
    #[error("too many services have a grant that was made at run time: remove others first")]
    TooManyGrants,
    /// 412: something of what operators make at run time has changed since.
    #[error("it has changed since it was looked at")]
    ChangedSince,
    /// 422: a shared store takes no more at once.
    #[error(
        "{count} records are to be changed, and a shared store takes {most} at once: leave some collections out, or have it done in parts"
    )]
    TooManyDifferences {
        /// How many differ.
        count: usize,
        /// How many may.
        most: usize,
    },
    /// 503: the store cannot take it now.
    #[error("the store cannot take it now: {0}")]
    StoreFailed(String),
    /// 503: too many commands wait for the last one of this service or key.
    #[error("too many changes of it wait to be stored")]
    Busy,
    /// A command about an API key was refused.
    #[error(transparent)]
    Key(#[from] KeyRefusal),
}

fn shown(incarnation: Option<&Incarnation>) -> String {
    incarnation.map_or_else(|| "one that names no incarnation".to_owned(), |one| format!("incarnation \"{one}\""))
}

fn named(scope: &MaintenanceScope) -> String {
    scope.service().map_or_else(|| "all services together are".to_owned(), |service| format!("\"{service}\" is"))
}

impl Refusal {
    pub(super) fn beyond(what: String) -> Self {
        Self::BeyondGrant(what)
    }

    pub(super) fn reserved(detail: String) -> Self {
        Self::Taken { what: "a reserved name".to_owned(), conflict: None, detail }
    }
}
