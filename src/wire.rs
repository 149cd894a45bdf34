//! What both listeners write: problem+json (RFC 9457), pages in its place, and the core's values as `furt_api` has them.
//!
//! Which problem it is, and which headers go with it, is said by `proxy` and `api`.

mod gateway_problem;
mod page;
mod pseudonym;

use bytes::Bytes;
use furt_api::deregistration::DrainUntil;
use furt_api::{Epoch, Generation, Problem, Status, Timestamp};
use http::{HeaderName, HeaderValue};
use serde::Serialize;

use crate::clock;
use furt_core::model;
pub use gateway_problem::GatewayProblem;
pub use page::{Filling, Page, Pages, TooManyPlaceholders};
pub use pseudonym::Pseudonym;

/// In every answer of the internal listener, and in no answer of another program: the command line goes by it.
pub const LISTENER: HeaderName = HeaderName::from_static("x-furt-listener");
/// The value of [`LISTENER`].
pub const INTERNAL: HeaderValue = HeaderValue::from_static("internal");
/// In every answer of the public listener, with the value `furt`.
pub const GATEWAY: &str = "X-Gateway";

/// Where `detail` stands among the members of a problem; clients may rely on neither, but answers stay as they were.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DetailPosition {
    /// Before the request's id: the internal listener.
    BeforeRequestId,
    /// After all others: the public listener.
    Last,
}

#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    problem: Problem,
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// The body of a problem.
pub fn problem_body(mut problem: Problem, position: DetailPosition) -> Bytes {
    let detail = match position {
        DetailPosition::BeforeRequestId => None,
        DetailPosition::Last => problem.detail.take(),
    };
    // Texts and numbers always can be written.
    serde_json::to_vec(&Body { problem, detail }).unwrap_or_default().into()
}

/// The `Content-Length` of a body that is in memory.
pub fn content_length(body: &Bytes) -> HeaderValue {
    HeaderValue::from(body.len())
}

/// The operator who gave a command, where it is known.
pub fn operator(by: &model::Actor) -> Option<String> {
    by.operator.as_ref().map(ToString::to_string)
}

/// A status, in the API's words.
pub fn status(status: model::Status) -> Status {
    match status {
        model::Status::Up => Status::Up,
        model::Status::Unknown => Status::Unknown,
        model::Status::Down => Status::Down,
    }
}

/// What ends a drain, in the API's words.
pub fn drain_until(until: model::DrainUntil) -> DrainUntil {
    match until {
        model::DrainUntil::Registration => DrainUntil::Registration,
        model::DrainUntil::Restart => DrainUntil::Restart,
        model::DrainUntil::Undo => DrainUntil::Undo,
    }
}

/// The number of a change.
pub fn generation(generation: model::Generation) -> Generation {
    Generation(generation.0)
}

/// The identity of a registry.
pub fn epoch(epoch: model::Epoch) -> Epoch {
    Epoch::from(epoch.to_string())
}

/// A moment, to the second.
pub fn time(unix_ms: i64) -> Timestamp {
    Timestamp::from(clock::rfc3339(unix_ms))
}

/// A moment as exactly as it is kept: with milliseconds where it has some.
pub fn exact_time(unix_ms: i64) -> Timestamp {
    match unix_ms % 1000 {
        0 => time(unix_ms),
        _ => Timestamp::from(clock::rfc3339_ms(unix_ms)),
    }
}

/// The moment now, to the millisecond.
pub fn now() -> Timestamp {
    Timestamp::from(clock::rfc3339_ms(clock::unix_ms()))
}

#[cfg(test)]
mod tests {
    use furt_api::Code;

    use super::*;

    #[test]
    fn a_problem_is_the_same_but_for_the_position_of_its_detail() {
        let mut problem = Problem::new(404, Code::NotFound, "Not Found", "1");
        let head = r#"{"type":"urn:furt:problem:not-found","title":"Not Found","status":404,"code":"not-found","#;
        for position in [DetailPosition::BeforeRequestId, DetailPosition::Last] {
            assert_eq!(problem_body(problem.clone(), position), format!(r#"{head}"request_id":"1"}}"#));
        }
        problem.detail = Some("x".to_owned());
        let body = problem_body(problem.clone(), DetailPosition::BeforeRequestId);
        assert_eq!(body, format!(r#"{head}"detail":"x","request_id":"1"}}"#));
        let body = problem_body(problem, DetailPosition::Last);
        assert_eq!(body, format!(r#"{head}"request_id":"1","detail":"x"}}"#));
    }
}
