//! The configuration as types: values that need no further check.
//!
//! A field of a single table gets its value from its row in `tables`, a field of an entry from its row in `arrays`. A
//! field without a row does not compile.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use furt_bus::BusUrl;
use furt_cluster::model::Fingerprint;
use http::HeaderName;
use minisign_verify::PublicKey;
use url::Url;

mod auth;
mod compression;
mod entries;
mod telemetry;

pub use auth::{
    ClaimGrants, ForwardAuthConfig, IDENTITY_HEADERS, IssuerConfig, JwksSource, ProviderKind, TokenAlgorithm,
};
pub use compression::{CompressionConfig, ContentCoding, MediaTypePattern};
pub use entries::{ApiKeyConfig, GrantConfig, Line, RespondConfig, RuleConfig, StaticRouteConfig, StaticTarget};
pub use telemetry::{AccessLogConfig, AccessLogTarget, IncomingTraces, LogFormat, TracingConfig};

use super::allowed::AllowedSettings;
use super::sourced::{PlainPassword, Sourced};
use crate::header_name::HeaderNames;
use crate::wire::Pseudonym;
use furt_core::model::{CidrSet, Host, OperatorName, Rate, RateLimit, Region, Role, Sha256Digest, UpstreamUrl};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[server]`
    pub server: ServerConfig,
    /// `[tls]`
    pub tls: TlsConfig,
    /// `[acme]`
    pub acme: AcmeConfig,
    /// `[internal]`
    pub internal: InternalConfig,
    /// `[gateway]`
    pub gateway: GatewayConfig,
    /// `[registration]`
    pub registration: RegistrationConfig,
    /// `[client]`
    pub client: ClientConfig,
    /// `[keys]`
    pub keys: KeysConfig,
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[pages]`
    pub pages: PagesConfig,
    /// `[compression]`
    pub compression: CompressionConfig,
    /// `[upstream]`
    pub upstream: UpstreamConfig,
    /// `[apps] domain`: services without routes are reached as `<service>.<domain>`.
    pub apps_domain: Host,
    /// `[geo]`
    pub geo: GeoConfig,
    /// `[access_log]`
    pub access_log: AccessLogConfig,
    /// `[log] format`
    pub log_format: LogFormat,
    /// `[tracing]`
    pub tracing: TracingConfig,
    /// `[store]`
    pub store: StoreConfig,
    /// `[store]`, for `kind = "etcd"`.
    pub etcd: EtcdConfig,
    /// `[cluster]`
    pub cluster: ClusterConfig,
    /// `[vault]`
    pub vault: VaultConfig,
    /// `[update]`
    pub update: UpdateConfig,
    /// `[[certificates]]`
    pub certificates: Vec<CertificateConfig>,
    /// `[[client_auth]]`
    pub client_auth: Vec<ClientAuthConfig>,
    /// `[[operators]]`
    pub operators: Vec<OperatorConfig>,
    /// `[[issuers]]`
    pub issuers: Vec<IssuerConfig>,
    /// `[[forward_auth]]`
    pub forward_auth: Vec<ForwardAuthConfig>,
    /// `[[api_keys]]`
    pub api_keys: Vec<ApiKeyConfig>,
    /// `[[grants]]`
    pub grants: Vec<GrantConfig>,
    /// `[[routes]]`: static routes
    pub routes: Vec<StaticRouteConfig>,
    /// `[[rules]]`: options of routes, which override what services say
    pub rules: Vec<RuleConfig>,
    /// Keys of settings from elsewhere that `cluster.settings` does not allow, so that the file's values count.
    pub passed_over: BTreeSet<&'static str>,
}

/// `[server]`: the public listener.
#[derive(Debug, Clone, PartialEq)]
pub struct ServerConfig {
    /// Addresses of the public listener, at least one.
    pub listen: Vec<SocketAddr>,
    /// The longest wait for requests in flight after SIGTERM.
    pub grace: Duration,
    /// The proxies whose `X-Forwarded-For` is believed.
    pub trusted_proxies: CidrSet,
    /// The peers whose connections begin with a PROXY header, and no others do.
    pub proxy_protocol_from: CidrSet,
    /// Headers that are removed from requests of everyone else.
    pub proxy_headers: HeaderNames,
    /// furt's name in `Via`; `None`: requests get none, and loops are not looked for.
    pub via: Option<Pseudonym>,
    /// The most client connections at once, at least 1.
    pub max_connections: usize,
    /// The most requests at once, at least 1.
    pub max_requests: i64,
    /// Whether clients may speak HTTP/2.
    pub http2: bool,
    /// The most requests at once of a connection over HTTP/2, at least 1.
    pub max_streams: usize,
    /// How old a connection over HTTP/2 becomes.
    pub max_connection_age: Duration,
    /// The longest wait for clients after another furt has taken over.
    pub upgrade_grace: Duration,
    /// Worker threads of the public listener, at least 1.
    pub threads: usize,
}

