//! What a registration writes: a service's definition, and an instance.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use super::{
    AuthMethods, Country, Document, HealthCheck, Host, Incarnation, InstanceId, Invalid, MAX_TIME, MIN_TIMEOUT,
    MIN_TTL, MethodRule, Pattern, Permission, Region, RouteOptions, Scheme, ServiceName, UpstreamHost, UpstreamUrl,
    Version, path,
};

/// The most routes of a service.
pub const MAX_ROUTES: usize = 256;
/// The most bytes of a definition's metadata, keys and values together.
pub const MAX_METADATA_BYTES: usize = 4096;
/// One route of a service.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RouteSpec {
    /// The methods that it takes.
    pub method: MethodRule,
    /// The pattern of the paths that it takes.
    pub pattern: Pattern,
    /// What the caller's key must hold; `None`: public.
    pub permission: Option<Permission>,
    /// What it says of itself beside that, in the place of what its definition says of all routes.
    pub options: RouteOptions,
}

/// How an instance is chosen for a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LoadBalancingPolicy {
    /// edgeProxy's score: distance, then load over weight.
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

impl LoadBalancingPolicy {
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

/// What a client is known by to a service with the policy [`LoadBalancingPolicy::Sticky`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StickyBy {
    /// Its address, as long as it comes back.
    #[default]
    Address,
    /// A cookie that furt gives it.
    Cookie,
}

impl StickyBy {
    /// From the name it has in JSON.
    ///
    /// # Errors
    /// Any other name.
    pub fn try_new(name: &str) -> Result<Self, Invalid> {
        let found = [Self::Address, Self::Cookie].into_iter().find(|by| by.as_str() == name);
        found.ok_or_else(|| Invalid::new("must be \"address\" or \"cookie\""))
    }

    /// The name it has in JSON.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Address => "address",
            Self::Cookie => "cookie",
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
    /// The name of the service.
    pub service: ServiceName,
    /// The host its routes are bound to; `None`: any.
    pub host: Option<Host>,
    /// 0 to 256; without any, the service is reached by its host `<service>.<apps.domain>`.
    pub routes: Vec<RouteSpec>,
    /// How its instances are chosen.
    pub policy: LoadBalancingPolicy,
    /// For `LoadBalancingPolicy::Hash`: `header:NAME`, `cookie:NAME` or `address`.
    pub hash_key: Option<Box<str>>,
    /// For `LoadBalancingPolicy::Sticky`; with any other policy it is the default.
    pub sticky_by: StickyBy,
    /// How long a share grows after an instance came UP.
    pub slow_start: Option<Duration>,
    /// Timeouts of its own, instead of the configured ones.
    pub timeouts: Timeouts,
    /// What it says of all its routes.
    pub options: RouteOptions,
    /// How its instances are probed.
    pub health_check: HealthCheck,
    /// Whatever the service wants shown, at most 4 KiB.
    pub metadata: BTreeMap<String, String>,
    /// A registration with a lower one than the installed definition's keeps that definition.
    pub revision: u64,
}

impl Definition {
    /// The lists of `auth` that it says, of all its routes or of one.
    pub fn auth_lists(&self) -> impl Iterator<Item = &AuthMethods> {
        let options = self.routes.iter().map(|route| &route.options).chain([&self.options]);
        options.filter_map(|options| options.restrictions.as_ref()?.auth.as_ref())
    }

    /// The definition of a service that says no more than its name: default values, no routes.
    pub fn new(service: ServiceName) -> Self {
        Self {
            service,
            host: None,
            routes: Vec::new(),
            policy: LoadBalancingPolicy::default(),
            hash_key: None,
            sticky_by: StickyBy::default(),
            slow_start: None,
            timeouts: Timeouts::default(),
            options: RouteOptions::default(),
            health_check: HealthCheck::default(),
            metadata: BTreeMap::new(),
            revision: 0,
        }
    }

