//! Services and their instances, as operators see them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::deregistration::DrainUntil;
use crate::maintenance::Maintenance;
use crate::nullable::null_or;
use crate::route_options::{Cors, Limits, Rewrite, RouteTimeouts};
use crate::splits::Split;
use crate::{Document, Epoch, Generation, InstanceId, Ordered, Seconds, ServiceName, Status, Timestamp};

/// The answer to `GET /internal/services`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Services {
    /// When furt answered, by its own clock, to the millisecond.
    pub time: Timestamp,
    /// Every registered service, by name.
    pub services: Vec<Service>,
    /// Ids that are held and under which nobody is registered now.
    #[serde(default)]
    pub held: Vec<HeldId>,
    /// The registry's last change.
    pub generation: Generation,
    /// The registry's identity.
    pub epoch: Epoch,
}

/// A service; alone the answer to `GET /internal/services/{service}`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Service {
    /// The service's name.
    pub service: ServiceName,
    /// Its health: that of its best instance.
    pub status: Status,
    /// Why it is kept but not routed; `null` where it is routed.
    pub blocked: Option<String>,
    /// What is odd about its instances: a url that is another service's as well, an id of two processes.
    #[serde(default)]
    pub warnings: Vec<String>,
    /// Whether every instance that could be asked is draining, so that requests get 503.
    pub draining: bool,
    /// The maintenance that it is in: its own, and that of all services, whose `service` is `null`. Absent: none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub maintenance: Vec<Maintenance>,
    /// How its callers are split by versions. Absent: they are not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// Since when its status is what it is.
    pub since: Timestamp,
    /// The share of time that it was not DOWN since it registered, 0 to 1.
    pub uptime_share: f64,
    /// How often its status has changed since it registered.
    pub transitions: u64,
    /// Requests since it registered.
    pub requests: Requests,
    /// Requests that wait for an instance now.
    pub waiting: u32,
    /// The host that its routes are bound to; `null`: any host.
    pub host: Option<String>,
    /// Its routes; empty where it is reached as `<service>.<apps.domain>`.
    pub routes: Vec<ServiceRoute>,
    /// How an instance is chosen.
    pub policy: String,
    /// What the policy `hash` hashes; `null` where there is nothing.
    pub hash_key: Option<String>,
    /// What the policy `sticky` knows a client by; `null` with any other policy, and from a furt that knows addresses alone.
    #[serde(default)]
    pub sticky_by: Option<String>,
    /// How long an instance takes to reach its full share; `null`: it has it at once.
    pub slow_start: Option<Seconds>,
    /// How long furt waits for its instances.
    pub timeouts: ServiceTimeouts,
    /// What it says that browsers may do from other origins; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// What it says that becomes of the path of requests; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Whether it says that furt compresses answers of its routes; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// How much may be asked for of its routes. Absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The most attempts after the first, 0 to 10. Absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u8>,
    /// Who may vouch for callers of its routes that need a permission. Absent where it says nothing: API keys alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Vec<String>>,
    /// How its instances are probed, where it says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// What it said about itself.
    pub metadata: BTreeMap<String, String>,
    /// The revision of its definition.
    pub revision: u64,
    /// Its instances, in the order of their registration; empty where the last one expired and its routes are held.
    pub instances: Vec<Instance>,
    /// When furt answered, by its own clock, to the millisecond; absent in a list, which has it once for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
}

/// Requests of a service since it registered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Requests {
    /// All of them.
    pub total: u64,
    /// Answers of 5xx, requests without an answer, answers that broke off.
    pub errors: u64,
    /// Those that furt answered with a 4xx of its own.
    pub refused: u64,
    /// All of them by class of status: `none`, `1xx`, `2xx`, `3xx`, `4xx`, `5xx`.
    pub by_status: Ordered<u64>,
}

/// A drain, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Drain {
    /// What ends it.
    pub until: DrainUntil,
    /// The address that began it; `null`: an earlier furt stored it without that.
    pub from: Option<String>,
    /// The operator that began it, where a token or a certificate said who it is; else absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// When it began; `null` as for `from`.
    pub since: Option<Timestamp>,
    /// Whether it ends only once it is undone: it holds the id, or the instance names no incarnation.
    pub needs_undo: bool,
}

/// An id whose instance gets no requests until that is undone, whoever registers under it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HeldId {
    /// The service's name.
    pub service: ServiceName,
    /// The id of its instance.
    pub instance: InstanceId,
    /// The drain that holds it.
    pub drain: Drain,
}

