//! What an instance answers, by its mode: to requests, to probes, and to who switches the mode.
//!
//! Switching is for who speaks to the instance itself: what came through the gateway is a request like any other, whatever
//! its path.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::instance::Instance;
use super::modes::{self, Health, Mode};

/// How slow is slow: shorter than the demo's read timeout, long enough to be felt.
const SLOW: Duration = Duration::from_secs(2);
/// The longest that a request is left without an answer; the gateway gives up much earlier.
const LONGEST_HANG: Duration = Duration::from_secs(60);

pub(super) fn router(instance: Arc<Instance>) -> Router {
    Router::new().fallback(answer).with_state(instance)
}

async fn answer(State(instance): State<Arc<Instance>>, method: Method, uri: Uri, headers: HeaderMap) -> Response {
    let is_direct = !headers.contains_key("x-forwarded-for");
    match uri.path().strip_prefix("/demo") {
        Some("" | "/") if is_direct => show(&instance),
        Some(rest) if is_direct && rest.starts_with('/') => switch(&instance, &method, &rest[1..], &uri),
        _ if uri.path() == "/health" => health(&instance).await,
        _ => request(&instance, &method, &uri, &headers).await,
    }
}

async fn request(instance: &Instance, method: &Method, uri: &Uri, headers: &HeaderMap) -> Response {
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
    let caller = headers.get("x-api-key-name").and_then(|name| name.to_str().ok());
    let body = json!({
        "service": instance.service(),
        "instance": instance.id(),
        "mode": mode.name(),
        "method": method.as_str(),
        "path": uri.path(),
        "key": caller,
    });
    said(status, &body)
}

async fn health(instance: &Instance) -> Response {
    if instance.mode().health() == Health::Silent {
        hang(instance).await;
    }
    match instance.mode().health() {
        Health::Bad => said(StatusCode::INTERNAL_SERVER_ERROR, &json!({ "status": "unhealthy" })),
        Health::Good | Health::Silent => said(StatusCode::OK, &json!({ "status": "ok" })),
    }
}

/// Until it is told to behave otherwise.
async fn hang(instance: &Instance) {
    _ = tokio::time::timeout(LONGEST_HANG, instance.becomes(|mode| mode.health() != Health::Silent)).await;
}

fn show(instance: &Instance) -> Response {
    let all: serde_json::Map<_, _> = modes::ALL.iter().map(|(name, what)| ((*name).to_owned(), json!(what))).collect();
    said(StatusCode::OK, &json!({ "instance": instance.id(), "mode": instance.mode().name(), "modes": all }))
}

fn switch(instance: &Instance, method: &Method, name: &str, uri: &Uri) -> Response {
    let refused = |status, why: String| said(status, &json!({ "instance": instance.id(), "error": why }));
    if method != Method::POST {
        let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "modes are switched with POST".to_owned());
        answer.headers_mut().insert(header::ALLOW, header::HeaderValue::from_static("POST"));
        return answer;
    }
    let mode = match Mode::try_new(name, uri.query().unwrap_or_default()) {
        Ok(mode) => mode,
        Err(why) => return refused(StatusCode::BAD_REQUEST, why),
    };
    instance.switch(mode);
    let mut body = json!({ "instance": instance.id(), "mode": mode.name() });
    if let Mode::Refuse(time) = mode {
        body["seconds"] = time.as_secs().into();
    }
    said(StatusCode::OK, &body)
}

/// One line, so that answers that follow each other in a terminal stand below each other.
fn said(status: StatusCode, body: &Value) -> Response {
    (status, [(header::CONTENT_TYPE, "application/json")], format!("{body}\n")).into_response()
}
