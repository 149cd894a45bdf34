//! What is special to services that speak HTTP/2, while most clients speak HTTP/1: `Expect: 100-continue`, trailers, the status of
//! gRPC in them, and which failures say that a request was not processed.
//!
//! Pingora's client of HTTP/2 reads no interim answers, and its server of HTTP/1 writes no trailers (`trailers` does). Called by
//! the hooks once a connection over HTTP/2 is there; requests to services of HTTP/1 never come here.

use http::header::{CONTENT_LENGTH, EXPECT, TE, TRAILER};
use http::{HeaderMap, Method, StatusCode, Version};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::{Error, ErrorType, Result};
use pingora_proxy::Session;

use super::answer::GatewayAnswer;
use super::context::Context;
use super::{grpc, streams, upload};
use crate::wire::GatewayProblem;

/// Edits the request that goes to the service, and tells a client that waits for it to send its body.
///
/// # Errors
/// The client is gone.
pub(super) async fn for_service(session: &mut Session, request: &mut RequestHeader, ctx: &mut Context) -> Result<()> {
    if takes_trailers(session) || is_http2(session) && says_trailers(&session.req_header().headers) {
        request.insert_header(TE, "trailers")?;
    }
    if !expects_continue(&request.headers) {
        return Ok(());
    }
    request.remove_header(&EXPECT);
    // The service's own 100 would be lost, so it comes from here, once the service is connected (RFC 9110 §10.1.1).
    let is_awaited = session.req_header().version == Version::HTTP_11 && !session.is_body_done();
    if !is_awaited {
        return Ok(());
    }
    ctx.answer.kept_alive = session.get_keepalive();
    session.as_downstream_mut().write_continue_response().await.map_err(Error::into_down)
}

/// Whether the client waits for a `100 Continue` before it sends its body.
pub(super) fn expects_continue(headers: &HeaderMap) -> bool {
    headers.get(EXPECT).is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

/// Whether the client of the request can be sent trailers.
fn takes_trailers(session: &Session) -> bool {
    let request = session.req_header();
    request.version == Version::HTTP_11 && says_trailers(&request.headers) && upload::trailing(session).is_some()
}

fn says_trailers(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    codings.any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Whether the client speaks HTTP/2 as well: Pingora hands it the trailers of its own accord.
fn is_http2(session: &Session) -> bool {
    session.req_header().version == Version::HTTP_2
}

/// Edits the header of an answer for what becomes of its trailers: they need chunks, and what is not sent is not announced.
pub(super) fn plain_trailers(session: &Session, response: &mut ResponseHeader) {
    if is_http2(session) {
        return;
    }
    let has_body = session.req_header().method != Method::HEAD
        && !matches!(response.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
    let can_pass = has_body && takes_trailers(session);
    // Pingora ends an answer with a length before it has read the trailers, and so the status of a gRPC call.
    if has_body && streams::is_grpc_message(&response.headers) || can_pass && response.headers.contains_key(TRAILER) {
        response.remove_header(&CONTENT_LENGTH);
    }
    if !can_pass || response.headers.contains_key(CONTENT_LENGTH) {
        response.remove_header(&TRAILER);
    }
}

/// Takes an answer's trailers: for the client if it can have them, else they are dropped.
///
/// # Errors
/// A gRPC call failed, which the client could not see.
pub(super) fn take_trailers(session: &Session, trailers: &HeaderMap, ctx: &mut Context) -> Result<()> {
    if is_http2(session) {
        return Ok(());
    }
    if takes_trailers(session)
        && let Some(stream) = upload::trailing(session)
    {
        stream.set(trailers);
        return Ok(());
    }
    match trailers.get(grpc::STATUS).filter(|status| status.as_bytes() != b"0") {
        None => Ok(()),
        Some(status) => {
            let message = trailers.get(grpc::MESSAGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
            let detail = format!("status {}: {message}", String::from_utf8_lossy(status.as_bytes()));
            let answer = GatewayAnswer::from(GatewayProblem::GrpcFailed).with_detail(detail);
            ctx.answer.refusal = Some(answer.with_header(grpc::STATUS, status.clone()));
            // Neither a fault of the instance nor one of the client.
            Err(Error::explain(ErrorType::HTTPStatus(502), "a gRPC call failed").into_in())
        }
    }
}

/// Whether the service says that it has not processed the request, so that it may be sent again whatever its method
/// (RFC 9113 §8.7).
///
/// A GOAWAY ends only the streams beyond its last id, whatever its reason: `h2` leaves the others open, and if the connection
/// closes before they are answered, they end with an error of input and output.
pub(super) fn is_unprocessed(error: &Error) -> bool {
    h2_error(error).is_some_and(|error| {
        error.is_remote() && (error.is_go_away() || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Whether a pooled connection would take no further stream: nothing was sent, and a new connection may do.
pub(super) fn is_stale_connection(error: &Error) -> bool {
    error.etype() == &ErrorType::H2Error && h2_error(error).is_some()
}

fn h2_error(error: &Error) -> Option<&h2::Error> {
    error.root_cause().downcast_ref()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_service_says_it_left_alone_is_unprocessed() {
        let error = |cause: h2::Error| Error::because(ErrorType::H2Error, "while reading h2 header", cause);
        // `h2` makes no error of a remote end but from frames; those are tested at the sockets.
        assert!(!is_unprocessed(&error(h2::Reason::REFUSED_STREAM.into())), "one of our own making");
        assert!(!is_unprocessed(&Error::new(ErrorType::ReadError)));
        assert!(is_stale_connection(&error(h2::Reason::NO_ERROR.into())));
        assert!(!is_stale_connection(&Error::new(ErrorType::H2Error)));
    }
}
