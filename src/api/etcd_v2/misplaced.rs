//! Requests that `etcd-registry` sends to `/` by a fault of its own: where a connection string has options and no namespace
//! (`127.0.0.1:4001?refresh=true`, and each one that its command line makes), it takes the options for a part of the host.
//! What it asks for then stands in the value of an option: `/?refresh=true/v2/keys/services/comments`.

use axum::extract::Request;
use axum::http::Uri;

const KEYS: &str = "/v2/keys/";
const MACHINES: &str = "/v2/machines";

/// The request that was meant; any other as it is. To be asked before the router is.
pub(in crate::api) fn replaced(mut request: Request) -> Request {
    let query = request.uri().query().filter(|_| request.uri().path() == "/");
    let path_and_query = query.and_then(meant).and_then(|meant| meant.parse().ok());
    if let Some(path_and_query) = path_and_query {
        let mut parts = std::mem::take(request.uri_mut()).into_parts();
        parts.path_and_query = Some(path_and_query);
        // Only path and query are new, and they were read as such.
        *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    }
    request
}

/// Path and query; `None`: nothing that the package asks for.
fn meant(query: &str) -> Option<String> {
    let pairs: Vec<_> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let path_of = |value: &str| {
        let is_key =
            |start: usize| value[start..].bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-/".contains(&byte));
        let start = value.find(KEYS).filter(|start| is_key(*start));
        start.or_else(|| value.len().checked_sub(MACHINES.len()).filter(|_| value.ends_with(MACHINES)))
    };
    let (at, start) = pairs.iter().enumerate().find_map(|(at, (_, value))| Some((at, path_of(value)?)))?;
    let rest = pairs.iter().enumerate().filter(|(other, _)| *other != at).map(|(_, pair)| pair);
    let rest = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(rest).finish();
    let path = &pairs[at].1[start..];
    Some(if rest.is_empty() { path.to_owned() } else { format!("{path}?{rest}") })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn what_was_meant_is_found_in_the_value_of_an_option() {
        for (asked, expected) in [
            ("/?refresh=false/v2/keys/services/a/b", "/v2/keys/services/a/b"),
            ("/?refresh=false%2Fv2%2Fkeys%2Fservices%2F&recursive=true", "/v2/keys/services/?recursive=true"),
            ("/?cache=5&refresh=true/v2/keys/services/a", "/v2/keys/services/a?cache=5"),
            ("/?refresh=true/v2/machines", "/v2/machines"),
            ("http://furt:4001/?refresh=true/v2/machines", "http://furt:4001/v2/machines"),
        ] {
            let request = replaced(Request::get(asked).body(Body::empty()).unwrap());
            assert_eq!(request.uri().to_string(), expected);
        }
        for other in [
            "/",
            "/?refresh=true",
            "/?/v2/keys/services/a",
            "/?a=/v2/keys/%3f",
            "/?a=/v2/keys/a%2520b",
            "/?a=/v2/machines/x",
            "/internal/services?a=/v2/keys/services/a",
        ] {
            let request = replaced(Request::get(other).body(Body::empty()).unwrap());
            assert_eq!(request.uri().to_string(), other);
        }
    }
}
