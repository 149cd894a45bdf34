//! The page of all services, a hundred at a time.

use furt_api::{Status, Timestamp};
use maud::{Markup, html};

use super::words::{ago, choice, filter, ms, percent, rate, service_link, status, tag};
use super::{Content, Context, List, Paging, Section, overview};
use crate::telemetry::Point;

/// A service in the list.
pub struct ServiceRow {
    /// Its name.
    pub service: String,
    /// Its health.
    pub status: Status,
    /// Since when.
    pub since: Timestamp,
    /// Words on it: `draining`, `maintenance`, `blocked`, `split`.
    pub tags: Vec<&'static str>,
    /// Instances that are UP, and all of them.
    pub instances: [usize; 2],
    /// The host that its routes are bound to.
    pub host: Option<String>,
    /// How many routes it has; 0: it is reached by its name.
    pub routes: usize,
    /// Requests in flight.
    pub in_flight: u64,
    /// The last five seconds; `None`: it had no requests since it registered.
    pub traffic: Option<Point>,
    /// The share of time that it was UP.
    pub uptime_share: f64,
}

/// What is asked of the list, and what comes of it.
pub struct ServicesView {
    /// A part of the name or the host.
    pub question: String,
    /// `up`, `unknown`, `down`, or empty.
    pub status: String,
    /// The services of the page.
    pub services: Vec<ServiceRow>,
    /// Of those that are asked for.
    pub paging: Paging,
    /// Whether nothing is registered at all.
    pub is_nothing_registered: bool,
}

/// The page of all services.
pub fn services(view: &ServicesView, context: &Context) -> Content {
    let rows =
        List::rows("services", view.services.iter().map(|service| (service.service.clone(), row(service, context))));
    let question = [("q", view.question.as_str()), ("status", view.status.as_str())];
    let paging = List::part("paging", view.paging.show("services", &question));
    let statuses = [("", "any status"), ("up", "UP"), ("unknown", "UNKNOWN"), ("down", "DOWN")];
    let body = html! {
        h1 { "Services" }
        (filter(&view.question, "Name or host", choice("status", "Status", &view.status, &statuses)))
        @if view.is_nothing_registered { (overview::nothing_registered()) }
        div .scroll tabindex="0" role="group" aria-label="Services" {
            table {
                thead {
                    tr {
                        @for name in ["Service", "Status", "Since", "Instances", "Routes", "Requests", "Failed", "p50", "p99", "In flight", "UP"] {
                            th scope="col" { (name) }
                        }
                    }
                }
                (rows)
            }
        }
        (paging)
    };
    Content { title: "Services".to_owned(), section: Section::Services, body, lists: vec![rows, paging] }
}

fn row(service: &ServiceRow, context: &Context) -> Markup {
    let [up, total] = service.instances;
    html! {
        th scope="row" { (service_link(&service.service, context)) }
        td { (status(&service.status)) @for one in &service.tags { (tag(one)) } }
        td { (ago(&service.since, context)) }
        td { (overview::of_instances(up, total)) }
        td { @match service.routes { 0 => "by name", routes => { (routes) } } @if let Some(host) = &service.host { " at " (host) } }
        @match &service.traffic {
            Some(point) => {
                td { (rate(point.requests)) }
                td { (rate(point.errors)) }
                td { (ms(point.p50_ms)) }
                td { (ms(point.p99_ms)) }
            }
            None => { td { "–" } td { "–" } td { "–" } td { "–" } }
        }
        td { (service.in_flight) }
        td { (percent(service.uptime_share)) }
    }
}
