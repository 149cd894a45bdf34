//! edgeProxy's Auto-Discovery API: a backend is an instance, its app a service.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Epoch, Generation, InstanceId, Outcome, Seconds, ServiceName, Status, Timestamp};

/// The body of `POST /api/v1/register`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackendRegistration {
    /// The instance's id.
    pub id: InstanceId,
    /// The service's name; one that is new must also be a host name.
    pub app: ServiceName,
    /// Where the backend is.
    pub region: String,
    /// Its IPv4 or IPv6 address.
    pub ip: String,
    /// Its port, 1 to 65535.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// Where it is, as two letters. Absent: by the region, for `sa`, `us`, `eu` and `ap`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// Its share beside others, 1 to 255. Absent: 2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub weight: Option<u8>,
    /// Requests in flight above which others are preferred; 0: none. Absent: 100, or `hard_limit` where that is less.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_limit: Option<u32>,
    /// Requests in flight that are never exceeded; 0: none. Absent: 150.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_limit: Option<u32>,
}

/// The answer to `POST /api/v1/register`, with 201.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackendRegistered {
    /// The instance's id.
    pub id: InstanceId,
    /// `true`.
    pub registered: bool,
    /// The same as a sentence.
    pub message: String,
    /// The service's name.
    pub app: ServiceName,
    /// The instance's health.
    pub status: Status,
    /// The registry's last change.
    pub generation: Generation,
    /// The registry's identity.
    pub epoch: Epoch,
    /// The backend must be heard within this time.
    pub heartbeat_ttl: Seconds,
}

/// The answer to `POST /api/v1/heartbeat/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BackendHeartbeat {
    /// The instance's id.
    pub id: InstanceId,
    /// [`Outcome::Ok`].
    pub status: Outcome,
    /// The instance's health.
    pub health: Status,
    /// The registry's identity.
    pub epoch: Epoch,
    /// The backend must be heard again within this time.
    pub heartbeat_ttl: Seconds,
}

/// The answer to `DELETE /api/v1/backends/{id}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BackendDeregistered {
    /// The instance's id.
    pub id: InstanceId,
    /// `true`.
    pub deregistered: bool,
    /// The registry's last change.
    pub generation: Generation,
}

/// The answer to `GET /api/v1/backends[?app=&region=]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backends {
    /// How many are listed.
    pub total: usize,
    /// Every instance, or those that were asked for.
    pub backends: Vec<Backend>,
}

/// An instance as edgeProxy shows it, and what furt knows beside; alone the answer to `GET /api/v1/backends/{id}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// The instance's id.
    pub id: InstanceId,
    /// The service's name.
    pub app: ServiceName,
    /// Where it is; `null` where it did not say so.
    pub region: Option<String>,
    /// Where it is, as two letters; `null` where it did not say so.
    pub country: Option<String>,
    /// Its address; `null` where its name does not resolve.
    pub ip: Option<String>,
    /// Its port.
    pub port: u16,
    /// Whether it is sent requests: neither DOWN nor draining nor ejected, and its service is routed.
    pub healthy: bool,
    /// Its health.
    pub status: Status,
    /// Whether it gets no new requests until it registers again.
    pub draining: bool,
    /// Until when it gets no requests because those before failed; `null`: it gets them.
    pub ejected_until: Option<Timestamp>,
    /// Since when it was not heard, in whole seconds.
    pub last_heartbeat_secs: i64,
    /// Since when it is registered, in whole seconds.
    pub registered_secs: i64,
    /// It must be heard within this time; `null`: it may be silent.
    pub heartbeat_ttl: Option<Seconds>,
    /// Its share beside others, 1 to 255.
    pub weight: u8,
    /// Requests in flight above which others are preferred; 0: none.
    pub soft_limit: u32,
    /// Requests in flight that are never exceeded; 0: none.
    pub hard_limit: u32,
    /// Requests in flight.
    pub in_flight: u32,
}
