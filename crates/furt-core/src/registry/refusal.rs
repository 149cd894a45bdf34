//! Why the registry says no.

use std::net::IpAddr;

use super::keys::KeyRefusal;
use crate::model::{Invalid, ServiceName, Status};

/// Why a command was not granted; nothing was changed by it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// 401: the grant asks for a token.
    #[error("the grant asks for a bearer token, which is missing or wrong")]
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

impl Refusal {
    pub(super) fn beyond(what: String) -> Self {
        Self::BeyondGrant(what)
    }

    pub(super) fn reserved(detail: String) -> Self {
        Self::Taken { what: "a reserved name".to_owned(), conflict: None, detail }
    }
}