    /// From `header:NAME`, `cookie:NAME` or `address`.
    ///
    /// # Errors
    /// Anything else.
    pub fn try_hash_key(text: &str) -> Result<Box<str>, Invalid> {
        let is_name = |name: &str| http::HeaderName::from_bytes(name.as_bytes()).is_ok();
        let named = text.strip_prefix("header:").or_else(|| text.strip_prefix("cookie:"));
        if text == "address" || named.is_some_and(is_name) {
            Ok(text.into())
        } else {
            Err(Invalid::new("must be \"header:NAME\", \"cookie:NAME\" or \"address\""))
        }
    }

    /// Whether its fields go together, and so whether it could have been registered.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self) -> Result<(), Invalid> {
        let is_day = |time: Option<Duration>, least| time.is_none_or(|time| (least..=MAX_TIME).contains(&time));
        let metadata: usize = self.metadata.iter().map(|(name, text)| name.len() + text.len()).sum();
        let is_by_host = self.routes.is_empty();
        let refused = if self.routes.len() > MAX_ROUTES {
            "it has too many routes"
        } else if self
            .routes
            .iter()
            .enumerate()
            .any(|(at, route)| self.routes[..at].iter().any(|it| it.is_conflict(route)))
        {
            "two of its routes claim the same requests"
        } else if is_by_host && (self.host.is_some() || Host::try_new(self.service.as_str()).is_err()) {
            "without routes it has no host, and its name must be one"
        } else if self.policy == LoadBalancingPolicy::Hash && self.hash_key.is_none() {
            "its policy needs a hash_key"
        } else if self.policy != LoadBalancingPolicy::Sticky && self.sticky_by != StickyBy::default() {
            "its sticky_by needs the policy sticky"
        } else if metadata > MAX_METADATA_BYTES {
            "it has too much metadata"
        } else if !is_day(self.slow_start, Duration::ZERO)
            || !is_day(self.timeouts.connect, MIN_TIMEOUT)
            || !is_day(self.timeouts.read, MIN_TIMEOUT)
            || !is_day(self.health_check.interval, MIN_TIMEOUT)
            || !is_day(self.health_check.timeout, MIN_TIMEOUT)
        {
            "one of its times is out of range"
        } else if self.health_check.failures == Some(0) {
            "it is DOWN without a failure"
        } else if self.health_check.grpc.is_some() && self.health_check.status.is_some() {
            "its probe by gRPC has no status of HTTP"
        } else {
            self.options.check()?;
            let strips = self.options.rewrite.value().is_some_and(|rewrite| rewrite.strip.is_some());
            if is_by_host && strips {
                return Err(Invalid::new("without routes there is nothing to strip of its paths"));
            }
            if is_by_host {
                RouteOptions::default().check_compress(&self.options)?;
            }
            return self.routes.iter().try_for_each(|route| self.check_options(route));
        };
        Err(Invalid::new(refused))
    }

    fn check_options(&self, route: &RouteSpec) -> Result<(), Invalid> {
        route.options.check()?;
        let rewrite = route.options.rewrite.clone().after(self.options.rewrite.value().cloned());
        if rewrite.is_some_and(|rewrite| !rewrite.fits(&route.pattern)) {
            return Err(Invalid::new("what is stripped of a path does not begin the pattern of its route"));
        }
        route.options.check_compress(&self.options)
    }
}