/// `[tls]`: the public listener under TLS.
#[derive(Debug, Clone, PartialEq)]
pub struct TlsConfig {
    /// Addresses under TLS; none: nothing is.
    pub listen: Vec<SocketAddr>,
    /// Whether plain requests are sent to https.
    pub redirect: bool,
    /// The age of `Strict-Transport-Security`; zero: it is not sent.
    pub hsts: Duration,
    /// The oldest version that is spoken.
    pub min_version: MinTlsVersion,
    /// What a client gets that names no host of a certificate.
    pub unknown_name: UnknownTlsName,
    /// For a whole handshake.
    pub handshake_timeout: Duration,
    /// A folder for what outlives the process.
    pub state: PathBuf,
}

/// `[acme]`: certificates that furt gets by itself, from one authority.
#[derive(Debug, Clone, PartialEq)]
pub struct AcmeConfig {
    /// Names that get a certificate each.
    pub names: Vec<Host>,
    /// Hosts of registered services get one by themselves where they are within these.
    pub from_routes: Vec<HostRange>,
    /// The https url of the authority's directory.
    pub directory: String,
    /// Urls by which the authority reaches the operator, such as `mailto:ops@example.org`.
    pub contact: Vec<String>,
    /// The kind of certificate that is asked for; `None`: the authority's usual one.
    pub profile: Option<String>,
    /// The id of an account that the authority has already made elsewhere.
    pub eab_kid: Option<String>,
    /// The file with the key of `eab_kid`.
    pub eab_key_file: Option<PathBuf>,
    /// The roots that the directory's own certificate is checked with; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Whether the operator agrees to the authority's terms.
    pub agree_terms: bool,
    /// Where furt asks for its own challenge, as `host:port`; `None`: at the name itself.
    pub check_at: Option<String>,
}

impl AcmeConfig {
    /// Whether anything may get a certificate.
    pub fn is_on(&self) -> bool {
        !self.names.is_empty() || !self.from_routes.is_empty()
    }
}

/// One host, or with `*.` at its beginning those with one label more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostRange {
    /// Without the `*.`.
    pub base: Host,
    /// Whether it had one.
    pub is_wild: bool,
}

impl HostRange {
    /// Whether a host is within.
    pub fn contains(&self, host: &Host) -> bool {
        if !self.is_wild {
            return *host == self.base;
        }
        host.as_str().split_once('.').is_some_and(|(_, rest)| rest == self.base.as_str())
    }
}

/// `tls.min_version`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinTlsVersion {
    /// TLS 1.2 and 1.3.
    Tls12,
    /// TLS 1.3 alone.
    Tls13,
}

/// `tls.unknown_name`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownTlsName {
    /// The alert `unrecognized_name`.
    Refuse,
    /// The first certificate.
    First,
}

/// `[pages]`: files that nobody has opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PagesConfig {
    /// The page of all problems that have no other.
    pub error: Option<PathBuf>,
    /// The page of maintenance.
    pub maintenance: Option<PathBuf>,
}

/// `[[certificates]]`: files that nobody has opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateConfig {
    /// The certificate and those between it and the authority, in PEM; unique.
    pub cert: PathBuf,
    /// Its private key, in PEM.
    pub key: PathBuf,
    /// An OCSP answer, in DER.
    pub staple: Option<PathBuf>,
}

impl CertificateConfig {
    /// By what the location is known of a key of the entry with that index.
    pub fn place(index: usize, key: &str) -> String {
        format!("certificates[{index}].{key}")
    }
}

/// `[cluster]`: the other nodes.
#[derive(Debug, Clone, PartialEq)]
pub struct ClusterConfig {
    /// The broker; `None`: there is no cluster.
    pub url: Option<BusUrl>,
    /// The file with the password of the url's user.
    pub password_file: Option<PathBuf>,
    /// The password, or where in a Vault it is.
    pub password: Option<Sourced<PlainPassword>>,
    /// Authorities of the broker's certificate; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// The certificate that furt shows to the broker.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
    /// A folder for what outlives the process.
    pub state: PathBuf,
    /// The exchange, with which the names of queues begin.
    pub exchange: String,
    /// The host part of the node's name; `None`: the machine's.
    pub name: Option<String>,
    /// A file with a join token.
    pub token_file: Option<PathBuf>,
    /// Keys that are approved as members.
    pub members: Vec<Fingerprint>,
    /// Keys that are approved as commanders.
    pub commanders: Vec<Fingerprint>,
    /// Between two beats, 1 s to 60 s.
    pub beat_interval: Duration,
    /// Of the connection to the broker, 1 s to 60 s.
    pub heartbeat: Duration,
    /// What may be set from elsewhere.
    pub settings: Vec<AllowedSettings>,
}

