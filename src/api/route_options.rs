//! What a registration says of its routes' requests: the fields that a definition and each of its routes may have. They are read
//! here, shown here, and explained here.

use std::fmt::Display;
use std::sync::Arc;
use std::time::Duration;

use furt_api::route_options;
use furt_api::routes::{OriginJudged, RouteOption, SaidBy};
use http::HeaderName;

use super::fields::{Fields, text, truth, whole};
use crate::config::{Config, Line, StaticRouteConfig, StaticTarget};
use crate::published::Published;
use furt_core::model::{
    AskedHost, CORS_MAX_AGE, Cors, LONGEST_CORS_MAX_AGE, MAX_CORS_HEADERS, MAX_ORIGINS, Misfit, OriginPattern, Origins,
    PathPrefix, Rewrite, RouteOptions, RouteSpec, Said, ServiceName, Subject, is_of_host,
};
use furt_core::registry::effective;
use furt_core::routing::{self, Merged, Owner, Route, Service, ServiceKind};

/// Skipped rules that are told for a service; each of them is a line of the log.
const MAX_TOLD: usize = 8;

/// The names of the fields.
pub(super) const NAMES: [&str; 2] = ["cors", "rewrite"];

/// Whose fields are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A definition's: `null` is as if they were not there.
    Definition,
    /// A route's: `null` takes away what the definition says.
    Route,
}

/// Reads the fields out of `fields`.
pub(super) fn read(fields: &mut Fields<'_>, of: Of) -> RouteOptions {
    RouteOptions {
        cors: said(fields, "cors", of, read_cors).map(Arc::new),
        rewrite: said(fields, "rewrite", of, read_rewrite).map(Arc::new),
        asked_host: Said::Nothing,
    }
}

fn said<T>(fields: &mut Fields<'_>, name: &str, of: Of, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Said<T> {
    let is_null = fields.has(name) && !fields.has_value(name);
    let Some(value) = fields.take(name) else {
        return if is_null && of == Of::Route { Said::Off } else { Said::Nothing };
    };
    let pointer = fields.pointer_to(name);
    let Some(mut own) = Fields::open(pointer, value, fields.errors()) else { return Said::Nothing };
    let read = read(&mut own);
    own.finish();
    read.map_or(Said::Nothing, Said::Is)
}

fn read_cors(fields: &mut Fields<'_>) -> Option<Cors> {
    let origins = read_origins(fields);
    let has_headers = fields.has_value("headers");
    let headers = fields.list("headers", MAX_CORS_HEADERS, Cors::try_header);
    // What is wrong must never stand for any header.
    let is_wrong = has_headers && headers.is_none();
    let expose = fields.list("expose", MAX_CORS_HEADERS, Cors::try_header).unwrap_or_default();
    let credentials = fields.optional("credentials", truth).unwrap_or_default();
    let max_age = fields.optional("max_age", whole(0, LONGEST_CORS_MAX_AGE.as_secs()));
    let max_age = max_age.map_or(CORS_MAX_AGE, Duration::from_secs);
    let headers = headers.map(Vec::into_boxed_slice);
    let cors = Cors { origins: origins.filter(|_| !is_wrong)?, headers, expose: expose.into(), credentials, max_age };
    match cors.check() {
        Ok(()) => Some(cors),
        // Each part was right by itself.
        Err(why) => {
            fields.refuse("credentials", why.to_string());
            None
        }
    }
}

fn read_origins(fields: &mut Fields<'_>) -> Option<Origins> {
    if !fields.has_value("origins") {
        return fields.require("origins", |_| Ok(Origins::default()));
    }
    let written = |text: &str| match text {
        "*" => Ok(text.to_owned()),
        _ => OriginPattern::try_new(text).map(|origin| origin.to_string()),
    };
    let texts = fields.list("origins", MAX_ORIGINS, written)?;
    Origins::try_new(&texts).map_err(|error| fields.refuse("origins", error.to_string())).ok()
}

