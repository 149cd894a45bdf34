//! What differs between two configurations, key by key, and which keys hold from one start of furt to the next.
//!
//! Every key of the file is in [`KEYS`]; tests hold it to the file, and the marks in `conf/furt.toml` to it. Decides
//! nothing: `app` puts in force what may change, and names the rest.

use std::collections::BTreeMap;

use super::{Config, SourceLocation, StoreConfig};

/// When a key that was changed takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadClass {
    /// With a reload.
    Reload,
    /// At the next start: a socket, a thread, a file that one process has from its start to its end.
    Restart,
}

/// A key, or an array of tables as a whole.
pub(super) struct Key {
    pub(super) name: &'static str,
    pub(super) reload: ReloadClass,
    differs: fn(&Config, &Config) -> bool,
    keep: fn(&mut Config, &Config),
}

macro_rules! keys {
    ($($name:literal, $reload:ident, $($field:ident).+;)*) => {
        [$(Key {
            name: $name,
            reload: ReloadClass::$reload,
            differs: |before, after| before.$($field).+ != after.$($field).+,
            keep: |config, running| config.$($field).+.clone_from(&running.$($field).+),
        }),*]
    };
}

/// All but those of `[store]`, which depend on each other.
const FREE_KEYS: [Key; 44] = keys! {
    "server.listen", Restart, server.listen;
    "server.grace", Reload, server.grace;
    "server.trusted_proxies", Reload, server.trusted_proxies;
    "server.max_connections", Reload, server.max_connections;
    "server.threads", Restart, server.threads;
    "internal.listen", Restart, internal.listen;
    "internal.operators_from", Reload, internal.operators_from;
    "internal.operator_token_sha256", Reload, internal.operator_token_sha256;
    "internal.hosts", Reload, internal.hosts;
    "internal.backends_api", Reload, internal.backends_api;
    "geo.region", Restart, geo.region;
    "geo.database", Restart, geo.database;
    "geo.header", Restart, geo.header;
    "gateway.enabled", Restart, gateway.enabled;
    "gateway.health_check_interval", Reload, gateway.health_check_interval;
    "gateway.health_check_interval_down", Reload, gateway.health_check_interval_down;
    "gateway.health_check_timeout", Reload, gateway.health_check_timeout;
    "gateway.max_consecutive_failures", Reload, gateway.max_consecutive_failures;
    "gateway.stop_ping_after_failures", Reload, gateway.stop_ping_after_failures;
    "gateway.allow_registration_from", Reload, gateway.allow_registration_from;
    "registration.rate", Reload, registration.rate;
    "registration.burst", Reload, registration.burst;
    "registration.unlisted", Reload, registration.unlisted;
    "registration.upstreams", Reload, registration.upstreams;
    "registration.heartbeat_ttl", Reload, registration.heartbeat_ttl;
    "client.header_timeout", Reload, client.header_timeout;
    "client.body_timeout", Reload, client.body_timeout;
    "client.keepalive_timeout", Reload, client.keepalive_timeout;
    "client.write_timeout", Reload, client.write_timeout;
    "limits.address_rate", Reload, limits.address_rate;
    "limits.address_burst", Reload, limits.address_burst;
    "limits.address_connections", Reload, limits.address_connections;
    "limits.max_body", Reload, limits.max_body;
    "upstream.connect_timeout", Reload, upstream.connect_timeout;
    "upstream.read_timeout", Reload, upstream.read_timeout;
    "upstream.stream_read_timeout", Reload, upstream.stream_read_timeout;
    "upstream.idle_timeout", Reload, upstream.idle_timeout;
    "upstream.retries", Reload, upstream.retries;
    "upstream.ca", Restart, upstream.ca;
    "apps.domain", Restart, apps_domain;
    "access_log.path", Reload, access_log;
    "api_keys", Reload, api_keys;
    "grants", Reload, grants;
    "routes", Reload, routes;
};

const STORE_KEYS: [Key; 2] = [
    Key {
        name: "store.kind",
        reload: ReloadClass::Restart,
        differs: |before, after| std::mem::discriminant(&before.store) != std::mem::discriminant(&after.store),
        keep: |config, running| config.store.clone_from(&running.store),
    },
    Key {
        name: "store.path",
        reload: ReloadClass::Restart,
        differs: |before, after| match (&before.store, &after.store) {
            (StoreConfig::Disk(before), StoreConfig::Disk(after)) => before != after,
            _ => false,
        },
        keep: |config, running| config.store.clone_from(&running.store),
    },
];

pub(super) fn keys() -> impl Iterator<Item = &'static Key> {
    FREE_KEYS.iter().chain(&STORE_KEYS)
}

impl Config {
    /// The keys in which `after` differs and that take effect so, in the file's order.
    pub fn changed(&self, after: &Self, class: ReloadClass) -> Vec<&'static str> {
        keys().filter(|key| key.reload == class && (key.differs)(self, after)).map(|key| key.name).collect()
    }

    /// The same, but for what holds until a restart, which stays as it is in `running`.
    pub fn until_restart(mut self, running: &Self) -> Self {
        keys().filter(|key| key.reload == ReloadClass::Restart).for_each(|key| (key.keep)(&mut self, running));
        self
    }
}

/// Where values were given: of every key of the single tables that somebody set, by its name, and of urls of static routes
/// as `routes[0].url`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyLocations(pub(super) BTreeMap<String, SourceLocation>);

impl KeyLocations {
    /// Where this key was set; `None`: nowhere, it is at its default.
    pub fn get(&self, key: &str) -> Option<&SourceLocation> {
        self.0.get(key)
    }
}
