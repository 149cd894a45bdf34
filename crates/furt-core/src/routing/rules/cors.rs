//! What a route answers to browsers of other origins, ready to be written: whether an origin may read, and the values of the
//! headers that say so.

use std::sync::Arc;

use http::HeaderValue;
use http::header::{HeaderName, RETRY_AFTER, WWW_AUTHENTICATE};

use crate::model::{Cors, Origins};

/// What pages may read of every answer: without it they can neither tell a fault to an operator nor wait as long as they are told.
const EXPOSED: [HeaderName; 3] = [HeaderName::from_static("x-request-id"), RETRY_AFTER, WWW_AUTHENTICATE];

/// What somebody said, and the values of headers that are the same in every answer.
#[derive(Debug)]
pub struct CorsPolicy {
    said: Arc<Cors>,
    allow_headers: Option<HeaderValue>,
    expose_headers: HeaderValue,
    max_age: HeaderValue,
}

impl CorsPolicy {
    /// Of what was said.
    pub fn new(said: Arc<Cors>) -> Self {
        let allow_headers = said.headers.as_ref().map(|names| list(names.iter()));
        let more = said.expose.iter().filter(|name| !EXPOSED.contains(name));
        let expose_headers = list(EXPOSED.iter().chain(more));
        let max_age = HeaderValue::from(said.max_age.as_secs());
        Self { said, allow_headers, expose_headers, max_age }
    }

    /// What was said.
    pub fn said(&self) -> &Cors {
        &self.said
    }

    /// `Access-Control-Allow-Origin` for a request of that origin; `None`: its pages may not read the answer.
    pub fn allow_origin(&self, origin: &HeaderValue) -> Option<HeaderValue> {
        match &self.said.origins {
            Origins::Any => Some(HeaderValue::from_static("*")),
            listed => listed.contain(origin.to_str().ok()?).then(|| origin.clone()),
        }
    }

    /// Whether answers differ by the request's origin, so that a cache must keep them apart.
    pub fn varies(&self) -> bool {
        self.said.origins != Origins::Any
    }

    /// Whether cookies and the like may be sent along.
    pub fn allows_credentials(&self) -> bool {
        self.said.credentials
    }

    /// `Access-Control-Allow-Headers`; `None`: those that are asked for.
    pub fn allow_headers(&self) -> Option<&HeaderValue> {
        self.allow_headers.as_ref()
    }

    /// `Access-Control-Expose-Headers`.
    pub fn expose_headers(&self) -> &HeaderValue {
        &self.expose_headers
    }

    /// `Access-Control-Max-Age`.
    pub fn max_age(&self) -> &HeaderValue {
        &self.max_age
    }
}

/// What is ready follows from what was said.
impl PartialEq for CorsPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.said == other.said
    }
}

impl Eq for CorsPolicy {}

fn list<'a>(names: impl Iterator<Item = &'a HeaderName>) -> HeaderValue {
    let names: Vec<_> = names.map(HeaderName::as_str).collect();
    // Names of headers are visible ASCII.
    HeaderValue::from_str(&names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_that_may_read_is_named_and_any_is_a_star() {
        let policy = |origins: &[&str]| CorsPolicy::new(Arc::new(Cors::new(Origins::try_new(origins).unwrap())));
        let asks = |policy: &CorsPolicy, origin: &'static str| policy.allow_origin(&HeaderValue::from_static(origin));
        let (any, listed) = (policy(&["*"]), policy(&["https://*.a.example"]));
        assert_eq!(asks(&any, "null").unwrap(), "*");
        assert_eq!(asks(&listed, "https://x.a.example").unwrap(), "https://x.a.example");
        assert_eq!(asks(&listed, "https://a.example"), None);
        assert_eq!(listed.allow_origin(&HeaderValue::from_bytes(b"https://\xffx.a.example").unwrap()), None);
        assert_eq!((any.varies(), listed.varies()), (false, true));
    }

    #[test]
    fn what_furt_says_is_readable_beside_what_the_service_names() {
        let said = Cors {
            headers: Some([HeaderName::from_static("x-api-key"), HeaderName::from_static("x-a")].into()),
            expose: [HeaderName::from_static("x-total"), RETRY_AFTER].into(),
            ..Cors::new(Origins::Any)
        };
        let policy = CorsPolicy::new(Arc::new(said));
        assert_eq!(policy.allow_headers().unwrap(), "x-api-key, x-a");
        assert_eq!(policy.expose_headers(), "x-request-id, retry-after, www-authenticate, x-total");
        assert_eq!(policy.max_age(), "600");
    }
}
