//! The single tables `[server]` to `[store]`: each key over its default, then what must hold between keys.
//!
//! One function a table, in the order of DESIGN §9. Each asks its [`Section`] for every key it knows and writes over
//! the default; faults go to the reader, never to the caller. Caller: `Config::parse`.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use super::section::Section;
use super::value::{Commas, Value, Zero, boolean, burst, digest, dns_name, duration, file, list, networks};
use super::value::{Parsed, one_of, size, socket_address, text, ttl, whole};
use super::{
    AccessLogTarget, ClientConfig, Config, GatewayConfig, InternalConfig, LimitsConfig, RegistrationConfig,
    ServerConfig, StoreConfig, Unlisted, UpstreamConfig,
};
use furt_core::model::{Host, Invalid, MAX_BURST, Rate};

/// More client connections than one process has ports and memory for.
const MAX_CONNECTIONS: u64 = 10_000_000;
/// More workers than any machine has cores.
const MAX_THREADS: u64 = 1024;
/// With ten failures in a row as the default, a million is "never".
const MAX_FAILURES: u64 = 1_000_000;
/// The most that `upstream.retries` may be: attempts beyond ten only add load to a service in trouble.
pub const MAX_RETRIES: u64 = 10;

/// Every single table below `top`, over the defaults in `config`.
pub(super) fn read(top: &mut Section<'_>, config: &mut Config) {
    let server = server(top.section("server"), &mut config.server);
    internal(top.section("internal"), &mut config.internal, &server, &config.server);
    gateway(top.section("gateway"), &mut config.gateway);
    registration(top.section("registration"), &mut config.registration);
    client(top.section("client"), &mut config.client);
    limits(top.section("limits"), &mut config.limits);
    upstream(top.section("upstream"), &mut config.upstream);

    let mut apps = top.section("apps");
    apps.set("domain", &mut config.apps_domain, text("a domain", dns_name));
    apps.finish();
    super::geo::read(top.section("geo"), &mut config.geo);
    let mut access_log = top.section("access_log");
    access_log.set("path", &mut config.access_log, access_log_target);
    access_log.finish();
    store(top.section("store"), &mut config.store);
}

fn positive() -> impl Fn(&Value<'_>) -> Parsed<Duration> {
    duration(Zero::Refused)
}

fn server<'a>(mut section: Section<'a>, server: &mut ServerConfig) -> Section<'a> {
    section.set("listen", &mut server.listen, list(Commas::Split, "an address to listen on", socket_address));
    section.set("grace", &mut server.grace, duration(Zero::Allowed));
    section.set("trusted_proxies", &mut server.trusted_proxies, networks);
    section.set("max_connections", &mut server.max_connections, whole(1..=MAX_CONNECTIONS));
    section.set("threads", &mut server.threads, whole(1..=MAX_THREADS));
    if server.listen.is_empty() {
        section.refuse("listen", "is empty; must be at least one address, such as \"0.0.0.0:7811\"");
    }
    let mut named = HashSet::new();
    for address in &server.listen {
        if address.port() != 0 && !named.insert(address) {
            section.refuse("listen", format!("names {address} twice; must name each address once"));
        }
    }
    section.finish();
    section
}

fn internal(mut section: Section<'_>, internal: &mut InternalConfig, server: &Section<'_>, public: &ServerConfig) {
    section.set("listen", &mut internal.listen, text("an address to listen on", socket_address));
    section.set("operators_from", &mut internal.operators_from, networks);
    internal.operator_token_sha256 = section.optional("operator_token_sha256", digest);
    section.set("hosts", &mut internal.hosts, list(Commas::Split, "a host", Host::try_new));
    section.set("backends_api", &mut internal.backends_api, boolean);
    section.finish();
    if section.is_invalid("listen") || server.is_invalid("listen") {
        return;
    }
    let own = internal.listen;
    for address in public.listen.iter().filter(|address| same_listener(**address, own)) {
        if section.is_set("listen") {
            section.refuse("listen", format!("{own} is server.listen {address} too; must have a port of its own"));
        } else {
            server.refuse("listen", format!("{address} is internal.listen {own} too; must have a port of its own"));
        }
    }
}

/// Whether two listeners would take each other's connections; port 0 is a free one each time.
fn same_listener(one: SocketAddr, other: SocketAddr) -> bool {
    let (a, b) = (one.ip().to_canonical(), other.ip().to_canonical());
    one.port() != 0 && one.port() == other.port() && (a == b || a.is_unspecified() || b.is_unspecified())
}

