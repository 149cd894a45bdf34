//! The defaults of DESIGN §9: what an empty file gives, and what every key overlays.
//!
//! They are typed values rather than texts, so that nothing can fail where nothing was given. `conf/furt.toml` shows
//! the same values; a test keeps the two equal.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use super::{
    AccessLogTarget, ClientConfig, Config, GatewayConfig, GeoConfig, InternalConfig, LimitsConfig, RegistrationConfig,
    ServerConfig, StoreConfig, Unlisted, UpstreamConfig,
};
use furt_core::model::{CidrSet, Host, Invalid, Rate};

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// `text` parsed by the model; only for the fixed texts of this file.
#[expect(clippy::expect_used, reason = "the texts are constants of this file, and every test parses them")]
fn fixed<T>(parsed: Result<T, Invalid>) -> T {
    parsed.expect("a default of furt's own is valid")
}

fn networks(texts: &[&str]) -> CidrSet {
    fixed(CidrSet::try_new(texts))
}

impl Default for Config {
    fn default() -> Self {
        Self {
            server: ServerConfig {
                listen: vec![SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 7811)],
                grace: seconds(10),
                trusted_proxies: CidrSet::default(),
                max_connections: 20_000,
                threads: std::thread::available_parallelism().map_or(1, usize::from),
            },
            internal: InternalConfig {
                listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8081),
                operators_from: networks(&["127.0.0.0/8", "::1"]),
                operator_token_sha256: None,
                hosts: Vec::new(),
                backends_api: true,
            },
            gateway: GatewayConfig {
                enabled: true,
                health_check_interval: seconds(30),
                health_check_interval_down: seconds(120),
                health_check_timeout: seconds(5),
                max_consecutive_failures: 3,
                stop_ping_after_failures: 10,
                // The seed's "127.0.0.1, 10.0.0.0/8", with the rest of loopback: a service that connects to
                // `localhost` may well arrive from ::1.
                allow_registration_from: networks(&["127.0.0.0/8", "::1", "10.0.0.0/8"]),
            },
            registration: RegistrationConfig {
                rate: Rate { count: NonZeroU32::MIN.saturating_add(19), period_seconds: 1 },
                burst: 200,
                unlisted: Unlisted::Loopback,
                upstreams: networks(&[
                    "127.0.0.0/8",
                    "10.0.0.0/8",
                    "172.16.0.0/12",
                    "192.168.0.0/16",
                    "::1/128",
                    "fc00::/7",
                ]),
                heartbeat_ttl: seconds(60),
            },
            client: ClientConfig {
                header_timeout: seconds(10),
                body_timeout: seconds(30),
                keepalive_timeout: seconds(75),
                write_timeout: seconds(30),
            },
            limits: LimitsConfig {
                address_rate: None,
                address_burst: NonZeroU32::MIN.saturating_add(99),
                address_connections: None,
                max_body: None,
            },
            upstream: UpstreamConfig {
                connect_timeout: seconds(2),
                read_timeout: seconds(60),
                stream_read_timeout: seconds(3600),
                idle_timeout: seconds(4),
                retries: 2,
                ca: None,
            },
            apps_domain: fixed(Host::try_new("internal")),
            geo: GeoConfig::default(),
            access_log: AccessLogTarget::Off,
            store: StoreConfig::Disk("data/furt.redb".into()),
            api_keys: Vec::new(),
            grants: Vec::new(),
            routes: Vec::new(),
        }
    }
}
