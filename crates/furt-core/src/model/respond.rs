//! A text that furt itself answers with.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, StatusCode};

/// Status, type and body of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Respond {
    /// 200 to 599.
    pub status: StatusCode,
    /// The `Content-Type`.
    pub media_type: HeaderValue,
    /// The body; empty where the status has none.
    pub body: Bytes,
}

impl Respond {
    /// The most bytes of a body: each of them is in memory for as long as the route is.
    pub const MAX_BODY: usize = 64 * 1024;

    /// Whether an answer of this status has a body (RFC 9110 §15.3.5, §15.3.6, §15.4.5).
    pub fn has_body(status: StatusCode) -> bool {
        !matches!(status, StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED)
    }
}

/// In words, for operators.
impl fmt::Display for Respond {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.status.as_u16())?;
        if !Self::has_body(self.status) {
            return Ok(());
        }
        let media_type = String::from_utf8_lossy(self.media_type.as_bytes());
        write!(f, ": {} bytes of {media_type}", self.body.len())
    }
}
