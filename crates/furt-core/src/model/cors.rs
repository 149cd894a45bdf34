//! What browsers may do with a route's answers from other origins (the Fetch standard, §3.2): what somebody says of it.

use std::time::Duration;

use http::HeaderName;

use super::{Invalid, Origins};

/// The most headers that a list of [`Cors`] names.
pub const MAX_CORS_HEADERS: usize = 64;
/// How long a browser keeps the answer to a preflight where nothing is said; the longest that none of them cuts short is
/// 600 s (Safari's).
pub const CORS_MAX_AGE: Duration = Duration::from_secs(600);
/// The longest that may be said: a day, as long as any browser keeps it.
pub const LONGEST_CORS_MAX_AGE: Duration = Duration::from_secs(86_400);

/// What a registration or a rule says. There are no methods in it: the table of routes knows them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cors {
    /// Whose pages may read answers.
    pub origins: Origins,
    /// The headers that their requests may have; `None`: whatever they ask for.
    pub headers: Option<Box<[HeaderName]>>,
    /// The answer's headers that they may read, beside those that furt lets them read anyway.
    pub expose: Box<[HeaderName]>,
    /// Whether cookies and the like may be sent along.
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight; whole seconds.
    pub max_age: Duration,
}

impl Cors {
    /// Of these origins, with defaults: any header, no credentials, 600 s.
    pub fn new(origins: Origins) -> Self {
        Self { origins, headers: None, expose: Box::default(), credentials: false, max_age: CORS_MAX_AGE }
    }

    /// The name of a header that pages may send or read.
    ///
    /// # Errors
    /// What is no name, and `*`: headers that may be sent are left out for that, and what may be read is named.
    pub fn try_header(text: &str) -> Result<HeaderName, Invalid> {
        let name = HeaderName::from_bytes(text.as_bytes()).ok().filter(|_| text != "*");
        name.ok_or_else(|| Invalid::new("must be the name of a header, such as \"x-total\""))
    }

    /// Whether its parts go together.
    ///
    /// # Errors
    /// The first reason why not: every origin with credentials, too many headers, a time beyond a day.
    pub fn check(&self) -> Result<(), Invalid> {
        let refused = if self.credentials && self.origins == Origins::Any {
            "every origin with credentials would let any page act as its visitors: must name the origins"
        } else if self.headers.as_ref().is_some_and(|names| names.len() > MAX_CORS_HEADERS)
            || self.expose.len() > MAX_CORS_HEADERS
        {
            "it names more than 64 headers in headers or expose"
        } else if self.max_age > LONGEST_CORS_MAX_AGE {
            "its max_age is longer than a day"
        } else {
            return Ok(());
        };
        Err(Invalid::new(refused))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_origin_goes_without_credentials_alone() {
        let any = Cors::new(Origins::Any);
        assert_eq!(any.check(), Ok(()));
        assert!(Cors { credentials: true, ..any.clone() }.check().is_err());
        let listed = Origins::try_new(&["https://*.example.org"]).unwrap();
        assert_eq!(Cors { credentials: true, ..Cors::new(listed) }.check(), Ok(()));
        assert!(Cors { max_age: LONGEST_CORS_MAX_AGE + Duration::from_secs(1), ..any }.check().is_err());
    }
}
