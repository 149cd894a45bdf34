//! What a registration says of its routes' requests: the fields that a definition and each of its routes may have. They are read
//! here, shown here, and explained here.

mod explaining;
mod restricting;
mod shaping;

use std::fmt::Display;
use std::net::IpAddr;
use std::sync::Arc;

use axum::http::Method;
use furt_api::routes::OriginJudged;

use super::fields::{Fields, truth};
use crate::config::{Config, StaticRouteConfig, StaticTarget};
use crate::published::Published;
pub(super) use explaining::options;
use furt_core::model::{
    AuthMethods, Compress, RouteOptions, RouteSpec, Said, ServiceName, Subject, Timeouts, is_of_host,
};
use furt_core::registry::effective;
use furt_core::routing::{Merged, Owner, Route, Service, ServiceKind};
pub(super) use restricting::{shown_auth, shown_limits, shown_retries, shown_total};
pub(super) use shaping::{shown_cors, shown_rewrite};

/// Skipped rules that are told for a service; each of them is a line of the log.
const MAX_TOLD: usize = 8;

/// The names of the fields.
pub(super) const NAMES: [&str; 7] = ["cors", "rewrite", "compress", "limits", "timeouts", "retries", "auth"];

/// Whose fields are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    /// A definition's: `null` is as if they were not there.
    Definition,
    /// A route's: `null` takes away what the definition says.
    Route,
}

/// Reads the fields out of `fields`. The timeouts of attempts are part of a definition; of a route its options have them.
pub(super) fn read(fields: &mut Fields<'_>, of: Of) -> (RouteOptions, Timeouts) {
    let (restrictions, timeouts) = restricting::read(fields, of);
    let options = RouteOptions {
        cors: said(fields, "cors", of, shaping::read_cors).map(Arc::new),
        rewrite: said(fields, "rewrite", of, shaping::read_rewrite).map(Arc::new),
        compress: compress(fields, of),
        read_timeout: timeouts.read.filter(|_| of == Of::Route).map_or(Said::Nothing, Said::Is),
        restrictions: Some(Arc::new(restrictions)).filter(|restrictions| !restrictions.is_empty()),
        ..RouteOptions::default()
    };
    (options, timeouts)
}

fn said<T>(fields: &mut Fields<'_>, name: &str, of: Of, read: impl FnOnce(&mut Fields<'_>) -> Option<T>) -> Said<T> {
    let is_null = fields.has(name) && !fields.has_value(name);
    match fields.nested(name, read).flatten() {
        Some(value) => Said::Is(value),
        None if is_null && of == Of::Route => Said::Off,
        None => Said::Nothing,
    }
}

/// `false` is as `null`.
fn compress(fields: &mut Fields<'_>, of: Of) -> Said<Compress> {
    let is_said = fields.has("compress");
    match fields.optional("compress", truth) {
        Some(true) => Said::Is(Compress),
        _ if is_said && of == Of::Route => Said::Off,
        _ => Said::Nothing,
    }
}

/// What a definition says; `None`: nothing.
pub(super) fn shown_compress(said: &Said<Compress>) -> Option<bool> {
    match said {
        Said::Nothing => None,
        Said::Off => Some(false),
        Said::Is(Compress) => Some(true),
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
        is_public: route.permission.is_none(),
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
        StaticTarget::Url(_) | StaticTarget::Redirect(_) | StaticTarget::Respond(_) => None,
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

/// Why a request from that address is refused, by all that is said of from where requests may come; `None`: it is not. Host and path
/// are normalized.
pub(super) fn refused_address(
    client: IpAddr,
    (host, path, method): (&str, &str, &Method),
    merged: &Merged,
) -> Option<String> {
    let in_force = merged.restrictions.iter();
    let mut in_force =
        in_force.filter(|(_, scope, _)| scope.as_ref().is_none_or(|scope| scope.has(host, path, method)));
    in_force.find_map(|(said, _, _)| match (&said.allow_from, &said.deny_from) {
        (Some(allow), _) if !allow.contains(client) => {
            Some(format!("a rule lets requests come from {allow} only, not from {client}: 403"))
        }
        (_, Some(deny)) if deny.contains(client) => {
            Some(format!("a rule refuses requests from {deny}, as {client} is: 403"))
        }
        _ => None,
    })
}

/// Who may vouch for the caller of a request; `None`: nobody says. Host and path are normalized.
pub(super) fn auth<'m>((host, path, method): (&str, &str, &Method), merged: &'m Merged) -> Option<&'m AuthMethods> {
    let mut from_last = merged.restrictions.iter().rev();
    from_last.find_map(|(said, scope, _)| {
        said.auth.as_ref().filter(|_| scope.as_ref().is_none_or(|scope| scope.has(host, path, method)))
    })
}

/// Rules that are skipped for routes of a service, in words; the first of them.
pub(super) fn skipped_of(service: &Service, published: &Published) -> Vec<String> {
    let definition = &effective(&service.definition, &published.config.apps_domain);
    let rules: Vec<_> = published.config.rules.iter().map(|one| one.rule.clone()).collect();
    let told = definition.routes.iter().flat_map(|route| {
        let subject = Subject::registered(definition, route);
        let merged = Merged::new(subject, &definition.options, &route.options, &rules);
        in_words(&merged, &subject, published)
    });
    told.take(MAX_TOLD).collect()
}

/// The rules that are skipped for the route, in words.
pub(super) fn skipped_rules(merged: &Merged, published: &Published) -> Vec<String> {
    in_words(merged, &"this route", published)
}

fn in_words(merged: &Merged, route: &dyn Display, published: &Published) -> Vec<String> {
    let line = |number: usize| published.config.rules.get(number).map(|rule| rule.line.0);
    let told = merged.skipped_rules.iter();
    told.filter_map(|(number, why)| Some(format!("the rule in line {} is skipped for {route}: {why}", line(*number)?)))
        .collect()
}
