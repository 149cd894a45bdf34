//! From the configuration to what registry and proxy are given.

use std::sync::Arc;

use crate::config::{ApiKeyConfig, Config, GrantConfig, StaticRouteConfig, StaticTarget as ConfiguredTarget, Unlisted};
use crate::model::{InstanceId, InstanceSpec, KeySpec, ServiceName, UpstreamUrl};
use crate::proxy;
use crate::registry::{Grant, HealthLimits, Policy, Settings, StaticClaim, StaticRoute, StaticTarget, UnlistedRule};
use crate::upstream::OwnListeners;

pub(super) fn settings(config: &Config) -> Settings {
    let gateway = &config.gateway;
    Settings {
        policy: policy(config),
        health: HealthLimits {
            interval: gateway.health_check_interval,
            interval_down: gateway.health_check_interval_down,
            failures_to_down: gateway.max_consecutive_failures,
            failures_to_stop: gateway.stop_ping_after_failures,
        },
        heartbeat_ttl: config.registration.heartbeat_ttl,
    }
}

fn policy(config: &Config) -> Policy {
    let claim = |route: &StaticRouteConfig| StaticClaim {
        host: route.host.clone(),
        method: route.method.clone(),
        pattern: route.path.clone(),
        exclusive: route.exclusive,
    };
    Policy {
        grants: config.grants.iter().map(grant).collect(),
        unlisted: match config.registration.unlisted {
            Unlisted::Loopback => UnlistedRule::Loopback,
            Unlisted::Allow => UnlistedRule::Allow,
            Unlisted::Deny => UnlistedRule::Deny,
        },
        upstreams: config.registration.upstreams.clone(),
        statics: config.routes.iter().map(claim).collect(),
        apps_domain: config.apps_domain.clone(),
    }
}

fn grant(grant: &GrantConfig) -> (ServiceName, Grant) {
    let rules = Grant {
        permissions: grant.permissions.clone(),
        paths: grant.paths.clone(),
        hosts: grant.hosts.clone(),
        upstreams: grant.upstreams.clone(),
        public: grant.public,
        token: grant.token_sha256,
    };
    (grant.service.clone(), rules)
}

pub(super) fn statics(config: &Config) -> Vec<StaticRoute> {
    let route = |(number, route): (usize, &StaticRouteConfig)| StaticRoute {
        host: route.host.clone(),
        method: route.method.clone(),
        pattern: route.path.clone(),
        permission: route.permission.clone(),
        target: match &route.target {
            ConfiguredTarget::Service(name) => StaticTarget::Service(name.clone()),
            ConfiguredTarget::Url(url) => url_target(number, url, route.tls_name.clone()),
        },
    };
    config.routes.iter().enumerate().map(route).collect()
}

/// Whether every static url with an address leads somewhere else than to furt; names are looked at when they resolve.
///
/// # Errors
/// The first that does not.
pub(super) fn check_statics(config: &Config, own_listeners: &OwnListeners) -> anyhow::Result<()> {
    for route in &config.routes {
        if let ConfiguredTarget::Url(url) = &route.target
            && let Some(address) = url.socket_address()
        {
            own_listeners.vet(&[address]).map_err(|why| anyhow::anyhow!("static route {}: {why}", route.path))?;
        }
    }
    Ok(())
}

fn url_target(number: usize, url: &UpstreamUrl, tls_name: Option<Box<str>>) -> StaticTarget {
    let spec = InstanceSpec {
        tls_name,
        health_endpoint: None,
        ..InstanceSpec::new(InstanceId::numbered("static", number), url.clone())
    };
    let addresses = url.socket_address().into_iter().collect::<Arc<[_]>>();
    StaticTarget::Url { spec: Box::new(spec), addresses }
}

pub(super) fn keys(config: &Config) -> Vec<KeySpec> {
    let key = |key: &ApiKeyConfig| KeySpec {
        name: key.name.clone(),
        sha256: key.sha256,
        permissions: key.permissions.clone(),
        allow_from: key.allow_from.clone(),
        rate: key.rate,
    };
    config.api_keys.iter().map(key).collect()
}

pub(super) fn proxy_settings(config: &Config) -> proxy::Settings {
    proxy::Settings {
        trusted_proxies: config.server.trusted_proxies.clone(),
        health_details_for: config.gateway.allow_registration_from.clone(),
        client: config.client.clone(),
        upstream: config.upstream.clone(),
        retry_after_seconds: config.gateway.health_check_interval.as_secs().max(1),
    }
}
