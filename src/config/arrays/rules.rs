//! `[[rules]]`: options of routes, which override what services say.

mod cors;
mod headers;
mod mirror;
mod restrictions;
mod rewrite;

use std::sync::Arc;

use http::HeaderName;

use crate::config::key::{DefaultValue, EntryVisitor, Key, Nested};
use crate::config::location::{Lines, RawLocation};
use crate::config::section::Section;
use crate::config::types::{Config, Line, RuleConfig};
use crate::config::value::{boolean, text};
use crate::header_name::{Folding, reads_as};
use furt_core::model::{
    Compress, Cors, Host, MessageHeaders, MethodRule, Pattern, Restrictions, RouteOptions, Rule, Said, ServiceName,
};

pub(super) const NAME: &str = "rules";

/// The most rules: each route is held against each of them when it is published.
const MAX_RULES: usize = 256;

/// The values of an entry. `None`: absent, or invalid and reported.
pub(super) struct RuleValues {
    service: Option<ServiceName>,
    host: Option<Host>,
    path: Option<Pattern>,
    method: Option<MethodRule>,
    cors: Nested<cors::CorsValues>,
    rewrite: Nested<rewrite::RewriteValues>,
    compress: Option<bool>,
    restrictions: restrictions::RestrictionValues,
    headers: Nested<headers::HeaderValues>,
    mirror: Nested<mirror::MirrorValues>,
}

/// What a rule may say.
const OPTIONS: [&str; 11] = [
    "cors",
    "rewrite",
    "compress",
    "headers",
    "mirror",
    "auth",
    "limits",
    "timeouts",
    "retries",
    "allow_from",
    "deny_from",
];

pub(super) fn visit(keys: &mut impl EntryVisitor) -> RuleValues {
    keys.array(
        NAME,
        "Rules: options of [routes](routes.md). They override what services say, and a later rule overrides an earlier one; what \
         restricts adds up. A rule matches the routes that `service`, `host`, `path` and `method` fit; without any of them it matches every route. At most 256.",
    );
    RuleValues {
        service: keys.optional(
            Key {
                name: "rules.service",
                default: DefaultValue::absent("any", r#""shop""#),
                range: "a service's name",
                text: "Routes of this service, and static routes that lead to it.",
                ..Key::ROW
            },
            text("a service's name", ServiceName::try_new),
        ),
        host: keys.optional(
            Key {
                name: "rules.host",
                default: DefaultValue::absent("any", r#""shop.example""#),
                range: "a host name",
                text: "Routes that are bound to this host.",
                ..Key::ROW
            },
            text("a host", Host::try_new),
        ),
        path: keys.optional(
            Key {
                name: "rules.path",
                default: DefaultValue::absent("any", r#""/api/*""#),
                range: "a [pattern](registering.md#routes)",
                text: "Routes whose paths are all within this pattern.",
                ..Key::ROW
            },
            text("a path pattern", Pattern::try_written),
        ),
        method: keys.optional(
            Key {
                name: "rules.method",
                default: DefaultValue::absent("any", r#""GET""#),
                range: "a method in upper case, or `\"*\"`",
                text: "Routes for this method; `\"GET\"` is `HEAD` as well.",
                ..Key::ROW
            },
            text("a method to route", MethodRule::try_new),
        ),
        compress: keys.optional(
            Key {
                name: "rules.compress",
                default: DefaultValue::absent("as the service says", "true"),
                range: "true, false",
                text: "Whether furt [compresses](routes.md#compress) answers. Not together with `cors` that allows credentials.",
                ..Key::ROW
            },
            boolean,
        ),
        restrictions: restrictions::visit(keys),
        cors: keys.table("rules.cors", cors::visit),
        rewrite: keys.table("rules.rewrite", rewrite::visit),
        headers: keys.table("rules.headers", headers::visit),
        mirror: keys.table("rules.mirror", mirror::visit),
    }
}

/// Reads all entries.
///
/// `known`: whose providers may be named; `None`: that is not looked at.
pub(super) fn read(entries: Vec<Section<'_>>, lines: &Lines<'_>, known: Option<&Config>) -> Vec<RuleConfig> {
    let read = |(number, mut entry): (usize, Section<'_>)| {
        let values = visit(&mut entry);
        entry.finish();
        if number == MAX_RULES {
            entry.refuse_whole(format!("is one too many; must be at most {MAX_RULES} rules"));
        }
        let line = match entry.at("") {
            RawLocation::Offset(offset) => lines.position(offset).0,
            RawLocation::Variable(_) | RawLocation::Layer(..) => 0,
        };
        let RuleValues { service, host, path, method, cors, rewrite, compress, restrictions, headers, mirror } = values;
        let cors = cors::read(cors, &entry);
        let (rewrite, asked_host) = rewrite::read(rewrite, &entry);
        let compress = read_compress(compress, &cors, &entry);
        let (restrictions, read_timeout) = restrictions::read(restrictions, &entry);
        let headers = headers::read(headers, &entry);
        let mirror = mirror::read(mirror, service.as_ref(), &entry);
        if let Some(known) = known {
            check_providers(&restrictions, &headers, known, &entry);
        }
        let restrictions = Some(Arc::new(restrictions)).filter(|all| !all.is_empty());
        let options = RouteOptions { cors, rewrite, compress, asked_host, read_timeout, headers, mirror, restrictions };
        if options.is_empty() && !entry.has_faults() && !OPTIONS.iter().any(|name| entry.is_set(name)) {
            entry.refuse_whole(format!("says nothing of the routes that it matches; must have {}", OPTIONS.join(", ")));
        }
        RuleConfig { rule: Rule { service, host, path, method, options }, line: Line(line) }
    };
    entries.into_iter().enumerate().map(read).collect()
}

/// `false` takes away what was said before.
fn read_compress(value: Option<bool>, cors: &Said<Arc<Cors>>, entry: &Section<'_>) -> Said<Compress> {
    match value {
        None => Said::Nothing,
        Some(false) => Said::Off,
        Some(true) => {
            if let Err(why) = Compress.check_with(cors.value().map(|cors| &**cors)) {
                entry.refuse("compress", why.to_string());
            }
            Said::Is(Compress)
        }
    }
}

/// Refuses what names nobody who vouches for callers, and what would say in the place of those who do who a caller is.
fn check_providers(
    restrictions: &Restrictions,
    headers: &Said<Arc<MessageHeaders>>,
    known: &Config,
    entry: &Section<'_>,
) {
    if let Some(why) = restrictions.auth.as_ref().and_then(|auth| known.auth_fault(auth)) {
        entry.refuse("auth", why);
    }
    let of_identity = known.identity_headers();
    let edited = headers.value().map(|headers| headers.request.iter());
    let is_of_identity =
        |name: &HeaderName| of_identity.iter().any(|own| reads_as(own.as_str(), name.as_str(), Folding::EverySign));
    if let Some((name, _)) = edited.into_iter().flatten().find(|(name, _)| is_of_identity(name)) {
        entry.refuse(
            "headers",
            format!("names \"{name}\", by which [[issuers]] or [[forward_auth]] tell services who a caller is; must be another header"),
        );
    }
}
