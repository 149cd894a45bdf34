//! Errors of the internal listener: problem+json (RFC 9457) with a stable code, and what the registry refuses.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use furt_api::problem::{self, Code, ProblemError, Rival};
use serde_json::json;

use super::fields::FieldError;
use crate::driver::DriverGone;
use crate::telemetry::request_id;
use crate::wire::{self, DetailPosition};
use furt_core::live::retry_after_seconds;
use furt_core::registry::{KeyRefusal, Refusal};

/// Characters of a detail that are logged.
const MAX_LOGGED: usize = 300;

/// An error as it is answered.
#[derive(Debug, Clone)]
pub(super) struct Problem {
    status: StatusCode,
    /// Without the request's id, which is known where it is written.
    body: Box<problem::Problem>,
    retry_after_seconds: Option<u64>,
    is_reported: bool,
    /// As it is sent to clients of etcd.
    etcd_form: Option<EtcdForm>,
    /// As it is sent to browsers.
    page: Option<Box<str>>,
}

/// What etcd's v2 API says of an error, beside its cause, which is the detail.
#[derive(Debug, Clone, Copy)]
pub(super) struct EtcdForm {
    pub(super) number: u16,
    pub(super) message: &'static str,
    pub(super) index: u64,
}

impl Problem {
    pub(super) fn new(status: StatusCode, code: Code, detail: impl Into<String>) -> Self {
        let title = status.canonical_reason().unwrap_or_default();
        let mut body = Box::new(problem::Problem::new(status.as_u16(), code, title, ""));
        body.detail = Some(detail.into());
        Self { status, body, retry_after_seconds: None, is_reported: false, etcd_form: None, page: None }
    }

    pub(super) fn rate_limited(wait: Duration) -> Self {
        let retry_after_seconds = retry_after_seconds(wait);
        let detail = format!("too many registrations from this address; again in {retry_after_seconds} s");
        Self {
            retry_after_seconds: Some(retry_after_seconds),
            ..Self::new(StatusCode::TOO_MANY_REQUESTS, Code::RateLimited, detail)
        }
    }

    /// The same of a refusal that the driver does not tell of.
    pub(super) fn unreported(self) -> Self {
        Self { is_reported: false, ..self }
    }

    /// Whether programs tell it by this code.
    pub(super) fn is(&self, code: Code) -> bool {
        self.body.code == code
    }

    /// The same with more members.
    pub(super) fn with(mut self, add: impl FnOnce(&mut problem::Problem)) -> Self {
        add(&mut self.body);
        self
    }

    /// Parameters of the query that are wrong, each by its name.
    pub(super) fn invalid_parameters(errors: Vec<ProblemError>, detail: String) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidParameters, detail)
            .with(|body| body.errors = Some(errors))
    }

    /// There is no room for one more of what the caller wants; nothing was done.
    pub(super) fn busy(detail: &str) -> Self {
        Self { retry_after_seconds: Some(1), ..Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Busy, detail) }
    }

    /// The cluster cannot carry out anything now.
    pub(super) fn cluster_unavailable(detail: impl Into<String>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::ClusterUnavailable, detail);
        Self { retry_after_seconds: Some(1), ..problem }
    }

    /// Every field that is wrong, by its JSON pointer (RFC 6901).
    pub(super) fn invalid_fields(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] if one.pointer.is_empty() => format!("the body {}", one.detail),
            [one] => format!("{}: {}", one.pointer, one.detail),
            many => format!("{} fields are wrong", many.len()),
        };
        let list = errors.into_iter().map(|error| ProblemError::field(error.pointer, error.detail)).collect();
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidFields, detail).with(|body| body.errors = Some(list))
    }

    /// A configuration that is not good, each error with its place. Who read it has logged that.
    pub(super) fn invalid_config(detail: String, errors: Vec<ProblemError>) -> Self {
        let problem = Self::new(StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidConfig, detail);
        Self { is_reported: true, ..problem.with(|body| body.errors = Some(errors)) }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let detail = refusal.to_string();
        let (status, code) = match &refusal {
            Refusal::TokenWrong => (StatusCode::UNAUTHORIZED, Code::TokenMissing),
            Refusal::OperatorsOnly => (StatusCode::FORBIDDEN, Code::OperatorsOnly),
            Refusal::AnotherIncarnation { .. } | Refusal::Replaced { .. } => {
                (StatusCode::PRECONDITION_FAILED, Code::AnotherIncarnation)
            }
            Refusal::BeyondGrant(_) => (StatusCode::FORBIDDEN, Code::BeyondGrant),
            Refusal::NotOwner { .. } => (StatusCode::FORBIDDEN, Code::NotOwner),
            Refusal::Taken { .. } => (StatusCode::CONFLICT, Code::Taken),
            Refusal::Invalid(_) | Refusal::RoutesMissing => (StatusCode::UNPROCESSABLE_ENTITY, Code::InvalidFields),
            Refusal::NoProbes => (StatusCode::CONFLICT, Code::NoProbes),
            Refusal::NotFound(_) | Refusal::NotInMaintenance(_) | Refusal::NoSplit(_) | Refusal::NoGrant(_) => {
                (StatusCode::NOT_FOUND, Code::NotFound)
            }
            Refusal::TooManyMaintenances => (StatusCode::CONFLICT, Code::TooManyMaintenances),
            Refusal::TooManySplits => (StatusCode::CONFLICT, Code::TooManySplits),
            Refusal::ChangedSince => (StatusCode::PRECONDITION_FAILED, Code::ChangedSince),
            Refusal::TooManyDifferences { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Code::TooManyChanges),
            Refusal::TooManyGrants => (StatusCode::CONFLICT, Code::TooManyGrants),
            Refusal::ConfiguredGrant(_) => (StatusCode::CONFLICT, Code::Configured),
            Refusal::StoreFailed(_) => (StatusCode::SERVICE_UNAVAILABLE, Code::StoreUnavailable),
            Refusal::Busy => (StatusCode::SERVICE_UNAVAILABLE, Code::Busy),
            Refusal::Key(refusal) => status_of_key(refusal),
        };
        let mut problem = Self { is_reported: true, ..Self::new(status, code, detail) };
        if let Refusal::Taken { conflict, .. } = &refusal {
            let rival = conflict
                .as_ref()
                .map(|(service, status)| Rival { service: service.as_str().into(), status: wire::status(*status) });
            problem = problem.with(|body| body.rival = Some(rival));
        }
        if let Refusal::Invalid(why) = &refusal {
            problem = problem.with(|body| body.errors = Some(vec![ProblemError::field("", why.to_string())]));
        }
        if refusal == Refusal::RoutesMissing {
            problem =
                problem.with(|body| body.errors = Some(vec![ProblemError::field("/routes", refusal.to_string())]));
        }
        if status == StatusCode::SERVICE_UNAVAILABLE {
            problem.retry_after_seconds = Some(1);
        }
        problem
    }
}

