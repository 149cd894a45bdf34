//! How furt's own answers reach the client.

use std::time::Duration;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, VARY};
use http::{HeaderValue, Method, Version};
use pingora::Result;
use pingora::protocols::http::HttpTask;
use pingora_proxy::Session;

use super::answer::GatewayAnswer;
use super::context::Context;
use super::{accept, grpc, headers, message_headers, streams};
use crate::wire::Pages;

/// The most of a refused request's body that is read and dropped.
const MAX_DRAIN_BYTES: usize = 1024 * 1024;

/// Sends the answer; a HEAD gets its header alone. A problem of which `pages` has a page is one to clients that want HTML.
///
/// # Errors
/// The client is gone.
pub(super) async fn send(
    answer: &GatewayAnswer,
    session: &mut Session,
    ctx: &Context,
    pages: Option<&Pages>,
) -> Result<()> {
    if let (Some(status), Some(problem)) = (ctx.answer.grpc_status, answer.problem()) {
        let mut response = grpc::header(status, problem, answer)?;
        message_headers::for_own(&mut response, ctx)?;
        headers::add_own(session, &mut response, ctx)?;
        // With the end: Pingora's own way of writing a header would forget it.
        let whole = vec![HttpTask::Header(Box::new(response), true)];
        return session.as_downstream_mut().response_duplex_vec(whole).await.map(drop);
    }
    let page = pages.and_then(|pages| pages.page(answer.problem()?));
    let html = page.filter(|_| accept::prefers_html(&session.req_header().headers));
    let body = match html {
        Some(page) => answer.filled(page, &ctx.received.request_id),
        None => answer.body(&ctx.received.request_id, ctx.traced.as_ref().map(|traced| traced.id())),
    };
    let mut response = answer.header(&body)?;
    if page.is_some() {
        response.append_header(VARY, HeaderValue::from_static("Accept"))?;
    }
    if html.is_some() {
        response.insert_header(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"))?;
    }
    message_headers::for_own(&mut response, ctx)?;
    // Caches know no keys of ours and no addresses.
    if answer.is_operators() && ctx.target.is_guarded() && !response.headers.contains_key(CACHE_CONTROL) {
        response.insert_header(CACHE_CONTROL, HeaderValue::from_static("no-store"))?;
    }
    headers::add_own(session, &mut response, ctx)?;
    let is_head = session.req_header().method == Method::HEAD;
    session.write_response_header(Box::new(response), is_head).await?;
    if !is_head {
        session.write_response_body(Some(body), true).await?;
    } else if session.req_header().version == Version::HTTP_2 {
        // Where the header ends the answer, only Pingora's end of a request would say so, and not after a failure.
        session.as_downstream_mut().finish_body().await?;
    }
    Ok(())
}

/// Ends a gRPC call whose answer has begun, where its client would otherwise see a reset alone.
///
/// # Errors
/// The client is gone.
pub(super) async fn end_call(answer: &GatewayAnswer, session: &mut Session, ctx: &mut Context) -> Result<()> {
    let is_call = session.response_written().is_some_and(|response| {
        streams::is_grpc_message(&response.headers) && !response.headers.contains_key(CONTENT_LENGTH)
    });
    let Some(problem) = answer.problem().filter(|_| is_call) else { return Ok(()) };
    let status = *ctx.answer.grpc_status.get_or_insert(grpc::Status::of_problem(problem));
    session.as_downstream_mut().write_response_trailers(grpc::trailers(status, problem, answer)).await
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