fn read_rewrite(fields: &mut Fields<'_>) -> Option<Rewrite> {
    let before = fields.errors().len();
    let strip = fields.optional("strip", text(PathPrefix::try_new));
    let add = fields.optional("add", text(PathPrefix::try_new));
    let redirects = fields.optional("redirects", truth).unwrap_or(true);
    if fields.errors().len() > before {
        return None;
    }
    let rewrite = Rewrite { strip, add, redirects };
    rewrite.check().map_err(|why| fields.refuse_whole(why.to_string())).is_ok().then_some(rewrite)
}

/// The field `cors`, as it was said.
pub(super) fn shown_cors(cors: &Cors) -> route_options::Cors {
    let names = |names: &[HeaderName]| names.iter().map(|name| name.as_str().to_owned()).collect();
    route_options::Cors {
        origins: cors.origins.texts().into_iter().map(str::to_owned).collect(),
        headers: cors.headers.as_deref().map(names),
        expose: names(&cors.expose),
        credentials: cors.credentials,
        max_age: Some(cors.max_age.as_secs()),
    }
}

/// The field `rewrite`, as it was said.
pub(super) fn shown_rewrite(rewrite: &Rewrite) -> route_options::Rewrite {
    let text = |prefix: &Option<PathPrefix>| prefix.as_ref().map(|prefix| prefix.as_str().to_owned());
    route_options::Rewrite {
        strip: text(&rewrite.strip),
        add: text(&rewrite.add),
        redirects: Some(rewrite.redirects).filter(|redirects| !redirects),
    }
}

/// A field of a route, where `null` takes away.
pub(super) fn shown_of_route<T, S>(said: &Said<Arc<T>>, shown: impl Fn(&T) -> S) -> Option<Option<S>> {
    match said {
        Said::Nothing => None,
        Said::Off => Some(None),
        Said::Is(value) => Some(Some(shown(value))),
    }
}

/// The options of a route of the snapshot, and who said them.
pub(super) fn merged(route: &Route, published: &Published) -> Merged {
    let service = published.service(route.owner.index());
    let service = service.filter(|service| service.kind == ServiceKind::Registered);
    let definition = service.map(|service| &service.definition);
    let nothing = RouteOptions::default();
    let (of_service, of_route) = match (route.owner, definition) {
        (Owner::Service(_), Some(definition)) => {
            let is_own = |spec: &&RouteSpec| spec.pattern == route.pattern && spec.method == route.method;
            let of_route = definition.routes.iter().find(is_own).map(|spec| &spec.options);
            (&definition.options, of_route.unwrap_or(&nothing))
        }
        _ => (&nothing, &nothing),
    };
    let subject = Subject {
        service: definition.map(|definition| &definition.service).or_else(|| leads_to(route, &published.config)),
        host: route.host.as_ref(),
        method: &route.method,
        pattern: &route.pattern,
    };
    let rules: Vec<_> = published.config.rules.iter().map(|one| one.rule.clone()).collect();
    Merged::new(subject, of_service, of_route, &rules)
}

/// The service that a static route leads to, registered or not.
fn leads_to<'c>(route: &Route, config: &'c Config) -> Option<&'c ServiceName> {
    let is_it =
        |one: &&StaticRouteConfig| (&one.host, &one.method, &one.path) == (&route.host, &route.method, &route.pattern);
    match &config.routes.iter().find(is_it)?.target {
        StaticTarget::Service(service) => Some(service),
        StaticTarget::Url(_) => None,
    }
}

/// The options in force for a route, in words.
pub(super) fn options(merged: &Merged, published: &Published) -> Vec<RouteOption> {
    let Merged { cors, rewrite, asked_host, skipped_rules: _ } = merged;
    let cors = cors.as_ref().map(|(cors, by)| option("cors", in_words(cors), *by, published));
    let rewrite = rewrite.as_ref().map(|(rewrite, by)| option("rewrite", rewrite_in_words(rewrite), *by, published));
    let host = asked_host.as_ref().map(|(host, by)| option("rewrite.host", host_in_words(host), *by, published));
    cors.into_iter().chain(rewrite).chain(host).collect()
}

