//! The answer to a preflight that is allowed.

use http::HeaderValue;
use http::header::{ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_MAX_AGE, VARY};
use pingora::Result;
use pingora::http::ResponseHeader;

/// What a preflight's answer differs by, beside `Origin`.
const ASKED: HeaderValue = HeaderValue::from_static("Access-Control-Request-Method, Access-Control-Request-Headers");

/// What furt answers to a preflight that it allows, beside what every answer of the route says.
#[derive(Debug, Clone)]
pub(super) struct Preflight {
    /// The method that was asked about.
    pub(super) method: HeaderValue,
    /// The headers that may be sent; `None`: none was asked about.
    pub(super) headers: Option<HeaderValue>,
    /// How long a browser may keep it, in s.
    pub(super) max_age: HeaderValue,
}

impl Preflight {
    /// Puts it into the answer.
    ///
    /// # Errors
    /// A header that cannot be made; none of these.
    pub(super) fn put(&self, response: &mut ResponseHeader) -> Result<()> {
        response.insert_header(ACCESS_CONTROL_ALLOW_METHODS, self.method.clone())?;
        if let Some(headers) = &self.headers {
            response.insert_header(ACCESS_CONTROL_ALLOW_HEADERS, headers.clone())?;
        }
        response.insert_header(ACCESS_CONTROL_MAX_AGE, self.max_age.clone())?;
        response.insert_header(VARY, ASKED)
    }
}