/// `[vault]`: where values are that do not stand in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VaultConfig {
    /// The server, without a slash at its end; `None`: there is none.
    pub url: Option<String>,
    /// Its authorities; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// The namespace of all that is asked for.
    pub namespace: Option<String>,
    /// The file with the token.
    pub token_file: Option<PathBuf>,
    /// Where the secrets are mounted.
    pub mount: String,
    /// Of tokens that are made for other nodes; none: none are made.
    pub policies: Vec<String>,
    /// How long those live after each renewal.
    pub period: Duration,
}

/// `[update]`: where other versions of the program come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpdateConfig {
    /// Who signs them; `None`: there are no updates.
    pub public_key: Option<PublicKey>,
    /// The folder that they are in.
    pub folder: Option<PathBuf>,
    /// The url of that folder, which ends with a slash.
    pub url: Option<Url>,
    /// Authorities of the url's certificate; `None`: the system's.
    pub ca: Option<PathBuf>,
    /// Where they are kept until they run; `None`: in the cluster's folder.
    pub state: Option<PathBuf>,
    /// Whether a container is no reason against them.
    pub in_container: bool,
}

/// `[[operators]]`
#[derive(Debug, Clone, PartialEq)]
pub struct OperatorConfig {
    /// What logs and answers call it.
    pub name: OperatorName,
    /// What it may do.
    pub role: Role,
    /// The digest of its token. `None`: it has none, and then a certificate.
    pub token_sha256: Option<Sourced<Sha256Digest>>,
    /// The digest of its certificate, in DER. `None`: it has none, and then a token.
    pub certificate_sha256: Option<Sha256Digest>,
    /// Where it may come from; `None`: from `internal.operators_from`.
    pub from: Option<CidrSet>,
}

/// `[[client_auth]]`: files that nobody has opened yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientAuthConfig {
    /// The hosts, at least one; each is in one entry.
    pub hosts: Vec<ClientAuthHost>,
    /// The authorities whose certificates are accepted, in PEM.
    pub ca: PathBuf,
    /// What they have revoked, in PEM.
    pub crl: Option<PathBuf>,
    /// What a client without a certificate gets.
    pub mode: ClientAuthMode,
}

impl ClientAuthConfig {
    /// By what the location is known of a key of the entry with that index.
    pub fn place(index: usize, key: &str) -> String {
        format!("client_auth[{index}].{key}")
    }
}

/// Hosts of a `[[client_auth]]`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ClientAuthHost {
    /// `"*"`: every host that is in no other entry, and none.
    Any,
    /// `"*.example.org"`: those one label below.
    Below(Host),
    /// `"a.example.org"`
    Exact(Host),
}

impl std::fmt::Display for ClientAuthHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Below(parent) => write!(f, "*.{parent}"),
            Self::Exact(host) => host.fmt(f),
        }
    }
}

/// `client_auth.mode`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientAuthMode {
    /// It is refused.
    Require,
    /// It is served.
    Ask,
}

/// `[internal]`: the listener for services and operators.
#[derive(Debug, Clone, PartialEq)]
pub struct InternalConfig {
    /// Addresses of the internal listener, at least one; none is an address of the public listener too.
    pub listen: Vec<SocketAddr>,
    /// Where clients are told to find the internal listener; `None`: at its address, where others reach that.
    pub advertise: Option<UpstreamUrl>,
    /// Addresses that may operate.
    pub operators_from: CidrSet,
    /// The digest of a token that operators must send as well, where set.
    pub operator_token_sha256: Option<Sourced<Sha256Digest>>,
    /// Host names that it answers to, in addition to addresses and `localhost`.
    pub hosts: Vec<Host>,
    /// Whether it has the dashboard.
    pub dashboard: bool,
    /// Whether it has edgeProxy's `/api/v1`.
    pub backends_api: bool,
    /// Whether it has the part of etcd's `/v2` that `etcd-registry` uses.
    pub etcd_v2_api: bool,
    /// Its certificate, in PEM. With one all its addresses but those of loopback are under TLS.
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key; there if and only if that is.
    pub tls_key: Option<PathBuf>,
    /// Who signs the certificates that clients may show; `None`: they are not asked for one.
    pub tls_client_ca: Option<PathBuf>,
}