fn option(name: &str, value: String, by: routing::SaidBy, published: &Published) -> RouteOption {
    let (said_by, line) = match by {
        routing::SaidBy::Service => (SaidBy::Service, None),
        routing::SaidBy::Route => (SaidBy::Route, None),
        routing::SaidBy::Rule(number) => (SaidBy::Rule, published.config.rules.get(number).map(|rule| rule.line.0)),
    };
    RouteOption { name: name.to_owned(), value, said_by, line }
}

fn in_words(cors: &Cors) -> String {
    let names = |names: &[HeaderName]| names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    let mut text = format!("origins {}", cors.origins.texts().join(", "));
    if let Some(headers) = &cors.headers {
        text += &format!("; headers {}", if headers.is_empty() { "none".to_owned() } else { names(headers) });
    }
    if !cors.expose.is_empty() {
        text += &format!("; exposes {}", names(&cors.expose));
    }
    let credentials = if cors.credentials { "with" } else { "without" };
    text + &format!("; {credentials} credentials; kept {} s", cors.max_age.as_secs())
}

fn rewrite_in_words(rewrite: &Rewrite) -> String {
    let strip = rewrite.strip.as_ref().map(|prefix| format!("strips {prefix}"));
    let add = rewrite.add.as_ref().map(|prefix| format!("adds {prefix}"));
    let redirects = (!rewrite.redirects).then(|| "leaves Location as it is".to_owned());
    [strip, add, redirects].into_iter().flatten().collect::<Vec<_>>().join("; ")
}

fn host_in_words(host: &AskedHost) -> String {
    match host {
        AskedHost::Instance => "the instance's own".to_owned(),
        AskedHost::Named(host) => host.to_string(),
    }
}

/// Whether pages of an origin may read the answer to a request for `authority`.
pub(super) fn judge_origin(origin: &str, authority: &str, merged: &Merged) -> OriginJudged {
    let (may_read, reason) = match &merged.cors {
        _ if is_of_host(origin, authority) => {
            (Some(true), "it is the origin of the host itself, which browsers let read where the scheme is the same")
        }
        None => (
            None,
            "no cors is in force: furt answers no preflight and refuses no WebSocket, and the service's own headers pass",
        ),
        Some((cors, _)) if cors.origins.contain(origin) => (Some(true), "its cors has the origin"),
        Some(_) => (
            Some(false),
            "its cors does not have the origin: a preflight and a WebSocket get 403, and no answer has a header that allows it",
        ),
    };
    OriginJudged { origin: origin.to_owned(), may_read, reason: reason.to_owned() }
}

/// Rules that are skipped for routes of a service, in words; the first of them.
pub(super) fn skipped_of(service: &Service, published: &Published) -> Vec<String> {
    let definition = &effective(&service.definition, &published.config.apps_domain);
    let told = definition.routes.iter().flat_map(|route| {
        let subject = Subject::registered(definition, route);
        let rules = published.config.rules.iter();
        rules.filter_map(move |one| Some(misfit(one.line, &subject, one.rule.misfit(subject)?)))
    });
    told.take(MAX_TOLD).collect()
}

fn misfit(line: Line, route: &dyn Display, why: Misfit) -> String {
    format!("the rule in line {} is skipped for {route}: {why}", line.0)
}

/// The rules that are skipped for the route, in words.
pub(super) fn skipped_rules(merged: &Merged, published: &Published) -> Vec<String> {
    let line = |number: usize| published.config.rules.get(number).map(|rule| rule.line);
    let told = merged.skipped_rules.iter();
    told.filter_map(|(number, why)| Some(misfit(line(*number)?, &"this route", *why))).collect()
}
