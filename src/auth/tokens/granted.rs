//! What claims that are good make of a caller: its permissions, and the headers that services are told.

use http::HeaderValue;
use serde_json::{Map, Value};

use super::claims::header_value;
use crate::auth::Identity;
use crate::config::IssuerConfig;

/// Who a caller is, by claims that are good.
pub(super) fn identity(claims: &Map<String, Value>, subject: HeaderValue, config: &IssuerConfig) -> Identity {
    let words = config.grants.claim.as_deref().and_then(|path| find(claims, path)).map(words).unwrap_or_default();
    let header = |(path, name): (&String, &http::HeaderName)| Some((name.clone(), value(find(claims, path)?)?));
    Identity {
        provider: config.name.clone(),
        subject: Some(subject),
        permissions: Some(config.grants.permissions_of(words)),
        headers: config.headers.iter().filter_map(header).collect(),
    }
}

/// The claim of that name, or the one to which it leads: at each dot an object may begin, and names have dots as well.
fn find<'c>(claims: &'c Map<String, Value>, path: &str) -> Option<&'c Value> {
    claims.get(path).or_else(|| {
        path.match_indices('.').find_map(|(dot, _)| {
            let inner = claims.get(&path[..dot])?.as_object()?;
            find(inner, &path[dot + 1..])
        })
    })
}

/// The words of a claim: a text with blanks between them (RFC 8693 §4.2), or an array. What is no text is none.
fn words(claim: &Value) -> Vec<&str> {
    match claim {
        Value::String(text) => text.split(' ').filter(|word| !word.is_empty()).collect(),
        Value::Array(elements) => elements.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

/// A claim as a header's value; `None`: it has none that could not be misread.
fn value(claim: &Value) -> Option<HeaderValue> {
    let text = match claim {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => claim.to_string(),
        Value::Array(elements) if !elements.is_empty() => {
            let element = |one: &Value| one.as_str().filter(|text| is_element(text)).map(str::to_owned);
            elements.iter().map(element).collect::<Option<Vec<_>>>()?.join(", ")
        }
        Value::Array(_) | Value::Object(_) | Value::Null => return None,
    };
    header_value(&text)
}

/// Whether a text is one element in a list with commas.
fn is_element(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains(',')
}
