//! Registering, heartbeats and probes.

use std::borrow::Cow;
use std::collections::BTreeMap;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::nullable::null_or;
use crate::route_options::{Cors, Limits, Rewrite, RouteTimeouts};
use crate::services::HealthCheck;
use crate::{Document, Epoch, Generation, InstanceId, Outcome, Seconds, ServiceName, Status};

/// The body of `POST /internal/register-service`: a service's definition and one of its instances.
///
/// A field that is `None` is left out, and furt takes its default. `docs/registering.md` of furt has every rule.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// The service's name.
    pub service: ServiceName,
    /// Where the instance is: `http` or `https`, a host and an optional port.
    #[schemars(regex(pattern = "^https?://"))]
    pub url: String,
    /// The instance's id. Absent: the service's name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instance: Option<InstanceId>,
    /// Which process it is, new in each: 1 to 64 visible ASCII characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[!-~]{1,64}$"))]
    pub incarnation: Option<String>,
    /// The version of what runs there, by which a split sends it callers: 1 to 32 of `A-Z`, `a-z`, `0-9`, `.`, `_`, `-`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z0-9._-]{1,32}$"))]
    pub version: Option<String>,
    /// The path that is probed; `null`: the instance is not probed. Absent: `/health`.
    #[serde(default, skip_serializing_if = "HealthEndpoint::is_default")]
    pub health_endpoint: HealthEndpoint,
    /// At most 256. Empty: the service is reached as `<service>.<apps.domain>`. Absent, with all other fields of the
    /// definition: the installed one stays as it is. Absent, with one of them: refused where the installed one has routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub routes: Option<Vec<Route>>,
    /// The host that the routes are bound to, without a port. Absent: any host. Only together with routes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<String>,
    /// How an instance is chosen: `edge`, `round_robin`, `least_conn`, `hash` or `sticky`. Absent: `edge`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy: Option<String>,
    /// What the policy `hash` hashes, and required by it: `header:NAME`, `cookie:NAME` or `address`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hash_key: Option<String>,
    /// What the policy `sticky` knows a client by: `address`, or `cookie`, which furt sets. Absent: `address`. Only together with
    /// that policy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sticky_by: Option<String>,
    /// How long an instance takes to reach its full share after its status changed, 0 to 86400 s. Absent: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0.0, max = 86400.0))]
    pub slow_start: Option<Seconds>,
    /// Absent: those of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeouts: Option<Timeouts>,
    /// What browsers may do with answers of its routes from other origins. Absent: furt has no say in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cors: Option<Cors>,
    /// What becomes of the path of requests on their way to it. Absent: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rewrite: Option<Rewrite>,
    /// Whether furt compresses answers of its routes. Absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compress: Option<bool>,
    /// How much may be asked for of its routes. Absent: as much as one likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// The most attempts after the first, 0 to 10. Absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(max = 10))]
    pub retries: Option<u8>,
    /// Who may vouch for callers of its routes that need a permission, 1 to 8: `key`, and names of issuers and of forward auth that
    /// the configuration has. Absent: `key` alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub auth: Option<Vec<String>>,
    /// How the instances are probed. Absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health_check: Option<HealthCheck>,
    /// What operators see beside the service; names and values together at most 4096 bytes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub metadata: BTreeMap<String, String>,
    /// A registration with a lower revision than the installed definition adds its instance and leaves the definition.
    /// Absent: 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// What the instance speaks: `http1` or `h2c`. Absent: `http1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub protocol: Option<String>,
    /// The name in the instance's certificate; required for an `https` url by address, and only for `https`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls_name: Option<String>,
    /// How long the instance stays registered without being heard. Absent: for ever, until it sends a heartbeat.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ttl: Option<Seconds>,
    /// The instance's share beside others, 1 to 255. Absent: 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub weight: Option<u8>,
    /// Requests in flight above which others are preferred. Absent or 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub soft_limit: Option<u32>,
    /// Requests in flight that are never exceeded; not below `soft_limit`. Absent or 0: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hard_limit: Option<u32>,
    /// Where the instance is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Where the instance is, as two letters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^[A-Za-z]{2}$"))]
    pub country: Option<String>,
    /// Whether other services are at its url as well, by intent. Absent: no.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared: Option<bool>,
    /// What it says of itself to those who look it up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub document: Option<Document>,
}

impl Registration {
    /// A registration of one instance that says nothing of its service, with every default.
    pub fn new(service: impl Into<ServiceName>, url: impl Into<String>) -> Self {
        Self {
            service: service.into(),
            url: url.into(),
            instance: None,
            incarnation: None,
            version: None,
            health_endpoint: HealthEndpoint::Default,
            routes: None,
            host: None,
            policy: None,
            hash_key: None,
            sticky_by: None,
            slow_start: None,
            timeouts: None,
            cors: None,
            rewrite: None,
            compress: None,
            limits: None,
            retries: None,
            auth: None,
            health_check: None,
            metadata: BTreeMap::new(),
            revision: None,
            protocol: None,
            tls_name: None,
            heartbeat_ttl: None,
            weight: None,
            soft_limit: None,
            hard_limit: None,
            region: None,
            country: None,
            shared: None,
            document: None,
        }
    }
}

