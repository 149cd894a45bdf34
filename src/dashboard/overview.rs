//! The first page: what is wrong now, how much is asked for, what happened last.

use furt_api::events::Event;
use maud::{Markup, html};

use super::words::{counted, ms, percent, rate, service_link, span};
use super::{Content, Context, List, Section, chart, events};
use crate::telemetry::Point;

/// How many there are of each status.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// UP.
    pub up: usize,
    /// UNKNOWN.
    pub unknown: usize,
    /// DOWN.
    pub down: usize,
}

impl Count {
    fn total(&self) -> usize {
        self.up + self.unknown + self.down
    }
}

/// How bad a fault is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Requests fail, or furt cannot do what it is there for.
    Error,
    /// They do not yet, or an operator wants it so.
    Warning,
}

/// Something that is wrong now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// How bad it is.
    pub severity: Severity,
    /// The service that it is about; `None`: about furt itself.
    pub service: Option<String>,
    /// What it is, as a sentence.
    pub text: String,
}

/// What the first page shows.
pub struct Overview {
    /// How long furt runs.
    pub uptime_ms: i64,
    /// Gateways that share the registry.
    pub gateways: usize,
    /// Registered services.
    pub services: Count,
    /// Their instances.
    pub instances: Count,
    /// Routes of the table.
    pub routes: usize,
    /// Requests in flight at instances.
    pub in_flight: u64,
    /// Requests that wait for an instance.
    pub waiting: u64,
    /// The last five minutes.
    pub traffic: Vec<Point>,
    /// What is wrong, the worst first.
    pub faults: Vec<Fault>,
    /// Faults beyond those.
    pub more_faults: usize,
    /// The services with the most requests now.
    pub busiest: Vec<(String, Point)>,
    /// The last events, the last one first.
    pub events: Vec<Event>,
}

/// The first page.
pub fn overview(view: &Overview, context: &Context) -> Content {
    let faults = List::part("faults", faults(view, context));
    let numbers = List::part("numbers", numbers(view));
    let charts = List::part("charts", charts(&view.traffic));
    let busiest = List::part("busiest", busiest(&view.busiest, context));
    let happened = List::rows("events", view.events.iter().map(|event| events::row(event, context)));
    let body = html! {
        h1 { "Overview" }
        (faults)
        (numbers)
        (charts)
        div .columns {
            section aria-labelledby="busiest-title" { h2 #busiest-title { "Busiest services" } (busiest) }
            section aria-labelledby="events-title" {
                h2 #events-title { "Last events" }
                (events::table(&happened))
                p { a href={ (context.root) "events" } { "All events" } }
            }
        }
    };
    Content {
        title: "Overview".to_owned(),
        section: Section::Overview,
        body,
        lists: vec![faults, numbers, charts, busiest, happened],
    }
}

fn faults(view: &Overview, context: &Context) -> Markup {
    if view.faults.is_empty() {
        return html! { p .well { span aria-hidden="true" { "✓ " } "Nothing is wrong." } };
    }
    html! {
        ul .faults {
            @for fault in &view.faults {
                @let (class, sign, word) = match fault.severity {
                    Severity::Error => ("error", "✕", "Error"),
                    Severity::Warning => ("warning", "!", "Warning"),
                };
                li class=(class) {
                    span .sign aria-hidden="true" { (sign) } span .hidden { (word) ": " }
                    @if let Some(service) = &fault.service { (service_link(service, context)) ": " }
                    (fault.text)
                }
            }
            @if view.more_faults > 0 { li { "and " (view.more_faults) " more" } }
        }
    }
}

fn numbers(view: &Overview) -> Markup {
    let of = |count: &Count| {
        html! {
            (count.total())
            @if count.unknown > 0 { span .detail { (count.unknown) " unknown" } }
            @if count.down > 0 { span .detail.bad { (count.down) " down" } }
        }
    };
    let number = |name: &str, value: Markup| html! { div { dt { (name) } dd { (value) } } };
    html! {
        dl .numbers {
            (number("Services", of(&view.services)))
            (number("Instances", of(&view.instances)))
            (number("Routes", html! { (view.routes) }))
            (number("In flight", html! {
                (view.in_flight)
                @if view.waiting > 0 { span .detail { (view.waiting) " waiting" } }
            }))
            (number("Gateways", html! { (view.gateways) }))
            (number("Running for", html! { (span(view.uptime_ms)) }))
        }
    }
}

/// Requests, those that failed, and how long they took.
pub(super) fn charts(points: &[Point]) -> Markup {
    let failed = |point: &Point| match point.requests {
        0.0 => None,
        requests => Some(point.errors / requests),
    };
    html! {
        div .charts {
            (chart::line("Requests", points, |point| Some(point.requests), rate))
            (chart::line("Failed", points, failed, percent))
            (chart::line("Median time", points, |point| point.p50_ms, |time| ms(Some(time))))
            (chart::line("99th percentile", points, |point| point.p99_ms, |time| ms(Some(time))))
        }
    }
}

fn busiest(services: &[(String, Point)], context: &Context) -> Markup {
    if services.is_empty() {
        return html! { p { "No service had a request in the last seconds." } };
    }
    html! {
        div .scroll tabindex="0" role="group" aria-label="Busiest services" {
            table {
                thead { tr { th scope="col" { "Service" } th scope="col" { "Requests" } th scope="col" { "Failed" } th scope="col" { "p50" } th scope="col" { "p99" } } }
                tbody {
                    @for (name, point) in services {
                        tr {
                            th scope="row" { (service_link(name, context)) }
                            td { (rate(point.requests)) }
                            td { (rate(point.errors)) }
                            td { (ms(point.p50_ms)) }
                            td { (ms(point.p99_ms)) }
                        }
                    }
                }
            }
        }
    }
}

/// What is told where there is nothing registered yet.
pub(super) fn nothing_registered() -> Markup {
    html! {
        p .empty {
            "Nothing is registered. A service registers itself with "
            code { "POST /internal/register-service" } " at this listener."
        }
    }
}

/// Instances as a count of those that are UP.
pub(super) fn of_instances(up: usize, total: usize) -> String {
    match (up, total) {
        (up, total) if up == total => counted(total, "instance", "instances"),
        (up, total) => format!("{up} of {}", counted(total, "instance", "instances")),
    }
}
