//! Errors of the internal listener: problem+json (RFC 9457) with a stable code, and what the registry refuses.

use std::time::Duration;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use super::fields::FieldError;
use crate::driver::DriverGone;
use crate::telemetry::request_id;
use furt_core::live::retry_after_seconds;
use furt_core::registry::Refusal;

/// Characters of a detail that are logged.
const MAX_LOGGED: usize = 300;

/// An error as it is answered.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    detail: String,
    /// Members beside those of every problem.
    more: Vec<(&'static str, Value)>,
    retry_after_seconds: Option<u64>,
    is_reported: bool,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), more: Vec::new(), retry_after_seconds: None, is_reported: false }
    }

    pub(super) fn rate_limited(wait: Duration) -> Self {
        let retry_after_seconds = retry_after_seconds(wait);
        let detail = format!("too many registrations from this address; again in {retry_after_seconds} s");
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, "rate-limited", detail)
        }
    }

    /// The same with one member more.
    pub(super) fn with(mut self, name: &'static str, value: Value) -> Self {
        self.more.push((name, value));
        self
    }

    /// There is no room for one more of what the caller wants; nothing was done.
    pub(super) fn busy(detail: &str) -> Self {
        Self { retry_after_seconds: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail) }
    }

    /// Every field that is wrong, by its JSON pointer (RFC 6901).
    pub(super) fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.pointer.is_empty() => format!("the body {}", one.detail),
            [one] => format!("{}: {}", one.pointer, one.detail),
            many => format!("{} fields are wrong", many.len()),
        };
        let list = errors.into_iter().map(|error| json!({ "pointer": error.pointer, "detail": error.detail }));
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-fields", detail).with("errors", list.collect())
    }

    /// A configuration that is not good, each error with its place. Who read it has logged that.
    pub(super) fn invalid_config(detail: String, errors: Vec<Value>) -> Self {
        let more = vec![("errors", Value::Array(errors))];
        Self { more, is_reported: true, ..Self::new(StatusCode::UNPROCESSABLE_ENTITY, "invalid-config", detail) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let (status, code) = match &refusal {
            Refusal::TokenWrong => (StatusCode::UNAUTHORIZED, "token-missing"),
            Refusal::BeyondGrant(_) => (StatusCode::FORBIDDEN, "beyond-grant"),
            Refusal::NotOwner { .. } => (StatusCode::FORBIDDEN, "not-owner"),
            Refusal::Taken { .. } => (StatusCode::CONFLICT, "taken"),
            Refusal::Invalid(_) => (StatusCode::UNPROCESSABLE_ENTITY, "invalid-fields"),
            Refusal::NoProbes => (StatusCode::CONFLICT, "no-probes"),
            Refusal::NotFound(_) => (StatusCode::NOT_FOUND, "not-found"),
            Refusal::StoreFailed(_) => (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable"),
            Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Refusal::Key(refusal) => super::keys::status_of(refusal),
        };
        let mut problem = Self { is_reported: true, ..Self::new(status, code, detail) };
        if let Refusal::Taken { conflict, .. } = &refusal {
            let conflict = conflict
                .as_ref()
                .map(|(service, status)| json!({ "service": service.as_str(), "status": status.as_str() }));
            problem = problem.with("rival", conflict.unwrap_or(Value::Null));
        }
        if let Refusal::Invalid(why) = &refusal {
            problem = problem.with("errors", json!([{ "pointer": "", "detail": why.to_string() }]));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            problem.retry_after_seconds = Some(1);
        }
        problem
    }
}

impl From<DriverGone> for Problem {
    fn from(gone: DriverGone) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", gone.to_string());
        Self { retry_after_seconds: Some(1), ..problem }
    }
}

/// Gives every request its id: in a header of the answer, and in the problem where it is one.
pub(super) async fn with_request_id(request: Request, next: Next) -> Response {
    let id = request_id::of(request.headers());
    let mut response = next.run(request).await;
    if response.status().is_client_error() && response.extensions().get::<Problem>().is_none() {
        // The router's own refusals, such as a path that is no UTF-8, are plain text.
        let problem = Problem::new(response.status(), "bad-request", "the path or the query cannot be read");
        response.extensions_mut().insert(problem);
    }
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        // What the router itself knows of the failure, such as `Allow`, stays.
        let known = std::mem::take(response.headers_mut());
        response = problem.render(request_id::text(&id));
        known.into_iter().for_each(|(name, value)| {
            if let Some(name) = name.filter(|name| *name != header::CONTENT_LENGTH && *name != header::CONTENT_TYPE) {
                response.headers_mut().entry(name).or_insert(value);
            }
        });
    }
    response.headers_mut().insert("x-request-id", id);
    response
}

impl IntoResponse for Problem {
    /// The status alone; the body is written by [`with_request_id`], which knows the id.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl Problem {
    /// The registry refused it, and the driver has logged and counted that.
    pub(super) fn is_reported(&self) -> bool {
        self.is_reported
    }

    /// For the log: one line of bounded length, whatever the caller wrote into it.
    pub(super) fn line(&self) -> String {
        let detail = self.detail.chars().take(MAX_LOGGED);
        let detail: String = detail.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
        format!("{}: {detail}", self.code)
    }

    /// As it is sent, with the request's id.
    pub(super) fn render(self, id: &str) -> Response {
        let mut members = json!({
            "type": format!("urn:furt:problem:{}", self.code),
            "title": self.status.canonical_reason().unwrap_or_default(),
            "status": self.status.as_u16(),
            "code": self.code,
            "detail": self.detail,
            "request_id": id,
        });
        for (name, value) in self.more {
            members[name] = value;
        }
        let mut response = (self.status, Json(members)).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if let Some(seconds) = self.retry_after_seconds {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer realm=\"furt\""));
        }
        response
    }
}

pub(super) async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "not-found", "there is no such endpoint")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "the endpoint does not take this method")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_wrote_cannot_break_or_fill_the_log() {
        let problem = Problem::new(StatusCode::BAD_REQUEST, "bad", format!("a\nb\u{1b}[31m{}", "x".repeat(10_000)));
        let line = problem.line();
        assert!(line.starts_with("bad: a\u{fffd}b\u{fffd}[31mx"), "{line}");
        assert_eq!(line.chars().count(), "bad: ".len() + MAX_LOGGED);
    }
}
