//! The page of the table of routes.

use furt_api::routes::Route;
use maud::{Markup, html};

use super::words::{filter, service_link, status};
use super::{Content, Context, List, Paging, Section, overview};

/// What is asked of the table, and what comes of it.
pub struct RoutesView {
    /// A part of the path, the host, the permission or the service.
    pub question: String,
    /// The routes of the page.
    pub routes: Vec<Route>,
    /// Of those that are asked for.
    pub paging: Paging,
    /// Whether the table is empty.
    pub is_nothing_registered: bool,
}

/// The page of the table of routes.
pub fn routes(view: &RoutesView, context: &Context) -> Content {
    let keyed = |route: &Route| {
        let key = format!("{} {} {}", route.method, route.host.as_deref().unwrap_or("*"), route.path);
        (key, row(route, context))
    };
    let rows = List::rows("routes", view.routes.iter().map(keyed));
    let paging = List::part("paging", view.paging.show("routes", &[("q", view.question.as_str())]));
    let body = html! {
        h1 { "Routes" }
        (filter(&view.question, "Path, host, service or permission", html! {}))
        @if view.is_nothing_registered { (overview::nothing_registered()) }
        div .scroll tabindex="0" role="group" aria-label="Routes" {
            table {
                thead {
                    tr {
                        @for name in ["Method", "Path", "Host", "Permission", "Leads to", "Status", "Routed"] { th scope="col" { (name) } }
                    }
                }
                (rows)
            }
        }
        (paging)
    };
    Content { title: "Routes".to_owned(), section: Section::Routes, body, lists: vec![rows, paging] }
}

fn row(route: &Route, context: &Context) -> Markup {
    html! {
        td { code { (route.method) } }
        th scope="row" { code { (route.path) } }
        td { (route.host.as_deref().unwrap_or("any")) }
        td {
            @match &route.permission { Some(permission) => code { (permission) }, None => "public" }
            @if let Some(auth) = &route.auth { p .why { "by " (auth.join(", ")) } }
        }
        td { (leads_to(route, context)) }
        td { (status(&route.status)) }
        td { @if route.routed { "yes" } @else { strong { "no" } } }
    }
}

/// Where a route leads.
pub(super) fn leads_to(route: &Route, context: &Context) -> Markup {
    html! {
        @match (&route.service, &route.url, &route.answer) {
            (Some(service), ..) => (service_link(service.as_str(), context)),
            (None, Some(url), _) => code { (url) },
            (None, None, Some(answer)) => (answer),
            (None, None, None) => "a service that is not registered",
        }
        @if route.is_static { " (configured)" }
    }
}
