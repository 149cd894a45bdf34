//! Configuration: what the file and the environment say, parsed whole into values that need no further check.
//!
//! This file holds the types, `load` the way in, `defaults` what an empty file gives, `section` the walk over file and
//! environment, `value` one value, `sections` (with `geo`) and `entries` the keys, `errors` what is wrong, `changes` what differs from
//! one configuration to another. [`Config::load`]
//! reports every error at once, each with file, line, column and what would be right. Nothing here opens a socket,
//! resolves a name or logs. Callers: `cli` and `app`.

mod changes;
mod defaults;
mod entries;
mod errors;
mod geo;
mod load;
mod section;
mod sections;
#[cfg(test)]
mod tests;
mod value;

pub use changes::{KeyLocations, ReloadClass};
pub use errors::{ConfigError, ConfigErrors, SourceLocation};
pub use geo::GeoConfig;
pub use sections::MAX_RETRIES;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use furt_core::model::{
    CidrSet, Host, KeyName, MethodRule, Pattern, Permission, PermissionSet, Rate, RateLimit, ServiceName, Sha256Digest,
    UpstreamUrl,
};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[internal]`
    pub internal: InternalConfig,
    /// `[gateway]`
    pub gateway: GatewayConfig,
    /// `[registration]`
    pub registration: RegistrationConfig,
    /// `[client]`
    pub client: ClientConfig,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[upstream]`
    pub upstream: UpstreamConfig,
    /// `[apps] domain`: services without routes are reached as `<service>.<domain>`.
    pub apps_domain: Host,
    /// `[geo]`
    pub geo: GeoConfig,
    /// `[access_log] path`
    pub access_log: AccessLogTarget,
    /// `[store]`
    pub store: StoreConfig,
    /// `[[api_keys]]`
    pub api_keys: Vec<ApiKeyConfig>,
    /// `[[grants]]`
    pub grants: Vec<GrantConfig>,
    /// `[[routes]]`: static routes
    pub routes: Vec<StaticRouteConfig>,
}

/// `[server]`: the public listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Addresses of the public listener, at least one.
    pub listen: Vec<SocketAddr>,
    /// The longest wait for requests in flight after SIGTERM.
    pub grace: Duration,
    /// Whose `X-Forwarded-For` is believed.
    pub trusted_proxies: CidrSet,
    /// The most client connections at once, at least 1.
    pub max_connections: usize,
    /// Worker threads of the public listener, at least 1; default: the machine's cores.
    pub threads: usize,
}

/// `[internal]`: the listener for services and operators.
#[derive(Debug, Clone, PartialEq)]
pub struct InternalConfig {
    /// Its address.
    pub listen: SocketAddr,
    /// Who may operate.
    pub operators_from: CidrSet,
    /// What operators must send as bearer token as well, where set.
    pub operator_token_sha256: Option<Sha256Digest>,
    /// Host names it answers to, beside addresses and `localhost`.
    pub hosts: Vec<Host>,
    /// Whether it has edgeProxy's `/api/v1`.
    pub backends_api: bool,
}

/// `[gateway]`: the seed's keys and numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayConfig {
    /// `false`: no registration, no probes, static routes only.
    pub enabled: bool,
    /// Between probes of an UP instance.
    pub health_check_interval: Duration,
    /// Between probes of a DOWN instance.
    pub health_check_interval_down: Duration,
    /// Of one probe, connect to status line and headers.
    pub health_check_timeout: Duration,
    /// Failures in a row that make an instance DOWN, at least 1.
    pub max_consecutive_failures: u32,
    /// Failures in a row that end the probing; at least `max_consecutive_failures`.
    pub stop_ping_after_failures: u32,
    /// Who may register; default: 127.0.0.0/8, ::1/128 and 10.0.0.0/8, the seed's networks with all of loopback.
    pub allow_registration_from: CidrSet,
}

/// `[registration]`
#[derive(Debug, Clone, PartialEq)]
pub struct RegistrationConfig {
    /// Registrations per source address.
    pub rate: Rate,
    /// How many may come at once beyond the rate; default 200.
    pub burst: u32,
    /// What a service without a grant may do.
    pub unlisted: Unlisted,
    /// Where instances may be.
    pub upstreams: CidrSet,
    /// TTL of instances that heartbeat and name none.
    pub heartbeat_ttl: Duration,
}

