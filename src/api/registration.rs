//! The body of `POST /internal/register-service`: every field, its rule and its default.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::fields::{FieldError, Fields, seconds, text, truth, whole};
use super::route_options::{self, Of};
use furt_core::model::{
    AuthMethods, Country, Definition, Document, HealthCheck, Host, Incarnation, InstanceId, InstanceSpec, Invalid,
    LoadBalancingPolicy, MAX_METADATA_BYTES, MAX_ROUTES, MAX_TIME, MIN_TIMEOUT, MIN_TTL, MethodRule, Pattern,
    Permission, Protocol, Region, RouteOptions, RouteSpec, Scheme, ServiceName, StatusRange, StickyBy, UpstreamHost,
    UpstreamUrl, Version,
};
use furt_core::registry::RegistrationKind;

/// The most failures that a service may wait for: what the configuration may say, too.
const MAX_FAILURES: u64 = 1_000_000;

/// What a body says, as far as it is right.
#[derive(Default)]
pub(super) struct Parsed {
    /// Where the instance is; also where something else is wrong, so that what is wrong with the place is told as well.
    pub(super) url: Option<UpstreamUrl>,
    /// What it says of the service.
    pub(super) kind: RegistrationKind,
    /// All of it.
    pub(super) whole: Option<(Definition, InstanceSpec)>,
}

/// Fields of the definition, beside `service`, `routes` and what is said of routes.
const DEFINITION: [&str; 8] =
    ["host", "policy", "hash_key", "sticky_by", "slow_start", "metadata", "revision", "health_check"];

/// What else is known, that a registration may be about.
pub(super) struct Known<'a> {
    /// Whether there is a service that an instance can join.
    pub(super) is_registered: &'a dyn Fn(&ServiceName) -> bool,
    /// Why nobody can be let in by such a list of `auth`.
    pub(super) auth_fault: &'a dyn Fn(&AuthMethods) -> Option<String>,
}

impl Known<'_> {
    /// No service is registered, and whatever a list of `auth` names may be there.
    const NOTHING: Self = Self { is_registered: &|_| false, auth_fault: &|_| None };
}

/// Reads a body, and tells every field that is wrong, missing or unknown.
pub(super) fn parse(body: Value, known: &Known<'_>) -> (Parsed, Vec<FieldError>) {
    let mut errors = auth_faults(&body, known.auth_fault);
    let fields = Fields::open(String::new(), body, &mut errors);
    let parsed = fields.map(|fields| read(fields, known.is_registered)).unwrap_or_default();
    (parsed, errors)
}

/// Each list of those who may vouch for callers that is well written, and of no use here.
fn auth_faults(body: &Value, fault: &dyn Fn(&AuthMethods) -> Option<String>) -> Vec<FieldError> {
    let judge = |pointer: String, said: &Value| {
        let names: Option<Vec<_>> = said.get("auth")?.as_array()?.iter().map(Value::as_str).collect();
        let detail = fault(&AuthMethods::try_new(&names?).ok()?)?;
        Some(FieldError { pointer, detail })
    };
    let routes = body.get("routes").and_then(Value::as_array).into_iter().flatten().enumerate();
    let of_routes = routes.filter_map(|(at, route)| judge(format!("/routes/{at}/auth"), route));
    judge("/auth".to_owned(), body).into_iter().chain(of_routes).collect()
}

/// What a body says, if all of it is right.
///
/// # Errors
/// Each field that is wrong: its JSON pointer, and what would be right.
pub fn read_registration(body: Value) -> Result<(Definition, InstanceSpec), Vec<(String, String)>> {
    let (parsed, errors) = parse(body, &Known::NOTHING);
    let told = || errors.iter().map(|error| (error.pointer.clone(), error.detail.clone())).collect();
    parsed.whole.filter(|_| errors.is_empty()).ok_or_else(told)
}

fn read(mut fields: Fields<'_>, is_registered: &dyn Fn(&ServiceName) -> bool) -> Parsed {
    let kind = kind(&fields);
    let service = fields.require("service", text(ServiceName::try_new));
    let url = fields.require("url", text(UpstreamUrl::try_new));
    let joins = kind == RegistrationKind::Joining && service.as_ref().is_some_and(is_registered);
    let definition = read_definition(&mut fields, service.as_ref().filter(|_| !joins));
    let definition = definition.or_else(|| service.clone().filter(|_| joins).map(Definition::new));
    let instance = read_instance(&mut fields, service.as_ref(), url.clone());
    if let (Some(definition), Some(instance)) = (&definition, &instance)
        && definition.health_check.grpc.is_some()
        && instance.health_endpoint.is_some()
        && instance.protocol == Protocol::Http1
    {
        fields
            .refuse("protocol", "must be \"h2c\" where \"grpc\" is set in \"health_check\": such a probe needs HTTP/2");
    }
    fields.finish();
    Parsed { url, kind, whole: definition.zip(instance) }
}