/// A route of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceRoute {
    /// A method, or `*` for every one.
    pub method: String,
    /// The pattern.
    pub path: String,
    /// What an API key must be allowed to do; `null`: the route is public.
    pub permission: Option<String>,
    /// Whether requests are sent to the service by it.
    pub routed: bool,
    /// What it says in the place of the service's; absent where it says nothing, `null` where it takes that away.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_or")]
    #[schemars(with = "Option<Cors>", extend("nullable" = true))]
    pub cors: Option<Option<Cors>>,
    /// The same of `rewrite`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_or")]
    #[schemars(with = "Option<Rewrite>", extend("nullable" = true))]
    pub rewrite: Option<Option<Rewrite>>,
    /// Whether it says that furt compresses its answers, in the place of the service's word; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// How much may be asked for, beside what the definition says. Absent: as much as one likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How long furt waits. Absent: as the definition says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<RouteTimeouts>,
    /// The most attempts after the first, 0 to 10, if the definition does not allow fewer. Absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retries: Option<u8>,
    /// Who may vouch for its callers, in the place of the definition's. Absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Vec<String>>,
}

/// How the instances of a service are probed; what is absent is as configured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct HealthCheck {
    /// Between probes of an instance that is UP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<Seconds>,
    /// For a whole probe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout: Option<Seconds>,
    /// Failures in a row that make an instance DOWN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failures: Option<u32>,
    /// The statuses of a good answer, such as `200-399`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<String>,
    /// The host that the probe asks for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// The name that gRPC's own health protocol is asked about, empty for the whole server. Absent: the probe is a `GET`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grpc: Option<String>,
}

/// How long furt waits for the instances of a service; `null`: as configured.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ServiceTimeouts {
    /// For a connection.
    pub connect: Option<Seconds>,
    /// Between two reads.
    pub read: Option<Seconds>,
    /// For a whole request, unless it is a stream; absent: as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Seconds>,
}

/// An instance of a service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Instance {
    /// The instance's id.
    pub instance: InstanceId,
    /// Where it is, as it was registered.
    pub url: String,
    /// Where its url leads, as `ADDRESS:PORT`; empty where its name does not resolve.
    pub addresses: Vec<String>,
    /// What it speaks: `http1` or `h2c`.
    pub protocol: String,
    /// The name in its certificate; `null`: that of its url, or no TLS.
    pub tls_name: Option<String>,
    /// The path that is probed; `null`: it is not probed.
    pub health_endpoint: Option<String>,
    /// Its health.
    pub status: Status,
    /// Whether it gets no new requests.
    pub draining: bool,
    /// What drains it by a command; `null`: nothing does.
    pub drain: Option<Drain>,
    /// Which process it is, in its own words; `null`: it does not say.
    pub incarnation: Option<String>,
    /// The version of what runs there; absent where it does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The incarnation that this one replaced; `null`: none is known.
    pub replaced: Option<String>,
    /// Since when its status is what it is.
    pub since: Timestamp,
    /// When the last probe ended; `null`: none has.
    pub last_ping: Option<Timestamp>,
    /// How long the last successful probe took, in milliseconds with a fraction; `null`: there was none.
    pub response_time_ms: Option<f64>,
    /// Probes that failed since the last one that succeeded.
    pub consecutive_failures: u32,
    /// Why the last probe failed; `null`: it did not.
    pub last_error: Option<String>,
    /// Whether it will be probed again.
    pub probing: bool,
    /// When it registered or sent a heartbeat last.
    pub last_heard: Timestamp,
    /// It must be heard within this time; `null`: it may be silent.
    pub heartbeat_ttl: Option<Seconds>,
    /// Requests in flight.
    pub in_flight: u32,
    /// Until when it gets no requests because those before failed; `null`: it gets them.
    pub ejected_until: Option<Timestamp>,
    /// Its share beside others, 1 to 255.
    pub weight: u8,
    /// Requests in flight above which others are preferred; 0: none.
    pub soft_limit: u32,
    /// Requests in flight that are never exceeded; 0: none.
    pub hard_limit: u32,
    /// Where it is; `null` where it did not say so.
    pub region: Option<String>,
    /// Where it is, as two letters; `null` where it did not say so.
    pub country: Option<String>,
    /// What it says of itself; absent where it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}
