//! Answers that furt makes itself: problem+json (RFC 9457) with `Proxy-Status` (RFC 9209), `/health`, ways to other places, texts of operators, answers of servers that were asked, answers to preflights, answers to challenges, and to what goes no further.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use furt_api::problem::MEDIA_TYPE;
use http::{HeaderName, HeaderValue, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;

use super::preflight::Preflight;
use super::unauthorized::Challenges;
use crate::auth::AuthAnswer;
use crate::telemetry::{ResponseFlag, TraceId, request_id};
use crate::wire::{self, DetailPosition, Filling, GatewayProblem, Page};
use furt_core::live::retry_after_seconds;
use furt_core::model::Respond;

/// One of furt's own answers.
#[derive(Debug, Clone)]
pub(super) struct GatewayAnswer {
    kind: Kind,
    detail: Option<String>,
    extra: Option<Box<(HeaderName, HeaderValue)>>,
    is_last: bool,
    /// How else a caller may show who it is, in a 401.
    challenges: Challenges,
}

#[derive(Debug, Clone)]
enum Kind {
    Health(Bytes),
    /// To a challenge of an authority of certificates.
    Challenge(Bytes),
    /// To a request that is to come under TLS, without a body.
    Redirect,
    /// To a request whose place is another one, as its route says, without a body.
    Moved(StatusCode),
    /// With the text of its route.
    Respond(Arc<Respond>),
    /// As the server answers that was asked whether the request may come.
    PassedOn(Box<AuthAnswer>),
    /// To a browser that asks what a page may send, without a body.
    Preflight(Box<Preflight>),
    /// To a request that may go no further, without a body.
    Options,
    /// To the same, the request itself.
    Trace(Bytes),
    Problem(GatewayProblem),
}

impl From<GatewayProblem> for GatewayAnswer {
    fn from(problem: GatewayProblem) -> Self {
        Self::new(Kind::Problem(problem))
    }
}

impl GatewayAnswer {
    fn new(kind: Kind) -> Self {
        Self { kind, detail: None, extra: None, is_last: false, challenges: Challenges::default() }
    }

    /// The answer of the public `/health`.
    pub(super) fn health(body: Bytes) -> Self {
        Self::new(Kind::Health(body))
    }

    /// To the challenge of an authority of certificates.
    pub(super) fn challenge(text: Bytes) -> Self {
        Self::new(Kind::Challenge(text))
    }

    /// To a request that is to come again, to that place.
    pub(super) fn redirect(location: Vec<u8>) -> Self {
        Self::new(Kind::Redirect).with_header(header::LOCATION, location)
    }

    /// The same as its route says, with that status.
    pub(super) fn moved(status: StatusCode, location: String) -> Self {
        Self::new(Kind::Moved(status)).with_header(header::LOCATION, location)
    }

    /// With the text of the route.
    pub(super) fn respond(text: &Arc<Respond>) -> Self {
        Self::new(Kind::Respond(Arc::clone(text)))
    }

    /// As the server answers that does not let the request in.
    pub(super) fn passed_on(answer: Box<AuthAnswer>) -> Self {
        Self::new(Kind::PassedOn(answer))
    }

    /// To a preflight that is allowed.
    pub(super) fn preflight(allowed: Preflight) -> Self {
        Self::new(Kind::Preflight(Box::new(allowed)))
    }

    /// To an `OPTIONS` that goes no further.
    pub(super) fn options() -> Self {
        Self::new(Kind::Options)
    }

    /// To a `TRACE` that goes no further; `request` is what is shown of it.
    pub(super) fn trace(request: Bytes) -> Self {
        Self::new(Kind::Trace(request))
    }

    /// With a sentence on this very case.
    pub(super) fn with_detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// To a request that may come again after so long.
    pub(super) fn to_come_again(problem: GatewayProblem, wait: Duration) -> Self {
        Self::from(problem).with_header(header::RETRY_AFTER, retry_after_seconds(wait))
    }

    /// To a request that may show in these ways who sends it.
    pub(super) fn with_challenges(self, challenges: Challenges) -> Self {
        Self { challenges, ..self }
    }

    /// The last one on its connection, whose client has to open another one.
    pub(super) fn into_last(self) -> Self {
        Self { is_last: true, ..self }
    }

    /// Whether nothing more is answered on its connection.
    pub(super) fn is_last(&self) -> bool {
        self.is_last
    }

    /// With one more header, such as `Retry-After`.
    pub(super) fn with_header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        self.extra = value.try_into().ok().map(|value| Box::new((name, value)));
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        match &self.kind {
            Kind::Health(_) | Kind::Challenge(_) | Kind::Options | Kind::Trace(_) => StatusCode::OK,
            Kind::Redirect => StatusCode::PERMANENT_REDIRECT,
            Kind::Moved(status) => *status,
            Kind::Respond(text) => text.status,
            Kind::PassedOn(answer) => answer.status,
            Kind::Preflight(_) => StatusCode::NO_CONTENT,
            Kind::Problem(problem) => problem.status(),
        }
    }

    /// Whether it is what the operator has the route answer.
    pub(super) fn is_operators(&self) -> bool {
        matches!(self.kind, Kind::Respond(_) | Kind::Moved(_))
    }

    /// Whether client and gateway may disagree about where the request ends.
    pub(super) fn is_framing_fault(&self) -> bool {
        matches!(self.kind, Kind::Problem(GatewayProblem::BadRequest | GatewayProblem::TransferCoding))
    }

    /// The same for a gRPC call, whose client follows no redirect.
    pub(super) fn for_call(self) -> Self {
        if matches!(self.kind, Kind::Redirect) { GatewayProblem::TlsRequired.into() } else { self }
    }

    /// What went wrong; `None`: nothing.
    pub(super) fn problem(&self) -> Option<GatewayProblem> {
        if let Kind::Problem(problem) = self.kind { Some(problem) } else { None }
    }

    /// The sentence on this very case.
    pub(super) fn detail(&self) -> Option<&str> {
        self.detail.as_deref()
    }

    /// The header beside those of its kind.
    pub(super) fn extra(&self) -> Option<&(HeaderName, HeaderValue)> {
        self.extra.as_deref()
    }

    /// How a request ends that is answered with it.
    pub(super) fn flag(&self) -> ResponseFlag {
        match &self.kind {
            Kind::Health(_) => ResponseFlag::Health,
            Kind::Challenge(_) => ResponseFlag::Challenge,
            Kind::Redirect | Kind::Moved(_) => ResponseFlag::Redirected,
            Kind::Respond(_) => ResponseFlag::Responded,
            Kind::PassedOn(_) => ResponseFlag::Denied,
            Kind::Preflight(_) => ResponseFlag::Preflight,
            Kind::Options | Kind::Trace(_) => ResponseFlag::LastHop,
            Kind::Problem(problem) => ResponseFlag::Problem(*problem),
        }
    }

    /// Its header but for what all of furt's answers have, for a body of that length.
    ///
    /// # Errors
    /// A header that Pingora does not take.
    pub(super) fn header(&self, body: &Bytes) -> Result<ResponseHeader> {
        let mut response = ResponseHeader::build(self.status(), Some(9))?;
        if let Kind::Preflight(allowed) = &self.kind {
            // A 204 has no length (RFC 9110 §8.6), and how long it is kept it says itself.
            allowed.put(&mut response)?;
            return Ok(response);
        }
        if let Kind::Respond(text) = &self.kind {
            put(text, &mut response)?;
            return Ok(response);
        }
        response.insert_header(header::CONTENT_LENGTH, wire::content_length(body))?;
        if let Kind::PassedOn(answer) = &self.kind {
            // A login is not to be kept for others, unless the server says what may be kept.
            response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
            return pass_on(answer, response);
        }
        // What its route says of a request is the operator's, who may let it be kept by its status.
        if !matches!(self.kind, Kind::Moved(_)) {
            response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
        }
        let media_type = match &self.kind {
            Kind::Health(_) => Some("application/json"),
            Kind::Challenge(_) => Some("application/octet-stream"),
            Kind::Options
            | Kind::Redirect
            | Kind::Moved(_)
            | Kind::Respond(_)
            | Kind::PassedOn(_)
            | Kind::Preflight(_) => None,
            Kind::Trace(_) => Some("message/http"),
            Kind::Problem(problem) => {
                response.insert_header(
                    HeaderName::from_static("proxy-status"),
                    format!("furt; error={}", problem.proxy_error()),
                )?;
                if problem.status() == StatusCode::UNAUTHORIZED {
                    self.challenges.put(*problem, self.detail(), &mut response)?;
                }
                Some(MEDIA_TYPE)
            }
        };
        if let Some(media_type) = media_type {
            response.insert_header(header::CONTENT_TYPE, HeaderValue::from_static(media_type))?;
        }
        if let Some(extra) = &self.extra {
            response.insert_header(extra.0.clone(), extra.1.clone())?;
        }
        Ok(response)
    }

    /// The page that stands for it, for the request of that id; empty where it is no problem.
    pub(super) fn filled(&self, page: &Page, request_id: &HeaderValue) -> Bytes {
        let Some(problem) = self.problem() else { return Bytes::new() };
        let detail = self.detail().unwrap_or_default();
        page.filled(Filling { problem, request_id: request_id::text(request_id), detail })
    }

    /// Its body, for the request of that id, which is part of that trace.
    pub(super) fn body(&self, request_id: &HeaderValue, trace: Option<TraceId>) -> Bytes {
        match &self.kind {
            Kind::Health(body) | Kind::Challenge(body) | Kind::Trace(body) => body.clone(),
            Kind::Respond(text) => text.body.clone(),
            Kind::PassedOn(answer) => answer.body.clone(),
            Kind::Options | Kind::Redirect | Kind::Moved(_) | Kind::Preflight(_) => Bytes::new(),
            Kind::Problem(problem) => {
                let (status, code, id) =
                    (problem.status().as_u16(), problem.code().into(), request_id::text(request_id));
                let mut body = furt_api::Problem::new(status, code, problem.title(), id);
                body.trace_id = trace.map(|trace| trace.to_string());
                body.detail.clone_from(&self.detail);
                wire::problem_body(body, DetailPosition::Last)
            }
        }
    }
}

/// Puts the headers of the server's answer into the header of furt's, each value of each name.
fn pass_on(answer: &AuthAnswer, mut response: ResponseHeader) -> Result<ResponseHeader> {
    for (name, _) in &answer.headers {
        response.remove_header(name);
    }
    for (name, value) in &answer.headers {
        response.append_header(name.clone(), value.clone())?;
    }
    Ok(response)
}

/// Puts what is said of the body of an operator's text into its header.
fn put(text: &Respond, response: &mut ResponseHeader) -> Result<()> {
    if Respond::has_body(text.status) {
        response.insert_header(header::CONTENT_LENGTH, wire::content_length(&text.body))?;
        return response.insert_header(header::CONTENT_TYPE, text.media_type.clone());
    }
    match text.status {
        // The other two have none by their status, and clients of HTTP/1 know that (RFC 9112 §6.3).
        StatusCode::RESET_CONTENT => response.insert_header(header::CONTENT_LENGTH, HeaderValue::from_static("0")),
        _ => Ok(()),
    }
}
