//! The handlers of an instance: they answer requests and probes by its mode, and switch the mode.
//!
//! Only a caller that connects to the instance itself can switch its mode. A request that came through the gateway is a
//! request like any other, whatever its path.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use furt_api::Ordered;
use serde::Serialize;

use super::instance::Instance;
use super::modes::{self, Mode};

/// How slow is slow: shorter than the demo's read timeout, long enough to be felt.
const SLOW: Duration = Duration::from_secs(2);
/// The longest that a request is left without an answer; the gateway gives up much earlier.
const LONGEST_HANG: Duration = Duration::from_secs(60);

/// The answer to a request.
#[derive(Serialize)]
struct Echo<'a> {
    service: &'a str,
    instance: &'a str,
    mode: &'a str,
    method: &'a str,
    path: &'a str,
    /// The name of the caller's API key.
    key: Option<&'a str>,
}

/// The answer to a probe.
#[derive(Serialize)]
struct Health {
    status: &'static str,
}

/// The mode of an instance, and all that it may have.
#[derive(Serialize)]
struct Shown<'a> {
    instance: &'a str,
    mode: &'static str,
    modes: Ordered<&'static str>,
}

/// The mode that an instance was switched to.
#[derive(Serialize)]
struct Switched<'a> {
    instance: &'a str,
    mode: &'static str,
    /// How long its port stays closed.
    #[serde(skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
}

/// Why an instance was not switched.
#[derive(Serialize)]
struct Refused<'a> {
    instance: &'a str,
    error: String,
}

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new().fallback(respond).with_state(instance)
}

async fn respond(State(instance): State<Arc<Instance>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let is_direct = !headers.contains_key("x-forwarded-for");
    match uri.path().strip_prefix("/demo") {
        Some("" | "/") if is_direct => show(&instance),
        Some(rest) if is_direct && rest.starts_with('/') => switch(&instance, &method, &rest[1..], &uri),
        _ if uri.path() == "/health" => health(&instance).await,
        _ => echo(&instance, &method, &uri, &headers).await,
    }
}

async fn echo(instance: &Instance, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
    let mode = instance.mode();
    let status = match mode {
        Mode::Slow => {
            tokio::time::sleep(SLOW).await;
            StatusCode::OK
        }
        Mode::Hang => {
            hang(instance).await;
            StatusCode::OK
        }
        Mode::Error => StatusCode::INTERNAL_SERVER_ERROR,
        Mode::Ok | Mode::Unhealthy | Mode::Refuse(_) => StatusCode::OK,
    };
    let body = Echo {
        service: instance.service(),
        instance: instance.id(),
        mode: mode.name(),
        method: method.as_str(),
        path: uri.path(),
        key: headers.get("x-api-key-name").and_then(|name| name.to_str().ok()),
    };
    line(status, &body)
}

async fn health(instance: &Instance) -> Response {
    if instance.mode().health() == modes::Health::Silent {
        hang(instance).await;
    }
    match instance.mode().health() {
        modes::Health::Bad => line(StatusCode::INTERNAL_SERVER_ERROR, &Health { status: "unhealthy" }),
        modes::Health::Good | modes::Health::Silent => line(StatusCode::OK, &Health { status: "ok" }),
    }
}

/// Until the instance is switched to a mode that answers.
async fn hang(instance: &Instance) {
    _ = tokio::time::timeout(LONGEST_HANG, instance.becomes(|mode| mode.health() != modes::Health::Silent)).await;
}

fn show(instance: &Instance) -> Response {
    let modes = modes::ALL.iter().map(|(name, what)| ((*name).to_owned(), *what)).collect();
    line(StatusCode::OK, &Shown { instance: instance.id(), mode: instance.mode().name(), modes })
}

fn switch(instance: &Instance, method: &Method, name: &str, uri: &Uri) -> Response {
    let refused = |status, error: String| line(status, &Refused { instance: instance.id(), error });
    if method != Method::POST {
        let mut response = refused(StatusCode::METHOD_NOT_ALLOWED, "modes are switched with POST".to_owned());
        response.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        return response;
    }
    let mode = match Mode::try_new(name, uri.query().unwrap_or_default()) {
        Ok(mode) => mode,
        Err(why) => return refused(StatusCode::BAD_REQUEST, why),
    };
    instance.switch(mode);
    let seconds = match mode {
        Mode::Refuse(time) => Some(time.as_secs()),
        Mode::Ok | Mode::Slow | Mode::Error | Mode::Hang | Mode::Unhealthy => None,
    };
    line(StatusCode::OK, &Switched { instance: instance.id(), mode: mode.name(), seconds })
}

/// JSON in one line, so that answers that follow each other in a terminal stand below each other.
fn line(status: StatusCode, body: &impl Serialize) -> Response {
    match serde_json::to_string(body) {
        Ok(text) => (status, [(header::CONTENT_TYPE, "application/json")], text + "\n").into_response(),
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
