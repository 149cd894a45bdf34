//! The arrays of tables: `[[api_keys]]`, `[[grants]]`, `[[routes]]`.
//!
//! Each entry is read whole, and compared with those before it: names, digests, granted services and static routes are
//! unique. An entry with a fault is left out, which is harmless, since a configuration with a fault is never used.
//! Whether a route may be overlapped, or a registration lies within its grant, is `registry`'s. Caller:
//! `Config::parse`.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::SocketAddr;

use super::errors::{Lines, RawLocation};
use super::section::Section;
use super::value::{Commas, Parsed, Value, boolean, burst, digest, dns_name, list, networks, text, url};
use super::{ApiKeyConfig, Config, GrantConfig, StaticRouteConfig, StaticTarget};
use furt_core::model::path::reserved;
use furt_core::model::{
    Host, KeyName, MethodRule, Pattern, Permission, PermissionRule, PermissionSet, Rate, RateLimit, Scheme,
    ServiceName, Sha256Digest, UpstreamHost, UpstreamUrl, is_never_upstream,
};

/// Every array of tables below `top`, into `config`, whose listeners are already read.
pub(super) fn read(top: &mut Section<'_>, config: &mut Config, lines: &Lines<'_>) {
    let (mut names, mut digests) = (EarlierEntries::new(lines), EarlierEntries::new(lines));
    config.api_keys =
        top.entries("api_keys").into_iter().filter_map(|entry| api_key(entry, &mut names, &mut digests)).collect();
    let mut services = EarlierEntries::new(lines);
    config.grants = top.entries("grants").into_iter().filter_map(|entry| grant(entry, &mut services)).collect();
    let listeners: Vec<_> = config.server.listen.iter().copied().chain([config.internal.listen]).collect();
    let mut claims = EarlierEntries::new(lines);
    let routes = top.entries("routes").into_iter().enumerate();
    config.routes = routes.filter_map(|(index, entry)| route(entry, index, &listeners, &mut claims)).collect();
}

/// What earlier entries of an array had, and where: for each key, the claims on it that may stand side by side.
struct EarlierEntries<'l, K, C = ()> {
    lines: &'l Lines<'l>,
    earlier: HashMap<K, Vec<(C, RawLocation)>>,
}

impl<'l, K: Hash + Eq, C> EarlierEntries<'l, K, C> {
    fn new(lines: &'l Lines<'l>) -> Self {
        Self { lines, earlier: HashMap::new() }
    }

    /// The line of an earlier claim on `key` that `conflicts`, if any; this one is kept for those to come.
    fn conflict(&mut self, key: K, claim: C, at: RawLocation, conflicts: impl Fn(&C, &C) -> bool) -> Option<usize> {
        let earlier = self.earlier.entry(key).or_default();
        let found = earlier.iter().find(|(other, _)| conflicts(&claim, other)).map(|(_, at)| match at {
            RawLocation::Offset(offset) => self.lines.position(*offset).0,
            RawLocation::Variable(_) => 0,
        });
        earlier.push((claim, at));
        found
    }
}

impl<K: Hash + Eq> EarlierEntries<'_, K> {
    /// The line of an earlier `key`, if any.
    fn duplicate(&mut self, key: K, at: RawLocation) -> Option<usize> {
        self.conflict(key, (), at, |(), ()| true)
    }
}

fn permissions() -> impl Fn(&Value<'_>) -> Parsed<PermissionSet> {
    let rules = list(Commas::Refused, "a permission", PermissionRule::try_new);
    move |value| rules(value).map(PermissionSet::new)
}

fn api_key(
    mut entry: Section<'_>,
    names: &mut EarlierEntries<'_, KeyName>,
    digests: &mut EarlierEntries<'_, Sha256Digest>,
) -> Option<ApiKeyConfig> {
    let name = entry.required("name", text("a name", KeyName::try_new));
    let sha256 = entry.required("sha256", digest);
    let permissions = entry.required("permissions", permissions());
    let allow_from = entry.optional("allow_from", networks).unwrap_or_default();
    let rate = entry.optional("rate", text("a rate", Rate::try_new));
    let burst = entry.optional("burst", burst);
    entry.finish();
    if entry.is_set("burst") && !entry.is_set("rate") {
        entry.refuse("burst", "stands without rate; must be left out");
    }
    let rate = rate.map(|rate| RateLimit::new(rate, burst));
    if let Some(name) = &name
        && let Some(line) = names.duplicate(name.clone(), entry.at("name"))
    {
        entry.refuse("name", format!("\"{name}\" is the key in line {line} already; must be unique"));
    }
    if let Some(sha256) = sha256
        && let Some(line) = digests.duplicate(sha256, entry.at("sha256"))
    {
        entry.refuse("sha256", format!("is the same secret as in line {line}; must be unique"));
    }
    Some(ApiKeyConfig { name: name?, sha256: sha256?, permissions: permissions?, allow_from, rate })
}