/// What a registration says of its service, by the fields that it has.
fn kind(fields: &Fields<'_>) -> RegistrationKind {
    match () {
        () if fields.has_value("routes") => RegistrationKind::Full,
        () if DEFINITION.iter().chain(&route_options::NAMES).any(|name| fields.has_value(name)) => {
            RegistrationKind::WithoutRoutes
        }
        () => RegistrationKind::Joining,
    }
}

fn read_definition(fields: &mut Fields<'_>, service: Option<&ServiceName>) -> Option<Definition> {
    let routes = read_routes(fields);
    let host = fields.optional("host", text(Host::try_new));
    if let (Some(service), Some([])) = (service, routes.as_deref()) {
        if host.is_some() {
            fields
                .refuse("host", "must not be set without routes: such a service is reached as <service>.<apps.domain>");
        }
        if Host::try_new(service.as_str()).is_err() {
            fields.refuse(
                "service",
                "must be a host name too, since without routes it is reached as <service>.<apps.domain>",
            );
        }
    }
    let has_policy = fields.has_value("policy");
    let named = fields.optional("policy", text(policy));
    let (is_policy_wrong, policy) = (has_policy && named.is_none(), named.unwrap_or_default());
    let has_hash_key = fields.has_value("hash_key");
    let hash_key = fields.optional("hash_key", text(Definition::try_hash_key));
    if policy == LoadBalancingPolicy::Hash && !has_hash_key {
        fields.refuse(
            "hash_key",
            "is missing, and the policy \"hash\" needs it: \"header:NAME\", \"cookie:NAME\" or \"address\"",
        );
    }
    let sticky_by = fields.optional("sticky_by", text(StickyBy::try_new));
    if policy != LoadBalancingPolicy::Sticky && !is_policy_wrong && sticky_by.is_some() {
        fields.refuse(
            "sticky_by",
            "must be left out unless \"policy\" is \"sticky\": no other policy keeps a client with its instance",
        );
    }
    let slow_start = fields.optional("slow_start", seconds(Duration::ZERO, MAX_TIME));
    let (options, timeouts) = route_options::read(fields, Of::Definition);
    check_strip(fields, &options, routes.as_deref());
    check_compress(fields, &options, routes.as_deref());
    let health_check = fields.nested("health_check", read_health_check).unwrap_or_default();
    let metadata = fields.optional("metadata", metadata).unwrap_or_default();
    let revision = fields.optional("revision", whole(0, u64::MAX)).unwrap_or_default();
    Some(Definition {
        service: service?.clone(),
        host,
        routes: routes?,
        policy,
        hash_key,
        sticky_by: sticky_by.unwrap_or_default(),
        slow_start,
        timeouts,
        options,
        health_check,
        metadata,
        revision,
    })
}

fn read_routes(fields: &mut Fields<'_>) -> Option<Vec<RouteSpec>> {
    let list = match fields.take("routes") {
        None => return Some(Vec::new()),
        Some(Value::Array(list)) if list.len() <= MAX_ROUTES => list,
        Some(_) => {
            fields.refuse("routes", format!("must be a list of at most {MAX_ROUTES} routes"));
            return None;
        }
    };
    let mut routes: Vec<RouteSpec> = Vec::with_capacity(list.len());
    let mut is_whole = true;
    for (at, value) in list.into_iter().enumerate() {
        let pointer = format!("{}/{at}", fields.pointer_to("routes"));
        let Some(route) = Fields::open(pointer.clone(), value, fields.errors()).and_then(read_route) else {
            is_whole = false;
            continue;
        };
        let same = routes.iter().position(|other| other.is_conflict(&route));
        if let Some(other) = same {
            let detail = format!("claims the same requests as /routes/{other}");
            fields.errors().push(FieldError { pointer, detail });
        }
        routes.push(route);
    }
    is_whole.then_some(routes)
}

