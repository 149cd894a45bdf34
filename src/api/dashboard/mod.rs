//! The dashboard on the internal listener: pages below `/ui/`, each of which is a stream of what changes in it where that is asked
//! for (`Accept: text/event-stream`).
//!
//! `access` decides who may look and guards what is sent; `page` gathers what a page shows; `streaming` sends changes;
//! `sampling` keeps the last minutes of requests. Nothing here changes anything but the sessions of who looks.

mod access;
mod cookie;
mod faults;
mod page;
mod sampling;
mod sessions;
mod sign_in;
mod streaming;
mod viewer;

use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use furt_api::Code;
use tokio::sync::Semaphore;

use super::Api;
use super::problem::Problem;
use super::query::{Form, Parameter, Parameters};
use super::rate::SourceRates;
use crate::dashboard::{self, Content, Context, Shell};
use crate::telemetry::{COMMIT, VERSION};
pub(super) use access::guarded;
use page::Page;
pub use sampling::sample_traffic;
use sessions::Sessions;
pub(super) use sign_in::{form, sign_in, sign_out};
use viewer::Viewer;

/// Pages that are kept up to date at once: each is made once a second on the one thread of the listener.
const MAX_STREAMS: usize = 64;
/// The highest number of a page of a long list.
const MAX_PAGE: u64 = 1_000_000;

const QUESTION: Parameter = Parameter::optional("q", "TEXT", Form::Text, "what is looked for");
const NUMBER: Parameter =
    Parameter::optional("page", "N", Form::Whole { most: MAX_PAGE }, "the part of the list, from 1");
pub(super) const SERVICES: &[Parameter] = &[
    QUESTION,
    NUMBER,
    Parameter::optional("status", "up", Form::OneOf(&["up", "unknown", "down"]), "the status of the services"),
];
pub(super) const ROUTES: &[Parameter] = &[QUESTION, NUMBER];
pub(super) const EVENTS: &[Parameter] = &[QUESTION];
pub(super) const SIGN_IN: &[Parameter] =
    &[Parameter::optional("next", "services", Form::Text, "the page to go to afterwards")];

/// What the dashboard keeps between requests.
pub(super) struct Dashboard {
    sessions: Sessions,
    attempts: SourceRates,
    streams: Arc<Semaphore>,
}

impl Default for Dashboard {
    fn default() -> Self {
        let streams = Arc::new(Semaphore::new(MAX_STREAMS));
        Self { sessions: Sessions::default(), attempts: SourceRates::default(), streams }
    }
}

/// Somebody opens a page, and may.
pub(super) struct Visit {
    api: Arc<Api>,
    viewer: Viewer,
    wants_stream: bool,
}

impl FromRequestParts<Arc<Api>> for Visit {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Arc<Api>) -> Result<Self, Problem> {
        let viewer = parts.extensions.get::<Viewer>().cloned();
        // `access` lets nobody pass who is not known.
        let viewer = viewer
            .ok_or_else(|| Problem::new(StatusCode::INTERNAL_SERVER_ERROR, Code::Internal, "the viewer is unknown"))?;
        Ok(Self { api: Arc::clone(api), viewer, wants_stream: wants_stream(&parts.headers) })
    }
}

impl Visit {
    /// The page, or a stream of what changes in it.
    async fn show(self, page: Page) -> Result<Response, Problem> {
        let Self { api, viewer, wants_stream } = self;
        if wants_stream {
            return streaming::stream(api, viewer, page);
        }
        let content = page.content(&api).await?;
        Ok(html(StatusCode::OK, document(&api, &content, page.context().root, Some(&viewer))))
    }
}

type Shown = Result<Response, Problem>;

/// `GET /`, and `GET /ui`
pub(super) async fn front() -> Response {
    see_other("ui/")
}

/// `GET /ui/`
pub(super) async fn overview(visit: Visit) -> Shown {
    visit.show(Page::Overview).await
}

/// `GET /ui/services`
pub(super) async fn services(visit: Visit, mut parameters: Parameters) -> Shown {
    let (question, number) = question(&mut parameters);
    // An empty one is what a form sends where none is chosen.
    let status = parameters.parsed("status", "must be up, unknown or down", |text| {
        ["", "up", "unknown", "down"].contains(&text).then(|| text.to_owned())
    });
    parameters.finish()?;
    visit.show(Page::Services { question, status: status.unwrap_or_default(), number }).await
}

/// `GET /ui/services/{service}`
pub(super) async fn service(visit: Visit, Path(name): Path<String>) -> Shown {
    visit.show(Page::Service { name }).await
}

/// `GET /ui/routes`
pub(super) async fn routes(visit: Visit, mut parameters: Parameters) -> Shown {
    let (question, number) = question(&mut parameters);
    parameters.finish()?;
    visit.show(Page::Routes { question, number }).await
}

/// `GET /ui/events`
pub(super) async fn events(visit: Visit, mut parameters: Parameters) -> Shown {
    let question = parameters.text("q").unwrap_or_default();
    parameters.finish()?;
    visit.show(Page::Events { question }).await
}

/// `GET /ui/keys`
pub(super) async fn keys(visit: Visit) -> Shown {
    visit.show(Page::Keys).await
}

/// `GET /ui/nodes`
pub(super) async fn nodes(visit: Visit) -> Shown {
    visit.show(Page::Nodes).await
}

/// `GET /ui/certificates`
pub(super) async fn certificates(visit: Visit) -> Shown {
    visit.show(Page::Certificates).await
}

/// `GET /ui/explain`
pub(super) async fn explain(visit: Visit, uri: Uri) -> Shown {
    visit.show(Page::Explain { query: uri.query().unwrap_or_default().to_owned() }).await
}

/// `GET /ui/style.css`
pub(super) async fn style() -> Response {
    file("text/css; charset=utf-8", dashboard::STYLE)
}

/// `GET /ui/live.js`
pub(super) async fn script() -> Response {
    file("text/javascript; charset=utf-8", dashboard::SCRIPT)
}

/// `GET /ui/icon.svg`
pub(super) async fn icon() -> Response {
    file("image/svg+xml", dashboard::ICON)
}

fn question(parameters: &mut Parameters) -> (String, u64) {
    (parameters.text("q").unwrap_or_default(), parameters.whole("page", MAX_PAGE).unwrap_or(1))
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accepts = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    accepts.split(',').any(|one| one.split(';').next().is_some_and(|kind| kind.trim() == streaming::MEDIA_TYPE))
}

/// A whole page around its content.
fn document(api: &Api, content: &Content, root: &'static str, viewer: Option<&Viewer>) -> String {
    let nodes = api.nodes.list();
    let shell = Shell {
        root,
        version: VERSION,
        commit: COMMIT,
        node: nodes.first().map(|node| node.name.as_str()).unwrap_or_default(),
        viewer: viewer.and_then(Viewer::name),
        has_session: viewer.is_some_and(Viewer::has_session),
    };
    dashboard::document(content, &shell)
}

fn html(status: StatusCode, page: String) -> Response {
    (status, [(header::CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
}

/// A file that is of this build: pages name it with their commit.
fn file(media_type: &'static str, text: &'static str) -> Response {
    ([(header::CONTENT_TYPE, media_type), (header::CACHE_CONTROL, "private, max-age=3600")], text).into_response()
}

/// To another page, by a link relative to the one that was asked for.
fn see_other(location: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    if let Ok(location) = HeaderValue::from_str(location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    response
}

/// What a page is made with now.
fn context(root: &'static str) -> Context {
    Context { root, now_ms: crate::clock::unix_ms() }
}