fn gateway(mut section: Section<'_>, gateway: &mut GatewayConfig) {
    section.set("enabled", &mut gateway.enabled, boolean);
    section.set("health_check_interval", &mut gateway.health_check_interval, positive());
    section.set("health_check_interval_down", &mut gateway.health_check_interval_down, positive());
    section.set("health_check_timeout", &mut gateway.health_check_timeout, positive());
    section.set("max_consecutive_failures", &mut gateway.max_consecutive_failures, whole(1..=MAX_FAILURES));
    section.set("stop_ping_after_failures", &mut gateway.stop_ping_after_failures, whole(1..=MAX_FAILURES));
    section.set("allow_registration_from", &mut gateway.allow_registration_from, networks);
    section.finish();
    let (stop, down) = (gateway.stop_ping_after_failures, gateway.max_consecutive_failures);
    if stop < down {
        section.refuse_together(
            &["stop_ping_after_failures", "max_consecutive_failures"],
            format!(
                "probing would stop after {stop} failures, before {down} make an instance DOWN; \
                 stop_ping_after_failures must be at least max_consecutive_failures"
            ),
        );
    }
}

fn registration(mut section: Section<'_>, registration: &mut RegistrationConfig) {
    const UNLISTED: &[(&str, Unlisted)] =
        &[("loopback", Unlisted::Loopback), ("allow", Unlisted::Allow), ("deny", Unlisted::Deny)];
    section.set("rate", &mut registration.rate, text("a rate", Rate::try_new));
    section.set("burst", &mut registration.burst, whole(1..=u64::from(MAX_BURST)));
    section.set("unlisted", &mut registration.unlisted, one_of(UNLISTED));
    section.set("upstreams", &mut registration.upstreams, networks);
    section.set("heartbeat_ttl", &mut registration.heartbeat_ttl, ttl);
    section.finish();
}

fn client(mut section: Section<'_>, client: &mut ClientConfig) {
    section.set("header_timeout", &mut client.header_timeout, positive());
    section.set("body_timeout", &mut client.body_timeout, positive());
    section.set("keepalive_timeout", &mut client.keepalive_timeout, positive());
    section.set("write_timeout", &mut client.write_timeout, positive());
    section.finish();
}

fn limits(mut section: Section<'_>, limits: &mut LimitsConfig) {
    limits.address_rate = section.optional("address_rate", text("a rate", Rate::try_new));
    section.set("address_burst", &mut limits.address_burst, burst);
    limits.address_connections = section.optional("address_connections", whole(1..=MAX_CONNECTIONS));
    limits.max_body = section.optional("max_body", size);
    section.finish();
}

fn upstream(mut section: Section<'_>, upstream: &mut UpstreamConfig) {
    section.set("connect_timeout", &mut upstream.connect_timeout, positive());
    section.set("read_timeout", &mut upstream.read_timeout, positive());
    section.set("stream_read_timeout", &mut upstream.stream_read_timeout, positive());
    section.set("idle_timeout", &mut upstream.idle_timeout, positive());
    section.set("retries", &mut upstream.retries, whole(0..=MAX_RETRIES));
    upstream.ca = section.optional("ca", file);
    section.finish();
    let (stream, read) = (upstream.stream_read_timeout, upstream.read_timeout);
    if stream < read {
        section.refuse_together(
            &["stream_read_timeout", "read_timeout"],
            format!(
                "streams would be cut after {} s, earlier than other answers after {} s; \
                 stream_read_timeout must be at least read_timeout",
                stream.as_secs_f64(),
                read.as_secs_f64()
            ),
        );
    }
}

fn access_log_target(value: &Value<'_>) -> Parsed<AccessLogTarget> {
    let target = text("a path", |text| {
        Ok(match text {
            "" => AccessLogTarget::Off,
            "-" => AccessLogTarget::Stdout,
            path => AccessLogTarget::File(path.into()),
        })
    });
    target(value)
}

fn store(mut section: Section<'_>, store: &mut StoreConfig) {
    let kind = section.optional("kind", text("a kind of store", store_kind));
    let path = section.optional("path", text("a path", store_path));
    match kind {
        Some(StoreKind::Memory) if section.is_set("path") => {
            section.refuse("path", "stands beside kind = \"memory\"; must be left out there");
        }
        Some(StoreKind::Memory) => *store = StoreConfig::Memory,
        Some(StoreKind::Disk) | None => {
            if let Some(path) = path {
                *store = StoreConfig::Disk(path);
            }
        }
    }
    section.finish();
}

/// `store.kind`
#[derive(Clone, Copy)]
enum StoreKind {
    Memory,
    Disk,
}

fn store_kind(text: &str) -> Result<StoreKind, Invalid> {
    match text {
        "memory" => Ok(StoreKind::Memory),
        "disk" => Ok(StoreKind::Disk),
        _ => Err(Invalid::new("must be \"disk\" or \"memory\"")),
    }
}

fn store_path(text: &str) -> Result<PathBuf, Invalid> {
    if text.is_empty() { Err(Invalid::new("must name a file")) } else { Ok(text.into()) }
}