impl RouteSpec {
    /// Whether it claims requests that `other`, of the same service, claims as specifically.
    pub fn is_conflict(&self, other: &Self) -> bool {
        self.pattern == other.pattern && self.method == other.method
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
    /// From the name it has in JSON.
    ///
    /// # Errors
    /// Any other name.
    pub fn try_new(name: &str) -> Result<Self, Invalid> {
        let found = [Self::Http1, Self::H2c].into_iter().find(|protocol| protocol.as_str() == name);
        found.ok_or_else(|| Invalid::new("must be \"http1\" or \"h2c\""))
    }

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
    /// The id, unique in the registry.
    pub id: InstanceId,
    /// The url that requests are sent to.
    pub url: UpstreamUrl,
    /// Which process it is; `None`: it does not say.
    pub incarnation: Option<Incarnation>,
    /// The version of what runs there; `None`: it does not say.
    pub version: Option<Version>,
    /// The protocol that the instance speaks.
    pub protocol: Protocol,
    /// The name its certificate is checked for, and sent as SNI; needed where an https url has a bare address.
    pub tls_name: Option<Box<str>>,
    /// The absolute path that is probed; `None`: never probed, UP from registration on.
    pub health_endpoint: Option<Box<str>>,
    /// Deregistered when not heard for so long; `None`: not before it heartbeats.
    pub heartbeat_ttl: Option<Duration>,
    /// Its share of the requests among instances of equal rank, 1 to 255.
    pub weight: u8,
    /// Requests in flight from which others are preferred; 0: none.
    pub soft_limit: u32,
    /// Requests in flight that are never exceeded; 0: none.
    pub hard_limit: u32,
    /// The region that it is in.
    pub region: Option<Region>,
    /// The country that it is in.
    pub country: Option<Country>,
    /// Whether it says that other services are at its url as well.
    pub shared: bool,
    /// What it says of itself to those who look it up.
    pub document: Option<Document>,
}

/// Where an instance is, as it was registered: what is at one place is one process. Addresses that a name leads to say
/// nothing of that.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    /// An address and a port.
    Address(IpAddr, u16),
    /// A name, a port, and the name in the certificate.
    Name(Box<str>, u16, Option<Box<str>>),
}

impl InstanceSpec {
    /// Where it is.
    pub fn place(&self) -> Place {
        match &self.url.host {
            UpstreamHost::Address(address) => Place::Address(*address, self.url.port),
            UpstreamHost::Name(name) => Place::Name(name.clone(), self.url.port, self.tls_name.clone()),
        }
    }

    /// The spec of an instance that says no more than its id and url: default values.
    pub fn new(id: InstanceId, url: UpstreamUrl) -> Self {
        Self {
            id,
            url,
            incarnation: None,
            version: None,
            protocol: Protocol::default(),
            tls_name: None,
            health_endpoint: Some("/health".into()),
            heartbeat_ttl: None,
            weight: 1,
            soft_limit: 0,
            hard_limit: 0,
            region: None,
            country: None,
            shared: false,
            document: None,
        }
    }

    /// A health endpoint: an absolute path, also with a query.
    ///
    /// # Errors
    /// What is refused in a request's path, over 1,024 bytes, `#`, a space, anything beyond visible ASCII.
    pub fn try_health_endpoint(text: &str) -> Result<Box<str>, Invalid> {
        let path = text.split('?').next().unwrap_or_default();
        let query_fits = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        match path::normalize(path) {
            Ok(_) if query_fits && text.len() <= 1024 => Ok(text.into()),
            Ok(_) => Err(Invalid::new("must be at most 1024 visible ASCII characters without '#'")),
            Err(error) => Err(Invalid::new(error.to_string())),
        }
    }

    /// A name in a certificate, in lower case.
    ///
    /// # Errors
    /// What is no host name, or an address.
    pub fn try_tls_name(text: &str) -> Result<Box<str>, Invalid> {
        match Host::try_new(text) {
            Ok(host) if host.as_str().parse::<std::net::Ipv4Addr>().is_err() && !text.starts_with('[') => {
                Ok(host.as_str().into())
            }
            _ => Err(Invalid::new("must be the DNS name in the certificate")),
        }
    }

    /// Whether its fields go together, and so whether it could have been registered.
    ///
    /// # Errors
    /// The first reason why not.
    pub fn check(&self) -> Result<(), Invalid> {
        let is_tls = self.url.scheme == Scheme::Https;
        let needs_name = is_tls && matches!(self.url.host, UpstreamHost::Address(_));
        let refused = if needs_name && self.tls_name.is_none() {
            "an https url by address needs a tls_name"
        } else if self.tls_name.is_some() && !is_tls {
            "an http url has no tls_name"
        } else if self.weight == 0 {
            "its weight is 0"
        } else if self.hard_limit != 0 && self.soft_limit > self.hard_limit {
            "its soft_limit is above its hard_limit"
        } else if self.heartbeat_ttl.is_some_and(|ttl| !(MIN_TTL..=MAX_TIME).contains(&ttl)) {
            "its heartbeat_ttl is out of range"
        } else {
            return Ok(());
        };
        Err(Invalid::new(refused))
    }
}