/// `registration.unlisted`: what a service without a grant may register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unlisted {
    /// Anything from a loopback address, nothing from elsewhere.
    Loopback,
    /// Anything.
    Allow,
    /// Nothing.
    Deny,
}

/// `[client]`: timeouts towards clients.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientConfig {
    /// For the whole request header.
    pub header_timeout: Duration,
    /// Between reads of the request body.
    pub body_timeout: Duration,
    /// An idle connection between requests.
    pub keepalive_timeout: Duration,
    /// A write that makes no progress.
    pub write_timeout: Duration,
}

/// `[limits]`: of what one client may ask for. `None`: no limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// Requests without a good API key, from one address.
    pub address_rate: Option<Rate>,
    /// How many of them may come at once; default 100.
    pub address_burst: NonZeroU32,
    /// Connections of one address, at least 1.
    pub address_connections: Option<usize>,
    /// Bytes of a request's body, at least 1.
    pub max_body: Option<u64>,
}

impl LimitsConfig {
    /// What an address may ask for without a good API key.
    pub fn address(&self) -> Option<RateLimit> {
        self.address_rate.map(|rate| RateLimit { rate, burst: self.address_burst })
    }
}

/// `[upstream]`: towards instances.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConfig {
    /// TCP and TLS handshakes together.
    pub connect_timeout: Duration,
    /// To the response header, and between reads.
    pub read_timeout: Duration,
    /// The same for upgrades and streams; not below `read_timeout`.
    pub stream_read_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Further attempts after the first, 0 to 10.
    pub retries: usize,
    /// A PEM file of roots for https instances, instead of the system's.
    pub ca: Option<PathBuf>,
}

/// `[access_log] path`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccessLogTarget {
    /// `""`
    Off,
    /// `"-"`
    Stdout,
    /// A file, appended to.
    File(PathBuf),
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// `kind = "memory"`: gone with the process.
    Memory,
    /// `kind = "disk"`: in one file, `path`, whose folder is made if need be.
    Disk(PathBuf),
}

/// `[[api_keys]]`
#[derive(Debug, Clone, PartialEq)]
pub struct ApiKeyConfig {
    /// What services are told; unique.
    pub name: KeyName,
    /// The key's SHA-256; unique.
    pub sha256: Sha256Digest,
    /// What it may do.
    pub permissions: PermissionSet,
    /// From where; empty: anywhere.
    pub allow_from: CidrSet,
    /// Requests; `None`: unlimited.
    pub rate: Option<RateLimit>,
}

/// `[[grants]]`: what a service may register. A field left out of the file gives nothing, except `upstreams`, where
/// it means the whole of `registration.upstreams`, and `hosts`, where it means host-less routes only.
#[derive(Debug, Clone, PartialEq)]
pub struct GrantConfig {
    /// Which service; unique.
    pub service: ServiceName,
    /// The permissions its routes may ask for.
    pub permissions: PermissionSet,
    /// The patterns its routes must lie within.
    pub paths: Vec<Pattern>,
    /// The hosts it may bind routes to.
    pub hosts: Vec<Host>,
    /// Where its instances may be; within `registration.upstreams` all the same.
    pub upstreams: Option<CidrSet>,
    /// Whether its routes may be public.
    pub public: bool,
    /// What it must send as bearer token, where set.
    pub token_sha256: Option<Sha256Digest>,
}

/// `[[routes]]`: a static route.
#[derive(Debug, Clone, PartialEq)]
pub struct StaticRouteConfig {
    /// Its host; `None`: any.
    pub host: Option<Host>,
    /// Its methods.
    pub method: MethodRule,
    /// Its paths; not `/health`, nothing at or below `/internal`.
    pub path: Pattern,
    /// Where it leads.
    pub target: StaticTarget,
    /// What the caller's key must hold; `None`: public.
    pub permission: Option<Permission>,
    /// Whether no registration may overlap it; default: true unless the path ends in `*`.
    pub exclusive: bool,
    /// SNI and name of the certificate for an https url by bare address.
    pub tls_name: Option<Box<str>>,
}

/// Where a static route leads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StaticTarget {
    /// `url = "http://127.0.0.1:7901"`
    Url(UpstreamUrl),
    /// `service = "mail"`: a registered service.
    Service(ServiceName),
}