fn grant(mut entry: Section<'_>, services: &mut EarlierEntries<'_, ServiceName>) -> Option<GrantConfig> {
    let service = entry.required("service", text("a service's name", ServiceName::try_new));
    let permissions = entry.optional("permissions", permissions()).unwrap_or_default();
    let paths = entry.optional("paths", list(Commas::Refused, "a path pattern", Pattern::try_new)).unwrap_or_default();
    let hosts = entry.optional("hosts", list(Commas::Split, "a host", Host::try_new)).unwrap_or_default();
    let upstreams = entry.optional("upstreams", networks);
    let public = entry.optional("public", boolean).unwrap_or_default();
    let token_sha256 = entry.optional("token_sha256", digest);
    entry.finish();
    let service = service?;
    if let Some(line) = services.duplicate(service.clone(), entry.at("service")) {
        entry.refuse("service", format!("\"{service}\" has the grant in line {line} already; must have one grant"));
    }
    Some(GrantConfig { service, permissions, paths, hosts, upstreams, public, token_sha256 })
}

/// What a static route claims, by host and path; methods on the same may stand side by side.
type Claims<'l> = EarlierEntries<'l, (Option<Host>, Pattern), MethodRule>;

fn route(
    mut entry: Section<'_>,
    index: usize,
    listeners: &[SocketAddr],
    claims: &mut Claims<'_>,
) -> Option<StaticRouteConfig> {
    let host = entry.optional("host", text("a host", Host::try_new));
    let method = entry.required("method", text("a method to route", MethodRule::try_new));
    let path = entry.required("path", text("a path pattern", Pattern::try_new));
    let url = entry.optional("url", url);
    let service = entry.optional("service", text("a service's name", ServiceName::try_new));
    let permission = entry.optional("permission", text("a permission", Permission::try_new));
    let exclusive = entry.optional("exclusive", boolean);
    let tls_name = entry.optional("tls_name", text("a certificate's name", dns_name));
    entry.finish();

    match (entry.is_set("url"), entry.is_set("service")) {
        (true, true) => entry.refuse("service", "stands beside url; must be one of the two"),
        (false, false) => entry.refuse("url", "is missing, and so is service; every [[routes]] needs one of the two"),
        (true, false) | (false, true) => {}
    }
    check_tls_name(&entry, url.as_ref());
    if let Some(url) = &url {
        check_url(&entry, url, listeners);
        entry.record_location("url", format!("routes[{index}].url"));
    }
    if let Some(path) = path.as_ref().filter(|path| reserved(path.as_str()).is_some()) {
        entry.refuse("path", format!("\"{path}\" is furt's own; must not be /health, nor lie at or below /internal"));
    }
    let (method, path) = (method?, path?);
    let key = (host.clone(), path.clone());
    if !entry.is_invalid("host")
        && let Some(line) = claims.conflict(key, method.clone(), entry.at("path"), MethodRule::conflicts)
    {
        let what =
            format!("\"{method} {path}\" is claimed in line {line} already; must differ in host, method or path");
        entry.refuse("path", what);
    }
    let target = match (url, service) {
        (Some(url), _) => StaticTarget::Url(url),
        (None, service) => StaticTarget::Service(service?),
    };
    let exclusive = exclusive.unwrap_or(!path.is_open());
    let tls_name = tls_name.map(|name| name.as_str().into());
    Some(StaticRouteConfig { host, method, path, target, permission, exclusive, tls_name })
}

fn check_tls_name(entry: &Section<'_>, url: Option<&UpstreamUrl>) {
    let https = url.is_some_and(|url| url.scheme == Scheme::Https);
    let bare = url.is_some_and(|url| matches!(url.host, UpstreamHost::Address(_)));
    if https && bare && !entry.is_set("tls_name") {
        entry.refuse("url", "is https by bare address; must have a tls_name, for which the certificate is checked");
    }
    // A bad url is reported already, and might have been https.
    if entry.is_set("tls_name") && !https && (url.is_some() || !entry.is_set("url")) {
        entry.refuse("tls_name", "has no use without an https url; must be left out");
    }
}

fn check_url(entry: &Section<'_>, url: &UpstreamUrl, listeners: &[SocketAddr]) {
    let UpstreamHost::Address(address) = url.host else { return };
    if is_never_upstream(address) {
        entry.refuse("url", format!("leads to {address}; must not be an unspecified, link-local or metadata address"));
    }
    // The internal listener trusts loopback: a route to it would open it to every client.
    let own = |listener: &&SocketAddr| {
        let ip = listener.ip().to_canonical();
        listener.port() == url.port && (ip == address || (ip.is_unspecified() && address.is_loopback()))
    };
    if let Some(listener) = listeners.iter().find(own) {
        entry.refuse("url", format!("leads to furt's own listener {listener}; must lead elsewhere"));
    }
}
