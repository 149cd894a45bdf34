//! Answers that furt makes itself: problem+json (RFC 9457) with `Proxy-Status` (RFC 9209), and `/health`.

use std::time::Duration;

use bytes::Bytes;
use furt_api::problem::MEDIA_TYPE;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use pingora::Result;
use pingora::http::ResponseHeader;
use pingora_proxy::Session;

use super::context::Context;
use super::counting::HEALTH;
use super::headers;
use crate::telemetry::request_id;
use crate::wire::{self, DetailPosition};

/// The most of a refused request's body that is read and dropped.
const MAX_DRAIN_BYTES: usize = 1024 * 1024;

/// One of furt's own answers.
#[derive(Debug, Clone)]
pub(super) struct GatewayAnswer {
    kind: Kind,
    detail: Option<String>,
    extra: Option<Box<(HeaderName, HeaderValue)>>,
}

#[derive(Debug, Clone)]
enum Kind {
    Health(Bytes),
    Problem(Problem),
}

/// A problem that clients can tell from others by its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Problem {
    status: StatusCode,
    code: &'static str,
    title: &'static str,
    /// The error of `Proxy-Status`.
    proxy_error: &'static str,
}

impl Problem {
    /// What clients can tell it by.
    pub(super) const fn code(self) -> &'static str {
        self.code
    }
}

macro_rules! problems {
    ($($name:ident = $status:ident, $code:literal, $title:literal, $error:literal;)*) => {
        impl Problem {
            $(pub(super) const $name: Self =
                Self { status: StatusCode::$status, code: $code, title: $title, proxy_error: $error };)*
        }
    };
}

problems! {
    BAD_PATH = BAD_REQUEST, "bad-path", "The path could be read in more than one way", "http_request_error";
    BAD_REQUEST = BAD_REQUEST, "bad-request", "The request could not be read", "http_request_error";
    BODY_TIMEOUT = REQUEST_TIMEOUT, "body-timeout", "The request's body did not arrive in time", "http_request_error";
    KEY_MISSING = UNAUTHORIZED, "key-missing", "This route needs an API key", "http_request_denied";
    KEY_UNKNOWN = UNAUTHORIZED, "key-unknown", "The API key is not known", "http_request_denied";
    ADDRESS_NOT_ALLOWED = FORBIDDEN, "address-not-allowed", "The API key may not be used from this address", "http_request_denied";
    PERMISSION_MISSING = FORBIDDEN, "permission-missing", "The API key lacks the permission for this route", "http_request_denied";
    ROUTE_NOT_FOUND = NOT_FOUND, "route-not-found", "No route matches", "destination_not_found";
    METHOD_NOT_ALLOWED = METHOD_NOT_ALLOWED, "method-not-allowed", "The route does not take this method", "http_request_denied";
    RATE_LIMITED = TOO_MANY_REQUESTS, "rate-limited", "The API key is used too often", "http_request_denied";
    ADDRESS_RATE_LIMITED = TOO_MANY_REQUESTS, "address-rate-limited", "Too many requests without a good API key come from this address", "http_request_denied";
    BODY_TOO_LARGE = PAYLOAD_TOO_LARGE, "body-too-large", "The request's body is larger than the gateway takes", "http_request_error";
    SERVICE_DOWN = SERVICE_UNAVAILABLE, "service-down", "The service is down", "destination_unavailable";
    NO_INSTANCE = SERVICE_UNAVAILABLE, "no-instance", "No instance of the service is available", "destination_unavailable";
    INSTANCES_FULL = SERVICE_UNAVAILABLE, "instances-full", "Every instance of the service is at its limit", "connection_limit_reached";
    DRAINING = SERVICE_UNAVAILABLE, "draining", "Every instance of the service is draining", "destination_unavailable";
    CONNECT_FAILED = BAD_GATEWAY, "connect-failed", "The service could not be connected to", "connection_refused";
    CONNECT_TIMEOUT = GATEWAY_TIMEOUT, "connect-timeout", "The service did not accept a connection in time", "connection_timeout";
    TLS_FAILED = BAD_GATEWAY, "tls-failed", "The service's certificate or TLS is not in order", "tls_certificate_error";
    UPSTREAM_BROKEN = BAD_GATEWAY, "upstream-broken", "The service broke off or answered what is not HTTP", "http_protocol_error";
    UPSTREAM_TIMEOUT = GATEWAY_TIMEOUT, "upstream-timeout", "The service did not answer in time", "http_response_timeout";
    TRANSFER_CODING = NOT_IMPLEMENTED, "transfer-coding", "The request's body has a transfer coding other than chunked", "http_request_error";
    INTERNAL = INTERNAL_SERVER_ERROR, "internal", "The gateway failed", "proxy_internal_error";
}

