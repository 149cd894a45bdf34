//! What a definition, and each of its routes, may say of requests.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::Seconds;

/// The field `cors` of a definition, and of one of its routes. `docs/routes.md` of furt says what comes of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cors {
    /// Whose pages may read answers: 1 to 64 origins such as `https://app.example.org` or `https://*.example.org`, or `*` alone.
    #[schemars(length(min = 1, max = 64))]
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
    #[schemars(range(max = 86400))]
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
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
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

/// The field `limits` of a definition, and of one of its routes: how much may be asked for. It has `rate`, `concurrency` or
/// `max_body`. Limits add up: those of the definition hold for each route, beside those of the route.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Limits {
    /// How often, such as `5/s` or `300/m`; of a definition for all its routes together. Absent: as often as one likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// How many may come at once after a pause, 1 to 1000000; only with `rate`. Absent: one second's worth of it, at least 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub burst: Option<u32>,
    /// How many may be in flight at the same time, 1 to 1000000. Absent: as many as one likes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub concurrency: Option<u32>,
    /// Whom `rate` and `concurrency` count as one: `caller`, `address` or `route`. Absent: `caller`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// The most bytes of a request's body, at least 1. Absent: what the gateway takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_body: Option<u64>,
}

/// The field `timeouts` of a route.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
pub struct RouteTimeouts {
    /// To the header of the answer, and between reads, 0.001 to 86400 s. Absent: the definition's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read: Option<Seconds>,
    /// To the end of the answer, 0.001 to 86400 s, unless the request is a stream; the definition's holds as well. Absent: none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<Seconds>,
}

fn is_false(flag: &bool) -> bool {
    !*flag
}
