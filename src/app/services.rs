//! From the configuration to what the registry is given, at the start and at each reload.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::answer_files::AnswerFiles;
use super::lookups::Found;
use crate::config::{
    ApiKeyConfig, Config, ConfigError, KeyLocations, SourceLocation, StaticRouteConfig,
    StaticTarget as ConfiguredTarget, Unlisted,
};
use crate::listener::OwnListeners;
use furt_core::model::{FixedAnswer, InstanceId, InstanceSpec, KeySpec, UpstreamHost, UpstreamUrl};
use furt_core::registry::{Contents, InstanceRecord};
use furt_core::registry::{
    HealthLimits, RegistrationPolicy, Settings, Sharing, StaticClaim, StaticRoute, StaticTarget, UnlistedRule,
};

pub(super) fn settings(config: &Config, sharing: Sharing) -> Settings {
    let gateway = &config.gateway;
    Settings {
        policy: policy(config),
        health: HealthLimits {
            interval: gateway.health_check_interval,
            interval_down: gateway.health_check_interval_down,
            failures_to_down: gateway.max_consecutive_failures,
            failures_to_stop: gateway.stop_ping_after_failures,
            startup_time: gateway.startup_time,
            min_interval: gateway.health_check_min_interval,
        },
        heartbeat_ttl: sharing.held_to(config.registration.heartbeat_ttl),
        sharing,
        outage_hold: gateway.outage_hold,
        shares_limits: config.limits.share,
        rules: config.rules.iter().map(|one| one.rule.clone()).collect(),
    }
}

fn policy(config: &Config) -> RegistrationPolicy {
    let claim = |route: &StaticRouteConfig| StaticClaim {
        host: route.host.clone(),
        method: route.method.clone(),
        pattern: route.path.clone(),
        exclusive: route.exclusive,
    };
    RegistrationPolicy {
        grants: config.grants.iter().map(|one| (one.service.clone(), Arc::clone(&one.grant))).collect(),
        unlisted: match config.registration.unlisted {
            Unlisted::Loopback => UnlistedRule::Loopback,
            Unlisted::Allow => UnlistedRule::Allow,
            Unlisted::Deny => UnlistedRule::Deny,
        },
        upstreams: config.registration.upstreams.clone(),
        static_routes: config.routes.iter().map(claim).collect(),
        apps_domain: config.apps_domain.clone(),
    }
}

/// The static routes; `found` has what names of theirs lead to, as far as that is known, and `files` their bodies.
pub(super) fn static_routes(config: &Config, found: &Found, files: &AnswerFiles) -> Vec<StaticRoute> {
    let route = |(number, route): (usize, &StaticRouteConfig)| StaticRoute {
        host: route.host.clone(),
        method: route.method.clone(),
        pattern: route.path.clone(),
        permission: route.permission.clone(),
        target: match &route.target {
            ConfiguredTarget::Service(name) => StaticTarget::Service(name.clone()),
            ConfiguredTarget::Url(url) => url_target(number, url, route, found),
            ConfiguredTarget::Redirect(redirect) => StaticTarget::Answer(FixedAnswer::Redirect(Arc::clone(redirect))),
            ConfiguredTarget::Respond(respond) => StaticTarget::Answer(files.answer(respond)),
        },
    };
    config.routes.iter().enumerate().map(route).collect()
}

/// Every static url that leads to furt itself; names that are not in `found` are looked at when they resolve.
pub(super) fn static_faults(
    config: &Config,
    locations: &KeyLocations,
    path: &Path,
    found: &Found,
    own_listeners: &OwnListeners,
) -> Vec<ConfigError> {
    let fault = |(index, route): (usize, &StaticRouteConfig)| {
        let ConfiguredTarget::Url(url) = &route.target else { return None };
        let why = own_listeners.vet(&addresses(url, found)).err()?;
        let whole = || SourceLocation::File { file: path.display().to_string() };
        let location = locations.get(&format!("routes[{index}].url")).cloned().unwrap_or_else(whole);
        let message = format!("static route {}: {why}; must lead elsewhere", route.path);
        Some(ConfigError { location, key: "routes.url".to_owned(), message })
    };
    config.routes.iter().enumerate().filter_map(fault).collect()
}

/// The stored instances that are where furt itself listens by now, and why they may not be there. Names that lead there
/// are followed, and may come to lead elsewhere.
pub(super) fn barred(contents: &Contents, own_listeners: &OwnListeners) -> BTreeMap<InstanceId, Arc<str>> {
    let barred = |(id, record): (&InstanceId, &InstanceRecord)| {
        barred_instance(record, own_listeners).map(|why| (id.clone(), why))
    };
    contents.instances.iter().filter_map(barred).collect()
}

/// The same of one instance.
pub(super) fn barred_instance(record: &InstanceRecord, own_listeners: &OwnListeners) -> Option<Arc<str>> {
    let why = own_listeners.vet(&record.addresses).err()?;
    Some(format!("instance \"{}\": {why}", record.spec.id).into())
}

fn addresses(url: &UpstreamUrl, found: &Found) -> Arc<[SocketAddr]> {
    match &url.host {
        UpstreamHost::Address(_) => url.socket_address().into_iter().collect(),
        UpstreamHost::Name(name) => found.get(&(name.clone(), url.port)).cloned().unwrap_or_default(),
    }
}

fn url_target(number: usize, url: &UpstreamUrl, route: &StaticRouteConfig, found: &Found) -> StaticTarget {
    let spec = InstanceSpec {
        tls_name: route.tls_name.clone(),
        protocol: route.protocol,
        health_endpoint: None,
        ..InstanceSpec::new(InstanceId::numbered("static", number), url.clone())
    };
    StaticTarget::Url { spec: Box::new(spec), addresses: addresses(url, found) }
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
