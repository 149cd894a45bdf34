//! What a registration writes: a service's definition, and an instance.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Country, Host, InstanceId, MethodRule, Pattern, Permission, Region, ServiceName, UpstreamUrl};

/// The most routes of a service (DESIGN §5.1).
pub const MAX_ROUTES: usize = 256;
/// The most bytes of a definition's metadata, keys and values together (DESIGN §5.1).
pub const MAX_METADATA_BYTES: usize = 4096;

/// One route of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteSpec {
    /// Which methods.
    pub method: MethodRule,
    /// Which paths.
    pub pattern: Pattern,
    /// What the caller's key must hold; `None`: public.
    pub permission: Option<Permission>,
}

/// How a service wishes its instances to be chosen (DESIGN §8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Policy {
    /// edgeProxy's score: place, then load over weight.
    #[default]
    Edge,
    /// In turn, by weight.
    RoundRobin,
    /// The fewest requests in flight.
    LeastConn,
    /// A consistent hash of `hash_key`.
    Hash,
    /// As `Edge`, but a client stays with its instance.
    Sticky,
}

impl Policy {
    /// From the name it has in JSON.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Edge, Self::RoundRobin, Self::LeastConn, Self::Hash, Self::Sticky]
            .into_iter()
            .find(|policy| policy.as_str() == name)
    }

    /// The name it has in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Edge => "edge",
            Self::RoundRobin => "round_robin",
            Self::LeastConn => "least_conn",
            Self::Hash => "hash",
            Self::Sticky => "sticky",
        }
    }
}

/// A service's own timeouts; what is `None` follows the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Timeouts {
    /// To establish a connection.
    pub connect: Option<Duration>,
    /// To the response header, and between reads.
    pub read: Option<Duration>,
}

/// What a service is, apart from where it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    /// Its name.
    pub service: ServiceName,
    /// The host its routes are bound to; `None`: any.
    pub host: Option<Host>,
    /// 0 to 256; without any, the service is reached by host (DESIGN §6).
    pub routes: Vec<RouteSpec>,
    /// How its instances are chosen.
    pub policy: Policy,
    /// For `Policy::Hash`: `header:NAME`, `cookie:NAME` or `address`.
    pub hash_key: Option<Box<str>>,
    /// How long a share grows after an instance came UP.
    pub slow_start: Option<Duration>,
    /// Its own timeouts.
    pub timeouts: Timeouts,
    /// Whatever the service wants shown, at most 4 KiB.
    pub metadata: BTreeMap<String, String>,
    /// A registration with a lower one than the installed definition's keeps that definition.
    pub revision: u64,
}

impl Definition {
    /// Of a service that says no more than its name: the defaults of DESIGN §5.1, no routes.
    pub fn new(service: ServiceName) -> Self {
        Self {
            service,
            host: None,
            routes: Vec::new(),
            policy: Policy::default(),
            hash_key: None,
            slow_start: None,
            timeouts: Timeouts::default(),
            metadata: BTreeMap::new(),
            revision: 0,
        }
    }
}

/// What an instance speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// HTTP/1.1.
    #[default]
    Http1,
    /// HTTP/2 without an upgrade: prior knowledge on http, ALPN on https.
    H2c,
}

impl Protocol {
    /// The name it has in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http1 => "http1",
            Self::H2c => "h2c",
        }
    }
}

/// Where a service runs, once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstanceSpec {
    /// Its id.
    pub id: InstanceId,
    /// Its address.
    pub url: UpstreamUrl,
    /// What it speaks.
    pub protocol: Protocol,
    /// The name its certificate is checked for, and sent as SNI; needed where an https url has a bare address.
    pub tls_name: Option<Box<str>>,
    /// The absolute path that is probed; `None`: never probed, UP from registration on.
    pub health_endpoint: Option<Box<str>>,
    /// Deregistered when not heard for so long; `None`: not before it heartbeats.
    pub heartbeat_ttl: Option<Duration>,
    /// Its share, 1 to 255.
    pub weight: u8,
    /// Requests in flight from which others are preferred; 0: none.
    pub soft_limit: u32,
    /// Requests in flight that are never exceeded; 0: none.
    pub hard_limit: u32,
    /// Where it is.
    pub region: Option<Region>,
    /// Where it is.
    pub country: Option<Country>,
}

impl InstanceSpec {
    /// Of an instance that says no more than where it is: the defaults of DESIGN §5.1.
    pub fn new(id: InstanceId, url: UpstreamUrl) -> Self {
        Self {
            id,
            url,
            protocol: Protocol::default(),
            tls_name: None,
            health_endpoint: Some("/health".into()),
            heartbeat_ttl: None,
            weight: 1,
            soft_limit: 0,
            hard_limit: 0,
            region: None,
            country: None,
        }
    }
}