impl From<KeyRefusal> for Problem {
    fn from(refusal: KeyRefusal) -> Self {
        let (status, code) = status_of_key(&refusal);
        Self::new(status, code, refusal.to_string())
    }
}

/// How a refusal about a key is answered.
fn status_of_key(refusal: &KeyRefusal) -> (StatusCode, Code) {
    match refusal {
        KeyRefusal::Unknown(_) => (StatusCode::NOT_FOUND, Code::NotFound),
        KeyRefusal::Configured(_) => (StatusCode::CONFLICT, Code::Configured),
        KeyRefusal::Taken { .. } => (StatusCode::CONFLICT, Code::Taken),
        KeyRefusal::TooManyOld { .. } => (StatusCode::CONFLICT, Code::TooManyOldKeys),
        KeyRefusal::TooMany => (StatusCode::CONFLICT, Code::TooManyKeys),
        KeyRefusal::NotForgotten { .. } => (StatusCode::SERVICE_UNAVAILABLE, Code::StoreUnavailable),
    }
}

impl From<DriverGone> for Problem {
    fn from(gone: DriverGone) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, Code::Stopping, gone.to_string());
        Self { retry_after_seconds: Some(1), ..problem }
    }
}

/// Gives every request its id: in a header of the answer, and in the problem where it is one.
pub(super) async fn with_request_id(request: Request, next: Next) -> Response {
    let id = request_id::of(request.headers());
    let mut response = next.run(request).await;
    put_where_missing(&mut response);
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

/// Makes the router's own refusals a problem, such as that of a path that is no UTF-8: they are plain text.
pub(super) fn put_where_missing(response: &mut Response) {
    if response.status().is_client_error() && response.extensions().get::<Problem>().is_none() {
        let problem = Problem::new(response.status(), Code::BadRequest, "the path or the query cannot be read");
        response.extensions_mut().insert(problem);
    }
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
        let detail = self.body.detail.as_deref().unwrap_or_default().chars().take(MAX_LOGGED);
        let detail: String = detail.map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect();
        format!("{}: {detail}", self.body.code)
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    pub(super) fn set_status(&mut self, status: StatusCode) {
        self.status = status;
    }

    /// The same, in this form.
    pub(super) fn in_etcd_form(self, form: EtcdForm) -> Self {
        Self { etcd_form: Some(form), ..self }
    }

    pub(super) fn etcd_form(&self) -> Option<EtcdForm> {
        self.etcd_form
    }

    pub(super) fn set_etcd_form(&mut self, form: EtcdForm) {
        self.etcd_form = Some(form);
    }

    /// The same, as a page.
    pub(super) fn into_page(self, page: String) -> Self {
        Self { page: Some(page.into()), ..self }
    }

    pub(super) fn has_page(&self) -> bool {
        self.page.is_some()
    }

    /// What programs are told, without the request's id.
    pub(super) fn body(&self) -> &problem::Problem {
        &self.body
    }

    /// As it is sent, with the request's id.
    pub(super) fn render(mut self, id: &str) -> Response {
        let (body, media_type) = match (self.page.take(), self.etcd_form) {
            (Some(page), _) => (Body::from(String::from(page)), "text/html; charset=utf-8"),
            (None, Some(EtcdForm { number, message, index })) => {
                let cause = self.body.detail.take().unwrap_or_default();
                let body = json!({ "errorCode": number, "message": message, "cause": cause, "index": index });
                (Body::from(body.to_string()), "application/json")
            }
            (None, None) => {
                self.body.request_id = id.to_owned();
                (Body::from(wire::problem_body(*self.body, DetailPosition::BeforeRequestId)), problem::MEDIA_TYPE)
            }
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
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
    Problem::new(StatusCode::NOT_FOUND, Code::NotFound, "there is no such endpoint")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, Code::MethodNotAllowed, "the endpoint does not take this method")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_caller_wrote_cannot_break_or_fill_the_log() {
        let problem = Problem::new(
            StatusCode::BAD_REQUEST,
            Code::Other("bad".to_owned()),
            format!("a\nb\u{1b}[31m{}", "x".repeat(10_000)),
        );
        let line = problem.line();
        assert!(line.starts_with("bad: a\u{fffd}b\u{fffd}[31mx"), "{line}");
        assert_eq!(line.chars().count(), "bad: ".len() + MAX_LOGGED);
    }
}
