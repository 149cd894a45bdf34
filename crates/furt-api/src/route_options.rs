//! What a definition, and each of its routes, may say of requests.

use serde::{Deserialize, Serialize};

/// The field `cors` of a definition, and of one of its routes. `docs/routes.md` of furt says what comes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cors {
    /// Whose pages may read answers: 1 to 64 origins such as `https://app.example.org` or `https://*.example.org`, or `*` alone.
    pub origins: Vec<String>,
    /// The headers that their requests may have, at most 64. Absent: those that they ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<Vec<String>>,
    /// The answer's headers that they may read, at most 64, beside `X-Request-Id`, `Retry-After` and `WWW-Authenticate`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub expose: Vec<String>,
    /// Whether cookies may be sent along; not with the origin `*`. Absent: no.
    #[serde(default, skip_serializing_if = "is_false")]
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight, 0 to 86400 s. Absent: 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_age: Option<u64>,
}

impl Cors {
    /// Of these origins, with every default.
    pub fn new(origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let origins = origins.into_iter().map(Into::into).collect();
        Self { origins, headers: None, expose: Vec::new(), credentials: false, max_age: None }
    }
}

/// The field `rewrite` of a definition, and of one of its routes: what becomes of the path on its way to the service.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rewrite {
    /// Whole segments that are taken off the beginning of the path, such as `/api/comments`. Absent: none, and then `add` is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub strip: Option<String>,
    /// Whole segments that are put before what is left, such as `/v2`. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub add: Option<String>,
    /// Whether a `Location` of the service is rewritten for the client. Absent: yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redirects: Option<bool>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}