fn read_route(mut fields: Fields<'_>) -> Option<RouteSpec> {
    let method = fields.require("method", text(MethodRule::try_new));
    let pattern = fields.require("path", text(Pattern::try_written));
    // A permission that is there but wrong must never become a public route.
    if fields.has("permission") && !fields.has_value("permission") {
        fields.refuse("permission", "must be a string; leave it out for a public route");
    }
    let permission = fields.optional("permission", text(Permission::try_new));
    let (options, _) = route_options::read(&mut fields, Of::Route);
    fields.finish();
    Some(RouteSpec { method: method?, pattern: pattern?, permission, options })
}

/// Tells each route whose pattern does not begin with what is taken off its paths.
fn check_strip(fields: &mut Fields<'_>, options: &RouteOptions, routes: Option<&[RouteSpec]>) {
    let Some(routes) = routes else { return };
    if routes.is_empty() && options.rewrite.value().is_some_and(|rewrite| rewrite.strip.is_some()) {
        let why = "must be left out without routes: such a service is reached at every path of its host";
        let pointer = format!("{}/strip", fields.pointer_to("rewrite"));
        fields.errors().push(FieldError { pointer, detail: why.to_owned() });
    }
    for (at, route) in routes.iter().enumerate() {
        let rewrite = route.options.rewrite.clone().after(options.rewrite.value().cloned());
        if rewrite.is_some_and(|rewrite| !rewrite.fits(&route.pattern)) {
            let pointer = format!("{}/{at}/path", fields.pointer_to("routes"));
            let detail =
                "must begin with what its \"rewrite\" strips, by whole segments; or the route says \"rewrite\": null"
                    .to_owned();
            fields.errors().push(FieldError { pointer, detail });
        }
    }
}

/// Tells whoever says `compress` where `cors` allows credentials.
fn check_compress(fields: &mut Fields<'_>, options: &RouteOptions, routes: Option<&[RouteSpec]>) {
    let nothing = RouteOptions::default();
    let mut refused = BTreeMap::new();
    let of_routes = routes.unwrap_or_default().iter().enumerate();
    let all = of_routes.map(|(at, route)| (Some(at), &route.options));
    // Without routes there is the one that its host leads to.
    let own = routes.is_some_and(<[_]>::is_empty).then_some((None, &nothing));
    for (at, own) in all.chain(own) {
        if let Err(why) = own.check_compress(options) {
            refused.insert(at.filter(|_| !own.compress.is_nothing()), why);
        }
    }
    for (at, why) in refused {
        let pointer = match at {
            Some(at) => format!("{}/{at}/compress", fields.pointer_to("routes")),
            None => fields.pointer_to("compress"),
        };
        fields.errors().push(FieldError { pointer, detail: why.to_string() });
    }
}

fn read_health_check(own: &mut Fields<'_>) -> HealthCheck {
    let interval = own.optional("interval", seconds(MIN_TIMEOUT, MAX_TIME));
    let timeout = own.optional("timeout", seconds(MIN_TIMEOUT, MAX_TIME));
    let failures = own.optional("failures", whole(1, MAX_FAILURES)).and_then(|failures| failures.try_into().ok());
    let status = own.optional("status", text(StatusRange::try_new));
    let host = own.optional("host", text(Host::try_new));
    let grpc = own.optional("grpc", text(HealthCheck::try_grpc));
    if grpc.is_some() && status.is_some() {
        own.refuse("status", "must be left out where \"grpc\" is set: such a probe is not judged by a status of HTTP");
    }
    HealthCheck { interval, timeout, failures, status, host, grpc }
}

fn read_instance(
    fields: &mut Fields<'_>,
    service: Option<&ServiceName>,
    url: Option<UpstreamUrl>,
) -> Option<InstanceSpec> {
    let has_id = fields.has_value("instance");
    let id = fields.optional("instance", text(InstanceId::try_new));
    let incarnation = fields.optional("incarnation", text(Incarnation::try_new));
    let version = fields.optional("version", text(Version::try_new));
    let protocol = fields.optional("protocol", text(Protocol::try_new)).unwrap_or_default();
    let has_tls_name = fields.has_value("tls_name");
    let tls_name = fields.optional("tls_name", text(InstanceSpec::try_tls_name));
    if let Some(url) = &url {
        let is_tls = url.scheme == Scheme::Https;
        if is_tls && !has_tls_name && matches!(url.host, UpstreamHost::Address(_)) {
            fields.refuse("tls_name", "is missing, and an https url by address needs it: the name in the certificate");
        }
        if !is_tls && tls_name.is_some() {
            fields.refuse("tls_name", "must not be set for an http url");
        }
    }
    let health_endpoint = read_health_endpoint(fields);
    let heartbeat_ttl = fields.optional("heartbeat_ttl", seconds(MIN_TTL, MAX_TIME));
    let limits = read_limits(fields, 1, 0, 0);
    let region = fields.optional("region", text(Region::try_new));
    let country = fields.optional("country", text(Country::try_new));
    let shared = fields.optional("shared", truth).unwrap_or_default();
    let document = fields.optional("document", |value| Document::try_new(&value));
    let id = match (id, has_id) {
        (None, false) => InstanceId::from(service?),
        (id, _) => id?,
    };
    Some(InstanceSpec {
        id,
        url: url?,
        incarnation,
        version,
        protocol,
        tls_name,
        health_endpoint,
        heartbeat_ttl,
        weight: limits.weight,
        soft_limit: limits.soft,
        hard_limit: limits.hard,
        region,
        country,
        shared,
        document,
    })
}

