//! What the internal listener offers, as OpenAPI 3.1 for programs that make clients of it.
//!
//! A test writes `docs/openapi.json` and `docs/api.md`: `description` makes the one from the table of endpoints and the types
//! of `furt_api`, `page` the other from it.

#[cfg(test)]
mod description;
#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};

const DOCUMENT: &str = include_str!("../../../docs/openapi.json");

/// `GET /internal/openapi.json`
pub(super) async fn openapi() -> Response {
    ([(CONTENT_TYPE, "application/json")], DOCUMENT).into_response()
}
