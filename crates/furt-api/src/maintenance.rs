//! Maintenance: clients of a service, or of all, get 503 until it ends.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Epoch, Generation, Outcome, ServiceName, Timestamp};

/// The body of `PUT /internal/services/{service}/maintenance` and `PUT /internal/maintenance`, which may be left out;
/// [`BegunMaintenance`] answers it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BeginMaintenance {
    /// After which time it ends by itself, such as `90s`, `30m` or `2h`, from 1 second to 30 days. Absent: it does not.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    pub lasts: Option<String>,
    /// The networks of the clients that are let in all the same, such as `10.0.0.0/8`. Empty: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_from: Vec<String>,
    /// What the other clients are told, at most 500 characters. Absent: nothing more than the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A maintenance that is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Maintenance {
    /// The service that is in it, registered or not; `null`: all services and static routes.
    pub service: Option<ServiceName>,
    /// When it began.
    pub since: Timestamp,
    /// When it ends by itself; `null`: it does not.
    pub until: Option<Timestamp>,
    /// The address that began it.
    pub from: String,
    /// The operator that began it, where a token or a certificate said who it is; else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The networks of the clients that are let in all the same.
    pub allow_from: Vec<String>,
    /// What the other clients are told; `null`: nothing more than the title.
    pub message: Option<String>,
}

/// The answer to the beginning of maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BegunMaintenance {
    /// [`Outcome::MaintenanceBegan`].
    pub status: Outcome,
    /// The maintenance, in the place of one that was on.
    #[serde(flatten)]
    pub maintenance: Maintenance,
    /// What is probably not meant, such as a name that no service has.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The registry's last change.
    pub generation: Generation,
}

/// The answer to the end of maintenance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct EndedMaintenance {
    /// [`Outcome::MaintenanceEnded`].
    pub status: Outcome,
    /// The service that was in it; `null`: all services and static routes.
    pub service: Option<ServiceName>,
    /// The registry's last change.
    pub generation: Generation,
}

/// The answer to `GET /internal/maintenance`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Maintenances {
    /// When furt answered, by its own clock, to the millisecond.
    pub time: Timestamp,
    /// All that is on: that of all services first, then by the names of services.
    pub maintenance: Vec<Maintenance>,
    /// The registry's last change.
    pub generation: Generation,
    /// The registry's identity.
    pub epoch: Epoch,
}
