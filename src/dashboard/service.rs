//! The page of one service: its instances, its routes, what it was in the last day and why.

use furt_api::events::Event;
use furt_api::routes::RouteOption;
use furt_api::services::{Instance, Service, ServiceRoute};
use maud::{Markup, html};

use super::words::{ago, clock_time, counted, from_now, percent, status, tag};
use super::{Content, Context, List, Section, chart, events, overview};
use crate::telemetry::{Point, StatusChange};
use crate::wire;
use furt_core::model;

/// What the page of a service shows.
pub struct ServiceView {
    /// As the API tells it.
    pub service: Service,
    /// The core's word for its status.
    pub status: model::Status,
    /// When it registered, in Unix ms.
    pub registered_ms: i64,
    /// The last five minutes.
    pub traffic: Vec<Point>,
    /// The last day, the oldest first.
    pub changes: Vec<StatusChange>,
    /// What is in force for its routes and who says it, by method and path.
    pub options: Vec<(String, Vec<RouteOption>)>,
    /// What happened to it last, the last one first.
    pub events: Vec<Event>,
}

/// Changes of status that are told in words.
const MAX_TOLD: usize = 10;

/// The page of a service.
pub fn service(view: &ServiceView, context: &Context) -> Content {
    let ServiceView { service, .. } = view;
    let head = List::part("head", head(view, context));
    let charts = List::part("charts", overview::charts(&view.traffic));
    let day = List::part("day", day(view, context));
    let instances =
        List::rows("instances", service.instances.iter().map(|one| (one.instance.to_string(), instance(one, context))));
    let routes = List::rows("routes", service.routes.iter().map(route));
    let definition = List::part("definition", definition(view));
    let happened = List::rows("events", view.events.iter().map(|event| events::row(event, context)));
    let body = html! {
        h1 { (service.service) }
        (head)
        (charts)
        section aria-labelledby="instances-title" {
            h2 #instances-title { "Instances" }
            div .scroll tabindex="0" role="group" aria-label="Instances" {
                table {
                    thead {
                        tr {
                            @for name in ["Instance", "Status", "Since", "Url", "Version", "In flight", "Limits", "Weight", "Last probe", "Heard"] {
                                th scope="col" { (name) }
                            }
                        }
                    }
                    (instances)
                }
            }
        }
        (day)
        section aria-labelledby="routes-title" {
            h2 #routes-title { "Routes" }
            @if service.routes.is_empty() {
                p { "It registered no routes: it is reached by its name, as a host below " code { "apps.domain" } "." }
            } @else {
                div .scroll tabindex="0" role="group" aria-label="Routes" {
                    table {
                        thead { tr { th scope="col" { "Method" } th scope="col" { "Path" } th scope="col" { "Permission" } th scope="col" { "Routed" } } }
                        (routes)
                    }
                }
            }
        }
        (definition)
        section aria-labelledby="events-title" { h2 #events-title { "Last events" } (events::table(&happened)) }
    };
    Content {
        title: service.service.to_string(),
        section: Section::Services,
        body,
        lists: vec![head, charts, instances, day, routes, definition, happened],
    }
}

fn head(view: &ServiceView, context: &Context) -> Markup {
    let service = &view.service;
    html! {
        p .summary {
            (status(&service.status)) " since " (ago(&service.since, context))
            @if service.draining { (tag("draining")) }
            @if service.blocked.is_some() { (tag("blocked")) }
            @if !service.maintenance.is_empty() { (tag("maintenance")) }
            @if service.split.is_some() { (tag("split")) }
            ", UP " (percent(service.uptime_share)) " of its time, "
            (service.requests.total) " requests since it registered, " (service.requests.errors) " failed, "
            (service.requests.refused) " refused"
            @if service.waiting > 0 { ", " (service.waiting) " waiting" }
        }
        @if service.blocked.is_some() || !service.warnings.is_empty() || !service.maintenance.is_empty() {
            ul .faults {
                @if let Some(why) = &service.blocked { li .error { span .sign aria-hidden="true" { "✕" } "It is kept but not routed: " (why) } }
                @for one in &service.maintenance {
                    li .warning {
                        span .sign aria-hidden="true" { "!" }
                        @if one.service.is_none() { "All services are in maintenance" } @else { "It is in maintenance" }
                        @if let Some(until) = &one.until { ", which ends " (from_now(until, context)) }
                    }
                }
                @for warning in &service.warnings { li .warning { span .sign aria-hidden="true" { "!" } (warning) } }
            }
        }
    }
}

fn day(view: &ServiceView, context: &Context) -> Markup {
    html! {
        section aria-labelledby="day-title" {
            h2 #day-title { "The last 24 hours" }
            (chart::day(view.status, view.registered_ms, &view.changes, context.now_ms))
            @if !view.changes.is_empty() {
                ul .changes {
                    @for change in view.changes.iter().rev().take(MAX_TOLD) {
                        li {
                            (clock_time(&wire::time(change.at_ms))) " "
                            (status(&wire::status(change.to))) " was " (change.from.as_str())
                        }
                    }
                    @if view.changes.len() > MAX_TOLD { li { "and " (counted(view.changes.len() - MAX_TOLD, "change", "changes")) " before" } }
                }
            }
        }
    }
}

fn instance(one: &Instance, context: &Context) -> Markup {
    let limit = |limit: u32| if limit == 0 { "–".to_owned() } else { limit.to_string() };
    html! {
        th scope="row" { (one.instance) }
        td {
            (status(&one.status))
            @if one.draining { (tag("draining")) }
            @if let Some(until) = &one.ejected_until { (tag("ejected")) " until " (clock_time(until)) }
            @if let Some(error) = &one.last_error { p .why { (error) } }
        }
        td { (ago(&one.since, context)) }
        td {
            code { (one.url) }
            @if !one.addresses.is_empty() && !one.addresses.iter().any(|address| one.url.ends_with(address.as_str())) {
                p .why { (one.addresses.join(", ")) }
            }
        }
        td { (one.version.as_deref().unwrap_or("–")) }
        td { (one.in_flight) }
        td { (limit(one.soft_limit)) " / " (limit(one.hard_limit)) }
        td { (one.weight) }
        td {
            @match &one.health_endpoint {
                None => "not probed",
                Some(path) => {
                    code { (path) } " "
                    @if let Some(ping) = &one.last_ping { (ago(ping, context)) }
                    @if one.consecutive_failures > 0 { ", " (counted(one.consecutive_failures as usize, "failure", "failures")) }
                    @if !one.probing { (tag("probing ended")) }
                }
            }
        }
        td {
            (ago(&one.last_heard, context))
            @if let Some(ttl) = &one.heartbeat_ttl { p .why { "within " (ttl.0) " s" } }
        }
    }
}

fn route(route: &ServiceRoute) -> (String, Markup) {
    let cells = html! {
        td { code { (route.method) } }
        th scope="row" { code { (route.path) } }
        td { @match &route.permission { Some(permission) => code { (permission) }, None => "public" } }
        td { @if route.routed { "yes" } @else { strong { "no" } } }
    };
    (format!("{} {}", route.method, route.path), cells)
}

fn definition(view: &ServiceView) -> Markup {
    let service = &view.service;
    let fact = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        section aria-labelledby="definition-title" {
            h2 #definition-title { "Definition" }
            dl .facts {
                @if let Some(host) = &service.host { (fact("Host", html! { (host) })) }
                (fact("Policy", html! {
                    (service.policy)
                    @if let Some(key) = &service.hash_key { " by " (key) }
                    @if let Some(by) = &service.sticky_by { " by " (by) }
                }))
                @if let Some(slow) = &service.slow_start { (fact("Slow start", html! { (slow.0) " s" })) }
                (fact("Revision", html! { (service.revision) }))
                @for (name, value) in &service.metadata { (fact(name, html! { (value) })) }
            }
            @if let Some(split) = &service.split {
                h3 { "Split" }
                ul {
                    @for (version, share) in &split.versions.0 { li { (version) ": " (share) " %" } }
                    li { "all others: " (split.stable) " %" }
                    @if let Some(header) = &split.header { li { "a client may choose by " code { (header) } } }
                }
            }
            @if !view.options.is_empty() {
                h3 { "In force for its routes" }
                @for (routes, options) in &view.options {
                    p { code { (routes) } }
                    ul { @for option in options { li { (option.name) ": " (option.value) " (" (option.said_by.as_str()) @if let Some(line) = option.line { ", line " (line) } ")" } } }
                }
            }
        }
    }
}