/// `[gateway]`: registration and probes.
#[derive(Debug, Clone, PartialEq)]
pub struct GatewayConfig {
    /// `false`: nobody may register, send heartbeats, drain or deregister. What the store has is still routed and probed.
    pub enabled: bool,
    /// Between probes of an UP instance.
    pub health_check_interval: Duration,
    /// Between probes of a DOWN instance.
    pub health_check_interval_down: Duration,
    /// The least time between probes that a service may ask for.
    pub health_check_min_interval: Duration,
    /// For a whole probe: from the connect to the end of the header.
    pub health_check_timeout: Duration,
    /// Failures in a row that make an instance DOWN, at least 1.
    pub max_consecutive_failures: u32,
    /// Failures in a row that end the probing, at least `max_consecutive_failures`.
    pub stop_ping_after_failures: u32,
    /// How long an instance may take before it listens; zero: no time.
    pub startup_time: Duration,
    /// How long verdicts are held at most while the gateway's own network is out; zero: they are not.
    pub outage_hold: Duration,
    /// Addresses that may register.
    pub allow_registration_from: CidrSet,
}

/// `[registration]`
#[derive(Debug, Clone, PartialEq)]
pub struct RegistrationConfig {
    /// Registrations per source address.
    pub rate: Rate,
    /// How many may come at once beyond the rate.
    pub burst: u32,
    /// What a service without a grant may register.
    pub unlisted: Unlisted,
    /// Where instances may be.
    pub upstreams: CidrSet,
    /// The TTL of instances that send heartbeats without naming one.
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
    /// Bytes a second of the request body, while the service waits for it; 0: any.
    pub body_min_rate: u64,
    /// How long it may be slower.
    pub body_min_rate_window: Duration,
    /// How long the whole request body is waited for.
    pub body_total_timeout: Option<Duration>,
    /// For an idle connection between requests.
    pub keepalive_timeout: Duration,
    /// For a write that makes no progress.
    pub write_timeout: Duration,
}

/// `[limits]`: limits for one client. `None`: no limit.
#[derive(Debug, Clone, PartialEq)]
pub struct LimitsConfig {
    /// Requests without a good API key, from one address.
    pub address_rate: Option<Rate>,
    /// How many of them may come at once.
    pub address_burst: NonZeroU32,
    /// Connections of one address, at least 1.
    pub address_connections: Option<usize>,
    /// Bytes of a request's body, at least 1.
    pub max_body: Option<u64>,
    /// Whether gateways that share the registry share what is limited.
    pub share: bool,
}

impl LimitsConfig {
    /// The limit of requests from one address without a good API key.
    pub fn address(&self) -> Option<RateLimit> {
        self.address_rate.map(|rate| RateLimit { rate, burst: self.address_burst })
    }
}

/// `[upstream]`: towards instances.
#[derive(Debug, Clone, PartialEq)]
pub struct UpstreamConfig {
    /// For the TCP and TLS handshakes together.
    pub connect_timeout: Duration,
    /// To the response header, and between reads.
    pub read_timeout: Duration,
    /// The same for upgrades and streams; not below `read_timeout`.
    pub stream_read_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Further attempts after the first, 0 to 10.
    pub retries: usize,
    /// A PEM file of certificate authorities for https instances, instead of the system's.
    pub ca: Option<PathBuf>,
    /// The certificate that furt shows to instances that ask for one, in PEM.
    pub cert: Option<PathBuf>,
    /// Its private key.
    pub key: Option<PathBuf>,
}

/// `[geo]`: where the gateway is, and what tells where a client is.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct GeoConfig {
    /// The gateway's own region.
    pub region: Option<Region>,
    /// A file in MaxMind's format; `geo` reads it.
    pub database: Option<PathBuf>,
    /// The header in which trusted proxies name the client's country. It has no other meaning.
    pub header: Option<HeaderName>,
}

/// `[store]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StoreConfig {
    /// `kind = "memory"`: gone with the process.
    Memory,
    /// `kind = "disk"`: in the file `path`.
    Disk(PathBuf),
    /// `kind = "etcd"`: shared with other gateways; [`Config::etcd`] says how.
    Etcd,
}

/// The keys of `[store]` that count with `kind = "etcd"`. There is a user with a password file and a certificate with a key, or
/// neither.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdConfig {
    /// Urls of its members; at least one with `kind = "etcd"`.
    pub endpoints: Vec<String>,
    /// Gateways of one namespace share one registry.
    pub namespace: String,
    /// The user.
    pub user: Option<String>,
    /// The file with the user's password.
    pub password_file: Option<PathBuf>,
    /// Certificate authorities for https endpoints. `None`: the system's.
    pub ca: Option<PathBuf>,
    /// The certificate that furt shows.
    pub cert: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// `[keys]`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeysConfig {
    /// Where API keys may be, beside `X-API-Key`.
    pub accept: KeyAccept,
}

/// `keys.accept`: where API keys may be, beside `X-API-Key`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KeyAccept {
    /// As the token of `Authorization: Bearer`.
    pub bearer: bool,
    /// As the password of `Authorization: Basic`.
    pub basic: bool,
}

impl KeyAccept {
    /// Whether `Authorization` is looked at.
    pub fn reads_authorization(self) -> bool {
        self.bearer || self.basic
    }
}