/// An instance's share and limits.
pub(super) struct Limits {
    pub(super) weight: u8,
    pub(super) soft: u32,
    pub(super) hard: u32,
}

/// Reads `weight`, `soft_limit` and `hard_limit`; what is left out is as given, but for a soft limit above the hard one.
pub(super) fn read_limits(fields: &mut Fields<'_>, weight: u64, soft: u64, hard: u64) -> Limits {
    let weight = fields.optional("weight", whole(1, 255)).unwrap_or(weight);
    let own_soft = fields.optional("soft_limit", whole(0, u32::MAX.into()));
    let hard = fields.optional("hard_limit", whole(0, u32::MAX.into())).unwrap_or(hard);
    let soft = own_soft.unwrap_or(if hard == 0 { soft } else { soft.min(hard) });
    if hard != 0 && soft > hard {
        fields.refuse("soft_limit", format!("must not be above hard_limit, {hard}"));
    }
    Limits {
        weight: u8::try_from(weight).unwrap_or(u8::MAX),
        soft: u32::try_from(soft).unwrap_or(u32::MAX),
        hard: u32::try_from(hard).unwrap_or(u32::MAX),
    }
}

/// Left out: `/health`. `null`: no probes.
fn read_health_endpoint(fields: &mut Fields<'_>) -> Option<Box<str>> {
    if !fields.has("health_endpoint") {
        return Some("/health".into());
    }
    fields.optional("health_endpoint", text(InstanceSpec::try_health_endpoint))
}

fn policy(name: &str) -> Result<LoadBalancingPolicy, Invalid> {
    LoadBalancingPolicy::from_name(name)
        .ok_or_else(|| Invalid::new("must be \"edge\", \"round_robin\", \"least_conn\", \"hash\" or \"sticky\""))
}

