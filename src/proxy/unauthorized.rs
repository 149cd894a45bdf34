//! By which schemes a client may show who it is, as a 401 says them (RFC 9110 §11.6.1).

use http::{HeaderValue, header};
use pingora::Result;
use pingora::http::ResponseHeader;

use crate::config::KeyAccept;
use crate::wire::GatewayProblem;
use furt_core::model::AuthMethods;

/// By which header a key comes, a client cannot guess.
const API_KEY: &str = "ApiKey realm=\"furt\", header=\"X-API-Key\"";
/// A key or a token in `Authorization` (RFC 6750 §3).
const BEARER: &str = "Bearer realm=\"furt\"";
/// A key as a password (RFC 7617).
const BASIC: &str = "Basic realm=\"furt\", charset=\"UTF-8\"";

/// The schemes that a route takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Challenges {
    takes_keys: bool,
    accept: KeyAccept,
    takes_tokens: bool,
}

impl Challenges {
    /// Of a route that takes keys alone.
    pub(super) fn of_keys(accept: KeyAccept) -> Self {
        Self { takes_keys: true, accept, takes_tokens: false }
    }

    /// Of a route that takes what a list says.
    pub(super) fn of(methods: &AuthMethods, accept: KeyAccept, takes_tokens: bool) -> Self {
        let takes_keys = methods.take_keys();
        Self { takes_keys, accept: if takes_keys { accept } else { KeyAccept::default() }, takes_tokens }
    }

    /// Whether a token would do.
    pub(super) fn takes_tokens(self) -> bool {
        self.takes_tokens
    }

    /// Adds them to a 401 for that problem; `detail` is about this very case.
    ///
    /// # Errors
    /// A header that Pingora does not take.
    pub(super) fn put(
        self,
        problem: GatewayProblem,
        detail: Option<&str>,
        response: &mut ResponseHeader,
    ) -> Result<()> {
        let mut add = |value: HeaderValue| response.append_header(header::WWW_AUTHENTICATE, value).map(drop);
        if self.takes_keys {
            add(HeaderValue::from_static(API_KEY))?;
        }
        if self.accept.bearer || self.takes_tokens {
            let value = match (problem, detail) {
                (GatewayProblem::TokenRefused, Some(why)) => {
                    format!("{BEARER}, error=\"invalid_token\", error_description=\"{why}\"")
                }
                (GatewayProblem::TokenRefused | GatewayProblem::KeyUnknown, _) => {
                    format!("{BEARER}, error=\"invalid_token\"")
                }
                _ => BEARER.to_owned(),
            };
            // What is said of a token is a text of furt's, without signs that would end it.
            add(HeaderValue::try_from(value).unwrap_or(HeaderValue::from_static(BEARER)))?;
        }
        if self.accept.basic {
            add(HeaderValue::from_static(BASIC))?;
        }
        Ok(())
    }
}

/// What a caller lacks whose token does not permit what the route asks for (RFC 6750 §3.1).
pub(super) fn insufficient_scope(permission: &str) -> String {
    format!("{BEARER}, error=\"insufficient_scope\", scope=\"{permission}\"")
}

impl Default for Challenges {
    fn default() -> Self {
        Self::of_keys(KeyAccept::default())
    }
}
