//! `[[routes]]`: static routes.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::earlier::EarlierEntries;
use super::targets::{self, RedirectValues, RespondValues};
use crate::config::key::{DefaultValue, EntryVisitor, Key};
use crate::config::location::Lines;
use crate::config::section::Section;
use crate::config::types::{StaticRouteConfig, StaticTarget};
use crate::config::value::{boolean, dns_name, file, text, url};
use furt_core::model::path::reserved;
use furt_core::model::{
    Host, MethodRule, Pattern, Permission, Protocol, Scheme, ServiceName, UpstreamHost, UpstreamUrl, is_never_upstream,
};

pub(super) const NAME: &str = "routes";

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct RouteValues {
    method: Option<MethodRule>,
    path: Option<Pattern>,
    url: Option<UpstreamUrl>,
    service: Option<ServiceName>,
    redirect: Option<RedirectValues>,
    respond: Option<RespondValues>,
    host: Option<Host>,
    permission: Option<Permission>,
    exclusive: Option<bool>,
    tls_name: Option<Host>,
    ca: Option<PathBuf>,
    protocol: Option<Protocol>,
}

pub(super) fn visit(keys: &mut impl EntryVisitor) -> RouteValues {
    keys.array(NAME, "Static routes: for what does not register itself.");
    RouteValues {
        method: keys.required(
            Key {
                name: "routes.method",
                default: DefaultValue::required(r#""POST""#),
                range: "a method in upper case, or `\"*\"`",
                text: "The method of the requests; `\"*\"` is any.",
                ..Key::ROW
            },
            text("a method to route", MethodRule::try_new),
        ),
        path: keys.required(
            Key {
                name: "routes.path",
                default: DefaultValue::required(r#""/v1/mail/send""#),
                range: "a [pattern](registering.md#routes)",
                text: "`*` stands for one segment, as the last one for one or more. Not `/health`, not `/internal` or \
                       below.",
                ..Key::ROW
            },
            text("a path pattern", Pattern::try_written),
        ),
        url: keys.optional(
            Key {
                name: "routes.url",
                default: DefaultValue::absent("required without `service`, `redirect` and `respond`", r#""https://10.0.0.9:7901""#),
                range: "a url as [registered](registering.md#the-registration)",
                text: "Where the route leads. `service = \"mail\"` in its place leads to a registered service; with `redirect` or \
                       `respond` furt [answers itself](routes.md#redirect-and-respond).",
                ..Key::ROW
            },
            url,
        ),
        service: keys.optional(
            Key {
                name: "routes.service",
                default: DefaultValue::Absent { means: "required without `url`, `redirect` and `respond`", example: None },
                range: "a service's name",
                text: "The registered service where the route leads, instead of `url`.",
                ..Key::ROW
            },
            text("a service's name", ServiceName::try_new),
        ),
        redirect: keys.target("routes.redirect", targets::visit_redirect),
        respond: keys.target("routes.respond", targets::visit_respond),
        host: keys.optional(
            Key {
                name: "routes.host",
                default: DefaultValue::absent("any", r#""mail.example""#),
                range: "a host name",
                text: "Only requests for this host.",
                ..Key::ROW
            },
            text("a host", Host::try_new),
        ),
        permission: keys.optional(
            Key {
                name: "routes.permission",
                default: DefaultValue::absent("none, so the route is public", r#""mail:send""#),
                range: "a permission",
                text: "What the key must have.",
                ..Key::ROW
            },
            text("a permission", Permission::try_new),
        ),
        exclusive: keys.optional(
            Key {
                name: "routes.exclusive",
                default: DefaultValue::absent("`true`; `false` if the path ends in `*`", "true"),
                range: "true, false",
                text: "Whether no registration may overlap it, on any host.",
                ..Key::ROW
            },
            boolean,
        ),
        tls_name: keys.optional(
            Key {
                name: "routes.tls_name",
                default: DefaultValue::absent("the url's host", r#""mail.example""#),
                range: "a DNS name",
                text: "The name in the certificate; required where an https url has an address as host.",
                ..Key::ROW
            },
            text("a certificate's name", dns_name),
        ),
        ca: keys.optional(
            Key {
                name: "routes.ca",
                default: DefaultValue::absent("`upstream.ca`", r#""/etc/furt/mail-ca.pem""#),
                range: "a PEM file",
                text: "The authorities that the certificate of an https url must be of, instead of `upstream.ca`; the same in all \
                       routes to that url.",
                ..Key::ROW
            },
            file,
        ),
        protocol: keys.optional(
            Key {
                name: "routes.protocol",
                default: DefaultValue::absent("`\"http1\"`", r#""h2c""#),
                range: "`\"http1\"`, `\"h2c\"`",
                text: "What is spoken at `url`. `\"h2c\"` is HTTP/2, as [gRPC](grpc.md) needs it: by prior knowledge, and by \
                       ALPN where the url is https.",
                ..Key::ROW
            },
            text("a protocol", Protocol::try_new),
        ),
    }
}

/// What one static route claims. Another method may stand on the same host and path, `*` as well.
type Claims<'l> = EarlierEntries<'l, (Option<Host>, Pattern, MethodRule)>;

/// Reads all entries. None may lead to one of furt's own `listeners`, nor claim what another one claims.
pub(super) fn read(entries: Vec<Section<'_>>, listeners: &[SocketAddr], lines: &Lines<'_>) -> Vec<StaticRouteConfig> {
    let mut claims = Claims::new(lines);
    let mut cas = HashMap::new();
    let entries = entries.into_iter().enumerate();
    entries.filter_map(|(index, entry)| read_one(entry, index, listeners, (&mut claims, &mut cas))).collect()
}

fn read_one(
    mut entry: Section<'_>,
    index: usize,
    listeners: &[SocketAddr],
    (claims, cas): (&mut Claims<'_>, &mut HashMap<UpstreamUrl, Option<PathBuf>>),
) -> Option<StaticRouteConfig> {
    let RouteValues {
        method,
        path,
        url,
        service,
        redirect,
        respond,
        host,
        permission,
        exclusive,
        tls_name,
        ca,
        protocol,
    } = visit(&mut entry);
    entry.finish();
    check_target(&entry);
    let redirect = redirect.and_then(|values| targets::redirect(values, &entry, host.as_ref(), path.as_ref()));
    let respond = respond.and_then(|values| targets::respond(values, &entry, index));
    check_only_https(&entry, "tls_name", url.as_ref());
    check_only_https(&entry, "ca", url.as_ref());
    check_tls_name(&entry, url.as_ref());
    if let Some(url) = url.as_ref().filter(|url| url.scheme == Scheme::Https)
        && cas.entry(url.clone()).or_insert_with(|| ca.clone()) != &ca
    {
        entry.refuse(
            "ca",
            format!("is another one than an earlier route to {url} has; must be the same in all of them"),
        );
    }
    if entry.is_set("protocol") && entry.is_set("service") {
        entry.refuse("protocol", "has no use beside service, whose instances say what they speak; must be left out");
    } else if entry.is_set("protocol") && !entry.is_set("url") {
        entry.refuse("protocol", "has no use without a url; must be left out");
    }
    if let Some(url) = &url {
        check_url(&entry, url, listeners);
        entry.record_location("url", format!("routes[{index}].url"));
    }
    entry.record_location("path", format!("routes[{index}].path"));
    entry.record_location("ca", format!("routes[{index}].ca"));
    if let Some(path) = path.as_ref().filter(|path| reserved(path.as_str()).is_some()) {
        entry.refuse("path", format!("\"{path}\" is furt's own; must not be /health, nor lie at or below /internal"));
    }
    let (method, path) = (method?, path?);
    check_claim(&entry, &host, &method, &path, claims);
    let target = (url.map(StaticTarget::Url))
        .or(service.map(StaticTarget::Service))
        .or(redirect.map(StaticTarget::Redirect))
        .or(respond.map(StaticTarget::Respond))?;
    let exclusive = exclusive.unwrap_or(!path.is_open());
    let tls_name = tls_name.map(|name| name.as_str().into());
    let protocol = protocol.unwrap_or_default();
    Some(StaticRouteConfig { host, method, path, target, permission, exclusive, tls_name, ca, protocol })
}

/// What a route may lead to.
const TARGETS: [&str; 4] = ["url", "service", "redirect", "respond"];

fn check_target(entry: &Section<'_>) {
    let mut set = TARGETS.into_iter().filter(|target| entry.is_set(target));
    let Some(first) = set.next() else {
        entry.refuse("url", "is missing; every [[routes]] needs a url, or service, redirect or respond");
        return;
    };
    for other in set {
        entry.refuse(other, format!("stands beside {first}; must be one of url, service, redirect and respond"));
    }
}

fn check_claim(entry: &Section<'_>, host: &Option<Host>, method: &MethodRule, path: &Pattern, claims: &mut Claims<'_>) {
    if entry.is_invalid("host") {
        return;
    }
    let key = (host.clone(), path.clone(), method.clone());
    if let Some(line) = claims.duplicate(key, entry.at("path")) {
        let message =
            format!("\"{method} {path}\" is claimed in line {line} already; must differ in host, method or path");
        entry.refuse("path", message);
    }
}

fn check_tls_name(entry: &Section<'_>, url: Option<&UpstreamUrl>) {
    let is_https = url.is_some_and(|url| url.scheme == Scheme::Https);
    let is_address = url.is_some_and(|url| matches!(url.host, UpstreamHost::Address(_)));
    if is_https && is_address && !entry.is_set("tls_name") {
        entry.refuse("url", "is https by bare address; must have a tls_name, for which the certificate is checked");
    }
}

fn check_only_https(entry: &Section<'_>, key: &str, url: Option<&UpstreamUrl>) {
    let is_https = url.is_some_and(|url| url.scheme == Scheme::Https);
    // An invalid url is reported already, and might have been https.
    if entry.is_set(key) && !is_https && (url.is_some() || !entry.is_set("url")) {
        entry.refuse(key, "has no use without an https url; must be left out");
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