fn metadata(value: Value) -> Result<BTreeMap<String, String>, Invalid> {
    let refused = || Invalid::new("must be an object of strings");
    let Value::Object(object) = value else { return Err(refused()) };
    let mut total = 0;
    let mut metadata = BTreeMap::new();
    for (name, value) in object {
        let Value::String(text) = value else { return Err(refused()) };
        total += name.len() + text.len();
        metadata.insert(name, text);
    }
    if total > MAX_METADATA_BYTES {
        return Err(Invalid::new(format!("must be at most {MAX_METADATA_BYTES} bytes, names and values together")));
    }
    Ok(metadata)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn wrong(body: Value) -> Vec<String> {
        parse(body, &Known::NOTHING).1.into_iter().map(|error| error.pointer).collect()
    }

    fn right(body: Value) -> (Definition, InstanceSpec) {
        let (parsed, errors) = parse(body, &Known::NOTHING);
        assert_eq!(errors, []);
        parsed.whole.unwrap()
    }

    #[test]
    fn a_usual_body_is_taken_as_it_stands() {
        let (definition, instance) = right(json!({
            "service": "sagjan",
            "url": "http://127.0.0.1:7812",
            "health_endpoint": "/health",
            "routes": [
                {"method": "POST", "path": "/api/comments/*", "permission": "comments:write"},
                {"method": "GET", "path": "/api/comments/*", "permission": "comments:read"},
            ]
        }));
        assert_eq!(definition.routes.len(), 2);
        assert_eq!(instance.id.as_str(), "sagjan");
        assert_eq!(instance.health_endpoint.as_deref(), Some("/health"));
        assert_eq!((instance.weight, instance.soft_limit, instance.hard_limit), (1, 0, 0));
    }

    #[test]
    fn every_wrong_field_is_told_at_once() {
        let pointers = wrong(json!({
            "service": "Sagjan", "url": "ftp://x", "typo": 1, "instance": "a b", "incarnation": "a b", "protocol": "http3", "weight": 0,
            "soft_limit": 5, "hard_limit": 4, "region": "EU", "country": "DEU", "shared": 1, "document": [], "heartbeat_ttl": 0,
            "health_endpoint": "health", "policy": "best", "hash_key": "body", "sticky_by": "x", "slow_start": -1, "host": "a b",
            "metadata": {"a": 1}, "revision": 1.5, "timeouts": {"connect": 0, "write": 1},
            "health_check": {"interval": 0, "timeout": -1, "failures": 0, "status": "2xx", "host": "a b", "grpc": 1, "path": "/"},
            "routes": [{"method": "get", "path": "a", "permission": ""}, 7, {"path": "/a*", "x/y": 1}],
        }));
        for pointer in [
            "/service",
            "/url",
            "/typo",
            "/instance",
            "/incarnation",
            "/protocol",
            "/weight",
            "/soft_limit",
            "/region",
            "/country",
            "/shared",
            "/document",
            "/heartbeat_ttl",
            "/health_endpoint",
            "/policy",
            "/hash_key",
            "/sticky_by",
            "/slow_start",
            "/host",
            "/metadata",
            "/revision",
            "/timeouts/connect",
            "/timeouts/write",
            "/health_check/interval",
            "/health_check/timeout",
            "/health_check/failures",
            "/health_check/status",
            "/health_check/host",
            "/health_check/grpc",
            "/health_check/path",
            "/routes/0/method",
            "/routes/0/path",
            "/routes/0/permission",
            "/routes/1",
            "/routes/2/method",
            "/routes/2/path",
            "/routes/2/x~1y",
        ] {
            assert!(pointers.iter().any(|told| told == pointer), "{pointer} in {pointers:?}");
        }
        assert_eq!(pointers.len(), 37, "{pointers:?}");
    }

    #[test]
    fn a_body_that_is_no_object_or_empty_says_what_is_missing() {
        assert_eq!(wrong(json!([])), [""]);
        assert_eq!(wrong(json!({})), ["/service", "/url"]);
        assert_eq!(wrong(json!({"service": null, "url": 7})), ["/service", "/url"]);
        let (_, instance) = right(json!({"service": "a", "url": "http://127.0.0.1:1", "instance": null}));
        assert_eq!(instance.id.as_str(), "a");
    }

    #[test]
    fn a_permission_that_is_wrong_never_makes_a_route_public() {
        let body = |permission: Value| {
            json!({"service": "a", "url": "http://127.0.0.1:1",
                   "routes": [{"method": "GET", "path": "/a", "permission": permission}]})
        };
        for permission in [json!(null), json!(""), json!(7), json!([]), json!("a b")] {
            assert_eq!(wrong(body(permission.clone())), ["/routes/0/permission"], "{permission}");
            let mut also_wrong = body(permission);
            also_wrong["service"] = json!("A");
            assert_eq!(wrong(also_wrong), ["/service", "/routes/0/permission"]);
        }
    }

    #[test]
    fn routes_of_one_body_must_not_claim_the_same_requests() {
        let body = |first: &str, second: &str| {
            json!({"service": "a", "url": "http://127.0.0.1:1",
                   "routes": [{"method": first, "path": "/a/*"}, {"method": second, "path": "/%61/*"}]})
        };
        assert_eq!(wrong(body("GET", "GET")), ["/routes/1"]);
        assert_eq!(wrong(body("*", "*")), ["/routes/1"]);
        right(body("GET", "HEAD"));
        right(body("*", "OPTIONS"));
    }

    #[test]
    fn the_fields_tell_what_a_body_says_of_its_service() {
        let joins =
            |service: &str| json!({"service": service, "url": "http://127.0.0.1:1", "weight": 2, "policy": null});
        let parse = |body: Value| {
            let is_registered = |service: &ServiceName| service.as_str() == "a..b";
            super::parse(body, &Known { is_registered: &is_registered, ..Known::NOTHING })
        };
        let (parsed, errors) = parse(joins("a..b"));
        assert_eq!((parsed.kind, errors), (RegistrationKind::Joining, vec![]));
        assert_eq!(parsed.whole.unwrap().0, Definition::new(ServiceName::try_new("a..b").unwrap()));
        assert_eq!(parse(joins("c..d")).1[0].pointer, "/service", "it would be reached by its host");
        for (name, value) in [
            ("policy", json!("sticky")),
            ("hash_key", json!("address")),
            ("sticky_by", json!("cookie")),
            ("slow_start", json!(1)),
            ("timeouts", json!({})),
            ("metadata", json!({})),
            ("revision", json!(0)),
        ] {
            let mut body = joins("a");
            body[name] = value;
            assert_eq!(parse(body.clone()).0.kind, RegistrationKind::WithoutRoutes, "{name}");
            body["routes"] = json!([]);
            assert_eq!(parse(body).0.kind, RegistrationKind::Full, "{name}");
        }
    }

    #[test]
    fn null_and_absent_health_endpoints_differ() {
        let body = json!({"service": "a", "url": "http://127.0.0.1:1", "health_endpoint": null});
        assert_eq!(right(body).1.health_endpoint, None);
        let body = json!({"service": "a", "url": "http://127.0.0.1:1"});
        assert_eq!(right(body).1.health_endpoint.as_deref(), Some("/health"));
    }

    #[test]
    fn a_policy_by_hash_needs_a_key_that_is_there_and_right() {
        for key in [json!(null), json!("body"), json!(7)] {
            let body = json!({"service": "a", "url": "http://127.0.0.1:1", "policy": "hash", "hash_key": key});
            assert_eq!(wrong(body), ["/hash_key"], "{key}");
        }
        assert_eq!(wrong(json!({"service": "a", "url": "http://127.0.0.1:1", "policy": "hash"})), ["/hash_key"]);
    }

    #[test]
    fn only_a_sticky_service_says_what_its_clients_are_known_by() {
        let body = |policy: Value, by: Value| json!({"service": "a", "url": "http://127.0.0.1:1", "policy": policy, "sticky_by": by});
        for (by, expected) in [
            (json!(null), StickyBy::Address),
            (json!("address"), StickyBy::Address),
            (json!("cookie"), StickyBy::Cookie),
        ] {
            let (definition, _) = right(body(json!("sticky"), by));
            assert_eq!((definition.sticky_by, definition.check()), (expected, Ok(())));
        }
        for by in [json!("header"), json!("Cookie"), json!(""), json!(7), json!(["cookie"])] {
            assert_eq!(wrong(body(json!("sticky"), by.clone())), ["/sticky_by"], "{by}");
        }
        for policy in [json!(null), json!("edge"), json!("hash")] {
            let told = wrong(body(policy.clone(), json!("cookie")));
            assert_eq!(told.last().map(String::as_str), Some("/sticky_by"), "{policy}");
            assert_eq!(wrong(body(policy, json!("address"))), told, "also where it says the default");
        }
        let service = ServiceName::try_new("a").unwrap();
        let definition = Definition { sticky_by: StickyBy::Cookie, ..Definition::new(service) };
        assert!(definition.check().is_err());
    }

    #[test]
    fn times_are_taken_to_the_millisecond() {
        let (definition, instance) = right(json!({
            "service": "a", "url": "http://127.0.0.1:1", "slow_start": 0.0005, "heartbeat_ttl": 1.2345,
            "timeouts": {"connect": 0.0014, "read": 0.29}}));
        let ms = |time: Option<Duration>| time.unwrap().as_nanos() as f64 / 1e6;
        assert_eq!((ms(definition.slow_start), ms(instance.heartbeat_ttl)), (1.0, 1235.0));
        assert_eq!((ms(definition.timeouts.connect), ms(definition.timeouts.read)), (1.0, 290.0));
    }

    #[test]
    fn too_many_routes_and_too_much_metadata_are_refused() {
        let routes: Vec<_> = (0..=MAX_ROUTES).map(|at| json!({"method": "GET", "path": format!("/{at}")})).collect();
        assert_eq!(wrong(json!({"service": "a", "url": "http://127.0.0.1:1", "routes": routes})), ["/routes"]);
        let text = "x".repeat(MAX_METADATA_BYTES);
        assert_eq!(wrong(json!({"service": "a", "url": "http://127.0.0.1:1", "metadata": {"k": text}})), ["/metadata"]);
    }

    #[test]
    fn https_by_address_needs_a_name_to_verify() {
        assert_eq!(wrong(json!({"service": "a", "url": "https://10.0.0.1"})), ["/tls_name"]);
        assert_eq!(wrong(json!({"service": "a", "url": "https://10.0.0.1", "tls_name": "10.0.0.1"})), ["/tls_name"]);
        right(json!({"service": "a", "url": "https://10.0.0.1", "tls_name": "a.example"}));
        right(json!({"service": "a", "url": "https://a.example"}));
    }
}
