//! The page that answers which route a request takes, and why.

use furt_api::problem::Problem;
use furt_api::routes::Explanation;
use maud::{Markup, html};

use super::routes::leads_to;
use super::{Content, Context, Section};

/// What is asked, as it was written, and what comes of it.
#[derive(Default)]
pub struct ExplainView {
    /// The method.
    pub method: String,
    /// The path, or the url.
    pub url: String,
    /// The address of the client; may be empty, as all that follow.
    pub client: String,
    /// The name of an API key.
    pub key: String,
    /// The origin of a page.
    pub origin: String,
    /// The answer; `None`: nothing is asked yet.
    pub answer: Option<Result<Explanation, Box<Problem>>>,
}

/// Methods that are offered; another one may be written into the address.
const METHODS: [&str; 7] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"];

/// The page that explains.
pub fn explain(view: &ExplainView, context: &Context) -> Content {
    let is_other = !view.method.is_empty() && !METHODS.contains(&view.method.as_str());
    let field = |name: &str, label: &str, value: &str, placeholder: &str| {
        html! { label { (label) input name=(name) value=(value) placeholder=(placeholder); } }
    };
    let body = html! {
        h1 { "Explain" }
        p { "Which route does a request take, and why?" }
        form .explain method="get" {
            label {
                "Method"
                select name="method" {
                    @for method in METHODS { option selected[method == view.method] { (method) } }
                    @if is_other { option selected { (view.method) } }
                }
            }
            label { "Path or url" input name="url" value=(view.url) placeholder="/api/orders/7" required; }
            (field("client", "Client's address (may be empty)", &view.client, "203.0.113.7"))
            (field("key", "Name of an API key (may be empty)", &view.key, "website"))
            (field("origin", "Origin of a page (may be empty)", &view.origin, "https://app.example.org"))
            button type="submit" { "Explain" }
        }
        @match &view.answer {
            None => {}
            Some(Err(problem)) => (refused(problem)),
            Some(Ok(answer)) => (explained(answer, context)),
        }
    };
    Content { title: "Explain".to_owned(), section: Section::Explain, body, lists: Vec::new() }
}

fn refused(problem: &Problem) -> Markup {
    html! {
        ul .faults role="alert" {
            @match &problem.errors {
                Some(errors) => { @for error in errors { li .error { span .sign aria-hidden="true" { "✕" } @if let Some(name) = &error.parameter { (name) ": " } (error.detail) } } }
                None => li .error { span .sign aria-hidden="true" { "✕" } (problem.detail.as_deref().unwrap_or(&problem.title)) },
            }
        }
    }
}

fn explained(answer: &Explanation, context: &Context) -> Markup {
    html! {
        section .answer aria-labelledby="answer-title" {
            h2 #answer-title { (answer.verdict.as_str()) }
            p { (answer.reason) }
            @if let Some(Some(route)) = &answer.route {
                p { "Route: " code { (route.method) " " (route.path) } @if let Some(host) = &route.host { " at " (host) } ", leads to " (leads_to(route, context)) }
            }
            @if !answer.warnings.is_empty() {
                ul .faults { @for warning in &answer.warnings { li .warning { span .sign aria-hidden="true" { "!" } (warning) } } }
            }
            @if let Some(origin) = &answer.origin {
                p { "Pages of " code { (origin.origin) } ": " (origin.reason) }
            }
            @if !answer.options.is_empty() {
                h3 { "In force" }
                ul { @for option in &answer.options { li { (option.name) ": " (option.value) " (" (option.said_by.as_str()) @if let Some(line) = option.line { ", line " (line) } ")" } } }
            }
            @if !answer.candidates.is_empty() {
                h3 { "Routes that match the path" }
                div .scroll tabindex="0" role="group" aria-label="Routes that match the path" {
                    table {
                        thead { tr { @for name in ["Method", "Path", "Host", "Leads to", "Why"] { th scope="col" { (name) } } } }
                        tbody {
                            @for candidate in &answer.candidates {
                                tr {
                                    td { code { (candidate.route.method) } }
                                    th scope="row" { code { (candidate.route.path) } }
                                    td { (candidate.route.host.as_deref().unwrap_or("any")) }
                                    td { (leads_to(&candidate.route, context)) }
                                    td { @if candidate.won { strong { "taken: " } } (candidate.reason) }
                                }
                            }
                        }
                    }
                }
            }
            @if !answer.near.is_empty() {
                h3 { "Nearly" }
                ul { @for near in &answer.near { li { code { (near.route.method) " " (near.route.path) } ": " (near.difference) } } }
            }
            @if let Some(client) = &answer.client {
                @if !client.instances.is_empty() {
                    h3 { "Instances, the nearest to " (client.address) " first" }
                    ul { @for one in &client.instances { li { (one.instance) @if let Some(region) = &one.region { ", " (region) } @if let Some(country) = &one.country { ", " (country) } } } }
                }
            }
        }
    }
}
