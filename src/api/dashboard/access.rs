//! Who may look at the dashboard, and what guards each of its answers in a browser.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use furt_api::Code;

use super::viewer::Viewer;
use super::{document, sign_in, wants_stream};
use crate::api::Api;
use crate::api::problem::{self, Problem};
use crate::dashboard::{self, Section};
use furt_core::registry::Source;

/// Nothing but what furt itself sends, in no other page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Around every page: finds out who looks, refuses what another site asks for, and says what a browser may do with the answer.
pub(in crate::api) async fn guarded(State(api): State<Arc<Api>>, mut request: Request, next: Next) -> Response {
    if !api.config().internal.dashboard {
        return problem::not_found().await.into_response();
    }
    if is_of_another_site(request.headers()) {
        let detail = "a browser asks for this from another site";
        return Problem::new(StatusCode::FORBIDDEN, Code::ForeignOrigin, detail).into_response();
    }
    let viewer = Viewer::of(&api, &request);
    if let Some(viewer) = &viewer {
        request.extensions_mut().insert(viewer.clone());
        // For the check of its right alone: no other endpoint knows sessions, and here nothing is changed by them.
        if let Some(source) = request.extensions_mut().get_mut::<Source>() {
            source.operator = Some(viewer.operator().clone());
        }
    }
    let asked = Asked::of(&request);
    let mut response = next.run(request).await;
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = refused(&api, problem, &asked, viewer.as_ref());
    }
    put_headers(response.headers_mut());
    response
}

/// A link of another site may lead here; what it loads or fetches from here it may not.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let is = |name: &str, value: &str| headers.get(name).is_some_and(|own| own.as_bytes() == value.as_bytes());
    is("sec-fetch-site", "cross-site") && !is("sec-fetch-mode", "navigate")
}

/// What is to be known of a request to refuse it.
struct Asked {
    is_page: bool,
    root: &'static str,
    /// Where it leads, relative to the first page.
    target: String,
}

impl Asked {
    fn of(request: &Request) -> Self {
        let path = request.uri().path_and_query().map(|target| target.as_str()).unwrap_or_default();
        let target = path.strip_prefix("/ui/").unwrap_or_default();
        let is_deep = target.split('?').next().is_some_and(|path| path.contains('/'));
        Self {
            is_page: matches!(*request.method(), Method::GET | Method::HEAD | Method::POST)
                && !wants_stream(request.headers()),
            root: if is_deep { "../" } else { "" },
            target: target.to_owned(),
        }
    }
}

/// A refusal as a page, or the way to sign in where that helps.
fn refused(api: &Api, problem: Problem, asked: &Asked, viewer: Option<&Viewer>) -> Response {
    if !asked.is_page || problem.has_page() {
        return problem.into_response();
    }
    if problem.is(Code::OperatorsOnly) && viewer.is_none() && sign_in::has_tokens(&api.config()) {
        return super::see_other(&sign_in::way(asked.root, &asked.target));
    }
    let section = if viewer.is_some() { section_of(&asked.target) } else { Section::Outside };
    let content = dashboard::problem(problem.body(), section);
    let page = document(api, &content, asked.root, viewer);
    problem.into_page(page).into_response()
}

fn section_of(target: &str) -> Section {
    match target.split(['/', '?']).next() {
        Some("services") => Section::Services,
        Some("routes") => Section::Routes,
        Some("events") => Section::Events,
        Some("keys") => Section::Keys,
        Some("nodes") => Section::Nodes,
        Some("certificates") => Section::Certificates,
        Some("explain") => Section::Explain,
        _ => Section::Overview,
    }
}

fn put_headers(headers: &mut HeaderMap) {
    let all = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // Not `no-referrer`: browsers would send forms with `Origin: null`.
        (header::REFERRER_POLICY, "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ];
    for (name, value) in all {
        headers.insert(name, HeaderValue::from_static(value));
    }
    // What is shown is for who looks now. Files say otherwise.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}
