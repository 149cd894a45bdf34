//! How furt's own answers reach the client.

use std::time::Duration;

use http::{Method, Version};
use pingora::Result;
use pingora_proxy::Session;

use super::answer::GatewayAnswer;
use super::context::Context;
use super::headers;

/// The most of a refused request's body that is read and dropped.
const MAX_DRAIN_BYTES: usize = 1024 * 1024;

/// Sends the answer; a HEAD gets its header alone.
///
/// # Errors
/// The client is gone.
pub(super) async fn send(answer: &GatewayAnswer, session: &mut Session, ctx: &Context) -> Result<()> {
    let body = answer.body(&ctx.received.request_id);
    let mut response = answer.header(&body)?;
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
