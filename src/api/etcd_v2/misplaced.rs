//! Requests that `etcd-registry` sends to `/` by a fault of its own: where a connection string has options and no namespace
//! (`127.0.0.1:4001?refresh=true`, and each one that its command line makes), it takes the options for a part of the host.
//! What it asks for then stands in the value of an option: `/?refresh=true/v2/keys/services/comments`.

use std::sync::Arc;

use axum::Extension;
use axum::body::Bytes;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::HeaderMap;
use axum::response::{IntoResponse as _, Response};

use super::super::Api;
use super::super::listener::BodyTooLarge;
use super::super::problem::{Problem, not_found};
use furt_core::registry::Source;

const KEYS: &str = "/v2/keys/";
const MACHINES: &str = "/v2/machines";

/// What was meant.
#[derive(Debug, PartialEq, Eq)]
enum Meant {
    /// This key, with this query.
    Key(String, String),
    Machines,
}

/// `None`: nothing of etcd's.
fn meant(query: Option<&str>) -> Option<Meant> {
    let pairs: Vec<_> = url::form_urlencoded::parse(query?.as_bytes()).into_owned().collect();
    let (at, key) = pairs.iter().enumerate().find_map(|(at, (_, value))| {
        let start = value.find(KEYS).map(|start| start + KEYS.len());
        start.map(|start| (at, Some(&value[start..]))).or_else(|| value.ends_with(MACHINES).then_some((at, None)))
    })?;
    let Some(key) = key else { return Some(Meant::Machines) };
    let rest = pairs.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, pair)| pair);
    let rest = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
    Some(Meant::Key(key.to_owned(), rest))
}

/// `GET /`
pub(in crate::api) async fn get(
    State(api): State<Arc<Api>>,
    RawQuery(query): RawQuery,
    request: Request,
) -> Result<Response, Problem> {
    match meant(query.as_deref()) {
        Some(Meant::Key(key, query)) => super::get(State(api), Path(key), RawQuery(Some(query))).await,
        Some(Meant::Machines) => Ok(super::machines(State(api), request).await.into_response()),
        None => Err(not_found().await),
    }
}

/// `PUT /`
pub(in crate::api) async fn put(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    RawQuery(query): RawQuery,
    too_large: Option<Extension<BodyTooLarge>>,
    headers: HeaderMap,
    body: Bytes,
) -> Result<Response, Problem> {
    let Some(Meant::Key(key, query)) = meant(query.as_deref()) else { return Err(not_found().await) };
    super::put(State(api), Extension(source), Path(key), RawQuery(Some(query)), too_large, headers, body).await
}

/// `DELETE /`
pub(in crate::api) async fn delete(
    State(api): State<Arc<Api>>,
    Extension(source): Extension<Source>,
    RawQuery(query): RawQuery,
) -> Result<Response, Problem> {
    let Some(Meant::Key(key, query)) = meant(query.as_deref()) else { return Err(not_found().await) };
    super::delete(State(api), Extension(source), Path(key), RawQuery(Some(query))).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_meant_is_found_in_the_value_of_an_option() {
        let key = |key: &str, query: &str| Some(Meant::Key(key.to_owned(), query.to_owned()));
        for (query, expected) in [
            ("refresh=false/v2/keys/services/a/b", key("services/a/b", "")),
            ("refresh=false%2Fv2%2Fkeys%2Fservices%2F&recursive=true", key("services/", "recursive=true")),
            ("cache=5&refresh=true/v2/keys/services/a", key("services/a", "cache=5")),
            ("refresh=true/v2/machines", Some(Meant::Machines)),
            ("refresh=true", None),
            ("/v2/keys/services/a", None),
            ("", None),
        ] {
            assert_eq!(meant(Some(query)), expected, "{query}");
        }
        assert_eq!(meant(None), None);
    }
}