impl From<Problem> for GatewayAnswer {
    fn from(problem: Problem) -> Self {
        Self { kind: Kind::Problem(problem), detail: None, extra: None }
    }
}

impl GatewayAnswer {
    /// The answer of the public `/health`.
    pub(super) fn health(body: Bytes) -> Self {
        Self { kind: Kind::Health(body), detail: None, extra: None }
    }

    /// With a sentence on this very case.
    pub(super) fn with_detail(mut self, detail: String) -> Self {
        self.detail = Some(detail);
        self
    }

    /// With one more header, such as `Retry-After`.
    pub(super) fn with_header(mut self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        self.extra = value.try_into().ok().map(|value| Box::new((name, value)));
        self
    }

    pub(super) fn status(&self) -> StatusCode {
        match &self.kind {
            Kind::Health(_) => StatusCode::OK,
            Kind::Problem(problem) => problem.status,
        }
    }

    /// Whether client and gateway may disagree about where the request ends.
    pub(super) fn is_framing_fault(&self) -> bool {
        matches!(self.kind, Kind::Problem(Problem::BAD_REQUEST | Problem::TRANSFER_CODING))
    }

    /// What the access log calls it.
    pub(super) fn code(&self) -> &'static str {
        match &self.kind {
            Kind::Health(_) => HEALTH,
            Kind::Problem(problem) => problem.code,
        }
    }

    /// Sends it; a HEAD gets the header alone.
    ///
    /// # Errors
    /// The client is gone.
    pub(super) async fn send(&self, session: &mut Session, ctx: &Context) -> Result<()> {
        let body = self.body(ctx);
        let mut response = ResponseHeader::build(self.status(), Some(9))?;
        response.insert_header(header::CONTENT_LENGTH, wire::content_length(&body))?;
        response.insert_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
        let media_type = match &self.kind {
            Kind::Health(_) => "application/json",
            Kind::Problem(problem) => {
                response.insert_header(
                    HeaderName::from_static("proxy-status"),
                    format!("furt; error={}", problem.proxy_error),
                )?;
                if problem.status == StatusCode::UNAUTHORIZED {
                    response
                        .insert_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("ApiKey realm=\"furt\""))?;
                }
                MEDIA_TYPE
            }
        };
        response.insert_header(header::CONTENT_TYPE, HeaderValue::from_static(media_type))?;
        if let Some(extra) = &self.extra {
            response.insert_header(extra.0.clone(), extra.1.clone())?;
        }
        headers::add_own(&mut response, ctx)?;
        let is_head = session.req_header().method == Method::HEAD;
        session.write_response_header(Box::new(response), is_head).await?;
        if !is_head {
            session.write_response_body(Some(body), true).await?;
        }
        Ok(())
    }

    fn body(&self, ctx: &Context) -> Bytes {
        match &self.kind {
            Kind::Health(body) => body.clone(),
            Kind::Problem(problem) => {
                let (status, code, id) =
                    (problem.status.as_u16(), problem.code.into(), request_id::text(&ctx.request_id));
                let mut body = furt_api::Problem::new(status, code, problem.title, id);
                body.detail.clone_from(&self.detail);
                wire::problem_body(body, DetailPosition::Last)
            }
        }
    }
}

/// Reads and drops what a refused client still sends, so that it sees the answer instead of a reset connection.
pub(super) async fn drain(session: &mut Session, longest: Duration) {
    let read = async {
        let mut total = 0;
        while total <= MAX_DRAIN_BYTES {
            match session.read_request_body().await {
                Ok(Some(part)) => total += part.len(),
                Ok(None) | Err(_) => return,
            }
        }
    };
    // A client that is slower than that is cut off: it was told to stop.
    _ = tokio::time::timeout(longest, read).await;
}
