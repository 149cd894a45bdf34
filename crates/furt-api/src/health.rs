//! `/health`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::open_enum::open_enum;
use crate::{Epoch, Generation, Ordered, Status, Timestamp};

/// The answer to `GET /health`, on both listeners always with 200.
///
/// Callers who may neither register nor operate see only the fields that are never absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// How furt itself is.
    pub status: GatewayStatus,
    /// `furt`.
    pub service: String,
    /// furt's version.
    pub version: String,
    /// What the binary was built from; absent for callers who may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub build: Option<Build>,
    /// What is wrong, a sentence each; absent where nothing is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issues: Vec<String>,
    /// Every registered service by its name; absent for callers who may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub services: Option<Ordered<ServiceHealth>>,
    /// The registry's last change; absent on the public listener and for callers who may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub generation: Option<Generation>,
    /// The registry's identity; absent on the public listener and for callers who may not see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<Epoch>,
    /// How many instances there are; absent on the public listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backends: Option<usize>,
    /// How long furt runs; absent on the public listener.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uptime_secs: Option<u64>,
}

open_enum! {
    /// How furt itself is.
    GatewayStatus {
        /// All is well, as the public listener says it.
        Healthy = "healthy",
        /// All is well, as the internal listener says it.
        Ok = "ok",
        /// It serves requests, and something is wrong: see [`Health::issues`].
        Degraded = "degraded",
    }
}

/// What a binary was built from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Build {
    /// The commit.
    pub commit: String,
}

/// How a service is: the fields of its first instance, and all instances where there are several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceHealth {
    /// The first instance's health; [`Status::Down`] where there is none left.
    pub status: Status,
    /// What is known of the first instance; its fields are absent where there is none left.
    #[serde(flatten)]
    pub first: Option<ProbeHealth>,
    /// All instances by their ids; absent where there is one at most.
    #[serde(default, skip_serializing_if = "Ordered::is_empty")]
    pub instances: Ordered<InstanceHealth>,
}

/// How an instance is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InstanceHealth {
    /// Its health.
    pub status: Status,
    /// What is known of it.
    #[serde(flatten)]
    pub probe: ProbeHealth,
}

/// What the probes of an instance found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProbeHealth {
    /// Where the instance is.
    pub url: String,
    /// When the last probe ended; `null`: none has.
    #[schemars(extend("nullable" = true))]
    pub last_ping: Option<Timestamp>,
    /// How long the last successful probe took, in whole milliseconds, rounded up; `null`: there was none.
    #[schemars(extend("nullable" = true))]
    pub response_time_ms: Option<u64>,
    /// Probes that failed since the last one that succeeded.
    pub consecutive_failures: u32,
    /// Whether the instance gets no new requests; absent where it gets them.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
}