/// Whether and where an instance is probed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum HealthEndpoint {
    /// At `/health`; the field is left out.
    #[default]
    Default,
    /// Never: the instance is UP at once. `null` in JSON.
    Unprobed,
    /// At this absolute path, which may have a query; at most 1024 characters.
    Path(String),
}

impl HealthEndpoint {
    fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

impl Serialize for HealthEndpoint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Default => serializer.serialize_str("/health"),
            Self::Unprobed => serializer.serialize_none(),
            Self::Path(path) => serializer.serialize_str(path),
        }
    }
}

impl<'de> Deserialize<'de> for HealthEndpoint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::<String>::deserialize(deserializer)?.map_or(Self::Unprobed, Self::Path))
    }
}

impl JsonSchema for HealthEndpoint {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "HealthEndpoint".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": ["string", "null"], "pattern": "^/", "maxLength": 1024, "nullable": true })
    }
}

/// Requests that a service takes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// A method in upper case, or `*` for every one; `GET` takes `HEAD` too.
    pub method: String,
    /// A pattern such as `/api/comments/*`.
    #[schemars(regex(pattern = "^/"))]
    pub path: String,
    /// What an API key must be allowed to do. Absent: the route is public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permission: Option<String>,
    /// In the place of the definition's; `null`: there is none. Absent: the definition's holds.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_or")]
    #[schemars(with = "Option<Cors>", extend("nullable" = true))]
    pub cors: Option<Option<Cors>>,
    /// The same of `rewrite`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "null_or")]
    #[schemars(with = "Option<Rewrite>", extend("nullable" = true))]
    pub rewrite: Option<Option<Rewrite>>,
    /// Whether furt compresses its answers, in the place of what the definition says. Absent: as the definition says.
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
    #[schemars(range(max = 10))]
    pub retries: Option<u8>,
    /// Who may vouch for its callers, in the place of the definition's. Of a public route: any caller that one of them vouches for may
    /// come. Absent: as the definition says; everyone where the route is public.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 8))]
    pub auth: Option<Vec<String>>,
}

impl Route {
    /// A route that needs no API key.
    pub fn public(method: impl Into<String>, path: impl Into<String>) -> Self {
        Self {
            method: method.into(),
            path: path.into(),
            permission: None,
            cors: None,
            rewrite: None,
            compress: None,
            limits: None,
            timeouts: None,
            retries: None,
            auth: None,
        }
    }

    /// A route that needs an API key with this permission.
    pub fn protected(method: impl Into<String>, path: impl Into<String>, permission: impl Into<String>) -> Self {
        Self { permission: Some(permission.into()), ..Self::public(method, path) }
    }
}

/// How long furt waits for an instance.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Timeouts {
    /// For a connection, 0.001 to 86400 s. Absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect: Option<Seconds>,
    /// Between two reads, 0.001 to 86400 s. Absent: as configured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Seconds>,
    /// For a whole request to the end of its answer, 0.001 to 86400 s, unless it is a stream. Absent: as long as it takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Seconds>,
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Registered {
    /// [`Outcome::Registered`].
    pub status: Outcome,
    /// The service's name.
    pub service: ServiceName,
    /// The instance's id.
    pub instance: InstanceId,
    /// How many routes the installed definition has.
    pub routes: usize,
    /// The instance's health now; [`Status::Unknown`] until its first probe is done.
    pub health: Status,
    /// The registry's last change.
    pub generation: Generation,
    /// The registry's identity.
    pub epoch: Epoch,
    /// The TTL that holds, or that would hold once the instance sends a heartbeat.
    pub heartbeat_ttl: Seconds,
    /// What it replaced: an instance of its id that was UP at another url, and others of its service at its url. Absent:
    /// nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replaced: Vec<Replaced>,
    /// Whether a split names its version, so that it joined and all else that it says of the service was left out. Absent: no.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub canary: bool,
    /// What is odd about its routes, in words, where the registration changed something. Absent: nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

/// An instance that a registration replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Replaced {
    /// The instance's id.
    pub instance: InstanceId,
    /// Where it was.
    pub url: String,
    /// Which process it was; `null`: it did not say.
    pub incarnation: Option<String>,
}

/// The answer to `POST /internal/services/{service}/instances/{instance}/heartbeat`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Heartbeat {
    /// [`Outcome::Ok`].
    pub status: Outcome,
    /// The service's name.
    pub service: ServiceName,
    /// The instance's id.
    pub instance: InstanceId,
    /// The instance's health now.
    pub health: Status,
    /// The registry's identity.
    pub epoch: Epoch,
    /// The instance must be heard again within this time.
    pub heartbeat_ttl: Seconds,
}

/// The answer to `POST /internal/services/{service}/instances/{instance}/probe`, with 202.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Probing {
    /// [`Outcome::Probing`].
    pub status: Outcome,
    /// The service's name.
    pub service: ServiceName,
    /// The instance's id.
    pub instance: InstanceId,
    /// The instance's health before the probe.
    pub health: Status,
}
